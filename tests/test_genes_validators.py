"""Gene models called on every real genome at hand, from noisy tracks, in front of other people's validators."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import require_engine
from test_genes_calling import benchmark

from segnt_tools.errors import UsageError
from segnt_tools.genes.calling import call_genes
from segnt_tools.genes.estimation import estimate_parameters
from segnt_tools.genes.parameters import parameters_of
from segnt_tools.gff.genemodel import Gene
from segnt_tools.gff.proving import prove
from segnt_tools.gff.reading import read_genes
from segnt_tools.gff.writing import number_genes, write_gff3
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.stretches import Stretch

LONGEST = 600_000
NOISE = 3.0
GENOMES = (
    "arabidopsis_arenosa_chr1_2",
    "arabidopsis_thaliana_chr1",
    "drosophila_chr4_4species",
    "human_hg19_regions",
    "human_hg38_regions",
    "plasmodium_falciparum_chr1-10",
    "saccharomyces_cerevisiae_chrI-XII",
)


def called(folder: Path, fasta: Path, gff3: Path) -> list[Gene]:
    """Genes of a genome's first contig, written with its sequence."""
    module = benchmark()
    with Assembly.open(folder / "genome.fa.gz") as assembly:
        genes = read_genes(folder / "annotation.gff3.gz", assembly.lengths)
        first = assembly.contigs[0]
        cut = module.CutAssembly(assembly, Stretch(first.name, 0, min(first.length, LONGEST)))
        try:
            values = estimate_parameters(genes, assembly, parameters_of(None, True)).values
        except UsageError:  # too few genes in a region of a megabase
            values = {}
        parameters = parameters_of(None, True).replaced({**values, "start_codons": ["ATG"]})
        truth = module.reference(cut.genes(genes), cut, parameters)
        tracks = module.DrawnTracks("stranded", truth.drawn, cut.lengths, NOISE)
        found = number_genes(call_genes(tracks, cut, cut.contigs, parameters), "g")
        prove(found, cut)
        fasta.write_text(f">{first.name}\n{assembly.sequence(first.name)[:LONGEST]}\n")
    write_gff3(gff3, found, cut.lengths)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", GENOMES)
def test_validators_accept_every_called_gene(genomes, tmp_path, name):
    gt, validator, gffread = (require_engine(each) for each in ("gt", "gff3-validate", "gffread"))
    fasta, gff3 = tmp_path / "genome.fa", tmp_path / "genes.gff3"
    genes = called(genomes / name, fasta, gff3)
    assert len(genes) >= 5
    result = subprocess.run(
        [gt, "gff3validator", "-typecheck", "so", gff3], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    result = subprocess.run([validator, gff3, "--genome", fasta], capture_output=True, text=True, check=False)
    assert result.returncode == 0, (result.stdout + result.stderr)[-2000:]
    # gffread -J drops what lacks a start or stop codon, which genes cut by an end do on purpose.
    whole = sum(not (one.partial_5 or one.partial_3) for gene in genes for one in gene.transcripts if one.cds)
    command = [gffread, "-J", "-g", fasta, "-x", tmp_path / "cds.fa", gff3]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "cds.fa").read_text().count(">") >= whole > 0
