"""Runs of the pipeline on the real Nextflow, for the tests: where it is, how it is started, what it left."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PIPELINE = ROOT / "nextflow"
RUN_SECONDS = 1500


def _load_engines() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pipeline_engines", PIPELINE / "testing" / "engines.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


engines = _load_engines()


def skip_or_fail(error: Exception) -> None:
    """Skip with the reason; a failure where all engines must be there."""
    if os.environ.get("SEGNT_REQUIRE_ENGINES") == "1":
        pytest.fail(str(error))
    pytest.skip(str(error))


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: where it was started.
        status: exit status.
        output: standard output and error.
    """

    folder: Path
    status: int
    output: str

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def tasks(self) -> list[dict[str, str]]:
        """The rows of the trace."""
        with (self.results / "pipeline_info" / "trace.txt").open(encoding="utf-8", newline="") as handle:
            return list(csv.DictReader(handle, delimiter="\t"))

    def states(self, process: str) -> list[str]:
        """The states of the tasks of a process."""
        return sorted(task["status"] for task in self.tasks() if task["name"].split(" ")[0].split(":")[-1] == process)

    def command_runs(self, process: str) -> list[str]:
        """The job scripts that Nextflow wrote for a process."""
        texts = [path.read_text(encoding="utf-8") for path in self.folder.glob("work/*/*/.command.run")]
        return [text for text in texts if f":{process} (" in text or f"'{process} (" in text]


@dataclass(frozen=True)
class Nextflow:
    """The pinned Nextflow with a home of its own.

    Attributes:
        folder: of the launcher.
        home: NXF_HOME.
    """

    folder: Path
    home: Path

    def environment(self, extra: Mapping[str, str] | None = None, first_on_path: Path | None = None) -> dict[str, str]:
        """Environment of a run: the launcher and the segnt of this Python on the PATH."""
        path = [str(p) for p in (first_on_path, self.folder, Path(sys.executable).parent) if p]
        env = {**os.environ, "NXF_HOME": str(self.home), "NXF_ANSI_LOG": "false", **(extra or {})}
        env["PATH"] = os.pathsep.join([*path, env["PATH"]])
        env.setdefault("OMP_NUM_THREADS", "1")
        env.setdefault("NUMBA_CACHE_DIR", str(self.home / "numba"))  # compiled once for all runs of the session
        return env

    def command(self, *arguments: str, folder: Path, env: Mapping[str, str] | None = None) -> Run:
        """Any nextflow command."""
        done = subprocess.run(
            ["nextflow", *arguments],
            cwd=folder,
            env=dict(env or self.environment()),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        return Run(folder, done.returncode, done.stdout)

    def run(
        self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None, pipeline: Path = PIPELINE
    ) -> Run:
        """Run the pipeline in a folder, with results/ in it."""
        fixed = ("run", str(pipeline / "main.nf"), "-ansi-log", "false", "--outdir", "results")
        return self.command(*fixed, *arguments, folder=folder, env=env)

    def run_and_kill(self, folder: Path, *arguments: str, after: str, env: Mapping[str, str] | None = None) -> None:
        """Run the pipeline and end it and all its tasks with SIGKILL once a line with this text is printed."""
        log = folder / "killed.log"
        with log.open("w") as handle:
            process = subprocess.Popen(
                ["nextflow", "run", str(PIPELINE), "-ansi-log", "false", "--outdir", "results", *arguments],
                cwd=folder,
                env=dict(env or self.environment()),
                stdout=handle,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            deadline = time.monotonic() + RUN_SECONDS
            while after not in log.read_text(encoding="utf-8"):
                assert process.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline
                time.sleep(0.2)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def workflow_tests(nextflow: Nextflow, tag: str, scratch: Path) -> None:
    """Run the pipeline's own pytest-workflow tests with a tag, in copies that stay in a scratch folder."""
    pytest.importorskip("pytest_workflow")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tag", tag, "--keep-workflow-wd", "--basetemp", str(scratch)],
        cwd=PIPELINE,
        env=nextflow.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def tiny_sheet(folder: Path) -> Path:
    """A samplesheet of one assembly: the two longest scaffolds of the test profile, 12 kb."""
    sheet = folder / "sheet.csv"
    if sheet.exists():  # written anew, it would be another file to -resume
        return sheet
    with gzip.open(PIPELINE / "assets/test/scaffolds.fa.gz", "rt") as handle:
        records = handle.read().split(">")[-2:]
    (folder / "tiny.fa").write_text("".join(f">{record}" for record in records), encoding="utf-8")
    sheet.write_text("sample,fasta\ntiny,tiny.fa\n", encoding="utf-8")
    return sheet
