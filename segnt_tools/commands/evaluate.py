"""Compare predictions with a reference.

PREDICTION is a GFF3 or GTF of gene models. Several predictions are set side by side. Gene finding is scored at the
levels of nucleotide, exon, intron, intron chain, transcript and gene, for coding parts and for whole exons, with all
isoforms of the reference; the rules are those of gffcompare where it has one:

  nucleotide  bases on the same strand that any isoform covers
  exon        distinct exons (or coding parts) with both ends equal; introns likewise
  transcript  distinct transcripts with all exons equal; intron_chain: with all introns equal
  gene        genes with at least one transcript equal to one of the other side's

Writes into --out:

  evaluate.json    everything
  genes.tsv        gene finding
  evaluate.png     the picture

What cannot be computed because the truth lacks it is "not defined", never 0 or 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from segnt_tools.commands.common import add_common_options, print_line, write_report
from segnt_tools.errors import UsageError
from segnt_tools.evaluation.genes import compare_genes
from segnt_tools.evaluation.loading import Kind, kind_of, load_genes, names_of
from segnt_tools.evaluation.picture import draw
from segnt_tools.evaluation.regions import parse_region, region_intervals
from segnt_tools.evaluation.results import PredictionScores, genes_table
from segnt_tools.files import atomic_path, output_folder, write_text
from segnt_tools.logs import logger
from segnt_tools.sequence.assembly import Assembly


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of segnt evaluate."""
    parser.add_argument("predictions", type=Path, nargs="*", metavar="PREDICTION", help="what to score")
    parser.add_argument("--compare", type=Path, nargs="+", default=[], metavar="PREDICTION", help="more predictions")
    parser.add_argument("--truth", type=Path, required=True, metavar="ANNOTATION", help="the reference")
    parser.add_argument("--genome", type=Path, required=True, metavar="FASTA", help="assembly or preprocess folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument("--names", metavar="A,B,...", help="names of the predictions (default: from their files)")
    parser.add_argument(
        "--region", action="append", default=[], metavar="CONTIG[:FROM-TO]", help="score here only; may be repeated"
    )
    add_common_options(parser, threads=False)


def run(args: argparse.Namespace) -> int:
    """Score every prediction and write the folder."""
    paths = [*args.predictions, *args.compare]
    if not paths:
        raise UsageError("no PREDICTION given")
    names = names_of(paths, args.names.split(",") if args.names else None)
    for path in (*paths, args.truth):
        if kind_of(path) is not Kind.GENES:
            raise UsageError("only gene models can be scored so far", file=path)
    output_folder(args.out)
    with Assembly.open(args.genome) as assembly:
        lengths = dict(assembly.lengths)
    regions = region_intervals([parse_region(text, lengths) for text in args.region], lengths)
    truth, notes = load_genes(args.truth, lengths)
    for note in notes:
        logger.warning("%s: %s", args.truth.name, note)
    scores = []
    for path, name in zip(paths, names, strict=True):
        genes, remarks = load_genes(path, lengths)
        views = tuple(compare_genes(truth, genes, regions, view) for view in ("cds", "exon"))
        scores.append(PredictionScores(name, path.name, views, (), remarks))
    _write(args, scores)
    return 0


def _write(args: argparse.Namespace, scores: list[PredictionScores]) -> None:
    where = ", ".join(args.region) or "whole genome"
    table = genes_table(scores)
    write_text(args.out / "genes.tsv", table)
    with atomic_path(args.out / "evaluate.png") as temporary:
        draw(scores, temporary, f"{args.truth.name}, {where}")
    values = {
        "truth": args.truth.name,
        "regions": args.region,
        "predictions": [prediction.to_json() for prediction in scores],
    }
    write_report(args.out / "evaluate.json", "evaluate", values)
    write_report(args.json, "evaluate", values)
    if not args.quiet:
        print_line(table.rstrip("\n"))
