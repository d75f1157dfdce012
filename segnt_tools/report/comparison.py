"""Several runs side by side: assemblies, models or settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from segnt_tools.report.charts import cumulative
from segnt_tools.report.evaluation import gene_f1
from segnt_tools.report.markup import Html, absent, grid, html, link, table
from segnt_tools.report.runs import Run, model_of
from segnt_tools.report.sections import CLASSES, SYMBOLS, Place, gene_charts, phase_chart
from segnt_tools.report.verdict import Verdict


def comparison_section(runs: Sequence[Run], verdicts: Sequence[Verdict], prefixes: Sequence[str], place: Place) -> str:
    """A table of all numbers and charts with a line for each run."""
    return place.section("comparison", "Side by side", _comparison(runs, verdicts, prefixes, place))


def _comparison(
    runs: Sequence[Run], verdicts: Sequence[Verdict], prefixes: Sequence[str], place: Place
) -> Iterator[str]:
    rows: list[tuple[object, ...]] = [
        (
            "Verdict",
            *(
                Html(
                    f'<span class="level {CLASSES[verdict.level]}"><span aria-hidden="true">{SYMBOLS[verdict.level]}'
                    f"</span> {verdict.level}</span>"
                )
                for verdict in verdicts
            ),
        ),
        ("Model", *(str(model_of(run).get("name", "not known")) for run in runs)),
        ("More", *(link(f"{prefix}verdict", run.name) for run, prefix in zip(runs, prefixes, strict=True))),
    ]
    known = [{measure.key: measure for measure in run.measures} for run in runs]
    for key, label in {measure.key: measure.label for run in runs for measure in run.measures}.items():
        if not key.startswith("calls_"):
            texts = (found[key].text if key in found else "\N{EN DASH}" for found in known)
            rows.append((label, *texts))
    yield table("Numbers of all runs", ("What", *(run.name for run in runs)), rows, numeric=range(1, len(runs) + 1))
    yield from _element_counts(runs)
    yield from _evaluations(runs)
    inner = replace(place, level=place.level)
    assemblies = {run.name: run.assembly.descending for run in runs if run.assembly and run.assembly.contigs}
    charts = []
    if assemblies:
        text = f"Contig length with which each share of the bases is reached, for {', '.join(assemblies)}."
        charts.append(inner.draw(cumulative(assemblies), "How contiguous the assemblies are (Nx)", text))
    genes = {run.name: run.genes for run in runs if run.genes is not None and run.genes.genes}
    if genes:
        charts += [*gene_charts(genes, inner), phase_chart(genes, inner)]
    else:
        yield absent("No run has gene models.")
    yield grid(charts)


def _evaluations(runs: Sequence[Run]) -> Iterator[str]:
    """F1 of every run that was evaluated, with what it was compared with."""
    found = [gene_f1(run) for run in runs]
    levels = list(dict.fromkeys(level for values in found for level in values))
    if not levels:
        return
    rows = [
        (level.replace("_", " "), *(f"{values[level]:.3f}" if level in values else "\N{EN DASH}" for values in found))
        for level in levels
    ]
    truths = (
        "\N{EN DASH}" if not one else str(run.folder.evaluation.get("truth", ""))
        for run, one in zip(runs, found, strict=True)
    )
    rows.insert(0, ("compared with", *truths))
    yield table(
        "Gene finding, F1 of coding parts",
        ("Level", *(run.name for run in runs)),
        rows,
        numeric=range(1, len(runs) + 1),
    )


def _element_counts(runs: Sequence[Run]) -> Iterator[str]:
    counts = [
        {calls.name: calls.intervals.count for calls in run.elements.calls} if run.elements else {} for run in runs
    ]
    names = list(dict.fromkeys(name for found in counts for name in found))
    if names:
        rows = (
            (html(name), *(f"{found[name]:,}" if name in found else "\N{EN DASH}" for found in counts))
            for name in names
        )
        yield table(
            "Calls of each element", ("Element", *(run.name for run in runs)), rows, numeric=range(1, len(runs) + 1)
        )
