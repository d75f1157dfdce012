"""Time and memory of `segnt labels` and `segnt evaluate` on a whole chromosome with 14 elements.

    python benchmarks/evaluation.py --annotation annotation.gff3.gz --genome genome.fa.gz --out DIR

Labels are made from the annotation; a tracks file of the same size is made from them with noise, so that scoring meets
millions of short calls (the hard case for segment overlap); then both commands run as processes of their own. The
scores mean nothing; time and peak memory do.
"""

from __future__ import annotations

import argparse
import resource
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


def noisy_tracks(labels: Path, out: Path, seed: int = 0) -> int:
    """Write logit codes around -4 (absent or masked) and +2 (present) with normal noise; returns the bases."""
    random = np.random.default_rng(seed)
    with TracksReader(labels) as reader:
        header = replace(reader.header, encoding=Encoding.LOGIT8, model="noise")
        pieces = [Piece(contig.name, 0, contig.length) for contig in reader.contigs]
        with tracks_writer(out, header, reader.contigs, pieces) as writer:
            for piece in pieces:
                for start in range(0, piece.end, BLOCK):
                    end = min(start + BLOCK, piece.end)
                    present = reader.values(piece.contig, start, end) == 1
                    logit = np.where(present, 2.0, -4.0) + random.standard_normal(present.shape, dtype=np.float32) * 1.5
                    codes = np.clip(np.rint((logit + 10) / 20 * STEPS) + 1, 1, STEPS + 1)
                    writer.write(codes.astype(np.uint8))
    return sum(piece.bases for piece in pieces)


def timed(*command: str) -> None:
    """Run a command and print its time, processor time and peak memory."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.perf_counter() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # ru_maxrss is the largest child so far, so commands are run in the order of their memory.
    sys.stdout.write(f"{command[1]:9} {seconds:.1f} s, {cpu:.1f} s of CPU, peak {after.ru_maxrss / 1e3:.0f} MB\n")


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
    timed(program, "labels", arguments.annotation, *genome, "--out", str(labels), *elements, "-q")
    bases = noisy_tracks(labels, tracks)
    sys.stdout.write(f"{bases / 1e6:.1f} Mb\n")
    scores = str(arguments.out / "scores")
    timed(program, "evaluate", str(tracks), "--truth", str(labels), *genome, "--out", scores, "-q")


if __name__ == "__main__":
    main()
