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

With --estimate-parameters the numbers that depend on the organism (shortest intron, lengths, how often UTRs, GC-AG and
AT-AC introns occur) are measured on an annotation and written to --out/gene-parameters.json. With tracks files as well,
temperature and bias of each track that the annotation speaks of are fitted on its labels, wherever the files hold
something: best of sequence that the model has not learnt from. Give the file to --parameters, or copy its values into
`genes` of a checkpoint's card.json, which makes them the model's own.

  segnt call-genes --estimate-parameters annotation.gff3 --genome genome.fa --out DIR [TRACKS.h5 ...]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from segnt_tools import __version__
from segnt_tools.commands.common import add_common_options, positive_int, probability, write_report
from segnt_tools.elements import Track, element
from segnt_tools.errors import UsageError
from segnt_tools.files import output_folder, write_text
from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.genes.scores import IDENTITY
from segnt_tools.gff.genemodel import Gene, Transcript
from segnt_tools.gff.proving import prove
from segnt_tools.gff.sequences import write_sequences
from segnt_tools.gff.writing import number_genes, sort_genes, tool_pragmas, write_gff3, write_gtf
from segnt_tools.labels.build import LabelInputs, build_labels
from segnt_tools.labels.labelset import paint_labels
from segnt_tools.labels.rules import LabelRules, SpliceSide, Whose
from segnt_tools.logs import Progress, logger
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.tracks.file import TracksReader

if TYPE_CHECKING:
    from segnt_tools.genes.calibration import LabelCounts, TrackFit

_LABELLED_BASES = 1 << 20  # whose labels and codes are held at once
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
        report = estimate(args.estimate_parameters, args.genome, args.out, options, args.tracks)
        write_report(args.json, "call-genes", report)
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
    pragmas = tool_pragmas(__version__, header.model, header.card.get("licence"), header.card.get("citation"))
    write_gff3(folder / GFF3_FILE, genes, assembly.lengths, pragmas=pragmas, insdc=options.insdc)
    write_sequences(folder, genes, assembly, parameters.genetic_code)
    if options.gtf:
        write_gtf(folder / GTF_FILE, genes, assembly.lengths, pragmas=pragmas)
    else:
        (folder / GTF_FILE).unlink(missing_ok=True)  # of an earlier run with other options
    report = _report(genes, bases)
    report["dropped"] = {name: getattr(caller.dropped, name) for name in caller.dropped.__slots__}
    report["model"] = header.model
    report["parameters"] = caller.parameters.as_dict()
    logger.info("%d genes, %d of them coding", report["genes"], report["coding_genes"])
    return report


def estimate(
    annotation: Path, genome: Path, folder: Path, options: GeneOptions, tracks: Sequence[Path] = ()
) -> dict[str, Any]:
    """Measure parameters on an annotation, and on tracks if there are any, and write them to a folder.

    Only what was measured or given on the command line is written, so that all else stays as a model's card has it.

    Raises:
        TracksError: the tracks do not belong to the assembly.
        UsageError: the annotation has too few genes.
    """
    from segnt_tools.genes.calling import default_parameters
    from segnt_tools.genes.estimation import estimate_parameters
    from segnt_tools.gff.reading import read_genes

    with ExitStack() as stack:
        assembly = stack.enter_context(Assembly.open(genome))
        reader = stack.enter_context(TracksReader(list(tracks))) if tracks else None
        if reader is not None:
            reader.require_assembly(assembly.fingerprint, assembly.path)
        defaults = GeneParameters() if reader is None else default_parameters(reader)
        base = options.applied_to(defaults)
        estimated = estimate_parameters(read_genes(annotation, assembly.lengths), assembly, base)
        fits = _fit_tracks(annotation, assembly, reader, base) if reader is not None else {}
    usual = defaults.as_dict()
    values = {name: value for name, value in base.as_dict().items() if value != usual[name]} | estimated.values
    if reader is not None:
        values["calibration"] = {name: fit.pair for name, fit in fits.items() if fit is not None}
    output_folder(folder)
    write_text(folder / PARAMETERS_FILE, json.dumps(values, indent=2) + "\n")
    for name, value in estimated.values.items():
        logger.info("%s = %s", name, value)
    _tell_fits(fits)
    return {
        "genes": estimated.genes,
        "introns": estimated.introns,
        "parameters": values,
        "tracks": {name: fit and asdict(fit) for name, fit in fits.items()},
    }


def _fit_tracks(
    annotation: Path, assembly: Assembly, reader: TracksReader, parameters: GeneParameters
) -> dict[str, TrackFit | None]:
    """Fits of the tracks that the decoder reads; None where the annotation does not say enough.

    Exons are those of all transcripts where the model tells lncRNA, of coding ones where it does not. Splice sites lie
    on the side of the exon's border on which the parameters look for the model's marks; of both, on the one that fits
    better.
    """
    from segnt_tools.genes.calibration import fit_track

    tracks = [track for track in reader.tracks if track.trained and _is_decoded(track)]
    lncrna = any(track.element == "lncRNA" for track in tracks)
    whose = Whose.ALL if lncrna else Whose.CODING
    sides = {track.name: _sides(track, parameters) for track in tracks}
    counts = {
        side: _label_counts(annotation, assembly, reader, tracks, LabelRules(splice_side=side, whose=whose))
        for side in sorted({side for allowed in sides.values() for side in allowed})
    }
    fits: dict[str, TrackFit | None] = {}
    for number, track in enumerate(tracks):
        before = parameters.calibration.get(track.name, parameters.calibration.get(track.element, IDENTITY))
        possible = [fit_track(counts[side].of(number), before) for side in sides[track.name]]
        found = [fit for fit in possible if fit is not None]
        fits[track.name] = min(found, key=lambda fit: fit.after, default=None)
    return fits


def _is_decoded(track: Track) -> bool:
    return element(track.element).genic or track.element == "lncRNA"


def _sides(track: Track, parameters: GeneParameters) -> list[SpliceSide]:
    """The sides of the exon's border on which a track may mark splice sites; either will do for other tracks."""
    places = {
        "splice_donor": (parameters.donor_span, (SpliceSide.EXON, -1), (SpliceSide.INTRON, 0)),
        "splice_acceptor": (parameters.acceptor_span, (SpliceSide.EXON, 0), (SpliceSide.INTRON, -1)),
    }
    if track.element not in places:
        return [SpliceSide.INTRON]
    (first, last), *marks = places[track.element]
    return [side for side, place in marks if first <= place <= last]


def _label_counts(
    annotation: Path, assembly: Assembly, reader: TracksReader, tracks: Sequence[Track], rules: LabelRules
) -> LabelCounts:
    """Labels of an annotation against stored logits, wherever the tracks files hold something."""
    from segnt_tools.genes.calibration import LabelCounts
    from segnt_tools.genes.calling import FileTracks

    labels, _ = build_labels(LabelInputs([annotation]), assembly, tracks, rules)
    source = FileTracks(reader)
    rows = [reader.index(track.name) for track in tracks]
    counts = LabelCounts(len(tracks))
    with Progress("labels", reader.bases) as progress:
        for contig in reader.contigs:
            on_contig = [labels.track(contig.name, track) for track in tracks]
            for first, last in reader.covered(contig.name):
                for start in range(first, last, _LABELLED_BASES):
                    end = min(start + _LABELLED_BASES, last)
                    codes = source.stored_codes(contig.name, start, end, rows)
                    counts.add(codes, paint_labels(on_contig, start, end))
                    progress.add(end - start)
    return counts


def _tell_fits(fits: Mapping[str, TrackFit | None]) -> None:
    for name, fit in fits.items():
        if fit is None:
            logger.info("%s: not fitted, the annotation says too little of it or it says nothing", name)
        else:
            logger.info(
                "%s: temperature %.4g, bias %.4g; log loss %.6f, was %.6f", name, *fit.pair, fit.after, fit.before
            )


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
