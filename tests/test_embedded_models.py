"""The embedded models stay small, and their cards say what the documentation says of them."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from segnt_tools.models.card import Card
from segnt_tools.models.registry import embedded_folder

MEGABYTE = 1_000_000
EACH, TOGETHER = 8 * MEGABYTE, 25 * MEGABYTE


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _bytes_in_a_wheel(folder: Path) -> int:
    """Size of a folder's files as a wheel packs them, each by zlib."""
    return sum(len(zlib.compress(file.read_bytes())) for file in folder.rglob("*") if file.is_file())


def test_sizes_of_the_embedded_models():
    """Each checkpoint at most 8 MB, all of them in the wheel at most 25 MB."""
    sizes = {card.parent.name: _bytes(card.parent) for card in embedded_folder().rglob("card.json")}
    assert {"plant_small", "yeast_small", "plasmodium_small", "fly_small"} <= sizes.keys()
    # A checkpoint whose weights were left out would be small, too.
    assert min(sizes.values()) > MEGABYTE
    assert {name: size for name, size in sizes.items() if size > EACH} == {}
    packed = _bytes_in_a_wheel(embedded_folder())
    assert packed <= TOGETHER, f"{packed} bytes in the wheel, of {sizes}"


EVALUATION = Path(__file__).parents[1] / "docs" / "evaluation.md"
KEYS = {"one_pass": "test", "both_strands": "test_both_strands", "augustus": "test_augustus"}


@pytest.mark.parametrize("model", ["plant_small", "plasmodium_small", "yeast_small", "fly_small"])
def test_cards_and_documentation_give_the_same_figures(model: str):
    """Both are written by benchmarks/embedded_models.py; a new run must change both."""
    metrics = Card.read(embedded_folder() / model).metrics
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in EVALUATION.read_text().splitlines()]
    rows = [row for row in rows if len(row) == 8 and row[0] == model and row[1] in KEYS]
    assert [row[1] for row in rows] == list(KEYS)
    for _, prediction, *figures in rows:
        known = metrics[KEYS[prediction]]
        errors = known.get("score_errors", {})
        written = [known[level] for level in ("nucleotide", "exon", "intron", "gene")]
        written += [errors.get("coding parts"), errors.get("mRNAs")]
        for shown, value in zip(figures, written, strict=True):
            assert value is None if shown == "-" else float(shown) == pytest.approx(value, abs=0.00051)
