"""From tracks and sequence to the scores the gene machine decodes.

Regions. A base of a state's kind is worth `region_weight x max(log probability, region_floor)` of the kind's track.
What a model lacks is derived from what it has, first that fits:

    kind         tracks
    CDS frame f  CDS_frame_f; CDS; the derived CDS
    CDS          exon and neither 5UTR nor 3UTR, inside protein_coding_gene (the lowest of their logits, UTRs negated)
    5'UTR, 3'UTR 5UTR, 3UTR; without both of them UTR states do not exist
    introns      intron; inside protein_coding_gene and not exon
    intergenic   outside protein_coding_gene on both strands (and outside lncRNA, where lncRNA states exist); without
                 that track, neither exon nor intron
    lncRNA       exon or intron, and lncRNA

A stranded track (`exon+`) goes before a strandless one (`exon`), which speaks for both strands: then strand and frame
come from the sequence, as motifs, stop codons and the order of donors and acceptors.

Sites. A donor or acceptor is worth its track's logit at the marked base (parameters `donor_span` and so on), at least
`site_floor`, plus bonus and cost of its class; only GT, GC and AT donors and AG and AC acceptors are candidates. Starts
and stops likewise where there are start_codon and stop_codon tracks. Where there is no track for a site, its two sides
vote: the lower of the mean logit of the CDS (for splice sites: exon) over `contrast_bases` on its inner side and the
negated mean on its outer side.

Unknown bases (N) and masked labels say nothing: 0 in every region, besides the cost of N in exons.

Tracks that are stored as 8-bit codes are not turned into logits but for the sites: every part of every column is read
from a table of 256 scores, made by the same arithmetic, so that the rows are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segnt_tools.compilation import compiled
from segnt_tools.elements import Strand, Track
from segnt_tools.errors import TracksError
from segnt_tools.genes.kernels import CODES_MARGIN, Rows
from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.genes.states import (
    CODING_COLUMNS,
    INTERGENIC_COLUMN,
    REFUSED_BIT,
    REGION_COLUMNS,
    SITE_COLUMNS,
    STRANDS,
    Region,
    Site,
    StateMachine,
    column,
)
from segnt_tools.quantisation import LOGIT_OF_CODE
from segnt_tools.sequence.codes import LETTERS, N, encode

FloatArray = NDArray[np.float32]

LOGIT_LIMIT = 10.0
_TABLE_STEPS = 64  # of the log sigmoid; linear interpolation errs by less than 1e-5
_PART_BASES = 1 << 14  # whose logits and evidence are held at once: they stay in the processor's cache
_TILE_BASES = 256  # whose columns are filled one after the other
_CODES = 256
UNKNOWN_CODE = 0  # of CodeSource
_CODONS = len(LETTERS) ** 3
_SITES = len(Site)
_OPEN_MAJOR, _OPEN_MINOR = int(Site.OPEN_MAJOR), int(Site.OPEN_MINOR)
_CLOSE_MAJOR, _CLOSE_MINOR = int(Site.CLOSE_MAJOR), int(Site.CLOSE_MINOR)
_ENTER, _LEAVE = int(Site.ENTER), int(Site.LEAVE)
_MAJOR, _GC, _MINOR = 1, 2, 3  # classes of splice motifs


def _motifs(plus: Mapping[str, int], minus: Mapping[str, int]) -> NDArray[np.int64]:
    """Class of each pair of base codes as a splice motif, by strand; 0 for none."""
    table = np.zeros((2, len(LETTERS) ** 2), dtype=np.int64)
    for strand, motifs in enumerate((plus, minus)):
        for motif, kind in motifs.items():
            first, second = (int(code) for code in encode(motif))
            table[strand, first * 5 + second] = kind
    return table


# An intron begins on the left with its donor (plus strand) or with its acceptor read backwards (minus strand).
_OPENS = _motifs({"GT": _MAJOR, "GC": _GC, "AT": _MINOR}, {"CT": _MAJOR, "GT": _MINOR})
_CLOSES = _motifs({"AG": _MAJOR, "AC": _MINOR}, {"AC": _MAJOR, "GC": _GC, "AT": _MINOR})


def logits_of_codes(codes: NDArray[np.uint8]) -> FloatArray:
    """Logits of stored 8-bit codes of any shape (see quantisation.py), in a sixth of the time of numpy's indexing."""
    result = np.empty(codes.shape, dtype=np.float32)
    _look_up(np.ascontiguousarray(codes).reshape(-1), LOGIT_OF_CODE, result.reshape(-1))
    return result


@compiled
def _look_up(codes: NDArray[np.uint8], table: FloatArray, result: FloatArray) -> None:
    for i in range(codes.size):
        result[i] = table[codes[i]]


@compiled
def _look_up_lower(codes: NDArray[np.uint8], table: FloatArray, result: FloatArray) -> None:
    for i in range(codes.size):
        result[i] = min(result[i], table[codes[i]])


class LogitSource(Protocol):
    """Where logits come from: a contig's tracks."""

    def logits(self, start: int, end: int) -> FloatArray:
        """Logits of bases start to end, shape (tracks, bases)."""


@runtime_checkable
class CodeSource(Protocol):
    """A source of logits that holds them as 8-bit codes (see quantisation.py)."""

    def quantised(self, start: int, end: int, rows: Sequence[int]) -> NDArray[np.uint8]:
        """Codes of some tracks, shape (rows, bases); UNKNOWN_CODE where nothing is known, 1 for the lowest logit."""


class BaseSource(Protocol):
    """Where bases come from: a contig's sequence."""

    def codes(self, start: int, end: int) -> NDArray[np.uint8]:
        """Base codes of bases start to end."""


@dataclass(frozen=True, slots=True)
class StrandRows:
    """Rows of the evidence array that speak for one strand; -1 where there is none.

    Attributes:
        exon, cds, five, three, intron, gene: kinds of region.
        frames: CDS by frame.
        donor, acceptor, start, stop: sites; -1 lets the two sides vote.
        nc_exon, nc_intron: lncRNA.
    """

    exon: int
    cds: int
    five: int
    three: int
    intron: int
    gene: int
    frames: tuple[int, int, int]
    donor: int
    acceptor: int
    start: int
    stop: int
    nc_exon: int
    nc_intron: int


class EvidencePlan:
    """Which track, or what derived from tracks, speaks for what.

    Raises:
        TracksError: the tracks do not suffice for gene models.
    """

    def __init__(self, tracks: tuple[Track, ...], parameters: GeneParameters) -> None:
        self.tracks = tracks
        self._row_of = {track.name: row for row, track in enumerate(tracks) if track.trained}
        self._derived: list[tuple[tuple[int, bool], ...]] = []
        self._lncrna = parameters.lncrna and self._find("lncRNA", Strand.PLUS) >= 0
        self.strands = tuple(self._strand_rows(strand) for strand in STRANDS)
        self.noncoding = self.strands[0].nc_exon >= 0
        self.has_utr = self.strands[0].five >= 0 and self.strands[0].three >= 0
        self.intergenic = self._intergenic_row()
        self._factors, self._biases = self._scales(parameters.calibration)

    @property
    def rows(self) -> int:
        """Rows of the evidence array: tracks, then what is derived."""
        return len(self.tracks) + len(self._derived)

    @property
    def site_rows(self) -> tuple[int, ...]:
        """Rows of evidence that speak for sites: their tracks, and what votes where there is no such track."""
        found: set[int] = set()
        for rows in self.strands:
            found |= {rows.donor, rows.acceptor, rows.start, rows.stop}
            if min(rows.donor, rows.acceptor) < 0:
                found.add(rows.exon)
            if min(rows.start, rows.stop) < 0:
                found.add(rows.cds)
        return tuple(sorted(found - {-1}))

    def parts(self, row: int) -> tuple[tuple[int, bool], ...] | None:
        """The tracks (negated or not) whose lowest logit a row of evidence is; None if it is something else."""
        if row < len(self.tracks):
            return ((row, False),)
        result: list[tuple[int, bool]] = []
        for part, negated in self._derived[row - len(self.tracks)]:
            inner = self.parts(part)
            if inner is None or (negated and len(inner) > 1):
                return None
            result += [(track, turned != negated) for track, turned in inner]
        return tuple(dict.fromkeys(result))

    def logits_of_all_codes(self) -> FloatArray:
        """Evidence of each track at every code, shape (tracks, 256); the unknown one counts as logit 0."""
        logits = np.tile(LOGIT_OF_CODE, (len(self.tracks), 1))
        logits[:, UNKNOWN_CODE] = np.nan
        result = np.empty_like(logits)
        _scale_tracks(logits, self._factors, self._biases, result)
        return result

    def fill_evidence(self, logits: FloatArray, result: FloatArray) -> None:
        """Rows of evidence of the logits of all tracks, shape (tracks, bases) to (rows, bases)."""
        _scale_tracks(logits, self._factors, self._biases, result)
        for row, parts in enumerate(self._derived, start=len(self.tracks)):
            first, negated = parts[0]
            np.multiply(result[first], -1.0 if negated else 1.0, out=result[row])
            for part, negated in parts[1:]:
                np.minimum(result[row], -result[part] if negated else result[part], out=result[row])

    def _find(self, element: str, strand: Strand) -> int:
        return self._row_of.get(f"{element}{strand.value}", self._row_of.get(element, -1))

    def _derive(self, *parts: tuple[int, bool]) -> int:
        """A row that is the lowest of others, some negated; those that do not exist are left out."""
        known = tuple(part for part in parts if part[0] >= 0)
        if known not in self._derived:
            self._derived.append(known)
        return len(self.tracks) + self._derived.index(known)

    def _strand_rows(self, strand: Strand) -> StrandRows:
        gene = self._find("protein_coding_gene", strand)
        five, three = self._find("5UTR", strand), self._find("3UTR", strand)
        cds, exon = self._find("CDS", strand), self._find("exon", strand)
        first, second, third = (self._find(f"CDS_frame_{frame}", strand) for frame in range(3))
        frames = (first, second, third)
        if exon < 0 and cds < 0 and min(frames) < 0:
            raise TracksError(
                "these tracks cannot be decoded into genes: there is neither an exon nor a CDS track",
                hint=f"There are {', '.join(sorted(self._row_of)) or 'none'}",
            )
        if cds < 0:
            if exon < 0:
                raise TracksError("these tracks hold CDS frames but neither CDS nor exon")
            cds = self._derive((exon, False), (five, True), (three, True), (gene, False))
        exon = cds if exon < 0 else exon
        intron = self._find("intron", strand)
        if intron < 0:
            intron = self._derive((gene, False), (exon, True))
        lncrna = self._find("lncRNA", strand) if self._lncrna else -1
        return StrandRows(
            exon=exon,
            cds=cds,
            five=five,
            three=three,
            intron=intron,
            gene=gene,
            frames=frames if min(frames) >= 0 else (cds, cds, cds),
            donor=self._find("splice_donor", strand),
            acceptor=self._find("splice_acceptor", strand),
            start=self._find("start_codon", strand),
            stop=self._find("stop_codon", strand),
            nc_exon=self._derive((lncrna, False), (exon, False)) if lncrna >= 0 else -1,
            nc_intron=self._derive((lncrna, False), (intron, False)) if lncrna >= 0 else -1,
        )

    def _intergenic_row(self) -> int:
        parts: list[tuple[int, bool]] = []
        for strand, rows in zip(STRANDS, self.strands, strict=True):
            parts += [(rows.gene, True)] if rows.gene >= 0 else [(rows.exon, True), (rows.intron, True)]
            if self._lncrna:
                parts.append((self._find("lncRNA", strand), True))
        return self._derive(*dict.fromkeys(parts))

    def _scales(self, calibration: Mapping[str, tuple[float, float]]) -> tuple[FloatArray, FloatArray]:
        """Inverse temperature and bias of each track; a name without strand speaks for the tracks of both."""
        pairs = [calibration.get(track.name, calibration.get(track.element, (1.0, 0.0))) for track in self.tracks]
        values = np.array(pairs, dtype=np.float32).reshape(-1, 2)
        return (1 / values[:, 0]).astype(np.float32), values[:, 1].copy()


class SiteTables(NamedTuple):
    """What the site kernel needs, by strand (2,) unless said otherwise.

    Attributes:
        donor, acceptor, start, stop: rows of evidence, -1 where the two sides vote.
        exon, cds: rows that vote for splice sites and for starts and stops.
        donor_span, acceptor_span, start_span, stop_span: (2,) first and last marked base.
        donor_score, acceptor_score, start_score, stop_score: bonuses.
        gc_donor, at_ac: costs of classes.
        floor, minimum: of logits.
        contrast_bases, contrast_weight: of votes.
        enters, leaves, refused: (2, 125) by codon as read on the plus strand: whether a CDS may begin with it on the
            left, may end with it on the right, and may not hold it.
    """

    donor: NDArray[np.int64]
    acceptor: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    exon: NDArray[np.int64]
    cds: NDArray[np.int64]
    donor_span: NDArray[np.int64]
    acceptor_span: NDArray[np.int64]
    start_span: NDArray[np.int64]
    stop_span: NDArray[np.int64]
    donor_score: float
    acceptor_score: float
    start_score: float
    stop_score: float
    gc_donor: float
    at_ac: float
    floor: float
    minimum: float
    contrast_bases: int
    contrast_weight: float
    enters: NDArray[np.bool_]
    leaves: NDArray[np.bool_]
    refused: NDArray[np.bool_]


def _codon_table(codons: tuple[str, ...]) -> NDArray[np.bool_]:
    table = np.zeros(_CODONS, dtype=np.bool_)
    for codon in codons:
        first, second, third = (int(code) for code in encode(codon))
        table[(first * 5 + second) * 5 + third] = True
    return table


class EmissionBuilder:
    """Turns logits and bases of one contig into rows for the kernels.

    Args:
        plan: which track speaks for what.
        machine: the gene machine.
        tracks: the contig's logits.
        bases: the contig's sequence.
        length: bases of the contig.
    """

    def __init__(
        self, plan: EvidencePlan, machine: StateMachine, tracks: LogitSource, bases: BaseSource, length: int
    ) -> None:
        self._plan = plan
        self._parameters = machine.parameters
        self._tracks = tracks
        self._bases = bases
        self._length = length
        self._sites = _site_tables(plan, machine)
        self._columns = REGION_COLUMNS if machine.noncoding else CODING_COLUMNS
        sources, base_costs, n_costs = _region_tables(plan, machine.parameters)
        self._sources, self._base_costs = sources[: self._columns], base_costs[: self._columns]
        self._n_costs = n_costs[: self._columns]
        spans = (self._sites.donor_span, self._sites.acceptor_span, self._sites.start_span, self._sites.stop_span)
        reach = max(int(np.abs(span).max()) for span in spans) + 4
        self._margin = max(reach, machine.parameters.contrast_bases, CODES_MARGIN)
        self._coded = (
            _CodedPlan.of(plan, machine.parameters, self._sources, self._base_costs)
            if isinstance(tracks, CodeSource)
            else None
        )

    def codes(self, start: int, end: int) -> NDArray[np.uint8]:
        """Base codes of an interval of the contig."""
        return self._bases.codes(start, end)

    def rows(self, start: int, end: int, first: int, last: int) -> Rows:
        """Rows for boundaries start to end of the piece first to last; with its last boundary if end is last."""
        boundaries = end - start + (1 if end == last else 0)
        codes = np.full(end - start + 2 * self._margin, N, dtype=np.uint8)
        self._copy(codes[None], start - self._margin, lambda low, high: self._bases.codes(low, high)[None])
        region = np.empty((boundaries, self._columns), dtype=np.float32)
        region[end - start :] = 0  # no base lies right of the last boundary
        sites = np.zeros((boundaries, SITE_COLUMNS), dtype=np.float32)  # written where the mask says so
        mask = np.empty(boundaries, dtype=np.uint32)
        size = min(_PART_BASES, end - start) + 2 * self._margin
        evidence = np.empty((self._plan.rows, size), dtype=np.float32)
        fill = self._filler(size)
        p = self._parameters
        for low in range(start, end, _PART_BASES):
            high = min(low + _PART_BASES, end)
            width = high - low + 2 * self._margin
            part = slice(low - start, boundaries if high == end else high - start)
            inside = codes[low - start : low - start + width]
            fill(low - self._margin, inside, evidence[:, :width], region[low - start : high - start])
            _fill_sites(evidence, inside, self._margin, low, first, last, self._sites, sites[part], mask[part])
        return Rows(
            start=start,
            region=region,
            sites=sites,
            mask=mask,
            codes=codes[self._margin - CODES_MARGIN :][: boundaries + 2 * CODES_MARGIN],
            first=first,
            last=last,
            min_intron=p.min_intron,
            min_exon=p.min_cds_exon,
        )

    def _filler(self, size: int) -> Callable[[int, NDArray[np.uint8], FloatArray, FloatArray], None]:
        """What fills evidence and region scores of a part whose first column is base `start`, with room for `size`."""
        p, tracks, coded = self._parameters, self._tracks, self._coded
        if coded is not None and isinstance(tracks, CodeSource):
            stored = np.empty((len(coded.tracks), size), dtype=np.uint8)

            def fill_from_codes(start: int, codes: NDArray[np.uint8], evidence: FloatArray, region: FloatArray) -> None:
                values = stored[:, : codes.size]
                values.fill(UNKNOWN_CODE)
                self._copy(values, start, lambda low, high: tracks.quantised(low, high, coded.tracks))
                coded.fill_evidence(values, evidence)
                _fill_coded_regions(
                    values,
                    codes,
                    self._margin,
                    coded.columns,
                    coded.parts,
                    coded.tables,
                    self._base_costs + self._n_costs,
                    region,
                )

            return fill_from_codes
        logits = np.empty((len(self._plan.tracks), size), dtype=np.float32)

        def fill_from_logits(start: int, codes: NDArray[np.uint8], evidence: FloatArray, region: FloatArray) -> None:
            values = logits[:, : codes.size]
            values.fill(0)
            self._copy(values, start, tracks.logits)
            self._plan.fill_evidence(values, evidence)
            _fill_regions(
                evidence,
                codes,
                self._margin,
                self._sources,
                self._base_costs,
                self._n_costs,
                _LOG_SIGMOID,
                p.region_weight,
                p.region_floor,
                region,
            )

        return fill_from_logits

    def _copy(self, target: NDArray[np.generic], start: int, source: Callable[[int, int], NDArray[np.generic]]) -> None:
        """Copy from a source what lies in the contig of the columns of a target, whose first is base `start`."""
        low, high = max(0, start), min(self._length, start + target.shape[1])
        target[:, low - start : high - start] = source(low, high)


@dataclass(frozen=True)
class _CodedPlan:
    """How region scores and the evidence of sites are read from 8-bit codes.

    Attributes:
        tracks: rows of the tracks that are used, in the order in which their codes are given.
        columns, parts, tables: see _fill_coded_regions.
        evidence: by row of evidence that sites use: its parts as (row of codes, logits of all codes).
    """

    tracks: tuple[int, ...]
    columns: NDArray[np.int64]
    parts: NDArray[np.int64]
    tables: FloatArray
    evidence: tuple[tuple[int, tuple[tuple[int, FloatArray], ...]], ...]

    @classmethod
    def of(
        cls, plan: EvidencePlan, parameters: GeneParameters, sources: NDArray[np.int64], base_costs: FloatArray
    ) -> _CodedPlan | None:
        """The plan; None where something is no minimum of tracks, or where weights turn the order round."""
        wanted = sorted({*sources[sources >= 0].tolist(), *plan.site_rows})
        parts_of = {row: parts for row in wanted if (parts := plan.parts(row)) is not None}
        if len(parts_of) < len(wanted) or parameters.region_weight < 0:
            return None
        tracks = tuple(sorted({track for parts in parts_of.values() for track, _ in parts}))
        place = {track: number for number, track in enumerate(tracks)}
        logits = plan.logits_of_all_codes()

        def evidence_of(part: tuple[int, bool]) -> FloatArray:
            values: FloatArray = logits[part[0]]
            return -values if part[1] else values

        columns = [0]
        parts_in_order: list[int] = []
        tables: list[FloatArray] = []
        for cost, row in zip(base_costs, sources.tolist(), strict=True):
            for part in parts_of.get(row, ()):
                parts_in_order.append(place[part[0]])
                tables.append(_scores_of(evidence_of(part), float(cost), parameters))
            columns.append(len(tables))
        evidence = tuple(
            (row, tuple((place[part[0]], evidence_of(part)) for part in parts_of[row])) for row in plan.site_rows
        )
        return cls(tracks, np.array(columns), np.array(parts_in_order), np.stack(tables), evidence)

    def fill_evidence(self, values: NDArray[np.uint8], result: FloatArray) -> None:
        """Rows of evidence that sites use, of the codes of the tracks; other rows are left as they are."""
        for row, ((first, table), *others) in self.evidence:
            _look_up(values[first], table, result[row])
            for number, other in others:
                _look_up_lower(values[number], other, result[row])


def _scores_of(evidence: FloatArray, base_cost: float, parameters: GeneParameters) -> FloatArray:
    """Scores of a base in a region with each of some logits."""
    scores = np.empty((evidence.size, 1), dtype=np.float32)
    _fill_regions(
        evidence[None],
        np.zeros(evidence.size, dtype=np.uint8),
        0,
        np.zeros(1, dtype=np.int64),
        np.array([base_cost], dtype=np.float32),
        np.zeros(1, dtype=np.float32),
        _LOG_SIGMOID,
        parameters.region_weight,
        parameters.region_floor,
        scores,
    )
    return scores[:, 0]


def _log_sigmoid_table() -> FloatArray:
    steps = 2 * 2 * int(LOGIT_LIMIT) * _TABLE_STEPS
    logits = np.arange(steps + 2) / _TABLE_STEPS - 2 * LOGIT_LIMIT
    return (-np.logaddexp(0.0, -logits)).astype(np.float32)


_LOG_SIGMOID = _log_sigmoid_table()


def _region_tables(
    plan: EvidencePlan, parameters: GeneParameters
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """By column of the emission array: row of evidence (-1: none), cost of a base, cost of an unknown base."""
    sources = np.full(REGION_COLUMNS, -1)
    costs = np.zeros(REGION_COLUMNS, dtype=np.float32)
    unknown = np.zeros(REGION_COLUMNS, dtype=np.float32)
    sources[INTERGENIC_COLUMN] = plan.intergenic
    for strand, rows in enumerate(plan.strands):
        left, right = (rows.five, rows.three) if strand == 0 else (rows.three, rows.five)
        by_region = {
            Region.LEFT_UTR: left,
            Region.RIGHT_UTR: right,
            Region.CDS_0: rows.frames[0],
            Region.CDS_1: rows.frames[1],
            Region.CDS_2: rows.frames[2],
            Region.INTRON: rows.intron,
            Region.NC_EXON: rows.nc_exon,
            Region.NC_INTRON: rows.nc_intron,
        }
        for region, row in by_region.items():
            sources[column(strand, region)] = row
        for region in (Region.INTRON, Region.NC_INTRON):
            costs[column(strand, region)] = parameters.intron_base_cost
        for region in (Region.CDS_0, Region.CDS_1, Region.CDS_2):
            costs[column(strand, region)] = parameters.cds_base_cost
            unknown[column(strand, region)] = parameters.n_in_exon
        for region in (Region.LEFT_UTR, Region.RIGHT_UTR, Region.NC_EXON):
            unknown[column(strand, region)] = parameters.n_in_exon
    return sources, costs, unknown


def _site_tables(plan: EvidencePlan, machine: StateMachine) -> SiteTables:
    p = machine.parameters
    plus, minus = plan.strands
    backward = tuple(machine.reversed(codon) for codon in p.start_codons)
    return SiteTables(
        donor=np.array([plus.donor, minus.donor]),
        acceptor=np.array([plus.acceptor, minus.acceptor]),
        start=np.array([plus.start, minus.start]),
        stop=np.array([plus.stop, minus.stop]),
        exon=np.array([plus.exon, minus.exon]),
        cds=np.array([plus.cds, minus.cds]),
        donor_span=np.array(p.donor_span),
        acceptor_span=np.array(p.acceptor_span),
        start_span=np.array(p.start_span),
        stop_span=np.array(p.stop_span),
        donor_score=p.donor,
        acceptor_score=p.acceptor,
        start_score=p.start,
        stop_score=p.stop,
        gc_donor=p.gc_donor,
        at_ac=p.at_ac,
        floor=p.site_floor,
        minimum=p.site_minimum,
        contrast_bases=p.contrast_bases,
        contrast_weight=p.contrast_weight,
        enters=np.stack([_codon_table(p.start_codons), _codon_table(machine.refused[1])]),
        leaves=np.stack([_codon_table(machine.refused[0]), _codon_table(backward)]),
        refused=np.stack([_codon_table(machine.refused[0]), _codon_table(machine.refused[1])]),
    )


@compiled
def _scale_tracks(logits: FloatArray, factors: FloatArray, biases: FloatArray, result: FloatArray) -> None:
    """Clipped and calibrated logits in the first rows of the evidence; unknown ones become 0."""
    for row in range(logits.shape[0]):
        for base in range(logits.shape[1]):
            logit = logits[row, base]
            if np.isnan(logit):
                logit = 0.0
            result[row, base] = (min(max(logit, -LOGIT_LIMIT), LOGIT_LIMIT) - biases[row]) * factors[row]


@compiled
def _fill_regions(
    evidence: FloatArray,
    codes: NDArray[np.uint8],
    margin: int,
    sources: NDArray[np.int64],
    base_costs: FloatArray,
    n_costs: FloatArray,
    log_sigmoid: FloatArray,
    weight: float,
    floor: float,
    region: FloatArray,
) -> None:
    """Weighted log probabilities of each base in each region, read from a table with linear interpolation."""
    zero = float(log_sigmoid.size - 2) / 2
    for i in range(region.shape[0]):
        j = i + margin
        unknown = codes[j] == N
        for kind in range(sources.size):
            if unknown:
                region[i, kind] = base_costs[kind] + n_costs[kind]
            elif sources[kind] >= 0:
                place = evidence[sources[kind], j] * _TABLE_STEPS + zero
                place = min(max(place, 0.0), 2 * zero)
                step = int(place)
                value = log_sigmoid[step] + (place - step) * (log_sigmoid[step + 1] - log_sigmoid[step])
                region[i, kind] = weight * max(value, floor) + base_costs[kind]
            else:
                region[i, kind] = 0.0


@compiled
def _fill_coded_regions(
    values: NDArray[np.uint8],
    codes: NDArray[np.uint8],
    margin: int,
    columns: NDArray[np.int64],
    parts: NDArray[np.int64],
    tables: FloatArray,
    unknown: FloatArray,
    region: FloatArray,
) -> None:
    """The same from codes: the lowest of the parts' scores, each read from its table.

    Args:
        values: (tracks, bases and margins) codes of tracks.
        codes: bases and margins.
        margin: on each side.
        columns: (columns + 1,) where the parts of a column begin.
        parts: (parts,) rows of `values`.
        tables: (parts, 256) scores.
        unknown: (columns,) scores of N.
        region: (bases, columns) to be filled.
    """
    for low in range(0, region.shape[0], _TILE_BASES):
        high = min(low + _TILE_BASES, region.shape[0])
        for kind in range(columns.size - 1):
            begun = columns[kind]
            if begun == columns[kind + 1]:
                for i in range(low, high):
                    region[i, kind] = 0.0
                continue
            for i in range(low, high):
                region[i, kind] = tables[begun, values[parts[begun], i + margin]]
            for part in range(begun + 1, columns[kind + 1]):
                for i in range(low, high):
                    region[i, kind] = min(region[i, kind], tables[part, values[parts[part], i + margin]])
        for i in range(low, high):
            if codes[i + margin] == N:
                for kind in range(unknown.size):
                    region[i, kind] = unknown[kind]


@compiled
def _marked(evidence: FloatArray, row: int, base: int, direction: int, span: NDArray[np.int64]) -> float:
    """The highest logit among the bases a site may be marked on."""
    best = -np.inf
    for offset in range(span[0], span[1] + 1):
        best = max(best, evidence[row, base + direction * offset])
    return best


@compiled
def _vote(evidence: FloatArray, row: int, boundary: int, direction: int, bases: int, weight: float) -> float:
    """Logit of a border from its two sides: inside on the right and outside on the left (direction -1: turned round).

    The lower of the mean logit inside and the negated mean logit outside, so that it is high only where both agree.
    """
    right = left = 0.0
    for offset in range(bases):
        right += evidence[row, boundary + offset]
        left += evidence[row, boundary - 1 - offset]
    inside, outside = (right, left) if direction > 0 else (left, right)
    return weight * min(inside, -outside) / bases


@compiled
def _fill_sites(
    evidence: FloatArray,
    codes: NDArray[np.uint8],
    margin: int,
    start: int,
    first: int,
    last: int,
    t: SiteTables,
    sites: FloatArray,
    mask: NDArray[np.uint32],
) -> None:
    """Scores of all sites, and which boundaries have one."""
    for i in range(mask.size):
        j = i + margin
        boundary = start + i
        right, left = codes[j] * 5 + codes[j + 1], codes[j - 2] * 5 + codes[j - 1]
        following = right * 5 + codes[j + 2]
        preceding = (codes[j - 3] * 5 + codes[j - 2]) * 5 + codes[j - 1]
        bits = 0
        for strand in range(2):
            shift = strand * _SITES
            opens = _OPENS[strand, right] if boundary > first else 0
            if opens:
                if strand == 0:
                    row, base, direction, span, score = t.donor[0], j, 1, t.donor_span, t.donor_score
                    score += t.gc_donor if opens == _GC else t.at_ac if opens == _MINOR else 0.0
                else:
                    row, base, direction, span, score = t.acceptor[1], j - 1, -1, t.acceptor_span, t.acceptor_score
                logit = (
                    _marked(evidence, row, base, direction, span)
                    if row >= 0
                    else _vote(evidence, t.exon[strand], j, -1, t.contrast_bases, t.contrast_weight)
                )
                if logit >= t.minimum:
                    site = shift + (_OPEN_MINOR if opens == _MINOR else _OPEN_MAJOR)
                    sites[i, site] = max(logit, t.floor) + score
                    bits |= 1 << site
            closes = _CLOSES[strand, left] if boundary < last else 0
            if closes:
                if strand == 0:
                    row, base, direction, span, score = t.acceptor[0], j, 1, t.acceptor_span, t.acceptor_score
                else:
                    row, base, direction, span, score = t.donor[1], j - 1, -1, t.donor_span, t.donor_score
                    score += t.gc_donor if closes == _GC else t.at_ac if closes == _MINOR else 0.0
                logit = (
                    _marked(evidence, row, base, direction, span)
                    if row >= 0
                    else _vote(evidence, t.exon[strand], j, 1, t.contrast_bases, t.contrast_weight)
                )
                if logit >= t.minimum:
                    site = shift + (_CLOSE_MINOR if closes == _MINOR else _CLOSE_MAJOR)
                    sites[i, site] = max(logit, t.floor) + score
                    bits |= 1 << site
            if t.enters[strand, following]:
                if strand == 0:
                    row, base, direction, span, score = t.start[0], j, 1, t.start_span, t.start_score
                else:
                    row, base, direction, span, score = t.stop[1], j + 2, -1, t.stop_span, t.stop_score
                logit = (
                    _marked(evidence, row, base, direction, span)
                    if row >= 0
                    else _vote(evidence, t.cds[strand], j, 1, t.contrast_bases, t.contrast_weight)
                )
                sites[i, shift + _ENTER] = max(logit, t.floor) + score
                bits |= 1 << (shift + _ENTER)
            if t.leaves[strand, preceding]:
                if strand == 0:
                    row, base, direction, span, score = t.stop[0], j - 3, 1, t.stop_span, t.stop_score
                else:
                    row, base, direction, span, score = t.start[1], j - 1, -1, t.start_span, t.start_score
                logit = (
                    _marked(evidence, row, base, direction, span)
                    if row >= 0
                    else _vote(evidence, t.cds[strand], j, -1, t.contrast_bases, t.contrast_weight)
                )
                sites[i, shift + _LEAVE] = max(logit, t.floor) + score
                bits |= 1 << (shift + _LEAVE)
            if t.refused[strand, preceding]:
                bits |= 1 << (REFUSED_BIT + strand)
        mask[i] = bits
