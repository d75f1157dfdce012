"""Features of GFF3 and GTF: one line as a data class, and the escapes and attributes of column 9."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from segnt_tools.elements import Strand

Attributes = dict[str, tuple[str, ...]]


@dataclass(slots=True)
class Feature:
    """One line of GFF3 or GTF.

    Attributes:
        seqid: name of the contig, unescaped.
        source: column 2, unescaped.
        type: column 3, unescaped.
        start: first base, 0-based.
        end: end (exclusive), 0-based.
        score: column 6, or None for `.`.
        strand: column 7; `?` (stranded but unknown) is read as NONE.
        phase: column 8, or None for `.`.
        attributes: column 9, unescaped, in the order of the file.
        line: 1-based line it was read from; 0 if it was made in memory.
    """

    seqid: str
    source: str
    type: str
    start: int
    end: int
    score: float | None = None
    strand: Strand = Strand.NONE
    phase: int | None = None
    attributes: Attributes = field(default_factory=dict)
    line: int = 0

    @property
    def id(self) -> str | None:
        """Value of `ID`, or None."""
        values = self.attributes.get("ID")
        return values[0] if values else None

    @property
    def parents(self) -> tuple[str, ...]:
        """Values of `Parent`."""
        return self.attributes.get("Parent", ())

    @property
    def called_element(self) -> str | None:
        """Element that the row is a call of, as call-peaks writes it; None for parts of a gene and all others."""
        return None if self.parents else self.first("element")

    def first(self, *names: str) -> str | None:
        """First value of the first of these attributes that is there."""
        for name in names:
            values = self.attributes.get(name)
            if values:
                return values[0]
        return None

    @property
    def label(self) -> str:
        """How messages name the feature."""
        return f"{self.type} {self.id}" if self.id else f"{self.type} {self.seqid}:{self.start + 1}-{self.end}"


# --- escapes (GFF3 1.26): the only place that says which characters are written as %XX

_CONTROL: Final = "".join(chr(code) for code in (*range(32), 127))
_EVERYWHERE: Final = _CONTROL + "%"
_IN_ATTRIBUTES: Final = _EVERYWHERE + ";=&,"
# A seqid may have these letters only; everything else is escaped, byte by byte in UTF-8.
_SEQID_ALLOWED: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:^*$@!+_?-|")

_COLUMN_ESCAPES: Final = {ord(letter): f"%{ord(letter):02X}" for letter in _EVERYWHERE}
_ATTRIBUTE_ESCAPES: Final = {ord(letter): f"%{ord(letter):02X}" for letter in _IN_ATTRIBUTES}
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def escape_seqid(name: str) -> str:
    """Column 1: percent-encodes all that GFF3 does not allow in a sequence name."""
    if _SEQID_ALLOWED.issuperset(name):
        return name
    return "".join(
        letter if letter in _SEQID_ALLOWED else "".join(f"%{byte:02X}" for byte in letter.encode()) for letter in name
    )


def escape_column(text: str) -> str:
    """Columns 2 and 3: percent-encodes tab, newline, other control characters and `%`; an empty text becomes `.`."""
    return text.translate(_COLUMN_ESCAPES) or "."


def escape_value(text: str) -> str:
    """Column 9: percent-encodes what columns escape, and `; = & ,`."""
    return text.translate(_ATTRIBUTE_ESCAPES)


def unescape(text: str) -> str:
    """Decodes %XX as UTF-8; a `%` that begins no escape stays."""
    return unquote(text) if "%" in text else text


def has_bad_escape(text: str) -> bool:
    """True if a `%` is not followed by two hexadecimal digits."""
    return "%" in text and _BAD_ESCAPE.search(text) is not None


def format_attributes(attributes: Mapping[str, tuple[str, ...]]) -> str:
    """Column 9 of GFF3; `.` without attributes."""
    if not attributes:
        return "."
    return ";".join(
        f"{escape_value(name)}={','.join(escape_value(value) for value in values)}"
        for name, values in attributes.items()
    )


def format_score(score: float | None, *, exact: bool = False) -> str:
    """Column 6 with three decimals (or, if exact, as many as it takes), `.` for None."""
    if score is None:
        return "."
    text = f"{score:.3f}"
    return text if not exact or float(text) == score else repr(score)


def format_feature(feature: Feature, *, exact: bool = False) -> str:
    """A feature as a line of GFF3, without its line end; `exact` keeps all decimals of the score."""
    phase = "." if feature.phase is None else str(feature.phase)
    return "\t".join(
        (
            escape_seqid(feature.seqid),
            escape_column(feature.source),
            escape_column(feature.type),
            str(feature.start + 1),
            str(feature.end),
            format_score(feature.score, exact=exact),
            feature.strand.value,
            phase,
            format_attributes(feature.attributes),
        )
    )
