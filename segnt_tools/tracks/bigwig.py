"""Writing bigWig files in a time that does not depend on the number of contigs.

Libraries were tried first: libBigWig (pyBigWig) finds every contig by comparing names from the first on, which takes
minutes a track on 100,000 contigs; bigtools needs half a millisecond a contig. The format is small and fixed, so that
it is written here, with arrays instead of loops over entries; the tests read the files with pyBigWig.

Format: W. J. Kent et al., BigWig and BigBed, Bioinformatics 26:2204 (2010), supplement. A file holds a header, a
summary of all values, a tree of contig names, blocks of entries (start, end, value) with an R tree over them, and some
zoom levels (number, least, greatest, sum and sum of squares of the values in bins of equal width), each with an R tree.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from segnt_tools.tracks.deflate import packed

_MAGIC, _CONTIG_TREE_MAGIC, _INDEX_MAGIC = 0x888FFC26, 0x78CA8C91, 0x2468ACE0
_VERSION = 4
_HEADER = struct.Struct("<IHHQQQHHQQIQ")
_ZOOM_HEADER = struct.Struct("<IIQQ")
_SUMMARY = struct.Struct("<Qdddd")
_BLOCK_HEADER = struct.Struct("<IIIIIBBH")
_BEDGRAPH = 1  # type of a block: entries with start, end and value

_ENTRIES_A_BLOCK = 2048
_ENTRIES_AT_ONCE = 64 * _ENTRIES_A_BLOCK
_BINS_A_BLOCK = 512
_CHILDREN_A_NODE = 256
_MOST_ZOOM_LEVELS = 10
_ZOOM_FACTOR = 4
_FEWEST_BINS = 256  # on the longest contig; but browsers want at least one level
# The finest bins hold about so many entries, within limits that do not depend on what the first entries happen to be.
_ENTRIES_A_BIN = 16
_FINEST_BIN, _COARSEST_FIRST_BIN = 16, 2048
_IN_MEMORY = 1 << 22

_ENTRY = np.dtype([("start", "<u4"), ("end", "<u4"), ("value", "<f4")])
_BIN = np.dtype(
    [
        *((name, "<u4") for name in ("contig", "start", "end", "count")),
        *((name, "<f4") for name in ("least", "greatest", "sum", "squares")),
    ]
)
_PLACE = [(name, "<u4") for name in ("contig", "start", "last_contig", "end")]
_INDEXED = np.dtype([*_PLACE, ("offset", "<u8"), ("size", "<u8")])
_INDEX_NODE = np.dtype([*_PLACE, ("child", "<u8")])

Records = NDArray[Any]


class BigWigWriter:
    """Writes one file: entries of ascending contigs and positions, batch by batch; complete when closed.

    The same entries give the same bytes, in whatever batches they come.

    Args:
        handle: an empty file, opened for writing bytes at any place.
        contigs: name and length of every contig; entries name them by their number in this list.
    """

    def __init__(self, handle: IO[bytes], contigs: Sequence[tuple[str, int]]) -> None:
        self._handle = handle
        self._longest = max((length for _, length in contigs), default=0)
        self._waiting: list[tuple[NDArray[np.int64], Records]] = []
        self._waiting_entries = 0
        self._index: list[Records] = []
        self._levels: list[_ZoomLevel] | None = None
        self._covered, self._sum, self._squares = 0, 0.0, 0.0
        self._least, self._greatest = np.inf, -np.inf
        self._summary_offset = _HEADER.size + _MOST_ZOOM_LEVELS * _ZOOM_HEADER.size
        self._contigs_offset = self._summary_offset + _SUMMARY.size
        handle.write(bytes(self._contigs_offset))
        handle.write(_contig_tree(contigs, self._contigs_offset))
        self._data_offset = handle.tell()
        handle.write(bytes(8))

    def write(
        self,
        contigs: NDArray[np.int64],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        values: NDArray[np.floating[Any]],
    ) -> None:
        """Append entries: number of the contig, start, end (0-based half-open) and finite value of each."""
        if not starts.size:
            return
        entries = np.empty(starts.size, dtype=_ENTRY)
        entries["start"], entries["end"], entries["value"] = starts, ends, values
        self._waiting.append((contigs, entries))
        self._waiting_entries += starts.size
        if self._waiting_entries >= _ENTRIES_AT_ONCE:
            self._work_off(self._waiting_entries - self._waiting_entries % _ENTRIES_AT_ONCE)

    def _work_off(self, count: int) -> None:
        """Write the first so many waiting entries, in portions that do not depend on how they came."""
        if not self._waiting:
            return
        contigs, entries = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        for first in range(0, count, _ENTRIES_AT_ONCE):
            part = slice(first, min(first + _ENTRIES_AT_ONCE, count))
            self._write_portion(contigs[part], entries[part])
        # Copies: a view would keep all of it.
        self._waiting = [(contigs[count:].copy(), entries[count:].copy())]
        self._waiting_entries -= count

    def _write_portion(self, contigs: NDArray[np.int64], entries: Records) -> None:
        starts, ends = entries["start"].astype(np.int64), entries["end"].astype(np.int64)
        self._summarise(ends - starts, entries["value"].astype(np.float64))
        self._write_blocks(contigs, entries)
        if self._levels is None:
            finest = _ENTRIES_A_BIN * int((ends - starts).mean())
            self._levels = _zoom_levels(min(max(finest, _FINEST_BIN), _COARSEST_FIRST_BIN), self._longest)
        if self._levels:
            self._levels[0].add(_split_at_bins(contigs, starts, ends, entries["value"], self._levels[0].width))

    def _summarise(self, sizes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        self._covered += int(sizes.sum())
        # No products of matrices: their last digits change with the number of threads.
        self._sum += float((sizes * values).sum())
        self._squares += float((sizes * values**2).sum())
        self._least, self._greatest = min(self._least, values.min()), max(self._greatest, values.max())

    def _write_blocks(self, contigs: NDArray[np.int64], entries: Records) -> None:
        """Compressed blocks of one contig each."""
        firsts, lasts = _blocks(contigs, _ENTRIES_A_BLOCK)
        index = np.empty(firsts.size, dtype=_INDEXED)
        index["contig"] = index["last_contig"] = contigs[firsts]
        index["start"], index["end"] = entries["start"][firsts], entries["end"][lasts - 1]
        raw = memoryview(entries.tobytes())
        compressed = []
        rows = zip(
            firsts.tolist(), lasts.tolist(), *(index[n].tolist() for n in ("contig", "start", "end")), strict=True
        )
        for first, last, contig, start, end in rows:
            header = _BLOCK_HEADER.pack(contig, start, end, 0, 0, _BEDGRAPH, 0, last - first)
            content = raw[first * _ENTRY.itemsize : last * _ENTRY.itemsize]
            compressed.append(packed(header + content))
        index["size"] = [len(block) for block in compressed]
        index["offset"] = self._handle.tell() + np.cumsum(index["size"]) - index["size"]
        self._handle.write(b"".join(compressed))
        self._index.append(index)

    def close(self) -> None:
        """Write the indices, the zoom levels and the header."""
        self._work_off(self._waiting_entries)
        handle = self._handle
        index = np.concatenate(self._index) if self._index else np.empty(0, dtype=_INDEXED)
        index_offset = handle.tell()
        handle.write(_index_tree(index, index_offset, _ENTRIES_A_BLOCK))
        levels = self._levels or []
        for level in levels:  # from fine to coarse: each hands its last bin on
            level.finish()
        zooms = b"".join(level.write(handle) for level in levels)
        header = _HEADER.pack(
            *(_MAGIC, _VERSION, len(levels), self._contigs_offset, self._data_offset, index_offset),
            *(0, 0, 0, self._summary_offset, _ENTRIES_A_BLOCK * _ENTRY.itemsize + _BLOCK_HEADER.size, 0),
        )
        known = bool(self._covered)
        least, greatest = (float(self._least), float(self._greatest)) if known else (0.0, 0.0)
        handle.seek(0)
        handle.write(header + zooms)
        handle.seek(self._summary_offset)
        handle.write(_SUMMARY.pack(self._covered, least, greatest, self._sum, self._squares))
        handle.seek(self._data_offset)
        handle.write(struct.pack("<Q", len(index)))
        handle.seek(0, 2)

    def __enter__(self) -> BigWigWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self.close()


class _ZoomLevel:
    """Bins of one width; complete ones go to a temporary file and to the next coarser level."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.coarser: _ZoomLevel | None = None
        self._open = np.empty(0, dtype=_BIN)  # the bin that may still grow
        self._unwritten = np.empty(0, dtype=_BIN)
        self._index: list[Records] = []
        self._bins = 0
        self._packed = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 (lives as long as self)

    def add(self, parts: Records) -> None:
        """Take ascending bins of a finer level, or parts of entries, none of them across a border of this level."""
        bins = _merged(np.concatenate([self._open, parts]), self.width)
        self._open = bins[-1:]
        self._take(bins[:-1])

    def finish(self) -> None:
        """Nothing more will come."""
        self._take(self._open)
        self._open = np.empty(0, dtype=_BIN)
        self._write_blocks(self._unwritten)

    def _take(self, bins: Records) -> None:
        if not bins.size:
            return
        self._bins += bins.size
        if self.coarser is not None:
            self.coarser.add(bins)
        bins = np.concatenate([self._unwritten, bins])
        whole = bins.size - bins.size % _BINS_A_BLOCK
        self._write_blocks(bins[:whole])
        self._unwritten = bins[whole:]

    def _write_blocks(self, bins: Records) -> None:
        index = np.empty(-(-bins.size // _BINS_A_BLOCK), dtype=_INDEXED)
        for number in range(index.size):
            block = bins[number * _BINS_A_BLOCK : (number + 1) * _BINS_A_BLOCK]
            compressed = packed(block.tobytes())
            first, last = block[0], block[-1]
            place = (first["contig"], first["start"], last["contig"], last["end"])
            index[number] = (*place, self._packed.tell(), len(compressed))
            self._packed.write(compressed)
        self._index.append(index)

    def write(self, handle: IO[bytes]) -> bytes:
        """Append the level to the file; returns its entry in the file's header."""
        data_offset = handle.tell()
        handle.write(struct.pack("<I", self._bins))
        index = np.concatenate(self._index)
        index["offset"] += np.uint64(handle.tell())
        self._packed.seek(0)
        while content := self._packed.read(_IN_MEMORY):
            handle.write(content)
        self._packed.close()
        index_offset = handle.tell()
        handle.write(_index_tree(index, index_offset, _BINS_A_BLOCK))
        return _ZOOM_HEADER.pack(self.width, 0, data_offset, index_offset)


def _zoom_levels(finest: int, longest: int) -> list[_ZoomLevel]:
    """Levels from fine to coarse."""
    levels: list[_ZoomLevel] = []
    width = finest
    while not levels or (width * _FEWEST_BINS <= longest and len(levels) < _MOST_ZOOM_LEVELS):
        levels.append(_ZoomLevel(width))
        if len(levels) > 1:
            levels[-2].coarser = levels[-1]
        width *= _ZOOM_FACTOR
    return levels


def _blocks(contigs: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and end of blocks of at most so many entries of one contig."""
    run_starts = np.concatenate(([0], np.flatnonzero(contigs[1:] != contigs[:-1]) + 1))
    run_ends = np.append(run_starts[1:], contigs.size)
    counts = -(-(run_ends - run_starts) // most)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    firsts = np.repeat(run_starts, counts) + number * most
    return firsts, np.minimum(firsts + most, np.repeat(run_ends, counts))


def _split_at_bins(
    contigs: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    values: NDArray[np.floating[Any]],
    width: int,
) -> Records:
    """Entries as bins that hold one value each and do not cross a multiple of the width."""
    first = starts // width
    counts = (ends - 1) // width - first + 1
    entry = np.repeat(np.arange(starts.size), counts)
    number = first[entry] + np.arange(entry.size) - np.repeat(np.cumsum(counts) - counts, counts)
    parts = np.empty(entry.size, dtype=_BIN)
    parts["contig"] = contigs[entry]
    parts["start"] = np.maximum(starts[entry], number * width)
    parts["end"] = np.minimum(ends[entry], (number + 1) * width)
    parts["count"] = parts["end"] - parts["start"]
    value = values.astype(np.float32)[entry]
    parts["least"] = parts["greatest"] = value
    parts["sum"] = value * parts["count"]
    parts["squares"] = value**2 * parts["count"]
    return parts


def _merged(parts: Records, width: int) -> Records:
    """Parts that lie in one bin of the width, as one."""
    number = parts["start"] // np.uint32(width)
    changed = (number[1:] != number[:-1]) | (parts["contig"][1:] != parts["contig"][:-1])
    firsts = np.concatenate(([0], np.flatnonzero(changed) + 1))
    bins = np.empty(firsts.size, dtype=_BIN)
    bins["contig"], bins["start"] = parts["contig"][firsts], parts["start"][firsts]
    bins["end"] = parts["end"][np.append(firsts[1:], parts.size) - 1]
    bins["count"] = np.add.reduceat(parts["count"], firsts)
    bins["least"] = np.minimum.reduceat(parts["least"], firsts)
    bins["greatest"] = np.maximum.reduceat(parts["greatest"], firsts)
    for name in ("sum", "squares"):
        bins[name] = np.add.reduceat(parts[name], firsts, dtype=np.float64)
    return bins


def _contig_tree(contigs: Sequence[tuple[str, int]], offset: int) -> bytes:
    """The tree of contig names, sorted by bytes as readers expect, each with number and length."""
    names = [name.encode() for name, _ in contigs]
    key = f"S{max(map(len, names))}"
    leaves = np.empty(len(names), dtype=[("key", key), ("number", "<u4"), ("length", "<u4")])
    leaves["key"], leaves["number"], leaves["length"] = names, np.arange(len(names)), [length for _, length in contigs]
    leaves.sort(order="key")
    block = min(_CHILDREN_A_NODE, len(names))
    node = np.dtype([("key", key), ("child", "<u8")])

    def parents(children: Records) -> Records:
        rows = np.zeros(-(-children.size // block), dtype=node)
        rows["key"] = children["key"][::block]
        return rows

    header = struct.pack("<IIIIQQ", _CONTIG_TREE_MAGIC, block, leaves.dtype["key"].itemsize, 8, leaves.size, 0)
    return header + _tree(leaves, parents, block, offset + len(header))


def _index_tree(blocks: Records, offset: int, items: int) -> bytes:
    """The R tree over blocks in ascending order."""

    def parents(children: Records) -> Records:
        firsts = np.arange(0, children.size, _CHILDREN_A_NODE)
        lasts = np.minimum(firsts + _CHILDREN_A_NODE, children.size) - 1
        rows = np.zeros(firsts.size, dtype=_INDEX_NODE)
        for name in ("contig", "start"):
            rows[name] = children[name][firsts]
        for name in ("last_contig", "end"):
            rows[name] = children[name][lasts]
        return rows

    span: tuple[int, ...] = (0, 0, 0, 0)
    if blocks.size:
        span = tuple(int(blocks[row][name]) for row, name in zip((0, 0, -1, -1), _INDEXED.names or (), strict=False))
    header = struct.pack("<IIQIIIIQII", _INDEX_MAGIC, _CHILDREN_A_NODE, blocks.size, *span, offset, items, 0)
    return header + _tree(blocks, parents, _CHILDREN_A_NODE, offset + len(header))


def _tree(leaves: Records, parents: Callable[[Records], Records], block: int, offset: int) -> bytes:
    """Nodes of a tree from its root down, each padded to `block` children; `child` of inner nodes is set here."""
    levels = [leaves]
    while levels[0].size > block:
        levels.insert(0, parents(levels[0]))
    nodes = []
    for depth, level in enumerate(levels):
        count = max(1, -(-level.size // block))
        size = 4 + block * level.itemsize
        offset += count * size
        leaf = depth == len(levels) - 1
        if not leaf:
            child_size = 4 + block * levels[depth + 1].itemsize
            level["child"] = offset + np.arange(level.size) * child_size
        table = np.zeros((count, size), dtype=np.uint8)
        table[:, 0] = leaf
        held = np.minimum(block, level.size - np.arange(count) * block).astype("<u2")
        table[:, 2:4] = held.view(np.uint8).reshape(-1, 2)
        padded = np.zeros(count * block, dtype=level.dtype)
        padded[: level.size] = level
        table[:, 4:] = padded.view(np.uint8).reshape(count, -1)
        nodes.append(table.tobytes())
    return b"".join(nodes)
