"""Recipes of images and job scripts: hadolint, shell syntax, and the pipeline under nf-core's lint."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pipeline_runs import PIPELINE, ROOT, Nextflow, engines, skip_or_fail

pytest_plugins = ("pipeline_fixtures",)

CONTAINERS = ROOT / "containers"
SCRIPTS = [*CONTAINERS.glob("hpc/*.s*"), *PIPELINE.glob("bin/*.sh")]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_parse(script: Path):
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if shutil.which("shellcheck"):
        checked = subprocess.run(["shellcheck", "-s", "bash", str(script)], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout


def test_image_has_a_numeric_user_and_no_registry_of_ours():
    text = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8")
    users = re.findall(r"^USER (.*)$", text, re.M)
    assert users
    assert re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1])
    assert set(re.findall(r"^FROM (\S+)", text, re.M)) == {"${BASE}"}
    assert "ARG BASE=docker.io/library/python:" in text


def test_job_scripts_ask_for_one_gpu_and_can_be_queued_again():
    text = (CONTAINERS / "hpc/segnt_array.sbatch").read_text(encoding="utf-8")
    for wanted in ("--gres=gpu:1", "--requeue", "--signal=B:TERM@", "trap stop TERM"):
        assert wanted in text


def test_workflow_files_for_github_build_both_variants():
    text = (ROOT / ".github/workflows/containers.yml").read_text(encoding="utf-8")
    assert re.findall(r"variant: (\w+)\n", text) == ["cpu", "cuda"]
    assert "containers/Dockerfile" in text


@pytest.mark.nextflow
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_hadolint(nextflow: Nextflow):
    try:
        folder = engines.install_nfcore()
    except engines.EngineError as error:
        skip_or_fail(error)
    done = subprocess.run(
        [folder / "hadolint", "--failure-threshold", "warning", str(CONTAINERS / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.nextflow
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nfcore_lint(nextflow: Nextflow, tmp_path: Path):
    if shutil.which("git") is None:
        skip_or_fail(RuntimeError("git is not installed: Debian package git"))
    try:
        status, output = engines.nfcore_lint(PIPELINE, tmp_path, nextflow.folder)
    except engines.EngineError as error:
        skip_or_fail(error)
    assert status == 0, output[-8000:]
    summary = {name: int(count) for count, name in re.findall(r"\]\s+(\d+) Tests? (Passed|Failed)", output)}
    assert summary["Failed"] == 0
    assert summary["Passed"] > 100, "most of the lint must have run"
