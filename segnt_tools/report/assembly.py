"""The assembly of a run: contig table, lengths, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyBigWig

from segnt_tools.report.folder import CONTIGS, GENES, RunFolder
from segnt_tools.report.intervals import Axis, Floats, Integers
from segnt_tools.report.measures import Measure, Unit, ratio


@dataclass(frozen=True)
class AssemblyNumbers:
    """The contigs of a run.

    Attributes:
        axis: names and lengths.
        n: N of each contig, or None if unknown.
        gc: GC share of each contig (NaN without known bases), or None if unknown.
        softmasked: soft-masked bases of all contigs, or None if unknown.
        used: whether each contig was annotated.
        reasons: number of skipped contigs by reason.
        source: file the table was read from.
        wanted: bases that were to be annotated, or None if unknown: fewer than the contigs have where --regions chose.
    """

    axis: Axis
    n: Integers | None
    gc: Floats | None
    softmasked: int | None
    used: np.ndarray[tuple[int], np.dtype[np.bool_]]
    reasons: dict[str, int]
    source: str
    wanted: int | None = None

    @property
    def contigs(self) -> int:
        """Number of contigs."""
        return len(self.axis.names)

    @property
    def bases(self) -> int:
        """Bases of all contigs."""
        return self.axis.total

    @property
    def bases_used(self) -> int:
        """Bases that were annotated."""
        return self._contig_bases if self.wanted is None else min(self.wanted, self._contig_bases)

    @property
    def _contig_bases(self) -> int:
        """Bases of the contigs that were annotated, all or some of each."""
        return int(self.axis.lengths[self.used].sum())

    @property
    def known_bases(self) -> int | None:
        """Bases other than N that were annotated, about which a model could say something; None if unknown."""
        if self.n is None or self.bases_used < self._contig_bases:  # where in a contig its N lie is not in the table
            return None
        return self.bases_used - int(self.n[self.used].sum())

    @cached_property
    def descending(self) -> Integers:
        """Contig lengths, longest first."""
        return np.sort(self.axis.lengths)[::-1]

    def n_statistic(self, share: float) -> tuple[int, int]:
        """Nx and Lx: length of the contig with which `share` of all bases is reached, and its rank."""
        if not self.contigs:
            return 0, 0
        rank = int(np.searchsorted(np.cumsum(self.descending), share * self.bases))
        rank = min(rank, self.contigs - 1)
        return int(self.descending[rank]), rank + 1

    @property
    def gc_share(self) -> float | None:
        """GC share of all known bases."""
        if self.gc is None or self.n is None:
            return None
        known = self.axis.lengths - self.n
        return ratio(float(np.nansum(self.gc * known)), float(known.sum()))

    def measures(self) -> list[Measure]:
        """The numbers of the section."""
        if not self.contigs:
            return []
        n50, l50 = self.n_statistic(0.5)
        n90, l90 = self.n_statistic(0.9)
        n = None if self.n is None else int(self.n.sum())
        softmasked = None if self.softmasked is None else self.softmasked / max(1, self.bases)
        return [
            Measure("contigs", "Contigs", self.contigs),
            Measure("bases", "Bases", self.bases, Unit.BASES),
            Measure("contigs_used", "Contigs annotated", int(self.used.sum())),
            Measure("bases_used_share", "Bases annotated", ratio(self.bases_used, self.bases), Unit.SHARE),
            Measure("longest", "Longest contig", int(self.descending[0]), Unit.BASES),
            Measure("n50", "N50", n50, Unit.BASES),
            Measure("l50", "L50", l50),
            Measure("n90", "N90", n90, Unit.BASES),
            Measure("l90", "L90", l90),
            Measure("gc", "GC", self.gc_share, Unit.SHARE),
            Measure("n_share", "N (gaps)", None if n is None else n / max(1, self.bases), Unit.SHARE),
            Measure("softmasked_share", "Soft-masked", softmasked, Unit.SHARE),
        ]


def read_assembly(run: RunFolder, genome: dict[str, int] | None) -> AssemblyNumbers | None:
    """The assembly of a run, from the best source there is; None if nothing tells it.

    Args:
        run: the run.
        genome: contig lengths of the genome given with --genome.
    """
    table = run.file(CONTIGS)
    if table is not None:
        try:
            return _from_table(table, run.preprocess.get("bases_used"))
        except (OSError, ValueError, KeyError) as error:
            run.notes.append(f"{CONTIGS} cannot be read ({error}).")
    for lengths, source in (
        (genome, "the genome file"),
        (_sequence_regions(run.file(GENES)), f"the header of {GENES}"),
        (_bigwig_lengths(run), "a bigWig"),
    ):
        if lengths:
            axis = Axis.of(lengths)
            used = np.ones(len(lengths), dtype=np.bool_)
            return AssemblyNumbers(axis, None, None, None, used, {}, source)
    return None


def _from_table(table: Path, wanted: object) -> AssemblyNumbers:
    with table.open(encoding="utf-8") as handle:
        names = handle.readline().rstrip("\n").lstrip("#").split("\t")
        columns = list(zip(*(line.rstrip("\n").split("\t") for line in handle), strict=True))
    by_name = dict(zip(names, columns or [()] * len(names), strict=True))
    used = np.array([value == "yes" for value in by_name["used"]], dtype=np.bool_)
    reasons = Counter(reason for reason, is_used in zip(by_name["reason"], used.tolist(), strict=True) if not is_used)
    return AssemblyNumbers(
        Axis(tuple(by_name["contig"]), np.array(by_name["length"], dtype=np.int64)),
        np.array(by_name["n"], dtype=np.int64),
        np.array([float(value) if value != "NA" else np.nan for value in by_name["gc"]]),
        sum(map(int, by_name["softmasked"])),
        used,
        dict(sorted(reasons.items())),
        table.name,
        wanted if isinstance(wanted, int) else None,
    )


def _sequence_regions(path: Path | None) -> dict[str, int]:
    return dict(_regions_of_header(path)) if path is not None and path.suffix != ".gz" else {}


def _regions_of_header(path: Path) -> Iterator[tuple[str, int]]:
    from segnt_tools.gff.features import unescape

    with path.open(encoding="utf-8", errors="replace") as handle:
        for line in handle:
            if not line.startswith("#"):
                return
            fields = line.split()
            if fields[0] == "##sequence-region" and len(fields) == 4 and fields[3].isdigit():
                yield unescape(fields[1]), int(fields[3])


def _bigwig_lengths(run: RunFolder) -> dict[str, int]:
    for file in run.tracks:
        try:
            with pyBigWig.open(str(file.path)) as bigwig:
                return {str(name): int(length) for name, length in bigwig.chroms().items()}
        except (RuntimeError, OSError) as error:
            run.notes.append(f"{file.path.name} cannot be read ({error}).")
    return {}
