"""preprocess: the files it writes, and shards that are balanced and cover everything once."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pysam
import pytest

from segnt_tools.commands.main import run
from segnt_tools.errors import AssemblyError
from segnt_tools.sequence.assembly import Assembly, Contig
from segnt_tools.sequence.preparation import prepare
from segnt_tools.sequence.shards import plan_shards, planned_pieces, read_regions, read_shards
from segnt_tools.sequence.stretches import Stretch, joined_by_contig

FASTA = ">one first\nACGTNNNNACGTacgtacgt\n>two\nnnnn\n>three\nRRACGTAC\nGGCC\n>four\nA\n"


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    (tmp_path / "a.fa").write_text(FASTA)
    assert run(["preprocess", str(tmp_path / "a.fa"), "--out", str(tmp_path / "out"), "--min-length", "2"]) == 0
    return tmp_path / "out"


def test_tables(prepared: Path) -> None:
    rows = [line.split("\t") for line in (prepared / "contigs.tsv").read_text().splitlines()]
    assert [row[0] for row in rows] == ["#contig", "one", "two", "three", "four"]
    assert [row[7] for row in rows[1:]] == [".", "only N", ".", "shorter than 2 bp"]
    assert rows[3][5] == hashlib.md5(b"NNACGTACGGCC").hexdigest()
    assert (prepared / "gaps.bed").read_text() == "one\t4\t8\ntwo\t0\t4\nthree\t0\t2\n"
    assert (prepared / "softmasked.bed").read_text() == "one\t12\t20\ntwo\t0\t4\n"
    report = json.loads((prepared / "preprocess.json").read_text())
    assert report["ambiguity_letters_to_n"] == {"R": 2}
    assert report["contigs_skipped"] == {"only N": 1, "shorter than 2 bp": 1}
    assert report["n50"] == 20


def test_the_copy_is_a_regular_indexed_fasta(prepared: Path) -> None:
    with pysam.FastaFile(str(prepared / "assembly.fa.gz")) as fasta:
        assert list(fasta.references) == ["one", "two", "three", "four"]
        assert fasta.fetch("one", 2, 16) == "GTNNNNACGTacgt"
        assert fasta.fetch("three") == "NNACGTACGGCC"


def test_indices_equal_those_of_samtools(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    with (tmp_path / "a.fa").open("w") as handle:
        for i in range(40):
            handle.write(f">c{i}\n{''.join(random.choice(list('ACGTacgtn'), int(random.integers(1, 20_000))))}\n")
    (tmp_path / "out").mkdir()
    prepare(tmp_path / "a.fa", tmp_path / "out")
    ours = {suffix: (tmp_path / "out" / f"assembly.fa.gz{suffix}").read_bytes() for suffix in (".fai", ".gzi")}
    pysam.faidx(str(tmp_path / "out" / "assembly.fa.gz"))
    assert ours == {suffix: (tmp_path / "out" / f"assembly.fa.gz{suffix}").read_bytes() for suffix in ours}


def test_folder_and_fasta_give_the_same_assembly(prepared: Path, tmp_path: Path) -> None:
    with Assembly.open(prepared) as folder, Assembly.open(tmp_path / "a.fa") as fasta:
        assert folder.fingerprint == fasta.fingerprint
        assert folder.contigs == fasta.contigs
        assert folder.codes("one", 3, 18).tolist() == fasta.codes("one", 3, 18).tolist()
        assert folder.sequence("three") == "NNACGTACGGCC"


def test_patterns_choose_contigs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.fa").write_text(">chr1\nACGT\n>chr1_alt\nACGT\n>chrM\nACGT\n>scaffold\nACGT\n")
    command = ["preprocess", str(tmp_path / "a.fa"), "--out", str(tmp_path / "out")]
    assert run([*command, "--include", "chr*", "--exclude", "*_alt", "--exclude", "chrM"]) == 0
    rows = [line.split("\t") for line in (tmp_path / "out" / "contigs.tsv").read_text().splitlines()[1:]]
    assert [(row[0], row[6], row[7]) for row in rows] == [
        ("chr1", "yes", "."),
        ("chr1_alt", "no", "excluded"),
        ("chrM", "no", "excluded"),
        ("scaffold", "no", "not included"),
    ]
    assert [piece.contig for shard in read_shards(tmp_path / "out") for piece in shard.pieces] == ["chr1"]
    assert run([*command, "--include", "Chr*"]) == 2
    assert "4 not included" in capsys.readouterr().err


def test_regions_choose_what_is_annotated(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(f">one\n{'ACGT' * 25}\n>two\nACGT\n>three\n{'ACGT' * 10}\n>four\nNNNN\n")
    rows = ["three\t30\t40\tname\t0\t+", "one\t50\t60", "one\t10\t20", "", "one\t15\t25", "one\t25\t30", "four\t0\t2"]
    (tmp_path / "r.bed").write_text("track name=x\n" + "\n".join(rows))
    command = [
        "preprocess",
        str(tmp_path / "a.fa"),
        "--out",
        str(tmp_path / "out"),
        "--regions",
        str(tmp_path / "r.bed"),
    ]
    assert run([*command, "--shards", "3"]) == 0
    table = [line.split("\t") for line in (tmp_path / "out" / "contigs.tsv").read_text().splitlines()[1:]]
    assert [(row[0], row[1], row[7]) for row in table] == [
        ("one", "100", "."),
        ("two", "4", "outside the regions"),
        ("three", "40", "."),
        ("four", "4", "only N"),
    ]
    shards = read_shards(tmp_path / "out")
    assert [shard.group for shard in shards] == [1, 1, 2]
    assert [[(p.contig, p.start, p.end) for p in shard.pieces] for shard in shards] == [
        [("one", 10, 25)],
        [("one", 25, 30), ("one", 50, 60)],
        [("three", 30, 40)],
    ]
    assert planned_pieces(shards)["one"] == (Stretch("one", 10, 30), Stretch("one", 50, 60))
    assert read_regions(tmp_path / "out") == planned_pieces(shards)
    report = json.loads((tmp_path / "out" / "preprocess.json").read_text())
    assert (report["bases"], report["bases_used"], report["contigs_used"]) == (148, 40, 2)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("five\t0\t4", "r.bed, line 2: the assembly has no contig five"),
        ("two\t0\t13", "r.bed, line 2: two:0-13 leaves the contig of 12 bases"),
        ("two\t-1\t3", "r.bed, line 2: the start is '-1'"),
        ("two\t5", "r.bed, line 2: 2 columns"),
    ],
)
def test_regions_that_do_not_fit_leave_nothing_behind(
    tmp_path: Path, row: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.fa").write_text(f">one\n{'ACGT' * 5}\n>two\n{'ACGT' * 3}\n")
    (tmp_path / "r.bed").write_text(f"one\t0\t20\n{row}\n")
    command = [
        "preprocess",
        str(tmp_path / "a.fa"),
        "--out",
        str(tmp_path / "out"),
        "--regions",
        str(tmp_path / "r.bed"),
    ]
    assert run(command) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_standard_input(tmp_path: Path, pack) -> None:
    command = [Path(sys.executable).with_name("segnt"), "preprocess", "-", "--out", tmp_path / "out"]
    subprocess.run(command, input=pack(FASTA.encode()), check=True)
    with pysam.FastaFile(str(tmp_path / "out" / "assembly.fa.gz")) as fasta:
        assert fasta.fetch("one") == "ACGTNNNNACGTacgtacgt"
    failed = subprocess.run(command, input=pack(b">a\nACGT\n>b\nAC7\n"), capture_output=True, check=False)
    assert failed.returncode == 2
    assert b"standard input, line 4: record b, column 3" in failed.stderr


def test_a_killed_run_leaves_no_mixture_with_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    for name, text in (("one", ">c1\nAAAAAA\n"), ("two", ">c1\nCCC\n>c2\nGGG\n")):
        (tmp_path / f"{name}.fa").write_text(text)
    assert run(["preprocess", str(tmp_path / "one.fa"), "--out", str(tmp_path / "out")]) == 0
    with monkeypatch.context() as patched:
        patched.setattr("segnt_tools.sequence.preparation.plan_shards", killed)
        assert run(["preprocess", str(tmp_path / "two.fa"), "--out", str(tmp_path / "out")]) == 130
    with pytest.raises(AssemblyError, match="not a complete preprocess folder"):
        Assembly.open(tmp_path / "out")


@pytest.mark.parametrize("content", ["", ">a\nACGT\n>a\nAC\n", ">a\nMLEP\n", ">a\nNNNN\n"])
def test_bad_input_leaves_nothing_behind(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.fa").write_text(content)
    assert run(["preprocess", str(tmp_path / "a.fa"), "--out", str(tmp_path / "out")]) == 2
    assert list((tmp_path / "out").iterdir()) == []
    error = capsys.readouterr().err
    assert "a.fa" in error
    assert "Traceback" not in error


def test_output_folder_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.fa").write_text(FASTA)
    (tmp_path / "out").write_text("")
    assert run(["preprocess", str(tmp_path / "a.fa"), "--out", str(tmp_path / "out")]) == 2
    assert "exists as a file" in capsys.readouterr().err


def test_an_output_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.fa").write_text(FASTA)
    assert run(["preprocess", str(tmp_path / "a.fa"), "--out", "/proc/none"]) == 2
    assert "cannot write into the output folder" in capsys.readouterr().err


def test_senseless_numbers_of_shards_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.fa").write_text(FASTA)
    assert run(["preprocess", str(tmp_path / "a.fa"), "--out", str(tmp_path / "out"), "--shards", "1000000000000"]) == 2
    assert "1000000000000 shards are more than 100000" in capsys.readouterr().err


def test_a_disk_that_is_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.fa").write_text(FASTA)
    monkeypatch.setattr("segnt_tools.files.shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    assert run(["preprocess", str(tmp_path / "a.fa"), "--out", str(tmp_path / "out")]) == 2
    assert "are free" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("source", ["/proc/self/mem", "/no/such.fa", "/proc"], ids=["unreadable", "missing", "folder"])
def test_a_file_that_cannot_be_read(tmp_path: Path, source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["preprocess", source, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert source in error
    assert "cannot read" in error or "folder" in error
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("kind", ["one", "chromosomes", "dust", "mixed"])
def test_shards_cover_every_base_once_and_are_balanced(kind: str, count: int) -> None:
    random = np.random.default_rng(5)
    lengths = {
        "one": [1_000_003],
        "chromosomes": [900_000, 500_000, 450_001],
        "dust": random.integers(200, 3000, 500).tolist(),
        "mixed": [5_000_000, 800_000, *random.integers(200, 30_000, 300).tolist()],
    }[kind]
    contigs = [Contig(f"c{i}", length, "") for i, length in enumerate(lengths)]
    shards = plan_shards(contigs, count)
    assert [shard.number for shard in shards] == list(range(1, count + 1))
    held = sorted((p.contig, p.start, p.end) for shard in shards for p in shard.pieces)
    for contig in contigs:
        pieces = [(start, end) for name, start, end in held if name == contig.name]
        assert pieces[0][0] == 0
        assert pieces[-1][1] == contig.length
        assert all(left[1] == right[0] for left, right in pairwise(pieces))
    assert len({(p.contig, shard.group) for shard in shards for p in shard.pieces}) == len(contigs)
    even = sum(lengths) / count
    if kind != "chromosomes":
        assert max(shard.bases for shard in shards) <= 1.6 * even


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_shards_of_regions_cover_every_base_of_them_once(count: int) -> None:
    random = np.random.default_rng(6)
    contigs = [Contig(f"c{i}", int(random.integers(200, 30_000)), "") for i in range(100)]
    chosen = []
    for contig in contigs[::2]:
        borders = np.unique(random.integers(0, contig.length, 2 * int(random.integers(1, 20))))
        borders = borders[: borders.size // 2 * 2].reshape(-1, 2)
        chosen += [Stretch(contig.name, start, end) for start, end in borders.tolist()]
    regions = joined_by_contig(chosen)
    shards = plan_shards(contigs, count, regions)
    assert len(shards) == count
    assert planned_pieces(shards) == regions
    total = sum(piece.bases for pieces in regions.values() for piece in pieces)
    assert sum(shard.bases for shard in shards) == total
    assert max(shard.bases for shard in shards) <= 1.6 * total / count
    assert len({(p.contig, shard.group) for shard in shards for p in shard.pieces}) == len(regions)


def test_neighbouring_short_contigs_share_a_shard() -> None:
    contigs = [Contig(f"c{i}", 300, "") for i in range(10_000)]
    shards = plan_shards([*contigs, Contig("long", 290_000, "")], 11)
    short = [shard for shard in shards if shard.pieces[0].contig != "long"]
    numbers = [int(piece.contig[1:]) for shard in short for piece in shard.pieces if piece.contig != "long"]
    assert numbers == list(range(10_000))
    assert max(shard.bases for shard in shards) - min(shard.bases for shard in shards) <= 10_000


def test_more_shards_than_bases() -> None:
    shards = plan_shards([Contig("a", 2, ""), Contig("b", 1, "")], 10)
    assert sum(shard.bases for shard in shards) == 3


def test_shard_table_round_trip(prepared: Path) -> None:
    assert read_regions(prepared) == {}
    assert [shard.bases for shard in read_shards(prepared)] == [32]


@pytest.mark.parametrize("stretch", [1, 2, 3, 7, 100])
def test_runs_of_n_are_whole_however_they_are_read(
    prepared: Path, stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segnt_tools.sequence.assembly._STRETCH", stretch)
    with Assembly.open(prepared) as assembly:
        found = {contig.name: assembly.gaps(contig.name).tolist() for contig in assembly.contigs}
        assert found == {"one": [[4, 8]], "two": [[0, 4]], "three": [[0, 2]], "four": []}
        with pytest.raises(AssemblyError, match="no contig five"):
            assembly.gaps("five")


def test_threads_may_read_one_assembly(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    sequence = "".join(random.choice(list("ACGT"), 400_000))
    (tmp_path / "a.fa").write_text(f">c\n{sequence}\n")
    (tmp_path / "out").mkdir()
    prepare(tmp_path / "a.fa", tmp_path / "out")
    starts = random.integers(0, 390_000, 4_000).tolist()
    with Assembly.open(tmp_path / "out") as assembly, ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda start: assembly.sequence("c", start, start + 5_000), starts))
    assert [place for place, found in zip(starts, read, strict=True) if found != sequence[place : place + 5_000]] == []
