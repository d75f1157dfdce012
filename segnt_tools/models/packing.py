"""Linear layers packed for an x86 CPU: oneDNN's own order of weights, made once instead of in every call.

For inference only: the ordinary weights are gone afterwards. The products of float32 run a fifth faster than those of
`nn.Linear`, which PyTorch gives to MKL (docs/models.md); those of bfloat16 a little.
"""

from __future__ import annotations

import platform

import torch
from torch import nn

_TYPICAL_ROWS = 512
"""Rows of the inputs for which the order is chosen; it serves any number."""


class PackedLinear(nn.Module):
    """A linear layer whose weights only oneDNN can read."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        # Not a parameter: neither moved nor cast nor saved.
        self.weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), _TYPICAL_ROWS)
        self.bias = layer.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., channels in) to (..., channels out)."""
        y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return y


def pack_linear_layers(model: nn.Module) -> None:
    """Replace the linear layers of a network on the CPU, in place; nothing happens where oneDNN cannot pack them."""
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) and _packable(layer.weight):
                setattr(parent, name, PackedLinear(layer))


def _packable(weight: torch.Tensor) -> bool:
    if platform.machine() not in ("x86_64", "AMD64") or not torch._C._has_mkldnn:
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise") or weight.device.type != "cpu":
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32
