"""SegmentNT: the Nucleotide Transformer v2 encoder with the 1-D U-Net head, six bases a token.

Numerically equal to the official JAX code (see tests/test_models_golden.py). Windows hold no N and are multiples of
24 bp: four tokens of six bases, because the U-Net halves the tokens twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from segnt_tools.errors import CheckpointError, UsageError
from segnt_tools.models.card import Card
from segnt_tools.models.interface import SegmentationModel
from segnt_tools.models.nt_encoder import EncoderConfig, NTEncoder, PadStyle
from segnt_tools.models.precision import set_weight_types
from segnt_tools.models.tokenizer import KmerTokenizer
from segnt_tools.models.unet_head import POOLED, UNetHead
from segnt_tools.sequence.windows import WindowGeometry

ARCHITECTURE = "segment_nt"
BASES = 6
# The longest window is what the authors describe, 50 kb, rounded up. The margin is a choice, not a measurement: the
# U-Net reaches 138 bp, and users report a drop at the last base of a window; 1,008 bp give every kept base that and
# some context on both sides, for 7 % more work. To be replaced by the measured edge curve.
GEOMETRY = WindowGeometry(length=30_000, multiple=BASES * POOLED, shortest=24, longest=50_016, margin=1_008)


@dataclass(frozen=True, slots=True)
class SegmentNTConfig:
    """Hyperparameters: those of the encoder and the width of the U-Net's first level."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    head_channels: int = 1024

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values for a card."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SegmentNTConfig:
        """The configuration in a card.

        Raises:
            CheckpointError: a key is unknown or the encoder is missing.
        """
        try:
            given = dict(values)
            return cls(encoder=EncoderConfig(**given.pop("encoder")), **given)
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"the card's configuration is not one of {ARCHITECTURE}: {error}") from error


class SegmentNT(SegmentationModel):
    """Base codes to logits of the 14 (or other) elements at every base.

    Raises:
        CheckpointError: the size of the vocabulary does not tell the order of the tokens.
    """

    def __init__(self, card: Card, config: SegmentNTConfig) -> None:
        super().__init__()
        self.card, self.config = card, config
        self.tokenizer = KmerTokenizer.of_embedding(config.encoder.vocabulary, BASES)
        self.encoder = NTEncoder(config.encoder)
        self.head = UNetHead(config.encoder.width, config.head_channels, BASES, len(card.tracks))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Base codes (batch, length) without N to logits (batch, length, tracks).

        Raises:
            UsageError: the length is no multiple of 24.
        """
        length = codes.shape[1]
        if length % GEOMETRY.multiple:
            raise UsageError(f"a window of {length} bp is no multiple of {GEOMETRY.multiple}")
        tokens = self.tokenizer.window_tokens(codes)
        classes: torch.Tensor = self.head(self.encoder(tokens, may_pad=False)[:, 1:])
        return classes[..., 1] - classes[..., 0]

    def class_logits(self, tokens: torch.Tensor, pads: PadStyle = PadStyle.JAX) -> torch.Tensor:
        """Token ids (batch, 1 + n) to the official two-class logits (batch, 6 n, tracks, 2).

        The head gives six rows for every token, also for N and single letters.

        Raises:
            UsageError: n is no multiple of 4.
        """
        if (tokens.shape[1] - 1) % POOLED:
            raise UsageError(f"{tokens.shape[1] - 1} tokens are no multiple of {POOLED}")
        return self.head(self.encoder(tokens, pads)[:, 1:])  # type: ignore[no-any-return]

    def set_precision(self, dtype: torch.dtype) -> None:
        """Do the matrix products and convolutions in this type; norms, tables and the last layer stay float32."""
        set_weight_types(self, dtype)


def build(card: Card) -> SegmentNT:
    """The model of a card, with random weights."""
    return SegmentNT(card, SegmentNTConfig.from_dict(card.config))
