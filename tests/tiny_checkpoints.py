"""Tiny SegmentNT checkpoints with random weights of our own, in the layouts in which users have the official ones.

For tests of reading, converting and predicting end to end, also from Galaxy and Nextflow:

    python tests/tiny_checkpoints.py FOLDER --layout hugging-face|jax|own [--seed 1]

The weights mean nothing, but probabilities spread over 0 to 1 (logits of standard deviation 2). Names are spelled out
here once more, independently of the tables that read them.
"""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

FEATURES = [
    "protein_coding_gene",
    "lncRNA",
    "exon",
    "intron",
    "splice_donor",
    "splice_acceptor",
    "5UTR",
    "3UTR",
    "CTCF-bound",
    "polyA_signal",
    "enhancer_Tissue_specific",
    "enhancer_Tissue_invariant",
    "promoter_Tissue_specific",
    "promoter_Tissue_invariant",
]
WIDTH, HEADS, FFN, LAYERS, VOCABULARY = 32, 2, 48, 2, 4107
RESCALING = 2.44140625


def jax_tree(seed: int = 1) -> dict[str, dict[str, np.ndarray]]:
    """Random parameters under the names and in the shapes of the JAX files."""
    random = np.random.default_rng(seed)

    def matrix(*shape: int, scale: float = 1.0) -> np.ndarray:
        fan_in = int(np.prod(shape[:-1]))
        return (random.standard_normal(shape) * scale / np.sqrt(fan_in)).astype(np.float32)

    def vector(size: int, around: float = 0.0) -> np.ndarray:
        return (around + 0.1 * random.standard_normal(size)).astype(np.float32)

    def norm() -> dict[str, np.ndarray]:
        return {"scale": vector(WIDTH, 1.0), "offset": vector(WIDTH)}

    def linear(before: int, after: int, scale: float = 1.0) -> dict[str, np.ndarray]:
        return {"w": matrix(before, after, scale=scale), "b": vector(after)}

    root = "dcnuc_v2_500M_multi_species"
    tree = {f"{root}/~/embed": {"embeddings": random.standard_normal((VOCABULARY, WIDTH)).astype(np.float32)}}
    for n in range(LAYERS):
        block = f"{root}/attention_layer_{n}/~"
        tree[f"{block}/self_attention_layer_norm"] = norm()
        for name in ("query", "key", "value", "mha_output"):
            tree[f"{block}/self_attention/{name}"] = linear(WIDTH, WIDTH)
        tree[f"{block}/final_layer_norm"] = norm()
        tree[f"{block}/fc1"] = {"w": matrix(WIDTH, 2 * FFN)}
        tree[f"{block}/fc2"] = {"w": matrix(FFN, WIDTH)}
    tree[f"{root}/~/roberta_lm_head/~/emb_layer_norm_after"] = norm()
    tree[f"{root}/~/roberta_lm_head/~/lm_head_fc_1"] = linear(WIDTH, WIDTH)
    tree[f"{root}/~/roberta_lm_head/~/lm_head_layer_norm"] = norm()
    tree[f"{root}/~/roberta_lm_head/~/lm_final_fc"] = linear(WIDTH, VOCABULARY)
    unet = "u_net_head/~/unet1_d_segmentation_head/~"
    sizes = {
        "downsample": [(WIDTH, WIDTH), (WIDTH, 2 * WIDTH)],
        "upsample": [(2 * WIDTH, 2 * WIDTH), (2 * WIDTH, WIDTH)],
    }
    for i, (before, after) in enumerate(sizes["downsample"]):
        for j in range(2):
            weight = matrix(3, after if j else before, after, scale=1.5)
            tree[f"{unet}/downsample_block_{i}/~/conv{j}"] = {"w": weight, "b": vector(after)}
    for i, (before, after) in enumerate(sizes["upsample"]):
        for j in range(2):
            weight = matrix(3, after if j else before, after, scale=1.5).transpose(0, 2, 1).copy()
            tree[f"{unet}/upsample_block_{i}/~/conv_transpose{j}"] = {"w": weight, "b": vector(after)}
    for j in range(2):
        tree[f"{unet}/final_conv1_d/~/conv{j}"] = {"w": matrix(3, WIDTH, WIDTH, scale=1.5), "b": vector(WIDTH)}
    tree["u_net_head/~/fc"] = linear(WIDTH, 6 * len(FEATURES) * 2)
    return tree


def jax_hyperparameters() -> dict:
    """The contents of hyperparams.json."""
    return {
        "alphabet_size": VOCABULARY,
        "pad_token_id": 1,
        "mask_token_id": 2,
        "max_positions": 2048,
        "embed_scale": 1.0,
        "emb_layer_norm_before": False,
        "attention_heads": HEADS,
        "key_size": WIDTH // HEADS,
        "embed_dim": WIDTH,
        "ffn_embed_dim": FFN,
        "num_layers": LAYERS,
        "positional_embedding": None,
        "lm_head": "roberta",
        "add_bias_kv": False,
        "add_bias_ffn": False,
        "use_rotary_embedding": True,
        "ffn_activation_name": "swish",
        "use_glu_in_ffn": True,
        "mask_before_attention": False,
        "token_dropout": False,
        "masking_ratio": 0.0,
        "masking_prob": 0.0,
        "use_gradient_checkpointing": False,
        "k_for_kmers": 6,
        "rescaling_factor": RESCALING,
        "features": FEATURES,
    }


def hugging_face_config() -> dict:
    """The contents of config.json; the norm epsilon is that of the JAX code, so that both layouts are one model."""
    return {
        "architectures": ["SegmentNT"],
        "model_type": "esm",
        "add_bias_fnn": False,
        "emb_layer_norm_before": False,
        "features": FEATURES,
        "hidden_size": WIDTH,
        "intermediate_size": FFN,
        "layer_norm_eps": 1e-5,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "position_embedding_type": "rotary",
        "rescaling_factor": RESCALING,
        "token_dropout": False,
        "vocab_size": VOCABULARY,
    }


def hugging_face_tensors(tree: dict[str, dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """The same parameters under the names and in the shapes of the Hugging Face files."""
    out: dict[str, np.ndarray] = {}
    names = {"query": "self.query", "key": "self.key", "value": "self.value", "mha_output": "output.dense"}
    for module, parameters in tree.items():
        last = module.rpartition("/")[2]
        layer = module.partition("attention_layer_")[2].partition("/")[0]
        esm = f"esm.encoder.layer.{layer}"
        if last == "embed":
            out["esm.embeddings.word_embeddings.weight"] = parameters["embeddings"]
        elif last in names:
            out[f"{esm}.attention.{names[last]}.weight"] = parameters["w"].T
            out[f"{esm}.attention.{names[last]}.bias"] = parameters["b"]
        elif last in ("self_attention_layer_norm", "final_layer_norm", "emb_layer_norm_after"):
            place = {
                "self_attention_layer_norm": f"{esm}.attention.LayerNorm",
                "final_layer_norm": f"{esm}.LayerNorm",
                "emb_layer_norm_after": "esm.encoder.emb_layer_norm_after",
            }[last]
            out[f"{place}.weight"], out[f"{place}.bias"] = parameters["scale"], parameters["offset"]
        elif last in ("fc1", "fc2"):
            out[f"{esm}.{'intermediate' if last == 'fc1' else 'output'}.dense.weight"] = parameters["w"].T
        elif last == "fc":
            out["fc.weight"], out["fc.bias"] = parameters["w"].T, parameters["b"]
        elif "unet1_d" in module:
            block, j = module.split("/")[-3], last[-1]
            weight = parameters["w"]
            if block.startswith("downsample"):
                place, turned = f"unet._downsample_blocks.{block[-1]}.conv_layers.{j}", weight.transpose(2, 1, 0)
            elif block.startswith("upsample"):
                # A true transposed convolution flips its kernel, the JAX code does not.
                place, turned = f"unet._upsample_blocks.{block[-1]}.conv_layers.{j}", weight[::-1].transpose(2, 1, 0)
            else:
                place, turned = f"unet.final_block.conv_layers.{j}", weight.transpose(2, 1, 0)
            out[f"{place}.weight"], out[f"{place}.bias"] = turned, parameters["b"]
    out["esm.embeddings.position_embeddings.weight"] = np.zeros((2050, WIDTH), np.float32)
    out["esm.contact_head.regression.weight"] = np.zeros((1, LAYERS * HEADS), np.float32)
    out["esm.contact_head.regression.bias"] = np.zeros(1, np.float32)
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in out.items()}


def write_hugging_face(folder: Path, seed: int = 1) -> Path:
    """A folder with config.json and model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(hugging_face_tensors(jax_tree(seed)), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(hugging_face_config(), indent=2))
    return folder


def write_jax(folder: Path, seed: int = 1) -> Path:
    """A folder with jax_model/hyperparams.json and jax_model/pytree_ckpt.joblib (a plain pickle, as joblib's)."""
    place = folder / "jax_model"
    place.mkdir(parents=True, exist_ok=True)
    with (place / "pytree_ckpt.joblib").open("wb") as handle:
        pickle.dump(jax_tree(seed), handle)
    (place / "hyperparams.json").write_text(json.dumps(jax_hyperparameters(), indent=2))
    return folder


def write_own(folder: Path, seed: int = 1) -> Path:
    """A folder in our own layout."""
    from segnt_tools.models.checkpoints import open_checkpoint, write_checkpoint

    source = write_hugging_face(folder / "source", seed)
    card, tensors = open_checkpoint(source, name="tiny_segment_nt")
    write_checkpoint(folder, card, tensors)
    for file in source.iterdir():
        file.unlink()
    source.rmdir()
    return folder


WRITERS = {"hugging-face": write_hugging_face, "jax": write_jax, "own": write_own}


def main() -> None:
    """Write one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layout", choices=sorted(WRITERS), default="hugging-face")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    WRITERS[options.layout](options.folder, options.seed)


if __name__ == "__main__":
    main()
