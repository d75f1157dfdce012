"""Browser-style panels: probability tracks, gene models, existing annotation and element calls over a ruler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from segnt_tools.elements import Strand, element
from segnt_tools.gff.genemodel import Gene, Transcript
from segnt_tools.report.genes import score_of
from segnt_tools.report.intervals import Floats, Integers
from segnt_tools.report.loci import SILENT, DrawnTrack, LocusData
from segnt_tools.report.theme import GRID, INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 10.4
_LEFT, _RIGHT = 1.55, 0.32
_MODEL_COLOUR, _EXISTING_COLOUR = "#4477AA", "#777777"
# Heights of rows in inches.
_TRACK, _HALF_TRACK, _LANE, _BAND, _GAP = 0.30, 0.22, 0.27, 0.16, 0.06
_MOST_LANES = 8
MOST_ISOFORMS = 3
_STEPS = 25
_LETTER = 0.062


@dataclass
class _Panel:
    """A drawing whose vertical axis runs in inches from the top down."""

    axes: Axes
    data: LocusData
    at: float = 0.0
    labels: list[tuple[float, str]] = field(default_factory=list)

    @property
    def start(self) -> int:
        return self.data.locus.region.start

    @property
    def end(self) -> int:
        return self.data.locus.region.end

    @property
    def bases_per_inch(self) -> float:
        return (self.end - self.start) / (WIDTH - _LEFT - _RIGHT)

    def label(self, middle: float, text: str, colour: str = INK) -> None:
        """A name left of a row."""
        self.axes.text(
            -0.008, middle, text, transform=self.axes.get_yaxis_transform(), ha="right", va="center", fontsize=7.8,
            clip_on=False,
            color=colour,
        )  # fmt: skip


def draw_locus(data: LocusData) -> Figure:
    """The panel of a locus as a figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 3))
    axes = figure.add_axes((0, 0, 1, 1))
    panel = _Panel(axes, data)
    for draw in (_draw_models, _draw_existing, _draw_tracks, _draw_gaps):
        draw(panel)
    top, bottom = 0.34, 0.06
    height = panel.at + top + bottom
    figure.set_size_inches(WIDTH, height)
    axes.set_position((_LEFT / WIDTH, bottom / height, (WIDTH - _LEFT - _RIGHT) / WIDTH, panel.at / height))
    axes.set_xlim(panel.start, panel.end)
    axes.set_ylim(panel.at, 0)
    _ruler(axes)
    return figure


def _ruler(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.tick_top()
    axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(axis="x", labelsize=8)
    axes.set_yticks([])
    for side in ("left", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["top"].set_visible(True)
    axes.grid(axis="x")


# --- gene models


def _draw_models(panel: _Panel) -> None:
    _models(panel, panel.data.genes, "gene models", _MODEL_COLOUR)


def _draw_existing(panel: _Panel) -> None:
    if panel.data.existing is not None:
        _models(panel, panel.data.existing, "existing\nannotation", _EXISTING_COLOUR)


def _models(panel: _Panel, genes: Sequence[Gene], title: str, colour: str) -> None:
    panel.at += _GAP
    begin = panel.at
    if not genes:
        panel.axes.text(
            0.5, begin + _LANE / 2, "none here", transform=panel.axes.get_yaxis_transform(), ha="center", va="center",
            fontsize=7.5, color=MUTED,
        )  # fmt: skip
        panel.at += _LANE
    crowded = len(genes) > 60
    lanes = _lanes(panel, genes, crowded)
    lane_height = 0.12 if crowded else _LANE
    for lane, gene, transcript in lanes:
        _model(panel, gene, transcript, begin + lane * lane_height, colour, crowded)
    panel.at = max(panel.at, begin + (1 + max((lane for lane, _, _ in lanes), default=0)) * lane_height)
    panel.label((begin + panel.at) / 2, title)


def _lanes(panel: _Panel, genes: Sequence[Gene], crowded: bool) -> list[tuple[int, Gene, Transcript]]:
    """Transcripts in the first lane where neither they nor their names hide another."""
    free: list[float] = []
    placed = []
    for gene in genes:
        for transcript in gene.transcripts[:MOST_ISOFORMS]:
            named = not crowded and transcript is gene.transcripts[0]
            width = len(_name(gene)) * _LETTER * panel.bases_per_inch if named else 0
            start: float = max(transcript.start, panel.start)
            end: float = max(transcript.end, start + width)
            if start + width > panel.end:
                start, end = max(panel.start, min(transcript.end, panel.end) - width), panel.end
            end += 0.08 * panel.bases_per_inch
            lane = next((i for i, taken in enumerate(free) if taken <= start), len(free))
            if lane >= _MOST_LANES:
                continue
            free[lane : lane + 1] = [end]
            placed.append((lane, gene, transcript))
    return placed


def _name(gene: Gene) -> str:
    name = gene.attributes.get("Name", (gene.id,))[0].removeprefix("gene-")
    score = score_of(gene)
    return name if np.isnan(score) else f"{name} ({score:.2f})"


def _model(panel: _Panel, gene: Gene, transcript: Transcript, top: float, colour: str, crowded: bool) -> None:
    axes = panel.axes
    middle = top + (0.06 if crowded else 0.19)
    axes.plot([transcript.start, transcript.end], [middle, middle], color=colour, linewidth=0.9, zorder=2)
    half = 0.03 if crowded else 0.062
    for intervals, share in ((transcript.exons, 0.5 if transcript.cds else 1.0), (transcript.cds, 1.0)):
        # A box narrower than a pixel would vanish in the drawing.
        least = panel.bases_per_inch / 100
        boxes = [(start, max(end - start, least)) for start, end in intervals]
        axes.broken_barh(
            boxes, (middle - half * share, 2 * half * share), facecolors=colour, edgecolor="none", zorder=3
        )
    if crowded:
        return
    _arrows(panel, transcript, middle, colour)
    if transcript is not gene.transcripts[0]:
        return
    name = _name(gene)
    at, side = max(transcript.start, panel.start), "left"
    if at + len(name) * _LETTER * panel.bases_per_inch > panel.end:
        at, side = min(transcript.end, panel.end), "right"
    axes.text(at, top + 0.052, name, fontsize=6.8, ha=side, va="center", color=INK)


def _arrows(panel: _Panel, transcript: Transcript, middle: float, colour: str) -> None:
    if transcript.strand is Strand.NONE:
        return
    step = 0.22 * panel.bases_per_inch
    places = [
        place
        for start, end in transcript.introns
        if end - start > step / 2
        for place in np.arange(start + step / 4, end - step / 8, step).tolist()
        if panel.start < place < panel.end
    ]
    marker = (3, 0, -90) if transcript.strand is Strand.PLUS else (3, 0, 90)
    tip = transcript.end if transcript.strand is Strand.PLUS else transcript.start
    axes = panel.axes
    if places:
        axes.plot(places, [middle] * len(places), linestyle="", marker=marker, markersize=3, color=colour, zorder=3)
    if panel.start <= tip <= panel.end:
        axes.plot([tip], [middle], marker=marker, markersize=6.5, color=colour, zorder=4, markeredgewidth=0)


# --- tracks and element calls


def _draw_tracks(panel: _Panel) -> None:
    for name, group in groupby(panel.data.tracks, key=lambda one: one.track.element):
        _track(panel, name, list(group))
    drawn = {one.track.element for one in panel.data.tracks}
    for name, calls in panel.data.calls.items():
        if name not in drawn:
            panel.at += _GAP
            panel.label(panel.at + _BAND / 2, f"{name} calls", MUTED)
            _calls(panel, calls, panel.at + _BAND / 2, element(name).colour)
            panel.at += _BAND


def _track(panel: _Panel, name: str, tracks: Sequence[DrawnTrack]) -> None:
    """Plus strand upwards, minus strand downwards from a common base line; a thin bar shows what was called.

    A strand where nothing happens takes no room.
    """
    panel.at += _GAP
    colour = element(name).colour
    stranded = any(one.track.strand is not Strand.NONE for one in tracks)
    heard = {one.track.strand for one in tracks if one.peak >= SILENT} or {Strand.PLUS}
    height = _HALF_TRACK if stranded and len(heard) > 1 else _TRACK
    up = 0.0 if heard == {Strand.MINUS} else height
    down = height if Strand.MINUS in heard else 0.0
    base = panel.at + up
    for one in tracks:
        if one.track.strand in heard:
            _curve(panel, one.values, base, down if one.track.strand is Strand.MINUS else -up, colour)
    panel.axes.plot([panel.start, panel.end], [base, base], color=MUTED, linewidth=0.5, zorder=1)
    bottom = base + down
    panel.label((panel.at + bottom) / 2, name)
    if stranded:
        for sign, room, place in (("+", up, base - up / 2), ("\N{MINUS SIGN}", down, base + down / 2)):
            if room:
                _sign(panel, sign, place)
    if name in panel.data.calls:
        _calls(panel, panel.data.calls[name], bottom + 0.045, colour)
        bottom += 0.07
    panel.at = bottom


def _sign(panel: _Panel, sign: str, place: float) -> None:
    transform = panel.axes.get_yaxis_transform()
    panel.axes.text(1.004, place, sign, transform=transform, fontsize=7, va="center", color=MUTED)


def _curve(panel: _Panel, values: Floats, base: float, height: float, colour: str) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    outlines = list(_outlines(values, panel.start, panel.end, base, height))
    if outlines:
        path = Path.make_compound_path(*(Path(outline, closed=True) for outline in outlines))
        # Unlike add_patch this does not measure the outline, whose limits are known.
        panel.axes.add_artist(PathPatch(path, facecolor=colour, edgecolor="none", zorder=2))


def _outlines(values: Floats, start: int, end: int, base: float, height: float) -> Iterator[Floats]:
    """Steps of equal height as closed outlines, one for every stretch above 0; few points where little happens."""
    levels = np.nan_to_num(np.round(values * _STEPS)).astype(np.int64)
    edges = np.linspace(start, end, values.size + 1)
    change = np.flatnonzero(np.diff(levels, prepend=-1))
    lefts, rights = edges[change], edges[np.append(change[1:], values.size)]
    heights = base + height * levels[change] / _STEPS
    for above, runs in groupby(range(change.size), key=lambda i: levels[change[i]] > 0):
        if above:
            rows = list(runs)
            x = np.repeat(np.append(lefts[rows], rights[rows[-1]]), 2)
            y = np.concatenate(([base], np.repeat(heights[rows], 2), [base]))
            yield np.column_stack((np.append(x, x[0]), np.append(y, base)))


def _calls(panel: _Panel, calls: tuple[Integers, Integers], middle: float, colour: str) -> None:
    starts, ends = (np.clip(values, panel.start, panel.end) for values in calls)
    least = panel.bases_per_inch / 72
    widths = np.maximum(ends - starts, least)
    panel.axes.broken_barh(
        list(zip(starts.tolist(), widths.tolist(), strict=True)), (middle - 0.02, 0.04), facecolors=colour,
        edgecolor="none", zorder=3,
    )  # fmt: skip


def _draw_gaps(panel: _Panel) -> None:
    for start, end in panel.data.gaps.tolist():
        panel.axes.axvspan(start, end, color=GRID, alpha=0.8, linewidth=0, zorder=0)
