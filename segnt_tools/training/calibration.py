"""Fitting the gene decoder's costs to a checkpoint on held-out genes, and making its scores honest.

The checkpoint's tracks are predicted once, exactly as segnt predict gives them. Then one parameter after the other is
moved up and down, and kept where the best gene models fit the annotation better. At last the temperature and the map
of the scores are fitted, so that a score is the frequency of being right.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segnt_tools.elements import Track
from segnt_tools.genes.decoding import PieceDecoder, SegmentSums
from segnt_tools.genes.emissions import UNKNOWN_CODE, EmissionBuilder, EvidencePlan, logits_of_codes
from segnt_tools.genes.models import GeneBuilder
from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.genes.scores import IDENTITY, Truth, fit_score_map
from segnt_tools.genes.states import StateMachine
from segnt_tools.gff.genemodel import Gene
from segnt_tools.logs import logger
from segnt_tools.models.inference import Predictor
from segnt_tools.models.registry import LoadedModel
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.training.recipe import CalibrationRecipe

Score = Callable[[Sequence[Gene]], float]

# What is searched, in this order, and the first step; steps halve from round to round.
SEARCHED: tuple[tuple[str, float], ...] = (
    ("gene", 2.0),
    ("start", 1.0),
    ("stop", 1.0),
    ("donor", 1.0),
    ("acceptor", 1.0),
    ("transcription_end", 2.0),
    ("transcription_start", 1.0),
    ("no_5utr", 2.0),
    ("no_3utr", 2.0),
    ("utr_intron", 1.0),
    ("gc_donor", 1.0),
)
SCALED: tuple[tuple[str, float], ...] = (("region_weight", 2.0), ("length_weight", 2.0))
_UTR_ONLY = frozenset({"transcription_end", "transcription_start", "no_5utr", "no_3utr", "utr_intron"})
TEMPERATURES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
_LEAST_GAIN = 1e-4


class Judge(Protocol):
    """Compares genes with an annotation; given by whoever may import segnt_tools.evaluation."""

    def levels(self, truth: Sequence[Gene], called: Sequence[Gene], stretches: Sequence[Stretch]) -> dict[str, float]:
        """F1 of coding sequence by level (nucleotide, exon, intron, gene) inside stretches; 0 where undefined."""


@dataclass(frozen=True)
class PredictedStretch:
    """Predicted tracks of a stretch of a contig and its bases; beyond the stretch nothing is known.

    Attributes:
        place: the stretch.
        tracks: the tracks, in the order of the rows.
        codes_of_logits: quantised logits (tracks, bases of the stretch).
        assembly: the genome.
    """

    place: Stretch
    tracks: tuple[Track, ...]
    codes_of_logits: NDArray[np.uint8]
    assembly: Assembly

    def logits(self, start: int, end: int) -> NDArray[np.float32]:
        """Logits of bases of the contig."""
        result = np.zeros((len(self.tracks), end - start), dtype=np.float32)
        low, high = max(start, self.place.start), min(end, self.place.end)
        if low < high:
            inside = self.codes_of_logits[:, low - self.place.start : high - self.place.start]
            result[:, low - start : high - start] = logits_of_codes(inside)
        return result

    def quantised(self, start: int, end: int, rows: Sequence[int]) -> NDArray[np.uint8]:
        """Codes of logits of some tracks; UNKNOWN_CODE beyond the stretch."""
        result = np.full((len(rows), end - start), UNKNOWN_CODE, dtype=np.uint8)
        low, high = max(start, self.place.start), min(end, self.place.end)
        if low < high:
            inside = self.codes_of_logits[rows, low - self.place.start : high - self.place.start]
            np.maximum(inside, 1, out=result[:, low - start : high - start])
        return result

    def codes(self, start: int, end: int) -> NDArray[np.uint8]:
        """Bases of the contig."""
        return self.assembly.codes(self.place.contig, start, end)


def predict_stretches(
    loaded: LoadedModel, assembly: Assembly, stretches: Sequence[Stretch]
) -> Iterator[PredictedStretch]:
    """Tracks of stretches, from the windows that segnt predict would take."""
    predictor = Predictor(loaded)
    tracks = tuple(loaded.card.tracks[i] for i in loaded.card.trained_tracks)
    for stretch in stretches:
        values = predictor.predict(assembly, [Stretch(stretch.contig, stretch.start, stretch.end)])
        yield PredictedStretch(stretch, tracks, np.concatenate(list(values), axis=1).astype(np.uint8), assembly)


def decode(stretch: PredictedStretch, parameters: GeneParameters, *, scored: bool = False) -> list[Gene]:
    """Genes of the best path of a stretch.

    Args:
        stretch: what to decode.
        parameters: with which costs.
        scored: also compute posterior scores; otherwise they are 0 and it takes half the time.
    """
    plan = EvidencePlan(stretch.tracks, parameters)
    if parameters.utr and not plan.has_utr:
        parameters = dataclasses.replace(parameters, utr=False)
    machine = StateMachine(parameters, plan.noncoding)
    place = stretch.place
    emissions = EmissionBuilder(plan, machine, stretch, stretch, stretch.assembly.lengths[place.contig])
    decoder = PieceDecoder(
        machine, lambda start, end: emissions.rows(start, end, place.start, place.end), place.start, place.end
    )
    builder = GeneBuilder(machine, place.contig, decoder.factor)
    found = list(builder.path_genes(decoder.best().segments))
    parts = [part for gene in found for part in gene.segments]
    sums = iter(decoder.sums(parts) if scored and parts else [_NO_SUMS] * len(parts))
    built = [builder.build(gene, [next(sums) for _ in gene.segments]) for gene in found]
    return [gene for gene in built if gene is not None]


_NO_SUMS = SegmentSums(-math.inf, -math.inf, -math.inf, -math.inf, -math.inf)


@dataclass
class Calibrator:
    """Searches the costs with which decoded genes fit a score best.

    Attributes:
        stretches: predicted held-out stretches.
        score: how good a list of genes is; higher is better.
        rounds: passes over all parameters, with halved steps each.
        seconds: time after which the search ends where it is.
    """

    stretches: Sequence[PredictedStretch]
    score: Score
    rounds: int = 3
    seconds: float = math.inf
    _begun: float = field(default_factory=time.monotonic)

    def fit(self, parameters: GeneParameters) -> tuple[GeneParameters, float, float]:
        """Better parameters, their score, and the score of the given ones."""
        first = best = self.value(parameters)
        for number in range(self.rounds):
            before = best
            for name, step in (*SEARCHED, *SCALED):
                if name in _UTR_ONLY and not parameters.utr:
                    continue
                parameters, best = self._moved(parameters, best, name, step, number)
                if time.monotonic() - self._begun > self.seconds:
                    logger.info("calibration: time is up")
                    return parameters, best, first
            logger.info(f"calibration round {number + 1}: score {best:.4f} (was {before:.4f})")
        return parameters, best, first

    def value(self, parameters: GeneParameters) -> float:
        """Score of the genes that parameters give."""
        return self.score([gene for stretch in self.stretches for gene in decode(stretch, parameters)])

    def _moved(
        self, parameters: GeneParameters, best: float, name: str, step: float, number: int
    ) -> tuple[GeneParameters, float]:
        """Move one parameter as long as it helps, first one way, then the other."""
        for direction in (1, -1):
            improved = False
            while True:
                tried = parameters.replaced({name: _next(parameters, name, step, direction, number)})
                value = self.value(tried)
                if value <= best + _LEAST_GAIN:
                    break
                parameters, best, improved = tried, value, True
            if improved:
                break
        return parameters, best


def _next(parameters: GeneParameters, name: str, step: float, direction: int, number: int) -> float:
    """The next value of a parameter: added to, or multiplied where it is a weight."""
    now = float(getattr(parameters, name))
    if any(name == scaled for scaled, _ in SCALED):
        return float(f"{now * step ** (direction * 0.5**number):.4g}")
    return round(now + direction * step * 0.5**number, 4)


@dataclass(frozen=True, slots=True)
class ScoreFit:
    """What makes scores honest.

    Attributes:
        parameters: the given ones with `score_temperature` and `score_map`; unchanged where no gene was found.
        losses: by temperature, the mean log loss of features' scores after mapping, summed over their kinds.
    """

    parameters: GeneParameters
    losses: dict[float, float]


def fit_scores(stretches: Sequence[PredictedStretch], parameters: GeneParameters, truth: Truth) -> ScoreFit:
    """The temperature and the map with which scores predict best which features are right.

    Args:
        stretches: predicted held-out stretches.
        parameters: fitted costs.
        truth: annotated genes on them.
    """
    fits: dict[float, GeneParameters] = {}
    losses: dict[float, float] = {}
    for temperature in TEMPERATURES:
        raw = dataclasses.replace(parameters, score_temperature=temperature, score_map={})
        called = [gene for stretch in stretches for gene in decode(stretch, raw, scored=True)]
        judged = truth.judged(called)
        maps = fit_score_map(judged)
        fits[temperature] = dataclasses.replace(raw, score_map=maps)
        losses[temperature] = sum(one.through(maps.get(kind, IDENTITY)).log_loss() for kind, one in judged.items())
    best = min(losses, key=losses.__getitem__)
    return ScoreFit(fits[best] if math.isfinite(losses[best]) else parameters, losses)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was fitted.

    Attributes:
        parameters: the fitted parameters.
        before: F1 by level with the parameters as they were.
        after: F1 by level with the fitted ones, on the sequence they were fitted on.
        temperature_losses: by temperature, the summed mean log losses of mapped scores (see ScoreFit).
        bases: held-out bases used.
    """

    parameters: GeneParameters
    before: dict[str, float]
    after: dict[str, float]
    temperature_losses: dict[float, float]
    bases: int


def calibrate(
    stretches: Sequence[PredictedStretch],
    truth: Sequence[Gene],
    judge: Judge,
    parameters: GeneParameters,
    recipe: CalibrationRecipe,
) -> Calibration:
    """Fit costs, then what makes scores honest.

    Args:
        stretches: predicted held-out stretches.
        truth: annotated genes on them, all isoforms.
        judge: compares genes.
        parameters: where to start.
        recipe: how long to search.
    """
    places = [stretch.place for stretch in stretches]

    def score(genes: Sequence[Gene]) -> float:
        levels = judge.levels(truth, genes, places)
        return (levels["exon"] + levels["gene"]) / 2

    def measured(with_parameters: GeneParameters) -> dict[str, float]:
        genes = [gene for stretch in stretches for gene in decode(stretch, with_parameters)]
        return judge.levels(truth, genes, places)

    seconds = 60 * recipe.minutes if recipe.minutes else math.inf
    before = measured(parameters)
    fitted, _, _ = Calibrator(stretches, score, recipe.rounds, seconds).fit(parameters)
    scores = fit_scores(stretches, fitted, Truth(truth))
    return Calibration(scores.parameters, before, measured(fitted), scores.losses, sum(place.bases for place in places))


def shortened(stretches: Sequence[Stretch], most_bases: int) -> list[Stretch]:
    """The first stretches that together have at most so many bases, the last one cut."""
    result: list[Stretch] = []
    left = most_bases
    for stretch in stretches:
        if left <= 0:
            break
        result.append(Stretch(stretch.contig, stretch.start, min(stretch.end, stretch.start + left)))
        left -= stretch.bases
    return result
