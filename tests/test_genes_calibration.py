"""Temperature and bias of tracks, fitted on labels: recovered where they are known, and better genes for it."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from test_genes_calling import benchmark

from segnt_tools.commands.main import run
from segnt_tools.errors import UsageError
from segnt_tools.evaluation.genes import compare_genes
from segnt_tools.genes.calibration import LabelCounts, fit_track, log_loss
from segnt_tools.genes.emissions import UNKNOWN_CODE
from segnt_tools.genes.estimation import longest
from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.gff.genemodel import Gene
from segnt_tools.gff.reading import read_genes
from segnt_tools.gff.writing import write_gff3
from segnt_tools.quantisation import quantise
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.codes import decode
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.tracks.file import Encoding, TracksHeader, tracks_writer

MASKED = 255
NOISE = 2.5
PERFECT = (1.0, 0.0)
# What is done to a track's logits before they are stored: temperature and bias that the fit must undo.
WARPED = {
    "protein_coding_gene": (0.5, -2.0),
    "exon": (2.0, 4.0),
    "intron": (1.5, -3.0),
    "splice_donor": (0.4, -3.0),
    "splice_acceptor": (0.4, 2.0),
    "5UTR": (1.0, 3.0),
    "3UTR": (0.7, 1.0),
}


def stored(temperature: float, bias: float, size: int = 400_000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Codes and labels of a track whose honest logits were multiplied and moved before they were stored."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 2, size)
    labels = (rng.random(size) < 1 / (1 + np.exp(-logits))).astype(np.uint8)
    return quantise((temperature * logits + bias).astype(np.float32)), labels


def counted(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    counts = LabelCounts(1)
    for part in np.array_split(np.arange(codes.size), 3):
        counts.add(codes[None, part], labels[None, part])
    return counts.of(0)


@pytest.mark.parametrize(("temperature", "bias"), [PERFECT, (0.5, 0.0), (1.3, 2.0), (0.7, -3.0)])
def test_known_temperature_and_bias_are_recovered(temperature, bias):
    codes, labels = stored(temperature, bias)
    counts = counted(codes, labels)
    fit = fit_track(counts)
    assert fit.pair[0] == pytest.approx(temperature, rel=0.03)
    assert fit.pair[1] == pytest.approx(bias, abs=0.03)
    assert (fit.bases, fit.present) == (codes.size, labels.sum())
    assert fit.before == log_loss(counts, PERFECT)
    fresh = counted(*stored(temperature, bias, seed=2))
    if (temperature, bias) == PERFECT:  # nothing to gain
        assert log_loss(fresh, fit.pair) == pytest.approx(log_loss(fresh, PERFECT), abs=1e-4)
    else:
        assert log_loss(fresh, fit.pair) < log_loss(fresh, PERFECT) - 0.005
    assert fit_track(counts, fit.pair).before == fit.after


def test_the_loss_is_that_of_all_bases():
    codes, labels = stored(0.7, 1.0, 1000)
    logits = ((codes.astype(float) - 1) * 20 / 254 - 10 - 0.5) / 2
    p = 1 / (1 + np.exp(-logits))
    assert log_loss(counted(codes, labels), (2.0, 0.5)) == pytest.approx(-np.log(np.where(labels, p, 1 - p)).mean())


def test_masked_labels_and_unknown_bases_do_not_count():
    codes, labels = stored(1.3, 2.0, 20_000)
    fit = fit_track(counted(codes, labels))
    worse = np.concatenate([labels, np.full(5000, MASKED), np.ones(5000)]).astype(np.uint8)
    more = np.concatenate([codes, np.full(5000, 1), np.full(5000, UNKNOWN_CODE)]).astype(np.uint8)
    assert fit_track(counted(more, worse)) == fit


def test_a_track_without_error_keeps_a_temperature_above_0():
    labels = np.repeat(np.array([0, 1], dtype=np.uint8), 500)
    fit = fit_track(counted(quantise(np.where(labels, 6, -6).astype(np.float32)), labels))
    assert 0.5 < fit.pair[0] < 1.5
    assert fit.pair[1] == pytest.approx(0, abs=0.01)


def test_what_says_nothing_is_not_fitted():
    codes, labels = stored(1, 0, 20_000)
    rng = np.random.default_rng(3)
    assert fit_track(counted(codes, rng.permutation(labels))) is None
    assert fit_track(counted(codes, 1 - labels)) is None  # it says the contrary
    assert fit_track(counted(codes, np.zeros_like(labels))) is None
    assert fit_track(counted(codes[:60], labels[:60])) is None


def test_a_temperature_of_0_is_refused():
    for pair in ([0.0, 1.0], [-1.0, 0.0]):
        with pytest.raises(UsageError, match="calibration of exon"):
            GeneParameters().replaced({"calibration": {"exon": pair}})


@dataclass(frozen=True)
class Region:
    """Files of a stretch of A. thaliana chr1, and its coding genes, one isoform each, in coordinates of the stretch."""

    fasta: Path
    gff3: Path
    tracks: Path
    genes: list[Gene]


def region(genomes: Path, folder: Path, start: int, end: int) -> Region:
    """SegmentNT's strandless genic tracks, noisy and warped, as a model might have written them."""
    module = benchmark()
    result = Region(folder / f"{start}.fa", folder / f"{start}.gff3", folder / f"{start}.h5", [])
    with Assembly.open(genomes / "arabidopsis_thaliana_chr1" / "genome.fa.gz") as assembly:
        name = assembly.contigs[0].name
        part = module.CutAssembly(assembly, Stretch(name, start, end))
        for gene in part.genes(read_genes(genomes / "arabidopsis_thaliana_chr1" / "annotation.gff3.gz")):
            if (transcript := longest(gene)) is not None:
                result.genes.append(dataclasses.replace(gene, transcripts=(transcript,)))
        result.fasta.write_text(f">{name}\n{decode(part.codes(name))}\n")
    write_gff3(result.gff3, result.genes, part.lengths)
    transcripts = [gene.transcripts[0] for gene in result.genes]
    drawn = module.DrawnTracks("segmentnt", {name: transcripts}, part.lengths, NOISE, seed=start)
    pairs = np.array([WARPED[track.element] for track in drawn.tracks], dtype=np.float32)[:, :, None]
    with Assembly.open(result.fasta) as assembly:
        header = TracksHeader(drawn.tracks, Encoding.LOGIT8, assembly.fingerprint, "warped", "f", {})
        pieces = [Stretch(name, 0, end - start)]
        with tracks_writer(result.tracks, header, assembly.contigs, pieces) as writer:
            writer.write(drawn.logits(name, 0, end - start) * pairs[:, 0] + pairs[:, 1])
    return result


def coding_f1(place: Region, out: Path, parameters: Path) -> dict[str, float]:
    """F1 of coding sequence that call-genes reaches with some parameters."""
    command = ["call-genes", str(place.tracks), "--genome", str(place.fasta), "--out", str(out), "--quiet"]
    assert run([*command, "--parameters", str(parameters)]) == 0
    with Assembly.open(place.fasta) as assembly:
        everywhere = {name: np.array([[0, length]]) for name, length in assembly.lengths.items()}
    levels = compare_genes(place.genes, read_genes(out / "genes.gff3"), everywhere, "cds").levels
    return {level: levels[level].f1 or 0.0 for level in ("nucleotide", "exon", "gene")}


@pytest.fixture(scope="module")
def fitted(genomes, tmp_path_factory) -> tuple[Region, Path, dict]:
    """A region that nothing was fitted on, the folder of what was fitted on another one, and its report."""
    folder = tmp_path_factory.mktemp("calibration")
    place = region(genomes, folder, 5_000_000, 5_500_000)
    command = ["call-genes", "--estimate-parameters", str(place.gff3), "--genome", str(place.fasta), str(place.tracks)]
    assert run([*command, "--out", str(folder), "--json", str(folder / "report.json"), "--quiet"]) == 0
    return region(genomes, folder, 6_000_000, 6_500_000), folder, json.loads((folder / "report.json").read_text())


def test_warped_tracks_are_straightened_on_real_labels(fitted):
    _, folder, report = fitted
    written = json.loads((folder / "gene-parameters.json").read_text())
    assert set(written["calibration"]) == set(WARPED)
    # Logits of +6 and -6 with normal noise of variance v are worth 12 / v each (a bit more where they were cut off at
    # 7.9), and the element is as rare as it is.
    for element in ("exon", "intron", "protein_coding_gene"):
        fit, (temperature, bias) = report["tracks"][element], written["calibration"][element]
        rarity = math.log(fit["present"] / (fit["bases"] - fit["present"]))
        assert temperature == pytest.approx(WARPED[element][0] * NOISE**2 / 12, rel=0.15)
        assert bias == pytest.approx(WARPED[element][1] - temperature * rarity, abs=0.3)
    for name, fit in report["tracks"].items():
        assert fit["after"] < fit["before"], name
        assert fit["pair"] == written["calibration"][name]
    assert report["parameters"] == written
    assert "region_weight" not in written  # what was not measured is left to the model's card


def test_genes_of_warped_tracks_are_better_after_the_fit(fitted, tmp_path):
    place, folder, _ = fitted
    values = json.loads((folder / "gene-parameters.json").read_text())
    del values["calibration"]
    (tmp_path / "without.json").write_text(json.dumps(values))
    before = coding_f1(place, tmp_path / "before", tmp_path / "without.json")
    after = coding_f1(place, tmp_path / "after", folder / "gene-parameters.json")
    assert all(after[level] > before[level] + 0.1 for level in after)
