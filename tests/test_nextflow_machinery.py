"""The workflow on the real Nextflow with stubs and a pretended segnt: checks before any task, retry, GPUs, profiles."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_runs import PIPELINE, Nextflow, tiny_sheet, workflow_tests

pytest_plugins = ("pipeline_fixtures",)
pytestmark = [pytest.mark.nextflow, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_stub_run_with_the_strict_parser(nextflow: Nextflow, tmp_path: Path):
    """The usual parser reads everything in the other tests."""
    run = nextflow.run(tmp_path, "-profile", "test", "-stub-run", env=nextflow.environment({"NXF_SYNTAX_PARSER": "v2"}))
    assert run.status == 0, run.output
    for name in ("genes.gff3", "elements.gff3", "elements.bed", "proteins.fa", "report.html", "tracks.json"):
        assert (run.results / "thaliana" / name).is_file()
        assert (run.results / "scaffolds" / name).is_file()
    assert (run.results / "thaliana/evaluate").is_dir()
    assert not (run.results / "scaffolds/evaluate").exists()
    assert "segnt_tools:" in (run.results / "pipeline_info/software_versions.yml").read_text()


def test_lint(nextflow: Nextflow, tmp_path: Path):
    # Without tests/, whose YAML is not Nextflow's.
    done = nextflow.command("lint", "-output", "concise", str(PIPELINE), folder=tmp_path)
    assert done.status == 0, done.output
    assert "had no errors" in done.output
    assert "ERROR" not in done.output


def pretend(nextflow: Nextflow, fake_segnt: Path, folder: Path, *arguments: str, **env: str):
    """Run with the pretended segnt."""
    env = {"FAKE_LOG": str(folder / "calls.log"), "FAKE_FAILURES": str(folder / "failures"), **env}
    (folder / "failures").touch()
    return nextflow.run(
        folder,
        *("--input", str(tiny_sheet(folder)), *arguments),
        env=nextflow.environment(env, first_on_path=fake_segnt),
    )


def test_out_of_memory_is_tried_again_with_a_smaller_batch_and_more_memory(nextflow, fake_segnt, tmp_path):
    config = tmp_path / "large.config"
    config.write_text("process.resourceLimits = [cpus: 1, memory: 64.GB]\nexecutor.memory = 64.GB\n", encoding="utf-8")
    run = pretend(nextflow, fake_segnt, tmp_path, "-c", str(config), FAKE_FAIL="2 3 1")
    assert run.status == 0, run.output
    assert run.states("SEGNT_PREDICT") == ["COMPLETED", "COMPLETED", "COMPLETED", "FAILED"]
    tried = [(task["attempt"], task["memory"]) for task in run.tasks() if task["name"].endswith("PREDICT (tiny 2/3)")]
    assert tried == [("1", "8 GB"), ("2", "16 GB")]
    calls = [line for line in (tmp_path / "calls.log").read_text().splitlines() if line.startswith("start 2")]
    assert [re.search(r"batch=(\d*)", call)[1] for call in calls] == ["", "2"]


def test_a_failure_that_stays_is_reported_and_the_others_finish(nextflow, fake_segnt, tmp_path):
    run = pretend(nextflow, fake_segnt, tmp_path, FAKE_FAIL="2 137 99")
    assert run.status != 0
    assert "SEGNT_PREDICT (tiny 2/3)" in run.output
    assert "pretended failure of shard 2" in run.output
    assert run.states("SEGNT_PREDICT") == ["COMPLETED", "COMPLETED", "FAILED", "FAILED", "FAILED"]
    again = pretend(nextflow, fake_segnt, tmp_path, "-resume")
    assert again.status == 0, again.output
    assert again.states("SEGNT_PREDICT") == ["CACHED", "CACHED", "COMPLETED"]


def test_the_model_is_chosen_once_and_proteins_have_the_code_of_its_card(nextflow, fake_segnt, tmp_path):
    run = pretend(nextflow, fake_segnt, tmp_path, FAKE_CODE="6")
    assert run.status == 0, run.output
    calls = (tmp_path / "calls.log").read_text().splitlines()
    assert calls.count("select") == 1
    assert [line.split("model=")[1] for line in calls if line.startswith("start")] == ["chosen_small"] * 3
    assert [line for line in calls if line.startswith("code")] == ["code 6"]
    assert (run.results / "tiny/model.json").exists()
    again = pretend(nextflow, fake_segnt, tmp_path, "-resume", "--model", "plant_small", FAKE_CODE="6")
    assert again.status == 0, again.output
    assert again.states("SEGNT_SELECT") == []
    assert (tmp_path / "calls.log").read_text().count("model=plant_small") == 3


def test_a_changed_model_inside_the_package_is_predicted_anew(nextflow, fake_segnt, tmp_path):
    card = tmp_path / "plant/card.json"
    card.parent.mkdir()
    card.write_text('{"sha256": "1"}', encoding="utf-8")
    models = [
        {"name": "plant", "place": "embedded", "where": str(card.parent)},
        {"name": "segment_nt", "place": "not installed", "where": "https://example.org"},
    ]
    listed = tmp_path / "models.json"
    listed.write_text(json.dumps({"models": models}), encoding="utf-8")
    first = pretend(nextflow, fake_segnt, tmp_path, FAKE_MODELS=str(listed))
    assert first.status == 0, first.output
    card.write_text('{"sha256": "2"}', encoding="utf-8")
    again = pretend(nextflow, fake_segnt, tmp_path, "-resume", FAKE_MODELS=str(listed))
    assert again.status == 0, again.output
    assert again.states("SEGNT_PREPROCESS") == ["CACHED"]
    assert again.states("SEGNT_SELECT") == ["COMPLETED"]
    assert again.states("SEGNT_PREDICT") == ["COMPLETED"] * 3
    unknown = pretend(nextflow, fake_segnt, tmp_path, "--model", "segment_nt", FAKE_MODELS=str(listed))
    assert unknown.status != 0
    assert "unknown model 'segment_nt': none of auto, plant" in unknown.output
    assert "Submitted process" not in unknown.output


def test_many_contigs_make_balanced_shards_and_few_tasks(nextflow, fake_segnt, tmp_path):
    contigs, length, shard_size = 100_000, 60, 1_000_000
    fasta = tmp_path / "many.fa"
    fasta.write_text("".join(f">c{i}\n{'ACGT' * (length // 4)}\n" for i in range(contigs)), encoding="utf-8")
    segnt = Path(sys.executable).parent / "segnt"
    prepared = tmp_path / "prepared"
    options = ["--out", str(prepared), "--shard-size", str(shard_size)]
    subprocess.run([segnt, "preprocess", str(fasta), *options], check=True, timeout=300)
    table = prepared / "shards.tsv"
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert len(rows) == contigs
    bases: dict[str, int] = {}
    for shard, _, _, start, end in rows:
        bases[shard] = bases.get(shard, 0) + int(end) - int(start)
    assert len(bases) == contigs * length // shard_size
    assert max(bases.values()) - min(bases.values()) <= length
    run = pretend(nextflow, fake_segnt, tmp_path, FAKE_TABLE=str(table))
    assert run.status == 0, run.output
    groups = len({row[1] for row in rows})
    assert len(run.states("SEGNT_PREDICT")) == len(bases)
    others = ("PREPROCESS", "SELECT", "MERGEGENES", "MERGEELEMENTS", "MERGEBED", "TRACKS", "REPORT")
    assert len(run.tasks()) == len(bases) + 2 * groups + len(others)


def test_bad_input_is_not_tried_again(nextflow, fake_segnt, tmp_path):
    run = pretend(nextflow, fake_segnt, tmp_path, FAKE_FAIL="1 2 99")
    assert run.status != 0
    assert run.states("SEGNT_PREDICT").count("FAILED") == 1


def test_tasks_of_one_machine_take_different_gpus(nextflow, fake_segnt, tmp_path):
    config = tmp_path / "local.config"
    config.write_text("process.resourceLimits = [cpus: 1, memory: 1.GB]\nexecutor.cpus = 8\n", encoding="utf-8")
    # A task-free environment: with CUDA_VISIBLE_DEVICES set, the user or the scheduler has chosen.
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    arguments = ("-profile", "gpu", "--gpus", "2", "-c", str(config))
    run = pretend(nextflow, fake_segnt, tmp_path, *arguments, FAKE_SHARDS="6", FAKE_SECONDS="2")
    assert run.status == 0, run.output
    busy: set[str] = set()
    used: list[str] = []
    for line in (tmp_path / "calls.log").read_text().splitlines():
        predicting = re.search(r"gpu=(\d*)", line)
        if not predicting:
            continue  # choosing a model takes no GPU
        gpu = predicting[1]
        if line.startswith("start"):
            assert gpu not in busy, "two tasks on one GPU at a time"
            busy.add(gpu)
            used.append(gpu)
        else:
            busy.remove(gpu)
    assert set(used) == {"0", "1"}
    assert len(used) == 6


def rendered(nextflow: Nextflow, folder: Path, *profiles: str) -> dict:
    """The configuration as Nextflow resolves it."""
    done = subprocess.run(
        ["nextflow", "config", "-o", "json", "-profile", ",".join(profiles), str(PIPELINE)],
        cwd=folder,
        env=nextflow.environment({"NXF_PLUGINS_DEFAULT": "false"}),  # awsbatch and k8s are plugins to download
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return json.loads(done.stdout[done.stdout.index("{") :])


def test_cluster_profiles_render(nextflow: Nextflow, tmp_path: Path):
    configs = {name: rendered(nextflow, tmp_path, "test", "gpu", name) for name in ("awsbatch", "k8s", "slurm")}
    for profile, config in configs.items():
        process = config["process"]
        assert process["executor"] == profile
        gpu = process["withLabel:process_gpu"]
        assert "accelerator" in gpu
        assert gpu.get("maxForks") is None, "the queue limits GPU tasks, not this machine's number of GPUs"
        assert gpu.get("beforeScript") is None
    assert "--gres=gpu:" in json.dumps(configs["slurm"])
    assert configs["awsbatch"]["docker"]["enabled"] is True
    assert "nvidia.com/gpu" in json.dumps(configs["k8s"])


FAKE_APPTAINER = """#!/bin/bash
# Records how it was called, beside itself, since Nextflow starts containers with an empty environment. pull makes the
# file (named *.img.pulling.TIME), exec runs what follows the image.
echo "$*" >> "$(dirname "$0")/apptainer.log"
if [[ $1 == pull ]]; then for file in "$@"; do [[ $file != *.img* ]] || : > "$file"; done; exit 0; fi
while (($#)) && [[ $1 != *.img ]]; do shift; done
shift
exec "$@"
"""


def test_apptainer_gives_the_gpu_to_predict_only(nextflow, fake_segnt, tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "apptainer").write_text(FAKE_APPTAINER)
    (folder / "apptainer").chmod(0o755)
    for name in ("segnt", "python3"):
        shutil.copy(fake_segnt / name, folder / name)
    sheet = tiny_sheet(tmp_path)
    env = nextflow.environment(first_on_path=folder)
    run = nextflow.run(tmp_path, "-profile", "apptainer,gpu", "--input", str(sheet), env=env)
    assert run.status == 0, run.output
    calls = (folder / "apptainer.log").read_text().splitlines()
    pulled = [call for call in calls if call.startswith("pull")]
    assert any("docker://ghcr.io/segnt-tools/segnt_tools:0.1.0-cpu" in call for call in pulled)
    assert any("docker://ghcr.io/segnt-tools/segnt_tools:0.1.0-cuda" in call for call in pulled)
    executed = [call for call in calls if call.startswith("exec")]
    assert len(executed) == len(run.tasks())
    assert {("--nv" in call, "0.1.0-cuda" in call) for call in executed} == {(False, False), (True, True)}
    assert sum("--nv" in call for call in executed) == len(run.states("SEGNT_PREDICT"))


def test_workflow_tests_in_the_pipeline(nextflow: Nextflow, tmp_path: Path):
    """The pipeline's own pytest-workflow files, stubs and samplesheets; the real run is in test_nextflow_runs.py."""
    workflow_tests(nextflow, "quick", tmp_path / "w")
