"""Accuracy of the embedded models on sequence that took no part in making them, with AUGUSTUS beside them.

    python benchmarks/embedded_models.py --data DATA --out scores [--augustus] [--models yeast_small ...]
    python benchmarks/embedded_models.py --data DATA --out scores --transfer

DATA holds the genomes that the recipes name. For each model its test regions are cut out, genes are called with the
default settings and with --both-strands, and `segnt evaluate` compares them with the reference annotation: F1 of coding
parts with all isoforms, and the expected error of the scores (column 6). --augustus runs AUGUSTUS with its own species
parameters through benchmarks/peers.py; a file of an earlier run in the folder is taken as it is.

--transfer instead runs every model on the regions of every other, and on a relative that no model has seen: how far the
weights carry without adapting, and what `--model auto` would have to choose between.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import Piece, cut_piece, shifted

LEVELS = ("nucleotide", "exon", "intron", "gene")


@dataclass(frozen=True)
class Held:
    """What a model is tested on: a folder with genome.fa.gz and annotation.gff3.gz, regions, AUGUSTUS's species."""

    model: str
    folder: str
    regions: tuple[str, ...]
    species: str


TESTS = (
    Held("plant_small", "arabidopsis_thaliana_chr1", ("NC_003070.9:27000001-30427671",), "arabidopsis"),
    Held("plasmodium_small", "plasmodium_falciparum_chr1-10", ("Pf3D7_10_v3:1-1687656",), "pfalciparum"),
    Held(
        "yeast_small",
        "saccharomyces_cerevisiae_chrI-XII",
        ("BK006945.2:1-1078177",),
        "saccharomyces_cerevisiae_S288C",
    ),
    Held(
        "fly_small",
        "drosophila_chr4_4species",
        (
            "NC_004353.4:1145912-1348131",
            "NC_052524.2:974837-1146867",
            "NC_045953.1:1086135-1277805",
            "NC_046671.1:986511-1160600",
        ),
        "fly",
    ),
)
# Arabidopsis arenosa, whose annotation is AUGUSTUS's: agreement with another program, not accuracy.
RELATIVE = Held("", "arabidopsis_arenosa_chr1_2", ("LR999451.1:10000001-13000000",), "arabidopsis")


def call_genes(piece: Piece, model: str, options: Sequence[str], folder: Path) -> Iterator[str]:
    """GFF3 lines of the genes that a model finds on a piece, in coordinates of the contig."""
    folder.mkdir(parents=True, exist_ok=True)
    tracks = folder / "tracks.h5"
    segnt("predict", piece.fasta, "--model", model, "--out", tracks, "--quiet", *options)
    segnt("call-genes", tracks, "--genome", piece.fasta, "--out", folder, "--quiet")
    text = (folder / "genes.gff3").read_text(encoding="utf-8")
    # IDs are unique in a piece only.
    return shifted(text.replace("gene_0", f"{piece.contig}_gene_0"), piece)


def run_augustus(genome: Path, region: str, species: str, folder: Path) -> Iterator[str]:
    """GFF3 lines of AUGUSTUS, in coordinates of the contig."""
    script = Path(__file__).with_name("peers.py")
    command = [sys.executable, script, "--genome", genome, "--region", region, "--out", folder]
    subprocess.run([*map(str, command), "--peers", "augustus", "--species", species], check=True)
    lines = (folder / "augustus.gff3").read_text(encoding="utf-8").splitlines()
    name = region.rpartition(":")[0]
    for line in lines[1:]:
        yield line.replace("ID=g", f"ID={name}.g").replace("Parent=g", f"Parent={name}.g")


def segnt(*arguments: object) -> None:
    """Run a segnt command."""
    subprocess.run(["segnt", *map(str, arguments)], check=True)


def write_gff3(path: Path, lines: Iterator[str]) -> None:
    """Write a GFF3 file."""
    path.write_text("\n".join(["##gff-version 3", *lines]) + "\n", encoding="utf-8")


def score(held: Held, data: Path, out: Path, augustus: bool) -> dict[str, Any]:
    """The evaluation of one model, as evaluate.json has it."""
    folder = out / held.model
    pieces = cut_pieces(held, data, folder)
    predictions = []
    for name, options in (("one_pass", ()), ("both_strands", ("--both-strands",))):
        path = folder / f"{name}.gff3"
        write_gff3(path, (line for p in pieces for line in call_genes(p, held.model, options, p.fasta.parent / name)))
        predictions.append(path)
    if augustus:
        path = folder / "augustus.gff3"
        if not path.exists():
            lines = [
                line
                for number, region in enumerate(held.regions)
                for line in run_augustus(genome_of(held, data), region, held.species, folder / f"region_{number}")
            ]
            write_gff3(path, iter(lines))
        predictions.append(path)
    return evaluated(held, data, predictions, folder / "scores")


def transfer(held: Held, models: Sequence[str], data: Path, out: Path) -> dict[str, Any]:
    """The evaluation of all models on one genome's regions."""
    folder = out / "transfer" / held.folder
    pieces = cut_pieces(held, data, folder)
    predictions = []
    for model in models:
        path = folder / f"{model}.gff3"
        write_gff3(
            path, (line for piece in pieces for line in call_genes(piece, model, (), piece.fasta.parent / model))
        )
        predictions.append(path)
    return evaluated(held, data, predictions, folder / "scores")


def genome_of(held: Held, data: Path) -> Path:
    """Its FASTA."""
    return data / held.folder / "genome.fa.gz"


def cut_pieces(held: Held, data: Path, folder: Path) -> list[Piece]:
    """The test regions as FASTA files."""
    pieces = []
    for number, region in enumerate(held.regions):
        place = folder / f"region_{number}"
        place.mkdir(parents=True, exist_ok=True)
        pieces.append(cut_piece(genome_of(held, data), region, place))
    return pieces


def evaluated(held: Held, data: Path, predictions: Sequence[Path], out: Path) -> dict[str, Any]:
    """What segnt evaluate says of predictions on the test regions."""
    truth = data / held.folder / "annotation.gff3.gz"
    regions = [part for region in held.regions for part in ("--region", region)]
    where = ("--truth", truth, "--genome", genome_of(held, data), *regions)
    segnt("evaluate", *predictions, *where, "--only", "genes", "--out", out, "--quiet")
    result: dict[str, Any] = json.loads((out / "evaluate.json").read_text(encoding="utf-8"))
    return result


def rows(held: Held, result: dict[str, Any]) -> Iterator[str]:
    """Lines of the table."""
    for prediction in result["predictions"]:
        levels = prediction["genes"]["cds"]
        trust = prediction.get("gene_scores") or {}
        errors = [trust.get(level, {}).get("expected_error") for level in ("exon", "transcript")]
        if prediction["name"] == "augustus":
            errors = [None, None]
        figures = [levels[level]["f1"] for level in LEVELS] + errors
        shown = " | ".join("-" if figure is None else f"{figure:.3f}" for figure in figures)
        yield f"| {held.model} | {prediction['name']} | {shown} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the genomes")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--augustus", action="store_true", help="also run AUGUSTUS, one thread")
    names = [held.model for held in TESTS]
    parser.add_argument("--models", nargs="+", choices=names, default=names, help="(default: all)")
    parser.add_argument("--transfer", action="store_true", help="every model on every genome instead")
    arguments = parser.parse_args()
    if arguments.transfer:
        print(f"| sequence | model | {' | '.join(LEVELS)} |")
        print(f"|---|---|{'---|' * len(LEVELS)}")
        for held in (*TESTS, RELATIVE):
            for prediction in transfer(held, arguments.models, arguments.data, arguments.out)["predictions"]:
                levels = prediction["genes"]["cds"]
                figures = " | ".join(f"{levels[level]['f1'] or 0.0:.3f}" for level in LEVELS)
                print(f"| {held.folder} | {prediction['name']} | {figures} |", flush=True)
        return
    print(f"| model | prediction | {' | '.join(LEVELS)} | error of part scores | error of mRNA scores |")
    print(f"|---|---|{'---|' * (len(LEVELS) + 2)}")
    for held in TESTS:
        if held.model in arguments.models:
            for row in rows(held, score(held, arguments.data, arguments.out, arguments.augustus)):
                print(row, flush=True)


if __name__ == "__main__":
    main()
