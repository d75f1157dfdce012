"""Streaming metrics against scikit-learn."""

import math

import numpy as np
import pytest

from segnt_tools.errors import UsageError
from segnt_tools.evaluation.calibration import calibration
from segnt_tools.evaluation.curves import RECALL_STEPS
from segnt_tools.evaluation.metrics import (
    BINS,
    Confusion,
    ScoreHistogram,
    bin_of,
    bin_probability,
    count_states,
    threshold_bin,
)

sklearn_metrics = pytest.importorskip("sklearn.metrics", reason="pip install scikit-learn")


def eight_bit_probabilities(random: np.random.Generator, size: int) -> np.ndarray:
    """Probabilities as an 8-bit logit track holds them: 255 levels in [-10, 10] and exact 0."""
    logit = np.linspace(-10, 10, 255)[random.integers(0, 255, size)]
    return np.where(random.random(size) < 0.1, 0.0, 1 / (1 + np.exp(-logit))).astype(np.float32)


def case(seed: int, size: int = 3000):
    random = np.random.default_rng(seed)
    probability = eight_bit_probabilities(random, size)
    truth = (random.random(size) < 0.2 + 0.6 * probability).astype(np.uint8)
    truth[random.random(size) < 0.1] = 255
    histogram = ScoreHistogram()
    for part in np.array_split(np.arange(size), 7):  # streaming must not matter
        histogram.add(bin_of(probability[part]), truth[part])
    known = truth != 255
    return histogram, probability[known], truth[known]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threshold", [0.5, 0.1, 0.9])
def test_counts_and_rates_equal_sklearn(seed, threshold):
    histogram, probability, truth = case(seed)
    called = probability >= threshold
    confusion = histogram.confusion(threshold)
    assert confusion.mcc == pytest.approx(sklearn_metrics.matthews_corrcoef(truth, called))
    assert confusion.f1 == pytest.approx(sklearn_metrics.f1_score(truth, called))
    assert confusion.jaccard == pytest.approx(sklearn_metrics.jaccard_score(truth, called))
    assert confusion.precision == pytest.approx(sklearn_metrics.precision_score(truth, called))
    assert confusion.recall == pytest.approx(sklearn_metrics.recall_score(truth, called))


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_is_exact_for_eight_bit_tracks(seed):
    histogram, probability, truth = case(seed)
    assert histogram.average_precision() == pytest.approx(
        sklearn_metrics.average_precision_score(truth, probability), abs=1e-12
    )


@pytest.mark.parametrize("seed", range(4))
def test_points_of_the_curve_lie_on_sklearns_and_are_few(seed):
    histogram, probability, truth = case(seed)
    precision, recall, _ = sklearn_metrics.precision_recall_curve(truth, probability)
    exact = {(round(p, 9), round(r, 9)) for p, r in zip(precision, recall, strict=True)}
    points = histogram.precision_recall()
    assert 10 < len(points) <= RECALL_STEPS + 2
    assert {(round(point.precision, 9), round(point.recall, 9)) for point in points} <= exact
    assert points[-1].recall == 1.0
    assert points[-1].precision == pytest.approx(truth.mean())
    for point in points[:: len(points) // 5]:  # a threshold says from where on
        called = probability >= point.threshold
        assert truth[called].mean() == pytest.approx(point.precision)
    area = np.trapezoid([p.precision for p in points], [p.recall for p in points])
    assert area == pytest.approx(sklearn_metrics.auc(recall, precision), abs=0.02)


def test_best_mcc_is_the_best_over_all_thresholds():
    histogram, probability, truth = case(3)
    brute = max(sklearn_metrics.matthews_corrcoef(truth, probability >= t) for t in np.unique(probability))
    best, threshold = histogram.best_mcc()
    assert best == pytest.approx(brute)
    assert sklearn_metrics.matthews_corrcoef(truth, probability >= threshold) == pytest.approx(brute)


def test_every_eight_bit_level_has_its_own_bin():
    levels = (1 / (1 + np.exp(-np.linspace(-10, 10, 255)))).astype(np.float32)
    assert len(np.unique(bin_of(np.concatenate(([0.0], levels))))) == 256


def test_edges():
    assert bin_of(np.array([0.0, 1.0, 0.5], dtype=np.float32)).tolist() == [0, BINS - 1, threshold_bin(0.5)]
    below = np.nextafter(np.float32(0.5), np.float32(0))
    assert bin_of(np.array([below]))[0] == threshold_bin(0.5) - 1
    assert np.all(np.diff(bin_probability()) > 0)
    with pytest.raises(UsageError, match="not between"):
        threshold_bin(1.0)


def test_mcc_of_a_genome_does_not_overflow():
    huge = Confusion(tp=10**9, fp=10**8, fn=10**8, tn=2 * 10**9)
    expected = (10.0 * 20 - 1) / math.sqrt(11 * 11 * 21 * 21)
    assert huge.mcc == pytest.approx(expected)


@pytest.mark.parametrize("value", [0, 1, 255])
def test_one_sided_truth_is_not_defined(value):
    histogram = ScoreHistogram()
    histogram.add(bin_of(np.array([0.2, 0.7])), np.full(2, value, dtype=np.uint8))
    confusion = histogram.confusion()
    assert (confusion.mcc, confusion.f1, confusion.jaccard, confusion.recall) == (None,) * 4
    assert histogram.average_precision() is None
    assert histogram.best_mcc() is None
    assert calibration(histogram) is None
    assert histogram.precision_recall() == ()
    assert histogram.masked == (2 if value == 255 else 0)


def test_a_constant_prediction_has_no_correlation():
    histogram = ScoreHistogram()
    histogram.add(bin_of(np.full(4, 0.1)), np.array([0, 1, 0, 1], dtype=np.uint8))
    assert histogram.confusion().mcc == 0.0
    assert histogram.confusion().precision is None


def test_reliability_equals_sklearn():
    sklearn_calibration = pytest.importorskip("sklearn.calibration")
    random = np.random.default_rng(5)
    probability = random.random(100_000)
    truth = (random.random(100_000) < probability**2).astype(np.uint8)
    histogram = ScoreHistogram()
    histogram.add(bin_of(probability), truth)
    observed, said = sklearn_calibration.calibration_curve(truth, probability, n_bins=20)
    result = calibration(histogram)
    assert [entry.observed for entry in result.curve] == pytest.approx(observed.tolist(), abs=5e-3)
    assert [entry.mean_probability for entry in result.curve] == pytest.approx(said.tolist(), abs=2e-3)
    sizes = np.histogram(probability, np.linspace(0, 1, 21))[0]
    by_hand = float((sizes * np.abs(observed - said)).sum() / sizes.sum())
    assert result.expected_error == pytest.approx(by_hand, abs=2e-3)


def test_perfectly_calibrated_scores_have_no_error():
    random = np.random.default_rng(0)
    probability = random.random(400_000)
    histogram = ScoreHistogram()
    histogram.add(bin_of(probability), (random.random(400_000) < probability).astype(np.uint8))
    result = calibration(histogram)
    assert result.expected_error < 0.01
    assert result.expected_error_called < 0.01


def test_weights_repeat_a_window():
    repeated, weighted = ScoreHistogram(), ScoreHistogram()
    bins, truth = bin_of(np.array([0.3, 0.6, 0.5])), np.array([0, 1, 255], dtype=np.uint8)
    for _ in range(3):
        repeated.add(bins, truth)
    weighted.add_counts(count_states(bins, truth), weight=3)
    assert repeated.present.tolist() == weighted.present.tolist()
    assert repeated.confusion() == weighted.confusion() == Confusion(3, 0, 0, 3)
    assert repeated.masked == weighted.masked == 3
