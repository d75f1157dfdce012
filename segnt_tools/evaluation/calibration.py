"""Calibration of probabilities: the reliability curve and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segnt_tools.evaluation.metrics import ScoreHistogram, bin_probability


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Bases whose probability lies in [low, high).

    Attributes:
        bases: how many.
        mean_probability: what the model said of them on average.
        observed: share of them that is present in the truth.
    """

    low: float
    high: float
    bases: int
    mean_probability: float
    observed: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities can be taken at their word.

    Attributes:
        curve: the bins that hold any base, ascending.
        expected_error: mean of |mean probability - observed share| over the bins, weighted by their bases. Most bases
            of a genome have a probability near 0, so that this is small for any rare element.
        expected_error_called: the same over bases with a probability of at least 0.5; None without any.
    """

    curve: tuple[ReliabilityBin, ...]
    expected_error: float
    expected_error_called: float | None


def _weighted_error(curve: list[ReliabilityBin]) -> float | None:
    bases = sum(entry.bases for entry in curve)
    return sum(entry.bases * abs(entry.mean_probability - entry.observed) for entry in curve) / bases if bases else None


def calibration(histogram: ScoreHistogram, bins: int = 20) -> Calibration | None:
    """Reliability over equally wide probability bins; None where nothing was scored or the truth is one-sided."""
    if not histogram.present.any() or not histogram.absent.any():
        return None
    probability = bin_probability()
    owner = np.minimum((probability * bins).astype(np.int64), bins - 1)
    total = histogram.present + histogram.absent
    bases = np.bincount(owner, total, bins)
    said = np.bincount(owner, total * probability, bins)
    seen = np.bincount(owner, histogram.present, bins)
    curve = [
        ReliabilityBin(i / bins, (i + 1) / bins, int(bases[i]), float(said[i] / bases[i]), float(seen[i] / bases[i]))
        for i in np.flatnonzero(bases).tolist()
    ]
    error = _weighted_error(curve)
    assert error is not None  # present and absent bases exist
    return Calibration(tuple(curve), error, _weighted_error([entry for entry in curve if entry.low >= 0.5]))
