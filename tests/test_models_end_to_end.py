"""A tiny checkpoint in an official layout, from segnt predict to npz: what the model gives, window by window."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import tiny_checkpoints

from segnt_tools.commands.main import run
from segnt_tools.models.architectures import build
from segnt_tools.models.card import Card
from segnt_tools.models.checkpoints import layouts, open_checkpoint
from segnt_tools.sequence.windows import WindowGeometry, windows_of_segments

WINDOW, OVERLAP = 480, 96
N = 4


def _contigs() -> dict[str, str]:
    random = np.random.default_rng(7)

    def bases(count: int) -> str:
        return "".join(random.choice(list("ACGT"), count))

    long = bases(2_003)
    return {
        # Single N, a bridged run, a run that cuts, lower case, and a length that is no multiple of 24.
        "mixed": long[:311] + "N" + long[311:700] + "N" * 30 + long[700:900].lower() + "N" * 200 + long[900:],
        "short": bases(100),
        "exact": bases(480),
        "lower": bases(601).lower(),
    }


def _codes(sequence: str) -> np.ndarray:
    return np.array(["ACGTN".index(base) for base in sequence.upper()], dtype=np.uint8)


def _fasta(tmp_path: Path) -> Path:
    fasta = tmp_path / "assembly.fa"
    fasta.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in _contigs().items()))
    return fasta


def _expected(model, sequence: str, overlap: int) -> np.ndarray:
    """Probabilities (bases, tracks) from the model itself; windows laid out as documented, N shown as A and zeroed."""
    codes = _codes(sequence)
    geometry = WindowGeometry(WINDOW, 24, 24, 50_016, margin=overlap // 2)
    borders = np.flatnonzero(np.diff(np.concatenate([[0], codes == N, [0]]).astype(int)))
    gaps = [(int(a), int(b)) for a, b in borders.reshape(-1, 2)]
    out = np.zeros((codes.size, 14), np.float32)
    for window in windows_of_segments(codes.size, gaps, geometry):
        shown = codes[window.start : window.start + window.length].copy()
        assert shown.size == window.length
        assert window.length % 24 == 0
        shown[shown == N] = 0
        with torch.inference_mode():
            values = torch.sigmoid(model(torch.from_numpy(shown)[None]))[0].numpy()
        out[window.keep_from : window.keep_to] = values[window.keep_from - window.start : window.keep_to - window.start]
    out[codes == N] = 0
    return out


def _predicted(
    tmp_path: Path, folder: Path, precision: str, overlap: int = OVERLAP
) -> dict[str, tuple[np.ndarray, list[str]]]:
    """Probabilities and track names of every contig, through segnt predict and segnt tracks export."""
    fasta, tracks, out = _fasta(tmp_path), tmp_path / f"{precision}.h5", tmp_path / f"npz_{precision}"
    options = ["--window", str(WINDOW), "--overlap", str(overlap), "--precision", precision, "--device", "cpu"]
    common = ["--track-dtype", "float32", "--threads", "1", "--quiet"]
    assert run(["predict", str(fasta), "--model", str(folder), "--out", str(tracks), *options, *common]) == 0
    assert run(["tracks", "export", str(tracks), "--format", "npz", "--out", str(out), "--quiet"]) == 0
    found = {}
    for name in _contigs():
        with np.load(next(out.glob(f"*{name}*.npz"))) as exported:
            found[name] = exported["probability"], list(exported["tracks"])
    return found


@pytest.mark.parametrize(
    ("layout", "overlap"), [("hugging-face", OVERLAP), ("jax", OVERLAP), ("own", OVERLAP), ("own", 0)]
)
def test_predict_equals_the_model_window_by_window(tmp_path, layout, overlap):
    folder = tiny_checkpoints.WRITERS[layout](tmp_path / "checkpoint")
    predicted = _predicted(tmp_path, folder, "float32", overlap)
    card, tensors = open_checkpoint(folder)
    model = build(card).eval()
    model.load_state_dict(tensors)
    for name, sequence in _contigs().items():
        got, names = predicted[name]
        assert names == tiny_checkpoints.FEATURES
        wanted = _expected(model, sequence, overlap)
        assert got.shape == wanted.shape
        assert wanted.std() > 0.2
        assert np.abs(got - wanted).max() <= 1e-5


@pytest.mark.parametrize(("precision", "worst"), [("bfloat16", 0.1), ("float16", 0.02)])
def test_reduced_precision_from_end_to_end(tmp_path, precision, worst):
    folder = tiny_checkpoints.write_hugging_face(tmp_path / "checkpoint")
    wanted, got = (_predicted(tmp_path, folder, name) for name in ("float32", precision))
    for name in wanted:
        difference = np.abs(got[name][0] - wanted[name][0])
        assert 0 < difference.max() <= worst
        assert difference.mean() <= worst / 10


NOTICE = "all outputs are taken as trained"


@pytest.mark.parametrize("layout", ["hugging-face", "jax"])
@pytest.mark.parametrize("command", ["predict", "annotate"])
def test_a_checkpoint_is_read_once_and_its_notice_said_once(tmp_path, layout, command, monkeypatch, capsys):
    folder = tiny_checkpoints.WRITERS[layout](tmp_path / "checkpoint")
    read = []
    for name in ("read_tree", "_shapes", "_torch_tensors"):
        monkeypatch.setattr(layouts, name, _counting(getattr(layouts, name), name, read))
    out = ["--out", str(tmp_path / ("t.h5" if command == "predict" else "out"))]
    out += [] if command == "predict" else [f"--skip={step}" for step in ("genes", "elements", "tracks", "report")]
    options = ["--model", str(folder), "--window", "480", "--device", "cpu", "--threads", "1"]
    assert run([command, str(_fasta(tmp_path)), *out, *options]) == 0
    # JAX: one file, to its end, once. Hugging Face: the header once, then the weights once.
    assert read == (["read_tree"] if layout == "jax" else ["_torch_tensors", "_shapes", "_torch_tensors"])
    lines = capsys.readouterr().err.splitlines()
    place = {text: [i for i, line in enumerate(lines) if text in line] for text in ("segnt_tools 0.", "cite: ", NOTICE)}
    assert [len(found) for found in place.values()] == [1, 1, 1]
    assert place["segnt_tools 0."] < place["cite: "] < place[NOTICE]
    assert "de Almeida" in lines[place["cite: "][0]]


def _counting(function, name, calls):
    def counted(*arguments, **options):
        calls.append(name)
        return function(*arguments, **options)

    return counted


@pytest.mark.parametrize(("window", "warns"), [("50016", False), ("50040", True)])
def test_a_window_beyond_what_is_known_is_warned_of(tmp_path, window, warns, capsys):
    folder = tiny_checkpoints.write_own(tmp_path / "checkpoint")
    options = ["--model", str(folder), "--window", window, "--device", "cpu", "--threads", "1"]
    assert run(["predict", str(_fasta(tmp_path)), "--out", str(tmp_path / "t.h5"), *options]) == 0
    error = capsys.readouterr().err
    assert ("WARNING: a window of 50040 bp is longer than the 50016 bp the model is known to work on" in error) is warns


def test_help_names_the_window_that_50_kb_means(tmp_path, capsys):
    folder = tiny_checkpoints.write_own(tmp_path / "checkpoint")
    options = ["--model", str(folder), "--window", "50k"]
    assert run(["predict", str(_fasta(tmp_path)), "--out", str(tmp_path / "t.h5"), *options]) == 2
    assert "Nearest: 49992" in capsys.readouterr().err
    assert run(["predict", "--help"]) == 0
    assert "49992 for 50 kb" in " ".join(capsys.readouterr().out.split())


def test_licence_and_citation_go_with_the_results(tmp_path):
    folder = tiny_checkpoints.write_own(tmp_path / "checkpoint")
    card = Card.read(folder)
    tracks, report = tmp_path / "t.h5", tmp_path / "predict.json"
    options = ["--model", str(folder), "--window", "480", "--device", "cpu", "--threads", "1", "--quiet"]
    assert run(["predict", str(_fasta(tmp_path)), "--out", str(tracks), "--json", str(report), *options]) == 0
    assert json.loads(report.read_text())["citation"] == card.citation
    assert run(["call-peaks", str(tracks), "--out", str(tmp_path / "calls"), "--quiet"]) == 0
    head = (tmp_path / "calls" / "elements.gff3").read_text().splitlines()
    assert f"#!model-licence {card.licence}" in head
    assert f"#!model-citation {card.citation}" in head
    assert run(["tracks", "export", str(tracks), "--format", "npz", "--out", str(tmp_path / "npz"), "--quiet"]) == 0
    with np.load(tmp_path / "npz" / "short.npz") as exported:
        assert str(exported["citation"]) == card.citation
