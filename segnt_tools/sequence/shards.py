"""Shards, the units of predicting, and groups, the units of calling: balanced in bases, a function of lengths alone."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from segnt_tools.errors import AssemblyError, UsageError
from segnt_tools.sequence.assembly import Described
from segnt_tools.sequence.stretches import Stretch, joined_by_contig

SHARDS_FILE = "shards.tsv"
REGIONS_FILE = "regions.bed"
# Contigs of at most this part of a shard count as short.
_SMALL_SHARE = 1 / 16
_COLUMNS = ("shard", "group", "contig", "start", "end")


@dataclass(frozen=True, slots=True)
class Shard:
    """What one predict job does.

    Attributes:
        number: 1-based.
        group: 1-based number of the calling group that holds all shards of its contigs.
        pieces: in the order of the assembly.
    """

    number: int
    group: int
    pieces: tuple[Stretch, ...]

    @property
    def bases(self) -> int:
        """Bases of all pieces."""
        return sum(piece.bases for piece in self.pieces)


def planned_pieces(shards: Iterable[Shard]) -> dict[str, tuple[Stretch, ...]]:
    """What all shards together hold of each contig: all of it, or the regions that the user asked for."""
    return joined_by_contig(piece for shard in shards for piece in shard.pieces)


def regions_table(regions: Mapping[str, tuple[Stretch, ...]]) -> str:
    """The regions that alone are to be annotated, as BED; of a contig ascending and apart."""
    return "".join(f"{p.contig}\t{p.start}\t{p.end}\n" for pieces in regions.values() for p in pieces)


def read_regions(folder: Path) -> dict[str, tuple[Stretch, ...]]:
    """The regions a preprocess folder was made for, by contig; empty where whole contigs are to be annotated.

    They stand in a file of their own, because a folder may be handed on with a shard table cut down to one shard.
    """
    path = folder / REGIONS_FILE
    if not path.exists():
        return {}
    by_contig: dict[str, list[Stretch]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        contig, start, end = line.split("\t")
        by_contig.setdefault(contig, []).append(Stretch(contig, int(start), int(end)))
    return {contig: tuple(pieces) for contig, pieces in by_contig.items()}


def plan_shards(
    contigs: Sequence[Described], count: int, regions: Mapping[str, tuple[Stretch, ...]] | None = None
) -> tuple[Shard, ...]:
    """Cut an assembly into `count` shards of nearly equal size.

    A contig longer than an even share is cut into pieces that have shards of their own; shorter contigs are packed
    whole. A shard holds either pieces of one contig or whole contigs, so that groups stay as small as can be.
    Fewer shards come out where there are fewer contigs and bases than shards. With regions all this speaks of what
    they hold of a contig.

    Args:
        contigs: the contigs to annotate, in the order of the assembly.
        count: wanted number of shards.
        regions: by contig, ascending and apart, what alone is to be annotated; contigs without any are left out.
    """
    if count < 1:
        raise UsageError(f"{count} shards make no sense", hint="Give at least 1")
    wanted: list[tuple[Stretch, ...]]
    if regions is None:
        wanted = [(Stretch(contig.name, 0, contig.length),) for contig in contigs]
    else:
        wanted = [regions[contig.name] for contig in contigs if contig.name in regions]
    if not wanted:
        return ()
    sizes = [_bases(pieces) for pieces in wanted]
    share = max(1, -(-sum(sizes) // count))
    long = [i for i, size in enumerate(sizes) if size > share]
    short = [i for i, size in enumerate(sizes) if size <= share]
    loads = [sizes[i] for i in long] + ([sum(sizes[i] for i in short)] if short else [])
    parts = _share_out(loads, count)
    batches = [_cut(wanted[i], n) for i, n in zip(long, parts, strict=False)]
    batches += [[pieces] for pieces in _pack([wanted[i] for i in short], parts[-1])] if short else []
    position = {pieces[0].contig: i for i, pieces in enumerate(wanted)}
    batches.sort(key=lambda batch: position[batch[0][0].contig])
    shards: list[Shard] = []
    for group, batch in enumerate(batches, start=1):
        for pieces in batch:
            shards.append(Shard(len(shards) + 1, group, pieces))
    return tuple(shards)


def _bases(pieces: Sequence[Stretch]) -> int:
    if len(pieces) == 1:  # mostly
        return pieces[0].end - pieces[0].start
    return sum(piece.end - piece.start for piece in pieces)


def _share_out(sizes: list[int], count: int) -> list[int]:
    """How many shards each of these gets, so that the largest shard is as small as can be; at least one each."""
    parts = [1] * len(sizes)
    heap = [(-size, i) for i, size in enumerate(sizes)]
    heapq.heapify(heap)
    for _ in range(count - len(sizes)):
        _, i = heapq.heappop(heap)
        parts[i] = min(parts[i] + 1, sizes[i])
        heapq.heappush(heap, (-(sizes[i] // parts[i]), i))
    return parts


def _cut(pieces: Sequence[Stretch], parts: int) -> list[tuple[Stretch, ...]]:
    """The pieces of a contig in parts of equal size."""
    total = _bases(pieces)
    borders = [total * i // parts for i in range(parts + 1)]
    return [tuple(_between(pieces, low, high)) for low, high in pairwise(borders)]


def _between(pieces: Sequence[Stretch], low: int, high: int) -> Iterator[Stretch]:
    """What lies between two bases, counted along the pieces as if they followed one another."""
    passed = 0
    for piece in pieces:
        shift = piece.start - passed
        passed += piece.bases
        start, end = max(piece.start, low + shift), min(piece.end, high + shift)
        if start < end:
            yield Stretch(piece.contig, start, end)


def _pack(contigs: Sequence[tuple[Stretch, ...]], bins: int) -> list[tuple[Stretch, ...]]:
    """Whole contigs (or all their regions) into bins of nearly equal size.

    The longer ones go, the longest first, into the emptiest bin; the short ones fill the bins up in their order, so
    that neighbours mostly lie in one tracks file, where thousands of them are read at once.
    """
    sizes = [_bases(pieces) for pieces in contigs]
    bins = min(bins, len(contigs))
    even = sum(sizes) / bins
    large = {i for i, size in enumerate(sizes) if size > _SMALL_SHARE * even}
    filled = [(0, i) for i in range(bins)]
    chosen: list[list[int]] = [[] for _ in range(bins)]
    for i in sorted(large, key=lambda i: (-sizes[i], i)):
        load, target = heapq.heappop(filled)
        chosen[target].append(i)
        heapq.heappush(filled, (load + sizes[i], target))
    loads = [load for load, _ in sorted(filled, key=lambda pair: pair[1])]
    level = _level(loads, sum(size for i, size in enumerate(sizes) if i not in large))
    target, poured = 0, 0
    full = max(0.0, level - loads[0])  # poured bases at which the bins up to the target are full
    for i, size in enumerate(sizes):
        if i in large:
            continue
        while target < bins - 1 and poured + size / 2 > full:
            target += 1
            full += max(0.0, level - loads[target])
        chosen[target].append(i)
        poured += size
    packed = [sorted(members) for members in chosen if members]
    return [
        tuple(piece for i in members for piece in contigs[i])
        for members in sorted(packed, key=lambda members: members[0])
    ]


def _level(loads: list[int], poured: int) -> float:
    """How high bins of these loads are filled when so many bases are poured over them."""
    total = poured
    ascending = sorted(loads)
    for count, load in enumerate(ascending, start=1):
        total += load
        if count == len(ascending) or total / count <= ascending[count]:
            return total / count
    return 0.0


def shards_table(shards: Sequence[Shard]) -> str:
    """The shard table as tab-separated text; coordinates as in BED."""
    lines = ["#" + "\t".join(_COLUMNS)]
    for shard in shards:
        lines += [f"{shard.number}\t{shard.group}\t{p.contig}\t{p.start}\t{p.end}" for p in shard.pieces]
    return "\n".join(lines) + "\n"


def read_shards(folder: Path) -> tuple[Shard, ...]:
    """The shards of a preprocess folder.

    Raises:
        AssemblyError: the table is missing or damaged.
    """
    table = folder / SHARDS_FILE
    pieces: dict[int, list[Stretch]] = {}
    groups: dict[int, int] = {}
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
        if lines[0] != "#" + "\t".join(_COLUMNS):
            raise ValueError("unexpected header")
        for line in lines[1:]:
            number, group, contig, start, end = line.split("\t")
            pieces.setdefault(int(number), []).append(Stretch(contig, int(start), int(end)))
            groups[int(number)] = int(group)
    except (OSError, ValueError, IndexError) as error:
        raise AssemblyError(
            f"cannot read the shard table ({error})", file=table, hint="Run segnt preprocess into a new folder"
        ) from error
    return tuple(Shard(number, groups[number], tuple(pieces[number])) for number in sorted(pieces))
