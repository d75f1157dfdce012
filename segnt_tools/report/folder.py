"""A run folder: what `segnt annotate` (or the single tools, or a workflow that staged some files) left in it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from segnt_tools.elements import ELEMENTS, Strand, Track
from segnt_tools.errors import UsageError
from segnt_tools.tracks.export import safe_name

GENES = "genes.gff3"
ELEMENTS_BED = "elements.bed"
ELEMENTS_GFF3 = "elements.gff3"
CDS = "cds.fa"
CONTIGS = "contigs.tsv"
GAPS = "gaps.bed"
SUMMARY = "annotate.json"
EVALUATION = "evaluate.json"
ASSEMBLY = "assembly.fa.gz"

# Reports of the single tools, read where there is no annotate.json, and their key in it.
_STEP_REPORTS = {"preprocess.json": "preprocess", "call-peaks.json": "call-peaks", "call-genes.json": "call-genes"}
_SUBFOLDERS = ("", "intermediate", "intermediate/assembly", "assembly", "evaluate", "evaluation")


@dataclass(frozen=True, slots=True)
class TrackFile:
    """A bigWig of the run and the track it holds."""

    track: Track
    path: Path


@dataclass
class RunFolder:
    """The files of one run; every one of them may be missing.

    Attributes:
        path: the folder.
        name: how the report calls the run.
        notes: what could not be read, for the reader of the page.
    """

    path: Path
    name: str
    notes: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, name: str) -> RunFolder:
        """A run folder.

        Raises:
            UsageError: no such folder.
        """
        if not path.is_dir():
            raise UsageError("no such run folder", file=path, hint="Give the --out folder of segnt annotate")
        return cls(path, name)

    def file(self, name: str) -> Path | None:
        """The file of that name (gzipped or not), or None; also looks where annotate keeps what it still needs."""
        for folder in _SUBFOLDERS:
            for candidate in (self.path / folder / name, self.path / folder / f"{name}.gz"):
                if candidate.is_file():
                    return candidate
        return None

    def json(self, name: str) -> dict[str, Any]:
        """The values of a JSON file; empty, with a note, where it cannot be read."""
        path = self.file(name)
        if path is None:
            return {}
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            self.notes.append(f"{name} cannot be read ({error}).")
            return {}
        return values if isinstance(values, dict) else {}

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The values of annotate.json, or of the reports that single tools left."""
        values = self.json(SUMMARY)
        for name, key in _STEP_REPORTS.items():
            if key not in values and (report := self.json(name)):
                values[key] = report
        return values

    @cached_property
    def card(self) -> dict[str, Any]:
        """The model's card; empty if it is not known."""
        return mapping(self.summary.get("card"))

    @cached_property
    def preprocess(self) -> dict[str, Any]:
        """What preprocess reported."""
        return mapping(self.summary.get("preprocess"))

    @cached_property
    def evaluation(self) -> dict[str, Any]:
        """What evaluate reported."""
        return self.json(EVALUATION)

    @cached_property
    def tracks(self) -> tuple[TrackFile, ...]:
        """The bigWigs in the order of the vocabulary, plus before minus."""
        found = {path.name: path for folder in ("", "tracks") for path in sorted((self.path / folder).glob("*.bw"))}
        return tuple(sorted((TrackFile(_track_of(path), path) for path in found.values()), key=_track_order))

    def genome(self) -> Path | None:
        """The assembly that preprocess left here, as the folder Assembly.open takes, or None."""
        path = self.file(ASSEMBLY)
        if path is None or not (path.parent / CONTIGS).is_file() or not path.with_name(f"{path.name}.fai").is_file():
            return None
        return path.parent


def open_text(path: Path) -> IO[str]:
    """A text file, gzipped or not by its name."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace")
    return path.open(encoding="utf-8", errors="replace")


def mapping(value: object) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


_ORDER = {name: number for number, name in enumerate(ELEMENTS)}
_NAME_OF_FILE = {safe_name(name): name for name in ELEMENTS}


def _track_of(path: Path) -> Track:
    stem, strand = path.stem, Strand.NONE
    for suffix, which in ((".plus", Strand.PLUS), (".minus", Strand.MINUS)):
        if stem.endswith(suffix):
            stem, strand = stem.removesuffix(suffix), which
    return Track(_NAME_OF_FILE.get(stem, stem), strand)


def _track_order(file: TrackFile) -> tuple[int, str, int]:
    strands = (Strand.NONE, Strand.PLUS, Strand.MINUS)
    return _ORDER.get(file.track.element, len(_ORDER)), file.track.element, strands.index(file.track.strand)


def open_runs(paths: list[Path]) -> list[RunFolder]:
    """Run folders with names that tell them apart: the folder's name, with its parent's where two are equal."""
    resolved = [path.resolve() for path in paths]
    return [RunFolder.open(path, name) for path, name in zip(paths, _names(resolved), strict=True)]


def _names(paths: list[Path]) -> Iterator[str]:
    short = [path.name or "run" for path in paths]
    longer = [f"{path.parent.name}/{path.name}" for path in paths]
    for number, (name, long_name) in enumerate(zip(short, longer, strict=True), start=1):
        if short.count(name) == 1:
            yield name
        else:
            yield long_name if longer.count(long_name) == 1 else f"{long_name} ({number})"
