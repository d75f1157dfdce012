"""The benchmark scripts run, and compare like with like; at true size they are run by hand."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

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


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is:DeprecationWarning")  # by torch.compile itself
@pytest.mark.parametrize("script", ["model_speed"], indirect=True)
def test_model_speed_of_what_is_compiled(script, monkeypatch, tmp_path):
    """A compiled line comes before ours of the same precision, and computes the same."""
    small = dataclasses.replace(TINY, encoder=dataclasses.replace(TINY.encoder, layers=1))
    monkeypatch.setitem(script.CONFIGS, "segment_nt", small)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    kept = {}
    measured = script._measured

    def remembered(what, *others):
        line, kept[what] = measured(what, *others)
        return line, kept[what]

    monkeypatch.setattr(script, "_measured", remembered)
    report = tmp_path / "speed.json"
    arguments = ["model_speed", "--lengths", "240", "--precisions", "float32", "--threads", "1", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--repeats", "1", "--compile", "--json", str(report)])
    script.main()
    lines = json.loads(report.read_text())["lines"]
    assert [line["what"] for line in lines] == ["plain eager", "segnt_tools compiled", "segnt_tools"]
    assert all(line["kb_per_s"] > 0 and line["times_plain"] is not None for line in lines[1:])
    compiled, eager = kept["segnt_tools compiled"], kept["segnt_tools"]
    assert float((compiled - eager).abs().max()) <= 1e-4 * float(eager.abs().max())


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
        "--places",
        "3",
        "--run",
        "3",
    ]
    monkeypatch.setattr(sys, "argv", [*arguments, "--device", "cpu", "--precision", "float32", "--json", str(report)])
    script.main()
    values = json.loads(report.read_text())
    assert values["edges"][0]["first"] == 0
    # The U-Net of a network with a small encoder changes most near an end and near the hidden base.
    assert values["edges"][0]["mean"] > values["edges"][-1]["mean"]
    assert values["hidden_base"][0]["mean"] > values["hidden_base"][-1]["mean"]
    assert (values["region"], values["run"]) == ("a:1-6000", 3)


@pytest.mark.parametrize("script", ["model_edges"], indirect=True)
def test_places_that_are_hidden(script):
    """No N is hidden, no A from a model that sees A instead, and nothing near the ends of the sequence."""
    codes = np.array([4] * 10 + [0] * 10 + [1] * 10, np.uint8)
    random = np.random.default_rng(1)
    for allows_n, wanted in ((True, range(10, 24)), (False, range(20, 24))):
        loaded = SimpleNamespace(card=SimpleNamespace(allows_n=allows_n))
        places = script._places(loaded, codes, range(0, 16, 5), 15, 2, random)
        assert sorted(places) == [place for place in wanted if 5 <= place < 23]
