"""Segment overlap scores against the fixtures of the specification and a brute-force implementation."""

import numpy as np
import pytest

from segnt_tools.evaluation.sov import segment_overlap
from segnt_tools.sequence.intervals import from_mask

# observed, predicted, class SOV'99, class refine, both SOV'99, both refine (spec: paper.md e)
FIXTURES = [
    ("CCEEECCCCCCEEEEEECCC", "CCCCCCCEEEEECCCEECCC", 0.2800, 0.2403, 0.3938, 0.3304),
    ("0001111111110000", "0000111111100000", 1.0, 1.0, 1.0, 0.9833),
    ("0011111111110000", "0011100111110000", 0.5500, 0.5067, 0.6538, 0.6205),
    ("0011110000000000", "0011110000111100", 1.0, 1.0, 0.5769, 0.5231),
    ("0000000000000000", "0000110000000000", None, None, 0.6562, 0.4648),
]


def segments(text: str):
    return from_mask(np.array([letter in "1E" for letter in text]))


def whole(size: int):
    return np.array([[0, size]], dtype=np.int64)


@pytest.mark.parametrize(("observed", "predicted", "class99", "class_refine", "both99", "both_refine"), FIXTURES)
def test_fixtures(observed, predicted, class99, class_refine, both99, both_refine):
    pair = segment_overlap(segments(observed), segments(predicted), whole(len(observed)))
    got = (pair.sov99.class_score, pair.refine.class_score, pair.sov99.both_score, pair.refine.both_score)
    for value, expected in zip(got, (class99, class_refine, both99, both_refine), strict=True):
        assert value == (None if expected is None else pytest.approx(expected, abs=5e-5))


def runs(states: np.ndarray, state: int) -> list[tuple[int, int]]:
    found, start = [], None
    for position, value in enumerate([*states.tolist(), None]):
        if value == state and start is None:
            start = position
        if value != state and start is not None:
            found.append((start, position))
            start = None
    return found


def brute_force(observed: np.ndarray, predicted: np.ndarray, refine: bool) -> tuple[list[float], list[float]]:
    """Numerators and normalisers of both states, pair by pair; state 2 is masked."""
    size = int((observed != 2).sum())
    all_runs = [run for state in (0, 1) for run in runs(observed, state)]
    present = len({int(v) for v in observed} - {2})
    delta_all = present / sum(((e - s) / size) ** 2 for s, e in all_runs) if all_runs else 0.0
    numerators, normalisers = [], []
    for state in (0, 1):
        numerator = normaliser = 0.0
        for s1, e1 in runs(observed, state):
            partners = [(s2, e2) for s2, e2 in runs(predicted, state) if s2 < e1 and s1 < e2]
            for s2, e2 in partners:
                minov, maxov = min(e1, e2) - max(s1, s2), max(e1, e2) - min(s1, s2)
                if refine:
                    delta = min(delta_all * (e1 - s1) / size * minov / maxov, maxov - minov)
                else:
                    delta = min(maxov - minov, minov, (e1 - s1) // 2, (e2 - s2) // 2)
                numerator += (e1 - s1) * (minov + delta) / maxov
                normaliser += e1 - s1
            if not partners:
                normaliser += e1 - s1
        numerators.append(numerator)
        normalisers.append(normaliser)
    return numerators, normalisers


@pytest.mark.parametrize("seed", range(40))
def test_against_brute_force_with_masks(seed):
    random = np.random.default_rng(seed)
    size = int(random.integers(1, 200))
    observed = np.repeat(random.integers(0, 2, size), random.integers(1, 9, size))[:size]
    predicted = np.repeat(random.integers(0, 2, size), random.integers(1, 9, size))[:size]
    masked = np.repeat(random.random(size) < 0.15, random.integers(1, 6, size))[:size]
    pair = segment_overlap(from_mask(observed == 1), from_mask(predicted == 1), from_mask(~masked))
    observed, predicted = np.where(masked, 2, observed), np.where(masked, 2, predicted)
    for sums, refine in ((pair.sov99, False), (pair.refine, True)):
        numerators, normalisers = brute_force(observed, predicted, refine)
        assert sums.class_numerator == pytest.approx(numerators[1])
        assert sums.class_normaliser == normalisers[1]
        assert sums.both_numerator == pytest.approx(sum(numerators))
        assert sums.both_normaliser == sum(normalisers)


def test_all_masked_is_not_defined():
    nothing = from_mask(np.zeros(5, dtype=bool))
    pair = segment_overlap(whole(5), whole(5), nothing)
    assert pair.sov99.class_score is None
    assert pair.refine.both_score is None
