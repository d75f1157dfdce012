"""Make assets/test/ from the package's demo assembly: small enough for a pipeline test on a laptop's CPU.

Two assemblies of real sequence: one contig of 50 kb with its reference annotation and, as "existing annotation", one
gene of it; and 30 kb from elsewhere, cut into eight contigs, with regions of three of them.
"""

from __future__ import annotations

import gzip
from pathlib import Path

PIPELINE = Path(__file__).resolve().parents[1]
DEMO = PIPELINE.parent / "segnt_tools" / "data" / "demo"
OUT = PIPELINE / "assets" / "test"
WHOLE, PIECES, LINE = 50_000, (100_000, 130_000, 8), 60
KEPT_ATTRIBUTES = ("ID", "Parent", "Name", "gene_biotype")
REGIONS = (("scaffold_8", 500, 6000), ("scaffold_7", 0, 5833), ("scaffold_6", 1000, 5000))
EXISTING_GENE = (12_674, 15_846)


def main() -> None:
    """Write the files."""
    OUT.mkdir(parents=True, exist_ok=True)
    with gzip.open(DEMO / "arabidopsis_chr1.fa.gz", "rt") as handle:
        sequence = "".join(line.strip() for line in handle if not line.startswith(">"))
    write_fasta(OUT / "thaliana.fa.gz", {"chr1_part": sequence[:WHOLE]})
    rows = ["\t".join(map(str, region)) for region in REGIONS]
    (OUT / "regions.bed").write_text("\n".join([*rows, ""]), encoding="utf-8")
    start, end, count = PIECES
    borders = [
        start + (end - start) * i * (i + 1) // (count * (count + 1)) for i in range(count + 1)
    ]  # growing lengths
    contigs = {f"scaffold_{i + 1}": sequence[borders[i] : borders[i + 1]] for i in range(count)}
    write_fasta(OUT / "scaffolds.fa.gz", contigs)
    genes = [lines for lines in read_genes() if int(lines[0][4]) <= WHOLE]
    write_gff(OUT / "thaliana_reference.gff3.gz", genes)
    write_gff(OUT / "thaliana_existing.gff3.gz", [g for g in genes if (int(g[0][3]), int(g[0][4])) == EXISTING_GENE])


def read_genes() -> list[list[list[str]]]:
    """The columns of the lines of every gene of the demo annotation."""
    genes: list[list[list[str]]] = []
    with gzip.open(DEMO / "arabidopsis_chr1.gff3.gz", "rt") as handle:
        for line in handle:
            if line.startswith("#"):
                continue
            columns = line.rstrip("\n").split("\t")
            if "Parent=" not in columns[8]:
                genes.append([])
            genes[-1].append(columns)
    return genes


def write_fasta(path: Path, contigs: dict[str, str]) -> None:
    """Sequences in lines of 60."""
    lines = []
    for name, bases in contigs.items():
        lines.append(f">{name}")
        lines += [bases[i : i + LINE] for i in range(0, len(bases), LINE)]
    write_gzip(path, "\n".join(lines) + "\n")


def write_gff(path: Path, genes: list[list[list[str]]]) -> None:
    """GFF3 with the attributes that matter."""
    lines = ["##gff-version 3", f"##sequence-region chr1_part 1 {WHOLE}"]
    for gene in genes:
        for columns in gene:
            given = dict(item.split("=", 1) for item in columns[8].split(";"))
            attributes = ";".join(f"{name}={given[name]}" for name in KEPT_ATTRIBUTES if name in given)
            lines.append("\t".join(["chr1_part", *columns[1:8], attributes]))
        lines.append("###")
    write_gzip(path, "\n".join(lines) + "\n")


def write_gzip(path: Path, text: str) -> None:
    """Gzip without a time stamp, so that the same input gives the same file."""
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
