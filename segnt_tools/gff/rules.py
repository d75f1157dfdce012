"""The rules that GFF3 and GTF files are checked against: their codes, severities and one-line titles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is; only errors make `segnt check-gff` fail."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Codes are stable: a code is never given to another rule.

    Attributes:
        code: E (error), W (warning) or I (information) and three digits.
        title: what is wrong, in a few words.
    """

    code: str
    title: str

    @property
    def severity(self) -> Severity:
        """Severity, told by the code's letter."""
        return {"E": Severity.ERROR, "W": Severity.WARNING, "I": Severity.INFO}[self.code[0]]


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule broken at a place.

    Attributes:
        rule: the rule.
        line: 1-based line of the file.
        feature: ID or type of the feature, empty where there is none.
        message: what is wrong with it.
    """

    rule: Rule
    line: int
    feature: str
    message: str


Sink = Callable[[Finding], None]

# Lines: the shape of the nine columns.
COLUMNS = Rule("E001", "not nine columns")
EMPTY_COLUMN = Rule("E002", "empty column")
COORDINATE = Rule("E003", "start or end is no whole number")
START_BELOW_ONE = Rule("E004", "start below 1")
START_AFTER_END = Rule("E005", "start after end")
STRAND = Rule("E006", "strand is none of + - . ?")
SCORE = Rule("E007", "score is no finite number")
PHASE = Rule("E008", "phase is none of 0 1 2 .")
SEQID = Rule("E009", "name of the sequence has blanks or characters that must be escaped")
BLANK_IN_TYPE = Rule("E010", "blank in the type column")
ATTRIBUTE = Rule("E011", "column 9 is malformed")
ATTRIBUTE_EQUALS = Rule("E012", "unescaped '=' in an attribute")
ATTRIBUTE_TWICE = Rule("E013", "attribute given twice on a line")
EMPTY_REFERENCE = Rule("E014", "ID or Parent without a value")
ESCAPE = Rule("E015", "'%' without two hexadecimal digits")
BLANK_IN_VALUE = Rule("E016", "blank at the end of a value that names a feature")
RESERVED_ATTRIBUTE = Rule("E017", "unknown attribute with a capital first letter, which GFF3 reserves")
LEGACY_ATTRIBUTE = Rule("W017", "well-known attribute with a capital first letter, which GFF3 reserves")
TARGET = Rule("E018", "malformed Target or Gap")
IS_CIRCULAR = Rule("E019", "Is_circular is neither true nor false")
LETTERS = Rule("E020", "line is not UTF-8")
TRAILING_TAB = Rule("E021", "tab at the end of the line")
ID_TWICE = Rule("E022", "two IDs on one line")

# Directives.
VERSION = Rule("E030", "'##gff-version' is not 3")
VERSION_TWICE = Rule("E031", "second '##gff-version' line")
SEQUENCE_REGION = Rule("E032", "malformed '##sequence-region'")
SEQUENCE_REGION_TWICE = Rule("E033", "two '##sequence-region' lines for one sequence")
SEQUENCE_REGION_LATE = Rule("E034", "'##sequence-region' after a feature of its sequence")
FASTA_UNANNOUNCED = Rule("E035", "sequence without '##FASTA' before it")
VERSION_MISSING = Rule("W030", "no '##gff-version 3' in the first line")
UNKNOWN_DIRECTIVE = Rule("W031", "unknown directive")

# Places.
OUTSIDE_REGION = Rule("E040", "feature leaves its '##sequence-region'")
OUTSIDE_SEQUENCE = Rule("E041", "feature runs past the end of its sequence")
UNKNOWN_SEQUENCE = Rule("E042", "sequence is not in the genome")
UNSORTED = Rule("W040", "features are not sorted")

# Relations.
UNDEFINED_PARENT = Rule("E050", "Parent is nowhere in the file")
PARENT_CYCLE = Rule("E051", "feature is its own ancestor")
DUPLICATE_ID = Rule("E052", "ID used for more than one feature")
PARENT_ELSEWHERE = Rule("E053", "Parent lies on another sequence")
PARENT_BEFORE_SYNC = Rule("E054", "Parent lies before '###'")
NOT_CONTAINED = Rule("E055", "feature leaves its parent")
REGULATORY_OUTSIDE = Rule("W055", "feature that is no part of a transcript leaves its parent")
PARENT_STRAND = Rule("E056", "strand differs from the parent's")
DERIVES_FROM = Rule("W050", "Derives_from names no feature")

# Gene models.
CDS_OUTSIDE_EXON = Rule("E060", "CDS outside the exons of its transcript")
CDS_IDS = Rule("E061", "coding parts of one transcript have different IDs")
CDS_IDS_WITHOUT_EXONS = Rule("W061", "coding parts of one transcript have different IDs, in a file without exons")
CDS_PHASE_MISSING = Rule("E062", "CDS without phase")
CDS_PHASE = Rule("E063", "phase does not follow from the coding parts before it")
EXON_OVERLAP = Rule("E064", "exons of one transcript overlap")
CDS_OVERLAP = Rule("E065", "coding parts of one transcript overlap")
CDS_NO_STRAND = Rule("E066", "CDS without strand")
UTR_IN_CDS = Rule("E067", "UTR overlaps the CDS of its transcript")

# Types.
UNKNOWN_TYPE = Rule("W070", "type is no known Sequence Ontology term")

# GTF.
GTF_ATTRIBUTE = Rule("E080", "malformed GTF attribute")
GTF_NO_GENE_ID = Rule("E081", "no gene_id")
GTF_NO_TRANSCRIPT_ID = Rule("E082", "no transcript_id")
GTF_TRANSCRIPT_SPLIT = Rule("E083", "parts of one transcript lie on different sequences or strands")
GTF_STOP_IN_CDS = Rule("E084", "stop_codon lies inside the CDS, which GTF forbids")
GTF_STOP_ALONE = Rule("E085", "stop_codon is not beside the CDS")
GTF_VERSION_LINE = Rule("E086", "GFF3 version line on top of GTF lines")
GTF_TRANSCRIPT_OF_TWO_GENES = Rule("E087", "one transcript_id under two gene_ids")

# With a genome.
START_CODON = Rule("W090", "CDS does not begin with a start codon")
STOP_CODON = Rule("W091", "CDS does not end with a stop codon")
INNER_STOP = Rule("E092", "stop codon inside the CDS")
FRAME = Rule("W093", "length of the CDS is no multiple of three")
SPLICE_SITES = Rule("I090", "intron is none of GT-AG, GC-AG, AT-AC")
