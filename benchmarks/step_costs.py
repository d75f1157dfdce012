"""Measure what each step costs: CPU seconds and bytes, as a start-up part and a part that grows with the bases.

Every step runs on four assemblies (one copy of the given one, and a quarter, a half and all of --copies), in a process
of its own, on one core, --repeats times. CPU seconds (user and system) hardly depend on what else the machine does, and
what they depend on only adds to them: so the least of the repeats counts. A line through the four by least squares
gives start-up and slope; `worst_residual_s` says how far the worst of the four lies from it. Standard output is JSON
for scaling.py; progress goes to standard error:

  python benchmarks/step_costs.py segnt_tools/data/demo/arabidopsis_chr1.fa.gz > benchmarks/step_costs.json
  python benchmarks/scaling.py --into nextflow/README.md
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression

SELECT = Path(__file__).parents[1] / "nextflow" / "bin" / "segnt_select.py"
Command = Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement.

    Attributes:
        seconds: CPU seconds.
        written: bytes of the results.
        peak: peak memory in bytes.
    """

    seconds: float
    written: int
    peak: int


@dataclass(frozen=True, slots=True)
class Line:
    """Start-up and slope of CPU seconds against bases.

    Attributes:
        startup: CPU seconds of no bases.
        per_base: CPU seconds a base.
        worst: CPU seconds between the line and the point that lies farthest from it.
    """

    startup: float
    per_base: float
    worst: float

    @classmethod
    def through(cls, seconds: Mapping[int, float]) -> Line:
        """The line of least squares through CPU seconds by bases; neither start-up nor slope is below 0."""
        sizes, values = list(seconds), list(seconds.values())
        fitted = linear_regression(sizes, values)
        slope = max(0.0, fitted.slope)
        startup = max(0.0, sum(values) / len(values) - slope * sum(sizes) / len(sizes))
        return cls(startup, slope, max(abs(startup + slope * size - value) for size, value in seconds.items()))


def measure(command: Command, folder: Path) -> Point:
    """Run a command; CPU seconds and peak memory of it and of what it started, and by how much the folder grew."""
    before = size_of(folder)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    messages = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{messages.decode()}")
    return Point(usage.ru_utime + usage.ru_stime, size_of(folder) - before, usage.ru_maxrss * 1024)


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def steps(assembly: Path, folder: Path, model: str) -> dict[str, Point]:
    """All steps on one assembly, one thread each."""
    prepared, tracks, run = folder / "assembly", folder / "tracks.h5", folder / "run"
    segnt = Path(sys.executable).parent / "segnt"
    genome: tuple[str | Path, ...] = ("--genome", prepared)
    one = ["--threads", "1"]
    commands: dict[str, Command] = {
        "preprocess": [segnt, "preprocess", assembly, "--out", prepared, "--shards", "1"],
        "select": [sys.executable, SELECT, prepared, "--json", folder / "model.json", *one],
        "predict": [segnt, "predict", prepared, "--model", model, "--device", "cpu", "--out", tracks, *one],
        "call-peaks": [segnt, "call-peaks", tracks, "--out", run, *one],
        "call-genes": [segnt, "call-genes", tracks, *genome, "--out", run, *one],
        "merge-gff": [segnt, "merge-gff", run / "genes.gff3", *genome, "--out", folder / "genes.gff3"],
        "merge-elements": [segnt, "merge-gff", run / "elements.gff3", *genome, "--out", folder / "elements.gff3"],
        "tracks": [segnt, "tracks", "export", tracks, "--format", "bigwig", "--out", run / "tracks", *one],
        "report": [segnt, "report", run, *genome, "--out", folder / "report.html"],
    }
    return {name: measure(command, folder) for name, command in commands.items()}


def copied(assembly: Path, copies: int, out: Path) -> int:
    """Write copies of an assembly, each contig under a name of its own; returns the bases."""
    with gzip.open(assembly, "rt", encoding="ascii") as handle:
        records = [record.split("\n", 1) for record in handle.read().split(">")[1:]]
    texts = [f">{name.split()[0]}_{copy}\n{bases}" for copy in range(copies) for name, bases in records]
    out.write_text("".join(texts), encoding="ascii")
    return copies * sum(len(bases) - bases.count("\n") for _, bases in records)


def on_copies(assembly: Path, copies: int, scratch: Path, model: str) -> tuple[int, dict[str, Point]]:
    """Bases of so many copies, and all steps on them."""
    folder = scratch / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    bases = copied(assembly, copies, scratch / "copies.fa")
    points = steps(scratch / "copies.fa", folder, model)
    told = ", ".join(f"{name} {point.seconds:.2f}" for name, point in points.items())
    sys.stderr.write(f"{bases / 1e6:g} Mb, CPU seconds: {told}\n")
    return bases, points


def costs_of(first: Point, points: Mapping[int, Sequence[Point]]) -> dict[str, float]:
    """What a step costs.

    Args:
        first: its very first run, on the smallest assembly, which compiles kernels.
        points: its later runs, by bases, ascending.
    """
    least = {bases: min(point.seconds for point in runs) for bases, runs in points.items()}
    line = Line.through(least)
    sizes = list(points)
    written = [points[bases][0].written for bases in (sizes[0], sizes[-1])]
    return {
        "startup_cpu_s": round(line.startup, 3),
        "compile_once_cpu_s": round(max(0.0, first.seconds - least[sizes[0]]), 3),
        "cpu_s_per_mb": round(line.per_base * 1e6, 4),
        "worst_residual_s": round(line.worst, 3),
        "bytes_per_base": round((written[1] - written[0]) / (sizes[-1] - sizes[0]), 3),
        "peak_mb": round(max(point.peak for point in points[sizes[-1]]) / 1e6),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assembly", type=Path, help="a gzipped FASTA file")
    parser.add_argument("--copies", type=int, default=16, help="copies in the longest assembly (default: 16)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each step on each assembly (default: 3)")
    parser.add_argument("--model", default="plant_small", help="model of predict (default: plant_small)")
    args = parser.parse_args()
    if args.copies < 8:
        parser.error("--copies must be at least 8: four assemblies are compared")
    sizes = sorted({1, args.copies // 4, args.copies // 2, args.copies})
    measured: dict[int, list[dict[str, Point]]] = {}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        os.environ["NUMBA_CACHE_DIR"] = str(scratch / "numba")
        _, first = on_copies(args.assembly, 1, scratch, args.model)
        for _ in range(args.repeats):  # turn by turn, so that a busy minute does not hit one size alone
            for copies in sizes:
                bases, points = on_copies(args.assembly, copies, scratch, args.model)
                measured.setdefault(bases, []).append(points)
    document = {
        "command": f"benchmarks/step_costs.py {args.assembly.name} --copies {args.copies} --repeats {args.repeats} "
        f"--model {args.model}",
        "bases": list(measured),
        "model": args.model,
        "threads": 1,
        "steps": {
            name: costs_of(first[name], {bases: [run[name] for run in runs] for bases, runs in measured.items()})
            for name in first
        },
    }
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
