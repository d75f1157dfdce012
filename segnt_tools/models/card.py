"""The card: the small readable file that says what a checkpoint is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segnt_tools.elements import Strand, Track
from segnt_tools.errors import CheckpointError, UsageError
from segnt_tools.files import write_text
from segnt_tools.sequence.windows import WindowGeometry

CARD_FILE = "card.json"
# Stands for whichever embedded model fits the assembly best (segnt_tools.selection).
AUTO_MODEL = "auto"
DEFAULT_MODEL = AUTO_MODEL
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class DataSource:
    """Data that a checkpoint was trained, validated or tested on."""

    name: str
    origin: str
    licence: str
    use: str


@dataclass(frozen=True, slots=True)
class PeakDefaults:
    """How call-peaks opens, extends, joins and drops intervals of one element.

    Attributes:
        high: a peak holds at least one base with this probability.
        low: a peak extends over neighbours with at least this probability.
        min_length: shorter peaks are dropped (bases).
        max_gap: peaks no further apart than this are joined (bases).
    """

    high: float = 0.5
    low: float = 0.5
    min_length: int = 1
    max_gap: int = 0


@dataclass(frozen=True, slots=True)
class Card:
    """What a checkpoint is.

    Attributes:
        name: short name used for `--model`, in logs and file headers.
        architecture: registered architecture, e.g. `segment_nt`.
        summary: one sentence for people.
        tracks: outputs in the order of the logits' last axis.
        geometry: window lengths and where inside a window the output is valid.
        allows_n: whether N may stand in a window.
        licence: licence of the weights.
        citation: how to cite the weights.
        clade: organisms it is meant for, as people say it (`land plants`).
        config: hyperparameters of the architecture.
        peaks: call-peaks defaults by element; `*` is the fallback.
        genes: parameters of the gene decoder (read by segnt_tools.genes).
        expectations: what a usual annotation of the clade looks like (read by the report), e.g. genes_per_mb.
        data: what it was trained, validated and tested on.
        metrics: measured accuracy, as printed by `segnt evaluate`.
        not_for: what it should not be used for.
        sha256: checksum of model.safetensors, written with it.
    """

    name: str
    architecture: str
    summary: str
    tracks: tuple[Track, ...]
    geometry: WindowGeometry
    allows_n: bool
    licence: str
    citation: str
    clade: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    peaks: Mapping[str, PeakDefaults] = field(default_factory=dict)
    genes: Mapping[str, Any] = field(default_factory=dict)
    expectations: Mapping[str, Any] = field(default_factory=dict)
    data: tuple[DataSource, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    not_for: str = ""
    sha256: str = ""

    @property
    def trained_tracks(self) -> tuple[int, ...]:
        """Indices of the tracks that were really trained."""
        return tuple(i for i, track in enumerate(self.tracks) if track.trained)

    @property
    def stranded(self) -> bool:
        """Whether any track tells strands apart."""
        return any(track.strand is not Strand.NONE for track in self.tracks)

    def peak_defaults(self, element: str) -> PeakDefaults:
        """The call-peaks defaults of an element."""
        return self.peaks.get(element) or self.peaks.get("*") or PeakDefaults()

    def as_dict(self) -> dict[str, Any]:
        """The card as JSON-ready values, in the order of the file."""
        values = {
            "schema_version": SCHEMA_VERSION,
            **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)},
        }
        values["tracks"] = [{"name": track.name, "trained": track.trained} for track in self.tracks]
        values["geometry"] = dataclasses.asdict(self.geometry)
        values["peaks"] = {name: dataclasses.asdict(peak) for name, peak in self.peaks.items()}
        values["data"] = [dataclasses.asdict(source) for source in self.data]
        for name in ("config", "genes", "expectations", "metrics"):
            values[name] = dict(values[name])
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], file: Path | None = None) -> Card:
        """A card from the values of its JSON file.

        Raises:
            CheckpointError: a key is missing or unknown, or a value does not fit.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        given = {key: value for key, value in values.items() if key != "schema_version"}
        if values.get("schema_version") != SCHEMA_VERSION:
            raise CheckpointError(
                f"card has schema version {values.get('schema_version')}, not {SCHEMA_VERSION}", file=file
            )
        if unknown := sorted(set(given) - known):
            raise CheckpointError(f"card has unknown keys {', '.join(unknown)}", file=file)
        try:
            given["tracks"] = tuple(Track.parse(track["name"], track["trained"]) for track in given["tracks"])
            given["geometry"] = WindowGeometry(**given["geometry"])
            given["peaks"] = {name: PeakDefaults(**peak) for name, peak in given.get("peaks", {}).items()}
            given["data"] = tuple(DataSource(**source) for source in given.get("data", ()))
            return cls(**given)
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise CheckpointError(f"card does not hold what a card must hold: {error}", file=file) from error

    def write(self, folder: Path) -> None:
        """Write the card into a checkpoint folder."""
        write_text(folder / CARD_FILE, self.as_text())

    def as_text(self) -> str:
        """The text of the card's file."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Card:
        """Read the card of a checkpoint folder.

        Raises:
            CheckpointError: there is no card or it is damaged.
        """
        file = folder / CARD_FILE
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise CheckpointError(f"cannot read the card: {error}", file=file) from error
        return cls.from_dict(values, file)
