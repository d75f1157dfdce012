"""The 1-D U-Net segmentation head that SegmentNT, SegmentEnformer and SegmentBorzoi share.

Two levels of two convolutions each way, all with bias and swish, kernel 3, no norm; skips are added after the
upsampling. The official transposed convolutions have stride 1, so they are ordinary convolutions here and the
checkpoint reader flips their kernels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from segnt_tools.models.precision import FullPrecisionLinear, weight_type

LEVELS = 2
POOLED = 2**LEVELS
REACH = 23
"""Positions at either side that one position of the input can influence."""


class _Convolution(nn.Conv1d):
    """Convolution of kernel 3 along (batch, positions, channels), as one matrix product with three positions a row.

    A matrix product reads the weights as they are, while a convolution reorders them in every call, which costs more
    than the product when windows are short and channels many.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, kernel_size=3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, positions, channels in) to (batch, positions, channels out)."""
        neighbours = F.pad(x, (0, 0, 1, 1)).unfold(1, 3, 1).flatten(2)
        return F.linear(neighbours, self.weight.flatten(1), self.bias)


class _Pair(nn.ModuleList):
    """Two convolutions, each followed by swish."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__([_Convolution(channels_in, channels_out), _Convolution(channels_out, channels_out)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self:
            x = F.silu(layer(x))
        return x


class UNetHead(nn.Module):
    """Embeddings of positions to two-class logits of bases.

    Args:
        channels_in: width of the embeddings.
        channels: width of the first level; the second has twice as many.
        bases: bases of a position.
        tracks: outputs of a base.
    """

    def __init__(self, channels_in: int, channels: int, bases: int, tracks: int) -> None:
        super().__init__()
        self.bases, self.tracks = bases, tracks
        self.down = nn.ModuleList([_Pair(channels_in, channels), _Pair(channels, 2 * channels)])
        self.up = nn.ModuleList([_Pair(2 * channels, 2 * channels), _Pair(2 * channels, channels)])
        out = 2 * (channels // 2)
        self.out = nn.ModuleList([_Convolution(channels, out), _Convolution(out, out)])
        self.proj = FullPrecisionLinear(out, bases * tracks * 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embeddings (batch, positions, channels_in), positions a multiple of 4, to (batch, bases, tracks, 2).

        The convolutions run in the type of their weights; the projection in the type of its own (float32 by default).
        """
        x = x.to(weight_type(self.down))
        skips = []
        for pair in self.down:
            x = pair(x)
            skips.append(x)
            x = x.view(x.shape[0], -1, 2, x.shape[2]).mean(2)
        for pair in self.up:
            x = pair(x).repeat_interleave(2, dim=1) + skips.pop()
        x = F.silu(self.out[1](F.silu(self.out[0](x))))
        z: torch.Tensor = self.proj(x.to(self.proj.weight.dtype))
        return z.view(z.shape[0], -1, self.tracks, 2)
