"""Intervals called on a track: hysteresis thresholds, gap joining and minimum length, streamed along each contig."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

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
    scan = PeakScan(rule)
    for start, values in stretches:
        yield from _as_peaks(contig, track, scan.advance(values, [(0, start, start + values.size)]))
    yield from _as_peaks(contig, track, scan.finish())


def _as_peaks(contig: str, track: Track, columns: PeakColumns) -> Iterator[Peak]:
    rows = (columns.start, columns.end, columns.score, columns.summit)
    for start, end, score, summit in zip(*(column.tolist() for column in rows), strict=True):
        yield Peak(contig, start, end, track, score, summit)


@dataclass(frozen=True, slots=True)
class PeakColumns:
    """Peaks of one track as columns of equal length.

    Attributes:
        contig: number of the contig, int64.
        start: first base, 0-based, int64.
        end: end, exclusive, int64.
        score: mean probability, float64.
        summit: probability of the best base, float64.
    """

    contig: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    score: NDArray[np.float64]
    summit: NDArray[np.float64]

    def where(self, rows: NDArray[Any]) -> PeakColumns:
        """Some of the peaks, by a mask or by number."""
        return PeakColumns(self.contig[rows], self.start[rows], self.end[rows], self.score[rows], self.summit[rows])


# State of a scan: a peak that may still be joined to a later one (start, end, total, best), the growing run above the
# low threshold (start, total, best), the total of probability since the peak's end, and the number of the contig and
# the position that were reached. A start of -1 means none.
_PEAK_START, _PEAK_END, _PEAK_TOTAL, _PEAK_BEST, _RUN_START, _RUN_TOTAL, _RUN_BEST, _SINCE, _CONTIG, _POSITION = range(
    10
)
_COLUMNS = 5  # of a finished peak: start, end, total, best, contig


class PeakScan:
    """Goes along contigs, piece by piece; peaks that reach a piece's end go on in the next."""

    def __init__(self, rule: PeakRule) -> None:
        self.rule = rule
        self._state = np.array([-1.0, 0, 0, 0, -1.0, 0, 0, 0, -1.0, 0])

    def advance(self, values: Values, pieces: Sequence[tuple[int, int, int]]) -> PeakColumns:
        """Peaks that are finished within these pieces.

        Args:
            values: of all pieces one after the other.
            pieces: number of the contig, start and end of each, ascending. Peaks go on where a piece continues the one
                before; elsewhere they end.
        """
        found = np.empty((values.size // 2 + 2 * len(pieces) + 2, _COLUMNS))
        coded = values.dtype == np.uint8
        low = code_at_least(self.rule.low) if coded else np.float32(self.rule.low)
        high, max_gap = np.float32(self.rule.high), self.rule.max_gap
        places = np.array(pieces, dtype=np.int64).reshape(-1, 3)
        count = _scan(values, places, PROBABILITY_OF_CODE, coded, low, high, max_gap, self._state, found)
        return self._long_enough(found[:count])

    @property
    def open_from(self) -> int:
        """Where the next peak may start at the earliest: where what is open starts, or where the scan has come to."""
        starts = (self._state[_PEAK_START], self._state[_RUN_START], self._state[_POSITION])
        return int(next(start for start in starts if start >= 0))

    def finish(self) -> PeakColumns:
        """Peaks that are open where the sequence ends."""
        found = np.empty((2, _COLUMNS))
        count = _finish(self._state, np.float32(self.rule.high), self.rule.max_gap, found, 0)
        return self._long_enough(found[:count])

    def _long_enough(self, found: NDArray[np.float64]) -> PeakColumns:
        found = found[found[:, 1] - found[:, 0] >= self.rule.min_length]
        start, end, contig = (found[:, i].astype(np.int64) for i in (0, 1, 4))
        return PeakColumns(contig, start, end, found[:, 2] / (end - start), found[:, 3])


@compiled
def _write_peak(state: NDArray[np.float64], found: NDArray[np.float64], count: int) -> int:
    """Write the open peak out, if there is one."""
    if state[_PEAK_START] < 0:
        return count
    for i in range(4):
        found[count, i] = state[_PEAK_START + i]
    found[count, 4] = state[_CONTIG]
    state[_PEAK_START] = -1
    return count + 1


@compiled
def _end_run(
    state: NDArray[np.float64], end: int, high: np.float32, max_gap: int, found: NDArray[np.float64], count: int
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
        count = _write_peak(state, found, count)
        state[_PEAK_START] = state[_RUN_START]
        state[_PEAK_TOTAL] = state[_RUN_TOTAL]
        state[_PEAK_BEST] = state[_RUN_BEST]
    state[_PEAK_END] = end
    state[_SINCE] = 0.0
    state[_RUN_START] = -1
    return count


@compiled
def _write_past_peak(state: NDArray[np.float64], max_gap: int, found: NDArray[np.float64], count: int) -> int:
    """Write the open peak out if no run can be joined to it any more.

    Whoever sorts the peaks of several tracks must hold back all that start behind an open one: of a rare element it
    would stay open to the contig's end.
    """
    next_run = state[_RUN_START] if state[_RUN_START] >= 0 else state[_POSITION]
    if next_run - state[_PEAK_END] > max_gap:
        return _write_peak(state, found, count)
    return count


@compiled
def _finish(state: NDArray[np.float64], high: np.float32, max_gap: int, found: NDArray[np.float64], count: int) -> int:
    """End what is open at the position that was reached."""
    count = _end_run(state, int(state[_POSITION]), high, max_gap, found, count)
    return _write_peak(state, found, count)


@compiled
def _scan(
    values: Values,
    pieces: NDArray[np.int64],
    table: FloatArray,
    coded: bool,
    low: float | np.float32,
    high: np.float32,
    max_gap: int,
    state: NDArray[np.float64],
    found: NDArray[np.float64],
) -> int:
    """Go through some pieces; finished peaks (start, end, total, best, contig) go to `found`, their number is returned.

    `low` is a code if the values are, so that a base far from any peak costs one comparison. What lies between peaks is
    summed only as long as the next peak could still be joined.
    """
    count = 0
    first = 0
    for piece in range(pieces.shape[0]):
        contig, start, end = pieces[piece, 0], pieces[piece, 1], pieces[piece, 2]
        if contig != state[_CONTIG] or start != state[_POSITION]:
            count = _finish(state, high, max_gap, found, count)
        state[_CONTIG] = contig
        shift = start - first  # from a place in the values to a place on the contig
        i, last = first, end - shift
        while i < last:
            if state[_RUN_START] < 0:
                if state[_PEAK_START] >= 0:
                    near = min(last, np.int64(state[_PEAK_END]) + max_gap - shift)
                    since = state[_SINCE]
                    while i < near and not values[i] >= low:  # also if it is not a number
                        since += table[np.int64(values[i])] if coded else np.float32(values[i])
                        i += 1
                    state[_SINCE] = since
                while i < last and not values[i] >= low:
                    i += 1
                if i == last:
                    break
                state[_RUN_START] = i + shift
                state[_RUN_TOTAL] = 0.0
                state[_RUN_BEST] = 0.0
            total = state[_RUN_TOTAL]
            best = np.float32(state[_RUN_BEST])
            while i < last and values[i] >= low:
                p = table[np.int64(values[i])] if coded else np.float32(values[i])
                total += p
                best = max(best, p)
                i += 1
            state[_RUN_TOTAL] = total
            state[_RUN_BEST] = best
            if i < last:
                count = _end_run(state, i + shift, high, max_gap, found, count)
        state[_POSITION] = end
        first = last
    return _write_past_peak(state, max_gap, found, count)
