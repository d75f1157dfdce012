"""Interval arithmetic against sets of positions."""

import numpy as np
import pytest

from segnt_tools.sequence.intervals import clip, complement, from_mask, intersect, length, overlaps, subtract, union


def positions(intervals) -> set[int]:
    return {p for start, end in np.asarray(intervals).tolist() for p in range(start, end)}


def random_intervals(random: np.random.Generator) -> np.ndarray:
    starts = random.integers(0, 60, random.integers(0, 9))
    return np.stack((starts, starts + random.integers(0, 12, len(starts))), axis=1)


def is_canonical(intervals: np.ndarray) -> bool:
    return bool(np.all(intervals[:, 0] < intervals[:, 1]) and np.all(intervals[1:, 0] > intervals[:-1, 1]))


@pytest.mark.parametrize("seed", range(50))
def test_against_sets(seed):
    random = np.random.default_rng(seed)
    raw_a, raw_b = random_intervals(random), random_intervals(random)
    a, b = union(raw_a), union(raw_b)
    assert positions(a) == positions(raw_a)
    for result, expected in (
        (a, positions(raw_a)),
        (intersect(a, b), positions(a) & positions(b)),
        (subtract(a, b), positions(a) - positions(b)),
        (complement(a, 5, 50), set(range(5, 50)) - positions(a)),
        (clip(a, 10, 40), positions(a) & set(range(10, 40))),
    ):
        assert positions(result) == expected
        assert length(result) == len(expected)
        assert is_canonical(result)
    assert overlaps(raw_a, b).tolist() == [bool(positions([one]) & positions(b)) for one in raw_a]
    mask = np.zeros(80, dtype=bool)
    mask[sorted(positions(a))] = True
    assert from_mask(mask).tolist() == a.tolist()


def test_nothing():
    nothing = union([])
    assert nothing.shape == (0, 2)
    assert intersect(nothing, nothing).shape == (0, 2)
    assert from_mask(np.zeros(0, dtype=bool)).shape == (0, 2)
    assert overlaps([(1, 2)], nothing).tolist() == [False]
