"""Look into tracks files, export them for other programs, and join shards.

  info     what a file holds: model, licence, assembly, tracks, contigs
  export   bigWig or bedGraph files (one a track) or npz files (one a contig, float32 `probability` of shape (bases,
           tracks), the names in `tracks`, and the texts `model`, `licence` and `citation`)
  cat      join the tracks files of several shards into one

Several files are read as one; they must come from one model and one assembly.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from segnt_tools.commands.common import add_common_options, print_line, write_report
from segnt_tools.elements import Track
from segnt_tools.errors import UsageError
from segnt_tools.files import output_folder
from segnt_tools.logs import Progress, logger
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.tracks.export import WRITERS, safe_name, track_file_name, write_npz
from segnt_tools.tracks.file import TracksReader, tracks_writer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sub-commands of segnt tracks."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    info = actions.add_parser("info", help="what a file holds", description="Print what tracks files hold.")
    export = actions.add_parser(
        "export", help="bigWig, bedGraph or npz", description="Export tracks for other programs.", allow_abbrev=False
    )
    export.add_argument("--format", choices=("bigwig", "bedgraph", "npz"), required=True, help="format to write")
    export.add_argument("--element", action="append", metavar="E", help="only this element or track (repeatable)")
    export.add_argument("--region", action="append", metavar="CHR:FROM-TO", help="only this region (repeatable)")
    export.add_argument("--decimals", type=int, default=2, choices=range(1, 7), help="of bigWig and bedGraph values")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    cat = actions.add_parser("cat", help="join shards into one file", description="Join the tracks files of shards.")
    cat.add_argument("--out", type=Path, required=True, metavar="TRACKS.h5", help="file to write")
    for action, function in ((info, run_info), (export, run_export), (cat, run_cat)):
        action.add_argument("tracks", nargs="+", type=Path, metavar="TRACKS.h5", help="tracks files")
        add_common_options(action)
        action.set_defaults(action_function=function)


def run(args: argparse.Namespace) -> int:
    """Call the action."""
    with TracksReader(args.tracks) as reader:
        values = args.action_function(reader, args)
    write_report(args.json, f"tracks {args.action}", values)
    return 0


def run_info(reader: TracksReader, args: argparse.Namespace) -> dict[str, Any]:
    """Print the header and the contigs."""
    header = reader.header
    values = {
        "model": header.model,
        "model_fingerprint": header.model_fingerprint,
        "licence": header.card.get("licence"),
        "citation": header.card.get("citation"),
        "assembly_fingerprint": header.assembly,
        "kind": header.kind,
        "encoding": header.encoding.value,
        "tool_version": header.tool_version,
        "settings": dict(header.settings),
        "tracks": [track.name for track in header.tracks],
        "contigs": len(reader.contigs),
        "bases": reader.bases,
    }
    for key, value in values.items():
        print_line(f"{key}\t{' '.join(map(str, value)) if isinstance(value, list) else value}")
    for contig in reader.contigs:
        held = ",".join(f"{start + 1}-{end}" for start, end in reader.covered(contig.name))
        print_line(f"contig\t{contig.name}\t{contig.length}\t{held}")
    return values


def run_export(reader: TracksReader, args: argparse.Namespace) -> dict[str, Any]:
    """Write the files of a format."""
    output_folder(args.out)
    lengths = {contig.name: contig.length for contig in reader.contigs}
    regions = [Stretch.parse(text, lengths) for text in args.region] if args.region else None
    tracks = tracks_of_elements(reader.tracks, args.element, reader.paths[0])
    if args.format == "npz":
        files = export_npz(reader, regions, tracks, args.out)
    else:
        files = export_tracks(reader, args.format, tracks, args.out, args.decimals, regions, args.threads)
    logger.info("%d files in %s", len(files), args.out)
    return {"format": args.format, "files": [path.name for path in files]}


def tracks_of_elements(tracks: Sequence[Track], elements: Sequence[str] | None, source: Path) -> list[int]:
    """Indices of the tracks of some elements; of all by default.

    Raises:
        UsageError: there is no such element in their source.
    """
    if not elements:
        return list(range(len(tracks)))
    chosen: list[int] = []
    for name in elements:
        found = [i for i, track in enumerate(tracks) if name in (track.element, track.name)]
        if not found:
            known = ", ".join(dict.fromkeys(track.element for track in tracks))
            raise UsageError(f"no element {name} in {source}", hint=f"There are: {known}")
        chosen += found
    return sorted(set(chosen))


def export_tracks(
    reader: TracksReader,
    format_name: str,
    tracks: Sequence[int],
    folder: Path,
    decimals: int = 2,
    regions: Sequence[Stretch] | None = None,
    threads: int = 1,
) -> list[Path]:
    """One bigWig or bedGraph file a track."""
    suffix, writer = WRITERS[format_name]
    paths = [folder / f"{track_file_name(reader.tracks[i])}{suffix}" for i in tracks]
    with Progress(f"export {format_name}", reader.bases * len(tracks)) as progress, ThreadPoolExecutor(threads) as pool:

        def write(track: int, path: Path) -> None:
            writer(reader, track, path, decimals, regions)
            progress.add(reader.bases)

        list(pool.map(write, tracks, paths))
    return paths


def export_npz(
    reader: TracksReader, regions: Sequence[Stretch] | None, tracks: Sequence[int], folder: Path
) -> list[Path]:
    """One npz file a region if some are given; else one a contig, or a stretch of one that the files hold."""
    chosen = regions or [Stretch(c.name, start, end) for c in reader.contigs for start, end in reader.covered(c.name)]
    lengths = {contig.name: contig.length for contig in reader.contigs}
    paths = []
    for region in chosen:
        is_whole = regions is None and region.end - region.start == lengths[region.contig]
        place = "" if is_whole else f".{region.start + 1}-{region.end}"
        paths.append(folder / f"{safe_name(region.contig)}{place}.npz")
    if len(set(paths)) < len(paths):
        raise UsageError("two contigs would share a file name", hint="Export them one by one with --region")
    for region, path in zip(chosen, paths, strict=True):
        write_npz(reader, [region], tracks, path)
    return paths


def run_cat(reader: TracksReader, args: argparse.Namespace) -> dict[str, Any]:
    """Write everything into one file."""
    output_folder(args.out.parent)
    if args.out.resolve() in {path.resolve() for path in reader.paths}:
        raise UsageError("the output is one of the inputs", file=args.out, hint="Give another --out")
    pieces = [Stretch(c.name, start, end) for c in reader.contigs for start, end in reader.covered(c.name)]
    header = dataclasses.replace(reader.header, shard=0)
    planned = {contig.name: reader.planned(contig.name) for contig in reader.contigs}
    with (
        Progress("join", reader.bases) as progress,
        tracks_writer(args.out, header, reader.contigs, pieces, args.threads, planned) as writer,
    ):
        for batch in reader.batches():
            values = reader.values_of(batch)
            writer.write(values)
            progress.add(values.shape[1])
    return {"files": len(reader.paths), "contigs": len(reader.contigs), "bases": reader.bases}
