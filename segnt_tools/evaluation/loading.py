"""Reading the two sides of an evaluation: what kind a file is, and gene models that fit the genome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from segnt_tools.errors import AnnotationFileError, UsageError
from segnt_tools.gff.genemodel import Gene
from segnt_tools.gff.reading import ReadReport, read_genes


class Kind(StrEnum):
    """What a prediction or truth is made of."""

    GENES = "genes"
    TRACKS = "tracks"


_GENE_SUFFIXES = (".gff3", ".gff", ".gtf")
_TRACK_SUFFIXES = (".h5",)


def kind_of(path: Path) -> Kind:
    """The kind of a file, told from its name.

    Raises:
        UsageError: there is no such file, or the name says nothing we know.
    """
    if not path.exists():
        raise UsageError("there is no such file", file=path)
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(_GENE_SUFFIXES):
        return Kind.GENES
    if name.endswith(_TRACK_SUFFIXES):
        return Kind.TRACKS
    known = " ".join((*_GENE_SUFFIXES, *_TRACK_SUFFIXES))
    raise UsageError("the kind of file is not told by its name", file=path, hint=f"Known endings: {known} (and .gz)")


def load_genes(path: Path, lengths: Mapping[str, int]) -> tuple[list[Gene], tuple[str, ...]]:
    """Gene models of a file on the genome, and remarks about what was left out.

    Raises:
        AnnotationFileError: malformed, on other sequences than the genome's, or past the end of one.
    """
    report = ReadReport()
    genes = read_genes(path, lengths, report)
    for reason, tally in report.dropped.items():
        if "past the end" in reason:
            raise AnnotationFileError(
                f"{tally.example} runs past the end of its sequence ({tally.count} transcripts do)",
                file=path,
                line=tally.line,
                hint="Is this the annotation of another assembly?",
            )
    return genes, tuple(report.summary()[1:])


def names_of(paths: Sequence[Path], given: Sequence[str] | None = None) -> list[str]:
    """One distinct short name for each prediction.

    Raises:
        UsageError: another number of names than predictions, or a name twice.
    """
    if given is not None:
        if len(given) != len(paths) or len(set(given)) != len(given):
            raise UsageError(f"--names needs {len(paths)} different names, separated by commas")
        return list(given)
    stems = [path.name.removesuffix(".gz").rsplit(".", 1)[0] for path in paths]
    if len(set(stems)) < len(stems):
        stems = [f"{path.resolve().parent.name}/{stem}" for path, stem in zip(paths, stems, strict=True)]
    return [stem if stems.count(stem) == 1 else f"{stem}#{i}" for i, stem in enumerate(stems, 1)]
