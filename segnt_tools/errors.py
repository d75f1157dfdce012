"""The exception family: each error says in which file and line, what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import ClassVar


class SegntError(Exception):
    """Base of all errors that a user can do something about.

    Args:
        message: what is wrong, as a sentence without its full stop.
        file: the file it was found in.
        line: 1-based line in that file.
        hint: what the user can do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        file: str | PathLike[str] | None = None,
        line: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = None if file is None else str(file)
        self.line = line
        self.hint = hint

    def __str__(self) -> str:
        place = (
            "" if self.file is None else f"{self.file}: " if self.line is None else f"{self.file}, line {self.line}: "
        )
        hint = "" if self.hint is None else f". {self.hint}"
        return f"{place}{self.message}{hint}"


def some_names(names: Iterable[str]) -> str:
    """The first three names for a message, and `...` if there are more."""
    first = list(names)
    return ", ".join([*first[:3], *(["..."] if len(first) > 3 else [])])


class UsageError(SegntError):
    """Options that do not fit together or an output place that cannot be used."""

    exit_code = 2


class InputError(SegntError):
    """A file the user gave is not what it should be."""

    exit_code = 2


class AssemblyError(InputError):
    """The FASTA file cannot be annotated."""


class AnnotationFileError(InputError):
    """A GFF3, GTF or BED file is malformed or does not fit the assembly."""


class TracksError(InputError):
    """A tracks file is damaged, or does not fit the others."""


class CheckpointError(InputError):
    """A checkpoint is missing, damaged, unsafe or of another architecture."""


class RecipeError(InputError):
    """A training recipe has unknown keys or impossible values."""


class ProvenError(SegntError):
    """An output failed its own proof: a bug of ours, never silently written."""


class MemoryExhaustedError(SegntError):
    """Host or GPU memory did not suffice."""

    exit_code = 3
