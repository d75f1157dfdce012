"""Random access to an assembly, from a preprocess folder or from any FASTA file."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

import numpy as np
import pysam

from segnt_tools.errors import AssemblyError
from segnt_tools.sequence.codes import Codes, N, decode, encode
from segnt_tools.sequence.fasta import read_blocks
from segnt_tools.sequence.intervals import EMPTY, Intervals, from_mask, union

ASSEMBLY_FILE = "assembly.fa.gz"
CONTIGS_FILE = "contigs.tsv"
_STRETCH = 1 << 24


@dataclass(frozen=True, slots=True)
class Contig:
    """A record of an assembly.

    Attributes:
        name: text of the header before the first blank.
        length: bases.
        md5: MD5 of the upper-case sequence after cleaning, as in SAM's M5 tag.
    """

    name: str
    length: int
    md5: str


class Described(Protocol):
    """What is like a contig: name, length and digest."""

    @property
    def name(self) -> str:
        """As Contig.name."""

    @property
    def length(self) -> int:
        """As Contig.length."""

    @property
    def md5(self) -> str:
        """As Contig.md5."""


def fingerprint(contigs: Sequence[Described]) -> str:
    """One digest for an assembly: equal for equal names, lengths, sequences and order."""
    digest = hashlib.sha256()
    for contig in contigs:
        digest.update(f"{contig.name}\t{contig.length}\t{contig.md5}\n".encode())
    return digest.hexdigest()


class Assembly(ABC):
    """The contigs of an assembly and their bases.

    Use `Assembly.open`; close it or use it in a `with` block. Safe to read from several threads.
    """

    def __init__(self, contigs: tuple[Contig, ...], path: Path) -> None:
        self.path = path
        self.contigs = contigs
        self.lengths = {contig.name: contig.length for contig in contigs}
        self.fingerprint = fingerprint(contigs)

    @classmethod
    def open(cls, path: Path | str) -> Assembly:
        """Open a preprocess folder or a FASTA file.

        A FASTA file is checked completely and unpacked into an unnamed temporary file of one byte a base.

        Raises:
            AssemblyError: it is neither, or is damaged.
        """
        path = Path(path)
        return _IndexedAssembly(path) if path.is_dir() else _UnpackedAssembly(path)

    def codes(self, contig: str, start: int = 0, end: int | None = None) -> Codes:
        """Base codes of contig[start:end], uint8, 0-based half-open.

        Raises:
            AssemblyError: no such contig, or the interval leaves it.
        """
        length = self.lengths.get(contig)
        if length is None:
            raise AssemblyError(f"the assembly has no contig {contig}", file=self.path)
        end = length if end is None else end
        if not 0 <= start <= end <= length:
            raise AssemblyError(f"{contig}:{start + 1}-{end} leaves the contig of {length} bases", file=self.path)
        return self._codes(contig, start, end)

    def sequence(self, contig: str, start: int = 0, end: int | None = None) -> str:
        """Upper-case sequence of contig[start:end]."""
        return decode(self.codes(contig, start, end))

    def gaps(self, contig: str) -> Intervals:
        """Runs of N of a contig, shape (runs, 2), 0-based half-open; a stretch at a time, whatever its length.

        Raises:
            AssemblyError: no such contig.
        """
        found = [EMPTY]
        for start in range(0, self.lengths.get(contig, 1), _STRETCH):
            end = min(start + _STRETCH, self.lengths.get(contig, 0))
            found.append(from_mask(self.codes(contig, start, end) == N, start))
        return union(np.concatenate(found))

    @abstractmethod
    def _codes(self, contig: str, start: int, end: int) -> Codes: ...

    @abstractmethod
    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Assembly:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class _IndexedAssembly(Assembly):
    """An assembly in a preprocess folder: bgzipped and indexed."""

    def __init__(self, folder: Path) -> None:
        fasta = folder / ASSEMBLY_FILE
        try:
            super().__init__(tuple(_contigs_of_table(folder / CONTIGS_FILE)), folder)
            self._fasta = pysam.FastaFile(str(fasta))
            # Seeking and reading are two steps on one file; two threads at once read garbage.
            self._reading = threading.Lock()
        except (OSError, ValueError) as error:
            raise AssemblyError(
                f"not a complete preprocess folder ({error})",
                file=folder,
                hint="Run segnt preprocess into a new folder",
            ) from error

    def _codes(self, contig: str, start: int, end: int) -> Codes:
        with self._reading:
            bases = self._fasta.fetch(contig, start, end)
        return encode(bases)

    def close(self) -> None:
        self._fasta.close()


class _UnpackedAssembly(Assembly):
    """An assembly read once from FASTA into a temporary file of base codes."""

    def __init__(self, fasta: Path) -> None:
        self._store: IO[bytes] = tempfile.TemporaryFile(prefix="segnt_assembly_")  # noqa: SIM115 (lives as long as self)
        self._offsets: dict[str, int] = {}
        try:
            super().__init__(tuple(self._unpack(fasta)), fasta)
            self._store.flush()
        except BaseException:
            self._store.close()
            raise
        self._memory: Codes = np.memmap(self._store, dtype=np.uint8, mode="r")

    def _unpack(self, fasta: Path) -> Iterator[Contig]:
        name, length, digest = "", 0, hashlib.md5(usedforsecurity=False)
        written = 0
        for block in read_blocks(fasta):
            if block.offset == 0:
                if name:
                    yield Contig(name, length, digest.hexdigest())
                name, length, digest = block.contig, 0, hashlib.md5(usedforsecurity=False)
                self._offsets[name] = written
            digest.update(block.sequence.upper())
            self._store.write(encode(block.sequence).data)
            length += len(block.sequence)
            written += len(block.sequence)
        yield Contig(name, length, digest.hexdigest())

    def _codes(self, contig: str, start: int, end: int) -> Codes:
        offset = self._offsets[contig]
        return np.array(self._memory[offset + start : offset + end])

    def close(self) -> None:
        self._memory = np.zeros(0, dtype=np.uint8)
        self._store.close()


def _contigs_of_table(table: Path) -> Iterator[Contig]:
    with table.open(encoding="utf-8") as handle:
        columns = handle.readline().rstrip("\n").lstrip("#").split("\t")
        name, length, md5 = (columns.index(column) for column in ("contig", "length", "md5"))
        for line in handle:
            fields = line.rstrip("\n").split("\t")
            yield Contig(fields[name], int(fields[length]), fields[md5])
