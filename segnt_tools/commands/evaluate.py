"""Compare predictions with a reference.

  segnt evaluate mine.gff3 augustus.gff3 --truth annotation.gff3.gz --genome genome.fa.gz --out scores
  segnt evaluate tracks.h5 --compare spliceai_folder --truth labels.h5 --genome genome.fa.gz --region chr1 --out scores
  segnt evaluate enhancer_Tissue_specific=scores.tsv --truth labels.h5 --genome genome.fa.gz --out scores

Against an annotation (GFF3, GTF) genes and single bases are scored, against a labels file (segnt labels) single bases.
PREDICTION is one of
  tracks.h5            a tracks file of segnt predict
  genes.gff3, .gtf     gene models of any program; element calls of segnt call-peaks
  calls.bed            intervals with the name of the element in column 4
  FOLDER               bigWig or bedGraph files (one a track, named after it), npz files (one a contig) or tracks files
  TRACK=FILE,...       bigWig, bedGraph, a table of windows (contig start end score) or BED, for each track
Several predictions are set side by side; each must have something that the truth has.

Gene finding is scored at the levels of nucleotide, exon, intron, intron chain, transcript and gene, for coding parts
and for whole exons, with all isoforms of the reference; the rules are those of gffcompare where it has one:
  nucleotide  bases on the same strand that any isoform covers
  exon        distinct exons (or coding parts) with both ends equal; introns likewise
  transcript  distinct transcripts with all exons equal; intron_chain: with all introns equal
  gene        genes with at least one transcript equal to one of the other side's

Tracks are scored base by base: MCC, F1, Jaccard, precision and recall at the threshold, auPRC, segment overlap (SOV'99
and SOV_refine, for the class alone and for both states), calibration; over whole contigs, and as mean and deviation
over samplings of windows. Masked bases do not count. Names with + and - are strands; they are also scored joined.

Writes into --out:
  evaluate.json      everything
  genes.tsv          gene finding
  gene_errors.tsv    reference genes by what is wrong with them: exact; start or stop codon only; 5' side, 3' side,
                     inside; merged, split, missed; and predicted genes that touch none (false)
  elements.tsv       tracks
  samplings.tsv      spread over the samplings
  reliability.tsv    calibration curves, of tracks and of the scores of gene models (column 6)
  precision_recall.tsv   precision and recall by threshold, of both
  evaluate.png       the picture

What cannot be computed because the truth lacks it is "not defined", never 0 or 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from segnt_tools.commands.common import add_common_options, bases, print_line, probability, seed, write_report
from segnt_tools.errors import UsageError
from segnt_tools.evaluation.elements import ScoringOptions
from segnt_tools.evaluation.evaluating import EvaluationOptions, evaluate
from segnt_tools.evaluation.gene_scores import ScoreTrust
from segnt_tools.evaluation.loading import names_of, parse_prediction
from segnt_tools.evaluation.picture import draw
from segnt_tools.evaluation.regions import region_intervals
from segnt_tools.evaluation.results import (
    ElementScores,
    PredictionScores,
    elements_table,
    gene_errors_table,
    genes_table,
    overview,
    precision_recall_table,
    reliability_table,
    samplings_table,
)
from segnt_tools.files import atomic_path, output_folder, write_text
from segnt_tools.labels.bed import read_regions_bed
from segnt_tools.labels.rules import LabelRules, SpliceSide
from segnt_tools.logs import Progress, logger
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.intervals import length
from segnt_tools.sequence.stretches import Stretch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of segnt evaluate."""
    parser.add_argument("predictions", nargs="*", metavar="PREDICTION", help="what to score")
    parser.add_argument("--compare", nargs="+", default=[], metavar="PREDICTION", help="more predictions, as above")
    parser.add_argument(
        "--truth", type=Path, required=True, metavar="LABELS.h5|ANNOTATION", help="the reference: labels or GFF3 or GTF"
    )
    parser.add_argument("--genome", type=Path, required=True, metavar="FASTA", help="assembly or preprocess folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument("--names", metavar="A,B,...", help="names of the predictions (default: from their files)")
    group = parser.add_argument_group("what is scored")
    defaults = ScoringOptions()
    group.add_argument(
        "--region", action="append", default=[], metavar="CONTIG[:FROM-TO]", help="score here only; may be repeated"
    )
    group.add_argument("--regions", type=Path, metavar="BED", help="score in the regions of this file only")
    group.add_argument("--only", choices=("genes", "elements"), help="score genes only, or single bases only")
    group.add_argument("--elements", metavar="A,B,...", help="tracks to score (default: all)")
    group.add_argument(
        "--threshold",
        type=probability,
        default=defaults.threshold,
        metavar="P",
        help="probability at which a base is called",
    )
    group.add_argument("--samplings", type=int, default=defaults.samplings, metavar="N", help="samplings of windows")
    group.add_argument(
        "--sample-window", type=bases, default=defaults.window, metavar="BP", help="length of those windows"
    )
    group.add_argument("--seed", type=seed, default=defaults.seed, metavar="N", help="random seed of the samplings")
    group.add_argument(
        "--splice-side",
        choices=[side.value for side in SpliceSide],
        default=LabelRules().splice_side.value,
        help="side of the exon-intron border that a splice site covers where gene models are scored base by base; "
        "intron: what the embedded models mark",
    )
    add_common_options(parser, threads=False)


def run(args: argparse.Namespace) -> int:
    """Score every prediction and write the folder."""
    inputs = [parse_prediction(text) for text in (*args.predictions, *args.compare)]
    if not inputs:
        raise UsageError("no PREDICTION given")
    if args.samplings < 0:
        raise UsageError(f"--samplings {args.samplings} is less than 0")
    names = names_of([given.shown for given in inputs], args.names.split(",") if args.names else None)
    options = EvaluationOptions(
        genes=args.only != "elements",
        tracks=args.only != "genes",
        elements=args.elements.split(",") if args.elements else None,
        scoring=ScoringOptions(args.threshold, args.samplings, args.sample_window, args.seed),
        rules=LabelRules(splice_side=SpliceSide(args.splice_side)),
    )
    output_folder(args.out)
    with Assembly.open(args.genome) as assembly:
        lengths = dict(assembly.lengths)
        chosen = [Stretch.parse(text, lengths) for text in args.region]
        if args.regions is not None:
            for regions_of_contig in read_regions_bed(args.regions).of(lengths).values():
                chosen += regions_of_contig
        regions = region_intervals(chosen, lengths)
        bases_of_tracks = sum(map(length, regions.values())) if options.tracks else 0
        with Progress("evaluate", bases_of_tracks) if bases_of_tracks else nullcontext() as progress:
            advance = progress.add if progress else lambda bases: None
            scores = evaluate(args.truth, list(zip(names, inputs, strict=True)), assembly, regions, options, advance)
    for prediction in scores:
        for note in prediction.notes:
            logger.warning("%s: %s", prediction.name, note)
    _write(args, scores)
    return 0


def _scored(prediction: PredictionScores) -> Iterator[ScoreTrust | ElementScores]:
    """Everything of a prediction that has curves."""
    yield from prediction.gene_scores
    yield from prediction.elements


def _write(args: argparse.Namespace, scores: list[PredictionScores]) -> None:
    tables = {
        "genes.tsv": (genes_table, any(prediction.genes for prediction in scores)),
        "gene_errors.tsv": (gene_errors_table, any(prediction.gene_errors for prediction in scores)),
        "elements.tsv": (elements_table, any(prediction.elements for prediction in scores)),
        "samplings.tsv": (samplings_table, any(one.samplings for p in scores for one in p.elements)),
        "reliability.tsv": (reliability_table, any(one.calibration for p in scores for one in _scored(p))),
        "precision_recall.tsv": (precision_recall_table, any(one.curve for p in scores for one in _scored(p))),
    }
    for name, (table, wanted) in tables.items():
        if wanted:
            write_text(args.out / name, table(scores))
        else:
            (args.out / name).unlink(missing_ok=True)  # of an earlier run with other options
    regions = [*args.region, *([] if args.regions is None else [f"regions of {args.regions.name}"])]
    where = ", ".join(regions) or "whole genome"
    with atomic_path(args.out / "evaluate.png") as temporary:
        draw(scores, temporary, f"{args.truth.name}, {where}")
    values: dict[str, Any] = {
        "truth": args.truth.name,
        "regions": regions,
        "threshold": args.threshold,
        "splice_side": args.splice_side,
        "samplings": {"number": args.samplings, "window": args.sample_window, "seed": args.seed},
        "predictions": [prediction.to_json() for prediction in scores],
    }
    write_report(args.out / "evaluate.json", "evaluate", values)
    write_report(args.json, "evaluate", values)
    if not args.quiet:
        print_line(overview(scores))
