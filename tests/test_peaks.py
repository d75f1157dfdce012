"""Peak calling against a plain definition, whole and in stretches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segnt_tools.elements import Track
from segnt_tools.errors import UsageError
from segnt_tools.peaks.calling import PeakRule, call_peaks
from segnt_tools.quantisation import PROBABILITY_OF_CODE

TRACK = Track.parse("promoter_Tissue_specific")


def by_definition(probability: np.ndarray, rule: PeakRule) -> list[tuple[int, int, float]]:
    """Runs above low with a base above high, joined, then filtered: written as the documentation says it."""
    runs = []
    for above, group in itertools.groupby(enumerate(probability), key=lambda pair: pair[1] >= np.float32(rule.low)):
        places = [place for place, _ in group]
        if above and probability[places].max() >= np.float32(rule.high):
            runs.append([places[0], places[-1] + 1])
    joined: list[list[int]] = []
    for run in runs:
        if joined and run[0] - joined[-1][1] <= rule.max_gap:
            joined[-1][1] = run[1]
        else:
            joined.append(run)
    return [
        (start, end, float(probability[start:end].astype(float).mean()))
        for start, end in joined
        if end - start >= rule.min_length
    ]


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_definition_however_the_contig_is_cut(seed: int) -> None:
    random = np.random.default_rng(seed)
    probability = random.random(300).astype(np.float32) ** 2
    low = float(random.uniform(0.05, 0.6))
    rule = PeakRule(
        high=float(random.uniform(low, 0.99)),
        low=low,
        min_length=int(random.integers(1, 8)),
        max_gap=int(random.integers(0, 6)),
    )
    cuts = [0, *sorted(random.integers(1, 300, random.integers(0, 6)).tolist()), 300]
    stretches = [(a, probability[a:b]) for a, b in itertools.pairwise(cuts) if a < b]
    found = [(peak.start, peak.end, peak.score) for peak in call_peaks("c", TRACK, stretches, rule)]
    expected = by_definition(probability, rule)
    assert [peak[:2] for peak in found] == [peak[:2] for peak in expected]
    assert [peak[2] for peak in found] == pytest.approx([peak[2] for peak in expected])


def test_codes_and_probabilities_give_the_same_peaks() -> None:
    codes = np.random.default_rng(3).integers(0, 256, 5000).astype(np.uint8)
    rule = PeakRule(high=0.9, low=0.3, min_length=2, max_gap=3)
    from_codes = list(call_peaks("c", TRACK, [(0, codes)], rule))
    assert from_codes == list(call_peaks("c", TRACK, [(0, PROBABILITY_OF_CODE[codes])], rule))
    assert len(from_codes) > 100


def test_a_hole_in_the_coverage_ends_a_peak() -> None:
    rule = PeakRule(0.5, 0.5, max_gap=1000)
    ones = np.ones(10, dtype=np.float32)
    found = [(peak.start, peak.end) for peak in call_peaks("c", TRACK, [(0, ones), (50, ones)], rule)]
    assert found == [(0, 10), (50, 60)]


def test_score_is_the_mean_and_summit_the_best() -> None:
    (peak,) = call_peaks("c", TRACK, [(5, np.array([0.5, 1.0, 0.75], dtype=np.float32))], PeakRule(0.9, 0.5))
    assert (peak.start, peak.end, peak.score, peak.summit) == (5, 8, 0.75, 1.0)


@pytest.mark.parametrize(("high", "low"), [(0.4, 0.5), (0.5, 0.0), (1.5, 0.5)])
def test_impossible_thresholds_are_refused(high: float, low: float) -> None:
    with pytest.raises(UsageError, match="low"):
        PeakRule(high, low)
