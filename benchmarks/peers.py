"""Run other gene finders on the same sequence, so that `segnt evaluate` can set them beside ours.

    apt-get install augustus augustus-data snap
    python benchmarks/peers.py --genome genome.fa.gz --region NC_003070.9:29000001-29300000 --out peers
    segnt evaluate peers/augustus.gff3 peers/snap.gff3 --truth annotation.gff3.gz --genome genome.fa.gz \\
        --region NC_003070.9:29000001-29300000 --out peers/scores

The region is cut out, each installed peer runs on the piece in one thread, and its output is written as GFF3 in the
coordinates of the whole contig. peers.json keeps commands, versions and speed. AUGUSTUS has probably seen the genes of
A. thaliana in training, so that its figures there are generous to it.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pysam


@dataclass(frozen=True)
class Piece:
    """The stretch that the peers see: its FASTA, contig and 0-based offset in the contig."""

    fasta: Path
    contig: str
    offset: int
    bases: int


@dataclass(frozen=True)
class Peer:
    """A gene finder: how to run it, how its output becomes GFF3 lines, and what it needs.

    `command` is given the file to write; a program that ignores it writes to standard output.
    """

    name: str
    program: str
    command: Callable[[argparse.Namespace, Piece, Path], list[str]]
    convert: Callable[[str, Piece], Iterator[str]]
    needs: str


@dataclass(frozen=True)
class Run:
    """One peer's run; the speed is that of its processor time, so that a busy machine does not show in it."""

    peer: str
    command: list[str]
    seconds: float
    cpu_seconds: float
    kb_per_second: float


def shifted(text: str, piece: Piece) -> Iterator[str]:
    """Lines of a GFF3 whose coordinates count from the piece, in those of the contig; comments are left out."""
    for line in text.splitlines():
        fields = line.split("\t")
        if line.startswith("#") or len(fields) != 9:
            continue
        fields[0] = piece.contig
        fields[3:5] = (str(int(number) + piece.offset) for number in fields[3:5])
        yield "\t".join(fields)


def snap_to_gff3(text: str, piece: Piece) -> Iterator[str]:
    """SNAP's GFF2-like rows (Einit, Exon, Eterm, Esngl: coding parts; column 9 the gene) as gene > mRNA > CDS."""
    genes: dict[str, list[list[str]]] = {}
    for line in shifted(text, piece):
        fields = line.split("\t")
        genes.setdefault(fields[8].strip(), []).append(fields)
    for name, parts in genes.items():
        start, end = min(int(part[3]) for part in parts), max(int(part[4]) for part in parts)
        head = [piece.contig, "SNAP", "", str(start), str(end), ".", parts[0][6], "."]
        yield "\t".join([*head[:2], "gene", *head[3:], f"ID={name}"])
        yield "\t".join([*head[:2], "mRNA", *head[3:], f"ID={name}.t1;Parent={name}"])
        yield from _coding_rows(name, parts)


def _coding_rows(name: str, parts: list[list[str]]) -> Iterator[str]:
    """CDS rows with phases that follow from the lengths; a first part without start codon is taken as complete."""
    done = 0
    for part in sorted(parts, key=lambda part: int(part[3]), reverse=parts[0][6] == "-"):
        phase = str(-done % 3)
        done += int(part[4]) - int(part[3]) + 1
        yield "\t".join([*part[:2], "CDS", *part[3:7], phase, f"ID={name}.cds;Parent={name}.t1"])


def _augustus(arguments: argparse.Namespace, piece: Piece, output: Path) -> list[str]:
    # Lower case would be taken as masked repeats, which costs seven points of exon F1 on A. thaliana.
    # Some species files leave the stop codon out of the CDS; GFF3 has it inside.
    options = ("--gff3=on", "--softmasking=0", "--stopCodonExcludedFromCDS=false")
    return ["augustus", f"--species={arguments.species}", *options, str(piece.fasta)]


def _snap(arguments: argparse.Namespace, piece: Piece, output: Path) -> list[str]:
    return ["snap-hmm", "-quiet", "-gff", str(arguments.hmm), str(piece.fasta)]


def _geneml(arguments: argparse.Namespace, piece: Piece, output: Path) -> list[str]:
    command = ["geneml", str(piece.fasta), "--output", str(output), "--cores", "1"]
    return [*command, "--yeast"] if arguments.yeast else command


PEERS = (
    Peer("augustus", "augustus", _augustus, shifted, "apt-get install augustus augustus-data"),
    Peer("snap", "snap-hmm", _snap, snap_to_gff3, "apt-get install snap"),
    Peer("geneml", "geneml", _geneml, shifted, "pip install geneml (fungi only; brings TensorFlow)"),
)


def cut_piece(genome: Path, region: str, folder: Path) -> Piece:
    """Write the region as a FASTA of its own."""
    with pysam.FastaFile(str(genome)) as fasta:
        contig, span = region.rsplit(":", 1)
        first, last = (int(number.replace(",", "")) for number in span.split("-"))
        start = first - 1
        sequence = fasta.fetch(contig, start, last)
    path = folder / "piece.fa"
    path.write_text(f">{contig}\n{sequence}\n", encoding="ascii")
    return Piece(path, contig, start, len(sequence))


def run_peer(peer: Peer, arguments: argparse.Namespace, piece: Piece, folder: Path) -> Run:
    """Run one peer and write `<peer>.gff3`."""
    raw = folder / f"{peer.name}.raw.gff3"
    command = peer.command(arguments, piece, raw)
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if raw.exists():
        text = raw.read_text(encoding="utf-8")
    lines = "\n".join(["##gff-version 3", *peer.convert(text, piece)])
    (folder / f"{peer.name}.gff3").write_text(lines + "\n", encoding="utf-8")
    return Run(
        peer.name,
        [Path(command[0]).name, *map(_shown, command[1:])],
        round(seconds, 2),
        round(cpu_seconds, 2),
        round(piece.bases / cpu_seconds / 1000, 1),
    )


def _shown(argument: str) -> str:
    """An argument without folders of this machine."""
    return Path(argument).name if "/" in argument else argument


def main() -> int:
    """Run what is installed; say what the others need."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genome", type=Path, required=True, help="bgzipped or plain FASTA with index")
    parser.add_argument("--region", required=True, help="CONTIG:FROM-TO, 1-based and inclusive")
    parser.add_argument("--out", type=Path, required=True, help="folder for <peer>.gff3 and peers.json")
    names = [peer.name for peer in PEERS]
    parser.add_argument("--peers", nargs="+", choices=names, default=names, help="(default: all that are installed)")
    parser.add_argument("--species", default="arabidopsis", help="AUGUSTUS species (default: %(default)s)")
    parser.add_argument(
        "--hmm",
        type=Path,
        default=Path("/usr/share/snap/HMM/A.thaliana.hmm"),
        help="SNAP parameters (default: %(default)s)",
    )
    parser.add_argument("--yeast", action="store_true", help="GeneML's settings for yeasts, which have few introns")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    piece = cut_piece(arguments.genome, arguments.region, arguments.out)
    runs = []
    for peer in (peer for peer in PEERS if peer.name in arguments.peers):
        if shutil.which(peer.program) is None:
            print(f"{peer.name}: not installed; {peer.needs}", file=sys.stderr)
            continue
        runs.append(run_peer(peer, arguments, piece, arguments.out))
        print(
            f"{peer.name}: {runs[-1].seconds} s, {runs[-1].cpu_seconds} s of CPU, {runs[-1].kb_per_second} kb/s",
            file=sys.stderr,
        )
    (arguments.out / "peers.json").write_text(json.dumps([asdict(run) for run in runs], indent=2) + "\n")
    return 0 if runs else 1


if __name__ == "__main__":
    sys.exit(main())
