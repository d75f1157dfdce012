"""What every model offers: base codes in, per-base logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from segnt_tools.models.card import Card
from segnt_tools.models.packing import pack_linear_layers


class SegmentationModel(torch.nn.Module, ABC):
    """A network that labels every base of a window; its card says all that the rest of the program needs to know.

    `forward` takes base codes, uint8 of shape (batch, length) with A 0, C 1, G 2, T 3, N 4, all windows equally long,
    and gives float32 logits of shape (batch, valid length, tracks): `sigmoid(logit)` is the probability of the track at
    that base. The valid bases of a window are `card.geometry.valid(length)`; the tracks are `card.tracks`, in order.
    """

    card: Card
    # Whether `--precision auto` may take bfloat16 on a CPU: only where its effect on the results was measured. The
    # official models are there to be run number for number.
    reduced_on_cpu: ClassVar[bool] = False

    @abstractmethod
    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Base codes (batch, length) to logits (batch, valid length, tracks)."""

    def set_precision(self, dtype: torch.dtype) -> None:
        """Do the arithmetic in this type; what has to stay exact (last layer, rotary tables) stays float32.

        The default casts everything; models with layers that must stay exact override it.
        """
        self.to(dtype)

    def prepare_for_cpu(self) -> None:
        """Turn the layers into what is fastest on a CPU, for good: afterwards there is inference only."""
        pack_linear_layers(self)
