"""What an evaluation found, as data classes that know their JSON and TSV form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from segnt_tools.evaluation.calibration import Calibration
from segnt_tools.evaluation.curves import CurvePoint
from segnt_tools.evaluation.gene_errors import CLASSES as GENE_ERROR_CLASSES
from segnt_tools.evaluation.gene_errors import GeneErrors
from segnt_tools.evaluation.gene_scores import ScoreTrust
from segnt_tools.evaluation.genes import GeneScores
from segnt_tools.evaluation.metrics import Confusion
from segnt_tools.evaluation.sov import SovPair

Number = float | int | None
NOT_DEFINED = "not defined"

# Columns of elements.tsv, in order.
ELEMENT_METRICS = (
    "bases",
    "masked",
    "present",
    "called",
    "mcc",
    "f1",
    "jaccard",
    "precision",
    "recall",
    "auprc",
    "best_mcc",
    "best_threshold",
    "sov99",
    "sov_refine",
    "sov99_both_states",
    "sov_refine_both_states",
    "calibration_error",
    "calibration_error_called",
)


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation of a metric over the samplings."""

    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class ElementScores:
    """Scores of one track of one prediction.

    Attributes:
        track: name of the track (`exon`, `exon+`).
        masked: bases left out because their truth is unknown.
        confusion: counts at the threshold.
        auprc, best_mcc, best_threshold: None for intervals, which have no probabilities.
        sov: segment overlap sums at the threshold.
        calibration: None for intervals.
        curve: precision and recall by threshold; empty for intervals.
        samplings: mean and deviation over the samplings, by metric.
    """

    track: str
    masked: int
    confusion: Confusion
    auprc: float | None = None
    best_mcc: float | None = None
    best_threshold: float | None = None
    sov: SovPair = field(default_factory=SovPair)
    calibration: Calibration | None = None
    curve: tuple[CurvePoint, ...] = ()
    samplings: dict[str, Spread] = field(default_factory=dict)

    def metric(self, name: str) -> Number:
        """A metric by its column name; None where it is not defined."""
        counts = self.confusion
        defined = counts.defined
        values: dict[str, Number] = {
            "bases": counts.bases,
            "masked": self.masked,
            "present": counts.tp + counts.fn,
            "called": counts.tp + counts.fp,
            "mcc": counts.mcc,
            "f1": counts.f1,
            "jaccard": counts.jaccard,
            "precision": counts.precision,
            "recall": counts.recall,
            "auprc": self.auprc,
            "best_mcc": self.best_mcc,
            "best_threshold": self.best_threshold,
            "sov99": self.sov.sov99.class_score,
            "sov_refine": self.sov.refine.class_score,
            "sov99_both_states": self.sov.sov99.both_score if defined else None,
            "sov_refine_both_states": self.sov.refine.both_score if defined else None,
            "calibration_error": self.calibration.expected_error if self.calibration else None,
            "calibration_error_called": self.calibration.expected_error_called if self.calibration else None,
        }
        return values[name]

    def to_json(self) -> dict[str, Any]:
        """All metrics; what is not defined is null."""
        values: dict[str, Any] = {name: self.metric(name) for name in ELEMENT_METRICS}
        values["defined"] = self.confusion.defined
        values["samplings"] = {
            name: {"mean": spread.mean, "deviation": spread.deviation} for name, spread in self.samplings.items()
        }
        values["reliability"] = _reliability_json(self.calibration, "bases")
        values["precision_recall"] = _curve_json(self.curve)
        return values


@dataclass(frozen=True, slots=True)
class PredictionScores:
    """Everything about one prediction.

    Attributes:
        name: how tables and pictures call it.
        file: base name of its file.
        genes: gene-level scores, by view; empty unless both sides have gene models.
        gene_errors: reference genes by what is wrong with them.
        gene_scores: how far the scores of gene models can be trusted, by level; empty where they carry none.
        elements: per-base scores, in the order of the truth's tracks.
        notes: remarks for the reader (features left out, tracks without truth).
    """

    name: str
    file: str
    genes: tuple[GeneScores, ...] = ()
    gene_errors: GeneErrors | None = None
    gene_scores: tuple[ScoreTrust, ...] = ()
    elements: tuple[ElementScores, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def mean_mcc(self) -> float | None:
        """Plain mean of the MCC over the elements for which it is defined."""
        values = [scores.confusion.mcc for scores in self.elements if scores.confusion.mcc is not None]
        return sum(values) / len(values) if values else None

    @property
    def shown_elements(self) -> list[ElementScores]:
        """For pictures: tracks whose strands are also scored joined appear joined only."""
        tracks = {scores.track for scores in self.elements}
        return [s for s in self.elements if s.track.rstrip("+-") not in tracks - {s.track}]

    def to_json(self) -> dict[str, Any]:
        """The prediction's part of evaluate.json."""
        return {
            "name": self.name,
            "file": self.file,
            "genes": {scores.view: _levels_json(scores) for scores in self.genes},
            "gene_errors": {**self.gene_errors.classes, "false": self.gene_errors.false} if self.gene_errors else None,
            "gene_scores": {trust.level: _trust_json(trust) for trust in self.gene_scores},
            "elements": {scores.track: scores.to_json() for scores in self.elements},
            "mean_mcc": self.mean_mcc,
            "notes": list(self.notes),
        }


def _levels_json(scores: GeneScores) -> dict[str, Any]:
    return {
        name: {
            "truth": level.truth,
            "found": level.found,
            "predicted": level.predicted,
            "right": level.right,
            "sensitivity": level.sensitivity,
            "precision": level.precision,
            "f1": level.f1,
        }
        for name, level in scores.levels.items()
    }


def _trust_json(trust: ScoreTrust) -> dict[str, Any]:
    found = trust.calibration
    return {
        "unit": trust.unit,
        "scored": trust.scored,
        "expected_error": found.expected_error if found else None,
        "expected_error_called": found.expected_error_called if found else None,
        "reliability": _reliability_json(found, "count"),
        "precision_recall": _curve_json(trust.curve),
    }


def _reliability_json(found: Calibration | None, counted: str) -> list[dict[str, Number]]:
    """The bins of a reliability curve; `counted` is the key of what each holds."""
    return [
        {
            "low": entry.low,
            "high": entry.high,
            counted: entry.count,
            "mean_probability": entry.mean_probability,
            "observed": entry.observed,
        }
        for entry in (found.curve if found else ())
    ]


def _curve_json(curve: Iterable[CurvePoint]) -> list[dict[str, float]]:
    return [{"threshold": point.threshold, "precision": point.precision, "recall": point.recall} for point in curve]


def _text(value: Number) -> str:
    if value is None:
        return NOT_DEFINED
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in (header, *rows))


def genes_table(predictions: Sequence[PredictionScores]) -> str:
    """genes.tsv: one line for each prediction, view and level."""

    def rows() -> Iterator[list[str]]:
        for prediction in predictions:
            for scores in prediction.genes:
                for name, level in scores.levels.items():
                    counts = (level.truth, level.found, level.predicted, level.right)
                    rates = (level.sensitivity, level.precision, level.f1)
                    yield [prediction.name, scores.view, name, *map(_text, (*counts, *rates))]

    columns = ("truth", "found", "predicted", "right", "sensitivity", "precision", "f1")
    return _table(("prediction", "view", "level", *columns), rows())


def gene_errors_table(predictions: Sequence[PredictionScores]) -> str:
    """gene_errors.tsv: reference genes by what is wrong with them."""
    return _table(
        ("prediction", *GENE_ERROR_CLASSES, "false"),
        (
            [prediction.name, *map(str, prediction.gene_errors.classes.values()), str(prediction.gene_errors.false)]
            for prediction in predictions
            if prediction.gene_errors
        ),
    )


def elements_table(predictions: Sequence[PredictionScores]) -> str:
    """elements.tsv: one line for each prediction and track."""
    return _table(
        ("prediction", "track", *ELEMENT_METRICS),
        (
            [prediction.name, scores.track, *(_text(scores.metric(name)) for name in ELEMENT_METRICS)]
            for prediction in predictions
            for scores in prediction.elements
        ),
    )


def samplings_table(predictions: Sequence[PredictionScores]) -> str:
    """samplings.tsv: mean and deviation of metrics over the samplings."""
    return _table(
        ("prediction", "track", "metric", "mean", "deviation"),
        (
            [prediction.name, scores.track, metric, _text(spread.mean), _text(spread.deviation)]
            for prediction in predictions
            for scores in prediction.elements
            for metric, spread in scores.samplings.items()
        ),
    )


def reliability_table(predictions: Sequence[PredictionScores]) -> str:
    """reliability.tsv: the reliability curves of tracks and of gene models' scores."""
    return _table(
        ("prediction", "of", "name", "low", "high", "count", "mean_probability", "observed"),
        (
            [
                *names,
                *map(_text, (entry.low, entry.high, entry.count, entry.mean_probability, entry.observed)),
            ]
            for names, found, _ in _curves(predictions)
            for entry in (found.curve if found else ())
        ),
    )


def precision_recall_table(predictions: Sequence[PredictionScores]) -> str:
    """precision_recall.tsv: precision and recall by threshold, of tracks and of gene models' scores."""
    return _table(
        ("prediction", "of", "name", "threshold", "precision", "recall"),
        (
            [*names, *map(_text, (point.threshold, point.precision, point.recall))]
            for names, _, curve in _curves(predictions)
            for point in curve
        ),
    )


def _curves(
    predictions: Sequence[PredictionScores],
) -> Iterator[tuple[tuple[str, str, str], Calibration | None, tuple[CurvePoint, ...]]]:
    """Prediction, what a curve is of, its name there; reliability; precision and recall."""
    for one in predictions:
        for trust in one.gene_scores:
            yield (one.name, "gene models", trust.level), trust.calibration, trust.curve
        for scores in one.elements:
            yield (one.name, "track", scores.track), scores.calibration, scores.curve


def overview(predictions: Sequence[PredictionScores]) -> str:
    """The main figures for a terminal: F1 by level of gene finding, MCC and auPRC by track."""
    lines = []
    with_genes = [prediction for prediction in predictions if prediction.genes]
    if with_genes:
        levels = list(with_genes[0].genes[0].levels)
        lines.append("\t".join(("F1, coding parts", *levels)))
        for prediction in with_genes:
            values = prediction.genes[0].levels
            lines.append("\t".join((prediction.name, *(_text(values[level].f1) for level in levels))))
    for prediction in predictions:
        if prediction.elements:
            lines.append("\t".join((prediction.name, "MCC", "auPRC", "SOV'99")))
            lines += [
                "\t".join((scores.track, *(_text(scores.metric(name)) for name in ("mcc", "auprc", "sov99"))))
                for scores in prediction.elements
            ]
            lines.append(f"mean\t{_text(prediction.mean_mcc)}")
    return "\n".join(lines)
