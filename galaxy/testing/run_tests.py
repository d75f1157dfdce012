"""Run every test of the Galaxy suite in a real Galaxy: tools, data manager, workflows, scenarios.

    python galaxy/testing/run_tests.py [--only segnt_predict] [--work DIR]

Needs `segnt` on the PATH. Galaxy itself is installed once, in pinned versions, into $SEGNT_CACHE (default
~/.cache/segnt_tools). Exit status 0: as many tests passed as the XML and YAML files hold; 1: a test failed or was not
executed, or a tool could not be loaded; 2: Galaxy could not be installed or started.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from engine import (
    ADMIN_KEY,
    JOBS_AT_ONCE,
    TESTING,
    EngineError,
    Installation,
    Server,
    data_manager_files,
    running,
    tool_files,
)
from scenarios import SCENARIOS

WORKFLOWS = "workflows"
# A tool that Galaxy refused is missing from its API; the reason stands in the log.
LOAD_FAILURE = re.compile(r".*(?:could not be loaded|Error reading tool|Failed to load).*")

# What galaxy-tool-test says of a test.
PROGRESS = re.compile(r"Test '.*' (?:passed|failed)$")


class Kind(Enum):
    """How the tests of a subject are executed."""

    TOOL = auto()
    WORKFLOW = auto()
    SCENARIO = auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one test."""

    name: str
    passed: bool
    seconds: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A tool, workflow or scenario and the number of tests it holds."""

    name: str
    expected: int
    kind: Kind


def main() -> int:
    """Run the tests and print a summary."""
    args = arguments()
    segnt = shutil.which("segnt")
    if segnt is None:
        say("segnt is not on the PATH: activate the virtual environment that holds segnt_tools")
        return 2
    installation = Installation.cached()
    begun = time.monotonic()
    scratch = args.work or Path(tempfile.mkdtemp(prefix="segnt_galaxy_"))
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        installation.require("server", sys.stderr)
        chosen = subjects(args.only)
        if any(subject.kind is Kind.WORKFLOW for subject in chosen):
            installation.require("checks", sys.stderr)
        server = Server(installation, scratch, Path(segnt).absolute().parent)
        with compiling(segnt, server), running(server):
            version = server.api("version")["version_major"]
            say(f"Galaxy {version} answers at {server.url} after {time.monotonic() - begun:.0f} s")
            missing = not_loaded(server, chosen)
            outcomes = run(server, [subject for subject in chosen if subject not in missing])
    except EngineError as error:
        say(str(error))
        return 2
    failed = summarise(chosen, outcomes, missing, time.monotonic() - begun)
    if args.work is None and not failed:
        shutil.rmtree(scratch)
    elif failed:
        say(f"Galaxy's logs and the results: {scratch}")
    return int(failed)


@contextlib.contextmanager
def compiling(segnt: str, server: Server) -> Iterator[None]:
    """Let the gene decoder be compiled while Galaxy starts, so that no two jobs do the same half a minute's work."""
    data = TESTING.parent / "test-data"
    command = [segnt, "call-genes", data / "tracks_00003.h5", "--genome", data / "assembly.fa", "--quiet"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(server.compiled)}
    with subprocess.Popen([*command, "--out", server.scratch / "compiling"], env=environment):
        yield


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="this one only (repeatable)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="new folder for Galaxy's files, kept afterwards")
    return parser.parse_args()


def subjects(only: list[str] | None) -> list[Subject]:
    """Everything that holds tests."""
    found = [tool_subject(path) for path in (*tool_files(), *data_manager_files())]
    found += [workflow_subject(path) for path in sorted((tool_files()[0].parent / WORKFLOWS).glob("*.gxwf.yml"))]
    found += [Subject(name, 1, Kind.SCENARIO) for name in SCENARIOS]
    if only and (unknown := set(only) - {subject.name for subject in found}):
        raise EngineError(f"no tool, workflow or scenario {', '.join(sorted(unknown))}")
    return [subject for subject in found if not only or subject.name in only]


def tool_subject(path: Path) -> Subject:
    """A wrapper: its id and the number of its <test> elements."""
    root = ET.parse(path).getroot()
    return Subject(str(root.get("id")), len(root.findall("./tests/test")), Kind.TOOL)


def workflow_subject(path: Path) -> Subject:
    """A workflow: its test file is a list with one `- doc:` an entry."""
    tests = path.with_name(path.name.removesuffix(".yml") + "-tests.yml")
    count = len(re.findall(r"^- doc:", tests.read_text(encoding="utf-8"), re.MULTILINE))
    return Subject(path.name.removesuffix(".gxwf.yml"), count, Kind.WORKFLOW)


def not_loaded(server: Server, chosen: Iterable[Subject]) -> dict[Subject, str]:
    """Tools that Galaxy refused, with the line of its log."""
    reasons = "\n".join(LOAD_FAILURE.findall(server.log("web"))[:5])
    return {subject: reasons for subject in chosen if subject.kind is Kind.TOOL and not server.knows(subject.name)}


def run(server: Server, chosen: list[Subject]) -> dict[Subject, list[Outcome]]:
    """Execute all tests: tools, then workflows, then scenarios, which use what the data manager has added."""
    outcomes = run_tools(server, [subject for subject in chosen if subject.kind is Kind.TOOL])
    outcomes |= run_workflows(server, [subject for subject in chosen if subject.kind is Kind.WORKFLOW])
    for subject in chosen:
        if subject.kind is Kind.SCENARIO:
            outcomes[subject] = [run_scenario(server, subject)]
    return outcomes


def run_tools(server: Server, tools: list[Subject]) -> dict[Subject, list[Outcome]]:
    """galaxy-tool-test: once for all tools, because its start costs more than a test; else once for each chosen one."""
    everything = {subject.name for subject in subjects(None) if subject.kind is Kind.TOOL}
    if {subject.name for subject in tools} == everything:
        return by_subject(tools, execute(server, "tools", tool_command(server, None)))
    return {tool: execute(server, tool.name, tool_command(server, tool.name)) for tool in tools}


def by_subject(tools: list[Subject], outcomes: list[Outcome]) -> dict[Subject, list[Outcome]]:
    """Outcomes are named TOOL/VERSION-NUMBER."""
    return {tool: [outcome for outcome in outcomes if outcome.name.split("/")[0] == tool.name] for tool in tools}


def tool_command(server: Server, name: str | None) -> list[str]:
    """galaxy-tool-test; without --with-reference-data it would skip tools with data tables and still exit with 0."""
    program = server.installation.binary("server", "galaxy-tool-test")
    options = ["--galaxy-url", server.url, "--admin-key", ADMIN_KEY, "--parallel-tests", str(JOBS_AT_ONCE)]
    return [program, *options, *(["--tool-id", name] if name else []), "--with-reference-data", "--output-json"]


def run_workflows(server: Server, workflows: list[Subject]) -> dict[Subject, list[Outcome]]:
    """Planemo against the running server, with an ordinary user's key."""
    if not workflows:
        return {}
    program = server.installation.binary("checks", "planemo")
    keys = ["--galaxy_url", server.url, "--galaxy_admin_key", ADMIN_KEY, "--galaxy_user_key", server.user_key()]
    outcomes = {}
    for workflow in workflows:
        file = server.suite / WORKFLOWS / f"{workflow.name}.gxwf.yml"
        html = server.scratch / f"{workflow.name}.html"
        options = ["--no_shed_install", "--test_output", str(html), str(file), "--test_output_json"]
        command = [program, "test", "--engine", "external_galaxy", *keys, *options]
        outcomes[workflow] = execute(server, workflow.name, command)
    return outcomes


def execute(server: Server, name: str, command: list[str]) -> list[Outcome]:
    """Run a program whose last option takes the report to write; its progress is shown."""
    report = server.scratch / f"{name}.json"
    log = server.scratch / f"{name}.log"
    environment = {**os.environ, "GALAXY_TEST_DEFAULT_INTERACTOR": "api"}
    with (
        log.open("w", encoding="utf-8") as handle,
        subprocess.Popen(
            [*command, str(report)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=server.scratch,
            env=environment,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        for line in process.stdout or ():
            handle.write(line)
            if found := PROGRESS.search(line):
                say(found.group())
    outcomes = read_report(report) if report.exists() else []
    for outcome in outcomes:
        if not outcome.passed:
            say(f"FAILED {outcome.name} ({outcome.seconds:.0f} s){outcome.problem}")
    if not outcomes:
        say(f"no test of {name} was executed:\n{log.read_text(encoding='utf-8')[-3000:]}")
    return outcomes


def run_scenario(server: Server, subject: Subject) -> Outcome:
    """A function of scenarios.py; what it raises is the problem."""
    begun = time.monotonic()
    try:
        SCENARIOS[subject.name](server)
    except (AssertionError, EngineError, OSError) as error:
        say(f"FAILED {subject.name}: {error}")
        return Outcome(subject.name, False, time.monotonic() - begun, str(error))
    say(f"{subject.name} passed")
    return Outcome(subject.name, True, time.monotonic() - begun)


def read_report(report: Path) -> list[Outcome]:
    """The outcomes that galaxy-tool-test or planemo wrote."""
    return [outcome_of(test) for test in json.loads(report.read_text(encoding="utf-8"))["tests"]]


def outcome_of(test: dict[str, Any]) -> Outcome:
    """One entry of a report; skipped counts as not passed."""
    data = test.get("data", {})
    problems = [*(data.get("output_problems") or []), data.get("execution_problem"), data.get("problem_log")]
    job = data.get("job") or {}
    told = [str(problem) for problem in problems if problem]
    if data.get("status") != "success":
        told.append(
            f"status {data.get('status')}; exit code {job.get('exit_code')}; stderr: {str(job.get('stderr'))[-2000:]}"
        )
        told.append(f"command: {job.get('command_line', '')}")
    problem = "".join(f"\n    {line}" for text in told for line in text.splitlines())
    name = str(test.get("id", "?"))
    return Outcome(name, data.get("status") == "success", float(data.get("time_seconds") or 0.0), problem)


def summarise(
    chosen: list[Subject], outcomes: dict[Subject, list[Outcome]], missing: dict[Subject, str], seconds: float
) -> bool:
    """Print the table; returns whether anything failed or was not executed."""
    failed = False
    say(f"\n{'':34}{'in the files':>14}{'executed':>10}{'passed':>8}")
    for subject in chosen:
        done = outcomes.get(subject, [])
        passed = sum(outcome.passed for outcome in done)
        good = len(done) == passed == subject.expected > 0
        note = "" if good else "   FAILED: could not be loaded" if subject in missing else "   FAILED"
        say(f"{subject.name:34}{subject.expected:14}{len(done):10}{passed:8}{note}")
        failed |= not good
    for reason in set(missing.values()):
        say(reason)
    expected, executed = sum(s.expected for s in chosen), sum(len(done) for done in outcomes.values())
    say(
        f"{'all':34}{expected:14}{executed:10}{sum(o.passed for d in outcomes.values() for o in d):8}   {seconds:.0f} s"
    )
    return failed


def say(text: str) -> None:
    """Write a line of the report."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
