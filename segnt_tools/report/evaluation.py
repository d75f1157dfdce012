"""What `segnt evaluate` found, as tables and curves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from segnt_tools.report import charts
from segnt_tools.report.folder import mapping
from segnt_tools.report.markup import absent, folded, grid, listed, paragraph, table
from segnt_tools.report.runs import Run
from segnt_tools.report.sections import Place

_MOST_CURVES = 8
_METRICS = {
    "present": "Present",
    "called": "Called",
    "mcc": "MCC",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "auprc": "auPRC",
    "sov99": "SOV'99",
    "sov_refine": "SOV_refine",
    "calibration_error_called": "Error",
}
_VIEWS = {"cds": "coding parts", "exon": "whole exons with exact ends"}


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
    yield from _gene_scores(predictions, place)
    yield from _elements(predictions, place)
    notes = [f"{one.get('name')}: {note}" for one in predictions for note in one.get("notes", [])]
    if notes:
        yield listed(notes)


def gene_f1(run: Run) -> dict[str, float]:
    """F1 of coding parts by level, of the first prediction with gene models that the run's evaluation scored."""
    for one in run.folder.evaluation.get("predictions", []):
        levels = mapping(mapping(mapping(one).get("genes")).get("cds"))
        if levels:
            scores = {level: mapping(found).get("f1") for level, found in levels.items()}
            return {level: float(value) for level, value in scores.items() if isinstance(value, int | float)}
    return {}


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
        drawing = charts.bars(names, series, "F1", wide=True, top=1.09)
        yield place.draw(drawing, f"F1, {name_of_view}", text, wide=True)
        keys = ("truth", "predicted", "right", "sensitivity", "precision", "f1")
        rows = [
            (f"{name}, {level.replace('_', ' ')}", *(_number(mapping(found.get(level)).get(key)) for key in keys))
            for level in levels
            for name, found in scored.items()
        ]
        header = ("Prediction, level", "In truth", "Predicted", "Right", "Sensitivity", "Precision", "F1")
        yield table(f"Gene finding, {name_of_view}", header, rows, numeric=range(1, 7))


def _gene_scores(predictions: list[dict[str, Any]], place: Place) -> Iterator[str]:
    """Whether the scores of gene models mean what they say."""
    scored = [
        (str(one.get("name")), level, mapping(found))
        for one in predictions
        for level, found in mapping(one.get("gene_scores")).items()
    ]
    if not scored:
        return
    yield place.heading("Can the scores of gene models be trusted?")
    yield paragraph(
        "What scores 0.8 should be right eight times of ten: exons (coding parts) with both ends, transcripts with all "
        "coding parts, genes base by base. The error is the mean distance from that."
    )
    several = len({name for name, _, _ in scored}) > 1
    labels = [f"{level} ({name})" if several else level for name, level, _ in scored]
    rows = [
        (label, str(found.get("unit", "")), *(_number(found.get(key)) for key in ("scored", "expected_error")))
        for label, (_, _, found) in zip(labels, scored, strict=True)
    ]
    yield table("Scores of gene models", ("Score of", "Counted", "Number", "Error"), rows, numeric=(2, 3))
    found = [(label, one) for label, (_, _, one) in zip(labels, scored, strict=True)]
    yield grid(_curves(found, "scores of gene models", place), pairs=True)


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
    order = {track: number for number, track in enumerate(dict.fromkeys(track for _, track, _ in scored))}
    scored.sort(key=lambda row: order[row[1]])  # predictions side by side
    labelled = [(f"{track} ({name})" if several else track, found) for name, track, found in scored]
    tracks = {(name, track) for name, track, _ in scored}
    # Where strands were scored joined as well, the joined ones come first and are drawn.
    apart = [(name, track.rstrip("+-")) in tracks - {(name, track)} for name, track, _ in scored]
    joined = [row for row, strand in zip(labelled, apart, strict=True) if not strand]
    yield _element_table("Elements", joined)
    if any(apart):
        strands = [row for row, strand in zip(labelled, apart, strict=True) if strand]
        yield folded("Each strand", _element_table("Elements, each strand", strands))
    joined.sort(key=lambda row: -(row[1].get("present") or 0))
    yield grid(_curves(joined, "tracks", place), pairs=True)


def _element_table(caption: str, scored: list[tuple[str, dict[str, Any]]]) -> str:
    metrics = {key: label for key, label in _METRICS.items() if any(key in found for _, found in scored)}
    rows = [
        (label, *("\N{EN DASH}" if found.get(key) is None else _number(found[key]) for key in metrics))
        for label, found in scored
    ]
    header = ("Track", *metrics.values())
    caption += (
        ": bases present in the truth and called, scores at the threshold; error: of the probabilities called; "
        "\N{EN DASH}: not defined, because the truth or the prediction lacks what it needs"
    )
    return table(caption, header, rows, numeric=range(1, len(metrics) + 1), sortable=True)


def _curves(scored: list[tuple[str, dict[str, Any]]], what: str, place: Place) -> Iterator[str]:
    """Reliability, and precision and recall, of the first ones that have them."""
    for key, title, axes, columns in (
        ("reliability", "Reliability", ("predicted probability", "share right"), ("mean_probability", "observed")),
        ("precision_recall", "Precision and recall", ("recall", "precision"), ("recall", "precision")),
    ):
        lines: dict[str, tuple[list[float], list[float]]] = {}
        left_out = 0
        for label, found in scored:
            points = [mapping(point) for point in found.get(key) or ()]
            points = [point for point in points if all(point.get(column) is not None for column in columns)]
            if not points:
                continue
            if len(lines) == _MOST_CURVES:
                left_out += 1
                continue
            x, y = ([float(point[column]) for point in points] for column in columns)
            lines[label] = (x, y)
        if lines:
            drawing = charts.curves(lines, axes, diagonal=key == "reliability")
            more = f" (the {_MOST_CURVES} most frequent)" if left_out else ""
            yield place.draw(drawing, f"{title} of {what}{more}", f"Curves of {', '.join(lines)}.")


def _number(value: Any) -> str:
    if value is None:
        return "not defined"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
