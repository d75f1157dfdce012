"""From gene models to what the embedded network learns: a region and a boundary class for every base, with weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segnt_tools.elements import Strand
from segnt_tools.gff.genemodel import Gene, Interval, Transcript
from segnt_tools.models.codon_unet import Boundary, Region
from segnt_tools.sequence.codes import Codes, reverse_complement

START_CODON = 14  # ATG as 16 a + 4 b + c
STOP_CODONS = (48, 50, 56)  # TAA, TAG, TGA
SHORTEST_GAP = 10
FULL_WEIGHT = 255

Classes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TargetReport:
    """What became of the genes of a contig.

    Attributes:
        coding: genes with coding sequence.
        used: genes whose longest valid coding sequence became targets.
        masked: genes without a valid one, or too unsure ones; their bases count nothing.
        with_utr: used genes whose transcript is longer than its coding sequence.
        introns: lengths of the introns between coding parts of the used genes.
        coding_lengths: bases of coding sequence of each used gene.
        parts: coding parts of each used gene.
    """

    coding: int
    used: int
    masked: int
    with_utr: int
    introns: tuple[int, ...]
    coding_lengths: tuple[int, ...] = ()
    parts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ContigTargets:
    """Classes of the bases of one contig; frames count from the contig's first base.

    Attributes:
        region: `Region` of every base.
        boundary: `Boundary` of every base.
        region_weight: weight of the region in 255ths: the share of isoforms that agree whether the base codes.
        boundary_weight: likewise 0 or 255 for the boundary: 0 where only another isoform has one.
        report: what became of the genes.
    """

    region: Classes
    boundary: Classes
    region_weight: Classes
    boundary_weight: Classes
    report: TargetReport


def targets_of_contig(codes: Codes, genes: Iterable[Gene], least_score: float = 0.0) -> ContigTargets:
    """Targets of a contig from the gene models on it.

    Of each gene the longest coding sequence that begins with ATG, ends with a stop codon and has no stop inside is
    used, with the exons of its transcript. Genes that have coding sequence but no such one are masked, and those of
    which no transcript has the least score. Everything else (non-coding RNA, pseudogenes) is intergenic.

    Args:
        codes: base codes of the contig.
        genes: gene models on it.
        least_score: transcripts whose score is lower are not learnt; those without any score are.
    """
    painter = _Painter(codes, least_score)
    for gene in genes:
        coding = [transcript for transcript in gene.transcripts if transcript.cds]
        if coding and "pseudo" not in gene.type:
            painter.paint_gene(coding)
    return painter.finished()


def has_valid_cds(codes: Codes, transcript: Transcript) -> bool:
    """Whether a transcript's coding sequence runs from ATG to a stop codon without a stop inside or a tiny gap."""
    gaps = (right[0] - left[1] for left, right in zip(transcript.cds, transcript.cds[1:], strict=False))
    if transcript.cds_phase or any(gap < SHORTEST_GAP for gap in gaps):
        return False
    sequence = np.concatenate([codes[start:end] for start, end in transcript.cds])
    if transcript.strand is Strand.MINUS:
        sequence = reverse_complement(sequence)
    if sequence.size < 6 or sequence.size % 3 or sequence.max() > 3:
        return False
    codons = sequence.reshape(-1, 3).astype(np.int16) @ np.array([16, 4, 1], dtype=np.int16)
    stops = np.isin(codons, STOP_CODONS)
    return bool(codons[0] == START_CODON and stops[-1] and not stops[:-1].any())


def frames_of_cds(transcript: Transcript) -> list[int]:
    """Frame of each coding part: p % 3 of the leftmost base p of its codons, in ascending order of the parts."""
    frames = []
    minus = transcript.strand is Strand.MINUS
    done = -transcript.cds_phase
    for start, end in reversed(transcript.cds) if minus else transcript.cds:
        # A codon's first base in reading direction lies `done % 3` bases before the part's own first base.
        frames.append((end + done) % 3 if minus else (start - done) % 3)
        done += end - start
    return frames[::-1] if minus else frames


# Where genes overlap, the class with the higher rank stays.
_RANK = np.array([0, 2, 2, 1, 4, 4, 4, 3, 2, 2, 1, 4, 4, 4, 3], dtype=np.uint8)


class _Painter:
    """Collects classes and weights of one contig gene by gene."""

    def __init__(self, codes: Codes, least_score: float) -> None:
        self.codes = codes
        self.least_score = least_score
        self.region = np.zeros(codes.size, dtype=np.uint8)
        self.boundary = np.zeros(codes.size, dtype=np.uint8)
        self.region_weight = np.full(codes.size, FULL_WEIGHT, dtype=np.uint8)
        self.boundary_weight = np.full(codes.size, FULL_WEIGHT, dtype=np.uint8)
        self.coding = self.used = self.masked = self.with_utr = 0
        self.introns: list[int] = []
        self.coding_lengths: list[int] = []
        self.parts: list[int] = []

    def paint_gene(self, coding: Sequence[Transcript]) -> None:
        """Add one gene, given its coding transcripts."""
        self.coding += 1
        sure = [t for t in coding if t.score is None or t.score >= self.least_score]
        valid = [transcript for transcript in sure if has_valid_cds(self.codes, transcript)]
        if not valid:
            self.masked += 1
            for transcript in coding:
                self.region_weight[transcript.start : transcript.end] = 0
                self.boundary_weight[transcript.start : transcript.end] = 0
            return
        self.used += 1
        best = max(valid, key=lambda t: (t.coding_length, sum(end - start for start, end in t.exons), t.id))
        self.with_utr += best.exons[0][0] < best.cds[0][0] or best.exons[-1][1] > best.cds[-1][1]
        self.introns += [right[0] - left[1] for left, right in zip(best.cds, best.cds[1:], strict=False)]
        self.coding_lengths.append(best.coding_length)
        self.parts.append(len(best.cds))
        self._weigh(best, coding)
        self._paint_regions(best)
        self._paint_boundaries(best, [t for t in coding if t is not best])

    def finished(self) -> ContigTargets:
        """The targets of all genes painted."""
        unknown = self.codes > 3
        self.region_weight[unknown] = 0
        self.boundary_weight[unknown] = 0
        report = TargetReport(
            self.coding,
            self.used,
            self.masked,
            self.with_utr,
            tuple(self.introns),
            tuple(self.coding_lengths),
            tuple(self.parts),
        )
        return ContigTargets(self.region, self.boundary, self.region_weight, self.boundary_weight, report)

    def _weigh(self, best: Transcript, coding: Sequence[Transcript]) -> None:
        """Weight of a base: the share of the gene's isoforms that say about it what the chosen one says."""
        start, end = min(t.start for t in coding), max(t.end for t in coding)
        counts = sum((_coding_mask(t, start, end).astype(np.int32) for t in coding), np.zeros(end - start, np.int32))
        chosen = _coding_mask(best, start, end)
        share = np.where(chosen, counts, len(coding) - counts) / len(coding)
        weight = np.rint(share * FULL_WEIGHT).astype(np.uint8)
        self.region_weight[start:end] = np.minimum(self.region_weight[start:end], weight)

    def _paint_regions(self, best: Transcript) -> None:
        first = Region.UTR5_PLUS if best.strand is Strand.PLUS else Region.UTR5_MINUS
        frames = frames_of_cds(best)
        left_utr, right_utr = (first, first + 1) if best.strand is Strand.PLUS else (first + 1, first)
        cds_start, cds_end = best.cds[0][0], best.cds[-1][1]
        for left, right in best.introns:
            inside = left >= cds_start and right <= cds_end
            self._paint((left, right), first + 6 if inside else first + 2)
        for start, end in best.exons:
            self._paint((start, min(end, cds_start)), left_utr)
            self._paint((max(start, cds_end), end), right_utr)
        for interval, frame in zip(best.cds, frames, strict=True):
            self._paint(interval, first + 3 + frame)

    def _paint(self, interval: Interval, region: int) -> None:
        start, end = interval
        if start >= end:
            return
        before = self.region[start:end]
        wins = _RANK[before] < _RANK[region]
        # Two genes that code at the same base: no telling which class is meant.
        clash = (_RANK[before] == 4) & (_RANK[region] == 4)
        self.region_weight[start:end][clash] = 0
        before[wins] = region

    def _paint_boundaries(self, best: Transcript, others: Sequence[Transcript]) -> None:
        sites = boundaries_of(best)
        known = {position for position, _ in sites}
        for transcript in others:
            for position, _ in boundaries_of(transcript):
                if position not in known and self.boundary[position] == Boundary.NONE:
                    self.boundary_weight[position] = 0
        for position, boundary in sites:
            self.boundary[position] = boundary
            self.boundary_weight[position] = FULL_WEIGHT


def _coding_mask(transcript: Transcript, start: int, end: int) -> NDArray[np.bool_]:
    mask = np.zeros(end - start, dtype=np.bool_)
    for left, right in transcript.cds:
        mask[left - start : right - start] = True
    return mask


def boundaries_of(transcript: Transcript) -> list[tuple[int, Boundary]]:
    """Bases of a coding transcript that carry a boundary class.

    All bases of the start and stop codon; the first base (donor) and last base (acceptor) of every intron in the
    direction of transcription.
    """
    plus = transcript.strand is Strand.PLUS
    coding = [position for start, end in transcript.cds for position in (*range(start, min(end, start + 3)),)][:3]
    ending = [position for start, end in transcript.cds for position in range(max(start, end - 3), end)][-3:]
    start_codon, stop_codon = (coding, ending) if plus else (ending, coding)
    donor, acceptor = (
        (Boundary.DONOR_PLUS, Boundary.ACCEPTOR_PLUS) if plus else (Boundary.ACCEPTOR_MINUS, Boundary.DONOR_MINUS)
    )
    sites = [(left, donor) for left, _ in transcript.introns] + [
        (right - 1, acceptor) for _, right in transcript.introns
    ]
    sites += [(position, Boundary.START_PLUS if plus else Boundary.START_MINUS) for position in start_codon]
    sites += [(position, Boundary.STOP_PLUS if plus else Boundary.STOP_MINUS) for position in stop_codon]
    return sites
