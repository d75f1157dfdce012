"""Gene-level scores: the rules one by one, and against a brute-force count."""

import random
from dataclasses import replace

import pytest

from segnt_tools.elements import Strand
from segnt_tools.evaluation.genes import LEVELS, compare_genes
from segnt_tools.evaluation.regions import region_intervals
from segnt_tools.gff.genemodel import Gene, Transcript
from segnt_tools.labels.rules import join_close
from segnt_tools.sequence.stretches import Stretch

LENGTHS = {"c1": 10_000, "c2": 5_000}
WHOLE = region_intervals([], LENGTHS)


def gene(*chains, strand="+", contig="c1", name="g"):
    """A gene whose transcripts have these coding chains, with 50 bases of UTR on either side."""
    transcripts = tuple(
        Transcript(
            f"{name}.t{i}",
            Strand(strand),
            exons=((chain[0][0] - 50, chain[0][1]), *chain[1:-1], (chain[-1][0], chain[-1][1] + 50))
            if len(chain) > 1
            else ((chain[0][0] - 50, chain[0][1] + 50),),
            cds=tuple(chain),
        )
        for i, chain in enumerate(chains)
    )
    return Gene(name, contig, Strand(strand), transcripts)


def f1(truth, predicted, regions=WHOLE, view="cds"):
    return {name: level.f1 for name, level in compare_genes(truth, predicted, regions, view).levels.items()}


A = ((1000, 1100), (1200, 1300), (1400, 1500))
B = ((1000, 1100), (1200, 1320), (1400, 1500))
SINGLE = ((3000, 3300),)


def test_a_prediction_equal_to_the_truth_is_perfect_at_every_level():
    genes = [gene(A, B), gene(SINGLE, name="h"), gene(A, strand="-", contig="c2", name="i")]
    for view in ("cds", "exon"):
        assert f1(genes, genes, view=view) == dict.fromkeys(LEVELS, 1.0)


def test_one_of_several_isoforms_is_enough_for_the_gene_but_not_for_transcripts():
    scores = compare_genes([gene(A, B)], [gene(B)], WHOLE).levels
    assert scores["gene"].f1 == 1.0
    assert (scores["transcript"].sensitivity, scores["transcript"].precision) == (0.5, 1.0)
    assert (scores["exon"].truth, scores["exon"].found, scores["exon"].predicted) == (4, 3, 3)
    assert (scores["intron"].truth, scores["intron"].found) == (3, 2)
    assert (scores["nucleotide"].truth, scores["nucleotide"].found) == (320, 320)


def test_the_other_strand_never_matches():
    assert set(f1([gene(A)], [gene(A, strand="-")]).values()) == {0.0}


def test_utr_counts_in_the_exon_view_only():
    shorter = gene(A)
    shorter = replace(shorter, transcripts=(replace(shorter.transcripts[0], exons=A),))
    assert f1([gene(A)], [shorter])["gene"] == 1.0
    exon_view = compare_genes([gene(A)], [shorter], WHOLE, "exon").levels
    assert exon_view["gene"].f1 == 0.0
    assert exon_view["intron_chain"].f1 == 1.0
    assert exon_view["exon"].found == 1


def test_a_non_coding_transcript_is_left_out_of_the_cds_view():
    silent = Gene("n", "c1", Strand.PLUS, (Transcript("n.t", Strand.PLUS, exons=((10, 90),), type="lnc_RNA"),))
    assert compare_genes([gene(A), silent], [gene(A)], WHOLE).levels["gene"].f1 == 1.0
    assert compare_genes([gene(A), silent], [gene(A)], WHOLE, "exon").levels["gene"].sensitivity == 0.5


def test_frameshift_gaps_are_no_introns():
    broken = ((1000, 1050), (1051, 1100), (1200, 1300), (1400, 1500))
    assert join_close(broken) == A
    assert f1([gene(broken)], [gene(A)]) == dict.fromkeys(LEVELS, 1.0)


def test_empty_sides_are_not_defined():
    nothing = compare_genes([], [gene(A)], WHOLE).levels["gene"]
    assert (nothing.sensitivity, nothing.precision, nothing.f1) == (None, 0.0, None)
    unseen = compare_genes([gene(A)], [], WHOLE).levels["gene"]
    assert (unseen.sensitivity, unseen.precision, unseen.f1) == (0.0, None, 0.0)
    single = compare_genes([gene(SINGLE)], [gene(SINGLE)], WHOLE).levels["intron"]
    assert single.f1 is None


def test_genes_on_a_border_are_left_out_and_bases_are_clipped():
    regions = region_intervals([Stretch("c1", 1250, 4000)], LENGTHS)
    truth, predicted = [gene(A), gene(SINGLE, name="h")], [gene(B), gene(SINGLE, name="h")]
    scores = compare_genes(truth, predicted, regions).levels
    assert (scores["gene"].truth, scores["gene"].predicted, scores["gene"].found) == (1, 1, 1)
    assert (scores["exon"].truth, scores["exon"].predicted) == (2, 2)  # 1400-1500 and the single one
    assert (scores["nucleotide"].truth, scores["nucleotide"].predicted) == (50 + 100 + 300, 70 + 100 + 300)


def test_a_prediction_on_a_cut_gene_costs_nothing_at_gene_level():
    regions = region_intervals([Stretch("c1", 1250, 4000)], LENGTHS)
    part = gene(((1400, 1500),), name="p")
    scores = compare_genes([gene(A)], [part], regions).levels
    assert (scores["gene"].predicted, scores["transcript"].predicted) == (0, 0)
    assert scores["exon"].right == 1


def test_a_hundred_thousand_contigs_take_no_time():
    lengths = {f"c{number}": number + 1 for number in range(100_000)}
    regions = region_intervals([], lengths)
    assert list(regions) == list(lengths)
    assert all(regions[name].tolist() == [[0, size]] for name, size in list(lengths.items())[::1000])


def test_genes_elsewhere_are_ignored():
    regions = region_intervals([Stretch("c2", 0, 5000)], LENGTHS)
    scores = compare_genes([gene(A)], [gene(A), gene(SINGLE, contig="c2")], regions).levels
    assert (scores["gene"].truth, scores["gene"].predicted) == (0, 1)


@pytest.mark.parametrize("seed", range(20))
def test_against_brute_force(seed):
    draw = random.Random(seed)

    def random_genes():
        genes = []
        for number in range(draw.randint(0, 6)):
            chains = []
            for _ in range(draw.randint(1, 3)):
                ends = sorted(draw.sample(range(10, 90), 2 * draw.randint(1, 3)))
                chains.append(tuple((100 * a, 100 * b) for a, b in zip(ends[::2], ends[1::2], strict=True)))
            genes.append(gene(*chains, strand=draw.choice("+-"), name=f"g{number}"))
        return genes

    truth, predicted = random_genes(), random_genes()
    predicted += [g for g in truth if draw.random() < 0.5]
    scores = compare_genes(truth, predicted, WHOLE).levels

    def bases(genes):
        return {(g.strand, p) for g in genes for t in g.transcripts for s, e in t.cds for p in range(s, e)}

    def exons(genes):
        return {(g.strand, part) for g in genes for t in g.transcripts for part in t.cds}

    def chains(genes):
        return {(g.strand, t.cds) for g in genes for t in g.transcripts}

    for level, items in (("nucleotide", bases), ("exon", exons), ("transcript", chains)):
        ours, theirs = items(truth), items(predicted)
        got = scores[level]
        assert (got.truth, got.found, got.predicted) == (len(ours), len(ours & theirs), len(theirs))
    found = sum(any((g.strand, t.cds) in chains(predicted) for t in g.transcripts) for g in truth)
    right = sum(any((g.strand, t.cds) in chains(truth) for t in g.transcripts) for g in predicted)
    assert (scores["gene"].found, scores["gene"].right) == (found, right)
