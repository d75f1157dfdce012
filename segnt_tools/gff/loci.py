"""Loci of a GFF3 file: each feature with all that belongs to it, rows and attributes kept as they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from segnt_tools.elements import Strand
from segnt_tools.errors import AnnotationFileError, some_names
from segnt_tools.gff.checking import check_features
from segnt_tools.gff.features import Feature
from segnt_tools.gff.genemodel import Interval
from segnt_tools.gff.lines import Dialect, FeatureFile
from segnt_tools.gff.reading import ReadReport, open_features, read_genes
from segnt_tools.gff.rules import PARENT_CYCLE, UNKNOWN_TYPE, Finding, Severity
from segnt_tools.gff.types import LANDMARKS, PartKind, is_gene_type, is_transcript_type, part_kind
from segnt_tools.gff.writing import gene_features
from segnt_tools.sequence.intervals import joined


@dataclass(slots=True, eq=False)
class Locus:
    """A feature without parents and everything below it.

    Attributes:
        rows: the rows, roots first, parents before their children, each level in genome order.
        file: where it was read.
        existing: it is part of the existing annotation.
        is_gene: it holds a gene, transcript or CDS, and takes part in the resolution of overlaps. Element calls
            are no genes, whatever their type.
        blocks: what another gene must not overlap: its CDS, or, without CDS, its exons, or else its whole span.
    """

    rows: list[Feature]
    file: Path
    existing: bool
    is_gene: bool = False
    blocks: tuple[Interval, ...] = ()

    @property
    def root(self) -> Feature:
        """Its first row without parents."""
        return self.rows[0]

    @property
    def score(self) -> float | None:
        """Score of its best transcript, or of its root where no transcript has one.

        A gene's own score comes second because it says something else: call-genes writes on an mRNA how likely all its
        coding parts are right, on a gene which share of its coding bases is expected to be, which is never less. Scores
        of exons and other parts speak of these alone and never count, unless a part is the root itself.
        """
        transcripts = (row.score for row in self.rows if row.score is not None and is_transcript_type(row.type))
        return max(transcripts, default=self.root.score)

    @property
    def start(self) -> int:
        """First base of any row, 0-based."""
        return min(row.start for row in self.rows)

    @property
    def end(self) -> int:
        """End (exclusive) of any row."""
        return max(row.end for row in self.rows)

    @property
    def shape(self) -> tuple[tuple[str, str, int, int, str, int], ...]:
        """What makes two loci the same but for names, scores and attributes."""
        return tuple(
            sorted((row.seqid, row.type, row.start, row.end, row.strand.value, _number(row.phase)) for row in self.rows)
        )


def _number(phase: int | None) -> int:
    return -1 if phase is None else phase


def read_loci(path: Path, lengths: Mapping[str, int], report: ReadReport, *, existing: bool) -> list[Locus]:
    """Read the loci of a GFF3 file (or of GTF, whose gene models are turned into GFF3).

    Args:
        path: plain or gzipped file.
        lengths: lengths of the genome's contigs.
        report: counts findings about the file, and rows that could not be kept.
        existing: mark the loci as existing annotation.

    Raises:
        AnnotationFileError: the file is malformed, a feature is its own ancestor, or lies on a sequence that the genome
            does not have, or past its end.
    """
    file = open_features(path, report)
    features = []
    for feature in file:
        _require_place(feature, lengths, path)
        features.append(feature)
    _report_findings(path, features, file, report)
    if file.dialect is Dialect.GTF:
        return [_locus(gene_features(gene), path, existing) for gene in read_genes(path, lengths, report)]
    circular = {one.seqid for one in features if one.attributes.get("Is_circular") == ("true",)}
    for feature in features:
        if feature.end > lengths[feature.seqid] and feature.seqid not in circular:
            raise AnnotationFileError(
                f"{feature.label} ends at {feature.end}, past the end of {feature.seqid} "
                f"({lengths[feature.seqid]} bases)",
                file=path,
                line=feature.line,
                hint="Give the genome that the file was made for",
            )
    return [_locus(rows, path, existing) for rows in _trees(features, report)]


def _require_place(feature: Feature, lengths: Mapping[str, int], path: Path) -> None:
    if feature.seqid not in lengths:
        raise AnnotationFileError(
            f"the genome has no sequence {feature.seqid} (it has {some_names(lengths)})",
            file=path,
            line=feature.line,
            hint="Give the genome that the file was made for",
        )


def _report_findings(path: Path, features: list[Feature], file: FeatureFile, report: ReadReport) -> None:
    """Count what check-gff finds between the rows; rows that break a rule are kept as they are."""

    def sink(finding: Finding) -> None:
        if finding.rule is PARENT_CYCLE:
            raise AnnotationFileError(f"{finding.feature}: {finding.message}", file=path, line=finding.line)
        if finding.rule.severity is Severity.ERROR or finding.rule is UNKNOWN_TYPE:
            report.take_finding(finding)

    check_features(features, file.dialect, sink, directives=file.directives)


# --- trees


def _trees(features: list[Feature], report: ReadReport) -> Iterator[list[Feature]]:
    """Rows that hang together by ID, Parent and Derives_from on one sequence."""
    groups = _Groups(len(features))
    named: dict[tuple[str, str], int] = {}
    for number, feature in enumerate(features):
        if feature.id is not None:
            groups.join(named.setdefault((feature.seqid, feature.id), number), number)
    kept: list[int] = []
    for number, feature in enumerate(features):
        found = {name: named[(feature.seqid, name)] for name in feature.parents if (feature.seqid, name) in named}
        # A whole contig as parent would make one locus of all its genes.
        known = [name for name, parent in found.items() if features[parent].type not in _WHOLE_SEQUENCES]
        if len(known) < len(found):
            report.note("reference to a whole sequence as parent removed", feature.line, feature.label)
            feature.attributes = _with_parents(feature, known)
        elif len(known) < len(feature.parents):
            missing = ", ".join(name for name in feature.parents if name not in known)
            if not known and part_kind(feature.type) is not None:
                report.drop("exon, CDS, UTR or codon without its transcript", feature.line, f"Parent={missing}")
                continue
            report.note("reference to a missing parent removed", feature.line, f"{feature.label} Parent={missing}")
            feature.attributes = _with_parents(feature, known)
        kept.append(number)
        for name in (*known, *feature.attributes.get("Derives_from", ())):
            if (feature.seqid, name) in named:
                groups.join(named[(feature.seqid, name)], number)
    members: dict[int, list[Feature]] = defaultdict(list)
    for number in kept:
        members[groups.find(number)].append(features[number])
    for rows in members.values():
        _part_ids(rows, report)
        yield _in_order(rows)


def _part_ids(rows: list[Feature], report: ReadReport) -> None:
    """Give parts of transcripts IDs of their own where one ID stands for parts of several kinds or transcripts."""
    owners: dict[str, tuple[str, tuple[str, ...]]] = {}
    names: dict[tuple[str, str, tuple[str, ...]], str] = {}
    used = {row.id for row in rows}
    for row in rows:
        if row.id is None or part_kind(row.type) is None:
            continue
        this = (row.type, row.parents)
        if owners.setdefault(row.id, this) == this:
            continue
        key = (row.id, *this)
        if key not in names:
            names[key] = free_name(row.id, used)
            used.add(names[key])
            report.note("ID of another feature replaced", row.line, f"{row.label}, now {names[key]}")
        row.attributes = {**row.attributes, "ID": (names[key],)}


def free_name(name: str, used: Container[str | None]) -> str:
    """The name with the first suffix `.2`, `.3`, ... that is not used."""
    number = 2
    while f"{name}.{number}" in used:
        number += 1
    return f"{name}.{number}"


def _with_parents(feature: Feature, parents: list[str]) -> dict[str, tuple[str, ...]]:
    attributes = {name: values for name, values in feature.attributes.items() if name != "Parent"}
    return attributes | ({"Parent": tuple(parents)} if parents else {})


class _Groups:
    """Disjoint sets of row numbers (union by smaller number, path halving)."""

    def __init__(self, size: int) -> None:
        self._above = list(range(size))

    def find(self, number: int) -> int:
        """The smallest number of a set."""
        while self._above[number] != number:
            self._above[number] = self._above[self._above[number]]
            number = self._above[number]
        return number

    def join(self, one: int, other: int) -> None:
        """Make one set of two."""
        first, second = self.find(one), self.find(other)
        self._above[max(first, second)] = min(first, second)


_WHOLE_SEQUENCES = LANDMARKS - {"operon"}
_RANK = {"exon": 0, "five_prime_UTR": 1, "three_prime_UTR": 1, "CDS": 2}


def row_key(row: Feature) -> tuple[int, int, int, str, str, str]:
    """Order of rows below one parent."""
    return row.start, _RANK.get(row.type, 0), -row.end, row.type, row.strand.value, row.id or ""


def _in_order(rows: list[Feature]) -> list[Feature]:
    """Roots, each followed by its children, depth first; a row of several parents comes below the first."""
    if len(rows) == 1:
        return rows
    children: dict[str, list[Feature]] = defaultdict(list)
    roots = []
    for row in rows:
        if row.parents:
            children[row.parents[0]].append(row)
        else:
            roots.append(row)
    ordered: list[Feature] = []
    placed: set[int] = set()
    stack = sorted(roots, key=row_key, reverse=True)
    while stack:
        row = stack.pop()
        if id(row) in placed:
            continue
        placed.add(id(row))
        ordered.append(row)
        if row.id is not None:
            stack += sorted(children.pop(row.id, ()), key=row_key, reverse=True)
    # A gene and its transcript may share an ID; whatever was not reached comes at the end.
    return ordered + sorted((row for row in rows if id(row) not in placed), key=row_key)


def _locus(rows: list[Feature], path: Path, existing: bool) -> Locus:
    locus = Locus(rows, path, existing)
    if all(row.called_element is not None for row in rows):
        return locus
    coding = [row for row in rows if part_kind(row.type) is PartKind.CDS]
    exons = [row for row in rows if part_kind(row.type) is PartKind.EXON]
    genes = [row for row in rows if is_gene_type(row.type)]
    locus.is_gene = bool(coding or exons or genes)
    if locus.is_gene:
        locus.blocks = joined((row.start, row.end) for row in coding or exons or genes)
    return locus


def strand_of(locus: Locus) -> Strand:
    """Strand of a locus: that of its first row with one."""
    return next((row.strand for row in locus.rows if row.strand is not Strand.NONE), Strand.NONE)


def renamed(rows: Iterable[Feature], names: Mapping[str, str]) -> list[Feature]:
    """Copies of rows with other IDs, wherever an old one stands as ID, Parent, Derives_from, Name or locus_tag."""
    out = []
    for row in rows:
        attributes = dict(row.attributes)
        for key in ("ID", "Parent", "Derives_from", "Name", "locus_tag"):
            if key in attributes:
                attributes[key] = tuple(names.get(value, value) for value in attributes[key])
        out.append(replace(row, attributes=attributes))
    return out
