"""segnt call-genes from the command line: outputs, reports, and what a wrong call gets."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segnt_tools.commands.main import run
from segnt_tools.genes.estimation import longest
from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.gff.reading import read_genes
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.codes import decode
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.tracks.file import Encoding, TracksHeader, tracks_writer

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "segnt_tools" / "data" / "demo"
BASES = 45_000
SECOND = 60_000  # where the second contig begins in the demo assembly; frames stay as they are

CARD = {"licence": "none", "citation": "A paper"}


@pytest.fixture(scope="module")
def prediction(tmp_path_factory) -> tuple[Path, Path]:
    """A FASTA with stretches of the demo assembly, and tracks drawn from its annotation, in two shards."""
    spec = importlib.util.spec_from_file_location("decoder_recovery_cli", ROOT / "benchmarks" / "decoder_recovery.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("call_genes")
    fasta = folder / "piece.fa"
    with Assembly.open(DEMO / "arabidopsis_chr1.fa.gz") as assembly:
        (name,) = assembly.lengths
        first, second = (decode(assembly.codes(name, *part)) for part in ((0, BASES), (SECOND, SECOND + BASES)))
        fasta.write_text(f">{name} some text\n{first}\n>tiny\nACGTN\n>second\n{second}\n")
        genes = read_genes(DEMO / "arabidopsis_chr1.gff3.gz", assembly.lengths)
        transcripts = [transcript for gene in genes if (transcript := longest(gene)) is not None]
        drawn = module.DrawnTracks("stranded", {name: transcripts}, assembly.lengths, 0.0)
    with Assembly.open(fasta) as assembly:
        header = TracksHeader(drawn.tracks, Encoding.LOGIT8, assembly.fingerprint, "drawn", "f", CARD)
        border = 20_001
        rest = [Stretch(name, border, BASES), Stretch("tiny", 0, 5), Stretch("second", 0, BASES)]
        shards = ([Stretch(name, 0, border)], rest)
        for number, pieces in enumerate(shards):
            with tracks_writer(folder / f"{number}.h5", header, assembly.contigs, pieces) as writer:
                for piece in pieces:
                    moved = SECOND if piece.contig == "second" else 0
                    writer.write(drawn.logits(name, moved + piece.start, moved + piece.end))
    return fasta, folder


def call(prediction: tuple[Path, Path], out: Path, *options: str) -> int:
    fasta, folder = prediction
    tracks = [str(folder / "0.h5"), str(folder / "1.h5")]
    return run(["call-genes", *tracks, "--genome", str(fasta), "--out", str(out), "--quiet", *options])


def test_all_outputs(prediction, tmp_path):
    assert call(prediction, tmp_path / "out", "--gtf", "--locus-prefix", "AT", "--json", str(tmp_path / "r.json")) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"genes.gff3", "genes.gtf", "proteins.fa", "cds.fa", "transcripts.fa", "call-genes.json"}
    genes = read_genes(tmp_path / "out" / "genes.gff3")
    assert len(genes) >= 8
    assert [gene.id for gene in genes] == [f"AT_{number:06d}" for number in range(1, len(genes) + 1)]
    for name in ("genes.gff3", "genes.gtf"):
        head = [line for line in (tmp_path / "out" / name).read_text().splitlines() if line.startswith("#!model")]
        assert head == ["#!model drawn", "#!model-licence none", "#!model-citation A paper"]
    assert all(0 <= gene.score <= 1 for gene in genes)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report == json.loads((tmp_path / "out" / "call-genes.json").read_text())
    assert report["genes"] == len(genes)
    assert report["coding_genes"] == (tmp_path / "out" / "proteins.fa").read_text().count(">")
    assert GeneParameters().replaced(report["parameters"]).as_dict() == report["parameters"]
    assert run(["check-gff", str(tmp_path / "out" / "genes.gff3"), "--genome", str(prediction[0]), "--quiet"]) == 0


def test_a_gtf_of_an_earlier_run_does_not_stay_beside_other_genes(prediction, tmp_path):
    out = tmp_path / "out"
    assert call(prediction, out, "--gtf") == 0
    assert (out / "genes.gtf").is_file()
    (out / "gene-parameters.json").write_text("{}")
    assert call(prediction, out, "--parameters", str(out / "gene-parameters.json"), "--min-score", "0.9") == 0
    assert not (out / "genes.gtf").exists()
    assert (out / "gene-parameters.json").is_file()  # no output of this run, but its input


def test_threads_and_order_of_shards_do_not_show(prediction, tmp_path):
    fasta, folder = prediction
    assert call(prediction, tmp_path / "one", "--threads", "1") == 0
    tracks = [str(folder / "1.h5"), str(folder / "0.h5")]
    out = tmp_path / "two"
    assert run(["call-genes", *tracks, "--genome", str(fasta), "--out", str(out), "--threads", "2", "--quiet"]) == 0
    contigs = {gene.contig for gene in read_genes(out / "genes.gff3")}
    assert len(contigs) == 2
    for name in ("genes.gff3", "proteins.fa", "cds.fa", "transcripts.fa", "call-genes.json"):
        assert (tmp_path / "one" / name).read_bytes() == (out / name).read_bytes()


def test_settings_and_scores(prediction, tmp_path):
    assert call(prediction, tmp_path / "a", "--min-score", "0.9", "--set", "min_cds=600") == 0
    genes = read_genes(tmp_path / "a" / "genes.gff3")
    assert genes
    assert all(gene.score >= 0.9 for gene in genes)
    assert all(
        transcript.coding_length >= 600 or transcript.partial_5 or transcript.partial_3
        for gene in genes
        for transcript in gene.transcripts
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "no_such=1"), "unknown gene parameters no_such"),
        (("--set", "min_intron=many"), "min_intron"),
        (("--genetic-code", "7"), "no genetic code 7"),
        (("--parameters", "nowhere.json"), "cannot read gene parameters"),
        (("--locus-prefix", "a b"), "without blanks"),
    ],
)
def test_wrong_options_end_with_2_and_leave_nothing(prediction, tmp_path, capsys, options, message):
    assert call(prediction, tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "genes.gff3").exists()


def test_incomplete_contigs_and_other_assemblies_are_refused(prediction, tmp_path, capsys):
    fasta, folder = prediction
    base = ["call-genes", str(folder / "0.h5"), "--out", str(tmp_path / "out"), "--quiet"]
    assert run([*base, "--genome", str(fasta)]) == 2
    assert "not complete" in capsys.readouterr().err
    other = tmp_path / "other.fa"
    other.write_text(">x\nACGT\n")
    assert run([*base, "--genome", str(other)]) == 2
    assert "another assembly" in capsys.readouterr().err
    assert run(["call-genes", "--genome", str(fasta), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert "no tracks files" in capsys.readouterr().err


def test_parameters_are_estimated_and_used(prediction, tmp_path):
    out = tmp_path / "estimate"
    arguments = ["--genome", str(DEMO / "arabidopsis_chr1.fa.gz"), "--out", str(out), "--quiet"]
    assert run(["call-genes", "--estimate-parameters", str(DEMO / "arabidopsis_chr1.gff3.gz"), *arguments]) == 0
    values = json.loads((out / "gene-parameters.json").read_text())
    assert 50 <= values["min_intron"] <= 80
    assert call(prediction, tmp_path / "used", "--parameters", str(out / "gene-parameters.json")) == 0
    used = json.loads((tmp_path / "used" / "call-genes.json").read_text())["parameters"]
    assert used["min_intron"] == values["min_intron"]
    # What was not measured is not written, so that a model's card keeps its say; what was asked for is.
    assert "region_weight" not in values
    assert "calibration" not in values
    options = ["--set", "min_cds=99", "--genetic-code", "11"]
    assert (
        run(["call-genes", "--estimate-parameters", str(DEMO / "arabidopsis_chr1.gff3.gz"), *arguments, *options]) == 0
    )
    more = json.loads((out / "gene-parameters.json").read_text())
    assert set(more) - set(values) == {"min_cds", "genetic_code"}
    assert (more["min_cds"], more["genetic_code"]) == (99, 11)


def test_sigterm_that_a_library_swallows_ends_as_143(prediction, tmp_path, capsys, monkeypatch):
    def swallowing(args: argparse.Namespace) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except BaseException:
            raise RuntimeError("no compiled object yet for <Library>") from None
        return 0

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("segnt_tools.commands.call_genes.run", swallowing)
    assert call(prediction, tmp_path / "out") == 143
    assert "terminated" in (said := capsys.readouterr().err)
    assert "bug" not in said
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "seconds"), [("1", 1.0), ("1", 4.0), ("2", 4.0)])
def test_sigterm_while_the_kernels_compile_ends_as_143_at_once(prediction, tmp_path, threads, seconds):
    fasta, folder = prediction
    tracks = [str(folder / "0.h5"), str(folder / "1.h5")]
    code = "from segnt_tools.commands.main import main; main()"
    command = [sys.executable, "-c", code, "call-genes", *tracks, "--genome", str(fasta), "--threads", threads]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert "compiling" in process.stderr.readline()
        time.sleep(seconds)
        begun = time.monotonic()
        process.terminate()
        said = process.stderr.read()
    assert process.returncode == 143, said
    assert time.monotonic() - begun < 15  # compiling would take longer
    assert "terminated" in said
    assert "bug" not in said
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_kernels_compile_where_nothing_can_be_cached(tmp_path):
    """A read-only installation without a home: numba finds no place for its cache, and the kernels compile anyway."""
    (tmp_path / "module.py").write_text(
        "import numba.core.caching as caching\n"
        "caching.CompileResultCacheImpl._locator_classes = []\n"
        "from segnt_tools.compilation import compiled\n"
        "@compiled\n"
        "def added(a):\n"
        "    return a + 1\n"
        "print(added(1))\n"
    )
    command = [sys.executable, str(tmp_path / "module.py")]
    result = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert result.stdout.strip() == "2", result.stderr
