"""The benchmark that runs other gene finders: converting their output, and running them where installed."""

import gzip
import importlib.util
import sys
from pathlib import Path

import pysam
import pytest
from conftest import require_engine

from segnt_tools.gff.reading import read_genes

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def peers():
    spec = importlib.util.spec_from_file_location("peers", ROOT / "benchmarks" / "peers.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["peers"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["peers"]


SNAP = (
    "c\tSNAP\tEterm\t4\t9\t1.0\t-\t.\tc-snap.1\n"
    "c\tSNAP\tEinit\t21\t24\t1.0\t-\t.\tc-snap.1\n"
    "c\tSNAP\tEinit\t41\t44\t1.0\t+\t.\tc-snap.2\n"
    "c\tSNAP\tEterm\t51\t55\t1.0\t+\t.\tc-snap.2\n"
)


def test_snap_becomes_gene_models_on_the_whole_contig(peers, tmp_path):
    piece = peers.Piece(tmp_path / "p.fa", "c", 1000, 60)
    path = tmp_path / "snap.gff3"
    path.write_text("\n".join(["##gff-version 3", *peers.snap_to_gff3(SNAP, piece)]) + "\n")
    minus, plus = read_genes(path, {"c": 2000})
    assert minus.transcripts[0].cds == ((1003, 1009), (1020, 1024))
    assert plus.transcripts[0].cds == ((1040, 1044), (1050, 1055))
    phases = [line.split("\t")[7] for line in path.read_text().splitlines() if "\tCDS\t" in line]
    assert phases == ["0", "2", "0", "2"]  # 4 coding bases before the second part: 2 more end the codon


def test_rows_are_shifted_and_comments_dropped(peers, tmp_path):
    piece = peers.Piece(tmp_path / "p.fa", "chr9", 99, 50)
    assert list(peers.shifted("# hello\npiece\tA\tgene\t1\t5\t.\t+\t.\tID=g\nbroken\n", piece)) == [
        "chr9\tA\tgene\t100\t104\t.\t+\t.\tID=g"
    ]


@pytest.mark.slow
def test_snap_finds_genes_on_the_demo_assembly(peers, tmp_path, monkeypatch):
    require_engine("snap-hmm")
    genome = tmp_path / "demo.fa"
    packed = ROOT / "segnt_tools" / "data" / "demo" / "arabidopsis_chr1.fa.gz"
    genome.write_bytes(gzip.decompress(packed.read_bytes()))
    with pysam.FastaFile(str(genome)) as fasta:
        contig, size = fasta.references[0], fasta.lengths[0]
    out = tmp_path / "peers"
    arguments = ["peers.py", "--genome", genome, "--region", f"{contig}:1-{size}", "--out", out, "--peers", "snap"]
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
    assert peers.main() == 0
    assert len(read_genes(out / "snap.gff3", {contig: size})) > 50
