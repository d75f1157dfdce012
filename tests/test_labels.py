"""Labels base by base on small genomes written out by hand, and on real data against an independent count."""

import gzip
import json
import os
import random
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from segnt_tools.commands.main import run
from segnt_tools.elements import SEGMENTNT_ELEMENTS
from segnt_tools.labels.aliases import ContigNames, read_aliases
from segnt_tools.labels.rules import LabelRules, SpliceSide, splice_sites
from segnt_tools.tracks.file import TracksReader

# One gene on each strand; the minus-strand gene mirrors the plus-strand one. Start codon ATG, stop TAA, introns GT-AG.
#            0         1         2         3         4
#            0123456789012345678901234567890123456789012345
PLUS_GENE = "CCCCATGAAGTCCCCCCCAGAACCCGTCCCCCCCAGTTAACCCCCC"
REVERSED = PLUS_GENE[::-1].translate(str.maketrans("ACGT", "TGCA"))
SIZE = len(PLUS_GENE)

# The CDS skips two exonic bases at the second exon (a frameshift), so that it is four whole codons.
EXONS = [(2, 9), (20, 25), (36, 43)]
CDS = [(4, 9), (20, 23), (36, 40)]


def write_genome(tmp_path: Path, **contigs: str) -> Path:
    path = tmp_path / "genome.fa"
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in contigs.items()))
    return path


def rows(kind: str, parts, attributes: str, strand: str = "+", contig: str = "c", phases=None) -> str:
    return "".join(
        f"{contig}\tx\t{kind}\t{start + 1}\t{end}\t.\t{strand}\t{phases[i] if phases else '.'}\t{attributes}\n"
        for i, (start, end) in enumerate(parts)
    )


def gff3_gene(exons=EXONS, cds=CDS, strand="+", name="g", contig="c", extra="") -> str:
    span = [(exons[0][0], exons[-1][1])]
    order = cds if strand == "+" else cds[::-1]
    phase, phases = 0, {}
    for start, end in order:
        phases[start] = phase
        phase = (phase - (end - start)) % 3
    return (
        rows("gene", span, f"ID={name};gene_biotype=protein_coding", strand, contig)
        + rows("mRNA", span, f"ID={name}.t;Parent={name}{extra}", strand, contig)
        + rows("exon", exons, f"Parent={name}.t", strand, contig)
        + rows("CDS", cds, f"ID={name}.c;Parent={name}.t", strand, contig, [phases[s] for s, _ in cds])
    )


def mirrored(parts, size=SIZE):
    return [(size - end, size - start) for start, end in reversed(parts)]


def labels(tmp_path: Path, genome: Path, *arguments: str, expect: int = 0) -> dict[str, str]:
    """Run segnt labels; each track of the first contig as a text of 0, 1 and x."""
    out = tmp_path / "labels.h5"
    assert run(["labels", "--genome", str(genome), "--out", str(out), "-q", *arguments]) == expect
    if expect:
        assert not out.exists()
        return {}
    with TracksReader(out) as reader:
        contig = reader.contigs[0]
        values = reader.values(contig.name, 0, contig.length)
        letters = np.full(256, "?")
        letters[[0, 1, 255]] = list("01x")
        return {track.name: "".join(letters[row]) for track, row in zip(reader.tracks, values, strict=True)}


def text(parts, size=SIZE) -> str:
    row = ["0"] * size
    for start, end in parts:
        row[start:end] = "1" * (end - start)
    return "".join(row)


EXPECTED = {
    "protein_coding_gene": [(2, 43)],
    "exon": EXONS,
    "intron": [(9, 20), (25, 36)],
    "splice_donor": [(8, 9), (24, 25)],
    "splice_acceptor": [(20, 21), (36, 37)],
    "5UTR": [(2, 4)],
    "3UTR": [(40, 43)],
}


def test_plus_strand(tmp_path):
    path = tmp_path / "a.gff3"
    path.write_text("##gff-version 3\n" + gff3_gene())
    got = labels(tmp_path, write_genome(tmp_path, c=PLUS_GENE), str(path), "--extended")
    assert list(got)[:14] == list(SEGMENTNT_ELEMENTS)
    for element, parts in EXPECTED.items():
        assert got[element] == text(parts), element
    assert got["CDS"] == text(CDS)
    assert got["start_codon"] == text([(4, 7)])
    assert set(got["CTCF-bound"]) == set(got["polyA_signal"]) == set(got["lncRNA"]) == {"x"}
    check_frames(got, CDS, "+")


def check_frames(got: dict[str, str], cds, strand: str) -> None:
    """Every whole codon inside one exon lies in the frame of its leftmost base; each coding base is in one frame."""
    spliced = [p for start, end in cds for p in range(start, end)]
    if strand == "-":
        spliced.reverse()
    for i in range(0, len(spliced) - 2, 3):
        codon = sorted(spliced[i : i + 3])
        if codon[2] - codon[0] == 2:
            assert all(got[f"CDS_frame_{codon[0] % 3}"][p] == "1" for p in codon)
    for p in spliced:
        assert [got[f"CDS_frame_{f}"][p] for f in range(3)].count("1") == 1


def test_minus_strand_mirrors_plus_strand(tmp_path):
    path = tmp_path / "a.gff3"
    path.write_text("##gff-version 3\n" + gff3_gene(mirrored(EXONS), mirrored(CDS), "-"))
    got = labels(tmp_path, write_genome(tmp_path, c=REVERSED), str(path), "--extended", "--stranded")
    for element, parts in EXPECTED.items():
        assert got[f"{element}-"] == text(mirrored(parts)), element
        assert got[f"{element}+"] == "0" * SIZE
    assert got["start_codon-"] == text(mirrored([(4, 7)]))
    check_frames({name.rstrip("-"): row for name, row in got.items()}, mirrored(CDS), "-")
    report = json.loads((tmp_path / "labels.json").read_text())
    assert report["introns"] == {"GT-AG": 2}
    assert report["rates"]["atg"] == 1.0


def test_gtf_gives_the_same_as_gff3(tmp_path):
    genome = write_genome(tmp_path, c=PLUS_GENE)
    gff3, gtf = tmp_path / "a.gff3", tmp_path / "a.gtf.gz"
    gff3.write_text("##gff-version 3\n" + gff3_gene())
    attributes = 'gene_id "g"; transcript_id "t"; gene_type "protein_coding"; level 2;'
    body = rows("gene", [(2, 43)], 'gene_id "g"; gene_type "protein_coding"; level 2;')
    body += (
        rows("transcript", [(2, 43)], attributes)
        + rows("exon", EXONS, attributes)
        + rows("CDS", [(4, 9), (20, 23), (36, 37)], attributes, phases=[0, 1, 1])
    )
    body += rows("stop_codon", [(37, 40)], attributes)
    gtf.write_bytes(gzip.compress(body.encode()))
    from_gff3 = labels(tmp_path, genome, str(gff3), "--extended")
    assert labels(tmp_path, genome, str(gtf), "--extended") == from_gff3


def test_pipes_give_the_same_as_files(tmp_path):
    starts = range(0, 300 * SIZE, SIZE)
    genome = write_genome(tmp_path, c=PLUS_GENE * len(starts))
    path = tmp_path / "a.gff3"
    genes = [
        gff3_gene([(a + i, b + i) for a, b in EXONS], [(a + i, b + i) for a, b in CDS], name=f"g{i}") for i in starts
    ]
    path.write_text("##gff-version 3\n" + "".join(genes))
    expected = labels(tmp_path, genome, str(path))
    pipes = []
    for content in (genome.read_bytes(), gzip.compress(path.read_bytes())):
        reading, writing = os.pipe()
        os.write(writing, content)  # it fits into the pipe
        os.close(writing)
        pipes.append(reading)
    piped_genome, piped_annotation = (f"/dev/fd/{number}" for number in pipes)
    assert labels(tmp_path, Path(piped_genome), piped_annotation) == expected
    for number in pipes:
        os.close(number)


def test_codons_that_introns_split(tmp_path):
    #           012345678901234567890123
    sequence = "CCATGTCCCAGGAAATAGTCCAGAACC"  # A|TG is split: AT + G, stop TA + A
    exons = [(1, 4), (11, 17), (23, 26)]
    cds = [(2, 4), (11, 17), (23, 24)]
    path = tmp_path / "a.gff3"
    path.write_text("##gff-version 3\n" + gff3_gene(exons, cds))
    got = labels(tmp_path, write_genome(tmp_path, c=sequence), str(path), "--extended")
    assert got["start_codon"] == text([(2, 4), (11, 12)], len(sequence))
    assert got["stop_codon"] == text([(15, 17), (23, 24)], len(sequence))


def test_isoforms_give_their_union(tmp_path):
    path = tmp_path / "a.gff3"
    second = rows("mRNA", [(2, 43)], "ID=u;Parent=g") + rows("exon", [(2, 9), (36, 43)], "Parent=u")
    path.write_text("##gff-version 3\n" + gff3_gene() + second)
    got = labels(tmp_path, write_genome(tmp_path, c=PLUS_GENE), str(path))
    assert got["exon"] == text(EXONS)
    assert got["intron"] == text([(9, 36)])
    assert got["splice_donor"] == text([(8, 9), (24, 25)])


@pytest.mark.parametrize("keep", [False, True])
def test_level_3_transcripts_are_dropped(tmp_path, keep):
    path = tmp_path / "a.gff3"
    path.write_text(
        "##gff-version 3\n" + gff3_gene(extra=";level=3") + gff3_gene([(0, 1)], [], name="h", extra=";level=1")
    )
    got = labels(tmp_path, write_genome(tmp_path, c=PLUS_GENE), str(path), *(["--keep-level-3"] if keep else []))
    assert got["exon"][2:] == (text(EXONS)[2:] if keep else "0" * (SIZE - 2))


@pytest.mark.parametrize(
    ("side", "width", "left", "right"),
    [
        (SpliceSide.EXON, 1, [(8, 9)], [(20, 21)]),
        (SpliceSide.EXON, 3, [(6, 9)], [(20, 23)]),
        (SpliceSide.INTRON, 2, [(9, 11)], [(18, 20)]),
        (SpliceSide.BOTH, 2, [(7, 11)], [(18, 22)]),
    ],
)
def test_sides_and_widths_of_splice_sites(side, width, left, right):
    rules = LabelRules(splice_side=side, splice_width=width)
    assert splice_sites([(2, 9), (20, 25)], rules) == (left, right)


def hisat2_sites(exons) -> set[tuple[int, int]]:
    """What HISAT2's script is described to do: drop exons with left >= right, merge gaps of at most 5, list junctions.

    Exons are 1-based and inclusive, as in the GTF the script reads; the result is 0-based.
    """
    kept = sorted([left, right] for left, right in exons if left < right)
    merged = kept[:1]
    for left, right in kept[1:]:
        if left - merged[-1][1] <= 5:
            merged[-1][1] = right
        else:
            merged.append([left, right])
    return {(a[1] - 1, b[0] - 1) for a, b in pairwise(merged)}


@pytest.mark.parametrize("seed", range(30))
def test_splice_sites_follow_hisat2(seed):
    draw = random.Random(seed)
    ends = sorted(draw.sample(range(1, 80), 2 * draw.randint(1, 8)))
    exons = list(zip(ends[::2], ends[1::2], strict=True))
    left, right = splice_sites([(a - 1, b) for a, b in exons], LabelRules())
    assert {(a, b) for (a, _), (b, _) in zip(left, right, strict=True)} == {(a, b) for a, b in hisat2_sites(exons)}


def test_cds_only_annotation_masks_what_it_cannot_know(tmp_path):
    path = tmp_path / "a.gff3"
    path.write_text(
        "##gff-version 3\n"
        + rows("gene", [(10, 30)], "ID=g;gene_biotype=protein_coding")
        + rows("mRNA", [(10, 30)], "ID=t;Parent=g")
        + rows("CDS", [(10, 16), (24, 30)], "ID=c;Parent=t", phases=[0, 0])
    )
    got = labels(tmp_path, write_genome(tmp_path, c=PLUS_GENE), str(path), "--extended", "--unknown-flank", "5")
    outside = "0" * 5 + "x" * 5 + "{}" + "x" * 5 + "0" * 11
    assert got["exon"] == outside.format("1" * 6 + "0" * 8 + "1" * 6)
    assert got["intron"] == outside.format("0" * 6 + "1" * 8 + "0" * 6)
    assert got["protein_coding_gene"] == outside.format("1" * 20)
    assert set(got["5UTR"]) == set(got["3UTR"]) == {"x"}
    assert got["CDS"] == text([(10, 16), (24, 30)])


def test_contigs_that_no_file_mentions_are_masked(tmp_path):
    path = tmp_path / "a.gff3"
    path.write_text("##gff-version 3\n##sequence-region e 1 9\n" + gff3_gene(contig="c"))
    genome = write_genome(tmp_path, d="ACGTACGT", c=PLUS_GENE, e="ACGTACGTA")
    got = labels(tmp_path, genome, str(path))  # of contig d
    assert set(got["exon"]) == {"x"}
    with TracksReader(tmp_path / "labels.h5") as reader:
        row = reader.index("exon")
        assert set(reader.values("e", 0, 9)[row].tolist()) == {0}  # announced and empty: nothing is there


def test_runs_of_n_are_masked_where_nothing_is_known_to_be(tmp_path):
    path = tmp_path / "a.gff3"
    path.write_text("##gff-version 3\n" + gff3_gene())
    sequence = PLUS_GENE[:12] + "NNNN" + PLUS_GENE[16:]
    got = labels(tmp_path, write_genome(tmp_path, c=sequence), str(path))
    assert got["exon"][9:20] == "000xxxx0000"
    assert got["intron"][9:20] == "1" * 11


LOOSE = (
    rows("gene", [(2, 43)], "gene_name=G;gene_type=protein_coding;level=2")
    + rows("transcript", [(2, 43)], "gene_name=G;gene_type=protein_coding;level=2")
    + rows("transcript", [(2, 25)], "gene_name=G;gene_type=protein_coding;level=2")
    + rows("exon", EXONS, "gene_name=G;gene_type=protein_coding;level=2")
    + rows("exon", [(11, 13)], "gene_name=G;gene_type=protein_coding;level=3")
    + rows("CDS", CDS, "gene_name=G;gene_type=protein_coding;level=2")
    + rows("UTR", [(2, 4), (40, 43), (23, 25)], "gene_name=G;gene_type=protein_coding;level=2")
)


def test_rows_without_transcripts_keep_what_is_certain(tmp_path):
    path = tmp_path / "a.gff3"
    path.write_text("##gff-version 3\n" + LOOSE)
    got = labels(tmp_path, write_genome(tmp_path, c=PLUS_GENE), str(path), "--extended")
    assert got["exon"] == text(EXONS)
    assert got["intron"].replace("x", "0") == text([(9, 20), (25, 36)])
    assert got["intron"][2:9] == "x" * 7  # could be an intron of the other isoform
    assert got["splice_donor"].replace("x", "0") == text([(8, 9)])
    assert got["splice_donor"][24] == "x"  # the end of an exon and of a transcript
    assert got["splice_acceptor"] == text([(20, 21), (36, 37)])[:2] + "x" + text([(20, 21), (36, 37)])[3:]
    assert got["5UTR"] == text([(2, 4)])[:23] + "xx" + "0" * 21
    assert got["3UTR"][40:43] == "111"


def test_polya_file(tmp_path):
    genes, polya = tmp_path / "a.gff3", tmp_path / "polyas.gtf"
    genes.write_text("##gff-version 3\n" + gff3_gene())
    attributes = 'gene_id "1"; transcript_id "1"; gene_type "polyA_signal"; level 2;'
    polya.write_text(rows("polyA_signal", [(41, 45)], attributes) + rows("polyA_site", [(45, 46)], attributes))
    got = labels(tmp_path, write_genome(tmp_path, c=PLUS_GENE), str(genes), str(polya))
    assert got["polyA_signal"] == text([(41, 45)])
    assert got["exon"] == text(EXONS)


CCRES = (
    "chr1\t0\t5\tEH38E1\t0\t.\t0\t5\t1,2,3\tPLS,CTCF-bound\n"
    "chr1\t10\t15\tEH38E2\t0\t.\t0\t5\t1,2,3\tdELS\n"
    "chr1\t16\t20\tEH38E3\t0\t.\t0\t5\t1,2,3\tpELS,CTCF-bound\n"
    "chr1\t30\t33\tEH38E4\t0\t.\t0\t5\t1,2,3\tCTCF-only,CTCF-bound\n"
    "chr1\t35\t36\tEH38E5\t0\t.\t0\t5\t1,2,3\tDNase-H3K4me3\n"
)
DHS = (
    "seqname\tstart\tend\tidentifier\tcomponent\n"
    "chr1\t14\t16\tA\tTissue invariant\n"
    "chr1\t18\t19\tB\tCardiac\n"
    "chr1\t4\t7\tC\tTissue invariant\n"
)


def test_ccres_and_dhs(tmp_path):
    ccre, dhs = tmp_path / "ccre.bed", tmp_path / "dhs.tsv"
    ccre.write_text(CCRES)
    dhs.write_text(DHS)
    genome = write_genome(tmp_path, **{"1": PLUS_GENE})  # chr1 in the files
    got = labels(tmp_path, genome, "--ccre", str(ccre), "--dhs", str(dhs))
    assert got["promoter_Tissue_invariant"] == text([(0, 5)])
    assert got["promoter_Tissue_specific"] == "0" * SIZE
    assert got["enhancer_Tissue_invariant"] == text([(10, 15)])  # 16-20 only touches the invariant site
    assert got["enhancer_Tissue_specific"] == text([(16, 20)])
    assert got["CTCF-bound"] == text([(0, 5), (16, 20), (30, 33)])
    assert labels(tmp_path, genome, "--ccre", str(ccre), "--ctcf-only")["CTCF-bound"] == text([(30, 33)])
    without = labels(tmp_path, genome, "--ccre", str(ccre))
    assert without["enhancer_Tissue_specific"] == text([(10, 15), (16, 20)]).replace("1", "x")


def test_a_file_of_one_class_of_ccres_says_nothing_of_the_others(tmp_path):
    enhancers, promoters, dhs = tmp_path / "dELS.bed", tmp_path / "PLS.bed", tmp_path / "dhs.tsv"
    lines = CCRES.splitlines(keepends=True)
    enhancers.write_text(lines[1])
    promoters.write_text(lines[0])
    dhs.write_text(DHS)
    genome = write_genome(tmp_path, **{"1": PLUS_GENE})
    got = labels(tmp_path, genome, "--ccre", str(enhancers), "--dhs", str(dhs))
    assert got["enhancer_Tissue_invariant"] == text([(10, 15)])
    assert set(got["promoter_Tissue_invariant"]) == set(got["CTCF-bound"]) == {"x"}
    both = labels(tmp_path, genome, "--ccre", str(enhancers), "--ccre", str(promoters), "--dhs", str(dhs))
    assert both["promoter_Tissue_invariant"] == both["CTCF-bound"] == text([(0, 5)])
    assert both["enhancer_Tissue_invariant"] == text([(10, 15)])


def test_any_bed_as_any_element(tmp_path):
    bed = tmp_path / "b.bed"
    bed.write_text("c\t1\t3\tCTCF\nc\t5\t7\tCpG\n")
    genome = write_genome(tmp_path, c=PLUS_GENE)
    got = labels(tmp_path, genome, "--bed", f"CTCF-bound={bed}#CTCF", "--bed", f"island={bed}#CpG")
    assert got["CTCF-bound"] == text([(1, 3)])
    assert got["island"] == text([(5, 7)])
    assert len(got) == 15


def test_contig_names(tmp_path):
    names = ContigNames(["chr1", "chrM", "chrX", "scaf"], [["NC_1.1", "chrX", "X!"]])
    assert [names.find(n) for n in ("1", "CHR1", "MT", "NC_1.1", "X!", "x", "scaf", "2")] == [
        "chr1", "chr1", "chrM", "chrX", "chrX", "chrX", "scaf", None,
    ]  # fmt: skip
    assert ContigNames(["chr1", "Chr1"]).find("1") is None
    table = tmp_path / "aliases.tsv"
    table.write_text("# comment\nchr1\tNC_000001.11\t1\nother\tthing\n")
    assert read_aliases(table, {"chr1": 5}) == [["chr1", "NC_000001.11", "1"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.gff3", "##gff-version 3\n" + gff3_gene(contig="zz"), "the genome has no sequence zz"),
        ("a.gff3", "##gff-version 3\n" + gff3_gene([(2, 9), (20, 60)], CDS), "line 2: the row ends at 60"),
        ("a.gtf", rows("exon", EXONS, 'transcript_id "t";'), "without gene_id"),
        ("a.gtf", rows("exon", EXONS, 'name "t";'), "column 9"),
        ("a.gff3", "##gff-version 3\n" + rows("repeat", EXONS, "ID=r"), "no gene model"),
        ("a.gff3", "##gff-version 3\nc\tx\tgene\t5\t3\t.\t+\t.\tID=g\n", "line 2"),
        ("a.gff3", "", "no feature"),
    ],
)
def test_bad_annotation_is_refused(tmp_path, capsys, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    labels(tmp_path, write_genome(tmp_path, c=PLUS_GENE), str(path), expect=2)
    assert message in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "genome.fa"])


@pytest.mark.parametrize(
    ("option", "content", "message"),
    [
        ("--ccre={}", "c\t1\t4\tx\n", "no column holds a class"),
        ("--bed=exon={}", "c\t1\t99\n", "ends at 99"),
        ("--bed=exon={}#nobody", "c\t1\t9\tsomebody\n", "no row is named 'nobody'"),
        ("--bed={}", "c\t1\t9\n", "write ELEMENT=FILE"),
        ("--dhs={}", "a\tb\n", "--ccre or --bed"),
        ("--bed=exon=missing.bed", "", "no such file"),
    ],
)
def test_bad_regulatory_files_are_refused(tmp_path, capsys, option, content, message):
    path = tmp_path / "b.bed"
    path.write_text(content)
    labels(tmp_path, write_genome(tmp_path, c=PLUS_GENE), option.format(path), expect=2)
    assert message in capsys.readouterr().err


def test_an_element_that_nobody_knows_is_refused(tmp_path, capsys):
    path, bed = tmp_path / "a.gff3", tmp_path / "b.bed"
    path.write_text("##gff-version 3\n" + gff3_gene() + rows("region", [(1, 3)], "ID=r;element=loop"))
    bed.write_text("c\t1\t3\n")
    genome = write_genome(tmp_path, c=PLUS_GENE)
    labels(tmp_path, genome, str(path), "--elements", "exom,intron", expect=2)
    assert "no file speaks of an element exom. Nearest known: exon" in capsys.readouterr().err
    got = labels(tmp_path, genome, str(path), f"--bed=island={bed}", "--elements", "exon,island,loop,stop_codon")
    assert got["island"] == got["loop"] == text([(1, 3)])


def test_missing_contigs_can_be_passed_over(tmp_path):
    path = tmp_path / "a.gff3"
    path.write_text("##gff-version 3\n" + gff3_gene() + gff3_gene(contig="zz", name="h"))
    got = labels(tmp_path, write_genome(tmp_path, c=PLUS_GENE), str(path), "--ignore-missing-contigs")
    assert got["exon"] == text(EXONS)
    rejected = json.loads((tmp_path / "labels.json").read_text())["rejected"]
    assert rejected["contigs that the genome lacks"] == {"zz": 8}


def test_contigs_in_any_order_of_rows(tmp_path):
    both = gff3_gene(name="g", contig="c").splitlines() + gff3_gene(name="h", contig="d").splitlines()
    genome = write_genome(tmp_path, c=PLUS_GENE, d=PLUS_GENE)
    path = tmp_path / "a.gff3"
    path.write_text("##gff-version 3\n" + "\n".join(both) + "\n")
    ordered = labels(tmp_path, genome, str(path), "--extended")
    random.Random(1).shuffle(both)
    path.write_text("##gff-version 3\n" + "\n".join(both) + "\n")
    assert labels(tmp_path, genome, str(path), "--extended") == ordered


def positions_of(path: Path, kinds: set[str], first: int, last: int) -> dict[str, set[int]]:
    """Bases under rows of a type, straight from the lines of a file."""
    found: dict[str, set[int]] = defaultdict(set)
    with gzip.open(path, "rt") as handle:
        for line in handle:
            fields = line.split("\t")
            if len(fields) == 9 and fields[2] in kinds:
                start, end = max(int(fields[3]) - 1, first), min(int(fields[4]), last)
                found[fields[2]].update(range(start, end))
    return found


@pytest.mark.slow
def test_arabidopsis_against_its_rows(genomes, tmp_path):
    folder = genomes / "arabidopsis_thaliana_chr1"
    out = tmp_path / "labels.h5"
    arguments = ["labels", str(folder / "annotation.gff3.gz"), "--genome", str(folder / "genome.fa.gz")]
    assert run([*arguments, "--out", str(out), "--extended", "-q"]) == 0
    first, last = 29_000_000, 29_100_000
    rows_of = positions_of(folder / "annotation.gff3.gz", {"exon", "CDS"}, first, last)
    with TracksReader(out) as reader:
        values = dict(zip([t.name for t in reader.tracks], reader.values("NC_003070.9", first, last), strict=True))
    for kind in ("exon", "CDS"):
        assert set((np.flatnonzero(values[kind] == 1) + first).tolist()) == rows_of[kind]
    utrs = (values["5UTR"] == 1) | (values["3UTR"] == 1)
    only_exon = (values["exon"] == 1) & (values["CDS"] != 1)
    assert np.all(only_exon[utrs & (values["CDS"] != 1)])
    report = json.loads(out.with_suffix(".json").read_text())
    # The annotation's own quality (spec: data.md): ATG .999, stop .9995, frame .999, GT-AG .986 and GC-AG .012.
    assert report["rates"]["atg"] > 0.998
    assert report["rates"]["stop"] > 0.999
    assert report["rates"]["frame"] > 0.998
    assert report["rates"]["gt_ag"] == pytest.approx(0.986, abs=2e-3)
    assert report["rates"]["gc_ag"] == pytest.approx(0.012, abs=2e-3)


def test_human_regulatory_elements_against_their_rows(genomes, tmp_path):
    folder = genomes / "human_hg19_regions"
    beds = {
        "CTCF-bound": ("ctcf_cpg_repeats.bed.gz", "CTCF"),
        "enhancer_Tissue_specific": ("regulatory.bed.gz", "enhancer"),
    }
    out = tmp_path / "labels.h5"
    options = [f"--bed={element}={folder / file}#{name}" for element, (file, name) in beds.items()]
    arguments = ["labels", str(folder / "annotation.gff3.gz"), "--genome", str(folder / "genome.fa.gz"), *options]
    assert run([*arguments, "--out", str(out), "-q"]) == 0
    tracks = json.loads(out.with_suffix(".json").read_text())["tracks"]
    assert list(tracks) == list(SEGMENTNT_ELEMENTS)
    for element, (file, name) in beds.items():
        with gzip.open(folder / file, "rt") as handle:
            fields = [line.split("\t") for line in handle]
        covered = {(row[0], p) for row in fields if row[3].strip() == name for p in range(int(row[1]), int(row[2]))}
        assert tracks[element]["bases"] == len(covered)
    with TracksReader(out) as reader:  # chr5 has no regulatory rows, so nothing is known of it
        values = reader.values("chr5_124000000_126000000", 0, 1000, [reader.index("enhancer_Tissue_specific")])
        assert set(values.ravel().tolist()) == {255}


# Made by hand, in the exact layout of the published files: GENCODE's polyA GTF; the registry of cCREs as UCSC's
# encodeCcreCombined prints (version 2) and as SCREEN's download (version 3); the DHS index of Meuleman et al. 2020.
MADE_POLYA = """##description: evidence-based annotation of the human genome (GRCh38), made by hand
##provider: GENCODE
chr9\tHAVANA\tpolyA_signal\t73000\t73005\t.\t+\t.\tgene_id "1"; transcript_id "1"; gene_type "polyA_signal"; level 2;
chr9\tHAVANA\tpolyA_site\t73020\t73021\t.\t+\t.\tgene_id "2"; transcript_id "2"; gene_type "polyA_site"; level 2;
chr9\tHAVANA\tpseudo_polyA\t74020\t74025\t.\t-\t.\tgene_id "3"; transcript_id "3"; gene_type "pseudo_polyA"; level 2;
chr9\tENSEMBL\tpolyA_signal\t500001\t500006\t.\t-\t.\tgene_id "4"; transcript_id "4"; gene_type "polyA_signal"; level 2;
"""
MADE_CCRES_V2 = (
    "chr9\t50000\t50300\tEH38E0000001\t300\t.\t50000\t50300\t255,0,0\tPLS,CTCF-bound\tPLS\t3.0\tprom\tE0000001\tx\n"
    "chr9\t60000\t60200\tEH38E0000002\t250\t.\t60000\t60200\t255,205,0\tdELS\tdELS\t2.5\tenhD\tE0000002\tx\n"
)
MADE_CCRES_V3 = (
    "chr9\t70000\t70350\tEH38D0000003\tEH38E0000003\tPLS\n"
    "chr9\t80000\t80150\tEH38D0000004\tEH38E0000004\tpELS,CTCF-bound\n"
    "chr9\t90000\t90180\tEH38D0000005\tEH38E0000005\tCTCF-only,CTCF-bound\n"
    "chr9\t95000\t95200\tEH38D0000006\tEH38E0000006\tDNase-H3K4me3\n"
)
MADE_DHS = (
    "seqname\tstart\tend\tidentifier\tmean_signal\tnumsamples\tsummit\tcore_start\tcore_end\tcomponent\n"
    "chr9\t50100\t50250\t9.1\t0.5\t700\t50170\t50150\t50190\tTissue invariant\n"
    "chr9\t60050\t60150\t9.2\t0.2\t2\t60100\t60090\t60110\tLymphoid\n"
    "chr9\t80149\t80300\t9.3\t0.9\t733\t80200\t80190\t80210\tTissue invariant\n"
)


def test_all_fourteen_elements_of_a_human_region(genomes, tmp_path):
    """Real sequence and GENCODE genes of chr9:1-1,000,000; the files that are not at hand are made by hand."""
    folder = genomes / "human_hg38_regions"
    files = {"polyAs.gtf.gz": MADE_POLYA, "ccre_v2.bed": MADE_CCRES_V2, "ccre_v3.bed.gz": MADE_CCRES_V3}
    files |= {"DHS_Index.txt.gz": MADE_DHS, "aliases.tsv": "chr9_1_1000000\tchr9\n"}
    for name, content in files.items():
        data = content.encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    annotations = [str(folder / "annotation.gff3.gz"), str(tmp_path / "polyAs.gtf.gz")]
    options = ["--ccre", str(tmp_path / "ccre_v2.bed"), "--ccre", str(tmp_path / "ccre_v3.bed.gz")]
    options += ["--dhs", str(tmp_path / "DHS_Index.txt.gz"), "--aliases", str(tmp_path / "aliases.tsv")]
    out = tmp_path / "labels.h5"
    arguments = ["labels", *annotations, "--genome", str(folder / "genome.fa.gz"), *options]
    assert run([*arguments, "--out", str(out), "-q"]) == 0
    bases: dict[str, int] = {}
    with TracksReader(out) as reader:
        values = reader.values("chr9_1_1000000", 0, 1_000_000)
        for track, row in zip(reader.tracks, values, strict=True):
            assert np.any(row == 0), track.name
            bases[track.name] = int((row == 1).sum())
        polya = np.flatnonzero(values[reader.index("polyA_signal")] == 1)
        invariant = reader.values("chr22_32000001_32300000", 0, 300_000, [reader.index("promoter_Tissue_invariant")])
    assert list(bases) == list(SEGMENTNT_ELEMENTS)
    assert all(bases.values())
    assert polya.tolist() == [*range(72_999, 73_005), *range(500_000, 500_006)]
    regulatory = {"promoter_Tissue_invariant": 300, "promoter_Tissue_specific": 350, "enhancer_Tissue_specific": 200}
    regulatory |= {"enhancer_Tissue_invariant": 150, "CTCF-bound": 300 + 150 + 180}
    assert {name: bases[name] for name in regulatory} == regulatory
    assert np.all(invariant == 255)  # the hand-made files say nothing of chr22


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("plasmodium_falciparum_chr1-10", {"atg": 0.988, "stop": 0.997, "frame": 0.998}),
        ("human_hg38_regions", {"atg": 1.0}),
        ("human_hg19_regions", {"atg": 1.0}),
    ],
)
def test_sanity_rates_of_real_annotations(genomes, tmp_path, name, rates):
    folder = genomes / name
    out = tmp_path / "labels.h5"
    arguments = ["labels", str(folder / "annotation.gff3.gz"), "--genome", str(folder / "genome.fa.gz")]
    assert run([*arguments, "--out", str(out), "-q"]) == 0
    found = json.loads(out.with_suffix(".json").read_text())["rates"]
    for rate, expected in rates.items():
        assert found[rate] == pytest.approx(expected, abs=1.5e-3)
