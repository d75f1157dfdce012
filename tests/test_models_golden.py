"""Parity with the official code, number by number, for every case in the golden folder.

The folder is that of SEGNT_GOLDEN, by default ../shared/golden. Cases are recognised by what they hold
(golden_cases.py), so that further cases need no code; what no test claims makes one fail.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from golden_cases import GOLDEN, Check, Kind, TokenizerEntry, discover, read_json, tokenizer_entries

from segnt_tools.elements import Track
from segnt_tools.errors import UsageError
from segnt_tools.models import segment_borzoi, segment_enformer, segment_nt
from segnt_tools.models.architectures import build
from segnt_tools.models.card import Card
from segnt_tools.models.checkpoints import open_checkpoint
from segnt_tools.models.checkpoints.interpret import borzoi_config, enformer_config, interpret, interpret_trunk
from segnt_tools.models.checkpoints.layouts import Foreign, Layout, flatten_tree
from segnt_tools.models.checkpoints.naming import BORZOI_JAX, ENFORMER_JAX
from segnt_tools.models.nt_encoder import MaskedLanguageModel, NTEncoder, PadStyle, rotary_frequencies
from segnt_tools.models.segment_borzoi import BorzoiConfig
from segnt_tools.models.tokenizer import (
    ENFORMER_TOKENIZER,
    NTV3_TOKENIZER,
    KmerTokenizer,
    LetterTokenizer,
    UnknownTokenError,
)
from segnt_tools.sequence.windows import WindowGeometry

FOUND = discover(GOLDEN)
TESTED: set[Kind] = set()
"""Kinds of cases that some test of this file takes."""

# Below 1e-4, which a wrong norm epsilon would pass; angles of long windows differ by float32 noise.
TOLERANCE, LONG_TOLERANCE, LONG = 3e-5, 1e-3, 1000
CODE_OF_ENFORMER_ID = {10: 0, 12: 1, 13: 2, 11: 3, 14: 4}


def _none(*values: object) -> list:
    return [pytest.param(*values, marks=pytest.mark.skip(f"no such case in {GOLDEN}: set SEGNT_GOLDEN"))]


def _names(kind: Kind) -> list:
    """Names of the cases of one kind; one skipped case where there is none."""
    TESTED.add(kind)
    return list(FOUND.cases[kind]) or _none("")


def _json(name: str) -> dict:
    """The JSON beside a case, its configuration taken out of `config` where it has one."""
    values = read_json(GOLDEN / f"{name}.json")
    config = values.get("config")
    return {**values, **config} if isinstance(config, dict) else values


def _arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return {key: arrays[key] for key in arrays.files}


def _tree(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    tree: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        if key.startswith(("params|", "state|")):
            _, module, name = key.split("|")
            tree.setdefault(module, {})[name] = array
    return tree


def _foreign(name: str, arrays: dict[str, np.ndarray]) -> Foreign:
    """The case as a JAX checkpoint would be read: its JSON stands for hyperparams.json."""
    values = {**_json(name), "use_rotary_embedding": True}
    values.setdefault("ffn_activation_name", values.get("ffn_activation"))
    return Foreign(Layout.JAX, GOLDEN / name, flatten_tree(_tree(arrays)), values)


def _segment_nt(name: str, arrays: dict[str, np.ndarray], eps: float | None = None) -> segment_nt.SegmentNT:
    found = interpret(_foreign(name, arrays), name)
    assert not found.unknown
    card = found.card
    if eps is not None:
        encoder = {**card.config["encoder"], "norm_eps": eps}
        card = dataclasses.replace(card, config={**card.config, "encoder": encoder})
    model = segment_nt.build(card)
    model.load_state_dict(found.tensors)
    return model.eval()


def _difference(got: torch.Tensor, wanted: np.ndarray) -> float:
    assert tuple(got.shape) == wanted.shape
    return float(np.abs(got.numpy() - wanted).max())


def _tolerance(tokens: np.ndarray) -> float:
    return LONG_TOLERANCE if tokens.shape[1] > LONG else TOLERANCE


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(before)


# --- SegmentNT -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", _names(Kind.SEGMENT_NT))
def test_golden_segment_nt_logits(name):
    arrays = _arrays(name)
    model = _segment_nt(name, arrays)
    logits = model.class_logits(torch.from_numpy(arrays["tokens"]).long())
    assert _difference(logits, arrays["logits"]) <= _tolerance(arrays["tokens"])
    if "probs" in arrays:
        assert _difference(torch.softmax(logits, -1)[..., 1], arrays["probs"]) <= 1e-5


@pytest.mark.parametrize("name", _names(Kind.SEGMENT_NT))
def test_golden_segment_nt_float64(name):
    arrays = _arrays(name)
    if "logits_f64" not in arrays:
        pytest.skip(f"{name} has no float64 logits")
    model = _segment_nt(name, arrays).double()
    logits = model.class_logits(torch.from_numpy(arrays["tokens"]).long())
    # Where the file keeps them in float32, its own rounding adds to the tolerance.
    assert _difference(logits, arrays["logits_f64"]) <= 1e-5


def _check_layers(encoder: NTEncoder, arrays: dict[str, np.ndarray]) -> int:
    """Compare the outputs and attention maps of blocks that the case has; returns their number."""
    outputs, weights = encoder.layer_outputs(torch.from_numpy(arrays["tokens"]).long())
    compared = 0
    for key in arrays:
        if match := re.fullmatch(r"embeddings_(\d+)", key):
            assert _difference(outputs[int(match[1]) - 1], arrays[key]) <= _tolerance(arrays["tokens"])
        elif match := re.fullmatch(r"attention_map_layer_(\d+)_number_(\d+)", key):
            # The official code gives the head after the one that is asked for; the last one twice.
            shown = min(int(match[2]) + 1, encoder.config.heads - 1)
            assert _difference(weights[int(match[1]) - 1][:, shown], arrays[key]) <= TOLERANCE
        compared += match is not None
    return compared


@pytest.mark.parametrize("name", _names(Kind.SEGMENT_NT))
def test_golden_segment_nt_embeddings(name):
    arrays = _arrays(name)
    if not _check_layers(_segment_nt(name, arrays).encoder, arrays):
        pytest.skip(f"{name} has no outputs of blocks")


@pytest.mark.parametrize("name", _names(Kind.SEGMENT_NT))
def test_golden_segment_nt_from_base_codes(name):
    """The tokens of the sequences are exact; what users run, base codes to one logit, equals l1 - l0."""
    arrays, values = _arrays(name), _json(name)
    sequences = values.get("sequences")
    if sequences is None or (arrays["tokens"] == 2).any():
        pytest.skip(f"{name} has no plain sequences")
    tokens = KmerTokenizer().encode_batch(sequences, values.get("fixed_length_tokens", arrays["tokens"].shape[1]))
    assert np.array_equal(tokens, arrays["tokens"])
    if any(set(sequence) - set("ACGT") or len(sequence) % 24 for sequence in sequences) or (tokens == 1).any():
        return
    codes = torch.tensor([["ACGT".index(base) for base in sequence] for sequence in sequences], dtype=torch.uint8)
    wanted = arrays["logits"][..., 1] - arrays["logits"][..., 0]
    # The class is wrong only if the tolerance of two logits is passed.
    assert _difference(_segment_nt(name, arrays)(codes), wanted) <= 2 * _tolerance(tokens)


def _hugging_face_cases() -> list:
    """File, case whose parameters it takes, and mask of every variant; skipped where the case is not there."""
    cases = []
    TESTED.add(Kind.HUGGING_FACE)
    for file in FOUND.cases[Kind.HUGGING_FACE]:
        with np.load(GOLDEN / f"{file}.npz") as arrays:
            variants = sorted({tuple(key.split("|")[:2]) for key in arrays.files})
        for case, mask in variants:
            missing = not (GOLDEN / file).with_name(f"{case}.npz").is_file()
            marks = [pytest.mark.skip(f"{file} is about {case}, which is not in {GOLDEN}")] if missing else []
            cases.append(pytest.param(file, case, mask, marks=marks))
    return cases or _none("", "", "")


@pytest.mark.parametrize(("file", "case", "mask"), _hugging_face_cases())
def test_golden_segment_nt_hugging_face_variant(file, case, mask):
    name = str(Path(file).with_name(case))
    arrays = _arrays(name)
    start = f"{case}|{mask}|"
    wanted = {key.removeprefix(start): array for key, array in _arrays(file).items() if key.startswith(start)}
    if "no mask" in mask:
        pads = PadStyle.IGNORE
    else:
        assert "pad" in mask, f"what mask is {mask!r}?"
        pads = PadStyle.HUGGING_FACE
    model = _segment_nt(name, arrays, eps=_json(file).get("layer_norm_eps", 1e-12))
    tokens = torch.from_numpy(arrays["tokens"]).long()
    given = {"final_embedding": model.encoder(tokens, pads), "logits": model.class_logits(tokens, pads)}
    assert wanted.keys() <= given.keys()
    for key, array in wanted.items():
        assert _difference(given[key], array) <= _tolerance(tokens)


@pytest.mark.parametrize("name", _names(Kind.SEGMENT_NT))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_golden_segment_nt_reduced_precision(name, dtype):
    """Nothing is NaN, and the probabilities stay near to float32 (bfloat16: officially 0.07, ours so far 0.054)."""
    changes = _changes_of_probability(name, dtype)
    if changes.size:
        assert changes.max() < 0.1


def _changes_of_probability(name: str, dtype: torch.dtype) -> np.ndarray:
    """Absolute changes from the official float32; none where there are pads, which reduced precision cannot mask."""
    arrays = _arrays(name)
    tokens = torch.from_numpy(arrays["tokens"]).long()
    padded = bool((tokens == 1).any())
    model = _segment_nt(name, arrays)
    model.set_precision(dtype)
    # Pads need -1e30, which float16 cannot hold; no window that users run has one.
    logits = model.class_logits(tokens, PadStyle.IGNORE if padded else PadStyle.JAX)
    assert logits.dtype == torch.float32
    assert bool(torch.isfinite(logits).all())
    wanted = torch.softmax(torch.from_numpy(arrays["logits"]), -1)[..., 1]
    changes = (torch.softmax(logits, -1)[..., 1] - wanted).abs().numpy()
    return changes[:0] if padded else changes


@pytest.mark.parametrize("name", _names(Kind.PRECISIONS))
@pytest.mark.parametrize(("start", "dtype"), [("bf16", torch.bfloat16), ("f16", torch.float16)])
def test_golden_reduced_precision_is_no_worse_than_the_official(name, start, dtype):
    """On average over the cases; the file does not say on which of them it was measured."""
    official = [entry for key, entry in _json(name).items() if key.startswith(start)]
    changes = [
        changes.mean()
        for case in FOUND.cases[Kind.SEGMENT_NT]
        if (changes := _changes_of_probability(case, dtype)).size
    ]
    if not official or not changes:
        pytest.skip(f"{name} has nothing to compare with in {dtype}")
    assert np.mean(changes) <= max(entry["mean_abs_prob_diff_vs_f32"] for entry in official)


@pytest.mark.parametrize(
    "name", FOUND.checkpoints or _none(""), ids=lambda place: str(place).removeprefix(f"{GOLDEN}/")
)
def test_golden_checkpoint_folder(name):
    """Each layout gives the same logits, with the norm epsilon of its own files and with that of the golden case."""
    card, tensors = open_checkpoint(name)
    case = _case_of(name, card.architecture, tensors)
    if case is None:
        pytest.skip(f"the case of {name} is not in {GOLDEN}")
    arrays = _arrays(case)
    if card.architecture != segment_nt.ARCHITECTURE:
        config = {**card.config, "crop": _crop(arrays, card.config)} if "crop" in card.config else card.config
        model = build(dataclasses.replace(card, config=config))
        model.load_state_dict(tensors)
        assert _difference(model.eval().class_logits(_codes(arrays["tokens"])), arrays["logits"]) <= 1e-4
        return
    tokens = torch.from_numpy(arrays["tokens"]).long()
    for eps, tolerance in ((card.config["encoder"]["norm_eps"], 5e-4), (1e-5, _tolerance(tokens))):
        encoder = {**card.config["encoder"], "norm_eps": eps}
        model = build(dataclasses.replace(card, config={**card.config, "encoder": encoder}))
        model.load_state_dict(tensors)
        assert _difference(model.eval().class_logits(tokens), arrays["logits"]) <= tolerance


_KINDS = {
    segment_nt.ARCHITECTURE: Kind.SEGMENT_NT,
    segment_enformer.ARCHITECTURE: Kind.ENFORMER,
    segment_borzoi.ARCHITECTURE: Kind.BORZOI,
}


def _case_of(folder: Path, architecture: str, tensors: dict[str, torch.Tensor]) -> str | None:
    """The case with the parameters of a checkpoint: the bias of the last layer tells it."""
    for case in FOUND.cases[_KINDS[architecture]]:
        with np.load(GOLDEN / f"{case}.npz") as arrays:
            last = next(arrays[key] for key in arrays.files if key.endswith("/~/fc|b"))
        if last.shape == tensors["head.proj.bias"].shape and np.array_equal(last, tensors["head.proj.bias"].numpy()):
            return case
    return None


# --- the trunk alone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", _names(Kind.TRUNK))
def test_golden_masked_language_model(name):
    arrays = _arrays(name)
    config, tensors, unknown = interpret_trunk(_foreign(name, arrays))
    assert not unknown
    model = MaskedLanguageModel(config).eval()
    # A trunk may come without its language-model head.
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert not [key for key in missing if "lm_logits" in arrays or not key.startswith("lm_head.")]
    compared = _check_layers(model.encoder, arrays)
    if "lm_logits" in arrays:
        stored = arrays["lm_logits"].shape[1]
        logits = model(torch.from_numpy(arrays["tokens"]).long())
        assert _difference(logits[:, :stored], arrays["lm_logits"]) <= 1e-4
    assert compared or "lm_logits" in arrays


# --- Enformer and Borzoi ---------------------------------------------------------------------------------------------


def _card(name: str, architecture: str, features: list[str], length: int, config: dict, crop: int = 0) -> Card:
    return Card(
        name=name,
        architecture=architecture,
        summary="a golden case",
        tracks=tuple(Track(feature) for feature in features),
        geometry=WindowGeometry(length, length, length, length, margin=crop, crop=crop),
        allows_n=True,
        licence="none",
        citation="none",
        config=config,
    )


def _codes(tokens: np.ndarray) -> torch.Tensor:
    table = np.full(256, 255, np.uint8)
    table[list(CODE_OF_ENFORMER_ID)] = list(CODE_OF_ENFORMER_ID.values())
    codes = table[tokens.astype(np.uint8)]
    assert (codes < 255).all()
    return torch.from_numpy(codes)


def _check_convolutional(model, arrays: dict[str, np.ndarray], embedding: str, tolerance: float) -> None:
    codes = _codes(arrays["tokens"])
    if embedding in arrays:
        assert _difference(model.embeddings(codes), arrays[embedding]) <= tolerance
    logits = model.class_logits(codes)
    assert _difference(logits, arrays["logits"]) <= tolerance
    if "probs" in arrays:
        assert _difference(torch.softmax(logits, -1)[..., 1], arrays["probs"]) <= 1e-5
    assert torch.allclose(model(codes), logits[..., 1] - logits[..., 0])


@pytest.mark.parametrize("name", _names(Kind.ENFORMER))
def test_golden_segment_enformer(name):
    arrays, values = _arrays(name), _json(name)
    tensors, unknown = ENFORMER_JAX.convert(flatten_tree(_tree(arrays)))
    assert not unknown
    config = enformer_config(tensors)
    assert config.bases == values.get("nucl_per_token", config.bases)
    length = arrays["tokens"].shape[1]
    model = segment_enformer.build(_card(name, "segment_enformer", values["features"], length, config.as_dict()))
    model.load_state_dict(tensors)
    _check_convolutional(model.eval(), arrays, "embedding_transformer_tower", TOLERANCE)


def _crop(arrays: dict[str, np.ndarray], config: dict) -> int:
    """Positions that are cropped at either end, which no tensor tells."""
    return (arrays["tokens"].shape[1] - arrays["logits"].shape[1]) // 2 // BorzoiConfig.from_dict(config).bases


@pytest.mark.parametrize("name", _names(Kind.BORZOI))
def test_golden_segment_borzoi(name):
    arrays, values = _arrays(name), _json(name)
    tensors, unknown = BORZOI_JAX.convert(flatten_tree(_tree(arrays)))
    assert not unknown
    length = arrays["tokens"].shape[1]
    config = borzoi_config(tensors)
    config = borzoi_config(tensors, _crop(arrays, config.as_dict()))
    assert config.bases == values.get("nucl_per_token", config.bases)
    assert length // config.bases - 2 * config.crop == values.get(
        "target_length", length // config.bases - 2 * config.crop
    )
    card = _card(name, "segment_borzoi", values["features"], length, config.as_dict(), config.crop * config.bases)
    model = segment_borzoi.build(card)
    model.load_state_dict(tensors)
    _check_convolutional(model.eval(), arrays, "embedding", 1e-4)
    first, end = card.geometry.valid(length)
    assert end - first == arrays["logits"].shape[1]


# --- position tables -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", _names(Kind.ENFORMER_POSITIONS))
def test_golden_enformer_position_features(name):
    """Ours are exact (float64); the official float32 ones differ by up to 3.4e-3 in the gamma part alone."""
    arrays, values = _arrays(name), _json(name)
    features = segment_enformer.position_features(values["seq_len"], values["feature_size"]).numpy()
    chosen = features[arrays["rows"]] if "rows" in arrays else features
    third = values["feature_size"] // 6
    gamma = np.zeros(values["feature_size"], bool)
    gamma[2 * third : 3 * third] = gamma[5 * third :] = True
    assert np.abs(chosen - arrays["features"])[:, ~gamma].max() <= 1e-5
    assert np.abs(chosen - arrays["features"])[:, gamma].max() <= 5e-3


@pytest.mark.parametrize("name", _names(Kind.BORZOI_POSITIONS))
def test_golden_borzoi_position_features(name):
    arrays, values = _arrays(name), _json(name)
    features = segment_borzoi.position_features(values["seq_len"], values["feature_size"]).numpy()
    assert np.array_equal(features[arrays["rows"]] if "rows" in arrays else features, arrays["features"])


@pytest.mark.parametrize("name", _names(Kind.ROTARY))
def test_golden_rotary_frequencies(name):
    """Ours are exact, as the float64 ones; the width of the heads is twice the number of frequencies."""
    compared = 0
    for key, wanted in _arrays(name).items():
        match = re.fullmatch(r"inv_freq_(f64|jax_f32)_s(None|\d+([._]\d+)?)", key)
        assert match, f"what is {key}?"
        factor = None if match[2] == "None" else float(match[2].replace("_", "."))
        got = rotary_frequencies(2 * wanted.size, factor).numpy()
        # The float32 ones come with a factor that their name rounds.
        assert np.abs(got / wanted - 1).max() <= (1e-12 if match[1] == "f64" else 2e-3)
        compared += match[1] == "f64"
    assert compared


# --- tokenizers ------------------------------------------------------------------------------------------------------


def _tokenizer_entries(*checks: Check) -> list:
    TESTED.add(Kind.TOKENIZERS)
    entries = [entry for name in FOUND.cases[Kind.TOKENIZERS] for entry in tokenizer_entries(GOLDEN, name)]
    return [pytest.param(entry, id=entry.title) for entry in entries if entry.check in checks] or _none(None)


def _tokenizer(entry: TokenizerEntry) -> KmerTokenizer | LetterTokenizer:
    """The tokenizer of an entry: by the vocabulary it names, else by its title."""
    values, title = entry.values, entry.title.lower()
    size, named = values.get("vocab_size"), re.search(r"(?:v([12])_)?(\d)mer", title)
    if "enformer" in title or "borzoi" in title or values.get("vocabulary_list_length") == 15:
        return ENFORMER_TOKENIZER
    if "ntv3" in title or len(values.get("vocab", [])) == 11:
        return NTV3_TOKENIZER
    lengths = {4**k + 11: k for k in range(2, 9)}  # six special tokens, five letters
    if size in lengths:
        return KmerTokenizer(lengths[size], specials_first=values.get("special", {}).get("eos", 4) == 4)
    if named:
        return KmerTokenizer(int(named[2]), specials_first=named[1] != "1")
    assert entry.like_hugging_face, f"which tokenizer is that of {entry.title}?"
    return KmerTokenizer()


@pytest.mark.parametrize("entry", _tokenizer_entries(Check.SEQUENCES))
def test_golden_tokenizer(entry):
    tokenizer = _tokenizer(entry)
    for case in entry.values["cases"]:
        sequence = case["sequence"]
        if entry.like_hugging_face:
            assert isinstance(tokenizer, KmerTokenizer)
            assert tokenizer.encode_like_hugging_face(sequence).tolist() == case["ids"], sequence
        elif "error" in case:
            with pytest.raises(UnknownTokenError) as caught:
                tokenizer.encode(sequence)
            token = caught.value.token
            assert repr(token)[1:-1] in case.get("message", repr(token)).replace("\\\\", "\\")
        else:
            assert tokenizer.encode(sequence).tolist() == case["ids"], sequence


@pytest.mark.parametrize("entry", _tokenizer_entries(Check.BATCH))
def test_golden_tokenizer_batch(entry):
    ids = entry.values["ids"]
    assert _tokenizer(entry).encode_batch(entry.values["sequences"], len(ids[0])).tolist() == ids


@pytest.mark.parametrize("entry", _tokenizer_entries(Check.TOO_LONG))
def test_golden_tokenizer_cuts_nothing_off(entry):
    """The sequence may be written as letters times a number, and the fixed length beside it."""
    text = entry.values["sequence"]
    repeated = re.match(r"([A-Z]+)\*(\d+)", text)
    fixed = entry.values.get("fixed_length") or int(re.search(r"fixed_length (\d+)", text)[1])
    with pytest.raises(UsageError, match=rf"exceeds the fixed length of {fixed}"):
        _tokenizer(entry).encode_batch([repeated[1] * int(repeated[2]) if repeated else text.split()[0]], fixed)


@pytest.mark.parametrize("entry", _tokenizer_entries(Check.VOCABULARY))
def test_golden_tokenizer_vocabulary(entry):
    wanted, vocabulary = entry.values, _tokenizer(entry).vocabulary
    assert hashlib.sha256("\n".join(vocabulary).encode()).hexdigest() == wanted["sha256_newline_joined"]
    assert list(vocabulary[: len(wanted.get("first", []))]) == wanted.get("first", [])
    assert list(vocabulary[len(vocabulary) - len(wanted.get("last", [])) :]) == wanted.get("last", [])
    assert all(vocabulary[number] == token for token, number in wanted.get("samples", {}).items())


# --- nothing is left out ---------------------------------------------------------------------------------------------


def test_golden_files_are_all_claimed():
    """Every npz, json and checkpoint of the folder is a case of some test."""
    if not GOLDEN.is_dir():
        pytest.skip(f"no folder {GOLDEN}: set SEGNT_GOLDEN")
    assert set(Kind) == TESTED
    entries = [entry for name in FOUND.cases[Kind.TOKENIZERS] for entry in tokenizer_entries(GOLDEN, name)]
    unclaimed = [*FOUND.unclaimed, *(f"{entry.title}: no known check" for entry in entries if entry.check is None)]
    assert not unclaimed, "no test takes these: " + "; ".join(unclaimed)


def test_golden_cases_are_recognised_by_contents(tmp_path):
    """Names tell nothing; what is unknown or broken is listed, and never stops the collection of the others."""
    tokens, logits = np.zeros((1, 5), np.int32), np.zeros((1, 24, 2, 2), np.float32)
    head, layer = "h/~/unet1_d_segmentation_head/~/final_conv1_d/~/conv0", np.zeros(2, np.float32)
    (tmp_path / "deep").mkdir()
    np.savez(tmp_path / "deep" / "x.npz", tokens=tokens, logits=logits, **{f"params|{head}|b": layer})
    (tmp_path / "deep" / "x.json").write_text("[1]")
    np.savez(tmp_path / "a.npz", **{"x|no mask given|logits": logits})
    np.savez(tmp_path / "b.npz", tokens=tokens, **{"params|e/~/embed|embeddings": layer})
    np.savez(tmp_path / "c.npz", inv_freq_f64_sNone=layer)
    np.savez(tmp_path / "d.npz", features=np.array([[0, 1, -1]]))
    (tmp_path / "d.json").write_text('{"seq_len": 1, "feature_size": 3}')
    (tmp_path / "e.json").write_text('[{"sequence": "A", "ids": [3, 4102]}]')
    np.savez(tmp_path / "odd.npz", tokens=tokens)
    (tmp_path / "alone.json").write_text('{"model": "SegmentNT"}')
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "broken.npz").write_bytes(b"PK")
    found = discover(tmp_path)
    assert {kind: names for kind, names in found.cases.items() if names} == {
        Kind.SEGMENT_NT: ["deep/x"],
        Kind.TRUNK: ["b"],
        Kind.HUGGING_FACE: ["a"],
        Kind.BORZOI_POSITIONS: ["d"],
        Kind.ROTARY: ["c"],
        Kind.TOKENIZERS: ["e"],
    }
    assert [line.partition(":")[0] for line in found.unclaimed] == ["alone.json", "broken.npz", "odd.npz"]
    assert discover(tmp_path / "none").unclaimed == []
