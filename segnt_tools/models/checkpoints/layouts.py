"""Which layout a checkpoint folder has, and its tensors under the names that its files use.

Nothing here executes what a file asks for: safetensors hold numbers only, `pytorch_model.bin` goes through torch's
weights-only reader after a look at the archive, joblib files go through restricted_pickle.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from segnt_tools.errors import CheckpointError
from segnt_tools.models.card import CARD_FILE
from segnt_tools.models.checkpoints.naming import Tensors
from segnt_tools.models.checkpoints.restricted_pickle import Tree, read_tree

WEIGHTS_FILE = "model.safetensors"
_TORCH_FILE = "pytorch_model.bin"
_INDEX = ".index.json"
STORED_FREQUENCIES = "rotary_embeddings.inv_freq"
"""End of the names of tensors whose numbers are part of the configuration in early uploads."""
_JAX_FILES = ("pytree_ckpt.joblib", "params.joblib")


class Layout(StrEnum):
    """The layouts of checkpoint folders, by the words used in messages."""

    OWN = "segnt_tools folder (card.json, model.safetensors)"
    HUGGING_FACE = "Hugging Face folder (config.json, model.safetensors or pytorch_model.bin)"
    JAX = "JAX folder (hyperparams.json, pytree_ckpt.joblib or params.joblib with state.joblib)"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A checkpoint as its files have it.

    Attributes:
        layout: the recognised layout.
        folder: where the files lie.
        tensors: under their own names; `module|parameter` for JAX.
        config: of config.json or hyperparams.json; empty where there is none.
    """

    layout: Layout
    folder: Path
    tensors: Tensors
    config: Mapping[str, Any]


def layout_of(folder: Path) -> tuple[Layout, Path]:
    """The layout of a folder and the folder that holds its files (JAX files may lie in jax_model/).

    Raises:
        CheckpointError: no layout fits; the message says what was looked for.
    """
    if not folder.is_dir():
        raise CheckpointError("is no folder", file=folder, hint="Give the folder that holds the checkpoint's files")
    if (folder / CARD_FILE).is_file():
        return Layout.OWN, folder
    if _torch_file(folder) is not None:
        return Layout.HUGGING_FACE, folder
    for place in (folder, folder / "jax_model"):
        if any((place / name).is_file() for name in _JAX_FILES):
            return Layout.JAX, place
    raise CheckpointError(
        "no checkpoint found in this folder",
        file=folder,
        hint="Known layouts: " + "; ".join(layout.value for layout in Layout),
    )


def read_foreign(layout: Layout, folder: Path, *, shapes_only: bool = False) -> Foreign:
    """The tensors and the configuration of a Hugging Face or JAX folder.

    Args:
        layout: of the folder.
        folder: that holds the files.
        shapes_only: read no weights where the layout allows it (Hugging Face): tensors on the meta device.

    Raises:
        CheckpointError: a file is missing, damaged or asks for more than arrays.
    """
    if layout is Layout.JAX:
        tree = read_tree(next(folder / name for name in _JAX_FILES if (folder / name).is_file()))
        state = folder / "state.joblib"
        if state.is_file():
            tree |= read_tree(state)
        return Foreign(layout, folder, flatten_tree(tree), _json(folder / "hyperparams.json", required=False))
    file = _torch_file(folder)
    assert file is not None
    return Foreign(layout, folder, _torch_tensors(file, shapes_only), _json(folder / "config.json", required=False))


def flatten_tree(tree: Tree) -> Tensors:
    """A JAX tree as `module|parameter` tensors, the roots named encoder, head, Enformer or Borzoi.

    The encoder's and the head's roots differ between uploads: the head's is the one below which the U-Net lies. Older
    base models call attention `mha` and prefix the language-model head with `esm_`. The tree is used up.
    """
    heads = {
        module.partition("/")[0]
        for module in tree
        if "unet1_d_segmentation_head" in module or module.partition("/")[0] == "u_net_head"
    }
    tensors: Tensors = {}
    for module in list(tree):
        for name, array in tree.pop(module).items():  # taken out, so that a large tree is not held twice
            native = array.astype(array.dtype.newbyteorder("="))  # a copy: torch wants it writable
            tensors[f"{_module_name(module, heads)}|{name}"] = torch.from_numpy(native)
    return tensors


_RENAMED = {"mha": "self_attention", "mha_layer_norm": "self_attention_layer_norm"}


def _module_name(module: str, heads: set[str]) -> str:
    root, slash, rest = module.partition("/")
    if root in heads:
        return f"head{slash}{rest}"
    if root in ("Enformer", "Borzoi"):
        return module
    parts = [_RENAMED.get(part, part.removeprefix("esm_")) for part in rest.split("/")]
    return f"encoder{slash}{'/'.join(parts)}"


def read_safetensors(file: Path, *, shapes_only: bool = False) -> Tensors:
    """The tensors of one safetensors file, or only their names and shapes, which its header tells.

    Raises:
        CheckpointError: missing or damaged; a file shorter than its header says is damaged, too.
    """
    try:
        return _shapes(file) if shapes_only else dict(safetensors.torch.load_file(file))
    except FileNotFoundError:
        raise CheckpointError("is missing", file=file) from None
    except (OSError, safetensors.SafetensorError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"damaged: {error}", file=file) from error


def _shapes(file: Path) -> Tensors:
    with safetensors.safe_open(file, "pt") as opened:
        return {
            name: opened.get_tensor(name)
            if name.endswith(STORED_FREQUENCIES)
            else torch.empty(opened.get_slice(name).get_shape(), device="meta")
            for name in opened.keys()  # noqa: SIM118 - no mapping
        }


def _torch_file(folder: Path) -> Path | None:
    names = (WEIGHTS_FILE, WEIGHTS_FILE + _INDEX, _TORCH_FILE, _TORCH_FILE + _INDEX)
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _torch_tensors(file: Path, shapes_only: bool) -> Tensors:
    if not file.name.endswith(_INDEX):
        if file.suffix == ".safetensors":
            return read_safetensors(file, shapes_only=shapes_only)
        tensors = read_torch_archive(file)  # mapped, not read
        return {
            name: tensor.to("meta") if shapes_only and not name.endswith(STORED_FREQUENCIES) else tensor
            for name, tensor in tensors.items()
        }
    shards = _json(file, required=True).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise CheckpointError("has no weight_map of file names", file=file)
    found: Tensors = {}
    for name in sorted(set(shards.values())):
        if Path(name).name != name:
            raise CheckpointError(f"names {name}, which is not a file beside it", file=file)
        found |= _torch_tensors(file.with_name(name), shapes_only)
    if missing := sorted(set(shards) - set(found)):
        raise CheckpointError(f"names {len(missing)} tensors that its files lack, e.g. {missing[0]}", file=file)
    return found


def read_torch_archive(file: Path) -> Tensors:
    """The tensors of a `torch.save` archive.

    Only plain archives are read: the older formats and TorchScript, whose weights-only reading has had holes in some
    versions of torch, are refused.

    Raises:
        CheckpointError: missing, damaged, of another format, or asks for more than tensors.
    """
    safer = "Ask for model.safetensors, or convert the file in a place where you trust it"
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except FileNotFoundError:
        raise CheckpointError("is missing", file=file) from None
    except (zipfile.BadZipFile, OSError) as error:
        raise CheckpointError(f"is no archive of torch.save: {error}", file=file, hint=safer) from error
    if any("/code/" in entry.filename or entry.filename.endswith("constants.pkl") for entry in entries):
        raise CheckpointError("is a TorchScript program, not a file of tensors", file=file, hint=safer)
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise CheckpointError("is a compressed archive, which torch.save never writes", file=file, hint=safer)
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    # The restricted reader can end in almost any error on a damaged or hostile file.
    except Exception as error:
        raise CheckpointError(_why_not_read(str(error)), file=file, hint=safer) from error
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in loaded.items()
    ):
        raise CheckpointError("holds something else than named tensors", file=file, hint=safer)
    return dict(loaded)


def _why_not_read(error: str) -> str:
    """What torch's weights-only reader met, without its advice to read the file all the same."""
    if asked := re.search(r"[Uu]nsupported (?:global: )?(?:GLOBAL|class) (\S+)", error):
        return f"not read, because it asks for more than tensors: {asked[1]}"
    if error.startswith("Weights only load failed"):
        return "not read: damaged, or it asks for more than tensors"
    return f"not read: {error.partition(chr(10))[0]}"


def _json(file: Path, required: bool) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise CheckpointError("is missing", file=file) from None
        return {}
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"cannot be read: {error}", file=file) from error
    if not isinstance(values, dict):
        raise CheckpointError("is no JSON object", file=file)
    return values
