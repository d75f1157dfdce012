"""Loci worth a look: chosen by score and length or asked for, with the tracks, models and calls that lie in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyBigWig

from segnt_tools.elements import Track
from segnt_tools.errors import UsageError
from segnt_tools.gff.genemodel import Gene
from segnt_tools.report.assembly import AssemblyNumbers
from segnt_tools.report.elements import ElementNumbers
from segnt_tools.report.folder import GAPS, RunFolder, TrackFile, open_text
from segnt_tools.report.genes import GeneNumbers
from segnt_tools.report.intervals import Floats, Integers
from segnt_tools.report.measures import plural
from segnt_tools.sequence.stretches import Stretch

BINS = 560
# Tracks that never reach this are named in one line instead of drawn.
SILENT = 0.1
_MOST_CHOSEN = 150_000
_STRETCH = 1 << 20


@dataclass(frozen=True, slots=True)
class Locus:
    """A place to show.

    Attributes:
        title: short name of the panel.
        reason: why it is shown, as a sentence.
        region: what is shown.
        gene: ID of the gene it was chosen for, if any.
    """

    title: str
    reason: str
    region: Stretch
    gene: str | None = None


@dataclass(frozen=True, slots=True)
class DrawnTrack:
    """Highest probability of a track in each bin; NaN where nothing is known; shape (bins,)."""

    track: Track
    values: Floats

    @property
    def peak(self) -> float:
        """The highest of all."""
        return float(np.nanmax(self.values, initial=0))


@dataclass(frozen=True, slots=True)
class LocusData:
    """All that is drawn of a locus.

    Attributes:
        locus: the place.
        tracks: tracks that reach a visible height.
        silent: names of the others.
        genes: gene models that lie in it.
        existing: likewise of the existing annotation; None if none was given.
        calls: element calls as (starts, ends) on the contig, by element.
        gaps: runs of N, shape (gaps, 2).
    """

    locus: Locus
    tracks: tuple[DrawnTrack, ...]
    silent: tuple[str, ...]
    genes: tuple[Gene, ...]
    existing: tuple[Gene, ...] | None
    calls: dict[str, tuple[Integers, Integers]]
    gaps: Integers


def choose(genes: GeneNumbers | None, elements: ElementNumbers | None, assembly: AssemblyNumbers) -> list[Locus]:
    """Loci that tell most: best, typical and worst-scoring gene and the longest; without genes the best calls."""
    if genes is not None and genes.genes:
        return _distinct(_chosen_genes(genes, assembly), genes, assembly)
    if elements is not None and elements.count:
        return _chosen_calls(elements, assembly)
    if not assembly.contigs:
        return []
    longest = int(np.argmax(np.where(assembly.used, assembly.axis.lengths, -1)))
    end = min(int(assembly.axis.lengths[longest]), 20_000)
    reason = "Nothing was called, so this is the beginning of the longest contig."
    return [Locus("Beginning", reason, Stretch(assembly.axis.names[longest], 0, end))]


def _chosen_genes(genes: GeneNumbers, assembly: AssemblyNumbers) -> Iterator[tuple[str, str, int]]:
    spans = genes.spans.lengths
    scored = np.flatnonzero(np.isfinite(genes.scores))
    if scored.size:
        scores = genes.scores[scored]
        exons = genes.exons_per_gene[scored]
        # Short genes of one exon are easily certain and show little: the best of the usual ones says more.
        usual = max(1, int(np.median(exons)))
        best = scored[np.lexsort((-exons, np.where(exons >= usual, -scores, 1)))[0]]
        what = f"of the genes with {usual} exons or more" if usual > 1 else "of all genes"
        yield "Best gene", f"It has the highest score {what} ({genes.scores[best]:.3f}).", int(best)
        rank = _rank(scores) + _rank(spans[scored]) * 1j
        typical = scored[np.argmin(np.abs(rank - (0.5 + 0.5j)))]
        yield "Typical gene", f"Its score ({genes.scores[typical]:.3f}) and length are near the median.", int(typical)
        worst = scored[np.lexsort((-spans[scored], scores))[0]]
        yield "Worst-scoring gene", f"It has the lowest score of all genes ({genes.scores[worst]:.3f}).", int(worst)
    else:
        typical = np.argmin(np.abs(_rank(spans) - 0.5))
        yield "Typical gene", "Its length is near the median; the genes carry no scores.", int(typical)
        yield "Shortest gene", "It is the shortest; the genes carry no scores.", int(np.argmin(spans))
    longest = int(np.argmax(spans))
    yield "Longest gene", f"It is the longest, {int(spans[longest]):,} bp.", longest


def _rank(values: Floats | Integers) -> Floats:
    """Rank of each value from 0 to 1."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty(values.size)
    ranks[order] = np.linspace(0, 1, values.size) if values.size > 1 else 0.5
    return ranks


def _distinct(chosen: Iterator[tuple[str, str, int]], genes: GeneNumbers, assembly: AssemblyNumbers) -> list[Locus]:
    by_gene: dict[int, tuple[list[str], list[str]]] = {}
    for title, reason, number in chosen:
        titles, reasons = by_gene.setdefault(number, ([], []))
        titles.append(title if not titles else title[0].lower() + title[1:])
        reasons.append(reason)
    loci = []
    for number, (titles, reasons) in by_gene.items():
        gene = genes.genes[number]
        length = int(assembly.axis.lengths[assembly.axis.index[gene.contig]])
        region = surroundings(gene.contig, gene.start, gene.end, length)
        loci.append(Locus(", ".join(titles), " ".join(reasons), region, gene.id))
    return loci


def _chosen_calls(elements: ElementNumbers, assembly: AssemblyNumbers) -> list[Locus]:
    loci: list[Locus] = []
    for calls in sorted(elements.calls, key=lambda one: -one.intervals.count):
        best = int(np.argmax(np.nan_to_num(calls.scores)))
        at = int(calls.intervals.starts[best])
        contig = int(np.searchsorted(assembly.axis.offsets, at, side="right")) - 1
        shift = int(assembly.axis.offsets[contig])
        start, end = at - shift, int(calls.intervals.ends[best]) - shift
        region = surroundings(assembly.axis.names[contig], start, end, int(assembly.axis.lengths[contig]), 3000)
        reason = f"There are no gene models; this is the best-scoring call of {calls.name}."
        if not any(_overlap(region, other.region) for other in loci):
            loci.append(Locus(f"Best {calls.name}", reason, region))
    return loci[:3]


def _overlap(one: Stretch, other: Stretch) -> bool:
    return one.contig == other.contig and one.start < other.end and other.start < one.end


def surroundings(contig: str, start: int, end: int, length: int, least: int = 1000) -> Stretch:
    """An interval with a margin of a fifth of it on both sides, inside its contig and not too long to draw."""
    margin = max(least, (end - start) // 5)
    left, right = max(0, start - margin), min(length, end + margin)
    return Stretch(contig, left, min(right, left + _MOST_CHOSEN))


def asked_for(texts: Sequence[str], lengths: dict[str, int]) -> tuple[list[Locus], list[str]]:
    """Loci of --region, and those texts whose contig this run does not have.

    Raises:
        UsageError: a region leaves its contig or is written wrongly.
    """
    loci, absent = [], []
    for text in texts:
        try:
            region = Stretch.parse(text, lengths)
        except UsageError:
            if text in lengths or text.rpartition(":")[0] in lengths:
                raise
            absent.append(text)
            continue
        loci.append(Locus("Region", "It was asked for with --region.", region))
    return loci, absent


@dataclass
class LocusReader:
    """Reads what lies in loci of one run."""

    run: RunFolder
    assembly: AssemblyNumbers
    genes: GeneNumbers | None
    elements: ElementNumbers | None
    existing: Sequence[Gene] | None

    def read(self, loci: Sequence[Locus], bins: int = BINS) -> list[LocusData]:
        """The data of all loci; every bigWig is opened once."""
        values = self._tracks([locus.region for locus in loci], bins)
        gaps = self._gaps([locus.region for locus in loci])
        return [self._locus(locus, values[i], gaps[i]) for i, locus in enumerate(loci)]

    def _locus(self, locus: Locus, tracks: list[DrawnTrack], gaps: Integers) -> LocusData:
        heard = {one.track.element for one in tracks if one.peak >= SILENT}
        calls = self._calls(locus.region)
        heard |= set(calls)
        silent = dict.fromkeys(one.track.element for one in tracks if one.track.element not in heard)
        return LocusData(
            locus,
            tuple(one for one in tracks if one.track.element in heard),
            tuple(silent),
            tuple(_inside(self.genes.genes if self.genes else (), locus.region)),
            None if self.existing is None else tuple(_inside(self.existing, locus.region)),
            calls,
            gaps,
        )

    def _tracks(self, regions: Sequence[Stretch], bins: int) -> list[list[DrawnTrack]]:
        found: list[list[DrawnTrack]] = [[] for _ in regions]
        for file in self.run.tracks:
            try:
                with pyBigWig.open(str(file.path)) as bigwig:
                    chroms = bigwig.chroms() or {}
                    for i, region in enumerate(regions):
                        if region.contig in chroms:
                            found[i].append(_read_track(bigwig, file, region, bins))
            except (RuntimeError, OSError) as error:
                self.run.notes.append(f"{file.path.name} cannot be read ({error}).")
        return found

    def _calls(self, region: Stretch) -> dict[str, tuple[Integers, Integers]]:
        if self.elements is None:
            return {}
        shift = int(self.assembly.axis.offsets[self.assembly.axis.index[region.contig]])
        found = {}
        for calls in self.elements.calls:
            starts, ends = calls.intervals.starts - shift, calls.intervals.ends - shift
            inside = (starts < region.end) & (ends > region.start)
            if inside.any():
                found[calls.name] = (starts[inside], ends[inside])
        return found

    def _gaps(self, regions: Sequence[Stretch]) -> list[Integers]:
        rows: list[list[tuple[int, int]]] = [[] for _ in regions]
        path = self.run.file(GAPS)
        wanted = {region.contig for region in regions}
        if path is not None:
            with open_text(path) as handle:
                for line in handle:
                    contig, _, rest = line.partition("\t")
                    if contig not in wanted:
                        continue
                    start, end = (int(field) for field in rest.split("\t")[:2])
                    for row, region in zip(rows, regions, strict=True):
                        if region.contig == contig and start < region.end and end > region.start:
                            row.append((max(start, region.start), min(end, region.end)))
        return [np.array(row, dtype=np.int64).reshape(-1, 2) for row in rows]


def _inside(genes: Sequence[Gene], region: Stretch) -> Iterator[Gene]:
    return (
        gene for gene in genes if gene.contig == region.contig and gene.start < region.end and gene.end > region.start
    )


def _read_track(bigwig: pyBigWig.bigWigFile, file: TrackFile, region: Stretch, bins: int) -> DrawnTrack:
    """Highest value in each of the bins, reading a stretch at a time so that whole chromosomes fit into memory."""
    bins = min(bins, region.end - region.start)
    edges = np.linspace(region.start, region.end, bins + 1).astype(np.int64)
    highest = np.full(bins, np.nan)
    per_stretch = max(1, _STRETCH * bins // max(1, region.end - region.start))
    for first in range(0, bins, per_stretch):
        last = min(bins, first + per_stretch)
        values = np.asarray(bigwig.values(region.contig, int(edges[first]), int(edges[last]), numpy=True))
        at = edges[first:last] - edges[first]
        known = np.where(np.isfinite(values), values, -1.0)
        found = np.maximum.reduceat(known, at)
        highest[first:last] = np.where(found < 0, np.nan, found)
    return DrawnTrack(file.track, highest)


def describe(data: LocusData) -> str:
    """What a panel shows, for those who cannot see it."""
    parts = [f"{data.locus.region}: {plural(len(data.genes), 'gene model')}"]
    for gene in data.genes[:6]:
        exons = len(gene.transcripts[0].exons)
        strand = {"+": "plus strand", "-": "minus strand"}.get(gene.strand.value, "no strand")
        parts.append(f"{gene.id}, {gene.start + 1:,} to {gene.end:,}, {strand}, {plural(exons, 'exon')}")
    if data.existing is not None:
        parts.append(f"{plural(len(data.existing), 'gene')} in the existing annotation")
    peaks: dict[str, float] = {}
    for one in data.tracks:
        peaks[one.track.element] = max(peaks.get(one.track.element, 0.0), one.peak)
    if peaks:
        parts.append("highest probability: " + ", ".join(f"{name} {value:.2f}" for name, value in peaks.items()))
    return ". ".join(parts) + "."
