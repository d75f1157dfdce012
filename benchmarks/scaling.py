"""Tasks, bytes moved and wall time of the pipeline, from measured step costs: for planning a run on a cluster.

  python benchmarks/scaling.py benchmarks/step_costs.json
  python benchmarks/scaling.py benchmarks/step_costs.json --predict-rate 1.5M --genomes 3G --gpus 8 --shard-size 100M

CPU steps come from step_costs.json, which benchmarks/step_costs.py measured. How fast a GPU predicts depends on model
and GPU and is an input, --predict-rate (bases a second of one GPU); without it a CPU core's measured rate is used, and
the table says so. The model is simple and stated in the code: shards are equal, tasks of a step fill the workers in
rounds, only export and calling overlap, and a scheduler adds a fixed delay to every round.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

HEADER = (
    "genome Gb",
    "workers",
    "tasks",
    "shards",
    "groups",
    "read TB",
    "written TB",
    "predict h",
    "rest h",
    "total h",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one step costs on one core.

    Attributes:
        startup: CPU seconds of a task of no bases.
        per_base: CPU seconds a base.
        written: bytes of results a base.
    """

    startup: float
    per_base: float
    written: float

    def seconds(self, bases: float) -> float:
        """CPU seconds of a task."""
        return self.startup + self.per_base * bases


@dataclass(frozen=True, slots=True)
class Plan:
    """How a genome is run.

    Attributes:
        genome: bases.
        workers: GPUs, or CPU cores that predict, at a time.
        shard_size: bases a predict task.
        longest: bases of the longest contig, which one calling task does alone.
        cores: CPU cores for the other steps.
        predict_rate: bases a second of one worker; None for the measured CPU core.
        delay: seconds that the scheduler adds to every round of tasks.
        shared: whether tasks read the assembly from a shared file system (bytes moved: their part of it) or copy it.
    """

    genome: float
    workers: int
    shard_size: float
    longest: float
    cores: int
    predict_rate: float | None
    delay: float
    shared: bool


def read_costs(path: Path) -> dict[str, Cost]:
    """The measured steps."""
    steps = json.loads(path.read_text(encoding="utf-8"))["steps"]
    return {
        name: Cost(step["startup_cpu_s"], step["cpu_s_per_mb"] / 1e6, step["bytes_per_base"])
        for name, step in steps.items()
    }


def in_rounds(tasks: int, workers: int, seconds: float, delay: float) -> float:
    """Wall time of equal tasks on some workers."""
    return math.ceil(tasks / workers) * (seconds + delay)


def plan_row(plan: Plan, costs: dict[str, Cost]) -> dict[str, float]:
    """One line of the table."""
    shards = math.ceil(plan.genome / plan.shard_size)
    groups = math.ceil(plan.genome / max(plan.longest, plan.shard_size))
    group = plan.genome / groups
    predict = costs["predict"]
    shard_bases = plan.genome / shards
    seconds = predict.seconds(shard_bases)
    if plan.predict_rate:
        seconds = predict.startup + shard_bases / plan.predict_rate
    predict_wall = in_rounds(shards, plan.workers, seconds, plan.delay)
    calling = sum(
        in_rounds(groups, plan.cores, costs[name].seconds(group), plan.delay) for name in ("call-peaks", "call-genes")
    )
    alone = sum(costs[name].seconds(plan.genome) + plan.delay for name in ("preprocess", "merge-gff"))
    # One task for all bigWigs, with the four threads of conf/base.config; it runs beside the calling.
    export = costs["tracks"].startup + costs["tracks"].per_base * plan.genome / min(4, plan.cores)
    rest = alone + max(calling, export + plan.delay)
    assembly = costs["preprocess"].written
    tracks = predict.written
    read = plan.genome * (1 + assembly + 3 * tracks)  # preprocess, calling, and the tracks for peaks, genes and bigWig
    read += plan.genome * assembly if plan.shared else shards * plan.genome * assembly
    written = plan.genome * (assembly + tracks + costs["tracks"].written + costs["call-peaks"].written)
    return {
        "tasks": 1 + shards + 2 * groups + 5,
        "shards": shards,
        "groups": groups,
        "read": read / 1e12,
        "written": written / 1e12,
        "predict": predict_wall / 3600,
        "rest": rest / 3600,
    }


def bases(text: str) -> float:
    """A number with k, M or G."""
    factor = {"k": 1e3, "M": 1e6, "G": 1e9}.get(text[-1], 1.0)
    return float(text[:-1] if factor > 1 else text) * factor


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("costs", type=Path)
    parser.add_argument("--genomes", nargs="+", type=bases, default=[0.12e9, 3e9, 30e9], metavar="BASES")
    parser.add_argument("--gpus", nargs="+", type=int, default=[1, 8, 64], metavar="N", help="workers that predict")
    parser.add_argument(
        "--predict-rate", type=bases, metavar="BASES", help="bases a second of one GPU, measured by you"
    )
    parser.add_argument("--shard-size", type=bases, help="bases a shard (default: four shards a worker, 10 to 200 Mb)")
    parser.add_argument("--longest", type=bases, default=250e6, help="longest contig (default: 250M)")
    parser.add_argument("--cores", type=int, default=32, help="cores for the other steps (default: 32)")
    parser.add_argument("--delay", type=float, default=30.0, help="seconds of scheduling a round (default: 30)")
    parser.add_argument("--copy", action="store_true", help="no shared file system: every task copies what it reads")
    args = parser.parse_args()
    costs = read_costs(args.costs)
    rate = f"{args.predict_rate:,.0f} bases/s a GPU (given)" if args.predict_rate else "one measured CPU core a worker"
    sys.stdout.write(
        f"predict: {rate}; {args.cores} cores for the rest; {'copies' if args.copy else 'shared file system'}\n\n"
    )
    sys.stdout.write("| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER) + "\n")
    for genome in args.genomes:
        for workers in args.gpus:
            size = args.shard_size or min(200e6, max(10e6, genome / workers / 4))
            plan = Plan(
                genome,
                workers,
                size,
                min(args.longest, genome),
                args.cores,
                args.predict_rate,
                args.delay,
                not args.copy,
            )
            row = plan_row(plan, costs)
            total = row["predict"] + row["rest"]
            sys.stdout.write(
                f"| {genome / 1e9:g} | {workers} | {row['tasks']} | {row['shards']} | {row['groups']} "
                f"| {row['read']:.3g} | {row['written']:.3g} "
                f"| {row['predict']:.2f} | {row['rest']:.2f} | {total:.2f} |\n"
            )


if __name__ == "__main__":
    main()
