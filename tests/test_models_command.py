"""segnt models: list, show, check, convert and add, as a user calls them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import types
from fnmatch import fnmatch
from pathlib import Path

import pytest
import safetensors.torch
import torch

sys.path.insert(0, str(Path(__file__).parent))
import tiny_checkpoints

from segnt_tools.commands.main import run
from segnt_tools.errors import CheckpointError, UsageError
from segnt_tools.models.card import Card
from segnt_tools.models.registry import embedded_folder, find_checkpoint, load_model


@pytest.fixture(autouse=True)
def _own_model_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGNT_MODELS", str(tmp_path / "models"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def checkpoint(tmp_path):
    return tiny_checkpoints.write_hugging_face(tmp_path / "download")


def _segnt(capsys, *arguments) -> tuple[int, str, str]:
    status = run(["models", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_list_names_official_models_with_address_and_licence(capsys, tmp_path):
    status, out, _ = _segnt(capsys, "list", "--json", tmp_path / "report.json")
    assert status == 0
    for name in ("segment_nt", "segment_nt_multi_species", "segment_enformer", "segment_borzoi"):
        assert f"https://huggingface.co/InstaDeepAI/{name}" in out
    assert "CC BY-NC-SA 4.0" in out
    report = json.loads((tmp_path / "report.json").read_text())
    assert {entry["place"] for entry in report["models"]} >= {"not installed"}


def test_add_check_show_and_load(capsys, checkpoint, tmp_path):
    status, out, err = _segnt(capsys, "add", checkpoint, "--name", "segment_nt_multi_species")
    assert status == 0
    assert out == "--model segment_nt_multi_species\n"
    assert "CC BY-NC-SA" in err
    assert "de Almeida" in err
    status, out, _ = _segnt(capsys, "list")
    assert "not installed  SegmentNT 30 kb fine-tuned" not in out
    status, out, _ = _segnt(capsys, "check", "segment_nt_multi_species", "--json", tmp_path / "check.json")
    assert status == 0
    assert "checksum agrees" in out
    assert json.loads((tmp_path / "check.json").read_text())["window"] > 0
    status, out, _ = _segnt(capsys, "show", "segment_nt_multi_species")
    assert status == 0
    assert "untrained tracks: lncRNA, CTCF-bound, polyA_signal" in out
    loaded = load_model("segment_nt_multi_species", "cpu", "float32")
    assert loaded.card.trained_tracks == (0, 2, 3, 4, 5, 6, 7)
    assert loaded.model(torch.zeros(1, 48, dtype=torch.uint8)).shape == (1, 48, 14)


def test_add_takes_no_name_twice(capsys, checkpoint, tmp_path):
    assert _segnt(capsys, "add", checkpoint, "--name", "mine")[0] == 0
    status, _, err = _segnt(capsys, "add", checkpoint, "--name", "mine")
    assert status == 2
    assert "already" in err
    assert _segnt(capsys, "add", checkpoint, "--name", "mine", "--replace")[0] == 0
    status, _, err = _segnt(capsys, "add", checkpoint, "--name", "../outside")
    assert status == 2
    assert "no name for a model" in err
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["mine"]


def test_a_damaged_checkpoint_is_not_added(capsys, checkpoint, tmp_path):
    tensors = safetensors.torch.load_file(checkpoint / "model.safetensors")
    tensors["fc.bias"][3] = torch.nan
    (checkpoint / "model.safetensors").unlink()
    safetensors.torch.save_file(tensors, checkpoint / "model.safetensors")
    status, _, err = _segnt(capsys, "check", checkpoint)
    assert status == 2
    assert "no numbers: head.proj.bias" in err
    status, _, err = _segnt(capsys, "add", checkpoint)
    assert status == 2
    assert not any((tmp_path / "models").iterdir())


def test_convert(capsys, checkpoint, tmp_path):
    status, out, _ = _segnt(capsys, "convert", checkpoint, "--out", tmp_path / "own", "--name", "tiny")
    assert status == 0
    assert out == f"{tmp_path / 'own'}\n"
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["card.json", "model.safetensors"]
    assert Card.read(tmp_path / "own").name == "tiny"
    status, _, err = _segnt(capsys, "convert", checkpoint, "--out", tmp_path / "own")
    assert status == 2
    assert "already" in err
    assert _segnt(capsys, "check", tmp_path / "own", "--no-forward")[0] == 0


@pytest.mark.parametrize("action", ["show", "check"])
def test_unknown_model(capsys, action):
    status, _, err = _segnt(capsys, action, "no_such_model")
    assert status == 2
    assert "no model named no_such_model" in err


def test_show_of_an_official_layout(capsys, checkpoint):
    status, out, _ = _segnt(capsys, "show", checkpoint)
    assert status == 0
    assert "CC BY-NC-SA 4.0" in out
    assert "N in windows:     no" in out


def test_a_folder_in_an_official_layout_among_the_users_models_is_listed(capsys, tmp_path):
    tiny_checkpoints.write_jax(tmp_path / "models" / "from_jax")
    (tmp_path / "models" / "empty").mkdir()
    status, out, _ = _segnt(capsys, "list")
    assert status == 0
    assert "convert it with segnt models add" in out
    assert "unusable" in out


def test_add_from_the_hub_without_its_client(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    status, _, err = _segnt(capsys, "add", "segment_nt")
    assert status == 2
    assert "segnt_tools[hub]" in err
    assert "https://huggingface.co/InstaDeepAI/segment_nt" in err


def _hub(monkeypatch, download) -> None:
    module = types.ModuleType("huggingface_hub")
    module.snapshot_download = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_add_from_the_hub(kind, capsys, monkeypatch, tmp_path):
    """The client is replaced: there is no internet in tests. Only weights and configuration are asked for."""
    asked = []

    def download(repository, allow_patterns, local_dir):
        asked.append((repository, allow_patterns))
        folder = tiny_checkpoints.write_hugging_face(Path(local_dir))
        if kind == "bin":
            file = folder / "model.safetensors"
            torch.save(safetensors.torch.load_file(file), folder / "pytorch_model.bin")
            file.unlink()
        for file in folder.iterdir():
            if not any(fnmatch(file.name, pattern) for pattern in allow_patterns):
                file.unlink()

    _hub(monkeypatch, download)
    status, out, _ = _segnt(capsys, "add", "segment_nt_multi_species")
    assert status == 0
    assert out == "--model segment_nt_multi_species\n"
    assert {repository for repository, _ in asked} == {"InstaDeepAI/segment_nt_multi_species"}
    patterns = [pattern for _, patterns in asked for pattern in patterns]
    assert not any(pattern.endswith((".py", "*")) for pattern in patterns)
    # Where there are safetensors, the same numbers are not fetched a second time as pytorch_model.bin.
    assert any(fnmatch("pytorch_model.bin", pattern) for pattern in patterns) is (kind == "bin")
    assert len(Card.read(tmp_path / "models" / "segment_nt_multi_species").trained_tracks) == 7


def test_add_from_the_hub_without_internet(capsys, monkeypatch):
    def download(*arguments, **options):
        raise ConnectionError("no route to host")

    _hub(monkeypatch, download)
    status, _, err = _segnt(capsys, "add", "SomeOne/some_model")
    assert status == 2
    assert "no route to host" in err
    assert "where there is internet" in err


# --- where models are searched


def test_the_search_path(tmp_path, monkeypatch):
    """--model-dir in the order given, then $SEGNT_MODELS in its order, then the package."""
    given, other, first, second = (tmp_path / name for name in ("given", "other", "first", "second"))
    for folder in (given, other, first, second):
        (folder / "plant_small").mkdir(parents=True)
    monkeypatch.setenv("SEGNT_MODELS", os.pathsep.join(map(str, (first, second, tmp_path / "absent"))))
    searched = [
        *(folder / "plant_small" for folder in (given, other, first, second)),
        embedded_folder() / "plant_small",
    ]
    for place in searched:
        assert find_checkpoint("plant_small", [given, other]) == place
        assert find_checkpoint("plant_small", [given, other]).is_dir()
        if place != searched[-1]:
            place.rmdir()
    with pytest.raises(CheckpointError) as error:
        find_checkpoint("nobody", [given, other])
    assert all(str(folder) in str(error.value) for folder in (given, other, first, second))
    assert "the embedded models" in str(error.value)
    with pytest.raises(UsageError, match="no such folder"):
        find_checkpoint("plant_small", [tmp_path / "absent"])


def test_without_the_variable_the_users_data_folder_is_searched(tmp_path, monkeypatch):
    monkeypatch.delenv("SEGNT_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "segnt_tools" / "models" / "mine").mkdir(parents=True)
    assert find_checkpoint("mine") == tmp_path / "segnt_tools" / "models" / "mine"


def test_every_action_takes_model_dir(capsys, checkpoint, tmp_path):
    place = ("--model-dir", tmp_path / "there", "--model-dir", tmp_path)
    assert _segnt(capsys, "add", checkpoint, "--name", "tiny", "--model-dir", tmp_path / "there")[0] == 0
    assert (tmp_path / "there" / "tiny" / "card.json").is_file()
    assert not (tmp_path / "models").exists()
    assert str(tmp_path / "there" / "tiny") in _segnt(capsys, "list", *place)[1]
    assert str(tmp_path / "there" / "tiny") not in _segnt(capsys, "list")[1]
    for action in (("show",), ("check", "--no-forward"), ("convert", "--out", tmp_path / "own")):
        assert _segnt(capsys, action[0], "tiny", *action[1:])[0] == 2
        assert _segnt(capsys, action[0], "tiny", *action[1:], *place)[0] == 0


def test_predict_and_annotate_take_model_dir(tmp_path, capsys):
    """A resumed run asks which model it was, not where it lay."""
    fasta = tmp_path / "a.fa"
    fasta.write_text(">a\n" + "ACGTTGCATT" * 200 + "\n")
    shutil.copytree(embedded_folder() / "plant_small", tmp_path / "here" / "mine")
    common = [str(fasta), "--model", "mine", "--device", "cpu", "--threads", "1"]
    predict = ["predict", *common, "--out", str(tmp_path / "t.h5")]
    steps = [f"--skip={step}" for step in ("genes", "tracks", "report")]
    annotate = ["annotate", *common, *steps, "--out", str(tmp_path / "out")]
    assert run(predict) == 2
    assert f"searched in {tmp_path / 'models'}" in capsys.readouterr().err
    for command in (predict, annotate):
        assert run([*command, "--model-dir", str(tmp_path / "here")]) == 0
    (tmp_path / "here").rename(tmp_path / "moved")
    capsys.readouterr()
    assert run([*annotate, "--model-dir", str(tmp_path / "moved")]) == 0
    assert "nothing to do" in capsys.readouterr().err
    card = tmp_path / "moved" / "mine" / "card.json"
    card.write_text(card.read_text().replace('"not_for": "', '"not_for": "anything; '))
    assert run([*annotate, "--model-dir", str(tmp_path / "moved")]) == 2
    assert "model_fingerprint" in capsys.readouterr().err
