"""A contig or a stretch of one: what regions, pieces of shards and parts of training data are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from segnt_tools.errors import UsageError
from segnt_tools.sequence.intervals import joined


@dataclass(frozen=True, slots=True)
class Stretch:
    """A contig or a stretch of one, 0-based half-open."""

    contig: str
    start: int
    end: int

    @classmethod
    def parse(cls, text: str, lengths: Mapping[str, int]) -> Stretch:
        """A region written as in samtools: `chr`, `chr:from-to` (1-based, both ends included, commas allowed).

        Raises:
            UsageError: unknown contig or coordinates outside it.
        """
        if text in lengths:
            return cls(text, 0, lengths[text])
        contig, _, span = text.rpartition(":")
        if contig not in lengths:
            known = f"{', '.join(list(lengths)[:5])}{', ...' if len(lengths) > 5 else ''}"
            raise UsageError(f"region {text}: there is no contig {contig or text}", hint=f"Contigs: {known}")
        first, dash, last = span.replace(",", "").partition("-")
        try:
            start = int(first) - 1
            end = int(last) if dash else lengths[contig]
        except ValueError as error:
            raise UsageError(f"region {text}: write CONTIG:FROM-TO") from error
        if dash and end <= start:
            raise UsageError(f"region {text}: the end lies before the start")
        if not 0 <= start < end <= lengths[contig]:
            raise UsageError(f"region {text} leaves {contig} of {lengths[contig]} bases")
        return cls(contig, start, end)

    @property
    def bases(self) -> int:
        """Length."""
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.contig}:{self.start + 1}-{self.end}"


def joined_by_contig(stretches: Iterable[Stretch]) -> dict[str, tuple[Stretch, ...]]:
    """The stretches of each contig, ascending, joined where they overlap or touch; contigs as they first come."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for stretch in stretches:
        spans.setdefault(stretch.contig, []).append((stretch.start, stretch.end))
    return {contig: tuple(Stretch(contig, *span) for span in joined(several)) for contig, several in spans.items()}
