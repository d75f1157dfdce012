"""Conversion tables: the tensor names of official checkpoints to ours, and how each tensor must be turned.

A rule is a pattern on the foreign name, a template of our name, and a turn. Foreign names of JAX trees are written
`module|parameter`. Sources: models.md 8 of the specification, checked number by number by the golden tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch

Tensors = dict[str, torch.Tensor]
Turn = Callable[[torch.Tensor], torch.Tensor]


def as_is(tensor: torch.Tensor) -> torch.Tensor:
    """Leave it."""
    return tensor


def flat(tensor: torch.Tensor) -> torch.Tensor:
    """(1, channels, 1) or (channels, 1) to (channels,)."""
    return tensor.reshape(-1)


def transposed(tensor: torch.Tensor) -> torch.Tensor:
    """JAX linear (in, out) to (out, in)."""
    return tensor.T.contiguous()


def linear_to_conv(tensor: torch.Tensor) -> torch.Tensor:
    """JAX linear (in, out) to a convolution of kernel 1 (out, in, 1)."""
    return tensor.T.contiguous()[..., None]


def jax_conv(tensor: torch.Tensor) -> torch.Tensor:
    """JAX convolution (kernel, in, out) to (out, in, kernel)."""
    return tensor.permute(2, 1, 0).contiguous()


def jax_transposed_conv(tensor: torch.Tensor) -> torch.Tensor:
    """JAX transposed convolution of stride 1, (kernel, out, in) without a flip, to (out, in, kernel)."""
    return tensor.permute(1, 2, 0).contiguous()


def jax_pool(tensor: torch.Tensor) -> torch.Tensor:
    """JAX 1 x 1 convolution in two dimensions (1, 1, in, out) to (out, in, 1)."""
    return tensor[0, 0].T.contiguous()[..., None]


def torch_transposed_conv(tensor: torch.Tensor) -> torch.Tensor:
    """ConvTranspose1d of stride 1, (in, out, kernel), to the convolution (out, in, kernel) that does the same."""
    return tensor.flip(-1).transpose(0, 1).contiguous()


def torch_pool(tensor: torch.Tensor) -> torch.Tensor:
    """1 x 1 convolution in two dimensions (out, in, 1, 1) to (out, in, 1)."""
    return tensor.reshape(*tensor.shape[:2], 1)


@dataclass(frozen=True, slots=True)
class Rule:
    """How one kind of foreign tensor becomes one of ours.

    Attributes:
        pattern: regular expression of the whole foreign name.
        name: our name, with the pattern's groups as `\\1`.
        turn: what to do with the tensor.
    """

    pattern: re.Pattern[str]
    name: str
    turn: Turn = as_is


@dataclass(frozen=True, slots=True)
class Table:
    """All rules of one architecture in one layout.

    Attributes:
        rules: the first that matches counts.
        ignored: foreign names that a checkpoint may have and the model does not need.
    """

    rules: tuple[Rule, ...]
    ignored: tuple[re.Pattern[str], ...] = field(default=())

    def convert(self, foreign: Mapping[str, torch.Tensor]) -> tuple[Tensors, list[str]]:
        """Our tensors, and the foreign names that no rule knows."""
        ours: Tensors = {}
        unknown = []
        for name, tensor in foreign.items():
            rule, match = self._rule(name)
            if rule is not None and match is not None:
                ours[match.expand(rule.name)] = rule.turn(tensor)
            elif not any(pattern.fullmatch(name) for pattern in self.ignored):
                unknown.append(name)
        return ours, unknown

    def _rule(self, name: str) -> tuple[Rule | None, re.Match[str] | None]:
        for rule in self.rules:
            if match := rule.pattern.fullmatch(name):
                return rule, match
        return None, None


def _rules(rows: Iterable[tuple[str, str, Turn]]) -> tuple[Rule, ...]:
    """Rules from rows in which `{n}` is a number and dots and bars stand for themselves."""
    return tuple(
        Rule(re.compile(re.escape(foreign).replace(r"\{n\}", r"(\d+)")), _numbered(ours), turn)
        for foreign, ours, turn in rows
    )


def _numbered(template: str) -> str:
    numbers = iter(range(1, 10))
    return re.sub(r"\{n\}", lambda _: f"\\{next(numbers)}", template)


def _pair(foreign: str, ours: str, turn: Turn, names: tuple[str, str] = ("w", "b")) -> list[tuple[str, str, Turn]]:
    """The weight (or scale) and bias (or offset) of one JAX module."""
    weight, bias = names
    return [(f"{foreign}|{weight}", f"{ours}.weight", turn), (f"{foreign}|{bias}", f"{ours}.bias", flat)]


def _norm(foreign: str, ours: str) -> list[tuple[str, str, Turn]]:
    return _pair(foreign, ours, flat, ("scale", "offset"))


def _batch_norm(foreign: str, ours: str) -> list[tuple[str, str, Turn]]:
    return [
        *_norm(foreign, ours),
        (f"{foreign}/~/mean_ema|average", f"{ours}.running_mean", flat),
        (f"{foreign}/~/var_ema|average", f"{ours}.running_var", flat),
    ]


def _torch_pair(foreign: str, ours: str, turn: Turn = as_is) -> list[tuple[str, str, Turn]]:
    return [(f"{foreign}.weight", f"{ours}.weight", turn), (f"{foreign}.bias", f"{ours}.bias", as_is)]


def _torch_batch_norm(foreign: str, ours: str) -> list[tuple[str, str, Turn]]:
    return [
        (f"{foreign}.{name}", f"{ours}.{name}", as_is) for name in ("weight", "bias", "running_mean", "running_var")
    ]


# --- the U-Net head, alike in the three models -----------------------------------------------------------------------

_HEAD = "head/~/unet1_d_segmentation_head/~"
_JAX_HEAD = [
    *_pair(f"{_HEAD}/downsample_block_{{n}}/~/conv{{n}}", "head.down.{n}.{n}", jax_conv),
    *_pair(f"{_HEAD}/upsample_block_{{n}}/~/conv_transpose{{n}}", "head.up.{n}.{n}", jax_transposed_conv),
    *_pair(f"{_HEAD}/final_conv1_d/~/conv{{n}}", "head.out.{n}", jax_conv),
    *_pair("head/~/fc", "head.proj", transposed),
]
TORCH_HEAD = Table(
    _rules(
        [
            *_torch_pair("unet._downsample_blocks.{n}.conv_layers.{n}", "head.down.{n}.{n}"),
            *_torch_pair("unet._upsample_blocks.{n}.conv_layers.{n}", "head.up.{n}.{n}", torch_transposed_conv),
            *_torch_pair("unet.final_block.conv_layers.{n}", "head.out.{n}"),
            *_torch_pair("fc", "head.proj"),
        ]
    )
)

# --- SegmentNT and NT-v2 ---------------------------------------------------------------------------------------------

_LAYER = "encoder/attention_layer_{n}/~"
_JAX_ENCODER = [
    ("encoder/~/embed|embeddings", "encoder.embed.weight", as_is),
    *_norm(f"{_LAYER}/self_attention_layer_norm", "encoder.blocks.{n}.attn_norm"),
    *(
        row
        for long, short in (("query", "q"), ("key", "k"), ("value", "v"), ("mha_output", "out"))
        for row in _pair(f"{_LAYER}/self_attention/{long}", f"encoder.blocks.{{n}}.attn.{short}", transposed)
    ),
    *_norm(f"{_LAYER}/final_layer_norm", "encoder.blocks.{n}.ffn_norm"),
    (f"{_LAYER}/fc1|w", "encoder.blocks.{n}.ffn.into.weight", transposed),
    (f"{_LAYER}/fc2|w", "encoder.blocks.{n}.ffn.out.weight", transposed),
    *_norm("encoder/~/roberta_lm_head/~/emb_layer_norm_after", "encoder.final_norm"),
]
_LM_HEAD = "encoder/~/roberta_lm_head/~"
_JAX_LM_HEAD = [
    *_pair(f"{_LM_HEAD}/lm_head_fc_1", "lm_head.dense", transposed),
    *_norm(f"{_LM_HEAD}/lm_head_layer_norm", "lm_head.norm"),
    *_pair(f"{_LM_HEAD}/lm_final_fc", "lm_head.decoder", transposed),
]
_ESM = "esm.encoder.layer.{n}"
_TORCH_ENCODER = [
    ("esm.embeddings.word_embeddings.weight", "encoder.embed.weight", as_is),
    *_torch_pair(f"{_ESM}.attention.LayerNorm", "encoder.blocks.{n}.attn_norm"),
    *(
        row
        for long, short in (("self.query", "q"), ("self.key", "k"), ("self.value", "v"), ("output.dense", "out"))
        for row in _torch_pair(f"{_ESM}.attention.{long}", f"encoder.blocks.{{n}}.attn.{short}")
    ),
    *_torch_pair(f"{_ESM}.LayerNorm", "encoder.blocks.{n}.ffn_norm"),
    (f"{_ESM}.intermediate.dense.weight", "encoder.blocks.{n}.ffn.into.weight", as_is),
    (f"{_ESM}.output.dense.weight", "encoder.blocks.{n}.ffn.out.weight", as_is),
    *_torch_pair("esm.encoder.emb_layer_norm_after", "encoder.final_norm"),
]
_TORCH_LM_HEAD = [
    *_torch_pair("lm_head.dense", "lm_head.dense"),
    *_torch_pair("lm_head.layer_norm", "lm_head.norm"),
    ("lm_head.decoder.weight", "lm_head.decoder.weight", as_is),
    ("lm_head.decoder.bias", "lm_head.decoder.bias", as_is),
    ("lm_head.bias", "lm_head.decoder.bias", as_is),
]
_ESM_UNUSED = tuple(
    re.compile(pattern)
    for pattern in (
        r"esm\.embeddings\.position_embeddings\.weight",
        r"(esm\.)?embeddings\.position_ids|esm\.embeddings\.position_ids",
        r"esm\.contact_head\.regression\..*",
        r"esm\.pooler\..*",
        r".*\.rotary_embeddings\.inv_freq",
    )
)
_UNUSED_LM_HEAD = (
    re.compile(r"encoder/~/roberta_lm_head/~/(lm_head_fc_1|lm_head_layer_norm|lm_final_fc)\|.*"),
    re.compile(r"lm_head\..*"),
)

SEGMENT_NT_JAX = Table(_rules([*_JAX_ENCODER, *_JAX_HEAD]), _UNUSED_LM_HEAD)
SEGMENT_NT_TORCH = Table((*_rules(_TORCH_ENCODER), *TORCH_HEAD.rules), (*_ESM_UNUSED, *_UNUSED_LM_HEAD))
NT_JAX = Table(_rules([*_JAX_ENCODER, *_JAX_LM_HEAD]))
NT_TORCH = Table(_rules([*_TORCH_ENCODER, *_TORCH_LM_HEAD]), _ESM_UNUSED)

# --- the transformer of Enformer and Borzoi --------------------------------------------------------------------------


def _jax_transformer(root: str) -> list[tuple[str, str, Turn]]:
    attention = f"{root}/~_transformer_attention/layer_{{n}}"
    ffn = f"{root}/~_transformer_ffn_block/layer_{{n}}"
    ours = "transformer.blocks.{n}"
    return [
        *_norm(f"{attention}/attn_layer_norm", f"{ours}.attn_norm"),
        *(
            (f"{attention}/attention/~/attn_{name}|w", f"{ours}.attn.to_{name.removeprefix('to_')}.weight", transposed)
            for name in ("q", "k", "v", "to_rel_k")
        ),
        *_pair(f"{attention}/attention/~/attn_o", f"{ours}.attn.out", transposed),
        (f"{attention}/attention|rel_content_bias", f"{ours}.attn.content_bias", as_is),
        (f"{attention}/attention|rel_pos_bias", f"{ours}.attn.position_bias", as_is),
        *_norm(f"{ffn}/ffn_layer_norm", f"{ours}.ffn_norm"),
        *_pair(f"{ffn}/ffn_1", f"{ours}.ffn_in", transposed),
        *_pair(f"{ffn}/ffn_2", f"{ours}.ffn_out", transposed),
    ]


_TRUNK = "transformer.blocks.{n}"
_TORCH_TRANSFORMER = [
    *_torch_pair("transformer.{n}.0.fn.0", f"{_TRUNK}.attn_norm"),
    *(
        (f"transformer.{{n}}.0.fn.1.to_{name}.weight", f"{_TRUNK}.attn.to_{name}.weight", as_is)
        for name in ("q", "k", "v", "rel_k")
    ),
    *_torch_pair("transformer.{n}.0.fn.1.to_out", f"{_TRUNK}.attn.out"),
    ("transformer.{n}.0.fn.1.rel_content_bias", f"{_TRUNK}.attn.content_bias", as_is),
    ("transformer.{n}.0.fn.1.rel_pos_bias", f"{_TRUNK}.attn.position_bias", as_is),
    *_torch_pair("transformer.{n}.1.fn.0", f"{_TRUNK}.ffn_norm"),
    *_torch_pair("transformer.{n}.1.fn.1", f"{_TRUNK}.ffn_in"),
    *_torch_pair("transformer.{n}.1.fn.4", f"{_TRUNK}.ffn_out"),
]
_COUNTERS = (re.compile(r".*\.num_batches_tracked"),)
_HIDDEN_AVERAGES = re.compile(r".*/(mean|var)_ema\|(hidden|counter)")

# --- Enformer --------------------------------------------------------------------------------------------------------


def _jax_enformer_step(foreign: str, ours: str) -> list[tuple[str, str, Turn]]:
    return [
        *_batch_norm(f"{foreign}/residual_conv_block/conv_block/batch_norm", f"{ours}.residual.norm"),
        *_pair(f"{foreign}/residual_conv_block/conv_block/conv1_d", f"{ours}.residual.conv", jax_conv),
        (f"{foreign}/attention_pool/~/conv2_d|w", f"{ours}.pool.scores.weight", jax_pool),
    ]


ENFORMER_JAX = Table(
    _rules(
        [
            *_pair("Enformer/~_stem/conv1_d", "stem.conv", jax_conv),
            *_jax_enformer_step("Enformer/~_stem", "stem"),
            *_batch_norm("Enformer/~_conv_tower/layer_{n}/conv_block/batch_norm", "tower.{n}.conv.norm"),
            *_pair("Enformer/~_conv_tower/layer_{n}/conv_block/conv1_d", "tower.{n}.conv.conv", jax_conv),
            *_jax_enformer_step("Enformer/~_conv_tower/layer_{n}", "tower.{n}"),
            *_jax_transformer("Enformer"),
            *_JAX_HEAD,
        ]
    ),
    (_HIDDEN_AVERAGES, re.compile(r"Enformer/~_(final_pointwise|heads)/.*")),
)
ENFORMER_TORCH = Table(
    _rules(
        [
            *_torch_pair("stem.0", "stem.conv"),
            *_torch_batch_norm("stem.1.fn.0", "stem.residual.norm"),
            *_torch_pair("stem.1.fn.2", "stem.residual.conv"),
            ("stem.2.to_attn_logits.weight", "stem.pool.scores.weight", torch_pool),
            *_torch_batch_norm("conv_tower.{n}.0.0", "tower.{n}.conv.norm"),
            *_torch_pair("conv_tower.{n}.0.2", "tower.{n}.conv.conv"),
            *_torch_batch_norm("conv_tower.{n}.1.fn.0", "tower.{n}.residual.norm"),
            *_torch_pair("conv_tower.{n}.1.fn.2", "tower.{n}.residual.conv"),
            ("conv_tower.{n}.2.to_attn_logits.weight", "tower.{n}.pool.scores.weight", torch_pool),
            *_TORCH_TRANSFORMER,
        ]
    ),
    (*_COUNTERS, re.compile(r"(final_pointwise|_heads|heads)\..*")),
)

# --- Borzoi ----------------------------------------------------------------------------------------------------------


def _jax_borzoi_up(foreign: str, ours: str) -> list[tuple[str, str, Turn]]:
    separable = f"{foreign}/separable_depthwise_conv1_d/~"
    return [
        *_batch_norm(f"{foreign}/batch_norm", f"{ours}.main.norm"),
        *_pair(f"{foreign}/linear", f"{ours}.main.conv", linear_to_conv),
        *_batch_norm(f"{foreign}/batch_norm_unet_repr", f"{ours}.skip.norm"),
        *_pair(f"{foreign}/linear_unet", f"{ours}.skip.conv", linear_to_conv),
        (f"{separable}/depthwise_conv1_d|w", f"{ours}.depthwise.weight", jax_conv),
        (f"{separable}/conv1_d|w", f"{ours}.pointwise.weight", jax_conv),
    ]


def _torch_borzoi_block(foreign: str, ours: str) -> list[tuple[str, str, Turn]]:
    return [
        *_torch_batch_norm(f"{foreign}.norm", f"{ours}.norm"),
        *_torch_pair(f"{foreign}.conv_layer", f"{ours}.conv"),
    ]


def _torch_borzoi_up(foreign: int, ours: str) -> list[tuple[str, str, Turn]]:
    return [
        *_torch_borzoi_block(f"upsampling_unet{foreign}.0", f"{ours}.main"),
        *_torch_borzoi_block(f"horizontal_conv{foreign}", f"{ours}.skip"),
        (f"separable{foreign}.conv_layer.0.weight", f"{ours}.depthwise.weight", as_is),
        *_torch_pair(f"separable{foreign}.conv_layer.1", f"{ours}.pointwise"),
    ]


BORZOI_JAX = Table(
    _rules(
        [
            *_pair("Borzoi/~_stem/conv1_d", "stem", jax_conv),
            *_batch_norm("Borzoi/~_conv_tower/layer_{n}/conv_block/batch_norm", "tower.{n}.norm"),
            *_pair("Borzoi/~_conv_tower/layer_{n}/conv_block/conv1_d", "tower.{n}.conv", jax_conv),
            *_jax_transformer("Borzoi"),
            *_jax_borzoi_up("Borzoi/~_unet_conv/u_net_conv_block_{n}", "up.{n}"),
            *_batch_norm("Borzoi/~_final_conv_block/conv_block/batch_norm", "final.norm"),
            *_pair("Borzoi/~_final_conv_block/conv_block/conv1_d", "final.conv", jax_conv),
            *_JAX_HEAD,
        ]
    ),
    (_HIDDEN_AVERAGES, re.compile(r"Borzoi/~_heads/.*")),
)
BORZOI_TORCH = Table(
    _rules(
        [
            *_torch_pair("conv_dna.conv_layer", "stem"),
            # The places 1, 3, 5, ... of res_tower are its pools; the last convolution lies in unet1.
            *(row for i in range(5) for row in _torch_borzoi_block(f"res_tower.{2 * i}", f"tower.{i}")),
            *_torch_borzoi_block("unet1.1", "tower.5"),
            *_TORCH_TRANSFORMER,
            *_torch_borzoi_up(1, "up.0"),
            *_torch_borzoi_up(0, "up.1"),
            *_torch_borzoi_block("final_joined_convs.0", "final"),
        ]
    ),
    (*_COUNTERS, re.compile(r"(human_head|mouse_head)\..*")),
)


def fuse_qkv(tensors: Tensors) -> Tensors:
    """Join the separate projections of queries, keys and values that checkpoints hold into our one."""
    fused = dict(tensors)
    for name in tensors:
        if match := re.fullmatch(r"(encoder\.blocks\.\d+\.attn\.)q\.(weight|bias)", name):
            parts = [f"{match[1]}{letter}.{match[2]}" for letter in "qkv"]
            if all(part in tensors for part in parts):
                fused[f"{match[1]}qkv.{match[2]}"] = torch.cat([fused.pop(part) for part in parts])
    return fused
