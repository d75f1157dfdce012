"""Speed and peak memory of every step but training, each a process of its own on one core; prints a table.

    python benchmarks/steps.py [--bases 30M] [--genome FASTA]   one contig, and as many bases in contigs of 300 bp
    python benchmarks/steps.py --model [--bases 3M]             predict with an embedded model, and the steps on genes
    python benchmarks/steps.py --annotate [--bases 3M]          the whole chain with an embedded model

Mb/s are bases by processor time (user and system); what the step takes on 300 bases (its start-up) is taken off.
`ratio` is the time a base of the many contigs by that of the one. The tracks of 14 elements are made up (blocks of high
probability over a noisy background), because only their amount matters.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segnt_tools.commands.common import bases as number_of_bases
from segnt_tools.elements import SEGMENTNT_ELEMENTS, Track
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.tracks.file import Encoding, TracksHeader, tracks_writer

SEGNT = Path(sys.executable).with_name("segnt")
STRETCH = 1 << 20
SHORT = 300


@dataclass(frozen=True)
class Usage:
    """What a finished process used."""

    cpu: float
    peak_mb: float


# A process counts the memory of the one that started it as its own peak: a small one must start it.
_LAUNCHER = """
import json, os, resource, sys
pid = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
print(json.dumps([status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""


def measure(*command: str | Path) -> Usage:
    """Run a command to its end and account for it alone."""
    words = [str(part) for part in command]
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *words]
    finished = subprocess.run(launcher, capture_output=True, text=True, check=True)
    status, cpu, peak_mb = json.loads(finished.stdout.splitlines()[-1])
    if status:
        raise SystemExit(f"failed: {' '.join(words)}\n{finished.stderr}")
    return Usage(cpu, peak_mb)


def write_fasta(path: Path, sequences: list[bytes]) -> None:
    """A FASTA file in lines of 60."""
    with path.open("wb") as handle:
        for number, sequence in enumerate(sequences):
            lines = [sequence[i : i + 60] for i in range(0, len(sequence), 60)]
            handle.write(b">contig%d\n%s\n" % (number, b"\n".join(lines)))


def made_up_tracks(assembly: Assembly, path: Path) -> None:
    """Tracks of the 14 elements of SegmentNT over the whole assembly."""
    random = np.random.default_rng(2)
    header = TracksHeader(
        tuple(Track(name) for name in SEGMENTNT_ELEMENTS), Encoding.LOGIT8, assembly.fingerprint, "made_up", "none"
    )
    pieces = [Stretch(contig.name, 0, contig.length) for contig in assembly.contigs]
    total = sum(piece.bases for piece in pieces)
    with tracks_writer(path, header, assembly.contigs, pieces, threads=2) as writer:
        for start in range(0, total, STRETCH):
            size = min(STRETCH, total - start)
            values = random.normal(-8, 0.7, (len(header.tracks), size)).astype(np.float32)
            for track in range(len(header.tracks)):
                for place in random.integers(0, max(1, size - 300), size // 5000):
                    values[track, place : place + 150] += 14
            writer.write(values)


@dataclass(frozen=True)
class Step:
    """A command to measure; {} stands for the name of the assembly's files.

    Attributes:
        name: in the table.
        command: words after `segnt`.
        aim: what the project wants of one contig.
    """

    name: str
    command: tuple[str, ...]
    aim: str = ""


PREPROCESS = Step("preprocess", ("preprocess", "{}.fa", "--out", "{}"), ">= 30 Mb/s")
STEPS = (
    PREPROCESS,
    Step("call-peaks, 14 elements", ("call-peaks", "{}.h5", "--out", "{}.peaks"), ">= 10 Mb/s"),
    Step(
        "bigWig, an element",
        ("tracks", "export", "{}.h5", "--format", "bigwig", "--element", "exon", "--out", "{}.bw", "--threads", "1"),
        ">= 5 Mb/s",
    ),
    Step("tracks cat, 14 elements", ("tracks", "cat", "{}.h5", "--out", "{}.cat.h5", "--threads", "1")),
)
MODEL_STEPS = (
    PREPROCESS,
    Step("predict", ("predict", "{}", "--out", "{}.h5", "--threads", "1", "--model", "{model}")),
    Step("call-genes", ("call-genes", "{}.h5", "--genome", "{}", "--out", "{}.genes", "--threads", "1")),
    Step("merge-gff", ("merge-gff", "{}.genes/genes.gff3", "--genome", "{}", "--out", "{}.merged.gff3")),
    Step("report", ("report", "{}.genes", "--out", "{}.html")),
)
CHAIN = (Step("annotate", ("annotate", "{}.fa", "--out", "{}.run", "--threads", "1", "--model", "{model}")),)


def run_steps(steps: tuple[Step, ...], folder: Path, bases: int, model: str) -> None:
    """Every step on both assemblies, `one` and `many`, and the sum of all times."""
    print(f"{'step, one core':26} {'Mb/s':>8} {'peak MB':>8} | {'many: Mb/s':>10} {'peak MB':>8} {'ratio':>6}   aim")
    total = {"one": 0.0, "many": 0.0}
    for step in steps:
        seconds, peak = {}, {}
        for name in ("tiny", "tiny", *total):  # the first run may have to compile
            words = [word.replace("{model}", model).replace("{}", str(folder / name)) for word in step.command]
            shutil.rmtree(folder / f"{name}.run", ignore_errors=True)  # a finished run would not be repeated
            usage = measure(SEGNT, *words)
            if name == "tiny":
                start = usage
                continue
            seconds[name], peak[name] = max(1e-2, usage.cpu - start.cpu), usage.peak_mb
            total[name] += seconds[name]
        print(
            f"{step.name:26} {bases / 1e6 / seconds['one']:8.2f} {peak['one']:8.0f} | "
            f"{bases / 1e6 / seconds['many']:10.2f} {peak['many']:8.0f} {seconds['many'] / seconds['one']:6.2f}   "
            f"{step.aim}",
            flush=True,
        )
    print(f"{'all of these':26} {'':17} | {'':19} {total['many'] / total['one']:6.2f}   <= 2.00")


def assemblies(folder: Path, genome: Path | None, bases: int) -> int:
    """The FASTA files one.fa and many.fa with the same bases, real or random, and tiny.fa; returns how many bases."""
    if genome is None:
        letters = np.frombuffer(b"ACGT", dtype=np.uint8)
        sequence = letters[np.random.default_rng(1).integers(0, 4, bases)].tobytes()
    else:
        with Assembly.open(genome) as assembly:
            contig = assembly.contigs[0]
            sequence = assembly.sequence(contig.name, 0, min(bases, contig.length)).encode()
    write_fasta(folder / "one.fa", [sequence])
    write_fasta(folder / "many.fa", [sequence[i : i + SHORT] for i in range(0, len(sequence), SHORT)])
    write_fasta(folder / "tiny.fa", [sequence[:SHORT]])
    return len(sequence)


def main() -> None:
    """Run the table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", type=number_of_bases, default=30_000_000, metavar="BP", help="size of the assembly")
    parser.add_argument("--genome", type=Path, help="bases of this FASTA file's first contig instead of random ones")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", nargs="?", const="plant_small", metavar="NAME", help="predict and the steps on genes")
    what.add_argument("--annotate", nargs="?", const="plant_small", metavar="NAME", help="the whole chain")
    args = parser.parse_args()
    model = args.model or args.annotate
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bases = assemblies(folder, args.genome, args.bases)
        if model is None:
            for kind in ("tiny", "one", "many"):
                with Assembly.open(folder / f"{kind}.fa") as assembly:
                    made_up_tracks(assembly, folder / f"{kind}.h5")
        run_steps(CHAIN if args.annotate else MODEL_STEPS if args.model else STEPS, folder, bases, model or "")


if __name__ == "__main__":
    main()
