"""Accuracy of the embedded models on sequence that took no part in making them, with AUGUSTUS beside them.

    python benchmarks/embedded_models.py --data DATA --out scores [--augustus] [--cards] [--picture FILE.png]
        [--models yeast_small ...]
    python benchmarks/embedded_models.py --data DATA --out scores --transfer

DATA holds the genomes that the recipes name. For each model its test regions are cut out, genes are called with the
default settings and with --both-strands, and `segnt evaluate` compares them with the reference annotation: F1 of coding
parts with all isoforms, the expected error of the scores (column 6), and how often features of a score are right.
--augustus runs AUGUSTUS with its own species parameters through benchmarks/peers.py; a file of an earlier run in the
folder is taken as it is. --cards writes the figures into the cards of the package, --picture draws the reliability.

--transfer instead runs every model on the regions of every other, and on a relative that no model has seen: how far the
weights carry without adapting, and what `--model auto` would have to choose between.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from peers import Piece, cut_piece, shifted

from segnt_tools.models.card import Card
from segnt_tools.models.registry import find_checkpoint

LEVELS = ("nucleotide", "exon", "intron", "gene")
# Of what the scores are, by the words of evaluate.json.
SCORED = {"exon": "coding parts", "transcript": "mRNAs"}
# Bounds of the scores that are looked at together; the bins of evaluate.json are half as wide or a quarter.
BANDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.85, 0.95, 1.0)
COMMAND = "python benchmarks/embedded_models.py --data DATA --out scores --augustus"


@dataclass(frozen=True)
class Held:
    """What a model is tested on.

    Attributes:
        model: name of the model.
        folder: folder of DATA with genome.fa.gz and annotation.gff3.gz.
        regions: regions of the test.
        species: AUGUSTUS's parameters for it.
        words: the same for people.
    """

    model: str
    folder: str
    regions: tuple[str, ...]
    species: str
    words: str = ""


TESTS = (
    Held(
        "plant_small",
        "arabidopsis_thaliana_chr1",
        ("NC_003070.9:27000001-30427671",),
        "arabidopsis",
        "A. thaliana chr1 27.0-30.43 Mb (NC_003070.9, RefSeq, all isoforms)",
    ),
    Held(
        "plasmodium_small",
        "plasmodium_falciparum_chr1-10",
        ("Pf3D7_10_v3:1-1687656",),
        "pfalciparum",
        "P. falciparum chr10 (1.69 Mb, GeneDB, coding sequence only)",
    ),
    Held(
        "yeast_small",
        "saccharomyces_cerevisiae_chrI-XII",
        ("BK006945.2:1-1078177",),
        "saccharomyces_cerevisiae_S288C",
        "S. cerevisiae chrXII (1.08 Mb, SGD)",
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
        "chr4 of D. melanogaster, simulans, sechellia, mauritiana, last 3/20 (0.74 Mb, RefSeq, all isoforms)",
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
    """Lines of the table of accuracy."""
    for prediction in result["predictions"]:
        levels = prediction["genes"]["cds"]
        figures = [levels[level]["f1"] for level in LEVELS] + list(score_errors(prediction).values())
        shown = " | ".join("-" if figure is None else f"{figure:.3f}" for figure in figures)
        yield f"| {held.model} | {prediction['name']} | {shown} |"


def score_errors(prediction: dict[str, Any]) -> dict[str, float | None]:
    """Expected error of the scores of coding parts and mRNAs; None of a program whose scores are something else."""
    trust = {} if prediction["name"] == "augustus" else prediction.get("gene_scores") or {}
    return {words: trust.get(level, {}).get("expected_error") for level, words in SCORED.items()}


@dataclass(frozen=True)
class Band:
    """Features whose scores lie between two bounds: how many, their mean score, the share that is right."""

    low: float
    high: float
    count: int
    said: float
    right: float

    @classmethod
    def of(cls, bins: Sequence[dict[str, float]], low: float, high: float) -> Band:
        """The bins of a reliability curve between two bounds, as one."""
        inside = [one for one in bins if low - 1e-9 <= one["low"] and one["high"] <= high + 1e-9]
        count = sum(int(one["count"]) for one in inside)
        said, right = (
            sum(one["count"] * one[name] for one in inside) / max(1, count) for name in ("mean_probability", "observed")
        )
        return cls(low, high, count, said, right)

    def __str__(self) -> str:
        return f"{self.said:.3f} / {self.right:.3f} ({self.count})" if self.count else "-"


def reliability(prediction: dict[str, Any]) -> Iterator[tuple[str, list[Band]]]:
    """What the scores are of, and their bands."""
    for level, words in SCORED.items():
        bins = prediction["gene_scores"][level]["reliability"]
        yield words, [Band.of(bins, *bounds) for bounds in itertools.pairwise(BANDS)]


def draw_reliability(results: Sequence[tuple[Held, dict[str, Any]]], file: Path) -> None:
    """A picture: share of right features over their score, a panel a model; points grow with the number of features."""
    figure, panels = plt.subplots(1, len(results), figsize=(3.2 * len(results), 3.4), sharey=True, squeeze=False)
    for panel, (held, result) in zip(panels[0], results, strict=True):
        panel.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for words, bands in reliability(result["predictions"][0]):
            shown = [band for band in bands if band.count]
            sizes = [10 + 60 * (band.count / sum(other.count for other in shown)) ** 0.5 for band in shown]
            (line,) = panel.plot([b.said for b in shown], [b.right for b in shown], label=words)
            panel.scatter([b.said for b in shown], [b.right for b in shown], s=sizes, color=line.get_color())
        panel.set(title=held.model, xlabel="score", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    panels[0][0].set_ylabel("share that is right")
    panels[0][0].legend(frameon=False, loc="upper left")
    figure.savefig(file, dpi=120, bbox_inches="tight")


def write_card(held: Held, result: dict[str, Any]) -> None:
    """Put the figures into the card of the model in the package."""
    folder = find_checkpoint(held.model)
    card = Card.read(folder)
    what = {"data": f"{held.words}, coding parts, F1", "command": f"{COMMAND} --models {held.model}"}
    tests: dict[str, dict[str, Any]] = {}
    for prediction in result["predictions"]:
        levels = {name: round(level["f1"], 4) for name, level in prediction["genes"]["cds"].items()}
        errors = {words: round(value, 3) for words, value in score_errors(prediction).items() if value is not None}
        key = {"one_pass": "test"}.get(prediction["name"], f"test_{prediction['name']}")
        tests[key] = {**(what if key == "test" else {}), **levels, **({"score_errors": errors} if errors else {})}
    kept = {name: value for name, value in card.metrics.items() if not name.startswith("test")}
    dataclasses.replace(card, metrics={**kept, **tests}).write(folder)


def print_transfer(arguments: argparse.Namespace) -> None:
    """The table of every model on every genome."""
    print(f"| sequence | model | {' | '.join(LEVELS)} |")
    print(f"|---|---|{'---|' * len(LEVELS)}")
    for held in (*TESTS, RELATIVE):
        for prediction in transfer(held, arguments.models, arguments.data, arguments.out)["predictions"]:
            levels = prediction["genes"]["cds"]
            figures = " | ".join(f"{levels[level]['f1'] or 0.0:.3f}" for level in LEVELS)
            print(f"| {held.folder} | {prediction['name']} | {figures} |", flush=True)


def print_accuracy(arguments: argparse.Namespace) -> None:
    """The tables of accuracy and of reliability."""
    print(f"| model | prediction | {' | '.join(LEVELS)} | error of part scores | error of mRNA scores |")
    print(f"|---|---|{'---|' * (len(LEVELS) + 2)}")
    results = []
    for held in TESTS:
        if held.model in arguments.models:
            result = score(held, arguments.data, arguments.out, arguments.augustus)
            results.append((held, result))
            for row in rows(held, result):
                print(row, flush=True)
    headings = [f"{low:g}-{high:g}" for low, high in itertools.pairwise(BANDS)]
    print(f"\n| model | one pass, scores of | {' | '.join(headings)} |\n|---|---|{'---|' * len(headings)}")
    for held, result in results:
        for words, bands in reliability(result["predictions"][0]):
            print(f"| {held.model} | {words} | {' | '.join(map(str, bands))} |")
    if arguments.picture:
        draw_reliability(results, arguments.picture)
    if arguments.cards:
        for held, result in results:
            write_card(held, result)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the genomes")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--augustus", action="store_true", help="also run AUGUSTUS, one thread")
    names = [held.model for held in TESTS]
    parser.add_argument("--models", nargs="+", choices=names, default=names, help="(default: all)")
    parser.add_argument("--transfer", action="store_true", help="every model on every genome instead")
    parser.add_argument("--cards", action="store_true", help="write the figures into the cards of the package")
    parser.add_argument("--picture", type=Path, help="draw the reliability of the scores into this file")
    arguments = parser.parse_args()
    if arguments.transfer:
        print_transfer(arguments)
    else:
        print_accuracy(arguments)


if __name__ == "__main__":
    main()
