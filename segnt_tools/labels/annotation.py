"""Annotation files to intervals of elements, contig by contig, so that memory holds one contig's genes at a time.

Besides gene models a file may hold polyA signals (as GENCODE publishes them) and element calls (rows with an attribute
`element`, as call-peaks writes them).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from segnt_tools.errors import AnnotationFileError
from segnt_tools.gff.assembling import GeneAssembler
from segnt_tools.gff.features import Feature
from segnt_tools.gff.genemodel import Gene
from segnt_tools.gff.lines import Dialect, FeatureFile, open_text
from segnt_tools.gff.reading import ReadReport, open_features
from segnt_tools.gff.types import part_kind
from segnt_tools.labels.collector import IntervalCollector
from segnt_tools.labels.genic import GenicLabels, SanityCounts
from segnt_tools.labels.loose import LooseLabels, is_loose
from segnt_tools.labels.regulatory import Places
from segnt_tools.labels.rules import LabelRules
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.codes import Codes

POLYA_TYPES = frozenset(("polyA_signal", "polyA_signal_sequence"))


@dataclass(slots=True)
class Annotation:
    """What one annotation file said.

    Attributes:
        file: base name.
        collector, masks: intervals that are present; intervals whose truth is unknown.
        contigs: contigs it speaks of (any row or `##sequence-region`).
        counts: what it looks like.
        report: rows and transcripts left out by the reader.
        dropped: transcripts left out by a rule, by reason.
        loose_rows: rows not linked to any transcript.
        called: elements that rows name themselves, and polyA_signal.
        genes: the gene models, where they were asked for.
    """

    file: str
    collector: IntervalCollector = field(default_factory=IntervalCollector)
    masks: IntervalCollector = field(default_factory=IntervalCollector)
    contigs: set[str] = field(default_factory=set)
    counts: SanityCounts = field(default_factory=SanityCounts)
    report: ReadReport = field(default_factory=ReadReport)
    dropped: Counter[str] = field(default_factory=Counter)
    loose_rows: int = 0
    called: set[str] = field(default_factory=set)
    genes: list[Gene] = field(default_factory=list)

    @property
    def has_genes(self) -> bool:
        """Whether it has any gene model."""
        return bool(self.report.genes or self.loose_rows)

    @property
    def knows_utrs(self) -> bool:
        """Whether exons reach beyond coding parts: in at least one coding transcript of twenty, if there are any."""
        counts = self.counts
        return counts.coding > 0 and counts.coding_exons_only <= 0.95 * counts.coding


def read_annotation(
    path: Path, assembly: Assembly, places: Places, rules: LabelRules, *, keep_genes: bool = False
) -> Annotation:
    """Read a GFF3 or GTF file; with `keep_genes` its gene models are kept as well, all isoforms of them.

    Raises:
        AnnotationFileError: malformed, GTF without gene_id, on sequences the genome lacks, or past the end of one.
    """
    return _Reader(path, assembly, places, rules, keep_genes).read()


class _Reader:
    def __init__(self, path: Path, assembly: Assembly, places: Places, rules: LabelRules, keep_genes: bool) -> None:
        self._path = path
        self._assembly = assembly
        self._places = places
        self._result = Annotation(path.name)
        self._genic = GenicLabels(self._result.collector, rules)
        self._result.counts, self._result.dropped = self._genic.counts, self._genic.dropped
        self._loose = LooseLabels(
            self._result.collector, self._result.masks, rules, self._genic.counts, self._genic.dropped
        )
        self._circular: set[str] = set()
        self._keep_genes = keep_genes

    def read(self) -> Annotation:
        features = open_features(self._path, self._result.report)
        if _is_grouped(self._path):
            for contig, group in groupby(self._placed(features), key=lambda feature: feature.seqid):
                assembler = self._assembler(features)
                self._take(assembler, group)
                self._label({contig: list(assembler.genes(self._places.lengths))}, contig)
        else:
            self._read_mixed(features)
        for name in features.directives.regions:
            if (contig := self._places.names.find(name)) is not None:
                self._result.contigs.add(contig)
        self._result.loose_rows = self._loose.rows
        return self._result

    def _read_mixed(self, features: FeatureFile) -> None:
        """A file whose contigs are not each in one stretch: all its genes are held at once."""
        assembler = self._assembler(features)
        loose: dict[str, list[Feature]] = defaultdict(list)
        for feature in self._placed(features):
            if is_loose(feature):
                loose[feature.seqid].append(feature)
            else:
                self._take(assembler, [feature])
        genes: dict[str, list[Gene]] = defaultdict(list)
        for gene in assembler.genes(self._places.lengths):
            genes[gene.contig].append(gene)
        for contig in sorted(self._result.contigs):
            for feature in loose.pop(contig, []):
                self._loose.add(feature)
            self._label(genes, contig)

    def _assembler(self, features: FeatureFile) -> GeneAssembler:
        return GeneAssembler(self._path, features.dialect is Dialect.GTF, self._result.report)

    def _placed(self, features: FeatureFile) -> Iterator[Feature]:
        """Features under the genome's names of their contigs, inside their bounds."""
        gtf = features.dialect is Dialect.GTF
        for feature in features:
            contig = self._places.contig(feature.seqid, self._path, feature.line)
            if contig is None:
                continue
            if gtf and part_kind(feature.type) and "gene_id" not in feature.attributes:
                raise AnnotationFileError(
                    f"{feature.type} without gene_id",
                    file=self._path,
                    line=feature.line,
                    hint="GTF needs it on each line",
                )
            if feature.attributes.get("Is_circular") == ("true",):
                self._circular.add(contig)
            if contig not in self._circular:
                self._places.require_inside(contig, feature.end, self._path, feature.line)
            feature.seqid = contig
            self._result.contigs.add(contig)
            yield feature

    def _take(self, assembler: GeneAssembler, features: Iterator[Feature] | list[Feature]) -> None:
        for feature in features:
            is_polya = feature.type in POLYA_TYPES and not feature.parents
            called = "polyA_signal" if is_polya else feature.called_element
            if called is not None:
                self._result.collector.add(feature.seqid, called, feature.strand, feature.start, feature.end)
                self._result.called.add(called)
            elif is_loose(feature):
                self._loose.add(feature)
            else:
                assembler.add(feature)

    def _label(self, genes: Mapping[str, list[Gene]], contig: str) -> None:
        models = genes.get(contig, [])
        if self._keep_genes:
            self._result.genes += models
        self._result.report.genes += len(models)
        self._result.report.transcripts += sum(len(gene.transcripts) for gene in models)
        codes: Codes = self._assembly.codes(contig)
        self._genic.add(contig, models, codes)
        self._loose.finish(contig, codes)
        self._result.collector.compact(contig)
        self._result.masks.compact(contig)


def _is_grouped(path: Path) -> bool:
    """Whether the rows of each contig stand together, told from the first column alone."""
    closed: set[str] = set()
    current = ""
    with open_text(path) as handle:
        try:
            for line in handle:
                if line[:1] in "#\n":
                    if line.startswith("##FASTA"):
                        break
                    continue
                if line[:1] == ">":
                    break
                name = line.split("\t", 1)[0]
                if name != current:
                    if name in closed:
                        return False
                    closed.add(name)
                    current = name
        except (EOFError, OSError) as error:
            raise AnnotationFileError("the gzip data is damaged or cut off", file=path) from error
    return True
