"""Interval arithmetic over a whole assembly laid out on one axis, contig after contig."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segnt_tools.sequence.intervals import union

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """Contigs laid end to end, so that intervals of all contigs are handled in one array.

    Attributes:
        names: names of the contigs.
        lengths: their lengths, shape (contigs,).
    """

    names: tuple[str, ...]
    lengths: Integers

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of each contig."""
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def offsets(self) -> Integers:
        """First position of each contig on the axis, and the end of the last one; shape (contigs + 1,)."""
        return np.concatenate(([0], np.cumsum(self.lengths)))

    @property
    def total(self) -> int:
        """Bases of all contigs."""
        return int(self.offsets[-1])

    @classmethod
    def of(cls, lengths: Mapping[str, int]) -> Axis:
        """The axis of contigs with these lengths, in the order of the mapping."""
        return cls(tuple(lengths), np.fromiter(lengths.values(), dtype=np.int64, count=len(lengths)))


@dataclass(frozen=True)
class Intervals:
    """Half-open intervals on an axis.

    Attributes:
        starts: shape (intervals,).
        ends: shape (intervals,).
    """

    starts: Integers
    ends: Integers

    @property
    def count(self) -> int:
        """Number of intervals."""
        return int(self.starts.size)

    @property
    def lengths(self) -> Integers:
        """Bases of each."""
        return self.ends - self.starts

    @cached_property
    def merged(self) -> Intervals:
        """The same bases as ascending intervals that neither overlap nor touch."""
        return Intervals(*union(np.stack((self.starts, self.ends), axis=1)).T)

    @property
    def bases(self) -> int:
        """Bases that at least one interval covers."""
        return int(self.merged.lengths.sum())

    def covered_before(self, positions: Integers) -> Integers:
        """Covered bases left of each position; shape of `positions`."""
        merged = self.merged
        if not merged.count:
            return np.zeros(positions.shape, dtype=np.int64)
        summed = np.concatenate(([0], np.cumsum(merged.lengths)))
        before = np.searchsorted(merged.starts, positions, side="right")
        whole = summed[before]
        last = np.maximum(before - 1, 0)
        overhang = np.where(before > 0, np.maximum(merged.ends[last] - positions, 0), 0)
        return np.asarray(whole - overhang, dtype=np.int64)

    def overlap(self, other: Intervals) -> int:
        """Bases that both cover."""
        merged = self.merged
        return int((other.covered_before(merged.ends) - other.covered_before(merged.starts)).sum())

    def grown(self, bases: int) -> Intervals:
        """Every interval longer by so many bases on both sides."""
        return Intervals(self.starts - bases, self.ends + bases)


def join(parts: list[Intervals]) -> Intervals:
    """All intervals of several sets."""
    if not parts:
        return Intervals(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    return Intervals(np.concatenate([part.starts for part in parts]), np.concatenate([part.ends for part in parts]))
