"""Merging GFF3 files: predictions of all groups, and an existing annotation, to one sorted file with unique names.

The rule for overlaps: two genes of different files collide if they lie on the same strand and share coding bases
(exon bases where a gene has no CDS): more than `max_overlap` times the coding bases of the shorter one; with the
default of 0 one shared base is enough. Of two that collide the preferred one stays: by `prefer`, then by score (see
Locus.score; none counts as lowest), then the one with more coding bases, then the one further left. Genes of one file
never push out each other: whoever made the file meant them so. Features that are no genes (as element calls are, of any
type) never collide; equal ones of several files are written once.

gffutils is not used: it keeps each part of a discontinuous feature as a row of its own, needs a database on disk that
takes longer to build than the whole merge, and would change the order of attributes; what is needed of it, trees by
Parent, takes the few lines of loci.py.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from segnt_tools.elements import Strand, Track
from segnt_tools.errors import UsageError
from segnt_tools.gff.features import Feature, format_feature
from segnt_tools.gff.genemodel import Interval
from segnt_tools.gff.loci import Locus, free_name, read_loci, renamed, row_key, strand_of
from segnt_tools.gff.reading import ReadReport
from segnt_tools.gff.types import PartKind, is_gene_type, part_kind
from segnt_tools.gff.writing import write_header


class Prefer(StrEnum):
    """Which of two colliding genes stays."""

    EXISTING = "existing"
    PREDICTED = "predicted"
    SCORE = "score"


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """How to merge.

    Attributes:
        prefer: which of two colliding genes stays.
        max_overlap: share of the shorter gene's coding bases that two genes may have in common.
        locus_prefix: new genes are named PREFIX_000001, ...
        width: digits of the number.
        keep_ids: keep the IDs of predicted genes too, as far as they are unique.
    """

    prefer: Prefer = Prefer.EXISTING
    max_overlap: float = 0.0
    locus_prefix: str = "SEGNT"
    width: int = 6
    keep_ids: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    """A locus that was not written.

    Attributes:
        locus: the locus.
        reason: why.
        kept: the one that stays in its place; in the result of a merge as it is written, with its final name.
    """

    locus: Locus
    reason: str
    kept: Locus


@dataclass(slots=True)
class Merged:
    """The result of merging.

    Attributes:
        loci: what is to be written, in genome order, with its final names.
        dropped: what is not, in genome order.
        reports: findings about each input file.
    """

    loci: list[Locus]
    dropped: list[Dropped]
    reports: dict[Path, ReadReport] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Numbers for the report."""
        genes = [locus for locus in self.loci if locus.is_gene]
        reasons = Counter(dropped.reason for dropped in self.dropped)
        return {
            "genes": len(genes),
            "genes_existing": sum(locus.existing for locus in genes),
            "other_features": len(self.loci) - len(genes),
            "dropped": len(self.dropped),
            **{f"dropped: {reason}": count for reason, count in sorted(reasons.items())},
        }


def merge_files(
    paths: Sequence[Path], lengths: Mapping[str, int], existing: Path | None, options: MergeOptions
) -> Merged:
    """Read, de-duplicate, resolve and name.

    Args:
        paths: GFF3 files of predictions; their order does not matter, and one that is given twice is read once.
        lengths: lengths of the genome's contigs in FASTA order.
        existing: an existing annotation, GFF3 or GTF.
        options: how.

    Raises:
        UsageError: the existing annotation is one of the predictions.
        AnnotationFileError: a file is malformed or does not fit the genome.
    """
    require_other_file(existing, paths)
    distinct: dict[Path, Path] = {}
    for path in paths:
        distinct.setdefault(path.resolve(), path)
    reports: dict[Path, ReadReport] = {}
    predicted: list[Locus] = []
    for path in distinct.values():
        reports[path] = ReadReport()
        predicted += read_loci(path, lengths, reports[path], existing=False)
    known: list[Locus] = []
    if existing is not None:
        report = reports.setdefault(existing, ReadReport())
        known = read_loci(existing, lengths, report, existing=True)
    return merge_loci(predicted, known, lengths, options, reports)


def require_other_file(existing: Path | None, paths: Iterable[Path]) -> None:
    """Make sure that the existing annotation is none of the predictions: every gene would be in the output twice.

    Raises:
        UsageError: it is one, under whatever name.
    """
    for path in paths:
        if existing is not None and path.resolve() == existing.resolve():
            raise UsageError(
                "this file of predictions is also given as the existing annotation",
                file=path,
                hint="Give it once, either among the predictions or with --existing",
            )


def merge_loci(
    predicted: Sequence[Locus],
    existing: Sequence[Locus],
    lengths: Mapping[str, int],
    options: MergeOptions,
    reports: Mapping[Path, ReadReport] | None = None,
) -> Merged:
    """Merge loci in memory: see merge_files."""
    distinct, dropped = _without_duplicates([*existing, *predicted])
    kept, collided = _without_collisions([locus for locus in distinct if locus.is_gene], options)
    dropped += collided
    replaced = _replaced(collided)
    rank = {name: number for number, name in enumerate(lengths)}
    loci = sorted([*kept, *(locus for locus in distinct if not locus.is_gene)], key=lambda one: _place(one, rank))
    dropped.sort(key=lambda one: _place(one.locus, rank))
    reports = reports or {}
    written = _named([_with_replaced(locus, replaced.get(id(locus), [])) for locus in loci], options, reports)
    final = {id(locus): as_written for locus, as_written in zip(loci, written, strict=True)}
    return Merged(written, _with_final(dropped, final), dict(reports))


def _with_final(dropped: list[Dropped], final: Mapping[int, Locus]) -> list[Dropped]:
    """The same with what stays as it is written.

    Of equal loci of several files the one that was kept may have been pushed out later; then what stays in its place
    stays in the place of all.
    """
    pushed_out_by = {id(one.locus): one.kept for one in dropped}
    settled = []
    for one in dropped:
        kept = one.kept
        while id(kept) not in final:
            kept = pushed_out_by[id(kept)]
        settled.append(replace(one, kept=final[id(kept)]))
    return settled


def _place(locus: Locus, rank: Mapping[str, int]) -> tuple[object, ...]:
    """Sort key of genome order; of what begins at one base, element calls come last."""
    root = locus.root
    if root.called_element is not None and not locus.is_gene:  # as call-peaks orders them
        track = Track(root.called_element, root.strand).name
        return (rank[root.seqid], locus.start, True, locus.end, track, _Detail(locus))
    return (rank[root.seqid], locus.start, False, -locus.end, not locus.is_gene, root.type, _Detail(locus))


def _text(locus: Locus) -> str:
    """All a locus says, for an order that does not depend on the order of the inputs."""
    return "\n".join(format_feature(row, exact=True) for row in locus.rows)


class _Detail:
    """All a locus says and where, as the last part of sort keys: made only when everything before it is equal."""

    def __init__(self, locus: Locus) -> None:
        self._locus = locus

    def _key(self) -> tuple[object, ...]:
        return self._locus.shape, _text(self._locus), str(self._locus.file)

    def __lt__(self, other: _Detail) -> bool:
        return self._key() < other._key()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Detail) and self._key() == other._key()

    __hash__ = None  # type: ignore[assignment]


def _label(locus: Locus) -> str:
    return locus.root.id or locus.root.label


# --- duplicates


def _without_duplicates(loci: Iterable[Locus]) -> tuple[list[Locus], list[Dropped]]:
    """Loci that several files have once: those of the existing annotation, or else of the file with the best score."""
    groups: dict[tuple[object, ...], list[Locus]] = defaultdict(list)
    for locus in loci:
        groups[_identity(locus)].append(locus)
    kept: list[Locus] = []
    dropped: list[Dropped] = []
    for group in groups.values():
        best = min(group, key=lambda locus: (not locus.existing, -_score(locus), _Detail(locus)))
        for locus in group:
            if locus.file == best.file:
                kept.append(locus)
            else:
                dropped.append(Dropped(locus, "same as one of another file", best))
    return kept, dropped


def _identity(locus: Locus) -> tuple[object, ...]:
    """Shape, and for features that are no genes what distinguishes two of the same type (not names and scores)."""
    if locus.is_gene:
        return locus.shape
    attributes = locus.root.attributes
    told = tuple(sorted((name, values) for name, values in attributes.items() if name not in ("ID", "Name")))
    return (*locus.shape, told)


def _score(locus: Locus) -> float:
    return float("-inf") if locus.score is None else locus.score


# --- collisions

_BIN = 1 << 14


class _Accepted:
    """Genes that stay, found by place."""

    def __init__(self, max_overlap: float) -> None:
        self._bins: dict[tuple[str, int], list[Locus]] = defaultdict(list)
        self._max_overlap = max_overlap

    def add(self, locus: Locus) -> None:
        """Take in a gene."""
        for key in self._keys(locus):
            self._bins[key].append(locus)

    def rival(self, locus: Locus) -> Locus | None:
        """A gene that collides with this one, or None."""
        seen: set[int] = set()
        for key in self._keys(locus):
            for other in self._bins[key]:
                if id(other) in seen or locus.file == other.file:
                    continue
                seen.add(id(other))
                if self._collide(locus, other):
                    return other
        return None

    @staticmethod
    def _keys(locus: Locus) -> list[tuple[str, int]]:
        seqid = locus.root.seqid
        bins = {number for start, end in locus.blocks for number in range(start // _BIN, (end - 1) // _BIN + 1)}
        return [(seqid, number) for number in sorted(bins)]

    def _collide(self, one: Locus, other: Locus) -> bool:
        strands = {strand_of(one), strand_of(other)} - {Strand.NONE}
        if len(strands) > 1:
            return False
        shared = shared_bases(one.blocks, other.blocks)
        return shared > self._max_overlap * min(_bases(one.blocks), _bases(other.blocks))


def shared_bases(one: Sequence[Interval], other: Sequence[Interval]) -> int:
    """Bases that two ascending lists of intervals have in common."""
    shared = left = right = 0
    while left < len(one) and right < len(other):
        shared += max(0, min(one[left][1], other[right][1]) - max(one[left][0], other[right][0]))
        if one[left][1] <= other[right][1]:
            left += 1
        else:
            right += 1
    return shared


def _bases(intervals: Sequence[Interval]) -> int:
    return sum(end - start for start, end in intervals)


def _without_collisions(genes: list[Locus], options: MergeOptions) -> tuple[list[Locus], list[Dropped]]:
    """Genes in order of preference, each kept unless it collides with one that was kept before."""
    first = {Prefer.EXISTING: True, Prefer.PREDICTED: False}.get(options.prefer)

    def preference(locus: Locus) -> tuple[object, ...]:
        later = False if first is None else locus.existing is not first
        root = locus.root
        return (
            later, -_score(locus), not locus.existing, -_bases(locus.blocks), root.seqid, locus.start, _Detail(locus),
        )  # fmt: skip

    accepted = _Accepted(options.max_overlap)
    kept: list[Locus] = []
    dropped: list[Dropped] = []
    for locus in sorted(genes, key=preference):
        rival = accepted.rival(locus)
        if rival is None:
            accepted.add(locus)
            kept.append(locus)
            continue
        kind = "existing" if rival.existing else "predicted"
        dropped.append(Dropped(locus, f"overlaps a preferred {kind} gene", rival))
    return kept, dropped


def _replaced(collided: Iterable[Dropped]) -> dict[int, list[str]]:
    """IDs of the existing genes that predicted ones pushed out, by the identity of the predicted one."""
    names: dict[int, list[str]] = defaultdict(list)
    for one in collided:
        if one.locus.existing and not one.kept.existing and one.locus.root.id is not None:
            names[id(one.kept)].append(one.locus.root.id)
    return names


def _with_replaced(locus: Locus, names: list[str]) -> Locus:
    """Note on a predicted gene which existing genes it replaced."""
    if not names:
        return locus
    root = replace(locus.root, attributes={**locus.root.attributes, "replaces": tuple(sorted(names))})
    return replace(locus, rows=[root, *locus.rows[1:]])


# --- names


def _named(loci: list[Locus], options: MergeOptions, reports: Mapping[Path, ReadReport]) -> list[Locus]:
    """Existing loci keep their IDs; predicted genes are numbered in genome order; other IDs are made unique."""
    taken: set[str] = set()
    out: dict[int, Locus] = {}
    for locus in loci:
        if locus.existing:
            out[id(locus)] = _with_unique_names(locus, taken, reports)
    number = 0
    for locus in loci:
        if locus.existing:
            continue
        if not locus.is_gene or options.keep_ids:
            out[id(locus)] = _with_unique_names(locus, taken, reports)
            continue
        number += 1
        while (name := f"{options.locus_prefix}_{number:0{options.width}d}") in taken:
            number += 1
        rows = renamed(locus.rows, _names_of_gene(locus, name))
        taken.update(row.id for row in rows if row.id is not None)
        out[id(locus)] = replace(locus, rows=rows)
    return [out[id(locus)] for locus in loci]


def _with_unique_names(locus: Locus, taken: set[str], reports: Mapping[Path, ReadReport]) -> Locus:
    """The locus with other names for IDs that an earlier locus has."""
    own = {row.id: row for row in locus.rows if row.id is not None}
    names = {name: free_name(name, taken | own.keys()) for name in own if name in taken}
    for name, new in names.items():
        if locus.file in reports:
            reports[locus.file].note("ID of another feature replaced", own[name].line, f"{own[name].label}, now {new}")
    taken.update(names.get(name, name) for name in own)
    return replace(locus, rows=renamed(locus.rows, names)) if names else locus


_SHORT = {"five_prime_UTR": "utr5p", "three_prime_UTR": "utr3p", "CDS": "cds"}


def _names_of_gene(locus: Locus, gene_name: str) -> dict[str, str]:
    """IDs of a gene's rows, told by its own: NAME, NAME.t1, NAME.t1.exon1, NAME.t1.cds."""
    names: dict[str, str] = {}
    used: Counter[str] = Counter()
    forward = strand_of(locus) is not Strand.MINUS
    parts = [row for row in locus.rows if part_kind(row.type) is not None]
    others = [row for row in locus.rows if part_kind(row.type) is None]
    for row in [*others, *sorted(parts, key=row_key, reverse=not forward)]:
        if row.id is None or row.id in names:
            continue
        parent = names.get(row.parents[0], gene_name) if row.parents else None
        names[row.id] = _name_below(row, parent, gene_name, used)
    return names


def _name_below(row: Feature, parent: str | None, gene_name: str, used: Counter[str]) -> str:
    if parent is None:
        used[gene_name] += 1
        # A tree with several roots (trans-splicing) numbers the further ones.
        return gene_name if used[gene_name] == 1 else f"{gene_name}.{used[gene_name]}"
    kind = part_kind(row.type)
    base = f"{parent}.{_SHORT.get(row.type, row.type)}" if kind is not None else f"{parent}.t"
    if kind is None and is_gene_type(row.type):
        base = f"{parent}.gene"
    used[base] += 1
    if kind is PartKind.CDS and used[base] == 1:
        return base
    return f"{base}{used[base]}"


# --- writing


def write_merged(handle: TextIO, merged: Merged, lengths: Mapping[str, int], pragmas: Iterable[str] = ()) -> int:
    """Write the merged file; scores and attributes of the inputs are kept exactly.

    Returns:
        Number of rows.
    """
    write_header(handle, lengths, pragmas)
    rows = 0
    for locus in merged.loci:
        for row in locus.rows:
            handle.write(format_feature(row, exact=True) + "\n")
            rows += 1
        if locus.is_gene:
            handle.write("###\n")
    return rows


def write_dropped(handle: TextIO, merged: Merged) -> None:
    """Write the table of what was left out: one line a locus, and one a kind of row that could not be kept.

    The score is the one that decided (see Locus.score), and `kept` the ID or label that the one that stays in its place
    has in the merged file.
    """
    handle.write("file\tline\tid\ttype\tcontig\tstart\tend\tstrand\tscore\treason\tkept\n")
    for one in merged.dropped:
        root = one.locus.root
        score = "." if one.locus.score is None else f"{one.locus.score:g}"
        columns: tuple[object, ...] = (
            one.locus.file.name, root.line, root.id or ".", root.type, root.seqid, root.start + 1, root.end,
            root.strand.value, score, one.reason, _label(one.kept),
        )  # fmt: skip
        handle.write("\t".join(str(column) for column in columns) + "\n")
    for path, report in merged.reports.items():
        for reason, tally in sorted(report.dropped.items()):
            columns = (path.name, tally.line, ".", ".", ".", ".", ".", ".", ".", f"{tally.count} x {reason}", ".")
            handle.write("\t".join(str(column) for column in columns) + "\n")


def check_prefix(prefix: str) -> str:
    """A locus prefix that databases accept: letters, digits, `-`, `_` and `.`, beginning with a letter.

    Raises:
        UsageError: it is none.
    """
    if (
        not prefix
        or not prefix[0].isalpha()
        or not all(one.isascii() and (one.isalnum() or one in "-_.") for one in prefix)
    ):
        raise UsageError(f"{prefix!r} is no locus prefix", hint="Use letters and digits, beginning with a letter")
    return prefix
