"""Compression of tracks files and bigWig: ISA-L packs as small as zlib and several times faster."""

from __future__ import annotations

from isal import isal_zlib

_LEVEL = 1


def packed(data: bytes) -> bytes:
    """A zlib stream of some bytes, always the same for the same bytes.

    isal_zlib.compress is not that: what it makes of small inputs depends, once in some thousands, on memory that it
    never wrote. Its streaming twin has no such fault.
    """
    packer = isal_zlib.compressobj(_LEVEL)
    return packer.compress(data) + packer.flush()
