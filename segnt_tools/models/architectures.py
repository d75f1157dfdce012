"""Which architectures there are, and how a card becomes a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType

from segnt_tools.errors import CheckpointError
from segnt_tools.models.card import Card
from segnt_tools.models.interface import SegmentationModel

# Architecture name -> module with `build(card) -> SegmentationModel`.
ARCHITECTURES: Mapping[str, str] = MappingProxyType(
    {
        "codon_unet": "segnt_tools.models.codon_unet",
        "onehot_unet": "segnt_tools.models.onehot_unet",
        "segment_nt": "segnt_tools.models.segment_nt",
        "segment_enformer": "segnt_tools.models.segment_enformer",
        "segment_borzoi": "segnt_tools.models.segment_borzoi",
    }
)


def build(card: Card) -> SegmentationModel:
    """The network of a card's architecture, with untrained weights.

    Raises:
        CheckpointError: unknown architecture.
    """
    if card.architecture not in ARCHITECTURES:
        raise CheckpointError(
            f"unknown architecture {card.architecture}", hint=f"Known: {', '.join(sorted(ARCHITECTURES))}"
        )
    builder: Callable[[Card], SegmentationModel] = import_module(ARCHITECTURES[card.architecture]).build
    return builder(card)
