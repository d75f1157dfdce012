"""Training any network of the interface on labels of tracks: SegmentNT and its siblings, the paper's ablations."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from segnt_tools.elements import SEGMENTNT_ELEMENTS, Track
from segnt_tools.errors import CheckpointError, RecipeError
from segnt_tools.models.architectures import ARCHITECTURES, build
from segnt_tools.models.card import Card
from segnt_tools.models.checkpoints import open_checkpoint, open_trunk
from segnt_tools.models.interface import SegmentationModel
from segnt_tools.models.nt_encoder import PRETRAINING_TOKENS, RotaryTable
from segnt_tools.models.registry import find_checkpoint
from segnt_tools.sequence.windows import WindowGeometry
from segnt_tools.training.losses import best_constant_loss, focal_terms, track_loss
from segnt_tools.training.recipe import Recipe, StageRecipe
from segnt_tools.training.track_data import TrackBatch, TrackSampler, TrackSource, validation_batches

HEAD = "head."
_CONFIGS = {
    "segment_nt": "SegmentNTConfig",
    "segment_enformer": "EnformerConfig",
    "segment_borzoi": "BorzoiConfig",
    "onehot_unet": "OneHotUNetConfig",
}


class TrackObjective(nn.Module):
    """Focal loss or cross-entropy of all tracks whose labels are known."""

    def __init__(self, model: SegmentationModel, gamma: float, alpha: float) -> None:
        super().__init__()
        self.model = model
        self.gamma = gamma
        self.alpha = alpha

    def forward(self, batch: TrackBatch) -> Tensor:
        """Loss of a batch, a float32 scalar."""
        return track_loss(self.model(batch.codes), batch.labels, batch.known, self.gamma, self.alpha)


class TrackTask:
    """Everything the loop needs; see `loop.Task`."""

    def __init__(self, network: SegmentationModel, sources: Sequence[TrackSource], recipe: Recipe) -> None:
        self.network: nn.Module = network
        self._model = network
        self.sources = sources
        self.recipe = recipe
        self.gamma = recipe.loss.gamma if recipe.loss.kind == "focal" else 0.0
        card = network.card
        for stage in recipe.stage:
            _check_window(stage.window, card.geometry)
        self.objective: nn.Module = TrackObjective(network, self.gamma, recipe.loss.alpha)
        self._sampler = TrackSampler(
            sources,
            card.tracks,
            card.geometry,
            allows_n=card.allows_n,
            augment=recipe.augment,
            seed=recipe.seed,
        )
        if recipe.model.train == "head":
            freeze_trunk(network)
        if recipe.checkpointing:
            checkpoint_blocks(network)

    def batch(self, numbers: Sequence[int], window: int, device: torch.device) -> TrackBatch:
        """The training windows of these numbers."""
        return self._sampler.batch(numbers, window).to(device)

    @torch.no_grad()
    def validate(self, fabric: Fabric, window: int) -> dict[str, float]:
        """Loss, the loss of the best constants, mean MCC at 0.5 over tracks, and each track's MCC."""
        card = self._model.card
        sums = torch.zeros(6, len(card.tracks), dtype=torch.float64)
        batches = validation_batches(
            self.sources,
            window,
            card.geometry,
            allows_n=card.allows_n,
            most_bases=self.recipe.validation.bases,
            rank=fabric.global_rank,
            processes=fabric.world_size,
        )
        for batch in batches:
            on_device = batch.to(fabric.device)
            with fabric.autocast():
                logits = self._model(on_device.codes).float()
            sums += _counts(logits, on_device, self.gamma, self.recipe.loss.alpha).cpu()
        if fabric.world_size > 1:
            reduced = fabric.all_reduce(sums.to(fabric.device), reduce_op="sum")
            sums = reduced.cpu() if isinstance(reduced, Tensor) else sums
        if not float(sums[5].sum()):
            return {}
        return _figures(sums, card.tracks, self.gamma, self.recipe.loss.alpha)

    def is_head(self, parameter: str) -> bool:
        """The projection to tracks, embeddings and anything that is no plain matrix are AdamW's."""
        return parameter.startswith(f"{HEAD}proj") or ".embed" in parameter

    def begin_stage(self, stage: StageRecipe) -> None:
        """Rescale rotary embeddings to the stage's windows."""
        rescale_rotary(self._model, stage.window)

    def close(self) -> None:
        """Close genomes and labels."""
        for source in self.sources:
            source.close()


def _check_window(window: int, geometry: WindowGeometry) -> None:
    if window % geometry.multiple or not geometry.shortest <= window <= geometry.longest:
        raise RecipeError(
            f"a window of {window} bp does not suit the network",
            hint=f"It takes multiples of {geometry.multiple} from {geometry.shortest} to {geometry.longest} bp",
        )


def _counts(logits: Tensor, batch: TrackBatch, gamma: float, alpha: float) -> Tensor:
    """Per track: true positives, false positives, false negatives, true negatives, loss, known labels."""
    known, labels, called = batch.known, batch.labels > 0.5, logits > 0
    terms = focal_terms(logits, batch.labels, gamma, alpha) * known
    rows = [called & labels, called & ~labels, ~called & labels, ~called & ~labels]
    counts = [(row & known).sum(dim=(0, 1)).double() for row in rows]
    return torch.stack([*counts, terms.sum(dim=(0, 1)).double(), known.sum(dim=(0, 1)).double()])


def _figures(sums: Tensor, tracks: Sequence[Track], gamma: float, alpha: float) -> dict[str, float]:
    tp, fp, fn, tn, loss, known = sums
    denominator = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)).sqrt()
    # Undefined (no such base, or never or always called) counts as 0, as scikit-learn has it.
    mcc = torch.where(denominator > 0, (tp * tn - fp * fn) / denominator.clamp(min=1e-30), 0.0)
    judged = (tp + fn) > 0
    figures = {
        "loss": float(loss.sum() / known.sum()),
        "constant_loss": best_constant_loss(tp + fn, known, gamma, alpha),
        "mcc": float(mcc[judged].mean()) if bool(judged.any()) else 0.0,
    }
    figures.update(
        {f"mcc_{track.name}": float(value) for track, value, ok in zip(tracks, mcc, judged, strict=True) if ok}
    )
    return figures


def rescale_rotary(model: SegmentationModel, window: int) -> None:
    """Stretch the rotary base to a window length, as the paper's curriculum does."""
    encoder = getattr(model, "encoder", None)
    if encoder is None:
        return
    encoder.rotary = RotaryTable(encoder.config.head_width, rotary_factor(window))


def rotary_factor(window: int) -> float | None:
    """Stretch of the rotary base that belongs to windows of this length: tokens with <cls> / 2048, none below 1."""
    tokens = window // 6 + 1
    return tokens / PRETRAINING_TOKENS if tokens > PRETRAINING_TOKENS else None


def freeze_trunk(model: nn.Module) -> None:
    """Let only the head learn; the trunk stays in evaluation mode, bit for bit as it is."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(HEAD))


def checkpoint_blocks(model: nn.Module) -> None:
    """Recompute the activations of every transformer block in the backward pass."""
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and name.endswith("blocks"):
            for block in module:
                block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)


def track_network(recipe: Recipe, tracks_of_labels: Sequence[str], name: str) -> tuple[Card, SegmentationModel]:
    """Card and network of a run: new, from a checkpoint, or a bare NT-v2 trunk with a new head.

    Raises:
        CheckpointError: the base cannot be read or is of another architecture.
        RecipeError: impossible tracks or hyperparameters.
    """
    base = None
    if recipe.model.base:
        base = _open_base(recipe)
    card = _card(recipe, base, tracks_of_labels, name)
    torch.manual_seed(recipe.seed)
    model = build(card)
    if base is not None and not recipe.model.random_trunk:
        _load(model, base[1], keep_head=base[0] is not None and base[0].tracks == card.tracks)
    return card, model


def _open_base(recipe: Recipe) -> tuple[Card | None, dict[str, Tensor], dict[str, Any]]:
    """Card (None for a bare trunk), tensors and configuration of the base."""
    folder = find_checkpoint(recipe.model.base)
    try:
        card, tensors = open_checkpoint(folder)
    except CheckpointError as error:
        try:
            encoder, trunk = open_trunk(folder)
        except CheckpointError:
            raise error from None
        named = {f"encoder.{key.removeprefix('encoder.')}": value for key, value in trunk.items()}
        return None, named, {"encoder": dataclasses.asdict(encoder)}
    return card, dict(tensors), dict(card.config)


def _load(model: nn.Module, tensors: dict[str, Tensor], *, keep_head: bool) -> None:
    """Take over the trunk, and the head where the tracks are the same."""
    wanted = {k: v for k, v in tensors.items() if k in model.state_dict() and (keep_head or not k.startswith(HEAD))}
    missing = [k for k in model.state_dict() if k not in wanted and not k.startswith(HEAD)]
    if missing:
        raise CheckpointError(f"the base lacks {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}")
    model.load_state_dict(wanted, strict=False)


def _card(
    recipe: Recipe,
    base: tuple[Card | None, dict[str, Tensor], dict[str, Any]] | None,
    tracks_of_labels: Sequence[str],
    name: str,
) -> Card:
    base_card = base[0] if base else None
    trunk = "segment_nt" if base and not base_card else ""
    architecture = base_card.architecture if base_card else trunk or recipe.model.architecture
    if architecture not in _CONFIGS:
        raise RecipeError(
            f"tracks cannot be learnt by {architecture!r}", hint=f"Choose one of {', '.join(sorted(_CONFIGS))}"
        )
    if base_card and recipe.model.architecture not in ("", architecture):
        raise CheckpointError(f"{recipe.model.base} is a {architecture} checkpoint, not {recipe.model.architecture}")
    module = import_module(ARCHITECTURES[architecture])
    config = getattr(module, _CONFIGS[architecture])().as_dict()
    config = _merged(_merged(config, base[2] if base else {}), recipe.model.config)
    window = recipe.model.window or max(stage.window for stage in recipe.stage)
    if architecture == "segment_nt":
        config["encoder"] = {**config["encoder"], "rescaling_factor": rotary_factor(recipe.stage[-1].window)}
    try:
        getattr(module, _CONFIGS[architecture]).from_dict(config)
    except CheckpointError as error:
        raise RecipeError(f"model.config: {error.message}") from error
    tracks = _tracks(recipe, base_card, tracks_of_labels)
    text = recipe.card
    return Card(
        name=text.name or name,
        architecture=architecture,
        summary=text.summary or f"{architecture} trained by segnt train",
        tracks=tracks,
        geometry=_geometry(module.GEOMETRY, config, window, recipe.model.margin),
        allows_n=base_card.allows_n if base_card else architecture != "segment_nt",
        licence=text.licence,
        citation=text.citation,
        clade=text.clade,
        not_for=text.not_for,
        config=config,
    )


def stage_card(card: Card, recipe: Recipe, stage: StageRecipe) -> Card:
    """The card of weights that a stage left: windows and rotary embeddings as they were learnt with.

    A run that is stopped early, or watched while it goes on, has a checkpoint of a stage that is not the last.
    """
    length = recipe.model.window or stage.window
    geometry = card.geometry
    if geometry.shortest <= length <= geometry.longest:
        margin = min(geometry.margin, length // 8)
        geometry = dataclasses.replace(geometry, length=length, margin=margin)
    config = dict(card.config)
    if card.architecture == "segment_nt":
        config["encoder"] = {**config["encoder"], "rescaling_factor": rotary_factor(stage.window)}
    return dataclasses.replace(card, config=config, geometry=geometry)


def _merged(below: dict[str, Any], above: Any) -> dict[str, Any]:
    """Nested tables, the values of `above` where both have one."""
    result = dict(below)
    for key, value in dict(above).items():
        result[key] = _merged(result[key], value) if isinstance(result.get(key), dict) else value
    return result


def _tracks(recipe: Recipe, base: Card | None, labelled: Sequence[str]) -> tuple[Track, ...]:
    """The network's tracks; those without any labels are marked as untrained unless the base trained them."""
    if recipe.model.tracks:
        tracks = tuple(Track.parse(track) for track in recipe.model.tracks)
    elif base is not None:
        tracks = base.tracks
    else:
        tracks = tuple(Track(element) for element in SEGMENTNT_ELEMENTS)
    old = {track.name for track in base.tracks if track.trained} if base is not None else set()
    return tuple(Track(t.element, t.strand, t.name in labelled or t.name in old) for t in tracks)


def _geometry(known: WindowGeometry, config: dict[str, Any], window: int, margin: int) -> WindowGeometry:
    """Windows of the trained network: the architecture's, with the trained length as default."""
    if known.shortest == known.longest:
        # Enformer and Borzoi take one length, a multiple of their positions; small ones for tests take theirs.
        multiple = 4 * 2 ** len(config["channels"])
        crop = config.get("crop", 0) * 2 ** (len(config["channels"]) - 2)
        return WindowGeometry(window, multiple, window, window, max(crop, min(known.margin, window // 8)), crop)
    small = min(margin, known.margin, window // 8)
    return dataclasses.replace(known, length=window, longest=max(known.longest, window), margin=small)
