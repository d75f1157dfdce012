"""A 5th-order, three-periodic Markov model of coding sequence against non-coding, counted from training targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from segnt_tools.models.codon_unet import CODON_TABLE_UNIT, HEXAMERS, Region
from segnt_tools.sequence.codes import Codes, reverse_complement

ORDER = 5
# Weight of the next lower order in counts: contexts seen less often than this mostly follow it.
PRIOR_COUNTS = 20.0

Counts = NDArray[np.float64]

_PLUS_CDS = (Region.CDS_0_PLUS, Region.CDS_1_PLUS, Region.CDS_2_PLUS)
_MINUS_CDS = (Region.CDS_0_MINUS, Region.CDS_1_MINUS, Region.CDS_2_MINUS)


def codon_table(stretches: Iterable[tuple[Codes, NDArray[np.uint8], NDArray[np.uint8]]]) -> NDArray[np.int16]:
    """Log-likelihood ratios of coding against non-coding sequence for every hexamer and codon position.

    Args:
        stretches: base codes, regions and region weights of stretches of the training data; each begins at a contig
            position that is a multiple of 3.

    Returns:
        (3, 4096) thousandths of nats, as `codon_unet.codon_ratios` wants them.
    """
    coding = np.zeros((3, HEXAMERS))
    other = np.zeros(HEXAMERS)
    for codes, regions, weights in stretches:
        _count(codes, regions, weights, _PLUS_CDS, coding, other)
        # Leftmost base p of a codon becomes the last one, n - 1 - p, when the stretch is read from its other end.
        n = codes.size
        mirrored = [_MINUS_CDS[(n - 3 - frame) % 3] for frame in range(3)]
        _count(reverse_complement(codes), regions[::-1], weights[::-1], mirrored, coding, other)
    background = _conditional(other)
    ratio = np.stack([np.log(_conditional(coding[place])) - np.log(background) for place in range(3)])
    table: NDArray[np.int16] = np.rint(np.clip(ratio, -8, 8) * CODON_TABLE_UNIT).astype(np.int16)
    return table


def _count(
    codes: Codes,
    regions: NDArray[np.uint8],
    weights: NDArray[np.uint8],
    cds_of_frame: Sequence[Region],
    coding: Counts,
    other: Counts,
) -> None:
    """Add the hexamers of one strand, read from left to right."""
    if codes.size <= ORDER:
        return
    index = np.zeros(codes.size - ORDER, dtype=np.int64)
    valid = np.ones(codes.size - ORDER, dtype=np.bool_)
    any_cds = np.isin(regions, [*_PLUS_CDS, *_MINUS_CDS])
    no_cds = np.ones_like(valid)
    same = np.ones_like(valid)
    for place in range(ORDER + 1):
        stretch = slice(place, place + index.size)
        index = index * 4 + np.minimum(codes[stretch], 3)
        valid &= (codes[stretch] < 4) & (weights[stretch] > 0)
        no_cds &= ~any_cds[stretch]
        same &= regions[stretch] == regions[ORDER:]
    other += np.bincount(index[valid & no_cds], minlength=HEXAMERS)
    position = np.arange(ORDER, codes.size) % 3
    for frame, region in enumerate(cds_of_frame):
        inside = valid & same & (regions[ORDER:] == region)
        for place in range(3):
            chosen = inside & ((position - frame) % 3 == place)
            coding[place] += np.bincount(index[chosen], minlength=HEXAMERS)


def _conditional(counts: Counts) -> Counts:
    """P(last base | 5 bases before) of hexamer counts, each order backed by the next lower one."""
    probability = np.full(4, 0.25)
    for order in range(ORDER + 1):
        marginal = counts.reshape(-1, 4**order, 4).sum(axis=0)
        # The lower order's context is this one's without its first base.
        prior = np.tile(probability.reshape(-1, 4), (4, 1)) if order else probability.reshape(1, 4)
        total = marginal.sum(axis=1, keepdims=True)
        probability = (marginal + PRIOR_COUNTS * prior) / (total + PRIOR_COUNTS)
    return probability.reshape(-1)
