"""The gene machine against enumeration of every path, on thousands of small random cases."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from segnt_tools.genes.decoding import BlockMakers, PieceDecoder
from segnt_tools.genes.kernels import CODES_MARGIN, Rows
from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.genes.states import REFUSED_BIT, REGION_COLUMNS, SITE_COLUMNS, Kind, Region, Site, StateMachine, column
from segnt_tools.sequence.codes import decode

EXONIC = {Kind.LEFT_UTR: Region.LEFT_UTR, Kind.RIGHT_UTR: Region.RIGHT_UTR, Kind.NC_EXON: Region.NC_EXON}
INTRON_OF = {
    Kind.LEFT_UTR: Kind.LEFT_UTR_INTRON,
    Kind.RIGHT_UTR: Kind.RIGHT_UTR_INTRON,
    Kind.NC_EXON: Kind.NC_INTRON,
    Kind.CDS: Kind.INTRON,
}


@dataclass(frozen=True)
class Stretch:
    """Random rows of a piece."""

    first: int
    last: int
    codes: np.ndarray
    region: np.ndarray
    sites: np.ndarray
    mask: np.ndarray
    machine: StateMachine

    def rows(self, start: int, end: int) -> Rows:
        stop = end + 1 if end == self.last else end
        low, high = start - self.first, stop - self.first
        p = self.machine.parameters
        return Rows(
            start,
            self.region[low:high],
            self.sites[low:high],
            self.mask[low:high],
            self.codes[low : high + 2 * CODES_MARGIN],
            self.first,
            self.last,
            p.min_intron,
            p.min_cds_exon,
        )

    def base(self, position: int) -> str:
        return decode(self.codes[position - self.first + CODES_MARGIN : position - self.first + CODES_MARGIN + 1])

    def site(self, boundary: int, strand: int, site: Site) -> float:
        """Score of a site, minus infinity where there is none."""
        number = strand * len(Site) + site
        row = boundary - self.first
        return float(self.sites[row, number]) if self.mask[row] >> number & 1 else -math.inf


def random_piece(seed: int, length: int, *, utr: bool, noncoding: bool, code: int = 1, density: float = 0.3) -> Stretch:
    rng = np.random.default_rng(seed)
    parameters = GeneParameters(
        genetic_code=code,
        utr=utr,
        min_intron=int(rng.integers(4, 6)),
        min_cds_exon=int(rng.integers(4, 6)),
        score_temperature=float(rng.choice([1.0, 2.5])),
        partial=-3.7,
    )
    machine = StateMachine(parameters, noncoding)
    first = int(rng.integers(0, 5))
    letters = np.full(length + 2 * CODES_MARGIN, 4, dtype=np.uint8)
    # Thymine and adenine often, for stops on both strands; an unknown base now and then.
    letters[CODES_MARGIN:-CODES_MARGIN] = rng.choice(5, length, p=[0.3, 0.15, 0.15, 0.35, 0.05])
    region = rng.normal(0, 1.5, (length + 1, REGION_COLUMNS)).astype(np.float32)
    region[-1] = 0
    sites = rng.normal(1, 2, (length + 1, SITE_COLUMNS)).astype(np.float32)
    present = rng.random((length + 1, SITE_COLUMNS)) < density
    present[[0, -1]] &= np.isin(np.arange(SITE_COLUMNS) % len(Site), (Site.ENTER, Site.LEAVE))
    present[-3:, [Site.ENTER, len(Site) + Site.ENTER]] = False
    present[:3, [Site.LEAVE, len(Site) + Site.LEAVE]] = False
    mask = (present << np.arange(SITE_COLUMNS)).sum(axis=1).astype(np.uint32)
    for row in range(length + 1):
        codon = decode(letters[row : row + 3])
        for strand in (0, 1):
            if codon in machine.refused[strand]:
                mask[row] |= np.uint32(1 << (REFUSED_BIT + strand))
    return Stretch(first, first + length, letters, region, sites, mask, machine)


@dataclass(frozen=True)
class Part:
    """A segment of an enumerated path; `left` holds the bases of the codon it continues or has begun, None: unknown."""

    kind: Kind
    strand: int
    frame: int
    family: int
    start: int
    carried: str | None = ""
    entered: bool = False


class Enumerator:
    """Writes down every path of a piece, straight from the rules in states.py, without any dynamic programming."""

    def __init__(self, piece: Stretch) -> None:
        self.piece = piece
        self.machine = piece.machine
        self.p = piece.machine.parameters
        self.tables = piece.machine.tables

    def paths(self) -> Iterator[tuple[float, tuple[tuple[Part, int], ...]]]:
        for part, score in self.beginnings():
            yield from self.extended(part, (), score)

    def beginnings(self) -> Iterator[tuple[Part, float]]:
        p, first = self.p, self.piece.first
        yield Part(Kind.INTERGENIC, -1, -1, -1, first), 0.0
        cut = p.partial + p.gene
        for strand in (0, 1):
            for frame in range(3):
                yield Part(Kind.CDS, strand, frame, -1, first), cut
            for family in (0, 1):
                for phase in range(3):
                    yield Part(Kind.INTRON, strand, phase, family, first, None if phase else ""), cut
            if p.utr:
                for kind in (Kind.LEFT_UTR, Kind.RIGHT_UTR):
                    yield Part(kind, strand, -1, -1, first), cut
                    for family in (0, 1):
                        yield Part(INTRON_OF[kind], strand, -1, family, first), cut + p.utr_intron
            if self.machine.noncoding:
                yield Part(Kind.NC_EXON, strand, -1, -1, first), p.partial + p.lncrna_gene
                for family in (0, 1):
                    yield Part(Kind.NC_INTRON, strand, -1, family, first), p.partial + p.lncrna_gene

    def extended(
        self, part: Part, before: tuple[tuple[Part, int], ...], score: float
    ) -> Iterator[tuple[float, tuple[tuple[Part, int], ...]]]:
        """All ways to go on from a part whose start is fixed."""
        last = self.piece.last
        for end in range(part.start if part.kind is Kind.INTERGENIC else part.start + 1, last + 1):
            inside = score + self.inside(part, end)
            if inside == -math.inf:
                continue
            done = (*before, (part, end))
            if end == last and not (part.kind is Kind.CDS and self.refused_inside(part, end, leaving=False)):
                yield inside + self.end_score(part), done
            if self.allowed(part, end):
                for following, extra in self.moves(part, end):
                    if extra > -math.inf:
                        yield from self.extended(following, done, inside + extra)

    def inside(self, part: Part, end: int) -> float:
        rows = slice(part.start - self.piece.first, end - self.piece.first)
        return float(self.piece.region[rows, self.region(part)].astype(np.float64).sum())

    def region(self, part: Part) -> int:
        match part.kind:
            case Kind.INTERGENIC:
                return 0
            case Kind.CDS:
                return column(part.strand, Region(Region.CDS_0 + part.frame))
            case Kind.NC_INTRON:
                return column(part.strand, Region.NC_INTRON)
            case Kind.INTRON | Kind.LEFT_UTR_INTRON | Kind.RIGHT_UTR_INTRON:
                return column(part.strand, Region.INTRON)
        return column(part.strand, EXONIC[part.kind])

    def end_score(self, part: Part) -> float:
        if part.kind is Kind.INTERGENIC:
            return 0.0
        if not self.p.utr and "UTR" in part.kind.name:
            return -math.inf
        return self.p.partial

    def allowed(self, part: Part, end: int) -> bool:
        """Whether a part is long enough to end here without being cut by the piece's end."""
        if part.start == self.piece.first and not part.entered:
            return True
        length = end - part.start
        if "INTRON" in part.kind.name:
            return length >= self.p.min_intron
        return part.kind is not Kind.CDS or length >= self.p.min_cds_exon

    def refused_inside(self, part: Part, end: int, leaving: bool) -> bool:
        refused = self.machine.refused[part.strand]
        codon = part.start + (part.frame - part.start) % 3
        if part.entered and part.strand == 1:
            codon += 3
        stop = end - 3 if leaving else end
        while codon + 3 <= stop:
            if "".join(self.piece.base(codon + i) for i in range(3)) in refused:
                return True
            codon += 3
        return False

    def moves(self, part: Part, at: int) -> Iterator[tuple[Part, float]]:
        first, last, tables = self.piece.first, self.piece.last, self.tables
        strand = part.strand
        match part.kind:
            case Kind.INTERGENIC:
                for s in (0, 1):
                    if at < last:
                        yield Part(Kind.LEFT_UTR, s, -1, -1, at), float(tables.enter_left[s])
                        yield Part(Kind.NC_EXON, s, -1, -1, at), tables.enter_noncoding
                    yield self.coding(s, at), self.piece.site(at, s, Site.ENTER) + float(tables.enter_cds[s])
            case Kind.LEFT_UTR:
                yield self.coding(strand, at), self.piece.site(at, strand, Site.ENTER)
                yield from self.introns(part, at, tables.utr_intron)
            case Kind.RIGHT_UTR:
                if at > first:
                    yield Part(Kind.INTERGENIC, -1, -1, -1, at), float(tables.leave_right[strand])
                yield from self.introns(part, at, tables.utr_intron)
            case Kind.NC_EXON:
                if at > first:
                    yield Part(Kind.INTERGENIC, -1, -1, -1, at), 0.0
                yield from self.introns(part, at, 0.0)
            case Kind.CDS:
                yield from self.moves_of_cds(part, at)
            case Kind.INTRON:
                yield from self.moves_of_intron(part, at)
            case _:
                kind = next(exonic for exonic, intron in INTRON_OF.items() if intron is part.kind)
                close = self.piece.site(at, strand, Site(Site.CLOSE_MAJOR + part.family))
                yield Part(kind, strand, -1, -1, at), close
                if part.kind is Kind.LEFT_UTR_INTRON:
                    yield self.coding(strand, at), close + self.piece.site(at, strand, Site.ENTER)

    def coding(self, strand: int, at: int) -> Part:
        return Part(Kind.CDS, strand, at % 3, -1, at, entered=True)

    def introns(self, part: Part, at: int, extra: float) -> Iterator[tuple[Part, float]]:
        for family in (0, 1):
            score = self.piece.site(at, part.strand, Site(Site.OPEN_MAJOR + family)) + extra
            yield Part(INTRON_OF[part.kind], part.strand, -1, family, at), score

    def moves_of_cds(self, part: Part, at: int) -> Iterator[tuple[Part, float]]:
        strand = part.strand
        leave = self.piece.site(at, strand, Site.LEAVE)
        if part.frame == at % 3 and leave > -math.inf and not self.refused_inside(part, at, leaving=True):
            yield Part(Kind.INTERGENIC, -1, -1, -1, at), leave + float(self.tables.leave_cds[strand])
            if self.p.utr:
                yield Part(Kind.RIGHT_UTR, strand, -1, -1, at), leave
                for family in (0, 1):
                    opening = self.piece.site(at, strand, Site(Site.OPEN_MAJOR + family)) + self.tables.utr_intron
                    yield Part(Kind.RIGHT_UTR_INTRON, strand, -1, family, at), leave + opening
        if not self.refused_inside(part, at, leaving=False):
            phase = (at - part.frame) % 3
            carried = "".join(self.piece.base(at - phase + i) for i in range(phase))
            known = at - phase >= self.piece.first
            for family in (0, 1):
                score = self.piece.site(at, strand, Site(Site.OPEN_MAJOR + family))
                yield Part(Kind.INTRON, strand, phase, family, at, carried if known else None), score

    def moves_of_intron(self, part: Part, at: int) -> Iterator[tuple[Part, float]]:
        close = self.piece.site(at, part.strand, Site(Site.CLOSE_MAJOR + part.family))
        if close == -math.inf:
            return
        phase = part.frame
        if phase and part.carried is not None and at + 3 - phase <= self.piece.last:
            codon = part.carried + "".join(self.piece.base(at + i) for i in range(3 - phase))
            if codon in self.machine.refused[part.strand]:
                return
        yield Part(Kind.CDS, part.strand, (at - phase) % 3, -1, at, part.carried), close


def enumerated(piece: Stretch) -> list[tuple[float, tuple[tuple[Part, int], ...]]]:
    return [path for path in Enumerator(piece).paths() if path[0] > -math.inf]


CASES = {
    "everything": {"length": 4, "utr": True, "noncoding": True, "density": 0.3},
    "utr": {"length": 8, "utr": True, "noncoding": False, "density": 0.25},
    "cds": {"length": 13, "utr": False, "noncoding": False, "density": 0.25},
    "long": {"length": 20, "utr": False, "noncoding": False, "density": 0.12},
    "ciliate": {"length": 13, "utr": False, "noncoding": False, "density": 0.25, "code": 6},
    "mitochondrion": {"length": 13, "utr": False, "noncoding": False, "density": 0.25, "code": 2},
}


@cache
def case_with_paths(case: str, seed: int) -> tuple[Stretch, list[tuple[float, tuple[tuple[Part, int], ...]]]]:
    piece = random_piece(seed, **CASES[case])
    return piece, enumerated(piece)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("block", [1000, 3])
def test_best_path_and_total_equal_enumeration(case, block):
    paths_seen = 0
    for seed in range(30):
        piece, paths = case_with_paths(case, seed)
        paths_seen += len(paths)
        decoder = PieceDecoder(piece.machine, piece.rows, piece.first, piece.last, block_bases=block)
        best = decoder.best()
        assert best.score == pytest.approx(max(score for score, _ in paths), abs=1e-4)
        scaled = np.array([score for score, _ in paths]) * decoder.factor
        assert decoder.log_total() == pytest.approx(np.logaddexp.reduce(scaled), abs=1e-4)
        described = [
            (piece.machine.states[segment.state].kind, segment.start, segment.end) for segment in best.segments
        ]
        chosen = max(paths, key=lambda path: path[0])[1]
        assert described == [(part.kind, part.start, end) for part, end in chosen]
    assert paths_seen > 1000


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("block", [1000, 3])
def test_posteriors_equal_enumeration(case, block):
    checked = 0
    for seed in range(30):
        piece, paths = case_with_paths(case, seed)
        decoder = PieceDecoder(piece.machine, piece.rows, piece.first, piece.last, block_bases=block)
        segments = [
            segment
            for segment in decoder.best().segments
            if piece.machine.states[segment.state].kind in (*EXONIC, Kind.CDS)
        ]
        weights = np.array([score for score, _ in paths]) * decoder.factor
        weights = np.exp(weights - np.logaddexp.reduce(weights))
        shortest = piece.machine.parameters.min_cds_exon
        for segment, sums in zip(segments, decoder.sums(segments), strict=True):
            state = piece.machine.states[segment.state]
            middle = (segment.start + segment.end) // 2
            exact = free_left = free_right = present = 0.0
            for weight, (_, parts) in zip(weights, paths, strict=True):
                for number, (part, end) in enumerate(parts):
                    if (part.kind, part.strand, part.frame) != (state.kind, state.strand, state.frame):
                        continue
                    same_start, same_end = part.start == segment.start, end == segment.end
                    same_start &= segment.cut_left == (number == 0)
                    same_end &= segment.cut_right == (number + 1 == len(parts))
                    exact += weight * (same_start and same_end)
                    free_left += weight * same_end
                    free_right += weight * same_start
                    waits = state.kind is Kind.CDS and (part.entered or part.start > piece.first)
                    present += weight * (part.start + (shortest if waits else 1) <= middle <= end)
            assert math.exp(sums.entered + sums.left) == pytest.approx(exact, abs=1e-4)
            if state.kind is not Kind.CDS:
                assert math.exp(sums.present_end + sums.left) == pytest.approx(free_left, abs=1e-4)
                assert math.exp(sums.entered + sums.present_begin) == pytest.approx(free_right, abs=1e-4)
            if middle > piece.first and segment.end > segment.start + 1:
                assert math.exp(sums.middle) == pytest.approx(present, abs=1e-4)
            checked += 1
    assert checked > 20


MANY_CASES = 2400
MANY_CODES = (1, 2, 4, 5, 6, 10, 12, 26)


def small_case(seed: int) -> Stretch:
    """A random case small enough for thousands of them: kinds of states, genetic code, length and sites by the seed."""
    rng = np.random.default_rng((7, seed))
    utr, noncoding = bool(rng.random() < 0.5), bool(rng.random() < 0.3)
    longest = 3 if noncoding and utr else 6 if noncoding or utr else 11
    code, density = int(rng.choice(MANY_CODES)), float(rng.choice([0.15, 0.25, 0.4]))
    length = int(rng.integers(3, longest + 1))
    return random_piece(seed, length, utr=utr, noncoding=noncoding, code=code, density=density)


@pytest.mark.parametrize("eighth", range(8))
def test_thousands_of_small_cases_equal_enumeration(eighth):
    """Score and path of the best, the sum over all paths, and the posteriors of the best path's coding parts."""
    parts_checked = 0
    for seed in range(eighth, MANY_CASES, 8):
        piece = small_case(seed)
        paths = enumerated(piece)
        block = 1000 if seed % 3 else 3
        decoder = PieceDecoder(piece.machine, piece.rows, piece.first, piece.last, block_bases=block)
        best = decoder.best()
        states = piece.machine.states
        scores = np.array([score for score, _ in paths])
        assert best.score == pytest.approx(scores.max(), abs=1e-4), seed
        total = np.logaddexp.reduce(scores * decoder.factor)
        assert decoder.log_total() == pytest.approx(total, abs=1e-4), seed
        chosen = paths[int(scores.argmax())][1]
        described = [(states[segment.state].kind, segment.start, segment.end) for segment in best.segments]
        assert described == [(part.kind, part.start, end) for part, end in chosen], seed
        # Parts of the best path whose ends are no contig's ends, which are theirs alone.
        coding = [
            segment
            for segment in best.segments
            if states[segment.state].kind is Kind.CDS and not segment.cut_left and not segment.cut_right
        ]
        if not coding:
            continue
        weights = np.exp(scores * decoder.factor - total)
        for segment, sums in zip(coding, decoder.sums(coding), strict=True):
            state = states[segment.state]
            wanted = (Kind.CDS, state.strand, state.frame, segment.start, segment.end)
            exact = sum(
                weight
                for weight, (_, parts) in zip(weights, paths, strict=True)
                for number, (part, end) in enumerate(parts)
                if (part.kind, part.strand, part.frame, part.start, end) == wanted
                and number > 0
                and number + 1 < len(parts)
            )
            assert math.exp(sums.entered + sums.left) == pytest.approx(exact, abs=1e-4), seed
            parts_checked += 1
    assert parts_checked > 5


class AtOnce(Executor):
    """Does what it is given before it returns."""

    def submit(self, function, /, *args, **named):
        future = Future()
        future.set_result(function(*args, **named))
        return future


def test_a_lone_decoder_has_all_blocks_ahead_and_several_share_them():
    blocks = [(start, start + 10) for start in range(0, 100, 10)]
    made = []

    def rows_of(start, end):
        made.append(start)
        return start

    makers = BlockMakers(AtOnce(), 4)
    first, second = makers.made(rows_of, blocks), makers.made(rows_of, reversed(blocks))
    assert (next(first), made) == (0, [0, 10, 20, 30, 40])
    assert next(second) == 90
    assert made[5:] == [90]  # no place is free, but what it needs it gets
    assert (next(first), next(first), made[6:]) == (10, 20, [])  # until it has half of the places only
    assert (next(second), made[6:]) == (80, [80, 70, 60])
    assert (next(first), next(second), made[9:]) == (30, 70, [50, 50])
    first.close()  # as on an error: its places are free again
    assert (next(second), made[11:]) == (60, [40, 30, 20])
    assert list(second) == [50, 40, 30, 20, 10, 0]
    assert list(makers.made(rows_of, blocks)) == [start for start, _ in blocks]
