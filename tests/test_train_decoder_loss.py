"""Training through the decoder: sums over paths against enumeration, gradients, strands, and what the loss prefers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segnt_tools.elements import Strand
from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.gff.genemodel import Gene, Transcript
from segnt_tools.models.codon_unet import SPANS, TRACKS
from segnt_tools.sequence.codes import encode, reverse_complement
from segnt_tools.training import decoder_loss
from segnt_tools.training.decoder_loss import DecoderLoss
from segnt_tools.training.targets import targets_of_contig

# Genes and UTR introns are paid for on their left, so those a window cuts would cost different sums on each strand.
PARAMETERS = GeneParameters().replaced({**SPANS, "region_weight": 0.3, "gene": 0.0, "utr_intron": 0.0})
# CDS ATGG..CTGATGGTTAA, split behind the first base of its second codon.
LEFT, INTRON, RIGHT = "CCGCACATGG", "GTAAGTTTTTTTTTTCTAACAG", "CTGATGGTTAAGCTCAAACG"
GENE = LEFT + INTRON + RIGHT + "TT"
PARTS = ((6, 10), (32, 43))


def random_tracks(seed: int, length: int) -> torch.Tensor:
    values = np.random.default_rng(seed).normal(0.0, 2.0, (1, length, len(TRACKS)))
    return torch.from_numpy(values).float()


def region_of(parts: tuple[tuple[int, int], ...], strand: Strand, codes: NDArray[np.uint8]) -> torch.Tensor:
    transcript = Transcript("t", strand, parts, parts)
    gene = Gene("g", "contig", strand, (transcript,))
    return torch.from_numpy(targets_of_contig(codes, [gene]).region.astype(np.int64))[None]


def loss_of(tracks: torch.Tensor, codes: NDArray[np.uint8], region: torch.Tensor) -> torch.Tensor:
    known = torch.ones_like(region, dtype=torch.bool)
    return DecoderLoss(PARAMETERS)(tracks, torch.from_numpy(codes)[None], region, known)


def enumerated(emissions: np.ndarray, factors: np.ndarray, allowed: np.ndarray) -> float:
    """Log sum over all paths, one by one."""
    machine = decoder_loss._machine(PARAMETERS)
    columns = decoder_loss._STATE_COLUMN

    def continued(base: int, state: int) -> float:
        if not allowed[base, state]:
            return 0.0
        here = float(emissions[base, columns[state]])
        if base == len(emissions) - 1:
            return here
        moves, costs = machine.moves[(base + 1) % 3], machine.costs[(base + 1) % 3]
        total = 0.0
        for (source, target, first, second), cost in zip(moves, costs, strict=True):
            if source == state:
                weight = factors[base, first] * factors[base, second] * np.exp(cost)
                total += weight * continued(base + 1, int(target))
        return here * total

    return float(np.log(sum(continued(0, state) for state in range(decoder_loss.STATES))))


@pytest.mark.parametrize("seed", range(5))
def test_sums_over_paths_are_those_of_plain_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    length = 5
    emissions = rng.uniform(0.1, 1.0, (length, decoder_loss.COLUMNS))
    factors = rng.uniform(0.1, 2.0, (length - 1, decoder_loss._FACTORS))
    factors[:, decoder_loss._ALWAYS] = 1.0
    allowed = rng.random((length, decoder_loss.STATES)) < 0.8
    machine = decoder_loss._machine(PARAMETERS)
    slopes = np.zeros_like(emissions), np.zeros((length - 1, decoder_loss._SITES))
    total = decoder_loss.expectations(emissions, factors, allowed, machine.moves, machine.costs, 1.0, *slopes)
    assert total == pytest.approx(enumerated(emissions, factors, allowed), abs=1e-9)
    assert slopes[0].sum(axis=1) == pytest.approx(1.0)  # every base is in some state


def test_the_gradient_is_the_slope_of_the_loss() -> None:
    codes = encode(GENE)
    region = region_of(PARTS, Strand.PLUS, codes)
    tracks = random_tracks(3, len(GENE)).double().requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(tracks, codes, region), tracks)
    rng = np.random.default_rng(0)
    for _ in range(5):
        direction = torch.from_numpy(rng.normal(size=tuple(tracks.shape)))
        step = 1e-5
        with torch.no_grad():
            rise = loss_of(tracks + step * direction, codes, region) - loss_of(tracks - step * direction, codes, region)
        assert float(rise / (2 * step)) == pytest.approx(float((gradient * direction).sum()), rel=1e-4, abs=1e-6)


def test_both_strands_are_one_another_mirrored() -> None:
    codes = encode(GENE)
    length = len(GENE)
    assert length % 3 == 0
    tracks = random_tracks(7, length)
    mirrored_parts = tuple((length - end, length - start) for start, end in reversed(PARTS))
    half = len(TRACKS) // 2
    names = [track.element for track in TRACKS[:half]]
    order = [*range(half, 2 * half), *range(half)]
    frame = names.index("CDS_frame_0")
    for strand in (0, half):  # a codon at p, p % 3 == f, ends at p + 3, and its mirror begins at length - p - 3
        order[strand + frame + 1], order[strand + frame + 2] = order[strand + frame + 2], order[strand + frame + 1]
    turned = tracks.flip(1)[..., order]
    there = loss_of(tracks, codes, region_of(PARTS, Strand.PLUS, codes))
    back_codes = reverse_complement(codes)
    back = loss_of(turned, back_codes, region_of(mirrored_parts, Strand.MINUS, back_codes))
    assert float(back) == pytest.approx(float(there), rel=1e-5)


def test_following_the_slope_makes_the_annotated_gene_certain() -> None:
    codes = encode(GENE)
    region = region_of(PARTS, Strand.PLUS, codes)
    tracks = random_tracks(5, len(GENE)).requires_grad_()
    optimiser = torch.optim.Adam([tracks], lr=0.3)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = loss_of(tracks, codes, region)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 1.0
    assert losses[-1] < 0.05
    names = [track.name for track in TRACKS]
    with torch.no_grad():
        changed = tracks - random_tracks(5, len(GENE))
    assert float(changed[0, PARTS[0][1], names.index("splice_donor+")]) > 1.0
    assert float(changed[0, 6:9, names.index("start_codon+")].max()) > 1.0


def test_what_is_not_known_teaches_nothing() -> None:
    codes = encode(GENE)
    region = region_of(PARTS, Strand.PLUS, codes)
    tracks = random_tracks(5, len(GENE)).requires_grad_()
    unknown = torch.zeros_like(region, dtype=torch.bool)
    loss = DecoderLoss(PARAMETERS)(tracks, torch.from_numpy(codes)[None], region, unknown)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)
    assert tracks.grad is not None
    assert float(tracks.grad.abs().max()) < 1e-6


def test_annotation_that_the_machine_cannot_walk_counts_on_both_sides() -> None:
    codes = encode(GENE)
    region = region_of(PARTS, Strand.PLUS, codes)
    region[0, 20:] = 12  # from an intron on one strand straight into a coding part on the other
    tracks = random_tracks(5, len(GENE)).requires_grad_()
    loss = loss_of(tracks, codes, region)
    loss.backward()
    assert tracks.grad is not None
    assert bool(torch.isfinite(loss.detach()))
    assert bool(torch.isfinite(tracks.grad).all())
    assert float(tracks.grad[0, 11:20].abs().max()) > 0
    assert float(tracks.grad[0, 30:].abs().max()) > 0
