"""The benchmark scripts run, and compare like with like; at true size they are run by hand."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import tiny_checkpoints

from segnt_tools.models.nt_encoder import EncoderConfig
from segnt_tools.models.segment_nt import SegmentNTConfig

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TINY = SegmentNTConfig(EncoderConfig(width=32, layers=2, heads=2, head_width=16, ffn_width=48), head_channels=32)


@pytest.fixture
def script(request, monkeypatch):
    """A benchmark script as a module, with tiny sizes and one thread."""
    before = torch.get_num_threads()
    spec = importlib.util.spec_from_file_location(request.param, BENCHMARKS / f"{request.param}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, request.param, module)
    spec.loader.exec_module(module)
    yield module
    torch.set_num_threads(before)


@pytest.mark.parametrize("script", ["model_speed"], indirect=True)
def test_model_speed(script, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(script.CONFIGS, "segment_nt", TINY)
    report = tmp_path / "speed.json"
    arguments = [
        "model_speed",
        "--lengths",
        "240",
        "480",
        "--batch-sizes",
        "1",
        "2",
        "--threads",
        "1",
        "--device",
        "cpu",
    ]
    monkeypatch.setattr(sys, "argv", [*arguments, "--json", str(report)])
    script.main()
    lines = json.loads(report.read_text())["lines"]
    assert [line["what"] for line in lines] == (["plain eager"] + ["segnt_tools"] * 4) * 2
    assert all(line["kb_per_s"] > 0 for line in lines)
    assert all((line["times_plain"] is None) == (line["what"] == "plain eager") for line in lines)
    assert all(line["gflop_per_s"] > 0 for line in lines)
    ours = [line for line in lines if line["what"] == "segnt_tools"]
    # The first float32 line of a length is what the others are compared with.
    assert [line["mean_change"] is None for line in ours] == [True, False, False, False] * 2
    assert [line["most_changed"] for line in ours if line["precision"] == "float32"] == [None, 0.0] * 2
    assert all(0 < line["most_changed"] < 0.2 for line in ours if line["precision"] == "bfloat16")
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4 + len(lines)
    assert [line.split(",")[0] for line in printed[1:3]] == ["# product 41 x 32 x 96 alone"] * 2


@pytest.mark.parametrize("script", ["model_speed"], indirect=True)
def test_speed_of_the_embedded_network(script, monkeypatch, tmp_path):
    report = tmp_path / "speed.json"
    arguments = ["model_speed", "--model", "codon_unet", "--lengths", "480", "--repeats", "1", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--device", "cpu", "--json", str(report)])
    script.main()
    lines = json.loads(report.read_text())["lines"]
    assert [(line["what"], line["precision"]) for line in lines] == [
        ("unprepared", "float32"),
        ("segnt_tools", "float32"),
        ("segnt_tools", "bfloat16"),
    ]
    assert all(line["times_plain"] > 0 for line in lines[1:])


@pytest.mark.parametrize("script", ["model_speed"], indirect=True)
def test_model_speed_refuses_to_compare_with_another_network(script, monkeypatch):
    monkeypatch.setitem(script.CONFIGS, "segment_nt", TINY)
    monkeypatch.setattr(script, "_plain_rotation", lambda z, model: z * 3)
    monkeypatch.setattr(sys, "argv", ["model_speed", "--lengths", "240", "--threads", "1", "--device", "cpu"])
    with pytest.raises(SystemExit, match="differs"):
        script.main()


@pytest.mark.parametrize("script", ["model_edges"], indirect=True)
def test_model_edges(script, monkeypatch, tmp_path):
    folder = tiny_checkpoints.write_hugging_face(tmp_path / "checkpoint")
    fasta, report = tmp_path / "a.fa", tmp_path / "edges.json"
    fasta.write_text(">a\n" + "".join(np.random.default_rng(1).choice(list("ACGT"), 6000)) + "\n")
    arguments = [
        "model_edges",
        str(fasta),
        "--model",
        str(folder),
        "--window",
        "960",
        "--bases",
        "6000",
        "--places",
        "3",
    ]
    monkeypatch.setattr(sys, "argv", [*arguments, "--device", "cpu", "--precision", "float32", "--json", str(report)])
    script.main()
    values = json.loads(report.read_text())
    assert values["edges"][0]["first"] == 0
    # The U-Net of a network with a small encoder changes most near an end and near the hidden base.
    assert values["edges"][0]["mean"] > values["edges"][-1]["mean"]
    assert values["hidden_base"][0]["mean"] > values["hidden_base"][-1]["mean"]
