"""The Galaxy suite: wrappers agree with the package, pass all checkers, and do what they say in a real Galaxy."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from segnt_tools.commands.main import COMMANDS, run

ROOT = Path(__file__).parents[1]
SUITE = ROOT / "galaxy"
sys.path.insert(0, str(SUITE / "testing"))

from engine import Installation, data_manager_files, tool_files  # noqa: E402
from run_tests import LOAD_FAILURE, Kind, Outcome, Subject, by_subject, outcome_of, subjects, summarise  # noqa: E402

INSTALL_HINT = "run galaxy/testing/run_tests.sh once: it installs Galaxy and planemo in pinned versions (a few minutes)"
ALL_TOOLS = [*tool_files(), *data_manager_files()]
FILE_NAME = re.compile(r"[\w.-]+\.(fa|gz|gff3|h5|zip|bed|bw|json|toml|tabular)")
# Commands that are no tool of their own in Galaxy: the data manager calls `models`.
WITHOUT_TOOL = {"models"}


def tool_name(path: Path) -> str:
    return path.stem


def require_environment(name: str) -> Installation:
    """The installed environment; a skip where it is absent, unless SEGNT_REQUIRE_ENGINES=1 asks to install it."""
    installation = Installation.cached()
    if not installation.has(name):
        if os.environ.get("SEGNT_REQUIRE_ENGINES") != "1":
            pytest.skip(f"Galaxy's {name} environment is not at {installation.folder}: {INSTALL_HINT}")
        installation.require(name, sys.stderr)
    return installation


def token(name: str) -> str:
    root = ET.parse(SUITE / "macros.xml").getroot()
    return next(str(element.text) for element in root.iter("token") if element.get("name") == name)


def test_version_is_the_package_version() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert token("@TOOL_VERSION@") == setup["metadata"]["version"]


def test_card_schema_is_the_package_one() -> None:
    from segnt_tools.models.card import SCHEMA_VERSION

    assert token("@CARD_SCHEMA@") == str(SCHEMA_VERSION)


def test_every_command_has_a_wrapper() -> None:
    wrapped = {path.stem.removeprefix("segnt_").replace("_", "-") for path in tool_files()}
    assert wrapped == set(COMMANDS) - WITHOUT_TOOL


def test_embedded_models_of_the_form_are_those_of_the_package() -> None:
    from segnt_tools.models.card import DEFAULT_MODEL
    from segnt_tools.models.registry import embedded_folder

    macros = {str(macro.get("name")): macro for macro in ET.parse(SUITE / "macros.xml").getroot().iter("xml")}
    named = [option.get("value") for option in macros["embedded_models"].iter("option")]
    assert set(named) == {path.name for path in embedded_folder().iterdir() if path.is_dir()}
    choice = list(macros["model_for_assembly"].iter("option"))
    assert [(option.get("value"), option.get("selected")) for option in choice] == [(DEFAULT_MODEL, "true")]


@pytest.mark.parametrize("path", tool_files(), ids=tool_name)
def test_options_of_the_command_exist(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every long option in the command block is one that `segnt COMMAND` knows."""
    text = (SUITE / "macros.xml").read_text(encoding="utf-8") + path.read_text(encoding="utf-8")
    command = path.stem.removeprefix("segnt_").replace("_", "-")
    block = ET.parse(path).getroot().findtext("command") or ""
    for name in re.findall(r"@[A-Z_]+@", block):
        found = re.search(rf'<token name="{name}"><!\[CDATA\[(.*?)\]\]>', text, re.DOTALL)
        block += found.group(1) if found else ""
    actions = re.findall(rf"segnt {command} ([a-z]+)\b", block) if command == "tracks" else [""]
    for action in actions:
        assert run([command, *action.split(), "--help"]) == 0
    known = capsys.readouterr().out
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", block))
    assert used <= set(re.findall(r"--[a-z][a-z-]+", known)), used


@pytest.mark.parametrize("path", ALL_TOOLS, ids=tool_name)
def test_wrapper_is_complete(path: Path) -> None:
    root = ET.parse(path).getroot()
    tests = root.findall("./tests/test")
    assert root.get("profile") == "@PROFILE@"
    assert root.get("version") == "@TOOL_VERSION@+galaxy@VERSION_SUFFIX@"
    assert root.find("command").get("oom_exit_code") == "3"
    assert any(test.get("expect_failure") == "true" for test in tests), "no test of an error"
    assert any(test.get("expect_failure") is None for test in tests), "no test of a success"
    named = [e.get("value") for test in tests for e in test.iter() if e.tag in ("param", "element")]
    files = [name for name in named if name and FILE_NAME.fullmatch(name)]
    missing = [name for name in files if not (path.parent / "test-data" / name).exists()]
    assert not missing


@pytest.mark.parametrize("path", ALL_TOOLS, ids=tool_name)
def test_names_of_datasets_reach_the_shell_only_cleaned(path: Path) -> None:
    block = ET.parse(path).getroot().findtext("command") or ""
    lines = [line.strip() for line in block.splitlines() if "element_identifier" in line]
    unsafe = [line for line in lines if not re.search(r"re\.sub\(r'\[\^\\w\.\+-\]', '_', str\(", line)]
    assert not unsafe


def test_files_of_the_test_data_are_small() -> None:
    assert all(path.stat().st_size < 1_000_000 for path in (SUITE / "test-data").rglob("*") if path.is_file())


def test_every_subject_holds_tests() -> None:
    assert all(subject.expected > 0 for subject in subjects(None))


def test_a_skipped_or_failed_test_is_no_success() -> None:
    assert not outcome_of({"id": "x", "data": {"status": "skip"}}).passed
    assert not outcome_of({"id": "x", "data": {"status": "failure", "output_problems": ["differs"]}}).passed
    assert outcome_of({"id": "x", "data": {"status": "success", "time_seconds": 1.5}}).passed
    # planemo writes null where galaxy-tool-test writes an empty list
    assert outcome_of({"id": "x", "data": {"status": "success", "output_problems": None, "time_seconds": None}}).passed
    assert LOAD_FAILURE.findall("galaxy ERROR Tool could not be loaded: x")


def test_fewer_tests_executed_than_the_files_hold_is_a_failure() -> None:
    tool = Subject("segnt_predict", 2, Kind.TOOL)
    good = [Outcome(f"segnt_predict/0.1.0+galaxy0-{number}", True) for number in range(2)]
    assert by_subject([tool], [*good, Outcome("upload1/1.1.7-0", True)]) == {tool: good}
    assert not summarise([tool], {tool: good}, {}, 1.0)
    assert summarise([tool], {tool: good[:1]}, {}, 1.0)
    assert summarise([tool], {tool: [good[0], Outcome("segnt_predict/0.1.0+galaxy0-1", False)]}, {}, 1.0)
    assert summarise([tool], {}, {tool: "refused"}, 1.0)


def checks(*command: str) -> str:
    """Run a checker in the suite's folder and return what it says; it must exit with 0."""
    installation = require_environment("checks")
    program = installation.binary("checks", command[0])
    result = subprocess.run([program, *command[1:]], cwd=SUITE, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


RELATIVE = [str(path.relative_to(SUITE)) for path in ALL_TOOLS]


@pytest.mark.slow
@pytest.mark.galaxy
class TestCheckers:
    """Everything that looks at the XML without running it; no warning is let pass."""

    def test_planemo_lint(self) -> None:
        # bio.tools cannot be asked from everywhere, and there is no entry yet.
        checks("planemo", "lint", "--fail_level", "warn", "--skip", "BioToolsValid", *RELATIVE)

    def test_refactor(self) -> None:
        checks("galaxy-tool-refactor", "check", *RELATIVE)

    def test_format(self) -> None:
        checks("galaxy-tool-fmt", "--check", *RELATIVE)

    def test_schema(self) -> None:
        checks("galaxy-tool-source", "validate", *RELATIVE)

    def test_test_cases(self) -> None:
        for path in RELATIVE:
            checks("galaxy-tool-test-case-validation", path)

    def test_workflow(self) -> None:
        for path in sorted((SUITE / "workflows").glob("*.gxwf.yml")):
            checks("planemo", "workflow_lint", "--fail_level", "warn", str(path))


# Prints the part of a wrapper's command that links its input, for a list of bigWig files with the names given.
RENDER = """
import json, sys
from types import SimpleNamespace
from Cheetah.Template import Template

class File(str):
    ext = "any"

def file(name):
    made = File("/dev/null")
    made.element_identifier = name
    return made

tracks = [file(name) for name in json.loads(sys.argv[1])]
run = SimpleNamespace(name="n", tracks=tracks)
for name in "genes elements cds contigs gaps annotate preprocess call_peaks call_genes evaluate".split():
    setattr(run, name, None)
prediction = SimpleNamespace(name="n", kind=SimpleNamespace(what="bigwig", file=tracks))
values = {"runs": [run], "predictions": [prediction], "genome": File("g"), "truth": File("t"), "existing": None}
values["scoring"] = SimpleNamespace(regions_file=None)
print(Template(sys.stdin.read(), searchList=[values]))
"""


@pytest.mark.slow
@pytest.mark.galaxy
@pytest.mark.parametrize(("command", "folder"), [("evaluate", "predictions/1"), ("report", "runs/1/n/tracks")])
def test_names_of_datasets_do_no_harm_in_the_shell(command: str, folder: str, tmp_path: Path) -> None:
    block = ET.parse(SUITE / f"segnt_{command}.xml").getroot().findtext("command") or ""
    links = block.replace("@ENVIRONMENT@", "").split(f"segnt {command}\n")[0]
    names = [
        "exon.plus",
        "CTCF-bound",
        "it's; '/b",
        "it's; '/b2",
        'it_s; "/b',
        "'; touch harm; '",
        "$(touch harm)",
        "..",
    ]
    python = require_environment("checks").binary("checks", "python")
    rendering = [python, "-c", RENDER, json.dumps(names)]
    script = subprocess.run(rendering, input=links, capture_output=True, text=True, check=True).stdout
    subprocess.run(["bash", "-e"], input=f"{script} true", cwd=tmp_path, text=True, check=True)
    made = sorted(path.name for path in (tmp_path / folder).iterdir())
    assert len(made) == len(names)
    assert {"exon.plus.bw", "CTCF-bound.bw", "it_s____b.bw", "it_s____b_.bw"} <= {*made}
    assert not list(tmp_path.rglob("harm"))


@pytest.mark.slow
@pytest.mark.galaxy
@pytest.mark.timeout(7200)
def test_all_tests_pass_in_a_real_galaxy() -> None:
    require_environment("server")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, str(SUITE / "testing" / "run_tests.py")]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
