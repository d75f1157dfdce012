"""Reduced precision: which layers run in bfloat16 or float16 and which never do.

Matrix products and convolutions take the wanted type. Embeddings, norms, rotary and other position tables, and the last
layer stay in float32 (or float64), because their rounding reaches every probability and their cost is small.
"""

from __future__ import annotations

import torch
from torch import nn


class FullPrecisionLinear(nn.Linear):
    """A linear layer that keeps float32 weights in any precision: the last one of a model."""


def weight_type(layer: nn.Module) -> torch.dtype:
    """The type that a layer's input has to have."""
    weight = getattr(layer, "weight", None)
    return next(layer.parameters()).dtype if weight is None else weight.dtype


def set_weight_types(
    model: nn.Module, dtype: torch.dtype, layers: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d)
) -> None:
    """Turn the weights of matrix products and convolutions into a type, in place.

    Args:
        model: a model whose forward casts activations to the type of the weights that meet them.
        dtype: torch.float32, torch.bfloat16, torch.float16, or torch.float64 for parity tests (then everything).
        layers: kinds of layers that hold such weights.
    """
    if dtype == torch.float64:
        model.double()
        return
    for module in model.modules():
        if isinstance(module, layers) and not isinstance(module, FullPrecisionLinear):
            module.to(dtype)
