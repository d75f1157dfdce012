"""The verdict: is this annotation as it should be, why, and what to try where it is not.

What is usual comes from the `expectations` of the model's card: for each key of a measure (`genes_per_mb`,
`median_intron`, ...) either [lowest, highest] usual value, or one number, of which half to double is usual. Without
them only what no annotation should show is judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from segnt_tools.report.elements import SITES
from segnt_tools.report.measures import Measure, Unit, plural, written
from segnt_tools.report.runs import Run


class Level(StrEnum):
    """How a check came out."""

    GOOD = "good"
    NOTICE = "look here"
    BAD = "wrong"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Check:
    """One reason of the verdict.

    Attributes:
        name: what was looked at.
        level: how it came out.
        finding: what was found, as a sentence.
        advice: what to try; empty where nothing is to be done.
    """

    name: str
    level: Level
    finding: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of a run.

    Attributes:
        level: the worst level of its checks.
        sentence: the verdict in plain words.
        checks: its reasons.
    """

    level: Level
    sentence: str
    checks: tuple[Check, ...]


# Below (or above) the first limit is worth a look, beyond the second something is wrong.
_USED = (0.95, 0.5)
_START = (0.95, 0.8)
_STOP = (0.95, 0.8)
_SCORE = (0.7, 0.4)
_CANONICAL = (0.95, 0.8)
_PARTIAL = (0.2, 0.5)
_AGREEMENT = (0.6, 0.2)
# Of so many contigs or more, half of the bases should lie in contigs that hold some whole genes.
_SCATTERED, _CONTIGUOUS = 20, 10_000
# With fewer genes than this, most measures say little; but not on sequence that should hold so many, and not GC.
_FEW_GENES, _FEW_EXPECTED, _ENOUGH_FOR_GC = 20, 10, 0.1
# So many measures outside what is usual for the clade say that the model does not fit the assembly.
_UNUSUAL = 3
# Calls of regions (not of sites) whose median is shorter than this many bases are pieces of what they should be.
_PIECE, _MANY = 10, 100

# Checks against the card: key, what too few and too many may mean.
_USUAL: dict[str, tuple[str, str]] = {
    "genes_per_mb": (
        "Genes may be missed: is this assembly from the clade of the model? Adapt the model to some genes of this "
        "species with segnt train, or lower the gene decoder's costs.",
        "Repeats may be called as genes, or genes split: mask repeats, or keep genes above a higher score.",
    ),
    "single_exon_share": (
        "Neighbouring genes may be joined into one.",
        "Genes may be split, or repeats and pseudogenes called: look at the worst-scoring genes first.",
    ),
    "exons_per_gene": ("Genes may be split or introns missed.", "Neighbouring genes may be joined into one."),
    "median_cds": ("Genes may be split or cut short.", "Neighbouring genes may be joined into one."),
    "median_exon": ("Check the intron settings of the gene decoder.", "Introns may be missed."),
    "median_intron": ("False short introns may have been put in.", "Exons or neighbouring genes may be skipped."),
    "gc": (
        "The assembly has less GC than is usual for the model: adapt it with segnt train.",
        "The assembly has more GC than is usual for the model: contamination, or adapt it with segnt train.",
    ),
}


def judge(run: Run) -> Verdict:
    """The verdict of a run."""
    checks = tuple(_checks(run))
    levels = [check.level for check in checks]
    if Level.BAD in levels:
        wrong = [_inside(check.name) for check in checks if check.level is Level.BAD]
        if run.genes is not None and not run.genes.genes:
            return Verdict(Level.BAD, f"No gene was found: look into {', '.join(wrong)}.", checks)
        return Verdict(Level.BAD, f"Do not use this annotation before looking into: {', '.join(wrong)}.", checks)
    if not run.genes or not run.genes.genes:
        what = (
            "Element calls only: gene models are not part of this run."
            if run.elements
            else "There is nothing to judge yet."
        )
        return Verdict(Level.UNKNOWN, what, checks)
    if Level.NOTICE in levels:
        odd = [_inside(check.name) for check in checks if check.level is Level.NOTICE]
        return Verdict(Level.NOTICE, f"Usable, but look at: {', '.join(odd)}.", checks)
    if not run.folder.card.get("expectations"):
        return Verdict(
            Level.UNKNOWN,
            "No fault was found, but the model's card does not say what is usual for its clade: judge genes per Mb and "
            "the lengths below by what is known of related species.",
            checks,
        )
    return Verdict(Level.GOOD, "This looks like a usual annotation of the model's clade.", checks)


def _inside(name: str) -> str:
    """A name as it stands inside a sentence."""
    return name if name[:2].isupper() else name[0].lower() + name[1:]


def _checks(run: Run) -> Iterator[Check]:
    yield from _assembly_checks(run)
    if run.genes is None:
        yield Check(
            "Gene models",
            Level.UNKNOWN,
            "There is no genes.gff3 in the run folder.",
            "segnt annotate writes it unless --skip genes was given; segnt call-genes makes it from tracks files.",
        )
        return
    if not run.genes.genes:
        yield _no_genes(run)
        return
    measures = {measure.key: measure for measure in run.measures}
    yield from _completeness_checks(run, measures)
    expected = list(_expectation_checks(run, measures))
    yield from _clade_check(run, expected)
    yield from expected
    yield from _splice_checks(run)
    yield from _call_checks(run)


def _assembly_checks(run: Run) -> Iterator[Check]:
    assembly = run.assembly
    if assembly is None or not assembly.contigs:
        yield Check("Assembly", Level.UNKNOWN, "The run folder does not tell which contigs there are.")
        return
    share = assembly.bases_used / max(1, assembly.bases)
    used = int(assembly.used.sum())
    skipped = assembly.contigs - used
    finding = f"{plural(used, 'contig')} with {100 * share:.1f} % of all bases were annotated"
    if skipped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in assembly.reasons.items())
        finding += f"; {plural(skipped, 'contig was', 'contigs were')} skipped ({reasons})"
    advice = "Lower --min-length if the short contigs matter." if skipped else ""
    yield Check("Contigs used", _below(share, _USED), finding + ".", advice if share < _USED[0] else "")
    if assembly.contigs >= _SCATTERED:
        n50 = assembly.n_statistic(0.5)[0]
        broken = n50 < _CONTIGUOUS
        yield Check(
            "Contiguity",
            Level.NOTICE if broken else Level.GOOD,
            f"Half of all bases lie in contigs of at least {written(n50, Unit.BASES)}.",
            "Genes at the ends of contigs are cut or missed, and counts of genes and exons mislead: a more contiguous "
            "assembly helps most."
            if broken
            else "",
        )
    if assembly.known_bases is not None and assembly.bases_used:
        known = assembly.known_bases / assembly.bases_used
        level = Level.NOTICE if known < 0.8 else Level.GOOD
        advice = "Nothing can be annotated in gaps: genes beside them are cut." if known < 0.8 else ""
        yield Check(
            "Bases predicted",
            level,
            f"{100 * known:.1f} % of the bases of annotated contigs are known; the rest is N and gets probability 0.",
            advice,
        )


def _no_genes(run: Run) -> Check:
    bases = run.bases
    if bases < 20_000:
        return Check("Gene models", Level.NOTICE, f"No gene was found; {bases:,} bases are too few to expect one.", "")
    return Check(
        "Fit of model and assembly",
        Level.BAD,
        f"No gene was found in {written(bases, Unit.BASES)}.",
        f"Is the assembly from the clade of the model ({run.folder.card.get('clade') or 'not named in its card'})? "
        "See segnt models list; far from it, adapt a model with segnt train.",
    )


def _completeness_checks(run: Run, measures: Mapping[str, Measure]) -> Iterator[Check]:
    start, stop, partial = (measures[key].value for key in ("start_share", "stop_share", "partial_share"))
    reverse = "Check the genetic code; look at the worst-scoring genes."
    for name, share, limits, text in (
        ("Start codons", start, _START, "of the models with a complete 5' end begin with ATG"),
        ("Stop codons", stop, _STOP, "of the models with a complete 3' end end with a stop codon"),
    ):
        if isinstance(share, int | float):
            level = _below(share, limits)
            yield Check(name, level, f"{100 * share:.1f} % {text}.", "" if level is Level.GOOD else reverse)
        else:
            yield Check(
                name, Level.UNKNOWN, "The run folder has no cds.fa with coding models and no genome was given.", ""
            )
    if isinstance(partial, int | float):
        level = _below(1 - partial, (1 - _PARTIAL[0], 1 - _PARTIAL[1]))
        advice = (
            ""
            if level is Level.GOOD
            else "Many genes reach a contig's end or a gap: a more contiguous assembly helps most."
        )
        yield Check("Complete models", level, f"{100 * partial:.1f} % of the models are partial.", advice)
    score = measures["mean_score"].value
    if isinstance(score, int | float):
        level = _below(score, _SCORE)
        advice = (
            ""
            if level is Level.GOOD
            else "The model is unsure: a model of a closer clade, or segnt train on genes of this species, helps."
        )
        yield Check("Scores", level, f"The mean score of a gene is {score:.3f} (1 is certain).", advice)
    else:
        yield Check("Scores", Level.UNKNOWN, "The gene models carry no scores.")


def _expectation_checks(run: Run, measures: Mapping[str, Measure]) -> Iterator[Check]:
    clade = run.folder.card.get("clade") or "the model's clade"
    expectations = run.folder.card.get("expectations")
    if not isinstance(expectations, dict):
        return
    few = len(run.genes.genes) < _FEW_GENES if run.genes else True
    megabases = float(measures["bases"].value or 0) / 1e6 if "bases" in measures else 0.0
    for key, value in expectations.items():
        limits, measure = usual_range(value), measures.get(key)
        if key not in _USUAL or limits is None or measure is None or not isinstance(measure.value, int | float):
            continue
        low, high = limits
        usual = f"{written(low, measure.unit)} to {written(high, measure.unit)} is usual for {clade}"
        finding = f"{measure.text}; {usual}."
        if low <= measure.value <= high:
            yield Check(measure.label, Level.GOOD, finding)
        elif few and not _says_something(key, low, megabases):
            yield Check(measure.label, Level.UNKNOWN, f"{finding} With so few genes this says little.")
        else:
            # The choice of a model draws the line at half as well.
            far = measure.value < low / 2 or measure.value > high * 3
            advice = _USUAL[key][0 if measure.value < low else 1]
            yield Check(measure.label, Level.BAD if far and key == "genes_per_mb" else Level.NOTICE, finding, advice)


def _says_something(key: str, low: float, megabases: float) -> bool:
    """Whether a measure can be judged on few genes: GC needs none, and few genes are few where many should be."""
    return (key == "gc" and megabases >= _ENOUGH_FOR_GC) or (key == "genes_per_mb" and low * megabases >= _FEW_EXPECTED)


def _clade_check(run: Run, checks: Sequence[Check]) -> Iterator[Check]:
    """One odd number may be the species; several say that the model was made for something else.

    Args:
        run: the run.
        checks: those of single expectations.
    """
    odd = [_inside(check.name) for check in checks if check.level in (Level.NOTICE, Level.BAD)]
    if len(odd) < _UNUSUAL:
        return
    clade = run.folder.card.get("clade") or "the model's clade"
    yield Check(
        "Fit of model and assembly",
        Level.BAD,
        f"{len(odd)} of {len(checks)} measures are not as in {clade}: {', '.join(odd)}. The model probably does not "
        "fit this assembly: what it finds may be right, but most genes are likely missing or broken.",
        f"If the assembly is not of {clade}, take another model (segnt models list), or adapt one to some genes of "
        "this species or a relative with segnt train.",
    )


def usual_range(value: Any) -> tuple[float, float] | None:
    """The usual range that an expectation of a card means; None if it means none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 2, value * 2
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(one, int | float) for one in value):
        return float(value[0]), float(value[1])
    if isinstance(value, dict) and {"low", "high"} <= set(value):
        return usual_range([value["low"], value["high"]])
    return None


def _splice_checks(run: Run) -> Iterator[Check]:
    splices = run.splices
    if splices is None or splices.introns < 20:
        return
    share = sum(splices.kinds.get(kind, 0) for kind in ("GT-AG", "GC-AG", "AT-AC")) / splices.introns
    level = _below(share, _CANONICAL)
    advice = (
        ""
        if level is Level.GOOD
        else "Introns without known splice sites are mostly wrong: is this the genome of the run?"
    )
    finding = f"{100 * share:.1f} % of {plural(splices.introns, 'intron')} are GT-AG, GC-AG or AT-AC."
    yield Check("Splice sites", level, finding, advice)


def _call_checks(run: Run) -> Iterator[Check]:
    """Whether element calls are whole, and whether they say the same as the gene models."""
    if run.elements is None or run.genes is None:
        return
    pieces = [
        calls.name
        for calls in run.elements.calls
        if calls.name not in SITES
        and calls.intervals.count >= _MANY
        and float(np.median(calls.intervals.lengths)) < _PIECE
    ]
    if pieces:
        yield Check(
            "Element calls",
            Level.NOTICE,
            f"Half of the calls of {', '.join(pieces)} are shorter than {_PIECE} bases: they are in pieces.",
            "Join and drop small ones with segnt call-peaks --max-gap and its minimum length; gene models do not "
            "depend on them.",
        )
    by_name = {row.element: row for row in run.elements.agreement(run.genes)}
    row = by_name.get("CDS") or by_name.get("exon")
    if row is not None and row.calls_in_models is not None and row.models_in_calls is not None:
        lower = min(row.calls_in_models, row.models_in_calls)
        level = _below(lower, _AGREEMENT)
        advice = "" if level is Level.GOOD else "Look at loci where calls stand without a gene, or genes without calls."
        yield Check(
            "Calls and gene models",
            level,
            f"{100 * row.calls_in_models:.0f} % of the bases called {row.element} lie in the gene models' part, and "
            f"{100 * row.models_in_calls:.0f} % of that part was called.",
            advice,
        )


def _below(value: float, limits: tuple[float, float]) -> Level:
    if value < limits[1]:
        return Level.BAD
    return Level.NOTICE if value < limits[0] else Level.GOOD
