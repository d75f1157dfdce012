"""The numbers of the page for programs: JSON, TSV and MultiQC's custom content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segnt_tools import __version__
from segnt_tools.report.loci import Locus
from segnt_tools.report.measures import Measure, Unit
from segnt_tools.report.runs import Run, model_of
from segnt_tools.report.verdict import Verdict

SCHEMA_VERSION = 1
_MULTIQC_KEYS = (
    "bases",
    "contigs",
    "n50",
    "genes",
    "genes_per_mb",
    "exons_per_gene",
    "single_exon_share",
    "median_cds",
    "median_intron",
    "start_share",
    "partial_share",
    "mean_score",
    "element_calls",
)


def report_json(runs: Sequence[Run], verdicts: Sequence[Verdict], loci: Sequence[Sequence[Locus]]) -> dict[str, Any]:
    """Everything the page says in numbers."""
    return {
        "tool": "segnt report",
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "runs": [_run_json(*row) for row in zip(runs, verdicts, loci, strict=True)],
    }


def _run_json(run: Run, verdict: Verdict, loci: Sequence[Locus]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": run.name,
        "model": model_of(run),
        "verdict": {
            "level": verdict.level.value,
            "sentence": verdict.sentence,
            "checks": [
                {"name": one.name, "level": one.level.value, "finding": one.finding, "advice": one.advice}
                for one in verdict.checks
            ],
        },
        "measures": {measure.key: _rounded(measure.value) for measure in run.measures},
        "loci": [
            {"title": one.title, "reason": one.reason, "region": str(one.region), "gene": one.gene} for one in loci
        ],
        "notes": list(dict.fromkeys(run.folder.notes)),
    }
    if run.assembly is not None:
        values["skipped_contigs"] = run.assembly.reasons
    if run.genes is not None:
        distributions = {
            name: None if found is None else found.as_json() for name, found in run.genes.distributions.items()
        }
        values["genes"] = {
            "types": run.genes.types,
            "intron_phases": list(run.genes.intron_phases),
            "distributions": distributions,
        }
    if run.splices is not None:
        values["splice_sites"] = {
            "introns": run.splices.introns,
            "kinds": run.splices.kinds,
            "donor_counts": run.splices.donor.tolist(),
            "acceptor_counts": run.splices.acceptor.tolist(),
        }
    if run.elements is not None:
        values["elements"] = _elements_json(run)
    return values


def _elements_json(run: Run) -> dict[str, Any]:
    elements = run.elements
    assert elements is not None
    values: dict[str, Any] = {"calls": elements.rows(run.bases), "called_nowhere": list(elements.empty)}
    names = [calls.name for calls in elements.calls]
    values["overlap"] = {
        name: {other: round(share, 4) for other, share in zip(names, row, strict=True)}
        for name, row in zip(names, elements.overlaps.tolist(), strict=True)
    }
    if run.genes is not None and run.genes.genes:
        values["agreement_with_genes"] = {
            row.element: {
                "calls_in_models": _rounded(row.calls_in_models),
                "models_in_calls": _rounded(row.models_in_calls),
            }
            for row in elements.agreement(run.genes)
        }
        values["distance_to_gene_start"] = {
            row.element: {
                "calls": row.calls,
                "median": row.median,
                "within_1kb": _rounded(row.within(1000)),
                "within_5kb": _rounded(row.within(5000)),
                "share_in_genes": _rounded(row.in_genes),
            }
            for row in elements.distances(run.genes)
        }
    return values


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def report_tsv(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> str:
    """One line a number: run, key, value, label; empty where a number is not known."""
    lines = ["run\tkey\tvalue\tlabel"]
    for run, verdict in zip(runs, verdicts, strict=True):
        lines.append(f"{run.name}\tverdict\t{verdict.level.value}\tVerdict")
        for measure in run.measures:
            value = "" if measure.value is None else _rounded(measure.value)
            lines.append(f"{run.name}\t{measure.key}\t{value}\t{measure.label}")
    return "\n".join(lines) + "\n"


def multiqc_table(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """MultiQC custom content: a table with one row a run."""
    known: dict[str, Measure] = {measure.key: measure for run in runs for measure in run.measures}
    keys = [key for key in _MULTIQC_KEYS if key in known]
    data: dict[str, Mapping[str, Any]] = {}
    for run, verdict in zip(runs, verdicts, strict=True):
        values = {measure.key: measure.value for measure in run.measures if measure.value is not None}
        data[run.name] = {"verdict": verdict.level.value} | {key: values[key] for key in keys if key in values}
    return {
        "id": "segnt_tools",
        "section_name": "segnt_tools",
        "description": "genome annotation by segnt_tools: assembly, gene models and element calls of each run",
        "plot_type": "table",
        "pconfig": {"id": "segnt_tools_table", "title": "segnt_tools: annotation", "namespace": "segnt_tools"},
        "headers": {"verdict": {"title": "Verdict"}} | {key: _header(known[key]) for key in keys},
        "data": data,
    }


def _header(measure: Measure) -> dict[str, Any]:
    header: dict[str, Any] = {"title": measure.label, "description": measure.label}
    if measure.unit is Unit.SHARE:
        # MultiQC evaluates `modify` only in its own modules; a format keeps the share readable.
        header |= {"format": "{:,.1%}", "min": 0, "max": 1}
    elif measure.unit is Unit.PROBABILITY:
        header |= {"format": "{:,.3f}", "min": 0, "max": 1}
    elif measure.unit is Unit.NUMBER:
        header |= {"format": "{:,.1f}"}
    else:
        header |= {"format": "{:,.0f}"}
    return header
