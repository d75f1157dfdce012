"""Calling genes on contigs: recovery of a reference, proof of models, independence of threads, blocks and strand."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
import threading
import time
import weakref
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from segnt_tools.elements import Strand, Track
from segnt_tools.errors import TracksError, UsageError
from segnt_tools.genes import decoding
from segnt_tools.genes.calling import GeneCaller, call_genes
from segnt_tools.genes.emissions import EmissionBuilder
from segnt_tools.genes.estimation import estimate_parameters, longest
from segnt_tools.genes.parameters import GeneParameters, parameters_of
from segnt_tools.gff.genemodel import Gene
from segnt_tools.gff.proving import prove
from segnt_tools.gff.reading import read_genes
from segnt_tools.gff.sequences import coding_sequence, genetic_code, translate
from segnt_tools.gff.writing import number_genes
from segnt_tools.sequence.assembly import Assembly, Contig
from segnt_tools.sequence.codes import reverse_complement

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "segnt_tools" / "data" / "demo"
PLUS, MINUS, NONE = Strand.PLUS, Strand.MINUS, Strand.NONE


def benchmark() -> ModuleType:
    """The benchmark that draws tracks from an annotation."""
    name = "decoder_recovery"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


class Genome:
    """Contigs in memory."""

    def __init__(self, **contigs: np.ndarray) -> None:
        self.sequences = contigs
        self.lengths = {name: codes.size for name, codes in contigs.items()}
        self.contigs = tuple(Contig(name, codes.size, "") for name, codes in contigs.items())

    def codes(self, contig: str, start: int = 0, end: int | None = None) -> np.ndarray:
        return self.sequences[contig][start:end]


class ArrayTracks:
    """Logits in memory."""

    def __init__(self, tracks: tuple[Track, ...], **contigs: np.ndarray) -> None:
        self.tracks = tracks
        self.arrays = contigs

    def logits(self, contig: str, start: int, end: int) -> np.ndarray:
        return self.arrays[contig][:, start:end]

    def mirrored(self) -> ArrayTracks:
        """The same tracks on the other strand; frames count from the left end, whatever the length."""
        (name, array), *_ = self.arrays.items()
        row = {track: number for number, track in enumerate(self.tracks)}
        result = np.empty_like(array)
        for track, number in row.items():
            element = track.element
            if element.startswith("CDS_frame_"):
                element = f"CDS_frame_{(array.shape[1] - int(element[-1])) % 3}"
            strand = {PLUS: MINUS, MINUS: PLUS, NONE: NONE}[track.strand]
            result[row[Track(element, strand)]] = array[number, ::-1]
        return ArrayTracks(self.tracks, **{name: result})


@cache
def demo() -> tuple[Genome, list[Gene]]:
    with Assembly.open(DEMO / "arabidopsis_chr1.fa.gz") as assembly:
        genome = Genome(**{contig.name: assembly.codes(contig.name) for contig in assembly.contigs})
    return genome, read_genes(DEMO / "arabidopsis_chr1.gff3.gz", genome.lengths)


@cache
def drawn_demo(kind: str, noise: float) -> ArrayTracks:
    genome, genes = demo()
    contig = genome.contigs[0].name
    transcripts = [transcript for gene in genes if (transcript := longest(gene)) is not None]
    drawn = benchmark().DrawnTracks(kind, {contig: transcripts}, genome.lengths, noise)
    return ArrayTracks(drawn.tracks, **{contig: drawn.logits(contig, 0, genome.lengths[contig])})


def cut(genome: Genome, tracks: ArrayTracks, start: int, end: int) -> tuple[Genome, ArrayTracks]:
    """A stretch of the demo contig as a contig of its own; frames are kept if the start is a multiple of 3."""
    (name,) = genome.sequences
    return (
        Genome(piece=genome.sequences[name][start:end]),
        ArrayTracks(tracks.tracks, piece=tracks.arrays[name][:, start:end]),
    )


@pytest.mark.parametrize("kind", ["stranded", "segmentnt"])
def test_perfect_tracks_give_the_reference_back(kind):
    genome, genes = demo()
    module = benchmark()
    parameters = parameters_of(None, kind == "stranded")
    truth = module.reference(genes, genome, parameters)
    called = list(call_genes(drawn_demo(kind, 0.0), genome, genome.contigs, parameters))
    contig = genome.contigs[0].name
    wanted = module._parts(truth.held[contig])
    found = module._parts(transcript for gene in called for transcript in gene.transcripts)
    assert len(wanted) > 300
    assert len(wanted & found) >= 0.99 * len(wanted)
    assert sum(truth.left_out.values()) < 0.1 * len(truth.drawn[contig])
    prove(number_genes(called, "g"), genome)


def test_scores_of_sure_tracks_are_high_and_fall_with_noise():
    genome, _ = demo()
    means = []
    for noise in (0.0, 4.0):
        part = cut(genome, drawn_demo("stranded", noise), 0, 60_000)
        called = list(call_genes(part[1], part[0], part[0].contigs, GeneParameters()))
        means.append(np.mean([gene.score for gene in called]))
        for gene in called:
            (transcript,) = gene.transcripts
            assert gene.score >= transcript.score
            assert len(transcript.exon_scores) == len(transcript.exons)
            assert min(transcript.cds_scores) >= transcript.score - 1e-6
    assert means[0] > 0.95
    assert means[1] < means[0]


@pytest.mark.parametrize("kind", ["stranded", "segmentnt"])
def test_blocks_and_threads_do_not_show(kind):
    genome, _ = demo()
    part = cut(genome, drawn_demo(kind, 3.0), 0, 60_000)
    parameters = parameters_of(None, kind == "stranded")
    two = Genome(piece=part[0].sequences["piece"], other=part[0].sequences["piece"][:30_000])
    tracks = ArrayTracks(part[1].tracks, piece=part[1].arrays["piece"], other=part[1].arrays["piece"][:, :30_000])
    results = []
    for block, threads in ((1 << 18, 1), (997, 1), (5000, 2)):
        caller = GeneCaller(tracks, two, parameters, block_bases=block)
        results.append([gene for genes in caller.call(two.contigs, threads) for gene in genes])
    assert len(results[0]) > 10
    for other in results[1:]:
        assert [without_scores(gene) for gene in other] == [without_scores(gene) for gene in results[0]]
        assert [gene.score for gene in other] == pytest.approx([gene.score for gene in results[0]], abs=1e-6)


class Alive:
    """Counts the blocks of rows in memory."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._counting = threading.Lock()

    def watch(self, rows: decoding.Rows) -> decoding.Rows:
        with self._counting:
            self.now += 1
            self.most = max(self.most, self.now)
        weakref.finalize(rows.region, self._gone)
        return rows

    def _gone(self) -> None:
        with self._counting:
            self.now -= 1


@pytest.mark.parametrize(("contigs", "threads"), [(6, 4), (1, 4), (2, 1)])
def test_contigs_at_once_share_the_blocks_made_ahead(monkeypatch, contigs, threads):
    genome, _ = demo()
    part, tracks = cut(genome, drawn_demo("stranded", 3.0), 0, 24_000)
    names = [f"c{number}" for number in range(contigs)]
    many = Genome(**dict.fromkeys(names, part.sequences["piece"]))
    copies = ArrayTracks(tracks.tracks, **dict.fromkeys(names, tracks.arrays["piece"]))
    caller = GeneCaller(copies, many, GeneParameters(), block_bases=1000)
    wanted = [without_scores(gene) for gene in caller.genes(many.contigs[0])]
    alive, rows_of, best_rows = Alive(), EmissionBuilder.rows, decoding.best_rows

    def slowly(*args):
        time.sleep(0.01)  # so that blocks are made faster than they are used
        return best_rows(*args)

    monkeypatch.setattr(EmissionBuilder, "rows", lambda *args: alive.watch(rows_of(*args)))
    monkeypatch.setattr(decoding, "best_rows", slowly)
    for name, genes in zip(names, caller.call(many.contigs, threads), strict=True):
        assert [dataclasses.replace(without_scores(gene), contig="c0") for gene in genes] == wanted, name
    assert len(wanted) > 3
    assert alive.now == 0
    # One in use a contig, and as many ahead as threads, for all contigs together.
    assert 1 <= alive.most <= min(contigs, threads) + (threads if threads > 1 else 0)


def without_scores(gene: Gene) -> Gene:
    transcripts = tuple(
        dataclasses.replace(transcript, score=None, exon_scores=(), cds_scores=()) for transcript in gene.transcripts
    )
    return dataclasses.replace(gene, score=None, transcripts=transcripts)


@pytest.mark.parametrize("length", [59_999, 60_000, 60_001])
def test_reverse_complement_gives_mirrored_genes(length):
    genome, _ = demo()
    part, tracks = cut(genome, drawn_demo("stranded", 3.0), 0, length)
    mirror = Genome(piece=reverse_complement(part.sequences["piece"]))
    forward = list(call_genes(tracks, part, part.contigs, GeneParameters()))
    backward = list(call_genes(tracks.mirrored(), mirror, mirror.contigs, GeneParameters()))
    assert {coding(gene) for gene in forward} == {mirrored(coding(gene), length) for gene in backward}
    scores = [sorted(gene.transcripts[0].score for gene in genes) for genes in (forward, backward)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def coding(gene: Gene) -> tuple[str, tuple[tuple[int, int], ...], bool, bool]:
    transcript = gene.transcripts[0]
    return gene.strand.value, transcript.cds, transcript.partial_5, transcript.partial_3


def mirrored(gene, length):
    strand, cds, five, three = gene
    other = tuple((length - end, length - start) for start, end in reversed(cds))
    return {"+": "-", "-": "+"}[strand], other, five, three


@pytest.mark.parametrize("code", [1, 2, 6, 12])
@pytest.mark.parametrize("kind", ["stranded", "segmentnt"])
def test_no_stop_inside_a_cds_whatever_the_tracks_say(code, kind):
    module = benchmark()
    names = module.STRANDED if kind == "stranded" else module.SEGMENTNT
    strands = (PLUS, MINUS) if kind == "stranded" else (NONE,)
    tracks = tuple(Track(name, strand) for strand in strands for name in names)
    coded, spliced = 0, 0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        size = 20_000
        codes = rng.choice(5, size, p=[0.31, 0.18, 0.18, 0.32, 0.01]).astype(np.uint8)
        logits = rng.normal(1.0, 4.0, (len(tracks), size)).astype(np.float32)
        parameters = parameters_of(None, kind == "stranded").replaced(
            {"genetic_code": code, "min_intron": 5, "min_cds": 6, "min_partial_cds": 3, "gene": 6.0, "donor": 6.0}
        )
        genome = Genome(random=codes)
        genes = list(call_genes(ArrayTracks(tracks, random=logits), genome, genome.contigs, parameters))
        prove(number_genes(genes, "g"), genome, code)
        for gene in genes:
            (transcript,) = gene.transcripts
            protein = translate(coding_sequence(genome, gene, transcript), genetic_code(code), complete_start=False)
            assert "*" not in (protein if transcript.partial_3 else protein[:-1])
            assert all(end - start >= 5 for start, end in transcript.introns)
            coded += 1
            spliced += len(transcript.cds) > 1
    assert coded > 50
    assert spliced > 20


def test_genes_cut_by_contig_ends_are_partial():
    genome, _ = demo()
    whole = cut(genome, drawn_demo("stranded", 0.0), 0, 60_000)
    long_genes = [
        gene
        for gene in call_genes(whole[1], whole[0], whole[0].contigs, GeneParameters())
        if len(gene.transcripts[0].cds) > 3
    ]
    seen = set()
    for gene in long_genes:
        exon = gene.transcripts[0].cds[2]
        middle = (exon[0] + exon[1]) // 2
        for start, end in ((middle - middle % 3, 60_000), (0, middle)):
            part, tracks = cut(*whole, start, end)
            called = list(call_genes(tracks, part, part.contigs, GeneParameters()))
            prove(number_genes(called, "g"), part)
            edge = called[0] if start else called[-1]
            transcript = edge.transcripts[0]
            assert edge.strand is gene.strand
            assert (transcript.partial_5, transcript.partial_3) == (
                (bool(start), not start) if gene.strand is PLUS else (not start, bool(start))
            )
            seen.add((gene.strand, bool(start)))
        if len(seen) == 4:
            break
    assert len(seen) == 4


def test_long_gaps_cut_genes_only_on_request():
    genome, _ = demo()
    part, tracks = cut(genome, drawn_demo("stranded", 0.0), 0, 30_000)
    first = next(
        gene for gene in call_genes(tracks, part, part.contigs, GeneParameters()) if gene.transcripts[0].introns
    )
    start, end = max(first.transcripts[0].introns, key=lambda intron: intron[1] - intron[0])
    codes = part.sequences["piece"].copy()
    codes[start + 20 : end - 20] = 4
    gapped = Genome(piece=codes)
    bridged = list(call_genes(tracks, gapped, gapped.contigs, GeneParameters()))
    assert first.transcripts[0].cds in [gene.transcripts[0].cds for gene in bridged]
    apart = list(call_genes(tracks, gapped, gapped.contigs, GeneParameters(gap_length=20, min_partial_cds=3)))
    touching = [gene for gene in apart if gene.end <= start + 20 or gene.start >= end - 20]
    assert len(touching) == len(apart)
    assert any(gene.transcripts[0].partial_5 or gene.transcripts[0].partial_3 for gene in apart)


def test_lncrna_where_the_model_has_a_track():
    elements = ("protein_coding_gene", "exon", "intron", "splice_donor", "splice_acceptor", "5UTR", "3UTR", "lncRNA")
    tracks = tuple(Track(element) for element in elements)
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 4, 6000).astype(np.uint8)
    exons = ((1000, 1300), (1500, 1900))
    codes[1300:1302], codes[1498:1500] = (2, 3), (0, 2)  # GT ... AG
    logits = np.full((len(tracks), 6000), -6.0, dtype=np.float32)
    row = {element: number for number, element in enumerate(elements)}
    logits[row["lncRNA"], 1000:1900] = 6
    logits[row["intron"], 1300:1500] = 6
    for start, end in exons:
        logits[row["exon"], start:end] = 6
    logits[row["splice_donor"], 1300] = logits[row["splice_acceptor"], 1499] = 6
    logits[[row["lncRNA"]], 4000:4500] = logits[[row["exon"]], 4000:4500] = 6
    genome = Genome(c=codes)
    called = list(call_genes(ArrayTracks(tracks, c=logits), genome, genome.contigs, parameters_of(None, False)))
    assert [(gene.type, gene.strand) for gene in called] == [("lncRNA_gene", PLUS), ("lncRNA_gene", NONE)]
    (spliced,) = called[0].transcripts
    assert spliced.introns == ((1300, 1500),)
    assert abs(spliced.start - 1000) <= 3
    assert abs(spliced.end - 1900) <= 3
    prove(number_genes(called, "g"), genome)


def test_tiny_contigs_and_contigs_of_n_give_no_gene():
    tracks = (Track("exon"), Track("intron"))
    for size in (1, 2, 3, 5, 50):
        genome = Genome(c=np.full(size, 4, dtype=np.uint8))
        array = ArrayTracks(tracks, c=np.full((2, size), -np.inf, dtype=np.float32))
        assert list(call_genes(array, genome, genome.contigs, GeneParameters())) == []


def test_tracks_without_exons_are_refused():
    with pytest.raises(TracksError, match="neither an exon nor a CDS"):
        GeneCaller(ArrayTracks((Track("CTCF-bound"),)), Genome(), GeneParameters())


def test_parameters_from_card_and_settings():
    card = {"genes": {"donor": 3, "start_codons": ["ATG", "CTG"], "calibration": {"exon": [2, 0.5]}}}
    parameters = parameters_of(card, True).with_settings(["stop=0.25", "utr=false"])
    assert (parameters.donor, parameters.stop, parameters.utr) == (3.0, 0.25, False)
    assert parameters.start_codons == ("ATG", "CTG")
    assert GeneParameters().replaced(parameters.as_dict()) == parameters
    for wrong in ("nonsense=1", "donor", "donor=x", "min_intron=2", "genetic_code=99", "start_codons=TAA", "utr=1"):
        with pytest.raises(UsageError):
            GeneParameters().with_settings([wrong])


def test_parameters_estimated_from_the_demo_annotation():
    genome, genes = demo()
    estimate = estimate_parameters(genes, genome, GeneParameters())
    assert estimate.genes > 50
    assert estimate.values["utr"] is True
    assert "ATG" in estimate.values["start_codons"]
    assert 50 <= estimate.values["min_intron"] <= 80
    assert 100 <= estimate.values["mean_intron"] <= 250
    assert -6 < estimate.values["gc_donor"] < -2
    with pytest.raises(UsageError, match="too few"):
        estimate_parameters(genes[:3], genome, GeneParameters())
