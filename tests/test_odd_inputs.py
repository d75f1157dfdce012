"""Every FASTA, GFF3 and GTF of the collection of odd inputs, in every tool that reads it.

Files of the committed table get exactly the outcome it holds; others (SEGNT_SHARED may name a folder with another
collection) what their manifest asks for, by its word.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from gff_helpers import manifest_rows
from odd_inputs import COLUMNS, NOT_FOR_IT, TOOLS, allowed, answer, cases, decided_otherwise, table, tools_for

KNOWN = table()


@pytest.mark.parametrize(("tool", "row"), cases("fasta", "gff", "gtf"))
def test_odd_input(shared: Path, tmp_path: Path, tool: str, row: Mapping[str, str]) -> None:
    path = shared / "odd_inputs" / row["path"]
    found = answer(tool, path, tmp_path)
    known = KNOWN.get(row["path"])
    if known is not None and known["class"] == row["class"]:
        assert found.outcome == known[tool], found.said
    else:
        fits = found.outcome in allowed(tool, row) or decided_otherwise(tool, path, found.said)
        assert fits, f"{row['class']}: {row['expectation']}\n{found.said}"


def test_the_table_gives_a_reason_wherever_it_differs_from_the_manifest(shared: Path) -> None:
    rows = {row["path"]: row for row in manifest_rows("fasta", "gff", "gtf")}
    for path, known in KNOWN.items():
        if path not in rows or rows[path]["class"] != known["class"]:
            continue  # another collection
        row = rows[path]
        tools = tools_for(row)
        assert {tool for tool in TOOLS if known[tool] != NOT_FOR_IT} == set(tools), path
        differing = [tool for tool in tools if known[tool] not in allowed(tool, row)]
        assert bool(known["reason"]) == (bool(differing) or row["class"] == "unsure"), (path, differing)
        assert all(tool in known["reason"] for tool in differing), path


def test_the_table_is_whole() -> None:
    assert len(KNOWN) > 100
    assert all(tuple(row) == COLUMNS and None not in row.values() for row in KNOWN.values())
