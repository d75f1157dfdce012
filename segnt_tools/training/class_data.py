"""Windows with the classes that the embedded network learns, drawn at random and repeatably, or in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segnt_tools.models.codon_unet import PIXEL, Boundary, Region
from segnt_tools.sequence.codes import Codes, N, reverse_complement
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.training.recipe import AugmentRecipe
from segnt_tools.training.targets import FULL_WEIGHT, ContigTargets

_PLUS_CDS = (Region.CDS_0_PLUS, Region.CDS_1_PLUS, Region.CDS_2_PLUS)
_MINUS_CDS = (Region.CDS_0_MINUS, Region.CDS_1_MINUS, Region.CDS_2_MINUS)
_INTRON_ENDS = (Boundary.DONOR_PLUS, Boundary.DONOR_MINUS)


# Not frozen: Fabric copies batches and sets their tensors anew where it works in mixed precision.
@dataclass(slots=True)
class ClassBatch:
    """Windows as the network and its loss take them, all (windows, length).

    Attributes:
        codes: base codes, uint8.
        region: `Region`, int64, frames counted from the window's first base.
        boundary: `Boundary`, int64.
        region_weight: float32, 0 to 1.
        boundary_weight: float32, 0 to 1.
    """

    codes: Tensor
    region: Tensor
    boundary: Tensor
    region_weight: Tensor
    boundary_weight: Tensor

    def to(self, device: torch.device) -> ClassBatch:
        """The batch on a device."""
        return ClassBatch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class LabelledContig:
    """Base codes and targets of a contig."""

    codes: Codes
    targets: ContigTargets


@dataclass(frozen=True, slots=True)
class ClassSource:
    """A genome to draw windows from.

    Attributes:
        name: name for logs.
        weight: how often it is drawn from, relative to the others.
        contigs: contigs by name.
        train: stretches to draw from.
        validate: stretches held out.
    """

    name: str
    weight: float
    contigs: Mapping[str, LabelledContig]
    train: tuple[Stretch, ...]
    validate: tuple[Stretch, ...]


def _shift_table() -> NDArray[np.uint8]:
    """Region seen in a window that starts at a contig position s, by (s % 3, region)."""
    table = np.tile(np.arange(len(Region), dtype=np.uint8), (PIXEL, 1))
    for shift in range(PIXEL):
        for frame in range(PIXEL):
            for cds in (_PLUS_CDS, _MINUS_CDS):
                table[shift, cds[frame]] = cds[(frame - shift) % PIXEL]
    return table


def _region_mirror() -> NDArray[np.uint8]:
    """Region seen when a window whose length is a multiple of 3 is turned round."""
    half = len(Region) // 2
    table = np.array([0, *range(half + 1, 2 * half + 1), *range(1, half + 1)], dtype=np.uint8)
    for frame in range(PIXEL):
        table[_PLUS_CDS[frame]] = _MINUS_CDS[-frame % PIXEL]
        table[_MINUS_CDS[frame]] = _PLUS_CDS[-frame % PIXEL]
    return table


_SHIFTED = _shift_table()
_REGION_MIRROR = _region_mirror()
_BOUNDARY_MIRROR = np.array([0, 5, 6, 7, 8, 1, 2, 3, 4], dtype=np.uint8)


@dataclass(slots=True)
class _Window:
    """One window in numpy, before it becomes a row of a batch."""

    codes: Codes
    region: NDArray[np.uint8]
    boundary: NDArray[np.uint8]
    region_weight: NDArray[np.uint8]
    boundary_weight: NDArray[np.uint8]

    def mirrored(self) -> _Window:
        """The window read on the other strand."""
        return _Window(
            reverse_complement(self.codes),
            _REGION_MIRROR[self.region[::-1]],
            _BOUNDARY_MIRROR[self.boundary[::-1]],
            self.region_weight[::-1],
            self.boundary_weight[::-1],
        )

    def hide_outside(self, start: int, end: int) -> None:
        """Make everything outside start:end unknown."""
        for outside in (slice(0, start), slice(end, None)):
            self.codes[outside] = N
            self.region_weight[outside] = 0
            self.boundary_weight[outside] = 0


def cut(contig: LabelledContig, start: int, length: int, within: Stretch) -> _Window:
    """A window of a contig; what lies outside a stretch (which may be the whole contig) is N without weight."""
    first, last = max(start, within.start), min(start + length, within.end)
    inside = slice(first - start, last - start)
    targets = contig.targets
    window = _Window(np.full(length, N, np.uint8), *(np.zeros(length, np.uint8) for _ in range(4)))
    window.codes[inside] = contig.codes[first:last]
    window.region[inside] = _SHIFTED[start % PIXEL][targets.region[first:last]]
    window.boundary[inside] = targets.boundary[first:last]
    window.region_weight[inside] = targets.region_weight[first:last]
    window.boundary_weight[inside] = targets.boundary_weight[first:last]
    return window


def as_batch(windows: Sequence[_Window]) -> ClassBatch:
    """Windows of one length as tensors."""

    def stacked(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(window, name) for window in windows]))

    return ClassBatch(
        stacked("codes"),
        stacked("region").long(),
        stacked("boundary").long(),
        stacked("region_weight").float() / FULL_WEIGHT,
        stacked("boundary_weight").float() / FULL_WEIGHT,
    )


class ClassSampler:
    """Draws training windows; seed and number alone decide which, so that a run can resume."""

    def __init__(self, sources: Sequence[ClassSource], augment: AugmentRecipe, seed: int) -> None:
        self.sources = sources
        self.augment = augment
        self.seed = seed
        weights = np.array([source.weight for source in sources])
        self._source_share = weights / weights.sum()
        self._stretch_share = [
            np.array([s.bases for s in source.train]) / sum(s.bases for s in source.train) for source in sources
        ]
        self._introns = [[_intron_starts(source, stretch) for stretch in source.train] for source in sources]

    def batch(self, numbers: Sequence[int], length: int) -> ClassBatch:
        """The training windows of these numbers."""
        return as_batch([self._window(number, length) for number in numbers])

    def _window(self, number: int, length: int) -> _Window:
        rng = np.random.default_rng((self.seed, number))
        chosen = int(rng.choice(len(self.sources), p=self._source_share))
        source = self.sources[chosen]
        place = int(rng.choice(len(source.train), p=self._stretch_share[chosen]))
        start, stretch = self._start(rng, chosen, place, length)
        window = cut(source.contigs[stretch.contig], start, length, stretch)
        if rng.random() < self.augment.truncate:
            shown = int(length * rng.uniform(0.02, 1.0))
            begin = int(rng.integers(0, length - shown + 1))
            window.hide_outside(begin, begin + shown)
        if self.augment.reverse_complement and rng.random() < 0.5:
            window = window.mirrored()
        return window

    def _start(self, rng: np.random.Generator, chosen: int, place: int, length: int) -> tuple[int, Stretch]:
        """First base of a window and the stretch it lies in."""
        source = self.sources[chosen]
        if self.augment.centre_on_introns and rng.random() < self.augment.centre_on_introns:
            counts = np.array([introns.size for introns in self._introns[chosen]])
            if counts.sum():
                place = int(rng.choice(counts.size, p=counts / counts.sum()))
                stretch = source.train[place]
                intron = int(rng.choice(self._introns[chosen][place]))
                return intron - int(rng.integers(length // 4, 3 * length // 4)), stretch
        stretch = source.train[place]
        # Windows may hang over the ends by a quarter, so that bases near the ends are seen as often as others.
        slack = min(length // 4, stretch.bases // 2)
        low, high = stretch.start - slack, max(stretch.end + slack - length, stretch.start - slack)
        return int(rng.integers(low, high + 1)), stretch


def _intron_starts(source: ClassSource, stretch: Stretch) -> NDArray[np.int64]:
    boundary = source.contigs[stretch.contig].targets.boundary[stretch.start : stretch.end]
    return np.flatnonzero(np.isin(boundary, _INTRON_ENDS)) + stretch.start


def validation_windows(
    sources: Sequence[ClassSource], length: int, margin: int, most_bases: int
) -> list[tuple[ClassSource, Stretch, int]]:
    """Windows that cover the held-out stretches (evenly thinned to at most so many bases): source, stretch, first base.

    Cores (windows without their margins) follow one another; the margins are not scored.
    """
    core = (length - 2 * margin) // PIXEL * PIXEL
    windows = [
        (source, stretch, start - margin)
        for source in sources
        for stretch in source.validate
        for start in range(stretch.start - stretch.start % PIXEL, stretch.end, core)
    ]
    wanted = max(1, most_bases // core)
    if len(windows) <= wanted:
        return windows
    return [windows[int(index)] for index in np.linspace(0, len(windows) - 1, wanted).round()]


def validation_batches(
    windows: Sequence[tuple[ClassSource, Stretch, int]], length: int, margin: int, batch: int
) -> Iterator[ClassBatch]:
    """Validation windows as batches, with no weight on the margins."""
    for first in range(0, len(windows), batch):
        rows = []
        for source, stretch, start in windows[first : first + batch]:
            contig = source.contigs[stretch.contig]
            window = cut(contig, start, length, Stretch(stretch.contig, 0, contig.codes.size))
            core_from = max(margin, stretch.start - start)
            core_to = min(length - margin, stretch.end - start)
            for weight in (window.region_weight, window.boundary_weight):
                weight[:core_from] = 0
                weight[core_to:] = 0
            rows.append(window)
        yield as_batch(rows)
