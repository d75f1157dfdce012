"""Speed and peak memory of every step that is not the model, as whole processes; prints a table.

    python benchmarks/steps.py [--bases 30M] [--genome FASTA]
    python benchmarks/steps.py --contigs      100,000 contigs of 300 bp against one contig, with the embedded model

Mb/s are given by processor time (user + system of all threads) and by the clock. The tracks of 14 elements are made up
(blocks of high probability over a noisy background), because only their amount matters here.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segnt_tools.elements import SEGMENTNT_ELEMENTS, Track
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.shards import Piece
from segnt_tools.tracks.file import Encoding, TracksHeader, tracks_writer

SEGNT = Path(sys.executable).with_name("segnt")
STRETCH = 1 << 20


@dataclass(frozen=True)
class Usage:
    """What a finished process used."""

    wall: float
    cpu: float
    peak_mb: float


def measure(*command: str | Path) -> Usage:
    """Run a command to its end and account for it alone."""
    begun = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(map(str, command))}")
    return Usage(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def row(step: str, bases: int, usage: Usage, start: Usage, aim: str) -> None:
    """One line of the table; start-up (measured by --help) is taken off the times."""
    wall, cpu = max(1e-3, usage.wall - start.wall), max(1e-3, usage.cpu - start.cpu)
    print(f"{step:28} {bases / 1e6 / cpu:10.1f} {bases / 1e6 / wall:10.1f} {usage.peak_mb:10.0f}   {aim}")


def random_genome(path: Path, contigs: int, bases: int) -> None:
    """A FASTA file of random bases in lines of 60."""
    random = np.random.default_rng(1)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    with path.open("wb") as handle:
        for number in range(contigs):
            handle.write(b">contig%d\n" % number)
            sequence = letters[random.integers(0, 4, bases // contigs)]
            for start in range(0, sequence.size, 60 * 10_000):
                lines = sequence[start : start + 60 * 10_000].tobytes()
                handle.write(b"\n".join(lines[i : i + 60] for i in range(0, len(lines), 60)) + b"\n")


def made_up_tracks(assembly: Assembly, path: Path) -> None:
    """Tracks of the 14 elements of SegmentNT over the whole assembly."""
    random = np.random.default_rng(2)
    header = TracksHeader(
        tuple(Track(name) for name in SEGMENTNT_ELEMENTS), Encoding.LOGIT8, assembly.fingerprint, "made_up", "none"
    )
    pieces = [Piece(contig.name, 0, contig.length) for contig in assembly.contigs]
    with tracks_writer(path, header, assembly.contigs, pieces, threads=2) as writer:
        for piece in pieces:
            for start in range(0, piece.bases, STRETCH):
                size = min(STRETCH, piece.bases - start)
                values = random.normal(-8, 0.7, (len(header.tracks), size)).astype(np.float32)
                for track in range(len(header.tracks)):
                    for place in random.integers(0, max(1, size - 300), size // 5000):
                        values[track, place : place + 150] += 14
                writer.write(values)


def steps(genome: Path, folder: Path) -> None:
    """preprocess, call-peaks and bigWig on one core."""
    print(f"{'step, one core':28} {'Mb/s cpu':>10} {'Mb/s clock':>10} {'peak MB':>10}   aim")
    start = measure(SEGNT, "preprocess", "--help")
    with Assembly.open(genome) as assembly:
        bases = sum(contig.length for contig in assembly.contigs)
        made_up_tracks(assembly, folder / "tracks.h5")
    row("preprocess", bases, measure(SEGNT, "preprocess", genome, "--out", folder / "p"), start, ">= 30 Mb/s")
    one = ["--threads", "1"]
    start = measure(SEGNT, "call-peaks", "--help")
    peaks = measure(SEGNT, "call-peaks", folder / "tracks.h5", "--out", folder / "peaks", *one)
    row("call-peaks, 14 elements", bases, peaks, start, ">= 10 Mb/s")
    start = measure(SEGNT, "tracks", "export", "--help")
    export = [SEGNT, "tracks", "export", "--format", "bigwig", "--out", folder / "bw", folder / "tracks.h5"]
    row("bigWig, an element", bases, measure(*export, "--element", "exon", *one), start, ">= 5 Mb/s")


def contigs(folder: Path, bases: int) -> None:
    """Many short contigs against one, per base, through preprocess and predict."""
    seconds = {}
    start = measure(SEGNT, "predict", "--help")
    for count in (1, bases // 300):
        random_genome(folder / f"{count}.fa", count, bases)
        total = 0.0
        for command in (
            ("preprocess", folder / f"{count}.fa", "--out", folder / f"p{count}"),
            ("predict", folder / f"p{count}", "--out", folder / f"{count}.h5"),
        ):
            usage = measure(SEGNT, *command)
            total += usage.cpu - start.cpu
            print(
                f"{count:7} contigs, {command[0]:11} {usage.cpu:8.1f} s cpu {usage.wall:8.1f} s {usage.peak_mb:8.0f} MB"
            )
        seconds[count] = total
    print(f"per base {seconds[bases // 300] / seconds[1]:.2f} times the time of one contig (aim: at most 2)")


def main() -> None:
    """Run the table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", type=int, default=30_000_000, help="size of the random genome")
    parser.add_argument("--genome", type=Path, help="measure on this FASTA file instead")
    parser.add_argument("--contigs", action="store_true", help="many short contigs against one")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.contigs:
            contigs(folder, args.bases)
            return
        genome = args.genome
        if genome is None:
            genome = folder / "genome.fa"
            random_genome(genome, 1, args.bases)
        steps(genome, folder)


if __name__ == "__main__":
    main()
