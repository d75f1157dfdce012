"""Temperature and bias of tracks, fitted on labels: a stored logit x becomes (x - bias) / temperature.

The fit is a logistic regression of the labels on the stored logits. Those are 8-bit codes (see quantisation.py), so
that how often each code goes with each label is all that the data say: a regression has 255 rows, whatever the genome.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segnt_tools.genes.emissions import UNKNOWN_CODE
from segnt_tools.genes.scores import IDENTITY, logistic
from segnt_tools.quantisation import LOGIT_OF_CODE

Pair = tuple[float, float]

_CODES = 256
_LABELS = 3  # absent, present, masked
_FEWEST_BASES = 50  # of each label
_HIGHEST_TEMPERATURE = 20.0  # beyond it the lowest and the highest logit are one apart
_DECIMALS = 4
_LOGITS = np.where(np.arange(_CODES) == UNKNOWN_CODE, 0.0, LOGIT_OF_CODE.astype(np.float64))


class LabelCounts:
    """How often each 8-bit code goes with each label, by track.

    Args:
        tracks: number of tracks.
    """

    def __init__(self, tracks: int) -> None:
        self._counts = np.zeros((tracks, _LABELS, _CODES), dtype=np.int64)

    def add(self, codes: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        """Count bases.

        Args:
            codes: (tracks, bases) codes of logits; UNKNOWN_CODE does not count.
            labels: (tracks, bases) 0 absent, 1 present; any other does not count.
        """
        for counts, row, truth in zip(self._counts, codes, labels, strict=True):
            pairs = np.minimum(truth, _LABELS - 1).astype(np.intp) * _CODES + row
            counts += np.bincount(pairs, minlength=counts.size).reshape(counts.shape)

    def of(self, track: int) -> NDArray[np.int64]:
        """Counts of a track, shape (2, 256): absent and present by code."""
        counts = self._counts[track, :2].copy()
        counts[:, UNKNOWN_CODE] = 0
        return counts


@dataclass(frozen=True, slots=True)
class TrackFit:
    """What was fitted for a track.

    Attributes:
        pair: temperature and bias.
        bases: bases with a label.
        present: those of them where the element is.
        before: mean negative log probability of the labels with the pair that was in force, in nats.
        after: the same with the fitted pair.
    """

    pair: Pair
    bases: int
    present: int
    before: float
    after: float


def fit_track(counts: NDArray[np.int64], before: Pair = IDENTITY) -> TrackFit | None:
    """Temperature and bias that make the labels most likely; None where the labels are too few or the track is deaf.

    Platt's targets, a little short of 0 and 1, keep the temperature of a track without any error above 0.

    Args:
        counts: (2, 256) absent and present bases by code.
        before: the pair in force.
    """
    absent, present = (int(count) for count in counts.sum(axis=1))
    if min(absent, present) < _FEWEST_BASES:
        return None
    weights = counts.sum(axis=0).astype(np.float64)
    high, low = (present + 1) / (present + 2), 1 / (absent + 2)
    target = (counts[1] * high + counts[0] * low) / np.maximum(weights, 1.0)
    slope, offset = logistic(np.column_stack([_LOGITS, np.ones(_CODES)]), target, weights)
    if not slope * _HIGHEST_TEMPERATURE >= 1:
        return None
    pair = (max(round(1 / slope, _DECIMALS), 10.0**-_DECIMALS), round(-offset / slope, _DECIMALS))
    return TrackFit(pair, absent + present, present, log_loss(counts, before), log_loss(counts, pair))


def log_loss(counts: NDArray[np.int64], pair: Pair) -> float:
    """Mean negative log probability of labels by code, in nats; NaN without any."""
    temperature, bias = pair
    logits = (_LOGITS - bias) / temperature
    total = int(counts.sum())
    loss = float((counts[1] * np.logaddexp(0, -logits) + counts[0] * np.logaddexp(0, logits)).sum())
    return loss / total if total else math.nan
