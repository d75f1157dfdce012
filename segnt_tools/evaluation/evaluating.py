"""A whole evaluation: every prediction against the reference, at the level of genes and base by base."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from segnt_tools.elements import ELEMENTS
from segnt_tools.errors import UsageError
from segnt_tools.evaluation.elements import ScoringOptions, score_tracks
from segnt_tools.evaluation.gene_errors import classify_genes
from segnt_tools.evaluation.gene_scores import trust_in_scores
from segnt_tools.evaluation.genes import VIEWS, compare_genes
from segnt_tools.evaluation.loading import (
    Kind,
    LoadedPrediction,
    PredictionInput,
    kind_of,
    load_annotation,
    load_prediction,
)
from segnt_tools.evaluation.predictions import Prediction
from segnt_tools.evaluation.results import ElementScores, PredictionScores
from segnt_tools.evaluation.truth import AnnotationTruth, LabelsFileTruth, Truth
from segnt_tools.labels.annotation import Annotation
from segnt_tools.labels.rules import LabelRules
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.intervals import Intervals, intersect, length

_WITHOUT_GENES = "--only genes needs gene models in the prediction and an annotation as truth"


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """What is scored.

    Attributes:
        genes, tracks: whether each kind of score is wanted.
        elements: names of tracks to score; all by default.
        scoring: threshold and samplings.
        rules: how an annotation becomes labels.
    """

    genes: bool = True
    tracks: bool = True
    elements: Sequence[str] | None = None
    scoring: ScoringOptions = field(default_factory=ScoringOptions)
    rules: LabelRules = field(default_factory=LabelRules)


def evaluate(
    truth: Path,
    predictions: Sequence[tuple[str, PredictionInput]],
    assembly: Assembly,
    regions: Mapping[str, Intervals],
    options: EvaluationOptions,
    progress: Callable[[int], None] = lambda bases: None,
) -> list[PredictionScores]:
    """Score predictions, given with their names, side by side.

    Args:
        truth: labels file or annotation.
        predictions: names and inputs.
        assembly: the genome of all of them.
        regions: evaluated bases of each contig.
        options: what to score.
        progress: called with the number of bases scored.

    Raises:
        InputError: a file is damaged, or does not belong to the genome.
        UsageError: nothing can be scored.
    """
    truth_kind = kind_of(truth)
    if truth_kind not in (Kind.GENES, Kind.TRACKS):
        raise UsageError("the truth must be a labels file or an annotation (GFF3, GTF)", file=truth)
    loaded = [load_prediction(given, assembly, options.rules) for _, given in predictions]
    results = [
        PredictionScores(name, given.shown, notes=one.notes)
        for (name, given), one in zip(predictions, loaded, strict=True)
    ]
    reference = load_annotation(truth, assembly, options.rules) if truth_kind is Kind.GENES else None
    if reference is not None and not reference.genes:
        raise UsageError("the reference has no genes", file=truth, hint="Give an annotation of this genome, or labels")
    if options.genes and reference is not None:
        results = _with_genes(reference, loaded, results, regions)
    if options.tracks:
        results = _with_tracks(truth, reference, loaded, results, assembly, regions, options, progress)
    for result in results:
        if not (options.tracks or result.genes):
            raise UsageError(f"nothing of it can be scored: {_WITHOUT_GENES}", file=result.file)
    return results


def _with_genes(
    reference: Annotation,
    loaded: Sequence[LoadedPrediction],
    results: Sequence[PredictionScores],
    regions: Mapping[str, Intervals],
) -> list[PredictionScores]:
    coding_only = reference.counts.coding > 0 and not reference.knows_utrs
    compared = VIEWS[:1] if coding_only else VIEWS
    notes = ("the truth knows coding parts only: whole exons were not compared",) if coding_only else ()
    scored = []
    for one, result in zip(loaded, results, strict=True):
        if one.genes is None:
            scored.append(result)
            continue
        views = tuple(compare_genes(reference.genes, one.genes, regions, view) for view in compared)
        errors = classify_genes(reference.genes, one.genes, regions)
        trust = trust_in_scores(reference.genes, one.genes, regions)
        scored.append(
            replace(result, genes=views, gene_errors=errors, gene_scores=trust, notes=(*result.notes, *notes))
        )
    return scored


def _with_tracks(
    path: Path,
    reference: Annotation | None,
    loaded: Sequence[LoadedPrediction],
    results: Sequence[PredictionScores],
    assembly: Assembly,
    regions: Mapping[str, Intervals],
    options: EvaluationOptions,
    progress: Callable[[int], None],
) -> list[PredictionScores]:
    wanted = _wanted(loaded, options.elements)
    truth: Truth
    if reference is not None:
        truth = AnnotationTruth(reference, assembly, wanted, options.rules)
    else:
        truth = LabelsFileTruth(path, assembly)
    tracks = [name for name in (truth.tracks if options.elements is None else wanted) if name in truth.tracks]
    offered = [name for name in tracks if any(one.tracks.offers(name) for one in loaded)]
    _require_known(options.elements, offered, truth)
    for one, result in zip(loaded, results, strict=True):
        if not result.genes and not any(one.tracks.offers(name) for name in tracks):
            raise _nothing_in_common(result, one.tracks, tracks or truth.tracks)
    tracks = offered
    if not tracks:
        return list(results)
    scored = _common(truth, loaded, regions, assembly)
    if not any(length(intervals) for intervals in scored.values()):
        raise UsageError("the predictions and the truth have no base in common in the regions", file=path)
    element_scores = score_tracks(truth, [one.tracks for one in loaded], scored, tracks, options.scoring, progress)
    for result, elements in zip(results, element_scores, strict=True):
        if not result.genes and not any(scores.confusion.bases for scores in elements):
            raise UsageError(
                f"nothing of it can be scored: the reference does not tell where "
                f"{_listed([scores.track for scores in elements])} is and is not",
                file=result.file,
            )
    missing = sum(map(length, regions.values())) - sum(map(length, scored.values()))
    common = (f"{missing} bases of the regions are not in all predictions and were not scored",) if missing else ()
    return [
        replace(result, elements=elements, notes=(*result.notes, *common, *_hints(elements)))
        for result, elements in zip(results, element_scores, strict=True)
    ]


def _nothing_in_common(result: PredictionScores, prediction: Prediction, wanted: Sequence[str]) -> UsageError:
    """Why nothing of a prediction can be scored."""
    if any(prediction.ignores_strand_of(name) for name in wanted):
        return UsageError(
            "nothing of it can be scored: the truth has a track for each strand and this prediction knows no strands",
            file=result.file,
            hint="Give the strand in column 6, or make the truth with segnt labels without --stranded",
        )
    return UsageError(
        f"nothing of it can be scored: it has {_listed(prediction.tracks)}, and to score are {_listed(wanted)}",
        file=result.file,
        hint="TRACK=FILE names the track of a file, --elements chooses tracks",
    )


def _listed(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "") if names else "no track"


def _require_known(elements: Sequence[str] | None, tracks: Sequence[str], truth: Truth) -> None:
    """Make sure that the elements asked for can be scored.

    Raises:
        UsageError: neither the truth nor a prediction has one of them; the nearest name is given.
    """
    for name in elements or ():
        if name not in tracks:
            known = list(dict.fromkeys((*tracks, *truth.tracks, *ELEMENTS)))
            near = next((n for n in difflib.get_close_matches(name, known, 2, cutoff=0.0) if n != name), "")
            raise UsageError(f"--elements {name}: truth and predictions do not both have it", hint=f"Nearest: {near}")


def _hints(elements: Sequence[ElementScores]) -> Iterator[str]:
    """What is likely wrong with the comparison rather than with the prediction."""
    mcc = {scores.track: scores.confusion.mcc for scores in elements}
    sites = [name for name in mcc if name.startswith("splice_") and (found := mcc[name]) is not None and found < 0.05]
    if sites and any((mcc.get(f"intron{strand}") or 0.0) > 0.3 for strand in ("", "+", "-")):
        yield (
            f"{', '.join(sites)} agree nowhere although introns do: one side may mark the last exonic base and the "
            "other the first intronic one (--splice-side)"
        )


def _wanted(loaded: Sequence[LoadedPrediction], elements: Sequence[str] | None) -> list[str]:
    """Tracks to score: the user's choice, or all that any prediction has, with strands joined as well as apart."""
    if elements is not None:
        return list(dict.fromkeys(elements))
    names = dict.fromkeys(name for one in loaded for name in one.tracks.tracks)
    joined = dict.fromkeys(name.rstrip("+-") for name in names)
    return [*joined, *(name for name in names if name not in joined)]


def _common(
    truth: Truth, loaded: Sequence[LoadedPrediction], regions: Mapping[str, Intervals], assembly: Assembly
) -> dict[str, Intervals]:
    """Bases that are in the regions, in the truth and in every prediction."""
    common = {}
    for contig, intervals in regions.items():
        size = assembly.lengths[contig]
        for covered in (truth.covered, *(one.tracks.covered for one in loaded)):
            intervals = intersect(intervals, covered(contig, size))
        if len(intervals):
            common[contig] = intervals
    return common
