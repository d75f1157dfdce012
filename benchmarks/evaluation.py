"""Time and memory of `segnt labels` and `segnt evaluate` on a whole chromosome with 14 elements.

    python benchmarks/evaluation.py --annotation annotation.gff3.gz --genome genome.fa.gz --out DIR
    python benchmarks/evaluation.py --annotation annotation.gff3.gz --genome genome.fa.gz --out DIR --copies 5

Labels are made from the annotation; a tracks file of the same size is made from them with noise, so that scoring meets
millions of short calls (the hard case for segment overlap); then both commands run as processes of their own. The
scores mean nothing; time and peak memory do.

With `--copies` genome (of one contig) and annotation are written several times, each copy as a contig of its own, and
only `segnt labels` runs: on the genes, and on a BED of one line, which shows what the bases alone cost. That is how far
a whole human GENCODE can be judged without having one.
"""

from __future__ import annotations

import argparse
import gzip
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from segnt_tools.elements import EXTENDED_ELEMENTS, SEGMENTNT_ELEMENTS
from segnt_tools.quantisation import STEPS
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.tracks.file import Encoding, TracksReader, tracks_writer

BLOCK = 1 << 20
# Fourteen tracks that a plain annotation knows, so that all of them are scored.
ELEMENTS = (*SEGMENTNT_ELEMENTS[:8], *EXTENDED_ELEMENTS)


def noisy_tracks(labels: Path, out: Path, seed: int = 0) -> tuple[str, int]:
    """Write logit codes around -4 (absent or masked) and +2 (present) with normal noise; returns the longest contig."""
    random = np.random.default_rng(seed)
    calls = 0
    with TracksReader(labels) as reader:
        header = replace(reader.header, encoding=Encoding.LOGIT8, model="noise")
        pieces = [Stretch(contig.name, 0, contig.length) for contig in reader.contigs]
        with tracks_writer(out, header, reader.contigs, pieces) as writer:
            for piece in pieces:
                for start in range(0, piece.end, BLOCK):
                    end = min(start + BLOCK, piece.end)
                    present = reader.values(piece.contig, start, end) == 1
                    logit = np.where(present, 2.0, -4.0) + random.standard_normal(present.shape, dtype=np.float32) * 1.5
                    calls += int((np.diff(logit >= 0, axis=1, prepend=False) & (logit >= 0)).sum())
                    codes = np.clip(np.rint((logit + 10) / 20 * STEPS) + 1, 1, STEPS + 1)
                    writer.write(codes.astype(np.uint8))
    sys.stdout.write(f"{calls / 1e6:.2f} million calls\n")
    longest = max(pieces, key=lambda piece: piece.end)
    return longest.contig, longest.end


def timed(what: str, *command: str) -> None:
    """Run a command and print its time, processor time and peak memory."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{what} failed")
    seconds, cpu = time.perf_counter() - began, used.ru_utime + used.ru_stime
    sys.stdout.write(f"{what}: {seconds:.1f} s, {cpu:.1f} s of CPU, peak {used.ru_maxrss / 1e3:.0f} MB\n")
    sys.stdout.flush()


def write_copies(annotation: Path, genome: Path, copies: int, folder: Path) -> tuple[Path, Path]:
    """Copies of a GFF3 file and of a FASTA file of one contig, all IDs and names apart; prints the number of rows."""
    with gzip.open(genome, "rb") as handle:
        sequence = handle.read().split(b"\n", 1)[1]
    with gzip.open(annotation, "rb") as handle:
        rows = [line.split(b"\t", 1)[1] for line in handle if b"\t" in line and not line.startswith(b"#")]
    fasta, gff3 = folder / "copies.fa", folder / "copies.gff3"
    with fasta.open("wb") as bases, gff3.open("wb") as features:
        features.write(b"##gff-version 3\n")
        for number in range(copies):
            name = b"copy%d" % number
            bases.write(b">" + name + b"\n" + sequence)
            for row in rows:
                own = row.replace(b"ID=", b"ID=" + name + b":").replace(b"Parent=", b"Parent=" + name + b":")
                features.write(name + b"\t" + own)
    sys.stdout.write(f"{copies * len(rows)} rows\n")
    return gff3, fasta


def time_copies(program: str, arguments: argparse.Namespace) -> None:
    """Labels of several copies, and of as many bases with nothing on them."""
    gff3, fasta = write_copies(Path(arguments.annotation), Path(arguments.genome), arguments.copies, arguments.out)
    bed = arguments.out / "one.bed"
    bed.write_text("copy0\t10\t20\n")
    rest = ("--genome", str(fasta), "--out", str(arguments.out / "copies.h5"), "-q", "--threads", "1")
    timed("labels of all rows", program, "labels", str(gff3), *rest)
    timed("labels of one row", program, "labels", "--bed", f"exon={bed}", *rest)


def main() -> None:
    """Make the files and run both commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotation", required=True)
    parser.add_argument("--genome", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--copies", type=int, help="only time segnt labels, on so many copies")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    labels, tracks = arguments.out / "labels.h5", arguments.out / "noise.h5"
    program = str(Path(sys.executable).with_name("segnt"))
    if arguments.copies:
        time_copies(program, arguments)
        return
    genome = ("--genome", arguments.genome)
    elements = ("--elements", ",".join(ELEMENTS))
    timed("labels", program, "labels", arguments.annotation, *genome, "--out", str(labels), *elements, "-q")
    contig, bases = noisy_tracks(labels, tracks)
    command = (
        program,
        "evaluate",
        str(tracks),
        "--truth",
        str(labels),
        *genome,
        "--out",
        str(arguments.out / "scores"),
    )
    # A tenth and the whole of the longest contig: the difference is what grows with a contig.
    for region in (f"{contig}:1-{bases // 10}", f"{contig}:1-{bases}"):
        timed(f"evaluate {region}", *command, "--region", region, "-q")


if __name__ == "__main__":
    main()
