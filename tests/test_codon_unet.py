"""The embedded network: features, symmetry, frames, tracks, precision and window lengths."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from segnt_tools.elements import Track
from segnt_tools.errors import CheckpointError
from segnt_tools.models import codon_unet
from segnt_tools.models.card import Card
from segnt_tools.models.codon_unet import (
    HEXAMERS,
    TRACKS,
    CodonUNetConfig,
    class_logits_to_tracks,
    codon_ratios,
    stop_distances,
)
from segnt_tools.quantisation import quantise
from segnt_tools.sequence.codes import encode, reverse_complement

TINY = CodonUNetConfig(channels=(6, 8, 12), blocks=1, dilations=(1, 2), attention_after=(1,), heads=2)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = codon_unet.build(codon_unet.make_card("tiny", "A test.", TINY)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.codon_table.copy_(torch.randint(-2000, 2000, (3, HEXAMERS)))
    return model.requires_grad_(False)


def random_codes(length: int, seed: int = 0, unknown: float = 0.0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, length).astype(np.uint8)
    codes[rng.random(length) < unknown] = 4
    return torch.from_numpy(codes).unsqueeze(0)


def mirrored(codes: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(reverse_complement(codes.numpy()).copy())


def brute_force_distance(codes: str, stops: set[str], limit: int) -> list[tuple[int, int]]:
    """Per base: codons to the next in-frame stop on the left and right of the codon around it."""
    n = len(codes)
    found = []
    for middle in range(n):
        sides = []
        for step in (-3, 3):
            distance, at = limit, middle
            for count in range(limit):
                if not 0 <= at < n:
                    break
                if codes[max(at - 1, 0) : at + 2] in stops and 0 < at < n - 1:
                    distance = count
                    break
                at += step
            sides.append(distance)
        found.append((sides[0], sides[1]))
    return found


def test_stop_distances_equal_brute_force():
    text = "".join(np.random.default_rng(3).choice(list("ACGTN"), 300, p=[0.3, 0.15, 0.2, 0.3, 0.05]))
    values = stop_distances(torch.from_numpy(encode(text)).unsqueeze(0), limit=7)[0]
    for first, stops in ((0, {"TAA", "TAG", "TGA"}), (2, {"TTA", "CTA", "TCA"})):
        expected = np.array(brute_force_distance(text, stops, 7))
        expected = np.minimum(np.log2(1 + expected) / 5 - 0.9, 1.2)
        assert np.allclose(values[:, first : first + 2].numpy(), expected, atol=1e-6)


def test_codon_ratios_equal_brute_force():
    table = torch.randint(-1500, 1500, (3, HEXAMERS), generator=torch.Generator().manual_seed(1), dtype=torch.int16)
    text = "".join(np.random.default_rng(4).choice(list("ACGTN"), 120, p=[0.24, 0.24, 0.24, 0.24, 0.04]))
    values = codon_ratios(torch.from_numpy(encode(text)).unsqueeze(0), table)[0, :, 0].numpy()
    for middle in range(len(text)):
        words = [text[middle - 6 + place : middle + place] for place in range(3)]
        expected = 0.0
        if middle >= 6 and middle + 2 <= len(text) and all(len(w) == 6 and "N" not in w for w in words):
            total = sum(int(table[i, int("".join(str("ACGT".index(b)) for b in w), 4)]) for i, w in enumerate(words))
            expected = float(np.clip(total / 1000, -4, 4)) / 2
        assert values[middle] == pytest.approx(expected, abs=1e-5)


def test_features_mirror_on_the_other_strand(network):
    codes = random_codes(960, unknown=0.02)
    forward, backward = network.features(codes), network.features(mirrored(codes)).flip(1)
    assert torch.equal(forward[..., :4], backward[..., [3, 2, 1, 0]])
    # plus left, plus right, minus left, minus right become minus right, minus left, plus right, plus left
    assert torch.allclose(forward[..., 4:8], backward[..., [7, 6, 5, 4]])
    assert torch.allclose(forward[..., 8:], backward[..., [9, 8]])


def test_features_do_not_depend_on_where_a_window_starts():
    card = codon_unet.make_card("x", "A test.")
    model = codon_unet.build(card)
    model.codon_table.copy_(torch.randint(-2000, 2000, (3, HEXAMERS)))
    codes = random_codes(12_000, seed=5)
    # A stretch with few stops, so that distances reach the limit.
    codes[0, 2000:9000] = codes[0, 2000:9000].clamp(1, 2)
    margin = card.geometry.margin
    whole = model.features(codes)
    for start in (3, 1500, 2400):
        part = model.features(codes[:, start : start + 9408])
        inside = slice(margin, 9408 - margin)
        assert torch.equal(part[:, inside], whole[:, start + inside.start : start + inside.stop])


def test_tracks_are_sums_of_class_probabilities(network):
    codes = random_codes(480)
    regions, boundaries = network.class_logits(codes)
    region, boundary = regions.double().softmax(-1)[0], boundaries.double().softmax(-1)[0]
    probability = dict(zip([t.name for t in TRACKS], network(codes)[0].double().sigmoid().T, strict=True))
    assert torch.allclose(probability["CDS+"], region[:, 4:7].sum(-1), atol=1e-6)
    assert torch.allclose(probability["CDS_frame_2-"], region[:, 13], atol=1e-6)
    assert torch.allclose(probability["exon-"], region[:, [8, 9, 11, 12, 13]].sum(-1), atol=1e-6)
    assert torch.allclose(probability["intron+"], region[:, [3, 7]].sum(-1), atol=1e-6)
    assert torch.allclose(probability["protein_coding_gene+"], region[:, 1:8].sum(-1), atol=1e-6)
    assert torch.allclose(probability["splice_donor+"], boundary[:, 3], atol=1e-6)
    assert torch.allclose(probability["start_codon-"], boundary[:, 5], atol=1e-6)


def test_logits_stay_exact_where_probabilities_round_to_one(network):
    network.head.bias.data[0::24] = 60.0
    logits = network(random_codes(96))
    assert logits.isfinite().all()
    index = [t.name for t in TRACKS].index("protein_coding_gene+")
    assert float(logits[..., index].max()) < -20
    present, absent = class_logits_to_tracks()
    assert torch.equal(present + absent, (present + absent).clamp(max=1))


def test_logits_of_certain_classes_are_finite(network):
    network.head.bias.data[3::24] = 500.0
    logits = network(random_codes(96))
    assert logits.isfinite().all()
    assert float(logits.abs().max()) > 80


def test_every_track_has_its_mirror():
    names = {track.name for track in TRACKS}
    assert len(names) == 26
    assert {track.mirrored.name for track in TRACKS} == names


@pytest.mark.parametrize("length", [48, 96, 336, 18_432 + 48])
def test_any_multiple_of_48_is_a_window(network, length):
    logits = network(random_codes(length, unknown=0.1))
    assert logits.shape == (1, length, 26)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


def test_all_unknown_window_is_finite(network):
    assert network(torch.full((2, 480), 4, dtype=torch.uint8)).isfinite().all()


def test_windows_of_a_batch_do_not_see_each_other(network):
    a, b = random_codes(480, 1), random_codes(480, 2)
    together = network(torch.cat((a, b)))
    assert torch.allclose(together[1:], network(b), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batches_and_threads_change_no_code_by_more_than_one(dtype):
    """What is promised. Bits may differ: kernels are chosen by a batch's shape, and may add up in another order."""
    torch.manual_seed(0)
    model = codon_unet.build(codon_unet.make_card("x", "A test.")).eval().requires_grad_(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    codes = torch.cat([random_codes(960, seed) for seed in range(7)])
    unprepared = model(codes)
    model.set_precision(dtype)
    model.prepare_for_cpu()
    with torch.inference_mode():
        alone = torch.cat([model(window.unsqueeze(0)) for window in codes])
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for together in (model(codes), torch.cat([model(part) for part in codes.split(3)])):
                steps = quantise(together.numpy()).astype(int) - quantise(alone.numpy())
                assert abs(steps).max() <= 1
                if dtype == torch.float32:
                    assert torch.allclose(together, alone, rtol=0, atol=1e-4)
    torch.set_num_threads(1)
    assert torch.allclose(alone, unprepared, atol=1e-4 if dtype == torch.float32 else 0.5)


def test_bfloat16_keeps_statistics_and_is_close(network):
    codes = random_codes(960)
    exact = network(codes).sigmoid()
    table = network.codon_table.clone()
    network.set_precision(torch.bfloat16)
    assert torch.equal(network.codon_table, table)
    assert network.head.weight.dtype == torch.float32
    assert (network(codes).sigmoid() - exact).abs().mean() < 0.02


def test_card_survives_its_file(tmp_path, network):
    network.card.write(tmp_path)
    card = Card.read(tmp_path)
    assert card == dataclasses.replace(network.card, config=card.config, genes=card.genes)
    rebuilt = codon_unet.build(card)
    rebuilt.load_state_dict(network.state_dict())
    codes = random_codes(480)
    assert torch.equal(rebuilt.eval()(codes), network(codes))


def test_card_of_another_network_is_refused(network):
    with pytest.raises(CheckpointError, match="tracks"):
        codon_unet.build(dataclasses.replace(network.card, tracks=(Track("exon"),)))
    with pytest.raises(CheckpointError, match="describe"):
        codon_unet.build(dataclasses.replace(network.card, config={"depth": 3}))


def test_a_deeper_network_begins_as_the_one_it_grew_from(network):
    dilations, attention = (*TINY.dilations, 2), (*TINY.attention_after, len(TINY.dilations))
    deep = dataclasses.replace(TINY, blocks=2, dilations=dilations, attention_after=attention, dropout=0.1)
    grown = codon_unet.build(codon_unet.make_card("grown", "A test.", deep)).eval()
    grown.load_shallower(network.card, network.state_dict())
    assert len(list(grown.parameters())) > len(list(network.parameters()))
    codes = random_codes(480)
    assert torch.equal(grown(codes), network(codes))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"channels": (8, 12, 20)}, "channels"),
        ({"dilations": (2, *TINY.dilations)}, "dilations"),
        ({"attention_after": ()}, "attention_after"),
        ({"heads": 1}, "heads"),
        ({"blocks": TINY.blocks - 1}, "blocks"),
    ],
)
def test_a_network_does_not_grow_from_one_of_another_kind(network, change, named):
    other = codon_unet.build(codon_unet.make_card("other", "A test.", dataclasses.replace(TINY, **change)))
    with pytest.raises(CheckpointError, match=f"tiny has another network: {named}"):
        other.load_shallower(network.card, network.state_dict())


def test_a_base_without_all_its_weights_is_refused(network):
    weights = network.state_dict()
    del weights["bottom.blocks.0.linear.weight"]
    deeper = dataclasses.replace(TINY, dilations=(*TINY.dilations, 2))
    grown = codon_unet.build(codon_unet.make_card("grown", "A test.", deeper))
    with pytest.raises(CheckpointError, match=r"weights of its network: bottom\.blocks\.0\.linear\.weight"):
        grown.load_shallower(network.card, weights)


def test_utr_tracks_of_cds_only_training_are_marked_untrained():
    card = codon_unet.make_card("x", "A test.", utr_trained=False)
    untrained = {track.element for track in card.tracks if not track.trained}
    assert untrained == {"exon", "5UTR", "3UTR", "protein_coding_gene"}
