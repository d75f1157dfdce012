"""The tracks file: round trips, several files as one, damage, and export to other formats."""

from __future__ import annotations

import errno
import gzip
import logging
import threading
from pathlib import Path

import h5py
import numpy as np
import pyBigWig
import pytest

from segnt_tools.commands.main import run
from segnt_tools.elements import Track
from segnt_tools.errors import TracksError, UsageError
from segnt_tools.logs import logger
from segnt_tools.quantisation import PROBABILITY_OF_CODE, code_at_least, quantise
from segnt_tools.sequence.assembly import Contig
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.tracks import file as tracks_file
from segnt_tools.tracks.bigwig import BigWigWriter
from segnt_tools.tracks.file import Encoding, TracksHeader, TracksReader, tracks_writer

CONTIGS = (Contig("a", 600_000, "1"), Contig("b/x", 7, "2"), Contig("c", 1000, "3"))
TRACKS = (Track.parse("exon+"), Track.parse("exon-"), Track.parse("enhancer_Tissue_specific"))


def header(**changes) -> TracksHeader:
    values = {"tracks": TRACKS, "encoding": Encoding.LOGIT8, "assembly": "x", "model": "m", "model_fingerprint": "f"}
    return TracksHeader(**(values | changes))


def logits(bases: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(0, 4, (len(TRACKS), bases)).astype(np.float32)
    values[:, ::97] = -np.inf
    return values


def write(path: Path, pieces: list[Stretch], values: np.ndarray, **changes) -> Path:
    with tracks_writer(path, header(**changes), CONTIGS, pieces) as writer:
        for start in range(0, values.shape[1], 70_001):
            writer.write(values[:, start : start + 70_001])
    return path


def whole(contig: Contig) -> Stretch:
    return Stretch(contig.name, 0, contig.length)


@pytest.mark.parametrize(("encoding", "tolerance"), [("uint8", 0.04), ("float16", 0.01), ("float32", 0)])
def test_round_trip(tmp_path: Path, encoding: str, tolerance: float) -> None:
    values = logits(600_007)
    limit = 10 if encoding == "uint8" else 99
    path = write(tmp_path / "t.h5", [whole(CONTIGS[0]), whole(CONTIGS[1])], values, encoding=Encoding(encoding))
    with TracksReader(path) as reader:
        assert reader.contigs == CONTIGS[:2]
        assert reader.tracks == TRACKS
        for contig, start, end, offset in (("a", 0, 600_000, 0), ("a", 262_100, 262_200, 0), ("b/x", 2, 7, 600_000)):
            expected = values[:, offset + start : offset + end]
            found = reader.logits(contig, start, end)
            assert np.isneginf(found).tolist() == np.isneginf(expected).tolist()
            known = np.isfinite(expected)
            assert np.abs(found[known] - np.clip(expected[known], -limit, limit)).max() <= tolerance
            probability = reader.probability(contig, start, end)
            assert np.abs(probability - 1 / (1 + np.exp(-expected.astype(float)))).max() < 0.01
            assert (probability[~known] == 0).all()
        assert (reader.logits("a", 5, 9, [2]) == reader.logits("a", 5, 9)[2:]).all()


def test_labels_are_zero_one_or_masked(tmp_path: Path) -> None:
    values = np.random.default_rng(0).choice([0, 1, 255], (3, 1000)).astype(np.uint8)
    path = write(tmp_path / "l.h5", [whole(CONTIGS[2])], values, encoding=Encoding.LABEL)
    with TracksReader(path) as reader:
        assert reader.header.kind == "label"
        found = reader.probability("c", 0, 1000)
        assert np.isnan(found).tolist() == (values == 255).tolist()
        assert (found[values < 2] == values[values < 2]).all()


def test_pieces_of_a_contig_in_several_files_read_as_one(tmp_path: Path) -> None:
    values = logits(600_000)
    one = write(tmp_path / "1.h5", [Stretch("a", 0, 250_000)], values[:, :250_000], shard=1)
    two = write(
        tmp_path / "2.h5",
        [Stretch("a", 250_000, 600_000), whole(CONTIGS[1])],
        np.hstack([values[:, 250_000:], logits(7)]),
        shard=2,
    )
    with TracksReader([two, one]) as reader:
        reader.require_whole_contigs()
        assert (reader.values("a", 249_000, 251_000) == quantise(values[:, 249_000:251_000])).all()
    with TracksReader(two) as reader:
        with pytest.raises(TracksError, match="contig a of 600000 bases is not complete: there are 250001-600000"):
            reader.require_whole_contigs()
        with pytest.raises(TracksError, match="no values for a:1-10"):
            reader.values("a", 0, 10)
    assert run(["tracks", "cat", str(one), str(two), "--out", str(tmp_path / "all.h5"), "-q"]) == 0
    with TracksReader(tmp_path / "all.h5") as reader:
        assert (reader.values("a", 0, 600_000) == quantise(values)).all()


def test_regions_are_complete_when_all_shards_are_there(tmp_path: Path) -> None:
    regions = (Stretch("a", 100, 400), Stretch("a", 5000, 5300))
    planned = {"a": regions, "c": (whole(CONTIGS[2]),)}
    paths = []
    for number, pieces in enumerate(
        ([Stretch("a", 100, 250)], [Stretch("a", 250, 400), regions[1]], [whole(CONTIGS[2])])
    ):
        paths.append(tmp_path / f"{number}.h5")
        values = logits(sum(piece.bases for piece in pieces), number)
        with tracks_writer(paths[-1], header(shard=number + 1), CONTIGS, pieces, planned=planned) as writer:
            writer.write(values)
    with TracksReader(paths) as reader:
        reader.require_whole_contigs()
        assert (reader.planned("a"), reader.covered("c"), reader.bases) == (regions, ((0, 1000),), 1600)
        inside = reader.values("a", 5000, 5300)
    for some in (paths[:1], paths[1:]):
        with TracksReader(some) as reader, pytest.raises(TracksError, match="contig a of 600000 bases is not complete"):
            reader.require_whole_contigs()
    assert run(["tracks", "cat", *map(str, paths), "--out", str(tmp_path / "all.h5"), "-q"]) == 0
    command = ["tracks", "export", "--format", "npz", "--out", str(tmp_path / "o"), str(tmp_path / "all.h5"), "-q"]
    assert run(command) == 0
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["a.101-400.npz", "a.5001-5300.npz", "c.npz"]
    with TracksReader(tmp_path / "all.h5") as reader:
        reader.require_whole_contigs()
        assert (reader.values("a", 5000, 5300) == inside).all()
    with tracks_writer(
        tmp_path / "b.h5", header(), CONTIGS, [Stretch("a", 0, 9)], planned={"a": [Stretch("a", 0, 9)]}
    ) as w:
        w.write(logits(9))
    with pytest.raises(TracksError, match="other regions of contig a"):
        TracksReader([paths[0], tmp_path / "b.h5"])


@pytest.mark.parametrize("bases", [1, 100, 5000, 10**6])
def test_short_contigs_of_several_files_are_read_together(tmp_path: Path, bases: int) -> None:
    random = np.random.default_rng(1)
    contigs = [Contig(f"c{i}", int(random.integers(1, 60)), "") for i in range(300)]
    contigs[150] = Contig("c150", 7000, "")
    expected = {contig.name: random.integers(0, 256, (3, contig.length)).astype(np.uint8) for contig in contigs}
    paths = []
    for number in range(3):
        pieces = [whole(contig) for contig in contigs[number::3]]
        paths.append(tmp_path / f"{number}.h5")
        with tracks_writer(paths[-1], header(), contigs, pieces) as writer:
            for piece in pieces:
                writer.write(expected[piece.contig])
    with TracksReader(paths) as reader:
        batches = list(reader.batches([contig.name for contig in contigs], bases))
        assert all(sum(piece.bases for piece in batch) <= max(bases, 60) for batch in batches)
        held = {name: np.zeros_like(values) for name, values in expected.items()}
        for batch in batches:
            position = 0
            values = reader.values_of(batch, [2, 0])
            for piece in batch:
                held[piece.contig][[2, 0], piece.start : piece.end] = values[:, position : position + piece.bases]
                position += piece.bases
        for name, values in expected.items():
            assert (held[name][[0, 2]] == values[[0, 2]]).all()
        with pytest.raises(TracksError, match="no values for c3:"):
            reader.values_of([Stretch("c2", 0, 1), Stretch("c3", 0, 8000)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_fingerprint": "g"}, "differs from .* in model"),
        ({"assembly": "y"}, "differs from .* in assembly"),
        ({"tracks": TRACKS[::-1]}, "differs from .* in tracks"),
        ({"settings": {"window": 3}}, "differs from .* in window"),
    ],
)
def test_files_that_do_not_belong_together(tmp_path: Path, changes: dict, message: str) -> None:
    one = write(tmp_path / "1.h5", [Stretch("c", 0, 500)], logits(500))
    two = write(tmp_path / "2.h5", [Stretch("c", 500, 1000)], logits(500), **changes)
    with pytest.raises(TracksError, match=message):
        TracksReader([one, two])


def test_files_of_machines_with_different_arithmetic_go_together_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger, "propagate", True)  # commands that ran in this process before have changed both
    caplog.set_level(logging.WARNING, logger.name)
    paths = []
    for number, (precision, device) in enumerate([("float32", "cpu"), ("bfloat16", "cuda"), ("float32", "cpu")]):
        made = {"window": 3, "precision": precision, "device": device}
        piece = Stretch("c", 300 * number, 300 * (number + 1))
        paths.append(write(tmp_path / f"{number}.h5", [piece], logits(300), settings=made))
    with TracksReader(paths) as reader:
        assert reader.covered("c") == ((0, 900),)
        assert reader.settings == {"window": 3, "precision": "bfloat16, float32", "device": "cuda, cpu"}
    assert "predicted in bfloat16 on cuda and float32 on cpu" in caplog.text
    caplog.clear()
    with TracksReader(paths[::2]) as reader:
        assert reader.settings == reader.header.settings
    assert not caplog.text


def test_the_same_shard_twice(tmp_path: Path) -> None:
    one = write(tmp_path / "1.h5", [Stretch("c", 0, 500)], logits(500))
    with pytest.raises(TracksError, match="as well"):
        TracksReader([one, one])


def test_damage_is_named_not_computed_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "t.h5", [whole(CONTIGS[0])], logits(600_000))
    content = path.read_bytes()
    (tmp_path / "empty.h5").write_bytes(b"")
    (tmp_path / "text.h5").write_text("hello")
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = 1
    (tmp_path / "noise.h5").write_bytes(content)
    with h5py.File(tmp_path / "noise.h5", "r+") as file:
        file["values"].id.write_direct_chunk((0, 0), b"no zlib stream")
    for name in ("none", "empty", "text", "cut", "other", "noise"):
        assert (
            run(["tracks", "export", "--format", "npz", "--out", str(tmp_path / "o"), str(tmp_path / f"{name}.h5")])
            == 2
        )
        error = capsys.readouterr().err
        assert f"{name}.h5" in error
        assert "bug" not in error


def test_a_writer_that_stops_early_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(TracksError, match="10 of 1000 bases"),
        tracks_writer(tmp_path / "t.h5", header(), CONTIGS, [whole(CONTIGS[2])]) as writer,
    ):
        writer.write(logits(10))
    assert list(tmp_path.iterdir()) == []


def test_who_computes_the_values_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracks_file, "CHUNK_BASES", 100)
    computed = threading.Event()
    packed = tracks_file.packed
    in_time = []

    def slowly_packed(data: bytes) -> bytes:
        in_time.append(computed.wait(30))
        return packed(data)

    monkeypatch.setattr(tracks_file, "packed", slowly_packed)
    values = logits(1000)
    with tracks_writer(tmp_path / "t.h5", header(), CONTIGS, [whole(CONTIGS[2])]) as writer:
        writer.write(values[:, :170])  # the first chunk cannot be written yet
        computed.set()
        writer.write(values[:, 170:])
    assert in_time == [True] * 10 * len(TRACKS)
    with TracksReader(tmp_path / "t.h5") as reader:
        assert (reader.values("c", 0, 1000) == quantise(values)).all()


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracks_file, "CHUNK_BASES", 100)

    def no_space(data: bytes) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tracks_file, "packed", no_space)
    with (
        pytest.raises(OSError, match="No space left"),
        tracks_writer(tmp_path / "t.h5", header(), CONTIGS, [whole(CONTIGS[2])]) as writer,
    ):
        writer.write(logits(1000))
    assert list(tmp_path.iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("segnt_")]


def test_bigwig_and_bedgraph_hold_what_the_tracks_hold(tmp_path: Path) -> None:
    values = logits(1000)
    path = write(tmp_path / "t.h5", [whole(CONTIGS[2])], values)
    for name in ("bigwig", "bedgraph"):
        assert run(["tracks", "export", "--format", name, "--out", str(tmp_path), str(path), "-q"]) == 0
    with TracksReader(path) as reader:
        expected = reader.probability("c", 0, 1000)
    known = np.isfinite(values)
    for row, name in enumerate(("exon.plus", "exon.minus", "enhancer_Tissue_specific")):
        with pyBigWig.open(str(tmp_path / f"{name}.bw")) as bigwig:
            assert bigwig.chroms() == {"c": 1000}
            found = np.array(bigwig.values("c", 0, 1000))
        assert np.isnan(found).tolist() == (~known[row]).tolist()
        assert np.abs(found - expected[row])[known[row]].max() <= 0.0051
        text = np.full(1000, np.nan)
        with gzip.open(tmp_path / f"{name}.bedGraph.gz", "rt") as file:
            lines = file.readlines()
        for line in lines:
            _, start, end, value = line.split("\t")
            text[int(start) : int(end)] = float(value)
        assert np.allclose(text, found, equal_nan=True, atol=1e-6)


def test_bigwig_of_thousands_of_contigs_and_blocks(tmp_path: Path) -> None:
    """Trees of several levels; names in no order; contigs without values; one with many entries."""
    random = np.random.default_rng(3)
    contigs = [(f"c{random.integers(10**6)}_{i}", int(random.integers(1, 90))) for i in range(1500)]
    contigs[700] = ("a long contig; with % and |", 1_500_000)
    starts, ends, numbers, values = [], [], [], []
    for number, (_, length) in enumerate(contigs):
        if number % 7 == 3:
            continue
        borders = np.unique(np.concatenate(([0, length], random.integers(0, length, length // 2))))
        kept = random.random(borders.size - 1) < 0.9
        starts.append(borders[:-1][kept])
        ends.append(borders[1:][kept])
        numbers.append(np.full(kept.sum(), number))
        values.append((random.integers(-50, 100, kept.sum()) / 100).astype(np.float32))
    columns = [np.concatenate(column) for column in (numbers, starts, ends, values)]
    assert columns[0].size > 2048 * 257  # blocks of the long contig alone need two levels of nodes
    path = tmp_path / "a.bw"
    with path.open("wb") as handle, BigWigWriter(handle, contigs) as writer:
        for first in range(0, columns[0].size, 100_003):
            writer.write(*(column[first : first + 100_003] for column in columns))
    with pyBigWig.open(str(path)) as bigwig:
        assert list(bigwig.chroms().items()) == contigs
        for number, start, end, value in zip(numbers, starts, ends, values, strict=True):
            if not number.size:
                continue
            name, length = contigs[number[0]]
            assert bigwig.intervals(name) == tuple(zip(start.tolist(), end.tolist(), value.tolist(), strict=True))
        assert bigwig.intervals(contigs[3][0]) is None
        summary = bigwig.header()
        assert summary["nBasesCovered"] == (columns[2] - columns[1]).sum()
        assert summary["nLevels"] > 2
        name, length = contigs[700]
        whole = bigwig.values(name, 0, length, numpy=True)
        bins = 64 * 4 * 4
        for kind, exact in (("mean", np.nanmean), ("max", np.nanmax), ("min", np.nanmin)):
            # Bins twice as wide as those of a zoom level, with the same borders: the zoom level answers, exactly.
            found = bigwig.stats(name, 0, 200 * 2 * bins, nBins=200, type=kind)
            expected = [exact(whole[i * 2 * bins : (i + 1) * 2 * bins]) for i in range(200)]
            assert found == pytest.approx(expected, abs=1e-5)


def test_bigwig_is_the_same_in_whatever_batches_it_comes(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    sizes = [400_000, 30, 90_000]
    contig = np.repeat(np.arange(3), sizes)
    start = np.concatenate([2 * np.arange(size) for size in sizes])
    value = rng.random(contig.size).astype(np.float32)
    written = []
    for number, borders in enumerate(([], [131_072], np.sort(rng.integers(0, contig.size, 40)))):
        path = tmp_path / f"{number}.bw"
        with path.open("wb") as handle, BigWigWriter(handle, [(n, 800_000) for n in "abc"]) as writer:
            for part in np.split(np.arange(contig.size), borders):
                writer.write(contig[part], start[part], start[part] + 2, value[part])
        written.append(path.read_bytes())
    assert written[0] == written[1] == written[2]
    with pyBigWig.open(str(tmp_path / "2.bw")) as bigwig:
        read = [np.array([v for *_, v in bigwig.intervals(name)], dtype=np.float32) for name in "abc"]
        assert np.array_equal(np.concatenate(read), value)
        assert bigwig.header()["sumData"] == int(2 * value.astype(np.float64).sum())


def test_bigwig_without_a_value(tmp_path: Path) -> None:
    path = write(tmp_path / "t.h5", [whole(CONTIGS[2])], np.full((3, 1000), -np.inf, dtype=np.float32))
    assert run(["tracks", "export", "--format", "bigwig", "--out", str(tmp_path), str(path), "-q"]) == 0
    with pyBigWig.open(str(tmp_path / "exon.plus.bw")) as bigwig:
        assert bigwig.chroms() == {"c": 1000}
        assert np.isnan(bigwig.values("c", 0, 1000)).all()


def test_export_of_regions_that_overlap(tmp_path: Path) -> None:
    path = write(tmp_path / "t.h5", [whole(contig) for contig in CONTIGS], logits(601_007))
    regions = ["c:11-30", "a:1-2", "c:21-50", "a:262,140-262,150"]
    options = [word for region in regions for word in ("--region", region)]
    for name in ("bigwig", "bedgraph"):
        assert run(["tracks", "export", "--format", name, *options, "--out", str(tmp_path), str(path), "-q"]) == 0
    with TracksReader(path) as reader, pyBigWig.open(str(tmp_path / "exon.plus.bw")) as bigwig:
        for contig, start, end in (("c", 10, 50), ("a", 0, 2), ("a", 262_139, 262_150)):
            known = reader.values(contig, start, end, [0])[0] > 0
            found = bigwig.values(contig, start, end, numpy=True)
            assert np.isfinite(found).tolist() == known.tolist()
            expected = reader.probability(contig, start, end, [0])[0]
            assert np.abs(found - expected)[known].max() <= 0.0051
        assert np.isnan(bigwig.values("c", 50, 1000)).all()
        assert bigwig.header()["nBasesCovered"] == sum(
            (reader.values(*place, [0]) > 0).sum() for place in (("c", 10, 50), ("a", 0, 2), ("a", 262_139, 262_150))
        )


def test_npz_of_contigs_with_odd_names_and_of_regions(tmp_path: Path) -> None:
    card = {"licence": "CC0", "citation": "A paper"}
    path = write(tmp_path / "t.h5", [whole(CONTIGS[1]), whole(CONTIGS[2])], logits(1007), card=card)
    assert run(["tracks", "export", "--format", "npz", "--out", str(tmp_path / "o"), str(path), "-q"]) == 0
    with np.load(tmp_path / "o" / "b_x.npz") as file:
        assert file["probability"].shape == (7, 3)
        assert file["probability"].dtype == np.float32
        assert file["tracks"].tolist() == ["exon+", "exon-", "enhancer_Tissue_specific"]
        assert [str(file[key]) for key in ("model", "licence", "citation")] == ["m", "CC0", "A paper"]
    command = [
        "tracks",
        "export",
        "--format",
        "npz",
        "--element",
        "exon",
        "--region",
        "c:11-30",
        "--out",
        str(tmp_path / "r"),
    ]
    assert run([*command, str(path), "-q"]) == 0
    with np.load(tmp_path / "r" / "c.11-30.npz") as file, TracksReader(path) as reader:
        assert (file["probability"] == reader.probability("c", 10, 30, [0, 1]).T).all()


def test_regions_are_written_as_in_samtools() -> None:
    lengths = {"chr1": 5000, "a:b": 9}
    assert Stretch.parse("chr1:1,001-2,000", lengths) == Stretch("chr1", 1000, 2000)
    assert Stretch.parse("chr1", lengths) == Stretch("chr1", 0, 5000)
    assert Stretch.parse("a:b", lengths) == Stretch("a:b", 0, 9)
    assert Stretch.parse("a:b:2-3", lengths) == Stretch("a:b", 1, 3)
    for wrong in ("chr2", "chr1:0-5", "chr1:6-5", "chr1:1-5001", "chr1:x-y"):
        with pytest.raises(UsageError):
            Stretch.parse(wrong, lengths)


def test_the_quantisation_is_as_exact_as_documented() -> None:
    fine = np.linspace(-10, 10, 100_001, dtype=np.float32)
    exact = 1 / (1 + np.exp(-fine.astype(float)))
    error = np.abs(PROBABILITY_OF_CODE[quantise(fine)] - exact)
    assert error.max() <= 0.0099
    assert (error <= 0.041 * np.minimum(exact, 1 - exact) + 1e-7).all()
    assert quantise(np.array([-np.inf, np.nan, -99, 99], dtype=np.float32)).tolist() == [0, 0, 1, 255]
    assert code_at_least(0.5) == 128
    assert PROBABILITY_OF_CODE[128] == 0.5
