"""One self-contained HTML page about a run, or several runs side by side.

RUN_DIR is what segnt annotate left, or a folder with some of its files: genes.gff3, elements.bed (or elements.gff3),
cds.fa, tracks/*.bw, annotate.json, contigs.tsv, gaps.bed, evaluate.json. What is missing is said on the page.

The page opens from disk without network. Beside it are written the same numbers as JSON and TSV, and a file for
MultiQC: report.html, report.json, report.tsv, report_mqc.json.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from segnt_tools.commands.common import add_common_options
from segnt_tools.errors import UsageError
from segnt_tools.files import atomic_path, output_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of segnt report."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR", help="output folder of segnt annotate")
    parser.add_argument("--out", type=Path, required=True, metavar="HTML", help="the page to write")
    parser.add_argument("--genome", type=Path, metavar="FASTA", help="assembly or preprocess folder, for splice sites")
    parser.add_argument(
        "--region",
        action="append",
        default=[],
        metavar="CONTIG:FROM-TO",
        help="also draw this place (repeatable); others are chosen by score and length",
    )
    parser.add_argument("--existing", type=Path, metavar="ANN", help="existing annotation (GFF3, GTF) to draw beside")
    add_common_options(parser, threads=False)


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    from segnt_tools.report.page import write_report

    if args.out.is_dir():
        raise UsageError("--out is a folder", file=args.out, hint="Give the name of the page, like report.html")
    output_folder(args.out.parent)
    write_report(args.runs, args.out, genome=args.genome, regions=args.region, existing=args.existing)
    if args.json is not None and args.json.resolve() != args.out.with_suffix(".json").resolve():
        with atomic_path(args.json) as temporary:
            shutil.copyfile(args.out.with_suffix(".json"), temporary)
    return 0
