"""Checkpoints: every layout gives the same model; what does not fit is listed; hostile files do nothing."""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

sys.path.insert(0, str(Path(__file__).parent))
import tiny_checkpoints

from segnt_tools.errors import CheckpointError
from segnt_tools.models import checkpoints
from segnt_tools.models.architectures import build
from segnt_tools.models.checkpoints import inspect_checkpoint, open_checkpoint, open_trunk, write_checkpoint
from segnt_tools.models.checkpoints.interpret import interpret
from segnt_tools.models.checkpoints.layouts import Layout, read_foreign
from segnt_tools.models.checkpoints.restricted_pickle import read_tree
from segnt_tools.models.nt_encoder import MaskedLanguageModel

joblib = pytest.importorskip("joblib", reason="joblib writes the files that users have: pip install joblib")


@pytest.fixture
def hugging_face(tmp_path):
    return tiny_checkpoints.write_hugging_face(tmp_path / "hf")


@pytest.fixture
def jax(tmp_path):
    return tiny_checkpoints.write_jax(tmp_path / "jax")


def _logits(folder: Path) -> torch.Tensor:
    card, tensors = open_checkpoint(folder)
    model = build(card).eval()
    model.load_state_dict(tensors)
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (1, 240), dtype=np.uint8))
    with torch.no_grad():
        return model(codes)


def _rewrite(folder: Path, change) -> Path:
    file = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    change(tensors)
    file.unlink()
    safetensors.torch.save_file(tensors, file)
    return folder


# --- layouts ---------------------------------------------------------------------------------------------------------


def test_all_layouts_give_the_same_model(hugging_face, jax, tmp_path):
    wanted = _logits(jax)
    assert wanted.std() > 0.5
    assert torch.equal(_logits(hugging_face), wanted)
    card, tensors = open_checkpoint(jax)
    write_checkpoint(tmp_path / "own", card, tensors)
    assert torch.equal(_logits(tmp_path / "own"), wanted)
    for folder in (hugging_face, jax, tmp_path / "own"):
        assert inspect_checkpoint(folder).card == open_checkpoint(folder)[0]


def test_the_folder_of_the_jax_files_itself_will_do(jax):
    assert torch.equal(_logits(jax / "jax_model"), _logits(jax))


def test_torch_archive(hugging_face):
    wanted = _logits(hugging_face)
    tensors = safetensors.torch.load_file(hugging_face / "model.safetensors")
    torch.save(tensors, hugging_face / "pytorch_model.bin")
    (hugging_face / "model.safetensors").unlink()
    assert torch.equal(_logits(hugging_face), wanted)
    assert inspect_checkpoint(hugging_face).card == open_checkpoint(hugging_face)[0]


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards(hugging_face, suffix):
    wanted = _logits(hugging_face)
    tensors = safetensors.torch.load_file(hugging_face / "model.safetensors")
    (hugging_face / "model.safetensors").unlink()
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    names = sorted(tensors)
    where = {name: f"{stem}-{1 + i % 3:05}-of-00003.{suffix}" for i, name in enumerate(names)}
    for file in set(where.values()):
        part = {name: tensors[name] for name in names if where[name] == file}
        if suffix == "bin":
            torch.save(part, hugging_face / file)
        else:
            safetensors.torch.save_file(part, hugging_face / file)
    (hugging_face / f"{stem}.{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    assert torch.equal(_logits(hugging_face), wanted)
    assert inspect_checkpoint(hugging_face).card == open_checkpoint(hugging_face)[0]
    (hugging_face / where[names[0]]).unlink()
    for read in (open_checkpoint, inspect_checkpoint):
        with pytest.raises(CheckpointError, match="is missing"):
            read(hugging_face)


def _with_v1_tokens(tensors: dict[str, torch.Tensor]) -> None:
    """The same vectors in the order of NT-v1's tokens, where `<eos>` and `<bos>` come last and have no row."""
    name = "esm.embeddings.word_embeddings.weight"
    tensors[name] = torch.cat([tensors[name][:4], tensors[name][6:]])


def test_the_token_order_of_nt_v1(hugging_face):
    wanted = _logits(hugging_face)
    _rewrite(hugging_face, _with_v1_tokens)
    assert open_checkpoint(hugging_face)[0].config["encoder"]["vocabulary"] == 4105
    assert torch.equal(_logits(hugging_face), wanted)


@pytest.mark.parametrize("rows", [4096, 4106, 4108])
def test_a_vocabulary_of_unknown_order_is_refused(hugging_face, rows):
    def change(tensors):
        tensors["esm.embeddings.word_embeddings.weight"] = torch.zeros(rows, tiny_checkpoints.WIDTH)

    _rewrite(hugging_face, change)
    for read in (open_checkpoint, inspect_checkpoint):
        with pytest.raises(CheckpointError, match=rf"hf: .*{rows} rows.*4107 rows \(NT-v2\) or 4105"):
            read(hugging_face)


@pytest.mark.parametrize("layout", ["hugging-face", "jax", "own"])
def test_an_inspection_gives_the_weights_of_the_checkpoint(tmp_path, layout):
    folder = tiny_checkpoints.WRITERS[layout](tmp_path / "checkpoint")
    inspection = inspect_checkpoint(folder)
    wanted = open_checkpoint(folder)[1]
    for _ in range(2):  # the second time they are read again
        found = inspection.take_weights()
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("layout", ["ours", "hugging face"])
def test_inspecting_reads_no_weights(hugging_face, tmp_path, monkeypatch, layout):
    folder = hugging_face
    card, tensors = open_checkpoint(folder, "a_name")
    if layout == "ours":
        card = write_checkpoint(folder := tmp_path / "own", card, tensors)
    file = folder / "model.safetensors"
    header = 8 + int.from_bytes(file.read_bytes()[:8], "little")
    with file.open("r+b") as handle:  # the numbers become a hole in the file
        size = file.stat().st_size
        handle.truncate(header)
        handle.truncate(size)
    for reader in ((safetensors.torch, "load_file"), (checkpoints, "weights_sha256")):
        monkeypatch.setattr(*reader, lambda *_: pytest.fail("weights were read"))
    assert inspect_checkpoint(folder, "a_name").card == card
    os.truncate(file, size - 4)
    with pytest.raises(CheckpointError, match="damaged"):
        inspect_checkpoint(folder)


@pytest.mark.parametrize(
    ("compress", "protocol"), [(0, 2), (0, 4), (0, 5), *((name, 4) for name in ("zlib", "gzip", "bz2", "lzma", "xz"))]
)
def test_joblib_files(jax, compress, protocol):
    wanted = _logits(jax)
    file = jax / "jax_model" / "pytree_ckpt.joblib"
    tree = tiny_checkpoints.jax_tree()
    tree["u_net_head/~/fc"]["w"] = np.asfortranarray(tree["u_net_head/~/fc"]["w"])
    joblib.dump(tree, file, compress=(compress, 1) if compress else 0, protocol=protocol)
    assert torch.equal(_logits(jax), wanted)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_pickles(jax, protocol):
    wanted = _logits(jax)
    with (jax / "jax_model" / "pytree_ckpt.joblib").open("wb") as handle:
        pickle.dump(tiny_checkpoints.jax_tree(), handle, protocol=protocol)
    assert torch.equal(_logits(jax), wanted)


def test_big_endian_and_half_precision_arrays(jax):
    tree = tiny_checkpoints.jax_tree()
    swapped = {m: {k: a.astype(">f4") for k, a in p.items()} for m, p in tree.items()}
    file = jax / "jax_model" / "pytree_ckpt.joblib"
    wanted = _logits(jax)
    file.write_bytes(pickle.dumps(swapped))
    assert torch.equal(_logits(jax), wanted)
    file.write_bytes(pickle.dumps({m: {k: a.astype(np.float16) for k, a in p.items()} for m, p in tree.items()}))
    assert _logits(jax).dtype == torch.float32


def test_names_of_the_official_loader(jax):
    """The official loader renames the roots; base models call attention `mha`."""
    wanted = _logits(jax)
    tree = tiny_checkpoints.jax_tree()
    renamed = {
        m.replace("dcnuc_v2_500M_multi_species", "nucleotide_transformersegment_nt")
        .replace("u_net_head", "nucleotide_transformersegment_nt_1")
        .replace("/self_attention/", "/mha/")
        .replace("self_attention_layer_norm", "mha_layer_norm")
        .replace("roberta_lm_head", "esm_roberta_lm_head"): p
        for m, p in tree.items()
    }
    (jax / "jax_model" / "pytree_ckpt.joblib").write_bytes(pickle.dumps(renamed))
    assert torch.equal(_logits(jax), wanted)


def test_trunk_with_its_language_model_head(jax):
    file = jax / "jax_model" / "pytree_ckpt.joblib"
    tree = {m: p for m, p in tiny_checkpoints.jax_tree().items() if not m.startswith("u_net_head")}
    file.write_bytes(pickle.dumps(tree))
    config, tensors = open_trunk(jax)
    model = MaskedLanguageModel(config)
    model.load_state_dict(tensors)
    assert model(torch.tensor([[3, 10, 20]])).shape == (1, 3, 4107)
    with pytest.raises(CheckpointError, match="without a segmentation head"):
        open_checkpoint(jax)


# --- cards -----------------------------------------------------------------------------------------------------------


def test_card_of_an_official_layout(hugging_face):
    card, _ = open_checkpoint(hugging_face)
    assert card.name == "hf"
    assert card.architecture == "segment_nt"
    assert [track.name for track in card.tracks] == tiny_checkpoints.FEATURES
    assert card.trained_tracks == tuple(range(14))
    assert "NC" in card.licence
    assert "10.1101/2024.03.14.584712" in card.citation
    assert (card.geometry.length, card.geometry.multiple, card.allows_n) == (30_000, 24, False)


def test_multi_species_is_trained_on_genic_elements_only(tmp_path):
    cache = tmp_path / "models--InstaDeepAI--segment_nt_multi_species" / "snapshots" / "0123abc"
    tiny_checkpoints.write_hugging_face(cache)
    card, _ = open_checkpoint(cache)
    assert card.name == "segment_nt_multi_species"
    assert card.trained_tracks == (0, 2, 3, 4, 5, 6, 7)
    other = tiny_checkpoints.write_hugging_face(tmp_path / "download")
    assert open_checkpoint(other, name="segment_nt_multi_species")[0].trained_tracks == (0, 2, 3, 4, 5, 6, 7)
    assert open_checkpoint(other)[0].trained_tracks == tuple(range(14))


def test_card_survives_writing(hugging_face, tmp_path):
    card, tensors = open_checkpoint(hugging_face)
    written = write_checkpoint(tmp_path / "own", card, tensors)
    again, _ = open_checkpoint(tmp_path / "own")
    assert again == written
    assert len(again.sha256) == 64


def test_older_upload_without_rescaling_in_its_configuration(hugging_face):
    """The stretch comes from the stored frequencies, where there are some."""
    config = json.loads((hugging_face / "config.json").read_text())
    config["rescaling_factor"] = None
    (hugging_face / "config.json").write_text(json.dumps(config))
    assert open_checkpoint(hugging_face)[0].config["encoder"]["rescaling_factor"] is None
    base = 10000 * tiny_checkpoints.RESCALING ** (16 / 14)
    stored = (base ** (-np.arange(0, 16, 2) / 16)).astype(np.float32)
    name = "esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq"
    _rewrite(hugging_face, lambda tensors: tensors.update({name: torch.from_numpy(stored)}))
    assert inspect_checkpoint(hugging_face).card == open_checkpoint(hugging_face)[0]
    factor = open_checkpoint(hugging_face)[0].config["encoder"]["rescaling_factor"]
    assert factor == pytest.approx(tiny_checkpoints.RESCALING, rel=1e-5)


# --- Enformer and Borzoi from Hugging Face files ---------------------------------------------------------------------

CONVERSIONS = {
    "T": lambda a: a.T,
    "as is": lambda a: a,
    "reshape(-1)": lambda a: a.reshape(-1),
    "transpose(2,1,0)": lambda a: a.transpose(2, 1, 0),
    "transpose(3,2,0,1)": lambda a: a.transpose(3, 2, 0, 1),
    "T then add a trailing kernel axis of 1": lambda a: a.T[..., None],
}
UNET_STYLES = {
    "official style": ("_downsample_blocks.{}.conv_layers.{}", "_upsample_blocks.{}.conv_layers.{}", "final_block.{}"),
    "other style": ("down_blocks.{}.{}.conv", "up_blocks.{}.{}.conv", "final.conv.{}"),
}


def _hugging_face_of_golden(shared: Path, case: str, table: str, style: str, transposed: bool) -> dict:
    """The golden parameters under Hugging Face names by the specification's own table."""
    with np.load(shared / "golden" / f"{case}.npz") as arrays:
        golden = {key: arrays[key] for key in arrays.files}
    rows = json.loads((shared / "spec" / f"mapping_{table}.json").read_text())["rows"]
    out = {}
    for row in rows:
        key = next((k for k in golden if k.split("|")[1:] == [row["jax_module"], row["jax_param"]]), None)
        if key is None:
            continue
        array, name = golden[key], row["hf_torch"]
        if ".(unknown)." in name:
            place, _, kind = name.partition(".(unknown).")[2].rpartition(".")
            part, _, conv = place.partition(".conv")
            down, up, final = UNET_STYLES[style]
            if part == "fc":
                name, array = f"fc.{kind}", array.T if kind == "weight" else array
            else:
                pattern = {"down": down, "up": up, "fina": final}[part[:-1]]
                name = f"{pattern.format(part[-1], conv)}.{kind}" if part != "final" else f"{final.format(conv)}.{kind}"
                if kind == "weight" and part.startswith("up"):
                    array = array[::-1].transpose(2, 1, 0) if transposed else array.transpose(1, 2, 0)
                elif kind == "weight":
                    array = array.transpose(2, 1, 0)
            name = f"unet_head.{name}"
        else:
            array = CONVERSIONS[row["to_torch"]](array)
        out[name] = torch.from_numpy(np.ascontiguousarray(array))
    return out


def _write_golden_jax(shared: Path, case: str, folder: Path) -> Path:
    trees: dict[str, dict] = {"params": {}, "state": {}}
    with np.load(shared / "golden" / f"{case}.npz") as arrays:
        for key in arrays.files:
            if "|" in key:
                kind, module, name = key.split("|")
                trees[kind].setdefault(module, {})[name] = arrays[key]
    folder.mkdir()
    joblib.dump(trees["params"], folder / "params.joblib")
    joblib.dump(trees["state"], folder / "state.joblib")
    features = json.loads((shared / "golden" / f"{case}.json").read_text())["features"]
    (folder / "hyperparams.json").write_text(json.dumps({"features": features}))
    return folder


@pytest.mark.parametrize("style", UNET_STYLES)
@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize(("case", "prefix"), [("segenformer_a", ""), ("segborzoi_a", ""), ("segborzoi_a", "borzoi.")])
def test_convolutional_hugging_face_files_equal_jax_ones(shared, tmp_path, case, prefix, style, transposed):
    tensors = _hugging_face_of_golden(shared, case, case.removesuffix("_a"), style, transposed)
    tensors = {name if name.startswith("unet_head") else prefix + name: t for name, t in tensors.items()}
    folder = tmp_path / "hf"
    folder.mkdir()
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    features = json.loads((shared / "golden" / f"{case}.json").read_text())["features"]
    (folder / "config.json").write_text(json.dumps({"features": features}))
    card, ours = open_checkpoint(folder)
    assert inspect_checkpoint(folder).card == card
    jax_card, wanted = open_checkpoint(_write_golden_jax(shared, case, tmp_path / "jax"))
    assert card.config == jax_card.config
    assert card.architecture.startswith("segment_")
    assert card.allows_n
    assert ours.keys() == wanted.keys()
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)


def test_batch_norm_without_its_state_file(shared, tmp_path):
    folder = _write_golden_jax(shared, "segenformer_a", tmp_path / "jax")
    (folder / "state.joblib").unlink()
    with pytest.raises(CheckpointError, match=r"missing: .*running_mean"):
        open_checkpoint(folder)


# --- what does not fit -----------------------------------------------------------------------------------------------


def test_findings_are_listed_with_the_layout(hugging_face):
    def change(tensors):
        del tensors["fc.bias"]
        tensors["fc.bias"] = torch.zeros(168)
        del tensors["esm.encoder.layer.1.LayerNorm.bias"]
        tensors["surplus.weight"] = torch.zeros(3)
        tensors["esm.encoder.layer.0.output.dense.weight"] = torch.zeros(tiny_checkpoints.WIDTH, 47)
        tensors["esm.encoder.layer.0.LayerNorm.weight"] = torch.zeros(31)

    _rewrite(hugging_face, change)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(hugging_face)
    message = str(caught.value)
    with pytest.raises(CheckpointError) as caught_early:
        inspect_checkpoint(hugging_face)
    assert str(caught_early.value) == message
    assert "Hugging Face folder" in message
    assert "1 missing: encoder.blocks.1.ffn_norm.bias" in message
    assert "1 unexpected: surplus.weight" in message
    assert "encoder.blocks.0.ffn_norm.weight is (31,), not (32,)" in message


def test_first_tensor_missing(hugging_face):
    _rewrite(hugging_face, lambda tensors: tensors.pop("fc.bias"))
    with pytest.raises(CheckpointError, match=r"head\.proj\.bias"):
        open_checkpoint(hugging_face)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("position_embedding_type", "absolute", "position_embedding_type"),
        ("emb_layer_norm_before", True, "emb_layer_norm_before"),
        ("num_attention_heads", 5, "how many heads"),
        ("features", ["exon"], "names 1 features"),
        ("features", None, None),
        ("rescaling_factor", "two", "rescaling_factor of its configuration is no number"),
        ("layer_norm_eps", [1], "layer_norm_eps of its configuration is no number"),
        ("num_attention_heads", 32, "cannot be rotated"),
    ],
)
def test_configuration_that_contradicts(hugging_face, key, value, said):
    config = {**json.loads((hugging_face / "config.json").read_text()), key: value}
    (hugging_face / "config.json").write_text(json.dumps(config))
    if said is None:
        assert len(open_checkpoint(hugging_face)[0].tracks) == 14
        return
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(hugging_face)


def test_card_that_makes_no_model(hugging_face, tmp_path):
    card, tensors = open_checkpoint(hugging_face)
    write_checkpoint(tmp_path / "own", card, tensors)
    file = tmp_path / "own" / "card.json"
    values = json.loads(file.read_text())
    for change in ({"width": "wide"}, {"layers": None}, {"width": -1}):
        encoder = {**values["config"]["encoder"], **change}
        file.write_text(json.dumps({**values, "config": {**values["config"], "encoder": encoder}}))
        with pytest.raises(CheckpointError, match="makes no segment_nt"):
            open_checkpoint(tmp_path / "own")


def test_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint found"):
        open_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="is no folder"):
        open_checkpoint(tmp_path / "absent")


def test_damaged_weights_of_our_own_layout(hugging_face, tmp_path):
    card, tensors = open_checkpoint(hugging_face)
    folder = tmp_path / "own"
    write_checkpoint(folder, card, tensors)
    file = folder / "model.safetensors"
    contents = bytearray(file.read_bytes())
    contents[-1] ^= 1
    file.write_bytes(contents)
    with pytest.raises(CheckpointError, match="checksums differ"):
        open_checkpoint(folder)
    file.write_bytes(contents[: len(contents) // 2])
    with pytest.raises(CheckpointError):
        open_checkpoint(folder)
    file.unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        open_checkpoint(folder)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_truncated_files(hugging_face, jax, share):
    for file in (jax / "jax_model" / "pytree_ckpt.joblib", hugging_face / "model.safetensors"):
        contents = file.read_bytes()
        file.write_bytes(contents[: int(share * len(contents))])
    for folder in (jax, hugging_face):
        with pytest.raises(CheckpointError):
            open_checkpoint(folder)


# --- hostile files ---------------------------------------------------------------------------------------------------


class _Calls:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _touch(path: Path) -> list:
    """Objects that leave a file behind when they are unpickled as Python does."""
    code = f"open({str(path)!r}, 'w').close()"
    return [
        _Calls(os.system, f"touch '{path}'"),
        _Calls(builtins.eval, code),
        _Calls(builtins.exec, code),
        _Calls(Path.touch, path),
        _Calls(os.open, str(path), os.O_CREAT),
        _Calls(np.savetxt, str(path), [1.0]),
        _Calls(torch.save, torch.zeros(1), str(path)),
    ]


HOSTILE = range(len(_touch(Path())))


@pytest.mark.parametrize("which", HOSTILE)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("place", ["tree", "array", "key"])
def test_hostile_joblib(jax, tmp_path, which, protocol, place):
    witness = tmp_path / "witness"
    evil = _touch(witness)[which]
    tree = {"tree": {"a": evil}, "array": {"a": {"w": evil}}, "key": [evil]}[place]
    contents = pickle.dumps(tree, protocol=protocol)
    (jax / "jax_model" / "pytree_ckpt.joblib").write_bytes(contents)
    with pytest.raises(CheckpointError):
        open_checkpoint(jax)
    assert not witness.exists()
    pickle.loads(contents)
    assert witness.exists(), "the test's file is not hostile at all"


@pytest.mark.parametrize("which", HOSTILE)
def test_hostile_torch_archive(hugging_face, tmp_path, which):
    witness = tmp_path / "witness"
    (hugging_face / "model.safetensors").unlink()
    torch.save({"fc.weight": _touch(witness)[which]}, hugging_face / "pytorch_model.bin")
    for read in (open_checkpoint, inspect_checkpoint):
        with pytest.raises(CheckpointError, match=r"not read.* asks for more than tensors") as caught:
            read(hugging_face)
        assert "weights_only" not in str(caught.value)  # torch advises to switch it off
    assert not witness.exists()


def test_a_hostile_torch_archive_is_told_what_it_asks_for(hugging_face, tmp_path):
    (hugging_face / "model.safetensors").unlink()
    torch.save({"fc.weight": _Calls(os.system, "true")}, hugging_face / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"asks for more than tensors: (posix|nt)\.system"):
        open_checkpoint(hugging_face)


def test_old_formats_of_torch_are_refused(hugging_face, tmp_path):
    witness = tmp_path / "witness"
    (hugging_face / "model.safetensors").unlink()
    file = hugging_face / "pytorch_model.bin"
    file.write_bytes(pickle.dumps(_touch(witness)[0]))
    with pytest.raises(CheckpointError, match="no archive"):
        open_checkpoint(hugging_face)
    torch.save({"a": torch.zeros(1)}, file, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="no archive"):
        open_checkpoint(hugging_face)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/constants.pkl", pickle.dumps(_touch(witness)[0]))
        archive.writestr("model/code/__torch__.py", "")
    with pytest.raises(CheckpointError, match="TorchScript"):
        open_checkpoint(hugging_face)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", bytes(10_000))
    with pytest.raises(CheckpointError, match="compressed"):
        open_checkpoint(hugging_face)
    assert not witness.exists()


def _frozen(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def _text(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


NESTED = b"".join([b")\x94", *(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86\x94" for i in range(60))])

CRAFTED = {
    "attribute of an allowed module": _frozen(_text("numpy"), _text("dtype.type"), b"\x93)R"),
    "module below an allowed one": _frozen(_text("numpy.core.multiarray"), _text("fromfile"), b"\x93)R"),
    "builtins getattr": _frozen(_text("builtins"), _text("getattr"), b"\x93)R"),
    "call of an array class": _frozen(_text("numpy"), _text("ndarray"), b"\x93K\x05\x85R"),
    "call of a tuple": _frozen(b"))R"),
    "state for a dictionary": _frozen(b"}}", _text("__class__"), b"Nsb"),
    "state for a text": _frozen(_text("a"), b"}b"),
    "persistent id": _frozen(b"Vos\n\x94Q"),
    "old class": b"(cos\nsystem\nVtrue\no.",
    "old instance": b"(Vtrue\nios\nsystem\n.",
    "extension registry": _frozen(b"\x82\x01"),
    "new object with keywords": _frozen(_text("numpy"), _text("dtype"), b"\x93)}\x92"),
    "buffer from outside": _frozen(b"\x97"),
    "array of objects": _frozen(
        b"}", _text("a"), b"}", _text("w"), _text("numpy"), _text("dtype"), b"\x93", _text("O8"), b"\x85Rss"
    ),
    "no tree": _frozen(b"K\x01"),
    "tree of texts": _frozen(b"}", _text("a"), b"}", _text("w"), _text("x"), b"ss"),
    "eight gigabytes that are not there": _frozen(b"\x8e", (8 * 2**30).to_bytes(8, "little")),
    "byte array of a terabyte": _frozen(b"\x96", (2**40).to_bytes(8, "little")),
    "frame of a terabyte": _frozen(b"\x95", (2**40).to_bytes(8, "little")),
    "hash that never ends": _frozen(b"}", NESTED, b"Ns"),
    "hashes that never end": _frozen(b"}(", NESTED, b"Nu"),
    "empty": b"",
    "stop": b".",
}


@pytest.mark.timeout(60)
def test_flipped_bytes_end_in_an_error_or_an_array(tmp_path):
    """A thousand damaged copies: none does more than fail, whatever the damage means to the interpreter."""
    random = np.random.default_rng(5)
    file = tmp_path / "params.joblib"
    sources = []
    for protocol in (2, 4, 5):
        joblib.dump({"a": {"w": np.ones((3, 2), "f4"), "b": np.zeros(2, "f4")}}, file, protocol=protocol)
        sources.append(file.read_bytes())
        sources.append(pickle.dumps({"a": {"w": np.ones((3, 2), "f4")}}, protocol=protocol))
    failed = 0
    for i in range(1000):
        contents = bytearray(sources[i % len(sources)])
        for place in random.integers(0, len(contents), random.integers(1, 4)):
            contents[place] = random.integers(0, 256)
        file.write_bytes(contents)
        try:
            tree = read_tree(file)
        except CheckpointError:
            failed += 1
        else:
            assert all(isinstance(array, np.ndarray) for module in tree.values() for array in module.values())
    assert failed > 500


@pytest.mark.parametrize("name", CRAFTED)
@pytest.mark.timeout(20)
def test_crafted_pickles(tmp_path, name):
    file = tmp_path / "params.joblib"
    file.write_bytes(CRAFTED[name])
    with pytest.raises(CheckpointError):
        read_tree(file)


def _joblib_array(shape: tuple) -> bytes:
    """A joblib file of one array of three zeros that claims another shape; protocol 3 has no frames to adjust."""
    buffer = io.BytesIO()
    joblib.dump({"a": {"w": np.zeros(3, "f4")}}, buffer, protocol=3)
    sizes = b"".join(b"\x8a\x09" + size.to_bytes(9, "little", signed=True) for size in shape)
    contents = buffer.getvalue()
    assert contents.count(b"K\x03\x85") == 1
    return contents.replace(b"K\x03\x85", sizes + {1: b"\x85", 2: b"\x86"}[len(shape)])


@pytest.mark.parametrize("shape", [(2**40,), (2**62, 2**62), (-1,), (4,)])
@pytest.mark.timeout(20)
def test_arrays_larger_than_their_file(tmp_path, shape):
    file = tmp_path / "params.joblib"
    file.write_bytes(_joblib_array((3,)))
    assert read_tree(file)["a"]["w"].shape == (3,)
    file.write_bytes(_joblib_array(shape))
    with pytest.raises(CheckpointError):
        read_tree(file)


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    witness = tmp_path / "witness"
    file = tmp_path / "params.joblib"
    joblib.dump({"a": {"w": np.array([_touch(witness)[0]], dtype=object)}}, file)
    with pytest.raises(CheckpointError, match="something else than numbers"):
        read_tree(file)
    assert not witness.exists()


def test_compressed_bomb(tmp_path):
    file = tmp_path / "params.joblib"
    joblib.dump({"a": {"w": np.zeros(2**26, np.uint8)}}, file, compress=("zlib", 9))
    assert file.stat().st_size < 2**17
    with pytest.raises(CheckpointError, match="more than 100 times"):
        read_tree(file)


def test_index_that_points_outside(hugging_face):
    (hugging_face / "model.safetensors").unlink()
    index = hugging_face / "model.safetensors.index.json"
    for name in ("../model.safetensors", "/etc/passwd"):
        index.write_text(json.dumps({"weight_map": {"fc.weight": name}}))
        with pytest.raises(CheckpointError, match="not a file beside it"):
            open_checkpoint(hugging_face)


def test_no_file_beside_the_weights_is_executed(hugging_face, tmp_path):
    """Remote code of a hub folder is never imported."""
    witness = tmp_path / "witness"
    for name in ("modeling_segment_nt.py", "segment_nt_config.py", "conftest.py"):
        (hugging_face / name).write_text(f"open({str(witness)!r}, 'w').close()")
    open_checkpoint(hugging_face)
    assert not witness.exists()


def test_reading_needs_neither_jax_nor_transformers_nor_joblib(jax):
    """In a fresh interpreter none of them is imported."""
    import subprocess

    code = (
        "import sys; from segnt_tools.models.checkpoints import open_checkpoint; "
        f"open_checkpoint({str(jax)!r}); "
        "print([m for m in ('jax', 'transformers', 'joblib') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_unknown_tensors_of_a_foreign_checkpoint(tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    safetensors.torch.save_file({"bert.pooler.weight": torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="no known architecture"):
        open_checkpoint(folder)
    assert read_foreign(Layout.HUGGING_FACE, folder).config == {}
    with pytest.raises(CheckpointError):
        interpret(read_foreign(Layout.HUGGING_FACE, folder))
