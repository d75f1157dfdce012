"""What is wrong with the genes that were not found exactly: missed, merged, split, or wrong at one end or inside.

Every reference gene falls into one class, looking at coding parts and at the isoform that the prediction fits best:

    exact        a predicted transcript has the same coding parts
    missed       no predicted coding base on its strand
    merged       a predicted gene covers bases of it and of another gene of the reference
    split        several predicted genes cover bases of it
    start        only the start codon is misplaced, all other borders are right
    stop         only the stop codon is
    five_prime   the last coding part is right, the first is not
    three_prime  the first coding part is right, the last is not
    inside       anything else
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segnt_tools.elements import Strand
from segnt_tools.gff.genemodel import Gene
from segnt_tools.labels.rules import join_close
from segnt_tools.sequence.intervals import Intervals, intersect, length, overlaps, union

Chain = tuple[tuple[int, int], ...]

CLASSES = ("exact", "start", "stop", "five_prime", "three_prime", "inside", "merged", "split", "missed")


@dataclass(frozen=True, slots=True)
class GeneErrors:
    """Reference genes by class, and predicted genes on no coding base of the reference's strand.

    Attributes:
        classes: reference genes by class, in the order of `CLASSES`.
        false: predicted genes that touch no coding base of a reference gene on their strand.
    """

    classes: dict[str, int]
    false: int


@dataclass(frozen=True, slots=True)
class _Coding:
    """A gene's distinct chains of coding parts and the bases they cover."""

    chains: tuple[Chain, ...]
    covered: Intervals


class _Neighbours:
    """Genes of one contig and strand, asked for those that share coding bases with a gene."""

    def __init__(self, genes: Sequence[_Coding]) -> None:
        self.genes = genes
        spans = [(gene.covered[0, 0], gene.covered[-1, 1]) for gene in genes]
        self._spans = np.array(spans, dtype=np.int64).reshape(-1, 2)

    def touching(self, gene: _Coding) -> list[_Coding]:
        """Genes that share at least one coding base."""
        start, end = gene.covered[0, 0], gene.covered[-1, 1]
        near = np.flatnonzero((self._spans[:, 0] < end) & (self._spans[:, 1] > start)).tolist()
        return [self.genes[i] for i in near if overlaps(self.genes[i].covered, gene.covered).any()]


def classify_genes(truth: Iterable[Gene], predicted: Iterable[Gene], regions: Mapping[str, Intervals]) -> GeneErrors:
    """Classify every coding gene of the reference that lies in the regions as a whole.

    Args:
        truth: genes of the reference.
        predicted: genes of the prediction.
        regions: evaluated intervals of each contig.
    """
    ours, theirs = _by_site(truth, regions), _by_site(predicted, regions)
    counts: Counter[str] = Counter()
    false = 0
    for site in ours.keys() | theirs.keys():
        references, calls = _Neighbours(ours.get(site, [])), _Neighbours(theirs.get(site, []))
        counts.update(_class_of(reference, references, calls, site[1]) for reference in references.genes)
        false += sum(not references.touching(call) for call in calls.genes)
    return GeneErrors({name: counts[name] for name in CLASSES}, false)


def _by_site(genes: Iterable[Gene], regions: Mapping[str, Intervals]) -> dict[tuple[str, Strand], list[_Coding]]:
    sites: dict[tuple[str, Strand], list[_Coding]] = defaultdict(list)
    for gene in genes:
        chains = tuple(dict.fromkeys(chain for t in gene.transcripts if (chain := join_close(t.cds))))
        if not chains or gene.contig not in regions:
            continue
        covered = union([part for chain in chains for part in chain])
        span = np.array([[covered[0, 0], covered[-1, 1]]], dtype=np.int64)
        if length(intersect(span, regions[gene.contig])) == length(span):
            sites[gene.contig, gene.strand].append(_Coding(chains, covered))
    return sites


def _class_of(reference: _Coding, references: _Neighbours, calls: _Neighbours, strand: Strand) -> str:
    touching = calls.touching(reference)
    chains = [chain for call in touching for chain in call.chains]
    if not touching:
        return "missed"
    if set(chains) & set(reference.chains):
        return "exact"
    if any(other is not reference for call in touching for other in references.touching(call)):
        return "merged"
    if len(touching) > 1:
        return "split"
    differences = (_difference(ours, theirs, strand) for ours in reference.chains for theirs in chains)
    return min(differences, key=CLASSES.index)


def _difference(ours: Chain, theirs: Chain, strand: Strand) -> str:
    """How two chains that are not equal differ, in the direction of the strand."""
    if strand is Strand.MINUS:
        ours, theirs = _mirrored(ours), _mirrored(theirs)
    if ours[1:] == theirs[1:] and ours[0][1] == theirs[0][1]:
        return "start"
    if ours[:-1] == theirs[:-1] and ours[-1][0] == theirs[-1][0]:
        return "stop"
    match ours[0] == theirs[0], ours[-1] == theirs[-1]:
        case False, True:
            return "five_prime"
        case True, False:
            return "three_prime"
        case _:
            return "inside"


def _mirrored(chain: Chain) -> Chain:
    return tuple((-end, -start) for start, end in reversed(chain))
