"""Intervals called on a track: hysteresis thresholds, gap joining and minimum length, streamed along each contig."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segnt_tools.compilation import compiled
from segnt_tools.elements import Track
from segnt_tools.errors import UsageError
from segnt_tools.quantisation import PROBABILITY_OF_CODE, code_at_least

FloatArray = NDArray[np.float32]
Values = NDArray[np.float32] | NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PeakRule:
    """How peaks of one element are opened, extended, joined and dropped.

    Attributes:
        high: a peak holds at least one base with this probability.
        low: a peak extends over neighbours with at least this probability.
        min_length: shorter peaks are dropped (bases), after joining.
        max_gap: peaks no further apart than this are joined (bases).
    """

    high: float
    low: float
    min_length: int = 1
    max_gap: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high <= 1:
            raise UsageError(
                f"thresholds low {self.low:g} and high {self.high:g} do not fit",
                hint="They must obey 0 < low <= high <= 1",
            )
        if self.min_length < 1 or self.max_gap < 0:
            raise UsageError("a minimum length below 1 or a gap below 0 makes no sense")


@dataclass(frozen=True, slots=True)
class Peak:
    """An interval called on a track.

    Attributes:
        contig: name of the contig.
        start: first base, 0-based.
        end: end, exclusive.
        track: the track.
        score: mean probability of its bases.
        summit: probability of its best base.
    """

    contig: str
    start: int
    end: int
    track: Track
    score: float
    summit: float


def call_peaks(contig: str, track: Track, stretches: Iterable[tuple[int, Values]], rule: PeakRule) -> Iterator[Peak]:
    """Peaks of one track on one contig.

    Runs of probability at or above `low` that hold a base at or above `high` are joined over gaps of at most `max_gap`
    bases and kept if they are long enough. The score is the mean over the whole interval, joined gaps included.

    Args:
        contig: its name.
        track: the track.
        stretches: start and values of consecutive stretches, ascending; a hole between two ends every peak. Values are
            probabilities (float32) or 8-bit logit codes (uint8).
        rule: the thresholds.
    """
    scan = _Scan(rule)
    for start, values in stretches:
        if start != scan.position:
            yield from scan.peaks(contig, track, scan.finish())
        yield from scan.peaks(contig, track, scan.advance(start, values))
    yield from scan.peaks(contig, track, scan.finish())


# State of a scan: a peak that may still be joined to a later one (start, end, total, best), the growing run above the
# low threshold (start, total, best), and the total of probability since the peak's end. A start of -1 means none.
_PEAK_START, _PEAK_END, _PEAK_TOTAL, _PEAK_BEST, _RUN_START, _RUN_TOTAL, _RUN_BEST, _SINCE = range(8)


class _Scan:
    """Goes along a contig stretch by stretch."""

    def __init__(self, rule: PeakRule) -> None:
        self.rule = rule
        self.position = 0
        self.state = np.array([-1.0, 0, 0, 0, -1.0, 0, 0, 0])

    def advance(self, start: int, values: Values) -> NDArray[np.float64]:
        """Peaks that are finished within this stretch: start, end, total, best."""
        found = np.empty((values.size // 2 + 2, 4))
        coded = values.dtype == np.uint8
        low = code_at_least(self.rule.low) if coded else np.float32(self.rule.low)
        high, max_gap = np.float32(self.rule.high), self.rule.max_gap
        count = _scan(values, PROBABILITY_OF_CODE, coded, start, low, high, max_gap, self.state, found)
        self.position = start + values.size
        return found[:count]

    def finish(self) -> NDArray[np.float64]:
        """Peaks that are open where the sequence ends."""
        found = np.empty((2, 4))
        count = _end_run(self.state, self.position, np.float32(self.rule.high), self.rule.max_gap, found, 0)
        if self.state[_PEAK_START] >= 0:
            found[count] = self.state[_PEAK_START : _PEAK_BEST + 1]
            count += 1
            self.state[_PEAK_START] = -1
        return found[:count]

    def peaks(self, contig: str, track: Track, found: NDArray[np.float64]) -> Iterator[Peak]:
        """The long enough ones as objects."""
        for start, end, total, best in found.tolist():
            length = int(end) - int(start)
            if length >= self.rule.min_length:
                yield Peak(contig, int(start), int(end), track, total / length, best)


@compiled
def _end_run(
    state: NDArray[np.float64],
    end: int,
    high: np.float32,
    max_gap: int,
    found: NDArray[np.float64],
    count: int,
) -> int:
    """Close the growing run, if there is one: join it to the open peak, or write that peak out and open a new one."""
    if state[_RUN_START] < 0:
        return count
    if state[_RUN_BEST] < high:  # too weak: only part of a gap
        state[_SINCE] += state[_RUN_TOTAL]
        state[_RUN_START] = -1
        return count
    if state[_PEAK_START] >= 0 and state[_RUN_START] - state[_PEAK_END] <= max_gap:
        state[_PEAK_TOTAL] += state[_SINCE] + state[_RUN_TOTAL]
        state[_PEAK_BEST] = max(state[_PEAK_BEST], state[_RUN_BEST])
    else:
        if state[_PEAK_START] >= 0:
            for i in range(4):
                found[count, i] = state[_PEAK_START + i]
            count += 1
        state[_PEAK_START] = state[_RUN_START]
        state[_PEAK_TOTAL] = state[_RUN_TOTAL]
        state[_PEAK_BEST] = state[_RUN_BEST]
    state[_PEAK_END] = end
    state[_SINCE] = 0.0
    state[_RUN_START] = -1
    return count


@compiled
def _scan(
    values: Values,
    table: FloatArray,
    coded: bool,
    start: int,
    low: float | np.float32,
    high: np.float32,
    max_gap: int,
    state: NDArray[np.float64],
    found: NDArray[np.float64],
) -> int:
    """Go through one stretch; finished peaks (start, end, total, best) go to `found`, their number is returned.

    `low` is a code if the values are, so that most bases cost one comparison. What lies between peaks is summed only as
    long as the next peak could still be joined.
    """
    count = 0
    for i in range(values.size):
        value = values[i]
        if value >= low:
            p = table[np.int64(value)] if coded else np.float32(value)
            if state[_RUN_START] < 0:
                state[_RUN_START] = start + i
                state[_RUN_TOTAL] = 0.0
                state[_RUN_BEST] = 0.0
            state[_RUN_TOTAL] += p
            state[_RUN_BEST] = max(state[_RUN_BEST], p)
            continue
        if state[_RUN_START] >= 0:
            count = _end_run(state, start + i, high, max_gap, found, count)
        if start + i - state[_PEAK_END] < max_gap and state[_PEAK_START] >= 0:
            state[_SINCE] += table[np.int64(value)] if coded else np.float32(value)
    return count


def in_genome_order(peaks: Sequence[Peak]) -> list[Peak]:
    """Peaks of one contig sorted by start, end and track."""
    return sorted(peaks, key=lambda peak: (peak.start, peak.end, peak.track.name))
