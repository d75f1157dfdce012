"""Segment overlap scores: SOV'99 (Zemla et al. 1999) and SOV_refine (Liu & Wang 2018), for two-state tracks.

For each overlapping pair of an observed segment s1 and a predicted segment s2 of one state:

    minov = bases shared, maxov = bases from the first start to the last end of both
    SOV'99:      delta = min(maxov - minov, minov, len(s1) // 2, len(s2) // 2)
    SOV_refine:  delta = min(delta_all * len(s1) / L * minov / maxov, maxov - minov)
                 delta_all = states / sum over observed segments of all states of (len / L)^2
    numerator  += len(s1) * (minov + delta) / maxov
    normaliser += len(s1), once a pair; and len(s1) for an observed segment without partner

The score is numerator / normaliser. For the class alone (state 1) predicted segments that touch no observed one cost
nothing; summed over both states they do. SOV_refine depends on the length L of what is scored, so report it with the
score. Masked bases belong to no segment: they end segments on both sides, and L counts the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segnt_tools.sequence.intervals import Intervals, intersect, subtract


@dataclass(frozen=True, slots=True)
class SovSums:
    """Numerators and normalisers, which add up over contigs.

    Attributes:
        class_numerator, class_normaliser: sums over state 1.
        both_numerator, both_normaliser: sums over both states.
    """

    class_numerator: float = 0.0
    class_normaliser: float = 0.0
    both_numerator: float = 0.0
    both_normaliser: float = 0.0

    def __add__(self, other: SovSums) -> SovSums:
        return SovSums(
            self.class_numerator + other.class_numerator,
            self.class_normaliser + other.class_normaliser,
            self.both_numerator + other.both_numerator,
            self.both_normaliser + other.both_normaliser,
        )

    def times(self, weight: int) -> SovSums:
        """The sums as if everything had been scored `weight` times."""
        return SovSums(
            weight * self.class_numerator,
            weight * self.class_normaliser,
            weight * self.both_numerator,
            weight * self.both_normaliser,
        )

    @property
    def class_score(self) -> float | None:
        """Score of state 1; None where nothing was observed."""
        return self.class_numerator / self.class_normaliser if self.class_normaliser else None

    @property
    def both_score(self) -> float | None:
        """Score over both states; None where no base was scored."""
        return self.both_numerator / self.both_normaliser if self.both_normaliser else None


@dataclass(frozen=True, slots=True)
class SovPair:
    """Both definitions for one track."""

    sov99: SovSums = SovSums()
    refine: SovSums = SovSums()

    def __add__(self, other: SovPair) -> SovPair:
        return SovPair(self.sov99 + other.sov99, self.refine + other.refine)

    def times(self, weight: int) -> SovPair:
        """The sums as if everything had been scored `weight` times."""
        return SovPair(self.sov99.times(weight), self.refine.times(weight))


def _pairs(observed: Intervals, predicted: Intervals) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of all overlapping (observed, predicted) pairs, by bisection on disjoint sorted segments."""
    first = np.searchsorted(predicted[:, 1], observed[:, 0], side="right")
    last = np.searchsorted(predicted[:, 0], observed[:, 1], side="left")
    partners = last - first
    left = np.repeat(np.arange(len(observed)), partners)
    offsets = np.arange(len(left)) - np.repeat(np.cumsum(partners) - partners, partners)
    return left, np.repeat(first, partners) + offsets


def _state_sums(observed: Intervals, predicted: Intervals, refine_scale: float | None) -> tuple[float, float]:
    """Numerator and normaliser of one state; `refine_scale` is delta_all / L, or None for SOV'99."""
    left, right = _pairs(observed, predicted)
    sizes = observed[:, 1] - observed[:, 0]
    alone = float(sizes.sum() - sizes[np.unique(left)].sum())
    s1, s2 = observed[left], predicted[right]
    len1, len2 = s1[:, 1] - s1[:, 0], s2[:, 1] - s2[:, 0]
    shared = np.minimum(s1[:, 1], s2[:, 1]) - np.maximum(s1[:, 0], s2[:, 0])
    spanned = np.maximum(s1[:, 1], s2[:, 1]) - np.minimum(s1[:, 0], s2[:, 0])
    allowance: NDArray[np.float64]
    if refine_scale is None:
        allowance = np.minimum.reduce([spanned - shared, shared, len1 // 2, len2 // 2]).astype(np.float64)
    else:
        allowance = np.minimum(refine_scale * len1 * shared / spanned, spanned - shared)
    numerator = float((len1 * (shared + allowance) / spanned).sum())
    return numerator, alone + float(len1.sum())


def _refine_scale(present: Intervals, absent: Intervals) -> float:
    """delta_all / L of SOV_refine."""
    sizes = np.concatenate((present[:, 1] - present[:, 0], absent[:, 1] - absent[:, 0])).astype(np.float64)
    total = float(sizes.sum())
    states = bool(len(present)) + bool(len(absent))
    return states / float(((sizes / total) ** 2).sum()) / total if total else 0.0


def segment_overlap(observed: Intervals, predicted: Intervals, scored: Intervals) -> SovPair:
    """SOV sums of one track over one contig.

    Args:
        observed: segments of the truth.
        predicted: segments of the prediction.
        scored: the bases that count; both sides are cut to it, and the second state is the rest of it.
    """
    present, called = intersect(observed, scored), intersect(predicted, scored)
    absent, uncalled = subtract(scored, present), subtract(scored, called)
    scale = _refine_scale(present, absent)
    sums = [(_state_sums(present, called, choice), _state_sums(absent, uncalled, choice)) for choice in (None, scale)]
    return SovPair(
        *(SovSums(ones[0], ones[1], ones[0] + zeros[0], ones[1] + zeros[1]) for ones, zeros in sums),
    )
