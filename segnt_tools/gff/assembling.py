"""Assembling gene models from the rows of GFF3 and GTF: who belongs to whom, and what a transcript is made of."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from segnt_tools.elements import Strand
from segnt_tools.errors import AnnotationFileError
from segnt_tools.gff.features import Attributes, Feature
from segnt_tools.gff.genemodel import Gene, Interval, Transcript
from segnt_tools.gff.types import (
    LANDMARKS,
    PRODUCTS,
    PartKind,
    gene_term,
    is_gene_type,
    is_transcript_type,
    part_kind,
    transcript_term,
)
from segnt_tools.sequence.intervals import joined

# Attributes that fields of Gene and Transcript stand for; writing makes them anew.
_STRUCTURAL: Final = frozenset(("ID", "Parent", "partial", "start_range", "end_range", "gene_id", "transcript_id"))


class Report(Protocol):
    """Where the assembler counts what it leaves out (see reading.ReadReport)."""

    bare: list[Feature]
    other: Counter[str]

    def drop(self, reason: str, line: int, example: str, count: int = 1) -> None:
        """Count features that were left out."""

    def note(self, remark: str, line: int, example: str, count: int = 1) -> None:
        """Count features that were kept with a remark."""


@dataclass(slots=True)
class _Part:
    """An exon, CDS, UTR or codon row, without the attributes nobody asks for."""

    kind: PartKind
    start: int
    end: int
    strand: Strand
    phase: int | None
    score: float | None
    line: int
    id: str | None
    partial_left: bool
    partial_right: bool

    @classmethod
    def of(cls, kind: PartKind, feature: Feature) -> _Part:
        attributes = feature.attributes
        return cls(
            kind,
            feature.start,
            feature.end,
            feature.strand,
            feature.phase,
            feature.score,
            feature.line,
            feature.id,
            "start_range" in attributes,
            "end_range" in attributes,
        )

    @property
    def interval(self) -> Interval:
        return self.start, self.end


@dataclass(slots=True, eq=False)
class _Node:
    """A row that may own parts or transcripts: gene, transcript, or something between."""

    feature: Feature
    parts: list[_Part] = field(default_factory=list)
    made_up: bool = False
    has_children: bool = False

    @property
    def id(self) -> str:
        return self.feature.id or ""


class Unusable(Exception):  # noqa: N818 - it says what the transcript is
    """A transcript that cannot be a gene model; the text is the reason."""


class GeneAssembler:
    """Collects the rows of a file and puts gene models together from them.

    Args:
        path: the file, for messages.
        gtf: rows are linked by gene_id and transcript_id rather than ID and Parent.
        report: counts what is left out.
    """

    def __init__(self, path: Path, gtf: bool, report: Report) -> None:
        self._path = path
        self._gtf = gtf
        self._report = report
        # IDs are unique in a sequence only: some tools number genes anew on each contig (field.md 1.2).
        self._nodes: dict[tuple[str, str], list[_Node]] = defaultdict(list)
        self._where: dict[str, set[str]] = defaultdict(set)
        self._orphans: list[tuple[Feature, _Part]] = []
        self._rootless: dict[tuple[str, str], list[_Part]] = defaultdict(list)
        self._rootless_rows: dict[tuple[str, str], Feature] = {}
        self._parts: list[tuple[str, tuple[str, ...], str, _Part]] = []
        self._circular: set[str] = set()

    def add(self, feature: Feature) -> None:
        """Take in a row."""
        if feature.attributes.get("Is_circular") == ("true",):
            self._circular.add(feature.seqid)
        if self._gtf:
            self._add_gtf(feature)
        else:
            self._add_gff3(feature)

    def genes(self, lengths: Mapping[str, int] | None) -> Iterator[Gene]:
        """Gene models in the order in which their first transcript came."""
        self._link_parts()
        self._require_no_cycle()
        members: dict[int, tuple[_Node, list[_Node]]] = {}
        for node in self._owners():
            gene = self._gene_of(node)
            members.setdefault(id(gene), (gene, []))[1].append(node)
        self._report_bare(members)
        for gene, owners in members.values():
            built = self._build_gene(gene, owners, lengths)
            if built is not None:
                yield built

    # --- taking rows in

    def _add_gff3(self, feature: Feature) -> None:
        kind = part_kind(feature.type)
        if kind is None:
            if feature.id is None:
                self._add_without_id(feature)
            else:
                self._add_node(feature)
            return
        part = _Part.of(kind, feature)
        if feature.parents:
            self._parts.append((feature.seqid, feature.parents, feature.type, part))
        elif kind is PartKind.CDS and feature.id is not None:
            # A CDS without parent is a whole gene (viruses, bacteria, CDS-only files); rows of one ID are its parts.
            key = (feature.seqid, feature.id)
            self._rootless_rows.setdefault(key, feature)
            self._rootless[key].append(part)
        else:
            link = "Parent" if kind is not PartKind.CDS else "ID or Parent"
            self._report.drop(f"{feature.type} without {link}", feature.line, feature.label)

    def _add_without_id(self, feature: Feature) -> None:
        if is_gene_type(feature.type) or is_transcript_type(feature.type):
            self._report.bare.append(feature)
        else:
            self._report.other[feature.type] += 1

    def _add_node(self, feature: Feature) -> None:
        key = (feature.seqid, feature.id or "")
        if any(node.feature.type == feature.type for node in self._nodes[key]):
            # A feature in several rows (trans-splicing, a split tRNA); its parts say where it lies.
            self._report.note("feature in several rows", feature.line, feature.label)
            return
        self._nodes[key].append(_Node(feature))
        self._where[key[1]].add(key[0])

    def _add_gtf(self, feature: Feature) -> None:
        gene_id = feature.first("gene_id") or feature.first("transcript_id")
        transcript_id = feature.first("transcript_id")
        kind = part_kind(feature.type)
        if kind is None and not is_gene_type(feature.type) and not is_transcript_type(feature.type):
            self._report.other[feature.type] += 1
            return
        if not gene_id:
            self._report.drop("no gene_id", feature.line, feature.label)
            return
        if is_gene_type(feature.type):
            self._gtf_node(feature, "gene", gene_id, None, real=True)
            return
        if not transcript_id:
            self._report.drop("no transcript_id", feature.line, feature.label)
            return
        gene = self._gtf_node(feature, "gene", gene_id, None, real=False)
        transcript = self._gtf_node(feature, "transcript", transcript_id, gene.id, real=kind is None)
        if kind is not None:
            transcript.parts.append(_Part.of(kind, feature))

    def _gtf_node(self, feature: Feature, level: str, name: str, parent: str | None, *, real: bool) -> _Node:
        """The node of a gene or transcript, made from the first row that names it; its own row replaces that."""
        key = (feature.seqid, f"{level} {parent or ''} {name}" if parent else f"{level} {name}")
        nodes = self._nodes[key]
        if nodes and not (real and nodes[0].made_up):
            return nodes[0]
        attributes: Attributes = {"ID": (name,)}
        if parent is not None:
            attributes["Parent"] = (parent,)
        wanted = feature.attributes if real else _biotypes(feature.attributes)
        attributes |= {key: values for key, values in wanted.items() if key not in _STRUCTURAL}
        row = Feature(
            feature.seqid, feature.source, level, feature.start, feature.end, feature.score if real else None,
            feature.strand, None, attributes, feature.line,
        )  # fmt: skip
        if nodes:
            nodes[0].feature, nodes[0].made_up = row, False
        else:
            nodes.append(_Node(row, made_up=not real))
        return nodes[0]

    # --- who belongs to whom

    def _find(self, seqid: str, name: str, *, gene: bool, apart_from: _Node | None = None) -> _Node | None:
        """The node of an ID; where a gene and its transcript share one, the level asked for."""
        found = [node for node in self._nodes.get((seqid, name), ()) if node is not apart_from]
        if not found:
            return None
        return min(found, key=lambda node: is_gene_type(node.feature.type) is not gene)

    def _link_parts(self) -> None:
        for seqid, parents, kind, part in self._parts:
            owners = [self._find(seqid, name, gene=False) for name in parents]
            named = [owner for owner in owners if owner is not None]
            real = [owner for owner in named if owner.feature.type not in PRODUCTS] or named
            for owner in real:
                owner.parts.append(part)
            for name, found in zip(parents, owners, strict=True):
                if found is None:
                    self._report_missing_parent(seqid, name, kind, part.line, lost=not real)
        self._parts.clear()
        for key, parts in self._rootless.items():
            node = _Node(self._rootless_rows[key], parts)
            self._nodes[key].append(node)

    def _report_missing_parent(self, seqid: str, name: str, kind: str, line: int, *, lost: bool) -> None:
        elsewhere = self._where.get(name, set()) - {seqid}
        reason = "Parent lies on another sequence" if elsewhere else "Parent is nowhere in the file"
        (self._report.drop if lost else self._report.note)(reason, line, f"{kind} with Parent {name}")

    def _require_no_cycle(self) -> None:
        if self._gtf:
            return
        safe: set[int] = set()
        for nodes in self._nodes.values():
            for node in nodes:
                self._climb(node, safe)

    def _climb(self, start: _Node, safe: set[int]) -> None:
        """Depth-first walk towards the roots that fails on a node it is already standing on."""
        stack: list[tuple[_Node, Iterator[_Node]]] = [(start, self._parents_of(start))]
        standing = {id(start)}
        while stack:
            node, parents = stack[-1]
            parent = next(parents, None)
            if parent is None:
                stack.pop()
                standing.discard(id(node))
                safe.add(id(node))
            elif id(parent) in standing:
                raise AnnotationFileError(
                    f"{node.feature.label} is its own ancestor", file=self._path, line=node.feature.line
                )
            elif id(parent) not in safe:
                standing.add(id(parent))
                stack.append((parent, self._parents_of(parent)))

    def _parents_of(self, node: _Node) -> Iterator[_Node]:
        seqid = node.feature.seqid
        for name in node.feature.parents:
            # A feature that names itself is a cycle, unless a gene and its transcript share the ID.
            parent = self._find(seqid, name, gene=True, apart_from=node)
            if parent is None:
                parent = self._find(seqid, name, gene=True)
            if parent is not None:
                parent.has_children = True
                yield parent

    def _owners(self) -> list[_Node]:
        return [node for nodes in self._nodes.values() for node in nodes if node.parts]

    def _gene_of(self, node: _Node) -> _Node:
        """The gene a transcript belongs to: the nearest ancestor that is one, or a gene made for it."""
        if self._gtf:
            return self._nodes[(node.feature.seqid, f"gene {node.feature.parents[0]}")][0]
        current, top = node, node
        while True:
            if is_gene_type(current.feature.type):
                return current
            if current.feature.type not in LANDMARKS:
                top = current
            parents = list(self._parents_of(current))
            if len(parents) > 1:
                self._report.note("transcript of several genes, kept under the first", node.feature.line, node.id)
            if not parents:
                return self._missing_gene(current, top)
            current = parents[0]

    def _missing_gene(self, last: _Node, top: _Node) -> _Node:
        row = top.feature
        name = last.feature.parents[0] if last is top and last.feature.parents else row.id
        if last is top and last.feature.parents:
            self._report_missing_parent(row.seqid, name or "", row.type, row.line, lost=False)
        nodes = self._nodes[(row.seqid, f"gene above {name}")]
        if not nodes:
            nodes.append(
                _Node(
                    Feature(
                        row.seqid, row.source, "gene", row.start, row.end, row.score, row.strand, None,
                        {"ID": (name or row.type,)}, row.line,
                    ),
                    made_up=True,
                )
            )  # fmt: skip
        return nodes[0]

    def _report_bare(self, members: Mapping[int, tuple[_Node, list[_Node]]]) -> None:
        """Count rows that own no part and hence became no transcript, and are not a gene of one."""
        for nodes in self._nodes.values():
            for node in nodes:
                if node.parts or id(node) in members or node.made_up:
                    continue
                kind = node.feature.type
                if is_transcript_type(kind) or is_gene_type(kind):
                    if not node.has_children or is_gene_type(kind):
                        self._report.bare.append(node.feature)
                elif kind not in PRODUCTS:
                    self._report.other[kind] += 1

    # --- building

    def _build_gene(self, gene: _Node, owners: list[_Node], lengths: Mapping[str, int] | None) -> Gene | None:
        row = gene.feature
        transcripts: list[Transcript] = []
        for owner in owners:
            pieces = self._direct(gene, owners) if owner is gene else [(owner.feature, owner.parts)]
            for piece, parts in pieces:
                try:
                    transcript = self._build(piece, parts)
                    _require_inside(transcript, row.seqid, lengths, self._circular)
                    _require_strand(transcript, row.strand)
                except Unusable as reason:
                    self._report.drop(f"transcript: {reason}", piece.line, piece.label)
                else:
                    transcripts.append(transcript)
        if not transcripts:
            return None
        strand = row.strand if row.strand is not Strand.NONE else transcripts[0].strand
        kind = gene_term(row.first("gene_biotype", "gene_type", "biotype")) if self._gtf else row.type
        built = Gene(
            row.id or transcripts[0].id,
            row.seqid,
            strand,
            tuple(sorted(transcripts, key=lambda one: (one.start, one.end, one.id))),
            kind if is_gene_type(kind) else "gene",
            row.source,
            row.score,
            _extras(row.attributes),
        )
        if not gene.made_up and owners != [gene] and (built.start, built.end) != (row.start, row.end):
            self._report.note("bounds of a gene follow from its transcripts, not its row", row.line, row.label)
        return built

    def _direct(self, gene: _Node, owners: list[_Node]) -> list[tuple[Feature, list[_Part]]]:
        """Transcripts made from parts right below a gene: one per CDS, or one of all exons."""
        row = gene.feature
        coding = [part for part in gene.parts if part.kind is not PartKind.EXON]
        exons = [part for part in gene.parts if part.kind is PartKind.EXON]
        names = list(dict.fromkeys(part.id for part in coding if part.kind is PartKind.CDS and part.id))
        if len(owners) > 1 and exons:
            self._report_extra_exons(row, exons, owners)
            exons = []
        if exons and len(names) > 1:
            self._report.drop("exon right below a gene with several CDS", exons[0].line, row.label, len(exons))
            exons = []
        if len(names) < 2:
            groups = [exons + coding] if exons or coding else []
        else:
            groups = [[part for part in coding if part.id == name] for name in names]
        rows = []
        for number, parts in enumerate(groups, start=1):
            name = f"{row.id or row.type}.t{number}"
            kind = "mRNA" if any(part.kind is PartKind.CDS for part in parts) else _noncoding_term(row.type)
            made = Feature(
                row.seqid, row.source, kind, row.start, row.end, row.score, row.strand, None, {"ID": (name,)}, row.line
            )
            rows.append((made, parts))
        return rows

    def _report_extra_exons(self, row: Feature, exons: list[_Part], owners: list[_Node]) -> None:
        """Exons right below a gene that has transcripts: harmless if a transcript has them too, else lost."""
        known = {part.interval for owner in owners if owner.feature is not row for part in owner.parts}
        repeated = [exon for exon in exons if exon.interval in known]
        lost = [exon for exon in exons if exon.interval not in known]
        if repeated:
            remark = "exon of a transcript repeated right below its gene"
            self._report.note(remark, repeated[0].line, row.label, len(repeated))
        if lost:
            reason = "exon right below a gene that has transcripts, none of which has it"
            self._report.drop(reason, lost[0].line, row.label, len(lost))

    def _build(self, row: Feature, parts: list[_Part]) -> Transcript:
        strand = _one_strand(row, parts)
        cds = self._coding_parts(row, parts)
        if cds:
            cds = self._with_stop_codon(row, parts, cds, strand)
        exon_parts = _distinct(part for part in parts if part.kind is PartKind.EXON)
        exons = tuple(part.interval for part in exon_parts)
        if not exons:
            rows = [part.interval for part in parts if part.kind is PartKind.UTR]
            exons = joined([*rows, *(part.interval for part in cds)])
            exon_parts = []
        if not exons:
            raise Unusable("has neither exon nor CDS")
        _require_no_overlap(exons)
        intervals = tuple(part.interval for part in cds)
        _require_inside_exons(intervals, exons)
        phase, first = 0, None
        if cds:
            first = cds[0] if strand is Strand.PLUS else cds[-1]
            phase = first.phase or 0
            if first.phase is None:
                self._report.note("CDS without phase, taken as 0", first.line, row.label)
        left = "start_range" in row.attributes or any(part.partial_left for part in parts)
        right = "end_range" in row.attributes or any(part.partial_right for part in parts)
        is_transcript = part_kind(row.type) is None
        kind = row.type if is_transcript else "mRNA"
        if self._gtf:
            kind = transcript_term(_transcript_biotype(row), bool(cds))
        return Transcript(
            row.id or "",
            strand,
            exons,
            intervals,
            kind,
            phase,
            left if strand is Strand.PLUS else right,
            right if strand is Strand.PLUS else left,
            row.score if is_transcript else None,
            _scores(exon_parts),
            _scores(cds),
            _extras(row.attributes),
        )

    def _coding_parts(self, row: Feature, parts: list[_Part]) -> list[_Part]:
        """The coding parts in ascending order; of several CDS in one transcript the longest."""
        rows = sorted((part for part in parts if part.kind is PartKind.CDS), key=lambda part: part.interval)
        names = {part.id for part in rows}
        if len(names) > 1 and _overlap(rows):
            groups = [_distinct(part for part in rows if part.id == name) for name in sorted(names, key=str)]
            groups.sort(key=lambda group: -sum(part.end - part.start for part in group))
            dropped = sum(len(group) for group in groups[1:])
            self._report.drop("further CDS of the same transcript", groups[1][0].line, row.label, dropped)
            rows = groups[0]
        cds = _distinct(rows)
        if _overlap(cds):
            raise Unusable("coding parts overlap")
        return cds

    def _with_stop_codon(self, row: Feature, parts: list[_Part], cds: list[_Part], strand: Strand) -> list[_Part]:
        """The CDS with a stop codon that lies beside it (GTF keeps it out of the CDS) joined to it."""
        stops = _distinct(part for part in parts if part.kind is PartKind.STOP_CODON)
        stops = [stop for stop in stops if not any(one.start < stop.end and stop.start < one.end for one in cds)]
        if not stops:
            return cds
        exons = _distinct(part for part in parts if part.kind is PartKind.EXON)
        forward = strand is Strand.PLUS
        for stop in stops if forward else reversed(stops):
            last = cds[-1] if forward else cds[0]
            gap = (last.end, stop.start) if forward else (stop.end, last.start)
            if gap[0] == gap[1]:
                start, end = (last.start, stop.end) if forward else (stop.start, last.end)
                joined = _Part(
                    last.kind, start, end, last.strand, last.phase, last.score, last.line, last.id,
                    last.partial_left, last.partial_right,
                )  # fmt: skip
                cds = [*cds[:-1], joined] if forward else [joined, *cds[1:]]
            elif any((a.end, b.start) == gap for a, b in itertools.pairwise(exons)):
                cds = [*cds, stop] if forward else [stop, *cds]
            else:
                self._report.drop("stop_codon that is not beside the CDS", stop.line, row.label)
        return cds


# Coding parts may overlap by this many bases at a programmed frameshift (ribosomal slippage).
_SLIPPAGE: Final = 2


def _biotypes(attributes: Attributes) -> Attributes:
    """Attributes of a part's row that speak of its gene and transcript."""
    wanted = ("gene_name", "gene_biotype", "gene_type", "transcript_biotype", "transcript_type")
    return {name: attributes[name] for name in wanted if name in attributes}


def _transcript_biotype(row: Feature) -> str | None:
    return row.first("transcript_biotype", "transcript_type", "gene_biotype", "gene_type", "biotype")


def _extras(attributes: Attributes) -> Attributes:
    return {name: values for name, values in attributes.items() if name not in _STRUCTURAL}


def _noncoding_term(gene_type: str) -> str:
    return "pseudogenic_transcript" if gene_type.endswith("pseudogene") else "transcript"


def _one_strand(row: Feature, parts: Iterable[_Part]) -> Strand:
    strands = {part.strand for part in parts} - {Strand.NONE}
    if len(strands) > 1:
        raise Unusable("parts on both strands")
    strand = strands.pop() if strands else row.strand
    if strand is Strand.NONE:
        raise Unusable("no strand")
    if row.strand not in (strand, Strand.NONE):
        raise Unusable("strand differs from that of its parts")
    return strand


def _distinct(parts: Iterable[_Part]) -> list[_Part]:
    """Parts in ascending order, rows that say the same once."""
    return list({part.interval: part for part in sorted(parts, key=lambda part: (part.start, part.end))}.values())


def _overlap(parts: list[_Part]) -> bool:
    """True if parts in ascending order overlap by more than a programmed frameshift does."""
    return any(left.end - right.start > _SLIPPAGE for left, right in itertools.pairwise(parts))


def _require_no_overlap(exons: tuple[Interval, ...]) -> None:
    if any(left[1] > right[0] for left, right in itertools.pairwise(exons)):
        raise Unusable("exons overlap")


def _require_inside_exons(cds: tuple[Interval, ...], exons: tuple[Interval, ...]) -> None:
    for start, end in cds:
        if not any(left <= start and end <= right for left, right in exons):
            raise Unusable("CDS outside its exons")


def _require_strand(transcript: Transcript, strand: Strand) -> None:
    if strand not in (transcript.strand, Strand.NONE):
        raise Unusable("strand differs from its gene's")


def _require_inside(transcript: Transcript, seqid: str, lengths: Mapping[str, int] | None, circular: set[str]) -> None:
    if lengths is not None and transcript.end > lengths[seqid]:
        raise Unusable(
            "crosses the origin of a circular sequence" if seqid in circular else "runs past the end of its sequence"
        )


def _scores(parts: list[_Part]) -> tuple[float, ...]:
    scores = tuple(part.score for part in parts if part.score is not None)
    return scores if len(scores) == len(parts) else ()
