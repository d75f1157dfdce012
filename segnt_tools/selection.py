"""Which embedded gene finder fits an assembly: each annotates a sample of it, and the best fit is taken.

The fit of a model is the number of coding bases in complete gene models, each weighted with its posterior probability
(the score of its mRNA), a base of the sample: the share of the sample that the model expects to annotate rightly. A
model of another clade finds few genes, or is unsure of them. Models that are as sure, and find about as many genes, as
on the genomes they were made for come before all others: some clades are harder than others, and there even the right
model expects less. The sample depends on the assembly alone, so that all shards choose the same model.
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
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.training.calibration import decode, predict_stretches
from segnt_tools.training.sureness import Sureness

SAMPLED_STRETCHES = 8
SAMPLED_LENGTH = 27_648
# A model that is this much less sure of its genes than on the genome it was made for, or finds this much fewer than the
# fewest that its card says are usual, does not know this genome.
_LEAST_SURENESS = 0.75
_LEAST_DENSITY = 0.5
# In less sequence than this the number of genes says little.
_ENOUGH_BASES = 100_000


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
        genes_per_mb: complete gene models a million bases of the sample; 0 if the sample is too short to say.
        fewest_genes_per_mb: the fewest that the card says are usual; 0 if it does not say.
    """

    model: str
    clade: str
    genes: int
    expected_coding_share: float
    mean_score: float
    usual_score: float
    genes_per_mb: float
    fewest_genes_per_mb: float

    @property
    def is_at_home(self) -> bool:
        """Whether the model finds genes about as often and as surely as in the clade it was made for."""
        rare = 0 < self.genes_per_mb < _LEAST_DENSITY * self.fewest_genes_per_mb
        sure = self.mean_score >= _LEAST_SURENESS * self.usual_score
        return self.genes > 0 and sure and not rare


@dataclass(frozen=True, slots=True)
class Selection:
    """The models in the order of their fit, and how much was looked at.

    Attributes:
        fits: the best first: those at home before the others, and by expected share; ties in the order of the names.
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
    bases = sum(stretch.bases for stretch in sample)
    fits = [fit(load_model(folder, device, precision), assembly, sample) for _, folder in sorted(candidates.items())]
    return Selection(tuple(sorted(fits, key=lambda found: (not found.is_at_home, -found.expected_coding_share))), bases)


def fit(loaded: LoadedModel, assembly: Assembly, sample: Sequence[Stretch]) -> Fit:
    """How a model fits a sample of an assembly."""
    card = loaded.card
    parameters = parameters_of(card.as_dict(), stranded=True)
    sureness = Sureness.of(
        gene
        for stretch in predict_stretches(loaded, assembly, sample)
        for gene in decode(stretch, parameters, scored=True)
    )
    bases = max(1, sum(stretch.bases for stretch in sample))
    return Fit(
        model=card.name,
        clade=card.clade,
        genes=sureness.genes,
        expected_coding_share=sureness.expected_bases / bases,
        mean_score=sureness.mean_score,
        usual_score=float(card.expectations.get("mean_mrna_score", 0.0)),
        genes_per_mb=1e6 * sureness.genes / bases if bases >= _ENOUGH_BASES else 0.0,
        fewest_genes_per_mb=float(card.expectations.get("genes_per_mb", (0.0,))[0]),
    )
