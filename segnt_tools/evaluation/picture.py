"""The picture of an evaluation: F1 by level of gene finding, MCC by element, reliability, precision-recall."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segnt_tools.elements import ELEMENTS
from segnt_tools.evaluation.calibration import Calibration
from segnt_tools.evaluation.curves import CurvePoint
from segnt_tools.evaluation.results import PredictionScores

# Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_LEVEL_NAMES = {"intron_chain": "intron\nchain"}
_MOST_CURVES = 8
_MARKERS = "osD^v<>P"

_Panel = Callable[[Any, Sequence[PredictionScores]], None]


@dataclass(frozen=True, slots=True)
class _Curves:
    """Both curves of a track, or of a level of gene models' scores."""

    label: str
    colour: str | None
    reliability: Calibration | None
    precision_recall: tuple[CurvePoint, ...]


def draw(predictions: Sequence[PredictionScores], path: Path, caption: str) -> None:
    """Write a PNG with a panel for each kind of score that there is."""
    from matplotlib.figure import Figure  # drawn without pyplot: no global state, no display

    bars, curves = _bar_panels(predictions), list(_curve_rows(predictions))
    rows = len(bars) + len(curves)
    figure = Figure(figsize=(9.0, 0.6 + 3.4 * len(bars) + 3.9 * len(curves)), dpi=130, layout="constrained")
    grid = figure.add_gridspec(rows, 2, height_ratios=[3.4] * len(bars) + [3.9] * len(curves))
    for row, panel in enumerate(bars):
        panel(figure.add_subplot(grid[row, :]), predictions)
    for row, (title, shown) in enumerate(curves, len(bars)):
        left, right = figure.add_subplot(grid[row, 0]), figure.add_subplot(grid[row, 1])
        _draw_curves(left, right, title, shown)
    figure.suptitle(caption, fontsize=9)
    figure.savefig(path, metadata={"Software": None})


def _bar_panels(predictions: Sequence[PredictionScores]) -> list[_Panel]:
    panels: list[_Panel] = []
    if any(prediction.genes for prediction in predictions):
        panels.append(_draw_genes)
    if any(prediction.elements for prediction in predictions):
        panels.append(_draw_elements)
    return panels


def _curve_rows(predictions: Sequence[PredictionScores]) -> Iterator[tuple[str, list[_Curves]]]:
    """Title and curves of each row: scores of gene models, then tracks, the most frequent ones."""
    models = [(p, trust) for p in predictions for trust in p.gene_scores]
    several = len({p.name for p, _ in models}) > 1
    shown = [
        _Curves(f"{trust.level} ({p.name})" if several else trust.level, None, trust.calibration, trust.curve)
        for p, trust in models
    ]
    if shown:
        yield "scores of gene models", shown[:_MOST_CURVES]
    tracks = [(p, scores) for p in predictions for scores in p.shown_elements if scores.curve or scores.calibration]
    tracks.sort(key=lambda pair: -(pair[1].confusion.tp + pair[1].confusion.fn))
    several = len({p.name for p, _ in tracks}) > 1
    shown = []
    for p, scores in tracks[:_MOST_CURVES]:
        known = ELEMENTS.get(scores.track.rstrip("+-"))
        colour = None if several or known is None else known.colour
        label = f"{scores.track} ({p.name})" if several else scores.track
        shown.append(_Curves(label, colour, scores.calibration, scores.curve))
    if shown:
        yield "tracks" + (f" (the {_MOST_CURVES} most frequent)" if len(tracks) > _MOST_CURVES else ""), shown


def _bars(axis: Any, groups: Sequence[str], series: dict[str, list[float | None]]) -> None:
    width = 0.8 / len(series)
    for i, (name, values) in enumerate(series.items()):
        at = [g + (i - (len(series) - 1) / 2) * width for g in range(len(groups))]
        heights = [0.0 if value is None else value for value in values]
        bars = axis.bar(at, heights, width, label=name, color=_COLOURS[i % len(_COLOURS)])
        if len(groups) * len(series) <= 30:
            axis.bar_label(bars, ["" if value is None else f"{value:.2f}" for value in values], fontsize=7, padding=1)
    axis.set_xticks(range(len(groups)), groups)
    axis.set_ylim(0, 1.08)
    axis.spines[["top", "right"]].set_visible(False)
    if len(series) > 1:
        axis.legend(fontsize=8, frameon=False, ncols=min(4, len(series)), loc="upper right", bbox_to_anchor=(1, 1.16))


def _draw_genes(axis: Any, predictions: Sequence[PredictionScores]) -> None:
    scored = {p.name: p.genes[0].levels for p in predictions if p.genes}
    levels = list(next(iter(scored.values())))
    _bars(
        axis,
        [_LEVEL_NAMES.get(level, level) for level in levels],
        {name: [values[level].f1 for level in levels] for name, values in scored.items()},
    )
    axis.set_ylabel("F1")
    axis.set_title("Gene finding, coding parts", loc="left", fontsize=10)


def _draw_elements(axis: Any, predictions: Sequence[PredictionScores]) -> None:
    tracks = list(dict.fromkeys(scores.track for p in predictions for scores in p.shown_elements))
    series = {}
    for prediction in predictions:
        if prediction.elements:
            by_track = {scores.track: scores.confusion.mcc for scores in prediction.shown_elements}
            series[prediction.name] = [by_track.get(track) for track in tracks]
    _bars(axis, tracks, series)
    undefined = [i for i, t in enumerate(tracks) if all(values[i] is None for values in series.values())]
    for i in undefined:
        axis.text(i, 0.02, "not defined", rotation=90, ha="center", va="bottom", fontsize=7, color="#777777")
    lowest = min((value for values in series.values() for value in values if value is not None), default=0.0)
    axis.set_ylim(min(0.0, lowest * 1.1), 1.08)
    axis.tick_params(axis="x", labelsize=8)
    if len(tracks) > 6:
        for label in axis.get_xticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")
    axis.set_ylabel("MCC at the threshold")
    axis.set_title("Elements, base by base", loc="left", fontsize=10)


def _draw_curves(left: Any, right: Any, title: str, curves: Sequence[_Curves]) -> None:
    """Reliability on the left, precision and recall on the right, one legend for both."""
    left.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
    for i, one in enumerate(curves):
        style: dict[str, Any] = {
            "color": one.colour or _COLOURS[i % len(_COLOURS)],
            "marker": _MARKERS[i % len(_MARKERS)],
        }
        style |= {"markersize": 3, "linewidth": 1.2}
        bins = one.reliability.curve if one.reliability else ()
        left.plot([b.mean_probability for b in bins], [b.observed for b in bins], **style)
        points = one.precision_recall
        every = max(1, len(points) // 10)
        right.plot([p.recall for p in points], [p.precision for p in points], label=one.label, markevery=every, **style)
    for axis, name, x, y in (
        (left, "Reliability", "predicted probability", "share right"),
        (right, "Precision and recall", "recall", "precision"),
    ):
        axis.set_xlim(0, 1.01)
        axis.set_ylim(0, 1.01)
        axis.set_box_aspect(1)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel(x)
        axis.set_ylabel(y)
        axis.set_title(f"{name}, {title}" if axis is left else name, loc="left", fontsize=10)
    right.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5))
