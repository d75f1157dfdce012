"""Which parts of the contigs are learnt from and which are held out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segnt_tools.errors import RecipeError

HELD_OUT_SHARE = 0.1
_PLACE = re.compile(r"(?P<contig>.+):(?P<start>[\d,]+)-(?P<end>[\d,]+)")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a contig, 0-based half-open."""

    contig: str
    start: int
    end: int

    @property
    def length(self) -> int:
        """Bases."""
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.contig}:{self.start + 1}-{self.end}"


@dataclass(frozen=True, slots=True)
class Split:
    """What is learnt from and what is held out of one genome."""

    train: tuple[Stretch, ...]
    validate: tuple[Stretch, ...]


def parse_region(text: str, lengths: Mapping[str, int], recipe: Path | None = None) -> Stretch:
    """A region `contig` or `contig:from-to`, 1-based and inclusive.

    Raises:
        RecipeError: the genome has no such contig or the region leaves it.
    """
    if text in lengths:
        return Stretch(text, 0, lengths[text])
    match = _PLACE.fullmatch(text)
    if match is None or match["contig"] not in lengths:
        raise RecipeError(
            f"the genome has no contig {match['contig'] if match else text}",
            file=recipe,
            hint=f"It has {', '.join(list(lengths)[:5])}{', ...' if len(lengths) > 5 else ''}",
        )
    start, end = int(match["start"].replace(",", "")) - 1, int(match["end"].replace(",", ""))
    if not 0 <= start < end <= lengths[match["contig"]]:
        raise RecipeError(f"region {text} leaves its contig of {lengths[match['contig']]} bases", file=recipe)
    return Stretch(match["contig"], start, end)


def split(
    train: Sequence[str],
    validate: Sequence[str],
    lengths: Mapping[str, int],
    *,
    no_validation: bool = False,
    recipe: Path | None = None,
) -> Split:
    """Stretches to train on and to hold out.

    Raises:
        RecipeError: a region does not exist, or one is in both parts.
    """
    held = [parse_region(text, lengths, recipe) for text in validate]
    chosen = [parse_region(text, lengths, recipe) for text in train]
    if not held and not no_validation:
        held = _last_tenth(lengths, chosen)
        chosen = _without(chosen or [Stretch(name, 0, length) for name, length in lengths.items()], held)
    if not chosen:
        chosen = _without([Stretch(name, 0, length) for name, length in lengths.items()], held)
    for stretch in chosen:
        for other in held:
            if stretch.contig == other.contig and stretch.start < other.end and other.start < stretch.end:
                raise RecipeError(f"{stretch} is to be trained on and {other} to be held out", file=recipe)
    if not chosen:
        raise RecipeError("nothing is left to train on", file=recipe)
    return Split(tuple(chosen), tuple(held))


def _last_tenth(lengths: Mapping[str, int], chosen: Sequence[Stretch]) -> list[Stretch]:
    """The last stretches that hold a tenth of the bases; the last tenth of the only one where there is one."""
    pool = list(chosen) or [Stretch(name, 0, length) for name, length in lengths.items()]
    wanted = round(HELD_OUT_SHARE * sum(stretch.length for stretch in pool))
    held: list[Stretch] = []
    for stretch in reversed(pool):
        missing = wanted - sum(h.length for h in held)
        if missing <= 0:
            break
        if stretch.length <= 1.5 * missing:
            held.append(stretch)
        else:
            held.append(Stretch(stretch.contig, stretch.end - missing, stretch.end))
    return held


def _without(stretches: Sequence[Stretch], held: Sequence[Stretch]) -> list[Stretch]:
    """Stretches without the held-out ones."""
    rest = list(stretches)
    for other in held:
        pieces = []
        for stretch in rest:
            if stretch.contig != other.contig or stretch.end <= other.start or other.end <= stretch.start:
                pieces.append(stretch)
                continue
            pieces.append(Stretch(stretch.contig, stretch.start, max(stretch.start, other.start)))
            pieces.append(Stretch(stretch.contig, min(stretch.end, other.end), stretch.end))
        rest = [piece for piece in pieces if piece.length]
    return rest
