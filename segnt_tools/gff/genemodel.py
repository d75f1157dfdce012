"""Gene models in memory: gene > transcript > exon and CDS, with 0-based half-open coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from segnt_tools.elements import Strand

Interval = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Transcript:
    """One transcript of a gene.

    Attributes:
        id: identifier, unique in a file.
        strand: strand it is transcribed from.
        exons: exons as 0-based half-open intervals, ascending by coordinate whatever the strand.
        cds: coding parts of the exons, ascending, stop codon included; empty for non-coding transcripts.
        type: Sequence Ontology term (`mRNA`, `lnc_RNA`, ...).
        cds_phase: bases to skip at the 5' end of the first coding part to reach a codon's first base (0 if complete).
        partial_5: the 5' end (in the direction of the strand) is beyond the contig's end or a gap.
        partial_3: likewise for the 3' end.
        score: probability that the transcript is right, or None.
        exon_scores: score of each exon, in the order of `exons`; empty if unknown.
        cds_scores: score of each coding part, in the order of `cds`; empty if unknown.
        attributes: further attributes of column 9, kept as given.
    """

    id: str
    strand: Strand
    exons: tuple[Interval, ...]
    cds: tuple[Interval, ...] = ()
    type: str = "mRNA"
    cds_phase: int = 0
    partial_5: bool = False
    partial_3: bool = False
    score: float | None = None
    exon_scores: tuple[float, ...] = ()
    cds_scores: tuple[float, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def start(self) -> int:
        """First base of the leftmost exon, 0-based."""
        return self.exons[0][0]

    @property
    def end(self) -> int:
        """End (exclusive) of the rightmost exon."""
        return self.exons[-1][1]

    @property
    def introns(self) -> tuple[Interval, ...]:
        """Gaps between exons, ascending."""
        return tuple((left[1], right[0]) for left, right in zip(self.exons, self.exons[1:], strict=False))

    @property
    def coding_length(self) -> int:
        """Bases of the coding sequence."""
        return sum(end - start for start, end in self.cds)


@dataclass(frozen=True, slots=True)
class Gene:
    """A gene with its transcripts.

    Attributes:
        id: identifier, unique in a file.
        contig: name of the contig it lies on.
        strand: strand.
        transcripts: its transcripts, at least one.
        type: Sequence Ontology term (`gene`, `lncRNA_gene`, `pseudogene`, ...).
        source: column 2 of GFF3: who made it.
        score: probability that the gene is right, or None.
        attributes: further attributes of column 9, kept as given.
    """

    id: str
    contig: str
    strand: Strand
    transcripts: tuple[Transcript, ...]
    type: str = "gene"
    source: str = "segnt_tools"
    score: float | None = None
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def start(self) -> int:
        """First base of its leftmost transcript, 0-based."""
        return min(transcript.start for transcript in self.transcripts)

    @property
    def end(self) -> int:
        """End (exclusive) of its rightmost transcript."""
        return max(transcript.end for transcript in self.transcripts)
