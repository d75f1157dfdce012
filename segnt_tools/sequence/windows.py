"""Where windows lie on a contig: a function of the contig and the model alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segnt_tools.errors import UsageError


@dataclass(frozen=True, slots=True)
class WindowGeometry:
    """The windows a model takes.

    Attributes:
        length: default window length in bases.
        multiple: every window length is a multiple of this.
        shortest: shortest window the model takes.
        longest: longest window the model takes.
        margin: bases at each end of a window whose predictions are left to the neighbouring windows.
        crop: bases at each end of a window for which the model gives no output at all.
        start_multiple: windows start at multiples of this (codon pixels want 3).
    """

    length: int
    multiple: int
    shortest: int
    longest: int
    margin: int
    crop: int = 0
    start_multiple: int = 1

    def __post_init__(self) -> None:
        if self.length % self.multiple:
            raise UsageError(
                f"a window of {self.length} bp is no multiple of {self.multiple}",
                hint=f"Nearest: {max(self.shortest, round(self.length / self.multiple) * self.multiple)}",
            )
        if not self.shortest <= self.length <= self.longest:
            raise UsageError(f"a window of {self.length} bp is outside {self.shortest} to {self.longest} bp")
        if self.core < self.start_multiple:
            raise UsageError(f"a margin of {self.margin} bp leaves no core in a window of {self.length} bp")

    @property
    def core(self) -> int:
        """Bases kept of a window inside a contig: the distance between window starts."""
        core = self.length - 2 * max(self.margin, self.crop)
        return core - core % self.start_multiple

    def valid(self, length: int) -> tuple[int, int]:
        """First base and end of the model's output inside a window of this length."""
        return self.crop, length - self.crop

    def rounded_up(self, bases: int) -> int:
        """Length of a window for a contig of so many bases that fits into one window.

        At most an eighth longer than need be: few different lengths let many short contigs share a batch.
        """
        wanted = max(self.shortest, bases + 2 * self.crop)
        step = self.multiple << max(0, (wanted // self.multiple).bit_length() - 4)
        return min(-(-wanted // step) * step, self.length)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a contig that goes through a model once.

    Attributes:
        start: first base on the contig, 0-based; negative where the window hangs over the contig's start.
        length: bases of the window.
        keep_from: first base on the contig whose prediction is kept.
        keep_to: end (exclusive) of the kept bases.
    """

    start: int
    length: int
    keep_from: int
    keep_to: int


# Runs of N up to this length are bridged in models that cannot see N: they see A instead, and the output there is 0.
# Longer runs cut the contig into segments that are predicted on their own.
LONGEST_BRIDGED_GAP = 50


def windows_of_contig(length: int, geometry: WindowGeometry) -> list[Window]:
    """Windows for models that take N: bases beyond the contig's ends are N.

    A contig that fits gets one window of a length near its own. A longer one is covered from its first base on; the
    last window is shifted back so that it ends with the contig (or up to start_multiple - 1 bases later).
    """
    if length <= geometry.length - 2 * geometry.crop:
        return [Window(-_up(geometry.crop, geometry.start_multiple), geometry.rounded_up(length), 0, length)]
    return _cover(0, length, geometry)


def windows_of_segments(length: int, gaps: Sequence[tuple[int, int]], geometry: WindowGeometry) -> list[Window]:
    """Windows for models that cannot take N: each segment between long gaps is covered on its own.

    No window leaves the contig, unless the whole contig is shorter than the shortest window.

    Args:
        length: bases of the contig.
        gaps: its runs of N, ascending.
        geometry: the model's windows.
    """
    windows: list[Window] = []
    start = 0
    for gap_start, gap_end in [*((a, b) for a, b in gaps if b - a > LONGEST_BRIDGED_GAP), (length, length)]:
        if gap_start > start:
            windows += _cover_segment(start, gap_start, length, geometry)
        start = gap_end
    return windows


def _cover_segment(start: int, end: int, contig_length: int, geometry: WindowGeometry) -> list[Window]:
    bases = end - start
    if bases > geometry.length:
        return _cover(start, end, geometry)
    if bases < geometry.shortest:  # a neighbourhood on the contig, else nothing but the bases themselves
        first = max(0, min(start, contig_length - geometry.shortest))
        return [Window(first, geometry.shortest, start, end)]
    size = bases - bases % geometry.multiple
    if size == bases:
        return [Window(start, size, start, end)]
    border = start + size - min(geometry.margin, (2 * size - bases) // 2)  # in the middle of what both see, or near
    return [Window(start, size, start, border), Window(end - size, size, border, end)]


def _cover(start: int, end: int, geometry: WindowGeometry) -> list[Window]:
    """Overlapping windows of full length; each keeps what lies at least the margin away from its inner ends."""
    step = geometry.start_multiple
    given_up = max(geometry.margin, geometry.crop)
    window_start = start - _up(geometry.crop, step)
    kept = start
    windows: list[Window] = []
    while True:
        window_end = window_start + geometry.length
        if window_end - geometry.crop >= end:
            last_start = end + geometry.crop - geometry.length
            last_start += (start - last_start) % step
            windows.append(Window(last_start, geometry.length, kept, end))
            return windows
        windows.append(Window(window_start, geometry.length, kept, window_end - given_up))
        kept = window_end - given_up
        window_start = kept - given_up
        window_start -= (window_start - start) % step


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
