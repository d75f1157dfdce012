"""Speed of training the embedded network: a step's parts, float32 against bfloat16, our Muon against torch's.

    python benchmarks/training_speed.py [--threads 1] [--windows 1] [--repeats 5] [--device cpu]

Prints one line a measurement: the fastest of the repeats in seconds, and bases per second where that makes sense.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import torch

from segnt_tools.models import codon_unet
from segnt_tools.training.class_data import ClassBatch
from segnt_tools.training.class_objective import ClassObjective
from segnt_tools.training.optimisers import Muon

WINDOW = 18_432


def fastest(action: Callable[[], object], repeats: int, device: str) -> float:
    """Seconds of the fastest repeat, after one that does not count."""
    best = float("inf")
    for repeat in range(repeats + 1):
        begun = time.perf_counter()
        action()
        if device == "cuda":
            torch.cuda.synchronize()
        if repeat:
            best = min(best, time.perf_counter() - begun)
    return best


def random_batch(windows: int, device: str) -> ClassBatch:
    """Windows of random bases and classes."""
    shape = (windows, WINDOW)
    codes = torch.randint(0, 4, shape, dtype=torch.uint8)
    region, boundary = torch.randint(0, 15, shape), torch.randint(0, 9, shape)
    return ClassBatch(codes, region, boundary, torch.ones(shape), torch.ones(shape)).to(torch.device(device))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--windows", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = codon_unet.build(codon_unet.make_card("speed", "A benchmark.")).to(args.device)
    objective = ClassObjective(model, 20.0)
    batch = random_batch(args.windows, args.device)

    def report(name: str, seconds: float, bases: int = 0) -> None:
        rate = f"\t{bases / seconds / 1e3:.1f} kb/s" if bases else ""
        sys.stdout.write(f"{name}\t{seconds:.3f} s{rate}\n")

    def step() -> None:
        objective(batch).backward()

    def step_bfloat16() -> None:
        with torch.autocast(args.device, dtype=torch.bfloat16):
            loss = objective(batch)
        loss.backward()

    def features() -> None:
        with torch.no_grad():
            model.features(batch.codes)

    sys.stdout.write(f"torch {torch.__version__}, {args.device}, {args.threads} thread(s), {args.windows} window(s)\n")
    report("input features", fastest(features, args.repeats, args.device), args.windows * WINDOW)
    report("forward and backward, float32", fastest(step, args.repeats, args.device), args.windows * WINDOW)
    report("forward and backward, bfloat16", fastest(step_bfloat16, args.repeats, args.device), args.windows * WINDOW)
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and not n.startswith(("stem.", "head."))]
    report("Muon, ours", fastest(Muon(matrices, lr=1e-9).step, args.repeats, args.device))
    if hasattr(torch.optim, "Muon"):
        report("Muon, torch", fastest(torch.optim.Muon(matrices, lr=1e-9).step, args.repeats, args.device))


if __name__ == "__main__":
    main()
