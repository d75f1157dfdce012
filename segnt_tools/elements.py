"""The vocabulary of elements: names, order, Sequence Ontology terms and colours."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Strand(StrEnum):
    """Strand of a track or feature; NONE for tracks that do not tell strands apart."""

    PLUS = "+"
    MINUS = "-"
    NONE = "."


@dataclass(frozen=True, slots=True)
class Element:
    """A class of base that a model can predict.

    Attributes:
        name: name in models, tracks and options.
        so_term: Sequence Ontology term written to GFF3 column 3.
        colour: colour-blind safe hexadecimal colour used in every picture and browser track.
        genic: True for parts of genes, which call-genes assembles into gene models.
        attributes: what the SO term cannot say, written to GFF3 column 9.
    """

    name: str
    so_term: str
    colour: str
    genic: bool
    attributes: tuple[tuple[str, str], ...] = ()


# The 14 elements of SegmentNT, in the order of its output axis (spec: official feature list).
SEGMENTNT_ELEMENTS: tuple[str, ...] = (
    "protein_coding_gene",
    "lncRNA",
    "exon",
    "intron",
    "splice_donor",
    "splice_acceptor",
    "5UTR",
    "3UTR",
    "CTCF-bound",
    "polyA_signal",
    "enhancer_Tissue_specific",
    "enhancer_Tissue_invariant",
    "promoter_Tissue_specific",
    "promoter_Tissue_invariant",
)

# The seven elements that segment_nt_multi_species was fine-tuned on.
SEGMENTNT_GENIC_ELEMENTS: tuple[str, ...] = (
    "protein_coding_gene",
    "exon",
    "intron",
    "splice_donor",
    "splice_acceptor",
    "5UTR",
    "3UTR",
)

# What gene finding needs beyond SegmentNT's list. CDS_frame_f marks bases of codons whose leftmost base lies at a
# 0-based contig position p with p % 3 == f: constant along an exon on either strand.
EXTENDED_ELEMENTS: tuple[str, ...] = (
    "CDS",
    "CDS_frame_0",
    "CDS_frame_1",
    "CDS_frame_2",
    "start_codon",
    "stop_codon",
)

_TISSUE_SPECIFIC = (("tissue", "specific"),)
_TISSUE_INVARIANT = (("tissue", "invariant"),)

_ALL = (
    Element("protein_coding_gene", "protein_coding_gene", "#4477AA", True),
    Element("lncRNA", "lnc_RNA", "#AA3377", False),
    Element("exon", "exon", "#228833", True),
    Element("intron", "intron", "#BBBBBB", True),
    Element("splice_donor", "five_prime_cis_splice_site", "#EE6677", True),
    Element("splice_acceptor", "three_prime_cis_splice_site", "#66CCEE", True),
    Element("5UTR", "five_prime_UTR", "#CCBB44", True),
    Element("3UTR", "three_prime_UTR", "#999933", True),
    Element("CTCF-bound", "CTCF_binding_site", "#332288", False),
    Element("polyA_signal", "polyA_signal_sequence", "#882255", False),
    Element("enhancer_Tissue_specific", "enhancer", "#DDAA33", False, _TISSUE_SPECIFIC),
    Element("enhancer_Tissue_invariant", "enhancer", "#EECC66", False, _TISSUE_INVARIANT),
    Element("promoter_Tissue_specific", "promoter", "#BB5566", False, _TISSUE_SPECIFIC),
    Element("promoter_Tissue_invariant", "promoter", "#EE99AA", False, _TISSUE_INVARIANT),
    Element("CDS", "CDS", "#117733", True),
    Element("CDS_frame_0", "CDS", "#117733", True, (("frame", "0"),)),
    Element("CDS_frame_1", "CDS", "#44AA99", True, (("frame", "1"),)),
    Element("CDS_frame_2", "CDS", "#88CCEE", True, (("frame", "2"),)),
    Element("start_codon", "start_codon", "#0077BB", True),
    Element("stop_codon", "stop_codon", "#CC3311", True),
)

ELEMENTS: MappingProxyType[str, Element] = MappingProxyType({element.name: element for element in _ALL})


def element(name: str) -> Element:
    """The element of a name; a name outside the vocabulary gets a neutral entry (SO `sequence_feature`)."""
    return ELEMENTS.get(name) or Element(name, "sequence_feature", "#777777", False, (("element", name),))


@dataclass(frozen=True, slots=True)
class Track:
    """One output of a model: an element, on one strand where the model tells strands apart.

    Attributes:
        element: name of the element.
        strand: strand the track speaks of.
        trained: False for outputs that a checkpoint has but was never trained on.
    """

    element: str
    strand: Strand = Strand.NONE
    trained: bool = True

    @property
    def name(self) -> str:
        """Name in files and options: `exon`, `exon+`, `exon-`."""
        return self.element if self.strand is Strand.NONE else f"{self.element}{self.strand.value}"

    @property
    def mirrored(self) -> Track:
        """The track that describes the same bases when a window is read on its other strand.

        Frames count from the left end of a window whose length is a multiple of 3, so that frame f becomes -f mod 3.
        """
        mirrored_frame = {"CDS_frame_1": "CDS_frame_2", "CDS_frame_2": "CDS_frame_1"}
        mirrored_strand = {Strand.PLUS: Strand.MINUS, Strand.MINUS: Strand.PLUS, Strand.NONE: Strand.NONE}
        return Track(mirrored_frame.get(self.element, self.element), mirrored_strand[self.strand], self.trained)

    @classmethod
    def parse(cls, name: str, trained: bool = True) -> Track:
        """The track of a name such as `exon` or `exon+`."""
        strand = Strand(name[-1]) if name[-1:] in ("+", "-") else Strand.NONE
        return cls(name.removesuffix(strand.value) if strand is not Strand.NONE else name, strand, trained)
