"""Annotation and regulatory files to per-base labels on the coordinates of an assembly.

  segnt labels genes.gff3.gz --genome genome.fa.gz --out labels.h5
  segnt labels gencode.v44.annotation.gtf.gz gencode.v44.polyAs.gtf.gz --genome GRCh38.fa --out human.h5 \\
      --ccre encodeCcreCombined.bed --dhs DHS_Index_and_Vocabulary_hg38_WM20190703.txt.gz    (SegmentNT's 14 elements)
  segnt labels genes.gtf --genome genome.fa --bed enhancer=mine.bed --bed island=cpg.bed --stranded --out labels.h5

ANNOTATION is GFF3 or GTF of GENCODE, Ensembl, RefSeq and the like, plain or gzipped; GENCODE's polyA file is one more.
All files may be gzipped. Contigs may be called chr1 or 1; for other names give a table with --aliases (NCBI's assembly
report will do).

The elements, in their order: protein_coding_gene, lncRNA, exon, intron, splice_donor, splice_acceptor, 5UTR, 3UTR,
CTCF-bound, polyA_signal, enhancer_Tissue_specific, enhancer_Tissue_invariant, promoter_Tissue_specific,
promoter_Tissue_invariant; with --extended CDS, CDS_frame_0 to _2, start_codon, stop_codon.

Writes a tracks file with one label a base and track: 0 absent, 1 present, 255 masked. Masked is what the sources cannot
know: elements that no file speaks of, contigs that a file does not mention, UTRs and what may lie beside genes where an
annotation has coding parts only, tissue classes without a DHS index, runs of N. Several isoforms give their union.
Next to it LABELS.json and LABELS.tsv say how many bases and intervals each track has, what was left out and why, and
how well the annotation fits the sequence (GT-AG introns, ATG starts, stop codons, whole frames).
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segnt_tools.commands.common import add_common_options, bases_or_zero, positive_int, print_line, write_report
from segnt_tools.errors import UsageError
from segnt_tools.files import output_folder, write_text
from segnt_tools.labels.build import LabelInputs, LabelReport, build_labels, choose_tracks, require_known, write_labels
from segnt_tools.labels.regulatory import BedSource
from segnt_tools.labels.rules import LabelRules, SpliceSide, Whose
from segnt_tools.logs import Progress, logger
from segnt_tools.sequence.assembly import Assembly


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of segnt labels."""
    parser.add_argument(
        "annotations", type=Path, nargs="*", metavar="ANNOTATION", help="GFF3 or GTF file; several may be given"
    )
    parser.add_argument("--genome", type=Path, required=True, metavar="FASTA", help="assembly or preprocess folder")
    parser.add_argument("--out", type=Path, required=True, metavar="LABELS.h5", help="labels file")
    _add_source_options(parser)
    _add_rule_options(parser)
    add_common_options(parser)


def _add_source_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("regulatory elements and names")
    group.add_argument(
        "--ccre",
        type=Path,
        action="append",
        default=[],
        metavar="BED",
        help="ENCODE's registry of cCREs, version 2 or 3; may be repeated",
    )
    group.add_argument(
        "--dhs",
        type=Path,
        metavar="TSV",
        help="DHS index of Meuleman et al.; tells tissue-invariant enhancers and promoters from specific ones",
    )
    group.add_argument(
        "--bed",
        action="append",
        default=[],
        metavar="ELEMENT=FILE[#NAME]",
        help="any BED as any element, or its rows called NAME; `enhancer` and `promoter` are divided by --dhs",
    )
    group.add_argument("--aliases", type=Path, metavar="TSV", help="other names of contigs, one sequence a line")
    group.add_argument(
        "--ignore-missing-contigs", action="store_true", help="pass over rows on sequences that the genome lacks"
    )


def _add_rule_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tracks and rules")
    defaults = LabelRules()
    group.add_argument("--elements", metavar="A,B,...", help="tracks to write, in order (default: SegmentNT's 14)")
    group.add_argument("--extended", action="store_true", help="add CDS, frames of codons, start and stop codons")
    group.add_argument("--stranded", action="store_true", help="one track for each strand")
    group.add_argument("--keep-level-3", action="store_true", help="keep GENCODE's automatic transcripts")
    group.add_argument(
        "--splice-side",
        choices=[side.value for side in SpliceSide],
        default=defaults.splice_side.value,
        help="side of the exon-intron border that a splice site covers; exon: as HISAT2's script",
    )
    group.add_argument(
        "--splice-width", type=positive_int, default=defaults.splice_width, metavar="BP", help="bases on that side"
    )
    group.add_argument(
        "--exons-of",
        choices=[whose.value for whose in Whose],
        default=defaults.whose.value,
        help="transcripts that give exons, introns and splice sites",
    )
    group.add_argument("--lncrna-exons", action="store_true", help="lncRNA means exons, not whole genes")
    group.add_argument(
        "--ctcf-only",
        action="store_true",
        help="CTCF-bound means cCREs of class CTCF-only, not every one with the suffix CTCF-bound",
    )
    group.add_argument(
        "--unknown-flank",
        type=bases_or_zero,
        default=defaults.unknown_flank,
        metavar="BP",
        help="bases beside a coding span that are masked where UTRs are unknown",
    )


def run(args: argparse.Namespace) -> int:
    """Read the sources and write labels and report."""
    inputs = LabelInputs(
        args.annotations,
        args.ccre,
        args.dhs,
        [BedSource.parse(text) for text in args.bed],
        args.aliases,
        args.ignore_missing_contigs,
    )
    _check(args, inputs)
    rules = LabelRules(
        drop_level_3=not args.keep_level_3,
        splice_side=SpliceSide(args.splice_side),
        splice_width=args.splice_width,
        whose=Whose(args.exons_of),
        lncrna_exons=args.lncrna_exons,
        ctcf_only=args.ctcf_only,
        unknown_flank=args.unknown_flank,
    )
    elements = args.elements.split(",") if args.elements else None
    tracks = choose_tracks(elements, inputs.beds, extended=args.extended, stranded=args.stranded)
    with Assembly.open(args.genome) as assembly:
        labels, report = build_labels(inputs, assembly, tracks, rules)
        require_known(labels)
        settings: dict[str, Any] = {"rules": asdict(rules), "sources": [path.name for path in inputs.files]}
        with Progress("labels", sum(assembly.lengths.values())) as progress:
            write_labels(args.out, labels, assembly, settings, args.threads, progress.add)
    _tell(args, report)
    return 0


def _check(args: argparse.Namespace, inputs: LabelInputs) -> None:
    """What can be refused before anything is read."""
    if not (inputs.annotations or inputs.ccres or inputs.beds):
        raise UsageError("no ANNOTATION, --ccre or --bed given")
    for path in inputs.files:
        if not path.exists():
            raise UsageError("there is no such file", file=path)
    if args.out.suffix != ".h5":
        raise UsageError("the name of a labels file ends in .h5", file=args.out)
    output_folder(args.out.parent)


def _tell(args: argparse.Namespace, report: LabelReport) -> None:
    values = report.to_json()
    write_report(args.out.with_suffix(".json"), "labels", values)
    write_report(args.json, "labels", values)
    write_text(args.out.with_suffix(".tsv"), report.table())
    for note in report.notes:
        logger.warning("%s", note)
    rates = ", ".join(f"{name} {value:.4f}" for name, value in report.rates().items() if value is not None)
    logger.info("%d genes, %d transcripts%s", report.genes, report.transcripts, f"; {rates}" if rates else "")
    for file, reasons in report.rejected.items():
        for reason, count in reasons.items():
            logger.info("left out, %s: %d x %s", file, count, reason)
    if not args.quiet:
        print_line(report.table().rstrip("\n"))
