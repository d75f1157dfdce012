"""Time of the whole chain as a user waits for it: start-up and speed of `segnt annotate`, by the clock.

    python benchmarks/chain.py --genome FASTA [--models plant_small auto] [--bases 3M 30M] [--threads 2] [--repeats 3]

Start-up is the time for the first 30,000 bases of the genome's first contig: imports, loading the model, choosing it
where it is `auto`, and the files that every run writes. Speed is that of the further bases. Each figure is the median
of the repeats. By the clock, so that other work on the machine shows: say how busy it was.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from steps import SEGNT, write_fasta

from segnt_tools.commands.common import bases as number_of_bases
from segnt_tools.sequence.assembly import Assembly

SMALL = 30_000


def first_bases(genome: Path, count: int, folder: Path) -> Path:
    """FASTA file of so many bases of the first contig."""
    path = folder / f"first_{count}.fa"
    with Assembly.open(genome) as assembly:
        contig = assembly.contigs[0]
        write_fasta(path, [assembly.sequence(contig.name, 0, min(count, contig.length)).encode()])
    return path


def annotate_seconds(fasta: Path, model: str, threads: int, repeats: int) -> float:
    """Median time of `segnt annotate` into new folders, by the clock."""
    times = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(dir=fasta.parent) as folder:
            command = [SEGNT, "annotate", fasta, "--model", model, "--threads", threads, "--out", f"{folder}/out", "-q"]
            begun = time.perf_counter()
            subprocess.run([*map(str, command)], check=True)
            times.append(time.perf_counter() - begun)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genome", type=Path, required=True, help="FASTA file whose first contig is used")
    parser.add_argument("--models", nargs="+", default=["plant_small", "auto"], help="(default: plant_small auto)")
    sizes = [number_of_bases("3M"), number_of_bases("30M")]
    parser.add_argument("--bases", nargs="+", type=number_of_bases, default=sizes, help="(default: 3M 30M)")
    parser.add_argument("--threads", type=int, default=2, help="processor cores (default: 2)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (default: 3)")
    arguments = parser.parse_args()
    print("| model | start-up, s | Mb | whole run, s | kb/s with start-up | kb/s without |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for model in arguments.models:
            small = first_bases(arguments.genome, SMALL, Path(name))
            start_up = annotate_seconds(small, model, arguments.threads, arguments.repeats)
            for count in arguments.bases:
                fasta = first_bases(arguments.genome, count, Path(name))
                whole = annotate_seconds(fasta, model, arguments.threads, arguments.repeats)
                with_it, without = count / whole / 1e3, (count - SMALL) / (whole - start_up) / 1e3
                figures = f"{start_up:.1f} | {count / 1e6:g} | {whole:.1f} | {with_it:.0f} | {without:.0f}"
                print(f"| {model} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
