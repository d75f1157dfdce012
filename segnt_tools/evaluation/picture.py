"""The picture of an evaluation: F1 by level of gene finding, MCC by element, reliability curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from segnt_tools.elements import ELEMENTS
from segnt_tools.evaluation.results import PredictionScores

# Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_LEVEL_NAMES = {"intron_chain": "intron\nchain"}
_MOST_CURVES = 8


def draw(predictions: Sequence[PredictionScores], path: Path, caption: str) -> None:
    """Write a PNG with a panel for each kind of score that there is."""
    from matplotlib.figure import Figure  # drawn without pyplot: no global state, no display

    panels = _panels(predictions)
    figure = Figure(figsize=(9.0, 0.6 + 3.6 * len(panels)), dpi=130, layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        panel(axis, predictions)
    figure.suptitle(caption, fontsize=9)
    figure.savefig(path, metadata={"Software": None})


def _panels(predictions: Sequence[PredictionScores]) -> list[Callable[[Any, Sequence[PredictionScores]], None]]:
    panels: list[Callable[[Any, Sequence[PredictionScores]], None]] = []
    if any(prediction.genes for prediction in predictions):
        panels.append(_draw_genes)
    if any(prediction.elements for prediction in predictions):
        panels.append(_draw_elements)
    if any(scores.calibration for prediction in predictions for scores in prediction.elements):
        panels.append(_draw_reliability)
    return panels


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
    tracks = list(dict.fromkeys(scores.track for p in predictions for scores in p.elements))
    series = {}
    for prediction in predictions:
        if prediction.elements:
            by_track = {scores.track: scores.confusion.mcc for scores in prediction.elements}
            series[prediction.name] = [by_track.get(track) for track in tracks]
    _bars(axis, tracks, series)
    undefined = [i for i, t in enumerate(tracks) if all(values[i] is None for values in series.values())]
    for i in undefined:
        axis.text(i, 0.02, "not defined", rotation=90, ha="center", va="bottom", fontsize=7, color="#777777")
    lowest = min((value for values in series.values() for value in values if value is not None), default=0.0)
    axis.set_ylim(min(0.0, lowest * 1.1), 1.08)
    axis.tick_params(axis="x", labelrotation=90 if len(tracks) > 6 else 0, labelsize=8)
    axis.set_ylabel("MCC at the threshold")
    axis.set_title("Elements, base by base", loc="left", fontsize=10)


def _draw_reliability(axis: Any, predictions: Sequence[PredictionScores]) -> None:
    curves = [(p.name, s) for p in predictions for s in p.elements if s.calibration]
    curves.sort(key=lambda pair: -(pair[1].confusion.tp + pair[1].confusion.fn))
    several = len({name for name, _ in curves}) > 1
    axis.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
    for i, (name, scores) in enumerate(curves[:_MOST_CURVES]):
        assert scores.calibration is not None
        known = ELEMENTS.get(scores.track.rstrip("+-"))
        axis.plot(
            [entry.mean_probability for entry in scores.calibration.curve],
            [entry.observed for entry in scores.calibration.curve],
            marker="o",
            markersize=3,
            linewidth=1.2,
            color=_COLOURS[i % len(_COLOURS)] if several or known is None else known.colour,
            label=f"{scores.track} ({name})" if several else scores.track,
        )
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_aspect("equal")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("predicted probability")
    axis.set_ylabel("share present")
    axis.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5))
    more = len(curves) - _MOST_CURVES
    axis.set_title(
        "Reliability" + (f" (the {_MOST_CURVES} most frequent tracks)" if more > 0 else ""), loc="left", fontsize=10
    )
