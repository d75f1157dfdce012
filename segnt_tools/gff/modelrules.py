"""Rules for one transcript: exons, coding parts, phases, and, with a genome, its translation and splice sites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Protocol

import numpy as np

from segnt_tools.elements import Strand
from segnt_tools.gff import rules
from segnt_tools.gff.features import Feature
from segnt_tools.gff.genemodel import Interval
from segnt_tools.gff.rules import Finding, Rule, Sink
from segnt_tools.gff.sequences import Bases, GeneticCode, codon_numbers, genetic_code, spliced
from segnt_tools.sequence.codes import Codes, decode
from segnt_tools.sequence.intervals import joined


class Genome(Bases, Protocol):
    """An assembly: bases and lengths of its contigs."""

    lengths: dict[str, int]


@dataclass(slots=True)
class TranscriptRows:
    """The rows of one transcript as a file has them.

    Attributes:
        name: how messages call it.
        line: line of its own row, or of its first part.
        has_own_exons: exon rows belong to it (and not only to its gene).
        exons: exon rows.
        chains: rows of each CDS of it; more than one only if the file gives them different IDs.
        utrs: UTR rows.
        stops: stop_codon rows.
        irregular: trans-splicing, ribosomal slippage or another exception is declared.
        pseudo: a pseudogene, which need not translate.
        partial_left: declared to go on beyond its left end.
        partial_right: likewise beyond its right end.
        stop_outside: the stop codon is not part of the CDS (GTF).
    """

    name: str
    line: int
    exons: list[Feature] = field(default_factory=list)
    chains: dict[str | None, list[Feature]] = field(default_factory=dict)
    utrs: list[Feature] = field(default_factory=list)
    stops: list[Feature] = field(default_factory=list)
    irregular: bool = False
    pseudo: bool = False
    partial_left: bool = False
    partial_right: bool = False
    stop_outside: bool = False

    @property
    def coding(self) -> Iterator[Feature]:
        """All coding parts."""
        for chain in self.chains.values():
            yield from chain


def check_transcript(rows: TranscriptRows, sink: Sink) -> None:
    """Check what needs no genome."""
    report = _Reporter(rows, sink)
    rows.exons.sort(key=_place)
    for chain in rows.chains.values():
        chain.sort(key=_place)
    if not rows.irregular:
        _check_overlap(rows.exons, rules.EXON_OVERLAP, "exon", report)
    _check_coding_ids(rows, report)
    for chain in rows.chains.values():
        _check_chain(chain, rows, report)
    _check_inside_exons(rows, report)
    _check_utrs(rows, report)


@dataclass(slots=True)
class _Reporter:
    rows: TranscriptRows
    sink: Sink

    def __call__(self, rule: Rule, line: int, message: str) -> None:
        self.sink(Finding(rule, line, self.rows.name, message))


def _place(feature: Feature) -> tuple[int, int]:
    return feature.start, feature.end


def _span(feature: Feature) -> str:
    return f"{feature.start + 1}-{feature.end}"


def _check_overlap(parts: list[Feature], rule: Rule, word: str, report: _Reporter) -> None:
    for left, right in pairwise(parts):
        if right.start < left.end:
            line = max(left.line, right.line)
            report(rule, line, f"{word} {_span(right)} overlaps {word} {_span(left)} of the same transcript")


def _check_coding_ids(rows: TranscriptRows, report: _Reporter) -> None:
    """Different IDs are right for different CDS of one transcript, wrong for the parts of one CDS.

    Parts of one CDS do not overlap and lie in an exon each; different CDS overlap, or share an exon (polycistronic).
    """
    if len(rows.chains) < 2 or any(len(chain) > 1 for chain in rows.chains.values()):
        return
    parts = sorted(rows.coding, key=_place)
    if any(right.start < left.end for left, right in pairwise(parts)):
        return
    holders = [next((e.start for e in rows.exons if e.start <= p.start and p.end <= e.end), None) for p in parts]
    if len(set(holders)) < len(holders) and rows.exons:
        return
    names = ", ".join(str(part.id) for part in parts[:3])
    # In files without exons the CDS rows stand for exons, and GlimmerHMM and others number them so.
    rule = rules.CDS_IDS if rows.exons else rules.CDS_IDS_WITHOUT_EXONS
    report(rule, parts[1].line, f"the {len(parts)} coding parts should share one ID, but have {names}")


def _check_chain(chain: list[Feature], rows: TranscriptRows, report: _Reporter) -> None:
    strands = {part.strand for part in chain}
    for part in chain:
        if part.strand is Strand.NONE:
            report(rules.CDS_NO_STRAND, part.line, f"CDS {_span(part)} has no strand")
        if part.phase is None:
            report(rules.CDS_PHASE_MISSING, part.line, f"CDS {_span(part)} has no phase")
    if rows.irregular or len(strands) != 1 or Strand.NONE in strands:
        return
    _check_overlap(chain, rules.CDS_OVERLAP, "CDS", report)
    forward = Strand.PLUS in strands
    expected: int | None = None
    for part in chain if forward else reversed(chain):
        if part.phase is None:
            return
        if expected is not None and part.phase != expected:
            message = f"CDS {_span(part)} has phase {part.phase}, but {expected} follows from the parts before it"
            report(rules.CDS_PHASE, part.line, message)
        expected = ((part.phase if expected is None else expected) - (part.end - part.start)) % 3


def _check_inside_exons(rows: TranscriptRows, report: _Reporter) -> None:
    if not rows.exons:
        return
    for part in rows.coding:
        if not any(exon.start <= part.start and part.end <= exon.end for exon in rows.exons):
            report(rules.CDS_OUTSIDE_EXON, part.line, f"CDS {_span(part)} is not inside one exon of its transcript")


def _check_utrs(rows: TranscriptRows, report: _Reporter) -> None:
    coding = list(rows.coding)
    for utr in rows.utrs:
        if any(part.start < utr.end and utr.start < part.end for part in coding):
            report(rules.UTR_IN_CDS, utr.line, f"{utr.type} {_span(utr)} overlaps the CDS")


# --- with a genome


# Introns shorter than this in an annotation are frameshifts or alignment gaps; their ends say nothing.
_SHORTEST_INTRON: Final = 20
_SPLICE_PAIRS: Final = frozenset(("GTAG", "GCAG", "ATAC"))


def check_sequence(rows: TranscriptRows, genome: Genome, code: GeneticCode, sink: Sink, *, splice_sites: bool) -> None:
    """Check what the genome says: translation of each CDS, and the ends of introns."""
    report = _Reporter(rows, sink)
    for chain in rows.chains.values():
        if not (rows.pseudo or rows.irregular) and _is_fetchable(chain, genome):
            _check_translation(chain, rows, genome, code, report)
    if splice_sites and not rows.irregular:
        _check_splice_sites(rows, genome, report)


def _is_fetchable(chain: list[Feature], genome: Genome) -> bool:
    if len({(part.seqid, part.strand) for part in chain}) != 1 or chain[0].strand is Strand.NONE:
        return False
    length = genome.lengths.get(chain[0].seqid)
    return length is not None and max(part.end for part in chain) <= length


def _check_translation(
    chain: list[Feature], rows: TranscriptRows, genome: Genome, code: GeneticCode, report: _Reporter
) -> None:
    forward = chain[0].strand is Strand.PLUS
    intervals = _intervals(chain)
    if rows.stop_outside:
        intervals = list(joined([*intervals, *_intervals(rows.stops)]))
    first = chain[0] if forward else chain[-1]
    last = chain[-1] if forward else chain[0]
    phase = first.phase or 0
    open_5 = (rows.partial_left if forward else rows.partial_right) or phase > 0
    open_3 = rows.partial_right if forward else rows.partial_left
    table = _table_of(first, code)
    bases = spliced(genome, first.seqid, intervals, first.strand)[phase:]
    codons = codon_numbers(bases)
    if codons.size == 0:
        return
    stops = np.flatnonzero((codons >= 0) & (table.amino_acids[codons] == ord("*")))
    complete = bases.size % 3 == 0
    inner = stops[stops < codons.size - 1] if complete else stops
    excused = "transl_except" in first.attributes or "transl_except" in last.attributes
    if inner.size and not excused:
        position = genome_position(intervals, forward, phase + 3 * int(inner[0]))
        count = f"{inner.size} stop codon{'s' if inner.size > 1 else ''}"
        report(rules.INNER_STOP, first.line, f"{count} inside the CDS, the first at {first.seqid}:{position + 1}")
    if not open_5 and codons[0] >= 0 and not table.starts[codons[0]]:
        report(rules.START_CODON, first.line, f"the CDS begins with {decode(bases[:3])}, no start codon")
    if not complete and not open_3:
        report(rules.FRAME, last.line, f"the CDS has {bases.size} bases after the phase, no multiple of three")
    elif complete and not open_3 and codons[-1] >= 0 and not table.stops[codons[-1]] and not excused:
        report(rules.STOP_CODON, last.line, f"the CDS ends with {decode(bases[-3:])}, no stop codon")


def _table_of(feature: Feature, code: GeneticCode) -> GeneticCode:
    """The genetic code: the file's own `transl_table` where it has one."""
    own = feature.first("transl_table")
    return genetic_code(int(own)) if own is not None and own.isdigit() else code


def _intervals(parts: Iterable[Feature]) -> list[Interval]:
    return [(part.start, part.end) for part in parts]


def genome_position(intervals: list[Interval], forward: bool, offset: int) -> int:
    """0-based contig position of the base at an offset from the 5' end of spliced intervals."""
    for start, end in intervals if forward else reversed(intervals):
        if offset < end - start:
            return start + offset if forward else end - 1 - offset
        offset -= end - start
    raise ValueError("the offset is beyond the intervals")


def _check_splice_sites(rows: TranscriptRows, genome: Genome, report: _Reporter) -> None:
    parts = rows.exons or sorted(rows.coding, key=_place)
    if not parts or not _is_fetchable(parts, genome):
        return
    seqid, strand = parts[0].seqid, parts[0].strand
    for left, right in pairwise(parts):
        if right.start - left.end < _SHORTEST_INTRON:
            continue
        ends = [(left.end, left.end + 2), (right.start - 2, right.start)]
        pair = decode(spliced(genome, seqid, ends, strand))
        if pair not in _SPLICE_PAIRS and "N" not in pair:
            message = f"intron {left.end + 1}-{right.start} is {pair[:2]}-{pair[2:]}"
            report(rules.SPLICE_SITES, right.line, message)


class CodesByName:
    """Bases held in memory: a Genome made of arrays, for tests and small inputs."""

    def __init__(self, contigs: Mapping[str, Codes]) -> None:
        self._contigs = dict(contigs)
        self.lengths = {name: int(codes.size) for name, codes in self._contigs.items()}

    def codes(self, contig: str, start: int, end: int) -> Codes:
        """Base codes of a stretch, 0-based half-open."""
        return self._contigs[contig][start:end]
