"""Splice sites of gene models in the sequence: dinucleotides and the bases around donors and acceptors."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segnt_tools.elements import Strand
from segnt_tools.gff.genemodel import Gene
from segnt_tools.report.genes import representative
from segnt_tools.report.intervals import Integers
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.codes import Codes, N

# Bases drawn around each site: (exonic, intronic).
DONOR = (3, 6)
ACCEPTOR = (3, 14)
CANONICAL = ("GT-AG", "GC-AG", "AT-AC")

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class SpliceNumbers:
    """Splice sites of the representatives' introns.

    Attributes:
        introns: introns looked at.
        kinds: introns by first and last two bases, most frequent first.
        donor: counts of A, C, G, T from 3 exonic to 6 intronic bases, shape (9, 4).
        acceptor: counts from 14 intronic to 3 exonic bases, shape (17, 4).
        absent: genes on contigs that the genome does not have.
    """

    introns: int
    kinds: dict[str, int]
    donor: Counts
    acceptor: Counts
    absent: int

    def share(self, kind: str) -> float | None:
        """Share of introns of a kind."""
        return self.kinds.get(kind, 0) / self.introns if self.introns else None


def splice_sites(genes: Sequence[Gene], assembly: Assembly) -> SpliceNumbers:
    """Look up the introns of the genes' representatives in the sequence, one contig in memory at a time."""
    introns: dict[str, list[tuple[int, int, bool]]] = defaultdict(list)
    absent = 0
    for gene in genes:
        if gene.contig not in assembly.lengths:
            absent += 1
            continue
        transcript = representative(gene)
        if transcript.strand is not Strand.NONE:
            forward = transcript.strand is Strand.PLUS
            introns[gene.contig] += [(start, end, forward) for start, end in transcript.introns]
    donor = np.zeros((sum(DONOR), 4), dtype=np.int64)
    acceptor = np.zeros((sum(ACCEPTOR), 4), dtype=np.int64)
    kinds: Counter[str] = Counter()
    for contig, rows in introns.items():
        codes = assembly.codes(contig)
        table = np.array(rows, dtype=np.int64).reshape(-1, 3)
        starts, ends, forward_rows = table[:, 0], table[:, 1], table[:, 2] == 1
        at_donor = _around(codes, starts, ends, forward_rows, -DONOR[0], DONOR[1])
        at_acceptor = _around(codes, ends, starts, forward_rows, -ACCEPTOR[1], ACCEPTOR[0])
        donor += _count(at_donor)
        acceptor += _count(at_acceptor)
        first = at_donor[:, DONOR[0] : DONOR[0] + 2]
        last = at_acceptor[:, ACCEPTOR[1] - 2 : ACCEPTOR[1]]
        kinds += _dinucleotides(np.concatenate((first, last), axis=1))
    return SpliceNumbers(sum(kinds.values()), dict(kinds.most_common()), donor, acceptor, absent)


def _around(
    codes: Codes, on_plus: Integers, on_minus: Integers, forward: NDArray[np.bool_], before: int, after: int
) -> Codes:
    """Bases around borders, read 5' to 3': `before` (negative) to `after` from each; N outside the contig."""
    offsets = np.arange(before, after)
    positions = np.where(forward[:, None], on_plus[:, None] + offsets, on_minus[:, None] - 1 - offsets)
    inside = (positions >= 0) & (positions < codes.size)
    found = np.where(inside, codes[np.clip(positions, 0, codes.size - 1)], N).astype(np.uint8)
    complemented = np.where(found < N, 3 - found, N)
    return np.where(forward[:, None], found, complemented).astype(np.uint8)


def _count(bases: Codes) -> Counts:
    return np.stack([(bases == base).sum(axis=0) for base in range(4)], axis=1).astype(np.int64)


def _dinucleotides(bases: Codes) -> Counter[str]:
    letters = np.frombuffer(b"ACGTN", dtype=np.uint8)[bases]
    values, counts = np.unique(letters, axis=0, return_counts=True)
    names = ("".join(map(chr, row)) for row in values.tolist())
    return Counter({f"{name[:2]}-{name[2:]}": int(count) for name, count in zip(names, counts, strict=True)})


def information(counts: Counts) -> NDArray[np.float64]:
    """Height in bits of each letter of a sequence logo: share times (2 - entropy), without small-sample correction.

    Source: Schneider and Stephens 1990, Nucleic Acids Research 18, 6097.

    Args:
        counts: shape (positions, 4).
    """
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    logs = np.log2(shares, where=shares > 0, out=np.zeros_like(shares))
    bits = 2 + (shares * logs).sum(axis=1, keepdims=True)
    return np.asarray(shares * np.where(counts.sum(axis=1, keepdims=True) > 0, bits, 0))
