"""From annotation and regulatory files to a labels file, with a report of what went into it."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segnt_tools import __version__
from segnt_tools.elements import EXTENDED_ELEMENTS, SEGMENTNT_ELEMENTS, Strand, Track
from segnt_tools.errors import AnnotationFileError, UsageError
from segnt_tools.labels.aliases import ContigNames, read_aliases
from segnt_tools.labels.annotation import read_annotation
from segnt_tools.labels.labelset import STRANDLESS, LabelSet, LabelSources, TrackSummary, paint_labels, summarise
from segnt_tools.labels.regulatory import POOLS, BedSource, Places
from segnt_tools.labels.rules import LabelRules
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.tracks.file import Encoding, TracksHeader, tracks_writer

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class LabelInputs:
    """Files that labels are made from.

    Attributes:
        annotations: GFF3 or GTF, of genes or polyA signals.
        ccres: registries of cCREs.
        dhs: the DHS index.
        beds: any BED as any element.
        aliases: table of contig names.
        ignore_missing: pass over rows on contigs that the genome lacks.
    """

    annotations: Sequence[Path] = ()
    ccres: Sequence[Path] = ()
    dhs: Path | None = None
    beds: Sequence[BedSource] = ()
    aliases: Path | None = None
    ignore_missing: bool = False

    @property
    def files(self) -> list[Path]:
        """All of them."""
        optional = [path for path in (self.dhs, self.aliases) if path is not None]
        return [*self.annotations, *self.ccres, *optional, *(source.path for source in self.beds)]


@dataclass(slots=True)
class LabelReport:
    """What went into the labels.

    Attributes:
        tracks: size of each track.
        rejected: rows and transcripts left out, by file and reason.
        introns: distinct introns by first and last dinucleotide.
        starts, stops, frames: coding sequences by first codon, last codon and length.
        genes, transcripts: gene models read.
        notes: remarks for the reader.
    """

    tracks: list[TrackSummary] = field(default_factory=list)
    rejected: dict[str, dict[str, int]] = field(default_factory=dict)
    introns: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    genes: int = 0
    transcripts: int = 0
    notes: list[str] = field(default_factory=list)

    def rates(self) -> dict[str, float | None]:
        """Sanity rates: shares of GT-AG and GC-AG introns, ATG starts, stop codons and whole frames."""
        return {
            "gt_ag": _share(self.introns, "GT-AG"),
            "gc_ag": _share(self.introns, "GC-AG"),
            "atg": _share(self.starts, "start_codon"),
            "stop": _share(self.stops, "stop_codon"),
            "frame": _share(self.frames, "whole"),
        }

    def to_json(self) -> dict[str, Any]:
        """The report for JSON."""
        return {
            "genes": self.genes,
            "transcripts": self.transcripts,
            "tracks": {
                entry.track: {"bases": entry.bases, "intervals": entry.intervals, "masked": entry.masked}
                for entry in self.tracks
            },
            "rates": self.rates(),
            "introns": dict(self.introns.most_common()),
            "starts": dict(self.starts),
            "stops": dict(self.stops),
            "frames": dict(self.frames),
            "rejected": self.rejected,
            "notes": self.notes,
        }

    def table(self) -> str:
        """Sizes of the tracks as TSV."""
        lines = ["track\tbases\tintervals\tmasked"]
        lines += [f"{entry.track}\t{entry.bases}\t{entry.intervals}\t{entry.masked}" for entry in self.tracks]
        return "\n".join(lines) + "\n"


def _share(counts: Counter[str], name: str) -> float | None:
    total = counts.total()
    return counts[name] / total if total else None


def choose_tracks(
    elements: Sequence[str] | None, beds: Sequence[BedSource], *, extended: bool, stranded: bool
) -> tuple[Track, ...]:
    """Tracks of the labels: the elements asked for, or SegmentNT's 14, with further ones of `beds` behind them.

    Args:
        elements: names, in order; None for the 14.
        beds: files given for single elements.
        extended: add what gene finding needs (CDS, frames, start and stop codons).
        stranded: two tracks, + and -, for elements that have a strand.
    """
    names = list(elements if elements is not None else SEGMENTNT_ELEMENTS)
    names += [name for name in EXTENDED_ELEMENTS if extended]
    if elements is None:
        names += [source.element for source in beds if source.element not in POOLS]
    names = list(dict.fromkeys(names))
    has_strand = {name for name in (*SEGMENTNT_ELEMENTS, *EXTENDED_ELEMENTS) if name not in STRANDLESS}
    tracks: list[Track] = []
    for name in names:
        strands = (Strand.PLUS, Strand.MINUS) if stranded and name in has_strand else (Strand.NONE,)
        tracks += [Track(name, strand) for strand in strands]
    return tuple(tracks)


def build_labels(
    inputs: LabelInputs, assembly: Assembly, tracks: Sequence[Track], rules: LabelRules
) -> tuple[LabelSet, LabelReport]:
    """Read all files and derive the labels.

    Raises:
        AnnotationFileError: a file is malformed or does not fit the assembly.
    """
    lengths = dict(assembly.lengths)
    aliases = read_aliases(inputs.aliases, lengths) if inputs.aliases else []
    places = Places(lengths, ContigNames(lengths, aliases), ignore_missing=inputs.ignore_missing)
    sources = LabelSources()
    regulatory = sources.regulatory
    # Small files first: a mistake in them should not cost the time of a large one.
    for bed in inputs.beds:
        regulatory.read_bed(bed, places)
    for path in inputs.ccres:
        regulatory.read_ccres(path, places, rules)
    if inputs.dhs is not None:
        regulatory.read_dhs(inputs.dhs, places)
    for path in inputs.annotations:
        sources.annotations.append(annotation := read_annotation(path, assembly, places, rules))
        if not (annotation.has_genes or annotation.called):
            raise AnnotationFileError(
                "no gene model, polyA signal or element call lies on the genome",
                file=path,
                hint="Is this the annotation of this assembly? BED files are given with --bed, --ccre or --dhs",
            )
    labels = labels_of(sources, assembly, tracks, rules)
    return labels, _report(labels, sources, places)


def require_known(labels: LabelSet) -> None:
    """Make sure that every track asked for is of an element that we or one of the files know.

    Raises:
        UsageError: one is not; the nearest name is given.
    """
    known = [*SEGMENTNT_ELEMENTS, *EXTENDED_ELEMENTS, *labels.named_by_sources]
    for track in labels.tracks:
        if track.element not in known:
            near = difflib.get_close_matches(track.element, known, 1, cutoff=0.0)[0]
            raise UsageError(
                f"no file speaks of an element {track.element}", hint=f"Nearest known: {near}; --bed brings any other"
            )


def labels_of(sources: LabelSources, assembly: Assembly, tracks: Sequence[Track], rules: LabelRules) -> LabelSet:
    """Labels from sources that were read; runs of N are looked up."""
    sources.gaps = {contig.name: assembly.gaps(contig.name) for contig in assembly.contigs}
    return LabelSet(tracks, dict(assembly.lengths), sources, rules)


def _report(labels: LabelSet, sources: LabelSources, places: Places) -> LabelReport:
    report = LabelReport(tracks=summarise(labels))
    for annotation in sources.annotations:
        counts = annotation.counts
        report.genes += annotation.report.genes
        report.transcripts += annotation.report.transcripts
        report.introns += counts.introns
        report.starts += counts.starts
        report.stops += counts.stops
        report.frames += counts.frames
        reasons = {
            f"{reason} (first: line {tally.line}, {tally.example})": tally.count
            for reason, tally in sorted(annotation.report.dropped.items())
        }
        reasons |= dict(sorted(annotation.dropped.items()))
        reasons |= {f"{kind}: no element": count for kind, count in sorted(annotation.report.other.items())}
        if annotation.report.bare:
            reasons["gene or transcript without exon or CDS"] = len(annotation.report.bare)
        report.rejected[annotation.file] = reasons
        report.notes += [
            f"{annotation.file}: {tally.count} x {remark} (first: line {tally.line}, {tally.example})"
            for remark, tally in sorted(annotation.report.noted.items())
        ]
        if annotation.loose_rows:
            report.notes.append(
                f"{annotation.file}: {annotation.loose_rows} rows name no transcript; what that leaves open is masked"
            )
        if counts.coding and not annotation.knows_utrs:
            report.notes.append(f"{annotation.file}: coding parts only; UTRs and what may lie beside genes are masked")
    if sources.regulatory.notes:
        report.rejected["regulatory"] = dict(sorted(sources.regulatory.notes.items()))
    if places.missing:
        report.rejected["contigs that the genome lacks"] = dict(sorted(places.missing.items()))
    unknown = [entry.track for entry in report.tracks if not entry.bases and entry.masked]
    if unknown:
        report.notes.append(f"nothing is known of {', '.join(unknown)}: masked wherever no source speaks of them")
    return report


def write_labels(
    path: Path,
    labels: LabelSet,
    assembly: Assembly,
    settings: dict[str, Any],
    threads: int,
    progress: Callable[[int], None],
) -> None:
    """Write the labels as a tracks file of kind `label`, block by block."""
    digest = hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()
    header = TracksHeader(
        labels.tracks, Encoding.LABEL, assembly.fingerprint, "labels", digest, {}, settings, __version__, 0
    )
    pieces = [Stretch(contig.name, 0, contig.length) for contig in assembly.contigs]
    with tracks_writer(path, header, assembly.contigs, pieces, threads) as writer:
        for contig in assembly.contigs:
            on_contig = [labels.track(contig.name, track) for track in labels.tracks]
            for start in range(0, contig.length, _BLOCK):
                end = min(start + _BLOCK, contig.length)
                writer.write(paint_labels(on_contig, start, end))
                progress(end - start)
