"""Makes the small sequence and annotation files of galaxy/test-data from the demo assembly inside the package.

    python galaxy/testing/make_test_data.py

Two stretches of A. thaliana chr1 become the contigs athal_1 and athal_2. tiny_untrained is a checkpoint with
random weights: it shows that a checkpoint from the history is really used, and predicts nothing sensible.
galaxy/test-data/README.md names the origin of everything.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import h5py

from segnt_tools.commands.main import run
from segnt_tools.sequence.assembly import ASSEMBLY_FILE, CONTIGS_FILE
from segnt_tools.sequence.preparation import prepare
from segnt_tools.sequence.shards import SHARDS_FILE

TEST_DATA = Path(__file__).resolve().parents[1] / "test-data"
DEMO = resources.files("segnt_tools") / "data" / "demo"
WIDTH = 60


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of the demo contig that becomes a contig of its own; 0-based half-open."""

    name: str
    start: int
    end: int


# The gene's exon leaves it, and the coding part has no phase.
WRONG_GFF3 = """##gff-version 3
athal_1	test	gene	1001	2000	.	+	.	ID=gene1
athal_1	test	mRNA	1001	2000	.	+	.	ID=mrna1;Parent=gene1
athal_1	test	exon	1001	2500	.	+	.	ID=exon1;Parent=mrna1
athal_1	test	CDS	1101	1900	.	+	.	ID=cds1;Parent=mrna1
"""

# A few steps of a very small network.
TINY_RECIPE = """seed = 1

[card]
summary = "A few steps for tests; its predictions mean nothing"

[[data]]
name = "genome"
genome = "replaced by the form"
annotation = "replaced by the form"
train = ["athal_1"]
validate = ["athal_2"]

[model]
architecture = "codon_unet"
codon_statistics = true

[model.config]
channels = [8, 8, 12]
kernels = [3, 3, 3]
blocks = 1
dilations = [1]
attention_after = []
heads = 2

[loss]
kind = "classes"

[[stage]]
window = 9216
steps = 2
batch = 1

[validation]
every = 2
"""

# Regions as a user has them, and what preprocess makes of those of the first contig.
REGIONS_BED = (
    "track name=chosen\nathal_1\t2000\t6000\tpromising\nathal_1\t5000\t7000\tmore\nathal_1\t9000\t11000\n"
    "athal_2\t1000\t5000\n"
)
PREPARED_REGIONS = "athal_1\t2000\t7000\nathal_1\t9000\t11000\n"
SHARD_OF_REGIONS = "#shard\tgroup\tcontig\tstart\tend\n1\t1\tathal_1\t2000\t7000\n1\t1\tathal_1\t9000\t11000\n"

STRETCHES = (Stretch("athal_1", 0, 16_000), Stretch("athal_2", 68_100, 77_600))


def main() -> None:
    """Write all files."""
    shutil.copy(str(DEMO / "arabidopsis_chr1.fa.gz"), TEST_DATA / "demo.fa.gz")
    shutil.copy(str(DEMO / "arabidopsis_chr1.gff3.gz"), TEST_DATA / "demo.gff3.gz")
    with gzip.open(str(DEMO / "arabidopsis_chr1.fa.gz"), "rt") as handle:
        demo = "".join(handle.read().split("\n")[1:])
    records = [fasta(stretch.name, demo[stretch.start : stretch.end]) for stretch in STRETCHES]
    write("assembly.fa", "".join(records))
    with gzip.GzipFile(TEST_DATA / "assembly.fa.gz", "wb", mtime=0) as compressed:
        compressed.write("".join(records).encode())
    for number, record in enumerate(records, start=1):
        write(f"contig_{number}.fa", record)
    write("duplicate_names.fa", records[1] + records[1])
    write("annotation.gff3", annotation())
    write("protein.fa", fasta("protein_1", "MKVLAAGIVGLLLAQPSEEFHWKKL"))
    write("not_a.gff3", "this is\nno GFF3\n")
    write("wrong.gff3", WRONG_GFF3)
    write("aliases.tabular", "athal_1\tChr1\nathal_2\tChr2\n")
    write("regulatory.bed", "Chr1\t100\t400\tCTCF\nChr2\t50\t90\tother\nChr7\t1\t9\tCTCF\n")
    write("regions.bed", REGIONS_BED)
    write("prepared_regions.bed", PREPARED_REGIONS)
    write("regions_shard.tabular", SHARD_OF_REGIONS)
    write("exons.bed", exons())
    write("tiny_recipe.toml", TINY_RECIPE)
    write("predicted_1.gff3", predicted(["AT1G77200", "AT1G77220"]))
    write("predicted_2.gff3", predicted(["AT1G77200", "AT1G77370"]))
    tiny_checkpoint()
    prepared_shards()
    tracks()


def fasta(name: str, bases: str) -> str:
    """A FASTA record."""
    lines = [bases[i : i + WIDTH] for i in range(0, len(bases), WIDTH)]
    return "\n".join([f">{name}", *lines, ""])


def annotation() -> str:
    """The genes that lie inside the stretches, with all their parts, in the stretches' coordinates."""
    with gzip.open(str(DEMO / "arabidopsis_chr1.gff3.gz"), "rt") as handle:
        rows = [line.rstrip("\n").split("\t") for line in handle if not line.startswith("#")]
    header = ["##gff-version 3"]
    header += [f"##sequence-region {stretch.name} 1 {stretch.end - stretch.start}" for stretch in STRETCHES]
    return "\n".join([*header, *(row for stretch in STRETCHES for row in rows_inside(rows, stretch)), ""])


def rows_inside(rows: list[list[str]], stretch: Stretch) -> Iterator[str]:
    """Rows of the genes inside a stretch; a row whose parent is missing is left out."""
    kept: set[str] = set()
    for row in rows:
        start, end = int(row[3]) - 1, int(row[4])
        attributes = dict(part.split("=", 1) for part in row[8].split(";"))
        inside = stretch.start <= start and end <= stretch.end
        if not inside or ("Parent" in attributes and not set(attributes["Parent"].split(",")) <= kept):
            continue
        kept.add(attributes.get("ID", ""))
        place = [stretch.name, *row[1:3], str(start - stretch.start + 1), str(end - stretch.start)]
        yield "\t".join([*place, *row[5:]])


def exons() -> str:
    """The exons of the annotation as BED, named as call-peaks names them."""
    rows = [line.split("\t") for line in (TEST_DATA / "annotation.gff3").read_text(encoding="utf-8").splitlines()]
    found = {(row[0], int(row[3]) - 1, int(row[4]), row[6]) for row in rows if row[2:3] == ["exon"]}
    return "".join(f"{c}\t{start}\t{end}\texon\t900\t{strand}\n" for c, start, end, strand in sorted(found))


def predicted(genes: list[str]) -> str:
    """The first transcripts of some genes, coding parts only, as a gene finder would write them."""
    lines = ["##gff-version 3"]
    rows = [line.split("\t") for line in (TEST_DATA / "annotation.gff3").read_text(encoding="utf-8").splitlines()[1:]]
    for number, gene in enumerate(genes, start=1):
        parts = [row for row in rows if row[2:3] == ["CDS"] and f"locus_tag={gene};" in row[8] + ";"]
        parent = dict(part.split("=", 1) for part in parts[0][8].split(";"))["Parent"]
        parts = [row for row in parts if f"Parent={parent};" in row[8]]
        start, end = min(int(row[3]) for row in parts), max(int(row[4]) for row in parts)
        place = [parts[0][0], "test"]
        tail = [parts[0][6], "."]
        lines.append("\t".join([*place, "gene", str(start), str(end), "0.9", *tail, f"ID=g{number}"]))
        lines.append(
            "\t".join([*place, "mRNA", str(start), str(end), "0.9", *tail, f"ID=g{number}.t1;Parent=g{number}"])
        )
        for row in sorted(parts, key=lambda row: int(row[3])):
            where = [row[3], row[4], "0.9"]
            lines.append("\t".join([*place, "exon", *where, *tail, f"Parent=g{number}.t1"]))
            cds = f"ID=g{number}.t1.cds;Parent=g{number}.t1"
            lines.append("\t".join([*place, "CDS", *where, row[6], row[7], cds]))
        lines.append("###")
    return "\n".join([*lines, ""])


def tiny_checkpoint() -> None:
    """A zipped checkpoint of a very small network with random weights of a fixed seed; and two that are no good."""
    import torch

    from segnt_tools.models.checkpoints import write_checkpoint
    from segnt_tools.models.codon_unet import CodonUNet, CodonUNetConfig, make_card

    config = CodonUNetConfig(
        channels=(8, 8, 12), kernels=(3, 3, 3), blocks=1, dilations=(1,), attention_after=(), heads=2
    )
    card = make_card(
        name="tiny_untrained",
        summary="Random weights for tests; its predictions mean nothing",
        config=config,
        licence="MIT",
        citation="none",
    )
    torch.manual_seed(1)
    folder = TEST_DATA / "tiny_untrained"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    write_checkpoint(folder, card, CodonUNet(card).state_dict())
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_zip("tiny_untrained_model.zip", {f"tiny_untrained/{name}": content for name, content in files.items()})
    weights = bytearray(files["model.safetensors"])
    weights[-1] ^= 1
    write_zip("damaged_model.zip", files | {"model.safetensors": bytes(weights)})
    write_zip("no_model.zip", {"notes.txt": b"no model here\n"})


def prepared_shards() -> None:
    """What the preprocess wrapper makes of the assembly in three shards."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(TEST_DATA / "assembly.fa", Path(folder), shards=3)
        shutil.copy(Path(folder) / ASSEMBLY_FILE, TEST_DATA / "prepared_assembly.fa.gz")
        shutil.copy(Path(folder) / CONTIGS_FILE, TEST_DATA / "prepared_contigs.tabular")
        header, *rows = (Path(folder) / SHARDS_FILE).read_text(encoding="utf-8").splitlines()
    for number in ("1", "2", "3"):
        mine = [row for row in rows if row.split("\t")[0] == number]
        write(f"shard_{number:0>5}.tabular", "\n".join([header, *mine, ""]))


def tracks() -> None:
    """What the embedded model predicts for the three shards; and a file that is HDF5 but holds no tracks."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(TEST_DATA / "assembly.fa", Path(folder), shards=3)
        for shard in (1, 2, 3):
            out = TEST_DATA / f"tracks_{shard:05}.h5"
            run(
                [
                    "predict",
                    folder,
                    "--shard",
                    str(shard),
                    "--device",
                    "cpu",
                    "--precision",
                    "float32",
                    "--out",
                    str(out),
                ]
            )
    with tempfile.TemporaryDirectory() as folder:
        genome, genes = (str(TEST_DATA / name) for name in ("demo.fa.gz", "demo.gff3.gz"))
        run(["call-genes", "--estimate-parameters", genes, "--genome", genome, "--out", folder])
        shutil.copy(Path(folder) / "gene-parameters.json", TEST_DATA / "gene_parameters.json")
        genome, genes = (str(TEST_DATA / name) for name in ("assembly.fa", "annotation.gff3"))
        labels = ["labels", genes, "--genome", genome, "--elements", "exon,CDS", "--stranded"]
        run([*labels, "--out", f"{folder}/labels.h5"])
        shutil.copy(Path(folder) / "labels.h5", TEST_DATA / "labels.h5")
        shards = [str(path) for path in sorted(TEST_DATA.glob("tracks_*.h5"))]
        run(["tracks", "export", *shards, "--format", "bigwig", "--element", "exon+", "--out", folder])
        shutil.copy(Path(folder) / "exon.plus.bw", TEST_DATA / "exon.plus.bw")
    with h5py.File(TEST_DATA / "no_tracks.h5", "w") as file:
        file["counts"] = [1, 2, 3]


def write_zip(name: str, files: dict[str, bytes]) -> None:
    """Write a zip archive that is the same every time."""
    with zipfile.ZipFile(TEST_DATA / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(path, date_time=(2000, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)


def write(name: str, text: str) -> None:
    """Write a file of the test data."""
    (TEST_DATA / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
