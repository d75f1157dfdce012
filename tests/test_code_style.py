"""Format, lint, types and the direction of imports are part of the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def check(*command: str) -> None:
    """Run a checker from this environment; its output is the failure's message."""
    tool = Path(sys.executable).with_name(command[0])
    result = subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_format() -> None:
    check("ruff", "format", "--check", ".")


def test_lint() -> None:
    check("ruff", "check", ".")


@pytest.mark.slow
def test_types() -> None:
    check("mypy")


def test_imports_point_downwards() -> None:
    check("lint-imports")


def test_every_file_tells_its_purpose_in_its_first_line() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for folder in ("segnt_tools", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if not path.read_text(encoding="utf-8").startswith('"""')
    ]
    assert silent == []
