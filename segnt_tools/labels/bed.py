"""Reading BED files strictly: what is not clearly an interval is refused with its line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from segnt_tools.elements import Strand
from segnt_tools.errors import AnnotationFileError
from segnt_tools.gff.lines import open_text
from segnt_tools.sequence.regions import Regions
from segnt_tools.sequence.stretches import Stretch

_STRANDS = {"+": Strand.PLUS, "-": Strand.MINUS, ".": Strand.NONE, "*": Strand.NONE, "": Strand.NONE}
_HEADER_WORDS = frozenset(("chrom", "#chrom", "chr", "seqname", "seqid", "contig"))


@dataclass(frozen=True, slots=True)
class BedRow:
    """One line of a BED file.

    Attributes:
        contig: name as written.
        start, end: 0-based half-open.
        strand: NONE where the file has no sixth column.
        fields: all columns as text.
        blocks: the parts of a BED12 row; the whole interval otherwise.
        line: 1-based line.
    """

    contig: str
    start: int
    end: int
    strand: Strand
    fields: tuple[str, ...]
    blocks: tuple[tuple[int, int], ...]
    line: int

    @property
    def name(self) -> str:
        """Column 4, empty if there is none."""
        return self.fields[3] if len(self.fields) > 3 else ""


@dataclass(slots=True)
class BedNotes:
    """What was passed over while reading, by reason."""

    skipped: Counter[str] = field(default_factory=Counter)


def read_bed(path: Path, notes: BedNotes | None = None, *, stranded_columns: bool = True) -> Iterator[BedRow]:
    """Rows of a BED file: plain or gzipped, tabs or blanks (one of them throughout), CRLF, track and browser lines.

    Zero-length intervals and one header line are passed over and counted; strand `*` is read as `.`.

    Args:
        path: the file.
        notes: counts what was passed over.
        stranded_columns: check column 6 as a strand and columns 10 to 12 as blocks (not so in ENCODE's cCRE files).

    Raises:
        AnnotationFileError: a line is no BED interval, or the file has none at all.
    """
    notes = BedNotes() if notes is None else notes
    rows = 0
    separator: str | None = None
    with open_text(path) as handle:
        for number, line in enumerate(_lines(handle, path), 1):
            text = line.rstrip("\r\n").rstrip()
            if not text or text.startswith("#") or text.split(None, 1)[0] == "browser":
                continue
            if text.split(None, 1)[0] == "track":
                _check_track(text, path, number)
                continue
            if separator is None:
                separator = "tab" if "\t" in text else "blank"
            fields = tuple(text.split("\t") if separator == "tab" else text.split())
            if not rows and len(fields) > 1 and fields[0].lower() in _HEADER_WORDS and not fields[1].isdigit():
                notes.skipped["header line"] += 1
                continue
            row = _row(fields, path, number, stranded_columns)
            rows += 1
            if row.start == row.end:
                notes.skipped["zero-length interval"] += 1
            else:
                yield row
    if not rows:
        raise AnnotationFileError("the file has no interval", file=path, hint="Leave it out if there are none")


def read_regions_bed(path: Path) -> Regions:
    """The rows of a BED file as regions of an assembly, whatever its further columns hold.

    Raises:
        AnnotationFileError: it is no BED file.
    """
    rows = list(read_bed(path, stranded_columns=False))
    return Regions(
        path, tuple(Stretch(row.contig, row.start, row.end) for row in rows), tuple(row.line for row in rows)
    )


def _lines(handle: Iterator[str], path: Path) -> Iterator[str]:
    try:
        yield from handle
    except (EOFError, OSError) as error:
        raise AnnotationFileError("the gzip data is damaged or cut off", file=path) from error


def _check_track(text: str, path: Path, line: int) -> None:
    for word in text.split():
        if word.startswith("offset=") and word.removeprefix("offset=").strip("\"'") not in ("0", ""):
            raise AnnotationFileError(
                f"the track line shifts all coordinates ({word}), which is not applied here",
                file=path,
                line=line,
                hint="Add the offset to the coordinates and remove it from the track line",
            )


def _row(fields: tuple[str, ...], path: Path, line: int, stranded_columns: bool) -> BedRow:
    def refuse(message: str) -> AnnotationFileError:
        return AnnotationFileError(message, file=path, line=line)

    if len(fields) < 3:
        raise refuse(
            f"{len(fields)} column{'s' if len(fields) != 1 else ''} (parted by tabs or blanks) instead of 3 or more"
        )
    for what, text in (("start", fields[1]), ("end", fields[2])):
        if not (text.isascii() and text.isdigit()):
            raise refuse(f"the {what} is {text!r}, not a whole number of 0 or more")
    start, end = int(fields[1]), int(fields[2])
    if end < start:
        raise refuse(f"the end {end} lies before the start {start}")
    strand_text = fields[5] if stranded_columns and len(fields) > 5 else "."
    if strand_text not in _STRANDS:
        raise refuse(f"column 6 is {strand_text!r}, not a strand (+ - .); is this really BED?")
    blocks: tuple[tuple[int, int], ...] = ((start, end),)
    if stranded_columns and len(fields) >= 12:
        try:
            blocks = _blocks(fields, start, end)
        except ValueError as error:
            raise refuse(str(error)) from error
    return BedRow(fields[0], start, end, _STRANDS[strand_text], fields, blocks, line)


def _blocks(fields: tuple[str, ...], start: int, end: int) -> tuple[tuple[int, int], ...]:
    """Parts of a BED12 row; a ValueError says what is wrong with them."""
    sizes, offsets = ([part for part in fields[i].split(",") if part] for i in (10, 11))
    if not fields[9].isdigit() or not all(part.isdigit() for part in (*sizes, *offsets)):
        raise ValueError("columns 10 to 12 are no lists of blocks")
    if not len(sizes) == len(offsets) == int(fields[9]) or not sizes:
        raise ValueError(f"{fields[9]} blocks announced, {len(sizes)} sizes and {len(offsets)} starts given")
    blocks = tuple(
        (start + int(offset), start + int(offset) + int(size)) for size, offset in zip(sizes, offsets, strict=True)
    )
    if any(right <= left for left, right in blocks):
        raise ValueError("a block of length 0")
    if blocks[0][0] != start or blocks[-1][1] != end:
        raise ValueError(f"the blocks reach from {blocks[0][0]} to {blocks[-1][1]}, the row from {start} to {end}")
    if any(left[1] > right[0] for left, right in pairwise(blocks)):
        raise ValueError("blocks overlap or are not in order")
    return blocks
