"""Intervals of every element as GFF3 and BED.

An interval opens where the probability of an element reaches --high, extends while it stays at or above --low, is
joined to a neighbour no further than --max-gap away, and is dropped if shorter than --min-interval. Defaults come from
the model's card, by element. The score is the mean probability over the interval. Writes DIR/elements.gff3 and
DIR/elements.bed.

Instead of tracks files, bigWig files may be given, or a folder of them such as DIR/tracks of segnt annotate: one file a
track, named after its element as segnt tracks export does (exon.plus.bw, exon.minus.bw, CTCF-bound.bw). They carry no
card: without options every base of probability 0.5 or more belongs to an interval.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segnt_tools import __version__
from segnt_tools.commands.common import add_common_options, positive_int, probability, write_report
from segnt_tools.commands.tracks import tracks_of_elements
from segnt_tools.elements import ELEMENTS, Track
from segnt_tools.errors import CheckpointError, TracksError, UsageError
from segnt_tools.files import output_folder
from segnt_tools.gff.writing import tool_pragmas
from segnt_tools.logs import Progress, logger
from segnt_tools.models.card import Card, PeakDefaults
from segnt_tools.peaks.calling import PeakRule
from segnt_tools.peaks.output import PeakSummary, default_tracks, write_peaks
from segnt_tools.tracks.bigwig_reading import BIGWIG_SUFFIXES, BigWigReader, track_of_file
from segnt_tools.tracks.file import TracksReader

GFF3_FILE, BED_FILE = "elements.gff3", "elements.bed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of segnt call-peaks."""
    parser.add_argument(
        "tracks",
        nargs="+",
        type=Path,
        metavar="TRACKS.h5|ELEMENT.bw|FOLDER",
        help="tracks files of whole contigs; or bigWig files named after their tracks, or a folder of them",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    add_peak_options(parser)
    add_common_options(parser, threads=False)


def add_peak_options(parser: argparse.ArgumentParser) -> None:
    """Options shared with segnt annotate."""
    group = parser.add_argument_group("intervals", "Defaults come from the model's card, element by element.")
    group.add_argument("--element", action="append", metavar="E", help="only this element or track (repeatable)")
    group.add_argument("--high", type=probability, metavar="P", help="an interval holds a base with this probability")
    group.add_argument(
        "--low", type=probability, metavar="P", help="and extends while the probability is at least this"
    )
    group.add_argument("--min-interval", type=positive_int, metavar="BP", help="drop shorter intervals")
    group.add_argument("--max-gap", type=int, metavar="BP", help="join intervals no further apart")


def run(args: argparse.Namespace) -> int:
    """Call the intervals."""
    report = call_elements(args.tracks, args.out, args.element, given_thresholds(args), lengths=None)
    write_report(args.json, "call-peaks", report)
    return 0


def given_thresholds(args: argparse.Namespace) -> dict[str, float | int]:
    """The thresholds of the command line that replace those of the card."""
    named = {"high": args.high, "low": args.low, "min_length": args.min_interval, "max_gap": args.max_gap}
    return {name: value for name, value in named.items() if value is not None}


def call_elements(
    tracks: list[Path],
    folder: Path,
    elements: list[str] | None,
    thresholds: Mapping[str, float | int],
    lengths: Mapping[str, int] | None,
) -> dict[str, Any]:
    """Run the step; `lengths` gives the contigs of the whole assembly for the header (default: those of the tracks)."""
    output_folder(folder)
    with open_source(tracks, elements) as source:
        header = source.header if isinstance(source, TracksReader) else None
        card = header.card if header else {}
        chosen = called_tracks(source.tracks, elements, source.paths[0])
        names = dict.fromkeys(source.tracks[i].element for i in chosen)
        rules = {name: rule_with(_defaults(card, name, source.paths[0]), thresholds) for name in names}
        lengths = lengths or {contig.name: contig.length for contig in source.contigs}
        with Progress("call-peaks", source.bases) as progress:
            summary = write_peaks(
                source,
                rules,
                chosen,
                lengths,
                folder / GFF3_FILE,
                folder / BED_FILE,
                tool_pragmas(__version__, header.model if header else None, card.get("licence"), card.get("citation")),
                progress.add,
            )
    return _report(summary, rules)


def called_tracks(tracks: Sequence[Track], elements: list[str] | None, path: Path) -> list[int]:
    """Indices of the tracks whose intervals are called.

    Args:
        tracks: those there are.
        elements: what the user chose, or None.
        path: what holds the tracks, for messages.

    Raises:
        UsageError: an element is not there, or nothing is called by itself.
    """
    if elements:
        return tracks_of_elements(tracks, elements, path)
    chosen = default_tracks(tracks)
    if not chosen:
        reasons = {True: "a helper of the gene decoder", False: "never trained"}
        there = ", ".join(f"{track.name} ({reasons[track.trained]})" for track in tracks)
        raise UsageError(
            f"no track is called unless it is chosen; there are: {there}",
            file=path,
            hint=f"Choose with --element, such as --element {tracks[0].element}",
        )
    return chosen


def open_source(paths: Sequence[Path], elements: Sequence[str] | None) -> TracksReader | BigWigReader:
    """Tracks files of whole contigs, or bigWig files.

    Raises:
        UsageError: files of both kinds; a bigWig file that is not named after an element, nor after one of `elements`;
            two of one track; a folder without any.
        TracksError: a file is damaged, incomplete, or does not fit the others.
    """
    files = [file for path in paths for file in (_bigwigs_in(path) if path.is_dir() else [path])]
    bigwigs = [path for path in files if path.name.lower().endswith(BIGWIG_SUFFIXES)]
    if not bigwigs:
        reader = TracksReader(files)
        reader.require_whole_contigs()
        return reader
    if len(bigwigs) < len(files):
        other = next(path for path in files if path not in bigwigs)
        raise UsageError("tracks files and bigWig files cannot be mixed", file=other, hint="Call them one by one")
    by_track: dict[Track, Path] = {}
    for path in bigwigs:
        track = Track.parse(track_of_file(path))
        if track.element not in ELEMENTS and not {track.element, track.name} & {*(elements or ())}:
            raise UsageError(
                f"{track.element} is no known element",
                file=path,
                hint="Name the file after its track (exon.plus.bw), or choose it with --element",
            )
        if track in by_track:
            raise UsageError(f"{by_track[track]} holds track {track.name} as well", file=path)
        by_track[track] = path
    return BigWigReader(by_track)


def _bigwigs_in(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.name.lower().endswith(BIGWIG_SUFFIXES))
    if not found:
        raise UsageError("the folder holds no bigWig file", file=folder, hint="Give tracks files one by one")
    return found


def _defaults(card: Mapping[str, Any], element: str, path: Path) -> PeakDefaults:
    """What the card says about an element."""
    if not card:
        return PeakDefaults()
    try:
        return Card.from_dict(card).peak_defaults(element)
    except CheckpointError as error:
        raise TracksError(f"the card inside the file is damaged: {error}", file=path) from error


def rule_with(defaults: PeakDefaults, thresholds: Mapping[str, float | int]) -> PeakRule:
    """The rule of an element, with what the command line replaces.

    Raises:
        UsageError: they do not fit together.
    """
    values: dict[str, Any] = dataclasses.asdict(defaults) | dict(thresholds)
    if "high" in thresholds and "low" not in thresholds:
        values["low"] = min(values["low"], values["high"])
    if "low" in thresholds and "high" not in thresholds:
        values["high"] = max(values["low"], values["high"])
    if values["max_gap"] < 0:
        raise UsageError("--max-gap below 0 makes no sense")
    return PeakRule(**values)


def _report(summary: PeakSummary, rules: Mapping[str, PeakRule]) -> dict[str, Any]:
    for name, counts in summary.tracks.items():
        logger.info("%s: %d intervals, %d bases", name, counts.intervals, counts.bases)
    return {
        "elements": {
            name: {"intervals": counts.intervals, "bases": counts.bases} for name, counts in summary.tracks.items()
        },
        "rules": {
            name: {"high": rule.high, "low": rule.low, "min_length": rule.min_length, "max_gap": rule.max_gap}
            for name, rule in rules.items()
        },
    }
