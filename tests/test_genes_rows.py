"""Rows of scores from 8-bit codes are those from logits, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from segnt_tools.elements import Strand, Track
from segnt_tools.genes.emissions import UNKNOWN_CODE, CodeSource, EmissionBuilder, EvidencePlan
from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.genes.states import StateMachine
from segnt_tools.quantisation import LOGIT_OF_CODE

LENGTH = 1500
GENIC = ("protein_coding_gene", "exon", "intron", "splice_donor", "splice_acceptor", "5UTR", "3UTR")
STRANDED = (*GENIC, "CDS", "CDS_frame_0", "CDS_frame_1", "CDS_frame_2", "start_codon", "stop_codon")


class Logits:
    """Random tracks and bases of a contig; the last bases are unknown."""

    def __init__(self, tracks: int) -> None:
        rng = np.random.default_rng(3)
        self.stored = rng.integers(0, 256, (tracks, LENGTH)).astype(np.uint8)
        self.unknown = np.arange(LENGTH) >= LENGTH - 40
        self.bases = rng.choice(5, LENGTH, p=[0.27, 0.2, 0.2, 0.27, 0.06]).astype(np.uint8)

    def logits(self, start: int, end: int) -> np.ndarray:
        return np.where(self.unknown[start:end], np.float32(np.nan), LOGIT_OF_CODE[self.stored[:, start:end]])

    def codes(self, start: int, end: int) -> np.ndarray:
        return self.bases[start:end]


class Codes(Logits):
    """The same, as codes."""

    def quantised(self, start: int, end: int, rows: tuple[int, ...]) -> np.ndarray:
        known = np.maximum(self.stored[list(rows), start:end], 1)
        return np.where(self.unknown[start:end], UNKNOWN_CODE, known).astype(np.uint8)


@pytest.mark.parametrize(
    ("elements", "strands"),
    [
        (STRANDED, (Strand.PLUS, Strand.MINUS)),
        (GENIC, (Strand.NONE,)),
        ((*GENIC, "lncRNA"), (Strand.NONE,)),
        (("exon", "splice_donor", "splice_acceptor"), (Strand.NONE,)),
        (("CDS", "exon", "5UTR", "3UTR"), (Strand.PLUS, Strand.MINUS)),
    ],
)
@pytest.mark.parametrize("calibration", [{}, {"exon": (1.7, 0.6), "protein_coding_gene+": (0.5, -1.0)}])
def test_rows_from_codes_equal_rows_from_logits(elements, strands, calibration):
    tracks = tuple(Track(element, strand) for strand in strands for element in elements)
    parameters = GeneParameters(calibration=calibration, region_weight=0.02, donor_span=(-1, 1))
    plan = EvidencePlan(tracks, parameters)
    machine = StateMachine(parameters, plan.noncoding)
    made = []
    for source in (Logits(len(tracks)), Codes(len(tracks))):
        assert isinstance(source, CodeSource) == isinstance(source, Codes)
        builder = EmissionBuilder(plan, machine, source, source, LENGTH)
        assert (builder._coded is not None) == isinstance(source, Codes)
        made += [builder.rows(start, end, 0, LENGTH) for start, end in ((0, 700), (700, LENGTH))]
    for expected, rows in ((made[0], made[2]), (made[1], made[3])):
        np.testing.assert_array_equal(rows.region, expected.region)
        np.testing.assert_array_equal(rows.mask, expected.mask)
        present = (expected.mask[:, None] >> np.arange(expected.sites.shape[1]) & 1) > 0
        assert present.sum() > 100
        np.testing.assert_array_equal(rows.sites[present], expected.sites[present])
