"""The state machine of genes: which states exist, what each remembers, and how a path may go from one to another.

A path over a contig gives every base a state, read from left to right on both strands at once, so that every base
belongs to one gene at most. States of one strand (both strands have the same, mirrored):

    left UTR, right UTR     5' UTR on the left of a gene of the plus strand, on its right on the minus strand
    CDS frame 0, 1, 2       coding base of a codon whose leftmost base lies at position p with p % 3 == frame
    intron (family, memory) intron inside the CDS. Memory: bases of the codon that the intron splits, as far as they
                            matter for stop codons; so no stop can arise across a splice
    left and right UTR intron (family), lncRNA exon, lncRNA intron (family)

and INTERGENIC, which belongs to neither strand. The family of an intron is MAJOR (GT-AG, GC-AG) or MINOR (AT-AC). The
genetic code decides how many memories there are.

Boundary i lies between bases i - 1 and i. Segments change only at boundaries with these sites (of their strand):

    OPEN     an intron begins: donor on the plus, acceptor on the minus strand
    CLOSE    an intron ends
    ENTER    a CDS begins: start codon on the plus, stop codon (read backwards) on the minus strand
    LEAVE    a CDS ends

    intergenic -> left UTR        anywhere              right UTR -> intergenic       anywhere
    intergenic -> CDS             ENTER                 CDS -> intergenic             LEAVE
    left UTR -> CDS               ENTER                 CDS -> right UTR              LEAVE
    left UTR intron -> CDS        CLOSE and ENTER       CDS -> right UTR intron       LEAVE and OPEN
    exon-like -> its intron       OPEN                  intron -> its exon-like       CLOSE
    intergenic <-> lncRNA exon    anywhere

Coding parts of exons and introns have a shortest length, which a contig's end may cut. A codon that the strand refuses
(a stop) may not lie whole inside a coding part, except the stop codon that ends the CDS. A stop codon or start codon
that an intron splits is not held. A contig may begin and end in any state: partial genes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segnt_tools.elements import Strand
from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.sequence.codes import N, decode, encode, reverse_complement

STRANDS = (Strand.PLUS, Strand.MINUS)
FAMILIES = 2
LETTERS = 5
NEVER = -math.inf


class Region(IntEnum):
    """Kinds of base that emissions tell apart, per strand; column of the emission array is `column(strand, kind)`.

    Introns in UTRs are introns like others. lncRNA columns come last, so that they can be left out.
    """

    LEFT_UTR = 0
    RIGHT_UTR = 1
    CDS_0 = 2
    CDS_1 = 3
    CDS_2 = 4
    INTRON = 5
    NC_EXON = 6
    NC_INTRON = 7


INTERGENIC_COLUMN = 0
REGION_COLUMNS = 1 + 2 * len(Region)
CODING_COLUMNS = 1 + 2 * Region.NC_EXON  # of a machine without lncRNA states


def column(strand: int, region: Region) -> int:
    """Column of a region kind in the emission array; strand 0 is plus, 1 is minus."""
    if region < Region.NC_EXON:
        return 1 + strand * Region.NC_EXON + region
    return CODING_COLUMNS + strand * (len(Region) - Region.NC_EXON) + region - Region.NC_EXON


class Site(IntEnum):
    """Kinds of boundary, per strand; column of the site array is `strand * len(Site) + site`."""

    OPEN_MAJOR = 0
    OPEN_MINOR = 1
    CLOSE_MAJOR = 2
    CLOSE_MINOR = 3
    ENTER = 4
    LEAVE = 5


SITE_COLUMNS = 2 * len(Site)
REFUSED_BIT = SITE_COLUMNS  # bit of strand 0 in the mask; strand 1 is the next


class Kind(IntEnum):
    """What a state stands for."""

    INTERGENIC = 0
    LEFT_UTR = 1
    RIGHT_UTR = 2
    CDS = 3
    INTRON = 4
    LEFT_UTR_INTRON = 5
    RIGHT_UTR_INTRON = 6
    NC_EXON = 7
    NC_INTRON = 8


@dataclass(frozen=True, slots=True)
class State:
    """A state.

    Attributes:
        kind: what it stands for.
        strand: 0 plus, 1 minus, -1 for intergenic.
        frame: of CDS states.
        family: 0 GT-AG and GC-AG, 1 AT-AC, of introns.
        memory: number of the memory, of introns inside the CDS.
        region: column of the emission array.
    """

    kind: Kind
    strand: int = -1
    frame: int = -1
    family: int = -1
    memory: int = -1
    region: int = INTERGENIC_COLUMN


@dataclass(frozen=True, slots=True)
class Memory:
    """What an intron remembers of the codon it splits, in reading order of the plus strand.

    Attributes:
        phase: bases of the codon on the left of the intron.
        left: what they may be, as text; all of them mean the same for what may follow.
        refused: continuations on the right that would make a refused codon.
    """

    phase: int
    left: tuple[str, ...]
    refused: frozenset[str]


def memories(refused_codons: tuple[str, ...]) -> tuple[Memory, ...]:
    """All memories for a set of refused codons; the first of each phase but 0 that refuses nothing is permissive."""
    result = [Memory(0, ("",), frozenset())]
    for phase in (1, 2):
        groups: dict[frozenset[str], list[str]] = {frozenset(): []}
        for left in ("".join(bases) for bases in product("ACGT", repeat=phase)):
            refused = frozenset(codon[phase:] for codon in refused_codons if codon.startswith(left))
            groups.setdefault(refused, []).append(left)
        result += [Memory(phase, tuple(left), refused) for refused, left in groups.items()]
    return tuple(result)


class Tables(NamedTuple):
    """The machine as arrays for the kernels. S states; strand 0 is plus; K memories at most.

    Attributes:
        region: (S,) column of the emission array.
        left, right, noncoding: (2,) states of a strand.
        cds: (2, 3) by strand and frame.
        left_intron, right_intron, noncoding_intron: (2, 2) by strand and family.
        intron: (2, 2, K) by strand, family, memory; -1 where a strand has fewer memories.
        phase: (2, K) of a memory; -1 likewise.
        after_one, after_two: (2, 5) and (2, 25) memory of the last one or two bases (base codes, first base x 5).
        refused_one: (2, K, 5) whether the base after the intron makes a refused codon, for memories of phase 2.
        refused_two: (2, K, 25) likewise for the two bases after it, for memories of phase 1.
        begin: (S,) score of a contig that begins in the state.
        end: (S,) score of a contig that ends in it.
        enter_left, leave_right: (2,) intergenic to left UTR, right UTR to intergenic.
        enter_cds, leave_cds: (2,) intergenic to CDS, CDS to intergenic, besides the site.
        utr_intron: score of an intron in a UTR, besides its sites.
        enter_noncoding: intergenic to lncRNA exon.
        exits, exit_scores: states that a path may leave for intergenic anywhere, and the score of that.
        entries, entry_scores: states that a path may enter from intergenic anywhere, and the score of that.
    """

    region: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    noncoding: NDArray[np.int64]
    cds: NDArray[np.int64]
    left_intron: NDArray[np.int64]
    right_intron: NDArray[np.int64]
    noncoding_intron: NDArray[np.int64]
    intron: NDArray[np.int64]
    phase: NDArray[np.int64]
    after_one: NDArray[np.int64]
    after_two: NDArray[np.int64]
    refused_one: NDArray[np.bool_]
    refused_two: NDArray[np.bool_]
    begin: NDArray[np.float64]
    end: NDArray[np.float64]
    enter_left: NDArray[np.float64]
    leave_right: NDArray[np.float64]
    enter_cds: NDArray[np.float64]
    leave_cds: NDArray[np.float64]
    utr_intron: float
    enter_noncoding: float
    exits: NDArray[np.int64]
    exit_scores: NDArray[np.float64]
    entries: NDArray[np.int64]
    entry_scores: NDArray[np.float64]

    def scaled(self, factor: float) -> Tables:
        """The same machine with all scores multiplied by a factor (an inverse temperature)."""
        return self._replace(
            begin=self.begin * factor,
            end=self.end * factor,
            enter_left=self.enter_left * factor,
            leave_right=self.leave_right * factor,
            enter_cds=self.enter_cds * factor,
            leave_cds=self.leave_cds * factor,
            utr_intron=self.utr_intron * factor,
            enter_noncoding=self.enter_noncoding * factor,
            exit_scores=self.exit_scores * factor,
            entry_scores=self.entry_scores * factor,
        )


@dataclass(frozen=True)
class StateMachine:
    """The states for a genetic code, with the scores of transitions.

    Attributes:
        parameters: the decoder's parameters.
        noncoding: whether lncRNA states can be reached.
    """

    parameters: GeneParameters
    noncoding: bool = False

    @cached_property
    def refused(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Codons refused inside a CDS, by strand, as read on the plus strand."""
        stops = self.parameters.stop_codons
        return stops, tuple(sorted(self.reversed(codon) for codon in stops))

    @staticmethod
    def reversed(codon: str) -> str:
        """A codon of the minus strand as read on the plus strand."""
        return decode(reverse_complement(encode(codon)))

    @cached_property
    def memories(self) -> tuple[tuple[Memory, ...], tuple[Memory, ...]]:
        """Memories of introns, by strand."""
        return memories(self.refused[0]), memories(self.refused[1])

    @cached_property
    def states(self) -> tuple[State, ...]:
        """All states; INTERGENIC is the first."""
        result = [State(Kind.INTERGENIC)]
        for strand in (0, 1):
            result += self._states_of_strand(strand)
        return tuple(result)

    def _states_of_strand(self, strand: int) -> list[State]:
        def state(kind: Kind, region: Region, **more: int) -> State:
            return State(kind, strand, region=column(strand, region), **more)

        result = [state(Kind.LEFT_UTR, Region.LEFT_UTR), state(Kind.RIGHT_UTR, Region.RIGHT_UTR)]
        result += [state(Kind.CDS, Region(Region.CDS_0 + frame), frame=frame) for frame in range(3)]
        result += [state(Kind.NC_EXON, Region.NC_EXON)]
        for family in range(FAMILIES):
            result += [
                state(Kind.LEFT_UTR_INTRON, Region.INTRON, family=family),
                state(Kind.RIGHT_UTR_INTRON, Region.INTRON, family=family),
                state(Kind.NC_INTRON, Region.NC_INTRON, family=family),
            ]
            result += [
                state(Kind.INTRON, Region.INTRON, family=family, memory=memory)
                for memory in range(len(self.memories[strand]))
            ]
        return result

    def index(self, kind: Kind, strand: int = -1, frame: int = -1, family: int = -1, memory: int = -1) -> int:
        """Number of a state."""
        wanted = (kind, strand, frame, family, memory)
        return next(
            number
            for number, state in enumerate(self.states)
            if (state.kind, state.strand, state.frame, state.family, state.memory) == wanted
        )

    @cached_property
    def tables(self) -> Tables:
        """The machine as arrays."""
        strands, families = range(2), range(FAMILIES)

        def numbers(kind: Kind) -> NDArray[np.int64]:
            return np.array([self.index(kind, strand) for strand in strands])

        def by_family(kind: Kind) -> NDArray[np.int64]:
            return np.array([[self.index(kind, s, family=family) for family in families] for s in strands])

        return Tables(
            region=np.array([state.region for state in self.states]),
            left=numbers(Kind.LEFT_UTR),
            right=numbers(Kind.RIGHT_UTR),
            noncoding=numbers(Kind.NC_EXON),
            cds=np.array([[self.index(Kind.CDS, s, frame) for frame in range(3)] for s in strands]),
            left_intron=by_family(Kind.LEFT_UTR_INTRON),
            right_intron=by_family(Kind.RIGHT_UTR_INTRON),
            noncoding_intron=by_family(Kind.NC_INTRON),
            **self._memory_tables(),
            **self._scores(),
            **self._free_moves(),
        )

    def _free_moves(self) -> dict[str, Any]:
        """Moves from and to intergenic that need no site."""
        scores = self._scores()
        enter_left, leave_right = scores["enter_left"], scores["leave_right"]
        exits, entries = [], []
        for strand in (0, 1):
            if self.parameters.utr:
                exits.append((self.index(Kind.RIGHT_UTR, strand), float(leave_right[strand])))
                entries.append((self.index(Kind.LEFT_UTR, strand), float(enter_left[strand])))
            if self.noncoding:
                exits.append((self.index(Kind.NC_EXON, strand), 0.0))
                entries.append((self.index(Kind.NC_EXON, strand), self.parameters.lncrna_gene))
        return {
            "exits": np.array([state for state, _ in exits], dtype=np.int64),
            "exit_scores": np.array([score for _, score in exits], dtype=np.float64),
            "entries": np.array([state for state, _ in entries], dtype=np.int64),
            "entry_scores": np.array([score for _, score in entries], dtype=np.float64),
        }

    def _memory_tables(self) -> dict[str, Any]:
        most = max(len(memory) for memory in self.memories)
        intron = np.full((2, FAMILIES, most), -1)
        phase = np.full((2, most), -1)
        after_one = np.zeros((2, LETTERS), dtype=np.int64)
        after_two = np.zeros((2, LETTERS * LETTERS), dtype=np.int64)
        refused_one = np.zeros((2, most, LETTERS), dtype=bool)
        refused_two = np.zeros((2, most, LETTERS * LETTERS), dtype=bool)
        for strand in (0, 1):
            for number, memory in enumerate(self.memories[strand]):
                phase[strand, number] = memory.phase
                for family in range(FAMILIES):
                    intron[strand, family, number] = self.index(Kind.INTRON, strand, family=family, memory=number)
            after_one[strand] = [self._memory_after(strand, (base,)) for base in range(LETTERS)]
            after_two[strand] = [self._memory_after(strand, pair) for pair in product(range(LETTERS), repeat=2)]
            for number, memory in enumerate(self.memories[strand]):
                for text in memory.refused:
                    codes = [int(code) for code in encode(text)]
                    if memory.phase == 2:
                        refused_one[strand, number, codes[0]] = True
                    else:
                        refused_two[strand, number, codes[0] * LETTERS + codes[1]] = True
        return {
            "intron": intron,
            "phase": phase,
            "after_one": after_one,
            "after_two": after_two,
            "refused_one": refused_one,
            "refused_two": refused_two,
        }

    def _memory_after(self, strand: int, bases: tuple[int, ...]) -> int:
        """Memory of the last bases before an intron; unknown bases make no stop codon and are permissive."""
        if N in bases:
            return self.permissive(strand, len(bases))
        text = decode(np.array(bases, dtype=np.uint8))
        return next(
            number
            for number, memory in enumerate(self.memories[strand])
            if memory.phase == len(bases) and text in memory.left
        )

    def permissive(self, strand: int, phase: int) -> int:
        """The memory of a phase that refuses nothing."""
        return next(
            number
            for number, memory in enumerate(self.memories[strand])
            if memory.phase == phase and not memory.refused
        )

    def _scores(self) -> dict[str, Any]:
        p = self.parameters
        coding = 0.0 if p.utr else NEVER
        lncrna = p.lncrna_gene if self.noncoding else NEVER
        five = p.transcription_start + coding
        three = p.transcription_end + coding
        no_five, no_three = (p.no_5utr, p.no_3utr) if p.utr else (0.0, 0.0)
        return {
            "begin": np.array([self._edge_score(state, entering=True) for state in self.states]),
            "end": np.array([self._edge_score(state, entering=False) for state in self.states]),
            "enter_left": np.array([p.gene + five, p.gene + three]),
            "leave_right": np.array([three, five]),
            "enter_cds": np.array([p.gene + no_five, p.gene + no_three]),
            "leave_cds": np.array([no_three, no_five]),
            "utr_intron": p.utr_intron + coding,
            "enter_noncoding": lncrna,
        }

    def _edge_score(self, state: State, entering: bool) -> float:
        """Score of a contig that begins (entering) or ends in a state."""
        p = self.parameters
        match state.kind:
            case Kind.INTERGENIC:
                return 0.0
            case Kind.NC_EXON | Kind.NC_INTRON:
                return (p.partial + (p.lncrna_gene if entering else 0.0)) if self.noncoding else NEVER
            case Kind.LEFT_UTR | Kind.RIGHT_UTR | Kind.LEFT_UTR_INTRON | Kind.RIGHT_UTR_INTRON if not p.utr:
                return NEVER
            case Kind.INTRON if entering and self.memories[state.strand][state.memory].refused:
                return NEVER
        # An intron is paid for where it opens, and here it has opened before the beginning.
        in_utr_intron = state.kind in (Kind.LEFT_UTR_INTRON, Kind.RIGHT_UTR_INTRON)
        return p.partial + (p.gene + (p.utr_intron if in_utr_intron else 0.0) if entering else 0.0)
