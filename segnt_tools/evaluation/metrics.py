"""Per-base metrics of tracks from streaming histograms: MCC, F1, Jaccard, auPRC at any size of genome.

Probabilities are sorted into fine bins on the logit scale. Bins are narrower than the steps of 8-bit tracks files, so
that all figures are exact for those, and 0.5 is a bin edge, so that counts at 0.5 are exact for any input. A histogram
of positives and one of negatives say everything: confusion counts at every threshold, the precision-recall curve and
the calibration. Memory does not depend on the number of bases.

Formulas: MCC = (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)), never in 64-bit integers, which products of four
counts pass on a genome; F1 = 2 TP / (2 TP + FP + FN); Jaccard = TP / (TP + FP + FN); auPRC is the average precision,
the sum over thresholds of precision times the step in recall, as scikit-learn has it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segnt_tools.errors import UsageError
from segnt_tools.evaluation.curves import CurvePoint, thinned_curve

Bins = NDArray[np.int16]

MASKED = 255
LOGIT_LIMIT = 16.0
BINS_PER_LOGIT = 128
BINS = int(2 * LOGIT_LIMIT * BINS_PER_LOGIT) + 1  # bin 0 holds probability 0 and all below the lower limit


def bin_of(probability: NDArray[np.floating]) -> Bins:
    """Bin of each probability, any shape."""
    with np.errstate(divide="ignore"):
        logit = np.log(probability) - np.log1p(-probability)
    # Floor before the shift: adding 16 to a float32 logit just below 0 would round it up to the edge.
    steps = np.clip(np.floor(logit * BINS_PER_LOGIT), -BINS, BINS).astype(np.int64)
    bins: Bins = np.clip(steps + (int(LOGIT_LIMIT * BINS_PER_LOGIT) + 1), 0, BINS - 1).astype(np.int16)
    return bins


def bin_probability() -> NDArray[np.float64]:
    """Probability at the middle of each bin; 0 for the first."""
    logit = (np.arange(BINS - 1) + 0.5) / BINS_PER_LOGIT - LOGIT_LIMIT
    return np.concatenate(([0.0], 1.0 / (1.0 + np.exp(-logit))))


def _lower_edges() -> NDArray[np.float64]:
    """Lowest probability of each bin; 0 for the first."""
    logit = np.arange(BINS - 1) / BINS_PER_LOGIT - LOGIT_LIMIT
    return np.concatenate(([0.0], 1.0 / (1.0 + np.exp(-logit))))


def threshold_bin(threshold: float) -> int:
    """First bin at or above a threshold.

    Raises:
        UsageError: the threshold is not inside (0, 1).
    """
    if not 0.0 < threshold < 1.0:
        raise UsageError(f"threshold {threshold} is not between 0 and 1")
    return math.ceil(min(max((math.log(threshold / (1 - threshold)) + LOGIT_LIMIT) * BINS_PER_LOGIT, 0), BINS - 2)) + 1


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of bases at a threshold."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def bases(self) -> int:
        """All bases that were compared."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def defined(self) -> bool:
        """Whether the truth has both present and absent bases; without, no metric says anything."""
        return self.tp + self.fn > 0 and self.fp + self.tn > 0

    @property
    def mcc(self) -> float | None:
        """Matthews correlation; 0 where the prediction is constant."""
        if not self.defined:
            return None
        tp, fp, fn, tn = self.tp, self.fp, self.fn, self.tn
        # Products of Python's integers are exact; only their roots are float64.
        scale = math.sqrt((tp + fp) * (tp + fn)) * math.sqrt((tn + fp) * (tn + fn))
        return min(max((tp * tn - fp * fn) / scale, -1.0), 1.0) if scale else 0.0

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall."""
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn) if self.defined else None

    @property
    def jaccard(self) -> float | None:
        """Shared bases over bases in either."""
        return self.tp / (self.tp + self.fp + self.fn) if self.defined else None

    @property
    def precision(self) -> float | None:
        """Right share of the called bases; None where nothing was called."""
        return self.tp / (self.tp + self.fp) if self.defined and self.tp + self.fp else None

    @property
    def recall(self) -> float | None:
        """Called share of the present bases."""
        return self.tp / (self.tp + self.fn) if self.defined else None


_STATE = np.zeros(256, dtype=np.int32)
_STATE[[1, MASKED]] = (BINS, 2 * BINS)


def count_states(bins: Bins, truth: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Counts of absent, present and masked bases in each bin, shape (3, BINS)."""
    return np.bincount((_STATE[truth] + bins).ravel(), minlength=3 * BINS).reshape(3, BINS)


class ScoreHistogram:
    """Histograms of the probabilities of present and of absent bases, for one track.

    Attributes:
        absent, present: int64 counts of shape (BINS,).
        masked: bases left out because their truth is unknown.
    """

    def __init__(self) -> None:
        self.absent: NDArray[np.int64] = np.zeros(BINS, dtype=np.int64)
        self.present: NDArray[np.int64] = np.zeros(BINS, dtype=np.int64)
        self.masked = 0

    def add(self, bins: Bins, truth: NDArray[np.uint8]) -> None:
        """Count bases: their bins, and their truth (0 absent, 1 present, 255 masked), of equal shape."""
        self.add_counts(count_states(bins, truth))

    def add_counts(self, counts: NDArray[np.int64], weight: int = 1) -> None:
        """Add counts of absent, present and masked bases by bin, `weight` times."""
        self.absent += weight * counts[0]
        self.present += weight * counts[1]
        self.masked += weight * int(counts[2].sum())

    def confusion(self, threshold: float = 0.5) -> Confusion:
        """Counts when bases at or above the threshold are called present."""
        first = threshold_bin(threshold)
        return Confusion(
            tp=int(self.present[first:].sum()),
            fp=int(self.absent[first:].sum()),
            fn=int(self.present[:first].sum()),
            tn=int(self.absent[:first].sum()),
        )

    def _curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """True and false positives when everything from a bin up is called, from the top bin down."""
        return (
            np.cumsum(self.present[::-1]).astype(np.float64),
            np.cumsum(self.absent[::-1]).astype(np.float64),
        )

    def average_precision(self) -> float | None:
        """Area under the precision-recall curve; None where the truth is all absent or all present."""
        true, false = self._curve()
        if not true[-1] or not false[-1]:
            return None
        precision = true / np.maximum(true + false, 1.0)
        return float((np.diff(true, prepend=0.0) * precision).sum() / true[-1])

    def precision_recall(self) -> tuple[CurvePoint, ...]:
        """The precision-recall curve in at most about a hundred points; empty where it is not defined."""
        true, false = self._curve()
        if not true[-1] or not false[-1]:
            return ()
        edges = _lower_edges()[::-1]
        changes = np.flatnonzero(np.diff(true + false, prepend=0.0) > 0)
        return thinned_curve(edges[changes], true[changes], false[changes], float(true[-1]))

    def best_mcc(self) -> tuple[float, float] | None:
        """Highest MCC over all thresholds and its threshold; optimistic, since chosen on the same truth."""
        true, false = self._curve()
        if not true[-1] or not false[-1]:
            return None
        missed, rejected = true[-1] - true, false[-1] - false
        scale = np.sqrt(true + false) * np.sqrt(true[-1]) * np.sqrt(false[-1]) * np.sqrt(missed + rejected)
        mcc = np.divide(true * rejected - false * missed, scale, out=np.zeros_like(scale), where=scale > 0)
        best = int(np.argmax(mcc))
        return float(mcc[best]), float(_lower_edges()[::-1][best])
