"""From windows to bases: coordinates, batches, shards and strands, proven with a model that marks a known motif."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import numpy as np
import pytest
from motif_model import MOTIF, loaded_motif_model

from segnt_tools.errors import AssemblyError
from segnt_tools.models import inference
from segnt_tools.models.inference import Predictor
from segnt_tools.quantisation import LOGIT_OF_CODE
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.codes import decode, encode, reverse_complement
from segnt_tools.sequence.shards import plan_shards
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.sequence.windows import Window, WindowGeometry

GEOMETRIES = {
    "segmentnt": (WindowGeometry(length=240, multiple=24, shortest=24, longest=2400, margin=24), False),
    "embedded": (WindowGeometry(length=240, multiple=48, shortest=48, longest=2400, margin=36, start_multiple=3), True),
    "borzoi": (WindowGeometry(length=512, multiple=512, shortest=512, longest=512, margin=0, crop=160), True),
}
LENGTHS = [1, 5, 23, 24, 25, 47, 239, 240, 241, 263, 264, 265, 1000, 1237]


def random_sequence(length: int, seed: int, gaps: bool) -> str:
    random = np.random.default_rng(seed)
    letters = list("".join(random.choice(list("ACGTacgt"), length)))
    for _ in range(length // 60):
        place = int(random.integers(0, max(1, length - len(MOTIF))))
        motif = MOTIF if random.random() < 0.5 else decode(reverse_complement(encode(MOTIF)))
        letters[place : place + len(MOTIF)] = list(motif[: length - place])
    if gaps:
        for _ in range(1 + length // 300):
            start = int(random.integers(0, length))
            size = int(random.choice([1, 2, 5, 50, 51, 90]))
            letters[start : start + size] = "N" * len(letters[start : start + size])
    return "".join(letters)


def expected(sequence: str, sees_n: bool = True) -> np.ndarray:
    """1 where a base belongs to the motif, -1 elsewhere, 0 at N; shape (2, bases).

    Models that cannot see N see A in short runs of it.
    """
    upper = sequence.upper()
    seen = upper if sees_n else re.sub("N+", lambda run: "NA"[len(run[0]) <= 50] * len(run[0]), upper)
    marks = np.full((2, len(sequence)), -1)
    for row, motif in enumerate((MOTIF, decode(reverse_complement(encode(MOTIF))))):
        for hit in re.finditer(f"(?={motif})", seen):
            marks[row, hit.start() : hit.start() + len(motif)] = 1
    marks[:, [letter == "N" for letter in upper]] = 0
    return marks


def predicted(assembly: Assembly, pieces: list[Stretch], kind: str, **options) -> np.ndarray:
    geometry, allows_n = GEOMETRIES[kind]
    predictor = Predictor(loaded_motif_model(geometry, allows_n), quantised=False, **options)
    return np.concatenate(list(predictor.predict(assembly, pieces)), axis=1)


def signs(logits: np.ndarray) -> np.ndarray:
    return np.where(np.isneginf(logits), 0, np.sign(logits)).astype(int)


@pytest.fixture
def assembly(tmp_path: Path):
    records = {f"c{length}": random_sequence(length, length, gaps=False) for length in LENGTHS}
    records |= {f"n{length}": random_sequence(length, length, gaps=True) for length in LENGTHS}
    path = tmp_path / "a.fa"
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in records.items()))
    with Assembly.open(path) as opened:
        yield opened, records


@pytest.mark.parametrize("kind", GEOMETRIES)
@pytest.mark.parametrize("both_strands", [False, True])
def test_every_base_of_every_contig_is_where_it_belongs(assembly, kind: str, both_strands: bool) -> None:
    opened, records = assembly
    for name, sequence in records.items():
        pieces = [Stretch(name, 0, len(sequence))]
        found = signs(predicted(opened, pieces, kind, both_strands=both_strands))
        assert found.shape == (2, len(sequence))
        assert (found == expected(sequence, GEOMETRIES[kind][1])).all(), name


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_shards_and_batches_do_not_change_anything(assembly, kind: str) -> None:
    opened, _ = assembly
    whole = predicted(opened, [Stretch(c.name, 0, c.length) for c in opened.contigs], kind)
    offsets = dict(zip(opened.lengths, np.cumsum([0, *opened.lengths.values()]), strict=False))
    for count, batch in ((1, 8), (2, 1), (7, 3), (40, 5)):
        for shard in plan_shards(opened.contigs, count):
            part = predicted(opened, list(shard.pieces), kind, batch_size=batch)
            position = 0
            for piece in shard.pieces:
                start = int(offsets[piece.contig]) + piece.start
                assert (part[:, position : position + piece.bases] == whole[:, start : start + piece.bases]).all()
                position += piece.bases


@pytest.mark.parametrize("kind", ["segmentnt", "embedded"])
@pytest.mark.parametrize("shift", range(-3, 4))
def test_a_motif_at_a_window_border_and_gaps_around_it(tmp_path: Path, kind: str, shift: int) -> None:
    geometry, _ = GEOMETRIES[kind]
    for gap in (0, 1, 10, 60):
        place = geometry.length - geometry.margin + shift
        sequence = "C" * place + MOTIF + "N" * gap + "C" * 700
        path = tmp_path / f"{gap}.fa"
        path.write_text(f">a\n{sequence}\n")
        with Assembly.open(path) as opened:
            found = signs(predicted(opened, [Stretch("a", 0, len(sequence))], kind))
        assert (found == expected(sequence, GEOMETRIES[kind][1])).all()


def test_lower_case_and_line_width_change_nothing(tmp_path: Path) -> None:
    sequence = random_sequence(1000, 7, gaps=True)
    forms = {
        "upper": sequence.upper(),
        "lower": sequence.lower(),
        "wrapped": "\n".join(sequence[i : i + 60] for i in range(0, 1000, 60)),
    }
    results = []
    for name, text in forms.items():
        (tmp_path / name).write_text(f">a\n{text}\n")
        with Assembly.open(tmp_path / name) as opened:
            results.append(predicted(opened, [Stretch("a", 0, 1000)], "embedded"))
    assert (results[0] == results[1]).all()
    assert (results[0] == results[2]).all()


def test_codes_on_the_device_equal_quantised_logits(assembly) -> None:
    opened, _ = assembly
    pieces = [Stretch("n1237", 0, 1237)]
    geometry, allows_n = GEOMETRIES["embedded"]
    codes = np.concatenate(list(Predictor(loaded_motif_model(geometry, allows_n)).predict(opened, pieces)), axis=1)
    logits = predicted(opened, pieces, "embedded")
    assert codes.dtype == np.uint8
    assert np.isneginf(LOGIT_OF_CODE[codes]).tolist() == np.isneginf(logits).tolist()
    finite = np.isfinite(logits)
    assert np.abs(LOGIT_OF_CODE[codes][finite] - logits[finite]).max() <= 0.04


def test_short_contigs_go_through_short_windows(assembly) -> None:
    opened, _ = assembly
    loaded = loaded_motif_model(*GEOMETRIES["embedded"])
    list(Predictor(loaded).predict(opened, [Stretch("c23", 0, 23), Stretch("c47", 0, 47)]))
    assert loaded.model.lengths_seen == {48}  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_many_regions_go_through_each_window_once(assembly, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, _ = assembly
    windows_read: list[Window] = []
    read = inference._codes_of_window

    def codes_of_window(assembly: Assembly, contig: str, window: Window) -> np.ndarray:
        windows_read.append(window)
        return read(assembly, contig, window)

    monkeypatch.setattr(inference, "_codes_of_window", codes_of_window)
    random = np.random.default_rng(3)
    for name in (f"{letter}{length}" for letter in "cn" for length in LENGTHS if length > 200):
        length = opened.lengths[name]
        whole = predicted(opened, [Stretch(name, 0, length)], kind)
        ends = np.sort(random.choice(length + 1, 24, replace=False)).reshape(-1, 2).tolist()
        regions = [Stretch(name, start, end) for start, end in ends]
        windows_read.clear()
        found = predicted(opened, regions, kind)
        assert len(windows_read) == len(set(windows_read))
        assert (found == np.concatenate([whole[:, start:end] for start, end in ends], axis=1)).all()
        # Out of order is slower, no more.
        assert (predicted(opened, regions[::-1], kind)[:, -regions[0].bases :] == found[:, : regions[0].bases]).all()


def slow_to_read(assembly: Assembly, monkeypatch: pytest.MonkeyPatch, reading) -> None:
    """Let a function see where on its contig every window is read, before it is."""
    read = assembly.codes

    def codes(contig: str, start: int = 0, end: int | None = None) -> np.ndarray:
        reading(start)
        return read(contig, start, end)

    monkeypatch.setattr(assembly, "codes", codes)


def test_the_model_does_not_wait_for_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    geometry, allows_n = GEOMETRIES["embedded"]
    monkeypatch.setattr(inference, "_ROUND_BASES", 1)  # then a round is four windows
    sequence = random_sequence(5000, 3, gaps=False)
    (tmp_path / "a.fa").write_text(f">a\n{sequence}\n")
    loaded = loaded_motif_model(geometry, allows_n)
    second_round_read = threading.Event()
    waited = []

    def wait(model: object, codes: object) -> None:
        if not waited:  # the model is at the first window of the first round until the second one is being read
            waited.append(second_round_read.wait(30))

    loaded.model.register_forward_pre_hook(wait)
    with Assembly.open(tmp_path / "a.fa") as opened:
        slow_to_read(opened, monkeypatch, lambda start: start > 1000 and second_round_read.set())
        predictor = Predictor(loaded, quantised=False)
        values = np.concatenate(list(predictor.predict(opened, [Stretch("a", 0, 5000)])), axis=1)
    assert waited == [True]
    assert (signs(values) == expected(sequence)).all()


def test_what_the_reader_meets_is_raised_and_no_thread_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "_ROUND_BASES", 1)
    (tmp_path / "a.fa").write_text(f">a\n{random_sequence(5000, 3, gaps=False)}\n")

    def fail(start: int) -> None:
        if start > 3000:
            raise AssemblyError("the disk is gone")

    with Assembly.open(tmp_path / "a.fa") as opened:
        slow_to_read(opened, monkeypatch, fail)
        predictor = Predictor(loaded_motif_model(*GEOMETRIES["embedded"]), quantised=False)
        with pytest.raises(AssemblyError, match="the disk is gone"):
            list(predictor.predict(opened, [Stretch("a", 0, 5000)]))
        stretches = predictor.predict(opened, [Stretch("a", 0, 5000)])
        next(stretches)
        stretches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("segnt_reader")]
