"""Tasks, bytes moved and wall time of the pipeline, from measured step costs: for planning a run on a cluster.

  python benchmarks/scaling.py
  python benchmarks/scaling.py --predict-rate 1.5M --genomes 3G --gpus 8 --shard-size 100M
  python benchmarks/scaling.py --into nextflow/README.md       both tables of that page, written into it

CPU steps come from step_costs.json, which benchmarks/step_costs.py measured. How fast a GPU predicts depends on model
and GPU and is an input, --predict-rate (bases a second of one GPU); without it a CPU core's measured rate is used, and
the table says so. The model is simple and stated in the code: shards are equal, tasks of a step fill the workers in
rounds, only export and calling overlap, and a scheduler adds a fixed delay to every round. Start-up includes what each
task does anew; kernels, which are compiled once a run, are not counted.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

# Tasks of which a sample has one: what MERGEBED and EVALUATE take is not counted.
ONCE = ("PREPROCESS", "SELECT", "MERGEGENES", "MERGEELEMENTS", "MERGEBED", "TRACKS", "REPORT")
STEPS = (
    *("preprocess", "select", "predict", "call-peaks", "call-genes", "merge-gff", "merge-elements", "tracks"),
    "report",
)
COSTS = Path(__file__).with_name("step_costs.json")
# An example for the page: nobody has measured a GPU.
EXAMPLE_RATE = 0.5e6
BEGIN, END = "<!-- planning tables, by benchmarks/scaling.py -->\n", "<!-- end of the planning tables -->\n"

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


def cost_of(costs: dict[str, Cost], name: str) -> Cost:
    """What a step costs: nothing if it was not measured, which the text before a table says."""
    return costs.get(name, Cost(0.0, 0.0, 0.0))


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
    alone = sum(cost_of(costs, name).seconds(plan.genome) + plan.delay for name in ("preprocess", "select", "report"))
    alone += max(cost_of(costs, name).seconds(plan.genome) for name in ("merge-gff", "merge-elements")) + plan.delay
    # One task for all bigWigs, with the four threads of conf/base.config; it runs beside the calling.
    export = costs["tracks"].startup + costs["tracks"].per_base * plan.genome / min(4, plan.cores)
    rest = alone + max(calling, export + plan.delay)
    assembly = costs["preprocess"].written
    tracks = predict.written
    read = plan.genome * (1 + assembly + 3 * tracks)  # preprocess, calling, and the tracks for peaks, genes and bigWig
    read += plan.genome * assembly if plan.shared else shards * plan.genome * assembly
    written = plan.genome * (assembly + tracks + costs["tracks"].written + costs["call-peaks"].written)
    return {
        "tasks": len(ONCE) + shards + 2 * groups,
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


def table(args: argparse.Namespace, costs: dict[str, Cost], predict_rate: float | None) -> str:
    """The table of all genomes on all numbers of workers, as Markdown."""
    lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    for genome in args.genomes:
        for workers in args.gpus:
            size = args.shard_size or min(200e6, max(10e6, genome / workers / 4))
            longest = min(args.longest, genome)
            plan = Plan(genome, workers, size, longest, args.cores, predict_rate, args.delay, not args.copy)
            row = plan_row(plan, costs)
            total = row["predict"] + row["rest"]
            lines.append(
                f"| {genome / 1e9:g} | {workers} | {row['tasks']} | {row['shards']} | {row['groups']} "
                f"| {row['read']:.3g} | {row['written']:.3g} "
                f"| {row['predict']:.2f} | {row['rest']:.2f} | {total:.2f} |"
            )
    return "\n".join(lines) + "\n"


def assumptions(args: argparse.Namespace, costs: dict[str, Cost], predict_rate: float | None) -> str:
    """What a table holds for."""
    worker = f"a GPU that predicts {predict_rate / 1e6:g} Mb/s" if predict_rate else "a CPU core, as measured"
    missing = ", ".join(name for name in STEPS if name not in costs)
    left_out = f" Not measured and left out: {missing}." if missing else ""
    files = "no shared file system" if args.copy else "a shared file system"
    return (
        f"A worker is {worker}. Contigs of at most {args.longest / 1e6:g} Mb, {args.cores} cores for the other steps,\n"
        f"{files}, {args.delay:g} s of scheduling a round of tasks.{left_out}\n\n"
    )


def section(args: argparse.Namespace, costs: dict[str, Cost]) -> str:
    """Both tables of the page."""
    rates = (None, args.predict_rate or EXAMPLE_RATE)
    return "\n".join(assumptions(args, costs, rate) + table(args, costs, rate) for rate in rates)


def write_into(page: Path, text: str) -> None:
    """Put the tables between the marks of a page."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{page} has no lines {BEGIN}{END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("costs", type=Path, nargs="?", default=COSTS, help=f"default: {COSTS.name} beside the script")
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
    parser.add_argument("--markdown", action="store_true", help="print both tables: CPU cores, and GPUs")
    parser.add_argument("--into", type=Path, metavar="PAGE", help="write both into a page, between its marks")
    args = parser.parse_args()
    costs = read_costs(args.costs)
    if args.into:
        write_into(args.into, section(args, costs))
    elif args.markdown:
        sys.stdout.write(section(args, costs))
    else:
        sys.stdout.write(assumptions(args, costs, args.predict_rate) + table(args, costs, args.predict_rate))


if __name__ == "__main__":
    main()
