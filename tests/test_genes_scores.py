"""Honest scores: what counts as right, and the map that makes scores say how often features are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from test_genes_calling import cut, demo, drawn_demo

from segnt_tools.elements import Strand
from segnt_tools.errors import UsageError
from segnt_tools.genes.calling import call_genes
from segnt_tools.genes.parameters import GeneParameters
from segnt_tools.genes.scores import IDENTITY, SCORED_KINDS, Judged, Truth, fit_score_map, mapped
from segnt_tools.gff.genemodel import Gene, Transcript

PLUS, MINUS = Strand.PLUS, Strand.MINUS
EXONS, CDS = ((100, 200), (300, 400), (500, 600)), ((150, 200), (300, 400), (500, 540))


def gene(exons=EXONS, cds=CDS, strand=PLUS, score=0.5, contig="c", **more) -> Gene:
    transcript = Transcript(
        "t", strand, exons, cds, score=score, exon_scores=(score,) * len(exons), cds_scores=(score,) * len(cds), **more
    )
    return Gene("g", contig, strand, (transcript,), score=score)


def shares(called: Gene) -> dict[str, list[float]]:
    judged = Truth([gene()]).judged([called])
    return {kind: judged[kind].right.tolist() for kind in SCORED_KINDS}


def test_what_counts_as_right():
    assert shares(gene()) == {"gene": [1], "mRNA": [1], "exon": [1, 1, 1], "CDS": [1, 1, 1]}
    # The outer ends of a transcript are free, also where it has no UTR.
    assert shares(gene(((140, 200), (300, 400), (500, 540))))["exon"] == [1, 1, 1]
    # A wrong splice site: the exon and the CDS part are wrong, and so is the whole.
    shifted = shares(gene(((100, 200), (310, 400), (500, 600)), ((150, 200), (310, 400), (500, 540))))
    assert shifted == {"gene": [1], "mRNA": [0], "exon": [1, 0, 1], "CDS": [1, 0, 1]}
    # A wrong start: the exon's coding part differs.
    started = shares(gene(cds=((120, 200), (300, 400), (500, 540))))
    assert started == {"gene": [pytest.approx(190 / 220)], "mRNA": [0], "exon": [0, 1, 1], "CDS": [0, 1, 1]}
    # An inner end that is not an end in the annotation is wrong.
    assert shares(gene(((100, 250), (300, 400), (500, 600))))["exon"] == [0, 1, 1]
    for elsewhere in (gene(strand=MINUS), gene(contig="d")):
        assert shares(elsewhere) == {"gene": [0], "mRNA": [0], "exon": [0, 0, 0], "CDS": [0, 0, 0]}


def test_genes_that_an_end_cuts_and_lncrnas_are_not_judged():
    judged = Truth([gene()]).judged([gene(partial_5=True), gene(cds=())])
    assert [one.scores.size for one in judged.values()] == [0] * len(SCORED_KINDS)
    assert fit_score_map(judged) == {}


def test_a_transcript_of_any_isoform_is_right():
    other = gene(((100, 200), (500, 600)), ((150, 200), (500, 540)))
    both = dataclasses.replace(gene(), transcripts=(*gene().transcripts, *other.transcripts))
    judged = Truth([both]).judged([other])
    assert judged["mRNA"].right.tolist() == [1]


def overconfident(rng: np.random.Generator, size: int) -> Judged:
    """Features whose logit is three times too large, and a bit too high."""
    logit = rng.normal(0.5, 1.5, size)
    right = rng.random(size) < 1 / (1 + np.exp(-logit))
    return Judged(1 / (1 + np.exp(-(3 * logit + 1))), right.astype(float), np.ones(size))


def test_the_fitted_map_makes_scores_frequencies():
    rng = np.random.default_rng(1)
    fitted = fit_score_map({"CDS": overconfident(rng, 4000)})
    slope, offset = fitted["CDS"]
    assert slope == pytest.approx(1 / 3, abs=0.03)
    assert offset == pytest.approx(-1 / 3, abs=0.12)
    fresh = overconfident(rng, 20_000)
    honest = fresh.through(fitted["CDS"])
    assert honest.log_loss() < fresh.log_loss()
    for low in np.arange(0, 1, 0.1):
        inside = (honest.scores >= low) & (honest.scores < low + 0.1)
        if inside.sum() > 200:
            assert honest.right[inside].mean() == pytest.approx(honest.scores[inside].mean(), abs=0.05)


def test_odd_features_give_maps_that_can_be_used():
    few = Judged(np.full(10, 0.5), np.ones(10), np.ones(10))
    sure = Judged(np.linspace(0.5, 1, 100), np.ones(100), np.ones(100))
    reversed_scores = Judged(np.linspace(0.01, 0.99, 100), np.linspace(1, 0, 100).round(), np.ones(100))
    same = Judged(np.full(100, 0.7), np.arange(100) % 2.0, np.ones(100))
    found = fit_score_map({"gene": few, "mRNA": sure, "exon": reversed_scores, "CDS": same})
    assert "gene" not in found
    GeneParameters(score_map=found)
    assert mapped(found["mRNA"], 0.9) > 0.9
    assert mapped(found["exon"], 0.9) == pytest.approx(0.5, abs=0.01) == mapped(found["exon"], 0.1)
    assert mapped(found["CDS"], 0.7) == pytest.approx(0.5, abs=0.01)


def test_weights_count():
    scores, right = np.tile([0.3, 0.8], 50), np.tile([0.0, 1.0], 50)
    light = fit_score_map({"gene": Judged(scores, right, np.tile([1.0, 9.0], 50))})["gene"]
    heavy = fit_score_map({"gene": Judged(scores, right, np.tile([9.0, 1.0], 50))})["gene"]
    assert mapped(light, 0.5) > mapped(heavy, 0.5)


def test_a_map_keeps_the_order_and_the_range():
    scores = [0.0, 1e-9, 0.2, 0.5, 0.9, 1.0]
    through = [mapped((0.4, 0.6), score) for score in scores]
    assert through == sorted(through)
    assert 0 < through[0] < through[-1] < 1
    assert [mapped(IDENTITY, score) for score in scores] == scores


def test_called_genes_carry_mapped_scores():
    genome, _ = demo()
    part, tracks = cut(genome, drawn_demo("stranded", 4.0), 0, 60_000)
    pairs = {"gene": [0.5, 1.0], "mRNA": [0.25, 0.5], "exon": [0.75, 0.0], "CDS": [0.5, -0.5]}
    raw = list(call_genes(tracks, part, part.contigs, GeneParameters()))
    honest = list(call_genes(tracks, part, part.contigs, GeneParameters().replaced({"score_map": pairs})))
    assert len(raw) == len(honest) > 10
    for before, after in zip(raw, honest, strict=True):
        (old,), (new,) = before.transcripts, after.transcripts
        assert (new.exons, new.cds) == (old.exons, old.cds)
        assert new.score == mapped((0.25, 0.5), old.score)
        assert after.score == max(mapped((0.5, 1.0), before.score), new.score)
        assert new.exon_scores == tuple(mapped((0.75, 0.0), score) for score in old.exon_scores)
        assert new.cds_scores == tuple(mapped((0.5, -0.5), score) for score in old.cds_scores)


def test_wrong_maps_are_refused():
    for wrong in ({"lnc_RNA": [1, 0]}, {"CDS": [-1, 0]}, {"CDS": [1, float("nan")]}, {"CDS": [1]}, [1, 0]):
        with pytest.raises(UsageError):
            GeneParameters().replaced({"score_map": wrong})
