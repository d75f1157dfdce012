"""What `segnt evaluate` found, as tables and curves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from segnt_tools.report import charts
from segnt_tools.report.folder import mapping
from segnt_tools.report.markup import absent, grid, listed, paragraph, table
from segnt_tools.report.runs import Run
from segnt_tools.report.sections import Place

_MOST_CURVES = 8
_METRICS = {
    "present": "Bases present",
    "called": "Bases called",
    "mcc": "MCC",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "auprc": "Area under P-R",
    "sov99": "SOV'99",
    "sov_refine": "SOV_refine",
    "calibration_error_called": "Calibration error",
}
_VIEWS = {"cds": "coding parts", "exon": "whole exons"}


def evaluation_section(run: Run, place: Place) -> str:
    """Tables, precision-recall, reliability and comparison of predictors."""
    return place.section("evaluation", "Evaluation", _evaluation(run, place))


def _evaluation(run: Run, place: Place) -> Iterator[str]:
    values = run.folder.evaluation
    predictions = [one for one in values.get("predictions", []) if isinstance(one, dict)] if values else []
    if not predictions:
        yield absent("segnt evaluate was not run, or its evaluate.json is not in the run folder.")
        return
    where = ", ".join(map(str, values.get("regions") or ())) or "the whole genome"
    yield paragraph(f"Compared with {values.get('truth', 'a reference')} over {where}.")
    yield from _genes(predictions, place)
    yield from _elements(predictions, place)
    notes = [f"{one.get('name')}: {note}" for one in predictions for note in one.get("notes", [])]
    if notes:
        yield listed(notes)


def _genes(predictions: list[dict[str, Any]], place: Place) -> Iterator[str]:
    for view in dict.fromkeys(view for one in predictions for view in mapping(one.get("genes"))):
        scored = {str(one.get("name")): mapping(mapping(one.get("genes")).get(view)) for one in predictions}
        scored = {name: levels for name, levels in scored.items() if levels}
        name_of_view = _VIEWS.get(view, view)
        yield place.heading(f"Gene finding, {name_of_view}")
        levels = list(dict.fromkeys(level for found in scored.values() for level in found))
        series = {name: [mapping(found.get(level)).get("f1") for level in levels] for name, found in scored.items()}
        text = "; ".join(
            f"{name}: " + ", ".join(f"{level} {_number(value)}" for level, value in zip(levels, row, strict=True))
            for name, row in series.items()
        )
        names = [level.replace("_", " ") for level in levels]
        yield place.draw(charts.bars(names, series, "F1", wide=True), f"F1, {name_of_view}", text, wide=True)
        keys = ("truth", "predicted", "right", "sensitivity", "precision", "f1")
        rows = [
            (f"{name}, {level.replace('_', ' ')}", *(_number(mapping(found.get(level)).get(key)) for key in keys))
            for level in levels
            for name, found in scored.items()
        ]
        header = ("Prediction, level", "In truth", "Predicted", "Right", "Sensitivity", "Precision", "F1")
        yield table(f"Gene finding, {name_of_view}", header, rows, numeric=range(1, 7))


def _elements(predictions: list[dict[str, Any]], place: Place) -> Iterator[str]:
    scored = [
        (str(one.get("name")), track, mapping(found))
        for one in predictions
        for track, found in mapping(one.get("elements")).items()
    ]
    if not scored:
        return
    yield place.heading("Elements, base by base")
    several = len({name for name, _, _ in scored}) > 1
    metrics = {key: label for key, label in _METRICS.items() if any(key in found for _, _, found in scored)}
    rows = [
        (f"{track} ({name})" if several else track, *(_number(found.get(key)) for key in metrics))
        for name, track, found in scored
    ]
    yield table("Elements", ("Track", *metrics.values()), rows, numeric=range(1, len(metrics) + 1), sortable=True)
    scored.sort(key=lambda row: -(row[2].get("present") or 0))
    yield grid(_curves(scored, several, place))


def _curves(scored: list[tuple[str, str, dict[str, Any]]], several: bool, place: Place) -> Iterator[str]:
    for key, title, axes, columns in (
        ("reliability", "Reliability", ("predicted probability", "share present"), ("mean_probability", "observed")),
        ("precision_recall", "Precision and recall", ("recall", "precision"), ("recall", "precision")),
    ):
        lines: dict[str, tuple[list[float], list[float]]] = {}
        for name, track, found in scored:
            points = [mapping(point) for point in found.get(key) or ()]
            points = [point for point in points if all(point.get(column) is not None for column in columns)]
            if points and len(lines) < _MOST_CURVES:
                label = f"{track} ({name})" if several else track
                x, y = ([float(point[column]) for point in points] for column in columns)
                lines[label] = (x, y)
        if lines:
            drawing = charts.curves(lines, axes, diagonal=key == "reliability")
            text = f"Curves of {', '.join(lines)}."
            more = "" if len(scored) <= _MOST_CURVES else f" (the {_MOST_CURVES} most frequent tracks)"
            yield place.draw(drawing, title, text, caption=f"{title}{more}")


def _number(value: Any) -> str:
    if value is None:
        return "not defined"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
