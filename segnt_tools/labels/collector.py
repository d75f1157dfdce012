"""Collecting intervals of elements contig by contig until they become labels."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from segnt_tools.elements import Strand
from segnt_tools.sequence.intervals import EMPTY, Intervals, union

Key = tuple[str, Strand]


class IntervalCollector:
    """Gathers intervals by (contig, element, strand) in flat arrays of 16 bytes an interval."""

    def __init__(self) -> None:
        self._flat: dict[str, dict[Key, array[int]]] = defaultdict(lambda: defaultdict(lambda: array("q")))

    def add(self, contig: str, element: str, strand: Strand, start: int, end: int) -> None:
        """Take in one interval, 0-based half-open."""
        self._flat[contig][element, strand].extend((start, end))

    def add_all(self, contig: str, element: str, strand: Strand, intervals: Iterable[tuple[int, int]]) -> None:
        """Take in several intervals."""
        flat = self._flat[contig][element, strand]
        for interval in intervals:
            flat.extend(interval)

    def compact(self, contig: str) -> None:
        """Replace a contig's intervals by their unions, to save memory."""
        for key, flat in self._flat[contig].items():
            self._flat[contig][key] = array("q", _union_of(flat).ravel().tobytes())

    def intervals(self, contig: str, element: str, strands: Iterable[Strand]) -> Intervals:
        """Union over strands of an element's intervals."""
        per_contig = self._flat.get(contig)
        if per_contig is None:
            return EMPTY
        parts = [np.frombuffer(flat, dtype=np.int64) for s in strands if (flat := per_contig.get((element, s)))]
        return union(np.concatenate(parts).reshape(-1, 2)) if parts else EMPTY

    def raw(self, contig: str, element: str) -> Intervals:
        """An element's intervals of all strands one by one, not joined."""
        flats = [flat for (name, _), flat in self._flat.get(contig, {}).items() if name == element]
        return np.concatenate([np.array(flat, dtype=np.int64) for flat in flats]).reshape(-1, 2) if flats else EMPTY

    def has_strandless(self, element: str) -> bool:
        """Whether any interval of an element, on any contig, has no strand."""
        return any(per_contig.get((element, Strand.NONE)) for per_contig in self._flat.values())

    def elements(self, contig: str) -> set[str]:
        """Elements with any interval on a contig."""
        return {element for element, _ in self._flat.get(contig, {})}


def _union_of(flat: array[int]) -> Intervals:
    return union(np.array(flat, dtype=np.int64).reshape(-1, 2))
