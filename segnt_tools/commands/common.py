"""What all commands share: help style, common options, JSON reports, settings of a run folder."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from segnt_tools import __version__
from segnt_tools.errors import UsageError
from segnt_tools.files import write_text

REPORT_SCHEMA_VERSION = 1
MOST_THREADS = 4096
# Larger than any genome, and small enough for sums of such numbers.
_MOST_BASES = 10**15


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Descriptions as written; defaults after every option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if action.default in (None, False, argparse.SUPPRESS, [], ()) or "%(default)" in text or "default:" in text:
            return text
        return f"{text} (default: %(default)s)"


class Parser(argparse.ArgumentParser):
    """Answers a wrong command line with two lines instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and where to look, and exit with status 2."""
        self.exit(2, f"ERROR: {message}\nRun '{self.prog} --help' to see all options.\n")


def available_cpus() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))


def positive_int(text: str) -> int:
    """Option type: an integer of at least 1."""
    try:
        value = int(text.replace("_", "").replace(",", ""))
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return value


def thread_count(text: str) -> int:
    """Option type: a number of threads that a machine can have."""
    value = positive_int(text)
    if value > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"{text} threads are more than {MOST_THREADS}")
    return value


def seed(text: str) -> int:
    """Option type: a random seed, a whole number from 0 on."""
    return 0 if text == "0" else positive_int(text)


def positive_int_or_auto(text: str) -> int | None:
    """Option type: an integer of at least 1, or None for auto."""
    return None if text == "auto" else positive_int(text)


def bases(text: str, least: int = 1) -> int:
    """Option type: a number of bases, with k, M or G as in 50k."""
    factor = {"k": 10**3, "K": 10**3, "m": 10**6, "M": 10**6, "g": 10**9, "G": 10**9}.get(text[-1:], 1)
    try:
        value = round(float(text[:-1] if factor > 1 else text) * factor)
    except (ValueError, OverflowError):
        value = -1
    if not least <= value <= _MOST_BASES:
        raise argparse.ArgumentTypeError(f"{text} is not a number of bases (like 50000, 50k or 1.5M)")
    return value


def bases_or_zero(text: str) -> int:
    """Option type: a number of bases that may be 0."""
    return bases(text, least=0)


def probability(text: str) -> float:
    """Option type: a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def add_common_options(parser: argparse.ArgumentParser, *, threads: bool = True) -> None:
    """--threads, --quiet, --json, --debug."""
    group = parser.add_argument_group("common options")
    if threads:
        group.add_argument(
            "-@", "--threads", type=thread_count, default=available_cpus(), metavar="N", help="processor cores to use"
        )
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    group.add_argument("--json", type=Path, metavar="REPORT", help="also write a machine-readable report here")
    group.add_argument("--debug", action="store_true", help="show a traceback when something fails")


def add_model_options(parser: argparse.ArgumentParser, default_model: str) -> None:
    """--model, --device, --precision and what decides how windows are run."""
    group = parser.add_argument_group(
        "model",
        "The embedded models carry their licence in the card. Official SegmentNT, SegmentEnformer and SegmentBorzoi "
        "weights are CC BY-NC-SA 4.0 (non-commercial); see segnt models list.",
    )
    group.add_argument(
        "--model",
        default=default_model,
        metavar="auto|NAME|FOLDER",
        help="model name or checkpoint folder; auto tries the embedded models on a sample of the assembly",
    )
    add_model_dir_option(group)
    group.add_argument("--device", default="auto", metavar="auto|cpu|cuda[:N]", help="where the model runs")
    group.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "float32", "bfloat16", "float16"),
        help="type of the model's arithmetic; auto: bfloat16 on a GPU, and for the embedded models on a fast CPU",
    )
    group.add_argument(
        "--window",
        type=bases,
        metavar="BP",
        help="window length (default: the card's); SegmentNT takes multiples of 24: 49992 for 50 kb",
    )
    group.add_argument(
        "--overlap",
        type=bases_or_zero,
        metavar="BP",
        help="bases that neighbouring windows share, half of them given up by each; 0: none (default: the card's)",
    )
    group.add_argument(
        "--batch-size",
        type=positive_int_or_auto,
        metavar="auto|N",
        help="windows at once, or auto: what fits into memory (default: auto)",
    )
    group.add_argument(
        "--both-strands",
        action="store_true",
        help="also predict the reverse complement and average: twice the time, a little more accurate",
    )


def add_model_dir_option(group: argparse._ActionsContainer) -> None:
    """--model-dir."""
    group.add_argument(
        "--model-dir",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="find models by name in this folder first (repeatable), then in those of $SEGNT_MODELS (separated by ':'; "
        "default: segnt_tools/models in the user's data folder), then inside the package",
    )


def write_report(path: Path | None, tool: str, values: Mapping[str, Any]) -> None:
    """Write a tool's JSON report; nothing in it depends on the clock, so that results can be compared byte for byte."""
    if path is None:
        return
    document = {"tool": f"segnt {tool}", "schema_version": REPORT_SCHEMA_VERSION, "version": __version__, **values}
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def require_same_settings(
    path: Path,
    settings: Mapping[str, Any],
    what: str,
    respelled: Callable[[dict[str, Any]], dict[str, Any]] = lambda before: before,
) -> None:
    """Remember the settings a folder was made with, and refuse to mix them with others.

    Args:
        path: where they are remembered.
        settings: of this run.
        what: what the folder holds, for the message.
        respelled: gives earlier settings with what means the same as now spelled as now.

    Raises:
        UsageError: the folder holds results of other settings; the message says which differ.
    """
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    if not path.exists():
        write_text(path, text)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UsageError(f"cannot read the settings of an earlier run ({error})", file=path) from error
    refuse_other_settings(respelled(before), settings, path.parent, what)


def refuse_other_settings(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path, what: str) -> None:
    """Make sure that a folder's results were made with the settings of this run.

    Raises:
        UsageError: they were not; the message says which differ.
    """
    differing = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    if differing:
        details = "; ".join(f"{key}: then {before.get(key)!r}, now {now.get(key)!r}" for key in differing)
        raise UsageError(
            f"the folder holds {what} made with other options: {details}",
            file=folder,
            hint="Use the same options to go on, or another --out",
        )


def print_line(text: str) -> None:
    """Write a line of results to standard output."""
    sys.stdout.write(text + "\n")
