"""The parts of the pipeline agree with each other and with the package: schemas, defaults, modules. No engine."""

from __future__ import annotations

import configparser
import csv
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]
PIPELINE = ROOT / "nextflow"
MODULES = sorted(PIPELINE.glob("modules/local/**/main.nf"))
UTILS = (PIPELINE / "subworkflows/local/utils_segnt/main.nf").read_text(encoding="utf-8")


def version() -> str:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config["metadata"]["version"]


def schema() -> dict:
    return json.loads((PIPELINE / "nextflow_schema.json").read_text(encoding="utf-8"))


def schema_parameters() -> dict[str, dict]:
    return {name: rule for group in schema()["$defs"].values() for name, rule in group["properties"].items()}


def config_parameters() -> dict[str, object]:
    """Names and defaults in the params block of nextflow.config."""
    block = re.search(r"^params \{\n(.*?)^\}", (PIPELINE / "nextflow.config").read_text(encoding="utf-8"), re.M | re.S)
    assert block
    found = re.findall(r"^ +(\w+) += (.+)$", block[1], re.M)
    return {name: json.loads(value.replace("'", '"')) for name, value in found}


def test_config_and_schema_have_the_same_parameters_and_defaults():
    rules = schema_parameters()
    parameters = config_parameters()
    assert set(parameters) == set(rules)
    assert parameters == {name: rule.get("default") for name, rule in rules.items()}


def test_schema_is_valid_and_every_group_is_referenced():
    jsonschema.Draft202012Validator.check_schema(schema())
    assert {reference["$ref"] for reference in schema()["allOf"]} == {f"#/$defs/{name}" for name in schema()["$defs"]}
    assert all(rule["description"] for rule in schema_parameters().values())


def test_every_parameter_is_used():
    text = "".join(
        path.read_text(encoding="utf-8") for path in PIPELINE.rglob("*") if path.suffix in (".nf", ".config")
    )
    used = set(re.findall(r"\b(?:params|given)\.(\w+)", text))  # `given` is what PIPELINE_START gets them as
    assert set(config_parameters()) - used == set()


def rows_of(sheet: Path) -> list[dict[str, object]]:
    with sheet.open(encoding="utf-8", newline="") as handle:
        rows = [{name: cell for name, cell in row.items() if cell} for row in csv.DictReader(handle)]
    return [{k: int(v) if k == "genetic_code" else v for k, v in row.items()} for row in rows]


@pytest.mark.parametrize("name", ["samplesheet.csv", "test/samplesheet.csv", "samplesheet_full.csv"])
def test_samplesheets_follow_their_schema(name: str):
    rules = json.loads((PIPELINE / "assets/schema_input.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(rules)
    sheet = PIPELINE / "assets" / name
    rows = rows_of(sheet)
    assert rows
    jsonschema.validate(rows, rules)
    for row in rows:
        for column in ("fasta", "annotation", "reference", "regions"):
            assert column not in row or (sheet.parent / str(row[column])).is_file()


def test_samplesheet_schema_and_the_check_in_the_pipeline_agree():
    rules = json.loads((PIPELINE / "assets/schema_input.json").read_text(encoding="utf-8"))["items"]
    columns = re.search(r"def sheet_columns\(\) \{\n +return \[(.*)\]", UTILS)
    required = re.search(r"def required_columns\(\) \{\n +return \[(.*)\]", UTILS)
    codes = re.search(r"def genetic_codes\(\) \{\n +return (.*)\n", UTILS)
    assert columns
    assert required
    assert codes
    assert [name.strip(" '") for name in columns[1].split(",")] == list(rules["properties"])
    assert [name.strip(" '") for name in required[1].split(",")] == rules["required"]
    ranges = re.findall(r"(\d+)\.\.(\d+)", codes[1])
    numbers = [n for first, last in ranges for n in range(int(first), int(last) + 1)]
    assert numbers == rules["properties"]["genetic_code"]["enum"]


def test_embedded_models_are_those_of_the_package():
    script = runpy.run_path(str(PIPELINE / "testing/list_models.py"))
    written = (PIPELINE / "assets/embedded_models.txt").read_text(encoding="utf-8")
    assert written == script["listed"](), "a model inside the package changed: run nextflow/testing/list_models.py"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.parent.name)
def test_module_has_all_parts(path: Path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\nprocess ") + text.startswith("process ") == 1
    for part in (
        "    tag ",
        "    label 'process_",
        "    conda ",
        "    container ",
        "    script:",
        "    stub:",
    ):
        assert part in text, part
    assert text.index("    script:") < text.index("    stub:")
    assert "topic: versions" in text
    assert "params." not in text, "arguments come from conf/modules.config"
    description = yaml.safe_load((path.parent / "meta.yml").read_text(encoding="utf-8"))
    assert description["name"] == path.parent.relative_to(PIPELINE / "modules/local").as_posix().replace("/", "_")
    described = {name for inputs in description["input"] for item in inputs for name in item}
    inputs = text[text.index("    input:") : text.index("    output:")]
    assert described == set(re.findall(r"(?:val|path)\((\w+)", inputs))
    assert (path.parent / "environment.yml").is_file()
    emitted = set(re.findall(r"emit: (\w+)", text))
    stub = text[text.index("    stub:") :]
    assert emitted
    assert "touch" in stub or "echo" in stub


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.parent.name)
def test_module_uses_the_container_of_this_version(path: Path):
    text = path.read_text(encoding="utf-8")
    tags = re.findall(r"(\d+\.\d+\.\d+)-(?:cpu|cuda)", text)
    assert tags
    assert set(tags) == {version()}


def test_versions_agree():
    config = (PIPELINE / "nextflow.config").read_text(encoding="utf-8")
    assert f"    version = '{version()}'" in config
    dockerfile = (ROOT / "containers/Dockerfile").read_text(encoding="utf-8")
    assert f"ARG VERSION={version()}" in dockerfile
    torch = re.search(r"^torch==.*$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
    assert torch
    assert f"ARG TORCH={torch[0]}\n" in dockerfile
    assert f"torch={torch[0]}\n" in (ROOT / "containers/segnt_tools.def").read_text(encoding="utf-8")


def test_no_plugin_is_asked_for():
    for path in PIPELINE.rglob("*"):
        if path.suffix in (".nf", ".config"):
            text = path.read_text(encoding="utf-8")
            assert "plugins {" not in text, path
            assert "from 'plugin/" not in text, path


def test_planning_tables_in_the_readme_are_those_of_the_calculator(tmp_path: Path):
    page = tmp_path / "README.md"
    written = (PIPELINE / "README.md").read_text(encoding="utf-8")
    page.write_text(re.sub(r"^\| \d.*\n", "", written, flags=re.M), encoding="utf-8")
    subprocess.run([sys.executable, "benchmarks/scaling.py", "--into", str(page)], cwd=ROOT, check=True)
    assert page.read_text(encoding="utf-8") == written, "run: python benchmarks/scaling.py --into nextflow/README.md"
    tables = [line for line in written.splitlines() if re.match(r"\| \d", line)]
    assert len(tables) == 2 * 3 * 3, "three genomes on 1, 8 and 64 CPU cores and GPUs"
