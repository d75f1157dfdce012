"""Bases as small integers: A 0, C 1, G 2, T 3, anything unknown (N) 4."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]

LETTERS = "ACGTN"
N = 4

# The ambiguity letters of IUPAC, which become N; U is RNA's T.
IUPAC_AMBIGUOUS = "RYSWKMBDHV"


def _code_table() -> Codes:
    table = np.full(256, N, dtype=np.uint8)
    for code, letter in enumerate("ACGT"):
        table[ord(letter)] = table[ord(letter.lower())] = code
    table[ord("U")] = table[ord("u")] = 3
    return table


_CODE_OF_BYTE = _code_table()
_BYTE_OF_CODE = np.frombuffer(LETTERS.encode(), dtype=np.uint8)
_COMPLEMENT = np.array([3, 2, 1, 0, 4], dtype=np.uint8)


def encode(sequence: bytes | bytearray | str) -> Codes:
    """Base codes of a sequence, upper or lower case; every letter but A, C, G, T and U becomes N.

    Returns:
        uint8 array of the sequence's length.
    """
    raw = sequence.encode("ascii", "replace") if isinstance(sequence, str) else sequence
    return _CODE_OF_BYTE[np.frombuffer(raw, dtype=np.uint8)]


def decode(codes: Codes) -> str:
    """The upper-case sequence of base codes."""
    return _BYTE_OF_CODE[codes].tobytes().decode("ascii")


def reverse_complement(codes: Codes) -> Codes:
    """Codes of the other strand, along the last axis."""
    return _COMPLEMENT[codes[..., ::-1]]
