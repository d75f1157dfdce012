"""The rules by which annotation becomes labels, with the choices that the SegmentNT paper leaves open as options.

Known of the paper (spec: paper.md a): GENCODE without level-3 (automatic) transcripts; splice sites as HISAT2's script
finds them; enhancers and promoters of ENCODE's registry of cCREs, told apart as tissue-invariant or tissue-specific by
overlap with the index of DNase hypersensitive sites; classes may overlap. Not known, and hence options with these
defaults: which bases a splice site covers (the exonic one that the script names), whether lncRNA means the gene or its
exons (the gene), what CTCF-bound means (every cCRE with that suffix), whose exons count (those of all transcripts).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from segnt_tools.sequence.intervals import joined

Interval = tuple[int, int]

# HISAT2's script joins exons whose start lies at most 5 after the end before, in 1-based inclusive coordinates: gaps of
# up to 4 bases, which are frameshifts rather than introns.
JOIN_GAP = 4


class SpliceSide(StrEnum):
    """Which side of the exon-intron border a splice site covers."""

    EXON = "exon"
    INTRON = "intron"
    BOTH = "both"


class Whose(StrEnum):
    """Whose exons, introns and splice sites are labelled."""

    ALL = "all"
    CODING = "coding"


@dataclass(frozen=True, slots=True)
class LabelRules:
    """Options of the labels.

    Attributes:
        drop_level_3: leave out transcripts of GENCODE's level 3.
        splice_side, splice_width: bases that a splice site covers on the chosen side(s) of the border.
        whose: transcripts that give exons, introns and splice sites.
        lncrna_exons: label the exons of lncRNA, not their whole genes.
        ctcf_only: CTCF-bound means cCREs of class CTCF-only, not every cCRE with the suffix CTCF-bound.
        unknown_flank: bases on either side of a coding gene that may hold its unknown UTRs, where an annotation knows
            coding parts only; elements that could be there are masked.
    """

    drop_level_3: bool = True
    splice_side: SpliceSide = SpliceSide.EXON
    splice_width: int = 1
    whose: Whose = Whose.ALL
    lncrna_exons: bool = False
    ctcf_only: bool = False
    unknown_flank: int = 1000


def join_close(parts: Iterable[Interval]) -> tuple[Interval, ...]:
    """Parts of a transcript, ascending, with gaps of at most `JOIN_GAP` bases closed."""
    return joined(parts, JOIN_GAP)


def splice_sites(exons: Iterable[Interval], rules: LabelRules) -> tuple[list[Interval], list[Interval]]:
    """Left and right sites of every intron: on the plus strand donors and acceptors, on the minus strand the reverse.

    As HISAT2's script: exons of one base are ignored, close exons are joined, and the sites are the last base of the
    exon to the left and the first of the exon to the right.
    """
    chain = join_close((start, end) for start, end in exons if end - start > 1)
    inside = rules.splice_width if rules.splice_side is not SpliceSide.INTRON else 0
    beyond = rules.splice_width if rules.splice_side is not SpliceSide.EXON else 0
    left, right = [], []
    for (_, intron_start), (intron_end, _) in pairwise(chain):
        left.append((max(intron_start - inside, 0), intron_start + beyond))
        right.append((intron_end - beyond, intron_end + inside))
    return left, right
