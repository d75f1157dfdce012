"""Tokenizers: text or base codes to the token ids that the Nucleotide Transformer family was trained on.

The k-mer tokenizer cuts a sequence at every N, takes consecutive k-mers from the left end of each piece and single
letters for what remains; each N is a token of its own. The k-mer frame therefore restarts after every N. A model never
gets such windows from `segnt predict` (they hold no N and are multiples of 24), for which `window_tokens` is enough.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt
import torch

from segnt_tools.errors import AssemblyError, CheckpointError, UsageError

SPECIAL_TOKENS = ("<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>")
UNKNOWN, PAD, MASK, CLS = range(4)
KMER_ALPHABET = "ATCG"  # the order in which k-mers are numbered

# Digit of the base codes A 0, C 1, G 2, T 3 in KMER_ALPHABET. N (4) counts as A, so that a stray N cannot make an id
# outside the vocabulary; windows that hold N are masked by the caller.
DIGIT_OF_CODE = (0, 2, 3, 1, 0)
N_CODE = 4
_CODE_OF_BYTE = np.full(256, 255, np.uint8)
_CODE_OF_BYTE[np.frombuffer(b"ACGTN", np.uint8)] = np.arange(5, dtype=np.uint8)


class UnknownTokenError(AssemblyError):
    """A sequence holds a chunk that is not in the vocabulary."""

    def __init__(self, token: str) -> None:
        super().__init__(f"token {token!r} is not in the vocabulary", hint="Sequences are upper-case A, C, G, T and N")
        self.token = token


@dataclass(frozen=True)
class KmerTokenizer:
    """The tokenizer of NT-v2 and SegmentNT (`specials_first`), of NT-v1 (not), and of its 3-mer sibling (k = 3).

    Attributes:
        k: letters of a token.
        specials_first: `<eos>` and `<bos>` are ids 4 and 5 (v2) instead of the last two ids (v1).
    """

    k: int = 6
    specials_first: bool = True

    @classmethod
    def of_embedding(cls, rows: int, k: int = 6) -> KmerTokenizer:
        """The tokenizer whose ids index an embedding table of so many rows.

        v2 tables have a row for every token (4107 with 6-mers); v1 tables have none for the last two, `<eos>` and
        `<bos>` (4105).

        Raises:
            CheckpointError: the table is of neither size, and nobody can tell which row stands for which token.
        """
        v1, v2 = 4**k + 9, 4**k + 11
        if rows not in (v1, v2):
            raise CheckpointError(
                f"its table of token embeddings has {rows} rows, so that its token ids are not known",
                hint=f"Tables of {k}-mers have {v2} rows (NT-v2) or {v1} (the order of tokens of NT-v1)",
            )
        return cls(k, specials_first=rows == v2)

    @property
    def first_kmer(self) -> int:
        """Id of the k-mer AA..A."""
        return 6 if self.specials_first else 4

    @property
    def first_letter(self) -> int:
        """Id of the single letter A; T, C, G and N follow."""
        return int(self.first_kmer + 4**self.k)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """All tokens in the order of their ids."""
        kmers = tuple("".join(letters) for letters in product(KMER_ALPHABET, repeat=self.k))
        first, last = (SPECIAL_TOKENS, ()) if self.specials_first else (SPECIAL_TOKENS[:4], SPECIAL_TOKENS[4:])
        return (*first, *kmers, *KMER_ALPHABET, "N", *last)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.vocabulary)}

    def encode_codes(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """Token ids of base codes (bases,), `<cls>` first; without a Python loop over tokens."""
        bases = codes.size
        if not bases:
            return np.array([CLS], np.int64)
        is_n = codes == N_CODE
        position = np.arange(bases)
        # A piece lies between two N: its first base and its end, for every base.
        begin = np.maximum.accumulate(np.where(is_n, position + 1, 0))
        end = np.minimum.accumulate(np.where(is_n, position, bases)[::-1])[::-1]
        offset = position - begin
        in_kmer = ~is_n & (offset < (end - begin) // self.k * self.k)
        starts = np.flatnonzero(~in_kmer | (offset % self.k == 0))
        digit = np.asarray(DIGIT_OF_CODE, np.int64)[codes]
        single = np.where(is_n, self.first_letter + 4, self.first_letter + digit)
        padded = np.concatenate([digit, np.zeros(self.k, np.int64)])
        kmer = self.first_kmer + sum(padded[i : i + bases] * 4 ** (self.k - 1 - i) for i in range(self.k))
        return np.concatenate([[CLS], np.where(in_kmer, kmer, single)[starts]])

    def encode(self, sequence: str) -> npt.NDArray[np.int64]:
        """Token ids of a text that may hold special tokens at token borders, as the official JAX tokenizer reads it.

        Raises:
            UnknownTokenError: a chunk is not in the vocabulary; there is no case folding.
        """
        codes = _CODE_OF_BYTE[np.frombuffer(sequence.encode("latin-1", "replace"), np.uint8)]
        if (codes < 255).all():
            return self.encode_codes(codes)
        ids = [CLS]
        for piece in re.split("(N)", sequence):
            whole = len(piece) // self.k * self.k
            chunks = [piece[i : i + self.k] for i in range(0, whole, self.k)] + list(piece[whole:])
            for chunk in chunks:
                if chunk not in self._ids:
                    raise UnknownTokenError(chunk)
                ids.append(self._ids[chunk])
        return np.array(ids, np.int64)

    def encode_batch(self, sequences: Sequence[str], fixed_length: int) -> npt.NDArray[np.int64]:
        """Token ids (sequences, fixed_length), padded on the right with `<pad>`.

        Raises:
            UsageError: a sequence has more tokens; nothing is ever cut off.
        """
        batch = np.full((len(sequences), fixed_length), PAD, np.int64)
        for row, sequence in zip(batch, sequences, strict=True):
            ids = self.encode(sequence)
            if ids.size > fixed_length:
                raise UsageError(f"a sequence of {ids.size} tokens exceeds the fixed length of {fixed_length}")
            row[: ids.size] = ids
        return batch

    def encode_like_hugging_face(self, sequence: str) -> npt.NDArray[np.int64]:
        """Token ids as the Hugging Face tokenizer gives them: no errors, but a run of unknown letters is one `<unk>`.

        White space splits and restarts the k-mer frame. For parity tests; lengths break silently on bad input.
        """
        known = "|".join([*map(re.escape, SPECIAL_TOKENS), f"[{KMER_ALPHABET}]{{{self.k}}}", f"[{KMER_ALPHABET}N]"])
        ids = [CLS]
        for word in sequence.split():
            after = 0
            for match in re.finditer(known, word):
                ids += [UNKNOWN] * (match.start() > after) + [self._ids[match.group()]]
                after = match.end()
            ids += [UNKNOWN] * (after < len(word))
        return np.array(ids, np.int64)

    def window_tokens(self, codes: torch.Tensor) -> torch.Tensor:
        """Base codes (batch, length) without N, length a multiple of k, to token ids (batch, 1 + length / k)."""
        batch, length = codes.shape
        digits = torch.tensor(DIGIT_OF_CODE, device=codes.device)[codes.long()].view(batch, length // self.k, self.k)
        powers = torch.tensor([4 ** (self.k - 1 - i) for i in range(self.k)], device=codes.device)
        kmers = (digits * powers).sum(-1) + self.first_kmer
        return torch.nn.functional.pad(kmers, (1, 0), value=CLS)


@dataclass(frozen=True)
class LetterTokenizer:
    """One letter, one token, no `<cls>`.

    Attributes:
        ids: id of each letter, by letter.
        strict: unknown letters are an error (Enformer and Borzoi) instead of `<unk>`, blanks skipped (NTv3).
    """

    ids: tuple[tuple[str, int], ...]
    strict: bool

    def encode(self, sequence: str) -> npt.NDArray[np.int64]:
        """Token ids (letters,).

        Raises:
            UnknownTokenError: a letter is unknown and the tokenizer strict.
        """
        text = sequence if self.strict else "".join(sequence.split())
        table = dict(self.ids)
        if self.strict and (unknown := next((letter for letter in text if letter not in table), None)):
            raise UnknownTokenError(unknown)
        return np.array([table.get(letter, UNKNOWN) for letter in text], np.int64)


# The official list names A, T, C, G twice; the later ids win.
ENFORMER_TOKENIZER = LetterTokenizer((("A", 10), ("T", 11), ("C", 12), ("G", 13), ("N", 14)), strict=True)
NTV3_TOKENIZER = LetterTokenizer((("A", 6), ("T", 7), ("C", 8), ("G", 9), ("N", 10)), strict=False)


def one_hot(codes: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Base codes (batch, length) to (batch, 4, length) in the order A, C, G, T; N is all zeros."""
    table = torch.cat([torch.eye(4, dtype=dtype), torch.zeros(1, 4, dtype=dtype)]).to(codes.device)
    return table[codes.long()].transpose(1, 2)
