"""Probabilities from bigWig files, one file a track, named as `segnt tracks export` names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
from numpy.typing import NDArray

from segnt_tools.elements import Track
from segnt_tools.errors import TracksError
from segnt_tools.sequence.assembly import Contig
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.tracks.file import BATCH_BASES, in_batches

BIGWIG_SUFFIXES = (".bw", ".bigwig")

FloatArray = NDArray[np.float32]


def track_of_file(path: Path) -> str:
    """Name of the track that a file is named after: `exon.plus.bw` holds `exon+`."""
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    return stem.replace(".plus", "+").replace(".minus", "-")


def as_probabilities(values: NDArray[Any], path: Path) -> NDArray[Any]:
    """Values of which missing ones (NaN) count as 0.

    Raises:
        TracksError: some are no probabilities.
    """
    known: NDArray[Any] = np.nan_to_num(values, nan=0.0)
    if known.size and (known.min() < 0 or known.max() > 1):
        raise TracksError(
            f"values from {known.min():g} to {known.max():g} are no probabilities", file=path, hint="Scale them to 0..1"
        )
    return known


class BigWigFile:
    """One bigWig file of probabilities.

    Attributes:
        path: the file.
        lengths: contigs and their lengths, in the order of the file.

    Raises:
        TracksError: no such file, or not bigWig.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise TracksError("no such file", file=path)
        if path.is_dir():
            raise TracksError("this is a folder, not a bigWig file", file=path)
        try:
            self._file = pyBigWig.open(str(path))
            is_bigwig = bool(self._file.isBigWig())
            self.lengths: dict[str, int] = dict(self._file.chroms() or {}) if is_bigwig else {}
        except RuntimeError as error:
            raise TracksError("this is not a bigWig file, or it is damaged", file=path) from error
        if not is_bigwig:
            raise TracksError("this is not a bigWig file", file=path)

    def probability(self, contig: str, start: int, end: int) -> NDArray[Any]:
        """Probabilities of contig[start:end], 0 where the file has no value.

        Raises:
            TracksError: the file is damaged, or holds no probabilities.
        """
        try:
            values = self._file.values(contig, start, end, numpy=True)
        except RuntimeError as error:
            raise TracksError(f"the file is damaged: cannot read {contig}", file=self.path) from error
        return as_probabilities(values, self.path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class BigWigReader:
    """Several bigWig files of one assembly as one source of tracks, like a TracksReader.

    Args:
        files: by track.

    Attributes:
        paths: the files.
        tracks: the tracks, in the order of the first axis of what the methods return.
        contigs: of the first file, without digests.

    Raises:
        TracksError: a file is missing or not bigWig, or has other contigs than the first.
    """

    def __init__(self, files: Mapping[Track, Path]) -> None:
        if not files:
            raise TracksError("no bigWig file given")
        self.paths = tuple(files.values())
        self.tracks = tuple(files)
        self._files: list[BigWigFile] = []
        try:
            for path in self.paths:
                self._files.append(BigWigFile(path))
                self._require_same(self._files[-1])
        except BaseException:
            self.close()
            raise
        self.contigs = tuple(Contig(name, length, "") for name, length in self._files[0].lengths.items())

    @property
    def bases(self) -> int:
        """Bases of all contigs."""
        return sum(contig.length for contig in self.contigs)

    def covered(self, contig: str) -> tuple[tuple[int, int], ...]:
        """The whole contig: where a file has no value the probability is 0."""
        return ((0, self._files[0].lengths[contig]),)

    def batches(self, contigs: Iterable[str] | None = None, bases: int = BATCH_BASES) -> Iterator[list[Stretch]]:
        """All contigs in pieces to be read at once, as TracksReader.batches."""
        lengths = self._files[0].lengths
        return in_batches((Stretch(contig, 0, lengths[contig]) for contig in contigs or lengths), bases)

    def codes_or_probability_of(self, pieces: Sequence[Stretch], tracks: Sequence[int]) -> FloatArray:
        """Probabilities of several pieces one after the other, float32 (tracks, bases)."""
        result = np.empty((len(tracks), sum(piece.bases for piece in pieces)), dtype=np.float32)
        for row, track in zip(result, tracks, strict=True):
            first = 0
            for piece in pieces:
                values = self._files[track].probability(piece.contig, piece.start, piece.end)
                row[first : first + piece.bases] = values
                first += piece.bases
        return result

    def _require_same(self, file: BigWigFile) -> None:
        ours, theirs = self._files[0].lengths, file.lengths
        if ours == theirs:
            return
        contig = next(name for name in [*ours, *theirs] if ours.get(name) != theirs.get(name))
        here, there = (f"{lengths[contig]} bases" if contig in lengths else "absent" for lengths in (theirs, ours))
        raise TracksError(
            f"contig {contig} is {here} here and {there} in {self.paths[0]}",
            file=file.path,
            hint="All bigWig files must come from one assembly",
        )

    def close(self) -> None:
        """Close all files."""
        for file in self._files:
            file.close()
        self._files.clear()

    def __enter__(self) -> BigWigReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
