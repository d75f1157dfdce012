"""Labels of a genome as intervals: present and masked bases of every track, painted on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from segnt_tools.elements import Strand, Track
from segnt_tools.labels.annotation import Annotation
from segnt_tools.labels.genic import CODING_SPAN
from segnt_tools.labels.regulatory import POOLS, Regulatory
from segnt_tools.labels.rules import LabelRules
from segnt_tools.sequence.intervals import EMPTY, Intervals, clip, intersect, length, subtract, union

ABSENT, PRESENT, MASKED = 0, 1, 255

# Elements that do not tell strands apart, whatever the tracks do.
STRANDLESS = frozenset(
    ("CTCF-bound", *(f"{pool}_Tissue_{kind}" for pool in POOLS for kind in ("specific", "invariant")))
)
_UNKNOWN_BESIDE_CODING = frozenset(("protein_coding_gene", "exon", "intron", "splice_donor", "splice_acceptor"))
_UTRS = frozenset(("5UTR", "3UTR"))
_GENIC = frozenset(
    ("protein_coding_gene", "exon", "intron", "splice_donor", "splice_acceptor", "5UTR", "3UTR", "CDS",
     "CDS_frame_0", "CDS_frame_1", "CDS_frame_2", "start_codon", "stop_codon")
)  # fmt: skip
_ALL_STRANDS = (Strand.PLUS, Strand.MINUS, Strand.NONE)


@dataclass(frozen=True, slots=True)
class TrackLabels:
    """Bases of one track on one contig; all others are absent.

    Attributes:
        present: the element is there.
        masked: unknown; disjoint from `present`.
    """

    present: Intervals
    masked: Intervals


@dataclass(slots=True)
class LabelSources:
    """All that labels are made from.

    Attributes:
        annotations: files of genes or polyA signals.
        regulatory: BED files and their like.
        gaps: runs of N of each contig.
    """

    annotations: list[Annotation] = field(default_factory=list)
    regulatory: Regulatory = field(default_factory=Regulatory)
    gaps: dict[str, Intervals] = field(default_factory=dict)


class LabelSet:
    """Labels of every track on every contig.

    What a source cannot know is masked: elements that no source speaks of, contigs that it does not mention, UTRs (and
    what may lie beside the coding span) where the annotation has coding parts only, tissue classes without a DHS index,
    runs of N. What is known to be present stays present.

    Args:
        tracks: the tracks wanted.
        lengths: contigs of the genome.
        sources: files taken in.
        rules: the options.
    """

    def __init__(
        self, tracks: Sequence[Track], lengths: Mapping[str, int], sources: LabelSources, rules: LabelRules
    ) -> None:
        self.tracks = tuple(tracks)
        self.lengths = dict(lengths)
        self._sources = sources
        self._rules = rules
        gene_files = [annotation for annotation in sources.annotations if annotation.has_genes]
        self._gene_contigs = set().union(*(annotation.contigs for annotation in gene_files))
        self.knows_utrs = any(annotation.knows_utrs for annotation in gene_files)
        self.knows_lncrna = any(annotation.counts.lncrna for annotation in gene_files)

    @property
    def named_by_sources(self) -> set[str]:
        """Elements that files name themselves: BED files, registries, element calls."""
        return set(self._sources.regulatory.known).union(*(a.called for a in self._sources.annotations))

    def track(self, contig: str, track: Track) -> TrackLabels:
        """Present and masked bases of one track on one contig."""
        size = self.lengths[contig]
        whole = np.array([[0, size]], dtype=np.int64)
        present = intersect(self._present(contig, track), whole)
        masked = union(np.concatenate((self._masked(contig, track, whole), self._sources.gaps.get(contig, EMPTY))))
        return TrackLabels(present, subtract(intersect(masked, whole), present))

    def paint(self, contig: str, start: int, end: int) -> NDArray[np.uint8]:
        """Labels of contig[start:end], shape (tracks, bases): 0 absent, 1 present, 255 masked."""
        return paint_labels([self.track(contig, track) for track in self.tracks], start, end)

    def _strands(self, track: Track) -> tuple[Strand, ...]:
        return _ALL_STRANDS if track.strand is Strand.NONE else (track.strand,)

    def _present(self, contig: str, track: Track) -> Intervals:
        strands = self._strands(track)
        parts = [a.collector.intervals(contig, track.element, strands) for a in self._sources.annotations]
        parts.append(self._sources.regulatory.collector.intervals(contig, track.element, strands))
        if (divided := self._divided(contig, track.element)) is not None:
            parts.append(divided)
        return union(np.concatenate(parts))

    def _divided(self, contig: str, element: str) -> Intervals | None:
        """Intervals that the DHS index assigns to a tissue class."""
        pool, _, kind = element.partition("_Tissue_")
        regulatory = self._sources.regulatory
        if pool not in POOLS or not kind or not regulatory.divides:
            return None
        invariant, specific = regulatory.divide(contig, pool)
        return invariant if kind == "invariant" else specific

    def _masked(self, contig: str, track: Track, whole: Intervals) -> Intervals:
        if not self._is_known(contig, track.element):
            return whole
        strands = self._strands(track)
        parts = [a.masks.intervals(contig, track.element, strands) for a in self._sources.annotations]
        if track.strand is not Strand.NONE:  # a feature of unknown strand may be on either
            unknown = (Strand.NONE,)
            parts += [a.collector.intervals(contig, track.element, unknown) for a in self._sources.annotations]
            parts += [a.masks.intervals(contig, track.element, unknown) for a in self._sources.annotations]
        if not self.knows_utrs and track.element in _UNKNOWN_BESIDE_CODING:
            parts += [
                self._beside(a.collector.intervals(contig, CODING_SPAN, strands)) for a in self._sources.annotations
            ]
        pool = track.element.partition("_Tissue_")[0]
        if pool in POOLS and not self._sources.regulatory.divides:
            parts.append(self._sources.regulatory.collector.intervals(contig, pool, _ALL_STRANDS))
        return union(np.concatenate(parts)) if parts else EMPTY

    def _beside(self, spans: Intervals) -> Intervals:
        """Where unknown UTRs may lie."""
        flank = self._rules.unknown_flank
        sides = np.concatenate(
            (np.stack((spans[:, 0] - flank, spans[:, 0]), axis=1), np.stack((spans[:, 1], spans[:, 1] + flank), axis=1))
        )
        return subtract(union(np.maximum(sides, 0)), spans)

    def _is_known(self, contig: str, element: str) -> bool:
        known = self._sources.regulatory.known
        pool = element.partition("_Tissue_")[0]
        if contig in known.get(element, ()) or (pool in POOLS and contig in known.get(pool, ())):
            return True
        if any(element in a.called and contig in a.contigs for a in self._sources.annotations):
            return True
        if element in _GENIC or element == "lncRNA":
            if element in _UTRS and not self.knows_utrs:
                return False
            return contig in self._gene_contigs and (element != "lncRNA" or self.knows_lncrna)
        return False


def paint_labels(labels: Sequence[TrackLabels], start: int, end: int) -> NDArray[np.uint8]:
    """Labels of [start, end) of a contig, shape (tracks, bases), from the tracks' intervals on it."""
    rows = np.zeros((len(labels), end - start), dtype=np.uint8)
    for row, track in zip(rows, labels, strict=True):
        for intervals, value in ((track.masked, MASKED), (track.present, PRESENT)):
            for left, right in (clip(intervals, start, end) - start).tolist():
                row[left:right] = value
    return rows


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """Size of one track over the genome.

    Attributes:
        bases: bases present.
        intervals: stretches of them.
        masked: bases masked.
    """

    track: str
    bases: int
    intervals: int
    masked: int


def summarise(labels: LabelSet) -> list[TrackSummary]:
    """Size of every track."""
    result = []
    for track in labels.tracks:
        parts = [labels.track(contig, track) for contig in labels.lengths]
        result.append(
            TrackSummary(
                track.name,
                sum(length(part.present) for part in parts),
                sum(len(part.present) for part in parts),
                sum(length(part.masked) for part in parts),
            )
        )
    return result
