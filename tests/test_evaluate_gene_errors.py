"""Classes of wrong genes, one by one, on both strands."""

import pytest

from segnt_tools.elements import Strand
from segnt_tools.evaluation.gene_errors import CLASSES, classify_genes
from segnt_tools.evaluation.regions import region_intervals
from segnt_tools.gff.genemodel import Gene, Transcript
from segnt_tools.sequence.stretches import Stretch

SIZE = 10_000
WHOLE = region_intervals([], {"c": SIZE})
A = ((1000, 1100), (1200, 1300), (1400, 1500))
NEXT = ((2000, 2100), (2200, 2300))


def gene(*chains, strand=Strand.PLUS):
    if strand is Strand.MINUS:
        chains = tuple(tuple((SIZE - end, SIZE - start) for start, end in reversed(chain)) for chain in chains)
    return Gene("g", "c", strand, tuple(Transcript(f"t{i}", strand, chain, chain) for i, chain in enumerate(chains)))


CASES = [
    ("exact", [A]),
    ("start", [((1030, 1100), (1200, 1300), (1400, 1500))]),
    ("stop", [((1000, 1100), (1200, 1300), (1400, 1530))]),
    ("five_prime", [((1000, 1130), (1200, 1300), (1400, 1500))]),
    ("five_prime", [((1230, 1300), (1400, 1500))]),
    ("three_prime", [((1000, 1100), (1200, 1290))]),
    ("inside", [((1000, 1100), (1220, 1300), (1400, 1500))]),
    ("inside", [((1000, 1100), (1400, 1500))]),
    ("inside", [((1040, 1110), (1200, 1300), (1410, 1490))]),
    ("merged", [((1000, 1100), (1200, 1300), (1400, 1450), (2000, 2100), (2200, 2300))]),
    ("split", [((1000, 1090),), ((1210, 1300), (1400, 1500))]),
    ("missed", []),
    ("missed", [((1110, 1190),)]),
]


@pytest.mark.parametrize("strand", [Strand.PLUS, Strand.MINUS])
@pytest.mark.parametrize(("expected", "calls"), CASES)
def test_classes(expected, calls, strand):
    truth = [gene(A, strand=strand), gene(NEXT, strand=strand)]
    predicted = [gene(call, strand=strand) for call in calls]
    if expected != "merged":
        predicted.append(gene(NEXT, strand=strand))
    classes = classify_genes(truth, predicted, WHOLE).classes
    assert list(classes) == list(CLASSES)
    assert classes[expected] >= 1
    assert sum(classes.values()) == 2
    assert classes["exact"] == (2 if expected == "exact" else 0 if expected == "merged" else 1)


def test_the_isoform_that_fits_best_decides():
    other = ((1000, 1100), (1400, 1500))
    assert classify_genes([gene(other, A)], [gene(CASES[1][1][0])], WHOLE).classes["start"] == 1


def test_false_genes_and_other_strands():
    errors = classify_genes([gene(A)], [gene(A, strand=Strand.MINUS), gene(NEXT)], WHOLE)
    assert errors.false == 2
    assert errors.classes["missed"] == 1


def test_genes_on_a_border_do_not_count():
    regions = region_intervals([Stretch("c", 1050, 5000)], {"c": SIZE})
    errors = classify_genes([gene(A), gene(NEXT)], [gene(NEXT)], regions)
    assert (sum(errors.classes.values()), errors.classes["exact"], errors.false) == (1, 1, 0)
