"""Sequences of gene models: transcripts, coding sequences and proteins, and their FASTA files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Protocol, TextIO

import numpy as np
from Bio.Data import CodonTable
from numpy.typing import NDArray

from segnt_tools.elements import Strand
from segnt_tools.errors import UsageError
from segnt_tools.files import atomic_path
from segnt_tools.gff.genemodel import Gene, Interval, Transcript
from segnt_tools.sequence.codes import Codes, decode, reverse_complement

SEQUENCE_FILES = ("proteins.fa", "cds.fa", "transcripts.fa")
_LINE = 60


class Bases(Protocol):
    """Where bases come from: sequence.fasta.Assembly, or anything with the same method."""

    def codes(self, contig: str, start: int, end: int) -> Codes:
        """Base codes of a stretch of a contig, 0-based half-open."""


@dataclass(frozen=True, slots=True)
class GeneticCode:
    """A genetic code as tables over codons, indexed 16 a + 4 b + c with A 0, C 1, G 2, T 3.

    Attributes:
        number: NCBI's number.
        amino_acids: (64,) uint8 letters, `*` for stops.
        starts: (64,) True for start codons of the table.
        stops: (64,) True for stop codons.
    """

    number: int
    amino_acids: NDArray[np.uint8]
    starts: NDArray[np.bool_]
    stops: NDArray[np.bool_]


@cache
def genetic_code(number: int) -> GeneticCode:
    """NCBI's genetic code of a number, from Biopython's tables.

    Raises:
        UsageError: there is no such code.
    """
    table = CodonTable.unambiguous_dna_by_id.get(number)
    if table is None:
        known = ", ".join(str(one) for one in sorted(CodonTable.unambiguous_dna_by_id))
        raise UsageError(f"there is no genetic code {number}", hint=f"Codes: {known}")
    codons = ["".join(letters) for letters in product("ACGT", repeat=3)]
    # In codes 27, 28 and 31 a codon can be both; inside a CDS it is read as the amino acid.
    letters = [table.forward_table.get(codon, "*") for codon in codons]
    return GeneticCode(
        number,
        np.frombuffer("".join(letters).encode(), dtype=np.uint8),
        np.array([codon in table.start_codons for codon in codons]),
        np.array([codon in table.stop_codons for codon in codons]),
    )


def codon_numbers(codes: Codes) -> NDArray[np.int64]:
    """Index of each codon (16 a + 4 b + c), -1 where a base is N; bases beyond the last whole codon are left out.

    Args:
        codes: base codes, shape (bases,).

    Returns:
        Array of shape (bases // 3,).
    """
    codons = codes[: codes.size - codes.size % 3].reshape(-1, 3).astype(np.int64)
    numbers: NDArray[np.int64] = codons @ np.array([16, 4, 1])
    numbers[(codons > 3).any(axis=1)] = -1
    return numbers


def spliced(bases: Bases, contig: str, intervals: Sequence[Interval], strand: Strand) -> Codes:
    """Codes of ascending intervals joined, read 5' to 3' on the strand."""
    if not intervals:
        return np.zeros(0, dtype=np.uint8)
    joined = np.concatenate([bases.codes(contig, start, end) for start, end in intervals])
    return reverse_complement(joined) if strand is Strand.MINUS else joined


def translate(codes: Codes, code: GeneticCode, *, complete_start: bool = True) -> str:
    """Protein of a coding sequence that begins with a codon's first base; `X` for codons with N.

    Args:
        codes: base codes of the CDS, shape (bases,).
        code: genetic code.
        complete_start: the first codon is the start codon, so that every start codon of the table gives `M`.

    Returns:
        One letter a whole codon, stops as `*`.
    """
    numbers = codon_numbers(codes)
    letters = np.where(numbers >= 0, code.amino_acids[numbers], ord("X")).astype(np.uint8)
    if complete_start and numbers.size and numbers[0] >= 0 and code.starts[numbers[0]]:
        letters[0] = ord("M")
    return letters.tobytes().decode("ascii")


def coding_sequence(bases: Bases, gene: Gene, transcript: Transcript) -> Codes:
    """Codes of the CDS, from the first base of a codon (a partial CDS may begin inside one)."""
    return spliced(bases, gene.contig, transcript.cds, transcript.strand)[transcript.cds_phase :]


def protein(bases: Bases, gene: Gene, transcript: Transcript, code: GeneticCode) -> str:
    """Protein of a coding transcript, with `*` for the stop codon at its end."""
    complete = not transcript.partial_5 and transcript.cds_phase == 0
    return translate(coding_sequence(bases, gene, transcript), code, complete_start=complete)


def write_sequences(
    folder: Path, genes: Iterable[Gene], bases: Bases, code_number: int = 1, names: tuple[str, str, str] | None = None
) -> dict[str, int]:
    """Write proteins.fa, cds.fa and transcripts.fa.

    Proteins and CDS have the coding transcripts only; proteins are without the final `*`. A CDS that begins inside a
    codon is written from its first base, and the header says `phase=1` or 2.

    Args:
        folder: an existing folder.
        genes: in the order wanted.
        bases: the genome.
        code_number: NCBI's number of the genetic code.
        names: other names for the three files.

    Returns:
        Number of records by file name.
    """
    code = genetic_code(code_number)
    protein_name, cds_name, transcript_name = names or SEQUENCE_FILES
    counts = {protein_name: 0, cds_name: 0, transcript_name: 0}
    with (
        atomic_path(folder / protein_name) as protein_path,
        atomic_path(folder / cds_name) as cds_path,
        atomic_path(folder / transcript_name) as transcript_path,
        protein_path.open("w") as proteins,
        cds_path.open("w") as cds,
        transcript_path.open("w") as transcripts,
    ):
        for gene in genes:
            for transcript in gene.transcripts:
                head = _header(gene, transcript)
                exons = spliced(bases, gene.contig, transcript.exons, transcript.strand)
                _write_record(transcripts, head, decode(exons))
                counts[transcript_name] += 1
                if transcript.cds:
                    coding = spliced(bases, gene.contig, transcript.cds, transcript.strand)
                    phase = f" phase={transcript.cds_phase}" if transcript.cds_phase else ""
                    _write_record(cds, head + phase, decode(coding))
                    _write_record(proteins, head, protein(bases, gene, transcript, code).removesuffix("*"))
                    counts[cds_name] += 1
                    counts[protein_name] += 1
    return counts


def _header(gene: Gene, transcript: Transcript) -> str:
    place = f"{gene.contig}:{transcript.start + 1}-{transcript.end}({transcript.strand.value})"
    name = "_".join(transcript.id.split())
    partial = [end for end, cut in (("5", transcript.partial_5), ("3", transcript.partial_3)) if cut]
    return f"{name} gene={gene.id} loc={place}{' partial=' + ','.join(partial) if partial else ''}"


def _write_record(handle: TextIO, header: str, sequence: str) -> None:
    handle.write(f">{header}\n")
    for start in range(0, len(sequence), _LINE):
        handle.write(sequence[start : start + _LINE] + "\n")
