"""Small GFF3 and GTF files for tests, and the list of odd inputs."""

import csv
import os
from pathlib import Path

SHARED = Path(os.environ.get("SEGNT_SHARED", Path(__file__).parents[2] / "shared"))


def write(folder: Path, name: str, text: str) -> Path:
    """Write a text file and return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def gff_line(row: str, contig: str = "ctg") -> str:
    """A GFF3 line of `type start end strand phase attributes`."""
    kind, start, end, strand, phase, attributes = row.split(" ", 5)
    return f"{contig}\ttest\t{kind}\t{start}\t{end}\t.\t{strand}\t{phase}\t{attributes}\n"


def gff(folder: Path, *rows: str, name: str = "a.gff3", head: str = "##gff-version 3\n") -> Path:
    """A GFF3 file of short rows; rows that begin with # are taken as they are."""
    lines = [row + "\n" if row.startswith(("#", ">")) else gff_line(row) for row in rows]
    return write(folder, name, head + "".join(lines))


def gtf(folder: Path, *rows: str, name: str = "a.gtf") -> Path:
    """A GTF file of rows `type start end strand phase transcript`; all transcripts are of gene g1."""
    lines = []
    for row in rows:
        kind, start, end, strand, phase, transcript = row.split(" ")
        tags = f'gene_id "g1"; transcript_id "{transcript}";' if transcript != "-" else 'gene_id "g1";'
        lines.append(f"ctg\ttest\t{kind}\t{start}\t{end}\t.\t{strand}\t{phase}\t{tags}\n")
    return write(folder, name, "".join(lines))


def manifest_rows(*formats: str) -> list[dict[str, str]]:
    """Rows of the odd inputs' manifest; empty where the shared folder is absent."""
    manifest = SHARED / "odd_inputs" / "manifest.tsv"
    if not manifest.is_file():
        return []
    with manifest.open(encoding="utf-8") as handle:
        return [row for row in csv.DictReader(handle, delimiter="\t") if row["format"] in formats]
