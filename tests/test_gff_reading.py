"""Reading GFF3 and GTF: dialects, odd lines, and the gene models assembled from what other tools write."""

import gzip
from pathlib import Path

import pytest
from gff_helpers import gff, gtf, manifest_rows, write

from segnt_tools.elements import Strand
from segnt_tools.errors import AnnotationFileError, SegntError
from segnt_tools.gff.reading import ReadReport, read_features, read_genes
from segnt_tools.gff.types import GeneClass, gene_class

GENE = [
    "gene 1 100 + . ID=g1;Name=one",
    "mRNA 1 100 + . ID=t1;Parent=g1",
    "exon 1 40 + . Parent=t1",
    "exon 61 100 + . Parent=t1",
    "CDS 11 40 + 0 ID=c1;Parent=t1",
    "CDS 61 90 + 0 ID=c1;Parent=t1",
]


def genes_of(path: Path, lengths=None):
    report = ReadReport()
    return read_genes(path, lengths, report), report


def test_a_gene_with_all_levels(tmp_path):
    (gene,), report = genes_of(gff(tmp_path, *GENE))
    (transcript,) = gene.transcripts
    assert (gene.id, gene.contig, gene.strand, gene.start, gene.end) == ("g1", "ctg", Strand.PLUS, 0, 100)
    assert gene.attributes == {"Name": ("one",)}
    assert transcript.exons == ((0, 40), (60, 100))
    assert transcript.cds == ((10, 40), (60, 90))
    assert not report.dropped
    assert not report.noted


def test_order_of_rows_does_not_matter(tmp_path):
    forward, _ = genes_of(gff(tmp_path, *GENE))
    backward, _ = genes_of(gff(tmp_path, *reversed(GENE), name="backward.gff3"))
    assert forward == backward


@pytest.mark.parametrize(
    ("rows", "exons"),
    [
        (["CDS 11 40 + 0 ID=c;Parent=t1", "CDS 61 90 + 0 ID=c;Parent=t1"], ((10, 40), (60, 90))),
        (
            [
                "five_prime_UTR 1 10 + . Parent=t1",
                "CDS 11 40 + 0 ID=c;Parent=t1",
                "CDS 61 90 + 0 ID=c;Parent=t1",
                "three_prime_UTR 91 100 + . Parent=t1",
            ],
            ((0, 40), (60, 100)),
        ),
    ],
    ids=["CDS only", "UTR rows"],
)
def test_exons_are_made_where_the_file_has_none(tmp_path, rows, exons):
    (gene,), report = genes_of(gff(tmp_path, *GENE[:2], *rows))
    assert gene.transcripts[0].exons == exons
    assert not report.dropped


def test_mrna_without_gene_gets_one(tmp_path):
    (gene,), _ = genes_of(gff(tmp_path, "mRNA 1 100 - . ID=t1", "CDS 11 40 - 0 Parent=t1"))
    assert (gene.id, gene.type, gene.transcripts[0].id) == ("t1", "gene", "t1")


def test_two_mrnas_of_a_missing_gene_share_it_and_it_is_noted(tmp_path):
    rows = [f"{kind} 1 30 + {phase} {at}" for kind, phase, at in (
        ("mRNA", ".", "ID=a;Parent=lost"), ("mRNA", ".", "ID=b;Parent=lost"),
        ("CDS", "0", "Parent=a"), ("CDS", "0", "Parent=b"))]  # fmt: skip
    (gene,), report = genes_of(gff(tmp_path, *rows))
    assert (gene.id, [one.id for one in gene.transcripts]) == ("lost", ["a", "b"])
    assert report.noted["Parent is nowhere in the file"].count == 2


def test_parts_right_below_a_gene(tmp_path):
    (gene,), _ = genes_of(gff(tmp_path, "gene 1 90 + . ID=g", "exon 1 90 + . Parent=g", "CDS 1 90 + 0 ID=c;Parent=g"))
    assert [(one.id, one.type, one.cds) for one in gene.transcripts] == [("g.t1", "mRNA", ((0, 90),))]


def test_pseudogene_keeps_its_type(tmp_path):
    (gene,), _ = genes_of(gff(tmp_path, "pseudogene 1 90 + . ID=g", "exon 1 90 + . Parent=g"))
    assert (gene.type, gene.transcripts[0].type) == ("pseudogene", "pseudogenic_transcript")
    assert gene_class(gene) is GeneClass.PSEUDOGENE


def test_helixer_gives_each_coding_part_its_own_id(tmp_path):
    rows = [*GENE[:4], "CDS 11 40 + 0 ID=t1.CDS.1;Parent=t1", "CDS 61 90 + 0 ID=t1.CDS.2;Parent=t1"]
    (gene,), _ = genes_of(gff(tmp_path, *rows))
    assert gene.transcripts[0].cds == ((10, 40), (60, 90))


def test_two_cds_of_one_transcript_keep_the_longer_and_count_the_other(tmp_path):
    (gene,), report = genes_of(gff(tmp_path, *GENE, "CDS 21 40 + 0 ID=c2;Parent=t1", "CDS 61 90 + 1 ID=c2;Parent=t1"))
    assert gene.transcripts[0].cds == ((10, 40), (60, 90))
    assert report.dropped["further CDS of the same transcript"].count == 2


def test_cds_without_parent_is_a_gene_of_its_own(tmp_path):
    genes, _ = genes_of(gff(tmp_path, "CDS 1 30 + 0 ID=a", "CDS 41 70 + 0 ID=a", "CDS 101 130 - 0 ID=b"))
    assert [(gene.id, gene.transcripts[0].cds) for gene in genes] == [
        ("a", ((0, 30), (40, 70))),
        ("b", ((100, 130),)),
    ]


def test_partial_ends_follow_the_strand(tmp_path):
    rows = [
        "gene 1 100 - . ID=g;partial=true;start_range=.,1",
        "mRNA 1 100 - . ID=t;Parent=g;partial=true;start_range=.,1",
        "exon 1 100 - . Parent=t",
        "CDS 1 100 - 0 ID=c;Parent=t",
    ]
    (gene,), _ = genes_of(gff(tmp_path, *rows))
    assert (gene.transcripts[0].partial_5, gene.transcripts[0].partial_3) == (False, True)
    assert "partial" not in gene.attributes


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([*GENE[:3], "exon 31 100 + . Parent=t1"], "transcript: exons overlap"),
        ([*GENE[:4], "CDS 35 90 + 0 ID=c;Parent=t1"], "transcript: CDS outside its exons"),
        ([*GENE[:3], "exon 61 100 - . Parent=t1"], "transcript: parts on both strands"),
        (["gene 1 9 . . ID=g", "exon 1 9 . . Parent=g"], "transcript: no strand"),
        ([*GENE[:2], "exon 1 40 + . Parent=elsewhere"], "Parent is nowhere in the file"),
        (
            ["gene 1 9 - . ID=g", "mRNA 1 9 + . ID=t;Parent=g", "exon 1 9 + . Parent=t"],
            "transcript: strand differs from its gene's",
        ),
        (["exon 1 9 + . ID=e"], "exon without Parent"),
        (["CDS 1 9 + 0 Note=x"], "CDS without ID or Parent"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_model_is_counted_with_its_line(tmp_path, rows, reason):
    genes, report = genes_of(gff(tmp_path, *rows))
    assert genes == []
    assert report.dropped[reason].count == 1
    assert report.dropped[reason].line >= 2


def test_bare_genes_are_kept_apart(tmp_path):
    genes, report = genes_of(gff(tmp_path, "pseudogene 1 90 + . ID=g", "mRNA 1 90 + . Note=x", "region 1 90 + . ID=r"))
    assert genes == []
    assert [one.type for one in report.bare] == ["mRNA", "pseudogene"]
    assert report.other == {"region": 1}


def test_a_feature_that_is_its_own_ancestor_is_refused(tmp_path):
    with pytest.raises(AnnotationFileError, match="own ancestor"):
        genes_of(gff(tmp_path, "gene 1 9 + . ID=g;Parent=g"))
    with pytest.raises(AnnotationFileError, match=r"line 3: .* own ancestor"):
        genes_of(gff(tmp_path, "gene 1 9 + . ID=g;Parent=t", "mRNA 1 9 + . ID=t;Parent=g", "exon 1 9 + . Parent=t"))


def test_gene_and_transcript_with_one_id_are_told_apart(tmp_path):
    (gene,), _ = genes_of(gff(tmp_path, "gene 1 9 + . ID=x", "mRNA 1 9 + . ID=x;Parent=x", "CDS 1 9 + 0 Parent=x"))
    assert (gene.id, gene.transcripts[0].id, gene.transcripts[0].type) == ("x", "x", "mRNA")


def test_one_id_on_two_contigs_stays_two_genes(tmp_path):
    rows = ["gene 1 9 + . ID=g", "mRNA 1 9 + . ID=t;Parent=g", "CDS 1 9 + 0 Parent=t"]
    text = gff(tmp_path, *rows).read_text()
    path = write(tmp_path, "two.gff3", text + text.replace("ctg\t", "other\t").replace("##gff-version 3\n", ""))
    genes, _ = genes_of(path)
    assert [(gene.contig, gene.end) for gene in genes] == [("ctg", 9), ("other", 9)]


def test_contigs_that_the_genome_lacks(tmp_path):
    path = gff(tmp_path, *GENE)
    genes, report = genes_of(path, {"other": 100, "ctg": 50})
    assert genes == []
    assert report.dropped["transcript: runs past the end of its sequence"].count == 1
    with pytest.raises(AnnotationFileError, match="none of its sequences"):
        genes_of(path, {"other": 100})


def test_genes_come_in_the_order_of_the_genome(tmp_path):
    rows = ["gene 50 59 + . ID=b", "CDS 50 58 + 0 Parent=b", "gene 1 9 + . ID=a", "CDS 1 9 + 0 Parent=a"]
    text = gff(tmp_path, *rows).read_text()
    path = write(tmp_path, "two.gff3", text + text.replace("ctg\t", "first\t").replace("##gff-version 3\n", ""))
    genes, _ = genes_of(path, {"first": 100, "ctg": 100})
    assert [(gene.contig, gene.id) for gene in genes] == [("first", "a"), ("first", "b"), ("ctg", "a"), ("ctg", "b")]


# --- GTF


def test_gtf_stop_codon_is_joined(tmp_path):
    (gene,), report = genes_of(
        gtf(tmp_path, "exon 1 40 + . t1", "exon 61 100 + . t1", "CDS 11 40 + 0 t1", "CDS 61 87 + 0 t1",
            "stop_codon 88 90 + 0 t1")
    )  # fmt: skip
    assert gene.transcripts[0].cds == ((10, 40), (60, 90))
    assert not report.dropped


@pytest.mark.parametrize("strand", ["+", "-"])
def test_gtf_stop_codon_split_by_an_intron(tmp_path, strand):
    rows = ["exon 1 40 S . t1", "exon 61 100 S . t1"]
    rows += (
        ["CDS 11 38 + 0 t1", "stop_codon 39 40 + 0 t1", "stop_codon 61 61 + 1 t1"]
        if strand == "+"
        else ["CDS 63 90 - 0 t1", "stop_codon 61 62 - 0 t1", "stop_codon 40 40 - 1 t1"]
    )
    (gene,), report = genes_of(gtf(tmp_path, *(row.replace(" S ", f" {strand} ") for row in rows)))
    expected = ((10, 40), (60, 61)) if strand == "+" else ((39, 40), (60, 90))
    assert gene.transcripts[0].cds == expected
    assert not report.dropped


def test_gtf_stop_codon_far_away_is_counted(tmp_path):
    _, report = genes_of(gtf(tmp_path, "exon 1 100 + . t1", "CDS 11 40 + 0 t1", "stop_codon 50 52 + 0 t1"))
    assert report.dropped["stop_codon that is not beside the CDS"].count == 1


def test_gtf_transcripts_of_one_gene(tmp_path):
    (gene,), _ = genes_of(gtf(tmp_path, "exon 1 40 + . t1", "exon 1 60 + . t2"))
    assert [one.exons for one in gene.transcripts] == [((0, 40),), ((0, 60),)]


def test_gtf_values(tmp_path):
    line = 'ctg\ts\texon\t1\t9\t.\t+\t.\t gene_id "g;1"; transcript_id "t"; level 2; tag "a"; tag "b"; empty "";\n'
    (feature,) = read_features(write(tmp_path, "a.gtf", line))
    assert feature.attributes == {
        "gene_id": ("g;1",), "transcript_id": ("t",), "level": ("2",), "tag": ("a", "b"), "empty": ("",),
    }  # fmt: skip


# --- files


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_ends_and_byte_order_mark(tmp_path, ending):
    text = "##gff-version 3\nctg\t.\tgene\t1\t9\t.\t+\t.\tID=g\n".replace("\n", ending)
    path = tmp_path / "a.gff3"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    (feature,) = read_features(path)
    assert (feature.id, feature.line) == ("g", 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no feature"),
        ("ctg\t.\tgene".encode("utf-16"), "UTF-16"),
        (b"\x00\x01\x02binary", "binary"),
        (b">seq\nACGT\n", "this is FASTA"),
        (b"a,b,c\n1,2,3\n", "neither GFF3 nor GTF"),
        (b"##gff-version 2\n", "GFF version 2"),
        (gzip.compress(b"##gff-version 3\n" * 1000)[:-20], "cut off"),
        (b"##gff-version 3\nctg\t.\tgene\t0\t9\t.\t+\t.\tID=g\n", "line 2: the start is 0"),
        (b"##gff-version 3\nctg\t.\tgene\t9\t1\t.\t+\t.\tID=g\n", "line 2: the start 9 is after the end 1"),
        (b"##gff-version 3\nctg\t.\tgene\t1.5\t9\t.\t+\t.\tID=g\n", "line 2: start and end must be whole numbers"),
        (b"##gff-version 3\nctg\t.\tgene\t1\t9\t.\tx\t.\tID=g\n", "line 2: the strand is 'x'"),
        (b"##gff-version 3\nctg\t.\tgene\t1\t9\n", "line 2: 5 columns instead of 9"),
        (b"##gff-version 3\nctg . gene 1 9 . + . ID=g\n", "GFF needs tabs|parted by blanks"),
    ],
)
def test_what_is_no_gff_is_refused(tmp_path, content, message):
    path = tmp_path / "bad.gff3"
    path.write_bytes(content)
    with pytest.raises(AnnotationFileError, match=message):
        list(read_features(path))


def test_missing_and_folder(tmp_path):
    for path in (tmp_path / "none.gff3", tmp_path):
        with pytest.raises(AnnotationFileError):
            read_genes(path)


def test_bgzip_without_end_block_is_refused(tmp_path):
    pysam = pytest.importorskip("pysam")
    path = gff(tmp_path, *GENE)
    whole = tmp_path / "whole.gff3.gz"
    pysam.tabix_compress(str(path), str(whole))
    assert len(read_genes(whole)) == 1
    whole.write_bytes(whole.read_bytes()[:-28])
    with pytest.raises(AnnotationFileError, match="end block"):
        read_genes(whole)


def test_percent_escapes_are_decoded_everywhere(tmp_path):
    path = write(
        tmp_path, "a.gff3", "##gff-version 3\na%3Eb\tx%20y\tgene\t1\t9\t.\t+\t.\tID=p%3Bq;No%3Dte=%C3%A4,b%2Cc\n"
    )
    (feature,) = read_features(path)
    assert (feature.seqid, feature.source, feature.id) == ("a>b", "x y", "p;q")
    assert feature.attributes["No=te"] == ("ä", "b,c")


def test_unescaped_semicolon_keeps_its_text(tmp_path):
    report = ReadReport()
    path = write(tmp_path, "a.gff3", "##gff-version 3\nctg\t.\tgene\t1\t9\t.\t+\t.\tID=g;note=a; b;x=y\n")
    (feature,) = read_features(path, report)
    assert feature.attributes == {"ID": ("g",), "note": ("a; b",), "x": ("y",)}
    assert report.noted["E011 column 9 is malformed"].line == 2


@pytest.mark.parametrize("row", manifest_rows("gff", "gtf"), ids=lambda row: row["path"].rsplit("/", 1)[-1])
def test_odd_inputs_are_read_or_refused_with_a_clear_message(shared, row):
    report = ReadReport()
    refusal: SegntError | None = None
    genes = []
    try:
        genes = read_genes(shared / "odd_inputs" / row["path"], None, report)
    except SegntError as error:
        refusal = error
    if refusal is not None:
        assert row["class"] in ("broken", "unsure"), f"{row['expectation']}: {refusal}"
        assert str(refusal).startswith(str(shared))
    elif row["class"] == "broken":
        assert report.dropped or report.noted or report.bare or genes or report.other
    assert all(one.exons for gene in genes for one in gene.transcripts)


@pytest.mark.parametrize(
    ("folder", "coding"),
    [
        ("plasmodium_falciparum_chr1-10", 2868),
        ("saccharomyces_cerevisiae_chrI-XII", 4098),
        ("drosophila_chr4_4species", 327),
        pytest.param("arabidopsis_arenosa_chr1_2", 5948, marks=pytest.mark.slow),
        pytest.param("arabidopsis_thaliana_chr1", 7156, marks=pytest.mark.slow),
    ],
)
def test_real_annotations_give_the_known_number_of_coding_genes(genomes, folder, coding):
    genes, report = genes_of(genomes / folder / "annotation.gff3.gz")
    assert sum(gene_class(gene) is GeneClass.PROTEIN_CODING for gene in genes) == coding
    assert not report.dropped
