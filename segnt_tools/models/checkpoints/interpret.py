"""From foreign tensors and configuration to our names, our hyperparameters and a card.

Sizes are read off the tensors; a configuration file is asked only for what tensors cannot say (number of heads, norm
epsilon, stretch of the rotary base, names of the outputs) and must not contradict them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from segnt_tools.elements import SEGMENTNT_ELEMENTS
from segnt_tools.errors import CheckpointError
from segnt_tools.models import segment_borzoi, segment_enformer, segment_nt
from segnt_tools.models.card import Card
from segnt_tools.models.checkpoints import naming
from segnt_tools.models.checkpoints.layouts import STORED_FREQUENCIES, Foreign, Layout
from segnt_tools.models.checkpoints.naming import Tensors, Turn
from segnt_tools.models.checkpoints.official import card_of, official, official_of_folder
from segnt_tools.models.nt_encoder import EncoderConfig
from segnt_tools.models.segment_borzoi import BorzoiConfig
from segnt_tools.models.segment_enformer import EnformerConfig
from segnt_tools.models.segment_nt import SegmentNTConfig

_JAX_EPS = 1e-5


@dataclass(frozen=True, slots=True)
class Interpreted:
    """A checkpoint in our words.

    Attributes:
        card: its card.
        tensors: float32, under our names.
        unknown: foreign names that nothing is known about.
        notes: what was taken for granted, for the user to know.
    """

    card: Card
    tensors: Tensors
    unknown: tuple[str, ...]
    notes: tuple[str, ...] = ()


def interpret(foreign: Foreign, name: str | None = None) -> Interpreted:
    """The card and tensors of a foreign checkpoint.

    Args:
        foreign: what its files hold.
        name: name of the model; by default that of the official checkpoint its path names, else of the folder.

    Raises:
        CheckpointError: unknown architecture, or a configuration that this program cannot run.
    """
    tensors = {key: tensor.to(torch.float32) for key, tensor in _without_prefix(foreign).items()}
    architecture = _architecture(tensors, foreign)
    table = _TABLES[architecture, foreign.layout]
    ours, unknown = table.convert(tensors)
    notes: list[str] = []
    if foreign.layout is Layout.HUGGING_FACE and architecture != segment_nt.ARCHITECTURE:
        ours, unknown, matched = _with_unet(ours, unknown, tensors)
        if matched:
            notes.append(f"U-Net tensors matched by order and shape: {matched}")
    ours = naming.fuse_qkv(ours)
    try:
        config, geometry, per_base = _configured(architecture, ours, foreign)
        outputs = ours["head.proj.bias"].numel()
    except KeyError as error:
        raise CheckpointError(
            f"tensor {error.args[0]} is missing from this {architecture} checkpoint; layout: {foreign.layout}",
            file=foreign.folder,
        ) from error
    known = official(name) if name else official_of_folder(foreign.folder, architecture)
    features = _features(foreign, outputs // (2 * per_base))
    if architecture == segment_nt.ARCHITECTURE and known is None and name is None:
        notes.append(
            f"{foreign.folder}: all outputs are taken as trained; if this is segment_nt_multi_species, of which only "
            "the genic ones are, add it with segnt models add --name segment_nt_multi_species"
        )
    title = name or (known.name if known is not None else _folder_name(foreign.folder))
    card = card_of(title, known, architecture, features, geometry, config)
    return Interpreted(card, ours, tuple(unknown), tuple(notes))


def interpret_trunk(foreign: Foreign) -> tuple[EncoderConfig, Tensors, tuple[str, ...]]:
    """An NT-v2 base model: its hyperparameters, its tensors (`encoder.` and `lm_head.`) and unknown foreign names.

    Raises:
        CheckpointError: it is none, or of a kind that this program cannot run.
    """
    table = naming.NT_JAX if foreign.layout is Layout.JAX else naming.NT_TORCH
    ours, unknown = table.convert({key: tensor.to(torch.float32) for key, tensor in foreign.tensors.items()})
    ours = naming.fuse_qkv(ours)
    try:
        return _encoder_config(ours, foreign), ours, tuple(unknown)
    except KeyError as error:
        raise CheckpointError(
            f"tensor {error.args[0]} is missing from this NT-v2 checkpoint", file=foreign.folder
        ) from error


_TABLES: Mapping[tuple[str, Layout], naming.Table] = {
    (segment_nt.ARCHITECTURE, Layout.JAX): naming.SEGMENT_NT_JAX,
    (segment_nt.ARCHITECTURE, Layout.HUGGING_FACE): naming.SEGMENT_NT_TORCH,
    (segment_enformer.ARCHITECTURE, Layout.JAX): naming.ENFORMER_JAX,
    (segment_enformer.ARCHITECTURE, Layout.HUGGING_FACE): naming.ENFORMER_TORCH,
    (segment_borzoi.ARCHITECTURE, Layout.JAX): naming.BORZOI_JAX,
    (segment_borzoi.ARCHITECTURE, Layout.HUGGING_FACE): naming.BORZOI_TORCH,
}

# A tensor that only this architecture has, by layout, without the prefix that a wrapping class may add.
_ANCHORS: Mapping[tuple[str, Layout], str] = {
    (segment_nt.ARCHITECTURE, Layout.JAX): "encoder/~/embed|embeddings",
    (segment_nt.ARCHITECTURE, Layout.HUGGING_FACE): "esm.embeddings.word_embeddings.weight",
    (segment_enformer.ARCHITECTURE, Layout.JAX): "Enformer/~_stem/conv1_d|w",
    (segment_enformer.ARCHITECTURE, Layout.HUGGING_FACE): "stem.2.to_attn_logits.weight",
    (segment_borzoi.ARCHITECTURE, Layout.JAX): "Borzoi/~_stem/conv1_d|w",
    (segment_borzoi.ARCHITECTURE, Layout.HUGGING_FACE): "conv_dna.conv_layer.weight",
}


def _without_prefix(foreign: Foreign) -> Tensors:
    """Tensors without the prefix that a wrapping class put before the trunk's names (unknown for Borzoi)."""
    for (_, layout), anchor in _ANCHORS.items():
        if layout is foreign.layout and (key := next((k for k in foreign.tensors if k.endswith(f".{anchor}")), None)):
            prefix = key.removesuffix(anchor)
            return {name.removeprefix(prefix): tensor for name, tensor in foreign.tensors.items()}
    return dict(foreign.tensors)


def _architecture(tensors: Tensors, foreign: Foreign) -> str:
    for (architecture, layout), anchor in _ANCHORS.items():
        if layout is foreign.layout and anchor in tensors:
            if architecture == segment_nt.ARCHITECTURE and not _has_head(tensors):
                raise CheckpointError(
                    "is a base model without a segmentation head, which cannot annotate",
                    file=foreign.folder,
                    hint="Use a SegmentNT checkpoint, or fine-tune this one with segnt train",
                )
            return architecture
    raise CheckpointError(
        f"is a checkpoint of no known architecture; layout: {foreign.layout}; "
        f"it starts with the tensors {', '.join(sorted(tensors)[:3]) or 'none'}",
        file=foreign.folder,
        hint="Known: SegmentNT, SegmentEnformer, SegmentBorzoi",
    )


def _has_head(tensors: Tensors) -> bool:
    return any(name.startswith(("head/", "unet", "fc.")) for name in tensors)


def _folder_name(folder: Path) -> str:
    parts = [part for part in folder.absolute().parts if part != "jax_model"]
    return parts[-1]


def _features(foreign: Foreign, count: int) -> list[str]:
    given = foreign.config.get("features")
    if given is None and count == len(SEGMENTNT_ELEMENTS):
        return list(SEGMENTNT_ELEMENTS)
    if not isinstance(given, list) or not all(isinstance(feature, str) for feature in given):
        raise CheckpointError(
            f"has {count} outputs and its configuration does not name them",
            file=foreign.folder,
            hint="Put their names, in order, as `features` into config.json or hyperparams.json",
        )
    if len(given) != count or len(set(given)) != count:
        raise CheckpointError(f"has {count} outputs but names {len(set(given))} features", file=foreign.folder)
    return given


def _configured(architecture: str, ours: Tensors, foreign: Foreign) -> tuple[dict[str, Any], Any, int]:
    """The card's configuration, the windows and the bases of an output position."""
    if architecture == segment_nt.ARCHITECTURE:
        encoder = _encoder_config(ours, foreign)
        head_channels = ours["head.down.0.0.weight"].shape[0]
        return SegmentNTConfig(encoder, head_channels).as_dict(), segment_nt.GEOMETRY, segment_nt.BASES
    if architecture == segment_enformer.ARCHITECTURE:
        enformer = enformer_config(ours)
        return enformer.as_dict(), segment_enformer.GEOMETRY, enformer.bases
    borzoi = borzoi_config(ours)
    return borzoi.as_dict(), segment_borzoi.GEOMETRY, borzoi.bases


# --- SegmentNT -------------------------------------------------------------------------------------------------------


def _encoder_config(ours: Tensors, foreign: Foreign) -> EncoderConfig:
    config = foreign.config
    _refuse_other_encoders(config, foreign)
    vocabulary, width = ours["encoder.embed.weight"].shape
    inner = ours["encoder.blocks.0.attn.out.weight"].shape[1]
    heads = config.get("attention_heads", config.get("num_attention_heads"))
    if not isinstance(heads, int) or heads < 1 or inner % heads:
        raise CheckpointError(
            f"its configuration does not say how many heads share the {inner} channels of attention",
            file=foreign.folder,
            hint="hyperparams.json (JAX) or config.json (Hugging Face) must lie beside the weights",
        )
    jax = foreign.layout is Layout.JAX
    share = _number(foreign, "masking_ratio", 0.0) * _number(foreign, "masking_prob", 0.0) if jax else 0.15 * 0.8
    return EncoderConfig(
        vocabulary=vocabulary,
        width=width,
        layers=_count(ours, r"encoder\.blocks\.(\d+)\..*"),
        heads=heads,
        head_width=inner // heads,
        ffn_width=ours["encoder.blocks.0.ffn.out.weight"].shape[1],
        norm_eps=_JAX_EPS if jax else _number(foreign, "layer_norm_eps", 1e-12),
        rescaling_factor=_stored_rescaling(foreign, inner // heads),
        token_dropout=bool(config.get("token_dropout", False)),
        masked_share=share,
    )


def _number(foreign: Foreign, key: str, default: float) -> float:
    """A number of the configuration; the default where it is absent or null."""
    value = foreign.config.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CheckpointError(f"{key} of its configuration is no number", file=foreign.folder)
    return float(value)


def _refuse_other_encoders(config: Mapping[str, Any], foreign: Foreign) -> None:
    """Stop at what NT-v2 does not have, such as NT-v1's learned positions and biases in the feed-forward part."""
    wanted = (
        {"use_rotary_embedding": True, "use_glu_in_ffn": True, "ffn_activation_name": "swish", "add_bias_ffn": False}
        if foreign.layout is Layout.JAX
        else {"position_embedding_type": "rotary"}
    )
    wrong = [
        f"{key} is {config.get(key)!r}, not {value!r}" for key, value in wanted.items() if config.get(key) != value
    ]
    off = ("emb_layer_norm_before", "add_bias_fnn", "add_bias_kv")
    wrong += [f"{key} is on" for key in off if config.get(key)]
    if config.get("embed_scale", 1.0) != 1.0:
        wrong.append(f"embed_scale is {config['embed_scale']}")
    if wrong:
        raise CheckpointError(
            "is no NT-v2 encoder as its configuration describes it: " + "; ".join(wrong),
            file=foreign.folder,
            hint="config.json or hyperparams.json of the download must lie beside the weights; NT-v1 is not supported",
        )


def _stored_rescaling(foreign: Foreign, head_width: int) -> float | None:
    """The stretch of the rotary base; from stored frequencies where an old upload left it out of its configuration."""
    if foreign.config.get("rescaling_factor") is not None:
        return _number(foreign, "rescaling_factor", 1.0)
    stored = next((t for name, t in foreign.tensors.items() if name.endswith(STORED_FREQUENCIES)), None)
    if stored is None or stored.numel() < 2:
        return None
    base = float(stored[1]) ** (-head_width / 2)
    factor = (base / 10000) ** ((head_width - 2) / head_width)
    return factor if abs(factor - 1) > 1e-3 else None


# --- Enformer and Borzoi ---------------------------------------------------------------------------------------------


def _count(ours: Tensors, pattern: str) -> int:
    """One more than the largest number that a pattern finds in the names; 0 if it finds none."""
    return max((int(match[1]) for name in ours if (match := re.fullmatch(pattern, name))), default=-1) + 1


def _transformer_sizes(ours: Tensors) -> dict[str, int]:
    _, heads, _, key_width = ours["transformer.blocks.0.attn.content_bias"].shape
    return {
        "layers": _count(ours, r"transformer\.blocks\.(\d+)\..*"),
        "heads": heads,
        "key_width": key_width,
        "position_features": ours["transformer.blocks.0.attn.to_rel_k.weight"].shape[1],
        "head_channels": ours["head.down.0.0.weight"].shape[0],
    }


def enformer_config(ours: Tensors) -> EnformerConfig:
    """The sizes of a SegmentEnformer, from its tensors."""
    steps = _count(ours, r"tower\.(\d+)\..*")
    tower = (ours[f"tower.{i}.conv.conv.weight"].shape[0] for i in range(steps))
    return EnformerConfig(channels=(ours["stem.conv.weight"].shape[0], *tower), **_transformer_sizes(ours))


def borzoi_config(ours: Tensors, crop: int = BorzoiConfig().crop) -> BorzoiConfig:
    """The sizes of a SegmentBorzoi, from its tensors, and the crop, which no tensor tells."""
    steps = _count(ours, r"tower\.(\d+)\..*")
    tower = (ours[f"tower.{i}.conv.weight"].shape[0] for i in range(steps))
    return BorzoiConfig(
        channels=(ours["stem.weight"].shape[0], *tower),
        joined_channels=ours["up.0.pointwise.weight"].shape[0],
        separable_bias="up.0.pointwise.bias" in ours,
        embedding_channels=ours["final.conv.weight"].shape[0],
        crop=crop,
        **_transformer_sizes(ours),
    )


# --- the U-Net of Hugging Face's Enformer and Borzoi, whose names are not known ---

_PLACES = tuple(f"{part}.{i}" for part in ("down.0", "down.1", "up.0", "up.1", "out") for i in range(2))


def _with_unet(ours: Tensors, unknown: list[str], tensors: Tensors) -> tuple[Tensors, list[str], str]:
    """Find the ten convolutions and the projection of the U-Net among the unknown tensors, by order and shape.

    Returns:
        All our tensors, the names that are still unknown, and what was taken for what; an empty text if nothing fits.
    """
    convs = [n.removesuffix(".weight") for n in unknown if n.endswith(".weight") and tensors[n].dim() == 3]
    linears = [n.removesuffix(".weight") for n in unknown if n.endswith(".weight") and tensors[n].dim() == 2]
    if len(convs) != len(_PLACES) or len(linears) != 1:
        return ours, unknown, ""
    ordered = _ordered(convs)
    turn = _fitting_turn([tensors[f"{name}.weight"] for name in ordered])
    if turn is None:
        return ours, unknown, ""
    found = dict(ours)
    for place, name in zip(_PLACES, ordered, strict=True):
        weight = tensors[f"{name}.weight"]
        found[f"head.{place}.weight"] = turn(weight) if place.startswith("up") else weight
    sources = [*zip(_PLACES, ordered, strict=True), ("proj", linears[0])]
    found["head.proj.weight"] = tensors[f"{linears[0]}.weight"]
    for place, name in sources:
        if f"{name}.bias" in tensors:
            found[f"head.{place}.bias"] = tensors[f"{name}.bias"]
    used = {f"{name}.{kind}" for _, name in sources for kind in ("weight", "bias")}
    matched = ", ".join(f"{theirs} -> head.{place}" for place, theirs in sources)
    return found, [name for name in unknown if name not in used], matched


def _ordered(names: list[str]) -> list[str]:
    """Down, up, then final convolutions, each by their numbers; the file's order where the names do not tell."""

    def numbers(name: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", name)]

    down = [name for name in names if "down" in name.lower()]
    up = [name for name in names if "up" in name.lower().replace("down", "") and name not in down]
    rest = [name for name in names if name not in down and name not in up]
    if (len(down), len(up), len(rest)) != (4, 4, 2):
        return names
    return [name for group in (down, up, rest) for name in sorted(group, key=numbers)]


def _fitting_turn(weights: list[torch.Tensor]) -> Turn | None:
    """How the upsampling weights must be turned, or None if the shapes are not those of the U-Net in this order."""
    channels = weights[0].shape[0]
    wide = 2 * channels
    inner = [(channels, channels), (wide, channels), (wide, wide), (wide, wide), (wide, wide)]
    last = [(channels, channels), (channels, channels), (channels, channels)]
    for crossing, turn in (((channels, wide), naming.as_is), ((wide, channels), naming.torch_transposed_conv)):
        if [tuple(weight.shape[:2]) for weight in weights[1:]] == [*inner, crossing, *last]:
            return turn
    return None
