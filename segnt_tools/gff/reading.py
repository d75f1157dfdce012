"""Reading annotation: features line by line, and gene models assembled from GFF3 and GTF as other tools write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Final

from segnt_tools.errors import AnnotationFileError, some_names
from segnt_tools.gff import rules
from segnt_tools.gff.assembling import GeneAssembler
from segnt_tools.gff.features import Feature
from segnt_tools.gff.genemodel import Gene
from segnt_tools.gff.lines import Dialect, FeatureFile
from segnt_tools.gff.rules import Finding

# Lines that yield no feature, or one of which nobody can say who it is. Reading stops at them, because going on would
# lose or mistake a feature silently.
FATAL: Final = frozenset(
    (rules.COLUMNS, rules.COORDINATE, rules.START_BELOW_ONE, rules.START_AFTER_END, rules.STRAND, rules.ID_TWICE)
)


@dataclass(slots=True)
class Tally:
    """How often something happened, and where first.

    Attributes:
        count: number of features.
        line: line of the first one.
        example: the first one's name.
    """

    count: int
    line: int
    example: str


@dataclass(slots=True)
class ReadReport:
    """What reading a file gave, and all that did not become a gene model.

    Attributes:
        genes: genes read.
        transcripts: transcripts read.
        dropped: features left out, by reason.
        noted: features kept although something about them is odd, by remark.
        bare: gene and transcript rows without any exon or CDS; their inner structure is unknown.
        other: number of features that are no part of a gene model (repeats, regions, matches), by type.
    """

    genes: int = 0
    transcripts: int = 0
    dropped: dict[str, Tally] = field(default_factory=dict)
    noted: dict[str, Tally] = field(default_factory=dict)
    bare: list[Feature] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)

    def drop(self, reason: str, line: int, example: str, count: int = 1) -> None:
        """Count features that were left out."""
        _add(self.dropped, reason, line, example, count)

    def note(self, remark: str, line: int, example: str, count: int = 1) -> None:
        """Count features that were kept with a remark."""
        _add(self.noted, remark, line, example, count)

    def take_finding(self, finding: Finding) -> None:
        """Count a finding about a line that was read all the same."""
        self.note(f"{finding.rule.code} {finding.rule.title}", finding.line, finding.feature or finding.message)

    def summary(self) -> list[str]:
        """Lines for a log: what was read, dropped and noted."""
        lines = [f"{self.genes} genes, {self.transcripts} transcripts"]
        for word, tallies in (("left out", self.dropped), ("note", self.noted)):
            lines += [
                f"{word}: {tally.count} x {reason} (first: line {tally.line}, {tally.example})"
                for reason, tally in sorted(tallies.items())
            ]
        if self.bare:
            first = self.bare[0]
            lines.append(
                f"left out: {len(self.bare)} x gene or transcript without exon or CDS "
                f"(first: line {first.line}, {first.label})"
            )
        return lines

    def as_json(self) -> dict[str, object]:
        """The same for a JSON report."""
        return {
            "genes": self.genes,
            "transcripts": self.transcripts,
            "dropped": {reason: _tally_json(tally) for reason, tally in sorted(self.dropped.items())},
            "noted": {remark: _tally_json(tally) for remark, tally in sorted(self.noted.items())},
            "bare": len(self.bare),
            "other": dict(sorted(self.other.items())),
        }


def _add(tallies: dict[str, Tally], reason: str, line: int, example: str, count: int) -> None:
    tally = tallies.get(reason)
    if tally is None:
        tallies[reason] = Tally(count, line, example)
    else:
        tally.count += count


def _tally_json(tally: Tally) -> dict[str, object]:
    return {"count": tally.count, "first_line": tally.line, "example": tally.example}


def read_features(path: str | PathLike[str], report: ReadReport | None = None) -> Iterator[Feature]:
    """Features of a GFF3 or GTF file in the order of its lines, plain or gzipped.

    Args:
        path: the file; its content, not its name, tells the format.
        report: takes remarks about lines that are odd but usable.

    Raises:
        AnnotationFileError: the file is neither GFF3 nor GTF, or a line of it cannot be a feature.
    """
    yield from open_features(path, report)


def open_features(path: str | PathLike[str], report: ReadReport | None = None) -> FeatureFile:
    """The same as an object that also knows the dialect and the directives."""
    return FeatureFile(Path(path), _strict_sink(Path(path), report))


def _strict_sink(path: Path, report: ReadReport | None) -> Callable[[Finding], None]:
    def sink(finding: Finding) -> None:
        if finding.rule in FATAL:
            raise AnnotationFileError(
                finding.message, file=path, line=finding.line, hint="`segnt check-gff` lists all such lines"
            )
        if report is not None:
            report.take_finding(finding)

    return sink


def read_genes(
    path: str | PathLike[str],
    lengths: Mapping[str, int] | None = None,
    report: ReadReport | None = None,
) -> list[Gene]:
    """Gene models of a GFF3 or GTF file, in genome order.

    What is understood: gene > transcript > exon/CDS/UTR of RefSeq, Ensembl, GENCODE, AUGUSTUS, EMBL, Helixer and the
    like; files with CDS only, or UTR rows and no exons (the exons are then CDS and UTR joined); transcripts without a
    gene and genes with exons or CDS right below them (the missing level is added, with the ID of the other); GTF, where
    a stop codon beside the CDS is joined to it. Exons, CDS parts and attributes of other rows are not kept here: use
    read_features for them.

    A transcript is left out, and counted in the report, if it has no known strand, parts on both strands, overlapping
    exons, CDS outside its exons, or lies outside its sequence.

    Args:
        path: plain or gzipped file.
        lengths: lengths of the contigs in FASTA order. Features on contigs that are not among them are left out and
            counted; without `lengths` contigs come in the order of the file.
        report: counts all that was left out.

    Raises:
        AnnotationFileError: not GFF3 or GTF, a malformed line, a feature that is its own ancestor, or no feature at all
            lies on one of the contigs.
    """
    report = ReadReport() if report is None else report
    features = open_features(path, report)
    assembler = GeneAssembler(Path(path), features.dialect is Dialect.GTF, report)
    contigs: dict[str, int] = {}
    for feature in features:
        contigs.setdefault(feature.seqid, len(contigs))
        if lengths is not None and feature.seqid not in lengths:
            report.drop("its sequence is not in the genome", feature.line, f"{feature.label} on {feature.seqid}")
        else:
            assembler.add(feature)
    _require_known_contig(Path(path), contigs, lengths)
    order = contigs if lengths is None else {name: rank for rank, name in enumerate(lengths)}
    genes = sorted(assembler.genes(lengths), key=lambda gene: (order[gene.contig], *_key(gene)))
    report.genes += len(genes)
    report.transcripts += sum(len(gene.transcripts) for gene in genes)
    return genes


def _key(gene: Gene) -> tuple[int, int, str, str]:
    return gene.start, gene.end, gene.strand, gene.id


def _require_known_contig(path: Path, contigs: Mapping[str, int], lengths: Mapping[str, int] | None) -> None:
    if lengths is None or not contigs or any(name in lengths for name in contigs):
        return
    raise AnnotationFileError(
        f"none of its sequences ({some_names(contigs)}) is in the genome ({some_names(lengths)})",
        file=path,
        hint="Use an annotation of this assembly, with the same sequence names",
    )
