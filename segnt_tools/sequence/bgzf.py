"""Writing bgzip files and their index, the same bytes for the same sequence."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import TextIO, cast

# The empty block that ends every complete BGZF file (SAM specification, section 4.1.2).
BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")

_BLOCK_BYTES = 0xFF00
_HEADER = bytes.fromhex("1f8b08040000000000ff060042430200")
_LEVEL = 1


class BgzfWriter:
    """Writes a bgzip file and its .gzi index.

    Format: SAM specification, section 4.1: gzip members of at most 64 kB whose extra field `BC` holds their size.
    """

    def __init__(self, path: Path) -> None:
        self._handle = path.open("wb")
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._blocks: list[tuple[int, int]] = []
        self._compressed = 0
        self._uncompressed = 0

    def write(self, text: bytes) -> None:
        """Append bytes."""
        self._pending.append(text)
        self._pending_bytes += len(text)
        if self._pending_bytes >= _BLOCK_BYTES:
            self._write_blocks(self._pending_bytes - self._pending_bytes % _BLOCK_BYTES)

    def _write_blocks(self, count: int) -> None:
        """Write the first so many pending bytes."""
        text = b"".join(self._pending)
        for start in range(0, count, _BLOCK_BYTES):
            self._write_block(text[start : min(start + _BLOCK_BYTES, count)])
        self._pending = [text[count:]]
        self._pending_bytes -= count

    def _write_block(self, text: bytes) -> None:
        # Not ISA-L, whose output depends on more than the input (tracks/deflate.py).
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
        packed = packer.compress(text) + packer.flush()
        size = len(_HEADER) + 2 + len(packed) + 8
        tail = struct.pack("<II", zlib.crc32(text), len(text))
        self._handle.write(_HEADER + struct.pack("<H", size - 1) + packed + tail)
        self._compressed += size
        self._uncompressed += len(text)
        self._blocks.append((self._compressed, self._uncompressed))

    def close(self) -> None:
        """Write what is left and the end block."""
        self._write_blocks(self._pending_bytes)
        self._handle.write(BGZF_END)
        self._handle.close()

    def gzi(self) -> bytes:
        """The .gzi index: number of blocks, then (compressed, uncompressed) offset of all but the first.

        Source of the format: bgzip(1), section GZI FORMAT.
        """
        starts = self._blocks[:-1]
        return struct.pack("<Q", len(starts)) + b"".join(struct.pack("<QQ", *pair) for pair in starts)


def open_output(path: Path) -> TextIO:
    """Open a text file to write; bgzipped if its name ends in .gz."""
    if path.suffix == ".gz":
        return cast(TextIO, _BgzippedText(BgzfWriter(path)))
    return path.open("w", encoding="utf-8", newline="\n")


class _BgzippedText(io.TextIOBase):
    """A bgzip file as a stream of text to write."""

    def __init__(self, writer: BgzfWriter) -> None:
        self._writer = writer

    def write(self, text: str, /) -> int:
        """Append text."""
        self._writer.write(text.encode("utf-8"))
        return len(text)

    def close(self) -> None:
        """Write what is left and the end block."""
        if not self.closed:
            self._writer.close()
        super().close()
