"""segnt: annotate assembled genomes at single-nucleotide resolution with DNA foundation models."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from types import FrameType, ModuleType
from typing import Any, NoReturn

from segnt_tools import __version__
from segnt_tools.commands.common import HelpFormatter, Parser
from segnt_tools.errors import SegntError
from segnt_tools.logs import logger, set_up

# Commands in the order of a run, with one line each; a command's module is imported only when it is called.
COMMANDS: dict[str, str] = {
    "annotate": "the whole chain in one command: FASTA in; GFF3, BED, bigWig, proteins and report out",
    "preprocess": "check an assembly and cut it into shards",
    "predict": "per-base probabilities of every element: a tracks file for each shard",
    "tracks": "look into tracks files; export bigWig, bedGraph or npz; join shards",
    "call-peaks": "intervals of every element as GFF3 and BED",
    "call-genes": "gene models by exact decoding as GFF3, with proteins",
    "merge-gff": "join shards and existing annotation",
    "check-gff": "find what is wrong in a GFF3 or GTF file",
    "labels": "annotation and regulatory files to per-base labels",
    "train": "train or adapt a model from a recipe",
    "evaluate": "compare predictions with a reference",
    "report": "one self-contained HTML page about a run",
    "models": "list, show, check, convert and add checkpoints",
}

SUCCESS, FAILURE, USAGE, OUT_OF_MEMORY, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143

_EPILOG = """\
segnt COMMAND --help tells more about a command. Exit status: 0 done; 1 failed; 2 wrong usage or bad input; 3 out of
memory; 130 interrupted; 143 terminated.
"""

_SECONDS_UNTIL_LOST = 0.5


class _Terminated(BaseException):
    """SIGTERM arrived: unwind, so that temporary files are removed."""


class _Termination:
    """Handles SIGTERM.

    A library may lose the exception: numba raises another one that says nothing while it compiles, and what is raised
    inside a callback of ctypes goes nowhere. So the signal is remembered, and a timer raises again what was lost.

    Attributes:
        asked: the signal arrived.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: tuple[Any, tuple[float, float]] | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Unwind, unless that is going on."""
        if not self.asked:
            self.asked = True
            timer = signal.setitimer(signal.ITIMER_REAL, _SECONDS_UNTIL_LOST, _SECONDS_UNTIL_LOST)
            self._before = signal.signal(signal.SIGALRM, self), timer
        elif _is_unwinding():
            return
        raise _Terminated

    def is_over(self) -> None:
        """Stop the timer."""
        if self._before is not None:
            handler, timer = self._before
            signal.setitimer(signal.ITIMER_REAL, *timer)
            signal.signal(signal.SIGALRM, handler)
            self._before = None


def _is_unwinding() -> bool:
    """Whether the exception is on its way through somebody's clean-up."""
    error = sys.exception()
    while error is not None and not isinstance(error, _Terminated):
        error = error.__context__
    return error is not None


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the console script."""
    status = run(sys.argv[1:] if arguments is None else list(arguments))
    if status in (INTERRUPTED, TERMINATED):
        # All is unwound; Python would still wait for threads that cannot be stopped, such as one that compiles.
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def run(arguments: list[str]) -> int:
    """Run one command line in this process and return its exit status."""
    _point_out_dashes(arguments)
    try:
        args = _parse(arguments)
    except SystemExit as stop:  # argparse's way out after --help, --version or a wrong option
        return int(stop.code or 0)
    set_up(args.quiet, args.debug)
    termination = _Termination()
    previous = signal.signal(signal.SIGTERM, termination)
    try:
        return int(args.run(args) or SUCCESS)
    except BaseException as error:
        termination.is_over()
        if args.debug:
            raise
        return _status_of(_Terminated() if termination.asked else error)
    finally:
        termination.is_over()
        signal.signal(signal.SIGTERM, previous)


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Options of the command that was called; only its module is imported."""
    parser = Parser(prog="segnt", description=__doc__, epilog=_EPILOG, formatter_class=HelpFormatter)
    parser.add_argument("--version", action="version", version=f"segnt_tools {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, summary in COMMANDS.items():
        module = _module(name) if name == called else None
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=module.__doc__ if module else summary,
            formatter_class=HelpFormatter,
        )
        if module is not None:
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser.parse_args(arguments)


def _module(command: str) -> ModuleType:
    return import_module(f"segnt_tools.commands.{command.replace('-', '_')}")


def _status_of(error: BaseException) -> int:
    """Say what went wrong in one line and choose the exit status."""
    match error:
        case SegntError():
            logger.error("%s", error)
            return error.exit_code
        case KeyboardInterrupt():
            logger.error("interrupted; the same command goes on where it stopped")
            return INTERRUPTED
        case _Terminated():
            logger.error("terminated; the same command goes on where it stopped")
            return TERMINATED
        case BrokenPipeError():
            # Whoever read our output is gone; do not complain again when Python flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILURE
        case SystemExit():
            return int(error.code or 0) if isinstance(error.code, int) else FAILURE
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            logger.error("no space left on the disk (%s). Free some space; the same command goes on", error.filename)
            return FAILURE
        case OSError():
            logger.error("%s", error)
            return FAILURE
    # torch is not imported here, so its errors are known by name; on the CPU its allocator raises a plain RuntimeError.
    name, text = type(error).__name__, str(error)
    if isinstance(error, MemoryError) or name == "OutOfMemoryError" or "DefaultCPUAllocator: " in text:
        logger.error("out of memory. Use a smaller --batch-size or --window, fewer --threads, or more memory")
        return OUT_OF_MEMORY
    logger.error("%s: %s", name, text)
    logger.error("this is a bug of segnt_tools. Run again with --debug and report what it prints")
    return FAILURE


def _point_out_dashes(arguments: Sequence[str]) -> None:
    """Options copied from a PDF often begin with a dash that is no hyphen."""
    for argument in arguments:
        if argument[:1] in ("\N{EN DASH}", "\N{EM DASH}", "\N{MINUS SIGN}"):
            sys.stderr.write(f"WARNING: {argument!r} begins with a dash that is not the hyphen '-' of an option\n")
