"""Regions of an assembly to which an evaluation is restricted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from segnt_tools.labels.intervals import Intervals, union
from segnt_tools.tracks.export import Region


def region_intervals(regions: Sequence[Region], lengths: Mapping[str, int]) -> dict[str, Intervals]:
    """Evaluated bases of each contig that has any; without regions all contigs as a whole."""
    chosen = regions or [Region(contig, 0, size) for contig, size in lengths.items()]
    contigs = dict.fromkeys(region.contig for region in chosen)
    return {
        contig: union(np.array([(r.start, r.end) for r in chosen if r.contig == contig], dtype=np.int64))
        for contig in contigs
    }
