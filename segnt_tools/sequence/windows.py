"""Where windows lie on a contig: a function of the contig and the model alone."""

from __future__ import annotations

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
        """Shortest window length that holds so many bases besides the crop at both ends."""
        wanted = max(self.shortest, bases + 2 * self.crop)
        return min(-(-wanted // self.multiple) * self.multiple, self.length)


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
