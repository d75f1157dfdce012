"""Training through the gene decoder: how unlikely the annotated genes are among all paths through the gene machine.

A conditional random field over the decoder's own scores. The loss of a window is the log of the summed weights of all
paths minus that of the paths that agree with the annotation; its gradient is the difference of the two expectations
(Lafferty, McCallum & Pereira 2001), which one forward and one backward pass give for each.

The machine is that of segnt_tools.genes without what a window's gradient does not need: no shortest lengths, one
family of introns, and stop codons are refused inside a coding part but not across a splice. Ends of transcripts are not
learnt: outside coding sequence and its introns every state that is neither agrees with the annotation, and where
isoforms disagree or nothing is known, every state does. Where the annotation takes a step that the machine has not, as
between overlapping genes, the two sides count for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from segnt_tools.compilation import compiled
from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.genes.states import NEVER, StateMachine
from segnt_tools.models.codon_unet import TRACKS, Region
from segnt_tools.sequence.codes import encode

LOGIT_LIMIT = 10.0
# What a site without its motif costs: annotations hold a few, and a path has to exist for them.
_NO_MOTIF = -12.0

FloatArray = NDArray[np.float64]


class _State(IntEnum):
    """States of a strand, in their order after the intergenic state, which is 0."""

    LEFT_UTR = 1
    RIGHT_UTR = 2
    LEFT_INTRON = 3
    RIGHT_INTRON = 4
    CDS = 5  # and the two that follow: by frame
    INTRON = 8  # and the two that follow: by bases of the codon on the left


class _Site(IntEnum):
    """Kinds of boundary, per strand; the last two columns are no sites: a factor of 1, and staying in a codon."""

    OPEN = 0
    CLOSE = 1
    ENTER = 2
    LEAVE = 3


_STATES_PER_STRAND = 10
STATES = 1 + 2 * _STATES_PER_STRAND
_SITES = 2 * len(_Site)
_ALWAYS = _SITES
_WITHIN = (_SITES + 1, _SITES + 2)  # by strand: staying in the coding part where a codon ends (plus) or begins (minus)
_FACTORS = _SITES + 3
_ROW = {track.name: index for index, track in enumerate(TRACKS)}
# Emission columns: intergenic; per strand left UTR, right UTR, CDS by frame, intron.
_COLUMN_TRACKS = [
    f"{element}{strand}"
    for strand, left, right in (("+", "5UTR", "3UTR"), ("-", "3UTR", "5UTR"))
    for element in (left, right, "CDS_frame_0", "CDS_frame_1", "CDS_frame_2", "intron")
]
COLUMNS = 1 + len(_COLUMN_TRACKS)
_COLUMN_ROWS = [_ROW[name] for name in _COLUMN_TRACKS]
_STATE_COLUMN = np.array([0, *(1 + 6 * strand + c for strand in (0, 1) for c in (0, 1, 5, 5, 2, 3, 4, 5, 5, 5))])
_STOPS = ("TAA", "TAG", "TGA")
_STOPS_BACKWARD = ("TTA", "CTA", "TCA")


@dataclass(frozen=True)
class _Machine:
    """Transitions as arrays: by boundary modulo 3, source, target and two factors; and the log weight of each."""

    moves: NDArray[np.int64]
    costs: FloatArray


def _machine(p: GeneParameters) -> _Machine:
    """The machine with the costs of these parameters."""
    by_residue = [_moves(residue, p) for residue in range(3)]
    moves = np.array([[move[:4] for move in moves] for moves in by_residue], dtype=np.int64)
    costs = np.array([[move[4] for move in moves] for moves in by_residue])
    return _Machine(moves, costs)


def _moves(residue: int, p: GeneParameters) -> list[tuple[int, int, int, int, float]]:
    """All transitions at boundaries of a residue modulo 3."""
    costs, in_utr = StateMachine(p).tables, 0.0 if p.utr else NEVER
    moves: list[tuple[int, int, int, int, float]] = [(0, 0, _ALWAYS, _ALWAYS, 0.0)]
    for strand in (0, 1):
        base, first_site = strand * _STATES_PER_STRAND, strand * len(_Site)
        left, right, left_intron, right_intron, cds, intron = (base + state for state in _State)
        opened, closed, entered, leaving = (first_site + site for site in _Site)
        coding = cds + residue  # a codon's leftmost base lies at this boundary, or three bases before it
        for state in range(base + 1, base + 1 + _STATES_PER_STRAND):
            moves.append((state, state, _WITHIN[strand] if state == coding else _ALWAYS, _ALWAYS, 0.0))
        moves += [
            (0, coding, entered, _ALWAYS, float(costs.enter_cds[strand])),
            (coding, 0, leaving, _ALWAYS, float(costs.leave_cds[strand])),
            (0, left, _ALWAYS, _ALWAYS, float(costs.enter_left[strand])),
            (right, 0, _ALWAYS, _ALWAYS, float(costs.leave_right[strand])),
            (left, coding, entered, _ALWAYS, in_utr),
            (left_intron, coding, closed, entered, in_utr),
            (coding, right, leaving, _ALWAYS, in_utr),
            (coding, right_intron, leaving, opened, costs.utr_intron),
            (left, left_intron, opened, _ALWAYS, costs.utr_intron),
            (right, right_intron, opened, _ALWAYS, costs.utr_intron),
            (left_intron, left, closed, _ALWAYS, in_utr),
            (right_intron, right, closed, _ALWAYS, in_utr),
        ]
        for frame in range(3):
            phase = (residue - frame) % 3
            moves.append((cds + frame, intron + phase, opened, _ALWAYS, 0.0))
            moves.append((intron + phase, cds + frame, closed, _ALWAYS, 0.0))
    return moves


class DecoderLoss:
    """The loss of windows, for the embedded network's tracks.

    Args:
        parameters: the decoder's costs; they stay as they are.
    """

    def __init__(self, parameters: GeneParameters) -> None:
        self._parameters = parameters
        self._machine = _machine(parameters)

    def __call__(self, tracks: Tensor, codes: Tensor, region: Tensor, known: Tensor) -> Tensor:
        """Negative log probability of the annotation, in nats, summed over windows; a float32 scalar.

        Args:
            tracks: logits (windows, length, 26); windows begin at a multiple of 3.
            codes: base codes (windows, length).
            region: `Region` of each base.
            known: bool, whether the region is certain; elsewhere all states agree with the annotation.
        """
        loss: Tensor = _PathLoss.apply(  # type: ignore[no-untyped-call]
            self._regions(tracks),
            self._sites(tracks, codes),
            _within(codes),
            _agreeing(region, known),
            self._machine,
        )
        return loss

    def _regions(self, tracks: Tensor) -> Tensor:
        """Weighted log probabilities (windows, length, columns) of the columns, as the decoder takes them."""
        p = self._parameters
        outside = torch.minimum(-tracks[..., _ROW["protein_coding_gene+"]], -tracks[..., _ROW["protein_coding_gene-"]])
        logits = torch.cat((outside.unsqueeze(-1), tracks[..., _COLUMN_ROWS]), dim=-1)
        scores = p.region_weight * F.logsigmoid(logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)).clamp(min=p.region_floor)
        costs = scores.new_zeros(COLUMNS)
        for strand in (0, 1):
            costs[1 + 6 * strand + 5] = p.intron_base_cost
            costs[1 + 6 * strand + 2 : 1 + 6 * strand + 5] = p.cds_base_cost
        return scores + costs

    def _sites(self, tracks: Tensor, codes: Tensor) -> Tensor:
        """Scores (windows, length - 1, 8) of the boundaries between bases; boundary i - 1 lies before base i."""
        p = self._parameters
        clipped = tracks.clamp(max(p.site_floor, -LOGIT_LIMIT), LOGIT_LIMIT)

        def after(name: str) -> Tensor:
            return clipped[..., _ROW[name]][:, 1:]

        def before(name: str) -> Tensor:
            return clipped[..., _ROW[name]][:, :-1]

        def of_codon(name: str, *, on_the_left: bool) -> Tensor:
            values = clipped[..., _ROW[name]]
            ends = (2, 0) if on_the_left else (0, 2)
            best = F.max_pool1d(F.pad(values, ends, value=-LOGIT_LIMIT), 3, stride=1)
            return best[:, :-1] if on_the_left else best[:, 1:]

        scores = [
            after("splice_donor+") + p.donor,
            before("splice_acceptor+") + p.acceptor,
            of_codon("start_codon+", on_the_left=False) + p.start,
            of_codon("stop_codon+", on_the_left=True) + p.stop,
            after("splice_acceptor-") + p.acceptor,
            before("splice_donor-") + p.donor,
            of_codon("stop_codon-", on_the_left=False) + p.stop,
            of_codon("start_codon-", on_the_left=True) + p.start,
        ]
        return torch.stack(scores, dim=-1) + _motif_costs(codes, p.gc_donor)


def _holds(codes: Tensor, words: tuple[str, ...], offset: int) -> Tensor:
    """Whether one of the words stands at each boundary between bases, beginning `offset` bases right of it."""
    inner = codes.shape[1] - 1
    found = torch.zeros(codes.shape[0], inner, dtype=torch.bool, device=codes.device)
    padded = F.pad(codes, (3, 3), value=4)
    for word in words:
        here = torch.ones_like(found)
        for place, code in enumerate(encode(word)):
            begin = 3 + 1 + offset + place
            here &= padded[:, begin : begin + inner] == int(code)
        found |= here
    return found


def _motif_costs(codes: Tensor, gc_donor: float) -> Tensor:
    """Costs (windows, length - 1, 8) of sites without their motifs."""
    none = torch.full((), _NO_MOTIF, device=codes.device)
    zero, rare = torch.zeros_like(none), torch.full_like(none, gc_donor)

    def cost(words: tuple[str, ...], offset: int, rarely: tuple[str, ...] = ()) -> Tensor:
        usual = torch.where(_holds(codes, words, offset), zero, none)
        return torch.where(_holds(codes, rarely, offset), rare, usual) if rarely else usual

    return torch.stack(
        [
            cost(("GT",), 0, ("GC",)),
            cost(("AG",), -2),
            cost(("ATG",), 0),
            cost(_STOPS, -3),
            cost(("CT",), 0),
            cost(("AC",), -2, ("GC",)),
            cost(_STOPS_BACKWARD, 0),
            cost(("CAT",), -3),
        ],
        dim=-1,
    )


def _within(codes: Tensor) -> FloatArray:
    """Log factors (windows, length - 1, 2) of staying in a coding part where a codon ends or begins: no stops."""
    refused = torch.stack((_holds(codes, _STOPS, -3), _holds(codes, _STOPS_BACKWARD, 0)), dim=-1)
    return refused.cpu().numpy() * _NO_MOTIF


def _agreement_table() -> NDArray[np.bool_]:
    """(classes + 1, states) which states agree with a region class; the last row is that of unknown bases."""
    table = np.zeros((len(Region) + 1, STATES), dtype=np.bool_)
    outside = [0, *(s * _STATES_PER_STRAND + state for s in (0, 1) for state in range(1, _State.CDS))]
    table[np.ix_([*range(len(Region))], outside)] = True
    for strand, (first, intron) in enumerate(
        ((Region.CDS_0_PLUS, Region.CDS_INTRON_PLUS), (Region.CDS_0_MINUS, Region.CDS_INTRON_MINUS))
    ):
        base = strand * _STATES_PER_STRAND
        for frame in range(3):
            table[first + frame] = False
            table[first + frame, base + _State.CDS + frame] = True
        table[intron] = False
        table[intron, base + _State.INTRON : base + _State.INTRON + 3] = True
    table[-1] = True
    return table


_AGREES = _agreement_table()


def _agreeing(region: Tensor, known: Tensor) -> NDArray[np.bool_]:
    """(windows, length, states) which states agree with the annotation."""
    classes = torch.where(known, region, len(Region)).cpu().numpy()
    return cast(NDArray[np.bool_], _AGREES[classes])


class _PathLoss(torch.autograd.Function):
    """Log sum over all paths minus that over the agreeing ones, with the difference of expectations as gradient."""

    @staticmethod
    def forward(
        ctx: Any, regions: Tensor, sites: Tensor, within: FloatArray, agreeing: NDArray[np.bool_], machine: _Machine
    ) -> Tensor:
        region_scores = regions.detach().double().cpu().numpy()
        site_scores = sites.detach().double().cpu().numpy()
        region_slope, site_slope = np.zeros_like(region_scores), np.zeros_like(site_scores)
        total = 0.0
        anything = np.ones(agreeing.shape[1:], dtype=np.bool_)
        for window in range(region_scores.shape[0]):
            factors = np.ones((site_scores.shape[1], _FACTORS))
            factors[:, :_SITES] = np.exp(site_scores[window])
            factors[:, _WITHIN[0] :] = np.exp(within[window])
            emissions = np.exp(region_scores[window])
            for allowed, sign in ((anything, 1.0), (agreeing[window], -1.0)):
                total += sign * expectations(
                    emissions,
                    factors,
                    allowed,
                    machine.moves,
                    machine.costs,
                    sign,
                    region_slope[window],
                    site_slope[window],
                )
        ctx.save_for_backward(torch.from_numpy(region_slope).to(regions), torch.from_numpy(site_slope).to(sites))
        return regions.new_tensor(total)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        region_slope, site_slope = ctx.saved_tensors
        return gradient * region_slope, gradient * site_slope, None, None, None


def expectations(
    emissions: FloatArray,
    factors: FloatArray,
    allowed: NDArray[np.bool_],
    moves: NDArray[np.int64],
    costs: FloatArray,
    sign: float,
    region_slope: FloatArray,
    site_slope: FloatArray,
) -> float:
    """Log sum over the paths that use allowed states, and how often they use each emission and site.

    Args:
        emissions: weights (length, columns).
        factors: weights (length - 1, factors) at the boundaries between bases.
        allowed: (length, states).
        moves, costs: the machine.
        sign: what the expectations are multiplied by.
        region_slope, site_slope: (length, columns) and (length - 1, sites): expectations are added here.
    """
    length = emissions.shape[0]
    forward, scale = np.empty((length, STATES)), np.empty(length)
    weights = np.exp(costs)
    total = _forward(emissions, factors, allowed, moves, weights, _STATE_COLUMN, forward, scale)
    backward = np.empty((2, STATES))
    _backward(
        emissions,
        factors,
        allowed,
        moves,
        weights,
        _STATE_COLUMN,
        forward,
        scale,
        backward,
        sign,
        region_slope,
        site_slope,
    )
    return float(total)


@compiled
def _forward(
    emissions: FloatArray,
    factors: FloatArray,
    allowed: NDArray[np.bool_],
    moves: NDArray[np.int64],
    weights: FloatArray,
    columns: NDArray[np.int64],
    forward: FloatArray,
    scale: FloatArray,
) -> float:
    """Shares of the mass in each state at each base, and the log of the mass.

    Where no allowed state can be reached (genes that overlap, say), the paths begin anew, and the scale is 0.
    """
    total = 0.0
    for base in range(emissions.shape[0]):
        if base == 0:
            forward[0] = 1.0
        else:
            forward[base] = 0.0
            residue = base % 3
            for move in range(moves.shape[1]):
                mass = forward[base - 1, moves[residue, move, 0]]
                if mass > 0.0:
                    mass *= factors[base - 1, moves[residue, move, 2]] * factors[base - 1, moves[residue, move, 3]]
                    forward[base, moves[residue, move, 1]] += mass * weights[residue, move]
        mass = 0.0
        for state in range(columns.size):
            if allowed[base, state]:
                forward[base, state] *= emissions[base, columns[state]]
                mass += forward[base, state]
            else:
                forward[base, state] = 0.0
        scale[base] = mass
        if mass == 0.0:
            for state in range(columns.size):
                if allowed[base, state]:
                    forward[base, state] = emissions[base, columns[state]]
                    mass += forward[base, state]
        for state in range(columns.size):
            forward[base, state] /= mass
        total += np.log(mass)
    return total


@compiled
def _backward(
    emissions: FloatArray,
    factors: FloatArray,
    allowed: NDArray[np.bool_],
    moves: NDArray[np.int64],
    weights: FloatArray,
    columns: NDArray[np.int64],
    forward: FloatArray,
    scale: FloatArray,
    backward: FloatArray,
    sign: float,
    region_slope: FloatArray,
    site_slope: FloatArray,
) -> None:
    """Adds the expectations, from right to left."""
    backward[:] = 1.0
    for base in range(emissions.shape[0] - 1, -1, -1):
        here, left = base % 2, (base + 1) % 2
        for state in range(columns.size):
            region_slope[base, columns[state]] += sign * forward[base, state] * backward[here, state]
        if base == 0:
            break
        if scale[base] == 0.0:
            backward[left] = 1.0
            continue
        residue = base % 3
        backward[left] = 0.0
        for move in range(moves.shape[1]):
            source, target = moves[residue, move, 0], moves[residue, move, 1]
            if not allowed[base, target]:
                continue
            first, second = moves[residue, move, 2], moves[residue, move, 3]
            mass = factors[base - 1, first] * factors[base - 1, second] * weights[residue, move]
            mass *= emissions[base, columns[target]] * backward[here, target] / scale[base]
            backward[left, source] += mass
            used = sign * mass * forward[base - 1, source]
            if first < site_slope.shape[1]:
                site_slope[base - 1, first] += used
            if second < site_slope.shape[1]:
                site_slope[base - 1, second] += used
