"""Fixtures of the pipeline's tests: Nextflow, Slurm, a pretended segnt."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pipeline_runs import ROOT, Nextflow, engines, skip_or_fail

FAKE_PYTHON = """#!/bin/bash
case $1 in
    *segnt_sequences.py)
        [[ -z ${FAKE_LOG:-} ]] || echo "code $5" >> "$FAKE_LOG"
        touch "$4/proteins.fa" "$4/cds.fa" "$4/transcripts.fa"
        ;;
    *segnt_select.py)
        [[ -z ${FAKE_LOG:-} ]] || echo "select" >> "$FAKE_LOG"
        touch "$6"  # ASSEMBLY --threads N --json FILE
        echo chosen_small
        ;;
    *) echo 0 ;;
esac
"""


@pytest.fixture(scope="session")
def nextflow(tmp_path_factory: pytest.TempPathFactory) -> Nextflow:
    """The real Nextflow, or a skip with the reason."""
    try:
        folder = engines.install_nextflow()
    except engines.EngineError as error:
        skip_or_fail(error)
    return Nextflow(folder, tmp_path_factory.mktemp("nextflow_home"))


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a real Slurm with two nodes of two pretended GPUs each, or a skip with the reason."""
    try:
        with engines.slurm(tmp_path_factory.mktemp("slurm") / "daemons") as env:
            yield env
    except engines.EngineError as error:
        skip_or_fail(error)


@pytest.fixture(scope="session")
def fake_segnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to put first on the PATH: a segnt and a python3 that only pretend."""
    folder = tmp_path_factory.mktemp("fake_bin")
    shutil.copy(ROOT / "tests" / "nextflow_fake_segnt.sh", folder / "segnt")
    (folder / "python3").write_text(FAKE_PYTHON, encoding="utf-8")
    (folder / "python3").chmod(0o755)
    return folder
