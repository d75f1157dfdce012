"""Sums over all paths of the gene machine, from left to right and from right to left, compiled.

The same rows, machine and relative scores as in kernels.py, with log sums in the place of maxima. At query boundaries
the passes note what the posterior of a segment needs:

    forward   present: log mass of all paths in each state just left of the boundary (minimum length reached)
              entered: log mass of all paths that enter each state at the boundary
    backward  present: log mass of all continuations from each state just left of the boundary
              left:    log mass of those that leave the state at the boundary

so that entered[a, s] + left[b, s] - total is the log posterior of the segment [a, b) in state s (for coding parts: if
no refused codon lies inside), and present + present - total that of being in s at a boundary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segnt_tools.compilation import compiled, inlined
from segnt_tools.genes.kernels import (
    BOUNDARY,
    CLOSE_BITS,
    CLOSE_MAJOR,
    CODES_MARGIN,
    ENTER,
    ENTER_BIT,
    HEAD,
    LEAVE,
    LEAVE_BIT,
    NEVER,
    OPEN_BITS,
    OPEN_MAJOR,
    REFUSED,
    SITE_BITS,
    SITES,
    STATE,
    STRAND_BITS,
    TAIL,
    Backward,
    Forward,
    Rows,
    _continues,
    _last_codes,
    _log_sum,
    _memory_at,
    _next_codes,
    _push,
    _survives,
    next_due,
)
from segnt_tools.genes.states import Tables


@inlined
def _sum_activate(forward: Forward, boundary: int, min_intron: int, min_exon: int) -> None:
    ends = forward.intron_ends
    while ends[HEAD] < ends[TAIL]:
        slot = ends[HEAD] & (forward.intron_scores.size - 1)
        entry = forward.intron_entries[slot]
        if entry[BOUNDARY] + min_intron > boundary:
            break
        state = entry[STATE]
        forward.score[state] = _log_sum(forward.score[state], forward.intron_scores[slot])
        ends[HEAD] += 1
    ends = forward.exon_ends
    while ends[HEAD] < ends[TAIL]:
        slot = ends[HEAD] & (forward.exon_scores.size - 1)
        entry = forward.exon_entries[slot]
        if entry[BOUNDARY] + min_exon > boundary:
            break
        if _survives(forward, slot):
            state = entry[STATE]
            forward.score[state] = _log_sum(forward.score[state], forward.exon_scores[slot])
        ends[HEAD] += 1


@inlined
def _absolute(tables: Tables, forward: Forward, state: int) -> float:
    return float(forward.score[state] + forward.sums[tables.region[state]])


@inlined
def _sum_move(
    tables: Tables, forward: Forward, source: int, target: int, extra: float, entered: NDArray[np.float64]
) -> None:
    """Enter a state at once."""
    score = _absolute(tables, forward, source) + extra - forward.sums[tables.region[target]]
    if score > NEVER:
        forward.score[target] = _log_sum(forward.score[target], score)
        if entered.size:
            entered[target] = _log_sum(entered[target], score)


@inlined
def _sum_open(
    tables: Tables,
    forward: Forward,
    source: int,
    target: int,
    extra: float,
    boundary: int,
    entered: NDArray[np.float64],
) -> None:
    """Queue an intron that begins here."""
    score = _absolute(tables, forward, source) + extra - forward.sums[tables.region[target]]
    if score > NEVER:
        entries, scores, ends = forward.intron_entries, forward.intron_scores, forward.intron_ends
        _push(entries, scores, ends, target, boundary, -1, 0, 0, 0, score)
        if entered.size:
            entered[target] = _log_sum(entered[target], score)


@inlined
def _sum_exon(
    tables: Tables,
    forward: Forward,
    mass: float,
    strand: int,
    frame: int,
    skips_first: int,
    boundary: int,
    entered: NDArray[np.float64],
) -> None:
    """Queue a coding part that begins here."""
    target = tables.cds[strand, frame]
    score = mass - forward.sums[tables.region[target]]
    if score > NEVER:
        entries, scores, ends = forward.exon_entries, forward.exon_scores, forward.exon_ends
        _push(entries, scores, ends, target, boundary, -1, skips_first, strand, frame, score)
        if entered.size:
            entered[target] = _log_sum(entered[target], score)


@inlined
def _sum_enter(
    tables: Tables, forward: Forward, rows: Rows, row: int, strand: int, sites: int, entered: NDArray[np.float64]
) -> None:
    mass = _absolute(tables, forward, 0) + tables.enter_cds[strand]
    if rows.start + row > rows.first:
        mass = _log_sum(mass, _absolute(tables, forward, tables.left[strand]))
    for family in range(2):
        if sites & (1 << (CLOSE_MAJOR + family)):
            spliced = _absolute(tables, forward, tables.left_intron[strand, family])
            mass = _log_sum(mass, spliced + rows.sites[row, strand * SITES + CLOSE_MAJOR + family])
    boundary = rows.start + row
    mass += rows.sites[row, strand * SITES + ENTER]
    _sum_exon(tables, forward, mass, strand, boundary % 3, strand, boundary, entered)


@compiled
def _sum_opens(
    tables: Tables, forward: Forward, rows: Rows, row: int, strand: int, sites: int, entered: NDArray[np.float64]
) -> None:
    boundary = rows.start + row
    last, last_two = _last_codes(rows.codes, row)
    refused = (rows.mask[row] >> (REFUSED + strand)) & 1
    for family in range(2):
        if not sites & (1 << (OPEN_MAJOR + family)):
            continue
        score = rows.sites[row, strand * SITES + OPEN_MAJOR + family]
        in_utr = score + tables.utr_intron
        for frame in range(3):
            if refused and frame == boundary % 3:
                continue
            memory = _memory_at(tables, strand, (boundary - frame) % 3, last, last_two)
            source, target = tables.cds[strand, frame], tables.intron[strand, family, memory]
            _sum_open(tables, forward, source, target, score, boundary, entered)
        left_intron, right_intron = tables.left_intron[strand, family], tables.right_intron[strand, family]
        _sum_open(tables, forward, tables.left[strand], left_intron, in_utr, boundary, entered)
        _sum_open(tables, forward, tables.right[strand], right_intron, in_utr, boundary, entered)
        if sites & LEAVE_BIT:
            leaving = in_utr + rows.sites[row, strand * SITES + LEAVE]
            _sum_open(tables, forward, tables.cds[strand, boundary % 3], right_intron, leaving, boundary, entered)
        noncoding, noncoding_intron = tables.noncoding[strand], tables.noncoding_intron[strand, family]
        _sum_open(tables, forward, noncoding, noncoding_intron, score, boundary, entered)


@inlined
def _begins_refused(tables: Tables, rows: Rows, row: int, strand: int) -> bool:
    """Whether the three bases right of a boundary, which the piece holds, are a refused codon."""
    place = row + CODES_MARGIN
    first, second, third = rows.codes[place], rows.codes[place + 1], rows.codes[place + 2]
    held = rows.start + row + 3 <= rows.last
    return bool(held and tables.refused_two[strand, tables.after_one[strand, first], second * 5 + third])


@compiled
def _sum_closes(
    tables: Tables, forward: Forward, rows: Rows, row: int, strand: int, sites: int, entered: NDArray[np.float64]
) -> None:
    boundary = rows.start + row
    following, following_two = _next_codes(rows.codes, row)
    for family in range(2):
        if not sites & (1 << (CLOSE_MAJOR + family)):
            continue
        score = rows.sites[row, strand * SITES + CLOSE_MAJOR + family]
        for phase in range(3):
            mass = NEVER
            for memory in range(tables.phase.shape[1]):
                if tables.phase[strand, memory] != phase:
                    continue
                if _continues(tables, strand, memory, following, following_two):
                    mass = _log_sum(mass, _absolute(tables, forward, tables.intron[strand, family, memory]))
            # A refused first codon is found only later. But where a CDS may begin with it as well (a stop on the minus
            # strand), `entered` would count what comes out of introns among those that begin there.
            if phase == 0 and _begins_refused(tables, rows, row, strand):
                continue
            _sum_exon(tables, forward, mass + score, strand, (boundary - phase) % 3, 0, boundary, entered)
        left_intron, right_intron = tables.left_intron[strand, family], tables.right_intron[strand, family]
        _sum_move(tables, forward, left_intron, tables.left[strand], score, entered)
        _sum_move(tables, forward, right_intron, tables.right[strand], score, entered)
        _sum_move(tables, forward, tables.noncoding_intron[strand, family], tables.noncoding[strand], score, entered)


@inlined
def _sum_sites(tables: Tables, forward: Forward, rows: Rows, row: int, noted: NDArray[np.float64]) -> None:
    """All moves at a boundary with sites, in the order of kernels.py."""
    boundary = rows.start + row
    mask = rows.mask[row]
    with_utr = tables.enter_left[0] > NEVER
    for strand in range(2):
        if (mask >> (strand * SITES)) & LEAVE_BIT:
            extra = tables.leave_cds[strand] + rows.sites[row, strand * SITES + LEAVE]
            _sum_move(tables, forward, tables.cds[strand, boundary % 3], 0, extra, noted)
    for strand in range(2):
        sites = (mask >> (strand * SITES)) & STRAND_BITS
        if not sites:
            continue
        if sites & ENTER_BIT:
            _sum_enter(tables, forward, rows, row, strand, sites, noted)
        if sites & OPEN_BITS:
            _sum_opens(tables, forward, rows, row, strand, sites, noted)
        if sites & LEAVE_BIT and with_utr and boundary < rows.last:
            extra = rows.sites[row, strand * SITES + LEAVE]
            source, target = tables.cds[strand, boundary % 3], tables.right[strand]
            _sum_move(tables, forward, source, target, extra, noted)
        if sites & CLOSE_BITS:
            _sum_closes(tables, forward, rows, row, strand, sites, noted)


@compiled
def forward_rows(
    tables: Tables,
    rows: Rows,
    forward: Forward,
    queries: NDArray[np.int64],
    present: NDArray[np.float64],
    entered: NDArray[np.float64],
) -> None:
    """Sums from left to right over the rows of a block.

    Args:
        queries: boundaries to note, ascending; those outside the block are left alone.
        present, entered: (queries, S) to be filled, see above.
    """
    score, sums, region = forward.score, forward.sums, tables.region
    nowhere = sums[:0]
    region_rows, mask = rows.region, rows.mask
    start, first, last = rows.start, rows.first, rows.last
    exits, exit_scores = tables.exits, tables.exit_scores
    entries, entry_scores = tables.entries, tables.entry_scores
    kinds = region_rows.shape[1]
    q = np.searchsorted(queries, start)
    due = next_due(forward, rows.min_intron, rows.min_exon)
    for r in range(mask.size):
        boundary = start + r
        if due <= boundary:
            _sum_activate(forward, boundary, rows.min_intron, rows.min_exon)
            due = next_due(forward, rows.min_intron, rows.min_exon)
        noted = nowhere
        if q < queries.size and queries[q] == boundary:
            noted = entered[q]
            for state in range(score.size):
                present[q, state] = score[state]
                noted[state] = NEVER
            q += 1
        if boundary > first:
            # Joined before intergenic is: its score is what the next base waits for.
            leaving = NEVER
            for i in range(exits.size):
                source = exits[i]
                leaving = _log_sum(leaving, score[source] + sums[region[source]] + exit_scores[i])
            score[0] = _log_sum(score[0], leaving - sums[0])
        if mask[r] & SITE_BITS:
            _sum_sites(tables, forward, rows, r, noted)
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
                score[target] = _log_sum(score[target], entering)
                if noted.size:
                    noted[target] = _log_sum(noted[target], entering)
        for kind in range(kinds):
            sums[kind] += region_rows[r, kind]


@inlined
def _exit(
    tables: Tables, backward: Backward, state: int, target: int, extra: float, value: float, left: NDArray[np.float64]
) -> None:
    """Add a way out of a state: its extra score and what comes after (relative to the target)."""
    if value > NEVER and extra > NEVER:
        sums = backward.sums
        left[state] = _log_sum(left[state], extra + value + sums[tables.region[state]] - sums[tables.region[target]])


@inlined
def _later(backward: Backward, state: int, boundary: int) -> float:
    """Relative score of being in a state left of a boundary to the right, or of ending in it before that."""
    return float(backward.history[boundary % backward.history.shape[0], state])


@inlined
def _exon_value(
    tables: Tables, backward: Backward, rows: Rows, boundary: int, strand: int, frame: int, skips_first: int
) -> float:
    """Relative score of a coding part that begins here, after its minimum length."""
    size = backward.refused.shape[0]
    codon_end = boundary + 3 + (frame - boundary) % 3
    if skips_first:
        codon_end += 3
    # A refused codon that ends just where the minimum is reached may still be the CDS's last one.
    while codon_end <= min(boundary + rows.min_exon - 1, rows.last):
        if backward.refused[codon_end % size, strand]:
            return NEVER
        codon_end += 3
    return _later(backward, tables.cds[strand, frame], boundary + rows.min_exon)


@inlined
def _enter_exits(
    tables: Tables, backward: Backward, rows: Rows, row: int, strand: int, sites: int, left: NDArray[np.float64]
) -> None:
    boundary = rows.start + row
    frame = boundary % 3
    target = tables.cds[strand, frame]
    score = rows.sites[row, strand * SITES + ENTER]
    value = _exon_value(tables, backward, rows, boundary, strand, frame, strand)
    _exit(tables, backward, 0, target, score + tables.enter_cds[strand], value, left)
    if boundary > rows.first:
        _exit(tables, backward, tables.left[strand], target, score, value, left)
    for family in range(2):
        if sites & (1 << (CLOSE_MAJOR + family)):
            spliced = score + rows.sites[row, strand * SITES + CLOSE_MAJOR + family]
            _exit(tables, backward, tables.left_intron[strand, family], target, spliced, value, left)


@compiled
def _open_exits(
    tables: Tables, backward: Backward, rows: Rows, row: int, strand: int, sites: int, left: NDArray[np.float64]
) -> None:
    boundary = rows.start + row
    last, last_two = _last_codes(rows.codes, row)
    refused = (rows.mask[row] >> (REFUSED + strand)) & 1
    later = boundary + rows.min_intron
    for family in range(2):
        if not sites & (1 << (OPEN_MAJOR + family)):
            continue
        score = rows.sites[row, strand * SITES + OPEN_MAJOR + family]
        in_utr = score + tables.utr_intron
        for frame in range(3):
            if refused and frame == boundary % 3:
                continue
            memory = _memory_at(tables, strand, (boundary - frame) % 3, last, last_two)
            target = tables.intron[strand, family, memory]
            _exit(tables, backward, tables.cds[strand, frame], target, score, _later(backward, target, later), left)
        target = tables.left_intron[strand, family]
        _exit(tables, backward, tables.left[strand], target, in_utr, _later(backward, target, later), left)
        target = tables.right_intron[strand, family]
        value = _later(backward, target, later)
        _exit(tables, backward, tables.right[strand], target, in_utr, value, left)
        if sites & LEAVE_BIT:
            leaving = in_utr + rows.sites[row, strand * SITES + LEAVE]
            _exit(tables, backward, tables.cds[strand, boundary % 3], target, leaving, value, left)
        target = tables.noncoding_intron[strand, family]
        _exit(tables, backward, tables.noncoding[strand], target, score, _later(backward, target, later), left)


@compiled
def _close_exits(
    tables: Tables, backward: Backward, rows: Rows, row: int, strand: int, sites: int, left: NDArray[np.float64]
) -> None:
    boundary = rows.start + row
    following, following_two = _next_codes(rows.codes, row)
    stay = backward.score
    for family in range(2):
        if not sites & (1 << (CLOSE_MAJOR + family)):
            continue
        score = rows.sites[row, strand * SITES + CLOSE_MAJOR + family]
        for memory in range(tables.phase.shape[1]):
            phase = tables.phase[strand, memory]
            if phase < 0 or not _continues(tables, strand, memory, following, following_two):
                continue
            frame = (boundary - phase) % 3
            value = _exon_value(tables, backward, rows, boundary, strand, frame, 0)
            intron = tables.intron[strand, family, memory]
            _exit(tables, backward, intron, tables.cds[strand, frame], score, value, left)
        target = tables.left[strand]
        _exit(tables, backward, tables.left_intron[strand, family], target, score, stay[target], left)
        target = tables.right[strand]
        _exit(tables, backward, tables.right_intron[strand, family], target, score, stay[target], left)
        target = tables.noncoding[strand]
        _exit(tables, backward, tables.noncoding_intron[strand, family], target, score, stay[target], left)


@inlined
def _leave_exits(
    tables: Tables,
    backward: Backward,
    rows: Rows,
    row: int,
    strand: int,
    intergenic: float,
    left: NDArray[np.float64],
) -> None:
    source, target = tables.cds[strand, (rows.start + row) % 3], tables.right[strand]
    score = rows.sites[row, strand * SITES + LEAVE]
    _exit(tables, backward, source, 0, score + tables.leave_cds[strand], intergenic, left)
    if tables.enter_left[0] > NEVER and rows.start + row < rows.last:
        _exit(tables, backward, source, target, score, backward.score[target], left)


@inlined
def _site_exits(
    tables: Tables, backward: Backward, rows: Rows, row: int, intergenic: float, left: NDArray[np.float64]
) -> None:
    """Ways out of all states but intergenic at a boundary with sites."""
    mask = rows.mask[row]
    for strand in range(2):
        sites = (mask >> (strand * SITES)) & STRAND_BITS
        if sites & LEAVE_BIT:
            _leave_exits(tables, backward, rows, row, strand, intergenic, left)
        if sites & OPEN_BITS:
            _open_exits(tables, backward, rows, row, strand, sites, left)
        if sites & CLOSE_BITS:
            _close_exits(tables, backward, rows, row, strand, sites, left)


@compiled
def backward_rows(
    tables: Tables,
    rows: Rows,
    backward: Backward,
    queries: NDArray[np.int64],
    present: NDArray[np.float64],
    left_at: NDArray[np.float64],
) -> None:
    """Sums from right to left over the rows of a block; arguments as in forward_rows."""
    stay, sums, region = backward.score, backward.sums, tables.region
    history, refused = backward.history, backward.refused
    region_rows, mask = rows.region, rows.mask
    start, first, last = rows.start, rows.first, rows.last
    exits, exit_scores = tables.exits, tables.exit_scores
    entries, entry_scores = tables.entries, tables.entry_scores
    states, kinds = region.size, region_rows.shape[1]
    left = backward.left
    place, refused_place = (start + mask.size) % history.shape[0], (start + mask.size) % refused.shape[0]
    q = np.searchsorted(queries, start + mask.size) - 1
    for r in range(mask.size - 1, -1, -1):
        boundary = start + r
        for kind in range(kinds):
            sums[kind] -= region_rows[r, kind]
        if mask[r] & SITE_BITS:
            for strand in range(2):
                sites = (mask[r] >> (strand * SITES)) & STRAND_BITS
                if sites & ENTER_BIT:
                    _enter_exits(tables, backward, rows, r, strand, sites, left)
        if boundary < last:
            entering = NEVER
            for i in range(entries.size):
                target = entries[i]
                entering = _log_sum(entering, entry_scores[i] + stay[target] - sums[region[target]])
            left[0] = _log_sum(left[0], entering + sums[0])
        intergenic = _log_sum(stay[0], left[0])
        if boundary > first:
            for i in range(exits.size):
                source = exits[i]
                left[source] = _log_sum(left[source], exit_scores[i] + intergenic + sums[region[source]] - sums[0])
        if mask[r] & SITE_BITS:
            _site_exits(tables, backward, rows, r, intergenic, left)
        refused_place = (refused_place if refused_place > 0 else refused.shape[0]) - 1
        for strand in range(2):
            ends = (mask[r] >> (REFUSED + strand)) & 1
            refused[refused_place, strand] = ends != 0
            if ends:
                stay[tables.cds[strand, boundary % 3]] = NEVER
        asked = q >= 0 and queries[q] == boundary
        if asked:
            for state in range(states):
                left_at[q, state] = left[state]
        # Without a site, only intergenic and what may be left anywhere have ways out.
        if mask[r] & SITE_BITS:
            for state in range(1, states):
                _join(stay, left, state)
        else:
            for i in range(exits.size):
                _join(stay, left, exits[i])
        stay[0] = intergenic
        left[0] = NEVER
        place = (place if place > 0 else history.shape[0]) - 1
        later = history[place]
        for state in range(states):
            later[state] = stay[state]
        if asked:
            for state in range(states):
                present[q, state] = stay[state]
            q -= 1


@inlined
def _join(stay: NDArray[np.float64], left: NDArray[np.float64], state: int) -> None:
    """Staying in a state, or going one of the ways out at this boundary."""
    if left[state] > NEVER:
        stay[state] = _log_sum(stay[state], left[state])
        left[state] = NEVER
