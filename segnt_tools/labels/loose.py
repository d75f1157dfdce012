"""Rows that do not say to which transcript they belong (no ID, Parent, gene_id or transcript_id), taken gene by gene.

Some published extracts of GENCODE keep gene names only. Most labels follow all the same; where isoforms cannot be told
apart, what could be either is masked:

* exons, CDS, UTRs and codons are labelled as their rows say; a `UTR` row is 5' or 3' if it lies outside the gene's
  coding span, and masks both otherwise;
* bases inside a transcript row and in no exon of the gene are introns; exonic bases inside a transcript could be
  introns of another isoform, and are masked unless the gene has a single transcript;
* an exon's end is a splice site unless it is also the end of a transcript row; then it is masked, unless the gene has
  a single transcript.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from segnt_tools.elements import Strand
from segnt_tools.gff.features import Feature
from segnt_tools.gff.genemodel import Gene, Transcript
from segnt_tools.gff.types import GeneClass, gene_class, is_gene_type, is_transcript_type, part_kind
from segnt_tools.labels.collector import IntervalCollector
from segnt_tools.labels.genic import CODING_SPAN, START_CODONS, STOP_CODONS, SanityCounts, read_bases
from segnt_tools.labels.rules import Interval, LabelRules, SpliceSide, Whose
from segnt_tools.sequence.codes import Codes
from segnt_tools.sequence.intervals import intersect, subtract, union

_FIVE = frozenset(("five_prime_UTR", "five_prime_utr", "5UTR"))
_THREE = frozenset(("three_prime_UTR", "three_prime_utr", "3UTR"))


_LINKS = ("ID", "Parent", "transcript_id", "gene_id")


def is_loose(feature: Feature) -> bool:
    """Whether a row is part of a gene model but linked to nothing."""
    if any(link in feature.attributes for link in _LINKS):
        return False
    kind = feature.type
    return part_kind(kind) is not None or is_gene_type(kind) or is_transcript_type(kind)


@dataclass(slots=True)
class _LooseGene:
    rows: dict[str, list[Interval]] = field(default_factory=lambda: defaultdict(list))
    gene_class: GeneClass = GeneClass.OTHER


def _class_of(feature: Feature) -> GeneClass:
    """Class by the biotype in the attributes."""
    empty = Transcript("t", feature.strand, ((feature.start, feature.end),))
    return gene_class(Gene("g", feature.seqid, feature.strand, (empty,), attributes=feature.attributes))


class LooseLabels:
    """Collects loose rows of a contig and turns them into intervals and masks.

    Args:
        collector, masks: take intervals that are present, and intervals whose truth is unknown.
        rules: the options.
        counts: takes the number of coding genes and lncRNA.
        dropped: counts rows left out by a rule.
    """

    def __init__(
        self,
        collector: IntervalCollector,
        masks: IntervalCollector,
        rules: LabelRules,
        counts: SanityCounts,
        dropped: Counter[str],
    ) -> None:
        self._collector = collector
        self._masks = masks
        self._rules = rules
        self._counts = counts
        self._dropped = dropped
        self._genes: dict[tuple[str, Strand], _LooseGene] = defaultdict(_LooseGene)
        self.rows = 0

    def add(self, feature: Feature) -> None:
        """Take in a row."""
        if self._rules.drop_level_3 and feature.attributes.get("level") == ("3",):
            self._dropped["row of level 3 (automatic annotation)"] += 1
            return
        name = feature.first("gene_name", "gene", "Name") or f"{feature.start}-{feature.end}"
        gene = self._genes[name, feature.strand]
        kind = "gene" if is_gene_type(feature.type) else feature.type
        gene.rows["transcript" if is_transcript_type(kind) else kind].append((feature.start, feature.end))
        gene.gene_class = _class_of(feature)
        self.rows += 1

    def finish(self, contig: str, codes: Codes) -> None:
        """Turn what was collected into labels of a contig, whose base codes are given, and forget it."""
        for (_, strand), gene in self._genes.items():
            self._finish_gene(contig, strand, gene)
            self._check_codons(strand, gene, codes)
        self._genes.clear()

    def _finish_gene(self, contig: str, strand: Strand, gene: _LooseGene) -> None:
        rows = gene.rows
        spans = rows["gene"] or rows["transcript"]
        if gene.gene_class is GeneClass.PROTEIN_CODING:
            self._collector.add_all(contig, "protein_coding_gene", strand, spans)
        elif gene.gene_class is GeneClass.LNCRNA:
            self._counts.lncrna += 1
            lncrna = rows["exon"] if self._rules.lncrna_exons else spans
            self._collector.add_all(contig, "lncRNA", strand, lncrna)
        if rows["CDS"] or (rows["exon"] and self._rules.whose is Whose.ALL):
            self._structure(contig, strand, rows)
        if rows["CDS"]:
            self._coding(contig, strand, rows)

    def _check_codons(self, strand: Strand, gene: _LooseGene, codes: Codes) -> None:
        """Count what the rows of whole codons look like on the sequence."""
        for kind, right, counter in (
            ("start_codon", START_CODONS, self._counts.starts),
            ("stop_codon", STOP_CODONS, self._counts.stops),
        ):
            for start, end in set(gene.rows[kind]):
                if end - start == 3:
                    codon = read_bases(codes, [(start, end)], strand)
                    counter[kind if codon in right else "other"] += 1

    def _structure(self, contig: str, strand: Strand, rows: dict[str, list[Interval]]) -> None:
        exons, transcripts = union(rows["exon"] or rows["CDS"]), union(rows["transcript"] or rows["gene"])
        single = len(set(rows["transcript"])) <= 1
        self._collector.add_all(contig, "exon", strand, map(tuple, exons.tolist()))
        self._collector.add_all(contig, "intron", strand, map(tuple, subtract(transcripts, exons).tolist()))
        if not single:
            self._masks.add_all(contig, "intron", strand, map(tuple, intersect(exons, transcripts).tolist()))
        for left_side in (True, False):
            self._sites(contig, strand, rows, left_side, single)

    def _sites(
        self, contig: str, strand: Strand, rows: dict[str, list[Interval]], left_side: bool, single: bool
    ) -> None:
        """Splice sites at the exons' left or right ends."""
        element = "splice_acceptor" if left_side is (strand is not Strand.MINUS) else "splice_donor"
        borders = {exon[0] if left_side else exon[1] for exon in rows["exon"] if exon[1] - exon[0] > 1}
        outer = {span[0] if left_side else span[1] for span in (*rows["transcript"], *rows["gene"])}
        rules = self._rules
        inside = rules.splice_width if rules.splice_side is not SpliceSide.INTRON else 0
        beyond = rules.splice_width if rules.splice_side is not SpliceSide.EXON else 0
        for border in borders:
            site = (border - beyond, border + inside) if left_side else (border - inside, border + beyond)
            if border not in outer:
                self._collector.add(contig, element, strand, *site)
            elif not single:
                self._masks.add(contig, element, strand, max(site[0], 0), site[1])

    def _coding(self, contig: str, strand: Strand, rows: dict[str, list[Interval]]) -> None:
        cds = rows["CDS"] + rows["stop_codon"]
        first, last = min(start for start, _ in cds), max(end for _, end in cds)
        self._collector.add_all(contig, "CDS", strand, cds)
        for frame in range(3):  # phases of unlinked rows are not trusted
            self._masks.add_all(contig, f"CDS_frame_{frame}", strand, cds)
        self._collector.add_all(contig, "start_codon", strand, rows["start_codon"])
        self._collector.add_all(contig, "stop_codon", strand, rows["stop_codon"])
        self._collector.add(contig, CODING_SPAN, strand, first, last)
        has_utr = self._utrs(contig, strand, rows, first, last)
        self._counts.coding += 1
        self._counts.coding_exons_only += not has_utr

    def _utrs(self, contig: str, strand: Strand, rows: dict[str, list[Interval]], first: int, last: int) -> bool:
        left, right = ("3UTR", "5UTR") if strand is Strand.MINUS else ("5UTR", "3UTR")
        found = False
        for kind, intervals in rows.items():
            if kind in _FIVE or kind in _THREE:
                self._collector.add_all(contig, "5UTR" if kind in _FIVE else "3UTR", strand, intervals)
                found = True
            elif kind == "UTR":
                self._untyped_utrs(contig, strand, intervals, (first, last), (left, right))
                found = True
        return found

    def _untyped_utrs(
        self,
        contig: str,
        strand: Strand,
        intervals: Iterable[Interval],
        coding: Interval,
        sides: tuple[str, str],
    ) -> None:
        for start, end in intervals:
            if end <= coding[0]:
                self._collector.add(contig, sides[0], strand, start, end)
            elif start >= coding[1]:
                self._collector.add(contig, sides[1], strand, start, end)
            else:
                for element in sides:
                    self._masks.add(contig, element, strand, start, end)
