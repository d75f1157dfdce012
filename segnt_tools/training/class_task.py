"""The embedded network's training task: genomes with gene models in, class loss and held-out figures out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.distributed
from lightning_fabric import Fabric
from torch import nn

from segnt_tools.errors import RecipeError
from segnt_tools.gff.reading import ReadReport, read_genes
from segnt_tools.logs import logger
from segnt_tools.models.codon_unet import WINDOW_MULTIPLE, CodonUNet
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.codes import N
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.training.class_data import (
    ClassBatch,
    ClassSampler,
    ClassSource,
    LabelledContig,
    validation_batches,
    validation_windows,
)
from segnt_tools.training.class_objective import ClassObjective, ClassScores
from segnt_tools.training.codon_statistics import codon_table
from segnt_tools.training.recipe import DataRecipe, Recipe, StageRecipe
from segnt_tools.training.regions import split
from segnt_tools.training.targets import targets_of_contig

# Below this share of genes with untranslated ends an annotation is taken to hold coding sequence only.
LEAST_UTR_SHARE = 0.05
# Share of G and C further from the training genomes' than this is unusual.
_USUAL_GC_RANGE = 0.06


def load_source(data: DataRecipe, folder: Path, recipe: Path | None = None) -> ClassSource:
    """Read a genome and its gene models, and turn them into targets.

    Args:
        data: the recipe's entry; paths are relative to `folder`.
        folder: where relative paths start.
        recipe: the recipe file, for messages.

    Raises:
        RecipeError: a region does not exist, or there are no usable genes.
    """
    if not data.annotation:
        raise RecipeError("the embedded network learns from an annotation, not from labels", file=recipe)
    with Assembly.open(folder / data.genome) as assembly:
        parts = split(data.train, data.validate, assembly.lengths, no_validation=data.no_validation, recipe=recipe)
        wanted = {stretch.contig for stretch in (*parts.train, *parts.validate)}
        report = ReadReport()
        genes = read_genes(folder / data.annotation, assembly.lengths, report)
        for line in report.summary():
            logger.info(f"{data.name}: {line}")
        contigs = {}
        for name in wanted:
            codes = assembly.codes(name)
            on_contig = [gene for gene in genes if gene.contig == name]
            contigs[name] = LabelledContig(codes, targets_of_contig(codes, on_contig, data.least_score))
    reports = [contig.targets.report for contig in contigs.values()]
    used, masked = sum(r.used for r in reports), sum(r.masked for r in reports)
    if not used:
        raise RecipeError(
            f"{data.name}: no gene has a complete coding sequence on {', '.join(sorted(wanted))}",
            file=recipe,
            hint="Check that genome and annotation belong together (segnt check-gff --genome)",
        )
    logger.info(
        f"{data.name}: {used} genes used, {masked} without a valid coding sequence or with too low a score masked"
    )
    return ClassSource(data.name, data.weight, contigs, parts.train, parts.validate)


def knows_utr(sources: Sequence[ClassSource]) -> bool:
    """Whether the annotations tell untranslated from unknown."""
    reports = [contig.targets.report for source in sources for contig in source.contigs.values()]
    return sum(r.with_utr for r in reports) >= LEAST_UTR_SHARE * sum(r.used for r in reports)


def learn_codon_table(sources: Sequence[ClassSource]) -> torch.Tensor:
    """Codon statistics of the training stretches of all genomes."""

    def stretches(source: ClassSource) -> list[Stretch]:
        # The counting names frames from a stretch's first base, so it must begin at a multiple of 3.
        return [Stretch(s.contig, s.start + -s.start % 3, s.end) for s in source.train]

    table = codon_table(
        (
            contig.codes[s.start : s.end],
            contig.targets.region[s.start : s.end],
            contig.targets.region_weight[s.start : s.end],
        )
        for source in sources
        for s in stretches(source)
        for contig in (source.contigs[s.contig],)
    )
    return torch.from_numpy(table)


def intron_quantiles(sources: Sequence[ClassSource]) -> tuple[int, float]:
    """Shortest plausible intron (0.5 % quantile of coding introns) and their mean length; (0, 0.0) without introns."""
    lengths = [n for source in sources for contig in source.contigs.values() for n in contig.targets.report.introns]
    if not lengths:
        return 0, 0.0
    return int(np.quantile(lengths, 0.005)), float(np.mean(lengths))


def expectations(sources: Sequence[ClassSource]) -> dict[str, float | list[float]]:
    """What annotation and sequence of the training genomes look like, for the report: see segnt_tools.report.verdict.

    One number stands for half to double of it.
    """
    contigs = [contig for source in sources for contig in source.contigs.values()]
    known = sum(int((contig.codes < N).sum()) for contig in contigs)
    strong = sum(int(((contig.codes == 1) | (contig.codes == 2)).sum()) for contig in contigs)
    parts = np.array([n for contig in contigs for n in contig.targets.report.parts])
    lengths = [n for contig in contigs for n in contig.targets.report.coding_lengths]
    introns = [n for contig in contigs for n in contig.targets.report.introns]
    gc = strong / max(known, 1)
    usual: dict[str, float | list[float]] = {
        "genes_per_mb": round(1e6 * sum(contig.targets.report.coding for contig in contigs) / max(known, 1), 1),
        "single_exon_share": round(float((parts == 1).mean()), 3),
        "exons_per_gene": round(float(parts.mean()), 2),
        "median_cds": float(np.median(lengths)),
        "gc": [round(gc - _USUAL_GC_RANGE, 3), round(gc + _USUAL_GC_RANGE, 3)],
    }
    if introns:
        usual["median_intron"] = float(np.median(introns))
    return usual


class ClassTask:
    """Everything the loop needs to train the embedded network; see `loop.Task`."""

    def __init__(self, network: CodonUNet, sources: Sequence[ClassSource], recipe: Recipe) -> None:
        for stage in recipe.stage:
            if stage.window % WINDOW_MULTIPLE:
                raise RecipeError(f"a window of {stage.window} bp is no multiple of {WINDOW_MULTIPLE}")
        self.network: nn.Module = network
        self._network = network
        self.sources = sources
        self.recipe = recipe
        self.objective: nn.Module = ClassObjective(
            network,
            recipe.loss.boundary_weight,
            decoder_weight=recipe.loss.decoder_weight,
            compiled=recipe.compile,
        )
        self._sampler = ClassSampler(sources, recipe.augment, recipe.seed)

    def batch(self, numbers: Sequence[int], window: int, device: torch.device) -> ClassBatch:
        """The training windows of these numbers."""
        return self._sampler.batch(numbers, window).to(device)

    def validate(self, fabric: Fabric, window: int) -> dict[str, float]:
        """Loss, coding F1 and precision of sites on held-out windows, which the processes share."""
        margin = min(self.recipe.model.margin, window // 8 // WINDOW_MULTIPLE * WINDOW_MULTIPLE)
        windows = validation_windows(self.sources, window, margin, self.recipe.validation.bases)
        if not windows:
            return {}
        mine = windows[fabric.global_rank :: fabric.world_size]
        scores = ClassScores()
        for batch in validation_batches(mine, window, margin, 1 if fabric.device.type == "cpu" else 16):
            with fabric.autocast():
                scores.add(self._network, batch.to(fabric.device))
        if fabric.world_size > 1:
            for sums in (scores.sums, scores.histograms):
                reduced = fabric.all_reduce(sums.to(fabric.device), reduce_op="sum")
                sums.copy_(reduced if isinstance(reduced, torch.Tensor) else sums)
        return scores.metrics(self.recipe.loss.boundary_weight)

    def is_head(self, parameter: str) -> bool:
        """The first convolution and the last layer are AdamW's."""
        return parameter.startswith(("stem.", "head."))

    def begin_stage(self, stage: StageRecipe) -> None:
        """Nothing depends on the window length."""

    def close(self) -> None:
        """No file is open."""
