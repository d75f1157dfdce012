"""Gene models from tracks and sequence, by exact decoding.

Reads the tracks files of whole contigs (all shards of a group) and writes into --out:

  genes.gff3        gene > mRNA > exon, CDS, UTR with strand, phase and score (column 6: how likely it is right)
  proteins.fa, cds.fa, transcripts.fa   their sequences
  genes.gtf         with --gtf
  call-genes.json   what was called, with which parameters, in numbers

A path through an explicit state machine of genes on both strands is chosen that explains tracks and sequence best. No
CDS can hold an in-frame stop codon, not even across an intron; every model is translated and checked before the files
appear. A base belongs to one gene: of overlapping or nested genes the better one is kept. Parameters come from the
model's card; --set and --parameters replace them. lncRNA genes are decoded where the model has a lncRNA track.

The score of a CDS row is the probability that both its ends are right, that of an exon likewise (a transcript's outer
end is free), that of an mRNA that all its coding parts are right; that of a gene is the share of its coding bases that
are expected to be right. They are as honest as the card's score_map, fitted on held-out genes, makes them.

With --estimate-parameters instead of tracks, the numbers that depend on the organism (shortest intron, lengths, how
often UTRs, GC-AG and AT-AC introns occur) are measured on an annotation and written to --out/gene-parameters.json, for
--parameters or for the card of a checkpoint:

  segnt call-genes --estimate-parameters annotation.gff3 --genome genome.fa --out DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from segnt_tools import __version__
from segnt_tools.commands.common import add_common_options, positive_int, probability, write_report
from segnt_tools.errors import UsageError
from segnt_tools.files import output_folder
from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.gff.genemodel import Gene, Transcript
from segnt_tools.gff.proving import prove
from segnt_tools.gff.sequences import write_sequences
from segnt_tools.gff.writing import number_genes, sort_genes, tool_pragmas, write_gff3, write_gtf
from segnt_tools.logs import Progress, logger
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.tracks.file import TracksReader

GFF3_FILE, GTF_FILE, REPORT_FILE, PARAMETERS_FILE = "genes.gff3", "genes.gtf", "call-genes.json", "gene-parameters.json"


@dataclass(frozen=True, slots=True)
class GeneOptions:
    """What the command line says about genes.

    Attributes:
        genetic_code: NCBI's number; None for the card's.
        min_score: genes with a lower score are not reported.
        locus_prefix: beginning of every gene's ID.
        gtf: write a GTF file too.
        insdc: write what submission to INSDC needs.
        parameters: JSON file of parameters that replace the card's.
        settings: `KEY=VALUE` that replace both.
        threads: processor cores.
    """

    genetic_code: int | None = None
    min_score: float = 0.0
    locus_prefix: str = "gene"
    gtf: bool = False
    insdc: bool = False
    parameters: Path | None = None
    settings: tuple[str, ...] = ()
    threads: int = 1

    def applied_to(self, parameters: GeneParameters) -> GeneParameters:
        """Parameters of a card with what the command line replaces."""
        if self.parameters is not None:
            parameters = GeneParameters.read(self.parameters, parameters)
        if self.genetic_code is not None:
            parameters = parameters.replaced({"genetic_code": self.genetic_code})
        return parameters.with_settings(self.settings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of segnt call-genes."""
    parser.add_argument("tracks", nargs="*", type=Path, metavar="TRACKS.h5", help="tracks files of whole contigs")
    parser.add_argument(
        "--genome", type=Path, required=True, metavar="FASTA", help="FASTA file or preprocess folder of the prediction"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument(
        "--estimate-parameters", type=Path, metavar="GFF3", help="measure parameters on an annotation, call nothing"
    )
    add_gene_options(parser)
    add_common_options(parser)


def add_gene_options(parser: argparse.ArgumentParser) -> None:
    """Options shared with segnt annotate."""
    group = parser.add_argument_group("gene models", "Defaults come from the model's card.")
    group.add_argument(
        "--genetic-code", type=positive_int, metavar="N", help="NCBI's number (default: the card's, or 1)"
    )
    group.add_argument(
        "--min-score", type=probability, default=0.0, metavar="P", help="leave out genes with a lower score"
    )
    group.add_argument("--locus-prefix", default="gene", metavar="TEXT", help="IDs are TEXT_000001, ...")
    group.add_argument("--gtf", action="store_true", help="write genes.gtf too")
    group.add_argument("--insdc", action="store_true", help="locus tags and partial flags as INSDC wants them")
    group.add_argument(
        "--parameters", type=Path, metavar="JSON", help="decoder parameters, such as --estimate-parameters writes"
    )
    group.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one decoder parameter (repeatable)"
    )


def options_from(args: argparse.Namespace) -> GeneOptions:
    """The options of a parsed command line."""
    if not args.locus_prefix or any(letter.isspace() for letter in args.locus_prefix):
        raise UsageError("--locus-prefix must be a text without blanks")
    return GeneOptions(
        genetic_code=args.genetic_code,
        min_score=args.min_score,
        locus_prefix=args.locus_prefix,
        gtf=args.gtf,
        insdc=args.insdc,
        parameters=args.parameters,
        settings=tuple(args.set),
        threads=args.threads,
    )


def run(args: argparse.Namespace) -> int:
    """Call the genes, or estimate parameters."""
    options = options_from(args)
    if args.estimate_parameters is not None:
        if args.tracks:
            raise UsageError("--estimate-parameters takes no tracks files", hint="Leave one of the two out")
        write_report(args.json, "call-genes", estimate(args.estimate_parameters, args.genome, args.out, options))
        return 0
    if not args.tracks:
        raise UsageError("no tracks files given", hint="Give the files that segnt predict wrote")
    options.applied_to(GeneParameters())  # wrong options are found before the assembly is read
    with Assembly.open(args.genome) as assembly:
        report = call_and_write(args.tracks, assembly, args.out, options)
    write_report(args.out / REPORT_FILE, "call-genes", report)
    write_report(args.json, "call-genes", report)
    return 0


def call_and_write(tracks: Sequence[Path], assembly: Assembly, folder: Path, options: GeneOptions) -> dict[str, Any]:
    """Call genes, prove them, and write all files into a folder.

    Raises:
        TracksError: the tracks do not belong to the assembly, are incomplete, or do not suffice.
        ProvenError: a model is not valid; nothing was written.
    """
    from segnt_tools.compilation import is_kept
    from segnt_tools.genes.calling import FileTracks, GeneCaller, default_parameters  # numba takes a second to load
    from segnt_tools.genes.kernels import best_rows

    output_folder(folder)
    with TracksReader(list(tracks)) as reader:
        reader.require_assembly(assembly.fingerprint, assembly.path)
        reader.require_whole_contigs()
        header, bases = reader.header, reader.bases
        parameters = options.applied_to(default_parameters(reader))
        source = FileTracks(reader)
        if not is_kept(best_rows):
            logger.info("compiling the gene decoder, once for this installation: about half a minute")
        caller = GeneCaller(source, assembly, parameters, options.min_score, held=source.held)
        present = {contig.name for contig in reader.contigs}
        contigs = [contig for contig in assembly.contigs if contig.name in present]
        found: list[Gene] = []
        with Progress("call-genes", sum(contig.length for contig in contigs)) as progress:
            for genes in caller.call(contigs, options.threads, progress.add):
                found += genes
    genes = number_genes(sort_genes(found, assembly.lengths), options.locus_prefix)
    prove(genes, assembly, parameters.genetic_code)
    pragmas = tool_pragmas(__version__, header.model, header.card.get("licence"))
    write_gff3(folder / GFF3_FILE, genes, assembly.lengths, pragmas=pragmas, insdc=options.insdc)
    write_sequences(folder, genes, assembly, parameters.genetic_code)
    if options.gtf:
        write_gtf(folder / GTF_FILE, genes, assembly.lengths)
    report = _report(genes, bases)
    report["dropped"] = {name: getattr(caller.dropped, name) for name in caller.dropped.__slots__}
    report["model"] = header.model
    report["parameters"] = caller.parameters.as_dict()
    logger.info("%d genes, %d of them coding", report["genes"], report["coding_genes"])
    return report


def estimate(annotation: Path, genome: Path, folder: Path, options: GeneOptions) -> dict[str, Any]:
    """Measure parameters on an annotation and write them to a folder."""
    from segnt_tools.genes.estimation import estimate_parameters
    from segnt_tools.gff.reading import read_genes

    with Assembly.open(genome) as assembly:
        genes = read_genes(annotation, assembly.lengths)
        base = options.applied_to(GeneParameters())
        estimated = estimate_parameters(genes, assembly, base)
    output_folder(folder)
    base.replaced(estimated.values).write(folder / PARAMETERS_FILE)
    for name, value in estimated.values.items():
        logger.info("%s = %s", name, value)
    return {"genes": estimated.genes, "introns": estimated.introns, "parameters": estimated.values}


def _report(genes: Sequence[Gene], bases: int) -> dict[str, Any]:
    coding = [transcript for gene in genes for transcript in gene.transcripts if transcript.cds]
    introns = [end - start for transcript in coding for start, end in transcript.introns]
    return {
        "bases": bases,
        "genes": len(genes),
        "coding_genes": len(coding),
        "lncrna_genes": len(genes) - len(coding),
        "partial_genes": sum(transcript.partial_5 or transcript.partial_3 for transcript in coding),
        "single_exon_genes": sum(len(transcript.cds) == 1 for transcript in coding),
        "genes_per_mb": round(1e6 * len(genes) / bases, 2) if bases else None,
        "coding_bases": sum(transcript.coding_length for transcript in coding),
        "cds_length": _distribution([transcript.coding_length for transcript in coding]),
        "cds_parts_per_gene": _distribution([len(transcript.cds) for transcript in coding]),
        "intron_length": _distribution(introns),
        "gene_score": _distribution([gene.score for gene in genes if gene.score is not None]),
        "with_5utr": sum(_has_utr(transcript)[0] for transcript in coding),
        "with_3utr": sum(_has_utr(transcript)[1] for transcript in coding),
    }


def _has_utr(transcript: Transcript) -> tuple[bool, bool]:
    left = transcript.start < transcript.cds[0][0]
    right = transcript.end > transcript.cds[-1][1]
    return (left, right) if transcript.strand.value == "+" else (right, left)


def _distribution(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        "mean": round(mean(values), 3),
        "median": round(median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }
