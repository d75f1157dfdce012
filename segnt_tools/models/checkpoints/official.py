"""The official checkpoints: what they are, where to get them, and under which licence. None of them is bundled."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segnt_tools.elements import SEGMENTNT_ELEMENTS, SEGMENTNT_GENIC_ELEMENTS, Track
from segnt_tools.models.card import Card, DataSource
from segnt_tools.sequence.windows import WindowGeometry

LICENCE = "CC BY-NC-SA 4.0 (no commercial use; share alike)"
CITATION = (
    "de Almeida BP, Dalla-Torre H, Richard G, et al. Annotating the genome at single-nucleotide resolution with DNA "
    "foundation models. Nature Methods (2025). Preprint: https://doi.org/10.1101/2024.03.14.584712"
)
_HUB = "https://huggingface.co/"


@dataclass(frozen=True, slots=True)
class Official:
    """One official checkpoint.

    Attributes:
        name: name in `segnt models list`.
        repository: on the Hugging Face hub.
        architecture: registered architecture.
        summary: one sentence for people.
        clade: organisms it was fine-tuned on.
        trained: elements it was fine-tuned on.
        species: what its training data came from.
    """

    name: str
    repository: str
    architecture: str
    summary: str
    clade: str
    trained: tuple[str, ...]
    species: str

    @property
    def address(self) -> str:
        """Where to get it."""
        return f"{_HUB}{self.repository}"


OFFICIAL: tuple[Official, ...] = (
    Official(
        "segment_nt",
        "InstaDeepAI/segment_nt",
        "segment_nt",
        "SegmentNT 30 kb: 14 genic and regulatory elements of the human genome",
        "human",
        SEGMENTNT_ELEMENTS,
        "human; test chr20 and chr21, validation chr22",
    ),
    Official(
        "segment_nt_multi_species",
        "InstaDeepAI/segment_nt_multi_species",
        "segment_nt",
        "SegmentNT 30 kb fine-tuned on the genic elements of six animals; its other outputs are untrained left-overs",
        "animals",
        SEGMENTNT_GENIC_ELEMENTS,
        "human, mouse, chicken, fly, zebrafish, worm",
    ),
    Official(
        "segment_enformer",
        "InstaDeepAI/segment_enformer",
        "segment_enformer",
        "SegmentEnformer: 14 elements of the human genome from windows of 196,608 bp",
        "human",
        SEGMENTNT_ELEMENTS,
        "human; test chr20 and chr21, validation chr22",
    ),
    Official(
        "segment_borzoi",
        "InstaDeepAI/segment_borzoi",
        "segment_borzoi",
        "SegmentBorzoi: 14 elements for the centre 196,608 bp of windows of 524,288 bp of the human genome",
        "human",
        SEGMENTNT_ELEMENTS,
        "human; test chr20 and chr21, validation chr22",
    ),
)


def official(name: str) -> Official | None:
    """The official checkpoint of a name."""
    return next((known for known in OFFICIAL if known.name == name), None)


def official_of_folder(folder: Path, architecture: str) -> Official | None:
    """The official checkpoint that a folder's path names, e.g. a hub cache, if it is of this architecture."""
    parts = [part.rpartition("--")[2] for part in reversed(folder.absolute().parts)]
    found = next((known for part in parts if (known := official(part)) is not None), None)
    return found if found is not None and found.architecture == architecture else None


def card_of(
    name: str,
    known: Official | None,
    architecture: str,
    features: Sequence[str],
    geometry: WindowGeometry,
    config: Mapping[str, Any],
) -> Card:
    """The card of a checkpoint that comes without one.

    Args:
        name: name for `--model`.
        known: the official checkpoint it is, where that is known.
        architecture: registered architecture.
        features: output names in order.
        geometry: the architecture's windows.
        config: the architecture's hyperparameters.
    """
    trained = known.trained if known is not None else tuple(features)
    card = Card(
        name=name,
        architecture=architecture,
        summary=f"a checkpoint in an official layout of {architecture}, without a card of its own",
        tracks=tuple(Track(feature, trained=feature in trained) for feature in features),
        geometry=geometry,
        allows_n=architecture != "segment_nt",
        licence=LICENCE,
        citation=CITATION,
        config=config,
        not_for="commercial use, and DNA of organisms it was never tested on without checking the results",
    )
    if known is None:
        return card
    origin = DataSource(known.species, known.address, LICENCE, "training, as the authors describe it")
    return dataclasses.replace(card, summary=known.summary, clade=known.clade, data=(origin,))
