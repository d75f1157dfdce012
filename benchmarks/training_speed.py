"""Speed and memory of training: the embedded network's steps, and full-size SegmentNT (500M parameters).

    python benchmarks/training_speed.py [--threads 1] [--windows 1] [--repeats 5] [--device cpu]
    python benchmarks/training_speed.py --network segment_nt --device cuda --window 3000 10008 19992 30000
    python benchmarks/training_speed.py --network segment_nt --window 3000 --repeats 1 --precision float32

The first prints the parts of a step of the embedded network: float32 against bfloat16, our Muon against torch's. The
second runs whole updates (forward, backward, Adam) of the bundled recipe segment_nt_human from random weights, with
gradient checkpointing as the recipe has it, for each window with the recipe's windows on a device at once (--windows
takes another number): bases per second, and peak memory of the device, on a CPU of the process. `--tiny` puts a network
of a few thousand weights in its place, to see that everything runs.

Each figure is the median over the repeats after a warm-up; a GPU is timed by its own events.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from segnt_tools.models import codon_unet
from segnt_tools.training.class_data import ClassBatch
from segnt_tools.training.class_objective import ClassObjective
from segnt_tools.training.optimisers import Muon, optimisers
from segnt_tools.training.recipe import Recipe, StageRecipe, find_recipe
from segnt_tools.training.track_data import TrackBatch
from segnt_tools.training.track_task import TrackObjective, checkpoint_blocks, rescale_rotary, track_network

WINDOW = 18_432
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
TINY = {"head_channels": 8, "encoder": {"width": 16, "layers": 2, "heads": 2, "head_width": 8, "ffn_width": 24}}


def median_seconds(action: Callable[[], object], repeats: int, device: str, warm_ups: int = 1) -> float:
    """Median seconds of an action after warm-ups; on a GPU between two events in its own queue."""
    seconds = []
    for repeat in range(warm_ups + repeats):
        if device == "cuda":
            begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begun.record()
            action()
            ended.record()
            torch.cuda.synchronize()
            taken = begun.elapsed_time(ended) / 1e3
        else:
            start = time.perf_counter()
            action()
            taken = time.perf_counter() - start
        if repeat >= warm_ups:
            seconds.append(taken)
    return statistics.median(seconds)


def say(name: str, seconds: float, bases: int = 0, more: str = "") -> None:
    """One line of the result."""
    rate = f"\t{bases / seconds / 1e3:.1f} kb/s" if bases else ""
    sys.stdout.write(f"{name}\t{seconds:.3f} s{rate}{more}\n")
    sys.stdout.flush()


def random_classes(windows: int, device: str) -> ClassBatch:
    """Windows of random bases and classes."""
    shape = (windows, WINDOW)
    codes = torch.randint(0, 4, shape, dtype=torch.uint8)
    region, boundary = torch.randint(0, 15, shape), torch.randint(0, 9, shape)
    return ClassBatch(codes, region, boundary, torch.ones(shape), torch.ones(shape)).to(torch.device(device))


def embedded(args: argparse.Namespace) -> None:
    """Parts of a step of the embedded network."""
    windows = args.windows or 1
    model = codon_unet.build(codon_unet.make_card("speed", "A benchmark.")).to(args.device)
    objective = ClassObjective(model, 20.0)
    batch = random_classes(windows, args.device)

    def step() -> None:
        objective(batch).backward()

    def step_bfloat16() -> None:
        with torch.autocast(args.device, dtype=torch.bfloat16):
            loss = objective(batch)
        loss.backward()

    def features() -> None:
        with torch.no_grad():
            model.features(batch.codes)

    def timed(action: Callable[[], object]) -> float:
        return median_seconds(action, args.repeats, args.device)

    bases = windows * WINDOW
    say("input features", timed(features), bases)
    say("forward and backward, float32", timed(step), bases)
    say("forward and backward, bfloat16", timed(step_bfloat16), bases)
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and not n.startswith(("stem.", "head."))]
    say("Muon, ours", timed(Muon(matrices, lr=1e-9).step))
    if hasattr(torch.optim, "Muon"):
        say("Muon, torch", timed(torch.optim.Muon(matrices, lr=1e-9).step))


def random_tracks(windows: int, window: int, tracks: int, device: str) -> TrackBatch:
    """Windows of random bases and labels."""
    codes = torch.randint(0, 4, (windows, window), dtype=torch.uint8)
    labels = torch.randint(0, 2, (windows, window, tracks)).float()
    return TrackBatch(codes, labels, torch.ones(labels.shape, dtype=torch.bool)).to(torch.device(device))


def segment_nt(args: argparse.Namespace) -> None:
    """Whole updates of full-size SegmentNT, window by window."""
    settings = {"model.base": "", "model.config": TINY if args.tiny else {}}
    recipe = Recipe.read(find_recipe(Path("segment_nt_human")), settings)
    card, model = track_network(recipe, (), "speed")
    model.to(args.device).train()
    if recipe.checkpointing:
        checkpoint_blocks(model)
    (adam,) = optimisers(model, recipe.optimiser, lambda name: False)
    objective = TrackObjective(model, recipe.loss.gamma, recipe.loss.alpha)
    parameters = sum(p.numel() for p in model.parameters())
    sys.stdout.write(f"{parameters / 1e6:.1f} M parameters, checkpointing {recipe.checkpointing}\n")
    for stage in recipe.stage:
        if stage.window in args.window:
            rescale_rotary(model, stage.window)
            model.to(args.device)
            windows = args.windows or stage.device_batch
            batch = random_tracks(windows, stage.window, len(card.tracks), args.device)
            for name in args.precision:
                _measure_updates(objective, adam, batch, DTYPES[name], args, stage)


def _measure_updates(
    objective: TrackObjective,
    adam: torch.optim.Optimizer,
    batch: TrackBatch,
    dtype: torch.dtype,
    args: argparse.Namespace,
    stage: StageRecipe,
) -> None:
    def update() -> None:
        adam.zero_grad(set_to_none=True)
        with torch.autocast(args.device, dtype=dtype, enabled=dtype is not torch.float32):
            loss = objective(batch)
        loss.backward()
        adam.step()

    if args.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = median_seconds(update, args.repeats, args.device, args.warm_ups)
    peak = (
        torch.cuda.max_memory_allocated()
        if args.device == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    name = f"{stage.window} bp x {len(batch.codes)}, {str(dtype).removeprefix('torch.')}"
    say(name, seconds, batch.codes.numel(), f"\tpeak {peak / 1e9:.2f} GB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=("embedded", "segment_nt"), default="embedded")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--windows", type=int, help="windows at once (default: 1; of segment_nt the recipe's number)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warm-ups", type=int, default=2, help="updates of segment_nt before the clock (default: 2)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--window", type=int, nargs="+", default=[3000], help="windows of segment_nt (default: 3000)")
    parser.add_argument("--precision", nargs="+", choices=tuple(DTYPES), default=["bfloat16"])
    parser.add_argument("--tiny", action="store_true", help="a network of a few thousand weights")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
    sys.stdout.write(f"torch {torch.__version__}, {device}, {args.threads} thread(s)\n")
    (segment_nt if args.network == "segment_nt" else embedded)(args)


if __name__ == "__main__":
    main()
