"""Peak calling against a plain definition, whole and in stretches."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from segnt_tools.commands.main import run
from segnt_tools.elements import Track
from segnt_tools.errors import UsageError
from segnt_tools.peaks.calling import PeakRule, PeakScan, call_peaks
from segnt_tools.peaks.output import _Caller, write_peaks
from segnt_tools.quantisation import PROBABILITY_OF_CODE
from segnt_tools.sequence.assembly import Contig
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.tracks.bigwig import BigWigWriter
from segnt_tools.tracks.file import BATCH_BASES, Encoding, TracksHeader, TracksReader, tracks_writer

TRACK = Track.parse("promoter_Tissue_specific")


def by_definition(probability: np.ndarray, rule: PeakRule) -> list[tuple[int, int, float]]:
    """Runs above low with a base above high, joined, then filtered: written as the documentation says it."""
    runs = []
    for above, group in itertools.groupby(enumerate(probability), key=lambda pair: pair[1] >= np.float32(rule.low)):
        places = [place for place, _ in group]
        if above and probability[places].max() >= np.float32(rule.high):
            runs.append([places[0], places[-1] + 1])
    joined: list[list[int]] = []
    for start, end in runs:
        if joined and start - joined[-1][1] <= rule.max_gap:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return [
        (start, end, float(probability[start:end].astype(float).mean()))
        for start, end in joined
        if end - start >= rule.min_length
    ]


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_definition_however_the_contig_is_cut(seed: int) -> None:
    random = np.random.default_rng(seed)
    probability = random.random(300).astype(np.float32) ** 2
    low = float(random.uniform(0.05, 0.6))
    rule = PeakRule(
        high=float(random.uniform(low, 0.99)),
        low=low,
        min_length=int(random.integers(1, 8)),
        max_gap=int(random.integers(0, 6)),
    )
    cuts = [0, *sorted(random.integers(1, 300, random.integers(0, 6)).tolist()), 300]
    stretches = [(a, probability[a:b]) for a, b in itertools.pairwise(cuts) if a < b]
    found = [(peak.start, peak.end, peak.score) for peak in call_peaks("c", TRACK, stretches, rule)]
    expected = by_definition(probability, rule)
    assert [peak[:2] for peak in found] == [peak[:2] for peak in expected]
    assert [peak[2] for peak in found] == pytest.approx([peak[2] for peak in expected])
    whole = list(call_peaks("c", TRACK, [(0, probability)], rule))
    for size in (1, 2, 7, 64):
        pieces = [(start, probability[start : start + size]) for start in range(0, 300, size)]
        assert list(call_peaks("c", TRACK, pieces, rule)) == whole  # to the last digit


@pytest.mark.parametrize("max_gap", [0, 1, 30])
def test_a_peak_is_finished_as_soon_as_nothing_can_be_joined_to_it(max_gap: int) -> None:
    scan = PeakScan(PeakRule(0.9, 0.3, max_gap=max_gap))
    peak, nothing, weak = np.ones(10, np.float32), np.zeros(max_gap, np.float32), np.full(1, 0.5, np.float32)
    assert scan.advance(np.concatenate([peak, nothing]), [(0, 0, 10 + max_gap)]).start.size == 0
    assert scan.open_from == 0
    found = scan.advance(nothing[:1] if max_gap else np.zeros(1, np.float32), [(0, 10 + max_gap, 11 + max_gap)])
    assert (found.start.tolist(), found.end.tolist()) == ([0], [10])
    assert scan.open_from == 11 + max_gap
    found = scan.advance(np.concatenate([peak, np.zeros(max_gap + 1, np.float32), weak]), [(0, 50, 61 + max_gap + 1)])
    assert (found.start.tolist(), scan.open_from) == ([50], 61 + max_gap)
    assert scan.finish().start.size == 0


def test_files_hold_the_peaks_of_every_contig_in_genome_order(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    contigs = [Contig(f"c{i}", int(random.integers(1, 400)), "") for i in range(200)]
    contigs[7] = Contig("c7", BATCH_BASES + 5000, "")
    tracks = tuple(Track.parse(name) for name in ("exon+", "intron+", "CDS-"))
    codes = {c.name: random.choice([0, 100, 140, 200], (3, c.length)).astype(np.uint8) for c in contigs}
    codes["c7"][:, 5000:-3000] = 255  # one peak across the border of what is read at once
    paths = []
    for number in range(2):
        header = TracksHeader(tracks, Encoding.LOGIT8, "x", "m", "f", shard=number + 1)
        pieces = [Stretch(c.name, 0, c.length) for c in contigs[number::2]]
        paths.append(tmp_path / f"{number}.h5")
        with tracks_writer(paths[-1], header, contigs, pieces) as writer:
            for piece in pieces:
                writer.write(codes[piece.contig])
    rules = {name: PeakRule(0.9, 0.6, 2, gap) for name, gap in (("exon", 0), ("intron", 1), ("CDS", 30))}
    with TracksReader(paths) as reader:
        lengths = {c.name: c.length for c in contigs}
        summary = write_peaks(reader, rules, [2, 0, 1], lengths, tmp_path / "a.gff3", tmp_path / "a.bed")
    expected = []
    for contig in contigs:
        found = [
            (start, end, track, score)
            for track, values in zip(tracks, codes[contig.name], strict=True)
            for start, end, score in by_definition(PROBABILITY_OF_CODE[values], rules[track.element])
        ]
        found.sort(key=lambda row: (row[0], row[1], row[2].name))
        expected += [
            f"{contig.name}\t{start}\t{end}\t{track.element}\t{round(1000 * score)}\t{track.strand}"
            for start, end, track, score in found
        ]
    assert (tmp_path / "a.bed").read_text().splitlines() == expected
    gff3 = [line.split("\t") for line in (tmp_path / "a.gff3").read_text().splitlines() if line[0] != "#"]
    assert [(row[0], int(row[3]) - 1, int(row[4])) for row in gff3] == [
        (name, int(start), int(end)) for name, start, end, *_ in (row.split("\t") for row in expected)
    ]
    assert sum(counts.intervals for counts in summary.tracks.values()) == len(expected)
    assert summary.tracks["CDS-"].bases == sum(int(r[4]) - int(r[3]) + 1 for r in gff3 if "element=CDS" in r[8])


def test_peaks_of_common_elements_do_not_wait_for_a_rare_one(tmp_path: Path) -> None:
    length = 3 * BATCH_BASES + 5000
    codes = np.zeros((2, length), np.uint8)
    codes[0, 10:20] = 255
    codes[1, ::1000] = 255
    tracks = (Track.parse("CTCF-bound"), Track.parse("exon+"))
    contig = Contig("c", length, "")
    with tracks_writer(
        tmp_path / "t.h5", TracksHeader(tracks, Encoding.LOGIT8, "x", "m", "f"), [contig], [Stretch("c", 0, length)]
    ) as writer:
        writer.write(codes)
    with TracksReader(tmp_path / "t.h5") as reader:
        caller = _Caller(reader, {track.element: PeakRule(0.9, 0.5) for track in tracks}, [0, 1], ["c"])
        found = [(calls.peaks.start.max(), bases) for calls, bases in caller.calls()]
    ends = np.cumsum([bases for _, bases in found])
    assert len(found) == 4
    assert all(end - 2000 < last < end for (last, _), end in zip(found, ends, strict=True))


def test_tracks_of_which_none_is_called_are_refused_unless_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracks = (Track.parse("CDS_frame_0+"), Track.parse("exon", trained=False))
    header = TracksHeader(tracks, Encoding.LOGIT8, "x", "m", "f")
    with tracks_writer(tmp_path / "t.h5", header, [Contig("c", 9, "")], [Stretch("c", 0, 9)]) as writer:
        writer.write(np.full((2, 9), 255, np.uint8))
    assert run(["call-peaks", str(tmp_path / "t.h5"), "--out", str(tmp_path / "o"), "-q"]) == 2
    error = capsys.readouterr().err
    assert "there are: CDS_frame_0+ (a helper of the gene decoder), exon (never trained)" in error
    assert "--element CDS_frame_0" in error
    assert not list((tmp_path / "o").iterdir())
    assert called(tmp_path / "t.h5", "--element", "CDS_frame_0", out=tmp_path / "o") == [
        ["c", "0", "9", "CDS_frame_0", "1000", "+"]
    ]


def test_peaks_of_regions_are_in_order_and_end_with_them(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    contigs = [Contig(f"c{i}", 3000, "") for i in range(300)] + [Contig("long", 3 * BATCH_BASES, "")]
    regions = {c.name: (Stretch(c.name, 50, 400), Stretch(c.name, 410, 2900)) for c in contigs[:-1]}
    regions["long"] = (Stretch("long", 7, 1000), Stretch("long", 1_000_000, 1_000_000 + BATCH_BASES + 9))
    pieces = [piece for contig in contigs for piece in regions[contig.name]]
    codes = {
        piece: np.repeat(random.choice([0, 140, 200], piece.bases // 100 + 1), 100)[: piece.bases] for piece in pieces
    }
    header = TracksHeader((TRACK,), Encoding.LOGIT8, "x", "m", "f")
    with tracks_writer(tmp_path / "t.h5", header, contigs, pieces, planned=regions) as writer:
        for piece in pieces:
            writer.write(codes[piece][None].astype(np.uint8))
    rule = PeakRule(0.9, 0.6, 1, 30)
    with TracksReader(tmp_path / "t.h5") as reader:
        lengths = {c.name: c.length for c in contigs}
        write_peaks(reader, {TRACK.element: rule}, [0], lengths, tmp_path / "a.gff3", tmp_path / "a.bed")
    found = [tuple(line.split("\t")[:3]) for line in (tmp_path / "a.bed").read_text().splitlines()]
    assert found == [
        (piece.contig, str(piece.start + start), str(piece.start + end))
        for piece in pieces
        for start, end, _ in by_definition(PROBABILITY_OF_CODE[codes[piece]], rule)
    ]


@pytest.fixture
def bigwigs(tmp_path: Path) -> Path:
    """bigWig files of two tracks and the tracks file t.h5 they were made from, with N and many contigs."""
    random = np.random.default_rng(5)
    contigs = [Contig("long", BATCH_BASES + 4000, ""), *(Contig(f"c{i}", 300 + i, "") for i in range(50))]
    header = TracksHeader((Track.parse("exon+"), Track.parse("CTCF-bound")), Encoding.LOGIT8, "x", "m", "f")
    pieces = [Stretch(c.name, 0, c.length) for c in contigs]
    with tracks_writer(tmp_path / "t.h5", header, contigs, pieces) as writer:
        for piece in pieces:
            steps = random.integers(0, 256, (2, piece.bases // 20 + 1)).astype(np.uint8)
            writer.write(np.repeat(steps, 20, axis=1)[:, : piece.bases])
    for decimals in (2, 6):
        out = ["--decimals", str(decimals), "--out", str(tmp_path / f"d{decimals}")]
        assert run(["tracks", "export", str(tmp_path / "t.h5"), "--format", "bigwig", *out, "-q"]) == 0
    return tmp_path


def called(*arguments: Path | str, out: Path) -> list[list[str]]:
    assert run(["call-peaks", *map(str, arguments), "--out", str(out), "-q"]) == 0
    return [line.split("\t") for line in (out / "elements.bed").read_text().splitlines()]


def test_bigwig_files_give_the_peaks_of_the_tracks_file(bigwigs: Path) -> None:
    def peaks(source: Path, high: str, low: str) -> tuple[list[list[str]], np.ndarray]:
        """Rows without their scores, and the scores."""
        files = sorted(source.iterdir(), reverse=True) if source.name == "d2" else [source]
        options = ["--max-gap", "25", "--min-interval", "30", "--high", high, "--low", low]
        rows = called(*files, *options, out=bigwigs / "o")
        return [row[:4] + row[5:] for row in rows], np.array([int(row[4]) for row in rows])

    # Rounded to two decimals, what is at least 0.895 counts as 0.9.
    for folder, high, low, tolerance in (("d6", "0.9", "0.3", 1), ("d2", "0.895", "0.295", 6)):
        expected, expected_scores = peaks(bigwigs / "t.h5", high, low)
        found, scores = peaks(bigwigs / folder, "0.9", "0.3")
        assert len(found) > 1000
        assert found == expected
        assert np.abs(scores - expected_scores).max() <= tolerance
    text = (bigwigs / "o" / "elements.gff3").read_text()
    assert "#!model" not in text
    assert f"##sequence-region long 1 {BATCH_BASES + 4000}" in text
    assert {row[3] for row in called(bigwigs / "d2", "--element", "exon", out=bigwigs / "o")} == {"exon"}
    without_card = [called(bigwigs / name, out=bigwigs / "o") for name in ("d6", "t.h5")]  # at 0.5
    assert [row[:4] for row in without_card[0]] == [row[:4] for row in without_card[1]]


def test_bigwig_files_that_do_not_fit_are_refused(bigwigs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exon = bigwigs / "d2" / "exon.plus.bw"
    other, text, folder, sample, copy = (
        bigwigs / name for name in ("intron.bw", "CDS.bw", "none", "wt.bw", "exon+.bw")
    )
    with other.open("wb") as handle, BigWigWriter(handle, [("c1", 300), ("d", 9)]):
        pass
    text.write_text("hello")
    folder.mkdir()
    for target in (sample, copy):
        shutil.copy(exon, target)
    values = bigwigs / "lncRNA.bw"
    with values.open("wb") as handle, BigWigWriter(handle, [("c", 10)]) as writer:
        writer.write(*(np.array([value]) for value in (0, 2, 5, 7.5)))
    for arguments, message in (
        ([text], "CDS.bw: this is not a bigWig file"),
        ([bigwigs / "exon.bw"], "exon.bw: no such file"),
        ([sample], "wt.bw: wt is no known element"),
        ([exon, "--element", "introns"], "no element introns"),
        ([exon, other], "intron.bw: contig long is absent here and"),
        ([exon, bigwigs / "t.h5"], "t.h5: tracks files and bigWig files cannot be mixed"),
        ([exon, copy], "exon+.bw: "),
        ([folder], "none: the folder holds no bigWig file"),
        ([values], "lncRNA.bw: values from 0 to 7.5 are no probabilities"),
    ):
        assert run(["call-peaks", *map(str, arguments), "--out", str(bigwigs / "o"), "-q"]) == 2, message
        error = capsys.readouterr().err
        assert message in error
        assert not list((bigwigs / "o").iterdir())
    assert {row[3] for row in called(sample, "--element", "wt", out=bigwigs / "o")} == {"wt"}


def test_codes_and_probabilities_give_the_same_peaks() -> None:
    codes = np.random.default_rng(3).integers(0, 256, 5000).astype(np.uint8)
    rule = PeakRule(high=0.9, low=0.3, min_length=2, max_gap=3)
    from_codes = list(call_peaks("c", TRACK, [(0, codes)], rule))
    assert from_codes == list(call_peaks("c", TRACK, [(0, PROBABILITY_OF_CODE[codes])], rule))
    assert len(from_codes) > 100


def test_a_hole_in_the_coverage_ends_a_peak() -> None:
    rule = PeakRule(0.5, 0.5, max_gap=1000)
    ones = np.ones(10, dtype=np.float32)
    found = [(peak.start, peak.end) for peak in call_peaks("c", TRACK, [(0, ones), (50, ones)], rule)]
    assert found == [(0, 10), (50, 60)]


def test_score_is_the_mean_and_summit_the_best() -> None:
    (peak,) = call_peaks("c", TRACK, [(5, np.array([0.5, 1.0, 0.75], dtype=np.float32))], PeakRule(0.9, 0.5))
    assert (peak.start, peak.end, peak.score, peak.summit) == (5, 8, 0.75, 1.0)


@pytest.mark.parametrize(("high", "low"), [(0.4, 0.5), (0.5, 0.0), (1.5, 0.5)])
def test_impossible_thresholds_are_refused(high: float, low: float) -> None:
    with pytest.raises(UsageError, match="low"):
        PeakRule(high, low)
