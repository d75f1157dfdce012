"""The sections of the page about one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segnt_tools.report import charts
from segnt_tools.report.elements import ElementNumbers
from segnt_tools.report.genes import GeneNumbers
from segnt_tools.report.intervals import Integers
from segnt_tools.report.loci import Locus
from segnt_tools.report.markup import (
    Html,
    Sorted,
    absent,
    figure,
    folded,
    grid,
    html,
    link,
    listed,
    paragraph,
    section,
    slug,
    table,
)
from segnt_tools.report.measures import Distribution, Measure, Unit, bases, plural, written
from segnt_tools.report.runs import Run, model_of
from segnt_tools.report.splicing import ACCEPTOR, DONOR
from segnt_tools.report.theme import Drawer
from segnt_tools.report.verdict import Level, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SYMBOLS = {Level.GOOD: "✓", Level.NOTICE: "!", Level.BAD: "✗", Level.UNKNOWN: "?"}
CLASSES = {Level.GOOD: "good", Level.NOTICE: "notice", Level.BAD: "bad", Level.UNKNOWN: "unknown"}
_SEVERITY = (Level.BAD, Level.NOTICE, Level.UNKNOWN, Level.GOOD)
_FACTS = ("bases", "contigs", "n50", "gc", "genes", "genes_per_mb", "mean_score", "element_calls")
_LISTED_GENES = 10


@dataclass(frozen=True)
class Place:
    """Where a run's sections stand on the page.

    Attributes:
        drawer: draws for the page.
        prefix: start of all ids of the run, empty if the page has only one.
        level: heading level of a section.
    """

    drawer: Drawer
    prefix: str = ""
    level: int = 2

    def id(self, name: str) -> str:
        """An id of this run."""
        return f"{self.prefix}{name}"

    def section(self, name: str, title: str, body: Iterable[str]) -> str:
        """A section of this run."""
        return section(self.id(name), title, body, self.level)

    def heading(self, text: str) -> str:
        """A heading inside a section."""
        level = self.level + 1
        return f"<h{level}>{html(text)}</h{level}>"

    def draw(self, drawing: Figure, title: str, description: str, *, caption: object = None, wide: bool = False) -> str:
        """A drawing with title, description for screen readers, and caption."""
        return figure(self.drawer.svg(drawing, title, description), caption or title, wide=wide)


# --- top


def top_section(run: Run, verdict: Verdict, place: Place) -> str:
    """What was annotated, with which model, and the verdict with its reasons."""
    return place.section("verdict", "Verdict", _top(run, verdict, place))


def _top(run: Run, verdict: Verdict, place: Place) -> Iterator[str]:
    symbol, kind = SYMBOLS[verdict.level], CLASSES[verdict.level]
    yield f'<p class="verdict {kind}"><span aria-hidden="true">{symbol}</span> {html(verdict.sentence)}</p>'
    known = {measure.key: measure for measure in run.measures}
    facts = [known[key] for key in _FACTS if key in known and known[key].value is not None]
    if facts:
        cells = "".join(f"<div><dt>{html(one.label)}</dt><dd>{html(one.text)}</dd></div>" for one in facts)
        yield f'<dl class="facts">{cells}</dl>'
    worst_first = sorted(verdict.checks, key=lambda check: _SEVERITY.index(check.level))
    yield table(
        "Reasons of the verdict",
        ("Result", "What", "Found", "What to try"),
        ((_level(check.level), check.name, check.finding, check.advice or "\N{EN DASH}") for check in worst_first),
    )
    yield from _model(run)
    if run.folder.notes:
        yield place.heading("Notes")
        yield listed(dict.fromkeys(run.folder.notes))


def _level(level: Level) -> Html:
    return Html(f'<span class="level {CLASSES[level]}"><span aria-hidden="true">{SYMBOLS[level]}</span> {level}</span>')


def _model(run: Run) -> Iterator[str]:
    model = model_of(run)
    if not model:
        yield absent("The run folder does not say which model was used: annotate.json is missing.")
        return
    names = {
        "name": "Model",
        "architecture": "Architecture",
        "summary": "What it is",
        "clade": "Meant for",
        "not_for": "Not for",
        "licence": "Licence of the weights",
        "citation": "Citation",
    }
    yield table("The model", ("What", "Value"), ((names[key], str(value)) for key, value in model.items()))
    settings = run.folder.summary.get("predict") or run.folder.summary.get("settings")
    if isinstance(settings, dict) and settings:
        rows = ((str(key), _value(value)) for key, value in sorted(settings.items()))
        yield folded("Settings", table("Settings of the run", ("Setting", "Value"), rows))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "default" if value is None else str(value)


# --- assembly


def assembly_section(run: Run, place: Place) -> str:
    """Contigs, N50, GC, gaps, lengths."""
    return place.section("assembly", "Assembly", _assembly(run, place))


def _assembly(run: Run, place: Place) -> Iterator[str]:
    assembly = run.assembly
    if assembly is None or not assembly.contigs:
        yield absent("The run folder holds neither contigs.tsv nor another file that tells the contigs.")
        return
    measures = assembly.measures()
    yield measure_list(measures)
    if assembly.source != "contigs.tsv":
        yield paragraph(f"There is no contigs.tsv; names and lengths were taken from {assembly.source}.")
    if assembly.reasons:
        rows = ((reason, f"{count:,}") for reason, count in assembly.reasons.items())
        yield table("Skipped contigs", ("Reason", "Contigs"), rows, numeric=(1,))
    if assembly.contigs == 1:
        yield absent("There is one contig, so there is no distribution of lengths to draw.")
        return
    known = {measure.key: measure.text for measure in measures}
    yield grid(
        (
            place.draw(
                charts.lengths({run.name: assembly.axis.lengths}, "contig length (bp)"),
                "Contig lengths",
                f"Histogram of {plural(assembly.contigs, 'contig')}; longest {known['longest']}, N50 {known['n50']}.",
            ),
            place.draw(
                charts.cumulative({run.name: assembly.descending}),
                "How contiguous it is (Nx)",
                f"Half of all bases lie in contigs of at least {known['n50']}, 90 % in contigs of at least "
                f"{known['n90']}.",
            ),
        )
    )


def measure_list(measures: Sequence[Measure]) -> str:
    """Measures as names with values, in as many columns as the width allows."""
    rows = "".join(f"<div><dt>{html(one.label)}</dt><dd>{html(one.text)}</dd></div>" for one in measures)
    return f'<dl class="numbers">{rows}</dl>'


# --- genes


def genes_section(run: Run, place: Place, shown: dict[str, str]) -> str:
    """Counts, distributions, splice sites, scores.

    Args:
        run: the run.
        place: where it goes.
        shown: ids of panels by the gene they show.
    """
    return place.section("genes", "Genes", _genes(run, place, shown))


def _genes(run: Run, place: Place, shown: dict[str, str]) -> Iterator[str]:
    genes = run.genes
    if genes is None:
        yield absent("There is no genes.gff3 in the run folder: gene models were not called, or skipped.")
        return
    if not genes.genes:
        yield absent(
            "genes.gff3 holds no gene: nothing in the assembly looked enough like one. The verdict says what to try."
        )
        return
    measures = genes.measures(run.bases) + [one for one in run.measures if one.key == "gt_ag_share"]
    yield measure_list(measures)
    if len(genes.types) > 1:
        rows = ((name, f"{count:,}") for name, count in genes.types.items())
        yield table("Genes by type", ("Type", "Genes"), rows, numeric=(1,))
    yield grid(gene_charts({run.name: genes}, place))
    yield place.heading("Introns")
    yield from _introns(run, genes, place)
    yield from _gene_lists(genes, place, shown)


def gene_charts(runs: dict[str, GeneNumbers], place: Place) -> Iterator[str]:
    """Distributions of gene models, of one run or of several in one chart."""
    samples: list[tuple[str, str, Callable[[GeneNumbers], Integers]]] = [
        ("CDS lengths", "coding bases of a gene", lambda one: one.cds_lengths),
        ("Gene lengths", "bases from start to end of a gene", lambda one: one.spans.lengths),
        ("Exon lengths", "exon length (bp)", lambda one: one.exon_lengths),
        ("Intron lengths", "intron length (bp)", lambda one: one.intron_lengths),
        ("Distances between genes", "bases between neighbouring genes", lambda one: one.intergenic_lengths),
    ]
    exons = {name: one.exons_per_gene for name, one in runs.items() if one.genes}
    if exons:
        yield place.draw(charts.counts_of(exons, "exons a gene"), "Exons a gene", _described(exons))
    for title, label, of in samples:
        found = {name: of(one) for name, one in runs.items()}
        found = {name: sample for name, sample in found.items() if (sample > 0).any()}
        if found:
            yield place.draw(charts.lengths(found, label), title, _described(found))
        else:
            yield figure(absent(f"{title}: there are none."), title)
    scores = {name: one.scores[np.isfinite(one.scores)] for name, one in runs.items()}
    scores = {name: sample for name, sample in scores.items() if sample.size}
    if scores:
        yield place.draw(charts.scores(scores, "score of a gene"), "Scores", _described(scores))
    else:
        yield figure(absent("The gene models carry no scores."), "Scores")


def phase_chart(runs: dict[str, GeneNumbers], place: Place) -> str:
    """Phases of the introns inside coding sequences."""
    phases = {name: one.intron_phases for name, one in runs.items() if sum(one.intron_phases)}
    if phases:
        shares = {name: [count / sum(counts) for count in counts] for name, counts in phases.items()}
        text = "; ".join(f"{name}: {', '.join(f'{count:,}' for count in counts)}" for name, counts in phases.items())
        return place.draw(
            charts.bars(("0", "1", "2"), shares, "share of introns"),
            "Intron phases",
            f"Introns inside coding sequences of phase 0, 1, 2. {text}.",
            caption="Intron phases: bases of the codon before the intron",
        )
    return figure(absent("There are no introns inside coding sequences."), "Intron phases")


def _described(samples: dict[str, Any]) -> str:
    parts = []
    for name, sample in samples.items():
        if (found := Distribution.of(sample)) is not None:
            low, first, median, third, high = (
                f"{value:,.3g}" if value < 10 else f"{value:,.0f}" for value in found.quantiles
            )
            parts.append(
                f"{name}: {found.count:,} values, median {median}, half between {first} and {third}, 90 % between "
                f"{low} and {high}."
            )
    return " ".join(parts)


def _introns(run: Run, genes: GeneNumbers, place: Place) -> Iterator[str]:
    if not genes.intron_lengths.size:
        yield absent("The gene models have no introns.")
        return
    drawings = [phase_chart({run.name: genes}, place)]
    splices = run.splices
    if splices is None:
        yield grid(drawings)
        known = "The genome given does not hold them" if run.with_genome else "Give the sequence with --genome"
        yield absent(f"Splice sites were not looked up. {known}.")
        return
    for title, counts, exonic in (("donors", splices.donor, DONOR[0]), ("acceptors", splices.acceptor, ACCEPTOR[0])):
        drawings.append(
            place.draw(
                charts.logo(counts, exonic, donor=title == "donors"),
                f"Splice {title}",
                f"Sequence logo of {splices.introns:,} {title}, consensus {consensus(counts)}.",
                caption=f"Splice {title} ({splices.introns:,}), exon on grey",
            )
        )
    yield grid(drawings)
    most = list(splices.kinds.items())[:6]
    rest = splices.introns - sum(count for _, count in most)
    rows = [(kind, f"{count:,}", written(count / splices.introns, Unit.SHARE)) for kind, count in most]
    if rest:
        rows.append(("others", f"{rest:,}", written(rest / splices.introns, Unit.SHARE)))
    yield table("First and last two bases of introns", ("Bases", "Introns", "Share"), rows, numeric=(1, 2))


def consensus(counts: np.ndarray[Any, np.dtype[np.int64]]) -> str:
    """Most frequent base of each position, upper case where it makes up more than half."""
    letters = []
    for row in counts:
        letter = "ACGT"[int(row.argmax())]
        letters.append(letter if row.max() * 2 > row.sum() else letter.lower())
    return "".join(letters)


def _gene_lists(genes: GeneNumbers, place: Place, shown: dict[str, str]) -> Iterator[str]:
    scored = np.flatnonzero(np.isfinite(genes.scores))
    if scored.size:
        order = scored[np.argsort(genes.scores[scored], kind="stable")][:_LISTED_GENES].tolist()
        title = "The genes to doubt first"
    else:
        order = np.argsort(-genes.spans.lengths, kind="stable")[:_LISTED_GENES].tolist()
        title = "The longest genes"
    listed_genes = set(order)
    order += [i for i, gene in enumerate(genes.genes) if gene.id in shown and i not in listed_genes]
    yield place.heading(title)
    rows = []
    for number in order:
        gene = genes.genes[number]
        name = link(shown[gene.id], gene.id) if gene.id in shown else gene.id
        score = genes.scores[number]
        exons = int(genes.exons_per_gene[number])
        rows.append(
            (
                Sorted(name, gene.id),
                f"{gene.contig}:{gene.start + 1}-{gene.end}",
                gene.strand.value,
                Sorted(f"{gene.end - gene.start:,}", gene.end - gene.start),
                Sorted(str(exons), exons),
                Sorted("\N{EN DASH}" if np.isnan(score) else f"{score:.3f}", -1.0 if np.isnan(score) else float(score)),
            )
        )
    caption = (
        "Genes with the lowest scores, and those drawn below (linked)" if scored.size else "Genes (linked if drawn)"
    )
    header = ("Gene", "Place", "Strand", "Length", "Exons", "Score")
    yield table(caption, header, rows, numeric=(3, 4, 5), sortable=True)


# --- elements


def elements_section(run: Run, place: Place) -> str:
    """Counts, lengths, scores, overlaps and distances of element calls."""
    return place.section("elements", "Elements", _elements(run, place))


def _elements(run: Run, place: Place) -> Iterator[str]:
    elements = run.elements
    if elements is None:
        yield absent("There is neither elements.bed nor elements.gff3 in the run folder.")
        return
    if not elements.calls:
        yield absent("No element was called anywhere.")
        return
    rows = []
    for calls in elements.calls:
        lengths, scores = (
            Distribution.of(calls.intervals.lengths),
            Distribution.of(calls.scores[np.isfinite(calls.scores)]),
        )
        covered = calls.intervals.bases
        key = place.drawer.colour(calls.colour)
        rows.append(
            (
                Sorted(Html(f'<span class="key" style="background:{key}"></span>{html(calls.name)}'), calls.name),
                Sorted(f"{calls.intervals.count:,}", calls.intervals.count),
                Sorted(bases(covered), covered),
                Sorted(written(covered / max(1, run.bases), Unit.SHARE), covered),
                Sorted(
                    "\N{EN DASH}" if lengths is None else f"{lengths.median:,.0f}", lengths.median if lengths else 0
                ),
                Sorted("\N{EN DASH}" if scores is None else f"{scores.mean:.3f}", scores.mean if scores else 0),
            )
        )
    header = ("Element", "Calls", "Bases", "Share of bases", "Median length", "Mean score")
    yield table("Calls of each element", header, rows, numeric=(1, 2, 3, 4, 5), sortable=True)
    if elements.empty:
        yield paragraph("Called nowhere: ", ", ".join(elements.empty), ".")
    yield paragraph(
        "In the drawings: thin from 5 % to 95 % of the calls, thick from 25 % to 75 %, a mark at the median."
    )
    yield grid(_element_charts(elements, place))
    yield from _agreement(run, elements, place)
    yield from _distances(run, elements, place)
    yield from _overlaps(elements, place)


def _element_charts(elements: ElementNumbers, place: Place) -> Iterator[str]:
    colours = {calls.name: calls.colour for calls in elements.calls}
    for title, label, log in (("Lengths of calls", "bases", True), ("Scores of calls", "mean probability", False)):
        rows = {}
        for calls in elements.calls:
            values = calls.intervals.lengths if log else calls.scores[np.isfinite(calls.scores)]
            if (found := Distribution.of(values)) is not None:
                rows[calls.name] = found
        if rows:
            text = "; ".join(f"{name}: median {found.median:,.3g}" for name, found in rows.items())
            yield place.draw(charts.spreads(rows, colours, label, log=log), title, text)
        else:
            yield figure(absent("The calls carry no scores."), title)


def _agreement(run: Run, elements: ElementNumbers, place: Place) -> Iterator[str]:
    if run.genes is None or not run.genes.genes:
        return
    rows = elements.agreement(run.genes)
    if rows:
        yield place.heading("Do calls and gene models agree?")
        yield paragraph(
            "Calls look at one element at a time, gene models at all of them and at the sequence. Where both agree, "
            "trust is earned twice. Splice sites, starts and stops count if they lie within 3 bases."
        )
        yield table(
            "Share of bases",
            ("Element", "Calls inside the models' part", "Models' part inside calls"),
            (
                (row.element, written(row.calls_in_models, Unit.SHARE), written(row.models_in_calls, Unit.SHARE))
                for row in rows
            ),
            numeric=(1, 2),
        )


def _distances(run: Run, elements: ElementNumbers, place: Place) -> Iterator[str]:
    yield place.heading("Distance to genes")
    if run.genes is None or not run.genes.genes:
        yield absent("There are no genes to measure from.")
        return
    found = [one for one in elements.distances(run.genes) if one.calls]
    if not found:
        yield absent("The model calls no promoters, enhancers or other elements outside gene models.")
        return
    rows = (
        (
            one.element,
            f"{one.calls:,}",
            f"{one.median:,.0f} bp",
            written(one.within(1000), Unit.SHARE),
            written(one.within(5000), Unit.SHARE),
            written(one.in_genes, Unit.SHARE),
        )
        for one in found
    )
    header = ("Element", "Calls", "Median distance", "Within 1 kb", "Within 5 kb", "Bases inside genes")
    yield table("From the middle of a call to the nearest gene start", header, rows, numeric=(1, 2, 3, 4, 5))
    colours = {calls.name: calls.colour for calls in elements.calls}
    text = "; ".join(f"{one.element}: median distance {one.median:,.0f} bp" for one in found)
    samples = {one.element: one.signed for one in found}
    yield place.draw(charts.distances(samples, colours), "Calls around gene starts", text, wide=True)


def _overlaps(elements: ElementNumbers, place: Place) -> Iterator[str]:
    yield place.heading("Overlap of elements")
    if len(elements.calls) < 2:
        yield absent("Only one element was called, so there is nothing to overlap with.")
        return
    names = [calls.name for calls in elements.calls]
    rows = []
    for name, shares in zip(names, elements.overlaps.tolist(), strict=True):
        cells = [
            Html(
                "<span>\N{EN DASH}</span>"
                if other == name
                else f'<span class="shade" style="--s:{0.55 * share:.2f}">{100 * share:.0f}</span>'
            )
            for other, share in zip(names, shares, strict=True)
        ]
        rows.append((name, *cells))
    yield table(
        "Per cent of the row element's bases that the column element covers", ("Element", *names), rows, kind="heat"
    )


# --- loci


def panel_id(place: Place, number: int, locus: Locus) -> str:
    """Id of a panel."""
    return place.id(f"locus-{number}-{slug(locus.title)}")
