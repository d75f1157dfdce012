"""Every GFF3 and GTF of the collection of odd inputs goes through segnt labels on a genome made to its size."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from segnt_tools.commands.main import run

MOST_BASES = 3_000_000


def sizes_of(path: Path) -> dict[str, int]:
    """Names in column 1 and the largest number in columns 4 and 5, however odd the lines are."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8", "replace")
    sizes: dict[str, int] = {}
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) < 5 or line.startswith("#"):
            continue
        name = fields[0].split()[0] if fields[0].split() else ""
        ends = [int(field) for field in fields[3:5] if field.strip().isdigit()]
        if name and "%" not in name and not name.startswith(">"):
            sizes[name] = max([sizes.get(name, 0), *ends])
    return {name: size + 10 for name, size in sizes.items() if size}


def write_genome(path: Path, sizes: dict[str, int]) -> None:
    random = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    with path.open("wb") as handle:
        for name, size in sizes.items():
            handle.write(f">{name}\n".encode() + letters[random.integers(0, 4, size)].tobytes() + b"\n")


def test_odd_annotation_is_read_or_refused_but_never_breaks_us(shared, tmp_path, capsys):
    with (shared / "odd_inputs" / "manifest.tsv").open() as handle:
        entries = [row for row in csv.DictReader(handle, delimiter="\t") if row["format"] in ("gff", "gtf")]
    assert len(entries) > 50
    wrong, outcomes = [], {0: 0, 2: 0}
    for number, entry in enumerate(entries):
        path = shared / "odd_inputs" / entry["path"]
        sizes = sizes_of(path)
        if not sizes or sum(sizes.values()) > MOST_BASES:
            sizes = {"chr1": 1000}
        genome, out = tmp_path / f"{number}.fa", tmp_path / f"{number}.h5"
        write_genome(genome, sizes)
        status = run(["labels", str(path), "--genome", str(genome), "--out", str(out), "--elements", "exon,CDS", "-q"])
        message = capsys.readouterr().err
        outcomes[status] = outcomes.get(status, 0) + 1
        told = status == 0 or (status == 2 and message.startswith("ERROR: ") and path.name in message)
        if not told or (status == 0) is not out.exists() or "Traceback" in message:
            wrong.append((entry["path"], status, message[:200]))
        if entry["class"] == "valid" and status and "no gene model" not in message and "no sequence" not in message:
            wrong.append((entry["path"], status, message[:200]))
    assert not wrong
    assert outcomes[0] > 20
    assert outcomes[2] > 20


@pytest.mark.parametrize("damage", ["utf16", "truncated", "binary", "mac"])
def test_damaged_text(tmp_path, capsys, damage):
    text = "##gff-version 3\nc\tx\texon\t1\t9\t.\t+\t.\tgene_name=a\n"
    genome, path = tmp_path / "g.fa", tmp_path / "a.gff3"
    genome.write_text(">c\nACGTACGTACGT\n")
    content = {
        "utf16": text.encode("utf-16"),
        "truncated": gzip.compress(text.encode() * 500)[:-30],
        "binary": b"\x00\x01\x02" * 50,
        "mac": text.replace("\n", "\r").encode(),
    }
    path.write_bytes(content[damage])
    status = run(["labels", str(path), "--genome", str(genome), "--out", str(tmp_path / "l.h5"), "-q"])
    error = capsys.readouterr().err
    assert status == (0 if damage == "mac" else 2), error
    assert "Traceback" not in error
