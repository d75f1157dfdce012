"""Reading FASTA of any origin block by block, and refusing what is not an assembly with file, record and line."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np

from segnt_tools.errors import AssemblyError
from segnt_tools.files import rereadable
from segnt_tools.sequence.bgzf import BGZF_END
from segnt_tools.sequence.codes import IUPAC_AMBIGUOUS

BLOCK_BYTES = 1 << 22
STANDARD_INPUT = Path("-")

_BLANKS = b" \t\n\r\v\f"
_BASES = b"ACGTNacgtn"
_AMBIGUOUS = (IUPAC_AMBIGUOUS + IUPAC_AMBIGUOUS.lower()).encode()
_RNA = b"Uu"
_USUAL = _BASES + _BLANKS
_ACCEPTED = _USUAL + _AMBIGUOUS + _RNA
_CLEAN = bytes.maketrans(_AMBIGUOUS + _RNA, b"N" * 10 + b"n" * 10 + b"Tt")
_PROTEIN_ONLY = b"EFILPQJOZXeflipqjozx*"

# A long record with more ambiguity letters than this is some other text that happens to use only IUPAC letters.
_MOST_AMBIGUOUS = 0.25
_LONG_RECORD = 1000


@dataclass(slots=True)
class LetterCounts:
    """Letters that were changed while reading: IUPAC ambiguity codes to N, U to T."""

    ambiguous: dict[str, int] = field(default_factory=dict)
    uracil: int = 0

    @property
    def total_ambiguous(self) -> int:
        """All ambiguity letters."""
        return sum(self.ambiguous.values())

    def add(self, unusual: bytes) -> None:
        """Count the letters of a stretch that holds only ambiguity letters and U."""
        for letter in sorted({*unusual.upper()}):
            count = unusual.upper().count(letter)
            if letter == ord("U"):
                self.uracil += count
            else:
                self.ambiguous[chr(letter)] = self.ambiguous.get(chr(letter), 0) + count


class Block(NamedTuple):
    """A stretch of one contig.

    Attributes:
        contig: name, the header's text before the first blank.
        line: line of the header.
        offset: 0-based position of the first base on the contig.
        sequence: the bases, case kept, only A, C, G, T and N.
    """

    contig: str
    line: int
    offset: int
    sequence: bytes


def read_blocks(path: Path, changed: LetterCounts | None = None) -> Iterator[Block]:
    """Read an assembly in blocks of at most a few megabases, in file order; every contig gives at least one block.

    Plain, gzip, bgzip, bzip2 and xz files; Unix, DOS and old Mac line ends; a UTF-8 byte-order mark.

    Args:
        path: the FASTA file, or a pipe; `-` is standard input.
        changed: collects what was replaced.

    Raises:
        AssemblyError: it is no readable nucleotide FASTA file: see the message for file, record and line.
    """
    changed = LetterCounts() if changed is None else changed
    if path != STANDARD_INPUT:
        yield from _Parser(path, changed).blocks()
        return
    with tempfile.NamedTemporaryFile(prefix="segnt_input_") as copy:  # its beginning and end are looked at first
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        try:
            yield from _Parser(Path(copy.name), changed).blocks()
        except AssemblyError as error:
            error.file = "standard input"
            raise


class _Parser:
    """State of one pass over a FASTA file."""

    def __init__(self, path: Path, changed: LetterCounts) -> None:
        self.path = path
        self.changed = changed
        self.name: str | None = None
        self.header_line = 0
        self.offset = 0
        self.line = 1
        self.ambiguous = 0
        self.first_line_of: dict[str, int] = {}
        self.duplicates: list[str] = []

    def blocks(self) -> Iterator[Block]:
        for text in _whole_lines(self.path):
            yield from self._records_of(text)
            self.line += text.count(b"\n")
        if self.name is None:
            raise AssemblyError("the file is empty: no record", file=self.path, hint="Give an assembly in FASTA format")
        self._finish_record()
        if self.duplicates:
            raise AssemblyError(
                f"{len(self.duplicates)} sequence names occur more than once: {_first_few(self.duplicates)}",
                file=self.path,
                hint="Every record needs a name of its own (the text before the first blank)",
            )

    def _records_of(self, text: bytes) -> Iterator[Block]:
        """Blocks of a text that begins at a line's start and ends at a line's end."""
        position = 0
        line = self.line
        while position < len(text):
            if text.startswith(b">", position):
                end = text.find(b"\n", position)
                end = len(text) if end < 0 else end
                self._begin_record(text[position + 1 : end], line)
                position = end + 1
                line += 1
                continue
            end = text.find(b"\n>", position)
            end = len(text) if end < 0 else end + 1
            stretch = text[position:end]
            block = self._block_of(stretch, line)
            if block is not None:
                yield block
            line += stretch.count(b"\n")
            position = end

    def _begin_record(self, header: bytes, line: int) -> None:
        if self.name is not None:
            self._finish_record()
        try:
            text = header.decode("utf-8")
        except UnicodeDecodeError as error:
            raise AssemblyError("the header is not UTF-8 text", file=self.path, line=line) from error
        if not text[:1].strip():
            raise AssemblyError(
                "the record has no name directly after '>'",
                file=self.path,
                line=line,
                hint="Write >name, without a blank between",
            )
        self.name = name = text.split(maxsplit=1)[0]
        if not name.isprintable():
            raise AssemblyError(f"the name {name!r} holds control characters", file=self.path, line=line)
        first_line = self.first_line_of.setdefault(name, line)
        if first_line != line:
            self.duplicates.append(f"{name} (lines {first_line} and {line})")
        self.header_line = line
        self.offset = 0
        self.ambiguous = 0

    def _finish_record(self) -> None:
        if self.offset == 0:
            raise AssemblyError(
                f"record {self.name} has no sequence",
                file=self.path,
                line=self.header_line,
                hint="Remove the record or download the file again",
            )
        if self.offset >= _LONG_RECORD and self.ambiguous > _MOST_AMBIGUOUS * self.offset:
            raise AssemblyError(
                f"record {self.name}: {self.ambiguous / self.offset:.0%} of its letters are ambiguity letters: "
                "these are no nucleotides",
                file=self.path,
                line=self.header_line,
                hint="Give the genome's nucleotide sequence",
            )

    def _block_of(self, stretch: bytes, line: int) -> Block | None:
        unusual = stretch.translate(None, _USUAL)
        if unusual:
            foreign = unusual.translate(None, _ACCEPTED)
            if foreign or (self.name is None):
                raise self._foreign_letter(stretch, line)
            self.changed.add(unusual)
            self.ambiguous += len(unusual.translate(None, _RNA))
        sequence = stretch.translate(_CLEAN, _BLANKS)
        if not sequence:
            return None
        if self.name is None:
            raise self._not_fasta(line)
        block = Block(self.name, self.header_line, self.offset, sequence)
        self.offset += len(sequence)
        return block

    def _not_fasta(self, line: int) -> AssemblyError:
        return AssemblyError(
            "text before the first '>': this is not a FASTA file",
            file=self.path,
            line=line,
            hint="Give an assembly in FASTA format (FASTQ, GenBank and EMBL files must be converted first)",
        )

    def _foreign_letter(self, stretch: bytes, line: int) -> AssemblyError:
        if self.name is None:
            return self._not_fasta(line)
        accepted = np.zeros(256, dtype=bool)
        accepted[np.frombuffer(_ACCEPTED, dtype=np.uint8)] = True
        raw = np.frombuffer(stretch, dtype=np.uint8)
        place = int(np.flatnonzero(~accepted[raw])[0])
        letter = stretch[place : place + 1]
        line += stretch.count(b"\n", 0, place)
        column = place - (stretch.rfind(b"\n", 0, place) + 1) + 1
        shown = (
            letter.decode("ascii") if letter.isascii() and letter.decode("ascii").isprintable() else repr(letter)[2:-1]
        )
        if letter in _PROTEIN_ONLY and letter not in b"*" and not letter.isdigit():
            reason, hint = "the sequence looks like protein", "Give the genome's nucleotide sequence"
        elif letter.isdigit():
            reason, hint = "digits do not belong in a sequence", "Quality files and numbered sequences are not FASTA"
        else:
            reason, hint = (
                "this is no nucleotide letter",
                "Only A, C, G, T, U, N and the IUPAC ambiguity letters are known",
            )
        return AssemblyError(
            f"record {self.name}, column {column}: '{shown}' in the sequence: {reason}",
            file=self.path,
            line=line,
            hint=hint,
        )


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Text with Unix line ends in pieces that begin at a line's start and end at a line's end."""
    carried = b""
    for raw in _raw_blocks(path):
        text = carried + raw
        held_back = b""
        if text.endswith(b"\r"):  # the other half of a DOS line end may be in the next piece
            text, held_back = text[:-1], b"\r"
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        end = text.rfind(b"\n") + 1
        if end:
            yield text[:end]
        carried = text[end:] + held_back
        # A record in one endless line is passed on in pieces: sequence may be cut anywhere, a header may not.
        if len(carried) >= BLOCK_BYTES and not carried.startswith(b">") and not held_back:
            yield carried
            carried = b""
    if carried:
        yield carried.replace(b"\r", b"\n")


def _raw_blocks(path: Path) -> Iterator[bytes]:
    with _open(path) as handle:
        first = True
        while True:
            try:
                raw = handle.read(BLOCK_BYTES)
            except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, OSError) as error:
                raise AssemblyError(
                    f"the compressed file is damaged or cut short ({error})",
                    file=path,
                    hint="Copy or download it again",
                ) from error
            if not raw:
                return
            if first:
                raw = _checked_beginning(raw, path)
                first = False
            yield raw


def _checked_beginning(raw: bytes, path: Path) -> bytes:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise AssemblyError("the file is UTF-16 text", file=path, hint="Save it as plain text (ASCII or UTF-8)")
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in raw[:65536]:
        raise AssemblyError("the file is binary, not FASTA text", file=path)
    return raw


def _open(path: Path) -> IO[bytes]:
    if path.is_dir():
        raise AssemblyError("this is a folder, not a FASTA file", file=path)
    source = rereadable(path)  # opened twice below
    try:
        with source.open("rb") as handle:
            magic = handle.read(18)
    except OSError as error:
        raise AssemblyError(f"cannot read the file: {error.strerror}", file=path) from error
    if magic.startswith(b"\x1f\x8b"):
        if magic[3:4] == b"\x04" and magic[12:14] == b"BC":
            _require_bgzf_end(source, path)
        return cast(IO[bytes], gzip.open(source, "rb"))
    if magic.startswith(b"BZh"):
        return bz2.open(source, "rb")
    if magic.startswith(b"\xfd7zXZ\0"):
        return lzma.open(source, "rb")
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        raise AssemblyError("zstd compression is not supported", file=path, hint="Unpack it with zstd -d first")
    if magic.startswith(b"PK\x03\x04"):
        raise AssemblyError("zip archives are not supported", file=path, hint="Unpack it with unzip first")
    return source.open("rb")


def _require_bgzf_end(source: Path, path: Path) -> None:
    with source.open("rb") as handle:
        handle.seek(0, 2)
        handle.seek(max(0, handle.tell() - len(BGZF_END)))
        if handle.read() != BGZF_END:
            raise AssemblyError(
                "the bgzip file has no end block: it was cut short", file=path, hint="Copy or download it again"
            )


def _first_few(names: list[str], limit: int = 20) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
