"""Whole genomes through `segnt annotate`, and its gene models in front of other people's validators.

    python benchmarks/validators.py --out results GENOME.fa.gz [GENOME.fa.gz ...] [--model auto] [--threads 2]

Runs `gt gff3validator -typecheck so`, `gff3-validate --genome`, `segnt check-gff --genome` and `gffread -J`, which
drops models whose coding sequence has an inner stop or lacks its start or stop: `whole` counts the mRNAs that are not
marked as partial, `kept` what gffread keeps. A validator says ok or the first line of what it printed. Genomes that are
annotated in the folder already are not annotated again.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from segnt_tools.sequence.assembly import Assembly

TOOLS = Path(sys.executable).parent


@dataclass(frozen=True)
class Verdicts:
    """What the validators say of one genome's genes."""

    genes: int
    whole: int
    kept: int
    said: tuple[str, ...]


def verdict(command: list[str | Path]) -> str:
    """Ok, or the first line that a validator printed when it failed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    lines = (done.stderr + done.stdout).splitlines()
    return "ok" if done.returncode == 0 else next(filter(None, lines), f"status {done.returncode}")


def unpacked(genome: Path, place: Path) -> Path:
    """The genome as plain FASTA with names that gffread takes, in upper case."""
    with Assembly.open(genome) as assembly, place.open("w") as handle:
        for contig in assembly.contigs:
            handle.write(f">{contig.name}\n{assembly.sequence(contig.name)}\n")
    return place


def judged(fasta: Path, folder: Path) -> Verdicts:
    """Run every validator on the genes of a finished `segnt annotate`."""
    gff3 = folder / "genes.gff3"
    said = (
        verdict(["gt", "gff3validator", "-typecheck", "so", gff3]),
        verdict([TOOLS / "gff3-validate", gff3, "--genome", fasta]),
        verdict([TOOLS / "segnt", "check-gff", gff3, "--genome", fasta, "-q"]),
        verdict(["gffread", "-J", "-g", fasta, "-x", folder.parent / "kept.fa", gff3]),
    )
    mrnas = re.findall(r"\tmRNA\t.*", gff3.read_text())
    whole = sum("partial" not in line for line in mrnas)
    kept = (folder.parent / "kept.fa").read_text().count(">")
    return Verdicts(len(re.findall(r"\tgene\t", gff3.read_text())), whole, kept, said)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genomes", nargs="+", type=Path, help="FASTA files")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--model", default="auto", help="(default: auto)")
    parser.add_argument("--threads", default=2, type=int, help="processor cores (default: 2)")
    arguments = parser.parse_args()
    for name in ("gt", "gffread"):
        if shutil.which(name) is None:
            raise SystemExit(f"{name} is not installed")
    print(
        "| genome | Mb | minutes | genes | gt | gff3-validate | check-gff | gffread | whole mRNAs | gffread -J keeps |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for genome in arguments.genomes:
        place = arguments.out / genome.absolute().parent.name
        place.mkdir(parents=True, exist_ok=True)
        fasta = unpacked(genome, place / "genome.fa")
        command = [TOOLS / "segnt", "annotate", fasta, "--out", place / "out", "--model", arguments.model]
        begun = time.monotonic()
        subprocess.run([*map(str, command), "--threads", str(arguments.threads), "-q"], check=True)
        minutes = (time.monotonic() - begun) / 60
        found = judged(fasta, place / "out")
        figures = [genome.absolute().parent.name, f"{fasta.stat().st_size / 1e6:.1f}", f"{minutes:.1f}"]
        figures += [str(found.genes), *found.said, str(found.whole), str(found.kept)]
        print(f"| {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
