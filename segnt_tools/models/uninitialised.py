"""Building a model without making up random weights that a checkpoint replaces at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_FILLS = frozenset({"uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_", "fill_", "zero_", "zeros_", "ones_"})


class Uninitialised(TorchFunctionMode):
    """While this context lasts, tensors are not filled: `with torch.device("meta"), Uninitialised(): build(card)`.

    On the meta device it also saves seconds, because filling there makes torch import its whole compiler.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Leave out what fills a tensor; do the rest."""
        given = dict(kwargs or {})
        target = args[0] if args else given.get("tensor")
        if getattr(func, "__name__", "") in _FILLS and isinstance(target, torch.Tensor):
            return target
        return func(*args, **given)
