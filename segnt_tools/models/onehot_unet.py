"""The paper's ablation without a language model: the U-Net head of SegmentNT right on one-hot bases."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from segnt_tools.errors import CheckpointError
from segnt_tools.models.card import Card
from segnt_tools.models.interface import SegmentationModel
from segnt_tools.models.precision import set_weight_types
from segnt_tools.models.unet_head import POOLED, REACH, UNetHead
from segnt_tools.sequence.windows import WindowGeometry

ARCHITECTURE = "onehot_unet"
GEOMETRY = WindowGeometry(length=3_000, multiple=POOLED, shortest=POOLED, longest=100_000, margin=REACH + 1)


@dataclass(frozen=True, slots=True)
class OneHotUNetConfig:
    """Hyperparameters: the width of the U-Net's first level (1,024 is 50 M parameters)."""

    head_channels: int = 1024

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values for a card."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OneHotUNetConfig:
        """The configuration in a card.

        Raises:
            CheckpointError: a key is unknown.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise CheckpointError(f"the card's configuration is not one of {ARCHITECTURE}: {error}") from error


class OneHotUNet(SegmentationModel):
    """Base codes to logits, each from the 47 bases around it."""

    def __init__(self, card: Card, config: OneHotUNetConfig) -> None:
        super().__init__()
        self.card, self.config = card, config
        self.head = UNetHead(4, config.head_channels, 1, len(card.tracks))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Base codes (batch, length), length a multiple of 4, to logits (batch, length, tracks)."""
        one_hot = (codes.unsqueeze(-1) == torch.arange(4, device=codes.device, dtype=codes.dtype)).float()
        classes: torch.Tensor = self.head(one_hot)
        return classes[..., 1] - classes[..., 0]

    def set_precision(self, dtype: torch.dtype) -> None:
        """Do the convolutions in this type; the last layer stays float32."""
        set_weight_types(self, dtype)


def build(card: Card) -> OneHotUNet:
    """The model of a card, with random weights."""
    return OneHotUNet(card, OneHotUNetConfig.from_dict(card.config))
