"""Whether the scores of gene models (column 6) can be taken at their word, and what a threshold on them would keep.

Three levels are looked at, all of coding parts, with what each score claims:

    exon        a coding part, right if the reference has one with both ends equal
    transcript  a chain of coding parts, right if a transcript of the reference has the same
    gene        coding bases, each with the score of its gene, right if the reference has them coding on that strand

These are the scores of `segnt call-genes`. Of another program precision and recall are given for whatever numbers it
writes; reliability only where all of them lie between 0 and 1. What carries no score is left out of both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from segnt_tools.evaluation.calibration import Calibration, reliability
from segnt_tools.evaluation.curves import CurvePoint, thinned_curve
from segnt_tools.evaluation.genes import Chain, Inventory, Site, chain_of, inventories
from segnt_tools.gff.genemodel import Gene, Interval
from segnt_tools.sequence.intervals import Intervals, clip, intersect, length, union

SCORE_LEVELS = ("exon", "transcript", "gene")
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class ScoreTrust:
    """How scores of one level relate to the truth.

    Attributes:
        level: one of `SCORE_LEVELS`.
        unit: what is counted.
        scored: how many of the prediction carry a score.
        calibration: reliability; None where scores are no probabilities.
        curve: precision and recall of what scores at least a threshold.
    """

    level: str
    unit: str
    scored: int
    calibration: Calibration | None
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True)
class _Scored:
    """Scored items, each array of shape (items,): score, weight, and how much of the weight is right."""

    score: NDArray[np.float64]
    weight: NDArray[np.int64]
    right: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Iterable[tuple[float, int, int]]) -> _Scored:
        # Sorted, because sums of floats depend on the order and that of sets differs from run to run.
        table = np.array(sorted(rows), dtype=np.float64).reshape(-1, 3)
        return cls(table[:, 0], table[:, 1].astype(np.int64), table[:, 2].astype(np.int64))

    def trust(self, level: str, unit: str, present: int) -> ScoreTrust:
        """Reliability and curve, given how much the reference has."""
        probabilities = self.score.size and bool(((self.score >= 0) & (self.score <= 1)).all())
        found = reliability(self.score, self.weight, self.right) if probabilities else None
        return ScoreTrust(level, unit, int(self.weight.sum()), found, self._curve(present))

    def _curve(self, present: int) -> tuple[CurvePoint, ...]:
        if not present or not self.score.size:
            return ()
        thresholds, owner = np.unique(-self.score, return_inverse=True)
        true = np.cumsum(np.bincount(owner, self.right).astype(np.float64))
        false = np.cumsum(np.bincount(owner, self.weight - self.right).astype(np.float64))
        return thinned_curve(-thresholds, true, false, present)


def trust_in_scores(
    truth: Iterable[Gene], predicted: Sequence[Gene], regions: Mapping[str, Intervals]
) -> tuple[ScoreTrust, ...]:
    """Reliability and precision-recall of every level that carries scores.

    Args:
        truth: genes of the reference, all isoforms.
        predicted: genes of the prediction.
        regions: evaluated intervals of each contig; what counts inside is what `compare_genes` counts.
    """
    reference, called = inventories(truth, predicted, regions, "cds")
    exons, chains, genes = _scores_of(predicted)
    found = (
        _of_items(exons, called.exons, reference.exons).trust("exon", "coding parts", len(reference.exons)),
        _of_items(chains, called.chains, reference.chains).trust("transcript", "transcripts", len(reference.chains)),
        _of_genes(genes, called, reference),
    )
    return tuple(one for one in found if one.scored)


def _scores_of(
    genes: Iterable[Gene],
) -> tuple[
    dict[tuple[Site, Interval], float], dict[tuple[Site, Chain], float], dict[tuple[Site, tuple[Chain, ...]], float]
]:
    """Scores of coding parts, chains and genes; the highest where several claim the same."""
    exons: dict[tuple[Site, Interval], float] = {}
    chains: dict[tuple[Site, Chain], float] = {}
    whole: dict[tuple[Site, tuple[Chain, ...]], float] = {}
    for gene in genes:
        site = (gene.contig, gene.strand)
        for one in gene.transcripts:
            for part, score in zip(one.cds, one.cds_scores, strict=False):
                exons[site, part] = max(score, exons.get((site, part), score))
            chain = chain_of(one, "cds")
            if one.score is not None:
                chains[site, chain] = max(one.score, chains.get((site, chain), one.score))
        if gene.score is not None:
            coding = tuple(dict.fromkeys(chain for one in gene.transcripts if (chain := chain_of(one, "cds"))))
            whole[site, coding] = gene.score
    return exons, chains, whole


def _of_items(scores: Mapping[_Item, float], called: Iterable[_Item], reference: set[_Item]) -> _Scored:
    return _Scored.of((scores[item], 1, int(item in reference)) for item in called if item in scores)


def _of_genes(
    scores: Mapping[tuple[Site, tuple[Chain, ...]], float], called: Inventory, reference: Inventory
) -> ScoreTrust:
    parts: dict[Site, list[Interval]] = defaultdict(list)
    for site, chains in reference.genes:
        parts[site].extend(part for chain in chains for part in chain)
    coding = {site: union(several) for site, several in parts.items()}
    rows = []
    for site, chains in called.genes:
        if (site, chains) in scores:
            bases = union([part for chain in chains for part in chain])
            near = clip(coding[site], int(bases[0, 0]), int(bases[-1, 1])) if site in coding else bases[:0]
            rows.append((scores[site, chains], length(bases), length(intersect(bases, near))))
    return _Scored.of(rows).trust("gene", "coding bases", sum(map(length, coding.values())))
