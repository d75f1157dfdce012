"""What the embedded network minimises, and how well it separates classes on held-out sequence."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.models.codon_unet import Boundary, CodonUNet, Region
from segnt_tools.training.class_data import ClassBatch
from segnt_tools.training.decoder_loss import DecoderLoss

_HISTOGRAM_BINS = 4000
_HISTOGRAM_LIMIT = 20.0
SITES = {"start": (1, 5), "stop": (2, 6), "donor": (3, 7), "acceptor": (4, 8)}


class ClassObjective(nn.Module):
    """Cross-entropy of regions plus weighted cross-entropy of boundaries, per base of a window.

    Args:
        model: the network.
        boundary_weight: weight of the boundaries.
        decoder_weight: weight of the loss through the gene decoder (see decoder_loss.py); 0 for none.
        compiled: whether torch compiles the network.
    """

    def __init__(
        self, model: CodonUNet, boundary_weight: float, *, decoder_weight: float = 0.0, compiled: bool = False
    ) -> None:
        super().__init__()
        self.model = model
        self.boundary_weight = boundary_weight
        self.decoder_weight = decoder_weight
        self._through_decoder = DecoderLoss(GeneParameters().replaced(model.card.genes))
        self._class_logits = torch.compile(model.class_logits) if compiled else model.class_logits

    def forward(self, batch: ClassBatch) -> Tensor:
        """Loss of a batch, a float32 scalar."""
        regions, boundaries = self._class_logits(batch.codes)
        region = _weighted(regions, batch.region, batch.region_weight)
        boundary = _weighted(boundaries, batch.boundary, batch.boundary_weight)
        loss = region + self.boundary_weight * boundary
        if self.decoder_weight:
            tracks = self.model.track_logits(regions.float(), boundaries.float())
            known = batch.region_weight == 1.0
            loss = loss + self.decoder_weight * self._through_decoder(tracks, batch.codes, batch.region, known)
        return loss / batch.codes.numel()


def _weighted(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Sum of weighted cross-entropies over all bases."""
    loss = F.cross_entropy(logits.float().flatten(0, 1), target.flatten(), reduction="none")
    return (loss * weight.flatten()).sum()


@dataclass(slots=True)
class ClassScores:
    """Sums over validation windows that can be added up over batches and processes.

    Attributes:
        sums: float64: region loss, region weight, boundary loss, boundary weight, then true positives, false positives
            and false negatives of coding bases with the right strand and frame.
        histograms: counts (4 kinds of site, 2: other bases and sites, bins) of boundary log-odds.
    """

    sums: Tensor = field(default_factory=lambda: torch.zeros(7, dtype=torch.float64))
    histograms: Tensor = field(default_factory=lambda: torch.zeros(len(SITES), 2, _HISTOGRAM_BINS, dtype=torch.float64))

    @torch.no_grad()
    def add(self, model: CodonUNet, batch: ClassBatch) -> None:
        """Score one batch."""
        regions, boundaries = (logits.float() for logits in model.class_logits(batch.codes))
        self.sums += (
            torch.stack(
                [
                    _weighted(regions, batch.region, batch.region_weight),
                    batch.region_weight.sum(),
                    _weighted(boundaries, batch.boundary, batch.boundary_weight),
                    batch.boundary_weight.sum(),
                    *_coding_counts(regions, batch),
                ]
            )
            .double()
            .cpu()
        )
        log_share = boundaries.log_softmax(dim=-1)
        counted = batch.boundary_weight > 0
        for kind, classes in enumerate(SITES.values()):
            for boundary in classes:
                odds = log_share[..., boundary] - log_share[..., Boundary.NONE]
                bins = ((odds / _HISTOGRAM_LIMIT + 1) / 2 * _HISTOGRAM_BINS).long().clamp_(0, _HISTOGRAM_BINS - 1)
                site = batch.boundary == boundary
                for index, chosen in enumerate((counted & ~site, counted & site)):
                    self.histograms[kind, index] += torch.bincount(bins[chosen], minlength=_HISTOGRAM_BINS).cpu()

    def metrics(self, boundary_weight: float) -> dict[str, float]:
        """Loss, F1 of coding bases, and per kind of site the precision of the best n bases where n are true."""
        region, region_weight, boundary, boundary_bases, tp, fp, fn = self.sums.tolist()
        region_loss = region / max(region_weight, 1.0)
        boundary_loss = boundary / max(boundary_bases, 1.0)
        values = {
            "loss": region_loss + boundary_weight * boundary_loss,
            "region_loss": region_loss,
            "boundary_loss": boundary_loss,
            "coding_f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else float("nan"),
        }
        for kind, name in enumerate(SITES):
            values[f"{name}_precision"] = _precision_at_n(*self.histograms[kind])
        return values


def _coding_counts(regions: Tensor, batch: ClassBatch) -> tuple[Tensor, Tensor, Tensor]:
    """True positives, false positives, false negatives of coding bases: strand and frame must be right."""
    coding = torch.zeros(len(Region), dtype=torch.bool, device=regions.device)
    coding[[*range(Region.CDS_0_PLUS, Region.CDS_INTRON_PLUS), *range(Region.CDS_0_MINUS, Region.CDS_INTRON_MINUS)]] = (
        True
    )
    called = regions.argmax(dim=-1)
    weight = batch.region_weight
    right = (called == batch.region) & coding[called]
    return (
        (weight * right).sum(),
        (weight * (coding[called] & ~right)).sum(),
        (weight * (coding[batch.region] & ~right)).sum(),
    )


def _precision_at_n(others: Tensor, sites: Tensor) -> float:
    """Share of true ones among the n best-scored bases, n the number of true ones; ties within a bin count in part."""
    n = float(sites.sum())
    if not n:
        return float("nan")
    found, taken = 0.0, 0.0
    for other, site in zip(others.flip(0).tolist(), sites.flip(0).tolist(), strict=True):
        size = other + site
        if taken + size >= n:
            part = (n - taken) / size if size else 0.0
            return float((found + site * part) / n)
        taken += size
        found += site
    return found / n
