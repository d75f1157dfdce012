"""What column 3 means to us: genes, transcripts and their parts, and the biotypes of GENCODE, Ensembl and RefSeq."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from segnt_tools.gff.genemodel import Gene


class PartKind(StrEnum):
    """Kinds of rows that make up a transcript."""

    EXON = "exon"
    CDS = "CDS"
    UTR = "UTR"
    START_CODON = "start_codon"
    STOP_CODON = "stop_codon"


_PARTS: Final = {
    "exon": PartKind.EXON,
    "pseudogenic_exon": PartKind.EXON,
    "noncoding_exon": PartKind.EXON,
    "coding_exon": PartKind.EXON,
    "CDS": PartKind.CDS,
    "cds": PartKind.CDS,
    "five_prime_UTR": PartKind.UTR,
    "three_prime_UTR": PartKind.UTR,
    "five_prime_utr": PartKind.UTR,
    "three_prime_utr": PartKind.UTR,
    "5UTR": PartKind.UTR,
    "3UTR": PartKind.UTR,
    "5'-UTR": PartKind.UTR,
    "3'-UTR": PartKind.UTR,
    "UTR": PartKind.UTR,
    "start_codon": PartKind.START_CODON,
    "stop_codon": PartKind.STOP_CODON,
}

# Landmarks and translation products that may stand above or beside a gene model, but are no transcript.
LANDMARKS: Final = frozenset(("region", "chromosome", "contig", "supercontig", "scaffold", "assembly", "operon"))
PRODUCTS: Final = frozenset(("protein", "polypeptide", "mature_protein_region"))

_TRANSCRIPTS: Final = frozenset(
    ("transcript", "primary_transcript", "pseudogenic_transcript", "processed_transcript", "nc_primary_transcript",
     "transcript_region", "pseudogenic_tRNA", "pseudogenic_rRNA", "C_gene_segment", "D_gene_segment",
     "J_gene_segment", "V_gene_segment", "unconfirmed_transcript", "processed_pseudogene", "lincRNA")
)  # fmt: skip


def part_kind(feature_type: str) -> PartKind | None:
    """The kind of part a type stands for, or None."""
    return _PARTS.get(feature_type)


def is_gene_type(feature_type: str) -> bool:
    """True for `gene`, `pseudogene` and everything that ends like them (`ncRNA_gene`, `processed_pseudogene`)."""
    return feature_type == "gene" or feature_type.endswith(("_gene", "pseudogene"))


def is_transcript_type(feature_type: str) -> bool:
    """True for types of transcripts (`mRNA`, `lnc_RNA`, `transcript`, `tRNA`, ...)."""
    return feature_type in _TRANSCRIPTS or feature_type.endswith("RNA")


class GeneClass(StrEnum):
    """The classes that labels and evaluation tell apart."""

    PROTEIN_CODING = "protein_coding"
    LNCRNA = "lncRNA"
    PSEUDOGENE = "pseudogene"
    OTHER = "other"


# GENCODE's and Ensembl's biotypes that make up the class lncRNA (older releases split it).
_LNCRNA: Final = frozenset(
    ("lncRNA", "lincRNA", "lnc_RNA", "antisense", "antisense_RNA", "sense_intronic", "sense_overlapping",
     "processed_transcript", "3prime_overlapping_ncRNA", "3prime_overlapping_ncrna", "bidirectional_promoter_lncRNA",
     "bidirectional_promoter_lncrna", "macro_lncRNA", "non_coding", "lincRNA_gene", "lncRNA_gene", "lncrna")
)  # fmt: skip


def biotype(gene: Gene) -> str | None:
    """The biotype that the file gives (`gene_biotype`, `gene_type`, `biotype`), or None."""
    for name in ("gene_biotype", "gene_type", "biotype", "transcript_biotype", "transcript_type"):
        values = gene.attributes.get(name)
        if values:
            return values[0]
    return None


def gene_class(gene: Gene) -> GeneClass:
    """The class of a gene: from its biotype, its type, or, where neither tells, its transcripts.

    A gene with a CDS and no other word on its class is protein-coding.
    """
    for word in (biotype(gene), gene.type):
        if word is None:
            continue
        if "pseudogene" in word:
            return GeneClass.PSEUDOGENE
        if word in _LNCRNA:
            return GeneClass.LNCRNA
        if word in ("protein_coding", "protein_coding_gene", "mRNA"):
            return GeneClass.PROTEIN_CODING
        if word not in ("gene", "ncRNA_gene"):
            return GeneClass.OTHER
    if any(transcript.cds for transcript in gene.transcripts):
        return GeneClass.PROTEIN_CODING
    if any(transcript.type in _LNCRNA for transcript in gene.transcripts):
        return GeneClass.LNCRNA
    return GeneClass.OTHER


# Sequence Ontology terms for GTF's biotypes, where gene and transcript rows carry no SO term of their own.
_TRANSCRIPT_TERMS: Final = {
    "protein_coding": "mRNA",
    "tRNA": "tRNA",
    "Mt_tRNA": "tRNA",
    "rRNA": "rRNA",
    "Mt_rRNA": "rRNA",
    "snRNA": "snRNA",
    "snoRNA": "snoRNA",
    "scaRNA": "scaRNA",
    "miRNA": "miRNA",
    "ncRNA": "ncRNA",
    "misc_RNA": "ncRNA",
}


def transcript_term(transcript_biotype: str | None, coding: bool) -> str:
    """SO term of a transcript read from GTF."""
    if coding:
        return "mRNA"
    if transcript_biotype is None:
        return "transcript"
    if transcript_biotype in _LNCRNA:
        return "lnc_RNA"
    if "pseudogene" in transcript_biotype:
        return "pseudogenic_transcript"
    term = _TRANSCRIPT_TERMS.get(transcript_biotype, "transcript")
    return "transcript" if term == "mRNA" else term


def gene_term(gene_biotype: str | None) -> str:
    """SO term of a gene read from GTF."""
    if gene_biotype is None:
        return "gene"
    if "pseudogene" in gene_biotype:
        return "pseudogene"
    return "lncRNA_gene" if gene_biotype in _LNCRNA else "gene"
