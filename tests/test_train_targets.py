"""From gene models to training classes: frames, boundaries, isoforms, overlaps, the other strand, codon statistics."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from segnt_tools.elements import Strand
from segnt_tools.gff.genemodel import Gene, Transcript
from segnt_tools.models.codon_unet import Boundary, Region
from segnt_tools.sequence.codes import encode, reverse_complement
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.training.class_data import (
    _BOUNDARY_MIRROR,
    _REGION_MIRROR,
    ClassSampler,
    ClassSource,
    LabelledContig,
    cut,
)
from segnt_tools.training.codon_statistics import codon_table
from segnt_tools.training.recipe import AugmentRecipe
from segnt_tools.training.targets import frames_of_cds, has_valid_cds, targets_of_contig

# 5 bases, UTR of 4, ATGG | intron of 20 | CAAAGC ends in stop, UTR 3, 5 bases; the codon GCA is split by the intron.
EXON_1, INTRON, EXON_2 = "ATGG", "GTAAGTTTTTTTTTTTTCAG", "CAAAATGA"
GENE_TEXT = "CCCCC" + "TTTT" + EXON_1 + INTRON + EXON_2 + "CCC" + "CCCCC"
GENE = Transcript(
    "t1",
    Strand.PLUS,
    exons=((5, 13), (33, 44)),
    cds=((9, 13), (33, 41)),
)


def gene_of(*transcripts: Transcript, kind: str = "gene") -> Gene:
    return Gene("g", "c", transcripts[0].strand, transcripts, type=kind)


def mirrored_transcript(transcript: Transcript, length: int) -> Transcript:
    def turned(parts):
        return tuple((length - end, length - start) for start, end in reversed(parts))

    strand = Strand.MINUS if transcript.strand is Strand.PLUS else Strand.PLUS
    return Transcript(transcript.id, strand, turned(transcript.exons), turned(transcript.cds))


def test_regions_and_boundaries_of_a_gene():
    targets = targets_of_contig(encode(GENE_TEXT), [gene_of(GENE)])
    expected = [0] * 5 + [Region.UTR5_PLUS] * 4 + [Region.CDS_0_PLUS] * 4 + [Region.CDS_INTRON_PLUS] * 20
    # The split codon begins one base before the second part would: 33 - 1 = 32, and 32 % 3 == 2.
    expected += [Region.CDS_2_PLUS] * 8 + [Region.UTR3_PLUS] * 3 + [0] * 5
    assert targets.region.tolist() == expected
    sites = {9: 1, 10: 1, 11: 1, 13: 3, 32: 4, 38: 2, 39: 2, 40: 2}
    assert {int(i): int(targets.boundary[i]) for i in np.flatnonzero(targets.boundary)} == sites
    assert targets.report.used == 1
    assert targets.report.introns == (20,)


def test_minus_strand_is_the_mirror_of_plus():
    text = GENE_TEXT + "C" * (-len(GENE_TEXT) % 3)
    codes = encode(text)
    plus = targets_of_contig(codes, [gene_of(GENE)])
    minus = targets_of_contig(reverse_complement(codes).copy(), [gene_of(mirrored_transcript(GENE, len(text)))])
    assert np.array_equal(_REGION_MIRROR[plus.region[::-1]], minus.region)
    assert np.array_equal(_BOUNDARY_MIRROR[plus.boundary[::-1]], minus.boundary)


@pytest.mark.parametrize("lengths", [(4, 8), (5, 7), (3, 1, 2), (10, 10, 10, 6), (1, 1, 1, 3)])
@pytest.mark.parametrize("offset", [0, 1, 2])
def test_frames_name_the_leftmost_base_of_each_codon(lengths, offset):
    parts, start = [], 20 + offset
    for length in lengths:
        parts.append((start, start + length))
        start += length + 13
    for strand in (Strand.PLUS, Strand.MINUS):
        transcript = Transcript("t", strand, tuple(parts), tuple(parts))
        positions = [p for left, right in parts for p in range(left, right)]
        order = positions if strand is Strand.PLUS else positions[::-1]
        frames = frames_of_cds(transcript)
        for number, position in enumerate(order):
            part = next(i for i, (left, right) in enumerate(parts) if left <= position < right)
            place = number % 3 if strand is Strand.PLUS else 2 - number % 3
            assert frames[part] == (position - place) % 3


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("ATGAAATAA", True),
        ("ATGTAGTAA", False),  # stop inside
        ("ATGAAAAAA", False),  # no stop
        ("CTGAAATAA", False),  # no ATG
        ("ATGAAATA", False),  # broken frame
        ("ATGANATAA", False),  # unknown base
    ],
)
def test_only_complete_coding_sequences_are_valid(text, valid):
    whole = ((0, len(text)),)
    assert has_valid_cds(encode(text), Transcript("t", Strand.PLUS, whole, whole)) is valid
    mirrored = Transcript("t", Strand.MINUS, whole, whole)
    assert has_valid_cds(reverse_complement(encode(text)).copy(), mirrored) is valid


@pytest.mark.parametrize(("least", "weight"), [(0.0, 255), (0.4, 255), (0.5, 0)])
def test_genes_that_a_model_was_not_sure_of_are_masked(least, weight):
    unsure = dataclasses.replace(GENE, score=0.4)
    targets = targets_of_contig(encode(GENE_TEXT), [gene_of(unsure)], least)
    assert (targets.region_weight[5:44] == weight).all()
    assert targets.region_weight[:5].all()
    assert targets.report.masked == (weight == 0)
    with_another = targets_of_contig(
        encode(GENE_TEXT), [gene_of(unsure, GENE)], least
    )  # without a score: from an annotation
    assert with_another.report.used == 1


def test_genes_without_a_valid_cds_are_masked_and_pseudogenes_are_not():
    codes = encode("CCC" + "ATGTAGAAATAA" + "CCC")
    transcript = Transcript("t", Strand.PLUS, ((3, 15),), ((3, 15),))
    masked = targets_of_contig(codes, [gene_of(transcript)])
    assert masked.report.masked == 1
    assert not masked.region_weight[3:15].any()
    assert masked.region_weight[:3].all()
    assert not masked.boundary_weight[3:15].any()
    pseudo = targets_of_contig(codes, [gene_of(transcript, kind="pseudogene")])
    assert pseudo.region_weight.all()
    assert not pseudo.region.any()


def test_isoforms_share_the_weight_and_hide_their_own_sites():
    other = Transcript("t2", Strand.PLUS, exons=((5, 44),), cds=((9, 12),))
    targets = targets_of_contig(encode(GENE_TEXT), [gene_of(GENE, other)])
    assert targets.region_weight[10] == 255  # both code
    assert targets.region_weight[34] == 128  # one of two
    assert targets.region_weight[20] == 255  # none codes
    assert targets.boundary_weight[13] == 255
    # The other isoform's stop codon is the chosen one's start codon here, which stays.
    assert targets.boundary[9] == Boundary.START_PLUS


def test_codon_table_tells_coding_from_random():
    rng = np.random.default_rng(1)
    codons = np.array([encode(c) for c in ("GAA", "GCT", "AAA", "CTC", "GGA", "TCT")])
    parts, regions = [], []
    for number in range(60):
        # Plus strand, minus strand, neither; always whole codons, so that every stretch begins in frame 0.
        codes = codons[rng.integers(0, 6, 100)].ravel()
        kind = number % 3
        if kind == 1:
            codes = reverse_complement(codes)
        if kind == 2:
            codes = rng.integers(0, 4, 300).astype(np.uint8)
        parts.append(codes)
        regions.append(np.full(300, (Region.CDS_0_PLUS, Region.CDS_0_MINUS, Region.INTERGENIC)[kind], np.uint8))
    codes, region = np.concatenate(parts), np.concatenate(regions)
    table = codon_table([(codes, region, np.full(codes.size, 255, np.uint8))])
    index = int("".join(str("ACGT".index(b)) for b in "GAAGCT"), 4)
    assert table[2, index] > 1000  # T ends GCT after GAA GC: e times likelier than by chance, at least
    assert table[0, index] < table[2, index]
    assert table.dtype == np.int16


def source_of(text: str, *genes: Gene, train=None) -> ClassSource:
    codes = encode(text)
    contig = LabelledContig(codes, targets_of_contig(codes, genes))
    return ClassSource("s", 1.0, {"c": contig}, train or (Stretch("c", 0, codes.size),), ())


@pytest.mark.parametrize("start", [-7, -3, -1, 0, 1, 2, 5])
def test_windows_rename_frames_by_where_they_start(start):
    source = source_of(GENE_TEXT, gene_of(GENE))
    window = cut(source.contigs["c"], start, 48, Stretch("c", 0, len(GENE_TEXT)))
    cds = np.isin(window.region, [4, 5, 6])
    for position in np.flatnonzero(cds):
        frame = int(window.region[position]) - 4
        # Coding parts are 9-13 (frame 0) and 33-41 (frame 2) on the contig.
        on_contig = 0 if position + start < 13 else 2
        assert (frame + start) % 3 == on_contig
    outside = np.arange(48) + start
    assert not window.region_weight[(outside < 0) | (outside >= len(GENE_TEXT))].any()
    assert (window.codes[(outside < 0) | (outside >= len(GENE_TEXT))] == 4).all()


def test_sampling_depends_on_seed_and_number_alone():
    text = "".join(np.random.default_rng(0).choice(list("ACGT"), 2000))
    source = source_of(text + GENE_TEXT + text, gene_of(Transcript("t", Strand.PLUS, ((2009, 2012),), ((2009, 2012),))))
    first = ClassSampler([source], AugmentRecipe(), seed=5).batch([3, 4], 96)
    again = ClassSampler([source], AugmentRecipe(), seed=5)
    again.batch([9], 96)
    second = again.batch([4], 96)
    assert np.array_equal(first.codes[1], second.codes[0])
    assert np.array_equal(first.region[1], second.region[0])
    other = ClassSampler([source], AugmentRecipe(), seed=6).batch([4], 96)
    assert not np.array_equal(first.codes[1], other.codes[0])


def test_windows_around_introns():
    text = "".join(np.random.default_rng(0).choice(list("ACGT"), 6000))
    source = source_of(text[:3000] + GENE_TEXT + text[3000:], gene_of(_moved(GENE, 3000)))
    sampler = ClassSampler([source], AugmentRecipe(centre_on_introns=1.0, truncate=0.0), seed=1)
    batch = sampler.batch(list(range(20)), 192)
    assert ((batch.boundary == Boundary.DONOR_PLUS) | (batch.boundary == Boundary.DONOR_MINUS)).any(dim=1).all()


def _moved(transcript: Transcript, by: int) -> Transcript:
    def moved(parts):
        return tuple((start + by, end + by) for start, end in parts)

    return Transcript(transcript.id, transcript.strand, moved(transcript.exons), moved(transcript.cds))
