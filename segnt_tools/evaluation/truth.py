"""The truth of an evaluation base by base: a labels file, or labels made from an annotation while it is scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segnt_tools.elements import Track
from segnt_tools.errors import TracksError
from segnt_tools.labels.annotation import Annotation
from segnt_tools.labels.build import labels_of
from segnt_tools.labels.labelset import LabelSources, TrackLabels, paint_labels
from segnt_tools.labels.rules import LabelRules
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.intervals import Intervals, union
from segnt_tools.tracks.file import TracksReader


class Truth(ABC):
    """Labels of some tracks.

    Attributes:
        tracks: names of the tracks whose truth is known.
    """

    tracks: tuple[str, ...]

    @abstractmethod
    def labels(self, contig: str, start: int, end: int, tracks: Sequence[str]) -> NDArray[np.uint8]:
        """Labels of contig[start:end], shape (tracks, bases): 0 absent, 1 present, 255 masked."""

    def covered(self, contig: str, size: int) -> Intervals:
        """Bases of a contig that have labels."""
        del contig
        return np.array([[0, size]], dtype=np.int64)


class LabelsFileTruth(Truth):
    """A labels file, as `segnt labels` writes it.

    Raises:
        TracksError: damaged, no labels, or of another assembly.
    """

    def __init__(self, path: Path, assembly: Assembly) -> None:
        self._reader = TracksReader(path)
        if self._reader.header.kind != "label":
            raise TracksError("these are predictions, not labels", file=path, hint="Make labels with segnt labels")
        self._reader.require_assembly(assembly.fingerprint, assembly.path)
        self.tracks = tuple(track.name for track in self._reader.tracks)

    def labels(self, contig: str, start: int, end: int, tracks: Sequence[str]) -> NDArray[np.uint8]:
        """Labels as stored."""
        rows = [self.tracks.index(name) for name in tracks]
        values: NDArray[np.uint8] = self._reader.values(contig, start, end, rows)
        return values

    def covered(self, contig: str, size: int) -> Intervals:
        """What the file holds."""
        return union(np.array(self._reader.covered(contig), dtype=np.int64).reshape(-1, 2))


class AnnotationTruth(Truth):
    """Labels made from an annotation by rules.

    Args:
        annotation: GFF3 or GTF that was read.
        assembly: the genome.
        tracks: names of the tracks wanted.
        rules: those by which the annotation was read.
    """

    def __init__(self, annotation: Annotation, assembly: Assembly, tracks: Sequence[str], rules: LabelRules) -> None:
        self.tracks = tuple(tracks)
        sources = LabelSources(annotations=[annotation])
        self._labels = labels_of(sources, assembly, [Track.parse(name) for name in tracks], rules)
        self._contig = ""
        self._on_contig: dict[str, TrackLabels] = {}

    def labels(self, contig: str, start: int, end: int, tracks: Sequence[str]) -> NDArray[np.uint8]:
        """Labels painted from intervals; those of one contig at a time are kept."""
        if contig != self._contig:
            self._contig = contig
            self._on_contig = {name: self._labels.track(contig, Track.parse(name)) for name in self.tracks}
        return paint_labels([self._on_contig[name] for name in tracks], start, end)
