"""Precision-recall curves of a bounded number of points, whatever the number of thresholds behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RECALL_STEPS = 100


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Precision and recall of everything that scores at least `threshold`."""

    threshold: float
    precision: float
    recall: float


def thinned_curve(thresholds: Floats, true: Floats, false: Floats, present: float) -> tuple[CurvePoint, ...]:
    """The curve at its two ends and where recall first passes each hundredth: at most RECALL_STEPS + 2 points.

    Args:
        thresholds: distinct, descending, shape (n,).
        true, false: what is called rightly and wrongly from each threshold up, ascending, shape (n,).
        present: all that could be called rightly, more than 0.

    Returns:
        Points by descending threshold; thresholds from which nothing is called have none.
    """
    recall = np.minimum(true / present, 1.0)
    calls = true + false
    called = np.flatnonzero(calls > 0)
    if not called.size:
        return ()
    steps = np.floor(recall[called] * RECALL_STEPS)
    chosen = np.flatnonzero(np.diff(steps, prepend=-1.0) > 0).tolist()
    kept = called[sorted({0, *chosen, called.size - 1})].tolist()
    return tuple(CurvePoint(float(thresholds[i]), float(true[i] / calls[i]), float(recall[i])) for i in kept)
