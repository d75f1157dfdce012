"""segnt check-gff: one small file for each defect, silence on good files, and its output formats."""

import json
import re
import subprocess
import time

import numpy as np
import pytest
from conftest import require_engine
from gff_helpers import gff, gff_line, gtf, write

from segnt_tools.commands.main import run
from segnt_tools.gff.checking import check_file
from segnt_tools.gff.modelrules import CodesByName
from segnt_tools.gff.reading import read_genes
from segnt_tools.gff.rules import Severity
from segnt_tools.gff.writing import write_gff3
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.codes import decode, encode, reverse_complement

# One coding gene on each strand; the second is the first on the other strand of `rev`.
GOOD = [
    "##sequence-region ctg 1 200",
    "gene 11 60 + . ID=g1;Name=one",
    "mRNA 11 60 + . ID=t1;Parent=g1",
    "exon 11 25 + . ID=e1;Parent=t1",
    "five_prime_UTR 11 15 + . Parent=t1",
    "CDS 16 25 + 0 ID=c1;Parent=t1",
    "exon 46 60 + . ID=e2;Parent=t1",
    "CDS 46 47 + 2 ID=c1;Parent=t1",
    "three_prime_UTR 48 60 + . Parent=t1",
    "###",
    "gene 141 190 - . ID=g2",
    "mRNA 141 190 - . ID=t2;Parent=g2",
    "exon 141 155 - . ID=e3;Parent=t2",
    "CDS 154 155 - 2 ID=c2;Parent=t2",
    "exon 176 190 - . ID=e4;Parent=t2",
    "CDS 176 185 - 0 ID=c2;Parent=t2",
]
FORWARD = "TTTTTTTTTTCCCCCATGGCCAAATGT" + "A" * 16 + "AGGACCCCCCCCCCCCC" + "T" * 40
SEQUENCE = encode(FORWARD + "A" * (200 - 2 * len(FORWARD)))
SEQUENCE = np.concatenate([SEQUENCE, reverse_complement(encode(FORWARD))])
GENOME = CodesByName({"ctg": SEQUENCE})


def codes_of(path, genome=None, **options):
    return [(one.rule.code, one.line) for one in check_file(path, genome, **options).findings]


def line_of(row):
    return GOOD.index(row) + 2


def test_good_file_is_silent(tmp_path):
    path = gff(tmp_path, *GOOD)
    assert SEQUENCE.size == 200
    assert codes_of(path) == []
    assert codes_of(path, GENOME, splice_sites=True) == []


def test_our_own_output_is_silent(tmp_path, genomes):
    folder = genomes / "saccharomyces_cerevisiae_chrI-XII"
    with Assembly.open(folder / "genome.fa.gz") as assembly:
        write_gff3(tmp_path / "a.gff3", read_genes(folder / "annotation.gff3.gz", assembly.lengths), assembly.lengths)
        assert codes_of(tmp_path / "a.gff3", assembly) == []


GENE, GENE_2 = "gene 11 60 + . ID=g1;Name=one", "gene 141 190 - . ID=g2"
MRNA, MRNA_2 = "mRNA 11 60 + . ID=t1;Parent=g1", "mRNA 141 190 - . ID=t2;Parent=g2"
EXON_1, EXON_2 = "exon 11 25 + . ID=e1;Parent=t1", "exon 46 60 + . ID=e2;Parent=t1"
CDS_1, CDS_2 = "CDS 16 25 + 0 ID=c1;Parent=t1", "CDS 46 47 + 2 ID=c1;Parent=t1"
MINUS_CDS, MINUS_CDS_1 = "CDS 154 155 - 2 ID=c2;Parent=t2", "CDS 176 185 - 0 ID=c2;Parent=t2"
UTR = "five_prime_UTR 11 15 + . Parent=t1"
REGION = "##sequence-region ctg 1 200"

# name: (row, what to put into it, code, row that is blamed if it is another one). The first are those of field.md 5.2.
DEFECTS = {
    "minus-strand phases written as plus": (MINUS_CDS, (" 2 ", " 0 "), "E063"),
    "phase missing": (MINUS_CDS, (" 2 ", " . "), "E062"),
    "coding parts with different IDs": (CDS_2, ("c1", "c9"), "E061"),
    "child outside parent": (EXON_2, ("60", "70"), "E055"),
    "transcript outside gene": (MRNA, ("11", "9"), "E055"),
    "CDS outside exon": (EXON_1, ("25", "24"), "E060", CDS_1),
    "strand differs from the parent's": (EXON_2, ("+", "-"), "E056"),
    "beyond the sequence-region": (REGION, ("200", "189"), "E040", GENE_2),
    "unknown type": (EXON_2, ("exon", "axon"), "W070"),
    "start after end": (EXON_2, ("46 60", "60 46"), "E005"),
    "start 0": (GENE, ("11", "0"), "E004"),
    "parent undefined": (MRNA, ("g1", "gX"), "E050"),
    "unescaped semicolon": (GENE_2, ("g2", "g2;note=a;b"), "E011"),
    "same ID twice": (GENE_2, ("g2", "g1"), "E052"),
    "exons overlap": (EXON_2, ("46", "20"), "E064"),
    "coding parts overlap": (MINUS_CDS, ("155", "180"), "E065", MINUS_CDS_1),
    "CDS without strand": (MINUS_CDS, (" - ", " . "), "E066"),
    "UTR in CDS": (UTR, ("15", "16"), "E067"),
    "not a strand": (GENE_2, (" - ", " x "), "E006"),
    "not a phase": (GENE_2, (" . ", " 3 "), "E008"),
    "not a number": (GENE_2, ("141", "1e2"), "E003"),
    "own parent": (GENE_2, ("g2", "g2;Parent=g2"), "E051"),
    "equals sign": (GENE_2, ("g2", "g2;note=a=b"), "E012"),
    "attribute twice": (GENE_2, ("g2", "g2;note=a;note=b"), "E013"),
    "empty ID": (GENE_2, ("g2", ""), "E014"),
    "bad escape": (GENE_2, ("g2", "g2;note=5%"), "E015"),
    "blank at the end of a parent": (MRNA_2, ("=g2", "=g2 ;x=y"), "E016"),
    "reserved attribute": (GENE_2, ("g2", "g2;Colour=red"), "E017"),
    "Target": (GENE_2, ("g2", "g2;Target=a 1"), "E018"),
    "Gap": (GENE_2, ("g2", "g2;Gap=M"), "E018"),
    "Is_circular": (GENE_2, ("g2", "g2;Is_circular=yes"), "E019"),
    "Derives_from": (GENE_2, ("g2", "g2;Derives_from=x"), "W050"),
    "sequence-region twice": ("###", ("###", REGION), "E033"),
    "sequence-region malformed": ("###", ("###", "##sequence-region ctg2 2 1"), "E032"),
    "version twice": ("###", ("###", "##gff-version 3"), "E031"),
    "unknown directive": ("###", ("###", "##something else"), "W031"),
    "child after sync": (UTR, (UTR, "###"), "E054", CDS_1),
}


def defective(name):
    """Rows with the defect, its code, and the line that is to blame."""
    row, (old, new), code, *blamed = DEFECTS[name]
    assert row in GOOD
    assert old in row
    rows = [one.replace(old, new) if one == row else one for one in GOOD]
    return rows, code, line_of(blamed[0] if blamed else row)


@pytest.mark.parametrize("name", DEFECTS)
def test_defect_is_found_at_its_line(tmp_path, name):
    rows, code, line = defective(name)
    assert (code, line) in codes_of(gff(tmp_path, *rows))


def test_sequence_without_directive(tmp_path):
    text = gff(tmp_path, *GOOD).read_text() + ">ctg\nACGT\n"
    assert codes_of(write(tmp_path, "b.gff3", text)) == [("E035", len(GOOD) + 2)]


def test_sequence_region_after_its_features(tmp_path):
    path = gff(tmp_path, *(row for row in GOOD if row != REGION), REGION)
    assert codes_of(path) == [("E034", len(GOOD) + 1)]


@pytest.mark.parametrize(
    ("head", "code"),
    [("", "W030"), ("##gff-version 3.2.1\n", "E030"), ("##gff-version gff3\n", "E030"), ("##gff-Version 3\n", "E030")],
)
def test_version_line(tmp_path, head, code):
    path = gff(tmp_path, "gene 1 9 + . ID=g", head=head)
    assert codes_of(path) == [(code, 1)]


def test_specification_version_is_fine(tmp_path):
    assert codes_of(gff(tmp_path, "gene 1 9 + . ID=g", head="##gff-version 3.1.26\n")) == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("a b\t.\tgene\t1\t9\t.\t+\t.\tID=g", "E009"),
        ("ctg\t.\tmy gene\t1\t9\t.\t+\t.\tID=g", "E010"),
        ("ctg\t\tgene\t1\t9\t.\t+\t.\tID=g", "E002"),
        ("ctg\t.\tgene\t1\t9\tnan\t+\t.\tID=g", "E007"),
        ("ctg\t.\tgene\t1\t9\tinf\t+\t.\tID=g", "E007"),
        ("ctg\t.\tgene\t1\t9\thigh\t+\t.\tID=g", "E007"),
        ("ctg\t.\tgene\t1\t9\t.\t+\t.\tID=g\t", "E021"),
        ("ctg\t.\tgene\t1\t9\t.\t+", "E001"),
        ("ctg\t.\tgene\t1\t9\t.\t+\t.\tword", "E011"),
        ("ctg\t.\tgene\t1\t9\t.\t+\t.\t", "E002"),
    ],
)
def test_columns(tmp_path, line, code):
    path = write(tmp_path, "a.gff3", f"##gff-version 3\nctg\t.\tgene\t1\t9\t.\t+\t.\tID=first\n{line}\n")
    assert (code, 3) in codes_of(path)


def test_latin1_is_reported_and_read(tmp_path):
    path = tmp_path / "a.gff3"
    path.write_bytes(b"##gff-version 3\nctg\t.\tgene\t1\t9\t.\t+\t.\tID=g;note=\xe4\n")
    assert codes_of(path) == [("E020", 2)]


def test_same_id_on_two_sequences(tmp_path):
    text = gff(tmp_path, "gene 1 9 + . ID=g").read_text()
    path = write(tmp_path, "b.gff3", text + "other\t.\tgene\t1\t9\t.\t+\t.\tID=g\n")
    assert codes_of(path) == [("E052", 3)]


def test_parent_on_another_sequence(tmp_path):
    text = gff(tmp_path, "gene 1 9 + . ID=g").read_text()
    path = write(tmp_path, "b.gff3", text + "other\t.\tmRNA\t1\t9\t.\t+\t.\tParent=g\n")
    assert codes_of(path) == [("E053", 3)]


def test_unsorted_is_a_warning(tmp_path):
    path = gff(tmp_path, "gene 50 59 + . ID=b", "gene 1 9 + . ID=a")
    assert codes_of(path) == [("W040", 3)]
    assert check_file(path).good


def test_circular_feature_may_pass_the_end(tmp_path):
    region = "##sequence-region ctg 1 200"
    rows = ["region 1 200 + . ID=r;Is_circular=true", "gene 190 210 + . ID=g", "CDS 190 210 + 0 Parent=g"]
    assert codes_of(gff(tmp_path, region, *rows)) == []
    assert codes_of(gff(tmp_path, region, *rows), GENOME) == []
    rows[0] = "region 1 200 + . ID=r"
    assert [code for code, _ in codes_of(gff(tmp_path, region, *rows), GENOME)] == ["E040", "E041", "E040", "E041"]


def test_alternative_and_polycistronic_cds_are_fine(tmp_path):
    head = ["gene 1 90 + . ID=g", "mRNA 1 90 + . ID=t;Parent=g", "exon 1 90 + . Parent=t"]
    polycistronic = [*head, "CDS 1 30 + 0 ID=a;Parent=t", "CDS 41 70 + 0 ID=b;Parent=t"]
    alternative = [*head, "CDS 1 30 + 0 ID=a;Parent=t", "CDS 4 30 + 0 ID=b;Parent=t"]
    assert codes_of(gff(tmp_path, *polycistronic)) == []
    assert codes_of(gff(tmp_path, *alternative)) == []


def test_declared_exceptions_are_respected(tmp_path):
    rows = ["gene 1 90 + . ID=g", "mRNA 1 90 + . ID=t;Parent=g", "exon 1 90 + . Parent=t",
            "CDS 1 30 + 0 ID=c;Parent=t;exception=ribosomal slippage",
            "CDS 30 59 + 0 ID=c;Parent=t;exception=ribosomal slippage"]  # fmt: skip
    assert codes_of(gff(tmp_path, *rows)) == []
    plain = [row.split(";exception")[0] for row in rows]
    assert codes_of(gff(tmp_path, *plain)) == [("E065", 6)]


# --- with a genome


@pytest.mark.parametrize(
    ("position", "letters", "code"),
    [
        (15, "CCC", "W090"),
        (18, "TAA", "E092"),
        (46, "G", "W091"),
        (24, "C", "W091"),
    ],
)
def test_translation(tmp_path, position, letters, code):
    bases = SEQUENCE.copy()
    bases[position : position + len(letters)] = encode(letters)
    found = codes_of(gff(tmp_path, *GOOD), CodesByName({"ctg": bases}))
    assert [one for one, _ in found] == [code]


def test_inner_stop_across_a_splice_site_is_found_with_its_place(tmp_path):
    """The codon that the intron splits is T|GA; a second exon that goes on makes it an inner stop."""
    rows = [row.replace("CDS 46 47", "CDS 46 50").replace("UTR 48 60", "UTR 51 60") for row in GOOD]
    (finding,) = [
        one for one in check_file(gff(tmp_path, *rows), GENOME).findings if one.rule.code == "E092"
    ]  # fmt: skip
    assert finding.message == "1 stop codon inside the CDS, the first at ctg:25"


def test_length_and_partial_ends(tmp_path):
    shorter = [row.replace("CDS 46 47 + 2 ID=c1;Parent=t1", "CDS 46 46 + 2 ID=c1;Parent=t1") for row in GOOD]
    assert [code for code, _ in codes_of(gff(tmp_path, *shorter), GENOME)] == ["W093"]
    partial = [row.replace("ID=t1;Parent=g1", "ID=t1;Parent=g1;partial=true;end_range=60,.") for row in shorter]
    assert codes_of(gff(tmp_path, *partial), GENOME) == []


def test_splice_sites_are_information(tmp_path):
    bases = SEQUENCE.copy()
    bases[25] = 0
    path = gff(tmp_path, *GOOD)
    result = check_file(path, CodesByName({"ctg": bases}), splice_sites=True)
    assert [(one.rule.code, one.message) for one in result.findings] == [("I090", "intron 26-45 is AT-AG")]
    assert result.good


def test_bounds_and_names_against_the_genome(tmp_path):
    path = gff(tmp_path, *GOOD)
    assert ("E041", line_of(GENE_2)) in codes_of(path, CodesByName({"ctg": SEQUENCE[:150]}))
    assert ("E042", 3) in codes_of(path, CodesByName({"other": SEQUENCE}))


def test_genetic_code(tmp_path):
    bases = SEQUENCE.copy()
    bases[18:21] = encode("TGA")
    path = gff(tmp_path, *GOOD)
    assert "E092" in {code for code, _ in codes_of(path, CodesByName({"ctg": bases}))}
    assert "E092" not in {code for code, _ in codes_of(path, CodesByName({"ctg": bases}), code_number=4)}


# --- GTF

GTF = [
    "transcript 11 60 + . t1",
    "exon 11 25 + . t1",
    "CDS 16 24 + 0 t1",
    "exon 46 60 + . t1",
    "start_codon 16 18 + 0 t1",
    "stop_codon 25 25 + 0 t1",
    "stop_codon 46 47 + 2 t1",
]


def test_good_gtf_is_silent(tmp_path):
    assert codes_of(gtf(tmp_path, *GTF)) == []
    assert codes_of(gtf(tmp_path, *GTF), GENOME) == []


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("CDS 16 24 + 0 t1", "CDS 16 25 + 0 t1", "E084"),
        ("CDS 16 24 + 0 t1", "CDS 16 21 + 0 t1", "E085"),
        ("CDS 16 24 + 0 t1", "CDS 16 24 + . t1", "E062"),
        ("CDS 16 24 + 0 t1", "CDS 9 24 + 0 t1", "E060"),
        ("exon 46 60 + . t1", "exon 46 60 - . t1", "E083"),
        ("exon 46 60 + . t1", "exon 46 60 + . -", "E082"),
        ("exon 46 60 + . t1", "exon 20 60 + . t1", "E064"),
        ("exon 46 60 + . t1", "exon 46 61 + . t1", "E055"),
    ],
)
def test_gtf_defects(tmp_path, old, new, code):
    rows = [new if row == old else row for row in GTF]
    assert code in {one for one, _ in codes_of(gtf(tmp_path, *rows))}


def test_gtf_attributes(tmp_path):
    good = 'ctg\t.\texon\t1\t9\t.\t+\t.\tgene_id "g"; transcript_id "t";\n'
    path = write(tmp_path, "a.gtf", good + good.replace('"g"', "") + good.replace('gene_id "g"; ', ""))
    assert {code for code, _ in codes_of(path)} >= {"E080", "E081"}
    path = write(tmp_path, "b.gtf", "##gff-version 3\n" + good)
    assert ("E086", 1) in codes_of(path)
    path = write(tmp_path, "c.gtf", good + good.replace('"g"', '"h"').replace("\t1\t9\t", "\t11\t19\t"))
    assert ("E087", 2) in codes_of(path)


# --- the command


def test_text_output_and_exit_status(tmp_path, capsys):
    path = gff(tmp_path, *defective("start 0")[0])
    assert run(["check-gff", "-q", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"E004 {path}:3 gene ctg:0-60: the start is 0, but GFF counts from 1"
    assert all(re.match(r"[EWI]\d{3} .+:\d+ .+: .+", line) for line in lines)


def test_exit_status_of_good_warned_and_foreign_files(tmp_path, capsys):
    assert run(["check-gff", "-q", str(gff(tmp_path, *GOOD))]) == 0
    assert capsys.readouterr().out == ""
    assert run(["check-gff", "-q", str(gff(tmp_path, "axon 1 9 + . ID=g"))]) == 0
    assert run(["check-gff", "-q", str(write(tmp_path, "a.fa", ">a\nACGT\n"))]) == 2
    assert run(["check-gff", "-q", str(tmp_path / "none")]) == 2
    assert run(["check-gff", "-q", str(gff(tmp_path, *GOOD)), "--genetic-code", "99"]) == 2
    assert run(["check-gff", "-q"]) == 2


def test_genome_option(tmp_path, capsys):
    bases = SEQUENCE.copy()
    bases[18:21] = encode("TAA")
    fasta = write(tmp_path, "g.fa", f">ctg\n{decode(bases)}\n")
    assert run(["check-gff", "-q", str(gff(tmp_path, *GOOD)), "--genome", str(fasta)]) == 1
    assert capsys.readouterr().out.startswith("E092 ")


def test_sequences_of_another_genome(tmp_path, capsys):
    """Messages name what the genome has; a closing line of advice only where it has none of the sequences."""
    fasta = write(tmp_path, "g.fa", "".join(f">{name}\nACGT\n" for name in ("a", "b", "c", "d")))
    path = gff(tmp_path, "enhancer 1 4 . . ID=e")
    assert run(["check-gff", str(path), "--genome", str(fasta)]) == 1
    said = capsys.readouterr()
    assert "the genome has no sequence ctg (it has a, b, c, ...)" in said.out
    assert "the genome has none of the file's sequences" in said.err.splitlines()[-1]
    other = write(tmp_path, "b.gff3", path.read_text() + gff_line("enhancer 1 4 . . ID=f", "b"))
    assert run(["check-gff", str(other), "--genome", str(fasta)]) == 1
    said = capsys.readouterr()
    assert "(it has a, b, c, ...)" in said.out
    assert "none of the file's sequences" not in said.err


def test_json_and_sarif(tmp_path, capsys):
    path = gff(tmp_path, *defective("CDS outside exon")[0])
    assert run(["check-gff", "-q", str(path), "--format", "json", "--json", str(tmp_path / "r.json")]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["errors"] == 1
    assert printed["findings"][0]["code"] == "E060"
    assert json.loads((tmp_path / "r.json").read_text())["findings"] == printed["findings"]
    assert run(["check-gff", "-q", str(path), "--format", "sarif"]) == 1
    sarif = json.loads(capsys.readouterr().out)
    (result,) = sarif["runs"][0]["results"]
    assert (sarif["version"], result["ruleId"], result["level"]) == ("2.1.0", "E060", "error")
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 7}


def test_rules_are_listed_with_unique_codes(capsys):
    assert run(["check-gff", "-q", "--rules"]) == 0
    codes = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert len(codes) == len(set(codes)) > 60


@pytest.mark.parametrize("severity", list(Severity))
def test_every_severity_has_rules(severity, capsys):
    run(["check-gff", "-q", "--rules"])
    assert f"\t{severity}\t" in capsys.readouterr().out


@pytest.mark.slow
def test_a_large_file_takes_seconds(genomes):
    """100 MB of GFF3 should take about a minute of one core at most; A. thaliana chromosome 1 has 121 MB."""
    begun = time.process_time()
    result = check_file(genomes / "arabidopsis_thaliana_chr1" / "annotation.gff3.gz")
    assert result.good
    assert result.features == 190_221
    assert time.process_time() - begun < 90


def test_gt_passes_the_defects_that_we_find(tmp_path):
    """The reason for our own rules: gt accepts files with the worst of these defects."""
    gt = require_engine("gt")
    for name in ("CDS outside exon", "child outside parent", "coding parts with different IDs"):
        rows, code, _ = defective(name)
        path = gff(tmp_path, *rows)
        assert subprocess.run([gt, "gff3validator", str(path)], capture_output=True, check=False).returncode == 0, name
        assert code in {one for one, _ in codes_of(path)}
