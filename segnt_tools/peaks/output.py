"""From tracks to element calls as GFF3 and BED, contig by contig."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from segnt_tools.elements import Track, element
from segnt_tools.files import atomic_path
from segnt_tools.gff.features import Attributes, escape_seqid, format_attributes, format_score
from segnt_tools.gff.writing import write_header
from segnt_tools.peaks.calling import PeakColumns, PeakRule, PeakScan
from segnt_tools.sequence.assembly import Contig
from segnt_tools.sequence.stretches import Stretch

# Helper tracks of gene decoding: their intervals mean nothing to a person.
NOT_CALLED = ("CDS_frame_0", "CDS_frame_1", "CDS_frame_2")

# Number of a track, and peaks of it in genome order.
_Part = tuple[int, PeakColumns]

# A lone CDS interval has no phase, which GFF3 demands of every CDS row.
_TERM_OF_INTERVAL = {"CDS": "CDS_region"}


class TracksSource(Protocol):
    """Where tracks come from: tracks files or bigWig files."""

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks."""

    @property
    def contigs(self) -> tuple[Contig, ...]:
        """The contigs."""

    def covered(self, contig: str) -> tuple[tuple[int, int], ...]:
        """Stretches of a contig that are held."""

    def batches(self, contigs: Iterable[str] | None = None) -> Iterator[list[Stretch]]:
        """What is held of some contigs, in their order, in pieces to be read at once."""

    def codes_or_probability_of(self, pieces: Sequence[Stretch], tracks: Sequence[int]) -> NDArray[Any]:
        """8-bit codes or probabilities of several pieces one after the other, shape (tracks, bases)."""


@dataclass(slots=True)
class ElementSummary:
    """What was called of one element."""

    intervals: int = 0
    bases: int = 0


@dataclass(slots=True)
class PeakSummary:
    """What was called, by track name."""

    tracks: dict[str, ElementSummary] = field(default_factory=dict)


def write_peaks(
    reader: TracksSource,
    rules: Mapping[str, PeakRule],
    tracks: Sequence[int],
    lengths: Mapping[str, int],
    gff3: Path,
    bed: Path,
    pragmas: Sequence[str] = (),
    progress: Callable[[int], None] = lambda bases: None,
) -> PeakSummary:
    """Call the peaks of some tracks and write them as GFF3 and BED6, both in genome order.

    Args:
        reader: tracks of whole contigs (or of all regions that were predicted).
        rules: thresholds by element name.
        tracks: indices of the tracks to call.
        lengths: contig lengths for the header, in the order of the output.
        gff3: GFF3 file to write.
        bed: BED file to write.
        pragmas: texts of `#!` lines.
        progress: called with the number of bases of each contig.
    """
    summary = PeakSummary({reader.tracks[i].name: ElementSummary() for i in tracks})
    held = {contig.name for contig in reader.contigs}
    caller = _Caller(reader, rules, tracks, [name for name in lengths if name in held])
    styles = [_RowStyle.of(track) for track in caller.tracks]
    with (
        atomic_path(gff3) as gff3_path,
        atomic_path(bed) as bed_path,
        gff3_path.open("w", encoding="utf-8", newline="\n") as gff3_file,
        bed_path.open("w", encoding="utf-8", newline="\n") as bed_file,
    ):
        write_header(gff3_file, lengths, pragmas)
        for calls, bases in caller.calls():
            calls.count_into(summary, caller.tracks)
            _write_rows(calls, caller.contigs, styles, gff3_file, bed_file)
            progress(bases)
        gff3_file.write("###\n")
    return summary


@dataclass(frozen=True, slots=True)
class _Calls:
    """Peaks of several tracks on complete contigs in genome order: a number of the track beside the columns."""

    track: NDArray[np.int64]
    peaks: PeakColumns

    @classmethod
    def in_order(cls, parts: Sequence[_Part]) -> _Calls:
        """All peaks sorted by contig, start, end and track."""
        tracks, columns = zip(*parts, strict=True)
        track = np.repeat(np.array(tracks, dtype=np.int64), [len(part.start) for part in columns])
        every = PeakColumns(*(np.concatenate([getattr(c, name) for c in columns]) for name in PeakColumns.__slots__))
        order = np.lexsort((track, every.end, every.start, every.contig))
        return cls(track[order], every.where(order))

    def count_into(self, summary: PeakSummary, tracks: Sequence[Track]) -> None:
        """Count intervals and bases."""
        intervals = np.bincount(self.track, minlength=len(tracks))
        bases = np.zeros(len(tracks), dtype=np.int64)
        np.add.at(bases, self.track, self.peaks.end - self.peaks.start)
        for track, count, length in zip(tracks, intervals.tolist(), bases.tolist(), strict=True):
            summary.tracks[track.name].intervals += count
            summary.tracks[track.name].bases += length


class _Caller:
    """Calls all tracks together, batch by batch; tracks are numbered in the order of their names."""

    def __init__(
        self, reader: TracksSource, rules: Mapping[str, PeakRule], tracks: Sequence[int], contigs: Sequence[str]
    ) -> None:
        self._reader = reader
        self._rows = sorted(tracks, key=lambda i: reader.tracks[i].name)
        self._number = {name: i for i, name in enumerate(contigs)}
        self._scans = [PeakScan(rules[track.element]) for track in self.tracks]
        self.contigs = contigs

    @property
    def tracks(self) -> list[Track]:
        """The tracks in the order of their numbers."""
        return [self._reader.tracks[i] for i in self._rows]

    def calls(self) -> Iterator[tuple[_Calls, int]]:
        """Peaks in genome order, as soon as no earlier one can follow, and the number of bases done since the last."""
        held: list[_Part] = []
        ends = {contig: self._reader.covered(contig)[-1][1] for contig in self.contigs}
        for pieces in self._reader.batches(self.contigs):
            values = self._reader.codes_or_probability_of(pieces, self._rows)
            places = [(self._number[piece.contig], piece.start, piece.end) for piece in pieces]
            held += enumerate([scan.advance(row, places) for scan, row in zip(self._scans, values, strict=True)])
            border = np.inf
            if pieces[-1].end == ends[pieces[-1].contig]:
                held += enumerate([scan.finish() for scan in self._scans])
            else:  # a stretch of a long contig, or some of its regions
                border = min(scan.open_from for scan in self._scans)
            early, held = _split(held, places[-1][0], border)
            yield _Calls.in_order(early), values.shape[1]


def _split(held: Sequence[_Part], contig: int, border: float) -> tuple[list[_Part], list[_Part]]:
    """Peaks that start before a position of a contig, and those that do not; what waits is not sorted each time."""
    early: list[_Part] = []
    late: list[_Part] = []
    for track, columns in held:
        is_early = (columns.contig < contig) | (columns.start < border)
        early.append((track, columns.where(is_early)))
        if not is_early.all():
            late.append((track, columns.where(~is_early) if is_early.any() else columns))
    return early, late


def _write_rows(
    calls: _Calls, contigs: Sequence[str], styles: Sequence[_RowStyle], gff3_file: TextIO, bed_file: TextIO
) -> None:
    names = {number: contigs[number] for number in np.unique(calls.peaks.contig).tolist()}
    seqids = {number: escape_seqid(name) for number, name in names.items()}
    peaks = calls.peaks
    columns = (calls.track, peaks.contig, peaks.start, peaks.end, peaks.score, peaks.summit)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    gff3_file.writelines([styles[track].gff3(seqids[number], *row) for track, number, *row in rows])
    bed_file.writelines(
        [styles[track].bed(names[number], start, end, score) for track, number, start, end, score, _ in rows]
    )


@dataclass(frozen=True, slots=True)
class _RowStyle:
    """What is the same in all rows of a track, formatted once: there may be millions of rows."""

    gff3_start: str
    gff3_strand: str
    attributes: str
    bed_name: str
    bed_strand: str

    @classmethod
    def of(cls, track: Track) -> _RowStyle:
        kind = element(track.element)
        term = _TERM_OF_INTERVAL.get(kind.so_term, kind.so_term)
        attributes: Attributes = {"Name": (track.element,), "element": (track.element,)}
        attributes |= {key: (value,) for key, value in kind.attributes}
        strand = track.strand.value
        return cls(f"\tsegnt_tools\t{term}\t", f"\t{strand}\t.\t", format_attributes(attributes), track.element, strand)

    def gff3(self, seqid: str, start: int, end: int, score: float, summit: float) -> str:
        """A GFF3 row: SO term, mean probability as score, the element's own name in `element`."""
        place = f"{seqid}{self.gff3_start}{start + 1}\t{end}\t{format_score(score)}"
        return f"{place}{self.gff3_strand}{self.attributes};summit={summit:.3f}\n"

    def bed(self, contig: str, start: int, end: int, score: float) -> str:
        """A BED6 row: 1000 times the mean probability as score."""
        return f"{contig}\t{start}\t{end}\t{self.bed_name}\t{round(1000 * score)}\t{self.bed_strand}\n"


def default_tracks(tracks: Sequence[Track]) -> list[int]:
    """Tracks that are called unless the user chooses: all trained ones but the decoder's helpers."""
    return [i for i, track in enumerate(tracks) if track.trained and track.element not in NOT_CALLED]
