"""The pipeline on real engines: run locally, resumed, killed, with other shards, in a container, on Slurm."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pipeline_runs import PIPELINE, ROOT, Nextflow, Run, engines, skip_or_fail, tiny_sheet, workflow_tests

pytest_plugins = ("pipeline_fixtures",)
pytestmark = [pytest.mark.nextflow, pytest.mark.slow, pytest.mark.timeout(3600)]

SEGNT = Path(sys.executable).parent / "segnt"
SAMPLES = ("thaliana", "scaffolds", "regions")
COMPARED = ("genes.gff3", "elements.gff3", "elements.bed", "proteins.fa", "cds.fa", "transcripts.fa")
BASE_IMAGE = "docker.io/library/python:3.11-slim-bookworm"


@pytest.fixture(scope="session")
def finished(nextflow: Nextflow, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The test profile run from end to end by the pipeline's own pytest-workflow file, in a copy of the pipeline."""
    scratch = tmp_path_factory.mktemp("finished") / "w"
    workflow_tests(nextflow, "real", scratch)
    folder = scratch / "test_profile"
    return Run(folder, 0, (folder / "log.out").read_text(encoding="utf-8"))


def text(run: Run, name: str) -> str:
    return (run.results / name).read_text(encoding="utf-8")


def test_results_are_complete_and_valid(finished: Run):
    for sample in SAMPLES:
        folder = finished.results / sample
        for name in (*COMPARED, "report.html", "report.json", "tracks.json", "genes.dropped.tsv", "tracks/CDS.plus.bw"):
            assert (folder / name).is_file(), name
        genome = folder / "assembly"
        checked = subprocess.run(
            [SEGNT, "check-gff", str(folder / "genes.gff3"), "--genome", str(genome)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout
        assert "\tCDS\t" in text(finished, f"{sample}/genes.gff3")
        assert (folder / "model.json").exists() == (sample == "scaffolds"), "the others name their model"
        multiqc = json.loads(text(finished, f"multiqc/{sample}_mqc.json"))
        assert list(multiqc["data"]) == [sample]
    assert len(finished.states("SEGNT_PREDICT")) == 5 + 3 + 2


def test_regions_alone_are_annotated(finished: Run):
    rows = (PIPELINE / "assets/test/regions.bed").read_text(encoding="utf-8").splitlines()
    regions = {name: (int(start), int(end)) for name, start, end in (row.split("\t") for row in rows)}
    calls = [line.split("\t") for line in text(finished, "regions/elements.bed").splitlines()]
    assert {call[0] for call in calls} == set(regions)
    assert all(regions[name][0] <= int(start) < int(end) <= regions[name][1] for name, start, end, *_ in calls)


def test_existing_annotation_stays_and_reference_is_scored(finished: Run):
    genes = text(finished, "thaliana/genes.gff3")
    assert "ID=gene-AT1G77220" in genes
    scores = json.loads(text(finished, "thaliana/evaluate/evaluate.json"))
    assert [prediction["name"] for prediction in scores["predictions"]] == ["thaliana"]
    assert not (finished.results / "scaffolds/evaluate").exists()


def test_proteins_are_those_of_the_merged_genes(finished: Run):
    for sample in SAMPLES:
        rows = [line.split("\t") for line in text(finished, f"{sample}/genes.gff3").splitlines() if line[:1] != "#"]
        coding = {
            item.removeprefix("Parent=")
            for row in rows
            if row[2] == "CDS"
            for item in row[8].split(";")
            if "Parent=" in item
        }
        proteins = {
            line[1:].split()[0] for line in text(finished, f"{sample}/proteins.fa").splitlines() if line[0] == ">"
        }
        assert proteins == coding


def test_resume_repeats_nothing(finished: Run, nextflow: Nextflow):
    before = {name: text(finished, f"thaliana/{name}") for name in COMPARED}
    again = nextflow.run(finished.folder, "-profile", "test", "-resume", pipeline=finished.folder)
    assert again.status == 0, again.output
    assert {task["status"] for task in again.tasks()} == {"CACHED"}
    assert before == {name: text(again, f"thaliana/{name}") for name in COMPARED}


def test_killed_run_resumes_and_one_shard_gives_what_many_give(finished: Run, nextflow: Nextflow, tmp_path: Path):
    arguments = ("-profile", "test", "--shards", "1")
    nextflow.run_and_kill(tmp_path, *arguments, after="SEGNT_CALLGENES")
    assert not (tmp_path / "results/thaliana/genes.gff3").exists()
    resumed = nextflow.run(tmp_path, *arguments, "-resume")
    assert resumed.status == 0, resumed.output
    assert "CACHED" in resumed.states("SEGNT_PREDICT")
    assert len(resumed.states("SEGNT_PREDICT")) == 3
    for sample in SAMPLES:
        for name in COMPARED:
            assert text(resumed, f"{sample}/{name}") == text(finished, f"{sample}/{name}"), f"{sample}/{name}"


def test_model_is_adapted_where_the_sheet_gives_trusted_genes(nextflow: Nextflow, tmp_path: Path):
    files = PIPELINE / "assets/test"
    genome, genes = files / "thaliana.fa.gz", files / "thaliana_reference.gff3.gz"
    sheet = tmp_path / "samplesheet.csv"
    sheet.write_text(
        f"sample,fasta,model,adapt_fasta,adapt_annotation\nown,{genome},plant_small,{genome},{genes}\n",
        encoding="utf-8",
    )
    arguments = ("-profile", "test", "--input", str(sheet), "--adapt_minutes", "0.1", "--shards", "1")
    run = nextflow.run(tmp_path, *arguments)
    assert run.status == 0, run.output
    card = json.loads(text(run, "own/model/card.json"))
    assert card["name"] == "own_adapted"
    assert "own_adapted" in str(json.loads(text(run, "own/tracks.json"))["model"])
    assert "\tCDS\t" in text(run, "own/genes.gff3")


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory):
    """Our Dockerfile, built on a local stand-in for its base, without PyTorch; and a PyTorch to mount."""
    try:
        podman = engines.Podman.create()
        podman.stand_in(BASE_IMAGE)
        podman.build("localhost/segnt-tools/segnt_tools:0.1.0-cpu", {"TORCH": ""})
    except engines.EngineError as error:
        skip_or_fail(error)
    return podman


@pytest.fixture(scope="session")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that give a container the PyTorch of this Python: a folder of links, and what they point to."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the stand-in image has Python 3.11, and PyTorch is mounted from this one")
    import torch

    site = Path(torch.__file__).parents[1]
    links = tmp_path_factory.mktemp("torch_only")
    for name in ("torch", "torchgen", "functorch", "nvidia", "triton", "sympy", "mpmath", "networkx", "jinja2"):
        (links / name).symlink_to(site / name)
    for path in (
        *site.glob("torch-*.dist-info"),
        *site.glob("fsspec*"),
        *site.glob("filelock*"),
        *site.glob("markupsafe*"),
    ):
        (links / path.name).symlink_to(path)
    (links / "typing_extensions.py").symlink_to(site / "typing_extensions.py")
    return ["-v", f"{site}:{site}:ro", "-v", f"{links}:{links}:ro", "-e", f"PYTHONPATH={links}"]


def test_image_is_lean_and_runs_without_rights(image):
    run = image.run
    tag = "localhost/segnt-tools/segnt_tools:0.1.0-cpu"
    assert run("run", "--rm", "--network", "none", tag, "id", "-u").strip() == "10001"
    version = run("run", "--rm", "--network", "none", tag, "bash", "-c", "segnt --version 2>&1")
    assert version.startswith("segnt_tools "), version
    assert "PID" in run("run", "--rm", "--network", "none", tag, "ps")
    for tool in ("pip", "gcc", "cc", "make"):
        found = run("run", "--rm", "--network", "none", tag, "bash", "-c", f"command -v {tool} || echo none").strip()
        assert found in ("none", "/usr/local/bin/pip"), tool  # the Python base may bring its own pip
    labels = json.loads(run("image", "inspect", tag))[0]["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert labels["org.opencontainers.image.version"]


def test_run_in_containers(image, mounts: list[str], nextflow: Nextflow, tmp_path: Path):
    config = tmp_path / "container.config"
    options = " ".join(["-u $(id -u):$(id -g)", "--network none", *mounts])
    config.write_text(f"podman.runOptions = '{options}'\nprocess.resourceLimits = [cpus: 2, memory: 4.GB]\n")
    sheet = tiny_sheet(tmp_path)
    hide_segnt = {name: value for name, value in image.env.items() if name != "PATH"}
    env = nextflow.environment(hide_segnt)
    del env["NUMBA_CACHE_DIR"]  # as users have it: the tasks share what one of them compiled
    arguments = ("-profile", "podman", "--registry", "localhost", "--input", str(sheet), "--shards", "2")
    run = nextflow.run(tmp_path, *arguments, "-c", str(config), env=env)
    assert run.status == 0, run.output
    assert (run.results / "tiny/report.html").is_file()
    scripts = run.command_runs("SEGNT_PREDICT")
    assert len(scripts) == 2
    assert all("podman run" in script and "segnt-tools/segnt_tools:0.1.0-cpu" in script for script in scripts)
    assert all(float(task["peak_rss"].split()[0]) > 0 for task in run.tasks() if "PREDICT" in task["name"])
    assert list((tmp_path / "work/numba").rglob("*.nbi")), "compiled kernels outlive the container"


FAST_SLURM = """
executor {
    queueSize = 4
    pollInterval = '1 sec'
    queueStatInterval = '1 sec'
    submitRateLimit = '20/1sec'
}
process {
    resourceLimits = [cpus: 1, memory: 1900.MB, time: 1.h]
}
"""


def test_slurm_gives_each_predict_task_a_gpu(slurm, fake_segnt: Path, nextflow: Nextflow, tmp_path: Path):
    config = tmp_path / "fast.config"
    config.write_text(FAST_SLURM)
    env = {**slurm, "FAKE_LOG": str(tmp_path / "calls.log"), "FAKE_SECONDS": "1", "FAKE_FAIL": "2 137 1"}
    env = {**env, "FAKE_FAILURES": str(tmp_path / "failures")}
    env.pop("CUDA_VISIBLE_DEVICES", None)
    env.pop("PATH")
    (tmp_path / "failures").touch()
    arguments = (
        "-profile",
        "slurm,gpu",
        "--gpu_queue",
        "gpu",
        "--cpu_queue",
        "cpu",
        "--input",
        str(tiny_sheet(tmp_path)),
    )
    run = nextflow.run(tmp_path, *arguments, "-c", str(config), env=nextflow.environment(env, first_on_path=fake_segnt))
    assert run.status == 0, run.output
    predict = run.command_runs("SEGNT_PREDICT")
    assert len(predict) == 4, "three shards, one of them twice"
    assert all("#SBATCH --gres=gpu:1" in script and "#SBATCH -p gpu" in script for script in predict)
    others = run.command_runs("SEGNT_CALLPEAKS") + run.command_runs("SEGNT_PREPROCESS")
    assert others
    assert not any("--gres" in script for script in others)
    assert all("#SBATCH -p cpu" in script for script in others)
    started = [line for line in (tmp_path / "calls.log").read_text().splitlines() if line.startswith("start")]
    assert all("gpu=0" in line or "gpu=1" in line for line in started), started


def wait_for_jobs(env: dict[str, str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while subprocess.run(["squeue", "-h"], env=env, capture_output=True, text=True, check=True).stdout.strip():
        assert time.monotonic() < deadline
        time.sleep(1)


def array_stopped_once(folder: Path, env: dict[str, str]) -> list[str]:
    """Submit an array of one shard, send its job SIGTERM, wait for all jobs; returns the calls of segnt predict."""
    tiny_sheet(folder)
    log = folder / "calls.log"
    env |= {"FAKE_LOG": str(log), "FAKE_SHARDS": "1", "FAKE_SECONDS": "10"}
    env |= {"SEGNT_SBATCH_OPTIONS": "--cpus-per-task=1 --mem=500M"}
    command = ["bash", str(ROOT / "containers/hpc/submit.sh"), str(folder / "tiny.fa"), str(folder / "run")]
    said = subprocess.run(command, env=env, check=True, timeout=120, capture_output=True, text=True).stdout
    job = said.split("job ")[1].split(",")[0]
    deadline = time.monotonic() + 120
    while not log.exists():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    subprocess.run(["scancel", "--batch", "--signal=TERM", f"{job}_1"], env=env, check=True, timeout=60)
    wait_for_jobs(env, 180)
    return [line.split()[0] for line in log.read_text().splitlines()]


def test_preempted_job_of_the_array_is_queued_again(slurm, fake_segnt: Path, nextflow: Nextflow, tmp_path: Path):
    """A job that gets SIGTERM, as at the end of its time, ends its segnt, goes back into the queue and is finished."""
    env = nextflow.environment({k: v for k, v in slurm.items() if k != "PATH"}, first_on_path=fake_segnt)
    calls = array_stopped_once(tmp_path, env)
    predict_log = (tmp_path / "run/logs/predict_1.log").read_text()
    assert "queued again" in predict_log
    assert calls == ["start", "start", "end"], predict_log
    assert (tmp_path / "run/report.html").exists(), predict_log


def test_job_that_never_fits_into_its_time_is_given_up(slurm, fake_segnt: Path, nextflow: Nextflow, tmp_path: Path):
    env = nextflow.environment({k: v for k, v in slurm.items() if k != "PATH"}, first_on_path=fake_segnt)
    calls = array_stopped_once(tmp_path, env | {"SEGNT_REQUEUES": "0"})
    predict_log = (tmp_path / "run/logs/predict_1.log").read_text()
    assert "Give it more --time" in predict_log
    assert calls == ["start"], predict_log
    assert not (tmp_path / "run/report.html").exists()


def test_more_shards_than_an_array_can_have_are_refused(slurm, fake_segnt: Path, nextflow: Nextflow, tmp_path: Path):
    tiny_sheet(tmp_path)
    env = nextflow.environment({k: v for k, v in slurm.items() if k != "PATH"}, first_on_path=fake_segnt)
    env |= {"FAKE_SHARDS": "1001"}
    command = ["bash", str(ROOT / "containers/hpc/submit.sh"), str(tmp_path / "tiny.fa"), str(tmp_path / "run")]
    said = subprocess.run(command, env=env, check=False, timeout=120, capture_output=True, text=True)
    assert said.returncode == 2
    assert "there are 1001 shards, but job arrays of this cluster end at 1000" in said.stderr


def test_array_without_nextflow(slurm, fake_segnt: Path, nextflow: Nextflow, tmp_path: Path):
    """containers/hpc: an array over the shard table, a failed shard, the same command again, then the merge."""
    tiny_sheet(tmp_path)
    env = nextflow.environment({k: v for k, v in slurm.items() if k != "PATH"}, first_on_path=fake_segnt)
    env |= {
        "FAKE_LOG": str(tmp_path / "calls.log"),
        "FAKE_FAILURES": str(tmp_path / "failures"),
        "FAKE_FAIL": "2 1 1",
        "SEGNT_SBATCH_OPTIONS": "--cpus-per-task=1 --mem=500M",
    }
    (tmp_path / "failures").touch()
    command = ["bash", str(ROOT / "containers/hpc/submit.sh"), str(tmp_path / "tiny.fa"), str(tmp_path / "run"), "2"]
    subprocess.run(command, env=env, check=True, timeout=120)
    wait_for_jobs(env, 180)
    tracks = tmp_path / "run/tracks"
    assert sorted(path.name for path in tracks.glob("*.h5")) == ["shard_00001.h5", "shard_00003.h5"]
    assert not (tmp_path / "run/report.html").exists()
    second = subprocess.run(command, env=env, check=True, timeout=120, capture_output=True, text=True)
    assert "1 shards" in second.stdout
    wait_for_jobs(env, 180)
    assert len(list(tracks.glob("*.h5"))) == 3
    assert (tmp_path / "run/report.html").exists(), (tmp_path / "run/logs/merge.log").read_text()
    started = [line for line in (tmp_path / "calls.log").read_text().splitlines() if line.startswith("start")]
    assert sorted(line.split()[1] for line in started) == ["1", "2", "2", "3"]
    assert all("gpu=0" in line or "gpu=1" in line for line in started), started
