"""Predictions of any kind as streams of binned probabilities: tracks files, bigWig, bedGraph, npz, intervals.

Every source answers `bins(contig, start, end, tracks)`; bases of which it says nothing have probability 0. Blocks are
asked for from left to right, so that npz files can be unpacked as a stream.
"""

from __future__ import annotations

import zipfile
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from segnt_tools.elements import Strand, Track
from segnt_tools.errors import AnnotationFileError, TracksError
from segnt_tools.evaluation.metrics import BINS, Bins, bin_of
from segnt_tools.gff.lines import open_text
from segnt_tools.labels.collector import IntervalCollector
from segnt_tools.quantisation import PROBABILITY_OF_CODE
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.intervals import Intervals, clip, union
from segnt_tools.tracks.bigwig_reading import BigWigFile, as_probabilities
from segnt_tools.tracks.export import safe_name
from segnt_tools.tracks.file import Encoding, TracksReader

_ALL_STRANDS = (Strand.PLUS, Strand.MINUS, Strand.NONE)


class Prediction(ABC):
    """A source of binned probabilities.

    Attributes:
        tracks: names of its tracks.
        has_probabilities: False for intervals, for which curves and calibration mean nothing.
    """

    tracks: tuple[str, ...]
    has_probabilities = True

    @abstractmethod
    def bins(self, contig: str, start: int, end: int, tracks: Sequence[str]) -> Bins:
        """Bins of contig[start:end], shape (tracks, bases)."""

    def covered(self, contig: str, size: int) -> Intervals:
        """Bases of a contig that the prediction speaks of; all of them unless a source knows better."""
        del contig
        return np.array([[0, size]], dtype=np.int64)

    def offers(self, track: str) -> bool:
        """Whether a track can be had: as it is, or by joining its two strands."""
        return track in self.tracks or all(f"{track}{strand}" in self.tracks for strand in "+-")

    def joined(self, contig: str, start: int, end: int, tracks: Sequence[str]) -> Bins:
        """As `bins`, where a track may also be joined from its two strands: the higher probability counts."""
        wanted = [[name] if name in self.tracks else [f"{name}+", f"{name}-"] for name in tracks]
        flat = list(dict.fromkeys(name for names in wanted for name in names))
        rows = dict(zip(flat, self.bins(contig, start, end, flat), strict=True))
        return np.stack([np.maximum.reduce([rows[name] for name in names]) for names in wanted])

    def ignores_strand_of(self, track: str) -> bool:
        """Whether a track of one strand cannot be had because the prediction does not tell strands apart."""
        return track[-1] in "+-" and not self.offers(track) and self.offers(track[:-1])


class TracksPrediction(Prediction):
    """Tracks files.

    Raises:
        TracksError: damaged, or of another assembly.
    """

    def __init__(self, paths: Sequence[Path], assembly: Assembly) -> None:
        self._reader = TracksReader(paths)
        self._reader.require_assembly(assembly.fingerprint, assembly.path)
        self.tracks = tuple(track.name for track in self._reader.tracks if track.trained)
        self._index = {track.name: i for i, track in enumerate(self._reader.tracks)}
        encoding = self._reader.header.encoding
        self.has_probabilities = encoding is not Encoding.LABEL
        self._table: Bins | None = None
        if encoding is Encoding.LOGIT8:
            self._table = bin_of(PROBABILITY_OF_CODE)
        elif encoding is Encoding.LABEL:
            self._table = np.zeros(256, dtype=np.int16)
            self._table[1] = BINS - 1

    def bins(self, contig: str, start: int, end: int, tracks: Sequence[str]) -> Bins:
        """Bins straight from the stored codes."""
        rows = [self._index[name] for name in tracks]
        if self._table is not None:
            bins: Bins = self._table[self._reader.values(contig, start, end, rows)]
            return bins
        return bin_of(self._reader.probability(contig, start, end, rows))

    def covered(self, contig: str, size: int) -> Intervals:
        """What the files hold."""
        return union(np.array(self._reader.covered(contig), dtype=np.int64).reshape(-1, 2))


class BigWigPrediction(Prediction):
    """One bigWig file a track.

    Raises:
        TracksError: not bigWig, or a contig has another length than in the genome.
    """

    def __init__(self, files: Mapping[str, Path], lengths: Mapping[str, int]) -> None:
        self.tracks = tuple(files)
        self._files = {name: BigWigFile(path) for name, path in files.items()}
        for file in self._files.values():
            _require_lengths(file.lengths, lengths, file.path)

    def bins(self, contig: str, start: int, end: int, tracks: Sequence[str]) -> Bins:
        """Bins of the values; missing ones count as 0."""
        rows = np.zeros((len(tracks), end - start), dtype=np.int16)
        for row, name in zip(rows, tracks, strict=True):
            file = self._files[name]
            if contig in file.lengths:
                row[:] = bin_of(file.probability(contig, start, end))
        return rows


class RunsPrediction(Prediction):
    """Runs of equal probability held in memory: bedGraph, or a table of windows with scores.

    Args:
        files: one file a track, rows `contig start end value`, 0-based half-open, plain or gzipped.
        lengths: contigs of the genome.

    Raises:
        AnnotationFileError: a row is malformed, off the genome, no probability, or overlaps another.
    """

    def __init__(self, files: Mapping[str, Path], lengths: Mapping[str, int]) -> None:
        self.tracks = tuple(files)
        self._runs = {name: _read_runs(path, lengths) for name, path in files.items()}

    def bins(self, contig: str, start: int, end: int, tracks: Sequence[str]) -> Bins:
        """Bins painted from the runs."""
        rows = np.zeros((len(tracks), end - start), dtype=np.int16)
        for row, name in zip(rows, tracks, strict=True):
            if contig not in self._runs[name]:
                continue
            spans, values = self._runs[name][contig]
            low = int(np.searchsorted(spans[:, 1], start, side="right"))
            high = int(np.searchsorted(spans[:, 0], end, side="left"))
            inside = np.clip(spans[low:high], start, end) - start
            sizes = inside[:, 1] - inside[:, 0]
            first = np.repeat(inside[:, 0] - (np.cumsum(sizes) - sizes), sizes)
            row[first + np.arange(len(first))] = np.repeat(values[low:high], sizes)
        return rows


class NpzPrediction(Prediction):
    """npz files as `segnt tracks export` writes them: one a contig, `probability` of shape (bases, tracks).

    Raises:
        TracksError: an array is missing, or a file fits no contig.
    """

    def __init__(self, paths: Sequence[Path], lengths: Mapping[str, int]) -> None:
        safe = {safe_name(contig): contig for contig in lengths}
        self._streams: dict[str, list[_NpzStream]] = defaultdict(list)
        for path in paths:
            stream = _NpzStream(path)
            stem = path.name.removesuffix(".npz")
            contig = safe.get(stem) or safe.get(stem.rsplit(".", 1)[0])
            if contig is None or stream.start + stream.bases > lengths[contig]:
                raise TracksError(
                    "the file fits no contig of the genome", file=path, hint="Name it after its contig: CONTIG.npz"
                )
            self._streams[contig].append(stream)
        names = {stream.tracks for streams in self._streams.values() for stream in streams}
        if len(names) != 1:
            raise TracksError("the npz files hold different tracks", file=paths[0].parent)
        (self.tracks,) = names

    def bins(self, contig: str, start: int, end: int, tracks: Sequence[str]) -> Bins:
        """Bins of the next block."""
        rows = np.zeros((len(tracks), end - start), dtype=np.int16)
        columns = [self.tracks.index(name) for name in tracks]
        for stream in self._streams[contig]:
            left, right = max(start, stream.start), min(end, stream.start + stream.bases)
            if left < right:
                block = stream.read(left - stream.start, right - stream.start)[:, columns]
                rows[:, left - start : right - start] = bin_of(as_probabilities(block.T, stream.path))
        return rows

    def covered(self, contig: str, size: int) -> Intervals:
        """What the files hold."""
        spans = [(stream.start, stream.start + stream.bases) for stream in self._streams[contig]]
        return clip(union(np.array(spans, dtype=np.int64).reshape(-1, 2)), 0, size)


class _NpzStream:
    """Rows of a compressed array, read forwards; going back starts again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with np.load(path, allow_pickle=False) as arrays:
                self.tracks = tuple(str(name) for name in arrays["tracks"])
                self.start = int(arrays["start"]) if "start" in arrays else 0
            self._open()
        except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
            raise TracksError(f"this is no npz file of tracks ({error})", file=path) from error
        if len(self._shape) != 2 or self._shape[1] != len(self.tracks):
            raise TracksError(f"`probability` has shape {self._shape}, not (bases, {len(self.tracks)})", file=path)

    @property
    def bases(self) -> int:
        """Rows of the array."""
        return self._shape[0]

    def _open(self) -> None:
        self._archive = zipfile.ZipFile(self.path)
        self._handle: IO[bytes] = self._archive.open("probability.npy")
        version = np.lib.format.read_magic(self._handle)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        self._shape, fortran, self._dtype = read(self._handle)
        if fortran and self._shape[-1] != 1:
            raise ValueError("`probability` is in Fortran order")
        self._next = 0

    def read(self, start: int, end: int) -> NDArray[np.floating]:
        """Rows [start, end)."""
        if start < self._next:
            self._archive.close()
            self._open()
        row_bytes = self._shape[1] * self._dtype.itemsize
        while self._next < start:
            count = min(start - self._next, 1 << 18)
            self._handle.read(count * row_bytes)
            self._next += count
        data = self._handle.read((end - start) * row_bytes)
        self._next = end
        rows: NDArray[Any] = np.frombuffer(data, dtype=self._dtype).reshape(-1, self._shape[1])
        return rows


class IntervalPrediction(Prediction):
    """Intervals: probability 1 inside, 0 elsewhere. Where all intervals of an element have a strand, its strands can be
    had as well.

    Args:
        collector: intervals by contig, element and strand.
        tracks: the tracks it speaks of.
    """

    has_probabilities = False

    def __init__(self, collector: IntervalCollector, tracks: Sequence[str]) -> None:
        self.tracks = tuple(tracks)
        self._collector = collector
        self._cache: dict[tuple[str, str], Intervals] = {}

    def offers(self, track: str) -> bool:
        """As it is, or one strand of it where strands are known."""
        one = Track.parse(track)
        if one.strand is Strand.NONE or track in self.tracks:
            return track in self.tracks
        return one.element in self.tracks and not self._collector.has_strandless(one.element)

    def joined(self, contig: str, start: int, end: int, tracks: Sequence[str]) -> Bins:
        """As `bins`, which joins strands or takes one of them."""
        return self.bins(contig, start, end, tracks)

    def _intervals(self, contig: str, name: str) -> Intervals:
        if (contig, name) not in self._cache:
            track = Track.parse(name)
            strands = _ALL_STRANDS if track.strand is Strand.NONE else (track.strand,)
            self._cache[contig, name] = self._collector.intervals(contig, track.element, strands)
        return self._cache[contig, name]

    def bins(self, contig: str, start: int, end: int, tracks: Sequence[str]) -> Bins:
        """The first bin outside, the last inside."""
        rows = np.zeros((len(tracks), end - start), dtype=np.int16)
        for row, name in zip(rows, tracks, strict=True):
            inside: Intervals = clip(self._intervals(contig, name), start, end) - start
            for left, right in inside.tolist():
                row[left:right] = BINS - 1
        return rows


def _require_lengths(found: Mapping[str, int], lengths: Mapping[str, int], path: Path) -> None:
    for contig, size in found.items():
        if contig in lengths and lengths[contig] != size:
            raise TracksError(
                f"contig {contig} has {size} bases here and {lengths[contig]} in the genome",
                file=path,
                hint="The file was made from another assembly",
            )
    if not any(contig in lengths for contig in found):
        raise TracksError(f"none of its contigs ({', '.join(list(found)[:3])}) is in the genome", file=path)


def _read_runs(path: Path, lengths: Mapping[str, int]) -> dict[str, tuple[Intervals, Bins]]:
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    scores: dict[str, list[float]] = defaultdict(list)
    with open_text(path) as handle:
        for number, line in enumerate(handle, 1):
            fields = line.split()
            if not fields or line.startswith(("#", "track", "browser")):
                continue
            try:
                contig, start, end, value = fields[0], int(fields[1]), int(fields[2]), float(fields[3])
            except (IndexError, ValueError) as error:
                if number == 1:
                    continue  # a line of column names
                raise AnnotationFileError("not `contig start end value`", file=path, line=number) from error
            if contig not in lengths or not 0 <= start < end <= lengths[contig]:
                raise AnnotationFileError(f"{contig}:{start}-{end} is not in the genome", file=path, line=number)
            if not 0 <= value <= 1:
                raise AnnotationFileError(f"{value} is no probability", file=path, line=number)
            spans[contig].append((start, end))
            scores[contig].append(value)
    if not spans:
        raise AnnotationFileError("the file has no row", file=path)
    return {contig: _sorted_runs(spans[contig], scores[contig], contig, path) for contig in spans}


def _sorted_runs(spans: list[tuple[int, int]], scores: list[float], contig: str, path: Path) -> tuple[Intervals, Bins]:
    array = np.array(spans, dtype=np.int64)
    order = np.argsort(array[:, 0], kind="stable")
    array, values = array[order], bin_of(np.array(scores)[order])
    clash = np.flatnonzero(array[1:, 0] < array[:-1, 1])
    if len(clash):
        start, end = array[clash[0] + 1]
        raise AnnotationFileError(
            f"rows overlap at {contig}:{start}-{end}", file=path, hint="Give every base one value"
        )
    return array, values
