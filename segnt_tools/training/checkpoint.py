"""Writing a checkpoint folder: card.json and model.safetensors, each replaced as a whole."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from segnt_tools.files import atomic_path
from segnt_tools.models.card import CARD_FILE, Card

WEIGHTS_FILE = "model.safetensors"


def write_checkpoint(folder: Path, card: Card, weights: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> None:
    """Write a checkpoint.

    Args:
        folder: the checkpoint's folder; made if it is not there.
        card: its card.
        weights: the network's state.
        dtype: type in which floating-point weights are stored.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored = {
        name: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in weights.items()
    }
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        save_file(stored, temporary, metadata={"format": "pt"})
    with atomic_path(folder / CARD_FILE) as temporary:
        scratch = temporary.parent / f"{temporary.name}.d"
        scratch.mkdir()
        try:
            card.write(scratch)
            temporary.write_bytes((scratch / CARD_FILE).read_bytes())
        finally:
            (scratch / CARD_FILE).unlink(missing_ok=True)
            scratch.rmdir()
