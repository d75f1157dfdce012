"""A run with everything that can be known about it, gathered once for the page, JSON, TSV and MultiQC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from segnt_tools.errors import AnnotationFileError, AssemblyError
from segnt_tools.gff.genemodel import Gene
from segnt_tools.gff.reading import ReadReport, read_genes
from segnt_tools.gff.sequences import coding_sequence, genetic_code
from segnt_tools.logs import logger
from segnt_tools.report.assembly import AssemblyNumbers, read_assembly
from segnt_tools.report.elements import ElementNumbers, read_elements
from segnt_tools.report.folder import CDS, GENES, RunFolder, mapping
from segnt_tools.report.genes import Ends, GeneNumbers, ends_of_sequences
from segnt_tools.report.measures import Measure
from segnt_tools.report.splicing import SpliceNumbers, splice_sites
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.codes import decode


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        folder: its files.
        assembly: its contigs, or None.
        genes: its gene models, or None without genes.gff3.
        splices: splice sites of the introns, or None without a genome or introns.
        elements: its element calls, or None.
        existing: the annotation given with --existing that lies on its contigs, or None.
        with_genome: whether a genome was given.
    """

    folder: RunFolder
    assembly: AssemblyNumbers | None
    genes: GeneNumbers | None
    splices: SpliceNumbers | None
    elements: ElementNumbers | None
    existing: tuple[Gene, ...] | None
    with_genome: bool

    @property
    def name(self) -> str:
        """How the report calls the run."""
        return self.folder.name

    @property
    def bases(self) -> int:
        """Bases that were annotated; 0 if unknown."""
        return 0 if self.assembly is None else self.assembly.bases_used

    @cached_property
    def measures(self) -> list[Measure]:
        """All numbers of the run, in the order of the page."""
        found: list[Measure] = []
        for part in (self.assembly,):
            found += [] if part is None else part.measures()
        found += [] if self.genes is None else self.genes.measures(self.bases)
        if self.splices is not None:
            from segnt_tools.report.measures import Unit

            found.append(Measure("gt_ag_share", "GT-AG introns", self.splices.share("GT-AG"), Unit.SHARE))
        found += [] if self.elements is None else self.elements.measures(self.bases)
        return found


def gather(folder: RunFolder, genome: Path | None, existing: Path | None) -> Run:
    """Read all parts of a run; what is missing or damaged becomes None with a note.

    Raises:
        AssemblyError: the genome given cannot be read.
        AnnotationFileError: the existing annotation cannot be read.
    """
    found = genome or folder.genome()
    if found is None:
        return _gather(folder, None, existing)
    with Assembly.open(found) as assembly:
        return _gather(folder, assembly, existing)


def _gather(folder: RunFolder, genome: Assembly | None, existing: Path | None) -> Run:
    assembly = read_assembly(folder, None if genome is None else dict(genome.lengths))
    genes = splices = elements = None
    known: tuple[Gene, ...] | None = None
    if assembly is not None:
        lengths = dict(zip(assembly.axis.names, assembly.axis.lengths.tolist(), strict=True))
        models = _read_models(folder, lengths)
        if models is not None:
            genes = GeneNumbers(models, assembly.axis, _ends(folder, models, genome))
        if genes is not None and genome is not None:
            splices = _splices(folder, models or [], genome)
        elements = read_elements(folder, assembly.axis)
        if existing is not None:
            known = tuple(_existing(folder, existing, lengths))
    return Run(folder, assembly, genes, splices, elements, known, genome is not None)


def _read_models(folder: RunFolder, lengths: Mapping[str, int]) -> list[Gene] | None:
    path = folder.file(GENES)
    if path is None:
        return None
    report = ReadReport()
    try:
        genes = read_genes(path, lengths, report)
    except AnnotationFileError as error:
        if _has_no_rows(path):
            return []
        folder.notes.append(f"{GENES} cannot be read ({error.message}).")
        return None
    folder.notes += [f"{GENES}: {line}." for line in report.summary() if line.startswith("left out")]
    return genes


def _has_no_rows(path: Path) -> bool:
    from segnt_tools.report.folder import open_text

    with open_text(path) as handle:
        return all(line.startswith("#") or not line.strip() for line in handle)


def _existing(folder: RunFolder, path: Path, lengths: Mapping[str, int]) -> list[Gene]:
    try:
        return read_genes(path, lengths)
    except AnnotationFileError as error:
        if "is in the genome" not in error.message:
            raise
        folder.notes.append(f"The existing annotation does not fit: {error.message}.")
        return []


def _ends(folder: RunFolder, genes: Sequence[Gene], genome: Assembly | None) -> Ends | None:
    code = genetic_code(_code_number(folder))
    stops = frozenset(
        a + b + c
        for i, a in enumerate("ACGT")
        for j, b in enumerate("ACGT")
        for k, c in enumerate("ACGT")
        if code.stops[16 * i + 4 * j + k]
    )
    transcripts = [(gene, one) for gene in genes for one in gene.transcripts if one.cds]
    path = folder.file(CDS)
    if path is not None:
        partial = {
            "_".join(one.id.split()): (one.partial_5 or one.cds_phase > 0, one.partial_3) for _, one in transcripts
        }
        found = ends_of_sequences(path, partial, stops)
        return found if found.models else None
    if genome is None or not transcripts:
        return None
    models = atg = five = stop = three = 0
    for gene, one in transcripts:
        if gene.contig not in genome.lengths or one.cds[-1][1] > genome.lengths[gene.contig]:
            continue
        sequence = decode(coding_sequence(genome, gene, one))
        models += 1
        if not one.partial_5 and not one.cds_phase:
            five += 1
            atg += sequence[:3] == "ATG"
        if not one.partial_3:
            three += 1
            stop += sequence[-3:] in stops
    return Ends(models, atg, five, stop, three) if models else None


def _code_number(folder: RunFolder) -> int:
    for values in (mapping(folder.summary.get("call-genes")), mapping(folder.summary.get("settings"))):
        number = values.get("genetic_code")
        if isinstance(number, int):
            return number
    return 1


def _splices(folder: RunFolder, genes: Sequence[Gene], genome: Assembly) -> SpliceNumbers | None:
    try:
        found = splice_sites(genes, genome)
    except AssemblyError as error:
        folder.notes.append(f"Splice sites were not looked up ({error.message}).")
        return None
    if found.absent:
        folder.notes.append(f"{found.absent:,} genes lie on contigs that the genome given does not have.")
        logger.warning("%s: %s", folder.name, folder.notes[-1])
    return found if found.introns else None


def model_of(run: Run) -> dict[str, Any]:
    """Name, clade, licence, citation and cautions of the run's model, as far as the folder tells."""
    summary, card = run.folder.summary, run.folder.card
    keys = ("name", "architecture", "summary", "clade", "licence", "citation", "not_for")
    found = {key: card.get(key) for key in keys}
    found["name"] = found["name"] or summary.get("model")
    for key in ("licence", "citation"):
        found[key] = found[key] or summary.get(key)
    return {key: value for key, value in found.items() if value}
