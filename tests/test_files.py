"""Files appear whole or not at all, only our own leftovers are removed, and pipes are read and written like files."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from segnt_tools import files
from segnt_tools.errors import UsageError
from segnt_tools.files import (
    atomic_path,
    file_sha256,
    output_folder,
    remove_leftovers,
    require_free_space,
    require_output_file,
    rereadable,
    write_text,
)
from segnt_tools.gff.lines import read_pragmas
from segnt_tools.gff.reading import read_features


@contextmanager
def pipe_with(content: bytes) -> Iterator[Path]:
    """The name that a shell gives to `<(command)`; the content must fit into the pipe (64 KiB)."""
    reading, writing = os.pipe()
    try:
        os.write(writing, content)
        os.close(writing)
        yield Path(f"/dev/fd/{reading}")
    finally:
        os.close(reading)


def test_a_failure_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), atomic_path(path) as temporary:
        temporary.write_text("half \ud800")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_success_replaces_with_ordinary_permissions(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("new")
    finally:
        os.umask(mask)
    assert (tmp_path / "a.txt").read_text() == "new"
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


def test_a_file_that_a_library_puts_there_gets_ordinary_permissions(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.txt") as temporary:
        private = tmp_path / "private"
        private.touch(mode=0o600)
        private.replace(temporary)
    (tmp_path / "b.txt").touch()
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_the_umask_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the whole process's: another thread would make files that anybody may write, or leave it at 0."""
    mask = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", lambda mask: pytest.fail("os.umask was called"))
            write_text(tmp_path / "a.txt", "new")
    finally:
        os.umask(mask)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_leftovers_of_a_kill_go_and_other_hidden_files_stay(tmp_path: Path) -> None:
    (tmp_path / ".user.txt").write_text("mine")
    with atomic_path(tmp_path / "a.txt") as temporary:
        remove_leftovers(tmp_path)  # what another process would find after this one was killed here
        assert not temporary.exists()
        assert [p.name for p in tmp_path.iterdir()] == [".user.txt"]
        temporary.write_text("")


def test_output_places_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="exists as a file"):
        output_folder(tmp_path / "file")
    with pytest.raises(UsageError, match="cannot write into"):
        output_folder(Path("/proc/none"))
    with pytest.raises(UsageError, match="needs about 1000000000"):
        require_free_space(tmp_path, 10**18)


def test_devices_and_pipes_are_written_into_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        write_text(pipe, "hello")
        assert read.result(timeout=30) == "hello"
    assert pipe.is_fifo()


@pytest.mark.parametrize("linked", [False, True], ids=["itself", "link"])
def test_a_pipe_by_its_number_is_written_into(linked: bool, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    path = Path(f"/dev/fd/{writing}")
    if linked:
        (tmp_path / "link.json").symlink_to(path)
        path = tmp_path / "link.json"
    require_output_file(path)
    write_text(path, "hello")
    os.close(writing)
    with os.fdopen(reading) as read:
        assert read.read() == "hello"


def test_an_open_file_goes_on_behind_what_was_printed(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from segnt_tools.files import write_text; "
        "print('first'); write_text(Path('/dev/stdout'), 'second\\n'); print('third')"
    )
    command = [sys.executable, "-c", program]
    piped = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert piped == "first\nsecond\nthird\n"
    with (tmp_path / "out.txt").open("w") as out:
        out.write("zeroth\n")
        out.flush()
        subprocess.run(command, stdout=out, check=True)
    assert (tmp_path / "out.txt").read_text() == f"zeroth\n{piped}"


def test_a_number_under_which_nothing_is_open_is_refused() -> None:
    with pytest.raises(UsageError, match="/dev/fd/987654: no file is open"):
        write_text(Path("/dev/fd/987654"), "hello")


def test_what_can_be_read_only_once_is_copied_once(tmp_path: Path) -> None:
    content = os.urandom(50_000)
    with pipe_with(content) as path:
        copy = rereadable(path)
        assert copy != path
        assert copy.read_bytes() == content
        assert rereadable(path) == copy
        assert file_sha256(path) == hashlib.sha256(content).hexdigest()
    with pipe_with(b"other") as path:  # most likely under the same number
        assert rereadable(path).read_bytes() == b"other"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(pipe.write_bytes, content * 10)
        assert rereadable(pipe).read_bytes() == content * 10
    for path in (tmp_path, tmp_path / "none", Path(__file__), Path("/dev/null")):
        assert rereadable(path) == path


def test_a_pipe_that_cannot_be_copied_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_folder_of_copies", lambda: tmp_path / "absent")
    with pipe_with(b"x") as path, pytest.raises(UsageError, match=f"{path}: .* cannot be copied into .* set TMPDIR"):
        rereadable(path)


def test_the_lines_of_a_pipe_are_there_for_all_who_read_it() -> None:
    rows = "".join(f"c\tx\tregion\t{i}\t{i}\t.\t+\t.\tID=r{i}\n" for i in range(1, 1000))
    with pipe_with(f"##gff-version 3\n#!model m\n{rows}".encode()) as path:
        assert len(list(read_features(path))) == 999
        assert read_pragmas(path) == ["model m"]


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "file")
    write_text(tmp_path / "link", "hello")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "file").read_text() == "hello"


def test_missing_folders_of_a_file_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "one" / "a.txt", "hello")
    assert (tmp_path / "new" / "one" / "a.txt").read_text() == "hello"
    require_output_file(tmp_path / "other" / "b.txt")
    assert (tmp_path / "other").is_dir()
    require_output_file(Path("/dev/null"))
    with pytest.raises(UsageError, match="cannot write into"):
        write_text(Path("/proc/none/a.txt"), "hello")
    with pytest.raises(UsageError):
        write_text(tmp_path / "new" / "one" / "a.txt" / "b.txt", "hello")
