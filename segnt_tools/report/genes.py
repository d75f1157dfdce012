"""What a set of gene models looks like: counts, lengths, introns, completeness, scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from segnt_tools.elements import Strand
from segnt_tools.gff.genemodel import Gene, Interval, Transcript
from segnt_tools.gff.writing import untranslated
from segnt_tools.report.folder import open_text
from segnt_tools.report.intervals import Axis, Floats, Integers, Intervals
from segnt_tools.report.measures import Distribution, Measure, Unit, ratio


@dataclass(frozen=True, slots=True)
class Ends:
    """Starts and ends of the coding sequences.

    Attributes:
        models: coding sequences looked at.
        atg: how many of the 5'-complete ones begin with ATG.
        five_complete: how many claim a complete 5' end.
        stop: how many of the 3'-complete ones end with a stop codon.
        three_complete: how many claim a complete 3' end.
    """

    models: int
    atg: int
    five_complete: int
    stop: int
    three_complete: int


@dataclass(frozen=True)
class GeneNumbers:
    """Gene models of a run. Each gene counts with its representative: the transcript with the longest CDS.

    Attributes:
        genes: the genes, in genome order.
        axis: the contigs.
        ends: what the coding sequences begin and end with; None if they are not at hand.
    """

    genes: Sequence[Gene]
    axis: Axis
    ends: Ends | None

    @cached_property
    def representatives(self) -> list[Transcript]:
        """The representative transcript of each gene."""
        return [representative(gene) for gene in self.genes]

    @cached_property
    def coding(self) -> list[Transcript]:
        """The representatives that have a CDS."""
        return [transcript for transcript in self.representatives if transcript.cds]

    @cached_property
    def scores(self) -> Floats:
        """Score of each gene, NaN where there is none; shape (genes,)."""
        return np.array([score_of(gene) for gene in self.genes], dtype=np.float64)

    @cached_property
    def spans(self) -> Intervals:
        """The genes on the axis, in the order of `genes`."""
        offsets, index = self.axis.offsets, self.axis.index
        shift = np.array([offsets[index[gene.contig]] for gene in self.genes], dtype=np.int64)
        starts = np.array([gene.start for gene in self.genes], dtype=np.int64)
        ends = np.array([gene.end for gene in self.genes], dtype=np.int64)
        return Intervals(starts + shift, ends + shift)

    @cached_property
    def contig_of(self) -> Integers:
        """Contig number of each gene; shape (genes,)."""
        return np.array([self.axis.index[gene.contig] for gene in self.genes], dtype=np.int64)

    @cached_property
    def exons_per_gene(self) -> Integers:
        """Exons of each representative (coding parts where only these are known)."""
        return np.array([len(transcript.exons) for transcript in self.representatives], dtype=np.int64)

    @cached_property
    def cds_lengths(self) -> Integers:
        """Coding bases of each coding representative."""
        return np.array([transcript.coding_length for transcript in self.coding], dtype=np.int64)

    @cached_property
    def exon_lengths(self) -> Integers:
        """Lengths of the exons of the representatives."""
        return _lengths(interval for transcript in self.representatives for interval in transcript.exons)

    @cached_property
    def intron_lengths(self) -> Integers:
        """Lengths of the introns of the representatives."""
        return _lengths(interval for transcript in self.representatives for interval in transcript.introns)

    @cached_property
    def intergenic_lengths(self) -> Integers:
        """Lengths of the stretches between neighbouring genes of a contig, whatever their strands."""
        merged = self.spans.merged
        same = np.searchsorted(self.axis.offsets, merged.starts, side="right")
        gaps = merged.starts[1:] - merged.ends[:-1]
        return np.asarray(gaps[same[1:] == same[:-1]], dtype=np.int64)

    @cached_property
    def intron_phases(self) -> tuple[int, int, int]:
        """Introns inside coding sequences by phase: the codon's bases before the intron."""
        counts = Counter(phase for transcript in self.coding for phase in phases_of_introns(transcript))
        return counts[0], counts[1], counts[2]

    @cached_property
    def types(self) -> dict[str, int]:
        """Genes by type and by whether they code."""
        kinds = Counter(
            "protein-coding" if transcript.cds else f"{gene.type} without CDS" if gene.type == "gene" else gene.type
            for gene, transcript in zip(self.genes, self.representatives, strict=True)
        )
        return dict(kinds.most_common())

    @property
    def distributions(self) -> dict[str, Distribution | None]:
        """Distributions by name."""
        return {
            "exons_per_gene": Distribution.of(self.exons_per_gene),
            "cds_length": Distribution.of(self.cds_lengths),
            "exon_length": Distribution.of(self.exon_lengths),
            "intron_length": Distribution.of(self.intron_lengths),
            "intergenic_length": Distribution.of(self.intergenic_lengths),
            "gene_length": Distribution.of(self.spans.lengths),
            "score": Distribution.of(self.scores[np.isfinite(self.scores)]),
        }

    def measures(self, bases: int) -> list[Measure]:
        """The numbers of the section.

        Args:
            bases: bases that were annotated.
        """
        genes, coding = len(self.genes), self.coding
        found = self.distributions
        partial = sum(transcript.partial_5 or transcript.partial_3 for transcript in self.representatives)
        single = sum(len(transcript.exons) == 1 for transcript in coding)
        ends = self.ends

        def median(name: str) -> float | None:
            distribution = found[name]
            return None if distribution is None else distribution.median

        score, exons = found["score"], found["exons_per_gene"]
        return [
            Measure("genes", "Genes", genes),
            Measure("coding_genes", "Protein-coding genes", len(coding)),
            Measure("transcripts", "Transcripts", sum(len(gene.transcripts) for gene in self.genes)),
            Measure("genes_per_mb", "Genes per Mb", ratio(1e6 * genes, bases), Unit.NUMBER),
            Measure("gene_bases_share", "Bases inside genes", ratio(self.spans.bases, bases), Unit.SHARE),
            Measure("exons_per_gene", "Exons a gene, mean", None if exons is None else exons.mean, Unit.NUMBER),
            Measure("single_exon_share", "Coding genes with one exon", ratio(single, len(coding)), Unit.SHARE),
            Measure("median_cds", "CDS length, median", median("cds_length"), Unit.BASES),
            Measure("median_exon", "Exon length, median", median("exon_length"), Unit.BASES),
            Measure("median_intron", "Intron length, median", median("intron_length"), Unit.BASES),
            Measure("median_intergenic", "Between genes, median", median("intergenic_length"), Unit.BASES),
            Measure(
                "start_share",
                "Complete 5' ends that begin with ATG",
                None if ends is None else ratio(ends.atg, ends.five_complete),
                Unit.SHARE,
            ),
            Measure(
                "stop_share",
                "Complete 3' ends that end with a stop",
                None if ends is None else ratio(ends.stop, ends.three_complete),
                Unit.SHARE,
            ),
            Measure("partial_share", "Partial models", ratio(partial, genes), Unit.SHARE),
            Measure("mean_score", "Mean score of a gene", None if score is None else score.mean, Unit.PROBABILITY),
        ]


def representative(gene: Gene) -> Transcript:
    """The transcript with the longest CDS; among equals the one with the longest exons, then the first."""
    if len(gene.transcripts) == 1:
        return gene.transcripts[0]
    return max(gene.transcripts, key=lambda one: (one.coding_length, sum(end - start for start, end in one.exons)))


def score_of(gene: Gene) -> float:
    """Score of a gene, else the best of its transcripts, else NaN."""
    if gene.score is not None:
        return gene.score
    return max((one.score for one in gene.transcripts if one.score is not None), default=float("nan"))


def phases_of_introns(transcript: Transcript) -> Iterator[int]:
    """Phase of each intron between coding parts, 5' to 3': 0 between codons, 1 after a codon's first base, 2."""
    parts = transcript.cds if transcript.strand is not Strand.MINUS else tuple(reversed(transcript.cds))
    coding = -transcript.cds_phase
    for one, following in pairwise(parts):
        coding += one[1] - one[0]
        if following[0] != one[1] and following[1] != one[0]:
            yield coding % 3


def model_parts(numbers: GeneNumbers) -> dict[str, Intervals]:
    """Parts of the representatives on the axis, by the element that stands for them."""
    rows: dict[str, tuple[list[int], list[int]]] = {}

    def put(name: str, shift: int, start: int, end: int) -> None:
        starts, ends = rows.setdefault(name, ([], []))
        starts.append(start + shift)
        ends.append(end + shift)

    offsets, index = numbers.axis.offsets.tolist(), numbers.axis.index
    for gene, transcript in zip(numbers.genes, numbers.representatives, strict=True):
        shift = offsets[index[gene.contig]]
        for name, start, end in _parts_of(gene, transcript):
            put(name, shift, start, end)
    return {
        name: Intervals(np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64))
        for name, (starts, ends) in rows.items()
    }


def _parts_of(gene: Gene, transcript: Transcript) -> Iterator[tuple[str, int, int]]:
    yield ("protein_coding_gene" if transcript.cds else "lncRNA", gene.start, gene.end)
    for interval in transcript.exons:
        yield "exon", *interval
    forward = transcript.strand is not Strand.MINUS
    for start, end in transcript.introns:
        yield "intron", start, end
        yield ("splice_donor" if forward else "splice_acceptor"), start, start + 2
        yield ("splice_acceptor" if forward else "splice_donor"), end - 2, end
    for interval in transcript.cds:
        yield "CDS", *interval
    for name, intervals in zip(("5UTR", "3UTR"), untranslated(transcript), strict=True):
        for interval in intervals:
            yield name, *interval
    if transcript.cds:
        first, last = transcript.cds[0][0], transcript.cds[-1][1]
        left, right = ("start_codon", "stop_codon") if forward else ("stop_codon", "start_codon")
        yield left, first, first + 3
        yield right, last - 3, last


def _lengths(intervals: Iterable[Interval]) -> Integers:
    return np.fromiter((end - start for start, end in intervals), dtype=np.int64)


def ends_of_sequences(cds: Path, partial: dict[str, tuple[bool, bool]], stops: frozenset[str]) -> Ends:
    """What the coding sequences of cds.fa begin and end with.

    Args:
        cds: FASTA file; the first word of a header is the transcript's ID.
        partial: whether the 5' and the 3' end of a transcript are cut, by transcript; others are complete.
        stops: stop codons.
    """
    models = atg = five = stop = three = 0
    for name, sequence in _records(cds):
        cut_5, cut_3 = partial.get(name, (False, False))
        models += 1
        five += not cut_5
        atg += not cut_5 and sequence[:3] == "ATG"
        three += not cut_3
        stop += not cut_3 and sequence[-3:] in stops
    return Ends(models, atg, five, stop, three)


def _records(path: Path) -> Iterator[tuple[str, str]]:
    name, parts = "", list[str]()
    with open_text(path) as handle:
        for line in handle:
            if line.startswith(">"):
                if name:
                    yield name, "".join(parts)
                name, parts = (line[1:].split() or [""])[0], []
            else:
                parts.append(line.strip().upper())
    if name:
        yield name, "".join(parts)
