"""Tracks to the formats of other programs: bigWig, bedGraph, npz."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnt_tools.elements import Track
from segnt_tools.files import atomic_path
from segnt_tools.quantisation import PROBABILITY_OF_CODE
from segnt_tools.sequence.stretches import Stretch, joined_by_contig
from segnt_tools.tracks.bigwig import BigWigWriter
from segnt_tools.tracks.file import Encoding, TracksReader


def safe_name(name: str) -> str:
    """A contig or track name as part of a file name: `/` and other special characters become `_`."""
    return "".join(letter if letter.isalnum() or letter in "._+-" else "_" for letter in name)


def track_file_name(track: Track) -> str:
    """File name of a track without suffix: `exon`, `exon.plus`, `exon.minus`."""
    strand = {"+": ".plus", "-": ".minus", ".": ""}[track.strand.value]
    return safe_name(track.element) + strand


def batches(reader: TracksReader, regions: Sequence[Stretch] | None = None) -> Iterator[list[Stretch]]:
    """What the files hold (of these regions), in batches of about a megabase, in the order of the files."""
    if regions is None:
        yield from reader.batches()
        return
    disjoint = joined_by_contig(regions)  # an entry must not come twice
    for batch in reader.batches([contig.name for contig in reader.contigs if contig.name in disjoint]):
        pieces = [
            Stretch(held.contig, max(held.start, region.start), min(held.end, region.end))
            for held in batch
            for region in disjoint[held.contig]
            if held.start < region.end and region.start < held.end
        ]
        if pieces:
            yield pieces


@dataclass(frozen=True, slots=True)
class Entries:
    """Stretches of equal value, as columns.

    Attributes:
        piece: which of the pieces asked for.
        start: first base on the contig, 0-based.
        end: end, exclusive.
        value: the value, finite.
    """

    piece: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    value: NDArray[np.floating[Any]]


def _entries(reader: TracksReader, pieces: Sequence[Stretch], track: int, decimals: int) -> Entries:
    """Stretches of equal rounded probability; bases that are N or masked are left out."""
    if reader.header.encoding is Encoding.LOGIT8:
        heights, class_of_code = np.unique(_height_of_code(decimals), return_inverse=True)
        classes = class_of_code.astype(np.min_scalar_type(heights.size))
        values = classes[reader.values_of(pieces, [track])[0]]
        entries = _runs_of_equal_value(values, pieces)
        return _known(entries, heights[entries.value.astype(np.int64)])
    values = np.round(reader.probability_of(pieces, [track])[0], decimals)
    if reader.header.kind == "probability":
        values[np.isneginf(reader.values_of(pieces, [track])[0])] = np.nan
    entries = _runs_of_equal_value(values, pieces)
    return _known(entries, entries.value)


def _known(entries: Entries, heights: NDArray[Any]) -> Entries:
    kept = np.isfinite(heights)
    return Entries(entries.piece[kept], entries.start[kept], entries.end[kept], heights[kept])


def _runs_of_equal_value(values: NDArray[Any], pieces: Sequence[Stretch]) -> Entries:
    """Run-length coding of the values of several pieces one after the other."""
    ends_of_pieces = np.cumsum([piece.bases for piece in pieces])
    changed = values[1:] != values[:-1]
    changed[ends_of_pieces[:-1] - 1] = True
    ends = np.append(np.flatnonzero(changed) + 1, values.size)
    starts = np.concatenate(([0], ends[:-1]))
    piece = np.searchsorted(ends_of_pieces, starts, side="right")
    shift = np.array([piece.start for piece in pieces]) - np.concatenate(([0], ends_of_pieces[:-1]))
    return Entries(piece, starts + shift[piece], ends + shift[piece], values[starts])


def _height_of_code(decimals: int) -> NDArray[np.float32]:
    heights = np.round(PROBABILITY_OF_CODE, decimals)
    heights[0] = np.nan
    return heights


def write_bigwig(
    reader: TracksReader, track: int, path: Path, decimals: int = 2, regions: Sequence[Stretch] | None = None
) -> None:
    """Write one track as bigWig; N are missing values.

    Args:
        reader: the tracks.
        track: which track.
        path: the file, complete or absent.
        decimals: probabilities are rounded to so many decimals, which lets equal neighbours share an entry.
        regions: only these regions.
    """
    contigs = reader.contigs
    number = {contig.name: i for i, contig in enumerate(contigs)}
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as handle,
        BigWigWriter(handle, [(contig.name, contig.length) for contig in contigs]) as bigwig,
    ):
        for pieces in batches(reader, regions):
            entries = _entries(reader, pieces, track, decimals)
            contig = np.array([number[piece.contig] for piece in pieces])
            bigwig.write(contig[entries.piece], entries.start, entries.end, entries.value)


def write_bedgraph(
    reader: TracksReader, track: int, path: Path, decimals: int = 2, regions: Sequence[Stretch] | None = None
) -> None:
    """Write one track as gzipped bedGraph; N are left out."""
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as raw,
        # No name and time in the gzip header: equal results are equal files.
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=4, mtime=0) as handle,
    ):
        for pieces in batches(reader, regions):
            entries = _entries(reader, pieces, track, decimals)
            columns = (entries.piece, entries.start, entries.end, entries.value.astype(np.float64))
            rows = zip(*(column.tolist() for column in columns), strict=True)
            lines = (f"{pieces[piece].contig}\t{start}\t{end}\t{value:g}\n" for piece, start, end, value in rows)
            handle.write("".join(lines).encode())


def write_npz(reader: TracksReader, regions: Sequence[Stretch], tracks: Sequence[int], path: Path) -> None:
    """Write the probabilities of one region: float32 `probability` (bases, tracks) and the names in `tracks`.

    `model`, `licence` and `citation` are texts: whose values they are, and on which terms.
    """
    (region,) = regions
    probability = reader.probability(region.contig, region.start, region.end, tracks).T
    names = np.array([reader.tracks[i].name for i in tracks])
    header = reader.header
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(
            handle,
            probability=np.ascontiguousarray(probability),
            tracks=names,
            start=np.int64(region.start),
            model=np.array(header.model),
            licence=np.array(str(header.card.get("licence", ""))),
            citation=np.array(str(header.card.get("citation", ""))),
        )


WRITERS: dict[str, tuple[str, Callable[..., None]]] = {
    "bigwig": (".bw", write_bigwig),
    "bedgraph": (".bedGraph.gz", write_bedgraph),
}
