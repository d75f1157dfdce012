"""The map: contigs as bars with the density of genes and elements along them, longest first, the rest summed up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from segnt_tools.elements import element
from segnt_tools.report.assembly import AssemblyNumbers
from segnt_tools.report.elements import ElementNumbers
from segnt_tools.report.intervals import Floats, Integers, Intervals, join
from segnt_tools.report.markup import Html, Sorted, absent, paragraph, table
from segnt_tools.report.measures import Unit, bases, ratio, written
from segnt_tools.report.runs import Run
from segnt_tools.report.sections import Place
from segnt_tools.report.theme import Drawer

MOST_ROWS = 40
_BINS = 220
_GENE_COLOUR, _ELEMENT_COLOUR = "#4477AA", "#DDAA33"


@dataclass(frozen=True, slots=True)
class _Bar:
    """A contig on the map.

    Attributes:
        name: contig.
        length: its bases.
        genes: genes on it.
        width: its length as a share of the longest.
        gene_density: share of each bin's bases inside genes, None without gene models; shape (bins,).
        element_density: likewise of the element calls shown.
    """

    name: str
    length: int
    genes: int
    width: float
    gene_density: Floats | None
    element_density: Floats | None


def map_section(run: Run, place: Place, most: int = MOST_ROWS) -> str:
    """The section of the map with at most so many contigs."""
    return place.section("map", "Map", _map(run, place, most))


def _map(run: Run, place: Place, most: int) -> Iterator[str]:
    assembly = run.assembly
    if assembly is None or not assembly.contigs:
        yield absent("The contigs are not known, so there is no map.")
        return
    calls, what = _shown_elements(run.elements)
    lengths = np.where(assembly.used, assembly.axis.lengths, 0)
    order = np.argsort(-lengths, kind="stable")[: min(most, max(1, int(assembly.used.sum())))]
    counts = np.zeros(assembly.contigs, dtype=np.int64)
    if run.genes is not None and run.genes.genes:
        counts = np.bincount(run.genes.contig_of, minlength=assembly.contigs)
    genes = run.genes.spans if run.genes is not None else None
    bars = list(_bars(assembly, order, counts, genes, calls))
    tallest = max((float(bar.element_density.max()) for bar in bars if bar.element_density is not None), default=0.0)
    yield from _legend(place.drawer, what, tallest)
    header = ("Contig", "Length", "Genes", "Genes per Mb", "In genes", "In elements", "Density along the contig")
    yield table(
        "Contigs, longest first",
        header,
        (_row(bar, tallest, place.drawer) for bar in bars),
        numeric=(1, 2, 3, 4, 5),
        sortable=range(6),
        foot=_rest(assembly, order, counts),
        kind="map",
    )


def _shown_elements(elements: ElementNumbers | None) -> tuple[Intervals | None, str]:
    """The calls on the map: those outside gene models if the model has any, else exons."""
    if elements is None or not elements.calls:
        return None, ""
    regulatory = [one for one in elements.calls if not element(one.name).genic]
    if regulatory:
        return join([one.intervals for one in regulatory]), ", ".join(one.name for one in regulatory)
    by_name = {one.name: one for one in elements.calls}
    chosen = next((by_name[name] for name in ("exon", "CDS") if name in by_name), elements.calls[0])
    return chosen.intervals, chosen.name


def _bars(
    assembly: AssemblyNumbers, order: Integers, counts: Integers, genes: Intervals | None, calls: Intervals | None
) -> Iterator[_Bar]:
    axis = assembly.axis
    longest = max(1, int(axis.lengths[order].max()))
    for number in order.tolist():
        start, length = int(axis.offsets[number]), int(axis.lengths[number])
        bins = max(1, min(length, round(_BINS * length / longest)))
        edges = np.linspace(start, start + length, bins + 1).astype(np.int64)
        yield _Bar(
            axis.names[number],
            length,
            int(counts[number]),
            length / longest,
            None if genes is None else _density(genes, edges),
            None if calls is None else _density(calls, edges),
        )


def _density(intervals: Intervals, edges: Integers) -> Floats:
    return np.asarray(np.diff(intervals.covered_before(edges)) / np.maximum(1, np.diff(edges)), dtype=np.float64)


def _legend(drawer: Drawer, what: str, tallest: float) -> Iterator[str]:
    yield paragraph(
        _key(drawer, _GENE_COLOUR),
        "upwards: share of bases inside genes; ",
        _key(drawer, _ELEMENT_COLOUR),
        f"downwards: share of bases in calls of {what}, full height is {100 * tallest:.0f} %. "
        if what
        else "downwards: element calls, of which there are none. ",
        "The bars are as long as the contigs.",
    )


def _key(drawer: Drawer, colour: str) -> Html:
    return Html(f'<span class="key" style="background:{drawer.colour(colour)}"></span>')


def _row(bar: _Bar, tallest: float, drawer: Drawer) -> tuple[object, ...]:
    rate = 1e6 * bar.genes / max(1, bar.length)
    return (
        bar.name,
        Sorted(bases(bar.length), bar.length),
        Sorted(f"{bar.genes:,}", bar.genes),
        Sorted(f"{rate:,.0f}", rate),
        _share(bar.gene_density),
        _share(bar.element_density),
        Html(_strip(bar, tallest, drawer)),
    )


def _share(density: Floats | None) -> Sorted:
    if density is None:
        return Sorted("\N{EN DASH}", -1.0)
    mean = float(density.mean())
    return Sorted(written(mean, Unit.SHARE), round(mean, 6))


def _rest(assembly: AssemblyNumbers, order: Integers, counts: Integers) -> tuple[str, ...] | None:
    others = np.ones(assembly.contigs, dtype=np.bool_)
    others[order] = False
    if not others.any():
        return None
    total, genes = int(assembly.axis.lengths[others].sum()), int(counts[others].sum())
    rate = ratio(1e6 * genes, total) or 0
    return f"{int(others.sum()):,} more contigs", bases(total), f"{genes:,}", f"{rate:,.0f}", "", "", ""


def _strip(bar: _Bar, tallest: float, drawer: Drawer) -> str:
    shapes, bins = "", 1
    for density, colour, up, full in (
        (bar.gene_density, _GENE_COLOUR, True, 1.0),
        (bar.element_density, _ELEMENT_COLOUR, False, tallest or 1.0),
    ):
        if density is not None:
            bins = density.size
            shapes += f'<path fill="{drawer.colour(colour)}" d="{_steps(density / full, up=up)}"/>'
    middle = f'<path fill="var(--muted)" d="M0 11.5h{bins}v1H0z"/>'
    return (
        f'<svg aria-hidden="true" viewBox="0 0 {bins} 24" preserveAspectRatio="none" '
        f'style="width:max(3px,{100 * bar.width:.2f}%)">{shapes}{middle}</svg>'
    )


def _steps(heights: Floats, *, up: bool) -> str:
    """Outline of bars of these heights (0 to 1) above or below the middle of a strip."""
    parts, before = ["M0 12"], None
    for height in np.round(11.5 * np.minimum(heights, 1), 1).tolist():
        if height != before:
            parts.append(f"V{12 - height if up else 12 + height:g}")
        parts.append("h1")
        before = height
    return "".join(parts) + "V12z"
