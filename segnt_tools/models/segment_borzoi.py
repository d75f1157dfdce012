"""SegmentBorzoi: the Borzoi trunk with the 1-D U-Net head, 32 bp a position, output for the centre of the window.

A window of 524,288 bp gives logits for its centre 196,608 bp. The unused track head of the official checkpoint is not
built.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segnt_tools.errors import CheckpointError, UsageError
from segnt_tools.models.card import Card
from segnt_tools.models.interface import SegmentationModel
from segnt_tools.models.precision import set_weight_types
from segnt_tools.models.relative_attention import FixedBatchNorm, RelativeTransformer, TransformerConfig
from segnt_tools.models.tokenizer import one_hot
from segnt_tools.models.unet_head import UNetHead
from segnt_tools.sequence.windows import WindowGeometry

ARCHITECTURE = "segment_borzoi"
EPS = 1e-3  # of every norm in the official code
SKIPS = 2
GEOMETRY = WindowGeometry(
    length=524_288, multiple=524_288, shortest=524_288, longest=524_288, margin=163_840, crop=163_840
)


@dataclass(frozen=True, slots=True)
class BorzoiConfig:
    """Hyperparameters; the defaults are the official sizes.

    Attributes:
        channels: of the stem and of each step of the tower; every step halves the positions.
        layers: transformer blocks.
        heads: attention heads of a block.
        key_width: width of a head's queries and keys.
        position_features: features of a distance.
        joined_channels: width behind each of the two upsampling steps.
        separable_bias: whether their pointwise convolutions have a bias (Hugging Face files may, JAX ones do not).
        embedding_channels: width of the embedding that the U-Net reads.
        head_channels: width of the U-Net's first level.
        crop: positions of the output's resolution that are dropped at either end.
    """

    channels: tuple[int, ...] = (512, 608, 736, 896, 1056, 1280, 1536)
    layers: int = 8
    heads: int = 8
    key_width: int = 64
    position_features: int = 32
    joined_channels: int = 1536
    separable_bias: bool = False
    embedding_channels: int = 1920
    head_channels: int = 1536
    crop: int = 5120

    @property
    def bases(self) -> int:
        """Bases of an output position."""
        return int(2 ** (len(self.channels) - SKIPS))

    def transformer(self) -> TransformerConfig:
        """Hyperparameters of the transformer."""
        width = self.channels[-1]
        return TransformerConfig(
            width=width,
            layers=self.layers,
            heads=self.heads,
            key_width=self.key_width,
            value_width=width // self.heads,
            ffn_width=2 * width,
            position_features=self.position_features,
            norm_eps=EPS,
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values for a card."""
        return {**dataclasses.asdict(self), "channels": list(self.channels)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BorzoiConfig:
        """The configuration in a card.

        Raises:
            CheckpointError: a key is unknown or missing.
        """
        try:
            return cls(**{**values, "channels": tuple(values["channels"])})
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"the card's configuration is not one of {ARCHITECTURE}: {error}") from error


def position_features(positions: int, features: int) -> torch.Tensor:
    """Borzoi's features of the distances -(n-1)..n-1, float64 (2 n - 1, features): central masks and their signs.

    The widths (n+1)^(j/count) - 1 are whole numbers for some j, where rounding decides; the official code works in
    float32, so this does.
    """
    distance = torch.arange(-(positions - 1), positions, dtype=torch.float32)
    count = features // 2
    rate = torch.exp(torch.log(torch.tensor(positions + 1, dtype=torch.float32)) / count)
    widths = torch.pow(rate, torch.arange(1, count + 1, dtype=torch.float32)) - 1
    symmetric = (widths > distance.abs()[:, None]).to(torch.float64)
    return torch.cat([symmetric, distance.sign()[:, None] * symmetric], dim=-1)


def _gelu(x: torch.Tensor) -> torch.Tensor:
    return F.gelu(x, approximate="tanh")


class ConvBlock(nn.Module):
    """Convolution of gelu (tanh form) of batch norm."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__()
        self.norm = FixedBatchNorm(channels_in, EPS)
        self.conv = nn.Conv1d(channels_in, channels_out, kernel, padding=kernel // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, positions) to the same number of positions."""
        return self.conv(_gelu(self.norm(x)))  # type: ignore[no-any-return]


class Upsampling(nn.Module):
    """Double the positions and add what the tower saw at that resolution."""

    def __init__(self, channels: int, skip_channels: int, width: int, joined: int, bias: bool) -> None:
        super().__init__()
        self.main = ConvBlock(channels, width, 1)
        self.skip = ConvBlock(skip_channels, width, 1)
        self.depthwise = nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        self.pointwise = nn.Conv1d(width, joined, 1, bias=bias)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """(batch, channels, positions) and (batch, skip channels, 2 positions) to (batch, joined, 2 positions)."""
        x = self.main(x).repeat_interleave(2, dim=-1) + self.skip(skip)
        return self.pointwise(self.depthwise(x))  # type: ignore[no-any-return]


class SegmentBorzoi(SegmentationModel):
    """Base codes to logits at the centre bases of a window."""

    def __init__(self, card: Card, config: BorzoiConfig) -> None:
        super().__init__()
        self.card, self.config = card, config
        channels, width = config.channels, config.channels[-1]
        self.stem = nn.Conv1d(4, channels[0], 15, padding=7)
        self.tower = nn.ModuleList(ConvBlock(before, after, 5) for before, after in pairwise(channels))
        self.transformer = RelativeTransformer(config.transformer(), position_features)
        inputs = [width, *[config.joined_channels] * (SKIPS - 1)]
        self.up = nn.ModuleList(
            Upsampling(before, skip, width, config.joined_channels, config.separable_bias)
            for before, skip in zip(inputs, channels[: -SKIPS - 1 : -1], strict=True)
        )
        self.final = ConvBlock(config.joined_channels, config.embedding_channels, 1)
        self.head = UNetHead(config.embedding_channels, config.head_channels, config.bases, len(card.tracks))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Base codes (batch, length), N allowed, to logits (batch, centre, tracks).

        Raises:
            UsageError: the length is no multiple of what the tower halves, or the crop leaves nothing.
        """
        classes = self.class_logits(codes)
        return classes[..., 1] - classes[..., 0]

    def class_logits(self, codes: torch.Tensor) -> torch.Tensor:
        """Base codes (batch, length) to the official two-class logits (batch, centre, tracks, 2)."""
        return self.head(self.embeddings(codes))  # type: ignore[no-any-return]

    def embeddings(self, codes: torch.Tensor) -> torch.Tensor:
        """Base codes (batch, length) to the embedding of the centre (batch, positions, embedding channels)."""
        config, length = self.config, codes.shape[1]
        multiple = int(2 ** len(config.channels))
        if length % multiple or length // config.bases <= 2 * config.crop:
            raise UsageError(
                f"a window of {length} bp is no multiple of {multiple} or not longer than the "
                f"{2 * config.crop * config.bases} bp that are cropped"
            )
        x = F.max_pool1d(self.stem(one_hot(codes, self.stem.weight.dtype)), 2)
        skips: list[torch.Tensor] = []
        for block in self.tower:
            x = block(x)
            skips = [*skips, x][-SKIPS:]
            x = F.max_pool1d(x, 2)
        x = self.transformer(x.transpose(1, 2)).transpose(1, 2).to(self.stem.weight.dtype)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = up(x, skip)
        x = x[..., config.crop : x.shape[-1] - config.crop]
        return _gelu(self.final(x)).transpose(1, 2)

    def set_precision(self, dtype: torch.dtype) -> None:
        """Do the matrix products and convolutions in this type; norms, tables and the last layer stay float32."""
        set_weight_types(self, dtype)


def build(card: Card) -> SegmentBorzoi:
    """The model of a card, with random weights."""
    return SegmentBorzoi(card, BorzoiConfig.from_dict(card.config))
