"""The report: one self-contained HTML page about one or several runs, and its numbers as JSON, TSV and for MultiQC."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segnt_tools import __version__
from segnt_tools.errors import UsageError
from segnt_tools.files import write_text
from segnt_tools.logs import logger
from segnt_tools.report import sections
from segnt_tools.report.assets import script, stylesheet
from segnt_tools.report.comparison import comparison_section
from segnt_tools.report.contig_map import MOST_ROWS, map_section
from segnt_tools.report.evaluation import evaluation_section
from segnt_tools.report.folder import open_runs
from segnt_tools.report.loci import BINS, Locus, LocusData, LocusReader, asked_for, choose, describe
from segnt_tools.report.markup import Html, absent, figure, html, paragraph
from segnt_tools.report.measures import bases, plural
from segnt_tools.report.panels import draw_locus
from segnt_tools.report.runs import Run, gather, model_of
from segnt_tools.report.sections import Place
from segnt_tools.report.tables import multiqc_table, report_json, report_tsv
from segnt_tools.report.theme import DARK_PAPER, LIGHT_PAPER, Drawer, drawing_style
from segnt_tools.report.verdict import Verdict, judge

# The page stays below 5 MB: panels that would go beyond this are named instead of drawn.
PANEL_BUDGET = 3_400_000
_RUN_SECTIONS = ("verdict", "assembly", "genes", "elements", "map", "loci", "evaluation")
_CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def write_report(
    run_dirs: Sequence[Path],
    out: Path,
    *,
    genome: Path | None = None,
    regions: Sequence[str] = (),
    existing: Path | None = None,
) -> dict[str, Any]:
    """Write the page, and beside it `<stem>.json`, `<stem>.tsv` and `<stem>_mqc.json`.

    Args:
        run_dirs: folders that `segnt annotate` left, or folders with some of its files.
        out: the HTML file.
        genome: FASTA file or preprocess folder, for splice sites; by default what the run folder holds.
        regions: places to show besides the chosen ones, `CONTIG:FROM-TO`.
        existing: GFF3 or GTF of an existing annotation, drawn under the gene models.

    Returns:
        The values of the JSON file.

    Raises:
        UsageError: a folder does not exist, or no run has the contig of a region.
        AssemblyError, AnnotationFileError: the genome or the existing annotation cannot be read.
    """
    folders = open_runs(list(run_dirs))
    runs = [gather(folder, genome, existing) for folder in folders]
    verdicts = [judge(run) for run in runs]
    loci = _loci(runs, regions)
    with drawing_style():
        text = _Page(runs, verdicts, loci).text()
    values = report_json(runs, verdicts, loci)
    write_text(out, text)
    write_text(out.with_suffix(".json"), json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    write_text(out.with_suffix(".tsv"), report_tsv(runs, verdicts))
    multiqc = json.dumps(multiqc_table(runs, verdicts), indent=1, ensure_ascii=False)
    write_text(out.with_name(f"{out.stem}_mqc.json"), multiqc + "\n")
    logger.info("%s: %.2f MB", out, len(text.encode()) / 1e6)
    return values


def _loci(runs: Sequence[Run], regions: Sequence[str]) -> list[list[Locus]]:
    found: list[list[Locus]] = []
    absent_everywhere = set(regions)
    for run in runs:
        if run.assembly is None:
            found.append([])
            continue
        lengths = dict(zip(run.assembly.axis.names, run.assembly.axis.lengths.tolist(), strict=True))
        wanted, missing = asked_for(regions, lengths)
        absent_everywhere &= set(missing)
        found.append(wanted + choose(run.genes, run.elements, run.assembly))
    if absent_everywhere and any(run.assembly is not None for run in runs):
        names = ", ".join(sorted(absent_everywhere))
        raise UsageError(f"no run has the contig of --region {names}", hint="Write CONTIG:FROM-TO")
    return found


@dataclass
class _Page:
    """Puts the page together."""

    runs: Sequence[Run]
    verdicts: Sequence[Verdict]
    loci: Sequence[Sequence[Locus]]

    def text(self) -> str:
        """The whole page."""
        drawer = Drawer()
        several = len(self.runs) > 1
        prefixes = [f"r{number}-" if several else "" for number in range(1, len(self.runs) + 1)]
        body = []
        if several:
            body.append(comparison_section(self.runs, self.verdicts, prefixes, Place(drawer)))
        for number, prefix in enumerate(prefixes):
            place = Place(drawer, prefix, 3 if several else 2)
            parts = "".join(self._run(number, place))
            if several:
                name = html(self.runs[number].name)
                head = f'<section id="{prefix}run" aria-labelledby="{prefix}h"><h2 id="{prefix}h">{name}</h2>'
                parts = f"{head}{parts}</section>"
            body.append(parts)
        style = stylesheet(drawer.css(LIGHT_PAPER), drawer.css(DARK_PAPER))
        return self._frame(style, "".join(body), prefixes)

    def _run(self, number: int, place: Place) -> Iterator[str]:
        run, loci = self.runs[number], self.loci[number]
        panels = "".join(self._panels(run, loci, place))  # first: reading tracks may add notes to the top
        ids = {locus.gene: sections.panel_id(place, i, locus) for i, locus in enumerate(loci, 1) if locus.gene}
        shown = {gene: name for gene, name in ids.items() if f'id="{name}"' in panels}
        yield sections.top_section(run, self.verdicts[number], place)
        yield sections.assembly_section(run, place)
        yield sections.genes_section(run, place, shown)
        yield sections.elements_section(run, place)
        yield map_section(run, place, max(5, MOST_ROWS // len(self.runs)))
        yield place.section("loci", "Loci", (panels,))
        yield evaluation_section(run, place)

    def _panels(self, run: Run, loci: Sequence[Locus], place: Place) -> Iterator[str]:
        if run.assembly is None or not loci:
            yield absent("There is no place to show: the contigs of the run are not known.")
            return
        if not run.folder.tracks:
            yield paragraph("The run folder holds no bigWig tracks: models and calls are drawn without probabilities.")
        else:
            yield paragraph(
                "Heights are the highest probability in each bin, from 0 to 1; plus strand upwards, minus strand "
                "downwards where a track knows strands. The thin bars below a track are its calls. Numbers beside the "
                "names of genes are scores; boxes are exons, thick where they code; arrows point downstream; grey "
                "ground is N. Of a gene with many isoforms three are drawn."
            )
        budget = PANEL_BUDGET // len(self.runs)
        panels = sum(len(one) for one in self.loci)
        reader = LocusReader(run.folder, run.assembly, run.genes, run.elements, run.existing)
        left_out = []
        for i, data in enumerate(reader.read(loci, BINS if panels <= 12 else BINS // 2), 1):
            text = self._panel(i, data, place)
            if len(text) > budget:
                left_out.append(str(data.locus.region))
                continue
            budget -= len(text)
            yield text
        if left_out:
            yield absent(f"Not drawn, to keep the page small: {', '.join(left_out)}. Ask for fewer regions at once.")

    @staticmethod
    def _panel(number: int, data: LocusData, place: Place) -> str:
        locus = data.locus
        identifier = sections.panel_id(place, number, locus)
        drawing = place.drawer.svg(draw_locus(data), f"{locus.title}, {locus.region}", describe(data))
        length = locus.region.end - locus.region.start
        caption = f"{locus.reason} {plural(length, 'base')}, {plural(len(data.genes), 'gene model')}."
        if data.silent:
            caption += f" Nothing above 10 %: {', '.join(data.silent)}."
        level = place.level + 1
        heading = f"<h{level}>{html(locus.title)} <code>{html(locus.region)}</code></h{level}>"
        return f'<div class="locus" id="{identifier}">{heading}{figure(drawing, caption, wide=True)}</div>'

    def _frame(self, style: str, body: str, prefixes: Sequence[str]) -> str:
        names = ", ".join(run.name for run in self.runs)
        several = len(self.runs) > 1
        title = f"Annotation of {names}" if not several else f"{len(self.runs)} annotations side by side"
        links = [("comparison", "Side by side")] if several else []
        if several:
            links += [(f"{prefix}run", run.name) for prefix, run in zip(prefixes, self.runs, strict=True)]
        else:
            links += [(name, name.capitalize()) for name in _RUN_SECTIONS]
        items = "".join(f'<li><a href="#{target}">{html(text)}</a></li>' for target, text in links)
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{_CONTENT_POLICY}">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f'<meta name="generator" content="segnt_tools {__version__}">'
            f'<title>{html(title)}</title><link rel="icon" href="data:,"><style>{style}</style></head><body>'
            '<a class="skip" href="#main">Skip to the content</a>'
            f"<header><h1>{html(title)}</h1>{self._subtitle()}</header>"
            f'<nav aria-label="Sections"><ul>{items}</ul></nav><main id="main" tabindex="-1">{body}</main>'
            f"<footer>{html(Html(f'Made by segnt_tools {html(__version__)}. '))}"
            "The numbers are also in the JSON and TSV files beside this page.</footer>"
            f"<script>{script()}</script></body></html>\n"
        )

    def _subtitle(self) -> str:
        if len(self.runs) > 1:
            return paragraph(", ".join(run.name for run in self.runs), kind="sub")
        model = model_of(self.runs[0])
        parts = []
        if self.runs[0].assembly is not None and self.runs[0].assembly.contigs:
            assembly = self.runs[0].assembly
            parts.append(f"{plural(assembly.contigs, 'contig')}, {bases(assembly.bases)}")
        if "name" in model:
            parts.append(f"model {model['name']}")
        if "licence" in model:
            parts.append(f"weights under {model['licence']}")
        return paragraph("; ".join(parts) or "No summary of the run is at hand.", kind="sub")
