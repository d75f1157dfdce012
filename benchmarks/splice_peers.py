"""Per-base splice-site scores of SpliceAI as bigWig, so that `segnt evaluate` can score them like our own tracks.

    python -m venv peers
    peers/bin/pip install keras torch h5py pysam pyBigWig
    peers/bin/pip install --no-deps spliceai
    KERAS_BACKEND=torch peers/bin/python benchmarks/splice_peers.py --genome genome.fa.gz \\
        --region chr22_32000001_32300000:1-100000 --out spliceai
    segnt evaluate spliceai --truth annotation.gff3.gz --genome genome.fa.gz --region ... --out scores

SpliceAI's five models lie inside its wheel (trained on human; code GPL, models for non-commercial use). Each sees 5,000
bases on either side of a base and gives probabilities of `neither`, `acceptor` and `donor` for the first or last base
of an exon on the strand it reads, which is where `segnt labels` puts splice sites by default. The mean over the chosen
models is written for each strand; evaluate joins the strands where the truth does not tell them apart.

OpenSpliceAI (PyPI openspliceai) is a PyTorch twin whose weights are in its repository; Pangolin's are in its own, and
PyPI's bipangolin, which writes bedGraphs, downloads them from there. Their scores can be given to `segnt evaluate` in
the same way: one bigWig, bedGraph or npz a track.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.metadata import files as files_of_package
from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
import pysam

CONTEXT = 5_000
CHUNK = 20_000
OUTPUTS = {"splice_acceptor": 1, "splice_donor": 2}
STRANDS = {"plus": False, "minus": True}


def one_hot(sequence: str) -> np.ndarray:
    """Rows of four for A, C, G, T; zeros for anything else."""
    table = np.zeros((256, 4), dtype=np.float32)
    for column, letter in enumerate("ACGT"):
        table[[ord(letter), ord(letter.lower())], column] = 1.0
    return table[np.frombuffer(sequence.encode(), dtype=np.uint8)]


def load_models(numbers: list[int]) -> list[Any]:
    """SpliceAI's models by number, from the wheel, without the training configuration that new Keras refuses."""
    import keras

    found = {Path(str(entry)).name: entry.locate() for entry in files_of_package("spliceai") or []}
    return [keras.models.load_model(found[f"spliceai{number}.h5"], compile=False) for number in numbers]


def predict(models: list[Any], bases: np.ndarray) -> np.ndarray:
    """Mean probabilities (bases - 2 * CONTEXT, 3) of one strand, chunk by chunk."""
    size = len(bases) - 2 * CONTEXT
    result = np.zeros((size, 3), dtype=np.float32)
    for start in range(0, size, CHUNK):
        end = min(start + CHUNK, size)
        window = bases[None, start : end + 2 * CONTEXT]
        for model in models:
            result[start:end] += np.asarray(model.predict(window, verbose=0))[0] / len(models)
    return result


def main() -> int:
    """Score the region on both strands and write four bigWig files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genome", type=Path, required=True, help="FASTA with index")
    parser.add_argument("--region", required=True, help="CONTIG:FROM-TO, 1-based and inclusive")
    parser.add_argument("--models", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="(default: all five)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the bigWig files")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    contig, span = arguments.region.rsplit(":", 1)
    first, last = (int(number.replace(",", "")) for number in span.split("-"))
    with pysam.FastaFile(str(arguments.genome)) as fasta:
        lengths = dict(zip(fasta.references, fasta.lengths, strict=True))
        left, right = first - 1 - CONTEXT, last + CONTEXT
        sequence = fasta.fetch(contig, max(left, 0), min(right, lengths[contig]))
    sequence = "N" * max(-left, 0) + sequence + "N" * max(right - lengths[contig], 0)
    models, began = load_models(arguments.models), time.perf_counter()
    for strand, reverse in STRANDS.items():
        bases = one_hot(sequence)
        scores = predict(models, bases[::-1, ::-1] if reverse else bases)
        scores = scores[::-1] if reverse else scores
        for track, column in OUTPUTS.items():
            with pyBigWig.open(str(arguments.out / f"{track}.{strand}.bw"), "w") as file:
                file.addHeader(list(lengths.items()))
                values = np.clip(scores[:, column], 0, 1).astype(np.float64)
                file.addEntries(contig, first - 1, values=values, span=1, step=1)
    seconds = time.perf_counter() - began
    rate = (last - first + 1) / seconds / 1000
    sys.stderr.write(f"{len(models)} models, both strands: {seconds:.1f} s, {rate:.2f} kb/s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
