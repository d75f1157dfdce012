"""The embedded models stay small: a package that people install to try it is no place for large weights."""

from __future__ import annotations

from pathlib import Path

from segnt_tools.models.registry import embedded_folder

MEGABYTE = 1_000_000
EACH, TOGETHER = 8 * MEGABYTE, 25 * MEGABYTE


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_sizes_of_the_embedded_models():
    """Each checkpoint at most 8 MB, all files of the folder that goes into the wheel at most 25 MB."""
    sizes = {card.parent.name: _bytes(card.parent) for card in embedded_folder().rglob("card.json")}
    assert {"plant_small", "yeast_small", "plasmodium_small", "fly_small"} <= sizes.keys()
    # A checkpoint whose weights were left out would be small, too.
    assert min(sizes.values()) > MEGABYTE
    assert {name: size for name, size in sizes.items() if size > EACH} == {}
    assert _bytes(embedded_folder()) <= TOGETHER, f"{_bytes(embedded_folder())} bytes in {sizes}"
