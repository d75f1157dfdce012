"""segnt merge-gff: duplicates, collisions, names, order, and what is carried through unchanged."""

import gzip
import io
import itertools
import json
import subprocess

import numpy as np
import pytest
from conftest import require_engine
from gff_helpers import gff, gff_line, manifest_rows, write

from segnt_tools.commands.main import run
from segnt_tools.errors import AnnotationFileError, SegntError, UsageError
from segnt_tools.gff.checking import check_file
from segnt_tools.gff.loci import read_loci
from segnt_tools.gff.merging import MergeOptions, Prefer, merge_files, shared_bases, write_dropped, write_merged
from segnt_tools.gff.reading import ReadReport, read_features, read_genes
from segnt_tools.gff.writing import write_gff3
from segnt_tools.sequence.bgzf import BGZF_END

LENGTHS = {"ctg": 10_000, "first": 10_000}


def model(name, start, end, strand="+", score=".", extra=""):
    """Rows of a gene with one coding exon."""
    rows = [
        f"gene {start} {end} {strand} . ID={name}{extra}",
        f"mRNA {start} {end} {strand} . ID={name}.m;Parent={name}",
        f"exon {start} {end} {strand} . ID={name}.e;Parent={name}.m",
        f"CDS {start} {end} {strand} 0 ID={name}.c;Parent={name}.m",
    ]
    return [gff_line(row).replace("\t.\t" + strand, f"\t{score}\t{strand}") for row in rows]


def file_of(folder, name, *models):
    return write(folder, name, "##gff-version 3\n" + "".join(line for one in models for line in one))


def ids(merged):
    return [locus.root.id for locus in merged.loci]


def merge(paths, existing=None, **options):
    return merge_files(paths, LENGTHS, existing, MergeOptions(**options))


@pytest.fixture
def shards(tmp_path):
    """Three groups' files; one gene is in two of them."""
    return [
        file_of(tmp_path, "a.gff3", model("x", 101, 190), model("y", 5001, 5090, "-")),
        file_of(tmp_path, "b.gff3", model("x", 301, 390), model("z", 101, 190)),
        gff(tmp_path, "enhancer 150 160 . . ID=p;tissue=specific", "enhancer 1 9 . . tissue=specific", name="c.gff3"),
    ]


def test_shards_are_joined_sorted_and_numbered(shards):
    merged = merge(shards)
    assert ids(merged) == [None, "SEGNT_000001", "p", "SEGNT_000002", "SEGNT_000003"]
    assert [one.reason for one in merged.dropped] == ["same as one of another file"]
    first = merged.loci[1]
    assert [row.id for row in first.rows] == [
        "SEGNT_000001", "SEGNT_000001.t1", "SEGNT_000001.t1.exon1", "SEGNT_000001.t1.cds",
    ]  # fmt: skip
    assert [row.parents for row in first.rows] == [(), ("SEGNT_000001",), ("SEGNT_000001.t1",), ("SEGNT_000001.t1",)]


def text_of(merged):

    handle = io.StringIO()
    write_merged(handle, merged, LENGTHS)
    return handle.getvalue()


def test_the_order_of_the_inputs_does_not_matter(shards, tmp_path):
    known = file_of(tmp_path, "known.gff3", model("k", 150, 239), model("l", 5050, 5139, "-"))
    for prefer in Prefer:
        texts = {text_of(merge(list(order), known, prefer=prefer)) for order in itertools.permutations(shards)}
        assert len(texts) == 1


def test_output_is_valid(shards, tmp_path):
    path = write(tmp_path, "out.gff3", text_of(merge(shards)))
    assert check_file(path).findings == []


def test_existing_rows_stay_as_they_are(tmp_path):
    rows = [
        "gene 1 90 + . ID=g;Name=x;Note=a%2Cb,c",
        "mRNA 1 90 + . ID=t;Parent=g",
        "exon 1 90 + . Parent=t;odd=1",
        "CDS 1 90 + 0 ID=c;Parent=t",
        "cDNA_match 1 40 + . ID=m;Target=q 1 40",
        "cDNA_match 51 90 + . ID=m;Target=q 41 80",
    ]
    known = gff(tmp_path, *rows, name="known.gff3")
    known.write_text(known.read_text().replace("\t1\t40\t.", "\t1\t40\t5.8e-42"))
    text = text_of(merge([file_of(tmp_path, "a.gff3", model("x", 101, 190))], known))
    kept = [line for line in known.read_text().splitlines() if not line.startswith("#")]
    assert set(kept) <= set(text.splitlines())


@pytest.mark.parametrize(
    ("prefer", "scores", "expected"),
    [
        (Prefer.EXISTING, ("0.9", "."), ["known", "SEGNT_000001"]),
        (Prefer.PREDICTED, (".", "0.9"), ["SEGNT_000001", "SEGNT_000002"]),
        (Prefer.SCORE, ("0.9", "0.5"), ["SEGNT_000001", "SEGNT_000002"]),
        (Prefer.SCORE, ("0.5", "0.9"), ["known", "SEGNT_000001"]),
        (Prefer.SCORE, (".", "."), ["known", "SEGNT_000001"]),
        (Prefer.SCORE, ("0.1", "."), ["SEGNT_000001", "SEGNT_000002"]),
    ],
)
def test_who_stays(tmp_path, prefer, scores, expected):
    predicted = file_of(tmp_path, "a.gff3", model("x", 101, 190, score=scores[0]), model("y", 301, 390))
    known = file_of(tmp_path, "known.gff3", model("known", 150, 239, score=scores[1]))
    merged = merge([predicted], known, prefer=prefer)
    assert ids(merged) == expected
    (dropped,) = merged.dropped
    assert dropped.kept in merged.loci
    assert dropped.kept.root.id == ("known" if "known" in expected else "SEGNT_000001")
    if expected[0] != "known":
        assert merged.loci[0].root.attributes["replaces"] == ("known",)


@pytest.mark.parametrize(
    ("other", "collides"),
    [
        (model("o", 190, 279), True),
        (model("o", 191, 280), False),
        (model("o", 101, 190, "-"), False),
        (model("o", 101, 190, "."), True),
    ],
)
def test_what_collides(tmp_path, other, collides):
    predicted = file_of(tmp_path, "a.gff3", other)
    known = file_of(tmp_path, "known.gff3", model("known", 101, 190))
    assert bool(merge([predicted], known).dropped) == collides


def test_genes_inside_an_intron_do_not_collide(tmp_path):
    host = [
        "gene 1 900 + . ID=h",
        "mRNA 1 900 + . ID=h.m;Parent=h",
        "exon 1 90 + . Parent=h.m",
        "exon 801 900 + . Parent=h.m",
        "CDS 1 90 + 0 ID=h.c;Parent=h.m",
        "CDS 801 890 + 0 ID=h.c;Parent=h.m",
    ]
    merged = merge([file_of(tmp_path, "a.gff3", model("x", 301, 390))], gff(tmp_path, *host, name="known.gff3"))
    assert not merged.dropped


def test_untranslated_regions_may_overlap(tmp_path):
    rows = ["gene 1 300 + . ID=h", "mRNA 1 300 + . ID=h.m;Parent=h", "exon 1 300 + . Parent=h.m",
            "CDS 1 90 + 0 ID=h.c;Parent=h.m"]  # fmt: skip
    known = gff(tmp_path, *rows, name="known.gff3")
    assert not merge([file_of(tmp_path, "a.gff3", model("x", 201, 290))], known).dropped


def test_overlap_threshold(tmp_path):
    predicted = file_of(tmp_path, "a.gff3", model("x", 101, 190))
    known = file_of(tmp_path, "known.gff3", model("known", 182, 400))
    assert merge([predicted], known, max_overlap=0.09).dropped
    assert not merge([predicted], known, max_overlap=0.1).dropped


def table_of(merged):
    """Columns id and kept of the table of what was left out."""
    handle = io.StringIO()
    write_dropped(handle, merged)
    rows = [line.split("\t") for line in handle.getvalue().splitlines()]
    return {row[2]: row[-1] for row in rows[1:]}


def test_the_table_names_what_stays_as_the_output_does(tmp_path):
    """The files number their genes alike, so that a name in a file is another gene's in the output."""
    one = file_of(tmp_path, "a.gff3", model("SEGNT_000002", 101, 190, score="0.9"), model("a", 1, 90, score="0.9"))
    other = file_of(tmp_path, "b.gff3", model("z", 111, 200, score="0.5"), model("SEGNT_000001", 301, 390))
    merged = merge([one, other])
    assert [(locus.start, locus.root.id) for locus in merged.loci] == [
        (0, "SEGNT_000001"),
        (100, "SEGNT_000002"),
        (300, "SEGNT_000003"),
    ]
    assert table_of(merged) == {"z": "SEGNT_000002"}
    third = file_of(tmp_path, "c.gff3", model("SEGNT_000001", 401, 490), model("y", 305, 394, score="0.1"))
    assert table_of(merge([one, other, third])) == {"z": "SEGNT_000002", "SEGNT_000001": "SEGNT_000003"}


def test_of_a_duplicate_the_table_names_what_took_the_place_of_both(tmp_path):
    paths = [file_of(tmp_path, name, model("x", 101, 190)) for name in ("a.gff3", "b.gff3")]
    known = file_of(tmp_path, "known.gff3", model("k", 150, 239))
    merged = merge(paths, known)
    reasons = {one.reason for one in merged.dropped}
    assert reasons == {"same as one of another file", "overlaps a preferred existing gene"}
    assert [one.kept.root.id for one in merged.dropped] == ["k", "k"]


def test_a_file_given_twice_is_read_once_and_never_as_existing_annotation_too(tmp_path):
    path = file_of(tmp_path, "a.gff3", model("x", 101, 190))
    link = tmp_path / "link.gff3"
    link.symlink_to(path)
    respelled = tmp_path / "folder" / ".." / "a.gff3"
    (tmp_path / "folder").mkdir()
    merged = merge([path, respelled, link])
    assert (ids(merged), merged.dropped) == (["SEGNT_000001"], [])
    assert list(merged.reports) == [path]
    for same in (path, respelled, link):
        with pytest.raises(UsageError, match=r"a\.gff3: .*also given as the existing annotation"):
            merge([path], same)


# What the rows of a gene say in column 6, and what the gene ranks by.
SCORES = [
    ({"gene": 0.9, "mRNA": 0.2, "exon": 0.95, "CDS": 0.7}, 0.2),
    ({"mRNA": 0.2, "exon": 0.9}, 0.2),
    ({"gene": 0.3, "exon": 0.9}, 0.3),
    ({"exon": 0.9, "CDS": 0.7}, None),
    ({}, None),
]


def scored(name, start, end, scores):
    """Rows of a gene with scores by type."""
    rows = [line.split("\t") for line in model(name, start, end)]
    return ["\t".join([*row[:5], str(scores.get(row[2], ".")), *row[6:]]) for row in rows]


@pytest.mark.parametrize(("scores", "expected"), SCORES)
def test_a_gene_ranks_by_its_transcript(tmp_path, scores, expected):
    path = file_of(tmp_path, "a.gff3", scored("x", 101, 190, scores))
    (locus,) = read_loci(path, LENGTHS, ReadReport(), existing=False)
    assert locus.score == expected


def test_the_best_transcript_counts_and_features_alone_have_their_own_score(tmp_path):
    rows = [*scored("x", 101, 190, {"gene": 0.9, "mRNA": 0.2}), *model("x", 101, 190, score="0.4")[1:]]
    rows[4:] = [row.replace("x.", "y.") for row in rows[4:]]
    alone = gff_line("CDS 301 390 + 0 ID=p").replace("\t.\t+", "\t61.5\t+")
    path = file_of(tmp_path, "a.gff3", rows, [alone])
    assert [locus.score for locus in read_loci(path, LENGTHS, ReadReport(), existing=False)] == [0.4, 61.5]


def test_sure_exons_of_an_unsure_gene_push_out_nothing(tmp_path):
    unsure = file_of(tmp_path, "a.gff3", scored("x", 101, 190, {"mRNA": 0.2, "exon": 0.9}))
    known = file_of(tmp_path, "known.gff3", scored("known", 150, 239, {"mRNA": 0.5, "exon": 0.6}))
    assert ids(merge([unsure], known, prefer=Prefer.SCORE)) == ["known"]


def test_predictions_of_two_tools_are_resolved_by_score_but_genes_of_one_file_never_collide(tmp_path):
    one = file_of(tmp_path, "a.gff3", model("x", 101, 190, score="0.4"), model("y", 150, 239, score="0.3"))
    other = file_of(tmp_path, "b.gff3", model("z", 171, 260, score="0.35"))
    merged = merge([one, other], keep_ids=True)
    assert ids(merged) == ["x", "y"]
    assert [entry.locus.root.id for entry in merged.dropped] == ["z"]


def test_ids_are_made_unique_and_prefixed_numbers_skip_existing_ones(tmp_path):
    one = file_of(tmp_path, "a.gff3", model("x", 101, 190))
    other = file_of(tmp_path, "b.gff3", model("x", 301, 390))
    assert ids(merge([one, other], keep_ids=True)) == ["x", "x.2"]
    known = file_of(tmp_path, "known.gff3", model("OS_000001", 1001, 1090))
    assert ids(merge([one, other], known, locus_prefix="OS")) == ["OS_000002", "OS_000003", "OS_000001"]


def test_elements_with_one_id_in_two_files(tmp_path):
    one = gff(tmp_path, "enhancer 1 9 . . ID=e1", name="a.gff3")
    other = gff(tmp_path, "enhancer 21 29 . . ID=e1", name="b.gff3")
    assert ids(merge([one, other])) == ["e1", "e1.2"]


def test_one_id_on_two_contigs_becomes_two_genes(tmp_path):
    text = file_of(tmp_path, "a.gff3", model("x", 101, 190)).read_text()
    path = write(tmp_path, "b.gff3", text + text.replace("ctg\t", "first\t").replace("##gff-version 3\n", ""))
    merged = merge([], path)
    assert ids(merged) == ["x", "x.2"]
    assert merged.loci[1].rows[1].parents == ("x.2",)
    assert "ID of another feature replaced" in merged.reports[path].noted


def test_minus_strand_exons_are_numbered_from_the_five_prime_end(tmp_path):
    rows = ["gene 1 300 - . ID=g", "mRNA 1 300 - . ID=m;Parent=g", "exon 1 90 - . ID=left;Parent=m",
            "exon 201 300 - . ID=right;Parent=m"]  # fmt: skip
    (locus,) = merge([gff(tmp_path, *rows)]).loci
    assert [(row.start, row.id) for row in locus.rows[2:]] == [
        (0, "SEGNT_000001.t1.exon2"),
        (200, "SEGNT_000001.t1.exon1"),
    ]


def test_a_missing_parent_is_reported_and_nothing_gets_lost_silently(tmp_path):
    rows = [
        "gene 1 90 + . ID=g",
        "mRNA 1 90 + . ID=m;Parent=g,lost",
        "exon 1 90 + . Parent=m",
        "exon 1 90 + . Parent=gone",
    ]
    path = gff(tmp_path, *rows)
    merged = merge([path])
    report = merged.reports[path]
    assert sum(len(locus.rows) for locus in merged.loci) == 3
    assert report.dropped["exon, CDS, UTR or codon without its transcript"].line == 5
    assert report.noted["reference to a missing parent removed"].line == 3


def test_a_whole_contig_as_parent_does_not_make_one_locus(tmp_path):
    rows = [
        "region 1 9000 . . ID=r",
        "gene 1 90 + . ID=a;Parent=r",
        "CDS 1 90 + 0 Parent=a",
        "gene 201 290 + . ID=b;Parent=r",
    ]
    merged = merge([gff(tmp_path, *rows)], keep_ids=True)
    assert ids(merged) == ["r", "a", "b"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("gene 1 10001 + . ID=g", "line 2: .* past the end of ctg"),
        ("gene 1 9 + . ID=g;Parent=g", "line 2: .*own ancestor"),
    ],
)
def test_what_does_not_fit_the_genome_is_refused(tmp_path, row, message):
    with pytest.raises(AnnotationFileError, match=message):
        merge([gff(tmp_path, row)])
    unknown = write(tmp_path, "u.gff3", "##gff-version 3\nchrX\t.\tgene\t1\t9\t.\t+\t.\tID=g\n")
    with pytest.raises(AnnotationFileError, match="line 2: the genome has no sequence chrX"):
        merge([unknown])


def test_existing_gtf(tmp_path):
    line = 'ctg\tx\t{}\t{}\t{}\t.\t+\t{}\tgene_id "g"; transcript_id "g";\n'
    known = write(tmp_path, "k.gtf", line.format("exon", 101, 190, ".") + line.format("CDS", 101, 187, 0))
    merged = merge([file_of(tmp_path, "a.gff3", model("x", 150, 239))], known)
    assert ids(merged) == ["g"]
    path = write(tmp_path, "out.gff3", text_of(merged))
    assert check_file(path).good


@pytest.mark.parametrize("seed", range(30))
def test_shared_bases_against_sets(seed):
    rng = np.random.default_rng(seed)

    def some():
        cuts = np.sort(rng.choice(100, size=2 * int(rng.integers(1, 8)), replace=False))
        return [(int(a), int(b)) for a, b in cuts.reshape(-1, 2)]

    one, other = some(), some()
    sets = [{base for start, end in intervals for base in range(start, end)} for intervals in (one, other)]
    assert shared_bases(one, other) == len(sets[0] & sets[1])


@pytest.mark.parametrize("seed", range(10))
def test_no_two_kept_genes_of_different_files_overlap(tmp_path, seed):
    """Random genes: what is kept is free of collisions, and each dropped gene collides with a kept one."""
    rng = np.random.default_rng(seed)
    paths = []
    for which in range(3):
        models = [
            model(f"g{number}", int(start), int(start) + int(size), str(rng.choice(["+", "-"])), f"{rng.random():.2f}")
            for number, (start, size) in enumerate(
                zip(rng.integers(1, 3000, 20), rng.integers(30, 200, 20), strict=True)
            )
        ]
        paths.append(file_of(tmp_path, f"{which}.gff3", *models))
    merged = merge(paths[1:], paths[0], keep_ids=True)
    for one, other in itertools.combinations(merged.loci, 2):
        if one.file != other.file and one.root.strand == other.root.strand:
            assert shared_bases(one.blocks, other.blocks) == 0
    for entry in merged.dropped:
        rivals = [one for one in merged.loci if one.root.strand == entry.locus.root.strand]
        assert any(shared_bases(one.blocks, entry.locus.blocks) for one in rivals)


# --- the command


@pytest.fixture
def genome(tmp_path):
    return write(tmp_path, "g.fa", ">first\n" + "ACGT" * 2500 + "\n>ctg\n" + "ACGT" * 2500 + "\n")


def test_command(tmp_path, shards, genome):
    out, known = tmp_path / "out.gff3", file_of(tmp_path, "known.gff3", model("k", 150, 239))
    arguments = ["merge-gff", "-q", *map(str, shards), "--genome", str(genome), "--out", str(out)]
    arguments += ["--existing", str(known), "--locus-prefix", "ARA", "--json", str(tmp_path / "r.json")]
    assert run(arguments) == 0
    assert out.read_text().startswith("##gff-version 3\n#!gff-spec-version 1.26\n#!annotation-source segnt_tools")
    assert [gene.id for gene in read_genes(out)] == ["k", "ARA_000001", "ARA_000002"]
    table = [line.split("\t") for line in (tmp_path / "out.dropped.tsv").read_text().splitlines()]
    assert {row[9] for row in table[1:]} == {"same as one of another file", "overlaps a preferred existing gene"}
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["genes"], report["genes_existing"], report["dropped"]) == (3, 1, 2)
    assert check_file(out).good


@pytest.mark.parametrize(
    "changes",
    [{"--locus-prefix": "1 x"}, {"--out": "/dev/null/out.gff3"}, {"--existing": "none.gff3"}, {"--genome": "none.fa"}],
)
def test_wrong_usage_leaves_nothing_behind(tmp_path, shards, genome, changes):
    options = {"--genome": str(genome), "--out": str(tmp_path / "out.gff3")} | changes
    assert run(["merge-gff", "-q", str(shards[0]), *itertools.chain(*options.items())]) == 2
    assert not (tmp_path / "out.gff3").exists()


def test_the_existing_annotation_as_prediction_too_is_refused_before_the_genome_is_read(tmp_path, shards, capsys):
    arguments = ["merge-gff", "-q", *map(str, shards), "--genome", str(tmp_path / "none.fa")]
    assert run([*arguments, "--existing", str(shards[1]), "--out", str(tmp_path / "out.gff3")]) == 2
    said = capsys.readouterr().err
    assert "also given as the existing annotation" in said
    assert "--existing" in said
    assert not (tmp_path / "out.gff3").exists()


def test_outputs_whose_names_end_in_gz_are_bgzipped(tmp_path, shards, genome):
    arguments = ["merge-gff", "-q", *map(str, shards), "--genome", str(genome), "--out"]
    packed = tmp_path / "packed.gff3.gz"
    assert run([*arguments, str(tmp_path / "plain.gff3")]) == 0
    assert run([*arguments, str(packed)]) == 0
    assert gzip.decompress(packed.read_bytes()) == (tmp_path / "plain.gff3").read_bytes()
    assert packed.read_bytes().endswith(BGZF_END)
    assert check_file(packed).good
    assert (tmp_path / "packed.dropped.tsv").read_bytes() == (tmp_path / "plain.dropped.tsv").read_bytes()
    table = tmp_path / "table.tsv.gz"
    assert run([*arguments, str(packed), "--dropped", str(table)]) == 0
    assert gzip.decompress(table.read_bytes()) == (tmp_path / "plain.dropped.tsv").read_bytes()


def test_missing_folders_of_the_outputs_are_made(tmp_path, shards, genome):
    out, table = tmp_path / "new/folder/out.gff3", tmp_path / "other/table.tsv"
    arguments = ["merge-gff", "-q", str(shards[0]), "--genome", str(genome), "--out", str(out), "--dropped", str(table)]
    assert run(arguments) == 0
    assert out.is_file()
    assert table.is_file()


# As call-peaks writes them: of one start, the shorter interval comes first, then the name of the track.
ELEMENT_CALLS = (
    "exon 10 20 + . Name=exon;element=exon;summit=0.9",
    "protein_coding_gene 10 40 + . Name=protein_coding_gene;element=protein_coding_gene;summit=0.8",
    "protein_coding_gene 10 40 - . Name=protein_coding_gene;element=protein_coding_gene;summit=0.7",
    "five_prime_UTR 10 50 + . Name=5UTR;element=5UTR;summit=0.9",
    "CDS_region 10 50 + . Name=CDS;element=CDS;summit=0.9",
    "exon 30 60 + . Name=exon;element=exon;summit=0.9",
)


def test_element_calls_are_no_genes_and_keep_their_order(tmp_path, genome):
    calls = gff(tmp_path, *ELEMENT_CALLS)
    out, report = tmp_path / "out.gff3", tmp_path / "r.json"
    assert run(["merge-gff", "-q", str(calls), "--genome", str(genome), "--out", str(out), "--json", str(report)]) == 0
    rows = [line for line in out.read_text().splitlines() if line[0] != "#"]
    assert rows == calls.read_text().splitlines()[1:]
    assert "###" not in out.read_text()
    counts = json.loads(report.read_text())
    assert (counts["genes"], counts["other_features"]) == (0, len(ELEMENT_CALLS))


def test_an_element_call_does_not_push_out_a_gene(tmp_path):
    predicted = write(tmp_path, "p.gff3", gff(tmp_path, *ELEMENT_CALLS).read_text() + "".join(model("p", 10, 60)))
    merged = merge([predicted], file_of(tmp_path, "known.gff3", model("k", 10, 60)))
    assert ids(merged).count("k") == 1
    assert merged.counts()["other_features"] == len(ELEMENT_CALLS)
    assert merged.counts()["dropped"] == 1


def test_model_and_licence_lines_are_carried_over(tmp_path, genome):
    head = "##gff-version 3\n#!gff-spec-version 1.26\n#!model tiny\n#!model-licence MIT\n"
    path = gff(tmp_path, "enhancer 1 9 . . ID=e", head=head)
    out = tmp_path / "out.gff3"
    assert run(["merge-gff", "-q", str(path), "--genome", str(genome), "--out", str(out)]) == 0
    assert "#!model tiny\n#!model-licence MIT\n" in out.read_text()


@pytest.mark.parametrize("row", manifest_rows("gff", "gtf"), ids=lambda row: row["path"].rsplit("/", 1)[-1])
def test_of_odd_inputs_that_are_merged_nothing_gets_lost(shared, tmp_path, row):
    """Which are merged and which refused is told by test_odd_inputs.py."""
    path = shared / "odd_inputs" / row["path"]
    try:
        features = list(read_features(path, ReadReport()))
        lengths: dict[str, int] = {}
        for one in features:
            lengths[one.seqid] = max(one.end, lengths.get(one.seqid, 0))
        merged = merge_files([path], lengths, None, MergeOptions())
    except SegntError:
        return
    if row["format"] == "gff":
        lost = sum(tally.count for tally in merged.reports[path].dropped.values())
        assert sum(len(locus.rows) for locus in merged.loci) + lost == len(features)
    if row["class"] in ("valid", "odd-valid"):
        assert not merged.dropped
        with (tmp_path / "out.gff3").open("w") as handle:
            write_merged(handle, merged, lengths)
        assert check_file(tmp_path / "out.gff3").good


@pytest.mark.parametrize("name", ["saccharomyces_cerevisiae_chrI-XII", "plasmodium_falciparum_chr1-10"])
def test_real_annotation_passes_through_unchanged_and_validates(genomes, tmp_path, name):
    folder = genomes / name
    rows = (line.split("\t") for line in (folder / "genome.fa.gz.fai").read_text().splitlines())
    lengths = {row[0]: int(row[1]) for row in rows}
    known = folder / "annotation.gff3.gz"
    genes = read_genes(known, lengths)
    write_gff3(tmp_path / "predicted.gff3", genes[::7], lengths)
    merged = merge_files([tmp_path / "predicted.gff3"], lengths, known, MergeOptions())
    with (tmp_path / "out.gff3").open("w", encoding="utf-8") as handle:
        write_merged(handle, merged, lengths)
    before, after = list(read_features(known)), list(read_features(tmp_path / "out.gff3"))
    for one in (*before, *after):
        one.line = 0
    assert sorted(map(str, before)) == sorted(map(str, after))
    result = subprocess.run(
        [require_engine("gt"), "gff3validator", str(tmp_path / "out.gff3")], capture_output=True, check=False
    )
    assert result.returncode == 0, result.stderr
