"""Lines of GFF3 and GTF files to features: opening, telling the dialect, columns, directives and column 9."""

from __future__ import annotations

import gzip
import io
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import IO, Final, cast

from segnt_tools.elements import Strand
from segnt_tools.errors import AnnotationFileError
from segnt_tools.files import rereadable
from segnt_tools.gff import rules
from segnt_tools.gff.features import Attributes, Feature, has_bad_escape, unescape
from segnt_tools.gff.rules import Finding, Rule, Sink


class Dialect(StrEnum):
    """Which of the two formats a file is in."""

    GFF3 = "GFF3"
    GTF = "GTF"


@dataclass(slots=True)
class Directives:
    """What the `##` lines of a file said, filled while it is read.

    Attributes:
        regions: bounds of `##sequence-region` by sequence, 0-based half-open.
        pragmas: the other lines that begin with `##` or `#!`, as they are.
        syncs: lines of `###`.
        version_line: line of the first `##gff-version`, 0 if there is none.
    """

    regions: dict[str, tuple[int, int]] = field(default_factory=dict)
    pragmas: list[str] = field(default_factory=list)
    syncs: list[int] = field(default_factory=list)
    version_line: int = 0


_KNOWN_DIRECTIVES: Final = frozenset(
    ("gff-version", "sequence-region", "feature-ontology", "attribute-ontology", "source-ontology", "species",
     "genome-build", "FASTA", "date", "description", "provider", "contact", "format", "source-version", "Type")
)  # fmt: skip
_STRANDS: Final = {"+": Strand.PLUS, "-": Strand.MINUS, ".": Strand.NONE, "?": Strand.NONE}
_PHASES: Final = {"0": 0, "1": 1, "2": 2, ".": None}
_SNIFFED_LINES: Final = 200
_GTF_PIECE: Final = re.compile(r"\s*([^\s\";=]+)[ \t]+(\"[^\"]*\"|[^\s\";]+)\s*(?:;|$)")
_BLANK: Final = re.compile(r"\s")
_BGZF_END: Final = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def open_text(path: Path) -> IO[str]:
    """Open a plain or gzipped text file as UTF-8; bytes that are none become surrogates.

    A pipe may be opened several times, too: its text is copied (see rereadable).

    Raises:
        AnnotationFileError: no such file, a folder, UTF-16, binary, or bgzip without its end block.
        UsageError: a pipe's text cannot be copied.
    """
    try:
        raw = rereadable(path).open("rb")
    except FileNotFoundError as error:
        raise AnnotationFileError("there is no such file", file=path) from error
    except OSError as error:
        raise AnnotationFileError(f"cannot be read ({error.strerror})", file=path) from error
    try:
        head = raw.peek(18)[:18]
        if head[:2] == b"\x1f\x8b":
            _require_bgzf_end(raw, head, path)
            unpacked = _OwningGzipFile(fileobj=raw)
            stream, start = cast(IO[bytes], unpacked), _peek_gzip(unpacked, path)
        else:
            stream, start = raw, raw.peek(4096)[:4096]
        _require_text(path, start)
    except BaseException:
        raw.close()
        raise
    encoding = "utf-8-sig" if start.startswith(b"\xef\xbb\xbf") else "utf-8"
    return io.TextIOWrapper(stream, encoding=encoding, errors="surrogateescape", newline=None)


class _OwningGzipFile(gzip.GzipFile):
    """Closes the file it reads from, which GzipFile does only for files it opened itself."""

    def close(self) -> None:
        raw = cast(IO[bytes] | None, self.fileobj)
        super().close()
        if raw is not None:
            raw.close()


def _peek_gzip(stream: gzip.GzipFile, path: Path) -> bytes:
    try:
        return bytes(stream.peek(4096)[:4096])
    except (EOFError, OSError) as error:
        raise AnnotationFileError("the gzip data is damaged or cut off", file=path) from error


def _require_bgzf_end(raw: IO[bytes], head: bytes, path: Path) -> None:
    is_bgzf = head[3:4] == b"\x04" and head[12:14] == b"BC"
    if not is_bgzf:
        return
    raw.seek(max(0, raw.seek(0, os.SEEK_END) - len(_BGZF_END)))
    end = raw.read()
    raw.seek(0)
    if end != _BGZF_END:
        raise AnnotationFileError(
            "the bgzip end block is missing, so the file is probably cut off", file=path, hint="Copy it again"
        )


def _require_text(path: Path, start: bytes) -> None:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise AnnotationFileError("the file is UTF-16", file=path, hint="Save it as UTF-8 text")
    if b"\0" in start:
        raise AnnotationFileError("this is a binary file, not GFF3 or GTF", file=path)


class FeatureFile:
    """A GFF3 or GTF file as a stream of features.

    Iterating yields a Feature for each good line. Whatever is wrong goes to `sink`; a line that yields no feature has
    always caused a finding.

    Args:
        path: plain or gzipped file.
        sink: called with each finding.

    Attributes:
        dialect: GFF3 or GTF, told from the first feature lines.
        directives: what the `##` lines said, up to the line read last.

    Raises:
        AnnotationFileError: the file cannot be read or is neither GFF3 nor GTF.
    """

    def __init__(self, path: Path, sink: Sink) -> None:
        self.path = Path(path)
        self.directives = Directives()
        self._sink = sink
        self._seen: set[str] = set()
        self._handle = open_text(self.path)
        self._in_fasta = False
        try:
            self._head = list(self._sniffed())
            self.dialect = tell_dialect(self._head, self.path)
        except BaseException:
            self._handle.close()
            raise

    def _sniffed(self) -> Iterator[str]:
        features = 0
        for line in self._lines():
            yield line
            if line[:1] not in ("#", "\n", ""):
                features += 1
            if features == _SNIFFED_LINES:
                return

    def _lines(self) -> Iterator[str]:
        try:
            # Not `yield from`, which would close the file together with the generator that sniffs.
            for line in self._handle:  # noqa: UP028
                yield line
        except (EOFError, OSError, gzip.BadGzipFile) as error:
            raise AnnotationFileError("the gzip data is damaged or cut off", file=self.path) from error

    def __iter__(self) -> Iterator[Feature]:
        with self._handle:
            for number, line in enumerate(chain(self._head, self._lines()), start=1):
                text = line.rstrip("\n")
                if text.startswith("#"):
                    if self._directive(text, number):
                        return
                    continue
                if text.startswith(">"):
                    self._report(rules.FASTA_UNANNOUNCED, number, "", "FASTA begins without '##FASTA' before it")
                    return
                if not text.strip():
                    continue
                feature = self._feature(text, number)
                if feature is not None:
                    yield feature
            if self.dialect is Dialect.GFF3 and not self.directives.version_line:
                self._report(rules.VERSION_MISSING, 1, "", "the file does not begin with '##gff-version 3'")

    def _report(self, rule: Rule, line: int, feature: str, message: str) -> None:
        self._sink(Finding(rule, line, feature, message))

    # --- columns

    def _feature(self, text: str, line: int) -> Feature | None:
        columns = text.split("\t")
        if len(columns) == 10 and not columns[9].strip():
            del columns[9]
            self._report(rules.TRAILING_TAB, line, "", "a tab at the end of the line makes a tenth column")
        if len(columns) != 9:
            self._report(rules.COLUMNS, line, "", _columns_message(columns))
            return None
        seqid, source, kind, start_text, end_text, score_text, strand_text, phase_text, column9 = columns
        if not text.isascii() and _has_surrogate(text):
            self._report(rules.LETTERS, line, "", "the line is not UTF-8")
        if "" in columns[:8]:
            name = _COLUMN_NAMES[columns.index("")]
            self._report(rules.EMPTY_COLUMN, line, "", f"column {columns.index('') + 1} ({name}) is empty; write '.'")
        place = f"{kind} {seqid}:{start_text}-{end_text}"
        interval = self._interval(start_text, end_text, line, place)
        strand = _STRANDS.get(strand_text)
        if strand is None:
            self._report(rules.STRAND, line, place, f"the strand is {strand_text!r}, not one of + - . ?")
        if interval is None or strand is None:
            return None
        if phase_text not in _PHASES:
            self._report(rules.PHASE, line, place, f"the phase is {phase_text!r}, not one of 0 1 2 .")
        if seqid not in self._seen:
            self._check_seqid(seqid, line)
            self._seen.add(seqid)
        if _BLANK.search(kind):
            self._report(rules.BLANK_IN_TYPE, line, place, f"the type {kind!r} has a blank")
        feature = Feature(
            unescape(seqid.strip()),
            unescape(source),
            unescape(kind.strip()),
            interval[0],
            interval[1],
            None if score_text == "." else self._score(score_text, line, place),
            strand,
            _PHASES.get(phase_text),
            {},
            line,
        )
        parse = _parse_gff3_attributes if self.dialect is Dialect.GFF3 else _parse_gtf_attributes
        feature.attributes = parse(column9, feature, self._sink)
        return feature

    def _interval(self, start_text: str, end_text: str, line: int, place: str) -> tuple[int, int] | None:
        if not (start_text.isascii() and start_text.isdigit() and end_text.isascii() and end_text.isdigit()):
            wrong = f"start {start_text!r}, end {end_text!r}"
            self._report(rules.COORDINATE, line, place, f"start and end must be whole numbers ({wrong})")
            return None
        start, end = int(start_text), int(end_text)
        if start < 1:
            self._report(rules.START_BELOW_ONE, line, place, f"the start is {start}, but GFF counts from 1")
            return None
        if start > end:
            self._report(rules.START_AFTER_END, line, place, f"the start {start} is after the end {end}")
            return None
        return start - 1, end

    def _score(self, text: str, line: int, place: str) -> float | None:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            return value
        if text:
            self._report(rules.SCORE, line, place, f"the score {text!r} is no finite number")
        return None

    def _check_seqid(self, seqid: str, line: int) -> None:
        if _BLANK.search(seqid) or seqid.startswith(">"):
            self._report(rules.SEQID, line, "", f"the sequence name {seqid!r} has a blank or begins with '>'")
        elif has_bad_escape(seqid):
            self._report(rules.ESCAPE, line, "", f"the sequence name {seqid!r} has a '%' that begins no escape")

    # --- directives

    def _directive(self, text: str, line: int) -> bool:
        """Take in a line that begins with `#`; True when the feature part of the file ends here."""
        if text.startswith("###"):
            if not text.strip("#").strip():
                self.directives.syncs.append(line)
            return False
        if text.startswith("#!"):
            self.directives.pragmas.append(text)
        if not text.startswith("##"):
            return False
        words = text[2:].split()
        name = words[0] if words else ""
        if name == "FASTA":
            return True
        if self.dialect is Dialect.GTF:
            self._gtf_directive(name, line)
        elif name == "gff-version":
            self._version(words, line)
        elif name == "sequence-region":
            self._region(words, line)
        else:
            self.directives.pragmas.append(text)
            if name.lower() == "gff-version":
                self._report(rules.VERSION, line, "", f"'##{name}' is misspelt; write '##gff-version 3'")
                self.directives.version_line = line
            elif name and name not in _KNOWN_DIRECTIVES and text[2:3] != " ":
                self._report(rules.UNKNOWN_DIRECTIVE, line, "", f"unknown directive '##{name}'")
        return False

    def _gtf_directive(self, name: str, line: int) -> None:
        if name == "gff-version":
            self._report(rules.GTF_VERSION_LINE, line, "", "the lines below '##gff-version' are GTF, not GFF3")

    def _version(self, words: list[str], line: int) -> None:
        version = words[1] if len(words) > 1 else ""
        if self.directives.version_line:
            message = f"a second version line (the first is line {self.directives.version_line}); was the file joined?"
            self._report(rules.VERSION_TWICE, line, "", message)
            return
        self.directives.version_line = line
        if version == "2":
            raise AnnotationFileError("this is GFF version 2", file=self.path, line=line, hint="Convert it to GFF3")
        # 3.1.26 is the number of the specification, which it asks writers to give; 3.2.1 never existed (field.md 5.2).
        if version not in ("3", "3.1.26") and not re.fullmatch(r"3(\.1(\.\d+)?)?", version):
            self._report(rules.VERSION, line, "", f"'##gff-version {version}' should be '##gff-version 3'")

    def _region(self, words: list[str], line: int) -> None:
        if len(words) != 4 or not (words[2].isdigit() and words[3].isdigit()):
            message = "'##sequence-region' needs a name, a start and an end"
            self._report(rules.SEQUENCE_REGION, line, "", message)
            return
        name, start, end = unescape(words[1]), int(words[2]), int(words[3])
        if start > end or start < 1:
            self._report(rules.SEQUENCE_REGION, line, name, f"'##sequence-region' from {start} to {end}")
            return
        if name in self.directives.regions:
            self._report(rules.SEQUENCE_REGION_TWICE, line, name, f"a second '##sequence-region' for {name}")
            return
        if words[1] in self._seen:
            self._report(rules.SEQUENCE_REGION_LATE, line, name, f"'##sequence-region' comes after features of {name}")
        self.directives.regions[name] = (start - 1, end)


_COLUMN_NAMES: Final = ("seqid", "source", "type", "start", "end", "score", "strand", "phase", "attributes")


def _columns_message(columns: list[str]) -> str:
    if len(columns) == 1 and len(columns[0].split()) >= 8:
        return "the columns are parted by blanks; GFF needs tabs"
    return f"{len(columns)} column{'s' if len(columns) != 1 else ''} instead of 9"


def _has_surrogate(text: str) -> bool:
    return any("\udc80" <= letter <= "\udcff" for letter in text)


# --- the dialect


def tell_dialect(lines: list[str], path: Path) -> Dialect:
    """GFF3 or GTF, from column 9 of the first feature lines (a file name or version line may lie).

    Raises:
        AnnotationFileError: neither.
    """
    version = next((line.split()[1:2] for line in lines if line.lower().startswith("##gff-version")), None)
    if version == ["2"]:
        raise AnnotationFileError("this is GFF version 2", file=path, hint="Convert it to GFF3")
    if version == ["1"]:
        raise AnnotationFileError("this is GFF version 1", file=path, hint="Convert it to GFF3")
    if next((line for line in lines if line.strip()), "").startswith(">"):
        raise AnnotationFileError("this is FASTA, not GFF3 or GTF", file=path)
    if any(line.split(None, 1)[:1] in (["browser"], ["track"]) for line in lines):
        raise AnnotationFileError("browser or track lines: this is a UCSC track, not GFF3 or GTF", file=path)
    rows = [line.rstrip("\n").split("\t") for line in lines if line.strip() and line[:1] not in "#>"]
    columns = [row[8] for row in rows if len(row) >= 9]
    if not columns:
        return _dialect_without_columns(rows, version is not None, path)
    if any(re.search(r"(?:^|;)\s*(?:gene_id|transcript_id)[ \t]+\S", text) for text in columns):
        return Dialect.GTF
    if any("=" in text.split('"', 1)[0] for text in columns) or all(text.strip() in (".", "") for text in columns):
        return Dialect.GFF3
    if version is not None and not any(_GTF_PIECE.match(text) for text in columns):
        return Dialect.GFF3
    raise AnnotationFileError(
        "column 9 has neither 'name=value' (GFF3) nor 'gene_id' (GTF): this looks like an older GFF",
        file=path,
        line=_line_of_first_row(lines),
        hint="Convert it to GFF3",
    )


def _line_of_first_row(lines: list[str]) -> int:
    return next(number for number, line in enumerate(lines, 1) if line.strip() and line[:1] not in "#>")


def _dialect_without_columns(rows: list[list[str]], has_version: bool, path: Path) -> Dialect:
    if has_version:
        return Dialect.GFF3
    if not rows:
        raise AnnotationFileError("there is no feature and no '##gff-version' line", file=path)
    hint = "GFF needs tabs between its nine columns" if len(rows[0][0].split()) >= 8 else None
    raise AnnotationFileError("this is neither GFF3 nor GTF: no line has nine columns", file=path, hint=hint)


# --- column 9

_OFFICIAL_ATTRIBUTES: Final = frozenset(
    ("ID", "Name", "Alias", "Parent", "Target", "Gap", "Derives_from", "Note", "Dbxref", "Ontology_term", "Is_circular")
)
_REFERENCES: Final = frozenset(("ID", "Parent", "Derives_from"))
# Names that big databases have long used in spite of the rule: TAIR's Index.
_LEGACY_ATTRIBUTES: Final = frozenset(("Index",))
_TARGET: Final = re.compile(r"\S+ [0-9]+ [0-9]+( [+-])?")
_GAP: Final = re.compile(r"[MIDFR][0-9]+( [MIDFR][0-9]+)*")


def _parse_gff3_attributes(text: str, feature: Feature, sink: Sink) -> Attributes:
    attributes: Attributes = {}
    if text in (".", ""):
        if not text:
            sink(Finding(rules.EMPTY_COLUMN, feature.line, feature.label, "column 9 (attributes) is empty; write '.'"))
        return attributes
    problems: list[tuple[Rule, str]] = []
    last = ""
    for piece in text.split(";"):
        name, equals, value = piece.partition("=")
        name = name.strip()
        if not equals:
            if name:
                problems.append((rules.ATTRIBUTE, f"{name!r} in column 9 is not 'name=value' (an unescaped ';'?)"))
                if last and last not in _REFERENCES:
                    # Most often a ';' that should have been escaped: keep the text with the value it belongs to.
                    attributes[last] = (*attributes[last][:-1], f"{attributes[last][-1]};{unescape(piece)}")
            continue
        if "=" in value:
            problems.append((rules.ATTRIBUTE_EQUALS, f"unescaped '=' in {piece.strip()!r}"))
        if not name:
            problems.append((rules.ATTRIBUTE, f"{piece.strip()!r} in column 9 has no name"))
            continue
        values = tuple(value.split(",")) if "," in value else (value,)
        if "%" in value:
            if has_bad_escape(value):
                problems.append((rules.ESCAPE, f"a '%' in {piece.strip()[:60]!r} begins no escape"))
            values = tuple(unescape(one) for one in values)
        name = unescape(name)
        if name in _OFFICIAL_ATTRIBUTES:
            values = _check_official(name, value, values, problems)
        elif name[0].isupper():
            rule = rules.LEGACY_ATTRIBUTE if name in _LEGACY_ATTRIBUTES else rules.RESERVED_ATTRIBUTE
            problems.append((rule, f"attribute {name!r}: capital first letters are reserved"))
        if name in attributes and name == "ID":
            problems.append((rules.ID_TWICE, "the attribute 'ID' is given twice"))
        elif name in attributes:
            problems.append((rules.ATTRIBUTE_TWICE, f"attribute {name!r} twice; write one comma-separated list"))
            values = attributes[name] + values
        if values:
            attributes[name] = values
            last = name
    for rule, message in problems:
        feature.attributes = attributes
        sink(Finding(rule, feature.line, feature.label, message))
    return attributes


def _check_official(name: str, raw: str, values: tuple[str, ...], problems: list[tuple[Rule, str]]) -> tuple[str, ...]:
    """Check an attribute that GFF3 defines, and strip the values that name features."""
    if name in ("ID", "Parent"):
        stripped = tuple(value.strip() for value in values)
        if "" in stripped:
            problems.append((rules.EMPTY_REFERENCE, f"an empty value in '{name}={raw}'"))
        elif stripped != values:
            problems.append((rules.BLANK_IN_VALUE, f"blanks around a value in '{name}={raw}'"))
        kept = tuple(value for value in stripped if value)
        return (",".join(kept),) if name == "ID" and len(kept) > 1 else kept
    if name == "Target" and not all(_TARGET.fullmatch(value.strip()) for value in values):
        problems.append((rules.TARGET, f"'Target={raw}' is not 'id start end [strand]'"))
    elif name == "Gap" and not all(_GAP.fullmatch(value.strip()) for value in values):
        problems.append((rules.TARGET, f"'Gap={raw[:60]}' is no list of M, I, D, F and R operations"))
    elif name == "Is_circular" and raw not in ("true", "false"):
        problems.append((rules.IS_CIRCULAR, f"'Is_circular={raw}' is neither true nor false"))
    return values


def _parse_gtf_attributes(text: str, feature: Feature, sink: Sink) -> Attributes:
    attributes: Attributes = {}
    position, length = 0, len(text)
    while position < length:
        match = _GTF_PIECE.match(text, position)
        if match is None:
            rest = text[position:].strip()
            # A comment may follow the attributes, and empty pieces (';;') do no harm.
            if rest.strip("; \t") and not rest.startswith("#"):
                following = text.find(";", position)
                feature.attributes = attributes
                message = f"column 9 has {rest[:60]!r} instead of 'name \"value\";'"
                sink(Finding(rules.GTF_ATTRIBUTE, feature.line, feature.label, message))
                if following >= 0:
                    position = following + 1
                    continue
            elif rest.startswith(";"):
                position = text.index(";", position) + 1
                continue
            break
        name, value = match[1], match[2]
        if value[0] == '"':
            value = value[1:-1]
        attributes[name] = (*attributes[name], value) if name in attributes else (value,)
        position = match.end()
    return attributes


def read_pragmas(path: Path) -> list[str]:
    """Texts of the `#!` lines at the head of a file that say who made it (`annotation-source`, `model`, ...).

    The version of the format is left out: it speaks of the file, not of its content.
    """
    with open_text(path) as handle:
        found = []
        for line in handle:
            if not line.startswith("#"):
                break
            if line.startswith("#!") and not line.startswith("#!gff-spec-version"):
                found.append(line[2:].strip())
        return found
