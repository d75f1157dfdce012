"""Which embedded gene finder fits an assembly: each annotates a sample of it, and the best fit is taken.

The fit of a model is the number of coding bases in complete gene models, each weighted with its posterior probability
(the score of its mRNA), a base of the sample: the share of the sample that the model expects to annotate rightly. A
model of another clade finds few genes, or is unsure of them. The sample depends on the assembly alone, so that all
shards choose the same model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segnt_tools.errors import CheckpointError
from segnt_tools.genes.parameters import parameters_of
from segnt_tools.models.registry import LoadedModel, load_model
from segnt_tools.sequence.assembly import Assembly, Contig
from segnt_tools.training.calibration import decode, predict_stretches
from segnt_tools.training.regions import Stretch
from segnt_tools.training.sureness import Sureness

SAMPLED_STRETCHES = 8
SAMPLED_LENGTH = 27_648
# A model that is this much less sure of its genes than on the genome it was made for does not know this one.
_LEAST_SURENESS = 0.75


@dataclass(frozen=True, slots=True)
class Fit:
    """How one model fits the sample.

    Attributes:
        model: its name.
        clade: organisms it is meant for.
        genes: complete gene models found.
        expected_coding_share: coding bases in them, weighted with their posterior, a base of the sample.
        mean_score: mean posterior of these models, weighted with their coding bases; 0 without any.
        usual_score: the same on the held-out part of the genome it was made for; 0 if its card does not say.
    """

    model: str
    clade: str
    genes: int
    expected_coding_share: float
    mean_score: float
    usual_score: float

    @property
    def is_at_home(self) -> bool:
        """Whether the model is about as sure of its genes as on the genome it was made for."""
        return self.genes > 0 and self.mean_score >= _LEAST_SURENESS * self.usual_score


@dataclass(frozen=True, slots=True)
class Selection:
    """The models in the order of their fit, and how much was looked at.

    Attributes:
        fits: the best first; ties in the order of the names.
        sampled_bases: bases of the sample.
    """

    fits: tuple[Fit, ...]
    sampled_bases: int

    @property
    def best(self) -> Fit:
        """The model to take."""
        return self.fits[0]


def sample_of(contigs: Sequence[Contig]) -> list[Stretch]:
    """Stretches spread evenly over the longest contigs that hold half of the bases; everything if that is less."""
    total = sum(contig.length for contig in contigs)
    if total <= SAMPLED_STRETCHES * SAMPLED_LENGTH:
        return [Stretch(contig.name, 0, contig.length) for contig in contigs if contig.length]
    longest = sorted(contigs, key=lambda contig: (-contig.length, contig.name))
    ends = np.cumsum([contig.length for contig in longest])
    half = int(ends[np.searchsorted(ends, total / 2)])
    stretches: dict[Stretch, None] = {}
    for number in range(SAMPLED_STRETCHES):
        middle = half * (2 * number + 1) // (2 * SAMPLED_STRETCHES)
        place = int(np.searchsorted(ends, middle, side="right"))
        contig = longest[place]
        wanted = middle - (int(ends[place]) - contig.length) - SAMPLED_LENGTH // 2
        start = max(0, min(wanted, contig.length - SAMPLED_LENGTH))
        stretches[Stretch(contig.name, start, min(start + SAMPLED_LENGTH, contig.length))] = None
    return list(stretches)


def select_model(
    assembly: Assembly, candidates: Mapping[str, Path], device: str = "auto", precision: str = "auto"
) -> Selection:
    """Try gene finders on a sample of an assembly.

    Args:
        assembly: what is to be annotated.
        candidates: names and checkpoint folders.
        device: where the models run.
        precision: type of their arithmetic.

    Raises:
        CheckpointError: there is no candidate.
    """
    if not candidates:
        raise CheckpointError("there is no embedded model to choose from", hint="Give --model")
    sample = sample_of(assembly.contigs)
    bases = sum(stretch.length for stretch in sample)
    fits = [fit(load_model(folder, device, precision), assembly, sample) for _, folder in sorted(candidates.items())]
    return Selection(tuple(sorted(fits, key=lambda found: -found.expected_coding_share)), bases)


def fit(loaded: LoadedModel, assembly: Assembly, sample: Sequence[Stretch]) -> Fit:
    """How a model fits a sample of an assembly."""
    card = loaded.card
    parameters = parameters_of(card.as_dict(), stranded=True)
    sureness = Sureness.of(
        gene
        for stretch in predict_stretches(loaded, assembly, sample)
        for gene in decode(stretch, parameters, scored=True)
    )
    return Fit(
        model=card.name,
        clade=card.clade,
        genes=sureness.genes,
        expected_coding_share=sureness.expected_bases / max(1, sum(stretch.length for stretch in sample)),
        mean_score=sureness.mean_score,
        usual_score=float(card.expectations.get("mean_mrna_score", 0.0)),
    )
