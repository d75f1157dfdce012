"""Regulatory files to intervals: ENCODE's cCREs, the index of DNase hypersensitive sites, any BED as any element."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from segnt_tools.elements import Strand
from segnt_tools.errors import AnnotationFileError, UsageError, some_names
from segnt_tools.gff.lines import open_text
from segnt_tools.labels.aliases import ContigNames
from segnt_tools.labels.bed import BedNotes, read_bed
from segnt_tools.labels.collector import IntervalCollector
from segnt_tools.labels.rules import LabelRules
from segnt_tools.sequence.intervals import Intervals, overlaps, union

# Pools that the DHS index divides into tissue-invariant and tissue-specific.
POOLS = ("enhancer", "promoter")
INVARIANT = "_invariant_dhs"

# Classes of the registry, versions 2 and 3: one of them, optionally `,CTCF-bound`.
_CCRE = re.compile(r"(PLS|pELS|dELS|DNase-H3K4me3|CTCF-only|DNase-only|Low-DNase)(,CTCF-bound)?")
_POOL_OF_CLASS = {"PLS": "promoter", "pELS": "enhancer", "dELS": "enhancer"}


@dataclass(frozen=True, slots=True)
class BedSource:
    """A BED file whose rows are an element, all of them or those of one name in column 4."""

    element: str
    path: Path
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> BedSource:
        """`ELEMENT=FILE` or `ELEMENT=FILE#NAME`.

        Raises:
            UsageError: there is no `=`, or a side is empty.
        """
        element, equals, rest = text.partition("=")
        file, _, name = rest.partition("#")
        if not (element and equals and file):
            raise UsageError(f"--bed {text}: write ELEMENT=FILE or ELEMENT=FILE#NAME")
        return cls(element, Path(file), name or None)


class Places:
    """Contigs and bounds of the genome, for rows of any file.

    Args:
        lengths: contigs of the genome.
        names: finds the genome's name of a contig.
        ignore_missing: pass over rows on other contigs instead of refusing the file.

    Attributes:
        missing: rows passed over, by contig.
    """

    def __init__(self, lengths: Mapping[str, int], names: ContigNames, *, ignore_missing: bool) -> None:
        self.lengths = lengths
        self.names = names
        self.ignore_missing = ignore_missing
        self.missing: Counter[str] = Counter()

    def contig(self, name: str, path: Path, line: int) -> str | None:
        """The genome's name of a row's contig, None for a row to pass over.

        Raises:
            AnnotationFileError: the genome has no such contig.
        """
        found = self.names.find(name)
        if found is None:
            if not self.ignore_missing:
                raise AnnotationFileError(
                    f"the genome has no sequence {name} (it has {some_names(self.lengths)})",
                    file=path,
                    line=line,
                    hint="Give the names that mean the same with --aliases, or pass over with --ignore-missing-contigs",
                )
            self.missing[name] += 1
        return found

    def require_inside(self, contig: str, end: int, path: Path, line: int) -> None:
        """Make sure that a row ends on its contig.

        Raises:
            AnnotationFileError: it does not.
        """
        if end > self.lengths[contig]:
            raise AnnotationFileError(
                f"the row ends at {end}, but {contig} has {self.lengths[contig]} bases",
                file=path,
                line=line,
                hint="Is this the annotation of another assembly?",
            )


@dataclass(slots=True)
class Regulatory:
    """Intervals of regulatory elements.

    Attributes:
        collector: intervals by element; the pools are not yet divided.
        known: contigs on which some file has rows, by element.
        notes: what was passed over, by reason.
        divides: whether a DHS index was given.
    """

    collector: IntervalCollector = field(default_factory=IntervalCollector)
    known: dict[str, set[str]] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    divides: bool = False

    def know(self, element: str, contig: str) -> None:
        """Remember that a file speaks of an element on a contig."""
        self.known.setdefault(element, set()).add(contig)

    def read_bed(self, source: BedSource, places: Places) -> None:
        """Take in a BED file.

        Raises:
            AnnotationFileError: malformed, off the genome, or without any row of the name.
        """
        notes = BedNotes()
        taken = 0
        for row in read_bed(source.path, notes):
            contig = places.contig(row.contig, source.path, row.line)
            if contig is None:
                continue
            places.require_inside(contig, row.end, source.path, row.line)
            self.know(source.element, contig)
            if source.name is None or row.name == source.name:
                self.collector.add_all(contig, source.element, row.strand, row.blocks)
                taken += 1
        if not taken and not places.missing:
            raise AnnotationFileError(f"no row is named {source.name!r} in column 4", file=source.path)
        self._note(notes, source.path)

    def read_ccres(self, path: Path, places: Places, rules: LabelRules) -> None:
        """Take in a registry of cCREs: BED with the class (`dELS,CTCF-bound`) in any column from the fourth.

        ENCODE also gives single classes as files of their own, so a file speaks of the elements that it has rows of.

        Raises:
            AnnotationFileError: malformed, off the genome, or a row without a class.
        """
        notes = BedNotes()
        contigs: set[str] = set()
        elements: set[str] = set()
        for row in read_bed(path, notes, stranded_columns=False):
            contig = places.contig(row.contig, path, row.line)
            if contig is None:
                continue
            places.require_inside(contig, row.end, path, row.line)
            match = next((m for text in row.fields[3:] if (m := _CCRE.fullmatch(text))), None)
            if match is None:
                raise AnnotationFileError(
                    "no column holds a class of cCRE such as pELS or dELS,CTCF-bound",
                    file=path,
                    line=row.line,
                    hint="Give the registry of version 2 or 3, or single elements with --bed",
                )
            contigs.add(contig)
            found = [_POOL_OF_CLASS[match[1]]] if match[1] in _POOL_OF_CLASS else []
            if match[1] == "CTCF-only" if rules.ctcf_only else match[2]:
                found.append("CTCF-bound")
            elements.update(found)
            for element in found:
                self.collector.add(contig, element, Strand.NONE, row.start, row.end)
        for contig in contigs:
            for element in elements:
                self.know(element, contig)
        self._note(notes, path)

    def read_dhs(self, path: Path, places: Places) -> None:
        """Take in the DHS index (Meuleman et al.): a table with seqname, start, end and component columns.

        Raises:
            AnnotationFileError: columns are missing, a number is none, or it lies off the genome.
        """
        self.divides = True
        with open_text(path) as handle:
            columns = _dhs_columns(next(handle, ""), path)
            for number, line in enumerate(handle, 2):
                fields = line.rstrip("\r\n").split("\t")
                try:
                    name, start, end = (fields[i] for i in columns[:3])
                    low, high, component = int(start), int(end), fields[columns[3]]
                except (IndexError, ValueError) as error:
                    raise AnnotationFileError("columns are missing or no numbers", file=path, line=number) from error
                contig = places.contig(name, path, number)
                if contig is None:
                    continue
                places.require_inside(contig, high, path, number)
                if component.strip().lower() == "tissue invariant":
                    self.collector.add(contig, INVARIANT, Strand.NONE, low, high)

    def divide(self, contig: str, pool: str) -> tuple[Intervals, Intervals]:
        """A pool's tissue-invariant and tissue-specific intervals: those that share a base with an invariant DHS, and
        all others."""
        members = self.collector.raw(contig, pool)
        invariant = overlaps(members, self.collector.intervals(contig, INVARIANT, [Strand.NONE]))
        return union(members[invariant]), union(members[~invariant])

    def _note(self, notes: BedNotes, path: Path) -> None:
        for reason, count in notes.skipped.items():
            self.notes[f"{path.name}: {reason}"] += count


def _dhs_columns(header: str, path: Path) -> tuple[int, int, int, int]:
    names = [name.strip().lower().lstrip("#") for name in header.rstrip("\r\n").split("\t")]
    wanted = (("seqname", "chrom", "chr"), ("start",), ("end",), ("component",))
    found = [next((names.index(name) for name in choices if name in names), None) for choices in wanted]
    if None in found:
        raise AnnotationFileError(
            "the first line must name the columns seqname, start, end and component",
            file=path,
            line=1,
            hint="This is the layout of DHS_Index_and_Vocabulary (Meuleman et al. 2020)",
        )
    a, b, c, d = (int(i) for i in found if i is not None)
    return a, b, c, d
