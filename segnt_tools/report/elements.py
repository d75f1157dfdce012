"""What the element calls of a run look like: counts, lengths, scores, overlaps, distances to genes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from segnt_tools.elements import ELEMENTS, Strand, element
from segnt_tools.gff.features import escape_seqid
from segnt_tools.report.folder import ELEMENTS_BED, ELEMENTS_GFF3, RunFolder, open_text
from segnt_tools.report.genes import GeneNumbers, model_parts
from segnt_tools.report.intervals import Axis, Floats, Integers, Intervals
from segnt_tools.report.measures import Distribution, Measure, ratio

# Sites are one or two bases long; a called site counts as the model's when it lies this close (bases).
NEAR_SITE = 3
SITES = ("splice_donor", "splice_acceptor", "start_codon", "stop_codon")


@dataclass(frozen=True)
class ElementCalls:
    """All intervals of one element, both strands together.

    Attributes:
        name: element.
        intervals: on the axis, in the order of the file.
        scores: from 0 to 1, NaN where unknown; shape (intervals,).
    """

    name: str
    intervals: Intervals
    scores: Floats

    @property
    def colour(self) -> str:
        """Colour of the element."""
        return element(self.name).colour


@dataclass(frozen=True, slots=True)
class Agreement:
    """How calls of an element and the same part of the gene models cover each other (shares of bases)."""

    element: str
    calls_in_models: float | None
    models_in_calls: float | None


@dataclass(frozen=True, slots=True)
class Distance:
    """How far the calls of an element lie from the nearest gene's start.

    Attributes:
        element: name.
        calls: calls on contigs with a gene.
        signed: bases from the nearest gene start to the middle of the call, negative upstream; shape (calls,).
        in_genes: share of the calls' bases inside genes.
    """

    element: str
    calls: int
    signed: Integers
    in_genes: float | None

    @property
    def median(self) -> float | None:
        """Median distance whatever the side."""
        return float(np.median(np.abs(self.signed))) if self.calls else None

    def within(self, bases: int) -> float | None:
        """Share of the calls no further than this."""
        return ratio(float((np.abs(self.signed) <= bases).sum()), self.calls)


@dataclass(frozen=True)
class ElementNumbers:
    """The element calls of a run.

    Attributes:
        calls: one entry an element that has a call, in the order of the vocabulary.
        axis: the contigs.
        empty: elements the model has but that were called nowhere.
        source: file they were read from.
    """

    calls: tuple[ElementCalls, ...]
    axis: Axis
    empty: tuple[str, ...]
    source: str

    @property
    def count(self) -> int:
        """All calls."""
        return sum(calls.intervals.count for calls in self.calls)

    @cached_property
    def overlaps(self) -> NDArray[np.float64]:
        """Share of the row element's bases that the column element covers; shape (elements, elements)."""
        table = np.ones((len(self.calls), len(self.calls)))
        for i, one in enumerate(self.calls):
            for j in range(i):
                other = self.calls[j]
                shared = one.intervals.overlap(other.intervals)
                table[i, j] = shared / max(1, one.intervals.bases)
                table[j, i] = shared / max(1, other.intervals.bases)
        return table

    def agreement(self, genes: GeneNumbers) -> list[Agreement]:
        """How far calls and gene models agree, for elements that are parts of gene models."""
        parts = model_parts(genes)
        found = []
        for calls in self.calls:
            if (part := parts.get(calls.name)) is None:
                continue
            slack = NEAR_SITE if calls.name in SITES else 0
            in_models = calls.intervals.overlap(part.grown(slack)) / max(1, calls.intervals.bases)
            in_calls = part.overlap(calls.intervals.grown(slack)) / max(1, part.bases)
            found.append(Agreement(calls.name, in_models, in_calls))
        return found

    def distances(self, genes: GeneNumbers) -> list[Distance]:
        """Distances to the nearest gene start, for elements that are not parts of gene models."""
        regulatory = [calls for calls in self.calls if not element(calls.name).genic]
        return [_distance(calls, genes) for calls in regulatory] if genes.genes else []

    def measures(self, bases: int) -> list[Measure]:
        """The numbers of the section."""
        return [
            Measure("element_calls", "Element calls", self.count),
            *(Measure(f"calls_{calls.name}", f"Calls of {calls.name}", calls.intervals.count) for calls in self.calls),
        ]

    def rows(self, bases: int) -> list[dict[str, object]]:
        """JSON-ready values of each element."""
        rows: list[dict[str, object]] = []
        for calls in self.calls:
            lengths, scores = Distribution.of(calls.intervals.lengths), Distribution.of(_finite(calls.scores))
            rows.append(
                {
                    "element": calls.name,
                    "calls": calls.intervals.count,
                    "bases": calls.intervals.bases,
                    "share_of_bases": ratio(calls.intervals.bases, bases),
                    "length": None if lengths is None else lengths.as_json(),
                    "score": None if scores is None else scores.as_json(),
                }
            )
        return rows


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _distance(calls: ElementCalls, genes: GeneNumbers) -> Distance:
    spans, offsets = genes.spans, genes.axis.offsets
    minus = np.array([gene.strand is Strand.MINUS for gene in genes.genes])
    site = np.where(minus, spans.ends - 1, spans.starts)
    order = np.argsort(site, kind="stable")
    site, minus = site[order], minus[order]
    site_contig = np.searchsorted(offsets, site, side="right")
    middle = (calls.intervals.starts + calls.intervals.ends) // 2
    contig = np.searchsorted(offsets, middle, side="right")
    right = np.searchsorted(site, middle)
    best = np.full(middle.size, np.iinfo(np.int64).max)
    signed = np.zeros(middle.size, dtype=np.int64)
    for neighbour in (right - 1, right):
        inside = (neighbour >= 0) & (neighbour < site.size)
        at = np.clip(neighbour, 0, site.size - 1)
        away = middle - site[at]
        closer = inside & (site_contig[at] == contig) & (np.abs(away) < best)
        best = np.where(closer, np.abs(away), best)
        signed = np.where(closer, np.where(minus[at], -away, away), signed)
    near = signed[best < np.iinfo(np.int64).max]
    in_genes = ratio(calls.intervals.overlap(spans), calls.intervals.bases)
    return Distance(calls.name, int(near.size), near, in_genes)


def read_elements(run: RunFolder, axis: Axis) -> ElementNumbers | None:
    """The element calls of a run, from elements.bed or else elements.gff3; None if there is neither."""
    for name, rows in ((ELEMENTS_BED, _bed_rows), (ELEMENTS_GFF3, _gff3_rows)):
        path = run.file(name)
        if path is None:
            continue
        try:
            return _collect(rows(path), axis, _elements_of_model(run), name)
        except (OSError, ValueError, IndexError) as error:
            run.notes.append(f"{name} cannot be read ({error}).")
    return None


def _elements_of_model(run: RunFolder) -> set[str]:
    reported = run.summary.get("call-peaks")
    tracks = reported.get("elements", reported.get("tracks", {})) if isinstance(reported, dict) else {}
    names = tracks if isinstance(tracks, dict | list) else ()
    return {str(name).rstrip("+-") for name in names if isinstance(name, str)}


def _bed_rows(path: Path) -> Iterator[tuple[str, str, str, str, float]]:
    with open_text(path) as handle:
        for line in handle:
            if line[:1] == "#" or line.startswith(("track", "browser")) or not line.strip():
                continue
            fields = line.rstrip("\n").split("\t")
            yield fields[0], fields[1], fields[2], fields[3], float(fields[4]) / 1000


def _gff3_rows(path: Path) -> Iterator[tuple[str, str, str, str, float]]:
    with open_text(path) as handle:
        for line in handle:
            if line[:1] == "#" or not line.strip():
                continue
            fields = line.rstrip("\n").split("\t")
            name = fields[8].partition("element=")[2].partition(";")[0] or fields[2]
            score = float("nan") if fields[5] == "." else float(fields[5])
            yield unquote(fields[0]), str(int(fields[3]) - 1), fields[4], unquote(name), score


def _collect(
    rows: Iterator[tuple[str, str, str, str, float]], axis: Axis, expected: set[str], source: str
) -> ElementNumbers:
    shift = dict(zip(axis.names, axis.offsets.tolist(), strict=False))
    shift |= {escape_seqid(name): at for name, at in shift.items()}
    found: dict[str, tuple[list[int], list[int], list[float]]] = {}
    for contig, start, end, name, score in rows:
        at = shift.get(contig)
        if at is None:
            raise ValueError(f"{contig} is not a contig of the assembly")
        starts, ends, scores = found.setdefault(name, ([], [], []))
        starts.append(at + int(start))
        ends.append(at + int(end))
        scores.append(score)
    order = {name: number for number, name in enumerate(ELEMENTS)}
    calls = tuple(
        ElementCalls(
            name,
            Intervals(np.array(found[name][0], dtype=np.int64), np.array(found[name][1], dtype=np.int64)),
            np.array(found[name][2], dtype=np.float64),
        )
        for name in sorted(found, key=lambda name: (order.get(name, len(order)), name))
    )
    return ElementNumbers(calls, axis, tuple(sorted(expected - set(found), key=lambda n: order.get(n, 99))), source)
