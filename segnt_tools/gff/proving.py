"""Proof of our own gene models before their file is renamed into place: structure, phases and translation of each."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from segnt_tools.errors import ProvenError
from segnt_tools.gff.checking import check_features
from segnt_tools.gff.features import Feature
from segnt_tools.gff.genemodel import Gene, Transcript
from segnt_tools.gff.lines import Dialect
from segnt_tools.gff.modelrules import Genome
from segnt_tools.gff.rules import Finding, Severity
from segnt_tools.gff.sequences import GeneticCode, genetic_code
from segnt_tools.gff.writing import gene_features, sort_genes


def prove(genes: Iterable[Gene], genome: Genome, code_number: int = 1) -> int:
    """Check every gene model as it would be written; what `segnt check-gff` only warns about fails here too.

    That is: unique IDs, parts inside their transcript and transcripts inside their gene, one strand, exons apart, CDS
    inside exons, bounds, known types, finite scores between 0 and 1, phases. Every CDS begins with a start codon and
    ends with a stop codon unless that end is partial, has none inside, and a length that is a multiple of three.

    Args:
        genes: the models, in any order.
        genome: the assembly they lie on.
        code_number: NCBI's number of the genetic code they were made with.

    Returns:
        Number of transcripts proved.

    Raises:
        ProvenError: a model is wrong; the message names it.
    """
    code = genetic_code(code_number)
    by_contig: dict[str, list[Gene]] = defaultdict(list)
    names: set[str] = set()
    transcripts = 0
    genes = list(genes)
    for gene in genes:
        _require_new_names(gene, names)
        for transcript in gene.transcripts:
            _require_sound(gene, transcript)
            transcripts += 1
    for gene in sort_genes(genes, genome.lengths):
        by_contig[gene.contig].append(gene)
    for members in by_contig.values():
        _prove_contig(members, genome, code)
    return transcripts


def _fail(gene: Gene, message: str) -> ProvenError:
    return ProvenError(
        f"gene {gene.id} on {gene.contig} is not a valid model: {message}",
        hint="This is a bug of segnt_tools; nothing was written. Please report it with the message",
    )


def _require_new_names(gene: Gene, names: set[str]) -> None:
    for name in (gene.id, *(transcript.id for transcript in gene.transcripts)):
        if not name or name in names:
            raise _fail(gene, f"the ID {name!r} is empty or used twice")
        names.add(name)


def _require_sound(gene: Gene, transcript: Transcript) -> None:
    """What the rows cannot show: order of intervals, lengths of lists, range of scores."""
    for intervals in (transcript.exons, transcript.cds):
        if list(intervals) != sorted(intervals) or any(start >= end or start < 0 for start, end in intervals):
            raise _fail(gene, f"{transcript.id} has intervals that are empty, negative or not in order")
    if not transcript.exons:
        raise _fail(gene, f"{transcript.id} has no exon")
    if transcript.strand is not gene.strand:
        raise _fail(gene, f"{transcript.id} is on another strand than its gene")
    if transcript.cds_phase not in (0, 1, 2) or (transcript.cds_phase and not transcript.partial_5):
        raise _fail(gene, f"{transcript.id} begins with phase {transcript.cds_phase} although its start is complete")
    if len(transcript.exon_scores) not in (0, len(transcript.exons)):
        raise _fail(gene, f"{transcript.id} has {len(transcript.exon_scores)} scores for {len(transcript.exons)} exons")
    if len(transcript.cds_scores) not in (0, len(transcript.cds)):
        raise _fail(
            gene, f"{transcript.id} has {len(transcript.cds_scores)} scores for {len(transcript.cds)} CDS parts"
        )
    for score in (gene.score, transcript.score, *transcript.exon_scores, *transcript.cds_scores):
        if score is not None and not (math.isfinite(score) and 0 <= score <= 1):
            raise _fail(gene, f"{transcript.id} or a part of it has the score {score}")


def _prove_contig(genes: list[Gene], genome: Genome, code: GeneticCode) -> None:
    rows: list[Feature] = []
    owners: list[Gene] = []
    for number, gene in enumerate(genes):
        for row in gene_features(gene):
            row.line = number
            rows.append(row)
        owners.append(gene)

    def sink(finding: Finding) -> None:
        if finding.rule.severity is not Severity.INFO:
            raise _fail(owners[finding.line], f"{finding.feature}: {finding.message} ({finding.rule.code})")

    check_features(rows, Dialect.GFF3, sink, genome=genome, code=code)
