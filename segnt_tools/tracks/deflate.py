"""Compression of tracks files and bigWig."""

from __future__ import annotations

import zlib

_LEVEL = 1


def packed(data: bytes) -> bytes:
    """A zlib stream of some bytes, always the same for the same bytes.

    ISA-L is several times faster, but what it makes depends, once in some thousands of blocks, on memory that it never
    wrote, in its streaming form as well: files of equal runs would differ.
    """
    return zlib.compress(data, _LEVEL)
