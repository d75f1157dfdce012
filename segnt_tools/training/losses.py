"""Losses of tracks that each ask a yes-or-no question about every base, with unknown labels left out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def track_loss(logits: Tensor, labels: Tensor, known: Tensor, gamma: float, alpha: float) -> Tensor:
    """Focal loss -a (1 - p_t)^gamma log p_t (Lin et al. 2017), the mean over known labels; cross-entropy for gamma 0.

    Args:
        logits: (windows, bases, tracks).
        labels: 0 or 1, same shape.
        known: True where the label is known, same shape.
        gamma: how strongly easy bases are discounted.
        alpha: weight of label 1, 1 - alpha of label 0; 0 for no weights.

    Returns:
        A float32 scalar; 0 where nothing is known.
    """
    return (focal_terms(logits.float(), labels, gamma, alpha) * known).sum() / known.sum().clamp(min=1)


def focal_terms(logits: Tensor, labels: Tensor, gamma: float, alpha: float) -> Tensor:
    """The loss of every label, shape of `labels`."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    if gamma:
        # log p_t is minus the cross-entropy, so that 1 - p_t needs no second sigmoid and keeps its precision near 0.
        cross_entropy = cross_entropy * (-torch.expm1(-cross_entropy)).clamp(min=0) ** gamma
    if alpha:
        cross_entropy = cross_entropy * torch.where(labels > 0.5, alpha, 1 - alpha)
    return cross_entropy


def best_constant_loss(positive: Tensor, total: Tensor, gamma: float, alpha: float) -> float:
    """The lowest mean loss that one constant probability a track can reach: what a model has to beat.

    Args:
        positive: labels 1 of each track.
        total: known labels of each track.
        gamma: as in `track_loss`.
        alpha: as in `track_loss`.
    """
    logits = torch.linspace(-20, 20, 4001, dtype=torch.float64).unsqueeze(1)
    yes = focal_terms(logits, torch.ones_like(logits), gamma, alpha)
    no = focal_terms(logits, torch.zeros_like(logits), gamma, alpha)
    sums = (yes * positive.double() + no * (total - positive).double()).min(dim=0).values
    return float(sums.sum() / total.sum().clamp(min=1))
