"""A training run from recipe to checkpoint folder."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from segnt_tools import __version__
from segnt_tools.errors import CheckpointError, RecipeError, UsageError
from segnt_tools.files import file_sha256, output_folder, write_text
from segnt_tools.genes.parameters import GeneParameters, parameters_of
from segnt_tools.gff.genemodel import Gene
from segnt_tools.gff.reading import read_genes
from segnt_tools.logs import logger
from segnt_tools.models import codon_unet
from segnt_tools.models.card import CARD_FILE, Card, DataSource
from segnt_tools.models.checkpoints import open_checkpoint, write_checkpoint
from segnt_tools.models.registry import checkpoint_fingerprint, choose_device, find_checkpoint, load_model
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.tracks.file import TracksReader
from segnt_tools.training.calibration import (
    Calibration,
    Judge,
    PredictedStretch,
    calibrate,
    decode,
    predict_stretches,
    shortened,
)
from segnt_tools.training.class_data import ClassSource
from segnt_tools.training.class_task import (
    ClassTask,
    expectations,
    intron_quantiles,
    knows_utr,
    learn_codon_table,
    load_source,
)
from segnt_tools.training.loop import Outcome, Position, Task, Trainer, make_fabric, part_processes
from segnt_tools.training.recipe import Recipe
from segnt_tools.training.regions import split
from segnt_tools.training.sureness import Sureness
from segnt_tools.training.track_data import TrackSource, open_source
from segnt_tools.training.track_task import TrackTask, stage_card, track_network

RUN_FOLDER = "training"
RUN_FILE = "run.json"
# Half the size; the weights' rounding is far below what bfloat16 arithmetic adds.
STORED_DTYPE = torch.float16


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What is not in the recipe because it depends on the machine.

    Attributes:
        recipe: the recipe file.
        data: folder in which the recipe's relative paths start.
        out: checkpoint folder to write.
        device: cpu or cuda.
        precision: float32 or bfloat16.
        minutes: time limit, or None.
        threads: processor cores a process uses.
    """

    recipe: Path
    data: Path
    out: Path
    device: str = "cpu"
    precision: str = "float32"
    minutes: float | None = None
    threads: int = 1


def train(recipe: Recipe, options: RunOptions) -> Outcome:
    """Run a recipe and write its checkpoint folder.

    Raises:
        RecipeError: the recipe does not fit the data or the network.
        UsageError: the folder holds another run.
    """
    torch.set_num_threads(options.threads)
    fabric = make_fabric(options.device, options.precision)
    folder, runs = options.out, options.out / RUN_FOLDER
    digests = input_digests(recipe, options)
    require_own_folder(runs / RUN_FILE, recipe, digests, folder)
    prepare = _prepare_classes if recipe.loss.kind == "classes" else _prepare_tracks
    card, task = prepare(recipe, options)
    # Only now: data or a network that do not fit the recipe leave nothing behind that a mended recipe would clash with.
    output_folder(runs)
    if fabric.is_global_zero:
        claim_folder(runs / RUN_FILE, recipe, digests)

    def publish(weights: dict[str, Tensor], position: Position, figures: dict[str, float]) -> None:
        written = dataclasses.replace(card, metrics=metrics(position, figures))
        if recipe.loss.kind != "classes":
            written = stage_card(written, recipe, recipe.stage[position.stage])
        write_checkpoint(folder, written, _stored(weights, card.architecture))

    if fabric.is_global_zero:
        logger.info(describe(fabric, recipe, task.network))
    with contextlib.closing(task):
        # No name for the trainer: what it holds must be gone before the processes part.
        outcome = Trainer(fabric, recipe, task, runs, minutes=options.minutes, publish=publish).run()
        part_processes(fabric)
    if fabric.is_global_zero:
        publish(outcome.weights, outcome.position, outcome.validation)
        logger.info(f"{outcome.stopped}; checkpoint in {folder}")
    return outcome


def calibrate_checkpoint(recipe: Recipe, options: RunOptions, judge: Judge) -> Calibration | None:
    """Fit the decoder's costs of a trained checkpoint on the recipe's held-out genes and write them into its card.

    Returns:
        What was fitted; None where nothing is held out.

    Raises:
        CheckpointError: the folder holds no checkpoint.
    """
    torch.set_num_threads(options.threads)
    loaded = load_model(options.out, options.device, options.precision)
    card = loaded.card
    stretches: list[PredictedStretch] = []
    truth: list[Gene] = []
    with contextlib.ExitStack() as stack:
        left = recipe.calibration.bases
        for data in recipe.data:
            assembly = stack.enter_context(Assembly.open(options.data / data.genome))
            parts = split(data.train, data.validate, assembly.lengths, no_validation=data.no_validation)
            chosen = shortened(parts.validate, left)
            left -= sum(stretch.bases for stretch in chosen)
            stretches += predict_stretches(loaded, assembly, chosen)
            contigs = {stretch.contig for stretch in chosen}
            genes = read_genes(options.data / data.annotation, assembly.lengths)
            truth += [g for g in genes if g.contig in contigs and "pseudo" not in g.type]
        if not stretches:
            return None
        start = parameters_of(card.as_dict(), stranded=True)
        result = calibrate(stretches, truth, judge, start, recipe.calibration)
        sureness = Sureness.of(
            gene for stretch in stretches for gene in decode(stretch, result.parameters, scored=True)
        )
    defaults = GeneParameters().as_dict()
    genes_of_card = {name: value for name, value in result.parameters.as_dict().items() if value != defaults[name]}
    figures = {
        "bases": result.bases,
        "f1_before": _rounded(result.before),
        "f1_after_on_the_same_bases": _rounded(result.after),
    }
    new = dataclasses.replace(
        card,
        genes=genes_of_card,
        metrics={**card.metrics, "calibration": figures},
        expectations={**card.expectations, "mean_mrna_score": round(sureness.mean_score, 3)},
    )
    new.write(options.out)
    return result


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}


def _stored(weights: dict[str, Tensor], architecture: str) -> dict[str, Tensor]:
    """Weights as they are stored: the embedded network's floats in half the size."""
    if architecture != codon_unet.ARCHITECTURE:
        return weights
    return {n: w.to(STORED_DTYPE) if w.is_floating_point() else w for n, w in weights.items()}


def _prepare_classes(recipe: Recipe, options: RunOptions) -> tuple[Card, Task]:
    """Card and task of the embedded network."""
    sources = [load_source(data, options.data, options.recipe) for data in recipe.data]
    torch.manual_seed(recipe.seed)
    card, network = embedded_network(recipe, sources, options.out.name)
    card = dataclasses.replace(card, data=provenance(recipe, sources))
    return card, ClassTask(network, sources, recipe)


def _prepare_tracks(recipe: Recipe, options: RunOptions) -> tuple[Card, Task]:
    """Card and task of a network that learns tracks."""
    card, network = track_network(recipe, labelled_tracks(recipe, options.data), options.out.name)
    with contextlib.ExitStack() as opened:
        sources = []
        for data in recipe.data:
            sources.append(source := open_source(data, options.data, card.tracks, options.recipe))
            opened.callback(source.close)
        card = dataclasses.replace(card, data=provenance(recipe, sources))
        network.card = card
        task = TrackTask(network, sources, recipe)
        opened.pop_all()  # the task closes them
    return card, task


def choose_training_device(device: str) -> str:
    """`cpu` or `cuda` for an option value.

    Raises:
        UsageError: the device is not there.
    """
    return choose_device(device.partition(":")[0]).type


def choose_training_precision(precision: str, device: str) -> str:
    """float32 or bfloat16 for an option value; CPUs rarely gain from bfloat16 (see docs)."""
    if precision != "auto":
        return precision
    return "bfloat16" if device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "float32"


def describe(fabric: Fabric, recipe: Recipe, network: torch.nn.Module) -> str:
    """The first line of the log of a run."""
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return (
        f"segnt_tools {__version__}: training {parameters / 1e6:.2f} M parameters on {len(recipe.data)} genome(s) "
        f"for {recipe.steps} steps on {fabric.world_size} x {fabric.device} ({torch.get_num_threads()} threads each)"
    )


def input_digests(recipe: Recipe, options: RunOptions) -> dict[str, str]:
    """SHA-256 of all that a run reads, by the recipe's key: the same names may hold other genes tomorrow."""
    files = {
        f"data.{index}.{key}": options.data / name
        for index, data in enumerate(recipe.data)
        for key, name in (("genome", data.genome), ("annotation", data.annotation), ("labels", data.labels))
        if name
    }
    digests = {key: file_sha256(file) for key, file in files.items() if file.is_file()}  # others: refused when read
    if recipe.model.base:
        digests["model.base"] = checkpoint_fingerprint(find_checkpoint(recipe.model.base))
    return digests


def require_own_folder(file: Path, recipe: Recipe, digests: Mapping[str, str], folder: Path) -> None:
    """Refuse a folder that holds something else than this run.

    Raises:
        UsageError: the folder holds a run of another recipe or on other files, or a checkpoint of unknown origin.
    """
    if not file.exists():
        if (folder / CARD_FILE).exists():
            raise UsageError(
                "the folder holds a checkpoint that was not trained there",
                file=folder,
                hint="Give another --out; to start from this checkpoint, name it with --base",
            )
        return
    before = json.loads(file.read_text(encoding="utf-8"))
    if before.get("recipe_sha256") != _digest(recipe):
        differing = ", ".join(_differences(before.get("recipe", {}), json.loads(json.dumps(recipe.as_dict()))))
        raise UsageError(
            f"the folder holds a run of another recipe (they differ in {differing})",
            file=folder,
            hint="Use the same recipe to go on, or another --out",
        )
    earlier = before.get("input_sha256", {})
    if changed := [key for key in dict.fromkeys([*earlier, *digests]) if earlier.get(key) != digests.get(key)]:
        raise UsageError(
            f"the folder holds a run on other files (their content differs in {', '.join(changed)})",
            file=folder,
            hint="Give the files it began with to go on, or another --out",
        )


def claim_folder(file: Path, recipe: Recipe, digests: Mapping[str, str]) -> None:
    """Remember which recipe and files a folder belongs to."""
    if not file.exists():
        values = {"recipe_sha256": _digest(recipe), "input_sha256": dict(digests), "recipe": recipe.as_dict()}
        write_text(file, json.dumps(values, indent=2) + "\n")


def _digest(recipe: Recipe) -> str:
    return hashlib.sha256(json.dumps(recipe.as_dict(), sort_keys=True).encode()).hexdigest()


def _differences(before: Any, now: Any, where: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        names = dict.fromkeys([*before, *now])
        return [
            d for name in names for d in _differences(before.get(name), now.get(name), f"{where}.{name}".strip("."))
        ]
    return [] if before == now else [where]


def embedded_network(recipe: Recipe, sources: Sequence[ClassSource], name: str) -> tuple[Card, codon_unet.CodonUNet]:
    """Card and network of a run of the embedded architecture, new or from a base checkpoint, with codon statistics.

    Raises:
        CheckpointError: the base is of another architecture.
        RecipeError: the recipe names another architecture.
    """
    base_weights: dict[str, Tensor] | None = None
    base: Card | None = None
    if recipe.model.base:
        base, base_weights = open_checkpoint(find_checkpoint(recipe.model.base))
        if base.architecture != codon_unet.ARCHITECTURE:
            raise CheckpointError(
                f"{recipe.model.base} is a {base.architecture} checkpoint; only {codon_unet.ARCHITECTURE} has classes"
            )
    elif recipe.model.architecture not in ("", codon_unet.ARCHITECTURE):
        raise RecipeError(f"loss.kind = 'classes' needs architecture {codon_unet.ARCHITECTURE}")
    card = _embedded_card(recipe, sources, name, base)
    network = codon_unet.build(card)
    if base is not None and base_weights is not None:
        network.load_shallower(base, base_weights)
    if recipe.model.codon_statistics:
        network.codon_table.copy_(learn_codon_table(sources))
    if recipe.model.train == "head":
        for parameter_name, parameter in network.named_parameters():
            parameter.requires_grad_(parameter_name.startswith("head"))
    return card, network


def _embedded_card(recipe: Recipe, sources: Sequence[ClassSource], name: str, base: Card | None) -> Card:
    config = dict(base.config) if base else {}
    config.update(recipe.model.config)
    try:
        network = codon_unet.CodonUNetConfig.from_mapping(config)
    except CheckpointError as error:
        raise RecipeError(f"model.config: {error.message}") from error
    window = recipe.model.window or max(stage.window for stage in recipe.stage)
    utr = knows_utr(sources)
    shortest, mean = intron_quantiles(sources)
    genes: dict[str, Any] = dict(base.genes) if base else dict(codon_unet.SPANS)
    genes["utr"] = utr
    genes["lncrna"] = False
    if shortest:
        genes.update(min_intron=max(shortest, 4), mean_intron=round(max(mean, shortest + 2.0), 1))
    text = recipe.card
    try:
        GeneParameters().replaced(text.genes)
    except UsageError as error:
        raise RecipeError(f"card.genes: {error.message}", hint=error.hint) from error
    genes.update(text.genes)
    return codon_unet.make_card(
        text.name or name,
        text.summary or f"Gene finder for {text.clade or ', '.join(source.name for source in sources)}",
        network,
        codon_unet.geometry(window, recipe.model.margin),
        utr_trained=utr,
        licence=text.licence,
        citation=text.citation,
        clade=text.clade,
        not_for=text.not_for,
        genes=genes,
        expectations={**expectations(sources), **text.expectations},
    )


def labelled_tracks(recipe: Recipe, folder: Path) -> tuple[str, ...]:
    """Names of the tracks that at least one genome has labels for.

    An annotation speaks of the genic elements alone.
    """
    names: dict[str, None] = {}
    for data in recipe.data:
        if data.annotation:
            names.update(dict.fromkeys(track.name for track in codon_unet.TRACKS))
            names.update(dict.fromkeys(track.element for track in codon_unet.TRACKS))
            continue
        with TracksReader(folder / data.labels) as reader:
            names.update(dict.fromkeys(track.name for track in reader.tracks))
    return tuple(names)


def provenance(recipe: Recipe, sources: Sequence[ClassSource] | Sequence[TrackSource]) -> tuple[DataSource, ...]:
    """What a run learnt from and chose by, for the card."""
    rows = []
    for index, data in enumerate(recipe.data):
        source = sources[index]
        for use, stretches in (("training", source.train), ("validation", source.validate)):
            if stretches:
                where = ", ".join(str(stretch) for stretch in stretches)
                rows.append(DataSource(data.name, data.origin, data.licence, f"{use}: {where}"))
    return tuple(rows)


def metrics(position: Position, figures: dict[str, float]) -> dict[str, Any]:
    """What the card says about the run; accuracy is added by segnt evaluate."""
    return {
        "training": {
            "steps": position.step,
            "bases": position.bases,
            "minutes": round(position.seconds / 60, 1),
            "python": ".".join(str(n) for n in sys.version_info[:2]),
            "torch": torch.__version__,
        },
        "validation": {name: round(value, 5) for name, value in figures.items() if value == value},
    }
