"""--model auto: the sample it looks at, the model it takes, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pysam
import pytest

from segnt_tools.commands.main import run
from segnt_tools.models.registry import embedded_models
from segnt_tools.selection import SAMPLED_LENGTH, SAMPLED_STRETCHES, sample_of
from segnt_tools.sequence.assembly import Contig

DEMO = Path(__file__).parents[1] / "segnt_tools" / "data" / "demo" / "arabidopsis_chr1.fa.gz"


def contigs(*lengths: int) -> list[Contig]:
    return [Contig(f"c{number}", length, "") for number, length in enumerate(lengths)]


def test_a_small_assembly_is_looked_at_whole() -> None:
    assert [(s.contig, s.start, s.end) for s in sample_of(contigs(5000, 20, 0))] == [
        ("c0", 0, 5000),
        ("c1", 0, 20),
    ]


@pytest.mark.parametrize(
    "lengths",
    [(30_000_000,), (100_000, 90_000_000, 50_000_000), (300,) * 100_000, (SAMPLED_LENGTH,) * 20, (250_000, 1)],
)
def test_the_sample_is_spread_over_long_contigs(lengths: tuple[int, ...]) -> None:
    given = contigs(*lengths)
    sample = sample_of(given)
    by_name = {contig.name: contig.length for contig in given}
    assert len(sample) <= SAMPLED_STRETCHES
    assert len(set(sample)) == len(sample)
    for stretch in sample:
        assert 0 <= stretch.start < stretch.end <= by_name[stretch.contig]
        assert stretch.bases == min(SAMPLED_LENGTH, by_name[stretch.contig])
    assert sample == sample_of(given)


def write_part(genome: Path, contig: str, length: int, out: Path) -> Path:
    with pysam.FastaFile(str(genome)) as fasta:
        out.write_text(f">{contig}\n{fasta.fetch(contig, 0, length)}\n")
    return out


def chosen(fasta: Path, out: Path, *options: str) -> dict:
    assert run(["predict", str(fasta), "--out", str(out / "t.h5"), "--json", str(out / "r.json"), *options]) == 0
    return json.loads((out / "r.json").read_text())


def test_plants_get_the_plant_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = chosen(DEMO, tmp_path, "--elements", "CDS")
    assert report["model"] == "plant_small"
    fits = report["selection"]["fits"]
    assert fits[0]["expected_coding_share"] == max(fit["expected_coding_share"] for fit in fits)
    assert {fit["model"] for fit in report["selection"]["fits"]} == set(embedded_models())
    told = capsys.readouterr().err
    assert "plant_small (land plants) fits best" in told
    assert "unlike anything" not in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "contig", "model"),
    [
        ("plasmodium_falciparum_chr1-10", "Pf3D7_09_v3", "plasmodium_small"),
        ("saccharomyces_cerevisiae_chrI-XII", "BK006944.2", "yeast_small"),
        ("drosophila_chr4_4species", "NC_004353.4", "fly_small"),
        ("arabidopsis_arenosa_chr1_2", None, "plant_small"),
    ],
)
def test_each_clade_gets_its_model(genomes: Path, tmp_path: Path, folder: str, contig: str | None, model: str) -> None:
    genome = genomes / folder / "genome.fa.gz"
    with pysam.FastaFile(str(genome)) as fasta:
        contig = contig or fasta.references[0]
    part = write_part(genome, contig, 300_000, tmp_path / "part.fa")
    assert chosen(part, tmp_path, "--elements", "CDS")["model"] == model


@pytest.mark.slow
def test_a_genome_of_no_known_clade_is_warned_about(
    genomes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genome = genomes / "human_hg38_regions" / "genome.fa.gz"
    with pysam.FastaFile(str(genome)) as fasta:
        part = write_part(genome, fasta.references[0], 300_000, tmp_path / "part.fa")
    chosen(part, tmp_path, "--elements", "CDS")
    told = capsys.readouterr().err
    assert "unlike anything the embedded models were trained on" in told
    assert "segnt train adapt" in told
