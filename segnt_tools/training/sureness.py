"""How sure a model is of the genes it calls: the posterior of its complete gene models, weighted by coding bases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from segnt_tools.gff.genemodel import Gene


@dataclass(frozen=True, slots=True)
class Sureness:
    """Sums over complete coding gene models.

    Attributes:
        genes: how many there are.
        coding_bases: their coding bases.
        expected_bases: the same, each model weighted with its posterior (the score of its mRNA).
    """

    genes: int
    coding_bases: int
    expected_bases: float

    @classmethod
    def of(cls, genes: Iterable[Gene]) -> Sureness:
        """The sums over genes with one transcript each; partial and non-coding ones do not count."""
        transcripts = [gene.transcripts[0] for gene in genes]
        complete = [t for t in transcripts if t.cds and not (t.partial_5 or t.partial_3)]
        return cls(
            genes=len(complete),
            coding_bases=sum(t.coding_length for t in complete),
            expected_bases=sum(t.coding_length * (t.score or 0.0) for t in complete),
        )

    @property
    def mean_score(self) -> float:
        """Mean posterior of a coding base's model; 0 without any."""
        return self.expected_bases / self.coding_bases if self.coding_bases else 0.0
