"""What a user sees while a tool runs: progress in units that fit its size."""

from __future__ import annotations

import pytest

from segnt_tools.logs import Progress


@pytest.mark.parametrize(
    ("total", "done", "seconds", "line"),
    [
        (14, 14, 0.1, "x: 14 of 14 bases (100%), 140 bases/s"),
        (1010, 1010, 0.1, "x: 1.01 of 1.01 kb (100%), 10.1 kb/s"),
        (99_000, 49_500, 100.0, "x: 49.50 of 99.00 kb (50%), 0.5 kb/s, 1:40 min left"),
        (90_000, 90_000, 0.01, "x: 90.00 of 90.00 kb (100%), 9.000 Mb/s"),
        (100_000, 100_000, 1.0, "x: 0.10 of 0.10 Mb (100%), 0.100 Mb/s"),
        (3_000_000, 1000, 1.0, "x: 0.00 of 3.00 Mb (0%), 0.001 Mb/s, 49:59 min left"),
        (0, 0, 0.0, "x: 0 of 0 bases, 0 bases/s"),
    ],
)
def test_progress_is_told_in_units_that_fit(total: int, done: int, seconds: float, line: str) -> None:
    progress = Progress("x", total)
    progress.done = done
    assert progress.line(seconds) == line
