"""What a window's ends and an N do to a model's probabilities: to choose the margin and to judge the N policy.

Edges: windows of the model's length are laid over the sequence a third of their length apart, so that most bases are
seen near the middle of some window; the probability of a base at distance d from a window's end is compared with that
of the window in which the base lies nearest to the middle. The margin of the card should be where the curve has become
flat.

N: at random places one base is hidden the way segnt predict hides it from models that cannot take N (it becomes A), and
the probabilities of its neighbours are compared with those of the true sequence.

    python benchmarks/model_edges.py FASTA --model NAME|FOLDER --bases 300000 [--window BP] [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segnt_tools.models.registry import LoadedModel, load_model
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.codes import N

EDGE_BINS = (0, 6, 24, 48, 96, 192, 384, 768, 1536, 3072, 6144, 12_288)
N_BINS = (1, 2, 4, 7, 13, 25, 49, 97, 139, 193, 385, 1537, 6145)
Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Bin:
    """Differences of probability at distances from `first` to `last` bases.

    Attributes:
        first: smallest distance.
        last: largest distance.
        mean: mean absolute difference over bases and trained tracks.
        high: its 99.9th percentile.
        worst_track: the track with the largest mean difference.
        worst_mean: that mean.
    """

    first: int
    last: int
    mean: float
    high: float
    worst_track: str
    worst_mean: float


def main() -> None:
    """Measure and print both curves."""
    options = _options()
    loaded = load_model(options.model, options.device, options.precision)
    geometry = loaded.card.geometry
    length = options.window or geometry.length
    with Assembly.open(options.fasta) as assembly:
        contig = assembly.contigs[0]
        codes = assembly.codes(contig.name, 0, min(contig.length, max(options.bases, 2 * length)))
    step = max(geometry.multiple, length // 3 // geometry.multiple * geometry.multiple)
    starts = range(0, codes.size - length + 1, step)
    if len(starts) < 3:
        sys.exit(f"{codes.size} bases hold fewer than three windows of {length} bp")
    windows = [_probabilities(loaded, codes[start : start + length]) for start in starts]
    first, _ = geometry.valid(length)
    edges = _edge_bins(loaded, codes, [start + first for start in starts], windows)
    effects = _n_bins(loaded, codes[:length], windows[0], options.places, options.seed)
    _print("distance to the window's end", edges)
    _print("distance to a hidden base", effects)
    if options.json:
        values = {"model": loaded.card.name, "window": length, "bases": int(codes.size), "places": options.places}
        curves = {"edges": [asdict(b) for b in edges], "hidden_base": [asdict(b) for b in effects]}
        options.json.write_text(json.dumps({**values, **curves}, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fasta", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--bases", type=int, default=300_000, help="bases of the first contig to use")
    parser.add_argument("--window", type=int, help="window length (default: the card's)")
    parser.add_argument("--places", type=int, default=20, help="places at which a base is hidden")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _probabilities(loaded: LoadedModel, codes: NDArray[np.uint8]) -> Values:
    """Probabilities (bases, trained tracks) of one window."""
    shown = codes if loaded.card.allows_n else np.where(codes == N, 0, codes).astype(np.uint8)
    with torch.inference_mode():
        logits = loaded.model(torch.from_numpy(shown.copy())[None].to(loaded.device))[0]
    values: Values = torch.sigmoid(logits[:, list(loaded.card.trained_tracks)].float()).cpu().numpy()
    return values


def _edge_bins(loaded: LoadedModel, codes: NDArray[np.uint8], starts: list[int], windows: list[Values]) -> list[Bin]:
    """Differences from the window in which a base lies nearest to the middle, by distance to the window's end."""
    length = windows[0].shape[0]
    offset = np.arange(length)
    distance = np.minimum(offset, length - 1 - offset)
    best = np.full(codes.size, -1)
    reference = np.zeros((codes.size, windows[0].shape[1]), np.float32)
    for start, values in zip(starts, windows, strict=True):
        covered = slice(start, start + length)
        better = distance > best[covered]
        best[covered][better] = distance[better]
        reference[covered][better] = values[better]
    differences, distances = [], []
    for start, values in zip(starts, windows, strict=True):
        covered = slice(start, start + length)
        # Only bases that some other window sees well: at least a quarter of a window from its end.
        judged = (best[covered] >= length // 4) & (best[covered] > distance) & (codes[covered] != N)
        differences.append(np.abs(values - reference[covered])[judged])
        distances.append(distance[judged])
    return _binned(loaded, np.concatenate(differences), np.concatenate(distances), EDGE_BINS)


def _n_bins(loaded: LoadedModel, codes: NDArray[np.uint8], before: Values, places: int, seed: int) -> list[Bin]:
    """Differences that one hidden base makes, by distance to it."""
    random = np.random.default_rng(seed)
    first, end = loaded.card.geometry.valid(codes.size)
    possible = np.flatnonzero((codes != N) & (codes != 0))
    possible = possible[(possible >= first) & (possible < end)]
    differences, distances = [], []
    for place in random.choice(possible, min(places, possible.size), replace=False):
        hidden = codes.copy()
        hidden[place] = N if loaded.card.allows_n else 0
        differences.append(np.abs(_probabilities(loaded, hidden) - before))
        distances.append(np.abs(np.arange(first, end) - place))
    return _binned(loaded, np.concatenate(differences), np.concatenate(distances), N_BINS)


def _binned(
    loaded: LoadedModel, differences: Values, distances: NDArray[np.int64], borders: tuple[int, ...]
) -> list[Bin]:
    names = [loaded.card.tracks[i].name for i in loaded.card.trained_tracks]
    bins = []
    for first, end in zip(borders, (*borders[1:], int(distances.max()) + 1), strict=True):
        chosen = differences[(distances >= first) & (distances < end)]
        if chosen.size:
            by_track = chosen.mean(0)
            worst = int(by_track.argmax())
            high = float(np.quantile(chosen, 0.999))
            bins.append(Bin(first, end - 1, float(chosen.mean()), high, names[worst], float(by_track[worst])))
    return bins


def _print(title: str, bins: list[Bin]) -> None:
    sys.stdout.write(f"# absolute difference of probability by {title} (bases)\n")
    sys.stdout.write("first\tlast\tmean\t99.9 %\tworst track\tits mean\n")
    for b in bins:
        sys.stdout.write(f"{b.first}\t{b.last}\t{b.mean:.5f}\t{b.high:.5f}\t{b.worst_track}\t{b.worst_mean:.5f}\n")


if __name__ == "__main__":
    main()
