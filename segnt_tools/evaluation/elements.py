"""Scoring of tracks base by base, in one pass over the genome, in memory that does not grow with it.

Blocks of whole windows are read from left to right. Each window gives a histogram of binned probabilities by truth and
its segments; the histograms add up to the scores, the segments are joined over windows before whole contigs are scored.
For the samplings, windows are drawn with replacement beforehand, so that a window's counts are added to each sampling
as often as it was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segnt_tools.evaluation.calibration import calibration
from segnt_tools.evaluation.metrics import MASKED, Bins, ScoreHistogram, count_states, threshold_bin
from segnt_tools.evaluation.predictions import Prediction
from segnt_tools.evaluation.results import ElementScores, Spread
from segnt_tools.evaluation.sov import SovPair, segment_overlap
from segnt_tools.evaluation.truth import Truth
from segnt_tools.sequence.intervals import EMPTY, Intervals, from_mask, union

_WINDOWS_PER_BLOCK = 32
_SAMPLED = ("mcc", "f1", "jaccard", "auprc", "sov99", "sov_refine")


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """How tracks are scored.

    Attributes:
        threshold: probability from which a base counts as called.
        samplings: how many samples of windows give the spread of the metrics; 0 for none.
        window: length of those windows.
        seed: of the draw.
    """

    threshold: float = 0.5
    samplings: int = 10
    window: int = 30_000
    seed: int = 0


class _TrackTally:
    """Counts of one track of one prediction."""

    def __init__(self, options: ScoringOptions) -> None:
        self._options = options
        self._first_called = threshold_bin(options.threshold)
        self.histogram = ScoreHistogram()
        self.samples = [ScoreHistogram() for _ in range(options.samplings)]
        self.sample_sov = [SovPair() for _ in range(options.samplings)]
        self.sov = SovPair()
        self._observed: list[Intervals] = []
        self._called: list[Intervals] = []
        self._scored: list[Intervals] = []

    def add(self, start: int, bins: Bins, truth: NDArray[np.uint8], weights: Sequence[int]) -> None:
        """Take in a window that begins at `start`; `weights` say how often each sampling drew it."""
        counts = count_states(bins, truth)
        self.histogram.add_counts(counts)
        if not counts[:2].any():
            return
        observed, called = from_mask(truth == 1, start), from_mask(bins >= self._first_called, start)
        scored = from_mask(truth != MASKED, start)
        self._observed.append(observed)
        self._called.append(called)
        self._scored.append(scored)
        if any(weights):
            overlap = segment_overlap(observed, called, scored)
            for i, weight in enumerate(weights):
                if weight:
                    self.samples[i].add_counts(counts, weight)
                    self.sample_sov[i] += overlap.times(weight)

    def finish_contig(self) -> None:
        """Score the segments of a contig, joined over its windows."""
        observed, called, scored = (_joined(parts) for parts in (self._observed, self._called, self._scored))
        if len(scored):
            self.sov += segment_overlap(observed, called, scored)
        self._observed, self._called, self._scored = [], [], []

    def scores(self, track: str, has_probabilities: bool) -> ElementScores:
        """The scores of all that was taken in."""
        confusion = self.histogram.confusion(self._options.threshold)
        best = self.histogram.best_mcc() if has_probabilities else None
        return ElementScores(
            track,
            self.histogram.masked,
            confusion,
            auprc=self.histogram.average_precision() if has_probabilities else None,
            best_mcc=best[0] if best else None,
            best_threshold=best[1] if best else None,
            sov=self.sov,
            calibration=calibration(self.histogram) if has_probabilities else None,
            curve=self.histogram.precision_recall() if has_probabilities else (),
            samplings=self._spreads(has_probabilities) if confusion.defined else {},
        )

    def _spreads(self, has_probabilities: bool) -> dict[str, Spread]:
        values: dict[str, list[float]] = {name: [] for name in _SAMPLED}
        for histogram, sov in zip(self.samples, self.sample_sov, strict=True):
            confusion = histogram.confusion(self._options.threshold)
            found = {
                "mcc": confusion.mcc,
                "f1": confusion.f1,
                "jaccard": confusion.jaccard,
                "auprc": histogram.average_precision() if has_probabilities else None,
                "sov99": sov.sov99.class_score,
                "sov_refine": sov.refine.class_score,
            }
            for name, value in found.items():
                if value is not None:
                    values[name].append(value)
        return {
            name: Spread(float(np.mean(several)), float(np.std(several, ddof=1)))
            for name, several in values.items()
            if len(several) > 1
        }


def _joined(parts: list[Intervals]) -> Intervals:
    return union(np.concatenate(parts)) if parts else EMPTY


def _windows(stretches: Intervals, window: int) -> Iterator[tuple[int, int]]:
    for start, end in stretches.tolist():
        for position in range(start, end, window):
            yield position, min(position + window, end)


def _blocks(stretches: Intervals, window: int) -> Iterator[list[tuple[int, int]]]:
    """Windows in runs that touch, a block at a time."""
    block: list[tuple[int, int]] = []
    for start, end in _windows(stretches, window):
        if block and (block[-1][1] != start or len(block) == _WINDOWS_PER_BLOCK):
            yield block
            block = []
        block.append((start, end))
    if block:
        yield block


def _draw(windows: int, options: ScoringOptions) -> NDArray[np.int64]:
    """How often each sampling drew each window, shape (windows, samplings)."""
    random = np.random.default_rng(options.seed)
    if not windows or not options.samplings:
        return np.zeros((windows, options.samplings), dtype=np.int64)
    return random.multinomial(windows, np.full(windows, 1 / windows), size=options.samplings).T


def score_tracks(
    truth: Truth,
    predictions: Sequence[Prediction],
    scored: Mapping[str, Intervals],
    tracks: Sequence[str],
    options: ScoringOptions,
    progress: Callable[[int], None] = lambda bases: None,
) -> list[tuple[ElementScores, ...]]:
    """Score every prediction's tracks against the truth; tracks that a prediction lacks are left out for it.

    Args:
        truth: labels.
        predictions: what to score.
        scored: bases of each contig that count, the same for all predictions.
        tracks: names of the tracks to score, all known to the truth.
        options: threshold and samplings.
        progress: called with the number of bases done.
    """
    offered = [[name for name in tracks if prediction.offers(name)] for prediction in predictions]
    tallies = [{name: _TrackTally(options) for name in names} for names in offered]
    total = sum(sum(1 for _ in _windows(stretches, options.window)) for stretches in scored.values())
    draws = iter(_draw(total, options).tolist())
    for contig, stretches in scored.items():
        for block in _blocks(stretches, options.window):
            start, end = block[0][0], block[-1][1]
            labels = dict(zip(tracks, truth.labels(contig, start, end, tracks), strict=True))
            weights = [next(draws) for _ in block]
            for prediction, names, tally in zip(predictions, offered, tallies, strict=True):
                rows = prediction.joined(contig, start, end, names) if names else ()
                for name, row in zip(names, rows, strict=True):
                    for (left, right), drawn in zip(block, weights, strict=True):
                        part = slice(left - start, right - start)
                        tally[name].add(left, row[part], labels[name][part], drawn)
            progress(end - start)
        for tally in tallies:
            for one in tally.values():
                one.finish_contig()
    return [
        tuple(one.scores(name, prediction.has_probabilities) for name, one in tally.items())
        for prediction, tally in zip(predictions, tallies, strict=True)
    ]
