"""Whether the scores of called genes can be taken at their word, and the map of scores fitted elsewhere.

    python benchmarks/decoder_calibration.py --model plant_small --genome genome.fa.gz --annotation annotation.gff3.gz \
        [--fit NC_003070.9:24000001-25500000] --test NC_003070.9:25500001-27000000

Genes are called on --test with the parameters of the model's card, or with its costs and the temperature and map of
scores fitted on --fit. Per kind of feature and range of scores: how many features, their mean score, the share of them
that is right (segnt_tools/genes/scores.py says what is), and the standard error of that share were features
independent; genes count by their coding bases. `raw` are the posteriors without a map, at the card's temperature.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path

import numpy as np

from segnt_tools.genes.parameters import GeneParameters, parameters_of
from segnt_tools.genes.scores import Judged, Truth
from segnt_tools.gff.genemodel import Gene
from segnt_tools.gff.reading import read_genes
from segnt_tools.models.registry import load_model
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.training.calibration import PredictedStretch, decode, fit_scores, predict_stretches

EDGES = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)


def table(judged: dict[str, Judged]) -> str:
    """Reliability of each kind of feature by ranges of scores."""
    lines = []
    for kind, features in judged.items():
        if not features.scores.size:
            continue
        mean, share = (np.average(values, weights=features.weights) for values in (features.scores, features.right))
        lines.append(f"{kind}: {features.scores.size} features, mean score {mean:.3f}, right {share:.3f}")
        owner = np.clip(np.searchsorted(EDGES, features.scores, side="right") - 1, 0, len(EDGES) - 2)
        error = 0.0
        for number in np.unique(owner):
            inside = owner == number
            weights = features.weights[inside]
            said = np.average(features.scores[inside], weights=weights)
            seen = np.average(features.right[inside], weights=weights)
            spread = math.sqrt(seen * (1 - seen) / inside.sum())
            error += abs(said - seen) * weights.sum() / features.weights.sum()
            lines.append(
                f"    {EDGES[number]:4.2f}-{EDGES[number + 1]:4.2f} {inside.sum():6d}"
                f"  score {said:.3f}  right {seen:.3f} +- {spread:.3f}"
            )
        lines.append(f"    expected calibration error {error:.3f}, log loss {features.log_loss():.3f}")
    return "\n".join(lines)


def show(title: str, stretch: PredictedStretch, parameters: GeneParameters, truth: Truth) -> list[Gene]:
    """Print the table of a stretch."""
    genes = decode(stretch, parameters, scored=True)
    print(f"== {title} {stretch.place}, temperature {parameters.score_temperature}, map {dict(parameters.score_map)}")
    print(table(truth.judged(genes)), flush=True)
    return genes


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="plant_small")
    parser.add_argument("--genome", type=Path, required=True)
    parser.add_argument("--annotation", type=Path, required=True)
    parser.add_argument("--fit", metavar="CHR:FROM-TO")
    parser.add_argument("--test", required=True, metavar="CHR:FROM-TO")
    args = parser.parse_args()
    loaded = load_model(args.model)
    parameters = parameters_of(loaded.card.as_dict(), stranded=True)
    with Assembly.open(args.genome) as assembly:
        truth = Truth(g for g in read_genes(args.annotation, assembly.lengths) if "pseudo" not in g.type)

        def predicted(text: str) -> PredictedStretch:
            return next(predict_stretches(loaded, assembly, [Stretch.parse(text, assembly.lengths)]))

        test = predicted(args.test)
        show("raw", test, dataclasses.replace(parameters, score_map={}), truth)
        if args.fit is not None:
            fitted_on = predicted(args.fit)
            fit = fit_scores([fitted_on], parameters, truth)
            parameters = fit.parameters
            print(f"losses by temperature { ({t: round(loss, 4) for t, loss in fit.losses.items()}) }")
            show("fitted", fitted_on, parameters, truth)
        show("test", test, parameters, truth)


if __name__ == "__main__":
    main()
