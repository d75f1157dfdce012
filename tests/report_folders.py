"""Run folders for tests of the report: what `segnt annotate` leaves, made from gene models instead of a model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyBigWig

from segnt_tools.elements import Strand, element
from segnt_tools.gff.genemodel import Gene, Transcript
from segnt_tools.gff.sequences import write_sequences
from segnt_tools.gff.writing import gene_features, number_genes, untranslated, write_gff3
from segnt_tools.report.genes import representative
from segnt_tools.report.tables import SCHEMA_VERSION
from segnt_tools.sequence.assembly import Assembly

CARD = {
    "name": "embedded_plants",
    "architecture": "codon_unet",
    "summary": "Gene elements of land plants, in windows of 18 kb.",
    "clade": "land plants",
    "licence": "MIT",
    "citation": "segnt_tools",
    "not_for": "animals and fungi",
    "expectations": {"genes_per_mb": [20, 300], "median_intron": [70, 400], "single_exon_share": [0.1, 0.5]},
}
TRACKS = ("exon", "intron", "CDS", "5UTR", "3UTR", "splice_donor", "splice_acceptor", "start_codon", "stop_codon")


def scored(genes: Iterable[Gene], seed: int = 1) -> list[Gene]:
    """The genes with one transcript each and scores that look like posteriors."""
    random = np.random.default_rng(seed)
    found = []
    for gene in genes:
        score = float(np.clip(random.beta(7, 1.2), 0.01, 0.999))
        best = representative(gene)
        parts = tuple(float(np.clip(score + random.normal(0, 0.05), 0, 1)) for _ in best.cds)
        transcript = Transcript(
            best.id, best.strand, best.exons, best.cds, best.type, best.cds_phase, score=score, cds_scores=parts
        )
        found.append(Gene(gene.id, gene.contig, gene.strand, (transcript,), gene.type, score=score))
    return found


def cut(genes: Iterable[Gene], contig: str, start: int, end: int, name: str) -> list[Gene]:
    """Genes that lie whole in a stretch, moved onto a contig that begins there."""

    def moved(intervals: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        return tuple((a - start, b - start) for a, b in intervals)

    return [
        replace(
            gene,
            contig=name,
            transcripts=tuple(replace(one, exons=moved(one.exons), cds=moved(one.cds)) for one in gene.transcripts),
        )
        for gene in genes
        if gene.contig == contig and gene.start >= start and gene.end <= end
    ]


def write_run(
    folder: Path, genes: Sequence[Gene], lengths: dict[str, int], *, genome: Assembly | None = None, tracks: bool = True
) -> Path:
    """Write a run folder of these genes, whose tracks and calls are what a good model would say about them."""
    folder.mkdir(parents=True, exist_ok=True)
    genes = number_genes(genes, "SEGNT")
    write_gff3(folder / "genes.gff3", genes, lengths)
    if genome is not None:
        write_sequences(folder, genes, genome)
    write_contigs(folder, lengths)
    order = {name: number for number, name in enumerate(lengths)}
    calls = sorted(_calls(genes), key=lambda row: (order[row[0]], row[1]))
    write_bed(folder, calls)
    counts = Counter(name for _, _, _, name, _, _ in calls)
    summary = {
        "tool": "segnt annotate",
        "schema_version": SCHEMA_VERSION,
        "model": CARD["name"],
        "card": CARD,
        "predict": {"window": 18432, "precision": "float32"},
        "call-peaks": {
            "elements": {name: {"intervals": counts[name]} for name in (*TRACKS, "promoter_Tissue_specific")}
        },
    }
    (folder / "annotate.json").write_text(json.dumps(summary))
    if tracks:
        write_tracks(folder / "tracks", calls, lengths)
    return folder


def write_contigs(folder: Path, lengths: dict[str, int], skipped: Iterable[str] = ()) -> None:
    """contigs.tsv as preprocess writes it."""
    skipped = set(skipped)
    lines = ["#contig\tlength\tgc\tn\tsoftmasked\tmd5\tused\treason"]
    for name, length in lengths.items():
        used = "no\tshorter than 500 bp" if name in skipped else "yes\t."
        lines.append(f"{name}\t{length}\t0.3600\t{length // 50}\t0\t{'0' * 32}\t{used}")
    (folder / "contigs.tsv").write_text("\n".join(lines) + "\n")


def write_bed(folder: Path, calls: Iterable[tuple[str, int, int, str, str, float]]) -> None:
    """elements.bed as call-peaks writes it."""
    rows = (
        f"{contig}\t{start}\t{end}\t{name}\t{round(1000 * score)}\t{strand}\n"
        for contig, start, end, name, strand, score in calls
    )
    (folder / "elements.bed").write_text("".join(rows))


def _calls(genes: Iterable[Gene]) -> Iterator[tuple[str, int, int, str, str, float]]:
    for gene in genes:
        one, strand, score = gene.transcripts[0], gene.strand.value, gene.score or 0.5
        parts = [("exon", one.exons), ("intron", one.introns), ("CDS", one.cds)]
        parts += zip(("5UTR", "3UTR"), untranslated(one), strict=True)
        for name, intervals in parts:
            for start, end in intervals:
                yield gene.contig, start, end, name, strand, score
        names = ("splice_donor", "splice_acceptor")
        left, right = names if gene.strand is Strand.PLUS else names[::-1]
        for start, end in one.introns:
            yield gene.contig, start, start + 1, left, strand, score
            yield gene.contig, end - 1, end, right, strand, score
        names = ("start_codon", "stop_codon")
        if one.cds:
            left, right = names if gene.strand is Strand.PLUS else names[::-1]
            yield gene.contig, one.cds[0][0], one.cds[0][0] + 3, left, strand, score
            yield gene.contig, one.cds[-1][1] - 3, one.cds[-1][1], right, strand, score
        if gene.strand is Strand.PLUS and gene.start > 300:
            yield gene.contig, gene.start - 300, gene.start - 40, "promoter_Tissue_specific", ".", score


def write_tracks(
    folder: Path, calls: Sequence[tuple[str, int, int, str, str, float]], lengths: dict[str, int], seed: int = 2
) -> None:
    """A bigWig an element and strand: the calls' scores with soft borders, over a low ground."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(seed)
    for name in dict.fromkeys(row[3] for row in calls):
        strands = ("+", "-") if element(name).genic else (".",)
        for strand in strands:
            suffix = {"+": ".plus", "-": ".minus", ".": ""}[strand]
            with pyBigWig.open(str(folder / f"{name}{suffix}.bw"), "w") as bigwig:
                bigwig.addHeader(list(lengths.items()))
                for contig, length in lengths.items():
                    values = np.round(random.beta(1, 60, length), 2)
                    for row in calls:
                        if row[0] == contig and row[3] == name and row[4] == strand:
                            width = row[2] - row[1]
                            values[row[1] : row[2]] = np.round(np.clip(random.normal(row[5], 0.04, width), 0, 1), 2)
                    bigwig.addEntries(contig, 0, values=values.tolist(), span=1, step=1)


def feature_rows(genes: Iterable[Gene]) -> int:
    """Rows of the genes in GFF3."""
    return sum(len(gene_features(gene)) for gene in genes)
