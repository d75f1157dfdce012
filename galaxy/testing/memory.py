"""How much memory each tool needs: runs the commands of the wrappers and prints the peak of each as a table.

    python galaxy/testing/memory.py [--copies 10]

The assembly is the demo inside the package, as often as asked for, each copy a contig of 300 kb. Needs `segnt` beside
this Python. The figures of tpv_rules.yml and README.md come from here.
"""

from __future__ import annotations

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

SEGNT = Path(sys.executable).with_name("segnt")
DEMO = resources.files("segnt_tools") / "data" / "demo"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=10, help="copies of the demo, 300 kb each")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        copy_demo(args.copies)
        sys.stdout.write(f"{'tool':14}{'peak GB':>9}   {args.copies * 0.3:.1f} Mb, one thread\n")
        for tool, command in commands():
            sys.stdout.write(f"{tool:14}{peak_of(command) / 2**30:9.2f}\n")
            sys.stdout.flush()


def copy_demo(copies: int) -> None:
    """Write genome.fa and genes.gff3."""
    with gzip.open(str(DEMO / "arabidopsis_chr1.fa.gz"), "rt") as handle:
        header, sequence = handle.read().split("\n", 1)
    with gzip.open(str(DEMO / "arabidopsis_chr1.gff3.gz"), "rt") as handle:
        rows = [line.split("\t") for line in handle if not line.startswith("#")]
    contig = header[1:].split()[0]
    with open("genome.fa", "w") as genome, open("genes.gff3", "w") as genes:
        genes.write("##gff-version 3\n")
        for number in range(1, copies + 1):
            genome.write(f">{contig}_{number}\n{sequence}")
            for row in rows:
                attributes = row[8].replace("ID=", f"ID=c{number}-").replace("Parent=", f"Parent=c{number}-")
                genes.write("\t".join([f"{contig}_{number}", *row[1:8], attributes]))


def commands() -> list[tuple[str, list[str]]]:
    """Tool and command line, in an order in which each finds its inputs."""
    genome = ["--genome", "genome.fa"]
    gff = ["--existing", "genes.gff3"]
    one, cpu = ["--threads", "1"], ["--device", "cpu", "--threads", "1"]
    region = f"{Path('genome.fa').read_text(encoding='ascii').split(maxsplit=1)[0][1:]}:10000-30000"
    learn = ["--annotation", "genes.gff3", "--base", "plant_small", "--minutes", "1"]
    return [
        ("preprocess", ["preprocess", "genome.fa", "--out", "prepared"]),
        ("predict", ["predict", "genome.fa", "--out", "t.h5", *cpu]),
        ("call peaks", ["call-peaks", "t.h5", "--out", "peaks", *one]),
        ("call genes", ["call-genes", "t.h5", *genome, "--out", "called", *one]),
        ("tracks", ["tracks", "export", "t.h5", "--format", "bigwig", "--out", "bw", *one]),
        ("merge GFF", ["merge-gff", "called/genes.gff3", *genome, *gff, "--out", "merged.gff3"]),
        ("check GFF", ["check-gff", "genes.gff3", *genome]),
        ("labels", ["labels", "genes.gff3", *genome, "--out", "labels.h5", *one]),
        ("evaluate", ["evaluate", "called/genes.gff3", "t.h5", "--truth", "genes.gff3", *genome, "--out", "scores"]),
        ("annotate", ["annotate", "genome.fa", "--out", "run", *cpu]),
        ("report", ["report", "run", *genome, *gff, "--region", region, "--out", "report.html"]),
        ("train (adapt)", ["train", "adapt", *genome, *learn, "--out", "new", *cpu]),
    ]


def peak_of(command: list[str]) -> int:
    """Peak resident memory (bytes) of a segnt command and what it starts.

    Raises:
        RuntimeError: it failed.
    """
    process = subprocess.Popen([SEGNT, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    told = process.stderr.read() if process.stderr else ""
    _, status, usage = os.wait4(process.pid, 0)
    # check-gff ends with 1 if the file has errors
    if os.waitstatus_to_exitcode(status) not in ((0, 1) if command[0] == "check-gff" else (0,)):
        raise RuntimeError(f"segnt {' '.join(command)} failed:\n{told[-2000:]}")
    return usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
