"""Which parts of the contigs are learnt from and which are held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segnt_tools.errors import RecipeError, UsageError
from segnt_tools.sequence.stretches import Stretch

HELD_OUT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Split:
    """What is learnt from and what is held out of one genome."""

    train: tuple[Stretch, ...]
    validate: tuple[Stretch, ...]


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
    held = [_region(text, lengths, recipe) for text in validate]
    chosen = [_region(text, lengths, recipe) for text in train]
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


def _region(text: str, lengths: Mapping[str, int], recipe: Path | None) -> Stretch:
    try:
        return Stretch.parse(text, lengths)
    except UsageError as error:
        raise RecipeError(error.message, file=recipe, hint=error.hint) from error


def _last_tenth(lengths: Mapping[str, int], chosen: Sequence[Stretch]) -> list[Stretch]:
    """The last stretches that hold a tenth of the bases; the last tenth of the only one where there is one."""
    pool = list(chosen) or [Stretch(name, 0, length) for name, length in lengths.items()]
    wanted = round(HELD_OUT_SHARE * sum(stretch.bases for stretch in pool))
    held: list[Stretch] = []
    for stretch in reversed(pool):
        missing = wanted - sum(h.bases for h in held)
        if missing <= 0:
            break
        if stretch.bases <= 1.5 * missing:
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
        rest = [piece for piece in pieces if piece.bases]
    return rest
