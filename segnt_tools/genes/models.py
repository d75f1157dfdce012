"""From the segments of a path to gene models with posterior scores.

Scores (column 6), all from sums over every path of the machine at the card's `score_temperature`, taken through the
card's `score_map` (scores.py), which makes them the shares of features that are right:

    CDS part    probability of this coding part: both ends and the frame
    exon        probability of the whole exon with its inner ends and its coding part; where an exon ends in a UTR's
                outer end, that end is free, because transcripts begin and end at no sharp place
    mRNA        probability of the whole chain of coding parts; lnc_RNA: of the chain of exons, outer ends free
    gene        mean over its coding (lncRNA: exonic) bases of the probability that a base is coding on that strand
                and in that frame, sampled in the middle of each part; at least the mRNA's
    lncRNAs     have no map: their scores are the posteriors
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from segnt_tools.elements import Strand
from segnt_tools.genes.decoding import Segment, SegmentSums, is_exonic
from segnt_tools.genes.scores import IDENTITY, mapped
from segnt_tools.genes.states import STRANDS, Kind, State, StateMachine
from segnt_tools.gff.genemodel import Gene, Interval, Transcript


@dataclass(slots=True)
class Dropped:
    """How many models were decoded and not reported, and why.

    Attributes:
        short_cds: coding sequence below `min_cds` (or `min_partial_cds`).
        short_lncrna: lncRNA below `min_lncrna`.
        no_cds: remains of a gene at a contig's end without any coding part.
        low_score: below the score asked for.
    """

    short_cds: int = 0
    short_lncrna: int = 0
    no_cds: int = 0
    low_score: int = 0

    def add(self, other: Dropped) -> None:
        """Add the counts of another contig."""
        self.short_cds += other.short_cds
        self.short_lncrna += other.short_lncrna
        self.no_cds += other.no_cds
        self.low_score += other.low_score


@dataclass(frozen=True, slots=True)
class PathGene:
    """A stretch of a path that is one gene: its exonic segments.

    Attributes:
        segments: exonic segments from left to right.
        cut_left, cut_right: the piece's end cuts the gene there.
    """

    segments: tuple[Segment, ...]
    cut_left: bool
    cut_right: bool


@dataclass
class GeneBuilder:
    """Builds the gene models of a piece.

    Attributes:
        machine: the gene machine.
        contig: name of the contig.
        factor: inverse temperature of the sums.
        min_score: genes with a lower score are dropped.
        strand_known: whether single-exon lncRNAs have a strand (tracks tell strands apart).
        dropped: counts of what is not reported.
    """

    machine: StateMachine
    contig: str
    factor: float = 1.0
    min_score: float = 0.0
    strand_known: bool = True
    dropped: Dropped = field(default_factory=Dropped)

    def path_genes(self, segments: Sequence[Segment]) -> Iterator[PathGene]:
        """Genes of a path that are long enough to be reported; between any two lies an intergenic segment."""
        for intergenic, parts in groupby(segments, lambda part: self._state(part).kind is Kind.INTERGENIC):
            if not intergenic:
                begun = tuple(parts)
                exonic = tuple(part for part in begun if is_exonic(self._state(part).kind))
                gene = PathGene(exonic, begun[0].cut_left, begun[-1].cut_right)
                if self._is_reported(gene):
                    yield gene

    def build(self, gene: PathGene, sums: Sequence[SegmentSums]) -> Gene | None:
        """The model of a gene with the sums of its segments; None if its score is too low."""
        state = self._state(gene.segments[0])
        coding = [i for i, part in enumerate(gene.segments) if self._state(part).kind is Kind.CDS]
        chain = (coding[0], coding[-1]) if coding else (0, len(gene.segments) - 1)
        maps = self.machine.parameters.score_map if coding else {}

        def honest(kind: str, probability: float) -> float:
            return mapped(maps.get(kind, IDENTITY), probability)

        score = honest("mRNA", self._chain_score(gene, sums, *chain))
        mean_score = self._mean_score(gene, sums, coding or list(range(len(gene.segments))))
        gene_score = max(score, honest("gene", mean_score))
        if gene_score < self.min_score:
            self.dropped.low_score += 1
            return None
        exons = self._without_slivers(gene, list(self._exons(gene)), coding)
        strand = STRANDS[state.strand]
        if not coding and len(exons) == 1 and not self.strand_known:
            strand = Strand.NONE
        cut_5, cut_3 = (
            (gene.cut_left, gene.cut_right) if strand is not Strand.MINUS else (gene.cut_right, gene.cut_left)
        )
        cds = tuple((gene.segments[i].start, gene.segments[i].end) for i in coding)
        transcript = Transcript(
            id="transcript",
            strand=strand,
            exons=tuple(interval for interval, _, _ in exons),
            cds=cds,
            type="mRNA" if coding else "lnc_RNA",
            cds_phase=self._phase(gene, coding) if coding else 0,
            partial_5=cut_5,
            partial_3=cut_3,
            score=score,
            exon_scores=tuple(honest("exon", self._chain_score(gene, sums, first, last)) for _, first, last in exons),
            cds_scores=tuple(honest("CDS", _probability(sums[i].entered + sums[i].left)) for i in coding),
        )
        kind = "gene" if coding else "lncRNA_gene"
        return Gene("gene", self.contig, strand, (transcript,), type=kind, score=gene_score)

    def _state(self, segment: Segment) -> State:
        return self.machine.states[segment.state]

    def _is_reported(self, gene: PathGene) -> bool:
        p = self.machine.parameters
        if not gene.segments:
            self.dropped.no_cds += 1
            return False
        kinds = {self._state(part).kind for part in gene.segments}
        if Kind.NC_EXON in kinds:
            if sum(part.end - part.start for part in gene.segments) < p.min_lncrna:
                self.dropped.short_lncrna += 1
                return False
            return True
        length = sum(part.end - part.start for part in gene.segments if self._state(part).kind is Kind.CDS)
        if not length:
            self.dropped.no_cds += 1
            return False
        if length < (p.min_partial_cds if gene.cut_left or gene.cut_right else p.min_cds):
            self.dropped.short_cds += 1
            return False
        return True

    def _exons(self, gene: PathGene) -> Iterator[tuple[Interval, int, int]]:
        """Exons with their first and last segment."""
        first = 0
        for number, part in enumerate(gene.segments):
            last = number + 1 == len(gene.segments)
            if last or gene.segments[number + 1].start > part.end:
                yield (gene.segments[first].start, part.end), first, number
                first = number + 1

    def _without_slivers(
        self, gene: PathGene, exons: list[tuple[Interval, int, int]], coding: Sequence[int]
    ) -> list[tuple[Interval, int, int]]:
        """Exons without outer UTR exons too short to believe: no sharp transcript end vouches for them."""
        shortest = self.machine.parameters.min_utr_exon

        def sliver(exon: tuple[Interval, int, int], cut: bool) -> bool:
            (start, end), first, last = exon
            return bool(coding) and not cut and end - start < shortest and not any(first <= i <= last for i in coding)

        while sliver(exons[0], gene.cut_left):
            exons = exons[1:]
        while sliver(exons[-1], gene.cut_right):
            exons = exons[:-1]
        return exons

    def _phase(self, gene: PathGene, coding: Sequence[int]) -> int:
        """Bases before the first whole codon at the 5' end of the CDS."""
        if self._state(gene.segments[coding[0]]).strand == 0:
            part = gene.segments[coding[0]]
            return (self._state(part).frame - part.start) % 3
        part = gene.segments[coding[-1]]
        return (part.end - self._state(part).frame) % 3

    def _chain_score(self, gene: PathGene, sums: Sequence[SegmentSums], first: int, last: int) -> float:
        """Posterior of a chain of segments; a UTR or lncRNA end that is the transcript's own end is free."""
        parts = gene.segments
        free_left = first == 0 and self._state(parts[0]).kind is not Kind.CDS
        free_right = last == len(parts) - 1 and self._state(parts[last]).kind is not Kind.CDS
        if free_left and free_right and first == last:
            return _probability(sums[first].middle)
        before = sums[first].present_end if free_left else sums[first].entered
        after = sums[last].present_begin if free_right else sums[last].left
        return _probability(before + (parts[last].score - parts[first].score) * self.factor + after)

    def _mean_score(self, gene: PathGene, sums: Sequence[SegmentSums], which: Sequence[int]) -> float:
        lengths = [gene.segments[i].end - gene.segments[i].start for i in which]
        scores = [max(_probability(sums[i].middle), _probability(sums[i].entered + sums[i].left)) for i in which]
        return sum(length * score for length, score in zip(lengths, scores, strict=True)) / sum(lengths)


def _probability(log: float) -> float:
    return min(1.0, math.exp(min(log, 0.0)))
