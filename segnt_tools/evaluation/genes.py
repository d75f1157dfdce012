"""Gene finding scored against a reference annotation: nucleotides, exons, introns, transcripts and genes.

The rules, which follow gffcompare where it has one:

* Every isoform of the reference counts, and every isoform of the prediction. What isoforms share counts once: the sets
  compared are distinct (contig, strand, start, end) exons and introns and distinct chains of exons.
* Nucleotides: bases on the same strand that any isoform covers, on both sides.
* Exon and intron: both ends equal. Transcript: all exons equal. Intron chain: all introns equal, of transcripts that
  have any. Gene: at least one transcript equal to one of the other side's, whatever gene that belongs to.
* Sensitivity is the share of the reference that was found, precision the share of the prediction that is right; the F1
  is their harmonic mean. A level without reference (or prediction) has no sensitivity (or precision), and no F1 when
  both are absent.
* The view `cds` looks at coding parts only, so that a predictor without UTRs is not punished; transcripts without a
  CDS are left out. The view `exon` looks at whole exons of all transcripts, with exact ends.
* Gaps of at most `JOIN_GAP` bases join their neighbours (a frameshift is no intron), as HISAT2's script does.
* Inside regions: nucleotides are clipped; exons and introns count when wholly inside; transcripts likewise. A gene that
  a border cuts is left out, and so is a predicted gene that overlaps a cut gene of the reference on its strand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np

from segnt_tools.elements import Strand
from segnt_tools.gff.genemodel import Gene, Interval, Transcript
from segnt_tools.labels.rules import join_close
from segnt_tools.sequence.intervals import Intervals, intersect, length, overlaps, union

View = Literal["cds", "exon"]
Chain = tuple[Interval, ...]
Site = tuple[str, Strand]  # contig and strand

VIEWS: tuple[View, ...] = ("cds", "exon")
LEVELS = ("nucleotide", "exon", "intron", "intron_chain", "transcript", "gene")


@dataclass(frozen=True, slots=True)
class LevelScore:
    """Counts of one level.

    Attributes:
        truth: items of the reference.
        found: those of them that the prediction has.
        predicted: items of the prediction.
        right: those of them that the reference has (differs from `found` for genes only).
    """

    truth: int
    found: int
    predicted: int
    right: int

    @property
    def sensitivity(self) -> float | None:
        """Found share of the reference (recall); None where the reference has nothing."""
        return self.found / self.truth if self.truth else None

    @property
    def precision(self) -> float | None:
        """Right share of the prediction; None where nothing was predicted."""
        return self.right / self.predicted if self.predicted else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of both; None where the reference has nothing, 0 where nothing was predicted."""
        if not self.truth:
            return None
        recall, precision = self.sensitivity or 0.0, self.precision or 0.0
        return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


@dataclass(frozen=True, slots=True)
class GeneScores:
    """Scores of one prediction in one view, by level."""

    view: View
    levels: dict[str, LevelScore]


@dataclass(slots=True)
class Inventory:
    """What one side has inside the regions.

    Attributes:
        covered: bases of each contig and strand that any isoform covers.
        exons, introns, chains: distinct ones, wholly inside.
        genes: chains of each gene that lies inside as a whole.
        cut: spans of genes that a border cuts.
    """

    covered: dict[Site, Intervals] = field(default_factory=dict)
    exons: set[tuple[Site, Interval]] = field(default_factory=set)
    introns: set[tuple[Site, Interval]] = field(default_factory=set)
    chains: set[tuple[Site, Chain]] = field(default_factory=set)
    genes: list[tuple[Site, tuple[Chain, ...]]] = field(default_factory=list)
    cut: dict[Site, list[Interval]] = field(default_factory=lambda: defaultdict(list))


def introns_of(chain: Chain) -> Chain:
    """Gaps between the parts of a chain."""
    return tuple((left[1], right[0]) for left, right in pairwise(chain))


def chain_of(transcript: Transcript, view: View) -> Chain:
    """The parts of a transcript that a view compares, joined over frameshifts."""
    return join_close(transcript.cds if view == "cds" else transcript.exons)


class _Regions:
    """Answers whether a span lies inside, across a border of, or outside the evaluated regions."""

    def __init__(self, regions: Mapping[str, Intervals]) -> None:
        self._regions = regions

    def touches(self, contig: str, span: Interval) -> bool:
        return contig in self._regions and bool(overlaps([span], self._regions[contig])[0])

    def contains(self, contig: str, span: Interval) -> bool:
        intervals = self._regions.get(contig)
        if intervals is None:
            return False
        index = int(np.searchsorted(intervals[:, 0], span[0], side="right")) - 1
        return index >= 0 and span[1] <= intervals[index, 1]

    def clip(self, contig: str, intervals: Intervals) -> Intervals:
        return intersect(intervals, self._regions[contig])


def _take(genes: Iterable[Gene], regions: _Regions, view: View) -> Inventory:
    inventory = Inventory()
    bases: dict[Site, list[Interval]] = defaultdict(list)
    for gene in genes:
        chains = tuple(dict.fromkeys(c for t in gene.transcripts if (c := chain_of(t, view))))
        if not chains:
            continue
        site = (gene.contig, gene.strand)
        spans = [(chain[0][0], chain[-1][1]) for chain in chains]
        if not any(regions.touches(gene.contig, span) for span in spans):
            continue
        for chain in chains:
            bases[site].extend(chain)
            inventory.exons.update((site, part) for part in chain if regions.contains(gene.contig, part))
            inventory.introns.update((site, gap) for gap in introns_of(chain) if regions.contains(gene.contig, gap))
        inside = [regions.contains(gene.contig, span) for span in spans]
        inventory.chains.update((site, chain) for chain, whole in zip(chains, inside, strict=True) if whole)
        if all(inside):
            inventory.genes.append((site, chains))
        else:
            inventory.cut[site].append((min(s for s, _ in spans), max(e for _, e in spans)))
    inventory.covered = {site: regions.clip(site[0], union(parts)) for site, parts in bases.items()}
    return inventory


def _drop_shadowed(predicted: Inventory, truth: Inventory) -> None:
    """Leave out predicted genes and transcripts that lie on a gene of the reference which a border cuts."""
    for site, spans in truth.cut.items():
        cut = union(spans)

        def clear(chain: Chain, site: Site = site, cut: Intervals = cut) -> bool:
            return not overlaps([(chain[0][0], chain[-1][1])], cut)[0]

        predicted.genes = [g for g in predicted.genes if g[0] != site or all(clear(chain) for chain in g[1])]
        predicted.chains = {c for c in predicted.chains if c[0] != site or clear(c[1]) or c in truth.chains}


def _nucleotides(truth: Inventory, predicted: Inventory) -> LevelScore:
    shared = sum(
        length(intersect(truth.covered[s], predicted.covered[s])) for s in truth.covered if s in predicted.covered
    )
    total = sum(length(covered) for covered in truth.covered.values())
    called = sum(length(covered) for covered in predicted.covered.values())
    return LevelScore(total, shared, called, shared)


def _sets(truth: AbstractSet[object], predicted: AbstractSet[object]) -> LevelScore:
    shared = len(truth & predicted)
    return LevelScore(len(truth), shared, len(predicted), shared)


def _intron_chains(chains: set[tuple[Site, Chain]]) -> set[tuple[Site, Chain]]:
    return {(site, introns_of(chain)) for site, chain in chains if len(chain) > 1}


def _genes(truth: Inventory, predicted: Inventory) -> LevelScore:
    found = sum(any((site, chain) in predicted.chains for chain in chains) for site, chains in truth.genes)
    right = sum(any((site, chain) in truth.chains for chain in chains) for site, chains in predicted.genes)
    return LevelScore(len(truth.genes), found, len(predicted.genes), right)


def inventories(
    truth: Iterable[Gene], predicted: Iterable[Gene], regions: Mapping[str, Intervals], view: View
) -> tuple[Inventory, Inventory]:
    """What both sides have inside the regions, by the rules at the top of this file."""
    inside = _Regions(regions)
    reference, called = _take(truth, inside, view), _take(predicted, inside, view)
    _drop_shadowed(called, reference)
    return reference, called


def compare_genes(
    truth: Iterable[Gene], predicted: Iterable[Gene], regions: Mapping[str, Intervals], view: View = "cds"
) -> GeneScores:
    """Score predicted genes against a reference by the rules at the top of this file.

    Args:
        truth: genes of the reference, all isoforms.
        predicted: genes of the prediction.
        regions: evaluated intervals of each contig; genes elsewhere are ignored on both sides.
        view: coding parts or whole exons.
    """
    reference, called = inventories(truth, predicted, regions, view)
    return GeneScores(
        view,
        {
            "nucleotide": _nucleotides(reference, called),
            "exon": _sets(reference.exons, called.exons),
            "intron": _sets(reference.introns, called.introns),
            "intron_chain": _sets(_intron_chains(reference.chains), _intron_chains(called.chains)),
            "transcript": _sets(reference.chains, called.chains),
            "gene": _genes(reference, called),
        },
    )
