"""The recipe: one TOML file that describes a training run completely."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from segnt_tools.errors import RecipeError

T = TypeVar("T")


def bundled_recipes() -> dict[str, Path]:
    """The recipes inside the package, by name."""
    folder = Path(str(resources.files("segnt_tools") / "data" / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_recipe(name_or_file: Path) -> Path:
    """The file of a recipe that is given as a file or by the name of a bundled one.

    Raises:
        RecipeError: there is neither.
    """
    if name_or_file.is_file():
        return name_or_file
    bundled = bundled_recipes()
    try:
        return bundled[str(name_or_file)]
    except KeyError:
        raise RecipeError(
            "no such file, and no recipe of this name", file=name_or_file, hint=f"There are {', '.join(bundled)}"
        ) from None


@dataclass(frozen=True, slots=True)
class DataRecipe:
    """A genome with what is known about it.

    Attributes:
        name: name for logs and the card.
        genome: FASTA file.
        annotation: GFF3 or GTF file, for the embedded network's classes or for tracks.
        labels: labels file of `segnt labels`, instead of an annotation.
        least_score: transcripts with a lower score (column 6 of the annotation) are not learnt and their bases count
            nothing: for genes that a model has called.
        weight: how often windows are drawn from here, relative to the other genomes.
        train: regions `contig` or `contig:from-to` (1-based, inclusive) to train on; all that is not held out if empty.
        validate: regions held out to choose by; if empty, the last contigs with a tenth of the bases are held out.
        no_validation: hold nothing of this genome out.
        origin: where the data come from, for the card.
        licence: licence of the data, for the card.
    """

    name: str
    genome: str
    annotation: str = ""
    labels: str = ""
    least_score: float = 0.0
    weight: float = 1.0
    train: tuple[str, ...] = ()
    validate: tuple[str, ...] = ()
    no_validation: bool = False
    origin: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class ModelRecipe:
    """The network.

    Attributes:
        architecture: registered architecture; empty for the base's, or the embedded one for classes.
        base: name or folder of the checkpoint to start from; empty to start from random weights.
        base_share: share of the base in the weights that are validated and kept: a mean of what a run began with and
            what it came to keeps what the new data do not teach (Wortsman et al. 2022, arXiv:2109.01903).
        train: `all` weights, or the `head` only (the trunk stays bit for bit as it is).
        random_trunk: forget the base's trunk and keep its shape (an ablation).
        tracks: outputs of a new head, by name; empty for the base's or the architecture's own.
        window: default window length of the checkpoint; 0 for the longest stage's.
        margin: bases given up at each end of a window when predicting.
        codon_statistics: learn the codon statistics anew from the training part; otherwise the base's are kept
            (without a base: none, and the network's input for them is 0).
        config: hyperparameters of the architecture that differ from its defaults, or from the base's: the embedded
            network may get more blocks than its base has; they begin as the identity.
    """

    architecture: str = ""
    base: str = ""
    base_share: float = 0.0
    train: str = "all"
    random_trunk: bool = False
    tracks: tuple[str, ...] = ()
    window: int = 0
    margin: int = 2304
    codon_statistics: bool = True
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LossRecipe:
    """What is minimised.

    Attributes:
        kind: `classes` (softmax cross-entropy, for the embedded network), `focal` or `cross_entropy` (each track
            a yes-or-no question of its own).
        gamma: focal loss: how strongly easy bases are discounted.
        alpha: focal loss: weight of "yes", 1 - alpha of "no"; 0 for no weights.
        boundary_weight: classes: weight of the boundaries against 1 for the regions.
        decoder_weight: classes: weight of the log probability of the annotated genes among all that the gene decoder
            could call (training through the decoder); 0 for none. A checkpoint with fitted costs is the place to start.
    """

    kind: str = "classes"
    gamma: float = 2.0
    alpha: float = 0.0
    boundary_weight: float = 20.0
    decoder_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class OptimiserRecipe:
    """How weights are moved.

    Attributes:
        name: `muon` (matrices by Muon, the rest by AdamW), `adamw` or `adam`.
        rate: learning rate (of Muon's matrices, if muon).
        other_rate: learning rate of AdamW's share, if muon.
        betas: decay of Adam's averages.
        weight_decay: decoupled weight decay (none for adam).
        clip: largest norm of the gradient; 0 for no limit.
        warm_up: share of the run in which the rate rises from 0.
        flat: share of the run after which the rate falls.
        final: last rate over the highest.
        average: decay of the running average of the weights, which is what is validated and kept; 0 for none.
    """

    name: str = "muon"
    rate: float = 0.02
    other_rate: float = 1.5e-3
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    clip: float = 1.0
    warm_up: float = 0.02
    flat: float = 0.3
    final: float = 0.01
    average: float = 0.998


@dataclass(frozen=True, slots=True)
class StageRecipe:
    """A part of the run with windows of one length; rotary embeddings are rescaled to it where the trunk has them.

    Attributes:
        window: window length in bases.
        steps: updates of the weights.
        batch: windows in an update, over all devices.
        device_batch: windows that go through a device at once; the rest is accumulated.
        rate: learning rate of this stage relative to the optimiser's.
    """

    window: int
    steps: int
    batch: int = 1
    device_batch: int = 1
    rate: float = 1.0


@dataclass(frozen=True, slots=True)
class AugmentRecipe:
    """How windows are drawn and changed.

    Attributes:
        reverse_complement: turn every other window round.
        truncate: share of windows of which a random part is hidden behind N, as at the ends of short contigs.
        centre_on_introns: share of windows drawn around an intron (for genomes with few).
    """

    reverse_complement: bool = True
    truncate: float = 0.05
    centre_on_introns: float = 0.0


@dataclass(frozen=True, slots=True)
class ValidationRecipe:
    """How the run is watched.

    Attributes:
        every: steps between validations.
        bases: most bases of the held-out regions to validate on.
        patience: validations without a better loss after which the run stops; 0 to go on.
        keep: `best` or `last` weights make the checkpoint.
    """

    every: int = 500
    bases: int = 1_500_000
    patience: int = 0
    keep: str = "best"


@dataclass(frozen=True, slots=True)
class CalibrationRecipe:
    """How the gene decoder's costs are fitted on held-out genes after training (classes only).

    Attributes:
        rounds: passes over all costs; 0 to leave them as they are.
        bases: most held-out bases to fit on.
        minutes: time after which the search ends where it is; 0 for no limit.
    """

    rounds: int = 2
    bases: int = 1_500_000
    minutes: float = 0.0


@dataclass(frozen=True, slots=True)
class CardRecipe:
    """What the card says about the checkpoint.

    Attributes:
        name: name of the model; that of the output folder if empty.
        summary: one sentence for people.
        clade: organisms it is meant for.
        licence: licence of the weights.
        citation: how to cite it.
        not_for: what it should not be used for.
        expectations: what a usual annotation of the clade looks like where the training genomes alone do not say it
            (see segnt_tools.report.verdict), such as genes_per_mb.
        genes: parameters of the gene decoder (see segnt_tools.genes.parameters) that training through it uses and the
            fitting of its costs begins with; those of the base, or the defaults, where it names none.
    """

    name: str = ""
    summary: str = ""
    clade: str = ""
    licence: str = "MIT"
    citation: str = "segnt_tools developers: segnt_tools, annotation of genomes at single-nucleotide resolution"
    not_for: str = ""
    expectations: Mapping[str, Any] = field(default_factory=dict)
    genes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run.

    Attributes:
        data: genomes to learn from.
        stage: parts of the run, in order.
        seed: number that all random choices follow from.
        compile: compile the network (worth it in runs of more than half an hour; needs a C++ compiler).
        checkpointing: recompute activations in the backward pass: slower, much less memory.
    """

    data: tuple[DataRecipe, ...]
    stage: tuple[StageRecipe, ...]
    seed: int = 1
    compile: bool = False
    checkpointing: bool = False
    model: ModelRecipe = field(default_factory=ModelRecipe)
    loss: LossRecipe = field(default_factory=LossRecipe)
    optimiser: OptimiserRecipe = field(default_factory=OptimiserRecipe)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    validation: ValidationRecipe = field(default_factory=ValidationRecipe)
    calibration: CalibrationRecipe = field(default_factory=CalibrationRecipe)
    card: CardRecipe = field(default_factory=CardRecipe)

    @property
    def steps(self) -> int:
        """Updates of all stages."""
        return sum(stage.steps for stage in self.stage)

    def as_dict(self) -> dict[str, Any]:
        """All values, as JSON-ready data."""
        return dataclasses.asdict(self)

    @classmethod
    def read(cls, path: Path, settings: Mapping[str, Any] | None = None) -> Recipe:
        """Read a recipe; `settings` overwrite values by dotted names such as `optimiser.rate` or `data.0.genome`.

        Raises:
            RecipeError: no TOML, an unknown key (the message names the nearest known one) or an impossible value.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"cannot read the recipe: {error}", file=path) from error
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"the recipe is no TOML: {error}", file=path) from error
        for name, value in (settings or {}).items():
            _overwrite(values, name, value, path)
        recipe = _converted(cls, values, "", path)
        _check(recipe, path)
        return recipe


def _overwrite(values: dict[str, Any], name: str, value: Any, path: Path) -> None:
    """Set one value of nested tables and arrays of tables."""
    *parents, last = name.split(".")
    place: Any = values
    for parent in parents:
        if isinstance(place, list):
            if not parent.isdigit() or int(parent) >= len(place):
                raise RecipeError(f"{name}: the recipe has no entry {parent} there", file=path)
            place = place[int(parent)]
        elif isinstance(place, dict):
            place = place.setdefault(parent, {})
        else:
            raise RecipeError(f"{name} cannot be set: {parent} lies in no table", file=path)
    if not isinstance(place, dict):
        raise RecipeError(f"{name} cannot be set", file=path)
    place[last] = value


def _converted(kind: type[T], values: Any, where: str, path: Path) -> T:
    """A table of the TOML file as a data class."""
    if not isinstance(values, Mapping):
        raise RecipeError(f"{where or 'the recipe'} must be a table", file=path)
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0.0)
            raise RecipeError(f"unknown key {_dotted(where, key)}", file=path, hint=f"Nearest known: {near[0]}")
    missing = [
        name
        for name, f in fields.items()
        if name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise RecipeError(f"{_dotted(where, missing[0])} is missing", file=path)
    return kind(**{key: _value(hints[key], value, _dotted(where, key), path) for key, value in values.items()})


def _dotted(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _value(hint: Any, value: Any, where: str, path: Path) -> Any:
    """A TOML value as the type a field wants."""
    wrong = RecipeError(f"{where} cannot be {value!r}", file=path)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _converted(hint, value, where, path)
    if get_origin(hint) is tuple:
        return _tuple(get_args(hint), value, where, path)
    if get_origin(hint) in (typing.get_origin(Mapping[str, Any]), types.MappingProxyType):
        if not isinstance(value, Mapping):
            raise wrong
        return dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise wrong
    return value


def _tuple(items: tuple[Any, ...], value: Any, where: str, path: Path) -> tuple[Any, ...]:
    if not isinstance(value, list) or (items[-1] is not Ellipsis and len(items) != len(value)):
        raise RecipeError(f"{where} must be a list, not {value!r}", file=path)
    return tuple(_value(items[0], item, f"{where}.{index}", path) for index, item in enumerate(value))


_CHOICES = {
    "model.train": ("all", "head"),
    "loss.kind": ("classes", "focal", "cross_entropy"),
    "optimiser.name": ("muon", "adamw", "adam"),
    "validation.keep": ("best", "last"),
}


def _check(recipe: Recipe, path: Path) -> None:
    """What types cannot say."""
    for name, choices in _CHOICES.items():
        table, key = name.split(".")
        given = getattr(getattr(recipe, table), key)
        if given not in choices:
            raise RecipeError(f"{name} is {given!r}", file=path, hint=f"Choose one of {', '.join(choices)}")
    if not 0 <= recipe.model.base_share < 1:
        raise RecipeError(f"model.base_share is {recipe.model.base_share}, and must be from 0 to below 1", file=path)
    if recipe.model.base_share and not recipe.model.base:
        raise RecipeError("model.base_share needs a model.base", file=path)
    if recipe.seed < 0:
        raise RecipeError(f"seed is {recipe.seed}, and must be at least 0", file=path)
    if not all(0 <= beta < 1 for beta in recipe.optimiser.betas):
        raise RecipeError(
            f"optimiser.betas are {list(recipe.optimiser.betas)}, and must be from 0 to below 1", file=path
        )
    if recipe.validation.every < 1:
        raise RecipeError(f"validation.every is {recipe.validation.every}, and must be at least 1", file=path)
    if not recipe.data:
        raise RecipeError("there is no [[data]] to learn from", file=path)
    if not recipe.stage:
        raise RecipeError("there is no [[stage]]", file=path)
    for index, data in enumerate(recipe.data):
        if bool(data.annotation) == bool(data.labels):
            raise RecipeError(f"data.{index} needs either an annotation or labels", file=path)
        if data.least_score and not (data.annotation and recipe.loss.kind == "classes"):
            raise RecipeError(f"data.{index}.least_score is for annotations and loss.kind = 'classes' only", file=path)
        if data.weight <= 0:
            raise RecipeError(f"data.{index}.weight must be above 0", file=path)
    for index, stage in enumerate(recipe.stage):
        for key in ("window", "steps", "batch", "device_batch"):
            if getattr(stage, key) < 1:
                raise RecipeError(f"stage.{index}.{key} must be at least 1", file=path)
