"""segnt train: recipes, resuming, processes, curriculum, head only, and that real genomes are learnt."""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tiny_checkpoints
import torch

from segnt_tools.commands.main import run as main
from segnt_tools.commands.train import settings_of
from segnt_tools.elements import Track
from segnt_tools.errors import RecipeError, UsageError
from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.models.architectures import build
from segnt_tools.models.card import Card
from segnt_tools.models.checkpoints import open_checkpoint, open_trunk
from segnt_tools.models.nt_encoder import EncoderConfig
from segnt_tools.models.registry import load_model
from segnt_tools.models.segment_nt import GEOMETRY
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.training.calibration import Calibrator
from segnt_tools.training.journal import read_entries
from segnt_tools.training.losses import best_constant_loss, track_loss
from segnt_tools.training.optimisers import orthogonalised, rate_factor
from segnt_tools.training.recipe import OptimiserRecipe, Recipe, bundled_recipes, find_recipe
from segnt_tools.training.regions import split
from segnt_tools.training.track_task import rescale_rotary, rotary_factor, stage_card, track_network

SEGNT = [sys.executable, "-c", "from segnt_tools.commands.main import main; main()"]
RECIPES = Path(__file__).parents[1] / "recipes"

TINY_CLASSES = """
seed = 3
[[data]]
name = "toy"
genome = "genome.fa"
annotation = "genes.gff3"
[model]
margin = 48
config = {channels = [8, 12, 16], blocks = 1, dilations = [1, 2], attention_after = [1], heads = 2}
[[stage]]
window = 768
steps = 12
batch = 2
[validation]
every = 6
bases = 4000
[calibration]
rounds = 0
"""

TINY_TRACKS = """
seed = 3
[[data]]
name = "toy"
genome = "genome.fa"
annotation = "genes.gff3"
[model]
architecture = "segment_nt"
tracks = ["exon", "intron", "splice_donor"]
margin = 24
config = {head_channels = 8, encoder = {width = 16, layers = 2, heads = 2, head_width = 8, ffn_width = 24}}
[loss]
kind = "focal"
[optimiser]
name = "adam"
rate = 1e-3
weight_decay = 0.0
average = 0.0
[[stage]]
window = 240
steps = 4
batch = 4
device_batch = 2
[[stage]]
window = 480
steps = 4
batch = 4
device_batch = 2
[validation]
every = 4
bases = 4000
"""


def toy_gene(rng: np.random.Generator) -> tuple[str, list[tuple[int, int]]]:
    """Sequence of a gene with one intron, and its two coding parts."""
    codons = ["GAA", "GCT", "AAA", "CTC", "GGA", "TCT"]
    first = "ATG" + "".join(rng.choice(codons, 20))
    intron = "GTAAGT" + "".join(rng.choice(list("ACTTT"), 60)) + "TTTCAG"
    second = "".join(rng.choice(codons, 25)) + "TAA"
    return first + intron + second, [(0, len(first)), (len(first) + len(intron), len(first + intron + second))]


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Path:
    """A folder with a small genome of toy genes and its annotation."""
    folder = tmp_path_factory.mktemp("toy")
    rng = np.random.default_rng(7)
    lines, records = ["##gff-version 3"], []
    for contig in ("one", "two"):
        text = ""
        for number in range(25):
            text += "".join(rng.choice(list("ACGT"), int(rng.integers(100, 400))))
            gene, parts = toy_gene(rng)
            name = f"{contig}_{number}"
            start, end = len(text) + 1, len(text) + len(gene)
            lines.append(f"{contig}\ttoy\tgene\t{start}\t{end}\t.\t+\t.\tID=g_{name}")
            lines.append(f"{contig}\ttoy\tmRNA\t{start}\t{end}\t.\t+\t.\tID=t_{name};Parent=g_{name}")
            done = 0
            for left, right in parts:
                place = f"{len(text) + left + 1}\t{len(text) + right}\t.\t+"
                lines.append(f"{contig}\ttoy\texon\t{place}\t.\tParent=t_{name}")
                lines.append(f"{contig}\ttoy\tCDS\t{place}\t{-done % 3}\tID=c_{name};Parent=t_{name}")
                done += right - left
            text += gene
        text += "".join(rng.choice(list("ACGT"), 200))
        records.append(f">{contig}\n{text}\n")
    (folder / "genome.fa").write_text("".join(records))
    (folder / "genes.gff3").write_text("\n".join(lines) + "\n")
    (folder / "classes.toml").write_text(TINY_CLASSES)
    (folder / "tracks.toml").write_text(TINY_TRACKS)
    return folder


def train(folder: Path, recipe: str, out: Path, *options: str) -> int:
    return main(["train", str(folder / recipe), "--out", str(out), "--threads", "1", "--device", "cpu", "-q", *options])


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return open_checkpoint(folder)[1]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch):
    torch.set_num_threads(1)
    for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)


def test_bundled_recipes_are_valid_and_found_by_name():
    assert sorted(RECIPES.glob("*.toml")) == sorted(RECIPES / f"{name}.toml" for name in bundled_recipes())
    for name in bundled_recipes():
        Recipe.read(find_recipe(Path(name)))


def test_the_bundled_recipes_can_be_listed(capsys):
    assert main(["train", "--recipes"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == list(bundled_recipes())
    assert all(Path(row[1]).is_file() and len(row[2]) > 20 for row in rows)


def test_an_unknown_recipe_is_answered_with_the_known_ones(capsys, tmp_path):
    assert main(["train", "adopt", "--out", str(tmp_path / "out")]) == 2
    assert "adapt" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimiser.rrate=1", "unknown key optimiser.rrate.*Nearest known: rate"),
        ("stages=1", "unknown key stages.*Nearest known: stage"),
        ("stage.0.windw=96", "unknown key stage.0.windw.*Nearest known: window"),
        ("seed='one'", "seed cannot be 'one'"),
        ("loss.kind=foca", "loss.kind is 'foca'.*focal"),
        ("stage.0.steps=0", "stage.0.steps must be at least 1"),
        ("stage.3.steps=0", "no entry 3"),
        ("data.0.annotation=''", "either an annotation or labels"),
        ("optimiser.betas=[0.9]", "optimiser.betas must be a list"),
        ("optimiser.betas=[0.9, 2.0]", "optimiser.betas are .* below 1"),
        ("seed=-1", "seed is -1"),
        ("seed.a.b=1", "seed.a.b cannot be set"),
        ("validation.every=0", "validation.every is 0"),
        ("model.base_share=0.5", "model.base_share needs a model.base"),
        ("model.base_share=1", "model.base_share is 1.0, and must be from 0 to below 1"),
    ],
)
def test_mistakes_in_a_recipe_are_named(toy, tmp_path, capsys, change, message):
    out = tmp_path / "out"
    assert train(toy, "classes.toml", out, "--set", change) == 2
    assert not out.exists()
    error = capsys.readouterr().err
    assert re.search(message, error), error


@pytest.mark.parametrize("minutes", ["nan", "0", "-1", "inf"])
def test_a_time_that_is_none_is_refused(toy, tmp_path, capsys, minutes):
    assert train(toy, "classes.toml", tmp_path / "out", "--minutes", minutes) == 2
    assert "no time" in capsys.readouterr().err


def test_embedded_network_trains_and_its_checkpoint_loads(toy, tmp_path):
    out = tmp_path / "model"
    assert train(toy, "classes.toml", out, "--set", "stage.0.steps=60", "--set", "validation.every=30") == 0
    entries = read_entries(out / "training")
    losses = [e["loss"] for e in entries if e["kind"] == "validation"]
    assert losses[-1] < losses[0]
    card = load_model(out, device="cpu").card
    assert card.genes["min_intron"] == 72
    assert card.metrics["training"]["steps"] == 60
    assert [source.use.split(":")[0] for source in card.data] == ["training", "validation"]
    # The toy annotation has no untranslated exons: their tracks must not be offered.
    assert "5UTR+" not in {t.name for t in card.tracks if t.trained}
    assert (out / "learning_curve.png").stat().st_size > 1000
    assert (out / "training" / "log.csv").read_text().startswith("step,kind,loss")


def test_a_base_may_get_more_blocks_but_no_other_shape(toy, tmp_path, capsys):
    base, deeper = tmp_path / "base", tmp_path / "deeper"
    assert train(toy, "classes.toml", base) == 0
    more = "model.config={blocks=2, dilations=[1, 2, 1], attention_after=[1, 2]}"
    assert train(toy, "classes.toml", deeper, "--set", f"model.base={base}", "--set", more) == 0
    # What the recipe does not name is the base's.
    assert load_model(deeper, device="cpu").card.config["channels"] == [8, 12, 16]
    assert len(weights_of(deeper)) > len(weights_of(base))
    wider = ["--set", f"model.base={base}", "--set", "model.config={channels=[8, 12, 32]}"]
    assert train(toy, "classes.toml", tmp_path / "wider", *wider) == 2
    assert re.search(r"base has another network: channels.*more blocks", capsys.readouterr().err, re.DOTALL)
    assert not (tmp_path / "wider").exists()


@pytest.mark.parametrize("recipe", ["classes.toml", "tracks.toml"])
def test_a_checkpoint_may_keep_a_share_of_its_base(toy, tmp_path, recipe):
    base, alone, mixed = (tmp_path / name / "model" for name in ("base", "alone", "mixed"))
    assert train(toy, recipe, base) == 0
    again = ["--set", f"model.base={base}", "--set", "validation.keep=last", "--set", "seed=4"]
    assert train(toy, recipe, alone, *again) == 0
    assert train(toy, recipe, mixed, *again, "--set", "model.base_share=0.25") == 0
    first, second, mean = (weights_of(folder) for folder in (base, alone, mixed))
    learnt = [name for name in first if not torch.equal(first[name], second[name])]
    assert learnt
    assert all(torch.allclose(mean[n], 0.25 * first[n] + 0.75 * second[n], atol=1e-3) for n in learnt)
    # The base is not in the state that a killed run goes on from.
    (mixed / "model.safetensors").unlink()
    assert train(toy, recipe, mixed, *again, "--set", "model.base_share=0.25") == 0
    assert equal(weights_of(mixed), mean)


def test_a_recipe_may_name_costs_of_the_decoder_to_learn_through(toy, tmp_path, capsys):
    out = tmp_path / "model"
    assert train(toy, "classes.toml", out, "--set", "card.genes={start=-1.5}", "--set", "loss.decoder_weight=1.0") == 0
    assert load_model(out, device="cpu").card.genes["start"] == -1.5
    assert train(toy, "classes.toml", tmp_path / "wrong", "--set", "card.genes={begin=-1.5}") == 2
    assert "card.genes: unknown gene parameters begin" in capsys.readouterr().err
    assert not (tmp_path / "wrong").exists()


def test_a_run_does_not_go_on_with_other_genes_under_the_same_name(toy, tmp_path, capsys):
    folder, out = shutil.copytree(toy, tmp_path / "toy"), tmp_path / "model"
    assert train(folder, "classes.toml", out) == 0
    assert train(folder, "classes.toml", out) == 0
    with (folder / "genes.gff3").open("a") as annotation:
        annotation.write("# another remark\n")
    assert train(folder, "classes.toml", out) == 2
    assert "content differs in data.0.annotation" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["classes.toml", "tracks.toml"])
def test_mixed_precision_learns_too(toy, tmp_path, recipe):
    out = tmp_path / "model"
    assert train(toy, recipe, out, "--precision", "bfloat16", "--set", "validation.every=2") == 0
    losses = [entry["loss"] for entry in read_entries(out / "training") if entry["kind"] == "validation"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("recipe", ["classes.toml", "tracks.toml"])
def test_a_resumed_run_gives_the_weights_of_an_uninterrupted_one(toy, tmp_path, monkeypatch, recipe):
    whole, parts = tmp_path / "same" / "model", tmp_path / "cut" / "model"
    assert train(toy, recipe, whole) == 0
    from segnt_tools.training import loop

    real_step, done = loop.Trainer._step, []

    def step(self, stage):
        if len(done) == 7:
            raise KeyboardInterrupt
        done.append(1)
        result = real_step(self, stage)
        if self.position.step == 5:
            self._save()
        return result

    monkeypatch.setattr(loop.Trainer, "_step", step)
    assert train(toy, recipe, parts) == 130
    monkeypatch.setattr(loop.Trainer, "_step", real_step)
    assert train(toy, recipe, parts) == 0
    assert equal(weights_of(whole), weights_of(parts))
    validation = [[e for e in read_entries(f / "training") if e["kind"] == "validation"] for f in (whole, parts)]
    assert validation[0] == validation[1]


@pytest.mark.slow
def test_killed_for_real_and_resumed(toy, tmp_path):
    whole, parts = tmp_path / "same" / "model", tmp_path / "cut" / "model"
    options = ["--set", "stage.0.steps=150", "--set", "validation.every=10"]
    assert train(toy, "classes.toml", whole, *options) == 0
    command = [*SEGNT, "train", str(toy / "classes.toml")]
    command += ["--out", str(parts), "--threads", "1", "--device", "cpu", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    state = parts / "training" / "state.pt"
    deadline = time.monotonic() + 120
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert state.exists()
    assert train(toy, "classes.toml", parts, *options) == 0
    assert equal(weights_of(whole), weights_of(parts))


DEMO = Path(__file__).parents[1] / "segnt_tools" / "data" / "demo"


def curriculum(out: Path, *options: str) -> list[str]:
    """The bundled SegmentNT recipe with all four windows, but a tiny network and few steps, on the demo assembly."""
    windows = (3000, 10_008, 19_992, 30_000)
    stages = ", ".join(f"{{window={window}, steps=3, batch=2, device_batch=1}}" for window in windows)
    values = ("data.0.train=[]", "data.0.validate=[]", 'data.0.labels=""', f"stage=[{stages}]", 'model.base=""')
    values += ("model.config={head_channels=8, encoder={width=16, layers=2, heads=2, head_width=8, ffn_width=24}}",)
    values += ("optimiser.rate=1e-3", "validation.every=2", "validation.bases=30000")
    command = ["train", "segment_nt_human", "--out", str(out), "--threads", "1", "--device", "cpu", *options]
    command += ["--genome", str(DEMO / "arabidopsis_chr1.fa.gz")]
    command += ["--annotation", str(DEMO / "arabidopsis_chr1.gff3.gz")]
    return command + [part for value in values for part in ("--set", value)]


@pytest.mark.slow
def test_the_papers_curriculum_killed_in_its_third_stage_and_resumed(tmp_path, monkeypatch):
    """SIGKILL, not an exception: nothing of the process can tidy up."""
    from segnt_tools.training import track_task

    whole, parts = tmp_path / "same" / "model", tmp_path / "cut" / "model"
    real, factors = track_task.rescale_rotary, []
    monkeypatch.setattr(track_task, "rescale_rotary", lambda m, w: (factors.append((w, rotary_factor(w))), real(m, w)))
    assert main([*curriculum(whole), "-q"]) == 0
    assert factors == [(3000, None), (10_008, None), (19_992, 3333 / 2048), (30_000, 5001 / 2048)]
    process = subprocess.Popen([*SEGNT, *curriculum(parts)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step 8 validation"):
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert main([*curriculum(parts), "-q"]) == 0
    assert factors[-2:] == [(19_992, 3333 / 2048), (30_000, 5001 / 2048)]
    assert (3000, None) not in factors[4:]  # the first stage was over
    assert equal(weights_of(whole), weights_of(parts))
    card = Card.read(parts)
    assert card.config["encoder"]["rescaling_factor"] == pytest.approx(5001 / 2048)
    assert card.geometry.length == 30_000


def test_patience_ends_a_stage_and_the_best_of_the_last_is_kept(tmp_path):
    """Nothing gets better: each stage ends early and the next one begins."""
    out = tmp_path / "model"
    changes = ["--set", "optimiser.rate=1e-30", "--set", "validation.every=1", "--set", "validation.patience=1"]
    command = [*curriculum(out), *changes]
    assert main([*command, "-q", "--json", str(tmp_path / "report.json")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["steps"] == 8  # of each stage a first validation, and one that is not better
    assert report["stopped"] == "no better for 1 validations"
    steps = [entry["step"] for entry in read_entries(out / "training") if entry["kind"] == "validation"]
    assert steps == list(range(1, 9))
    assert Card.read(out).metrics["validation"]["step"] == 7  # figures of the weights that are kept


def test_cards_of_stages(toy, tmp_path):
    recipe = Recipe.read(toy / "tracks.toml", {"stage.1.window": 19_992})
    card, _ = track_network(recipe, ["exon"], "toy")
    first, last = (stage_card(card, recipe, stage) for stage in recipe.stage)
    assert (first.geometry.length, last.geometry.length) == (240, 19_992)
    assert first.config["encoder"]["rescaling_factor"] is None
    assert last.config["encoder"]["rescaling_factor"] == pytest.approx(3333 / 2048)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["classes.toml", "tracks.toml"])
def test_two_processes_learn_what_one_does(toy, tmp_path, recipe):
    one, two = tmp_path / "one" / "model", tmp_path / "two" / "model"
    assert train(toy, recipe, one) == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["--no-python", *SEGNT, "train", str(toy / recipe), "--out", str(two)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--threads", "1", "--device", "cpu"], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = weights_of(one), weights_of(two)
    for name, value in first.items():
        assert torch.allclose(value.float(), second[name].float(), atol=2e-3), name


def test_head_only_leaves_the_trunk_bit_identical(toy, tmp_path):
    base, tuned = tmp_path / "base", tmp_path / "tuned"
    assert train(toy, "tracks.toml", base) == 0
    changes = ["--set", f"model.base={base}", "--set", "model.train=head", "--set", "seed=4"]
    assert train(toy, "tracks.toml", tuned, *changes) == 0
    before, after = weights_of(base), weights_of(tuned)
    assert all(torch.equal(before[n], after[n]) for n in before if not n.startswith("head."))
    assert any(not torch.equal(before[n], after[n]) for n in before if n.startswith("head."))


def test_new_tracks_on_an_old_trunk(toy, tmp_path):
    base, tuned = tmp_path / "base", tmp_path / "tuned"
    assert train(toy, "tracks.toml", base) == 0
    changes = ["--set", f"model.base={base}", "--set", 'model.tracks=["CDS+", "CDS-"]', "--set", "model.train=head"]
    assert train(toy, "tracks.toml", tuned, *changes) == 0
    card, after = open_checkpoint(tuned)
    assert [track.name for track in card.tracks] == ["CDS+", "CDS-"]
    before = weights_of(base)
    assert all(torch.equal(before[n], after[n]) for n in before if not n.startswith("head."))


def test_gradient_checkpointing_changes_nothing(toy, tmp_path):
    plain, saving = tmp_path / "plain" / "model", tmp_path / "saving" / "model"
    assert train(toy, "tracks.toml", plain) == 0
    assert train(toy, "tracks.toml", saving, "--set", "checkpointing=true") == 0
    first, second = weights_of(plain), weights_of(saving)
    assert all(torch.allclose(first[n], second[n], atol=1e-6) for n in first)


def test_track_training_beats_the_best_constants(toy, tmp_path):
    out = tmp_path / "model"
    changes = ["--set", "stage.0.steps=150", "--set", "stage.1.steps=50", "--set", "optimiser.rate=0.004"]
    assert train(toy, "tracks.toml", out, *changes, "--set", "validation.every=50") == 0
    figures = Card.read(out).metrics["validation"]
    assert figures["loss"] < figures["constant_loss"]


def test_one_hot_ablation_trains(toy, tmp_path):
    out = tmp_path / "model"
    changes = ["--set", "model.architecture=onehot_unet", "--set", "model.config={head_channels=8}"]
    assert train(toy, "tracks.toml", out, *changes) == 0
    assert Card.read(out).architecture == "onehot_unet"


def test_another_recipe_in_the_same_folder_is_refused(toy, tmp_path, capsys):
    out = tmp_path / "model"
    assert train(toy, "classes.toml", out, "--set", "stage.0.steps=2") == 0
    assert train(toy, "classes.toml", out, "--set", "optimiser.rate=0.5") == 2
    error = capsys.readouterr().err
    assert "another recipe" in error
    assert "optimiser.rate" in error


def test_a_folder_with_a_foreign_checkpoint_is_refused(toy, tmp_path, capsys):
    out = tmp_path / "model"
    assert train(toy, "classes.toml", out, "--set", "stage.0.steps=2") == 0
    shutil.rmtree(out / "training")
    before = sorted(out.iterdir())
    assert train(toy, "classes.toml", out, "--set", "stage.0.steps=2") == 2
    assert "not trained there" in capsys.readouterr().err
    assert [p for p in sorted(out.iterdir()) if p.name != "training"] == before


def test_early_stopping(toy, tmp_path):
    out = tmp_path / "model"
    changes = ["--set", "optimiser.rate=1e-12", "--set", "optimiser.other_rate=1e-12", "--set", "optimiser.average=0.0"]
    changes += ["--set", "validation.patience=2", "--set", "validation.every=2", "--set", "stage.0.steps=40"]
    report = tmp_path / "report.json"
    assert train(toy, "classes.toml", out, *changes, "--set", "optimiser.weight_decay=0.0", "--json", str(report)) == 0
    values = json.loads(report.read_text())
    assert values["steps"] < 40
    assert "no better" in values["stopped"]


def test_time_limit_ends_the_run_and_the_rate_course(toy, tmp_path):
    out, report = tmp_path / "model", tmp_path / "report.json"
    changes = ["--set", "stage.0.steps=100000", "--set", "validation.every=1000", "--minutes", "0.05"]
    assert train(toy, "classes.toml", out, *changes, "--json", str(report)) == 0
    assert json.loads(report.read_text())["steps"] < 100_000


def test_wrong_data_is_named(toy, tmp_path, capsys):
    out = tmp_path / "model"
    assert train(toy, "classes.toml", out, "--set", 'data.0.validate=["three"]') == 2
    assert "no contig three" in capsys.readouterr().err
    assert train(toy, "classes.toml", tmp_path / "b", "--genome", str(tmp_path / "none.fa")) == 2
    assert train(toy, "classes.toml", tmp_path / "c", "--set", "stage.0.window=100") == 2
    assert "multiple of 48" in capsys.readouterr().err
    assert train(toy, "classes.toml", tmp_path / "d", "--base", str(tmp_path / "nothing")) == 2
    shutil.copy(toy / "genes.gff3", tmp_path / "genes.gff3")
    other = tmp_path / "genes.gff3"
    other.write_text(other.read_text().replace("one\t", "uno\t").replace("two\t", "due\t"))
    assert train(toy, "classes.toml", tmp_path / "e", "--annotation", str(other)) == 2
    assert "is in the genome" in capsys.readouterr().err


def test_a_mistake_leaves_nothing_that_a_mended_recipe_clashes_with(toy, tmp_path, capsys):
    out = tmp_path / "model"
    foreign = tmp_path / "foreign.gff3"
    foreign.write_text((toy / "genes.gff3").read_text().replace("one\t", "uno\t"))
    assert train(toy, "tracks.toml", out, "--annotation", str(foreign)) == 2
    error = capsys.readouterr().err
    assert "no sequence uno" in error
    assert "segnt labels" in error
    assert train(toy, "tracks.toml", out, "--set", "stage.0.window=241") == 2
    assert not out.exists()
    assert train(toy, "tracks.toml", out) == 0


def test_tracks_cannot_be_learnt_from_a_base_of_classes(toy, tmp_path, capsys):
    base = tmp_path / "base"
    assert train(toy, "classes.toml", base, "--set", "stage.0.steps=2") == 0
    assert train(toy, "tracks.toml", tmp_path / "b", "--base", str(base)) == 2
    assert "codon_unet" in capsys.readouterr().err
    other = tmp_path / "other"
    assert train(toy, "tracks.toml", other) == 0
    assert train(toy, "classes.toml", tmp_path / "c", "--base", str(other)) == 2
    assert "segment_nt" in capsys.readouterr().err


def test_splits():
    lengths = {"a": 100, "b": 50, "c": 50}
    assert split([], ["b"], lengths).train == (Stretch("a", 0, 100), Stretch("c", 0, 50))
    tenth = split([], [], lengths)
    assert sum(s.bases for s in tenth.validate) == 20
    assert tenth.validate == (Stretch("c", 30, 50),)
    assert tenth.train[-1] == Stretch("c", 0, 30)
    assert split(["a:1-60"], ["a:61-100"], lengths).validate == (Stretch("a", 60, 100),)
    with pytest.raises(RecipeError, match="held out"):
        split(["a"], ["a:5-10"], lengths)
    with pytest.raises(RecipeError, match="leaves"):
        split(["a:1-101"], [], lengths)
    assert split([], [], lengths, no_validation=True).validate == ()


def test_focal_loss_is_its_formula():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 3, generator=generator) * 4
    labels = torch.randint(0, 2, (2, 5, 3), generator=generator).float()
    known = torch.rand(2, 5, 3, generator=generator) > 0.3
    p = torch.where(labels > 0.5, logits.sigmoid(), 1 - logits.sigmoid()).double()
    expected = (-((1 - p) ** 2) * p.log() * torch.where(labels > 0.5, 0.25, 0.75))[known].mean()
    assert track_loss(logits, labels, known, 2.0, 0.25).item() == pytest.approx(expected.item(), rel=1e-4)
    assert track_loss(logits, labels, torch.zeros_like(known), 2.0, 0.0).item() == 0.0
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits[known], labels[known])
    assert track_loss(logits, labels, known, 0.0, 0.0).item() == pytest.approx(plain.item(), rel=1e-5)


def test_best_constant_loss_is_the_entropy_for_cross_entropy():
    positive, total = torch.tensor([10.0, 50.0]), torch.tensor([100.0, 100.0])
    share = positive / total
    entropy = -(share * share.log() + (1 - share) * (1 - share).log()).mean()
    assert best_constant_loss(positive, total, 0.0, 0.0) == pytest.approx(entropy.item(), abs=1e-4)


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (30, 30)])
def test_orthogonalised_has_singular_values_near_one_and_equals_torch(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert values.min() > 0.4
    assert values.max() < 1.4
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.allclose(
        (u.T @ orthogonalised(matrix) @ v.T).diagonal().diag(), u.T @ orthogonalised(matrix) @ v.T, atol=1e-3
    )


def test_course_of_the_rate():
    recipe = OptimiserRecipe(warm_up=0.1, flat=0.5, final=0.01)
    assert rate_factor(0.05, recipe) == pytest.approx(0.5)
    assert rate_factor(0.3, recipe) == 1.0
    assert rate_factor(0.75, recipe) == pytest.approx(0.505)
    assert rate_factor(1.0, recipe) == pytest.approx(0.01)


def test_rotary_factor_of_the_curriculum():
    assert rotary_factor(3_000) is None
    assert rotary_factor(10_008) is None
    assert rotary_factor(19_992) == pytest.approx(3333 / 2048)
    assert rotary_factor(30_000) == pytest.approx(5001 / 2048)


def test_set_needs_a_value():
    given = argparse.Namespace(genome=None, annotation=None, labels=None, base=None, set=["x"])
    with pytest.raises(UsageError, match="KEY=VALUE"):
        settings_of(given)


def test_a_stage_rescales_the_rotary_embeddings():
    tiny = {"width": 16, "layers": 1, "heads": 2, "head_width": 8, "ffn_width": 24}
    config = {"encoder": {**asdict(EncoderConfig()), **tiny}, "head_channels": 8}
    card = Card("x", "segment_nt", "", (Track("exon"),), GEOMETRY, False, "", "", config=config)
    model = build(card)
    rescale_rotary(model, 30_000)
    assert model.encoder.rotary.stored_factor == pytest.approx(5001 / 2048)
    rescale_rotary(model, 3_000)
    assert model.encoder.rotary.stored_factor is None


def test_a_random_trunk_is_not_the_base(toy, tmp_path):
    base, random = tmp_path / "base", tmp_path / "random"
    steps = ["--set", "stage.0.steps=1", "--set", "stage.1.steps=1"]
    assert train(toy, "tracks.toml", base, *steps) == 0
    changes = ["--set", f"model.base={base}", "--set", "model.random_trunk=true", "--set", "seed=9"]
    assert train(toy, "tracks.toml", random, *changes, *steps) == 0
    first, second = weights_of(base), weights_of(random)
    assert not torch.allclose(first["encoder.embed.weight"], second["encoder.embed.weight"], atol=0.05)


def test_calibration_finds_costs_that_fit_better():
    class Wanted:
        """A made-up score with a known best value of two parameters."""

        calls = 0

        def value(self, parameters):
            self.calls += 1
            return -abs(parameters.donor - 4.0) - abs(math.log(parameters.region_weight / 0.008))

    wanted = Wanted()
    calibrator = Calibrator([], lambda genes: 0.0, rounds=3)
    calibrator.value = wanted.value
    fitted, after, before = calibrator.fit(GeneParameters())
    assert fitted.donor == 4.0
    assert fitted.region_weight == pytest.approx(0.008, rel=0.01)
    assert after > before
    assert wanted.calls < 150
    assert fitted.acceptor == GeneParameters().acceptor


@pytest.mark.slow
def test_adapting_learns_a_new_genome_and_measures_itself(toy, tmp_path, capsys):
    out, report = tmp_path / "model", tmp_path / "report.json"
    base = tmp_path / "base"
    assert train(toy, "classes.toml", base, "--set", "stage.0.steps=10", "--set", "calibration.rounds=0") == 0
    options = ["--genome", str(toy / "genome.fa"), "--annotation", str(toy / "genes.gff3"), "--base", str(base)]
    options += ["--set", "stage.0.window=768", "--set", "stage.0.steps=300", "--set", "model.margin=48"]
    options += ["--set", "optimiser.rate=0.02", "--set", "optimiser.other_rate=0.01"]
    command = ["train", str(RECIPES / "adapt.toml"), "--out", str(out), *options, "--threads", "1", "--device", "cpu"]
    assert main([*command, "-q", "--json", str(report), "--set", "calibration.rounds=1"]) == 0
    values = json.loads(report.read_text())
    # A network of a few thousand weights after seconds: it has the coding bases, not yet the borders.
    assert values["validation"]["coding_f1"] > 0.5
    assert values["calibration"]["after"]["nucleotide"] >= values["calibration"]["before"]["nucleotide"]
    card = Card.read(out)
    assert card.metrics["calibration"]["f1_after_on_the_same_bases"] == {
        name: round(value, 4) for name, value in values["calibration"]["after"].items()
    }
    assert card.genes["utr"] is False


def test_a_bare_language_model_gets_a_head(toy, tmp_path):
    pytest.importorskip("joblib", reason="joblib writes the files that users have: pip install joblib")
    folder = tiny_checkpoints.write_jax(tmp_path / "jax")
    tree = {m: p for m, p in tiny_checkpoints.jax_tree().items() if not m.startswith("u_net_head")}
    (folder / "jax_model" / "pytree_ckpt.joblib").write_bytes(pickle.dumps(tree))
    _, trunk = open_trunk(folder)
    changes = ["--base", str(folder), "--set", "model.config={head_channels=8}", "--set", "model.train=head"]
    assert train(toy, "tracks.toml", tmp_path / "model", *changes, "--set", "stage.0.steps=1") == 0
    card, tensors = open_checkpoint(tmp_path / "model")
    assert [track.name for track in card.tracks] == ["exon", "intron", "splice_donor"]
    assert all(torch.equal(value, trunk[name]) for name, value in tensors.items() if name.startswith("encoder."))
