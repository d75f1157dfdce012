"""Writing files so that a crash leaves either the whole file or none, and reading what can be read only once."""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Literal, cast

from segnt_tools.errors import UsageError

_TEMPORARY_PREFIX = ".segnt_tmp_"
_MOST_LINKS = 40  # that the system follows, too

_copies: dict[tuple[str, int, int], Path] = {}
_copying = threading.Lock()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`, flushed to disk and renamed to it when the block ends well.

    The temporary name keeps the suffixes, because some writers choose their format by them. Whatever goes wrong inside
    the block removes the temporary file and leaves an older `path` untouched. Missing folders above `path` are made. A
    link is followed. A device, a pipe or an open file (/dev/null, /dev/stdout, /dev/fd/3) is written into when all is
    there: renaming a file over it would destroy it, or miss what the shell redirects.

    Raises:
        UsageError: the folder of `path` cannot be made, or no file is open under that number.
    """
    if is_stream(path):  # before links are resolved: /dev/stdout ends in a name that no file has, such as pipe:[12]
        with tempfile.TemporaryDirectory() as folder:
            collected = Path(folder) / path.name
            yield collected
            _pour(collected, path)
        return
    path = path.resolve()
    if not path.parent.is_dir():
        output_folder(path.parent)
    temporary = path.with_name(f"{_TEMPORARY_PREFIX}{secrets.token_hex(8)}{''.join(path.suffixes)}")
    # Not by tempfile, whose files only their owner may read: to give them the permissions of an ordinary file, the
    # umask would have to be read, which cannot be done without changing it for all threads.
    try:
        temporary.touch(exist_ok=False)  # inside: a signal may come as soon as it is there
        permissions = temporary.stat().st_mode
        yield temporary
        temporary.chmod(permissions)  # safetensors puts a file of its own there, which nobody else may read
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

    A device, a pipe or an open file needs no folder that can be written.

    Raises:
        UsageError: the folder is a file, or cannot be made or written; or the file is a folder.
    """
    if is_stream(path):
        return
    if path.is_dir():
        raise UsageError("the output file exists as a folder", file=path, hint="Give another --out")
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


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, where its file system can; a run that dies lets go of it.

    Raises:
        UsageError: another run is at work there.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # of file systems that know no locks
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(
                    "another run is writing into the folder",
                    file=folder,
                    hint="Wait for its end, or give another --out",
                ) from error
        yield
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as it lies on the disk, or of what comes through a pipe, in hexadecimal digits."""
    with rereadable(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def rereadable(path: Path) -> Path:
    """The path, or that of a copy if what it names can be read only once: a pipe, a socket or a terminal.

    Readers look at a file's beginning or end first, or go through it twice; of a pipe the second look would miss what
    the first one took. The copy is made once and kept until the program ends, so that all readers get everything.

    Raises:
        UsageError: it cannot be copied.
    """
    try:
        status = path.stat()
        if not _reads_once(path, status.st_mode):
            return path
    except OSError:  # there is none, or it may not be read: whoever opens it says so
        return path
    key = (str(path.absolute()), status.st_dev, status.st_ino)
    with _copying:
        if key not in _copies:
            _copies[key] = _copy_of(path, _folder_of_copies() / str(len(_copies)))
        return _copies[key]


def _reads_once(path: Path, mode: int) -> bool:
    if stat.S_ISCHR(mode):  # other devices than terminals, such as /dev/null, give the same each time
        with path.open("rb", buffering=0) as handle:
            return handle.isatty()
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _copy_of(path: Path, copy: Path) -> Path:
    try:
        with _opened(path, "rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
    except OSError as error:
        copy.unlink(missing_ok=True)
        raise UsageError(
            f"what comes through it cannot be copied into {copy.parent.parent} ({error.strerror})",
            file=path,
            hint="Give an ordinary file, or set TMPDIR to a folder on a larger disk",
        ) from error
    return copy


@cache
def _folder_of_copies() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="segnt_input_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def is_stream(path: Path) -> bool:
    """Whether what is written to a path flows on instead of staying under its name."""
    return _descriptor(path) is not None or (path.exists() and not path.is_file() and not path.is_dir())


def _descriptor(path: Path) -> int | None:
    """Number of the open file that a name such as /dev/stdout or /dev/fd/63, or a link to one, stands for."""
    folders = [Path(folder).resolve() for folder in ("/dev/fd", "/proc/self/fd")]
    for _ in range(_MOST_LINKS):
        if path.name.isdigit() and path.parent.resolve() in folders:
            return int(path.name)
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def _opened(path: Path, mode: Literal["rb", "wb"]) -> IO[bytes]:
    """Open a stream; an open file goes on where it is, so that nothing written to it before is overwritten."""
    descriptor = _descriptor(path)
    if descriptor is None:
        return path.open(mode)
    try:
        return cast(IO[bytes], os.fdopen(os.dup(descriptor), mode))
    except OSError as error:
        raise UsageError(f"no file is open under this number ({error.strerror})", file=path) from error


def _pour(source: Path, target: Path) -> None:
    """Write what a file holds into a stream, behind what was printed so far."""
    if sys.stdout is not None:  # the program may run without one
        sys.stdout.flush()
    with source.open("rb") as content, _opened(target, "wb") as stream:
        shutil.copyfileobj(content, stream)


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
