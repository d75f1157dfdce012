"""Checkpoints: folders in our own layout or an official one, to a card and tensors under our names.

Reading needs neither jax nor transformers nor joblib, and never executes what a file asks for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch

from segnt_tools.errors import CheckpointError
from segnt_tools.files import atomic_path, file_sha256, output_folder
from segnt_tools.logs import logger
from segnt_tools.models.architectures import build
from segnt_tools.models.card import CARD_FILE, Card
from segnt_tools.models.checkpoints.interpret import Interpreted, interpret, interpret_trunk
from segnt_tools.models.checkpoints.layouts import WEIGHTS_FILE, Layout, layout_of, read_foreign, read_safetensors
from segnt_tools.models.checkpoints.naming import Tensors
from segnt_tools.models.nt_encoder import EncoderConfig, MaskedLanguageModel
from segnt_tools.models.uninitialised import Uninitialised

__all__ = [
    "WEIGHTS_FILE",
    "Inspection",
    "inspect_checkpoint",
    "open_checkpoint",
    "open_trunk",
    "weights_sha256",
    "write_checkpoint",
]

_LISTED = 12


def open_checkpoint(folder: str | Path, name: str | None = None) -> tuple[Card, Tensors]:
    """The card and the weights of a checkpoint folder, whatever its layout, checked against the model it describes.

    Args:
        folder: in our own, a Hugging Face or a JAX layout.
        name: name of the model, for folders without a card; official names also say which outputs were trained.

    What was taken for granted is said in the log.

    Returns:
        The card, and float32 tensors that fit `registry.build(card)` exactly.

    Raises:
        CheckpointError: no known layout; damaged or unsafe; missing, unexpected or misshapen tensors, all listed.
    """
    found = _opened(Path(folder), name, shapes_only=False)
    for note in found.notes:
        logger.info(note)
    return found.card, found.tensors


@dataclass(slots=True)
class Inspection:
    """A checkpoint whose names and shapes were checked, to be carried to where its weights are needed.

    Attributes:
        folder: of the checkpoint.
        card: its card.
        notes: what was taken for granted; whoever loads the weights says it, once.
    """

    folder: Path
    card: Card
    notes: tuple[str, ...]
    _name: str | None
    _tensors: Tensors | None

    def take_weights(self) -> Tensors:
        """The float32 weights, as open_checkpoint gives them.

        Those that the inspection had to read already are handed over and not kept, so that they are not held twice.

        Raises:
            CheckpointError: as open_checkpoint.
        """
        held, self._tensors = self._tensors, None
        return held if held is not None else _opened(self.folder, self._name, shapes_only=False).tensors


def inspect_checkpoint(folder: str | Path, name: str | None = None) -> Inspection:
    """What a checkpoint folder is, every tensor's name and shape checked, without reading the weights.

    To stop before anything expensive. It takes well under a second, but for JAX folders, whose pickles have to be read
    to the end; their weights are kept for the one who loads them. Damaged numbers and wrong checksums are left to
    open_checkpoint.

    Args:
        folder: in our own, a Hugging Face or a JAX layout.
        name: as for open_checkpoint.

    Raises:
        CheckpointError: no known layout; unsafe; missing, unexpected or misshapen tensors, all listed.
    """
    found = _opened(Path(folder), name, shapes_only=True)
    was_read = not any(tensor.is_meta for tensor in found.tensors.values())
    return Inspection(Path(folder), found.card, found.notes, name, found.tensors if was_read else None)


def _opened(folder: Path, name: str | None, *, shapes_only: bool) -> Interpreted:
    layout, place = layout_of(folder)
    if layout is Layout.OWN:
        file = place / WEIGHTS_FILE
        found = Interpreted(Card.read(place), read_safetensors(file, shapes_only=shapes_only), ())
        if not shapes_only and found.card.sha256 and weights_sha256(file) != found.card.sha256:
            raise CheckpointError("is not the file that the card was made for: checksums differ", file=file)
    else:
        found = interpret(read_foreign(layout, place, shapes_only=shapes_only), name)
    expected = _empty_model(found.card, place).state_dict()
    _check_against(expected, found.tensors, found.unknown, layout, place, found.card.architecture)
    return found


def open_trunk(folder: str | Path) -> tuple[EncoderConfig, Tensors]:
    """An NT-v2 base model, for checking the trunk alone and for training: hyperparameters and weights.

    Returns:
        The configuration and tensors that fit `MaskedLanguageModel(config)` exactly.

    Raises:
        CheckpointError: as open_checkpoint.
    """
    layout, place = layout_of(Path(folder))
    if layout is Layout.OWN:
        raise CheckpointError("is a segmentation model, not an NT-v2 base model", file=place)
    config, tensors, unknown = interpret_trunk(read_foreign(layout, place))
    with torch.device("meta"), Uninitialised():
        model = MaskedLanguageModel(config)
    _check_against(model.state_dict(), tensors, unknown, layout, place, "NT-v2")
    return config, tensors


def write_checkpoint(folder: Path, card: Card, tensors: Mapping[str, torch.Tensor]) -> Card:
    """Write a checkpoint in our own layout: weights, and the card with their checksum right after them.

    Both are complete on the disk before the first takes its place, so that a kill hardly ever parts them.

    Returns:
        The card as written.
    """
    output_folder(folder)
    with atomic_path(folder / CARD_FILE) as card_file, atomic_path(folder / WEIGHTS_FILE) as weights_file:
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        safetensors.torch.save_file(plain, weights_file, metadata={"format": "pt"})
        written = dataclasses.replace(card, sha256=weights_sha256(weights_file))
        card_file.write_text(written.as_text(), encoding="utf-8")
    return written


def weights_sha256(file: Path) -> str:
    """SHA-256 of a file.

    Raises:
        CheckpointError: the file is missing.
    """
    try:
        return file_sha256(file)
    except FileNotFoundError:
        raise CheckpointError("is missing", file=file) from None


def _empty_model(card: Card, folder: Path) -> torch.nn.Module:
    """The card's model without memory for its weights."""
    try:
        with torch.device("meta"), Uninitialised():
            return build(card)
    except CheckpointError as error:
        raise CheckpointError(error.message, file=error.file or folder, hint=error.hint) from error
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise CheckpointError(f"its configuration makes no {card.architecture}: {error}", file=folder) from error


def _check_against(
    expected: Mapping[str, torch.Tensor],
    tensors: Mapping[str, torch.Tensor],
    unknown: tuple[str, ...],
    layout: Layout,
    folder: Path,
    architecture: str,
) -> None:
    findings = [
        ("missing", sorted(set(expected) - set(tensors))),
        ("unexpected", sorted([*unknown, *(set(tensors) - set(expected))])),
        (
            "misshapen",
            [
                f"{name} is {tuple(tensors[name].shape)}, not {tuple(tensor.shape)}"
                for name, tensor in expected.items()
                if name in tensors and tensors[name].shape != tensor.shape
            ],
        ),
    ]
    if any(names for _, names in findings):
        texts = [f"{len(names)} {what}: {_some(names)}" for what, names in findings if names]
        raise CheckpointError(
            f"the tensors do not fit {architecture}; layout: {layout}; " + "; ".join(texts),
            file=folder,
            hint="The download may be incomplete, or made by another version of the model's code",
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
