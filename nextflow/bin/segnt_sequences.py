#!/usr/bin/env python3
"""Sequences of the genes of a GFF3 file: proteins.fa, cds.fa, transcripts.fa.

Usage: segnt_sequences.py GFF3 GENOME FOLDER GENETIC_CODE
"""

import sys
from pathlib import Path

from segnt_tools.errors import SegntError
from segnt_tools.gff.reading import read_genes
from segnt_tools.gff.sequences import write_sequences
from segnt_tools.sequence.assembly import Assembly


def main(gff3: str, genome: str, folder: str, genetic_code: str) -> int:
    """Read the genes, write their sequences; returns the exit status."""
    try:
        with Assembly.open(Path(genome)) as assembly:
            genes = read_genes(gff3, assembly.lengths)
            write_sequences(Path(folder), genes, assembly, int(genetic_code))
    except SegntError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
