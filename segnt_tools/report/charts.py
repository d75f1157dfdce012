"""The charts of the report, drawn with matplotlib; several runs share one, told apart by colour and line style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segnt_tools.report.intervals import Floats, Integers
from segnt_tools.report.measures import Distribution
from segnt_tools.report.splicing import information
from segnt_tools.report.theme import BASE_COLOURS, GRID, INK, MUTED, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALL = (3.9, 2.5)
_LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1, 1, 1)))
Numbers = NDArray[Any]


def _figure(
    size: tuple[float, float] = SMALL, *, left: float = 0.62, right: float = 0.12, bottom: float = 0.5
) -> tuple[Figure, Axes]:
    """A figure with one pair of axes and fixed margins in inches: laying out by measuring takes twice as long."""
    from matplotlib.figure import Figure  # drawn without pyplot: no global state, no display

    width, height = size
    figure = Figure(figsize=size)
    box = (left / width, bottom / height, (width - left - right) / width, (height - bottom - 0.1) / height)
    return figure, figure.add_axes(box)


def _logarithmic(axis: Any, which: str) -> None:
    """A logarithmic axis without minor ticks, which take long to draw and say little; call it last.

    Within two decades 2 and 5 are ticks as well, so that a narrow range has more than one.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    (axis.set_xscale if which == "x" else axis.set_yscale)("log")
    side = axis.xaxis if which == "x" else axis.yaxis
    low, high = axis.get_xlim() if which == "x" else axis.get_ylim()
    if 0 < low < high < 100 * low:
        side.set_major_locator(LogLocator(subs=(1, 2, 5)))
    side.set_minor_locator(NullLocator())
    _thousands(side)


def _thousands(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    """A number for an axis: 1500 as 1.5k."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{suffix}"
    return f"{value:g}"


def _log_bins(samples: Sequence[Numbers], bins: int) -> Floats:
    low = max(1.0, min(float(sample.min()) for sample in samples))
    high = max(low * 2, max(float(sample.max()) for sample in samples))
    return np.geomspace(low, high * 1.0001, bins + 1)


def lengths(samples: Mapping[str, Integers], label: str, *, bins: int = 40) -> Figure:
    """Histogram of lengths on a logarithmic axis: filled for one run, outlines of shares for several."""
    figure, axis = _figure()
    shown = {name: sample[sample > 0] for name, sample in samples.items() if (sample > 0).any()}
    edges = _log_bins(list(shown.values()), bins)
    _histogram(axis, shown, edges)
    _logarithmic(axis, "x")
    axis.set_xlabel(label)
    return figure


def scores(samples: Mapping[str, Floats], label: str) -> Figure:
    """Histogram of scores from 0 to 1."""
    figure, axis = _figure()
    _histogram(axis, samples, np.linspace(0, 1, 41))
    axis.set_xlim(0, 1)
    axis.set_xlabel(label)
    return figure


def _histogram(axis: Axes, samples: Mapping[str, Numbers], edges: Floats) -> None:
    several = len(samples) > 1
    for number, (name, sample) in enumerate(samples.items()):
        counts, _ = np.histogram(sample, edges)
        heights = counts / max(1, counts.sum()) if several else counts
        colour = PALETTE[number % len(PALETTE)]
        if several:
            style = _LINES[number % len(_LINES)]
            axis.stairs(heights, edges, color=colour, linewidth=1.5, linestyle=style, label=name)
        else:
            axis.stairs(heights, edges, color=colour, fill=True)
    axis.set_ylim(bottom=0)
    _numbers(axis, several)
    _legend(axis, several)


def _numbers(axis: Axes, several: bool) -> None:
    """The upright axis of a histogram: whole numbers of one run, shares of several."""
    from matplotlib.ticker import MaxNLocator

    if not several:
        axis.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    _thousands(axis.yaxis)
    axis.set_ylabel("share" if several else "number")


def _legend(axis: Axes, several: bool) -> None:
    if several:
        axis.legend(fontsize=7.5, handlelength=2.6)


def counts_of(samples: Mapping[str, Integers], label: str, most: int = 15) -> Figure:
    """Bars of small whole numbers (exons a gene); what is beyond `most` shares the last bar."""
    figure, axis = _figure()
    several = len(samples) > 1
    width = 0.85 / len(samples)
    top = min(most, max(int(sample.max()) for sample in samples.values()))
    for number, (name, sample) in enumerate(samples.items()):
        counts = np.bincount(np.minimum(sample, top), minlength=top + 1)[1:]
        heights = counts / max(1, counts.sum()) if several else counts
        at = np.arange(1, top + 1) + (number - (len(samples) - 1) / 2) * width
        axis.bar(at, heights, width, color=PALETTE[number % len(PALETTE)], label=name)
    ticks = range(1, top + 1, -(-top // 8))
    axis.set_xticks(list(ticks), [f"{n}" if n < most else f"{most}+" for n in ticks])
    _numbers(axis, several)
    axis.set_xlabel(label)
    _legend(axis, several)
    return figure


def bars(
    groups: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    label: str,
    *,
    wide: bool = False,
    top: float | None = None,
) -> Figure:
    """Grouped bars with their values written above; `top` is where the axis ends."""
    figure, axis = _figure((8.2, 2.8) if wide else SMALL)
    width = 0.85 / len(series)
    for number, (name, values) in enumerate(series.items()):
        at = np.arange(len(groups)) + (number - (len(series) - 1) / 2) * width
        drawn = axis.bar(at, [value or 0 for value in values], width, color=PALETTE[number % len(PALETTE)], label=name)
        if len(groups) * len(series) <= 36:
            texts = ["" if value is None else _written(value) for value in values]
            axis.bar_label(drawn, texts, fontsize=7, padding=1, color=INK)
    axis.set_xticks(range(len(groups)), list(groups))
    axis.margins(y=0.15)
    if top is not None:
        axis.set_ylim(0, top)
    _thousands(axis.yaxis)
    axis.set_ylabel(label)
    _legend(axis, len(series) > 1)
    return figure


def _written(value: float) -> str:
    return f"{value:.2f}" if 0 < abs(value) <= 1 and value != 1 else short(round(value, 2))


def cumulative(descending: Mapping[str, Integers]) -> Figure:
    """Nx curve: the length of the contig with which each share of all bases is reached."""
    figure, axis = _figure()
    for number, (name, sample) in enumerate(descending.items()):
        shares = np.cumsum(sample) / sample.sum()
        chosen = np.unique(np.minimum(np.searchsorted(shares, np.linspace(0, 1, 300)), sample.size - 1))
        x = np.concatenate(([0.0], 100 * shares[chosen]))
        y = np.concatenate((sample[:1], sample[chosen]))
        style = _LINES[number % len(_LINES)]
        colour = PALETTE[number % len(PALETTE)]
        axis.plot(x, y, drawstyle="steps-pre", color=colour, linestyle=style, linewidth=1.6, label=name)
    _logarithmic(axis, "y")
    low, high = (min(float(s[-1]) for s in descending.values()), max(float(s[0]) for s in descending.values()))
    axis.set_ylim(low / 1.6, high * 1.6)
    axis.set_xlim(0, 100)
    axis.axvline(50, color=GRID, linewidth=1)
    axis.set_xlabel("% of bases in contigs at least this long")
    axis.set_ylabel("contig length (bp)")
    _legend(axis, len(descending) > 1)
    return figure


def logo(counts: NDArray[np.int64], exonic: int, *, donor: bool) -> Figure:
    """Sequence logo of a splice site; exonic bases stand on a shaded ground.

    Args:
        counts: shape (positions, 4).
        exonic: number of exonic positions, first for a donor and last for an acceptor.
        donor: whether the exon stands on the left.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    figure, axis = _figure()
    heights = information(counts)
    font = FontProperties(family="DejaVu Sans", weight="bold")
    glyphs = [TextPath((0, 0), letter, size=1, prop=font) for letter in "ACGT"]
    for position, row in enumerate(heights):
        bottom = 0.0
        for base in np.argsort(row).tolist():
            if row[base] < 0.01:
                continue
            box = glyphs[base].get_extents()
            shape = Affine2D().translate(-box.x0, -box.y0).scale(0.9 / box.width, row[base] / box.height)
            path = glyphs[base].transformed(shape.translate(position + 0.05, bottom))
            axis.add_artist(PathPatch(path, facecolor=BASE_COLOURS[base], edgecolor="none"))
            bottom += row[base]
    positions = len(heights)
    border = exonic if donor else positions - exonic
    span = (0, border) if donor else (border, positions)
    axis.axvspan(*span, color=GRID, alpha=0.5, linewidth=0, zorder=0)
    axis.set_xlim(0, positions)
    axis.set_ylim(0, 2.05)
    places = list(range(-border, 0)) + list(range(1, positions - border + 1))
    step = 1 if positions <= 10 else 2
    at = [i for i, place in enumerate(places) if step == 1 or place % 2 or abs(place) < 2]
    axis.set_xticks([i + 0.5 for i in at], [f"{places[i]:+d}" for i in at], fontsize=7.5)
    axis.tick_params(axis="x", length=0)
    axis.set_ylabel("bits")
    axis.set_xlabel("exon  |  intron (bases from the border)" if donor else "intron  |  exon (bases from the border)")
    return figure


def spreads(rows: Mapping[str, Distribution], colours: Mapping[str, str], label: str, *, log: bool) -> Figure:
    """A bar for each sample from its 5 % to its 95 % quantile, thick from 25 % to 75 %, with a mark at the median."""
    figure, axis = _figure((4.6, 0.75 + 0.27 * len(rows)), left=0.25 + 0.067 * max(map(len, rows)))
    for number, (name, distribution) in enumerate(rows.items()):
        low, first, median, third, high = distribution.quantiles
        axis.plot([low, high], [number, number], color=colours[name], linewidth=1.6)
        axis.plot([first, third], [number, number], color=colours[name], linewidth=8, solid_capstyle="butt")
        axis.plot([median], [number], marker="|", markersize=11, markeredgewidth=2.2, color=INK)
    axis.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    if log:
        _logarithmic(axis, "x")
    else:
        axis.set_xlim(0, 1.01)
    axis.grid(axis="x")
    axis.set_xlabel(label)
    return figure


def distances(samples: Mapping[str, Integers], colours: Mapping[str, str], reach: int = 5000) -> Figure:
    """Where element calls lie around gene starts: density by signed distance."""
    figure, axis = _figure((8.2, 2.6))
    edges = np.linspace(-reach, reach, 81)
    for number, (name, sample) in enumerate(samples.items()):
        counts, _ = np.histogram(sample, edges)
        style = _LINES[number % len(_LINES)]
        axis.stairs(counts, edges, color=colours[name], linewidth=1.5, linestyle=style, label=name)
    axis.axvline(0, color=MUTED, linewidth=1, linestyle=":")
    axis.set_xlim(-reach, reach)
    axis.set_ylim(bottom=0)
    _thousands(axis.xaxis)
    _thousands(axis.yaxis)
    axis.set_xlabel("bases from the nearest gene start (upstream is negative)")
    axis.set_ylabel("calls")
    _legend(axis, True)
    return figure


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], labels: tuple[str, str], *, diagonal: bool
) -> Figure:
    """Curves in the unit square: reliability, precision and recall."""
    figure, axis = _figure((5.6, 3.2), right=0.4 + 0.062 * max(map(len, lines)))
    if diagonal:
        axis.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
    for number, (name, (x, y)) in enumerate(lines.items()):
        colour = PALETTE[number % len(PALETTE)]
        axis.plot(
            x,
            y,
            color=colour,
            linestyle=_LINES[number // len(PALETTE) % len(_LINES)],
            marker="osD^v<>P"[number % 8] if diagonal else None,
            markersize=3.5,
            linewidth=1.3,
            label=name,
        )
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1.01)
    axis.set_xlabel(labels[0])
    axis.set_ylabel(labels[1])
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
