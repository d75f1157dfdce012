"""The transformer of Enformer and Borzoi: attention with relative positions, norms first, ReLU feed-forward part.

score(i, j) = (q_i + u) . k_j + (q_i + w) . r_{j-i}, with r a projection of fixed features of the distance j - i. The
scores of positions are made for a block of queries at a time, which needs only the distances of that block: at 4096
positions this is an eighth of the memory of the textbook form, and half of its work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from segnt_tools.models.precision import weight_type

QUERY_BLOCK = 512

PositionFeatures = Callable[[int, int], torch.Tensor]
"""(positions, features) to float64 features (2 positions - 1, features) of the distances -(n-1)..n-1."""


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """Hyperparameters of the transformer.

    Attributes:
        width: of the residual stream.
        layers: number of blocks.
        heads: attention heads of a block.
        key_width: width of a head's queries and keys.
        value_width: width of a head's values.
        ffn_width: of the feed-forward part.
        position_features: features of a distance.
        norm_eps: of every LayerNorm.
    """

    width: int
    layers: int
    heads: int
    key_width: int
    value_width: int
    ffn_width: int
    position_features: int
    norm_eps: float


class RelativeAttention(nn.Module):
    """Self-attention that sees the distance between two positions."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        keys, values = config.heads * config.key_width, config.heads * config.value_width
        self.to_q = nn.Linear(config.width, keys, bias=False)
        self.to_k = nn.Linear(config.width, keys, bias=False)
        self.to_v = nn.Linear(config.width, values, bias=False)
        self.to_rel_k = nn.Linear(config.position_features, keys, bias=False)
        self.out = nn.Linear(values, config.width)
        self.content_bias = nn.Parameter(torch.zeros(1, config.heads, 1, config.key_width))
        self.position_bias = nn.Parameter(torch.zeros(1, config.heads, 1, config.key_width))

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(*x.shape[:-1], self.heads, -1).transpose(-2, -3)

    def forward(self, x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """(batch, positions, width) and the features of all distances to (batch, positions, width)."""
        x = x.to(self.to_q.weight.dtype)
        q, k, v = self._split(self.to_q(x)), self._split(self.to_k(x)), self._split(self.to_v(x))
        q = q * q.shape[-1] ** -0.5
        content = q + self.content_bias.to(q.dtype)
        position = q + self.position_bias.to(q.dtype)
        distances = self._split(self.to_rel_k(features.to(x.dtype))).transpose(-1, -2)
        attended = [
            F.scaled_dot_product_attention(
                content[:, :, start : start + QUERY_BLOCK],
                k,
                v,
                attn_mask=_position_scores(position, distances, start, min(start + QUERY_BLOCK, x.shape[1])),
                scale=1.0,
            )
            for start in range(0, x.shape[1], QUERY_BLOCK)
        ]
        joined: torch.Tensor = self.out(torch.cat(attended, dim=2).transpose(1, 2).flatten(2))
        return joined


def _position_scores(position: torch.Tensor, distances: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    """Scores (batch, heads, stop - start, n) of the queries start..stop from (heads, key_width, 2 n - 1) distances.

    Query i needs the distances -i..n-1-i; in a row-major table of the block's distances these are n neighbours that
    move one to the left from row to row, so a strided view picks them.
    """
    batch, heads, positions, _ = position.shape
    rows = stop - start
    table = position[:, :, start:stop] @ distances[:, :, positions - stop : 2 * positions - 1 - start]
    width = table.shape[-1]
    return table.contiguous().as_strided(
        (batch, heads, rows, positions),
        (heads * rows * width, rows * width, width - 1, 1),
        table.storage_offset() + rows - 1,
    )


class RelativeTransformer(nn.Module):
    """Blocks of relative attention and feed-forward part."""

    def __init__(self, config: TransformerConfig, position_features: PositionFeatures) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self._position_features = position_features
        self._features: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, positions, width) to the same; the residual stream is float32 (or float64)."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        features = self._cached_features(x)
        for block in self.blocks:
            x = block(x, features)
        return x

    def _cached_features(self, x: torch.Tensor) -> torch.Tensor:
        rows, kept = 2 * x.shape[1] - 1, self._features
        if kept is None or kept.shape[0] != rows or kept.device != x.device or kept.dtype != x.dtype:
            kept = self._position_features(x.shape[1], self.config.position_features).to(x.device, x.dtype)
            self._features = kept
        return kept


class _Block(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attn_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.attn = RelativeAttention(config)
        self.ffn_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.ffn_in = nn.Linear(config.width, config.ffn_width)
        self.ffn_out = nn.Linear(config.ffn_width, config.width)

    def forward(self, x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.attn_norm(x), features)
        added: torch.Tensor = self.ffn_out(F.relu(self.ffn_in(self.ffn_norm(x).to(weight_type(self.ffn_in)))))
        return x + added


class FixedBatchNorm(nn.Module):
    """Batch norm with the running statistics of the checkpoint, also while training."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, positions) to the same."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
