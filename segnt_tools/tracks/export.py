"""Tracks to the formats of other programs: bigWig, bedGraph, npz."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
from numpy.typing import NDArray

from segnt_tools.elements import Track
from segnt_tools.errors import UsageError
from segnt_tools.files import atomic_path
from segnt_tools.tracks.file import Encoding, TracksReader

STRETCH = 1 << 22

Runs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of a contig, 0-based half-open."""

    contig: str
    start: int
    end: int

    @classmethod
    def parse(cls, text: str, lengths: dict[str, int]) -> Region:
        """A region written as in samtools: `chr`, `chr:from-to` (1-based, both ends included, commas allowed).

        Raises:
            UsageError: unknown contig or coordinates outside it.
        """
        if text in lengths:
            return cls(text, 0, lengths[text])
        contig, _, span = text.rpartition(":")
        if contig not in lengths:
            raise UsageError(f"region {text}: no such contig")
        first, dash, last = span.replace(",", "").partition("-")
        try:
            start = int(first) - 1
            end = int(last) if dash else lengths[contig]
        except ValueError as error:
            raise UsageError(f"region {text}: write CONTIG:FROM-TO") from error
        if not 0 <= start < end <= lengths[contig]:
            raise UsageError(f"region {text} leaves {contig} of {lengths[contig]} bases")
        return cls(contig, start, end)

    def __str__(self) -> str:
        return f"{self.contig}:{self.start + 1}-{self.end}"


def safe_name(name: str) -> str:
    """A contig or track name as part of a file name: `/` and other special characters become `_`."""
    return "".join(letter if letter.isalnum() or letter in "._+-" else "_" for letter in name)


def track_file_name(track: Track) -> str:
    """File name of a track without suffix: `exon`, `exon.plus`, `exon.minus`."""
    strand = {"+": ".plus", "-": ".minus", ".": ""}[track.strand.value]
    return safe_name(track.element) + strand


def stretches(reader: TracksReader, regions: Sequence[Region] | None = None) -> Iterator[Region]:
    """What the files cover (of these regions), in pieces of a few megabases, in the order of the files."""
    for contig in reader.contigs:
        for covered_start, covered_end in reader.covered(contig.name):
            for region in regions or [Region(contig.name, 0, contig.length)]:
                if region.contig != contig.name:
                    continue
                start, end = max(covered_start, region.start), min(covered_end, region.end)
                for position in range(start, end, STRETCH):
                    yield Region(contig.name, position, min(position + STRETCH, end))


def runs_of_equal_value(values: NDArray[Any], offset: int) -> Runs:
    """Run-length coding of finite values: starts, ends (0-based half-open, shifted by offset) and values."""
    change = np.flatnonzero(values[1:] != values[:-1]) + 1
    starts = np.concatenate(([0], change))
    ends = np.concatenate((change, [values.size]))
    heights = values[starts].astype(np.float64)
    kept = np.isfinite(heights)
    return starts[kept] + offset, ends[kept] + offset, heights[kept]


def _rounded(reader: TracksReader, region: Region, track: int, decimals: int) -> Runs:
    """Runs of rounded probability; bases that are N or masked are left out."""
    if reader.header.encoding is Encoding.LOGIT8:
        codes = reader.values(region.contig, region.start, region.end, [track])[0]
        return runs_of_equal_value(_height_of_code(decimals)[codes], region.start)
    values = np.round(reader.probability(region.contig, region.start, region.end, [track])[0], decimals)
    if reader.header.kind == "probability":
        unknown = np.isneginf(reader.logits(region.contig, region.start, region.end, [track])[0])
        values[unknown] = np.nan
    return runs_of_equal_value(values, region.start)


def _height_of_code(decimals: int) -> NDArray[np.float32]:
    from segnt_tools.quantisation import PROBABILITY_OF_CODE

    heights = np.round(PROBABILITY_OF_CODE, decimals)
    heights[0] = np.nan
    return heights


def write_bigwig(
    reader: TracksReader, track: int, path: Path, decimals: int = 2, regions: Sequence[Region] | None = None
) -> None:
    """Write one track as bigWig; N are missing values.

    Args:
        reader: the tracks.
        track: which track.
        path: the file, complete or absent.
        decimals: probabilities are rounded to so many decimals, which lets equal neighbours share an entry.
        regions: only these regions.
    """
    with atomic_path(path) as temporary, pyBigWig.open(str(temporary), "w") as bigwig:
        bigwig.addHeader([(contig.name, contig.length) for contig in reader.contigs])
        for region in stretches(reader, regions):
            starts, ends, values = _rounded(reader, region, track, decimals)
            if starts.size:
                names = np.full(starts.size, region.contig)
                bigwig.addEntries(names, starts, ends=ends, values=values, validate=False)


def write_bedgraph(
    reader: TracksReader, track: int, path: Path, decimals: int = 2, regions: Sequence[Region] | None = None
) -> None:
    """Write one track as gzipped bedGraph; N are left out."""
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as raw,
        # No name and time in the gzip header: equal results are equal files.
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=4, mtime=0) as handle,
    ):
        for region in stretches(reader, regions):
            rows = zip(*(column.tolist() for column in _rounded(reader, region, track, decimals)), strict=True)
            lines = (f"{region.contig}\t{start}\t{end}\t{value:g}\n" for start, end, value in rows)
            handle.write("".join(lines).encode())


def write_npz(reader: TracksReader, regions: Sequence[Region], tracks: Sequence[int], path: Path) -> None:
    """Write the probabilities of one region: float32 `probability` (bases, tracks) and the names in `tracks`."""
    (region,) = regions
    probability = reader.probability(region.contig, region.start, region.end, tracks).T
    names = np.array([reader.tracks[i].name for i in tracks])
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(
            handle, probability=np.ascontiguousarray(probability), tracks=names, start=np.int64(region.start)
        )


WRITERS: dict[str, tuple[str, Callable[..., None]]] = {
    "bigwig": (".bw", write_bigwig),
    "bedgraph": (".bedGraph.gz", write_bedgraph),
}
