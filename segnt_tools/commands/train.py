"""Train a model from a recipe, or adapt one to your own genome.

To adapt the embedded model to a genome with some trusted genes, in minutes:

  segnt train adapt --genome genome.fa --annotation genes.gff3 --minutes 5 --out my_model
  segnt annotate assembly.fa --model my_model --out results

RECIPE is a TOML file that describes the run completely: genomes, network, loss, optimiser, stages; or the name of a
bundled one (--recipes lists them with their files, which are there to be copied and changed):
  adapt                 the embedded network on your own genes, from a model that ships with segnt_tools
  embedded_...          how the models that ship with segnt_tools were made
  plant_three_hours     a gene finder from random weights in two hours on two cores; ..._second: one more hour, with the
                        genes that it calls on an unannotated relative
  segment_nt_human, segment_nt_multispecies, ablation_...     SegmentNT as its paper describes it, on labels of
                        segnt labels; days on eight GPUs at full size

Writes into --out the checkpoint (card.json, model.safetensors; --model DIR of the other commands takes it), replaced
whenever the held-out loss is lower; learning_curve.png; and in training/ the log (JSON lines, CSV, TensorBoard where it
is installed) and the state. A killed run goes on exactly where its last saved state was when the same command is given
again. Several devices: torchrun --nproc-per-node 8 --no-python segnt train RECIPE --out DIR
"""

from __future__ import annotations

import argparse
import math
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segnt_tools.commands.common import add_common_options, print_line, write_report
from segnt_tools.errors import UsageError
from segnt_tools.evaluation.genes import compare_genes
from segnt_tools.gff.genemodel import Gene
from segnt_tools.logs import logger

if TYPE_CHECKING:
    from segnt_tools.sequence.stretches import Stretch
    from segnt_tools.training.recipe import Recipe
    from segnt_tools.training.run import RunOptions


class _ListRecipes(argparse.Action):
    """Prints the bundled recipes and exits, as --help does: nothing else is required then."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Name, file and first line of each recipe's own comment."""
        from segnt_tools.training.recipe import bundled_recipes

        for name, file in bundled_recipes().items():
            lines = file.read_text(encoding="utf-8").splitlines()
            print_line(f"{name}\t{file}\t{lines[0].removeprefix('#').strip()}")
        parser.exit()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of segnt train."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="TOML file, or name of a bundled recipe")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="checkpoint folder to write")
    parser.add_argument("--recipes", action=_ListRecipes, help="list the bundled recipes with their files and exit")
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="train nothing: only fit the gene decoder's costs of the checkpoint in --out on the held-out genes",
    )
    data = parser.add_argument_group("data", "Instead of what the recipe says about its first genome.")
    data.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="where relative paths start (default: the recipe's folder; of a bundled recipe, the current one)",
    )
    data.add_argument("--genome", type=Path, metavar="FASTA", help="genome to learn from")
    data.add_argument("--annotation", type=Path, metavar="GFF3", help="its genes, as GFF3 or GTF")
    data.add_argument("--labels", type=Path, metavar="H5", help="its labels, from segnt labels")
    data.add_argument("--base", metavar="NAME|FOLDER", help="checkpoint to start from")
    data.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other value of the recipe, such as optimiser.rate=0.01 or stage.0.steps=500",
    )
    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", default="auto", metavar="auto|cpu|cuda", help="where to train")
    machine.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="arithmetic; auto: bfloat16 on a GPU that has it, else float32",
    )
    machine.add_argument(
        "--minutes", type=float, metavar="M", help="finish within this time, in fewer steps than the recipe says"
    )
    add_common_options(parser)


def run(args: argparse.Namespace) -> int:
    """Train."""
    from segnt_tools.training.recipe import Recipe, find_recipe

    if args.minutes is not None and not 0 < args.minutes < math.inf:
        raise UsageError(f"--minutes {args.minutes:g} is no time to train in")
    file = find_recipe(args.recipe)
    recipe = Recipe.read(file, settings_of(args))
    # Only now, so that a mistake in the recipe is told at once.
    from segnt_tools.training.run import RunOptions, choose_training_device, choose_training_precision, train

    device = choose_training_device(args.device)
    options = RunOptions(
        recipe=file,
        data=args.data or (file.parent if file == args.recipe else Path()),
        out=args.out,
        device=device,
        precision=choose_training_precision(args.precision, device),
        minutes=args.minutes,
        threads=args.threads,
    )
    values: dict[str, Any] = {}
    if not args.calibrate:
        outcome = train(recipe, options)
        values = {
            "stopped": outcome.stopped,
            "steps": outcome.position.step,
            "bases": outcome.position.bases,
            "best_step": outcome.position.best_step,
            "validation": outcome.validation,
        }
    if os.environ.get("RANK", "0") == "0":
        values["calibration"] = _calibrate(recipe, options)
        write_report(args.json, "train", values)
    return 0


def _calibrate(recipe: Recipe, options: RunOptions) -> dict[str, Any] | None:
    """Fit the gene decoder where the recipe wants it, and say what it brought."""
    from segnt_tools.training.run import calibrate_checkpoint

    if recipe.loss.kind != "classes" or not recipe.calibration.rounds:
        return None
    result = calibrate_checkpoint(recipe, options, _CodingF1())
    if result is None:
        logger.info("nothing is held out: the gene decoder keeps its costs")
        return None
    for name, before in result.before.items():
        logger.info(f"held-out {name} F1 {before:.4f}, with fitted costs {result.after[name]:.4f}")
    return {"bases": result.bases, "before": result.before, "after": result.after}


class _CodingF1:
    """F1 by level as segnt evaluate has it, coding parts only, all isoforms."""

    def levels(self, truth: Sequence[Gene], called: Sequence[Gene], stretches: Sequence[Stretch]) -> dict[str, float]:
        """See training.calibration.Judge."""
        regions: dict[str, list[tuple[int, int]]] = {}
        for stretch in stretches:
            regions.setdefault(stretch.contig, []).append((stretch.start, stretch.end))
        arrays = {contig: np.array(sorted(places), dtype=np.int64) for contig, places in regions.items()}
        scores = compare_genes(truth, called, arrays, "cds").levels
        return {name: scores[name].f1 or 0.0 for name in ("nucleotide", "exon", "intron", "gene")}


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """Values that the command line puts in place of the recipe's.

    Raises:
        UsageError: `--set` without a value, or a file that is not there.
    """
    settings: dict[str, Any] = {}
    for option, key in (("genome", "data.0.genome"), ("annotation", "data.0.annotation"), ("labels", "data.0.labels")):
        path: Path | None = getattr(args, option)
        if path is None:
            continue
        if not path.exists():
            raise UsageError(f"--{option}: no such file", file=path)
        settings[key] = str(path.resolve())
    if args.labels is not None and args.annotation is None:
        settings["data.0.annotation"] = ""
    if args.genome is not None:
        settings["data.0.name"] = args.genome.name
    if args.base is not None:
        settings["model.base"] = args.base
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: give KEY=VALUE")
        settings[name.strip()] = _toml_value(value.strip())
    return settings


def _toml_value(text: str) -> Any:
    """A value as TOML has it; plain words need no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
