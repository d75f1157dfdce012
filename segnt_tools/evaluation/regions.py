"""Regions of an assembly to which an evaluation is restricted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from segnt_tools.sequence.intervals import Intervals, union
from segnt_tools.sequence.stretches import Stretch


def region_intervals(regions: Sequence[Stretch], lengths: Mapping[str, int]) -> dict[str, Intervals]:
    """Evaluated bases of each contig that has any; without regions all contigs as a whole."""
    by_contig: dict[str, list[tuple[int, int]]] = {}
    for region in regions or [Stretch(contig, 0, size) for contig, size in lengths.items()]:
        by_contig.setdefault(region.contig, []).append((region.start, region.end))
    return {contig: union(np.array(rows, dtype=np.int64)) for contig, rows in by_contig.items()}
