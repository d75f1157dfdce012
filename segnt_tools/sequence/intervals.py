"""Arithmetic on intervals of one contig: the compact form of a per-base yes/no track.

An interval array has shape (n, 2), dtype int64: 0-based half-open [start, end), ascending, neither overlapping nor
touching. The functions are vectorised and return such arrays; `joined` is for the few parts of one transcript.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Intervals = NDArray[np.int64]

EMPTY: Intervals = np.zeros((0, 2), dtype=np.int64)
EMPTY.setflags(write=False)


def union(intervals: ArrayLike | Iterable[tuple[int, int]]) -> Intervals:
    """Bases covered by any of the intervals, which may overlap and come in any order; empty ones are ignored."""
    array = np.asarray(intervals if isinstance(intervals, np.ndarray) else list(intervals), dtype=np.int64)  # type: ignore[arg-type]
    array = array.reshape(-1, 2)
    array = array[array[:, 1] > array[:, 0]]
    if not len(array):
        return EMPTY
    array = array[np.argsort(array[:, 0], kind="stable")]
    reach = np.maximum.accumulate(array[:, 1])
    opens = np.concatenate(([True], array[1:, 0] > reach[:-1]))
    closes = np.concatenate((opens[1:], [True]))
    return np.stack((array[opens, 0], reach[closes]), axis=1)


def joined(intervals: Iterable[tuple[int, int]], gap: int = 0) -> tuple[tuple[int, int], ...]:
    """As union, for a few intervals none of them empty; gaps of at most `gap` bases are closed."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if result and start - result[-1][1] <= gap:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return tuple(result)


def length(intervals: Intervals) -> int:
    """Number of bases covered."""
    return int((intervals[:, 1] - intervals[:, 0]).sum())


def _sweep(first: Intervals, second: Intervals, wanted: tuple[int, ...]) -> Intervals:
    """Bases whose depth code (1 * in first + 2 * in second) is one of `wanted`."""
    edges = np.concatenate((first.ravel(), second.ravel()))
    if not len(edges):
        return EMPTY
    steps = np.concatenate((np.tile([1, -1], len(first)), np.tile([2, -2], len(second))))
    order = np.argsort(edges, kind="stable")
    edges, code = edges[order], np.cumsum(steps[order])
    last_at_edge = np.concatenate((edges[1:] != edges[:-1], [True]))
    edges, code = edges[last_at_edge], code[last_at_edge]
    inside = np.isin(code, wanted)
    changes = np.diff(np.concatenate(([False], inside)).astype(np.int8))
    return np.stack((edges[changes == 1], edges[changes == -1]), axis=1)


def intersect(first: Intervals, second: Intervals) -> Intervals:
    """Bases in both."""
    return _sweep(first, second, (3,))


def subtract(first: Intervals, second: Intervals) -> Intervals:
    """Bases of the first that are not in the second."""
    return _sweep(first, second, (1,))


def complement(intervals: Intervals, start: int, end: int) -> Intervals:
    """Bases of [start, end) that are not covered."""
    return subtract(np.array([[start, end]], dtype=np.int64) if end > start else EMPTY, intervals)


def clip(intervals: Intervals, start: int, end: int) -> Intervals:
    """The part inside [start, end), found by bisection."""
    low = int(np.searchsorted(intervals[:, 1], start, side="right"))
    high = int(np.searchsorted(intervals[:, 0], end, side="left"))
    if low >= high:
        return EMPTY
    return np.clip(intervals[low:high], start, end)


def overlaps(intervals: ArrayLike, targets: Intervals) -> NDArray[np.bool_]:
    """For each of any intervals (n, 2), whether it shares at least one base with the targets."""
    array = np.asarray(intervals, dtype=np.int64).reshape(-1, 2)
    if not len(targets):
        return np.zeros(len(array), dtype=bool)
    first_ending_after = np.searchsorted(targets[:, 1], array[:, 0], side="right")
    reachable = first_ending_after < len(targets)
    starts = targets[np.minimum(first_ending_after, len(targets) - 1), 0]
    hit: NDArray[np.bool_] = reachable & (starts < array[:, 1]) & (array[:, 1] > array[:, 0])
    return hit


def from_mask(mask: NDArray[np.bool_], start: int = 0) -> Intervals:
    """Runs of True of a row of bases that begins at contig position `start`."""
    borders = np.flatnonzero(mask[1:] != mask[:-1]) + 1
    first = [0] if mask[:1].any() else []
    last = [mask.size] if mask[-1:].any() else []
    return np.concatenate([first, borders, last]).astype(np.int64).reshape(-1, 2) + start
