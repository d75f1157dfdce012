"""segnt evaluate on tracks of every format: against scikit-learn, against itself, and on bad input."""

import json
from pathlib import Path

import numpy as np
import pytest

from segnt_tools.commands.main import run
from segnt_tools.elements import Track
from segnt_tools.evaluation.sov import segment_overlap
from segnt_tools.quantisation import PROBABILITY_OF_CODE, quantise
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.intervals import from_mask
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.tracks.file import Encoding, TracksHeader, tracks_writer

sklearn_metrics = pytest.importorskip("sklearn.metrics", reason="pip install scikit-learn")

SIZES = {"chrA": 3000, "chrB": 1234}
TRACKS = ("exon", "intron", "CTCF-bound", "lncRNA")


def write_h5(path: Path, genome: Path, encoding: Encoding, values: dict[str, np.ndarray], tracks=TRACKS) -> Path:
    with Assembly.open(genome) as assembly:
        header = TracksHeader(tuple(map(Track.parse, tracks)), encoding, assembly.fingerprint, "m", "f")
        pieces = [Stretch(contig.name, 0, contig.length) for contig in assembly.contigs]
        with tracks_writer(path, header, assembly.contigs, pieces) as writer:
            for piece in pieces:
                writer.write(values[piece.contig])
    return path


class Case:
    """A small genome with labels and an imperfect prediction of four tracks; lncRNA is absent, CTCF-bound masked."""

    def __init__(self, folder: Path) -> None:
        random = np.random.default_rng(1)
        self.genome = folder / "genome.fa"
        letters = np.array(list("ACGT"))
        self.genome.write_text(
            "".join(f">{name}\n{''.join(letters[random.integers(0, 4, size)])}\n" for name, size in SIZES.items())
        )
        self.truth, self.codes = {}, {}
        for name, size in SIZES.items():
            segments = np.repeat(random.random((len(TRACKS), size // 20 + 1)) < 0.3, 20, axis=1)[:, :size]
            labels = segments.astype(np.uint8)
            labels[TRACKS.index("lncRNA")] = 0
            labels[:2, 100:200] = 255
            labels[TRACKS.index("CTCF-bound")] = 255
            self.truth[name] = labels
            logits = np.where(segments, 1.0, -2.0) + random.standard_normal(segments.shape) * 2
            self.codes[name] = quantise(logits.astype(np.float32))
        self.labels = write_h5(folder / "labels.h5", self.genome, Encoding.LABEL, self.truth)
        self.tracks = write_h5(folder / "tracks.h5", self.genome, Encoding.LOGIT8, self.codes)
        self.folder = folder

    def known(self, track: str) -> tuple[np.ndarray, np.ndarray]:
        """Truth and probability of all bases that are not masked."""
        i = TRACKS.index(track)
        truth = np.concatenate([labels[i] for labels in self.truth.values()])
        probability = np.concatenate([PROBABILITY_OF_CODE[codes[i]] for codes in self.codes.values()])
        return truth[truth != 255], probability[truth != 255]

    def evaluate(self, *arguments: object, expect: int = 0) -> dict:
        """Run the command; the document it writes."""
        out = self.folder / "scores"
        common = ["--truth", self.labels, "--genome", self.genome, "--out", out, "-q"]
        given = [str(argument) for argument in arguments]
        common = [str(a) for a in common if "--truth" not in given or a not in ("--truth", self.labels)]
        assert run(["evaluate", *given, *common]) == expect
        return json.loads((out / "evaluate.json").read_text()) if expect == 0 else {}


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def elements(document: dict, prediction: int = 0) -> dict:
    return document["predictions"][prediction]["elements"]


@pytest.mark.parametrize("track", ["exon", "intron"])
def test_against_sklearn_and_whole_contig_segments(case, track):
    truth, probability = case.known(track)
    called = probability >= 0.5
    got = elements(case.evaluate(case.tracks, "--sample-window", "300"))[track]
    assert got["mcc"] == pytest.approx(sklearn_metrics.matthews_corrcoef(truth, called))
    assert got["f1"] == pytest.approx(sklearn_metrics.f1_score(truth, called))
    assert got["jaccard"] == pytest.approx(sklearn_metrics.jaccard_score(truth, called))
    assert got["auprc"] == pytest.approx(sklearn_metrics.average_precision_score(truth, probability))
    assert got["masked"] == 200
    i = TRACKS.index(track)
    pairs = [
        segment_overlap(
            from_mask(case.truth[c][i] == 1),
            from_mask(PROBABILITY_OF_CODE[case.codes[c][i]] >= 0.5),
            from_mask(case.truth[c][i] != 255),
        )
        for c in SIZES
    ]
    total = pairs[0] + pairs[1]
    assert got["sov99"] == pytest.approx(total.sov99.class_score)
    assert got["sov_refine_both_states"] == pytest.approx(total.refine.both_score)


def test_windows_do_not_change_the_scores(case):
    documents = [
        elements(case.evaluate(case.tracks, "--sample-window", window, "--samplings", "0"))
        for window in ("7", "300", "1M")
    ]
    assert documents[0] == documents[1] == documents[2]


def test_samplings_spread_around_the_score(case):
    got = elements(case.evaluate(case.tracks, "--sample-window", "100"))["exon"]
    assert set(got["samplings"]) == {"mcc", "f1", "jaccard", "auprc", "sov99", "sov_refine"}
    spread = got["samplings"]["mcc"]
    assert 0 < spread["deviation"] < 0.2
    assert abs(spread["mean"] - got["mcc"]) < 4 * spread["deviation"]
    assert got == elements(case.evaluate(case.tracks, "--sample-window", "100"))["exon"]
    other = elements(case.evaluate(case.tracks, "--sample-window", "100", "--seed", "1"))["exon"]
    assert other["samplings"] != got["samplings"]


def test_what_the_truth_lacks_is_not_defined(case):
    document = case.evaluate(case.tracks)
    for track in ("lncRNA", "CTCF-bound"):
        got = elements(document)[track]
        assert not got["defined"]
        assert [got[m] for m in ("mcc", "f1", "auprc", "sov99", "sov99_both_states", "calibration_error")] == [None] * 6
    rows = [line.split("\t") for line in (case.folder / "scores" / "elements.tsv").read_text().splitlines()]
    mcc = rows[0].index("mcc")
    assert {row[1]: row[mcc] for row in rows}["lncRNA"] == "not defined"
    defined = [elements(document)[t]["mcc"] for t in ("exon", "intron")]
    assert document["predictions"][0]["mean_mcc"] == pytest.approx(sum(defined) / 2)
    assert (case.folder / "scores" / "evaluate.png").read_bytes()[:4] == b"\x89PNG"


def test_labels_against_themselves_are_perfect(case):
    got = elements(case.evaluate(case.labels))
    for track in ("exon", "intron"):
        assert (got[track]["mcc"], got[track]["jaccard"], got[track]["sov99_both_states"]) == (1.0, 1.0, 1.0)
        assert got[track]["auprc"] is None  # intervals have no curve


@pytest.mark.parametrize("form", ["npz", "bigwig", "bedgraph"])
def test_exported_formats_score_alike(case, form):
    folder = case.folder / form
    decimals = [] if form == "npz" else ["--decimals", "6"]
    assert run(["tracks", "export", str(case.tracks), "--format", form, "--out", str(folder), "-q", *decimals]) == 0
    expected = elements(case.evaluate(case.tracks))
    got = elements(case.evaluate(folder))
    for track in ("exon", "intron"):
        for metric in ("mcc", "f1", "auprc", "sov99", "sov_refine"):
            assert got[track][metric] == pytest.approx(expected[track][metric], abs=1e-9), (track, metric)


def test_tracks_given_one_by_one_and_windows(case):
    table = case.folder / "windows.tsv"
    rows = ["contig\tstart\tend\tscore"]
    for contig, labels in case.truth.items():
        for start in range(0, labels.shape[1], 10):
            end = min(start + 10, labels.shape[1])
            rows.append(f"{contig}\t{start}\t{end}\t{(labels[0, start:end] == 1).mean()}")
    table.write_text("\n".join(rows) + "\n")
    document = case.evaluate(f"exon={table}", case.tracks, "--names", "windows,model", "--elements", "exon")
    assert [p["name"] for p in document["predictions"]] == ["windows", "model"]
    assert elements(document)["exon"]["mcc"] > 0.99
    assert elements(document, 1)["exon"]["mcc"] < 0.8
    assert list(elements(document, 1)) == ["exon"]


def test_strands_are_scored_apart_and_joined(case):
    stranded = {c: np.stack([codes[0], np.zeros_like(codes[0])]) for c, codes in case.codes.items()}
    path = write_h5(case.folder / "s.h5", case.genome, Encoding.LOGIT8, stranded, ("exon+", "exon-"))
    got = elements(case.evaluate(path))
    assert list(got) == ["exon"]  # the labels do not tell strands apart
    assert got["exon"] == elements(case.evaluate(case.tracks, "--elements", "exon"))["exon"]


def test_bed_and_element_calls(case):
    calls, bed = ["##gff-version 3"], []
    for contig, labels in case.truth.items():
        for start, end in from_mask(labels[0] == 1).tolist():
            calls.append(f"{contig}\tx\texon_region\t{start + 1}\t{end}\t.\t.\t.\telement=exon")
            bed.append(f"{contig}\t{start}\t{end}\texon\t0\t.")
    (case.folder / "calls.gff3").write_text("\n".join(calls) + "\n")
    (case.folder / "calls.bed").write_text("\n".join(bed) + "\n")
    document = case.evaluate(case.folder / "calls.gff3", "--compare", case.folder / "calls.bed")
    assert elements(document)["exon"]["mcc"] == elements(document, 1)["exon"]["mcc"] == 1.0


def test_intervals_against_strands(case, capsys):
    stranded = {c: np.stack([labels[0], np.where(labels[0] == 255, 255, 0)]) for c, labels in case.truth.items()}
    truth = write_h5(case.folder / "s.h5", case.genome, Encoding.LABEL, stranded, ("exon+", "exon-"))
    rows = [(c, *span) for c, labels in case.truth.items() for span in from_mask(labels[0] == 1).tolist()]
    known, bare = case.folder / "known.bed", case.folder / "bare.bed"
    known.write_text("".join(f"{c}\t{start}\t{end}\texon\t0\t+\n" for c, start, end in rows))
    bare.write_text("".join(f"{c}\t{start}\t{end}\texon\n" for c, start, end in rows))
    got = elements(case.evaluate(known, "--truth", truth))
    assert got["exon+"]["mcc"] == 1.0
    assert got["exon-"]["called"] == 0
    (case.folder / "scores" / "evaluate.json").unlink()
    case.evaluate(known, "--compare", bare, "--truth", truth, expect=2)
    error = capsys.readouterr().err
    assert "bare.bed" in error
    assert "this prediction knows no strands" in error


def test_calls_of_call_peaks(case):
    out = case.folder / "peaks"
    assert run(["call-peaks", str(case.tracks), "--out", str(out), "-q"]) == 0
    document = case.evaluate(out / "elements.gff3", out / "elements.bed", "--names", "gff3,bed", "--elements", "exon")
    assert elements(document)["exon"]["mcc"] > 0.2
    assert elements(document)["exon"]["mcc"] == elements(document, 1)["exon"]["mcc"]


GENES = """##gff-version 3
chrA\tx\tgene\t101\t900\t.\t+\t.\tID=g;gene_biotype=protein_coding
chrA\tx\tmRNA\t101\t900\t.\t+\t.\tID=t;Parent=g
chrA\tx\texon\t101\t300\t.\t+\t.\tParent=t
chrA\tx\texon\t501\t900\t.\t+\t.\tParent=t
chrA\tx\tCDS\t151\t300\t.\t+\t0\tID=c;Parent=t
chrA\tx\tCDS\t501\t800\t.\t+\t0\tID=c;Parent=t
"""


def test_an_annotation_against_itself(case):
    path = case.folder / "genes.gff3"
    path.write_text(GENES)
    document = case.evaluate(path, "--truth", path)
    result = document["predictions"][0]
    assert {level["f1"] for view in result["genes"].values() for level in view.values()} == {1.0}
    mcc = {name: scores["mcc"] for name, scores in result["elements"].items()}
    assert {mcc[name] for name in ("exon", "intron", "splice_donor", "splice_acceptor", "5UTR", "3UTR", "CDS")} == {1.0}


def test_a_truth_of_coding_parts_says_nothing_of_whole_exons(case):
    path, bare = case.folder / "genes.gff3", case.folder / "bare.gff3"
    path.write_text(GENES)
    bare.write_text("".join(line + "\n" for line in GENES.splitlines() if "\texon\t" not in line))
    result = case.evaluate(path, "--truth", bare)["predictions"][0]
    assert list(result["genes"]) == ["cds"]
    assert "whole exons were not compared" in result["notes"][-1]
    assert list(case.evaluate(bare, "--truth", path)["predictions"][0]["genes"]) == ["cds", "exon"]


def test_tracks_against_an_annotation(case):
    path = case.folder / "genes.gff3"
    path.write_text(GENES)
    codes = {c: np.full((2, size), 1, dtype=np.uint8) for c, size in SIZES.items()}
    codes["chrA"][0, 100:300] = codes["chrA"][0, 500:900] = 250
    codes["chrA"][1, 300:500] = 250
    tracks = write_h5(case.folder / "t.h5", case.genome, Encoding.LOGIT8, codes, ("exon+", "intron+"))
    got = elements(case.evaluate(tracks, "--truth", path))
    assert {name: scores["mcc"] for name, scores in got.items()} == {"exon+": 1.0, "intron+": 1.0}


def test_splice_sites_on_the_other_side_are_told_and_can_be_asked_for(case):
    path = case.folder / "genes.gff3"
    path.write_text(GENES)
    names = ("intron+", "splice_donor+", "splice_acceptor+")
    codes = {c: np.full((3, size), 1, dtype=np.uint8) for c, size in SIZES.items()}
    codes["chrA"][0, 300:500] = codes["chrA"][1, 300] = codes["chrA"][2, 499] = 250  # first and last base of the intron
    tracks = write_h5(case.folder / "t.h5", case.genome, Encoding.LOGIT8, codes, names)
    document = case.evaluate(tracks, "--truth", path)
    assert elements(document)["splice_donor+"]["mcc"] < 0.05
    assert "--splice-side" in " ".join(document["predictions"][0]["notes"])
    document = case.evaluate(tracks, path, "--names", "tracks,models", "--truth", path, "--splice-side", "intron")
    for number, strand in ((0, "+"), (1, "")):
        assert elements(document, number)[f"splice_donor{strand}"]["mcc"] == 1.0
        assert elements(document, number)[f"splice_acceptor{strand}"]["mcc"] == 1.0
    assert not document["predictions"][0]["notes"]


def test_an_empty_prediction_scores_zero(case):
    path, empty = case.folder / "genes.gff3", case.folder / "empty.gff3"
    path.write_text(GENES)
    empty.write_text("##gff-version 3\n")
    result = case.evaluate(empty, "--truth", path)["predictions"][0]
    assert result["genes"]["cds"]["gene"] == {
        "truth": 1, "found": 0, "predicted": 0, "right": 0, "sensitivity": 0.0, "precision": None, "f1": 0.0,
    }  # fmt: skip
    assert result["elements"]["exon"]["mcc"] == 0.0


def test_regions_restrict_both_sides(case):
    got = elements(case.evaluate(case.tracks, "--region", "chrA:1-1000", "--region", "chrB:101-200"))
    assert got["intron"]["bases"] + got["intron"]["masked"] == 1100
    bed = case.folder / "where.bed"
    bed.write_text("chrA\t0\t600\tone\nchrA\t500\t1000\ttwo\nchrB\t100\t200\n")
    document = case.evaluate(case.tracks, "--regions", bed)
    assert elements(document) == got
    assert document["regions"] == ["regions of where.bed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no PREDICTION"),
        (["missing.h5"], "no such file"),
        (["{labels}", "--names", "a,b"], "--names"),
        (["{genome}"], "not told by its name"),
        (["{tracks}", "--region", "chrZ"], "no contig chrZ"),
        (["{tracks}", "--regions", "{past_end}"], "the start is 'x'"),
        (
            ["{tracks}", "--elements", "intro"],
            "--elements intro: truth and predictions do not both have it. Nearest: intron",
        ),
        (["{tracks}", "{genes}", "--truth", "{genes}", "--only", "genes"], "tracks.h5: nothing of it can be scored"),
        (
            ["{tracks}", "other={calls}"],
            "calls.bed: nothing of it can be scored: it has other, and to score are exon",
        ),
        (["{tracks}", "--truth", "{tracks}"], "not labels"),
        (["{other}"], "another assembly"),
        (["{tracks}", "--truth", "{other}"], "another assembly"),
        (["exon={scores}"], "no probability"),
        (["exon={overlap}"], "overlap"),
        (["{damaged}"], "not a tracks file, or it is damaged"),
        (["exon={damaged_bw}"], "not a bigWig"),
        (["{past_end}", "--truth", "{genes}"], "the row ends at 9000"),
        (["{elsewhere}", "--truth", "{genes}"], "none of its sequences"),
        (["enhancer={calls}", "--truth", "{genes}"], "the reference does not tell where enhancer is"),
        (["{genes}", "--truth", "{no_genes}"], "no_genes.gff3: the reference has no genes"),
        (["{tracks}", "--region", "chrA:9-5"], "chrA:9-5: the end lies before the start"),
        (["{tracks}", "--threshold", "0"], "not between"),
    ],
)
def test_bad_input_is_refused(case, capsys, arguments, message):
    folder = case.folder
    (folder / "other.fa").write_text(">chrA\nACGT\n")
    names = {
        "labels": case.labels,
        "tracks": case.tracks,
        "genome": case.genome,
        "other": write_h5(
            folder / "other.h5", folder / "other.fa", Encoding.LABEL, {"chrA": np.zeros((4, 4), dtype=np.uint8)}
        ),
        "scores": folder / "scores.bedGraph",
        "overlap": folder / "overlap.bedGraph",
        "damaged": folder / "damaged.h5",
        "damaged_bw": folder / "damaged.bw",
        "genes": folder / "genes.gff3",
        "calls": folder / "calls.bed",
        "past_end": folder / "past.gff3",
        "no_genes": folder / "no_genes.gff3",
        "elsewhere": folder / "elsewhere.gff3",
    }
    names["scores"].write_text("chrA\t0\t10\t3.5\n")
    names["overlap"].write_text("chrA\t0\t10\t0.5\nchrA\t5\t15\t0.5\n")
    names["damaged"].write_bytes(case.tracks.read_bytes()[:500])
    names["damaged_bw"].write_bytes(b"no bigWig")
    names["genes"].write_text(GENES)
    names["calls"].write_text("chrA\t0\t10\n")
    names["no_genes"].write_text("##gff-version 3\n")
    names["past_end"].write_text(GENES.replace("900", "9000"))
    names["elsewhere"].write_text(GENES.replace("chrA", "chrQ"))
    case.evaluate(*(argument.format(**names) for argument in arguments), expect=2)
    assert message in capsys.readouterr().err
    assert not (folder / "scores" / "evaluate.json").exists()
