"""Window positions: every base kept once, inside valid output, whatever the contig."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from segnt_tools.errors import UsageError
from segnt_tools.sequence.windows import (
    LONGEST_BRIDGED_GAP,
    WindowGeometry,
    windows_of_contig,
    windows_of_segments,
)

SEGMENTNT = WindowGeometry(length=960, multiple=24, shortest=24, longest=2400, margin=120)
EMBEDDED = WindowGeometry(length=1152, multiple=48, shortest=48, longest=4800, margin=144, start_multiple=3)
BORZOI = WindowGeometry(length=1024, multiple=1024, shortest=1024, longest=1024, margin=0, crop=320)
FIXED = WindowGeometry(length=512, multiple=512, shortest=512, longest=512, margin=64)
ALL = {"embedded": EMBEDDED, "borzoi": BORZOI, "fixed": FIXED}
# What --overlap 0 makes of them: windows lie side by side.
ALL |= {f"{name}, no overlap": dataclasses.replace(geometry, margin=0) for name, geometry in ALL.items()}


def lengths(geometry: WindowGeometry) -> list[int]:
    around = [geometry.length + d for d in (-geometry.multiple, -1, 0, 1, geometry.multiple)]
    return [1, 2, 5, 23, 24, 25, 47, 48, 49, 100, 1000, *around, 5000, 10_007]


@pytest.mark.parametrize("geometry", ALL.values(), ids=ALL)
def test_models_with_n(geometry: WindowGeometry) -> None:
    for length in lengths(geometry):
        windows = windows_of_contig(length, geometry)
        kept = [base for window in windows for base in range(window.keep_from, window.keep_to)]
        assert kept == list(range(length))
        for window in windows:
            assert window.length % geometry.multiple == 0
            assert geometry.shortest <= window.length <= geometry.length
            assert window.start % geometry.start_multiple == 0
            first, end = geometry.valid(window.length)
            assert window.start + first <= window.keep_from
            assert window.keep_to <= window.start + end
            for edge, kept_edge, inner in (
                (window.start, window.keep_from, window.keep_from > 0),
                (window.start + window.length, window.keep_to, window.keep_to < length),
            ):
                # Inside a contig a kept base lies at least the margin away from its window's end.
                assert not inner or abs(kept_edge - edge) >= geometry.margin


@pytest.mark.parametrize("margin", [SEGMENTNT.margin, 0])
@pytest.mark.parametrize("seed", range(30))
def test_models_without_n(seed: int, margin: int) -> None:
    geometry = dataclasses.replace(SEGMENTNT, margin=margin)
    random = np.random.default_rng(seed)
    length = int(random.choice(lengths(SEGMENTNT)))
    cuts = np.sort(random.integers(0, length + 1, 2 * int(random.integers(0, 5)))).reshape(-1, 2)
    gaps = [(int(a), int(b)) for a, b in cuts if b > a]
    windows = windows_of_segments(length, gaps, geometry)
    in_long_gap = np.zeros(length, dtype=bool)
    for a, b in gaps:
        in_long_gap[a:b] |= b - a > LONGEST_BRIDGED_GAP
    kept = np.concatenate([np.arange(w.keep_from, w.keep_to) for w in windows] or [np.zeros(0, dtype=int)])
    assert kept.tolist() == np.flatnonzero(~in_long_gap).tolist()
    for window in windows:
        assert window.length % SEGMENTNT.multiple == 0
        assert window.start <= window.keep_from < window.keep_to <= window.start + window.length
        if length >= SEGMENTNT.shortest:
            assert window.start >= 0
            assert window.start + window.length <= length
        if window.length > SEGMENTNT.shortest:  # a window of its own segment sees no long gap
            assert not in_long_gap[max(0, window.start) : window.start + window.length].any()


def test_a_window_that_does_not_fit_the_model_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match=r"multiple of 24.*Nearest: 1008"):
        WindowGeometry(length=1000, multiple=24, shortest=24, longest=30000, margin=0)


def test_without_overlap_windows_lie_side_by_side() -> None:
    for geometry in (SEGMENTNT, EMBEDDED, FIXED):
        without = dataclasses.replace(geometry, margin=0)
        whole = windows_of_contig(6 * geometry.length, without)
        assert [window.start for window in whole] == [i * geometry.length for i in range(6)]
        assert all(window.keep_from == window.start for window in whole)


def test_short_contigs_get_few_different_window_lengths() -> None:
    sizes = {windows_of_contig(length, EMBEDDED)[0].length for length in range(1, 1152)}
    assert len(sizes) <= 20
    assert all(
        windows_of_contig(length, EMBEDDED)[0].length <= max(48, 1.25 * length + 48) for length in range(1, 1152)
    )
