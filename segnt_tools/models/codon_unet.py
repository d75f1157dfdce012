"""The embedded gene finder: a small U-Net with attention over codon-sized pixels, stranded, one output per base.

A window passes three resolutions (3, 12 and 48 bp) and comes back to single bases. Two softmaxes describe each base:
15 regions (intergenic; per strand 5' UTR, 3' UTR, UTR intron, CDS in three frames, CDS intron) and 9 boundaries (none;
per strand start codon, stop codon, first and last base of an intron). The tracks of the element vocabulary are sums of
their probabilities. Frames are named by position: `CDS_frame_f` marks codons whose leftmost base lies at p with
p % 3 == f, which is constant along an exon and inside a pixel; windows must therefore start at multiples of 3.

Besides the bases the network is told, per strand, how far the next in-frame stop codon is on either side and how much
a codon looks like coding sequence (a 5th-order three-periodic Markov model kept in the checkpoint): long context at
almost no cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segnt_tools.elements import Strand, Track
from segnt_tools.errors import CheckpointError
from segnt_tools.models.card import Card, PeakDefaults
from segnt_tools.models.interface import SegmentationModel
from segnt_tools.models.precision import FullPrecisionLinear, set_weight_types
from segnt_tools.sequence.windows import WindowGeometry

ARCHITECTURE = "codon_unet"
PIXEL = 3
FOLD = 4
WINDOW_MULTIPLE = PIXEL * FOLD * FOLD
UNKNOWN = 4
HEXAMERS = 4**6
CODON_TABLE_UNIT = 1000.0
INPUT_CHANNELS = 10
_SMALLEST_SUM = 32 * torch.finfo(torch.float32).tiny


class Region(IntEnum):
    """What a base is part of; the order of the region logits."""

    INTERGENIC = 0
    UTR5_PLUS = 1
    UTR3_PLUS = 2
    UTR_INTRON_PLUS = 3
    CDS_0_PLUS = 4
    CDS_1_PLUS = 5
    CDS_2_PLUS = 6
    CDS_INTRON_PLUS = 7
    UTR5_MINUS = 8
    UTR3_MINUS = 9
    UTR_INTRON_MINUS = 10
    CDS_0_MINUS = 11
    CDS_1_MINUS = 12
    CDS_2_MINUS = 13
    CDS_INTRON_MINUS = 14


class Boundary(IntEnum):
    """What happens at a base; the order of the boundary logits.

    All three bases of a start and of a stop codon are marked; of an intron the first (donor) and the last base
    (acceptor) in the direction of transcription.
    """

    NONE = 0
    START_PLUS = 1
    STOP_PLUS = 2
    DONOR_PLUS = 3
    ACCEPTOR_PLUS = 4
    START_MINUS = 5
    STOP_MINUS = 6
    DONOR_MINUS = 7
    ACCEPTOR_MINUS = 8


# Classes that make up an element on the plus strand, as offsets to the first class of a strand.
_REGION_PARTS: Mapping[str, tuple[int, ...]] = {
    "exon": (0, 1, 3, 4, 5),
    "intron": (2, 6),
    "5UTR": (0,),
    "3UTR": (1,),
    "protein_coding_gene": (0, 1, 2, 3, 4, 5, 6),
    "CDS": (3, 4, 5),
    "CDS_frame_0": (3,),
    "CDS_frame_1": (4,),
    "CDS_frame_2": (5,),
}
_BOUNDARY_PARTS: Mapping[str, int] = {"splice_donor": 2, "splice_acceptor": 3, "start_codon": 0, "stop_codon": 1}
_ELEMENTS = (
    "protein_coding_gene",
    "exon",
    "intron",
    "splice_donor",
    "splice_acceptor",
    "5UTR",
    "3UTR",
    "CDS",
    "CDS_frame_0",
    "CDS_frame_1",
    "CDS_frame_2",
    "start_codon",
    "stop_codon",
)
_UTR_ELEMENTS = frozenset({"exon", "5UTR", "3UTR", "protein_coding_gene"})

TRACKS: tuple[Track, ...] = tuple(Track(name, strand) for strand in (Strand.PLUS, Strand.MINUS) for name in _ELEMENTS)


# Where the boundaries' marks stand, in the terms of the gene decoder (segnt_tools.genes.parameters).
SPANS: Mapping[str, tuple[int, int]] = {
    "donor_span": (0, 0),
    "acceptor_span": (-1, -1),
    "start_span": (0, 2),
    "stop_span": (0, 2),
}


# Sites are single bases, codons three; elsewhere short dips and blips are joined and dropped.
PEAKS: Mapping[str, PeakDefaults] = {
    "*": PeakDefaults(high=0.5, low=0.5, min_length=1, max_gap=0),
    "protein_coding_gene": PeakDefaults(high=0.5, low=0.3, min_length=150, max_gap=30),
    "exon": PeakDefaults(high=0.5, low=0.4, min_length=9, max_gap=3),
    "intron": PeakDefaults(high=0.5, low=0.4, min_length=20, max_gap=3),
    "5UTR": PeakDefaults(high=0.5, low=0.4, min_length=10, max_gap=5),
    "3UTR": PeakDefaults(high=0.5, low=0.4, min_length=10, max_gap=5),
    "CDS": PeakDefaults(high=0.5, low=0.4, min_length=9, max_gap=3),
}


@dataclass(frozen=True, slots=True)
class CodonUNetConfig:
    """Hyperparameters.

    Attributes:
        channels: channels at 3, 12 and 48 bp.
        kernels: convolution kernels at 3, 12 and 48 bp, in pixels of that resolution.
        blocks: blocks at 3 bp and 12 bp on the way down, and again on the way up.
        dilations: dilation of each block at 48 bp.
        attention_after: blocks at 48 bp (counted from 0) followed by attention.
        heads: attention heads.
        mlp_ratio: width of the attention blocks' MLP over their channels.
        dropout: share of channels dropped inside a block while training.
        stop_distance_limit: distance to a stop codon (in codons) beyond which all are the same; must fit into the
            margin.
    """

    channels: tuple[int, int, int] = (72, 144, 192)
    kernels: tuple[int, int, int] = (5, 5, 7)
    blocks: int = 2
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    attention_after: tuple[int, ...] = (2, 3)
    heads: int = 6
    mlp_ratio: int = 3
    dropout: float = 0.0
    stop_distance_limit: int = 720

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> CodonUNetConfig:
        """The configuration stored in a card.

        Raises:
            CheckpointError: a value is missing or unknown.
        """
        try:
            given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            return cls(**given)
        except TypeError as error:
            raise CheckpointError(f"card does not describe a {ARCHITECTURE} network: {error}") from error

    def deepens(self, other: CodonUNetConfig) -> bool:
        """Whether a network so configured is another one with nothing changed but blocks added and dropout."""
        first = len(other.dilations)
        kept = {i for i in self.attention_after if i < first}
        shallow = replace(self, blocks=other.blocks, dilations=other.dilations, attention_after=other.attention_after)
        return (
            replace(shallow, dropout=other.dropout) == other
            and self.blocks >= other.blocks
            and self.dilations[:first] == other.dilations
            and kept >= set(other.attention_after)
        )


def class_logits_to_tracks() -> tuple[Tensor, Tensor]:
    """Matrices (24 classes, 26 tracks) that sum class probabilities into tracks, and into all that a track is not."""
    regions, boundaries = len(Region), len(Boundary)
    present = torch.zeros(regions + boundaries, len(TRACKS))
    absent = torch.zeros(regions + boundaries, len(TRACKS))
    for index, track in enumerate(TRACKS):
        minus = track.strand is Strand.MINUS
        if track.element in _REGION_PARTS:
            absent[:regions, index] = 1.0
            members = [1 + 7 * minus + part for part in _REGION_PARTS[track.element]]
        else:
            absent[regions:, index] = 1.0
            members = [regions + 1 + 4 * minus + _BOUNDARY_PARTS[track.element]]
        present[members, index] = 1.0
        absent[members, index] = 0.0
    return present, absent


def stop_distances(codes: Tensor, limit: int) -> Tensor:
    """Distance to the nearest in-frame stop codon, per strand and side, as a network likes it.

    A codon's value stands at its middle base: min(log2(1 + d) / 5 - 0.9, 1.2) with d in codons, 0 at a stop itself.
    Where a window ends before a stop, d is `limit`.

    Args:
        codes: base codes (batch, length), length a multiple of 3.
        limit: largest distance.

    Returns:
        float32 (batch, length, 4): plus strand left, plus right, minus left, minus right, as seen on the contig.
    """
    batch, length = codes.shape
    left = F.pad(codes[:, :-1], (1, 0), value=UNKNOWN)
    right = F.pad(codes[:, 1:], (0, 1), value=UNKNOWN)
    # TAA, TAG, TGA read on the plus strand; TTA, CTA, TCA are the same codons on the minus strand.
    plus = (left == 3) & (((codes == 0) & ((right == 0) | (right == 2))) | ((codes == 2) & (right == 0)))
    minus = (right == 0) & (((codes == 3) & ((left == 3) | (left == 1))) | ((codes == 1) & (left == 3)))
    stops = torch.stack((plus, minus)).view(2, batch, length // PIXEL, PIXEL)
    index = torch.arange(length // PIXEL, device=codes.device, dtype=torch.int32).view(1, 1, -1, 1)
    far = 2**20
    last = torch.where(stops, index, -far).cummax(dim=2).values
    following = torch.where(stops, index, far).flip(2).cummin(dim=2).values.flip(2)
    distance = torch.stack((index - last, following - index)).clamp_(max=limit)
    value = (torch.log2(1.0 + distance.float()) / 5 - 0.9).clamp_(max=1.2)
    # (side, strand, batch, pixels, 3) to (batch, bases, strand x side)
    return value.permute(2, 3, 4, 1, 0).reshape(batch, length, 4)


def _hexamer_index(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Index of the hexamer that ends at each base, and whether it is made of known bases inside the window."""
    batch, length = codes.shape
    known = F.pad((codes < UNKNOWN), (5, 0), value=False)
    letters = F.pad(codes.clamp(max=3).int(), (5, 0))
    index = torch.zeros(batch, length, dtype=torch.int32, device=codes.device)
    valid = torch.ones(batch, length, dtype=torch.bool, device=codes.device)
    for place in range(6):
        index = index * 4 + letters[:, place : place + length]
        valid = valid & known[:, place : place + length]
    return index, valid


def _codon_ratio_one_strand(codes: Tensor, table: Tensor) -> Tensor:
    """Codon log-likelihood ratios at the codons' middle bases, reading the codes from left to right."""
    index, valid = _hexamer_index(codes)
    padded = F.pad(torch.where(valid, index, HEXAMERS), (1, 1), value=HEXAMERS).long()
    with_unknown = F.pad(table.float() / CODON_TABLE_UNIT, (0, 1))
    length = codes.shape[1]
    parts = [with_unknown[place][padded[:, place : place + length]] for place in range(PIXEL)]
    inside = torch.stack([padded[:, place : place + length] < HEXAMERS for place in range(PIXEL)]).all(dim=0)
    return torch.where(inside, sum(parts[1:], parts[0]), 0.0).clamp_(-4.0, 4.0)


def codon_ratios(codes: Tensor, table: Tensor) -> Tensor:
    """How much more likely a codon is as coding sequence than as non-coding: natural log, clipped at 4, halved.

    Args:
        codes: base codes (batch, length).
        table: (3, 4096) thousandths of nats: log P(base | 5 bases before, codon position) minus the same of non-coding
            sequence, for the hexamer that ends at the base, first base most significant.

    Returns:
        float32 (batch, length, 2): plus and minus strand, at the codon's middle base; 0 where a base is unknown.
    """
    plus = _codon_ratio_one_strand(codes, table)
    complement = torch.where(codes < UNKNOWN, 3 - codes, codes).flip(1)
    minus = _codon_ratio_one_strand(complement, table).flip(1)
    return torch.stack((plus, minus), dim=-1) / 2


class PixelConv(nn.Module):
    """Convolution along the sequence of (batch, pixels, channels), its kernel kept as a matrix (out, kernel x in).

    A matrix is what the Muon optimiser works on; computed as a channels-last 2-D convolution, several times faster on a
    CPU than Conv1d, and in the type of its weights.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.kernel = kernel
        self.dilation = dilation
        self.weight = nn.Parameter(torch.empty(channels_out, kernel * channels_in))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, pixels, channels in) to (batch, pixels, channels out)."""
        batch, pixels, channels = x.shape
        image = x.to(self.weight.dtype).view(batch, 1, pixels, channels).permute(0, 3, 1, 2)
        weight = self.weight.view(-1, 1, self.kernel, channels).permute(0, 3, 1, 2)
        padding = (0, self.dilation * (self.kernel // 2))
        y = F.conv2d(image, weight, self.bias, padding=padding, dilation=(1, self.dilation))
        return y.permute(0, 2, 3, 1).reshape(batch, pixels, -1)

    def unrolled(self) -> nn.Module:
        """The same as a linear layer over each pixel's neighbours, for inference; it shares the weights.

        Products come out the same in any batch and on any number of threads; convolutions of few pixels do not.
        """
        linear = nn.Linear(1, 1, device="meta")
        linear.weight, linear.bias = self.weight, self.bias
        return nn.Sequential(Neighbours(self.kernel, self.dilation, self.weight.dtype), linear)


class Neighbours(nn.Module):
    """A pixel's neighbours side by side, in a type: what the kernel of a `PixelConv` meets."""

    def __init__(self, kernel: int, dilation: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.kernel = kernel
        self.dilation = dilation
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """(batch, pixels, channels) to (batch, pixels, kernel x channels), zeros beyond the ends."""
        pixels = x.shape[1]
        reach = self.dilation * (self.kernel // 2)
        padded = F.pad(x.to(self.dtype), (0, 0, reach, reach))
        return torch.cat([padded[:, i * self.dilation :][:, :pixels] for i in range(self.kernel)], dim=-1)


class ConvBlock(nn.Module):
    """x + Linear(SiLU(convolution(LayerNorm x))); the linear layer starts at zero, so the block starts as identity."""

    def __init__(self, channels: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv: nn.Module = PixelConv(channels, channels, kernel, dilation)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, pixels, channels), same shape out."""
        residual: Tensor = self.linear(self.dropout(F.silu(self.conv(self.norm(x)))))
        return x + residual


def _rotate(x: Tensor) -> Tensor:
    """Rotary position embedding of (..., positions, size), relative positions in pixels of 48 bp."""
    positions, size = x.shape[-2:]
    rate = 10000.0 ** (-torch.arange(0, size, 2, device=x.device, dtype=torch.float32) / size)
    angle = torch.arange(positions, device=x.device, dtype=torch.float32).unsqueeze(1) * rate
    cos, sin = angle.cos(), angle.sin()
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1).to(x.dtype)


class AttentionBlock(nn.Module):
    """Pre-norm rotary self-attention and MLP, both starting as identity."""

    def __init__(self, channels: int, heads: int, mlp_ratio: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp_in = nn.Linear(channels, mlp_ratio * channels)
        self.mlp_out = nn.Linear(mlp_ratio * channels, channels)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.out, self.mlp_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, pixels, channels), same shape out."""
        batch, pixels, channels = x.shape
        normed = self.norm(x).to(self.qkv.weight.dtype)
        qkv = self.qkv(normed).view(batch, pixels, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        q, k = _rotate(qkv[:2])
        attended = F.scaled_dot_product_attention(q, k, qkv[2])
        x = x + self.out(attended.transpose(1, 2).reshape(batch, pixels, channels))
        normed = self.mlp_norm(x).to(self.mlp_in.weight.dtype)
        hidden: Tensor = self.mlp_out(self.dropout(F.silu(self.mlp_in(normed))))
        return x + hidden


class Down(nn.Module):
    """Four pixels become one: their channels side by side, then a linear layer."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(FOLD * channels_in, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 4 n, channels in) to (batch, n, channels out)."""
        batch, pixels, channels = x.shape
        folded: Tensor = self.linear(x.to(self.linear.weight.dtype).reshape(batch, pixels // FOLD, FOLD * channels))
        return folded.to(x.dtype)


class Up(nn.Module):
    """One pixel becomes four: layer norm, a linear layer, and the result added to the skip connection."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels_in)
        self.linear = nn.Linear(channels_in, FOLD * channels_out)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(batch, n, channels in) and the skip (batch, 4 n, channels out) to the skip's shape."""
        unfolded: Tensor = self.linear(self.norm(x).to(self.linear.weight.dtype))
        return skip + unfolded.view(skip.shape)


class Bottom(nn.Module):
    """Dilated convolutions at 48 bp, some followed by attention over the whole window."""

    def __init__(self, config: CodonUNetConfig) -> None:
        super().__init__()
        channels, kernel = config.channels[2], config.kernels[2]
        self.blocks = nn.ModuleList(ConvBlock(channels, kernel, d, config.dropout) for d in config.dilations)
        self.attention = nn.ModuleDict(
            {
                str(i): AttentionBlock(channels, config.heads, config.mlp_ratio, config.dropout)
                for i in config.attention_after
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, pixels, channels), same shape out."""
        for index, block in enumerate(self.blocks):
            x = block(x)
            if str(index) in self.attention:
                x = self.attention[str(index)](x)
        return x


def _stack(channels: int, kernel: int, config: CodonUNetConfig) -> nn.Sequential:
    return nn.Sequential(*(ConvBlock(channels, kernel, 1, config.dropout) for _ in range(config.blocks)))


class CodonUNet(SegmentationModel):
    """The network; see the module's docstring."""

    reduced_on_cpu = True  # docs/models.md: no level of gene finding changes by more than a thousandth
    codon_table: Tensor
    _parts: Tensor

    def __init__(self, card: Card) -> None:
        super().__init__()
        self.card = card
        self.config = config = CodonUNetConfig.from_mapping(card.config)
        fine, middle, coarse = config.channels
        self.stem = PixelConv(PIXEL * INPUT_CHANNELS, fine, 7)
        self.down_fine = _stack(fine, config.kernels[0], config)
        self.to_middle = Down(fine, middle)
        self.down_middle = _stack(middle, config.kernels[1], config)
        self.to_coarse = Down(middle, coarse)
        self.bottom = Bottom(config)
        self.from_coarse = Up(coarse, middle)
        self.up_middle = _stack(middle, config.kernels[1], config)
        self.from_middle = Up(middle, fine)
        self.up_fine = _stack(fine, config.kernels[0], config)
        self.head_norm = nn.LayerNorm(fine)
        self.head = FullPrecisionLinear(fine, PIXEL * (len(Region) + len(Boundary)))
        # Integers, so that casting the network to a shorter float leaves the statistics alone.
        self.register_buffer("codon_table", torch.zeros(PIXEL, HEXAMERS, dtype=torch.int32))
        self.register_buffer("_parts", torch.cat(class_logits_to_tracks(), dim=1), persistent=False)

    def load_shallower(self, card: Card, weights: Mapping[str, Tensor]) -> None:
        """Take up the weights of a network with as many blocks or fewer; further blocks stay as they were made.

        In an untrained network these are the identity, so that it gives what the shallower one gave.

        Args:
            card: card of the other network.
            weights: its weights.

        Raises:
            CheckpointError: the other network differs in more than the number of blocks, or weights of it are missing.
        """
        other = CodonUNetConfig.from_mapping(card.config)
        if not self.config.deepens(other):
            raise CheckpointError(
                f"{card.name} has another network: {_difference(asdict(other), asdict(self.config))}",
                hint="A base may get more blocks, dilations at the end, attention and dropout; all else must be equal",
            )
        with torch.device("meta"):
            expected = CodonUNet(card).state_dict().keys()
        if differing := sorted(expected ^ weights.keys()):
            raise CheckpointError(f"{card.name} does not hold the weights of its network: {', '.join(differing[:3])}")
        self.load_state_dict(weights, strict=False)

    def set_precision(self, dtype: torch.dtype) -> None:
        """Do the matrix products and convolutions in this type; residuals, norms and the last layer stay float32."""
        set_weight_types(self, dtype, (nn.Linear, PixelConv))

    def prepare_for_cpu(self) -> None:
        """Unroll the convolutions at 12 and 48 bp and pack the linear layers; at 3 bp the copies would cost more."""
        for block in (*self.down_middle, *self.bottom.blocks, *self.up_middle):
            assert isinstance(block, ConvBlock)
            assert isinstance(block.conv, PixelConv)
            block.conv = block.conv.unrolled()
        super().prepare_for_cpu()

    def features(self, codes: Tensor) -> Tensor:
        """The network's input: float32 (batch, length, 10): one-hot, stop distances, codon ratios."""
        bases = torch.arange(4, dtype=codes.dtype, device=codes.device)
        one_hot = (codes.unsqueeze(-1) == bases).float()
        distances = stop_distances(codes, self.config.stop_distance_limit)
        return torch.cat((one_hot, distances, codon_ratios(codes, self.codon_table)), dim=-1)

    def class_logits(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the two softmaxes: regions (batch, length, 15) and boundaries (batch, length, 9)."""
        batch, length = codes.shape
        x = self.stem(self.features(codes).view(batch, length // PIXEL, PIXEL * INPUT_CHANNELS))
        fine = self.down_fine(x.to(self.head.weight.dtype))
        middle = self.down_middle(self.to_middle(fine))
        coarse = self.bottom(self.to_coarse(middle))
        middle = self.up_middle(self.from_coarse(coarse, middle))
        fine = self.up_fine(self.from_middle(middle, fine))
        normed = self.head_norm(fine)
        with torch.autocast(codes.device.type, enabled=False):
            classes: Tensor = self.head(normed.to(self.head.weight.dtype))
        classes = classes.view(batch, length, -1)
        return classes[..., : len(Region)], classes[..., len(Region) :]

    def forward(self, codes: Tensor) -> Tensor:
        """Base codes (batch, length) to float32 logits (batch, length, 26)."""
        return self.track_logits(*self.class_logits(codes))

    def track_logits(self, regions: Tensor, boundaries: Tensor) -> Tensor:
        """Logits of the two softmaxes, as `class_logits` gives them, to float32 logits (batch, length, 26)."""
        with torch.autocast(regions.device.type, enabled=False):
            # A logit is log(sum p(in) / sum p(out)): both sums are of positive terms, so that nothing cancels, and what
            # they are relative to does not matter. The larger is at least 1; the floor keeps the quotient finite.
            relative = torch.cat([part - part.amax(dim=-1, keepdim=True) for part in (regions, boundaries)], dim=-1)
            sums = (relative.exp() @ self._parts).clamp(min=_SMALLEST_SUM)
            present, absent = sums.chunk(2, dim=-1)
            return (present / absent).log()


def _difference(other: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {other[key]}, not {own[key]}" for key in own if own[key] != other[key])


def geometry(window: int = 18_432, margin: int = 2_304) -> WindowGeometry:
    """The windows of the embedded networks: any multiple of 48 bp up to 16 times the default."""
    return WindowGeometry(
        length=window,
        multiple=WINDOW_MULTIPLE,
        shortest=WINDOW_MULTIPLE,
        longest=16 * window,
        margin=margin,
        start_multiple=PIXEL,
    )


def make_card(
    name: str,
    summary: str,
    config: CodonUNetConfig | None = None,
    windows: WindowGeometry | None = None,
    *,
    utr_trained: bool = True,
    **fields: Any,
) -> Card:
    """A card for a network of this architecture.

    Args:
        name: name of the checkpoint.
        summary: one sentence for people.
        config: hyperparameters (default: the embedded network's).
        windows: window geometry (default: `geometry()`).
        utr_trained: False where the training annotation had coding sequence only: exon ends and UTRs are then unknown.
        fields: further fields of the card.
    """
    tracks = tuple(Track(t.element, t.strand, utr_trained or t.element not in _UTR_ELEMENTS) for t in TRACKS)
    defaults: dict[str, Any] = {
        "licence": "MIT",
        "citation": "segnt_tools",
        "genes": dict(SPANS),
        "peaks": dict(PEAKS),
    }
    return Card(
        name=name,
        architecture=ARCHITECTURE,
        summary=summary,
        tracks=tracks,
        geometry=windows or geometry(),
        allows_n=True,
        config=asdict(config or CodonUNetConfig()),
        **{**defaults, **fields},
    )


def build(card: Card) -> CodonUNet:
    """An untrained network as the card describes it.

    Raises:
        CheckpointError: the card's configuration or tracks do not fit this architecture.
    """
    if [track.name for track in card.tracks] != [track.name for track in TRACKS]:
        raise CheckpointError(f"card of {card.name!r} does not list the tracks of a {ARCHITECTURE} network")
    return CodonUNet(card)
