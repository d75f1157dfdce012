"""Windows with labels of tracks, from labels files or annotation, drawn at random and repeatably, or in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segnt_tools.elements import Track
from segnt_tools.errors import AnnotationFileError, RecipeError
from segnt_tools.labels.build import LabelInputs, build_labels
from segnt_tools.labels.labelset import LabelSet, TrackLabels, paint_labels
from segnt_tools.labels.rules import LabelRules
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.codes import Codes, N, reverse_complement
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.sequence.windows import WindowGeometry
from segnt_tools.tracks.file import MASKED, TracksReader
from segnt_tools.training.recipe import AugmentRecipe, DataRecipe
from segnt_tools.training.regions import split

_MOST_DRAWS = 50

Labels = NDArray[np.uint8]


# Not frozen: Fabric copies batches and sets their tensors anew where it works in mixed precision.
@dataclass(slots=True)
class TrackBatch:
    """Windows as a network and its loss take them.

    Attributes:
        codes: base codes (windows, length), uint8.
        labels: float32 (windows, valid bases, tracks), 0 or 1.
        known: bool, same shape: whether the label is known.
    """

    codes: Tensor
    labels: Tensor
    known: Tensor

    def to(self, device: torch.device) -> TrackBatch:
        """The batch on a device."""
        return TrackBatch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__slots__))


class LabelStore(ABC):
    """Where labels of tracks come from."""

    @abstractmethod
    def labels(self, contig: str, start: int, end: int) -> Labels:
        """Labels (tracks, bases): 0, 1, or 255 where unknown."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the tracks it knows something of."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""


class FileLabels(LabelStore):
    """Labels in a file of `segnt labels`; tracks that it lacks are unknown."""

    def __init__(self, file: Path, tracks: Sequence[Track], assembly: Assembly) -> None:
        self._reader = TracksReader(file)
        if self._reader.header.kind != "label":
            raise RecipeError(
                "this file holds predictions, not labels", file=file, hint="Make labels with segnt labels"
            )
        self._reader.require_assembly(assembly.fingerprint, assembly.path)
        known = {track.name: row for row, track in enumerate(self._reader.tracks)}
        self._pairs = [(i, known[track.name]) for i, track in enumerate(tracks) if track.name in known]
        self._tracks = len(tracks)
        if not self._pairs:
            raise RecipeError(
                f"the labels have none of the tracks {', '.join(track.name for track in tracks)}",
                file=file,
                hint=f"They have {', '.join(known)}",
            )

    def labels(self, contig: str, start: int, end: int) -> Labels:
        """See LabelStore."""
        rows = np.full((self._tracks, end - start), MASKED, dtype=np.uint8)
        rows[[i for i, _ in self._pairs]] = self._reader.values(contig, start, end, [row for _, row in self._pairs])
        return rows

    @property
    def names(self) -> tuple[str, ...]:
        """See LabelStore."""
        return tuple(self._reader.tracks[row].name for _, row in self._pairs)

    def close(self) -> None:
        """See LabelStore."""
        self._reader.close()


class AnnotationLabels(LabelStore):
    """Labels painted from a GFF3 or GTF file on demand."""

    def __init__(self, file: Path, tracks: Sequence[Track], assembly: Assembly) -> None:
        try:
            self._set, _ = build_labels(LabelInputs(annotations=[file]), assembly, tracks, LabelRules())
        except AnnotationFileError as error:
            raise AnnotationFileError(
                error.message,
                file=error.file,
                line=error.line,
                hint="Names of other contigs are an option of segnt labels, whose file is given with --labels",
            ) from error
        self._of_contig = lru_cache(maxsize=64)(self._contig)

    def _contig(self, contig: str) -> list[TrackLabels]:
        labels: LabelSet = self._set
        return [labels.track(contig, track) for track in labels.tracks]

    def labels(self, contig: str, start: int, end: int) -> Labels:
        """See LabelStore."""
        return paint_labels(self._of_contig(contig), start, end)

    @property
    def names(self) -> tuple[str, ...]:
        """See LabelStore."""
        return tuple(track.name for track in self._set.tracks)

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class TrackSource:
    """A genome to draw windows from.

    Attributes:
        name: name for logs.
        weight: how often it is drawn from, relative to the others.
        assembly: its bases.
        store: its labels.
        train: stretches to draw from.
        validate: stretches held out.
    """

    name: str
    weight: float
    assembly: Assembly
    store: LabelStore
    train: tuple[Stretch, ...]
    validate: tuple[Stretch, ...]

    def close(self) -> None:
        """Close genome and labels."""
        self.store.close()
        self.assembly.close()


def open_source(data: DataRecipe, folder: Path, tracks: Sequence[Track], recipe: Path | None = None) -> TrackSource:
    """Open a genome and its labels; paths are relative to `folder`.

    Raises:
        RecipeError: regions or labels do not fit the genome or the tracks.
    """
    assembly = Assembly.open(folder / data.genome)
    try:
        parts = split(data.train, data.validate, assembly.lengths, no_validation=data.no_validation, recipe=recipe)
        store: LabelStore
        if data.labels:
            store = FileLabels(folder / data.labels, tracks, assembly)
        else:
            store = AnnotationLabels(folder / data.annotation, tracks, assembly)
    except BaseException:
        assembly.close()
        raise
    return TrackSource(data.name, data.weight, assembly, store, parts.train, parts.validate)


class TrackSampler:
    """Draws training windows; seed and number alone decide which, so that a run can resume.

    Args:
        sources: genomes.
        tracks: the network's tracks.
        geometry: the network's windows.
        allows_n: whether windows may hold N; otherwise others are drawn instead.
        augment: what to change.
        seed: of the random choices.
    """

    def __init__(
        self,
        sources: Sequence[TrackSource],
        tracks: Sequence[Track],
        geometry: WindowGeometry,
        *,
        allows_n: bool,
        augment: AugmentRecipe,
        seed: int,
    ) -> None:
        self.sources = sources
        self.geometry = geometry
        self.allows_n = allows_n
        self.augment = augment
        self.seed = seed
        names = {track.name: i for i, track in enumerate(tracks)}
        self.mirror = [names.get(track.mirrored.name, i) for i, track in enumerate(tracks)]
        weights = np.array([source.weight for source in sources])
        self._source_share = weights / weights.sum()
        self._stretch_share = [
            np.array([s.bases for s in source.train]) / sum(s.bases for s in source.train) for source in sources
        ]

    def batch(self, numbers: Sequence[int], length: int) -> TrackBatch:
        """The training windows of these numbers."""
        return as_batch([self._window(number, length) for number in numbers])

    def _window(self, number: int, length: int) -> tuple[Codes, Labels]:
        rng = np.random.default_rng((self.seed, number))
        for _ in range(_MOST_DRAWS):
            chosen = int(rng.choice(len(self.sources), p=self._source_share))
            source = self.sources[chosen]
            stretch = source.train[int(rng.choice(len(source.train), p=self._stretch_share[chosen]))]
            step = self.geometry.start_multiple
            first = -(-stretch.start // step)
            last = max(first, (stretch.end - length) // step)
            start = step * int(rng.integers(first, last + 1))
            codes, labels = cut(source, stretch, start, length, self.geometry)
            if self.allows_n or int(codes.max()) < N:
                break
        else:
            raise RecipeError(
                f"no window of {length} bp without N was found in {_MOST_DRAWS} draws",
                hint="Take shorter windows, or name better regions in data.train",
            )
        if self.augment.reverse_complement and rng.random() < 0.5:
            return reverse_complement(codes), labels[self.mirror, ::-1]
        return codes, labels


def cut(
    source: TrackSource, stretch: Stretch, start: int, length: int, geometry: WindowGeometry
) -> tuple[Codes, Labels]:
    """Codes of a window (N beyond the stretch) and labels of its valid bases (unknown beyond it)."""
    codes = np.full(length, N, dtype=np.uint8)
    first, last = max(start, stretch.start), min(start + length, stretch.end)
    codes[first - start : last - start] = source.assembly.codes(stretch.contig, first, last)
    valid_from, valid_to = geometry.valid(length)
    rows = source.store.labels(stretch.contig, first, last)
    labels = np.full((rows.shape[0], length), MASKED, dtype=np.uint8)
    labels[:, first - start : last - start] = rows
    labels[:, codes == N] = MASKED
    return codes, labels[:, valid_from:valid_to]


def as_batch(windows: Sequence[tuple[Codes, Labels]]) -> TrackBatch:
    """Windows of one length as tensors."""
    codes = torch.from_numpy(np.stack([codes for codes, _ in windows]))
    labels = torch.from_numpy(np.stack([labels.T for _, labels in windows]))
    known = labels != MASKED
    return TrackBatch(codes, labels.float() * known, known)


def validation_batches(
    sources: Sequence[TrackSource],
    length: int,
    geometry: WindowGeometry,
    *,
    allows_n: bool,
    most_bases: int,
    rank: int,
    processes: int,
) -> Iterator[TrackBatch]:
    """Fixed consecutive windows of the held-out stretches, evenly thinned; every process gets its share."""
    windows = [
        (source, stretch, start)
        for source in sources
        for stretch in source.validate
        for start in range(stretch.start - stretch.start % geometry.start_multiple, stretch.end, length)
        if start + length <= stretch.end or stretch.bases < length
    ]
    wanted = max(1, most_bases // length)
    if len(windows) > wanted:
        windows = [windows[int(index)] for index in np.linspace(0, len(windows) - 1, wanted).round()]
    for source, stretch, start in windows[rank::processes]:
        codes, labels = cut(source, stretch, start, length, geometry)
        if allows_n or int(codes.max()) < N:
            yield as_batch([(codes, labels)])
