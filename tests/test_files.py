"""Files appear whole or not at all, and only our own leftovers are removed."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segnt_tools.errors import UsageError
from segnt_tools.files import (
    atomic_path,
    output_folder,
    remove_leftovers,
    require_free_space,
    require_output_file,
    write_text,
)


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
