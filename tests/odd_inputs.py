"""The collection of odd inputs: what each tool does with a file, what its manifest asks for, and our table of outcomes.

`python tests/odd_inputs.py` prints the table anew (tests/odd_inputs_outcomes.tsv), with the reasons it has: to be read
before it replaces the old one.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch
from urllib.parse import unquote

import numpy as np
import pytest
from gff_helpers import SHARED, manifest_rows

from segnt_tools.commands.main import run
from segnt_tools.gff.types import part_kind
from segnt_tools.sequence.assembly import Assembly, Contig
from segnt_tools.sequence.codes import Codes

TABLE = Path(__file__).parent / "odd_inputs_outcomes.tsv"
TOOLS = ("preprocess", "check-gff", "merge-gff", "labels")
COLUMNS = ("file", "class", *TOOLS, "reason")

# Outcomes: read without a word; read with a warning; errors listed by check-gff, with lines (status 1); status 2.
OK, WARNED, REPORTED, REFUSED, NOT_FOR_IT = "ok", "warned", "reported", "refused", "-"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool did with a file: the outcome, and all that it said."""

    outcome: str
    said: str


def tools_for(row: Mapping[str, str]) -> tuple[str, ...]:
    """The tools that a file of the manifest is given to."""
    return ("preprocess",) if row["format"] == "fasta" else ("check-gff", "merge-gff", "labels")


def answer(tool: str, path: Path, folder: Path) -> Answer:
    """Give a file to a tool.

    Raises:
        AssertionError: it crashed, refused without naming the file, or left an output behind that it refused to make.
    """
    out = folder / {"preprocess": "out", "check-gff": "none", "merge-gff": "out.gff3", "labels": "out.h5"}[tool]
    options = {
        "preprocess": ["--out", str(out)],
        "check-gff": [],
        "merge-gff": ["--genome", "made", "--out", str(out)],
        "labels": ["--genome", "made", "--out", str(out), "--elements", "exon", "--threads", "1"],
    }[tool]
    with _genome_for(tool, path), _captured() as (printed, logged):
        status = run([tool, str(path), *options])
    said = printed.getvalue() + logged.getvalue()
    assert "Traceback" not in said, said
    if status == 2:
        assert "ERROR: " in said, said
        assert path.name in said, said
        assert not out.exists() or not any(out.iterdir()), said
        return Answer(REFUSED, said)
    if tool == "check-gff":
        findings = [line for line in printed.getvalue().splitlines() if line]
        assert all(re.match(r"[EW]\d{3} .*:\d+ ", line) for line in findings), said
        assert (status == 1) == any(line.startswith("E") for line in findings), said
        return Answer(REPORTED if status == 1 else WARNED if findings else OK, said)
    assert status == 0, said
    # What segnt labels leaves out of genes it tells with its first line, among what it tells anyway.
    told = "WARNING: " in said or re.search(r"^left out, .*\(first: line \d+", said, re.MULTILINE)
    return Answer(WARNED if told else OK, said)


def allowed(tool: str, row: Mapping[str, str]) -> set[str]:
    """The outcomes that the manifest, taken by its word, lets a tool have."""
    match row["class"]:
        case "valid":  # warnings of segnt labels tell what the labels lack, not what is wrong with the file
            return {OK, WARNED} if tool == "labels" else {OK}
        case "odd-valid":
            return {OK, WARNED}
        case "broken" if tool == "preprocess":
            return {REFUSED}
        case "broken":
            # The checker lists an error, unless a warning is asked for; the others read the file only if they say so.
            told = tool != "check-gff" or row["expectation"].endswith("warning")
            return {REPORTED, REFUSED, *([WARNED] if told else [])}
        case _:
            return {OK, WARNED, REPORTED, REFUSED}


def decided_otherwise(tool: str, path: Path, said: str) -> bool:
    """Whether a refusal follows from a rule of ours that holds for all files (docs/formats.md, Odd files).

    segnt labels needs something to make labels of, segnt preprocess something to annotate.
    """
    if tool == "preprocess":
        return "no contig is left to annotate" in said and "only N" in said
    types = {line.split("\t")[2] for line in _text_of(path).splitlines() if line.count("\t") >= 8}
    return tool == "labels" and "no gene model, polyA signal" in said and not any(map(part_kind, types))


def table() -> dict[str, dict[str, str]]:
    """Rows of the committed table by file."""
    with TABLE.open(encoding="utf-8") as handle:
        return {row["file"]: row for row in csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)}


def cases(*formats: str) -> list[object]:
    """Parameters of tests: every file of the manifest with every tool that reads its format."""
    return [
        pytest.param(tool, row, id=f"{tool}-{row['path'].rsplit('/', 1)[-1]}")
        for row in manifest_rows(*formats)
        for tool in tools_for(row)
    ]


# --- a genome of the right size


class _Blank(Assembly):
    """An assembly of As, however large."""

    def _codes(self, contig: str, start: int, end: int) -> Codes:
        return np.zeros(end - start, dtype=np.uint8)

    def close(self) -> None:
        """Nothing is open."""


def sizes_of(path: Path) -> dict[str, int]:
    """Names in column 1 and the largest number in columns 4 and 5, however odd the lines are."""
    sizes: dict[str, int] = {}
    for line in _text_of(path).splitlines():
        fields = line.split("\t")
        if len(fields) < 5 or line.startswith(("#", ">")) or not fields[0].strip():
            continue
        name = unquote(fields[0].strip())
        sizes[name] = max([sizes.get(name, 0), *(int(field) for field in fields[3:5] if field.strip().isdigit())])
    return {name: size + 10 for name, size in sizes.items() if size} or {"chr1": 1000}


def _text_of(path: Path) -> str:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8", "replace")


@contextlib.contextmanager
def _genome_for(tool: str, path: Path) -> Iterator[None]:
    if tool not in ("merge-gff", "labels"):
        yield
        return
    contigs = tuple(Contig(name, size, "0" * 32) for name, size in sizes_of(path).items())
    with patch.object(Assembly, "open", lambda _: _Blank(contigs, path)):
        yield


@contextlib.contextmanager
def _captured() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    with (
        contextlib.redirect_stdout(io.StringIO()) as printed,
        contextlib.redirect_stderr(io.StringIO()) as logged,
    ):
        yield printed, logged


def _print_table() -> None:
    """Print the outcomes of today; reasons are kept, and are to be written where an outcome differs."""
    before = table() if TABLE.exists() else {}
    print("\t".join(COLUMNS))
    for row in manifest_rows("fasta", "gff", "gtf"):
        found = dict.fromkeys(TOOLS, NOT_FOR_IT)
        for tool in tools_for(row):
            with tempfile.TemporaryDirectory() as folder:
                found[tool] = answer(tool, SHARED / "odd_inputs" / row["path"], Path(folder)).outcome
        reason = before.get(row["path"], {}).get("reason", "")
        print("\t".join((row["path"], row["class"], *(found[tool] for tool in TOOLS), reason)))


if __name__ == "__main__":
    _print_table()
