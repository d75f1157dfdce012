"""Writing files so that a crash leaves either the whole file or none."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segnt_tools.errors import UsageError

_TEMPORARY_PREFIX = ".segnt_tmp_"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`, flushed to disk and renamed to it when the block ends well.

    The temporary name keeps the suffixes, because some writers choose their format by them. Whatever goes wrong inside
    the block removes the temporary file and leaves an older `path` untouched. Missing folders above `path` are made. A
    link is followed. A device or a pipe (/dev/null, /dev/stdout) is written into: renaming a file over it would destroy
    it.

    Raises:
        UsageError: the folder of `path` cannot be made.
    """
    path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            collected = Path(folder) / path.name
            yield collected
            with collected.open("rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
        return
    if not path.parent.is_dir():
        output_folder(path.parent)
    handle, name = tempfile.mkstemp(prefix=_TEMPORARY_PREFIX, suffix="".join(path.suffixes), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        _flush_to_disk(temporary)
        temporary.replace(path)
        _flush_to_disk(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a whole text file at once, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def output_folder(path: Path) -> Path:
    """Make an output folder and make sure that it can be written.

    Raises:
        UsageError: it is a file, or cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except FileExistsError as error:
        raise UsageError("the output folder exists as a file", file=path, hint="Give another --out") from error
    except OSError as error:
        raise UsageError(
            f"cannot write into the output folder ({error.strerror})", file=path, hint="Give another --out"
        ) from error
    return path


def require_output_file(path: Path) -> None:
    """Make the folder of an output file, before a long run, and make sure that it can be written.

    A device or a pipe needs no folder that can be written.

    Raises:
        UsageError: the folder is a file, or cannot be made or written.
    """
    if path.is_file() or not path.exists():
        output_folder(path.parent)


def require_free_space(folder: Path, needed: int) -> None:
    """Stop before a long run whose output would not fit.

    Raises:
        UsageError: less than `needed` bytes are free in the file system of `folder`.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UsageError(
            f"the output needs about {needed / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free",
            file=folder,
            hint="Free some space or give an --out on another disk",
        )


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that a killed run left in an output folder (see atomic_path)."""
    for path in folder.glob(f"{_TEMPORARY_PREFIX}*"):
        path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
