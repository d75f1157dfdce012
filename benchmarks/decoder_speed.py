"""Speed of the gene decoder's steps on tracks files: nanoseconds of one core's time per base, and Mb/s.

    python benchmarks/decoder_speed.py --genome genome.fa --contig NAME TRACKS.h5...

Steps: reading and unpacking logits; making the rows of scores for the machine; best path and forward sums; backward
sums; at last all of it, as call-genes does it: rows twice (once in each direction), forward sums twice (the second time
where a gene needs them). Both strands are decoded at once, with all states. Processor time, so that other load on the
machine shows less; the first block is run once before, so that compiling does not count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from segnt_tools.genes.calling import FileTracks, GeneCaller, default_parameters
from segnt_tools.genes.decoding import BLOCK_BASES, PieceDecoder
from segnt_tools.genes.emissions import EmissionBuilder
from segnt_tools.genes.kernels import Rows
from segnt_tools.sequence.assembly import Assembly, Contig
from segnt_tools.tracks.file import TracksReader


def measured(what: str, bases: int, function: Callable[[], object]) -> object:
    """Run a step and print its time."""
    begun = time.process_time()
    result = function()
    seconds = time.process_time() - begun
    print(f"{what:32s} {1e9 * seconds / bases:8.1f} ns a base {bases / seconds / 1e6:8.2f} Mb/s")
    return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracks", type=Path, nargs="+")
    parser.add_argument("--genome", type=Path, required=True)
    parser.add_argument("--contig")
    args = parser.parse_args()
    with Assembly.open(args.genome) as assembly, TracksReader(args.tracks) as reader:
        contig = args.contig or assembly.contigs[0].name
        length = assembly.lengths[contig]
        caller = GeneCaller(FileTracks(reader), assembly, default_parameters(reader))
        source = caller.source(contig)
        builder = EmissionBuilder(caller.plan, caller.machine, source, source, length)
        blocks = [(start, min(start + BLOCK_BASES, length)) for start in range(0, length, BLOCK_BASES)]
        warm = PieceDecoder(caller.machine, lambda start, end: builder.rows(start, end, 0, 3000), 0, 3000)
        warm.sums(warm.best().segments[:1])
        measured("logits", length, lambda: [source.logits(start, end) for start, end in blocks])
        made: dict[tuple[int, int], Rows] = {}
        measured(
            "rows (with logits)",
            length,
            lambda: made.update((block, builder.rows(*block, 0, length)) for block in blocks),
        )
        decoder = PieceDecoder(caller.machine, lambda start, end: made[start, end], 0, length)
        best = decoder.best
        decoded = measured("best path and forward sums", length, best)
        measured("backward sums", length, lambda: decoder.sums(decoded.segments[:1]))
        made.clear()
        whole = Contig(contig, length, "")
        measured("all: genes with scores", length, lambda: caller.genes(whole))


if __name__ == "__main__":
    main()
