"""What the golden folder holds, recognised by contents: names mean nothing, so that further cases need no code.

Cases are the npz files at any depth, with the JSON beside them, the JSON files that stand alone, and the folders in the
layouts of checkpoints. What nobody recognises is listed with the reason, for a test to fail on.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from segnt_tools.errors import CheckpointError
from segnt_tools.models.checkpoints.layouts import layout_of

GOLDEN = Path(os.environ.get("SEGNT_GOLDEN", Path(__file__).parents[2] / "shared" / "golden"))


class Kind(StrEnum):
    """What a case holds; each kind has its tests."""

    SEGMENT_NT = "SegmentNT"
    TRUNK = "NT-v2, without a segmentation head"
    ENFORMER = "SegmentEnformer"
    BORZOI = "SegmentBorzoi"
    HUGGING_FACE = "SegmentNT cases of the same folder as Hugging Face computes them"
    ENFORMER_POSITIONS = "position features of Enformer"
    BORZOI_POSITIONS = "position features of Borzoi"
    ROTARY = "rotary frequencies"
    TOKENIZERS = "tokenizer cases"
    PRECISIONS = "what reduced precision does to the official code"


@dataclass(slots=True)
class Found:
    """What a folder holds.

    Attributes:
        cases: by kind, their files without suffix, as paths inside the folder.
        checkpoints: folders in a layout that we read.
        unclaimed: what is none of these, and why.
    """

    cases: dict[Kind, list[str]] = field(default_factory=lambda: {kind: [] for kind in Kind})
    checkpoints: list[Path] = field(default_factory=list)
    unclaimed: list[str] = field(default_factory=list)


def discover(folder: Path) -> Found:
    """Look through a folder; nothing in it makes this fail."""
    found = Found()
    if not folder.is_dir():
        return found
    for child in sorted(folder.iterdir()):
        if child.is_dir():
            found.checkpoints += _checkpoints(child)
    files = [file for file in sorted(folder.rglob("*")) if file.suffix in (".npz", ".json") and file.is_file()]
    for file in files:
        if any(place in file.parents for place in found.checkpoints):
            continue
        name = str(file.relative_to(folder).with_suffix(""))
        if file.suffix == ".json" and file.with_suffix(".npz").is_file():
            continue  # judged with its npz
        try:
            kind = _kind_of_arrays(file) if file.suffix == ".npz" else _kind_of_values(read_json(file))
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            found.unclaimed.append(f"{file.relative_to(folder)}: unreadable: {error}")
            continue
        if kind is None:
            found.unclaimed.append(f"{file.relative_to(folder)}: its contents are of no known kind")
        else:
            found.cases[kind].append(name)
    return found


def _checkpoints(folder: Path) -> list[Path]:
    try:
        layout_of(folder)
    except CheckpointError:
        return [place for child in sorted(folder.iterdir()) if child.is_dir() for place in _checkpoints(child)]
    return [folder]


def read_json(file: Path) -> dict[str, Any]:
    """The values of a JSON file; a list counts as cases, anything else and a missing file as nothing."""
    if not file.is_file():
        return {}
    values = json.loads(file.read_text())
    if isinstance(values, list):
        return {"cases": values}
    return values if isinstance(values, dict) else {}


def _kind_of_arrays(file: Path) -> Kind | None:
    with np.load(file) as arrays:
        keys = set(arrays.files)
        values = read_json(file.with_suffix(".json"))
        if {"tokens", "logits"} <= keys and (kind := _kind_of_model(keys)):
            return kind
        if "tokens" in keys and _kind_of_model(keys) is None and any("/~/embed|" in key for key in keys):
            return Kind.TRUNK
        if any(key.startswith("inv_freq") for key in keys):
            return Kind.ROTARY
        if keys and all(len(key.split("|")) == 3 and not key.startswith(("params|", "state|")) for key in keys):
            return Kind.HUGGING_FACE
        if "features" in keys and {"seq_len", "feature_size"} <= values.keys():
            # Borzoi's features are masks and signs, Enformer's real numbers.
            masks = bool(np.isin(arrays["features"], (-1, 0, 1)).all())
            return Kind.BORZOI_POSITIONS if masks else Kind.ENFORMER_POSITIONS
    return None


def _kind_of_model(keys: set[str]) -> Kind | None:
    modules = [key.split("|")[1] for key in keys if key.startswith("params|")]
    if any(module.startswith("Enformer/") for module in modules):
        return Kind.ENFORMER
    if any(module.startswith("Borzoi/") for module in modules):
        return Kind.BORZOI
    return Kind.SEGMENT_NT if any("unet1_d_segmentation_head" in module for module in modules) else None


def _kind_of_values(values: dict[str, Any]) -> Kind | None:
    entries = [entry for entry in values.values() if isinstance(entry, dict)]
    if entries and all("max_abs_prob_diff_vs_f32" in entry for entry in entries):
        return Kind.PRECISIONS
    return Kind.TOKENIZERS if any(Check.of(entry) for _, entry in _entries(values)) else None


# --- the entries of tokenizer files ----------------------------------------------------------------------------------


class Check(StrEnum):
    """What an entry of a tokenizer file holds."""

    SEQUENCES = "sequences and their ids or errors, one by one"
    BATCH = "sequences and their ids, padded"
    TOO_LONG = "a sequence of more tokens than its fixed length"
    VOCABULARY = "a vocabulary"

    @staticmethod
    def of(entry: Any) -> Check | None:
        """By the keys of the entry."""
        if not isinstance(entry, dict):
            return None
        cases = entry.get("cases")
        if isinstance(cases, list) and cases and all(isinstance(c, dict) and "sequence" in c for c in cases):
            return Check.SEQUENCES
        if {"sequences", "ids"} <= entry.keys():
            return Check.BATCH
        if {"sequence", "error"} <= entry.keys():
            return Check.TOO_LONG
        return Check.VOCABULARY if "sha256_newline_joined" in entry else None


@dataclass(frozen=True, slots=True)
class TokenizerEntry:
    """One entry of a tokenizer file; the file itself where it has no entries.

    Attributes:
        title: file and entry.
        check: what it holds; None if nobody knows.
        values: its values.
    """

    title: str
    check: Check | None
    values: dict[str, Any]

    @property
    def like_hugging_face(self) -> bool:
        """Whether the ids are those of the Hugging Face tokenizer."""
        text = f"{self.title} {self.values.get('desc', '')} {self.values.get('note', '')}"
        return re.search(r"hugging|EsmTokenizer|(?<![a-z])hf(?![a-z])", text, re.IGNORECASE) is not None


def tokenizer_entries(folder: Path, name: str) -> list[TokenizerEntry]:
    """All entries of a tokenizer file that hold more than a remark."""
    rows = _entries(read_json(folder / f"{name}.json"))
    return [
        TokenizerEntry(f"{name}:{title}" if title else name, Check.of(values), values)
        for title, values in rows
        if isinstance(values, dict)
    ]


def _entries(values: dict[str, Any]) -> list[tuple[str, Any]]:
    return [("", values)] if Check.of(values) else list(values.items())
