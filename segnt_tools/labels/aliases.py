"""Names of one sequence in different files: chr1, 1, NC_000001.11."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from segnt_tools.errors import AnnotationFileError
from segnt_tools.gff.lines import open_text

_MITOCHONDRIAL = frozenset(("m", "mt", "mito", "mitochondrion"))


def _plain(name: str) -> str:
    """The name without `chr`, in lower case; one spelling for the mitochondrion."""
    short = name.lower().removeprefix("chr")
    return "mt" if short in _MITOCHONDRIAL else short


class ContigNames:
    """Finds the genome's name of a contig.

    A name is looked up as it is, then in the table of aliases, then with and without `chr` (whatever its case), unless
    that fits several contigs of the genome.

    Args:
        contigs: names in the genome.
        aliases: sets of names that mean the same sequence.
    """

    def __init__(self, contigs: Iterable[str], aliases: Iterable[Iterable[str]] = ()) -> None:
        self._known = {name: name for name in contigs}
        genome = set(self._known)
        for names in aliases:
            row = list(names)
            ours = [name for name in row if name in genome]
            if len(ours) == 1:
                self._known.update(dict.fromkeys((name for name in row if name not in genome), ours[0]))
        plain: dict[str, list[str]] = {}
        for name in genome:
            plain.setdefault(_plain(name), []).append(name)
        self._plain = {short: names[0] for short, names in plain.items() if len(names) == 1}

    def find(self, name: str) -> str | None:
        """The genome's name, or None if the genome lacks the sequence."""
        found = self._known.get(name)
        if found is None and (found := self._plain.get(_plain(name))) is not None:
            self._known[name] = found
        return found


def read_aliases(path: Path, lengths: Mapping[str, int]) -> list[list[str]]:
    """Rows of a table of aliases: all names in a line mean one sequence; `#` begins a comment.

    NCBI's assembly_report.txt and UCSC's chromAlias.txt work as they are.

    Raises:
        AnnotationFileError: no line holds a contig of the genome, or a line holds two.
    """
    rows: list[list[str]] = []
    with open_text(path) as handle:
        for number, line in enumerate(handle, 1):
            if line.startswith("#") or not line.strip():
                continue
            names = list(dict.fromkeys(name.strip() for name in line.rstrip("\r\n").split("\t") if name.strip()))
            ours = [name for name in names if name in lengths]
            if len(ours) > 1:
                raise AnnotationFileError(
                    f"{ours[0]} and {ours[1]} are both in the genome, so they cannot be aliases", file=path, line=number
                )
            if ours:
                rows.append(names)
    if not rows:
        raise AnnotationFileError(
            "no line names a contig of the genome", file=path, hint="Each line: all names of one sequence, tabs between"
        )
    return rows
