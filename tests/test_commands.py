"""The command line as a user meets it: help, exit status, messages, signals."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from segnt_tools.commands import common, main
from segnt_tools.commands.main import COMMANDS, run

SEGNT = Path(sys.executable).with_name("segnt")
DEMO = Path(__file__).parents[1] / "segnt_tools" / "data" / "demo" / "arabidopsis_chr1.fa.gz"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    text = capsys.readouterr().out
    module = import_module(f"segnt_tools.commands.{command.replace('-', '_')}")
    assert module.__doc__ is not None
    assert module.__doc__.splitlines()[0] in text


def test_the_list_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n    {command}" in text for command in COMMANDS)
    assert "Exit status" in text


@pytest.mark.parametrize("command", ["merge-gff", "check-gff", "preprocess", "report"])
def test_tools_without_a_model_do_not_wait_for_torch(command: str) -> None:
    code = (
        "import sys; from segnt_tools.commands.main import run; "
        f"run([{command!r}, '--help']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["anotate"], "anotate"),
        (["preprocess", "a.fa"], "--out"),
        (["preprocess", "a.fa", "--out", "o", "--shards", "0"], "not a positive whole number"),
        (["preprocess", "a.fa", "--out", "o", "--shard-size", "ten"], "not a number of bases"),
        (["preprocess", "a.fa", "--out", "o", "--shard-size", "inf"], "not a number of bases"),
        (["preprocess", "a.fa", "--out", "o", "--min-length", "1e30"], "not a number of bases"),
        (["predict", "a.fa", "--out", "o", "--threads", "3000000000"], "more than 4096"),
        (["evaluate", "a.bed", "--truth", "t", "--genome", "g", "--out", "o", "--seed", "-1"], "not a positive whole"),
        (["call-peaks", "t.h5", "--out", "o", "--high", "2"], "not between 0 and 1"),
        (["predict", "a.fa", "--out", "o", "--precision", "int4"], "invalid choice"),
        (["predict", "a.fa", "--out", "o", "--overlap", "-1"], "not a number of bases"),
        (["predict", "a.fa", "--out", "o", "--window", "0"], "not a number of bases"),
    ],
)
def test_a_wrong_command_line_gets_two_lines_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 2
    assert "--help" in error


def test_dashes_from_a_pdf_are_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["preprocess", "a.fa", "\N{EN DASH}\N{EN DASH}out", "x"]) == 2
    assert "is not the hyphen" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (MemoryError(), 3, "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"), 3, "out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device", "x.h5"), 1, "no space left"),
        (ValueError("odd"), 1, "this is a bug"),
    ],
)
def test_failures_have_a_status_and_a_message(
    error: BaseException, status: int, message: str, monkeypatch, capsys, tmp_path: Path
) -> None:
    def fail(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr("segnt_tools.commands.preprocess.run", fail)
    assert run(["preprocess", "a.fa", "--out", str(tmp_path)]) == status
    text = capsys.readouterr().err
    assert message in text
    assert "Traceback" not in text
    if not isinstance(error, KeyboardInterrupt):
        with pytest.raises(type(error)):
            run(["preprocess", "a.fa", "--out", str(tmp_path), "--debug"])


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_cleanly(tmp_path: Path, number: int, status: int) -> None:
    out = tmp_path / "t.h5"
    # A shell's background jobs ignore SIGINT, and so would what they start.
    ignoring = signal.signal(signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen([SEGNT, "predict", DEMO, "--out", out], stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, ignoring)
    while not list(tmp_path.iterdir()):
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(number)
    _, text = process.communicate(timeout=60)
    assert process.returncode == status
    assert "goes on where it stopped" in text
    assert list(tmp_path.iterdir()) == []


def test_quiet_is_quiet_and_json_is_reproducible(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("1", "2"):
        command = [
            "preprocess",
            str(DEMO),
            "--out",
            str(tmp_path / name),
            "--json",
            str(tmp_path / f"{name}.json"),
            "-q",
        ]
        assert run(command) == 0
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "")
    report = json.loads((tmp_path / "1.json").read_text())
    assert (report["tool"], report["schema_version"]) == ("segnt preprocess", 1)
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "no_such_model"], "no model named no_such_model"),
        (["--model", "plant_small", "--window", "1001"], "multiple of"),
        (["--window", "1001"], "multiple of"),
        (["--model", "plant_small", "--elements", "introns"], "has no element introns"),
        (["--device", "tpu"], "unknown device"),
        (["--model", "plant_small"], "are free"),
        ([], "are free"),
    ],
)
def test_predict_refuses_before_a_model_is_loaded(
    tmp_path: Path, options: list[str], message: str, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(*arguments: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("segnt_tools.models.registry.load_model", load)
    monkeypatch.setattr("segnt_tools.selection.load_model", load)
    monkeypatch.setattr("segnt_tools.files.shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    assert run(["predict", str(DEMO), "--out", str(tmp_path / "t.h5"), *options]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_numbers_as_people_write_them() -> None:
    assert [common.bases(text) for text in ("50000", "50k", "1.5M", "3G")] == [50_000, 50_000, 1_500_000, 3 * 10**9]
    assert [common.bases_or_zero(text) for text in ("0", "0k", "2k")] == [0, 0, 2000]


def test_processors_of_a_cpuset_are_respected() -> None:
    assert common.available_cpus() == len(os.sched_getaffinity(0))


def test_settings_of_a_folder_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    common.require_same_settings(path, {"model": "a", "window": 3}, "results")
    common.require_same_settings(path, {"model": "a", "window": 3}, "results")
    with pytest.raises(main.SegntError, match="model: then 'a', now 'b'"):
        common.require_same_settings(path, {"model": "b", "window": 3}, "results")


@pytest.mark.parametrize(("text", "size"), [("auto", None), ("3", 3)])
def test_batch_sizes(text: str, size: int | None) -> None:
    parser = argparse.ArgumentParser()
    common.add_model_options(parser, "auto")
    assert parser.parse_args(["--batch-size", text]).batch_size == size


def test_sigterm_whose_exception_a_callback_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python raises inside a callback of ctypes, as llvmlite has them, goes to the hook and nowhere else."""
    lost, cleaned = [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda hooked: lost.append(hooked.exc_type.__name__))

    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass

    def command(args: argparse.Namespace) -> None:
        ctypes.CFUNCTYPE(None)(interrupted)()
        try:
            time.sleep(20)
        finally:
            time.sleep(1.2)  # longer than the timer's steps: clean-up is not disturbed
            cleaned.append(True)

    before = signal.getsignal(signal.SIGALRM)
    monkeypatch.setattr("segnt_tools.commands.check_gff.run", command)
    begun = time.monotonic()
    assert run(["check-gff", "x.gff3"]) == main.TERMINATED
    assert time.monotonic() - begun < 10
    assert lost == ["_Terminated"]
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGALRM) is before
