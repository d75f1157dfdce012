"""Checking GFF3 and GTF files: every rule over a whole file, with its line, in one pass and bounded memory per line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from segnt_tools.elements import Strand
from segnt_tools.errors import some_names
from segnt_tools.gff import rules
from segnt_tools.gff.features import Attributes, Feature
from segnt_tools.gff.lines import Dialect, Directives, FeatureFile
from segnt_tools.gff.modelrules import Genome, TranscriptRows, check_sequence, check_transcript
from segnt_tools.gff.rules import Finding, Severity, Sink
from segnt_tools.gff.sequences import GeneticCode, genetic_code
from segnt_tools.gff.terms import SYNONYMS, is_known_term
from segnt_tools.gff.types import PRODUCTS, PartKind, is_gene_type, is_transcript_type, part_kind

# Attributes the rules look at; the others are dropped at once, so that memory does not hold a whole column 9.
_NEEDED: Final = frozenset(
    ("ID", "Parent", "Derives_from", "Is_circular", "exception", "ribosomal_slippage", "trans_splicing", "part",
     "partial", "start_range", "end_range", "pseudo", "transl_except", "transl_table", "gene_biotype", "gene_type",
     "biotype", "gene_id", "transcript_id", "tag", "transcript_biotype", "transcript_type")
)  # fmt: skip
# What NCBI and others write where a feature breaks the rules on purpose.
_IRREGULAR: Final = frozenset(("exception", "ribosomal_slippage", "trans_splicing"))


@dataclass(slots=True)
class CheckResult:
    """What was found in a file.

    Attributes:
        path: the file.
        dialect: GFF3 or GTF.
        features: number of features read.
        findings: by line.
        foreign: a genome was given, and it has none of the file's sequences.
    """

    path: Path
    dialect: Dialect
    features: int
    findings: list[Finding]
    foreign: bool = False

    def count(self, severity: Severity) -> int:
        """Number of findings of a severity."""
        return sum(finding.rule.severity is severity for finding in self.findings)

    @property
    def good(self) -> bool:
        """True without errors; warnings and information do not count."""
        return self.count(Severity.ERROR) == 0


def check_file(
    path: Path, genome: Genome | None = None, code_number: int = 1, *, splice_sites: bool = False
) -> CheckResult:
    """Check a GFF3 or GTF file.

    Args:
        path: plain or gzipped file.
        genome: also check bounds and translate every CDS.
        code_number: NCBI's number of the genetic code, for CDS without a `transl_table` of their own.
        splice_sites: also list introns with unusual ends.

    Raises:
        AnnotationFileError: the file cannot be read, or is neither GFF3 nor GTF.
    """
    findings: list[Finding] = []
    file = FeatureFile(path, findings.append)
    features = []
    for feature in file:
        feature.attributes = {name: values for name, values in feature.attributes.items() if name in _NEEDED}
        features.append(feature)
    check_features(
        features,
        file.dialect,
        findings.append,
        directives=file.directives,
        genome=genome,
        code=genetic_code(code_number),
        splice_sites=splice_sites,
    )
    findings.sort(key=lambda finding: (finding.line, finding.rule.code, finding.message))
    foreign = genome is not None and bool(features) and all(one.seqid not in genome.lengths for one in features)
    return CheckResult(path, file.dialect, len(features), findings, foreign)


def check_features(
    features: list[Feature],
    dialect: Dialect,
    sink: Sink,
    *,
    directives: Directives | None = None,
    genome: Genome | None = None,
    code: GeneticCode | None = None,
    splice_sites: bool = False,
) -> None:
    """Check features against each other, the file's directives and the genome (all rules but those of single lines)."""
    directives = Directives() if directives is None else directives
    _check_places(features, directives, genome, sink)
    if dialect is Dialect.GFF3:
        _check_types(features, sink)
        relations = _Relations(features, directives, sink)
        relations.check()
        _check_order(features, sink)
        transcripts: Iterable[TranscriptRows] = relations.transcripts()
    else:
        transcripts = _GtfTranscripts(features, sink).transcripts()
    for transcript in transcripts:
        check_transcript(transcript, sink)
        if genome is not None:
            table = code or genetic_code(1)
            check_sequence(transcript, genome, table, sink, splice_sites=splice_sites)


# --- places


def _check_places(features: list[Feature], directives: Directives, genome: Genome | None, sink: Sink) -> None:
    circular = {one.seqid for one in features if one.attributes.get("Is_circular") == ("true",)}
    unknown: set[str] = set()
    for feature in features:
        region = directives.regions.get(feature.seqid)
        outside = region is not None and (feature.start < region[0] or feature.end > region[1])
        if outside and region is not None and not (feature.seqid in circular and feature.start >= region[0]):
            message = f"{_span(feature)} leaves the sequence-region {region[0] + 1}-{region[1]} of {feature.seqid}"
            sink(Finding(rules.OUTSIDE_REGION, feature.line, feature.label, message))
        if genome is None:
            continue
        length = genome.lengths.get(feature.seqid)
        if length is None:
            if feature.seqid not in unknown:
                unknown.add(feature.seqid)
                message = f"the genome has no sequence {feature.seqid} (it has {some_names(genome.lengths)})"
                sink(Finding(rules.UNKNOWN_SEQUENCE, feature.line, feature.label, message))
        elif feature.end > length and feature.seqid not in circular:
            message = f"{_span(feature)} runs past the end of {feature.seqid} ({length} bases)"
            sink(Finding(rules.OUTSIDE_SEQUENCE, feature.line, feature.label, message))


def _span(feature: Feature) -> str:
    return f"{feature.start + 1}-{feature.end}"


def _check_types(features: list[Feature], sink: Sink) -> None:
    first: dict[str, Feature] = {}
    for feature in features:
        first.setdefault(feature.type, feature)
    for name, feature in first.items():
        if not is_known_term(name):
            hint = f"; write {SYNONYMS[name]}" if name in SYNONYMS else ""
            message = f"type {name!r} is no known Sequence Ontology term{hint}"
            sink(Finding(rules.UNKNOWN_TYPE, feature.line, feature.label, message))


def _check_order(features: list[Feature], sink: Sink) -> None:
    """Roots must ascend on each sequence, and sequences come in one block each; the first breach is reported."""
    seen: set[str] = set()
    seqid, start = "", 0
    for feature in features:
        if feature.seqid != seqid:
            if feature.seqid in seen:
                message = f"features of {feature.seqid} come in several blocks"
                sink(Finding(rules.UNSORTED, feature.line, feature.label, message))
                return
            seen.add(feature.seqid)
            seqid, start = feature.seqid, 0
        if feature.parents:
            continue
        if feature.start < start:
            message = f"starts before the feature above it ({feature.start + 1} after {start + 1})"
            sink(Finding(rules.UNSORTED, feature.line, feature.label, message))
            return
        start = feature.start


# --- relations of GFF3


@dataclass(slots=True)
class _Named:
    """The rows of one ID."""

    rows: list[Feature] = field(default_factory=list)

    @property
    def first(self) -> Feature:
        return self.rows[0]


class _Relations:
    """IDs and parents of a GFF3 file."""

    def __init__(self, features: list[Feature], directives: Directives, sink: Sink) -> None:
        self._features = features
        self._syncs = directives.syncs
        self._sink = sink
        self._named: dict[str, _Named] = defaultdict(_Named)
        for feature in features:
            if feature.id is not None:
                self._named[feature.id].rows.append(feature)

    def check(self) -> None:
        """Check IDs, parents, containment and strands."""
        self._check_duplicates()
        self._check_cycles()
        for feature in self._features:
            for name in feature.parents:
                self._check_parent(feature, name)
            for name in feature.attributes.get("Derives_from", ()):
                if name not in self._named:
                    self._report(rules.DERIVES_FROM, feature, f"Derives_from={name} names no feature")

    def _report(self, rule: rules.Rule, feature: Feature, message: str) -> None:
        self._sink(Finding(rule, feature.line, feature.label, message))

    def _check_duplicates(self) -> None:
        for name, named in self._named.items():
            first = named.first
            places = {_place(first)}
            for row in named.rows[1:]:
                if (problem := _why_not_one(first, row)) is not None:
                    message = f"ID {name} is used again {problem} (first: line {first.line})"
                    self._report(rules.DUPLICATE_ID, row, message)
                    break
                if _place(row) in places:
                    message = f"the same {row.type} with ID {name} is given twice (first: line {first.line})"
                    self._report(rules.DUPLICATE_ID, row, message)
                    break
                places.add(_place(row))

    def _check_parent(self, child: Feature, name: str) -> None:
        parent = self._named.get(name)
        if parent is None:
            self._report(rules.UNDEFINED_PARENT, child, f"Parent={name} is nowhere in the file")
            return
        rows = [row for row in parent.rows if row.seqid == child.seqid and row is not child]
        if not rows:
            if all(row is not child for row in parent.rows):
                message = f"its parent {name} lies on {parent.first.seqid}, not on {child.seqid}"
                self._report(rules.PARENT_ELSEWHERE, child, message)
            return
        if self._syncs and self._is_cut_off(child, rows):
            message = f"'###' closes its parent {name} (line {rows[0].line}) before it"
            self._report(rules.PARENT_BEFORE_SYNC, child, message)
        start, end = min(row.start for row in rows), max(row.end for row in rows)
        trans_spliced = _is_irregular(child) and any(_is_irregular(row) for row in rows)
        if (child.start < start or child.end > end) and rows[0].type not in PRODUCTS and not trans_spliced:
            in_model = part_kind(child.type) is not None or is_transcript_type(child.type) or is_gene_type(child.type)
            rule = rules.NOT_CONTAINED if in_model else rules.REGULATORY_OUTSIDE
            message = f"{_span(child)} leaves its parent {name} ({start + 1}-{end})"
            self._report(rule, child, message)
        strands = {row.strand for row in rows}
        if Strand.NONE not in strands and child.strand not in (*strands, Strand.NONE) and not _is_irregular(child):
            message = f"strand {child.strand.value}, but its parent {name} has {rows[0].strand.value}"
            if not any(_is_irregular(row) for row in rows):
                self._report(rules.PARENT_STRAND, child, message)

    def _is_cut_off(self, child: Feature, parents: list[Feature]) -> bool:
        return not any(self._block(parent.line) == self._block(child.line) for parent in parents)

    def _block(self, line: int) -> int:
        low, high = 0, len(self._syncs)
        while low < high:
            middle = (low + high) // 2
            if self._syncs[middle] < line:
                low = middle + 1
            else:
                high = middle
        return low

    def _check_cycles(self) -> None:
        safe: set[str] = set()
        for name in self._named:
            if name not in safe:
                self._walk(name, safe)

    def _walk(self, name: str, safe: set[str]) -> None:
        """Depth-first walk towards the roots; meeting a name it stands on is a cycle."""
        stack = [(name, self._parents_of(name))]
        standing = {name}
        while stack:
            current, parents = stack[-1]
            parent = next(parents, None)
            if parent is None:
                stack.pop()
                standing.discard(current)
                safe.add(current)
            elif parent in standing:
                row = next(row for row in self._named[current].rows if parent in row.parents)
                self._report(rules.PARENT_CYCLE, row, f"{parent} is its own ancestor, through {current}")
            elif parent not in safe:
                standing.add(parent)
                stack.append((parent, self._parents_of(parent)))

    def _parents_of(self, name: str) -> Iterator[str]:
        rows = self._named[name].rows
        parents = [parent for row in rows for parent in dict.fromkeys(row.parents) if parent in self._named]
        if len({row.type for row in rows}) > 1:
            # A gene and its transcript share the ID: wrong, but reported as such and no cycle.
            parents = [parent for parent in parents if parent != name]
        return iter(parents)

    # --- transcripts

    def transcripts(self) -> Iterator[TranscriptRows]:
        """Rows of each transcript: those that share a parent on one sequence, or a CDS without parent."""
        owned: dict[tuple[str, str], TranscriptRows] = {}
        for feature in self._features:
            kind = part_kind(feature.type)
            if kind is None:
                continue
            parents: Iterable[str] = feature.parents
            if not parents and kind is PartKind.CDS:
                if feature.id is None:
                    yield TranscriptRows(feature.label, feature.line, chains={None: [feature]})
                    continue
                parents = (feature.id,)
            for name in parents:
                key = (feature.seqid, name)
                if key not in owned:
                    owned[key] = self._begin(name, feature)
                _add_part(owned[key], kind, feature)
        genes = {(row.seqid, name) for row in self._features if is_transcript_type(row.type) for name in row.parents}
        for key, rows in owned.items():
            if key in genes:
                # Exons right below a gene that has transcripts are those of all transcripts.
                rows.exons.clear()
            yield rows

    def _begin(self, name: str, part: Feature) -> TranscriptRows:
        named = self._named.get(name)
        owner = next((row for row in named.rows if row.seqid == part.seqid), part) if named is not None else part
        rows = TranscriptRows(owner.label, owner.line)
        rows.irregular = _is_irregular(owner)
        for row in (owner, *self._gene_rows(owner)):
            rows.pseudo |= _is_pseudo(row)
        _take_partial(rows, owner.attributes)
        return rows

    def _gene_rows(self, owner: Feature) -> Iterator[Feature]:
        for name in owner.parents:
            named = self._named.get(name)
            if named is not None:
                yield named.first


def _add_part(rows: TranscriptRows, kind: PartKind, feature: Feature) -> None:
    match kind:
        case PartKind.EXON:
            rows.exons.append(feature)
        case PartKind.CDS:
            rows.chains.setdefault(feature.id, []).append(feature)
            rows.pseudo |= _is_pseudo(feature)
            _take_partial(rows, feature.attributes)
        case PartKind.UTR:
            rows.utrs.append(feature)
        case PartKind.STOP_CODON:
            rows.stops.append(feature)
        case PartKind.START_CODON:
            pass
    rows.irregular |= _is_irregular(feature)


def _take_partial(rows: TranscriptRows, attributes: Attributes) -> None:
    rows.partial_left |= "start_range" in attributes
    rows.partial_right |= "end_range" in attributes
    if "partial" in attributes and "start_range" not in attributes and "end_range" not in attributes:
        rows.partial_left = rows.partial_right = True


def _place(feature: Feature) -> tuple[str, int, int]:
    return feature.seqid, feature.start, feature.end


def _is_irregular(feature: Feature) -> bool:
    attributes = feature.attributes
    return bool(attributes) and any(
        name in attributes for name in ("exception", "ribosomal_slippage", "trans_splicing")
    )


def _is_pseudo(feature: Feature) -> bool:
    attributes = feature.attributes
    if "pseudo" in feature.type or "pseudo" in attributes:
        return True
    words = (attributes.get(name, ("",))[0] for name in ("gene_biotype", "gene_type", "biotype", "transcript_biotype"))
    return any("pseudogene" in word for word in words)


def _why_not_one(first: Feature, row: Feature) -> str | None:
    """Why two rows with one ID cannot be one feature in several parts; None if they can."""
    if row.type != first.type:
        return f"for a {row.type}, after a {first.type}"
    if row.seqid != first.seqid:
        return f"on another sequence, {row.seqid}"
    if set(row.parents) != set(first.parents):
        return f"under another parent, {', '.join(row.parents) or 'none'}"
    if is_gene_type(row.type) and not ("part" in row.attributes or _is_irregular(row)):
        return "for another gene"
    return None


# --- GTF


class _GtfTranscripts:
    """Rows of a GTF file by transcript_id, with the checks that GTF alone needs."""

    def __init__(self, features: list[Feature], sink: Sink) -> None:
        self._features = features
        self._sink = sink

    def _report(self, rule: rules.Rule, feature: Feature, message: str) -> None:
        self._sink(Finding(rule, feature.line, feature.label, message))

    def transcripts(self) -> Iterator[TranscriptRows]:
        """Check gene_id and transcript_id, bounds and strands, and yield the rows of each transcript."""
        parts: dict[str, list[Feature]] = defaultdict(list)
        rows: dict[str, Feature] = {}
        genes: dict[tuple[str, str], Feature] = {}
        for feature in self._features:
            gene, transcript = feature.first("gene_id"), feature.first("transcript_id")
            if not gene:
                self._report(rules.GTF_NO_GENE_ID, feature, "there is no gene_id")
            if is_gene_type(feature.type):
                genes.setdefault((feature.seqid, gene or ""), feature)
                continue
            kind = part_kind(feature.type)
            if not transcript:
                if kind is not None or is_transcript_type(feature.type):
                    self._report(rules.GTF_NO_TRANSCRIPT_ID, feature, "there is no transcript_id")
            elif kind is None:
                if is_transcript_type(feature.type):
                    rows.setdefault(transcript, feature)
            else:
                parts[transcript].append(feature)
        for name, row in rows.items():
            gene_row = genes.get((row.seqid, row.first("gene_id") or ""))
            self._check_inside(row, gene_row, f"transcript {name}")
        for name, members in parts.items():
            yield from self._transcript(name, members, rows.get(name))

    def _check_inside(self, child: Feature, parent: Feature | None, word: str) -> None:
        if parent is None or parent.seqid != child.seqid:
            return
        if child.start < parent.start or child.end > parent.end:
            message = f"{word} ({_span(child)}) leaves its {parent.type} ({_span(parent)})"
            self._report(rules.NOT_CONTAINED, child, message)
        if Strand.NONE not in (parent.strand, child.strand) and parent.strand is not child.strand:
            message = f"{word} has strand {child.strand.value}, its {parent.type} {parent.strand.value}"
            self._report(rules.PARENT_STRAND, child, message)

    def _transcript(self, name: str, members: list[Feature], row: Feature | None) -> Iterator[TranscriptRows]:
        first = members[0]
        genes = {member.first("gene_id") for member in members}
        if len(genes) > 1:
            message = f"transcript_id {name} is under {len(genes)} gene_ids"
            self._report(rules.GTF_TRANSCRIPT_OF_TWO_GENES, members[-1], message)
        for member in members:
            if (member.seqid, member.strand) != (first.seqid, first.strand):
                message = f"transcript {name} is on {first.seqid} {first.strand.value}, this part of it is not"
                self._report(rules.GTF_TRANSCRIPT_SPLIT, member, message)
                return
            self._check_inside(member, row, member.type)
        rows = TranscriptRows(f"transcript {name}", (row or first).line, stop_outside=True)
        rows.pseudo = any(_is_pseudo(member) for member in (row or first, first))
        tags = set((row or first).attributes.get("tag", ())) | set(first.attributes.get("tag", ()))
        open_5, open_3 = bool(tags & {"cds_start_NF", "mRNA_start_NF"}), bool(tags & {"cds_end_NF", "mRNA_end_NF"})
        forward = first.strand is not Strand.MINUS
        rows.partial_left, rows.partial_right = (open_5, open_3) if forward else (open_3, open_5)
        for member in members:
            kind = part_kind(member.type)
            if kind is not None:
                _add_part(rows, kind, member)
        # Rows of one CDS have no common ID in GTF; the transcript is the link.
        coding = [part for chain in rows.chains.values() for part in chain]
        rows.chains = {None: coding} if coding else {}
        self._check_stop(rows, forward)
        yield rows

    def _check_stop(self, rows: TranscriptRows, forward: bool) -> None:
        coding = sorted(rows.coding, key=lambda part: part.start)
        stops = sorted(rows.stops, key=lambda part: part.start)
        if not stops:
            return
        inside = [stop for stop in stops if any(part.start < stop.end and stop.start < part.end for part in coding)]
        if inside:
            message = f"stop_codon {_span(inside[0])} is inside the CDS; GTF keeps it out"
            self._sink(Finding(rules.GTF_STOP_IN_CDS, inside[0].line, rows.name, message))
        elif not coding or not self._is_beside(coding, stops, rows.exons, forward):
            message = f"stop_codon {_span(stops[0])} is not beside the CDS"
            self._sink(Finding(rules.GTF_STOP_ALONE, stops[0].line, rows.name, message))

    @staticmethod
    def _is_beside(coding: list[Feature], stops: list[Feature], exons: list[Feature], forward: bool) -> bool:
        gap = (coding[-1].end, stops[0].start) if forward else (stops[-1].end, coding[0].start)
        if gap[0] == gap[1]:
            return True
        ends, starts = {exon.end for exon in exons}, {exon.start for exon in exons}
        return gap[0] in ends and gap[1] in starts
