"""Regions of an assembly to which an evaluation is restricted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segnt_tools.errors import UsageError
from segnt_tools.labels.intervals import Intervals, union


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of a contig, 0-based half-open."""

    contig: str
    start: int
    end: int


def parse_region(text: str, lengths: Mapping[str, int]) -> Region:
    """A region written as samtools does: `chr1`, `chr1:5,000`, `chr1:5000-6000`, 1-based and inclusive.

    Raises:
        UsageError: the contig is unknown, or the numbers are impossible.
    """
    if text in lengths:
        return Region(text, 0, lengths[text])
    match = re.fullmatch(r"(?P<contig>.+):(?P<start>[\d,]+)(?:-(?P<end>[\d,]+)?)?", text)
    contig = match["contig"] if match else text
    if match is None or contig not in lengths:
        known = ", ".join(list(lengths)[:5])
        raise UsageError(f"--region {text}: the genome has no contig {contig}", hint=f"Its contigs begin with: {known}")
    start = int(match["start"].replace(",", ""))
    end = int(match["end"].replace(",", "")) if match["end"] else lengths[contig]
    if not 1 <= start <= end <= lengths[contig]:
        raise UsageError(
            f"--region {text}: {start}-{end} is not inside {contig}, which has {lengths[contig]} bases",
            hint="Write CONTIG:FROM-TO, 1-based and inclusive",
        )
    return Region(contig, start - 1, end)


def region_intervals(regions: Sequence[Region], lengths: Mapping[str, int]) -> dict[str, Intervals]:
    """Evaluated bases of each contig that has any; without regions all contigs as a whole."""
    chosen = regions or [Region(contig, 0, size) for contig, size in lengths.items()]
    contigs = dict.fromkeys(region.contig for region in chosen)
    return {
        contig: union(np.array([(r.start, r.end) for r in chosen if r.contig == contig], dtype=np.int64))
        for contig in contigs
    }
