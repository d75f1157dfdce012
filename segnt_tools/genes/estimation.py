"""Decoder parameters that depend on the organism, measured on an annotation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segnt_tools.elements import Strand
from segnt_tools.errors import UsageError
from segnt_tools.genes.parameters import SHORTEST_EXON, SHORTEST_INTRON, GeneParameters
from segnt_tools.gff.genemodel import Gene, Interval, Transcript
from segnt_tools.gff.sequences import spliced
from segnt_tools.sequence.codes import decode

LONGEST_FRAMESHIFT = 10  # gaps in a CDS up to this length are frameshifts or errors, no introns
_FEWEST_GENES = 10
_INTRON_QUANTILE = 0.005  # shorter introns are mostly errors of the annotation
_RARE_START = 0.01


class Bases(Protocol):
    """Where sequences come from."""

    def codes(self, contig: str, start: int, end: int) -> NDArray[np.uint8]:
        """Base codes of a stretch of a contig."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What was measured.

    Attributes:
        values: parameters by name.
        genes: coding genes used.
        introns: introns of their coding sequences.
    """

    values: dict[str, Any]
    genes: int
    introns: int


def estimate_parameters(genes: Iterable[Gene], bases: Bases, base: GeneParameters) -> Estimate:
    """Lengths, splice classes, start codons and presence of UTRs of an annotation's longest isoforms.

    Costs that follow from frequencies (GC-AG, AT-AC introns) are log ratios to the usual class; bonuses and weights are
    not estimated here, because they depend on the model.

    Raises:
        UsageError: there are too few complete genes to estimate anything.
    """
    starts: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    introns: list[int] = []
    parts: list[int] = []
    with_utr = count = 0
    for gene in genes:
        transcript = longest(gene)
        if transcript is None or transcript.partial_5 or transcript.partial_3:
            continue
        codon = decode(spliced(bases, gene.contig, transcript.cds, transcript.strand)[:3])
        if len(codon) < 3 or "N" in codon:
            continue
        count += 1
        starts[codon] += 1
        parts += [end - start for start, end in transcript.cds]
        with_utr += transcript.exons[0][0] < transcript.cds[0][0] or transcript.exons[-1][1] > transcript.cds[-1][1]
        for intron in coding_introns(transcript):
            introns.append(intron[1] - intron[0])
            classes[splice_class(bases, gene.contig, intron, transcript.strand)] += 1
    if count < _FEWEST_GENES:
        raise UsageError(
            f"only {count} complete coding genes: too few to estimate parameters",
            hint="Give an annotation of the same assembly with more genes",
        )
    values: dict[str, Any] = {"utr": with_utr > count / 2}
    usual = [codon for codon, number in starts.most_common() if number >= _RARE_START * count]
    allowed = [codon for codon in usual if codon in base.known_starts]
    values["start_codons"] = allowed or list(base.start_codons)
    values["min_cds_exon"] = max(SHORTEST_EXON, int(np.quantile(parts, _INTRON_QUANTILE)))
    if introns:
        values |= _intron_values(introns, classes)
    return Estimate(values, count, len(introns))


def _intron_values(introns: list[int], classes: Counter[str]) -> dict[str, Any]:
    usual = max(classes["GT-AG"], 1)
    shortest = max(SHORTEST_INTRON, int(np.quantile(introns, _INTRON_QUANTILE)))
    return {
        "min_intron": shortest,
        "mean_intron": round(float(np.mean(introns)), 1),
        # One more than counted, so that what a small annotation lacks is rare and not impossible.
        "gc_donor": round(math.log((classes["GC-AG"] + 1) / usual), 2),
        "at_ac": round(math.log((classes["AT-AC"] + 1) / usual), 2),
    }


def longest(gene: Gene) -> Transcript | None:
    """The transcript with the longest coding sequence, the first of equals; None if none codes."""
    coding = [transcript for transcript in gene.transcripts if transcript.cds]
    return max(coding, key=lambda transcript: transcript.coding_length, default=None)


def coding_introns(transcript: Transcript) -> list[Interval]:
    """Introns between coding parts, frameshifts left out."""
    gaps = [(left[1], right[0]) for left, right in zip(transcript.cds, transcript.cds[1:], strict=False)]
    return [gap for gap in gaps if gap[1] - gap[0] > LONGEST_FRAMESHIFT]


def splice_class(bases: Bases, contig: str, intron: Interval, strand: Strand) -> str:
    """First and last two bases of an intron, such as `GT-AG`."""
    sequence = decode(spliced(bases, contig, (intron,), strand))
    return f"{sequence[:2]}-{sequence[-2:]}"
