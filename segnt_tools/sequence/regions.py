"""Regions of an assembly that alone are to be annotated: rows of a BED file, checked and merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segnt_tools.errors import AnnotationFileError
from segnt_tools.sequence.stretches import Stretch, joined_by_contig


@dataclass(frozen=True, slots=True)
class Regions:
    """Rows of a BED file.

    Attributes:
        path: the file.
        rows: the regions, none of them empty.
        lines: 1-based line of each.
    """

    path: Path
    rows: tuple[Stretch, ...]
    lines: tuple[int, ...]

    def of(self, lengths: Mapping[str, int]) -> dict[str, tuple[Stretch, ...]]:
        """The regions of each contig that has any: ascending, joined where they overlap or touch.

        Args:
            lengths: bases of every contig of the assembly.

        Raises:
            AnnotationFileError: a row names no contig of the assembly, or leaves it.
        """
        for row, line in zip(self.rows, self.lines, strict=True):
            length = lengths.get(row.contig)
            if length is None:
                raise AnnotationFileError(
                    f"the assembly has no contig {row.contig}",
                    file=self.path,
                    line=line,
                    hint="Write contigs as the FASTA does, up to the first blank",
                )
            if row.end > length:
                raise AnnotationFileError(
                    f"{row.contig}:{row.start}-{row.end} leaves the contig of {length} bases",
                    file=self.path,
                    line=line,
                    hint="Is the BED file of another assembly?",
                )
        return joined_by_contig(self.rows)
