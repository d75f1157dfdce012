"""Exact decoding of the gene machine, compiled: best path, and sums over all paths in both directions.

Scores are kept relative to running sums of emissions: if V is the score of the best path that is in state s just left
of boundary i, then W = V - sum of the emissions of s's region over bases 0 .. i-1. Staying in a state leaves W
unchanged, so that only boundaries with sites cost work, and an intron or exon that must have a minimum length is
entered late by keeping its W in a queue. Backward values are relative likewise (plus the sum), so that forward +
backward is the log mass of all paths through a state at a boundary.

All kernels work block by block on rows: row r of a block stands for boundary start + r and for the base right of it.
The last block of a piece has one row more, for its last boundary, whose emissions are 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segnt_tools.compilation import compiled, inlined
from segnt_tools.genes.states import REFUSED_BIT, Site, Tables

OPEN_MAJOR = int(Site.OPEN_MAJOR)
CLOSE_MAJOR = int(Site.CLOSE_MAJOR)
ENTER = int(Site.ENTER)
LEAVE = int(Site.LEAVE)
SITES = len(Site)
REFUSED = REFUSED_BIT
SITE_BITS = (1 << REFUSED_BIT) - 1
STRAND_BITS = (1 << SITES) - 1
OPEN_BITS = 0b11 << OPEN_MAJOR
CLOSE_BITS = 0b11 << CLOSE_MAJOR
ENTER_BIT = 1 << ENTER
LEAVE_BIT = 1 << LEAVE
NEVER = -np.inf
# A queue entry's state, boundary and flags
STATE, BOUNDARY, PARENT, SKIPS_FIRST, STRAND, FRAME = range(6)
HEAD, TAIL = 0, 1
# exp(-NEGLIGIBLE) is below the resolution of a double next to 1
NEGLIGIBLE = 40.0
_LOG_SUM_STEPS = 64
NOT_DUE = 1 << 62
CODES_MARGIN = 3


class Rows(NamedTuple):
    """What the kernels read of a block.

    Attributes:
        start: boundary of the first row.
        region: (rows, regions) float32 score of each base in each region; lncRNA columns may be left out.
        sites: (rows, sites) float32 score of each site at the boundary; only read where the mask has its bit.
        mask: (rows,) uint32 bits of possible sites, and of refused codons that end at the boundary.
        codes: (rows + 6,) base codes, three more on each side; N outside the contig.
        first: boundary at which the piece begins.
        last: boundary at which the piece ends.
        min_intron, min_exon: shortest intron and coding part.
    """

    start: int
    region: NDArray[np.float32]
    sites: NDArray[np.float32]
    mask: NDArray[np.uint32]
    codes: NDArray[np.uint8]
    first: int
    last: int
    min_intron: int
    min_exon: int


class Forward(NamedTuple):
    """What a pass from left to right carries from block to block.

    Attributes:
        score: (S,) relative score of each state.
        sums: (regions,) sums of emissions so far.
        refused: (2, 3) last boundary at which a refused codon of the frame ended.
        intron_entries, exon_entries: queues (capacity, 6) int64 of late entries.
        intron_scores, exon_scores: their relative scores.
        intron_ends, exon_ends: head and tail of the queues.
        since: (S,) boundary at which the state's segment began (best path only).
        parent: (S,) node of the segment before.
        node: (S,) the segment's own node, or -1 while nothing needed it.
    """

    score: NDArray[np.float64]
    sums: NDArray[np.float64]
    refused: NDArray[np.int64]
    intron_entries: NDArray[np.int64]
    intron_scores: NDArray[np.float64]
    intron_ends: NDArray[np.int64]
    exon_entries: NDArray[np.int64]
    exon_scores: NDArray[np.float64]
    exon_ends: NDArray[np.int64]
    since: NDArray[np.int64]
    parent: NDArray[np.int64]
    node: NDArray[np.int64]

    def copy(self) -> Forward:
        """A copy that later blocks do not change."""
        return Forward._make(array.copy() for array in self)


class Nodes(NamedTuple):
    """Segments that paths consist of, each pointing to the one before.

    Attributes:
        state, since, parent: (capacity,) state, boundary at which it began, node before it (-1: none).
        score: (capacity,) relative score on entering.
        used: (1,) how many are in use.
    """

    state: NDArray[np.int32]
    since: NDArray[np.int64]
    parent: NDArray[np.int64]
    score: NDArray[np.float64]
    used: NDArray[np.int64]


class Backward(NamedTuple):
    """What the pass from right to left carries.

    Attributes:
        score: (S,) relative score of staying in each state to the right of the boundary.
        sums: (regions,) sums of emissions left of the boundary.
        history: (min_intron or min_exon + 1, S) relative scores at boundaries to the right, by boundary modulo.
        refused: (min_exon + 4, 2) whether a refused codon ends at a boundary to the right, likewise.
        end: (S,) relative score of the piece's end.
        left: (S,) scratch: ways out at a boundary, minus infinity between boundaries.
    """

    score: NDArray[np.float64]
    sums: NDArray[np.float64]
    history: NDArray[np.float64]
    refused: NDArray[np.bool_]
    end: NDArray[np.float64]
    left: NDArray[np.float64]


def new_forward(tables: Tables, min_intron: int, min_exon: int, first: int) -> Forward:
    """The state of a pass at the first boundary of a piece."""
    states, regions = tables.region.size, int(tables.region.max()) + 1
    introns, exons = _power_of_two(16 * (min_intron + 2)), _power_of_two(12 * (min_exon + 2))
    return Forward(
        score=tables.begin.copy(),
        sums=np.zeros(regions),
        refused=np.full((2, 3), first - 8),
        intron_entries=np.zeros((introns, 6), dtype=np.int64),
        intron_scores=np.zeros(introns),
        intron_ends=np.zeros(2, dtype=np.int64),
        exon_entries=np.zeros((exons, 6), dtype=np.int64),
        exon_scores=np.zeros(exons),
        exon_ends=np.zeros(2, dtype=np.int64),
        since=np.full(states, first),
        parent=np.full(states, -1),
        node=np.full(states, -1),
    )


def _power_of_two(least: int) -> int:
    """A capacity in which a number's place is found without a division."""
    return 1 << (least - 1).bit_length()


def new_backward(tables: Tables, min_intron: int, min_exon: int, sums: NDArray[np.float64]) -> Backward:
    """The state of a pass at the last boundary of a piece, whose sums of emissions are given."""
    end = tables.end + sums[tables.region]
    return Backward(
        score=end.copy(),
        sums=sums.copy(),
        history=np.tile(end, (max(min_intron, min_exon) + 1, 1)),
        refused=np.zeros((min_exon + 4, 2), dtype=np.bool_),
        end=end,
        left=np.full(end.size, NEVER),
    )


def _softplus_table() -> NDArray[np.float64]:
    """log(1 + exp(-d)) and its derivatives divided by factorials, at steps of d."""
    d = np.arange(int(NEGLIGIBLE) * _LOG_SUM_STEPS + 2) / _LOG_SUM_STEPS
    e = np.exp(-d)
    s = e / (1 + e)
    second = s * (1 - s)
    third = -second * (1 - 2 * s)
    fourth = second * (1 - 6 * s + 6 * s * s)
    return np.column_stack([np.log1p(e), -s, second / 2, third / 6, fourth / 24])


_SOFTPLUS = _softplus_table()


@inlined
def _log_sum(a: float, b: float) -> float:
    """Log of the sum of two masses, to 1e-12: exp and log1p would be most of the passes' work."""
    d = abs(a - b)
    high = max(a, b)
    if d < NEGLIGIBLE:
        step = int(d * _LOG_SUM_STEPS + 0.5)
        x = d - step / _LOG_SUM_STEPS
        t = _SOFTPLUS[step]
        square = x * x
        return float(high + (t[0] + x * t[1] + square * (t[2] + x * t[3] + square * t[4])))
    return high  # also where one or both are never


@inlined
def _last_codes(codes: NDArray[np.uint8], row: int) -> tuple[int, int]:
    """Codes of the last base and the last two bases left of a row's boundary."""
    return codes[row + CODES_MARGIN - 1], codes[row + CODES_MARGIN - 2] * 5 + codes[row + CODES_MARGIN - 1]


@inlined
def _next_codes(codes: NDArray[np.uint8], row: int) -> tuple[int, int]:
    """Codes of the next base and the next two bases right of a row's boundary."""
    return codes[row + CODES_MARGIN], codes[row + CODES_MARGIN] * 5 + codes[row + CODES_MARGIN + 1]


@inlined
def _memory_at(tables: Tables, strand: int, phase: int, last: int, last_two: int) -> int:
    if phase == 0:
        return 0
    return int(tables.after_one[strand, last] if phase == 1 else tables.after_two[strand, last_two])


@inlined
def _continues(tables: Tables, strand: int, memory: int, following: int, following_two: int) -> bool:
    """Whether an intron of this memory may end here: the codon it splits is not refused."""
    phase = tables.phase[strand, memory]
    if phase == 1:
        return not tables.refused_two[strand, memory, following_two]
    return phase == 0 or not tables.refused_one[strand, memory, following]


@inlined
def _push(
    entries: NDArray[np.int64],
    scores: NDArray[np.float64],
    ends: NDArray[np.int64],
    state: int,
    boundary: int,
    parent: int,
    skips_first: int,
    strand: int,
    frame: int,
    score: float,
) -> None:
    slot = ends[TAIL] & (scores.size - 1)
    entries[slot, STATE] = state
    entries[slot, BOUNDARY] = boundary
    entries[slot, PARENT] = parent
    entries[slot, SKIPS_FIRST] = skips_first
    entries[slot, STRAND] = strand
    entries[slot, FRAME] = frame
    scores[slot] = score
    ends[TAIL] += 1


@compiled
def _survives(forward: Forward, slot: int) -> bool:
    """Whether no refused codon lies whole in the coding part that a queue entry has begun."""
    entry = forward.exon_entries[slot]
    codon = forward.refused[entry[STRAND], entry[FRAME]] - 3
    return bool(codon < entry[BOUNDARY] + entry[SKIPS_FIRST])


@inlined
def _node_of(forward: Forward, nodes: Nodes, state: int) -> int:
    """The node of a state's current segment, made when first asked for."""
    number = forward.node[state]
    if number < 0:
        number = nodes.used[0]
        nodes.state[number] = state
        nodes.since[number] = forward.since[state]
        nodes.parent[number] = forward.parent[state]
        nodes.score[number] = forward.score[state]
        nodes.used[0] = number + 1
        forward.node[state] = number
    return int(number)


@inlined
def _take(forward: Forward, state: int, score: float, boundary: int, parent: int) -> None:
    forward.score[state] = score
    forward.since[state] = boundary
    forward.parent[state] = parent
    forward.node[state] = -1


@inlined
def _best_activate(forward: Forward, boundary: int, min_intron: int, min_exon: int) -> None:
    """Let in the queue entries that have reached their minimum length."""
    ends = forward.intron_ends
    while ends[HEAD] < ends[TAIL]:
        slot = ends[HEAD] & (forward.intron_scores.size - 1)
        entry = forward.intron_entries[slot]
        if entry[BOUNDARY] + min_intron > boundary:
            break
        if forward.intron_scores[slot] > forward.score[entry[STATE]]:
            _take(forward, entry[STATE], forward.intron_scores[slot], entry[BOUNDARY], entry[PARENT])
        ends[HEAD] += 1
    ends = forward.exon_ends
    while ends[HEAD] < ends[TAIL]:
        slot = ends[HEAD] & (forward.exon_scores.size - 1)
        entry = forward.exon_entries[slot]
        if entry[BOUNDARY] + min_exon > boundary:
            break
        if forward.exon_scores[slot] > forward.score[entry[STATE]] and _survives(forward, slot):
            _take(forward, entry[STATE], forward.exon_scores[slot], entry[BOUNDARY], entry[PARENT])
        ends[HEAD] += 1


@inlined
def _best_open(
    tables: Tables, forward: Forward, nodes: Nodes, source: int, target: int, extra: float, boundary: int
) -> None:
    """Queue an intron that begins here, if it can win."""
    score = forward.score[source] + forward.sums[tables.region[source]] + extra
    score -= forward.sums[tables.region[target]]
    # A queued intron's rival never becomes worse, so that a loser now is a loser later.
    if score > forward.score[target]:
        parent = _node_of(forward, nodes, source)
        _push(
            forward.intron_entries,
            forward.intron_scores,
            forward.intron_ends,
            target,
            boundary,
            parent,
            0,
            0,
            0,
            score,
        )


@inlined
def _best_move(
    tables: Tables, forward: Forward, nodes: Nodes, source: int, target: int, extra: float, boundary: int
) -> None:
    """Enter a state at once, if that is better than staying in it."""
    score = forward.score[source] + forward.sums[tables.region[source]] + extra
    score -= forward.sums[tables.region[target]]
    if score > forward.score[target]:
        _take(forward, target, score, boundary, _node_of(forward, nodes, source))


@inlined
def _best_enter(tables: Tables, forward: Forward, nodes: Nodes, rows: Rows, row: int, strand: int, sites: int) -> None:
    """A CDS begins: queue the best of all ways into it."""
    boundary = rows.start + row
    frame = boundary % 3
    target = tables.cds[strand, frame]
    score = rows.sites[row, strand * SITES + ENTER]
    source = 0
    best = forward.score[0] + forward.sums[0] + tables.enter_cds[strand]
    if boundary > rows.first:
        after_utr = forward.score[tables.left[strand]] + forward.sums[tables.region[tables.left[strand]]]
        if after_utr > best:
            source, best = tables.left[strand], after_utr
    for family in range(2):
        if sites & (1 << (CLOSE_MAJOR + family)):
            intron = tables.left_intron[strand, family]
            spliced = forward.score[intron] + forward.sums[tables.region[intron]]
            spliced += rows.sites[row, strand * SITES + CLOSE_MAJOR + family]
            if spliced > best:
                source, best = intron, spliced
    if best == NEVER:
        return
    parent = _node_of(forward, nodes, source)
    relative = best + score - forward.sums[tables.region[target]]
    _push(
        forward.exon_entries,
        forward.exon_scores,
        forward.exon_ends,
        target,
        boundary,
        parent,
        strand,  # on the minus strand the first codon is the stop codon itself
        strand,
        frame,
        relative,
    )


@compiled
def _best_opens(tables: Tables, forward: Forward, nodes: Nodes, rows: Rows, row: int, strand: int, sites: int) -> None:
    boundary = rows.start + row
    last, last_two = _last_codes(rows.codes, row)
    refused = (rows.mask[row] >> (REFUSED + strand)) & 1
    for family in range(2):
        if not sites & (1 << (OPEN_MAJOR + family)):
            continue
        score = rows.sites[row, strand * SITES + OPEN_MAJOR + family]
        in_utr = score + tables.utr_intron
        for frame in range(3):
            source = tables.cds[strand, frame]
            if forward.score[source] > NEVER and not (refused and frame == boundary % 3):
                memory = _memory_at(tables, strand, (boundary - frame) % 3, last, last_two)
                _best_open(tables, forward, nodes, source, tables.intron[strand, family, memory], score, boundary)
        _best_open(tables, forward, nodes, tables.left[strand], tables.left_intron[strand, family], in_utr, boundary)
        right_intron = tables.right_intron[strand, family]
        _best_open(tables, forward, nodes, tables.right[strand], right_intron, in_utr, boundary)
        if sites & LEAVE_BIT:
            leaving = in_utr + rows.sites[row, strand * SITES + LEAVE]
            _best_open(tables, forward, nodes, tables.cds[strand, boundary % 3], right_intron, leaving, boundary)
        noncoding = tables.noncoding[strand]
        if forward.score[noncoding] > NEVER:
            target = tables.noncoding_intron[strand, family]
            _best_open(tables, forward, nodes, noncoding, target, score, boundary)


@compiled
def _best_closes(tables: Tables, forward: Forward, nodes: Nodes, rows: Rows, row: int, strand: int, sites: int) -> None:
    boundary = rows.start + row
    following, following_two = _next_codes(rows.codes, row)
    for family in range(2):
        if not sites & (1 << (CLOSE_MAJOR + family)):
            continue
        score = rows.sites[row, strand * SITES + CLOSE_MAJOR + family]
        for phase in range(3):
            source, best = -1, NEVER
            for memory in range(tables.phase.shape[1]):
                if tables.phase[strand, memory] != phase:
                    continue
                intron = tables.intron[strand, family, memory]
                if forward.score[intron] > best and _continues(tables, strand, memory, following, following_two):
                    source, best = intron, forward.score[intron]
            if source >= 0:
                frame = (boundary - phase) % 3
                target = tables.cds[strand, frame]
                best += forward.sums[tables.region[source]] + score - forward.sums[tables.region[target]]
                parent = _node_of(forward, nodes, source)
                _push(
                    forward.exon_entries,
                    forward.exon_scores,
                    forward.exon_ends,
                    target,
                    boundary,
                    parent,
                    0,
                    strand,
                    frame,
                    best,
                )
        _best_move(tables, forward, nodes, tables.left_intron[strand, family], tables.left[strand], score, boundary)
        _best_move(tables, forward, nodes, tables.right_intron[strand, family], tables.right[strand], score, boundary)
        noncoding_intron = tables.noncoding_intron[strand, family]
        if forward.score[noncoding_intron] > NEVER:
            _best_move(tables, forward, nodes, noncoding_intron, tables.noncoding[strand], score, boundary)


@inlined
def _best_sites(tables: Tables, forward: Forward, nodes: Nodes, rows: Rows, row: int) -> None:
    """All moves at a boundary with sites. Sources are read before they are entered at the same boundary."""
    boundary = rows.start + row
    mask = rows.mask[row]
    with_utr = tables.enter_left[0] > NEVER
    for strand in range(2):
        if (mask >> (strand * SITES)) & LEAVE_BIT:
            extra = tables.leave_cds[strand] + rows.sites[row, strand * SITES + LEAVE]
            _best_move(tables, forward, nodes, tables.cds[strand, boundary % 3], 0, extra, boundary)
    for strand in range(2):
        sites = (mask >> (strand * SITES)) & STRAND_BITS
        if not sites:
            continue
        if sites & ENTER_BIT:
            _best_enter(tables, forward, nodes, rows, row, strand, sites)
        if sites & OPEN_BITS:
            _best_opens(tables, forward, nodes, rows, row, strand, sites)
        if sites & LEAVE_BIT and with_utr and boundary < rows.last:
            extra = rows.sites[row, strand * SITES + LEAVE]
            source, target = tables.cds[strand, boundary % 3], tables.right[strand]
            _best_move(tables, forward, nodes, source, target, extra, boundary)
        if sites & CLOSE_BITS:
            _best_closes(tables, forward, nodes, rows, row, strand, sites)


@inlined
def next_due(forward: Forward, min_intron: int, min_exon: int) -> int:
    """The boundary at which the next queue entry reaches its minimum length; far away if none waits."""
    due = NOT_DUE
    head = forward.intron_ends[HEAD]
    if head < forward.intron_ends[TAIL]:
        due = forward.intron_entries[head & (forward.intron_scores.size - 1), BOUNDARY] + min_intron
    head = forward.exon_ends[HEAD]
    if head < forward.exon_ends[TAIL]:
        due = min(due, forward.exon_entries[head & (forward.exon_scores.size - 1), BOUNDARY] + min_exon)
    return int(due)


@compiled
def best_rows(tables: Tables, rows: Rows, row: int, forward: Forward, nodes: Nodes, reserve: int) -> int:
    """Best path over the rows of a block, from a row on.

    Returns:
        The row at which the nodes' capacity, less `reserve`, is used up; the number of rows if all were done.
    """
    # Taken out of their tuples once: a base costs so little that fetching them anew would dominate.
    score, sums, region = forward.score, forward.sums, tables.region
    since, parent, node = forward.since, forward.parent, forward.node
    region_rows, mask = rows.region, rows.mask
    start, first, last = rows.start, rows.first, rows.last
    exits, exit_scores = tables.exits, tables.exit_scores
    entries, entry_scores = tables.entries, tables.entry_scores
    kinds = region_rows.shape[1]
    due = next_due(forward, rows.min_intron, rows.min_exon)
    for r in range(row, mask.size):
        if nodes.used[0] + reserve > nodes.state.size:
            return r
        boundary = start + r
        if due <= boundary:
            _best_activate(forward, boundary, rows.min_intron, rows.min_exon)
            due = next_due(forward, rows.min_intron, rows.min_exon)
        if boundary > first:
            for i in range(exits.size):
                source = exits[i]
                if score[source] + sums[region[source]] + exit_scores[i] > score[0] + sums[0]:
                    _best_move(tables, forward, nodes, source, 0, exit_scores[i], boundary)
        if mask[r] & SITE_BITS:
            _best_sites(tables, forward, nodes, rows, r)
            due = next_due(forward, rows.min_intron, rows.min_exon)
        if mask[r] > SITE_BITS:
            for strand in range(2):
                if (mask[r] >> (REFUSED + strand)) & 1:
                    score[tables.cds[strand, boundary % 3]] = NEVER
                    forward.refused[strand, boundary % 3] = boundary
        if boundary < last:
            from_intergenic = score[0] + sums[0]
            for i in range(entries.size):
                target = entries[i]
                entering = from_intergenic + entry_scores[i] - sums[region[target]]
                if entering > score[target]:
                    score[target] = entering
                    since[target] = boundary
                    parent[target] = _node_of(forward, nodes, 0)
                    node[target] = -1
        for kind in range(kinds):
            sums[kind] += region_rows[r, kind]
    return mask.size
