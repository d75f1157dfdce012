"""The models a user has or could have: listing, checking, converting and adding checkpoints."""

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch

from segnt_tools.errors import CheckpointError, SegntError, UsageError
from segnt_tools.files import output_folder
from segnt_tools.models.architectures import build
from segnt_tools.models.card import CARD_FILE, Card
from segnt_tools.models.checkpoints import open_checkpoint, write_checkpoint
from segnt_tools.models.checkpoints.layouts import Layout, layout_of
from segnt_tools.models.checkpoints.official import LICENCE, OFFICIAL, official
from segnt_tools.models.registry import choose_device, embedded_folder, known_models

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# Weights and configuration only: the remote code of a hub repository is never downloaded.
# Of the kinds of weights only the first that a repository has is fetched: all hold the same numbers.
_HUB_FILES = tuple(("config.json", f"*.{kind}", f"*.{kind}.index.json") for kind in ("safetensors", "bin"))
_TEST_BASES = 3_000
_LISTED = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the list of models.

    Attributes:
        name: for `--model`.
        architecture: registered architecture; the layout's name where there is no card.
        place: `embedded`, `installed` or `not installed`.
        where: folder, or address of an official checkpoint that is not installed.
        licence: of the weights.
        summary: one sentence.
    """

    name: str
    architecture: str
    place: str
    where: str
    licence: str
    summary: str


def entries(model_dirs: Sequence[Path] = ()) -> list[Entry]:
    """Embedded models, the user's, and the official ones that are not installed.

    Args:
        model_dirs: folders to search before those of the environment.

    Raises:
        UsageError: one of `model_dirs` is no folder.
    """
    found = [_installed(name, folder) for name, folder in known_models(model_dirs).items()]
    names = {entry.name for entry in found}
    return found + [
        Entry(known.name, known.architecture, "not installed", known.address, LICENCE, known.summary)
        for known in OFFICIAL
        if known.name not in names
    ]


def _installed(name: str, folder: Path) -> Entry:
    place = "embedded" if folder.parent == embedded_folder() else "installed"
    try:
        if (folder / CARD_FILE).is_file():
            card = Card.read(folder)
            return Entry(name, card.architecture, place, str(folder), card.licence, card.summary)
        layout, _ = layout_of(folder)
    except SegntError as error:
        return Entry(name, "unusable", place, str(folder), "unknown", error.message)
    return Entry(name, "official layout", place, str(folder), LICENCE, f"a {layout}; convert it with segnt models add")


@dataclass(frozen=True, slots=True)
class Check:
    """What a check of a checkpoint found.

    Attributes:
        card: the card, or the one that was made for a folder without.
        layout: the recognised layout.
        tensors: number of tensors.
        parameters: number of weights.
        checksum: whether the weights were compared with a recorded checksum.
        window: bases of the window that went through the model; 0 if none did.
        lowest: lowest probability of that window.
        highest: highest probability of that window.
    """

    card: Card
    layout: Layout
    tensors: int
    parameters: int
    checksum: bool
    window: int
    lowest: float
    highest: float


def check(folder: Path, device: str = "auto", *, forward: bool = True) -> Check:
    """Load a checkpoint, verify names, shapes and checksum, look for values that are no numbers, run one window.

    Raises:
        CheckpointError: anything is wrong.
        UsageError: the device is not there.
    """
    chosen = choose_device(device)
    card, tensors = open_checkpoint(folder)
    layout, _ = layout_of(folder)
    _require_finite(tensors, folder)
    window, lowest, highest = _one_window(card, tensors, chosen, folder) if forward else (0, 0.0, 0.0)
    return Check(
        card=card,
        layout=layout,
        tensors=len(tensors),
        parameters=sum(tensor.numel() for tensor in tensors.values()),
        checksum=bool(card.sha256),
        window=window,
        lowest=lowest,
        highest=highest,
    )


def _require_finite(tensors: dict[str, torch.Tensor], folder: Path) -> None:
    wrong = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if wrong:
        shown = ", ".join(sorted(wrong)[:_LISTED])
        raise CheckpointError(f"{len(wrong)} tensors hold values that are no numbers: {shown}", file=folder)


def _one_window(
    card: Card, tensors: dict[str, torch.Tensor], device: torch.device, folder: Path
) -> tuple[int, float, float]:
    """Length of a window of random bases and the range of its probabilities."""
    model = build(card)
    model.load_state_dict(tensors)
    model.eval().to(device)
    length = card.geometry.rounded_up(min(_TEST_BASES, card.geometry.length - 2 * card.geometry.crop))
    bases = torch.randint(0, 4, (1, length), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    with torch.inference_mode():
        probabilities = torch.sigmoid(model(bases.to(device)))
    if not bool(torch.isfinite(probabilities).all()):
        raise CheckpointError("its output for a window of random bases holds values that are no numbers", file=folder)
    return length, float(probabilities.min()), float(probabilities.max())


def convert(folder: Path, out: Path, name: str | None = None) -> Card:
    """Write a checkpoint of any layout in our own.

    Raises:
        CheckpointError: it cannot be read.
        UsageError: there is a checkpoint in the output folder already.
    """
    if (out / CARD_FILE).exists():
        raise UsageError("there is a checkpoint already", file=out, hint="Give another --out")
    card, tensors = open_checkpoint(folder, name)
    if name:
        card = dataclasses.replace(card, name=name)
    return write_checkpoint(out, card, tensors)


def add(source: str, models: Path, name: str | None = None, *, replace: bool = False) -> tuple[Card, Path]:
    """Put a checkpoint into a folder of models, in our own layout, whole or not at all.

    Args:
        source: a checkpoint folder, an official checkpoint's name, or a repository OWNER/NAME of the Hugging Face hub.
        models: the folder of models; made where there is none.
        name: name of the model; by default the official one, or that of the folder.
        replace: overwrite a model of this name.

    Returns:
        The card and the folder.

    Raises:
        CheckpointError: it cannot be fetched or read.
        UsageError: the name is taken or no name.
    """
    known = official(source)
    if not Path(source).is_dir() and (known is not None or _REPOSITORY.fullmatch(source)):
        repository = known.repository if known is not None else source
        with tempfile.TemporaryDirectory(prefix="segnt_") as temporary:
            folder = _fetched(repository, Path(temporary))
            return _add_folder(folder, models, name or repository.rpartition("/")[2], replace)
    return _add_folder(Path(source), models, name, replace)


def _add_folder(folder: Path, models: Path, name: str | None, replace: bool) -> tuple[Card, Path]:
    if name is not None:
        _require_free(name, models, replace)
    card, tensors = open_checkpoint(folder, name)
    chosen = name or card.name
    _require_free(chosen, models, replace)
    target = output_folder(models) / chosen
    unfinished = Path(tempfile.mkdtemp(prefix=f".{chosen}.", dir=models))
    try:
        _require_finite(tensors, folder)
        card = write_checkpoint(unfinished, dataclasses.replace(card, name=chosen), tensors)
        unfinished.chmod(0o755)
        replaced = Path(tempfile.mkdtemp(prefix=f".{chosen}.", dir=models))
        if target.exists():
            target.rename(replaced / chosen)
        unfinished.rename(target)
        shutil.rmtree(replaced)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return card, target


def _require_free(name: str, models: Path, replace: bool) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a model", hint="Use letters, digits and . _ + -")
    if (models / name).exists() and not replace:
        raise UsageError(f"there is a model named {name} already", hint="Give another --name, or --replace")


def _fetched(repository: str, folder: Path) -> Path:
    """Download weights and configuration of a hub repository."""
    address = f"https://huggingface.co/{repository}"
    try:
        hub = import_module("huggingface_hub")  # an extra: typed only where it is installed
    except ImportError:
        raise CheckpointError(
            f"{repository} has to be downloaded, for which huggingface_hub is not installed",
            hint=f"pip install 'segnt_tools[hub]', or download {address} and give its folder",
        ) from None
    try:
        for patterns in _HUB_FILES:
            hub.snapshot_download(repository, allow_patterns=list(patterns), local_dir=folder)
            if any(folder.glob(patterns[1])):
                break
    # The hub's client and the network below it have many families of errors; none is a bug of ours.
    except Exception as error:
        raise CheckpointError(
            f"{repository} could not be downloaded: {error}",
            hint=f"Download {address} where there is internet and give its folder",
        ) from error
    return folder
