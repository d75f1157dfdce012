"""SegmentEnformer: the Enformer trunk with the 1-D U-Net head, 128 bp a position.

The head reads all positions, before the crop of the original Enformer, so every base of the window gets logits. The
unused track heads of the official checkpoint are not built.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from segnt_tools.errors import CheckpointError, UsageError
from segnt_tools.models.card import Card
from segnt_tools.models.interface import SegmentationModel
from segnt_tools.models.precision import set_weight_types, weight_type
from segnt_tools.models.relative_attention import FixedBatchNorm, RelativeTransformer, TransformerConfig
from segnt_tools.models.tokenizer import one_hot
from segnt_tools.models.unet_head import POOLED, UNetHead
from segnt_tools.sequence.windows import WindowGeometry

ARCHITECTURE = "segment_enformer"
EPS = 1e-5  # of every norm in the official code
# Other lengths run but change the position features the weights were trained with. The margin is a choice until the
# edge curve is measured: the U-Net reaches 23 positions.
GEOMETRY = WindowGeometry(length=196_608, multiple=196_608, shortest=196_608, longest=196_608, margin=16_384)


@dataclass(frozen=True, slots=True)
class EnformerConfig:
    """Hyperparameters; the defaults are the official sizes.

    Attributes:
        channels: of the stem and of each step of the tower; every step halves the positions.
        layers: transformer blocks.
        heads: attention heads of a block.
        key_width: width of a head's queries and keys.
        position_features: features of a distance.
        head_channels: width of the U-Net's first level.
    """

    channels: tuple[int, ...] = (768, 768, 896, 1024, 1152, 1280, 1536)
    layers: int = 11
    heads: int = 8
    key_width: int = 64
    position_features: int = 192
    head_channels: int = 1536

    @property
    def bases(self) -> int:
        """Bases of a position."""
        return int(2 ** len(self.channels))

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
    def from_dict(cls, values: Mapping[str, Any]) -> EnformerConfig:
        """The configuration in a card.

        Raises:
            CheckpointError: a key is unknown or missing.
        """
        try:
            return cls(**{**values, "channels": tuple(values["channels"])})
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"the card's configuration is not one of {ARCHITECTURE}: {error}") from error


def position_features(positions: int, features: int) -> torch.Tensor:
    """Enformer's features of the distances -(n-1)..n-1, float64 (2 n - 1, features).

    A third each of exponential, central mask and gamma features of the absolute distance, then all of them times the
    distance's sign. In float64, because float32 costs the gamma densities 3e-3.
    """
    distance = torch.arange(-(positions - 1), positions, dtype=torch.float64)
    a = distance.abs()[:, None]
    count = features // 6
    half_life = 2 ** torch.linspace(3, math.log2(positions), count, dtype=torch.float64)
    exponential = torch.exp(-math.log(2) / half_life * a)
    central = (2.0 ** torch.arange(1, count + 1, dtype=torch.float64) - 1 > a).to(torch.float64)
    mean = torch.linspace(positions / count, positions, count, dtype=torch.float64)
    deviation = positions / (2 * count)
    concentration, rate = (mean / deviation) ** 2, mean / deviation**2
    log_density = (
        torch.xlogy(concentration - 1, a) - rate * a - (torch.lgamma(concentration) - concentration * torch.log(rate))
    )
    density = log_density.exp() + 1e-8
    gamma = density / density.amax(dim=-1, keepdim=True)
    symmetric = torch.cat([exponential, central, gamma], dim=-1)
    return torch.cat([symmetric, distance.sign()[:, None] * symmetric], dim=-1)


class ConvBlock(nn.Module):
    """Convolution of gelu of batch norm; the gelu is the sigmoid approximation x sigmoid(1.702 x)."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__()
        self.norm = FixedBatchNorm(channels_in, EPS)
        self.conv = nn.Conv1d(channels_in, channels_out, kernel, padding=kernel // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, positions) to the same number of positions."""
        x = self.norm(x)
        return self.conv(x * torch.sigmoid(1.702 * x))  # type: ignore[no-any-return]


class AttentionPool(nn.Module):
    """Halve the positions: a softmax over two neighbours, per channel, of a linear map of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scores = nn.Conv1d(channels, channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, positions) to half as many positions.

        The softmax of two scores is the sigmoid of their difference, and the map is linear: one application to the
        difference of the neighbours does for both.
        """
        first, second = x[..., 0::2], x[..., 1::2]
        difference = first - second
        return second + torch.sigmoid(self.scores(difference)) * difference


class Step(nn.Module):
    """A convolution that changes the channels, a residual block, and pooling."""

    def __init__(self, conv: nn.Module, channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.residual = ConvBlock(channels, channels, 1)
        self.pool = AttentionPool(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, positions) to half as many positions."""
        x = self.conv(x)
        return self.pool(x + self.residual(x))  # type: ignore[no-any-return]


class SegmentEnformer(SegmentationModel):
    """Base codes to logits at every base of a window of 196,608 bp."""

    def __init__(self, card: Card, config: EnformerConfig) -> None:
        super().__init__()
        self.card, self.config = card, config
        channels = config.channels
        self.stem = Step(nn.Conv1d(4, channels[0], 15, padding=7), channels[0])
        self.tower = nn.ModuleList(Step(ConvBlock(before, after, 5), after) for before, after in pairwise(channels))
        self.transformer = RelativeTransformer(config.transformer(), position_features)
        self.head = UNetHead(channels[-1], config.head_channels, config.bases, len(card.tracks))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Base codes (batch, length), N allowed, to logits (batch, length, tracks).

        Raises:
            UsageError: the length is no multiple of the bases that four positions hold.
        """
        classes = self.class_logits(codes)
        return classes[..., 1] - classes[..., 0]

    def class_logits(self, codes: torch.Tensor) -> torch.Tensor:
        """Base codes (batch, length) to the official two-class logits (batch, length, tracks, 2)."""
        return self.head(self.embeddings(codes))  # type: ignore[no-any-return]

    def embeddings(self, codes: torch.Tensor) -> torch.Tensor:
        """Base codes (batch, length) to the transformer's output (batch, positions, width)."""
        multiple = self.config.bases * POOLED
        if codes.shape[1] % multiple:
            raise UsageError(f"a window of {codes.shape[1]} bp is no multiple of {multiple}")
        x = self.stem(one_hot(codes, weight_type(self.stem.conv)))
        for step in self.tower:
            x = step(x)
        return self.transformer(x.transpose(1, 2))  # type: ignore[no-any-return]

    def set_precision(self, dtype: torch.dtype) -> None:
        """Do the matrix products and convolutions in this type; norms, tables and the last layer stay float32."""
        set_weight_types(self, dtype)


def build(card: Card) -> SegmentEnformer:
    """The model of a card, with random weights."""
    return SegmentEnformer(card, EnformerConfig.from_dict(card.config))
