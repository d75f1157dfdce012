"""Run every test of the Galaxy suite in a real Galaxy: tools, data manager, workflow.

    python galaxy/testing/run_tests.py [--only segnt_predict] [--work DIR]

Needs `segnt` on the PATH. Galaxy itself is installed once, in pinned versions, into $SEGNT_CACHE (default
~/.cache/segnt_tools). Exit status 0: as many tests passed as the XML and YAML files hold; 1: a test failed or was not
executed, or a tool could not be loaded; 2: Galaxy could not be installed or started.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import ADMIN_KEY, EngineError, Installation, Server, data_manager_files, running, tool_files

WORKFLOWS = "workflows"
# A tool that Galaxy refused is missing from its API; the reason stands in the log.
LOAD_FAILURE = re.compile(r".*(?:could not be loaded|Error reading tool|Failed to load).*")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one test."""

    name: str
    passed: bool
    seconds: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A tool or workflow file and the number of tests it holds."""

    name: str
    path: Path
    expected: int
    workflow: bool = False


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
        if any(subject.workflow for subject in chosen):
            installation.require("checks", sys.stderr)
        with running(Server(installation, scratch, Path(segnt).absolute().parent)) as server:
            version = server.api("version")["version_major"]
            say(f"Galaxy {version} answers at {server.url} after {time.monotonic() - begun:.0f} s")
            missing = not_loaded(server, chosen)
            outcomes = {subject: run(server, subject) for subject in chosen if subject not in missing}
    except EngineError as error:
        say(str(error))
        return 2
    failed = summarise(chosen, outcomes, missing, time.monotonic() - begun)
    if args.work is None and not failed:
        shutil.rmtree(scratch)
    elif failed:
        say(f"Galaxy's logs and the results: {scratch}")
    return int(failed)


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="this tool or workflow only (repeatable)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="new folder for Galaxy's files, kept afterwards")
    return parser.parse_args()


def subjects(only: list[str] | None) -> list[Subject]:
    """Everything that holds tests."""
    found = [tool_subject(path) for path in (*tool_files(), *data_manager_files())]
    found += [workflow_subject(path) for path in sorted((tool_files()[0].parent / WORKFLOWS).glob("*.gxwf.yml"))]
    if only and (unknown := set(only) - {subject.name for subject in found}):
        raise EngineError(f"no tool or workflow {', '.join(sorted(unknown))}")
    return [subject for subject in found if not only or subject.name in only]


def tool_subject(path: Path) -> Subject:
    """A wrapper: its id and the number of its <test> elements."""
    root = ET.parse(path).getroot()
    return Subject(str(root.get("id")), path, len(root.findall("./tests/test")))


def workflow_subject(path: Path) -> Subject:
    """A workflow: its test file is a list with one `- doc:` an entry."""
    tests = path.with_name(path.name.removesuffix(".yml") + "-tests.yml")
    name = path.name.removesuffix(".gxwf.yml")
    return Subject(name, path, len(re.findall(r"^- doc:", tests.read_text(encoding="utf-8"), re.MULTILINE)), True)


def not_loaded(server: Server, chosen: Iterable[Subject]) -> dict[Subject, str]:
    """Tools that Galaxy refused, with the line of its log."""
    reasons = "\n".join(LOAD_FAILURE.findall(server.log("web"))[:5])
    return {subject: reasons for subject in chosen if not subject.workflow and not server.knows(subject.name)}


def run(server: Server, subject: Subject) -> list[Outcome]:
    """Execute the tests of one tool or workflow."""
    if subject.expected == 0:
        return []
    report = server.scratch / f"{subject.name}.json"
    command = workflow_command(server, subject, report) if subject.workflow else tool_command(server, subject, report)
    log = server.scratch / f"{subject.name}.log"
    environment = {**os.environ, "GALAXY_TEST_DEFAULT_INTERACTOR": "api"}
    with log.open("wb") as handle:
        subprocess.run(command, stdout=handle, stderr=handle, cwd=server.scratch, env=environment, check=False)
    outcomes = read_report(report) if report.exists() else []
    for outcome in outcomes:
        say(f"{'ok    ' if outcome.passed else 'FAILED'} {outcome.name} ({outcome.seconds:.0f} s){outcome.problem}")
    if not outcomes:
        say(f"no test of {subject.name} was executed:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}")
    return outcomes


def tool_command(server: Server, subject: Subject, report: Path) -> list[str]:
    """galaxy-tool-test; without --with-reference-data it would skip tools with data tables and still exit with 0."""
    program = server.installation.binary("server", "galaxy-tool-test")
    options = ["--galaxy-url", server.url, "--admin-key", ADMIN_KEY, "--tool-id", subject.name]
    return [program, *options, "--with-reference-data", "--output-json", str(report)]


def workflow_command(server: Server, subject: Subject, report: Path) -> list[str]:
    """planemo against the running server, with an ordinary user's key."""
    program = server.installation.binary("checks", "planemo")
    workflow = server.suite / WORKFLOWS / subject.path.name
    keys = ["--galaxy_url", server.url, "--galaxy_admin_key", ADMIN_KEY, "--galaxy_user_key", server.user_key()]
    where = ["--test_output_json", str(report), "--test_output", str(report.with_suffix(".html"))]
    return [program, "test", "--engine", "external_galaxy", *keys, "--no_shed_install", *where, str(workflow)]


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
    name = re.sub(r" \(Test #", " (", str(test.get("id", "?")))
    problem = "".join(f"\n    {line}" for text in told for line in text.splitlines())
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
