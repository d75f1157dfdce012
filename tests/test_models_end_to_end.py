"""A tiny checkpoint in an official layout, from segnt predict to npz: what the model gives, window by window."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import tiny_checkpoints

from segnt_tools.commands.main import run
from segnt_tools.models.architectures import build
from segnt_tools.models.checkpoints import open_checkpoint
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


def _expected(model, sequence: str) -> np.ndarray:
    """Probabilities (bases, tracks) from the model itself; windows laid out as documented, N shown as A and zeroed."""
    codes = _codes(sequence)
    geometry = WindowGeometry(WINDOW, 24, 24, 50_016, margin=OVERLAP // 2)
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


def _predicted(tmp_path: Path, folder: Path, precision: str) -> dict[str, tuple[np.ndarray, list[str]]]:
    """Probabilities and track names of every contig, through segnt predict and segnt tracks export."""
    fasta, tracks, out = tmp_path / "assembly.fa", tmp_path / f"{precision}.h5", tmp_path / f"npz_{precision}"
    fasta.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in _contigs().items()))
    options = ["--window", str(WINDOW), "--overlap", str(OVERLAP), "--precision", precision, "--device", "cpu"]
    common = ["--track-dtype", "float32", "--threads", "1", "--quiet"]
    assert run(["predict", str(fasta), "--model", str(folder), "--out", str(tracks), *options, *common]) == 0
    assert run(["tracks", "export", str(tracks), "--format", "npz", "--out", str(out), "--quiet"]) == 0
    found = {}
    for name in _contigs():
        with np.load(next(out.glob(f"*{name}*.npz"))) as exported:
            found[name] = exported["probability"], list(exported["tracks"])
    return found


@pytest.mark.parametrize("layout", ["hugging-face", "jax", "own"])
def test_predict_equals_the_model_window_by_window(tmp_path, layout):
    folder = tiny_checkpoints.WRITERS[layout](tmp_path / "checkpoint")
    predicted = _predicted(tmp_path, folder, "float32")
    card, tensors = open_checkpoint(folder)
    model = build(card).eval()
    model.load_state_dict(tensors)
    for name, sequence in _contigs().items():
        got, names = predicted[name]
        assert names == tiny_checkpoints.FEATURES
        wanted = _expected(model, sequence)
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
