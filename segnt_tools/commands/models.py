"""List, show, check, convert and add checkpoints.

Models are found by name in the folders of --model-dir, then in those of $SEGNT_MODELS (separated by ':'; or
segnt_tools/models in the user's data folder), then among those inside the package; or they are given as a folder.
Official SegmentNT checkpoints are read from the layouts in which they are published, without executing anything they
contain. Their weights are under CC BY-NC-SA 4.0 (no commercial use) and are never part of this package.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segnt_tools.commands.common import (
    HelpFormatter,
    add_common_options,
    add_model_dir_option,
    print_line,
    write_report,
)
from segnt_tools.logs import logger

if TYPE_CHECKING:
    from segnt_tools.models.card import Card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of segnt models."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    _action(actions, "list", "models that are there, and official ones with where to get them")
    show = _action(actions, "show", "the card of a model")
    show.add_argument("model", metavar="NAME|FOLDER", help="model name or checkpoint folder")
    check = _action(actions, "check", "load a checkpoint, verify every tensor and the checksum, run one window")
    check.add_argument("model", metavar="NAME|FOLDER", help="model name or checkpoint folder")
    check.add_argument("--device", default="auto", metavar="auto|cpu|cuda[:N]", help="where the window runs")
    check.add_argument("--no-forward", action="store_true", help="run no window (large models are slow on a CPU)")
    convert = _action(actions, "convert", "write a checkpoint of any layout as card.json and model.safetensors")
    convert.add_argument("model", metavar="NAME|FOLDER", help="model name or checkpoint folder")
    convert.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    convert.add_argument("--name", metavar="NAME", help="name in the card (default: the official one, or the folder's)")
    add = _action(actions, "add", "put a checkpoint into the first folder of models that is searched")
    add.add_argument(
        "source",
        metavar="FOLDER|NAME|OWNER/NAME",
        help="checkpoint folder, official name, or Hugging Face repository (needs internet and segnt_tools[hub])",
    )
    add.add_argument("--name", metavar="NAME", help="name for --model (default: the official one, or the folder's)")
    add.add_argument("--replace", action="store_true", help="overwrite a model of this name")


def _action(actions: Any, name: str, summary: str) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(
        name, help=summary, description=summary, formatter_class=HelpFormatter
    )
    add_model_dir_option(action)
    add_common_options(action, threads=False)
    return action


def run(args: argparse.Namespace) -> None:
    """Do what the action says."""
    _ACTIONS[args.action](args)


def _list(args: argparse.Namespace) -> None:
    from segnt_tools.models.catalogue import entries

    found = entries(args.model_dir)
    width = max(len(entry.name) for entry in found)
    for entry in found:
        print_line(f"{entry.name:<{width}}  {entry.place:<13}  {entry.summary}")
        print_line(f"{'':<{width}}  {entry.architecture}; {entry.licence}; {entry.where}")
    write_report(args.json, "models list", {"models": [asdict(entry) for entry in found]})


def _show(args: argparse.Namespace) -> None:
    from segnt_tools.models.card import CARD_FILE, Card
    from segnt_tools.models.checkpoints import inspect_checkpoint
    from segnt_tools.models.registry import find_checkpoint

    folder = find_checkpoint(args.model, args.model_dir)
    # Our own folders have their card at hand; for the others it is made from the weights.
    if (folder / CARD_FILE).is_file():
        card = Card.read(folder)
    else:
        inspection = inspect_checkpoint(folder)
        card = inspection.card
        for note in inspection.notes:
            logger.info(note)
    for line in _card_lines(card):
        print_line(line)
    write_report(args.json, "models show", {"folder": str(folder), "card": card.as_dict()})


def _card_lines(card: Card) -> list[str]:
    geometry = card.geometry
    untrained = [track.name for track in card.tracks if not track.trained]
    rows = [
        ("name", card.name),
        ("architecture", card.architecture),
        ("summary", card.summary),
        ("organisms", card.clade or "not stated"),
        ("tracks", ", ".join(track.name for track in card.tracks if track.trained)),
        ("untrained tracks", ", ".join(untrained)),
        ("stranded", "yes" if card.stranded else "no"),
        ("N in windows", "allowed" if card.allows_n else "no: N is masked and gets probability 0"),
        (
            "window",
            f"{geometry.length} bp, {geometry.core} bp kept; {geometry.shortest} to {geometry.longest} bp possible",
        ),
        ("training data", "; ".join(f"{source.name} ({source.use}; {source.origin})" for source in card.data)),
        ("metrics", "; ".join(_metric_texts(card.metrics))),
        ("not for", card.not_for),
        ("licence", card.licence),
        ("citation", card.citation),
        ("sha256", card.sha256),
    ]
    return [f"{name + ':':<18}{value}" for name, value in rows if value]


def _metric_texts(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Numbers with their names; groups of numbers flattened to `group name value`."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _metric_texts(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name} {value}"


def _check(args: argparse.Namespace) -> None:
    from segnt_tools.models.catalogue import check
    from segnt_tools.models.registry import find_checkpoint

    folder = find_checkpoint(args.model, args.model_dir)
    result = check(folder, args.device, forward=not args.no_forward)
    print_line(f"{folder}: {result.card.architecture}; {result.layout}")
    print_line(f"{result.tensors} tensors, {result.parameters} weights, all there, in shape and finite")
    print_line("checksum agrees with the card" if result.checksum else "no checksum is recorded for this layout")
    if result.window:
        print_line(
            f"a window of {result.window} random bases ran; probabilities {result.lowest:.4f} to {result.highest:.4f}"
        )
    report = {**asdict(result), "card": result.card.as_dict(), "folder": str(folder)}
    write_report(args.json, "models check", report)


def _convert(args: argparse.Namespace) -> None:
    from segnt_tools.models.catalogue import convert
    from segnt_tools.models.registry import find_checkpoint

    card = convert(find_checkpoint(args.model, args.model_dir), args.out, args.name)
    _say_licence(card)
    print_line(str(args.out))
    write_report(args.json, "models convert", {"folder": str(args.out), "card": card.as_dict()})


def _add(args: argparse.Namespace) -> None:
    from segnt_tools.models.catalogue import add
    from segnt_tools.models.registry import user_folders

    card, folder = add(args.source, user_folders(args.model_dir)[0], args.name, replace=args.replace)
    _say_licence(card)
    print_line(f"--model {card.name}")
    write_report(args.json, "models add", {"folder": str(folder), "card": card.as_dict()})


def _say_licence(card: Card) -> None:
    logger.info("%s: licence of the weights: %s. Cite: %s", card.name, card.licence, card.citation)


_ACTIONS = {"list": _list, "show": _show, "check": _check, "convert": _convert, "add": _add}
