"""Gene models to intervals of elements: exons, introns, splice sites, UTRs, coding bases and their frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from segnt_tools.elements import Strand
from segnt_tools.gff.genemodel import Gene, Transcript
from segnt_tools.gff.types import GeneClass, gene_class
from segnt_tools.labels.collector import IntervalCollector
from segnt_tools.labels.rules import Interval, LabelRules, Whose, join_close, splice_sites
from segnt_tools.sequence.codes import Codes, decode, reverse_complement

START_CODONS = frozenset(("ATG",))
STOP_CODONS = frozenset(("TAA", "TAG", "TGA"))

# Pseudo-elements that the collector carries for masks; no track is made of them.
CODING_SPAN = "_coding_span"


@dataclass(slots=True)
class SanityCounts:
    """Counts that say whether an annotation fits its sequence.

    Attributes:
        introns: distinct introns of coding transcripts by their first and last two bases (`GT-AG`).
        starts: coding sequences with a complete 5' end, by first codon `start_codon` (ATG) or `other`.
        stops: coding sequences with a complete 3' end, by last codon `stop_codon` or `other`.
        frames: coding sequences that are complete, by length `whole` or `broken`.
        coding_exons_only: coding transcripts whose exons end where their CDS does.
        coding: coding transcripts.
        lncrna: lncRNA genes.
    """

    introns: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    coding_exons_only: int = 0
    coding: int = 0
    lncrna: int = 0


def _spliced(parts: tuple[Interval, ...], strand: Strand, count: int, *, from_start: bool) -> tuple[Interval, ...]:
    """The first or last `count` coding bases in the direction of the strand, as ascending intervals."""
    leftmost = from_start is (strand is not Strand.MINUS)
    taken: list[Interval] = []
    for start, end in parts if leftmost else reversed(parts):
        size = min(count, end - start)
        taken.append((start, start + size) if leftmost else (end - size, end))
        count -= size
        if not count:
            break
    return tuple(sorted(taken))


def read_bases(codes: Codes, parts: Iterable[Interval], strand: Strand) -> str:
    """Bases of ascending parts, read along the strand."""
    pieces = [codes[start:end] for start, end in parts]
    if strand is Strand.MINUS:
        return "".join(decode(reverse_complement(piece)) for piece in reversed(pieces))
    return "".join(decode(piece) for piece in pieces)


class GenicLabels:
    """Turns gene models into intervals of elements, with sanity counts.

    Args:
        collector: takes the intervals.
        rules: the options.

    Attributes:
        counts: what the annotation looks like.
        dropped: transcripts left out by a rule, by reason.
    """

    def __init__(self, collector: IntervalCollector, rules: LabelRules) -> None:
        self._collector = collector
        self._rules = rules
        self.counts = SanityCounts()
        self.dropped: Counter[str] = Counter()

    def add(self, contig: str, genes: Iterable[Gene], codes: Codes) -> None:
        """Take in all genes of a contig, whose base codes are given."""
        introns: set[tuple[Strand, Interval]] = set()
        for gene in genes:
            kept = [transcript for transcript in gene.transcripts if self._keep(transcript)]
            if kept:
                self._gene(contig, gene, kept)
                for transcript in kept:
                    self._transcript(contig, transcript, codes, introns)
        for strand, (start, end) in introns:
            ends = read_bases(codes, ((start, start + 2), (end - 2, end)), strand)
            self.counts.introns[f"{ends[:2]}-{ends[2:]}"] += 1

    def _keep(self, transcript: Transcript) -> bool:
        if self._rules.drop_level_3 and transcript.attributes.get("level") == ("3",):
            self.dropped["transcript of level 3 (automatic annotation)"] += 1
            return False
        return True

    def _gene(self, contig: str, gene: Gene, kept: list[Transcript]) -> None:
        span = (min(transcript.start for transcript in kept), max(transcript.end for transcript in kept))
        match gene_class(gene):
            case GeneClass.PROTEIN_CODING:
                self._collector.add(contig, "protein_coding_gene", gene.strand, *span)
            case GeneClass.LNCRNA:
                self.counts.lncrna += 1
                if self._rules.lncrna_exons:
                    for transcript in kept:
                        self._collector.add_all(contig, "lncRNA", gene.strand, transcript.exons)
                else:
                    self._collector.add(contig, "lncRNA", gene.strand, *span)
            case _:
                pass

    def _transcript(
        self, contig: str, transcript: Transcript, codes: Codes, introns: set[tuple[Strand, Interval]]
    ) -> None:
        strand = transcript.strand
        if transcript.cds or self._rules.whose is Whose.ALL:
            self._exons(contig, transcript)
        if transcript.cds:
            chain = join_close(transcript.exons)
            introns.update((strand, (left[1], right[0])) for left, right in pairwise(chain))
            self._utrs(contig, transcript)
            self._coding(contig, transcript)
            self._codons(contig, transcript, codes)

    def _exons(self, contig: str, transcript: Transcript) -> None:
        add = self._collector.add_all
        strand = transcript.strand
        add(contig, "exon", strand, transcript.exons)
        chain = join_close(transcript.exons)
        add(contig, "intron", strand, ((left[1], right[0]) for left, right in pairwise(chain)))
        left, right = splice_sites(transcript.exons, self._rules)
        donors, acceptors = (right, left) if strand is Strand.MINUS else (left, right)
        add(contig, "splice_donor", strand, donors)
        add(contig, "splice_acceptor", strand, acceptors)

    def _utrs(self, contig: str, transcript: Transcript) -> None:
        first, last = transcript.cds[0][0], transcript.cds[-1][1]
        left = [(start, min(end, first)) for start, end in transcript.exons if start < first]
        right = [(max(start, last), end) for start, end in transcript.exons if end > last]
        five, three = (right, left) if transcript.strand is Strand.MINUS else (left, right)
        self._collector.add_all(contig, "5UTR", transcript.strand, five)
        self._collector.add_all(contig, "3UTR", transcript.strand, three)
        self._collector.add(contig, CODING_SPAN, transcript.strand, first, last)
        self.counts.coding += 1
        self.counts.coding_exons_only += not left and not right

    def _coding(self, contig: str, transcript: Transcript) -> None:
        """CDS, and the codons' frame: constant along a part, by its phase (see elements.EXTENDED_ELEMENTS)."""
        strand = transcript.strand
        self._collector.add_all(contig, "CDS", strand, transcript.cds)
        minus = strand is Strand.MINUS
        phase = transcript.cds_phase
        for start, end in reversed(transcript.cds) if minus else transcript.cds:
            frame = (end - phase) % 3 if minus else (start + phase) % 3
            self._collector.add(contig, f"CDS_frame_{frame}", strand, start, end)
            phase = (phase - (end - start)) % 3

    def _codons(self, contig: str, transcript: Transcript, codes: Codes) -> None:
        """Start and stop codons, which introns may split; a last codon that is no stop is not labelled as one."""
        strand, length = transcript.strand, transcript.coding_length
        starts_complete = not transcript.partial_5 and transcript.cds_phase == 0 and length >= 3
        ends_complete = not transcript.partial_3 and length >= 3
        if starts_complete:
            start = _spliced(transcript.cds, strand, 3, from_start=True)
            self._collector.add_all(contig, "start_codon", strand, start)
            self.counts.starts["start_codon" if read_bases(codes, start, strand) in START_CODONS else "other"] += 1
        if ends_complete:
            stop = _spliced(transcript.cds, strand, 3, from_start=False)
            is_stop = read_bases(codes, stop, strand) in STOP_CODONS
            self.counts.stops["stop_codon" if is_stop else "other"] += 1
            if is_stop:
                self._collector.add_all(contig, "stop_codon", strand, stop)
        if starts_complete and ends_complete:
            self.counts.frames["whole" if length % 3 == 0 else "broken"] += 1
