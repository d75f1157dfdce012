"""Calibration of probabilities: the reliability curve and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segnt_tools.evaluation.metrics import ScoreHistogram, bin_probability

BINS = 20


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """What has a probability in [low, high): bases of a track, or parts of gene models.

    Attributes:
        count: how many.
        mean_probability: what was said of them on average.
        observed: share of them that the truth has.
    """

    low: float
    high: float
    count: int
    mean_probability: float
    observed: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities can be taken at their word.

    Attributes:
        curve: the bins that hold anything, ascending.
        expected_error: mean of |mean probability - observed share| over the bins, weighted by their counts. Most bases
            of a genome have a probability near 0, so that this is small for any rare element.
        expected_error_called: the same over what has a probability of at least 0.5; None without any.
    """

    curve: tuple[ReliabilityBin, ...]
    expected_error: float
    expected_error_called: float | None


def _weighted_error(curve: list[ReliabilityBin]) -> float | None:
    count = sum(entry.count for entry in curve)
    return sum(entry.count * abs(entry.mean_probability - entry.observed) for entry in curve) / count if count else None


def reliability(
    probability: NDArray[np.float64], count: NDArray[np.floating | np.integer], right: NDArray[np.floating | np.integer]
) -> Calibration | None:
    """Reliability over equally wide bins of the probability; None where nothing was counted.

    Args:
        probability: from 0 to 1, shape (n,).
        count: how often each stands, shape (n,).
        right: how many of those the truth has, shape (n,).
    """
    owner = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    total = np.bincount(owner, count, BINS)
    said = np.bincount(owner, count * probability, BINS)
    seen = np.bincount(owner, right, BINS)
    curve = [
        ReliabilityBin(i / BINS, (i + 1) / BINS, int(total[i]), float(said[i] / total[i]), float(seen[i] / total[i]))
        for i in np.flatnonzero(total).tolist()
    ]
    error = _weighted_error(curve)
    if error is None:
        return None
    return Calibration(tuple(curve), error, _weighted_error([entry for entry in curve if entry.low >= 0.5]))


def calibration(histogram: ScoreHistogram) -> Calibration | None:
    """Reliability of a track's probabilities; None where nothing was scored or the truth is one-sided."""
    if not histogram.present.any() or not histogram.absent.any():
        return None
    return reliability(bin_probability(), histogram.present + histogram.absent, histogram.present)
