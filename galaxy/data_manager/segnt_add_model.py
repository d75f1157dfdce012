"""Write the row of the data table segnt_models for a checkpoint that `segnt models add` has put into a folder.

    python segnt_add_model.py REPORT ID DESCRIPTION OUTPUT

REPORT is the JSON report of `segnt models add`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def row(report: dict[str, object], value: str, description: str) -> dict[str, str]:
    """The columns of the table; the name tells organisms and licence, because users choose by it."""
    card = report["card"]
    assert isinstance(card, dict)
    organisms = card.get("clade") or card["summary"]
    return {
        "value": value,
        "name": description or f"{card['name']}: {organisms} (weights: {card['licence']})",
        "schema": str(card["schema_version"]),
        "path": Path(str(report["folder"])).name,
    }


def main(report: str, value: str, description: str, output: str) -> None:
    """Read the report and write Galaxy's data manager JSON."""
    values = json.loads(Path(report).read_text(encoding="utf-8"))
    tables = {"data_tables": {"segnt_models": [row(values, value, description)]}}
    Path(output).write_text(json.dumps(tables), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
