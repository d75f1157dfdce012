"""A model whose right answer is known: it marks where a motif stands, seen through windows like any other model."""

from __future__ import annotations

import torch

from segnt_tools.elements import Strand, Track
from segnt_tools.models.card import Card
from segnt_tools.models.interface import SegmentationModel
from segnt_tools.models.registry import LoadedModel
from segnt_tools.sequence.codes import encode, reverse_complement
from segnt_tools.sequence.windows import WindowGeometry

MOTIF = "GATTACA"
HIGH, LOW = 6.0, -6.0


class MotifModel(SegmentationModel):
    """Marks all bases of the motif on its strand; every other base is LOW. N is an error unless the card allows it."""

    def __init__(self, geometry: WindowGeometry, allows_n: bool) -> None:
        super().__init__()
        self.card = Card(
            name="motif",
            architecture="motif",
            summary="marks GATTACA",
            tracks=(Track("exon", Strand.PLUS), Track("exon", Strand.MINUS), Track("lncRNA", trained=False)),
            geometry=geometry,
            allows_n=allows_n,
            licence="MIT",
            citation="",
        )
        self.lengths_seen: set[int] = set()

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        assert codes.dtype == torch.uint8
        assert self.card.allows_n or int(codes.max()) < 4, "N reached a model that cannot see it"
        self.lengths_seen.add(codes.shape[1])
        logits = torch.full((*codes.shape, 3), LOW)
        forward = encode(MOTIF)
        for track, motif in enumerate((forward, reverse_complement(forward))):
            pattern = torch.from_numpy(motif.copy())
            hits = (codes.unfold(1, len(motif), 1) == pattern).all(dim=2)
            for batch, start in hits.nonzero().tolist():
                logits[batch, start : start + len(motif), track] = HIGH
        first, end = self.card.geometry.valid(codes.shape[1])
        return logits[:, first:end]


def loaded_motif_model(geometry: WindowGeometry, allows_n: bool) -> LoadedModel:
    """The model on the CPU."""
    return LoadedModel(MotifModel(geometry, allows_n).eval(), torch.device("cpu"), torch.float32, "motif")
