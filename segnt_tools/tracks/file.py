"""The tracks file: per-base values of every track of a shard (or labels of a genome), in one HDF5 file.

Layout, format version 1:

    /                attributes: `header`, a JSON text (see TracksHeader), and `complete`, set last
    /values          the values of all pieces one after the other, shape (tracks, bases), chunked and compressed
    /pieces/contig   index into the contig names, start, end and offset in /values of every piece
    /pieces/start, /pieces/end, /pieces/offset
    /planned/contig  only where not whole contigs were to be predicted: the regions that the run is to cover of the
    /planned/start, /planned/end     contigs of this file, in this file or in others
    /contigs/name, /contigs/length, /contigs/md5

Values are 8-bit logit codes (see segnt_tools.quantisation), float16 or float32 logits, or labels: 0 absent, 1 present,
255 masked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib
from isal.igzip_lib import IsalError
from numpy.typing import NDArray
from scipy.special import expit

from segnt_tools.elements import Track
from segnt_tools.errors import TracksError
from segnt_tools.files import atomic_path
from segnt_tools.logs import logger
from segnt_tools.quantisation import LOGIT_OF_CODE, PROBABILITY_OF_CODE, quantise
from segnt_tools.sequence.assembly import Contig
from segnt_tools.sequence.intervals import joined
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.tracks.deflate import packed

FORMAT = "segnt-tracks"
FORMAT_VERSION = 1
CHUNK_BASES = 1 << 18
MASKED = 255
# A batch of short contigs ends inside a chunk of every track, which the next batch goes on with.
_CHUNKS_REMEMBERED_OF_A_TRACK = 6
_LEAST_CHUNKS_REMEMBERED = 64
BATCH_BASES = 1 << 20
_MOST_SPANS_COPIED = 64
# What a machine chooses for itself. Shards of one run may come from machines that differ in it: almost the same values.
MACHINE_SETTINGS = ("precision", "device")

FloatArray = NDArray[np.float32]


class Encoding(StrEnum):
    """How values are stored."""

    LOGIT8 = "uint8"
    FLOAT16 = "float16"
    FLOAT32 = "float32"
    LABEL = "label"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type in the file."""
        return np.dtype({"uint8": np.uint8, "label": np.uint8}.get(self.value, self.value))


@dataclass(frozen=True, slots=True)
class TracksHeader:
    """What a tracks file says about itself.

    Attributes:
        tracks: the tracks in the order of the values.
        encoding: how values are stored.
        assembly: fingerprint of the assembly.
        model: name of the checkpoint (or `labels`).
        model_fingerprint: digest of its weights and configuration.
        card: the card's values, so that calling needs no checkpoint; empty for labels.
        settings: what else decides the values: window, overlap, strands, precision.
        tool_version: version of segnt_tools that wrote the file.
        shard: 1-based shard number, 0 for a whole assembly.
    """

    tracks: tuple[Track, ...]
    encoding: Encoding
    assembly: str
    model: str
    model_fingerprint: str
    card: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    tool_version: str = ""
    shard: int = 0

    @property
    def kind(self) -> str:
        """`label` or `probability`."""
        return "label" if self.encoding is Encoding.LABEL else "probability"

    def to_json(self) -> str:
        """The header as stored."""
        return json.dumps(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "tracks": [{"name": track.name, "trained": track.trained} for track in self.tracks],
                "encoding": self.encoding.value,
                "assembly": self.assembly,
                "model": self.model,
                "model_fingerprint": self.model_fingerprint,
                "card": dict(self.card),
                "settings": dict(self.settings),
                "tool_version": self.tool_version,
                "shard": self.shard,
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str, path: Path) -> TracksHeader:
        """The header of a file.

        Raises:
            TracksError: another format or version, or damaged.
        """
        try:
            values = json.loads(text)
            if values.pop("format") != FORMAT:
                raise TracksError("this is not a tracks file", file=path)
            if (version := values.pop("format_version")) != FORMAT_VERSION:
                raise TracksError(
                    f"tracks format version {version}; this program reads {FORMAT_VERSION}",
                    file=path,
                    hint="Predict again with this version",
                )
            values["tracks"] = tuple(Track.parse(track["name"], track["trained"]) for track in values["tracks"])
            values["encoding"] = Encoding(values["encoding"])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise TracksError(f"the header is damaged ({error})", file=path) from error


class TracksWriter:
    """Writes the values of one file; every piece must be written completely, from left to right.

    Chunks are compressed by threads, as HDF5's own gzip filter would and readable by it. One
    chunk of all tracks is packed and written in the background while the next is filled: who computes the values does
    not wait for the disk, and gets no further ahead of it than that.
    """

    def __init__(
        self,
        path: Path,
        header: TracksHeader,
        contigs: Sequence[Contig],
        pieces: Sequence[Stretch],
        threads: int = 1,
        planned: Mapping[str, Sequence[Stretch]] | None = None,
    ) -> None:
        self._path = path
        self._header = header
        self._pieces = {(piece.contig, piece.start): piece for piece in pieces}
        ends = np.cumsum([piece.bases for piece in pieces], dtype=np.int64)
        self._offset_of = {
            (piece.contig, piece.start): int(end) - piece.bases for piece, end in zip(pieces, ends, strict=True)
        }
        total = int(ends[-1]) if len(ends) else 0
        self._chunk = max(1, min(CHUNK_BASES, total))
        self._next = 0
        self._filled = 0
        self._total = total
        self._buffer = np.zeros((len(header.tracks), self._chunk), dtype=header.encoding.dtype)
        self._spare: NDArray[Any] | None = None  # the buffer that is written, or has been
        self._packers = ThreadPoolExecutor(max(1, threads), "segnt_packer")
        self._writer = ThreadPoolExecutor(1, "segnt_writer")
        self._writing: Future[None] | None = None
        self._file = h5py.File(path, "w", libver=("v110", "v110"))
        self._file.attrs["header"] = header.to_json()
        self._values = self._file.create_dataset(
            "values",
            shape=(len(header.tracks), total),
            dtype=header.encoding.dtype,
            chunks=(1, self._chunk),
            compression="gzip",
            compression_opts=1,
        )
        self._write_index(contigs, pieces, planned or {})

    def _write_index(
        self, contigs: Sequence[Contig], pieces: Sequence[Stretch], planned: Mapping[str, Sequence[Stretch]]
    ) -> None:
        used = {piece.contig for piece in pieces}
        contigs = [contig for contig in contigs if contig.name in used]
        number = {contig.name: i for i, contig in enumerate(contigs)}
        text = h5py.string_dtype("utf-8")
        group = self._file.create_group("contigs")
        group.create_dataset("name", data=[contig.name for contig in contigs], dtype=text)
        group.create_dataset("length", data=np.array([contig.length for contig in contigs], dtype=np.int64))
        group.create_dataset("md5", data=[contig.md5 for contig in contigs], dtype=text)
        group = self._file.create_group("pieces")
        columns = {
            "contig": [number[piece.contig] for piece in pieces],
            "start": [piece.start for piece in pieces],
            "end": [piece.end for piece in pieces],
            "offset": [self._offset_of[piece.contig, piece.start] for piece in pieces],
        }
        for name, values in columns.items():
            group.create_dataset(name, data=np.array(values, dtype=np.int64), compression="gzip", shuffle=True)
        rows = [
            (number[contig.name], region.start, region.end)
            for contig in contigs
            for region in planned.get(contig.name, ())
            if region.bases < contig.length
        ]
        if rows:
            group = self._file.create_group("planned")
            for name, column in zip(("contig", "start", "end"), np.array(rows, dtype=np.int64).T, strict=True):
                group.create_dataset(name, data=column, compression="gzip", shuffle=True)

    def write(self, values: NDArray[Any]) -> None:
        """Append values of shape (tracks, bases) in the order of the pieces.

        Float logits; or uint8, which are taken as they are: logit codes or labels.
        """
        if self._header.encoding is Encoding.LOGIT8 and values.dtype != np.uint8:
            values = quantise(values)
        position = 0
        while position < values.shape[1]:
            count = min(self._chunk - self._filled, values.shape[1] - position)
            self._buffer[:, self._filled : self._filled + count] = values[:, position : position + count]
            self._filled += count
            position += count
            if self._filled == self._chunk:
                self._flush()

    def _flush(self) -> None:
        """Hand the buffer over to be written, once the one before is on its way to the disk."""
        self._wait()
        # A partial last chunk keeps zeros behind its end, as HDF5 does.
        self._buffer[:, self._filled :] = 0
        self._writing = self._writer.submit(self._write_chunks, self._buffer, self._next)
        self._next += self._filled
        self._filled = 0
        self._buffer, self._spare = np.zeros_like(self._buffer) if self._spare is None else self._spare, self._buffer

    def _write_chunks(self, values: NDArray[Any], start: int) -> None:
        chunks = self._packers.map(lambda row: packed(row.tobytes()), values)
        for track, chunk in enumerate(chunks):
            self._values.id.write_direct_chunk((track, start), chunk)

    def _wait(self) -> None:
        """Wait for what is being written, and raise what went wrong there."""
        if self._writing is not None:
            self._writing.result()

    def close(self) -> None:
        """Flush, check that every base was written, and mark the file complete."""
        if self._filled:
            self._flush()
        self._wait()
        if self._next != self._total:
            raise TracksError(f"{self._next} of {self._total} bases were written", file=self._path)
        self._file.attrs["complete"] = True
        self.release()

    def release(self) -> None:
        """End the threads and close the file as it is."""
        self._writer.shutdown()
        self._packers.shutdown()
        self._file.close()


@contextmanager
def tracks_writer(
    path: Path,
    header: TracksHeader,
    contigs: Sequence[Contig],
    pieces: Sequence[Stretch],
    threads: int = 1,
    planned: Mapping[str, Sequence[Stretch]] | None = None,
) -> Iterator[TracksWriter]:
    """A writer whose file appears under its name only when it is complete.

    Args:
        path: the file.
        header: what it says about itself.
        contigs: of the assembly; those with a piece are stored.
        pieces: what will be written, in this order.
        threads: that compress.
        planned: by contig, the regions that this file and others will hold together; whole contigs by default.
    """
    with atomic_path(path) as temporary:
        writer = TracksWriter(temporary, header, contigs, pieces, threads, planned)
        try:
            yield writer
            writer.close()
        finally:
            writer.release()


@dataclass(frozen=True, slots=True)
class _StoredPiece:
    start: int
    end: int
    offset: int
    file: int


_Span = tuple[int, int, int, int]  # file, first base in it, first base in what is asked for, bases


def _joined(spans: Sequence[_Span]) -> list[_Span]:
    """Sorted spans, joined where they touch in a file; their targets follow one another."""
    joined: list[_Span] = []
    target = 0
    for file, offset, _, size in spans:
        if joined and joined[-1][0] == file and joined[-1][1] + joined[-1][3] == offset:
            joined[-1] = (file, joined[-1][1], joined[-1][2], joined[-1][3] + size)
        else:
            joined.append((file, offset, target, size))
        target += size
    return joined


def in_batches(stretches: Iterable[Stretch], bases: int) -> Iterator[list[Stretch]]:
    """Stretches of contigs in pieces that are read at once: long ones bit by bit, short ones together.

    Args:
        stretches: in the order wanted.
        bases: of a batch, at most; pieces of a long stretch begin at multiples of it from the stretch's start.
    """
    batch: list[Stretch] = []
    free = bases
    for stretch in stretches:
        if stretch.bases > free and batch:
            yield batch
            batch, free = [], bases
        if stretch.bases > bases:
            for position in range(stretch.start, stretch.end, bases):
                yield [Stretch(stretch.contig, position, min(position + bases, stretch.end))]
        else:
            batch.append(stretch)
            free -= stretch.bases
    if batch:
        yield batch


class TracksReader:
    """Reads one or several tracks files of one model and one assembly as if they were one.

    Raises:
        TracksError: a file is missing, damaged, incomplete, or made by another model, from another assembly or with
            other settings than the rest (arithmetic and device apart: of them the log warns), or two files hold the
            same bases.
    """

    def __init__(self, paths: Sequence[Path | str] | Path | str) -> None:
        given = [paths] if isinstance(paths, (str, Path)) else list(paths)
        if not given:
            raise TracksError("no tracks file given")
        self.paths = tuple(Path(path) for path in given)
        self._files: list[h5py.File] = []
        self._contigs: dict[str, Contig] = {}
        self._pieces: dict[str, list[_StoredPiece]] = {}
        self._planned: dict[str, tuple[Stretch, ...]] = {}
        self._covered: dict[str, tuple[tuple[int, int], ...]] = {}
        self._chunk_bases: list[int] = []
        self._remembered: dict[tuple[int, int, int], NDArray[Any]] = {}
        self._lock = Lock()
        try:
            headers = [self._open(path) for path in self.paths]
        except BaseException:
            self.close()
            raise
        self.header = headers[0]
        for path, header in zip(self.paths[1:], headers[1:], strict=True):
            self._require_same(header, path)
        self._arithmetics = sorted({tuple(str(h.settings.get(key, "")) for key in MACHINE_SETTINGS) for h in headers})
        if len(self._arithmetics) > 1:
            logger.warning(
                "the tracks files were predicted in %s: their probabilities may differ in the third digit "
                "(segnt predict --precision makes all alike)",
                " and ".join(" on ".join(arithmetic) for arithmetic in self._arithmetics),
            )
        self._most_remembered = max(_LEAST_CHUNKS_REMEMBERED, _CHUNKS_REMEMBERED_OF_A_TRACK * len(headers[0].tracks))
        self._sort_pieces()

    @property
    def contigs(self) -> tuple[Contig, ...]:
        """Contigs with at least one piece, in the order of the files."""
        return tuple(self._contigs.values())

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks, in the order of the first axis of what the methods return."""
        return self.header.tracks

    @property
    def settings(self) -> dict[str, Any]:
        """How the values were made; where machines differ in their arithmetic, all of it."""
        every = zip(MACHINE_SETTINGS, zip(*self._arithmetics, strict=True), strict=True)
        of_machines = {key: ", ".join(dict.fromkeys(values)) for key, values in every}
        own = dict(self.header.settings)
        return own | {key: value for key, value in of_machines.items() if key in own}

    def index(self, name: str) -> int:
        """Position of a track such as `exon` or `exon+`.

        Raises:
            TracksError: there is no such track.
        """
        for i, track in enumerate(self.tracks):
            if track.name == name:
                return i
        known = ", ".join(track.name for track in self.tracks)
        raise TracksError(f"no track {name}", file=self.paths[0], hint=f"There are: {known}")

    @property
    def bases(self) -> int:
        """Bases that the files hold."""
        return sum(piece.end - piece.start for pieces in self._pieces.values() for piece in pieces)

    def covered(self, contig: str) -> tuple[tuple[int, int], ...]:
        """Stretches of a contig that the files hold, joined where they touch, 0-based half-open."""
        known = self._covered.get(contig)
        if known is None:
            known = joined((piece.start, piece.end) for piece in self._pieces.get(contig, ()))
            self._covered[contig] = known
        return known

    def planned(self, contig: str) -> tuple[Stretch, ...]:
        """What these files and others hold of a contig together: all of it, or the regions that were asked for."""
        return self._planned.get(contig) or (Stretch(contig, 0, self._contigs[contig].length),)

    def require_whole_contigs(self) -> None:
        """Calling needs whole contigs, or all of the regions that were to be predicted, so that no border shows.

        Raises:
            TracksError: a contig is not covered from end to end, or not all of its regions are.
        """
        for contig in self.contigs:
            if self.covered(contig.name) != tuple((piece.start, piece.end) for piece in self.planned(contig.name)):
                held = ", ".join(f"{start + 1}-{end}" for start, end in self.covered(contig.name))
                raise TracksError(
                    f"contig {contig.name} of {contig.length} bases is not complete: there are {held}",
                    file=self.paths[0],
                    hint="Give the tracks files of all shards of the group (see shards.tsv)",
                )

    def require_assembly(self, fingerprint: str, path: Path) -> None:
        """Make sure that the tracks belong to an assembly.

        Raises:
            TracksError: they were made from another one.
        """
        if self.header.assembly != fingerprint:
            raise TracksError(
                f"these tracks were made from another assembly than {path}",
                file=self.paths[0],
                hint="Give the FASTA or preprocess folder that the prediction used",
            )

    def values(self, contig: str, start: int, end: int, tracks: Sequence[int] | None = None) -> NDArray[Any]:
        """Stored values of contig[start:end], shape (tracks, bases), in the file's own type.

        Raises:
            TracksError: bases are missing, or the file is damaged.
        """
        return self.values_of([Stretch(contig, start, end)], tracks)

    def batches(self, contigs: Iterable[str] | None = None, bases: int = BATCH_BASES) -> Iterator[list[Stretch]]:
        """What the files hold, in pieces for values_of: stretches of a long contig one by one, short contigs together.

        Thousands of short contigs that are read at once cost no more than one long one.

        Args:
            contigs: which, in the order wanted; by default all, in the order of the files.
            bases: of a batch, at most.
        """
        wanted = self._contigs if contigs is None else contigs
        stretches = (Stretch(contig, start, end) for contig in wanted for start, end in self.covered(contig))
        return in_batches(stretches, bases)

    def values_of(self, pieces: Sequence[Stretch], tracks: Sequence[int] | None = None) -> NDArray[Any]:
        """Stored values of several pieces one after the other, shape (tracks, bases), in the file's own type.

        Raises:
            TracksError: bases are missing, or the file is damaged.
        """
        rows = list(range(len(self.tracks))) if tracks is None else list(tracks)
        spans = self._spans(pieces)
        result = np.empty((len(rows), sum(piece.bases for piece in pieces)), dtype=self.header.encoding.dtype)
        if len(spans) <= _MOST_SPANS_COPIED:
            for i, row in enumerate(rows):
                for file, offset, target, size in spans:
                    self._read(file, row, offset, result[i, target : target + size])
            return result
        # Contigs of several files, taking turns: read each file from one place on, then put the bases in order.
        spans.sort()
        joined = _joined(spans)
        order = np.array(spans, dtype=np.int64)
        sizes, read_at = order[:, 3], np.cumsum(order[:, 3]) - order[:, 3]
        places = np.repeat(order[:, 2] - read_at, sizes) + np.arange(result.shape[1])
        scratch = np.empty(result.shape[1], dtype=result.dtype)
        for i, row in enumerate(rows):
            for file, offset, target, size in joined:
                self._read(file, row, offset, scratch[target : target + size])
            result[i, places] = scratch
        return result

    def _spans(self, pieces: Sequence[Stretch]) -> list[_Span]:
        """Where the bases of these pieces lie, joined where the files hold them in the same order.

        Raises:
            TracksError: bases are missing.
        """
        spans: list[_Span] = []
        target = 0
        last_file, last_end = -1, -1
        for piece in pieces:
            position = piece.start
            for stored in self._pieces.get(piece.contig, ()):
                if stored.end <= position:
                    continue
                if stored.start > position or position >= piece.end:
                    break
                size = min(stored.end, piece.end) - position
                offset = stored.offset + position - stored.start
                if stored.file == last_file and offset == last_end:
                    file, first, begun, before = spans[-1]
                    spans[-1] = (file, first, begun, before + size)
                else:
                    spans.append((stored.file, offset, target, size))
                last_file, last_end = stored.file, offset + size
                position += size
                target += size
            if position < piece.end:
                raise TracksError(f"no values for {piece.contig}:{position + 1}-{piece.end}", file=self.paths[0])
        return spans

    def _read(self, file: int, row: int, start: int, target: NDArray[Any]) -> None:
        """Copy stored values of one track, from position `start` of the file on, into `target`."""
        position, end = start, start + target.size
        while position < end:
            number, inside = divmod(position, self._chunk_bases[file])
            chunk = self._chunk(file, row, number)
            count = min(chunk.size - inside, end - position)
            target[position - start : position - start + count] = chunk[inside : inside + count]
            position += count

    def _chunk(self, file: int, row: int, number: int) -> NDArray[Any]:
        """One chunk, unpacked; the last ones used are remembered."""
        key = (file, row, number)
        with self._lock:
            chunk = self._remembered.pop(key, None)
        if chunk is None:
            chunk = self._unpack_chunk(file, row, number)
        with self._lock:
            while len(self._remembered) >= self._most_remembered:
                self._remembered.pop(next(iter(self._remembered)))
            self._remembered[key] = chunk
        return chunk

    def _unpack_chunk(self, file: int, row: int, number: int) -> NDArray[Any]:
        bases = self._chunk_bases[file]
        try:
            with self._lock:
                _, stored = self._files[file]["values"].id.read_direct_chunk((row, number * bases))
            chunk = np.frombuffer(isal_zlib.decompress(stored), dtype=self.header.encoding.dtype)
        except (OSError, IsalError, ValueError) as error:  # type: ignore[misc]  # its stub says it is no class
            raise TracksError(
                f"the file is damaged ({error})", file=self.paths[file], hint="Run segnt predict again"
            ) from error
        if chunk.size != bases:
            raise TracksError("the file is damaged (a chunk is cut short)", file=self.paths[file])
        return chunk

    def probability(self, contig: str, start: int, end: int, tracks: Sequence[int] | None = None) -> FloatArray:
        """Probabilities of contig[start:end], float32 (tracks, bases); labels are 0, 1 or NaN where masked."""
        return self.probability_of([Stretch(contig, start, end)], tracks)

    def probability_of(self, pieces: Sequence[Stretch], tracks: Sequence[int] | None = None) -> FloatArray:
        """Probabilities of several pieces one after the other, as `probability` gives them."""
        values = self.values_of(pieces, tracks)
        result: FloatArray
        match self.header.encoding:
            case Encoding.LOGIT8:
                result = PROBABILITY_OF_CODE[values]
            case Encoding.LABEL:
                result = np.where(values == MASKED, np.float32(np.nan), values.astype(np.float32))
            case _:
                result = expit(values.astype(np.float32))
        return result

    def codes_or_probability_of(self, pieces: Sequence[Stretch], tracks: Sequence[int]) -> NDArray[Any]:
        """Several pieces one after the other: 8-bit codes where the file stores them, else float32 probabilities."""
        is_coded = self.header.encoding is Encoding.LOGIT8
        return self.values_of(pieces, tracks) if is_coded else self.probability_of(pieces, tracks)

    def logits(self, contig: str, start: int, end: int, tracks: Sequence[int] | None = None) -> FloatArray:
        """Logits of contig[start:end], float32 (tracks, bases); minus infinity where the probability is 0."""
        values = self.values(contig, start, end, tracks)
        result: FloatArray
        match self.header.encoding:
            case Encoding.LOGIT8:
                result = LOGIT_OF_CODE[values]
            case Encoding.LABEL:
                raise TracksError("labels have no logits", file=self.paths[0])
            case _:
                result = values.astype(np.float32)
        return result

    def close(self) -> None:
        """Close all files."""
        for file in self._files:
            file.close()
        self._files.clear()

    def __enter__(self) -> TracksReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, path: Path) -> TracksHeader:
        if not path.exists():
            raise TracksError("no such file", file=path)
        if path.is_dir():
            raise TracksError("this is a folder, not a tracks file", file=path)
        number = len(self._files)
        try:
            file = h5py.File(path, "r", locking=False)
        except OSError as error:
            raise TracksError(
                "this is not a tracks file, or it is damaged", file=path, hint="Run segnt predict again"
            ) from error
        self._files.append(file)
        if "header" not in file.attrs:
            raise TracksError("this HDF5 file is not a tracks file", file=path)
        header = TracksHeader.from_json(str(file.attrs["header"]), path)
        if not file.attrs.get("complete", False):
            raise TracksError("the file is incomplete", file=path, hint="Run segnt predict again")
        try:
            self._read_index(file, number, path)
            self._chunk_bases.append(int(file["values"].chunks[1]))
        except (KeyError, OSError, TypeError, ValueError) as error:
            raise TracksError(f"the file is damaged ({error})", file=path, hint="Run segnt predict again") from error
        return header

    def _read_index(self, file: h5py.File, number: int, path: Path) -> None:
        names = file["contigs/name"].asstr()[:]
        lengths = file["contigs/length"][:].tolist()
        digests = file["contigs/md5"].asstr()[:]
        for name, length, md5 in zip(names, lengths, digests, strict=True):
            contig = Contig(str(name), length, str(md5))
            if self._contigs.setdefault(contig.name, contig) != contig:
                raise TracksError(
                    f"contig {contig.name} is another sequence here than in {self.paths[0]}",
                    file=path,
                    hint="The files come from different assemblies",
                )
        columns = [file[f"pieces/{column}"][:].tolist() for column in ("contig", "start", "end", "offset")]
        for contig_number, start, end, offset in zip(*columns, strict=True):
            piece = _StoredPiece(start, end, offset, number)
            self._pieces.setdefault(str(names[contig_number]), []).append(piece)
        if "planned" in file:
            self._read_planned(file, [str(name) for name in names], path)

    def _read_planned(self, file: h5py.File, names: Sequence[str], path: Path) -> None:
        columns = [file[f"planned/{column}"][:].tolist() for column in ("contig", "start", "end")]
        planned: dict[str, list[Stretch]] = {}
        for contig_number, start, end in zip(*columns, strict=True):
            planned.setdefault(names[contig_number], []).append(Stretch(names[contig_number], start, end))
        for contig, regions in planned.items():
            if self._planned.setdefault(contig, tuple(regions)) != tuple(regions):
                raise TracksError(
                    f"other regions of contig {contig} were to be predicted here than in {self.paths[0]}",
                    file=path,
                    hint="Give the tracks files of one run",
                )

    def _sort_pieces(self) -> None:
        for contig, pieces in self._pieces.items():
            pieces.sort(key=lambda piece: piece.start)
            for left, right in pairwise(pieces):
                if right.start < left.end:
                    raise TracksError(
                        f"{contig}:{right.start + 1}-{min(left.end, right.end)} is in {self.paths[left.file]} as well",
                        file=self.paths[right.file],
                        hint="Give every shard once",
                    )

    def _require_same(self, header: TracksHeader, path: Path) -> None:
        ours = self.header
        differences = {
            "model": header.model_fingerprint != ours.model_fingerprint,
            "assembly": header.assembly != ours.assembly,
            "tracks": header.tracks != ours.tracks,
            "encoding": header.encoding != ours.encoding,
        }
        for key in dict.fromkeys([*header.settings, *ours.settings]):
            if key not in MACHINE_SETTINGS:
                differences[key] = header.settings.get(key) != ours.settings.get(key)
        if differing := [name for name, differs in differences.items() if differs]:
            raise TracksError(
                f"the file differs from {self.paths[0]} in {', '.join(differing)}",
                file=path,
                hint="All tracks files of a run must come from one model, one assembly and the same options",
            )
