"""Calling genes on contigs: tracks and sequence in, gene models out."""

from __future__ import annotations

import dataclasses
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segnt_tools.elements import Strand, Track
from segnt_tools.genes.decoding import BLOCK_BASES, BlockMakers, PieceDecoder
from segnt_tools.genes.emissions import LOGIT_LIMIT, UNKNOWN_CODE, EmissionBuilder, EvidencePlan, logits_of_codes
from segnt_tools.genes.models import Dropped, GeneBuilder
from segnt_tools.genes.parameters import GeneParameters, parameters_of
from segnt_tools.genes.states import StateMachine
from segnt_tools.gff.genemodel import Gene
from segnt_tools.quantisation import quantise
from segnt_tools.sequence.assembly import Contig
from segnt_tools.sequence.codes import N
from segnt_tools.sequence.intervals import from_mask
from segnt_tools.tracks.file import Encoding, TracksReader

_SHORTEST_PIECE = 3
_CODE_OF_LABEL = np.full(256, UNKNOWN_CODE, dtype=np.uint8)  # of a masked label
_CODE_OF_LABEL[:2] = 1, 255


class Bases(Protocol):
    """Where sequences come from, such as sequence.assembly.Assembly."""

    def codes(self, contig: str, start: int, end: int) -> NDArray[np.uint8]:
        """Base codes of a stretch of a contig."""


class Tracks(Protocol):
    """Where logits come from."""

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks, in the order of the rows."""

    def logits(self, contig: str, start: int, end: int) -> NDArray[np.float32]:
        """Logits of a stretch of a contig, float32 (tracks, bases); NaN where nothing is known."""


@runtime_checkable
class CodedTracks(Tracks, Protocol):
    """Tracks that may be stored as 8-bit codes, which spares making logits of them."""

    @property
    def is_coded(self) -> bool:
        """Whether they are."""

    def quantised(self, contig: str, start: int, end: int, rows: Sequence[int]) -> NDArray[np.uint8]:
        """Codes of some tracks, as emissions.CodeSource wants them."""


class FileTracks:
    """Logits of tracks files; labels count as sure, their masked bases as unknown. Safe to use from several threads."""

    def __init__(self, reader: TracksReader) -> None:
        self._reader = reader

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks of the files."""
        return self._reader.tracks

    def held(self, contig: str) -> tuple[tuple[int, int], ...]:
        """Stretches of a contig that the files hold, ascending."""
        return self._reader.covered(contig)

    def logits(self, contig: str, start: int, end: int) -> NDArray[np.float32]:
        """Logits, or plus and minus the limit for labels; NaN where the files hold nothing."""
        held = list(self._held_within(contig, start, end))
        if held == [(start, end)]:
            return self._stored(contig, start, end)
        result = np.full((len(self.tracks), end - start), np.nan, dtype=np.float32)
        for low, high in held:
            result[:, low - start : high - start] = self._stored(contig, low, high)
        return result

    @property
    def is_coded(self) -> bool:
        """Whether the files hold 8-bit codes, or labels."""
        return self._reader.header.encoding in (Encoding.LOGIT8, Encoding.LABEL)

    def quantised(self, contig: str, start: int, end: int, rows: Sequence[int]) -> NDArray[np.uint8]:
        """Codes of some tracks where `is_coded`: of logits as `logits` gives them, unknown ones apart."""
        result = np.full((len(rows), end - start), UNKNOWN_CODE, dtype=np.uint8)
        for low, high in self._held_within(contig, start, end):
            values = self._reader.values(contig, low, high, rows)
            inside = result[:, low - start : high - start]
            if self._reader.header.encoding is Encoding.LABEL:
                inside[:] = _CODE_OF_LABEL[values]
            else:
                np.maximum(values, 1, out=inside)
        return result

    def stored_codes(self, contig: str, start: int, end: int, rows: Sequence[int]) -> NDArray[np.uint8]:
        """Codes of some tracks, whatever the files hold: logits are rounded; UNKNOWN_CODE where nothing is known."""
        if self.is_coded:
            return self.quantised(contig, start, end, rows)
        return quantise(self.logits(contig, start, end)[list(rows)])

    def _held_within(self, contig: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        """What the files hold of a stretch."""
        held = self._reader.covered(contig)
        first = bisect_right(held, start, key=lambda stretch: stretch[1])
        for low, high in takewhile(lambda stretch: stretch[0] < end, held[first:]):
            yield max(low, start), min(high, end)

    def _stored(self, contig: str, start: int, end: int) -> NDArray[np.float32]:
        match self._reader.header.encoding:
            case Encoding.LOGIT8:
                return logits_of_codes(self._reader.values(contig, start, end))
            case Encoding.LABEL:
                return (2 * self._reader.probability(contig, start, end) - 1) * np.float32(LOGIT_LIMIT)
            case _:
                return self._reader.logits(contig, start, end)


@dataclass(frozen=True)
class ContigSource:
    """The tracks and the sequence of one contig, as the emissions want them."""

    tracks: Tracks
    bases: Bases
    contig: str

    def logits(self, start: int, end: int) -> NDArray[np.float32]:
        """Logits of a stretch, shape (tracks, bases)."""
        return self.tracks.logits(self.contig, start, end)

    def codes(self, start: int, end: int) -> NDArray[np.uint8]:
        """Base codes of a stretch."""
        return self.bases.codes(self.contig, start, end)


@dataclass(frozen=True)
class CodedContigSource(ContigSource):
    """The same where the tracks are stored as 8-bit codes."""

    tracks: CodedTracks

    def quantised(self, start: int, end: int, rows: Sequence[int]) -> NDArray[np.uint8]:
        """Codes of some tracks, shape (rows, bases)."""
        return self.tracks.quantised(self.contig, start, end, rows)


def default_parameters(reader: TracksReader) -> GeneParameters:
    """Parameters for tracks: what their card says, on top of the defaults for their kind."""
    return parameters_of(reader.header.card, is_stranded(reader.tracks))


def is_stranded(tracks: Sequence[Track]) -> bool:
    """Whether any genic track tells strands apart."""
    return any(track.strand is not Strand.NONE for track in tracks)


@dataclass
class GeneCaller:
    """Calls the genes of contigs.

    Attributes:
        tracks: the logits.
        bases: the sequence.
        parameters: the decoder's parameters.
        min_score: genes with a lower score are not reported.
        dropped: what was decoded and not reported.
        block_bases: bases decoded at once.
        held: stretches of a contig that have tracks, each decoded apart as if it lay between long gaps; by default the
            whole contig.
    """

    tracks: Tracks
    bases: Bases
    parameters: GeneParameters
    min_score: float = 0.0
    dropped: Dropped = field(default_factory=Dropped)
    block_bases: int = BLOCK_BASES
    held: Callable[[str], Sequence[tuple[int, int]]] | None = None

    def __post_init__(self) -> None:
        self.plan = EvidencePlan(self.tracks.tracks, self.parameters)
        if self.parameters.utr and not self.plan.has_utr:
            self.parameters = dataclasses.replace(self.parameters, utr=False)
        self.machine = StateMachine(self.parameters, self.plan.noncoding)
        self._counting = threading.Lock()

    def genes(self, contig: Contig, makers: BlockMakers | None = None) -> list[Gene]:
        """Genes of a contig from left to right, without IDs of their own.

        Args:
            contig: the contig.
            makers: make emissions ahead of the decoder; None to make them when they are needed.
        """
        source = self.source(contig.name)
        emissions = EmissionBuilder(self.plan, self.machine, source, source, contig.length)
        genes: list[Gene] = []
        for first, last in self._pieces(source, contig.length):
            genes += self._piece_genes(contig.name, emissions, first, last, makers)
        return genes

    def source(self, contig: str) -> ContigSource:
        """A contig's tracks and sequence, as codes where the tracks are stored so."""
        if isinstance(self.tracks, CodedTracks) and self.tracks.is_coded:
            return CodedContigSource(self.tracks, self.bases, contig)
        return ContigSource(self.tracks, self.bases, contig)

    def call(
        self, contigs: Sequence[Contig], threads: int = 1, progress: Callable[[int], None] | None = None
    ) -> Iterator[list[Gene]]:
        """Genes of each contig, in the order of the contigs, whatever the number of threads.

        With more than one, up to `threads` contigs are decoded at once. Together they hold at most 2 x threads blocks
        of emissions (28 MB each), and each a scaled copy of the one in use where the score temperature is not 1.
        """
        if threads == 1:
            for contig in contigs:
                yield self.genes(contig)
                if progress:
                    progress(contig.length)
            return
        blocks, pool = ThreadPoolExecutor(threads), ThreadPoolExecutor(threads)
        try:
            makers = BlockMakers(blocks, threads)
            waiting = [pool.submit(self.genes, contig, makers) for contig in contigs]
            for contig, future in zip(contigs, waiting, strict=True):
                yield future.result()
                if progress:
                    progress(contig.length)
        except BaseException:
            # Whoever ends the run early does not wait for contigs in the making, which may take minutes.
            for executor in (pool, blocks):
                executor.shutdown(wait=False, cancel_futures=True)
            raise
        for executor in (pool, blocks):
            executor.shutdown()

    def _piece_genes(
        self,
        contig: str,
        emissions: EmissionBuilder,
        first: int,
        last: int,
        makers: BlockMakers | None,
    ) -> list[Gene]:
        decoder = PieceDecoder(
            self.machine,
            lambda start, end: emissions.rows(start, end, first, last),
            first,
            last,
            makers,
            self.block_bases,
        )
        builder = GeneBuilder(
            self.machine, contig, decoder.factor, self.min_score, strand_known=is_stranded(self.plan.tracks)
        )
        found = list(builder.path_genes(decoder.best().segments))
        sums = iter(decoder.sums([part for gene in found for part in gene.segments]) if found else ())
        built = [builder.build(gene, [next(sums) for _ in gene.segments]) for gene in found]
        with self._counting:
            self.dropped.add(builder.dropped)
        return [gene for gene in built if gene is not None]

    def _pieces(self, source: ContigSource, length: int) -> Iterator[tuple[int, int]]:
        """Stretches that are decoded apart: the contig or its held stretches, or what lies between their long gaps."""
        for start, end in [(0, length)] if self.held is None else self.held(source.contig):
            for first, last in self._between_gaps(source, start, end):
                if last - first >= _SHORTEST_PIECE:
                    yield first, last

    def _between_gaps(self, source: ContigSource, start: int, end: int) -> Iterator[tuple[int, int]]:
        if self.parameters.gap_length:
            for gap_start, gap_end in _long_gaps(source, start, end, self.parameters.gap_length, self.block_bases):
                yield start, gap_start
                start = gap_end
        yield start, end


def _long_gaps(source: ContigSource, first: int, last: int, shortest: int, block: int) -> Iterator[tuple[int, int]]:
    """Runs of N at least this long in a stretch of a contig, read block by block."""
    open_start, open_end = -1, -1
    for low in range(first, last, block):
        high = min(low + block, last)
        for start, end in from_mask(source.codes(low, high) == N).tolist():
            if low + start == open_end:
                open_end = low + end
                continue
            if open_end - open_start >= shortest:
                yield open_start, open_end
            open_start, open_end = low + start, low + end
    if open_start >= 0 and open_end - open_start >= shortest:
        yield open_start, open_end


def call_genes(
    tracks: Tracks,
    bases: Bases,
    contigs: Sequence[Contig],
    parameters: GeneParameters,
    *,
    min_score: float = 0.0,
    threads: int = 1,
) -> Iterator[Gene]:
    """Genes of contigs, contig by contig, from left to right.

    Raises:
        TracksError: the tracks do not suffice for gene models.
    """
    for genes in GeneCaller(tracks, bases, parameters, min_score).call(contigs, threads):
        yield from genes
