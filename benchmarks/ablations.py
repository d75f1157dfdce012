"""What inputs, optimiser, loss and augmentation of the embedded network are worth, each trained from scratch, briefly.

    python benchmarks/ablations.py --data DATA --out runs [--steps 400] [--seeds 1 2 3] [--only base adamw ...]

Every variant is `segnt train embedded_plant` with a few `--set`, for so many steps (of two windows of 18,432 bp
unless the variant says otherwise), without fitting the decoder. Its genes on the recipe's held-out stretch are then
called with the default costs and compared with the annotation. Runs that are there are taken as they are, so that the
table can grow.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from embedded_models import LEVELS, segnt
from peers import cut_piece, shifted

VARIANTS: Mapping[str, tuple[str, ...]] = {
    "base": (),
    "no_codon_statistics": ("model.codon_statistics=false",),
    "no_stop_distances": ("model.config.stop_distance_limit=1",),
    "neither": ("model.codon_statistics=false", "model.config.stop_distance_limit=1"),
    "adamw": ('optimiser.name="adamw"', "optimiser.rate=1.5e-3"),
    "one_strand": ("augment.reverse_complement=false",),
    "no_attention": ("model.config.attention_after=[]",),
    "narrow_at_3_bp": ("model.config.channels=[36, 144, 216]",),
    "short_windows": ("stage.0.window=9216", "stage.0.batch=4"),
    "boundary_weight_1": ("loss.boundary_weight=1.0",),
    "through_decoder": ("loss.decoder_weight=40",),
}
FOLDER, REGION = "arabidopsis_thaliana_chr1", "NC_003070.9:24000001-27000000"


def trained(variant: str, seed: int, steps: int, data: Path, out: Path) -> Path:
    """Train a variant unless it is there; its checkpoint folder."""
    folder = out / f"{variant}_{seed}"
    if (folder / "done").exists():
        return folder
    length = (f"stage.0.steps={steps}", f"validation.every={steps}", "calibration.rounds=0")
    settings = [f"seed={seed}", *length, *VARIANTS[variant]]
    chosen = [part for setting in settings for part in ("--set", setting)]
    segnt("train", "embedded_plant", "--data", data, "--out", folder, "--threads", 1, "--quiet", *chosen)
    (folder / "done").touch()
    return folder


def measured(model: Path, data: Path) -> dict[str, float]:
    """Validation loss, and F1 of the genes called on the held-out stretch."""
    folder = model / "held_out"
    scores = folder / "scores" / "evaluate.json"
    genome = data / FOLDER / "genome.fa.gz"
    if not scores.exists():
        folder.mkdir(exist_ok=True)
        piece = cut_piece(genome, REGION, folder)
        segnt("predict", piece.fasta, "--model", model, "--out", folder / "tracks.h5", "--threads", 1, "--quiet")
        segnt("call-genes", folder / "tracks.h5", "--genome", piece.fasta, "--out", folder, "--threads", 1, "--quiet")
        moved = folder / "moved.gff3"
        lines = shifted((folder / "genes.gff3").read_text(encoding="utf-8"), piece)
        moved.write_text("\n".join(["##gff-version 3", *lines]) + "\n", encoding="utf-8")
        truth = ("--truth", data / FOLDER / "annotation.gff3.gz", "--genome", genome)
        segnt("evaluate", moved, *truth, "--only", "genes", "--region", REGION, "--out", scores.parent, "--quiet")
    levels = json.loads(scores.read_text(encoding="utf-8"))["predictions"][0]["genes"]["cds"]
    loss = json.loads((model / "card.json").read_text(encoding="utf-8"))["metrics"]["validation"]["loss"]
    return {"loss": loss, **{level: levels[level]["f1"] for level in LEVELS}}


def row(variant: str, runs: Sequence[Mapping[str, float]]) -> str:
    """A line of the table: means, and the range of the gene level over the seeds."""
    figures = " | ".join(f"{mean(run[name] for run in runs):.3f}" for name in ("loss", *LEVELS))
    genes = [run["gene"] for run in runs]
    spread = f"{min(genes):.3f}-{max(genes):.3f}" if len(genes) > 1 else "-"
    return f"| `{variant}` | {' '.join(VARIANTS[variant]) or 'as the recipe'} | {len(runs)} | {figures} | {spread} |"


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the genomes that the recipe names")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--steps", type=int, default=400, help="updates of each run (default: 400)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="seeds of each variant (default: 1)")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), help="(default: all)")
    arguments = parser.parse_args()
    print(f"| variant | settings | seeds | loss | {' | '.join(LEVELS)} | genes over seeds |")
    print(f"|---|---|---|{'---|' * (len(LEVELS) + 2)}")
    for variant in arguments.only:
        models = (trained(variant, seed, arguments.steps, arguments.data, arguments.out) for seed in arguments.seeds)
        print(row(variant, [measured(model, arguments.data) for model in models]), flush=True)


if __name__ == "__main__":
    main()
