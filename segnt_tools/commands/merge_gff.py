"""Join GFF3 files of several groups or tools, and an existing annotation, into one sorted and valid GFF3 file.

The output does not depend on the order of the inputs. What is the same in several files is written once. Features of
the existing annotation keep their IDs and attributes; predicted genes are numbered in genome order (PREFIX_000001,
...); features that are no genes are carried through.

Two genes of different files collide if they lie on the same strand and share coding bases (exon bases where a gene has
no CDS), more than --max-overlap of the shorter one's. --prefer says which one stays:
  existing   the existing annotation; predictions only fill the gaps
  predicted  predictions; what they replaced is named in their attribute `replaces`
  score      the higher score in column 6 of the best transcript, or of the gene where no transcript has one; a gene
             without score loses, of equals the existing one stays
Predictions of several files that collide are resolved by score; genes of one file never push out each other. What was
left out, and why, is written to a table. Outputs whose names end in .gz are bgzipped. What is wrong inside the files is
reported but not repaired; `segnt check-gff` tells more about it.

Exit status: 0 done; 2 an input is malformed or does not fit the genome.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from segnt_tools import __version__
from segnt_tools.commands.common import add_common_options, probability, write_report
from segnt_tools.errors import UsageError
from segnt_tools.files import atomic_path, is_stream, require_output_file
from segnt_tools.gff.lines import read_pragmas
from segnt_tools.gff.merging import (
    Merged,
    MergeOptions,
    Prefer,
    check_prefix,
    merge_files,
    require_other_file,
    write_dropped,
    write_merged,
)
from segnt_tools.gff.writing import tool_pragmas
from segnt_tools.logs import logger
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.bgzf import open_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of segnt merge-gff."""
    parser.add_argument("gff", nargs="+", type=Path, metavar="GFF3", help="GFF3 files of predictions, in any order")
    parser.add_argument(
        "--genome", type=Path, required=True, metavar="FASTA", help="the genome, or a preprocess folder"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="OUT.gff3", help="file to write; bgzipped as OUT.gff3.gz"
    )
    parser.add_argument("--existing", type=Path, metavar="ANN", help="existing annotation, GFF3 or GTF")
    parser.add_argument(
        "--prefer",
        choices=tuple(Prefer),
        type=Prefer,
        default=Prefer.EXISTING,
        help="which of two colliding genes stays",
    )
    parser.add_argument(
        "--max-overlap",
        type=probability,
        default=0.0,
        metavar="SHARE",
        help="share of the shorter gene's coding bases that two genes of one strand may have in common",
    )
    parser.add_argument(
        "--locus-prefix", default="SEGNT", metavar="PREFIX", help="prefix of the IDs of predicted genes"
    )
    parser.add_argument("--keep-ids", action="store_true", help="keep the IDs of predicted genes where they are unique")
    parser.add_argument(
        "--dropped",
        type=Path,
        metavar="TSV",
        help="table of what was left out and why (default: OUT.dropped.tsv, if OUT is a file)",
    )
    add_common_options(parser, threads=False)


def run(args: argparse.Namespace) -> int:
    """Merge the files."""
    options = MergeOptions(args.prefer, args.max_overlap, check_prefix(args.locus_prefix), keep_ids=args.keep_ids)
    require_other_file(args.existing, args.gff)  # before a large genome is read
    table = args.dropped or _table_beside(args.out)
    if table.resolve() == args.out.resolve():
        raise UsageError("the table would replace the annotation", file=table, hint="Give another --dropped")
    for path in (args.out, table):
        require_output_file(path)
    with Assembly.open(args.genome) as assembly:
        lengths = assembly.lengths
    inputs = [*args.gff, *([args.existing] if args.existing is not None else [])]
    merged = merge_files(args.gff, lengths, args.existing, options)
    pragmas = [*tool_pragmas(__version__), *sorted({one for path in inputs for one in read_pragmas(path)})]
    with (
        atomic_path(args.out) as out_path,
        atomic_path(table) as table_path,
        open_output(out_path) as out,
        open_output(table_path) as dropped,
    ):
        rows = write_merged(out, merged, lengths, list(dict.fromkeys(pragmas)))
        write_dropped(dropped, merged)
    _log(merged, rows, args.out)
    values = {
        "rows": rows,
        **merged.counts(),
        "inputs": {str(path): one.as_json() for path, one in merged.reports.items()},
    }
    write_report(args.json, "merge-gff", values)
    return 0


def _table_beside(out: Path) -> Path:
    """Where the table of what was left out goes by default; nowhere if there is no file to put it beside."""
    if is_stream(out):
        return Path(os.devnull)
    return out.with_name(f"{out.name.removesuffix('.gz').removesuffix('.gff3')}.dropped.tsv")


def _log(merged: Merged, rows: int, out: Path) -> None:
    for path, report in merged.reports.items():
        for word, tallies in (("left out", report.dropped), ("note", report.noted)):
            for reason, tally in sorted(tallies.items()):
                place = f"first: line {tally.line}, {tally.example}"
                logger.warning("%s: %s: %d x %s (%s)", path, word, tally.count, reason, place)
    for name, count in merged.counts().items():
        logger.info("%s: %d", name.replace("_", " "), count)
    logger.info("%s: %d rows", out, rows)
