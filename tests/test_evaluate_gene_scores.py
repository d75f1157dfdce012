"""Reliability and precision-recall of the scores of gene models: by hand, by brute force, and through the command."""

import json
import random
from dataclasses import replace

import pytest
from test_evaluate_genes import LENGTHS, SINGLE, WHOLE, A, B, gene

from segnt_tools.commands.main import run
from segnt_tools.evaluation.gene_scores import trust_in_scores
from segnt_tools.evaluation.regions import region_intervals
from segnt_tools.gff.writing import write_gff3
from segnt_tools.sequence.stretches import Stretch


def scored(one, score, exons=None):
    """The gene with this score on itself and its transcripts, and these on the coding parts of each."""
    transcripts = tuple(
        replace(t, score=score, cds_scores=tuple(exons or [score] * len(t.cds))) for t in one.transcripts
    )
    return replace(one, transcripts=transcripts, score=score)


def by_level(truth, predicted, regions=WHOLE):
    return {one.level: one for one in trust_in_scores(truth, predicted, regions)}


def test_what_each_level_counts():
    found = by_level([gene(A), gene(SINGLE, name="h")], [scored(gene(B), 0.6, (0.9, 0.5, 0.8))])
    exon, transcript, whole = (found[level] for level in ("exon", "transcript", "gene"))
    assert (exon.scored, transcript.scored, whole.scored) == (3, 1, 320)
    assert [(b.count, b.observed) for b in exon.calibration.curve] == [(1, 0.0), (1, 1.0), (1, 1.0)]
    assert exon.calibration.expected_error == pytest.approx((0.1 + 0.5 + 0.2) / 3)
    assert [(p.threshold, p.precision, p.recall) for p in exon.curve] == [
        (0.9, 1.0, 1 / 4),
        (0.8, 1.0, 2 / 4),
        (0.5, pytest.approx(2 / 3), 2 / 4),
    ]
    assert [(b.count, b.observed) for b in transcript.calibration.curve] == [(1, 0.0)]
    assert [(b.count, b.observed) for b in whole.calibration.curve] == [(320, 300 / 320)]
    assert whole.curve[-1].recall == pytest.approx(300 / 600)


def test_without_scores_there_is_nothing_to_trust():
    assert trust_in_scores([gene(A)], [gene(A)], WHOLE) == ()


def test_scores_that_are_no_probabilities_have_a_curve_but_no_reliability():
    found = by_level([gene(A)], [scored(gene(A), 37.5), scored(gene(SINGLE, name="h"), -2.0)])
    assert found["transcript"].calibration is None
    assert [(p.threshold, p.precision) for p in found["transcript"].curve] == [(37.5, 1.0), (-2.0, 0.5)]


def test_genes_on_a_border_do_not_count():
    regions = region_intervals([Stretch("c1", 1250, 4000)], LENGTHS)
    found = by_level(
        [gene(A), gene(SINGLE, name="h")], [scored(gene(A), 0.9), scored(gene(SINGLE, name="h"), 0.7)], regions
    )
    assert found["transcript"].scored == 1
    assert found["exon"].scored == 2
    assert found["gene"].scored == 300
    assert found["gene"].curve[-1].recall == 1.0


@pytest.mark.parametrize("seed", range(10))
def test_curves_against_brute_force(seed):
    draw = random.Random(seed)

    def chain(at):
        ends = sorted(draw.sample(range(20), 4))
        return ((at + 9 * ends[0], at + 9 * ends[1]), (at + 9 * ends[2], at + 9 * ends[3]))

    truth = [gene(chain(200 * i + 60), name=f"t{i}") for i in range(40)]
    predicted = [scored(one, round(draw.random(), 1)) for one in truth if draw.random() < 0.5]
    predicted += [scored(gene(chain(200 * i + 60), name=f"p{i}"), round(draw.random(), 1)) for i in range(40)]
    for level, items in (
        ("exon", lambda g: {(part, s) for t in g.transcripts for part, s in zip(t.cds, t.cds_scores, strict=True)}),
        ("transcript", lambda g: {(t.cds, t.score) for t in g.transcripts}),
    ):
        known = {key for one in truth for key, _ in items(scored(one, 0.0))}
        best = {}
        for one in predicted:
            for key, score in items(one):
                best[key] = max(score, best.get(key, score))
        points = by_level(truth, predicted)[level].curve
        assert points
        for point in points:
            called = {key for key, score in best.items() if score >= point.threshold}
            assert point.precision == pytest.approx(len(called & known) / len(called))
            assert point.recall == pytest.approx(len(called & known) / len(known))


def test_the_command_writes_them(tmp_path):
    genome = tmp_path / "genome.fa"
    genome.write_text("".join(f">{name}\n{'ACGT' * (size // 4)}\n" for name, size in LENGTHS.items()))
    write_gff3(tmp_path / "truth.gff3", [gene(A), gene(SINGLE, name="h")], LENGTHS)
    write_gff3(tmp_path / "calls.gff3", [scored(gene(B), 0.6), scored(gene(SINGLE, name="h"), 0.9)], LENGTHS)
    out = tmp_path / "scores"
    given = [str(tmp_path / "calls.gff3"), "--truth", str(tmp_path / "truth.gff3"), "--genome", str(genome)]
    assert run(["evaluate", *given, "--only", "genes", "--out", str(out), "-q"]) == 0
    (one,) = json.loads((out / "evaluate.json").read_text())["predictions"]
    transcript = one["gene_scores"]["transcript"]
    assert transcript["scored"] == 2
    assert transcript["expected_error"] == pytest.approx((0.6 + 0.1) / 2)
    assert transcript["precision_recall"][0] == {"threshold": 0.9, "precision": 1.0, "recall": 0.5}
    rows = [line.split("\t") for line in (out / "reliability.tsv").read_text().splitlines()]
    assert {tuple(row[:3]) for row in rows[1:]} == {
        ("calls", "gene models", level) for level in ("exon", "transcript", "gene")
    }
    assert (out / "precision_recall.tsv").read_text().count("\ttranscript\t") == 2
