"""Making scores honest: which features of called genes an annotation calls right, and the map that makes scores say so.

Posteriors of a decoder whose costs were fitted by hand are too sure of themselves. A map per kind of feature takes
their logit to `slope x logit + offset`; the order of features of a kind stays as it was. What a score claims, and hence
what counts as right (on the same strand, in any transcript of the annotation):

    gene    a coding base of it is a coding base of the annotation: the share of its coding bases that are
    mRNA    all coding parts together, both ends of each
    exon    its coding part and its ends; the outer end of a transcript is free
    CDS     both ends of this coding part
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segnt_tools.elements import Strand
from segnt_tools.gff.genemodel import Gene, Interval, Transcript
from segnt_tools.sequence.intervals import union

SCORED_KINDS = ("gene", "mRNA", "exon", "CDS")
IDENTITY = (1.0, 0.0)
_SUREST = 1e-6  # probabilities nearer to 0 or 1 are rounding
_FEWEST_FEATURES = 50
_STEPS = 50
_DECIMALS = 3

ScoreMap = Mapping[str, tuple[float, float]]
Place = tuple[str, Strand]
ExonKey = tuple[Place, int | None, int | None, Interval | None]


def mapped(pair: tuple[float, float], probability: float) -> float:
    """A probability taken through a map of slope and offset."""
    if pair == IDENTITY:
        return probability
    clipped = min(max(probability, _SUREST), 1 - _SUREST)
    slope, offset = pair
    return 1.0 / (1.0 + math.exp(-(slope * (math.log(clipped) - math.log1p(-clipped)) + offset)))


@dataclass(frozen=True, slots=True)
class Judged:
    """Features of a kind, held against an annotation; arrays of shape (features,).

    Attributes:
        scores: probabilities from 0 to 1.
        right: share of each that is right, 0 or 1 but for genes.
        weights: what each counts: coding bases of genes, 1 else.
    """

    scores: NDArray[np.float64]
    right: NDArray[np.float64]
    weights: NDArray[np.float64]

    def through(self, pair: tuple[float, float]) -> Judged:
        """The same features with their scores taken through a map."""
        scores = np.array([mapped(pair, score) for score in self.scores.tolist()])
        return Judged(scores, self.right, self.weights)

    def log_loss(self) -> float:
        """Mean negative log probability of what was seen; infinite without features."""
        if not self.scores.size:
            return math.inf
        p = np.clip(self.scores, 1e-3, 1 - 1e-3)
        return float(-np.average(self.right * np.log(p) + (1 - self.right) * np.log1p(-p), weights=self.weights))


class Truth:
    """An annotation, asked which features of called genes are right.

    Args:
        genes: genes of the annotation, all isoforms.
    """

    def __init__(self, genes: Iterable[Gene]) -> None:
        self._chains: set[tuple[Place, tuple[Interval, ...]]] = set()
        self._parts: set[tuple[Place, Interval]] = set()
        self._exons: set[ExonKey] = set()
        covered: dict[Place, list[Interval]] = defaultdict(list)
        for gene in genes:
            place = (gene.contig, gene.strand)
            for transcript in gene.transcripts:
                if not transcript.cds:
                    continue
                self._chains.add((place, transcript.cds))
                self._parts.update((place, part) for part in transcript.cds)
                covered[place] += transcript.cds
                for exon in transcript.exons:
                    start, end = exon
                    coding = coding_part(transcript, exon)
                    self._exons.update((place, a, b, coding) for a in (start, None) for b in (end, None))
        self._covered = {place: _Covered(parts) for place, parts in covered.items()}

    def judged(self, genes: Iterable[Gene]) -> dict[str, Judged]:
        """All features of whole coding genes by kind; genes that an end cuts are left out."""
        rows: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in SCORED_KINDS}
        for gene in genes:
            for transcript in gene.transcripts:
                if transcript.cds and not transcript.partial_5 and not transcript.partial_3:
                    self._judge((gene.contig, gene.strand), gene.score, transcript, rows)
        return {kind: Judged(*np.array(values, dtype=np.float64).reshape(-1, 3).T) for kind, values in rows.items()}

    def _judge(
        self,
        place: Place,
        gene_score: float | None,
        transcript: Transcript,
        rows: dict[str, list[tuple[float, float, float]]],
    ) -> None:
        if gene_score is not None:
            share = self._coding_bases(place, transcript) / transcript.coding_length
            rows["gene"].append((gene_score, share, transcript.coding_length))
        if transcript.score is not None:
            rows["mRNA"].append((transcript.score, (place, transcript.cds) in self._chains, 1))
        for part, score in zip(transcript.cds, transcript.cds_scores, strict=bool(transcript.cds_scores)):
            rows["CDS"].append((score, (place, part) in self._parts, 1))
        exons = _keys(place, transcript)
        for key, score in zip(exons, transcript.exon_scores, strict=bool(transcript.exon_scores)):
            rows["exon"].append((score, key in self._exons, 1))

    def _coding_bases(self, place: Place, transcript: Transcript) -> int:
        covered = self._covered.get(place)
        return sum(covered.within(*part) for part in transcript.cds) if covered else 0


class _Covered:
    """Bases that any of some intervals covers."""

    def __init__(self, intervals: Sequence[Interval]) -> None:
        self._starts, self._ends = union(intervals).T
        self._before = np.concatenate(([0], np.cumsum(self._ends - self._starts)))

    def within(self, start: int, end: int) -> int:
        """Covered bases from start to end."""
        return self._left_of(end) - self._left_of(start)

    def _left_of(self, place: int) -> int:
        number = int(np.searchsorted(self._starts, place, side="right"))
        if not number:
            return 0
        last = number - 1
        return int(self._before[last] + min(place, self._ends[last]) - self._starts[last])


def coding_part(transcript: Transcript, exon: Interval) -> Interval | None:
    """The coding part of an exon."""
    inside = [(max(exon[0], start), min(exon[1], end)) for start, end in transcript.cds]
    return next((part for part in inside if part[0] < part[1]), None)


def _keys(place: Place, transcript: Transcript) -> Iterator[ExonKey]:
    """What the exons of a called transcript claim: outer ends are free."""
    last = len(transcript.exons) - 1
    for number, exon in enumerate(transcript.exons):
        yield place, exon[0] if number else None, exon[1] if number < last else None, coding_part(transcript, exon)


def fit_score_map(judged: Mapping[str, Judged]) -> dict[str, tuple[float, float]]:
    """The map of each kind that makes its scores most likely to say how often features are right.

    Kinds with too few features are left out, which means that their scores stay as they are.
    """
    fitted = {kind: _fitted(features) for kind, features in judged.items()}
    return {kind: pair for kind, pair in fitted.items() if pair is not None}


def _fitted(features: Judged) -> tuple[float, float] | None:
    """Slope and offset by logistic regression (Platt's scaling, with his targets short of 0 and 1); None: too few."""
    size = features.scores.size
    if size < _FEWEST_FEATURES:
        return None
    weights = features.weights / features.weights.mean()
    present = float((weights * features.right).sum())
    high, low = (present + 1) / (present + 2), 1 / (size - present + 2)
    target = features.right * high + (1 - features.right) * low
    clipped = np.clip(features.scores, _SUREST, 1 - _SUREST)
    design = np.column_stack([np.log(clipped) - np.log1p(-clipped), np.ones(size)])
    slope, offset = logistic(design, target, weights)
    if slope < 0:  # scores that say nothing get one value
        mean = float(np.average(target, weights=weights))
        slope, offset = 0.0, math.log(mean) - math.log1p(-mean)
    return round(slope, _DECIMALS), round(offset, _DECIMALS)


def logistic(
    design: NDArray[np.float64], target: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[float, float]:
    """Coefficients of a logistic regression by Newton's method with steps halved until they help."""

    def loss(coefficients: NDArray[np.float64]) -> float:
        logits = design @ coefficients
        return float((weights * (np.logaddexp(0.0, logits) - target * logits)).sum())

    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(design @ found)))
        slope = design.T @ (weights * (p - target))
        curvature = (design * (weights * p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(found.size)
        step = np.linalg.solve(curvature, slope)
        while loss(found - step) > loss(found) and np.abs(step).max() > 1e-9:
            step = step / 2
        found = found - step
        if np.abs(step).max() < 1e-7:
            break
    return float(found[0]), float(found[1])
