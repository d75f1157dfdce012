"""Writing genes and elements as GFF3, GTF and BED, in genome order and the same byte for byte each time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from segnt_tools.elements import Strand
from segnt_tools.errors import ProvenError
from segnt_tools.files import atomic_path
from segnt_tools.gff.features import Attributes, Feature, escape_seqid, format_feature, format_score
from segnt_tools.gff.genemodel import Gene, Interval, Transcript

Target = Path | TextIO


@contextmanager
def _opened(target: Target) -> Iterator[TextIO]:
    if isinstance(target, Path):
        with atomic_path(target) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as handle:
            yield handle
    else:
        yield target


# --- order and names


def sort_genes(genes: Iterable[Gene], lengths: Mapping[str, int]) -> list[Gene]:
    """Genes in genome order: contigs as in the FASTA, then start, end, strand, ID.

    Raises:
        ProvenError: a gene lies on a contig that the genome does not have.
    """
    rank = {name: number for number, name in enumerate(lengths)}
    genes = list(genes)
    for gene in genes:
        if gene.contig not in rank:
            raise ProvenError(f"gene {gene.id} lies on {gene.contig}, which the genome does not have")
    return sorted(genes, key=lambda gene: (rank[gene.contig], gene.start, gene.end, gene.strand, gene.id))


def number_genes(genes: Iterable[Gene], prefix: str, width: int = 6, first: int = 1) -> list[Gene]:
    """The genes with IDs `PREFIX_000001`, ... in the order given, and transcripts `PREFIX_000001.t1`, ...

    Args:
        genes: genes in genome order.
        prefix: locus prefix, the same for the whole genome so that no two files of it share an ID.
        width: digits of the number, filled with zeros.
        first: number of the first gene.
    """
    numbered = []
    for number, gene in enumerate(genes, start=first):
        name = f"{prefix}_{number:0{width}d}"
        transcripts = tuple(
            replace(transcript, id=f"{name}.t{which}") for which, transcript in enumerate(gene.transcripts, start=1)
        )
        numbered.append(replace(gene, id=name, transcripts=transcripts))
    return numbered


# --- what a gene's rows say


def phases(transcript: Transcript) -> tuple[int, ...]:
    """Phase of each coding part, in the order of `cds`.

    The phase is the number of bases to skip from the part's 5' end, in the direction of the strand, to reach the first
    base of a codon (GFF3 1.26).
    """
    forward = transcript.strand is not Strand.MINUS
    found = []
    phase = transcript.cds_phase
    for start, end in transcript.cds if forward else reversed(transcript.cds):
        found.append(phase)
        phase = (phase - (end - start)) % 3
    return tuple(found if forward else reversed(found))


def untranslated(transcript: Transcript) -> tuple[tuple[Interval, ...], tuple[Interval, ...]]:
    """The 5' and the 3' UTR of a coding transcript: exons outside the span of the CDS, ascending by coordinate."""
    if not transcript.cds:
        return (), ()
    start, end = transcript.cds[0][0], transcript.cds[-1][1]
    left = tuple((a, min(b, start)) for a, b in transcript.exons if a < start)
    right = tuple((max(a, end), b) for a, b in transcript.exons if b > end)
    return (right, left) if transcript.strand is Strand.MINUS else (left, right)


def gene_features(gene: Gene, *, utr: bool = True, insdc: bool = False) -> list[Feature]:
    """Rows of a gene: gene, then each transcript followed by its exons, UTRs and CDS in ascending order.

    Args:
        gene: the gene.
        utr: write rows for UTRs too.
        insdc: add what a submission to GenBank or ENA asks for: `locus_tag` and, on coding transcripts, `product`.
    """
    extra: Attributes = {"locus_tag": (gene.id,)} if insdc else {}
    partial = _gene_partial(gene)
    rows = [
        Feature(
            gene.contig,
            gene.source,
            gene.type,
            gene.start,
            gene.end,
            gene.score,
            gene.strand,
            None,
            {"ID": (gene.id,), **partial, **extra, **gene.attributes},
        )
    ]
    for transcript in gene.transcripts:
        product: Attributes = {"product": ("hypothetical protein",)} if insdc and transcript.cds else {}
        rows += _transcript_features(gene, transcript, utr, product | extra)
    return rows


def _transcript_features(gene: Gene, transcript: Transcript, utr: bool, extra: Attributes) -> list[Feature]:
    # GTF allows a transcript the name of its gene, GFF3 does not.
    if transcript.id == gene.id:
        transcript = replace(transcript, id=f"{transcript.id}.t1")
    left, right = _partial_sides(transcript)
    ends = _partial_attributes(transcript.start, transcript.end, left, right)

    def row(kind: str, interval: Interval, score: float | None, phase: int | None, attributes: Attributes) -> Feature:
        start, end = interval
        return Feature(
            gene.contig, gene.source, kind, start, end, score, transcript.strand, phase, attributes | extra
        )  # fmt: skip

    head = row(
        transcript.type,
        (transcript.start, transcript.end),
        transcript.score,
        None,
        {"ID": (transcript.id,), "Parent": (gene.id,), **ends, **transcript.attributes},
    )
    parts: list[tuple[int, int, Feature]] = []
    exon_term = "pseudogenic_exon" if transcript.type == "pseudogenic_transcript" else "exon"
    for number, (index, interval) in enumerate(_five_to_three(transcript.exons, transcript.strand), start=1):
        attributes = _part_attributes(f"{transcript.id}.exon{number}", transcript.id)
        attributes |= _ends_of_part(interval, (transcript.start, transcript.end), left, right)
        score = transcript.exon_scores[index] if transcript.exon_scores else None
        parts.append((interval[0], 0, row(exon_term, interval, score, None, attributes)))
    if utr:
        for kind, short, intervals in zip(
            ("five_prime_UTR", "three_prime_UTR"), ("utr5p", "utr3p"), untranslated(transcript), strict=True
        ):
            for number, (_, interval) in enumerate(_five_to_three(intervals, transcript.strand), start=1):
                attributes = _part_attributes(f"{transcript.id}.{short}{number}", transcript.id)
                parts.append((interval[0], 1, row(kind, interval, None, None, attributes)))
    for index, (interval, phase) in enumerate(zip(transcript.cds, phases(transcript), strict=True)):
        attributes = _part_attributes(f"{transcript.id}.cds", transcript.id)
        attributes |= _ends_of_part(interval, (transcript.start, transcript.end), left, right)
        score = transcript.cds_scores[index] if transcript.cds_scores else None
        parts.append((interval[0], 2, row("CDS", interval, score, phase, attributes)))
    parts.sort(key=lambda part: part[:2])
    return [head, *(part for _, _, part in parts)]


def _part_attributes(name: str, parent: str) -> Attributes:
    return {"ID": (name,), "Parent": (parent,)}


def _five_to_three(intervals: Sequence[Interval], strand: Strand) -> list[tuple[int, Interval]]:
    numbered = list(enumerate(intervals))
    return numbered[::-1] if strand is Strand.MINUS else numbered


def _partial_sides(transcript: Transcript) -> tuple[bool, bool]:
    """Whether the transcript is cut at its left and at its right end."""
    sides = (transcript.partial_5, transcript.partial_3)
    return (sides[1], sides[0]) if transcript.strand is Strand.MINUS else sides


def _partial_attributes(start: int, end: int, left: bool, right: bool) -> Attributes:
    """How NCBI marks features that go on beyond their ends."""
    attributes: Attributes = {}
    if left or right:
        attributes["partial"] = ("true",)
    if left:
        attributes["start_range"] = (".", str(start + 1))
    if right:
        attributes["end_range"] = (str(end), ".")
    return attributes


def _ends_of_part(part: Interval, whole: Interval, left: bool, right: bool) -> Attributes:
    return _partial_attributes(*part, left and part[0] == whole[0], right and part[1] == whole[1])


def _gene_partial(gene: Gene) -> Attributes:
    sides = [(_partial_sides(transcript), transcript) for transcript in gene.transcripts]
    left = any(cut and transcript.start == gene.start for (cut, _), transcript in sides)
    right = any(cut and transcript.end == gene.end for (_, cut), transcript in sides)
    return _partial_attributes(gene.start, gene.end, left, right)


# --- GFF3


def tool_pragmas(
    version: str, model: str | None = None, licence: str | None = None, citation: str | None = None
) -> list[str]:
    """`#!` lines that say who made a file: the tool, the model, the licence of its weights and how to cite them."""
    pragmas = ["gff-spec-version 1.26", f"annotation-source segnt_tools {version}"]
    if model is not None:
        pragmas.append(f"model {model}")
    if licence is not None:
        pragmas.append(f"model-licence {licence}")
    if citation:
        pragmas.append(f"model-citation {citation}")
    return pragmas


def write_header(handle: TextIO, lengths: Mapping[str, int], pragmas: Iterable[str] = ()) -> None:
    """`##gff-version`, the `#!` lines and a `##sequence-region` for each contig."""
    handle.write("##gff-version 3\n")
    _write_pragmas(handle, pragmas)
    for name, length in lengths.items():
        handle.write(f"##sequence-region {escape_seqid(name)} 1 {length}\n")


def _write_pragmas(handle: TextIO, pragmas: Iterable[str]) -> None:
    for pragma in pragmas:
        handle.write(f"#!{' '.join(pragma.split())}\n")


def write_gff3(
    target: Target,
    genes: Iterable[Gene],
    lengths: Mapping[str, int],
    *,
    pragmas: Iterable[str] = (),
    utr: bool = True,
    insdc: bool = False,
) -> int:
    """Write gene models as GFF3, sorted, with `###` after each gene.

    Args:
        target: a path (written whole or not at all) or an open text file.
        genes: in any order.
        lengths: lengths of all contigs in FASTA order.
        pragmas: texts of `#!` lines (see tool_pragmas).
        utr: write UTR rows too.
        insdc: see gene_features.

    Returns:
        The number of genes.
    """
    ordered = sort_genes(genes, lengths)
    with _opened(target) as handle:
        write_header(handle, lengths, pragmas)
        for gene in ordered:
            for feature in gene_features(gene, utr=utr, insdc=insdc):
                handle.write(format_feature(feature) + "\n")
            handle.write("###\n")
    return len(ordered)


def sort_features(features: Iterable[Feature], lengths: Mapping[str, int]) -> list[Feature]:
    """Features without relations in genome order.

    Raises:
        ProvenError: a feature lies on a contig that the genome does not have.
    """
    rank = {name: number for number, name in enumerate(lengths)}
    features = list(features)
    for feature in features:
        if feature.seqid not in rank:
            raise ProvenError(f"{feature.label} lies on {feature.seqid}, which the genome does not have")
    return sorted(
        features, key=lambda one: (rank[one.seqid], one.start, one.end, one.type, one.strand, one.id or "")
    )  # fmt: skip


def write_features(
    target: Target,
    features: Iterable[Feature],
    lengths: Mapping[str, int],
    *,
    pragmas: Iterable[str] = (),
    presorted: bool = False,
) -> int:
    """Write features that stand for themselves (peaks) as GFF3.

    Args:
        target: a path (written whole or not at all) or an open text file.
        features: in any order, unless `presorted`.
        lengths: lengths of all contigs in FASTA order.
        pragmas: texts of `#!` lines.
        presorted: they are in genome order already and can be streamed.

    Returns:
        The number of features.
    """
    count = 0
    with _opened(target) as handle:
        write_header(handle, lengths, pragmas)
        for feature in features if presorted else sort_features(features, lengths):
            handle.write(format_feature(feature) + "\n")
            count += 1
        handle.write("###\n")
    return count


# --- BED


def _bed_score(score: float | None) -> int:
    """BED's whole number from 0 to 1000 for a probability."""
    return 0 if score is None else round(1000 * min(1.0, max(0.0, score)))


def _bed_text(text: str) -> str:
    """A name without the blanks that readers of BED take for the end of a column."""
    return "_".join(text.split()) or "."


def write_bed6(
    target: Target, features: Iterable[Feature], lengths: Mapping[str, int], *, presorted: bool = False
) -> int:
    """Write features as BED6: name from ID, Name or type; score 1000 times the probability.

    Returns:
        The number of features.
    """
    count = 0
    with _opened(target) as handle:
        for one in features if presorted else sort_features(features, lengths):
            name = _bed_text(one.first("ID", "Name") or one.type)
            handle.write(f"{one.seqid}\t{one.start}\t{one.end}\t{name}\t{_bed_score(one.score)}\t{one.strand.value}\n")
            count += 1
    return count


def write_bed12(target: Target, genes: Iterable[Gene], lengths: Mapping[str, int]) -> int:
    """Write transcripts as BED12: blocks are exons, the thick part is the CDS.

    Returns:
        The number of transcripts.
    """
    count = 0
    with _opened(target) as handle:
        for gene in sort_genes(genes, lengths):
            for transcript in gene.transcripts:
                handle.write(_bed12_line(gene, transcript) + "\n")
                count += 1
    return count


def _bed12_line(gene: Gene, transcript: Transcript) -> str:
    start, end = transcript.start, transcript.end
    thick = (transcript.cds[0][0], transcript.cds[-1][1]) if transcript.cds else (start, start)
    sizes = ",".join(str(right - left) for left, right in transcript.exons)
    starts = ",".join(str(left - start) for left, _ in transcript.exons)
    columns = (
        gene.contig, start, end, _bed_text(transcript.id), _bed_score(transcript.score), transcript.strand.value,
        *thick, "0", len(transcript.exons), sizes, starts,
    )  # fmt: skip
    return "\t".join(str(column) for column in columns)


# --- GTF


def write_gtf(target: Target, genes: Iterable[Gene], lengths: Mapping[str, int], *, pragmas: Iterable[str] = ()) -> int:
    """Write gene models as GTF (2.2): the stop codon is outside the CDS, in rows of its own.

    A transcript whose CDS is complete at its 3' end, with a length that is a multiple of three, has its last codon
    written as stop codon; what the bases are is not looked at.

    Args:
        target: a path (written whole or not at all) or an open text file.
        genes: in any order.
        lengths: lengths of all contigs in FASTA order.
        pragmas: texts of `#!` lines, as Ensembl's files have them; that of GFF3's version is left out.

    Returns:
        The number of genes.
    """
    ordered = sort_genes(genes, lengths)
    with _opened(target) as handle:
        _write_pragmas(handle, (pragma for pragma in pragmas if not pragma.startswith("gff-spec-version")))
        for gene in ordered:
            tags = f'gene_id "{_gtf_text(gene.id)}";'
            kind = "gene"
            handle.write(_gtf_line(gene, kind, (gene.start, gene.end), gene.score, ".", tags) + "\n")
            for transcript in gene.transcripts:
                for line in _gtf_lines(gene, transcript, tags):
                    handle.write(line + "\n")
    return len(ordered)


def _gtf_text(text: str) -> str:
    return text.replace('"', "'")


def _gtf_line(gene: Gene, kind: str, interval: Interval, score: float | None, phase: str, tags: str) -> str:
    start, end = interval
    columns = (gene.contig, gene.source, kind, str(start + 1), str(end), format_score(score), gene.strand.value)
    return "\t".join((*columns, phase, tags))


def _gtf_lines(gene: Gene, transcript: Transcript, gene_tags: str) -> Iterator[str]:
    tags = f'{gene_tags} transcript_id "{_gtf_text(transcript.id)}"; transcript_biotype "{_gtf_biotype(transcript)}";'
    yield _gtf_line(gene, "transcript", (transcript.start, transcript.end), transcript.score, ".", tags)
    for number, (index, interval) in enumerate(_five_to_three(transcript.exons, transcript.strand), start=1):
        score = transcript.exon_scores[index] if transcript.exon_scores else None
        yield _gtf_line(gene, "exon", interval, score, ".", f'{tags} exon_number "{number}";')
    body, start_codon, stop_codon = split_codons(transcript)
    frames = phases(replace(transcript, cds=body)) if body else ()
    for index, (interval, phase) in enumerate(zip(body, frames, strict=True)):
        score = transcript.cds_scores[index] if len(transcript.cds_scores) == len(body) else None
        yield _gtf_line(gene, "CDS", interval, score, str(phase), tags)
    for kind, codon in (("start_codon", start_codon), ("stop_codon", stop_codon)):
        made = replace(transcript, cds=codon, cds_phase=0)
        for interval, phase in zip(codon, phases(made) if codon else (), strict=True):
            yield _gtf_line(gene, kind, interval, None, str(phase), tags)
    for kind, intervals in zip(("five_prime_utr", "three_prime_utr"), untranslated(transcript), strict=True):
        for interval in intervals:
            yield _gtf_line(gene, kind, interval, None, ".", tags)


def _gtf_biotype(transcript: Transcript) -> str:
    names = {"mRNA": "protein_coding", "lnc_RNA": "lncRNA", "pseudogenic_transcript": "pseudogene"}
    return names.get(transcript.type, transcript.type)


def split_codons(transcript: Transcript) -> tuple[tuple[Interval, ...], tuple[Interval, ...], tuple[Interval, ...]]:
    """The CDS without its stop codon, the start codon, and the stop codon, each ascending by coordinate.

    A codon that a partial end or an odd length takes away is empty, and then the CDS keeps its last bases.
    """
    forward = transcript.strand is not Strand.MINUS
    whole = (transcript.coding_length - transcript.cds_phase) % 3 == 0 and transcript.coding_length >= 6
    start = _take(transcript.cds, 3, left=forward) if not transcript.partial_5 and transcript.cds_phase == 0 else ()
    if transcript.partial_3 or not whole:
        return transcript.cds, start if transcript.coding_length >= 3 else (), ()
    body = _take(transcript.cds, transcript.coding_length - 3, left=forward)
    return body, start, _take(transcript.cds, 3, left=not forward)


def _take(intervals: Sequence[Interval], bases: int, *, left: bool) -> tuple[Interval, ...]:
    """The first (or, with left=False, the last) bases of a list of intervals."""
    taken: list[Interval] = []
    for start, end in intervals if left else reversed(intervals):
        if bases <= 0:
            break
        size = min(bases, end - start)
        taken.append((start, start + size) if left else (end - size, end))
        bases -= size
    return tuple(taken if left else reversed(taken))
