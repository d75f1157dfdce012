"""Decoding one piece of a contig: the best path as segments, and what posteriors of its segments need.

Blocks of rows are made on the fly, ahead of the kernels by other threads. Segments that no live path uses are thrown
away when their store is full, so that it stays small as well: competing paths merge within a few genes. The second pass
goes back over the blocks, from checkpoints of the first. These are all that grows with the contig, besides the segments
of its best path: one of about 70 kB (with the default min_intron) for each block of 2^18 bases.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from segnt_tools.compilation import compiled
from segnt_tools.genes.kernels import (
    BOUNDARY,
    HEAD,
    NEVER,
    PARENT,
    STATE,
    TAIL,
    Forward,
    Nodes,
    Rows,
    _survives,
    best_rows,
    new_backward,
    new_forward,
)
from segnt_tools.genes.states import Kind, StateMachine, Tables
from segnt_tools.genes.sums import backward_rows, forward_rows

BLOCK_BASES = 1 << 18
FIRST_NODES = 1 << 16
# More nodes than one boundary can make: every state's, twice over.
NODE_RESERVE = 256

Result = TypeVar("Result")
RowsOf = Callable[[int, int], Rows]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a path in one state.

    Attributes:
        state: number of the state.
        start, end: bases, 0-based half-open; only intergenic segments can be empty.
        score: score of the best path on entering, relative to the sums of emissions (see kernels.py).
        cut_left, cut_right: the path begins or ends in it, at an end of the piece.
    """

    state: int
    start: int
    end: int
    score: float
    cut_left: bool = False
    cut_right: bool = False


@dataclass(frozen=True, slots=True)
class SegmentSums:
    """Log masses around a segment [start, end) in a state; one of paths plus one of continuations is a log posterior.

    Attributes:
        entered: share of all paths that enter the state at `start`.
        left: continuations that leave it at `end`.
        present_end: share of all paths in the state just left of `end`, wherever they entered it.
        present_begin: continuations from the state one base after `start`, wherever they leave it.
        middle: log posterior of being in the state in the middle of the segment.
    """

    entered: float
    left: float
    present_end: float
    present_begin: float
    middle: float


@dataclass(frozen=True, slots=True)
class Decoded:
    """The best path of a piece.

    Attributes:
        segments: its segments from left to right.
        score: its score.
    """

    segments: tuple[Segment, ...]
    score: float


class BlockMakers:
    """Threads that make blocks of rows ahead of the kernels, for all decoders that run at once.

    Memory is bounded whatever the number of decoders: besides the block that it uses or waits for, each has only those
    for which it finds a place among `ahead`, and takes no more places than its share of them. Nobody waits for a place,
    so that no decoder can hold up another.

    Args:
        executor: makes the blocks.
        ahead: blocks made ahead, of all decoders together.
    """

    def __init__(self, executor: Executor, ahead: int) -> None:
        self._executor = executor
        self._places = self._free = ahead
        self._decoders = 0
        self._counting = Lock()

    def made(self, rows_of: RowsOf, blocks: Iterable[tuple[int, int]]) -> Iterator[Rows]:
        """Rows of blocks in their order; who lets go of each before asking for the next keeps to the bound."""
        coming = deque(blocks)
        waiting: deque[Future[Rows]] = deque()
        self._count(decoders=1)
        try:
            while coming or waiting:
                if waiting:
                    needed = waiting.popleft()
                    self._count(free=1)
                else:
                    needed = self._executor.submit(rows_of, *coming.popleft())
                while coming and self._takes_place(len(waiting)):
                    waiting.append(self._executor.submit(rows_of, *coming.popleft()))
                yield needed.result()
                del needed  # and the block with it
        finally:
            for future in waiting:  # whoever ends early wants none of them
                future.cancel()
            self._count(free=len(waiting), decoders=-1)

    def _count(self, free: int = 0, decoders: int = 0) -> None:
        with self._counting:
            self._free += free
            self._decoders += decoders

    def _takes_place(self, taken: int) -> bool:
        """Take a place for a decoder that has so many, if one is free and the decoder's share is larger."""
        with self._counting:
            if not self._free or taken >= -(-self._places // self._decoders):
                return False
            self._free -= 1
            return True


class PieceDecoder:
    """Decodes bases first to last of a contig.

    Args:
        machine: the gene machine.
        rows_of: makes the rows for boundaries start to end (with the last boundary when end is the piece's last).
        first, last: the piece.
        makers: make blocks ahead; None to make each when it is needed.
        block_bases: boundaries of a block.
    """

    def __init__(
        self,
        machine: StateMachine,
        rows_of: RowsOf,
        first: int,
        last: int,
        makers: BlockMakers | None = None,
        block_bases: int = BLOCK_BASES,
    ) -> None:
        self._machine = machine
        self._tables = machine.tables
        self._parameters = machine.parameters
        self._rows_of = rows_of
        self._first = first
        self._last = last
        self._makers = makers
        self._factor = 1.0 / self._parameters.score_temperature
        self._scaled = self._tables.scaled(self._factor)
        starts = range(first, max(last, first + 1), block_bases)
        self._blocks = [(start, min(start + block_bases, last)) for start in starts]
        self._checkpoints: list[Forward] = []
        self._end: Forward | None = None

    def best(self) -> Decoded:
        """The best path. Also leaves checkpoints of the sums, for `sums`."""
        p = self._parameters
        best = new_forward(self._tables, p.min_intron, p.min_cds_exon, self._first)
        total = new_forward(self._scaled, p.min_intron, p.min_cds_exon, self._first)
        nodes = _new_nodes(FIRST_NODES)
        self._checkpoints = []
        for rows in self._made(self._blocks):
            self._checkpoints.append(total.copy())
            row = 0
            while (row := best_rows(self._tables, rows, row, best, nodes, NODE_RESERVE)) < rows.mask.size:
                nodes = _with_room(nodes, best)
            self._sum_forward(rows, total)
            del rows  # before the next block is waited for
        self._end = total
        return self._traced(best, nodes)

    def sums(self, segments: Sequence[Segment]) -> list[SegmentSums]:
        """Sums for segments of the best path, in their order, after `best`."""
        if self._end is None:
            raise RuntimeError("sums need the best path first")
        p = self._parameters
        total = _total(self._scaled, self._end)
        needed = _Needed(segments, self._tables.region.size)
        last_sums = self._end.sums
        backward = new_backward(self._scaled, p.min_intron, p.min_cds_exon, self._end.sums)
        number = len(self._blocks)
        for rows in self._made(reversed(self._blocks)):  # not in zip or enumerate, which hold on to the last block
            number -= 1
            start, end = rows.start, rows.start + rows.mask.size
            queries = needed.boundaries_within(start, end)
            notes = [np.full((queries.size, self._tables.region.size), NEVER) for _ in range(4)]
            forward = self._checkpoints[number].copy()
            if queries.size:
                self._sum_forward(rows, forward, queries, notes[0], notes[1])
            backward.sums[:] = self._sums_at(number + 1)
            backward_rows(self._scaled, self._scaled_rows(rows), backward, queries, notes[2], notes[3])
            needed.note(queries, *notes)
            del rows
        return needed.results(total, self._scaled.begin, self._scaled.end + last_sums[self._tables.region])

    def log_total(self) -> float:
        """Log of the summed weights of all paths (at the score temperature), after `best`."""
        if self._end is None:
            raise RuntimeError("the total needs the best path first")
        return _total(self._scaled, self._end)

    @property
    def factor(self) -> float:
        """What path scores are multiplied by before they are compared with sums: the inverse temperature."""
        return self._factor

    def _sums_at(self, number: int) -> NDArray[np.float64]:
        """Sums of emissions at the beginning of a block, or at the piece's end."""
        assert self._end is not None
        return self._checkpoints[number].sums if number < len(self._checkpoints) else self._end.sums

    def _sum_forward(
        self,
        rows: Rows,
        forward: Forward,
        queries: NDArray[np.int64] | None = None,
        present: NDArray[np.float64] | None = None,
        entered: NDArray[np.float64] | None = None,
    ) -> None:
        nothing = np.zeros((0, self._tables.region.size))
        forward_rows(
            self._scaled,
            self._scaled_rows(rows),
            forward,
            np.zeros(0, dtype=np.int64) if queries is None else queries,
            nothing if present is None else present,
            nothing if entered is None else entered,
        )

    def _scaled_rows(self, rows: Rows) -> Rows:
        if self._factor == 1.0:
            return rows
        factor = np.float32(self._factor)
        return rows._replace(region=rows.region * factor, sites=rows.sites * factor)

    def _made(self, blocks: Iterable[tuple[int, int]]) -> Iterator[Rows]:
        """Rows of blocks, made ahead where somebody makes them."""
        if self._makers is None:
            return (self._rows_of(*block) for block in blocks)
        return self._makers.made(self._rows_of, blocks)

    def _traced(self, best: Forward, nodes: Nodes) -> Decoded:
        """Segments of the best path, from its end back."""
        tables = self._tables
        scores = best.score + best.sums[tables.region] + tables.end
        state = int(np.argmax(scores))
        chosen = (
            float(scores[state]),
            state,
            int(best.since[state]),
            int(best.parent[state]),
            float(best.score[state]),
        )
        chosen = max(chosen, *_cut_by_end(tables, best), chosen)
        score, state, since, parent, entry = chosen
        segments: list[Segment] = []
        end = self._last
        while True:
            segments.append(Segment(state, since, end, entry, cut_left=parent < 0, cut_right=not segments))
            if parent < 0:
                break
            end = since
            state, since = int(nodes.state[parent]), int(nodes.since[parent])
            entry, parent = float(nodes.score[parent]), int(nodes.parent[parent])
        return Decoded(tuple(reversed(segments)), score)


def _cut_by_end(tables: Tables, forward: Forward) -> Iterator[tuple[float, int, int, int, float]]:
    """Introns and coding parts that the end cuts before they reach their minimum length, as candidates of an end."""
    for entries, scores, ends, exons in (
        (forward.intron_entries, forward.intron_scores, forward.intron_ends, False),
        (forward.exon_entries, forward.exon_scores, forward.exon_ends, True),
    ):
        for number in range(int(ends[HEAD]), int(ends[TAIL])):
            slot = number & (scores.size - 1)
            if exons and not _survives(forward, slot):
                continue
            state, since, parent = (int(entries[slot, part]) for part in (STATE, BOUNDARY, PARENT))
            entry = float(scores[slot])
            yield entry + float(forward.sums[tables.region[state]] + tables.end[state]), state, since, parent, entry


def _total(tables: Tables, forward: Forward) -> float:
    """Log sum over all ends."""
    scores = forward.score + forward.sums[tables.region] + tables.end
    total = float(np.logaddexp.reduce(scores))
    for score, *_ in _cut_by_end(tables, forward):
        total = float(np.logaddexp(total, score))
    return total


def _new_nodes(capacity: int) -> Nodes:
    return Nodes(
        state=np.zeros(capacity, dtype=np.int32),
        since=np.zeros(capacity, dtype=np.int64),
        parent=np.zeros(capacity, dtype=np.int64),
        score=np.zeros(capacity),
        used=np.zeros(1, dtype=np.int64),
    )


def _with_room(nodes: Nodes, forward: Forward) -> Nodes:
    """The nodes that live paths use, in a store at most half full."""
    kept = _compact(nodes, forward, np.zeros(int(nodes.used[0]), dtype=np.int64))
    nodes.used[0] = kept
    if 2 * kept + 2 * NODE_RESERVE < nodes.state.size:
        return nodes
    larger = _new_nodes(2 * nodes.state.size)
    larger.state[:kept], larger.since[:kept] = nodes.state[:kept], nodes.since[:kept]
    larger.parent[:kept], larger.score[:kept] = nodes.parent[:kept], nodes.score[:kept]
    larger.used[0] = kept
    return larger


@compiled
def _compact(nodes: Nodes, forward: Forward, number: NDArray[np.int64]) -> int:
    """Move nodes that any live path uses to the front, in order, and renumber all references; `number`: zeros."""
    count = nodes.used[0]
    for state in range(forward.score.size):
        if forward.score[state] > NEVER:
            if forward.node[state] >= 0:
                number[forward.node[state]] = 1
            if forward.parent[state] >= 0:
                number[forward.parent[state]] = 1
    for slot in range(forward.intron_ends[HEAD], forward.intron_ends[TAIL]):
        number[forward.intron_entries[slot & (forward.intron_scores.size - 1), PARENT]] = 1
    for slot in range(forward.exon_ends[HEAD], forward.exon_ends[TAIL]):
        number[forward.exon_entries[slot & (forward.exon_scores.size - 1), PARENT]] = 1
    for node in range(count - 1, -1, -1):  # parents are older than their children
        if number[node] and nodes.parent[node] >= 0:
            number[nodes.parent[node]] = 1
    kept = 0
    for node in range(count):
        if not number[node]:
            continue
        nodes.state[kept] = nodes.state[node]
        nodes.since[kept] = nodes.since[node]
        nodes.score[kept] = nodes.score[node]
        parent = nodes.parent[node]
        nodes.parent[kept] = number[parent] if parent >= 0 else -1
        number[node] = kept
        kept += 1
    for state in range(forward.score.size):
        if forward.score[state] > NEVER:
            if forward.node[state] >= 0:
                forward.node[state] = number[forward.node[state]]
            if forward.parent[state] >= 0:
                forward.parent[state] = number[forward.parent[state]]
        else:
            forward.node[state] = -1
            forward.parent[state] = -1
    for slot in range(forward.intron_ends[HEAD], forward.intron_ends[TAIL]):
        entry = forward.intron_entries[slot & (forward.intron_scores.size - 1)]
        entry[PARENT] = number[entry[PARENT]]
    for slot in range(forward.exon_ends[HEAD], forward.exon_ends[TAIL]):
        entry = forward.exon_entries[slot & (forward.exon_scores.size - 1)]
        entry[PARENT] = number[entry[PARENT]]
    return kept


class _Needed:
    """Collects, block by block, the few numbers that the posteriors of segments need."""

    def __init__(self, segments: Sequence[Segment], states: int) -> None:
        self._state = np.array([segment.state for segment in segments], dtype=np.int64)
        starts = np.array([segment.start for segment in segments], dtype=np.int64)
        ends = np.array([segment.end for segment in segments], dtype=np.int64)
        self._cut_left = np.array([segment.cut_left for segment in segments], dtype=np.bool_)
        self._cut_right = np.array([segment.cut_right for segment in segments], dtype=np.bool_)
        # What is read (0 present before, 1 entered, 2 present after, 3 left) and where.
        self._wanted = (
            (1, starts),
            (3, ends),
            (0, ends),
            (2, starts + 1),
            (0, (starts + ends) // 2),
            (2, (starts + ends) // 2),
        )
        self._values = np.full((len(self._wanted), len(segments)), NEVER)
        places = [boundaries for _, boundaries in self._wanted]
        self._boundaries = np.unique(np.concatenate(places)) if segments else np.zeros(0, dtype=np.int64)

    def boundaries_within(self, start: int, end: int) -> NDArray[np.int64]:
        """Boundaries to note, from start to before end."""
        low, high = np.searchsorted(self._boundaries, (start, end))
        return self._boundaries[low:high]

    def note(self, queries: NDArray[np.int64], *notes: NDArray[np.float64]) -> None:
        """Take what the passes noted at boundaries of a block."""
        if not queries.size:
            return
        for row, (kind, boundaries) in enumerate(self._wanted):
            place = np.searchsorted(queries, boundaries)
            place[place == queries.size] = 0
            here = queries[place] == boundaries
            self._values[row, here] = notes[kind][place[here], self._state[here]]

    def results(self, total: float, begin: NDArray[np.float64], end: NDArray[np.float64]) -> list[SegmentSums]:
        """All segments' numbers; those the piece's ends cut are entered and left there and nowhere else."""
        entered, left, present_end, present_begin, before, after = self._values
        entered = np.where(self._cut_left, begin[self._state], entered)
        left = np.where(self._cut_right, end[self._state], left)
        return [
            SegmentSums(*(float(value) for value in values))
            for values in zip(
                entered - total, left, present_end - total, present_begin, before + after - total, strict=True
            )
        ]


def is_exonic(kind: Kind) -> bool:
    """Whether a state's bases lie in an exon."""
    return kind in (Kind.LEFT_UTR, Kind.RIGHT_UTR, Kind.CDS, Kind.NC_EXON)
