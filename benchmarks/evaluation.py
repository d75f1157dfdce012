"""Time and memory of `segnt labels` and `segnt evaluate` on a whole chromosome with 14 elements.

    python benchmarks/evaluation.py --annotation annotation.gff3.gz --genome genome.fa.gz --out DIR

Labels are made from the annotation; a tracks file of the same size is made from them with noise, so that scoring meets
millions of short calls (the hard case for segment overlap); then both commands run as processes of their own. The
scores mean nothing; time and peak memory do.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from segnt_tools.elements import EXTENDED_ELEMENTS, SEGMENTNT_ELEMENTS
from segnt_tools.quantisation import STEPS
from segnt_tools.sequence.shards import Piece
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
        pieces = [Piece(contig.name, 0, contig.length) for contig in reader.contigs]
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


def main() -> None:
    """Make the files and run both commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotation", required=True)
    parser.add_argument("--genome", required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    labels, tracks = arguments.out / "labels.h5", arguments.out / "noise.h5"
    program = str(Path(sys.executable).with_name("segnt"))
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
