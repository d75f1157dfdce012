"""What a window's ends and an N do to a model's probabilities: to choose the margin and to judge the N policy.

Edges: windows of the model's length are laid over the sequence a third of their length apart, so that most bases are
seen near the middle of some window; the probability of a base at distance d from a window's end is compared with that
of the window in which the base lies nearest to the middle. The margin of the card should be where the curve has become
flat.

N: at random places a base (or a run, --run) is hidden the way segnt predict hides it: it becomes N for models that take
N, else A. The probabilities of its neighbours are compared with those of the true sequence, in the window in whose
middle it lies.

    python benchmarks/model_edges.py FASTA --model NAME|FOLDER [--region CONTIG:FROM-TO] [--window BP] [--json OUT]
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
from segnt_tools.sequence.stretches import Stretch

DEFAULT_BASES = 300_000
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
    torch.set_num_threads(options.threads)
    loaded = load_model(options.model, options.device, options.precision)
    geometry = loaded.card.geometry
    length = options.window or geometry.length
    with Assembly.open(options.fasta) as assembly:
        region = _region(options.region, assembly)
        codes = assembly.codes(region.contig, region.start, region.end)
    step = max(geometry.multiple, length // 3 // geometry.multiple * geometry.multiple)
    starts = range(0, codes.size - length + 1, step)
    if len(starts) < 3:
        sys.exit(f"{codes.size} bases hold fewer than three windows of {length} bp")
    windows = [_probabilities(loaded, codes[start : start + length]) for start in starts]
    first, _ = geometry.valid(length)
    edges = _edge_bins(loaded, codes, [start + first for start in starts], windows)
    effects = _n_bins(loaded, codes, starts, windows, options)
    sys.stdout.write(f"# {loaded.card.name}, {region}, windows of {length} bp, {loaded.precision}\n")
    _print("distance to the window's end", edges)
    _print("distance to the hidden base" if options.run == 1 else f"distance to {options.run} hidden bases", effects)
    if options.json:
        values = {"model": loaded.card.name, "region": str(region), "window": length}
        values |= {"places": options.places, "run": options.run}
        curves = {"edges": [asdict(b) for b in edges], "hidden_base": [asdict(b) for b in effects]}
        options.json.write_text(json.dumps({**values, **curves}, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fasta", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--region", help="contig or contig:from-to, 1-based (default: first 300,000 bp of the first)")
    parser.add_argument("--window", type=int, help="window length (default: the card's)")
    parser.add_argument("--places", type=int, default=20, help="places at which bases are hidden")
    parser.add_argument("--run", type=int, default=1, help="bases hidden at a place")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _region(text: str | None, assembly: Assembly) -> Stretch:
    if text is None:
        contig = assembly.contigs[0]
        return Stretch(contig.name, 0, min(contig.length, DEFAULT_BASES))
    return Stretch.parse(text, assembly.lengths)


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
    borders = tuple(sorted({*EDGE_BINS, loaded.card.geometry.margin}))
    return _binned(loaded, np.concatenate(differences), np.concatenate(distances), borders)


def _n_bins(
    loaded: LoadedModel,
    codes: NDArray[np.uint8],
    starts: range,
    windows: list[Values],
    options: argparse.Namespace,
) -> list[Bin]:
    """Differences that hidden bases make, by distance to the nearest of them."""
    random = np.random.default_rng(options.seed)
    length, run = options.window or loaded.card.geometry.length, options.run
    first, end = loaded.card.geometry.valid(length)
    differences, distances = [], []
    for place in _places(loaded, codes, starts, length, run, random)[: options.places]:
        middle = place + run // 2 - length // 2
        nearest = int(np.clip(round((middle - starts[0]) / starts.step), 0, len(starts) - 1))
        start = starts[nearest]
        hidden = codes[start : start + length].copy()
        hidden[place - start : place - start + run] = N if loaded.card.allows_n else 0
        differences.append(np.abs(_probabilities(loaded, hidden) - windows[nearest]))
        bases = np.arange(start + first, start + end)
        distances.append(np.maximum(np.maximum(place - bases, bases - (place + run - 1)), 0))
    return _binned(loaded, np.concatenate(differences), np.concatenate(distances), N_BINS)


def _places(
    loaded: LoadedModel,
    codes: NDArray[np.uint8],
    starts: range,
    length: int,
    run: int,
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """First bases of runs to hide, shuffled: without N, in the middle of some window, and such that hiding tells."""
    free = np.lib.stride_tricks.sliding_window_view(codes != N, run).all(axis=1)
    if not loaded.card.allows_n:
        free &= codes[: free.size] != 0  # A is what such a model sees instead
    possible = np.flatnonzero(free)
    possible = possible[(possible >= starts[0] + length // 3) & (possible < starts[-1] + 2 * length // 3 - run)]
    shuffled: NDArray[np.int64] = random.permutation(possible)
    return shuffled


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
