"""Measure what each step costs: CPU seconds and bytes, as a start-up part and a part that grows with the bases.

Every step runs on an assembly as it is and on several copies of it, in a process of its own; a line through the two
gives start-up and slope. CPU seconds (user and system) hardly depend on what else the machine does; wall time does and
is not used. Standard output is JSON for scaling.py:

  python benchmarks/step_costs.py segnt_tools/data/demo/arabidopsis_chr1.fa.gz > benchmarks/step_costs.json
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


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


def measure(command: list[str], results: list[Path]) -> Point:
    """Run a command; CPU seconds and peak memory of it and of what it started."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    messages = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)} failed:\n{messages.decode()}")
    return Point(usage.ru_utime + usage.ru_stime, sum(size_of(path) for path in results), usage.ru_maxrss * 1024)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def steps(assembly: Path, folder: Path, segnt: str, model: str) -> dict[str, Point]:
    """All steps on one assembly, one thread each."""
    prepared, tracks = folder / "assembly", folder / "tracks.h5"
    elements, genes, export = folder / "elements", folder / "genes", folder / "export"
    merged = folder / "merged.gff3"
    one = ["--threads", "1"]
    predict = [
        "predict",
        str(prepared),
        "--shard",
        "1",
        "--model",
        model,
        "--device",
        "cpu",
        "--out",
        str(tracks),
        *one,
    ]
    commands: dict[str, tuple[list[str], list[Path]]] = {
        "preprocess": (["preprocess", str(assembly), "--out", str(prepared), "--shards", "1"], [prepared]),
        "predict": (predict, [tracks]),
        "call-peaks": (["call-peaks", str(tracks), "--out", str(elements), *one], [elements]),
        "call-genes": (["call-genes", str(tracks), "--genome", str(prepared), "--out", str(genes), *one], [genes]),
        "merge-gff": (
            ["merge-gff", str(genes / "genes.gff3"), "--genome", str(prepared), "--out", str(merged)],
            [merged],
        ),
        "tracks": (["tracks", "export", str(tracks), "--format", "bigwig", "--out", str(export), *one], [export]),
    }
    return {name: measure([segnt, *command], results) for name, (command, results) in commands.items()}


def copied(assembly: Path, copies: int, out: Path) -> int:
    """Write copies of an assembly, each contig under a name of its own; returns the bases."""
    with gzip.open(assembly, "rt", encoding="ascii") as handle:
        records = [record.split("\n", 1) for record in handle.read().split(">")[1:]]
    texts = [f">{name.split()[0]}_{copy}\n{bases}" for copy in range(copies) for name, bases in records]
    out.write_text("".join(texts), encoding="ascii")
    return copies * sum(len(bases) - bases.count("\n") for _, bases in records)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assembly", type=Path, help="a gzipped FASTA file")
    parser.add_argument("--copies", type=int, default=5, help="copies in the long assembly (default: 5)")
    parser.add_argument("--model", default="plant_small", help="to choose one (auto) would blur the line")
    args = parser.parse_args()
    segnt = str(Path(sys.executable).parent / "segnt")
    measured = []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["NUMBA_CACHE_DIR"] = f"{scratch}/numba"
        for number, copies in enumerate((1, 1, args.copies)):  # the first run compiles kernels
            folder = Path(scratch) / str(number)
            folder.mkdir()
            assembly = folder / "copies.fa"
            bases = copied(args.assembly, copies, assembly)
            measured.append((bases, steps(assembly, folder, segnt, args.model)))
    (_, first), (short, low), (long, high) = measured
    costs = {}
    for name in low:
        slope = max(0.0, (high[name].seconds - low[name].seconds) / (long - short))
        costs[name] = {
            "startup_cpu_s": round(max(0.0, low[name].seconds - slope * short), 3),
            "compile_once_cpu_s": round(max(0.0, first[name].seconds - low[name].seconds), 3),
            "cpu_s_per_mb": round(slope * 1e6, 4),
            "bytes_per_base": round((high[name].written - low[name].written) / (long - short), 3),
            "peak_mb": round(high[name].peak / 1e6),
        }
    document = {
        "command": f"benchmarks/step_costs.py {args.assembly.name} --copies {args.copies} --model {args.model}",
        "bases": [short, long],
        "model": args.model,
        "threads": 1,
        "steps": costs,
    }
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
