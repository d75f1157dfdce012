"""Intervals of every element as GFF3 and BED.

An interval opens where the probability of an element reaches --high, extends while it stays at or above --low, is
joined to a neighbour no further than --max-gap away, and is dropped if shorter than --min-interval. Defaults come from
the model's card, by element. The score is the mean probability over the interval. Writes DIR/elements.gff3 and
DIR/elements.bed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segnt_tools import __version__
from segnt_tools.commands.common import add_common_options, positive_int, probability, write_report
from segnt_tools.commands.tracks import tracks_of_elements
from segnt_tools.errors import CheckpointError, TracksError, UsageError
from segnt_tools.files import output_folder
from segnt_tools.gff.writing import tool_pragmas
from segnt_tools.logs import Progress, logger
from segnt_tools.models.card import Card
from segnt_tools.peaks.calling import PeakRule
from segnt_tools.peaks.output import PeakSummary, default_tracks, write_peaks
from segnt_tools.tracks.file import TracksReader

GFF3_FILE, BED_FILE = "elements.gff3", "elements.bed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of segnt call-peaks."""
    parser.add_argument("tracks", nargs="+", type=Path, metavar="TRACKS.h5", help="tracks files of whole contigs")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    add_peak_options(parser)
    add_common_options(parser)


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
    with TracksReader(tracks) as reader:
        reader.require_whole_contigs()
        chosen = tracks_of_elements(reader, elements) if elements else default_tracks(reader.tracks)
        rules = {reader.tracks[i].element: _rule(reader, reader.tracks[i].element, thresholds) for i in chosen}
        lengths = lengths or {contig.name: contig.length for contig in reader.contigs}
        card = reader.header.card
        with Progress("call-peaks", sum(contig.length for contig in reader.contigs)) as progress:
            summary = write_peaks(
                reader,
                rules,
                chosen,
                lengths,
                folder / GFF3_FILE,
                folder / BED_FILE,
                tool_pragmas(__version__, reader.header.model, card.get("licence")),
                progress.add,
            )
    return _report(summary, rules)


def _rule(reader: TracksReader, element: str, thresholds: Mapping[str, float | int]) -> PeakRule:
    card = reader.header.card
    values: dict[str, Any] = {"high": 0.5, "low": 0.5, "min_length": 1, "max_gap": 0}
    if card:
        try:
            defaults = Card.from_dict(card).peak_defaults(element)
        except CheckpointError as error:
            raise TracksError(f"the card inside the file is damaged: {error}", file=reader.paths[0]) from error
        values = {name: getattr(defaults, name) for name in values}
    values |= thresholds
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
