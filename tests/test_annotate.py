"""The whole chain on the bundled assembly: outputs, resuming, invariance, and refusal to mix results."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import gffutils
import numpy as np
import pyBigWig
import pytest
from conftest import require_engine
from tiny_checkpoints import write_hugging_face

from segnt_tools.commands.main import run
from segnt_tools.models.registry import find_checkpoint
from segnt_tools.sequence.assembly import Assembly

SEGNT = Path(sys.executable).with_name("segnt")
DEMO = Path(__file__).parents[1] / "segnt_tools" / "data" / "demo" / "arabidopsis_chr1.fa.gz"
TEXT_FILES = ("genes.gff3", "elements.gff3", "elements.bed", "proteins.fa", "cds.fa", "transcripts.fa")
REPORT_FILES = ("report.html", "report.json", "report.tsv", "report_mqc.json")
FILES = (*TEXT_FILES, *REPORT_FILES, "annotate.json", "contigs.tsv", "gaps.bed")


def contents(folder: Path, names: tuple[str, ...] = FILES) -> dict[str, bytes]:
    """All results of a run, by name."""
    found = {name: (folder / name).read_bytes() for name in names}
    return found | {path.name: path.read_bytes() for path in sorted((folder / "tracks").glob("*.bw"))}


def write_fasta(path: Path, records: dict[str, str], width: int = 0) -> Path:
    with path.open("w") as handle:
        for name, sequence in records.items():
            step = width or max(1, len(sequence))
            lines = (sequence[i : i + step] for i in range(0, len(sequence), step))
            handle.write(f">{name}\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def demo_sequence() -> str:
    with Assembly.open(DEMO) as assembly:
        (contig,) = assembly.contigs
        return assembly.sequence(contig.name)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, demo_sequence: str) -> Path:
    """An assembly of some real pieces with gaps, lower case and very short contigs."""
    s = demo_sequence
    records = {
        "long": s[:40_000] + "N" * 120 + s[40_000:61_003].lower(),
        "two": s[100_000:118_431],
        "three": s[120_000:138_433],
        "gaps": s[140_000:145_000] + "N" + s[145_001:146_000] + "RYN" + s[146_003:150_011],
        **{f"short{n}": s[n * 100 : n * 100 + n] for n in (1, 5, 23, 24, 25, 300, 1000)},
        "nothing": "N" * 50,
    }
    return write_fasta(tmp_path_factory.mktemp("small") / "small.fa", records, 60)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small: Path) -> Path:
    out = tmp_path_factory.mktemp("annotate") / "out"
    assert run(["annotate", str(small), "--out", str(out), "-q"]) == 0
    return out


@pytest.mark.slow
def test_the_documented_files_are_there_and_nothing_else(finished: Path) -> None:
    assert sorted(path.name for path in finished.iterdir()) == sorted([*FILES, "tracks"])
    assert (finished / "genes.gff3").read_text().startswith("##gff-version 3\n")
    summary = json.loads((finished / "annotate.json").read_text())
    assert summary["preprocess"]["contigs"] == 12
    assert summary["preprocess"]["contigs_skipped"] == {"only N": 1}
    assert summary["call-genes"]
    with pyBigWig.open(str(finished / "tracks" / "exon.plus.bw")) as bigwig:
        assert bigwig.chroms()["long"] == 61_123
        assert np.isnan(bigwig.values("long", 40_000, 40_120)).all()
        assert not np.isnan(bigwig.values("long", 39_000, 40_000)).any()


@pytest.mark.slow
def test_outside_validators_accept_the_gff3(finished: Path, small: Path, tmp_path: Path) -> None:
    gt = require_engine("gt")
    for name in ("genes.gff3", "elements.gff3"):
        result = subprocess.run(
            [gt, "gff3validator", "-typecheck", "so", finished / name], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{name}: {result.stderr}"
    gffread = require_engine("gffread")
    shutil.copy(small, tmp_path / "genome.fa")
    kept = subprocess.run(
        [gffread, "-J", "-g", tmp_path / "genome.fa", finished / "genes.gff3"],
        capture_output=True,
        text=True,
        check=True,
    )
    models = [line for line in (finished / "genes.gff3").read_text().splitlines() if "\tmRNA\t" in line]
    complete = sum("partial=true" not in line for line in models)  # -J drops what lacks a start or a stop
    assert complete > 5
    assert kept.stdout.count("\tmRNA\t") + kept.stdout.count("\ttranscript\t") >= complete


@pytest.mark.slow
def test_gffutils_finds_the_parts_of_every_gene(finished: Path) -> None:
    database = gffutils.create_db(str(finished / "genes.gff3"), ":memory:", merge_strategy="create_unique")
    genes = list(database.features_of_type("gene"))
    assert genes
    for gene in genes:
        for transcript in database.children(gene, featuretype="mRNA"):
            exons = list(database.children(transcript, featuretype="exon", order_by="start"))
            assert (exons[0].start, exons[-1].end) == (transcript.start, transcript.end)
            assert list(database.children(transcript, featuretype="CDS"))


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--shards", "2"], ["--shards", "7", "--threads", "1"], ["--batch-size", "8"]])
def test_shards_threads_and_batches_change_no_result(
    finished: Path, small: Path, tmp_path: Path, options: list[str]
) -> None:
    assert run(["annotate", str(small), "--out", str(tmp_path / "out"), "-q", *options]) == 0
    assert contents(tmp_path / "out", TEXT_FILES) == contents(finished, TEXT_FILES)


@pytest.mark.slow
def test_a_job_may_be_given_the_table_of_its_own_shard_alone(tmp_path: Path) -> None:
    """As Galaxy does, where a shard is a dataset of its own."""
    with Assembly.open(DEMO) as assembly:
        contig = assembly.contigs[0].name
        (tmp_path / "a.fa").write_text(f">{contig}\n{assembly.sequence(contig, 0, 40_000)}\n")
    whole = tmp_path / "whole"
    assert run(["preprocess", str(tmp_path / "a.fa"), "--out", str(whole), "--shards", "2"]) == 0
    head, *shards = (whole / "shards.tsv").read_text().splitlines()
    tracks = []
    for number, row in enumerate(shards):
        alone = tmp_path / f"alone_{number}"
        shutil.copytree(whole, alone)
        (alone / "shards.tsv").write_text(f"{head}\n{row}\n")
        tracks.append(str(tmp_path / f"{number}.h5"))
        assert run(["predict", str(alone), "--shard", "1", "--model", "plant_small", "--out", tracks[-1], "-q"]) == 0
    assert len(tracks) == 2
    assert run(["call-peaks", *tracks, "--out", str(tmp_path / "peaks"), "-q"]) == 0
    assert run(["call-peaks", tracks[0], "--out", str(tmp_path / "half"), "-q"]) == 2


@pytest.mark.slow
def test_the_form_of_the_fasta_changes_no_result(finished: Path, small: Path, tmp_path: Path) -> None:
    records: dict[str, str] = {}
    for record in small.read_text().split(">")[1:]:
        name, _, sequence = record.partition("\n")
        records[name] = sequence.replace("\n", "").lower()
    other = write_fasta(tmp_path / "other.fa", records)
    packed = tmp_path / "other.fa.gz"
    packed.write_bytes(gzip.compress(other.read_bytes()))
    assert run(["annotate", str(packed), "--out", str(tmp_path / "out"), "-q"]) == 0
    assert contents(tmp_path / "out", TEXT_FILES) == contents(finished, TEXT_FILES)


@pytest.mark.slow
def test_single_tools_give_what_the_chain_gives(finished: Path, small: Path, tmp_path: Path) -> None:
    prepared = str(tmp_path / "prepared")
    assert run(["preprocess", str(small), "--out", prepared, "--shards", "3", "-q"]) == 0
    shards = [str(tmp_path / f"{i}.h5") for i in (1, 2, 3)]
    for i, path in enumerate(shards, start=1):
        assert run(["predict", prepared, "--shard", str(i), "--out", path, "-q"]) == 0
    assert run(["call-peaks", *shards, "--out", str(tmp_path / "peaks"), "-q"]) == 0
    assert run(["call-genes", *shards, "--genome", str(small), "--out", str(tmp_path / "genes"), "-q"]) == 0
    for folder, names in (
        ("genes", ("genes.gff3", "proteins.fa", "cds.fa", "transcripts.fa")),
        ("peaks", ("elements.bed",)),
    ):
        for name in names:
            ours = [
                line for line in (tmp_path / folder / name).read_text().splitlines() if not line.startswith("##seq")
            ]
            chain = [line for line in (finished / name).read_text().splitlines() if not line.startswith("##seq")]
            assert ours == chain, name


def runs_at_least(probability: np.ndarray, threshold: float) -> list[tuple[int, int]]:
    edges = np.flatnonzero(
        np.diff(np.concatenate(([False], probability >= np.float32(threshold), [False])).astype(int))
    )
    return [tuple(pair) for pair in edges.reshape(-1, 2).tolist()]


@pytest.mark.slow
def test_peaks_of_the_bigwigs_of_a_run(finished: Path, small: Path, tmp_path: Path) -> None:
    """Two decimals: what is called at 0.5 on the files is what is called at 0.495 on the tracks they were made from."""
    thresholds = ("--min-interval", "1", "--max-gap", "0")
    tracks = tmp_path / "t.h5"
    assert run(["predict", str(small), "--out", str(tracks), "-q"]) == 0
    places = {}
    for source, high in ((finished / "tracks", "0.5"), (tracks, "0.495")):
        out = tmp_path / high
        options = ["--high", high, "--low", high, *thresholds]
        assert run(["call-peaks", str(source), *options, "--out", str(out), "-q"]) == 0
        rows = [line.split("\t") for line in (out / "elements.bed").read_text().splitlines()]
        places[high] = [(*row[:4], row[5]) for row in rows]
    assert places["0.5"] == places["0.495"]
    with pyBigWig.open(str(finished / "tracks" / "exon.plus.bw")) as bigwig:
        probability = np.nan_to_num(bigwig.values("long", 0, 61_123, numpy=True))
    found = [
        (int(start), int(end)) for name, start, end, *kind in places["0.5"] if (name, *kind) == ("long", "exon", "+")
    ]
    assert found == runs_at_least(probability, 0.5)
    assert len(found) > 10


LONGEST_GAP = 30  # max_gap of the embedded models' elements


@pytest.mark.slow
def test_regions_are_annotated_as_they_are_in_a_whole_run(finished: Path, small: Path, tmp_path: Path) -> None:
    regions = {("long", 3000, 30_001), ("long", 39_000, 61_123), ("three", 0, 18_433), ("short300", 10, 200)}
    rows = "".join(f"{name}\t{start}\t{end}\n" for name, start, end in sorted(regions))
    (tmp_path / "r.bed").write_text(rows + "long\t5000\t6000\n")
    command = ["annotate", str(small), "--regions", str(tmp_path / "r.bed"), "-q"]
    for name, shards in (("one", "1"), ("five", "5")):
        assert run([*command, "--shards", shards, "--out", str(tmp_path / name)]) == 0
    assert contents(tmp_path / "one", TEXT_FILES) == contents(tmp_path / "five", TEXT_FILES)
    for name in ("exon.plus.bw", "intron.minus.bw"):
        with (
            pyBigWig.open(str(tmp_path / "five" / "tracks" / name)) as ours,
            pyBigWig.open(str(finished / "tracks" / name)) as whole,
        ):
            assert set(ours.chroms()) == {"long", "three", "short300"}
            inside = np.zeros(61_123, dtype=bool)
            for contig, start, end in regions:
                expected = whole.values(contig, start, end, numpy=True)
                assert np.array_equal(ours.values(contig, start, end, numpy=True), expected, equal_nan=True)
                if contig == "long":
                    inside[start:end] = True
            assert np.isnan(ours.values("long", 0, 61_123, numpy=True)[~inside]).all()

    def within(contig: str, start: int, end: int) -> bool:
        return any(contig == name and low <= start and end <= high for name, low, high in regions)

    found, whole = ((folder / "elements.bed").read_text().splitlines() for folder in (tmp_path / "five", finished))
    # A peak that ends inside a region is as in the whole run; one that crosses a border is cut there, or at the gap
    # nearest to it that is short enough to be bridged in the whole run.
    borders = {
        (name, str(place))
        for name, start, end in regions
        for border in (start, end)
        for place in range(border - LONGEST_GAP, border + LONGEST_GAP + 1)
    }
    cut = 0
    for row in found:
        contig, start, end, *_ = row.split("\t")
        assert within(contig, int(start), int(end))
        if {(contig, start), (contig, end)} & borders:
            cut += 1
        else:
            assert row in whole
    assert len(found) > 100 > cut > 0

    def coding(folder: Path) -> set[tuple[str, ...]]:
        """Place, strand and phase of every CDS row inside the regions."""
        lines = (line.split("\t") for line in (folder / "genes.gff3").read_text().splitlines() if line[0] != "#")
        rows = [line for line in lines if line[2] == "CDS" and within(line[0], int(line[3]) - 1, int(line[4]))]
        return {(row[0], *row[3:5], *row[6:8]) for row in rows}

    ours, theirs = coding(tmp_path / "five"), coding(finished)
    assert len(ours) == (tmp_path / "five" / "genes.gff3").read_text().count("\tCDS\t")
    assert len(ours & theirs) > 0.9 * len(theirs) > 20  # a gene may differ that a border has cut
    (tmp_path / "r.bed").write_text(rows + "long\t1\t9\n")
    assert run([*command, "--shards", "5", "--out", str(tmp_path / "five")]) == 2


@pytest.mark.slow
def test_a_finished_run_is_not_repeated_and_not_mixed(
    finished: Path, small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert run(["annotate", str(small), "--out", str(out)]) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path != out}.items() <= before.items()
    assert run(["annotate", str(small), "--out", str(out), "--min-length", "100"]) == 2
    assert "min_length: then 1, now 100" in capsys.readouterr().err
    assert contents(out) == contents(finished)


@pytest.fixture
def kept(demo_sequence: str, tmp_path: Path) -> tuple[list[str], Path]:
    """A run with its intermediate files, as command and output folder."""
    assembly, out = write_fasta(tmp_path / "a.fa", {"contig": demo_sequence[:6000]}), tmp_path / "out"
    command = ["annotate", str(assembly), "--model", "plant_small", "--keep-intermediate", "--out", str(out)]
    assert run(command) == 0
    return command, out


def test_a_result_that_is_gone_is_made_again(kept: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    command, out = kept
    before = contents(out)
    shard = out / "intermediate" / "shards" / "00001.h5"
    made = shard.stat().st_mtime_ns
    for name in ("genes.gff3", "tracks/exon.plus.bw"):
        (out / name).unlink()
        capsys.readouterr()
        assert run(command) == 0
        assert f"{name} is missing" in capsys.readouterr().err
        assert contents(out) == before
    assert shard.stat().st_mtime_ns == made


def test_a_run_killed_before_its_report_repeats_no_other_step(
    kept: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command, out = kept
    before, genes = contents(out), (out / "genes.gff3").stat().st_mtime_ns
    for path in (out / "report.html", out / "intermediate" / "report.json"):
        path.unlink()
    capsys.readouterr()
    assert run(command) == 0
    assert "missing" not in capsys.readouterr().err
    assert contents(out) == before
    assert (out / "genes.gff3").stat().st_mtime_ns == genes


def test_a_model_is_the_same_however_it_is_named(demo_sequence: str, tmp_path: Path, monkeypatch, capsys) -> None:
    assembly = write_fasta(tmp_path / "a.fa", {"contig": demo_sequence[:6000]})
    monkeypatch.chdir(tmp_path)
    shutil.copytree(find_checkpoint("yeast_small"), tmp_path / "mine")
    command = ["annotate", str(assembly), "--skip", "report", "--out", str(tmp_path / "out"), "--model"]
    assert run([*command, "mine"]) == 0
    for name in ("./mine/", str(tmp_path / "mine"), "yeast_small"):
        assert run([*command, name]) == 0
        assert "nothing to do" in capsys.readouterr().err
    assert run([*command, "plant_small"]) == 2
    assert "model: then 'mine', now 'plant_small'" in capsys.readouterr().err


# What a run writes, in this order: each start of the killed run gets to the next of these.
SIGNS = (
    "intermediate/settings.json",
    "intermediate/assembly/shards.tsv",
    "intermediate/shards/00001.h5",
    "intermediate/shards/00003.h5",
    "elements.bed",
    "intermediate/elements.json",
    "genes.gff3",
    "intermediate/genes.json",
    "intermediate/tracks",  # the folder: its files move to their place within moments
    "report.html",
    ".intermediate.done",
)


def kill_after(command: list[str], sign: Path, delay: float) -> None:
    """Run a command, and kill it some time after a file has appeared; it must not have come to its end."""
    process = subprocess.Popen(command)
    try:
        limit = time.monotonic() + 300
        while not sign.exists():
            assert process.poll() is None, f"it ended without {sign}"
            assert time.monotonic() < limit, f"no {sign}"
            time.sleep(0.002)
        time.sleep(delay)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again(finished: Path, small: Path, tmp_path: Path) -> None:
    """One run killed in every step, at random moments after it had begun to write; the last start is left to finish."""
    chance, shards = random.Random(20), {}
    out, plain = tmp_path / "killed" / "out", tmp_path / "plain" / "out"
    command = [str(SEGNT), "annotate", str(small), "--shards", "5", "-q", "--out"]
    subprocess.run([*command, str(plain)], check=True)
    for sign in SIGNS:
        # After the report the end is too near for a delay.
        kill_after([*command, str(out)], out / sign, 0 if sign in SIGNS[-2:] else chance.uniform(0, 0.1))
        found = {path.name: path.stat() for path in out.glob("intermediate/shards/0*.h5")}
        done = {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}
        if (out / "intermediate").exists():  # all is done otherwise, and being cleared up
            assert shards.items() <= done.items()  # shards that were done are not done again
        shards = done
    subprocess.run([*command, str(out)], check=True)
    assert contents(out) == contents(plain)
    assert all((out / name).read_bytes() == (finished / name).read_bytes() for name in TEXT_FILES)
    assert sorted(os.listdir(out)) == sorted(os.listdir(finished))


def test_files_of_an_earlier_run_are_never_taken_for_new_ones(demo_sequence: str, tmp_path: Path) -> None:
    out, plain = tmp_path / "out", tmp_path / "plain"
    options = ["--model", "plant_small", "--skip", "report", "-q", "--out"]
    for number, sequence in enumerate((demo_sequence[:6000], demo_sequence[50_000:56_000])):
        assembly = write_fasta(tmp_path / f"{number}.fa", {"contig": sequence})
        (out / "annotate.json").unlink(missing_ok=True)  # what keeps another run out of the folder
        assert run(["annotate", str(assembly), *options, str(out)]) == 0
    assert run(["annotate", str(assembly), *options, str(plain)]) == 0
    names = (*TEXT_FILES, "annotate.json", "contigs.tsv", "gaps.bed")
    assert contents(out, names) == contents(plain, names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "no_such_model"], "no model named no_such_model"),
        (["--window", "1001"], "multiple of"),
        (["--elements", "introns"], "has no element introns"),
        (["--element", "introns"], "no element introns"),
        (["--element", "intron", "--elements", "exon"], "no element intron"),
        (["--device", "tpu"], "unknown device"),
        (["--device", "cuda:99"], "GPU"),
        (["--high", "0.3", "--low", "0.4"], "do not fit"),
        (["--set", "no_such=1"], "no_such"),
        (["--locus-prefix", "a b"], "--locus-prefix"),
        (["--regions", "/no/such.bed"], "/no/such.bed: cannot read the file"),
    ],
)
def test_wrong_options_are_refused_before_the_work(
    tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["annotate", str(DEMO), "--out", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "predict" not in error
    assert "bases to annotate" not in error
    assert not (tmp_path / "out").exists()


def test_two_runs_do_not_share_a_folder(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    held = os.open(out, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    command = ["annotate", str(small), "--model", "plant_small", "--include", "short1000", "--out", str(out)]
    assert run(command) == 2
    assert "another run is writing into the folder" in capsys.readouterr().err
    assert not list(out.iterdir())
    os.close(held)
    assert run([*command, "--skip", "report", "--skip", "tracks"]) == 0


@pytest.mark.parametrize("place", ["", "sub"])
def test_a_file_in_the_place_of_the_output_folder(
    tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_fasta(tmp_path / "a.fa", {"a": "ACGT" * 100})
    assert run(["annotate", str(file), "--model", "plant_small", "--out", str(file / place)]) == 2
    assert "Give another --out" in capsys.readouterr().err
    assert file.read_text().startswith(">a")


def test_a_checkpoint_is_checked_before_the_assembly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = write_hugging_face(tmp_path / "checkpoint")
    command = ["annotate", str(DEMO), "--out", str(tmp_path / "out"), "--model", str(checkpoint)]
    for options, message in ((["--window", "1001"], "multiple of"), (["--elements", "introns"], "no element introns")):
        assert run([*command, *options]) == 2
        assert message in capsys.readouterr().err
    file = next(file for file in checkpoint.iterdir() if file.name != "config.json")
    file.write_bytes(file.read_bytes()[:-5000])
    assert run(command) == 2
    error = capsys.readouterr().err
    assert "checkpoint" in error
    assert "bases to annotate" not in error
    assert not (tmp_path / "out").exists()


def test_what_a_file_says_counts_not_its_name(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parameters = tmp_path / "p.json"
    command = ["annotate", str(small), "--out", str(tmp_path / "out"), "--include", "short1000", "-q"]
    command += ["--model", "plant_small", "--skip", "tracks"]
    parameters.write_text(json.dumps({"min_intron": 30}))
    assert run([*command, "--parameters", str(parameters), "--skip", "report"]) == 0
    parameters.write_text(json.dumps({"min_intron": 31}))
    assert run([*command, "--parameters", str(parameters), "--skip", "report"]) == 2
    assert "parameters_sha256" in capsys.readouterr().err
    parameters.rename(tmp_path / "q.json")
    (tmp_path / "q.json").write_text(json.dumps({"min_intron": 30}))
    assert run([*command, "--parameters", str(tmp_path / "q.json"), "--skip", "report"]) == 0


@pytest.mark.parametrize("content", ["", ">a\nACGT\n>a\nAC\n", ">a\nMLEPPRT\n", "ACGT\n"])
def test_a_bad_assembly_is_refused_before_a_model_is_loaded(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.fa").write_text(content)
    assert run(["annotate", str(tmp_path / "a.fa"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "a.fa" in error
    assert "segnt_tools 0" not in error
    assert not (tmp_path / "out").exists()
    assert (
        run(["annotate", str(DEMO), "--out", str(tmp_path / "out"), "--min-length", "1G"]) == 2
    )  # nothing to go on with
    assert "no contig is left" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
