"""Check an assembly and lay it out for the tools that follow.

Reads FASTA (plain, gzip, bgzip, bzip2 or xz), refuses what cannot be annotated with file, record and line, and writes
into --out:

  assembly.fa.gz   bgzipped copy with .fai and .gzi index; IUPAC ambiguity letters became N, U became T
  contigs.tsv      every contig with length, GC, N, soft-masked bases, MD5, and the reason if it is skipped
  gaps.bed         runs of N
  softmasked.bed   lower-case intervals
  shards.tsv       shards (units of predict) and groups (units of calling), balanced in bases
  preprocess.json  the summary

With --regions, shards hold the regions of a BED file only; coordinates stay those of the assembly.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segnt_tools.commands.common import add_common_options, bases, positive_int, write_report
from segnt_tools.files import output_folder, require_free_space
from segnt_tools.labels.bed import read_regions_bed
from segnt_tools.logs import Progress, logger
from segnt_tools.sequence.preparation import Preparation, prepare

REPORT_FILE = "preprocess.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of segnt preprocess."""
    parser.add_argument("assembly", type=Path, metavar="ASSEMBLY", help="FASTA file, or - for standard input")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    add_preprocess_options(parser)
    add_common_options(parser, threads=False)


def add_preprocess_options(parser: argparse.ArgumentParser) -> None:
    """Options shared with segnt annotate."""
    group = parser.add_argument_group("shards")
    exclusive = group.add_mutually_exclusive_group()
    exclusive.add_argument("--shards", type=positive_int, metavar="N", help="number of shards")
    exclusive.add_argument("--shard-size", type=bases, default=10_000_000, metavar="BP", help="wanted bases a shard")
    group.add_argument("--min-length", type=bases, default=1, metavar="BP", help="skip shorter contigs")
    for option, what in (
        ("--include", "skip contigs whose name does not fit"),
        ("--exclude", "skip contigs whose name fits"),
    ):
        group.add_argument(
            option, action="append", default=[], metavar="PATTERN", help=f"{what}, as in 'chr*' (repeatable)"
        )
    group.add_argument(
        "--regions", type=Path, metavar="BED", help="annotate these regions only; what lies outside is not predicted"
    )


def run(args: argparse.Namespace) -> int:
    """Check the assembly and write the folder."""
    preprocess(
        *(args.assembly, args.out, args.shards, args.shard_size, args.min_length),
        include=args.include,
        exclude=args.exclude,
        regions=args.regions,
        report=args.json,
    )
    return 0


def preprocess(
    assembly: Path,
    folder: Path,
    shards: int | None,
    shard_size: int,
    min_length: int,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    regions: Path | None = None,
    report: Path | None = None,
) -> Preparation:
    """Run the step with progress, messages and report."""
    wanted = None if regions is None else read_regions_bed(regions)
    size = assembly.stat().st_size if assembly.is_file() else 0
    require_free_space(output_folder(folder), size)
    with Progress("preprocess", 0) as progress:
        result = prepare(
            assembly,
            folder,
            shards=shards,
            shard_size=shard_size,
            min_length=min_length,
            include=include,
            exclude=exclude,
            regions=wanted,
            progress=progress.add,
        )
        progress.total = progress.done
    _tell(result)
    values = summary(result)
    write_report(folder / REPORT_FILE, "preprocess", values)
    write_report(report, "preprocess", values)
    return result


def _tell(result: Preparation) -> None:
    if ambiguous := result.changed.ambiguous:
        letters = ", ".join(f"{count} {letter}" for letter, count in sorted(ambiguous.items()))
        logger.warning("%d IUPAC ambiguity letters became N (%s)", result.changed.total_ambiguous, letters)
    if result.changed.uracil:
        logger.warning("%d U became T: is this an RNA sequence?", result.changed.uracil)
    skipped = len(result.contigs) - len(result.used)
    logger.info(
        "%d contigs, %d bases; %d contigs skipped, %d bases to annotate; %d shards",
        len(result.contigs),
        sum(contig.length for contig in result.contigs),
        skipped,
        result.bases_used,
        len(result.shards),
    )


def summary(result: Preparation) -> dict[str, Any]:
    """The values of the JSON report."""
    lengths = sorted((contig.length for contig in result.contigs), reverse=True)
    skipped: dict[str, int] = {}
    for contig in result.contigs:
        if contig.skipped:
            skipped[contig.skipped] = skipped.get(contig.skipped, 0) + 1
    known = sum(contig.length - contig.n for contig in result.contigs)
    return {
        "assembly_fingerprint": result.fingerprint,
        "contigs": len(lengths),
        "bases": sum(lengths),
        "longest": lengths[0],
        "n50": _n50(lengths),
        "gc": round(sum(contig.gc for contig in result.contigs) / known, 4) if known else None,
        "n": sum(contig.n for contig in result.contigs),
        "softmasked": sum(contig.softmasked for contig in result.contigs),
        "ambiguity_letters_to_n": dict(sorted(result.changed.ambiguous.items())),
        "u_to_t": result.changed.uracil,
        "contigs_used": len(result.used),
        "bases_used": result.bases_used,
        "contigs_skipped": dict(sorted(skipped.items())),
        "shards": len(result.shards),
        "groups": len({shard.group for shard in result.shards}),
        "largest_shard": max(shard.bases for shard in result.shards),
    }


def _n50(lengths_descending: list[int]) -> int:
    """Length of the contig with which half of all bases are reached."""
    half = sum(lengths_descending) / 2
    total = 0
    for length in lengths_descending:
        total += length
        if total >= half:
            return length
    return 0
