"""Recipes of images and job scripts: hadolint, shell syntax, and the pipeline under nf-core's lint."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
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
    assert "--gres=gpu:1" in text
    for name in ("segnt_array", "segnt_merge"):
        text = (CONTAINERS / f"hpc/{name}.sbatch").read_text(encoding="utf-8")
        for wanted in ("--requeue", "--signal=B:TERM@", "--open-mode=append", "trap stop TERM"):
            assert wanted in text, name


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """An environment with a pretended segnt and a pretended Slurm that only note what they are asked for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    shutil.copy(ROOT / "tests/nextflow_fake_segnt.sh", folder / "segnt")
    for name, text in (("sbatch", "echo 7"), ("scontrol", ":")):
        (folder / name).write_text(f'#!/bin/bash\necho "{name} $*" >> "{tmp_path}/slurm.log"\n{text}\n')
        (folder / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEGNT_", "SLURM_"))}
    return {**kept, "PATH": f"{folder}:{os.environ['PATH']}"}


def submit(folder: Path, env: dict[str, str], genome: str = "g.fa") -> subprocess.CompletedProcess[str]:
    command = ["bash", str(CONTAINERS / "hpc/submit.sh"), str(folder / genome), str(folder / "run")]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_a_run_folder_belongs_to_one_genome_and_one_set_of_options(cluster: dict[str, str], tmp_path: Path):
    (tmp_path / "g.fa").write_text(">a\nACGT\n")
    (tmp_path / "h.fa").write_text(">b\nACGTT\n")
    env = cluster | {"SEGNT_PREDICT_OPTIONS": "--model plant_small"}
    assert submit(tmp_path, env).returncode == 0
    assert submit(tmp_path, env | {"SEGNT_EXEC": "env", "SEGNT_SBATCH_OPTIONS": "--qos=x"}).returncode == 0
    submitted = (tmp_path / "slurm.log").read_text()
    for name, value, before in (
        ("SEGNT_PREDICT_OPTIONS", "--model yeast_small", "--model plant_small"),
        ("SEGNT_SHARDS", "2", ""),
        ("SEGNT_SHARD_SIZE", "1M", ""),
        ("SEGNT_PREPROCESS_OPTIONS", "--min-length 1k", ""),
        ("SEGNT_DEVICE", "cpu", ""),
    ):
        refused = submit(tmp_path, env | {name: value})
        assert refused.returncode == 2
        assert f"  {name}: then '{before}', now '{value}'\n" in refused.stderr
        assert refused.stderr.count(": then '") == 1
        assert "Give another folder, or remove this one" in refused.stderr
    refused = submit(tmp_path, env, "h.fa")
    assert refused.returncode == 2
    assert f"genome: then '{tmp_path}/g.fa', now '{tmp_path}/h.fa'" in refused.stderr
    (tmp_path / "g.fa").write_text(">a\nACGTACGT\n")
    assert "size and time of the genome: then '8 bytes" in submit(tmp_path, env).stderr
    assert (tmp_path / "slurm.log").read_text() == submitted, "nothing more was submitted"


def test_a_folder_whose_preprocess_failed_may_be_begun_anew_and_one_of_unknown_making_may_not(
    cluster: dict[str, str], tmp_path: Path
):
    (tmp_path / "g.fa").write_text(">a\nACGT\n")
    assert submit(tmp_path, cluster | {"SEGNT_EXEC": "false"}).returncode == 1
    assert submit(tmp_path, cluster | {"SEGNT_SHARDS": "2"}).returncode == 0
    (tmp_path / "run/settings").unlink()
    refused = submit(tmp_path, cluster | {"SEGNT_SHARDS": "2"})
    assert refused.returncode == 2
    assert "no file 'settings'" in refused.stderr
    assert submit(tmp_path, cluster, "none.fa").returncode == 2


@pytest.mark.parametrize("restarts", [0, 3])
def test_stopped_merge_job_is_queued_again_and_given_up_in_the_end(
    cluster: dict[str, str], tmp_path: Path, restarts: int
):
    (tmp_path / "run/assembly").mkdir(parents=True)
    (tmp_path / "run/tracks").mkdir()
    (tmp_path / "run/assembly/shards.tsv").write_text("1\t1\ta\t0\t9\n")
    (tmp_path / "run/tracks/shard_00001.h5").write_text("x")
    (tmp_path / "bin/segnt").write_text(f'#!/bin/bash\necho "$1" >> "{tmp_path}/calls"\nexec sleep 30\n')
    env = cluster | {"SEGNT_RUN": str(tmp_path / "run"), "SLURM_JOB_ID": "9", "SLURM_RESTART_COUNT": str(restarts)}
    job = subprocess.Popen(
        ["bash", str(CONTAINERS / "hpc/segnt_merge.sbatch")],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "calls").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    job.terminate()
    said, _ = job.communicate(timeout=20)
    assert job.returncode == 143, said
    assert (tmp_path / "calls").read_text() == "call-peaks\n"
    log = tmp_path / "slurm.log"
    if restarts:
        assert "Give it more time" in said
        assert not log.exists()
    else:
        assert "in segnt call-peaks: queued again" in said
        assert log.read_text() == "scontrol requeue 9\n"


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
