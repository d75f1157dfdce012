"""From tracks files to element calls as GFF3 and BED, contig by contig."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segnt_tools.elements import Track, element
from segnt_tools.files import atomic_path
from segnt_tools.gff.features import Attributes, escape_seqid, format_attributes, format_score
from segnt_tools.gff.writing import write_header
from segnt_tools.peaks.calling import Peak, PeakRule, Values, call_peaks, in_genome_order
from segnt_tools.tracks.file import Encoding, TracksReader

STRETCH = 1 << 20

# Helper tracks of gene decoding: their intervals mean nothing to a person.
NOT_CALLED = ("CDS_frame_0", "CDS_frame_1", "CDS_frame_2")

# A lone CDS interval has no phase, which GFF3 demands of every CDS row.
_TERM_OF_INTERVAL = {"CDS": "CDS_region"}


@dataclass(slots=True)
class ElementSummary:
    """What was called of one element."""

    intervals: int = 0
    bases: int = 0


@dataclass(slots=True)
class PeakSummary:
    """What was called, by track name."""

    tracks: dict[str, ElementSummary] = field(default_factory=dict)

    def add(self, peak: Peak) -> None:
        """Count one interval."""
        summary = self.tracks.setdefault(peak.track.name, ElementSummary())
        summary.intervals += 1
        summary.bases += peak.end - peak.start


def write_peaks(
    reader: TracksReader,
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
        reader: tracks of whole contigs.
        rules: thresholds by element name.
        tracks: indices of the tracks to call.
        lengths: contig lengths for the header, in the order of the output.
        gff3: GFF3 file to write.
        bed: BED file to write.
        pragmas: texts of `#!` lines.
        progress: called with the number of bases of each contig.
    """
    summary = PeakSummary({reader.tracks[i].name: ElementSummary() for i in tracks})
    styles = {reader.tracks[i]: _RowStyle.of(reader.tracks[i]) for i in tracks}
    held = {contig.name for contig in reader.contigs}
    with (
        atomic_path(gff3) as gff3_path,
        atomic_path(bed) as bed_path,
        gff3_path.open("w", encoding="utf-8", newline="\n") as gff3_file,
        bed_path.open("w", encoding="utf-8", newline="\n") as bed_file,
    ):
        write_header(gff3_file, lengths, pragmas)
        for contig in lengths:
            if contig not in held:
                continue
            peaks = in_genome_order(
                [peak for i in tracks for peak in _of_track(reader, contig, i, rules[reader.tracks[i].element])]
            )
            seqid = escape_seqid(contig)
            for peak in peaks:
                summary.add(peak)
            gff3_file.writelines(styles[peak.track].gff3(seqid, peak) for peak in peaks)
            bed_file.writelines(styles[peak.track].bed(peak) for peak in peaks)
            progress(lengths[contig])
        gff3_file.write("###\n")
    return summary


def _of_track(reader: TracksReader, contig: str, track: int, rule: PeakRule) -> Iterator[Peak]:
    read = reader.values if reader.header.encoding is Encoding.LOGIT8 else reader.probability

    def stretches() -> Iterator[tuple[int, Values]]:
        for start, end in reader.covered(contig):
            for position in range(start, end, STRETCH):
                stop = min(position + STRETCH, end)
                yield position, read(contig, position, stop, [track])[0]

    return call_peaks(contig, reader.tracks[track], stretches(), rule)


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

    def gff3(self, seqid: str, peak: Peak) -> str:
        """A GFF3 row: SO term, mean probability as score, the element's own name in `element`."""
        place = f"{seqid}{self.gff3_start}{peak.start + 1}\t{peak.end}\t{format_score(peak.score)}"
        return f"{place}{self.gff3_strand}{self.attributes};summit={peak.summit:.3f}\n"

    def bed(self, peak: Peak) -> str:
        """A BED6 row: 1000 times the mean probability as score."""
        score = round(1000 * peak.score)
        return f"{peak.contig}\t{peak.start}\t{peak.end}\t{self.bed_name}\t{score}\t{self.bed_strand}\n"


def default_tracks(tracks: Sequence[Track]) -> list[int]:
    """Tracks that are called unless the user chooses: all trained ones but the decoder's helpers."""
    return [i for i, track in enumerate(tracks) if track.trained and track.element not in NOT_CALLED]
