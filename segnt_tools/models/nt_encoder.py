"""The Nucleotide Transformer v2 encoder (50M to 500M) and its masked-language-model head.

A pre-norm transformer over 6-mer tokens: rotary positions whose base is stretched for contexts longer than the
encoder was pre-trained on, attention with biases, a SwiGLU feed-forward part without biases.

In reduced precision the matrix products run in the type of their weights, while the residual stream, the norms and the
rotary tables stay in float32: angles in bfloat16 are useless after a few hundred tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
import torch.nn.functional as F
from torch import nn

from segnt_tools.errors import CheckpointError
from segnt_tools.models.tokenizer import MASK, PAD

PRETRAINING_TOKENS = 2048
TRAINED_TOKENS = 5001
"""Tokens with `<cls>` of SegmentNT's training windows (30,000 bp)."""
MASKED = -1e30


class PadStyle(StrEnum):
    """What becomes of `<pad>` tokens, which `segnt predict` never makes; for parity with official outputs.

    JAX: (query, key) pairs with a pad are set to -1e30, so that a pad query attends to everything alike.
    HUGGING_FACE: pad keys are masked and the embeddings of pads are zero.
    IGNORE: a pad is an ordinary token (Hugging Face without an attention mask).
    """

    JAX = "jax"
    HUGGING_FACE = "hugging_face"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Hyperparameters of the encoder; the defaults are those of the 500M model inside SegmentNT.

    Attributes:
        vocabulary: size of the embedding table.
        width: of the residual stream.
        layers: number of blocks.
        heads: attention heads of a block.
        head_width: width of a head.
        ffn_width: of the feed-forward part, after the gate.
        norm_eps: of every LayerNorm: 1e-5 in JAX checkpoints, what config.json says in Hugging Face ones.
        rescaling_factor: stretch of the rotary base up to 30,000 bp; None leaves it at 10,000.
        token_dropout: scale the embeddings by the share of `<mask>` tokens (off in every v2 model).
        masked_share: masking_ratio * masking_prob of the pre-training, for token_dropout.
    """

    vocabulary: int = 4107
    width: int = 1024
    layers: int = 29
    heads: int = 16
    head_width: int = 64
    ffn_width: int = 4096
    norm_eps: float = 1e-5
    rescaling_factor: float | None = 2.44140625
    token_dropout: bool = False
    masked_share: float = 0.0


def rescaling_factor(stored: float | None, tokens: int) -> float | None:
    """Stretch of the rotary base for windows of so many tokens, `<cls>` among them.

    The stored value up to the training length; beyond it tokens / 2048, the authors' rule for longer windows.
    """
    return stored if tokens <= TRAINED_TOKENS else tokens / PRETRAINING_TOKENS


def rotary_frequencies(head_width: int, factor: float | None) -> torch.Tensor:
    """Angle per position of each pair of channels, float64 (head_width / 2,).

    base = 10000 * factor^(d / (d - 2)) (NTK-aware base change), frequency_j = base^(-2 j / d).
    """
    base = 10000.0 if factor is None else 10000.0 * factor ** (head_width / (head_width - 2))
    return base ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)


class RotaryTable:
    """Cosines and sines of one window length at a time, made in float64 and kept in float32 (or float64)."""

    def __init__(self, head_width: int, stored_factor: float | None) -> None:
        self.head_width, self.stored_factor = head_width, stored_factor
        self._key: tuple[int, torch.device, torch.dtype] | None = None
        self._table: tuple[torch.Tensor, torch.Tensor] | None = None

    def __call__(self, tokens: int, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines (tokens, head_width)."""
        kept = torch.float64 if dtype == torch.float64 else torch.float32
        key = (tokens, device, kept)
        if self._table is None or self._key != key:
            frequencies = rotary_frequencies(self.head_width, rescaling_factor(self.stored_factor, tokens))
            angles = torch.arange(tokens, dtype=torch.float64)[:, None] * frequencies
            both = torch.cat([angles, angles], dim=-1)
            self._table = (both.cos().to(device, kept), both.sin().to(device, kept))
            self._key = key
        return self._table


def rotate(z: torch.Tensor, table: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotate (batch, heads, tokens, head_width) by its positions; the pairs are j and j + head_width / 2."""
    cosine, sine = table
    first, second = z.chunk(2, dim=-1)
    return (z * cosine + torch.cat([-second, first], dim=-1) * sine).to(z.dtype)


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection for queries, keys and values."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.heads, self.head_width = config.heads, config.head_width
        inner = config.heads * config.head_width
        self.qkv = nn.Linear(config.width, 3 * inner)
        self.out = nn.Linear(inner, config.width)

    def _heads(self, x: torch.Tensor, table: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        batch, tokens, _ = x.shape
        qkv = self.qkv(x.to(self.qkv.weight.dtype)).view(batch, tokens, 3, self.heads, self.head_width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        return rotate(q, table), rotate(k, table), v

    def forward(
        self, x: torch.Tensor, table: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor | None
    ) -> torch.Tensor:
        """(batch, tokens, width) to the same; the mask is added to the scores."""
        q, k, v = self._heads(x, table)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask.to(q.dtype))
        joined: torch.Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return joined

    def weights(
        self, x: torch.Tensor, table: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Attention weights (batch, heads, tokens, tokens), for looking into a model."""
        q, k, _ = self._heads(x, table)
        scores = q @ k.transpose(-1, -2) * self.head_width**-0.5
        return torch.softmax(scores if mask is None else scores + mask, dim=-1)


class FeedForward(nn.Module):
    """SwiGLU: swish on the first half of the projection times the second half."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.into = nn.Linear(config.width, 2 * config.ffn_width, bias=False)
        self.out = nn.Linear(config.ffn_width, config.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) to the same."""
        activated, gate = self.into(x.to(self.into.weight.dtype)).chunk(2, dim=-1)
        out: torch.Tensor = self.out(F.silu(activated) * gate)
        return out


class Block(nn.Module):
    """Attention and feed-forward part, each behind a norm and added to the residual stream."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.attn_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.attn = Attention(config)
        self.ffn_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.ffn = FeedForward(config)

    def forward(
        self, x: torch.Tensor, table: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor | None
    ) -> torch.Tensor:
        """(batch, tokens, width) to the same."""
        attended: torch.Tensor = x + self.attn(self.attn_norm(x), table, mask)
        fed: torch.Tensor = attended + self.ffn(self.ffn_norm(attended))
        return fed

    def attention_weights(
        self, x: torch.Tensor, table: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Attention weights (batch, heads, tokens, tokens) of a forward pass."""
        return self.attn.weights(self.attn_norm(x), table, mask)


class NTEncoder(nn.Module):
    """Token ids to embeddings."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        if config.head_width % 2:
            raise CheckpointError(f"heads of {config.head_width} channels cannot be rotated in pairs")
        self.config = config
        self.embed = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.final_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.rotary = RotaryTable(config.head_width, config.rescaling_factor)

    def forward(self, tokens: torch.Tensor, pads: PadStyle = PadStyle.JAX, *, may_pad: bool = True) -> torch.Tensor:
        """Token ids (batch, tokens) to embeddings (batch, tokens, width) after the last norm.

        Args:
            tokens: ids, `<cls>` first.
            pads: what to do with `<pad>` tokens.
            may_pad: False promises that there is none, which saves looking for one.
        """
        x, mask = self._embedded(tokens, pads, may_pad)
        table = self.rotary(tokens.shape[1], x.device, x.dtype)
        for block in self.blocks:
            x = block(x, table, mask)
        normed: torch.Tensor = self.final_norm(x)
        return normed

    @torch.no_grad()
    def layer_outputs(
        self, tokens: torch.Tensor, pads: PadStyle = PadStyle.JAX
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Output and attention weights of every block; the last output is behind the final norm, as officially."""
        x, mask = self._embedded(tokens, pads, may_pad=True)
        table = self.rotary(tokens.shape[1], x.device, x.dtype)
        outputs, weights = [], []
        for block in self.blocks:
            assert isinstance(block, Block)
            weights.append(block.attention_weights(x, table, mask))
            x = block(x, table, mask)
            outputs.append(x)
        return [*outputs[:-1], self.final_norm(x)], weights

    def _embedded(
        self, tokens: torch.Tensor, pads: PadStyle, may_pad: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        x = self.embed(tokens)
        if self.config.token_dropout:
            x = self._scaled_for_masks(x, tokens)
        padded = tokens == PAD
        if not may_pad or pads is PadStyle.IGNORE or not bool(padded.any()):
            return x, None
        if pads is PadStyle.JAX:
            hidden = padded[:, None, :, None] | padded[:, None, None, :]
            return x, torch.zeros_like(hidden, dtype=x.dtype).masked_fill(hidden, MASKED)
        lowest = torch.finfo(x.dtype).min
        hidden = padded[:, None, None, :]
        return x * ~padded[..., None], torch.zeros_like(hidden, dtype=x.dtype).masked_fill(hidden, lowest)

    def _scaled_for_masks(self, x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Zero the rows of `<mask>` and scale the rest as if the share of the pre-training had been masked."""
        masked = tokens == MASK
        share = masked.sum(1) / (tokens != PAD).sum(1)
        scale = (1 - self.config.masked_share) / (1 - share.to(x.dtype))
        return x * ~masked[..., None] * scale[:, None, None]


class MaskedLanguageHead(nn.Module):
    """Embeddings to logits of tokens: for checking the encoder alone and for pre-training."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.decoder = nn.Linear(config.width, config.vocabulary)

    def forward(self, embeddings: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Embeddings (batch, tokens, width) to logits (batch, tokens, vocabulary); 0 where the token is `<pad>`."""
        logits: torch.Tensor = self.decoder(self.norm(F.gelu(self.dense(embeddings))))
        return logits.masked_fill((tokens == PAD)[..., None], 0.0)


class MaskedLanguageModel(nn.Module):
    """The encoder with its masked-language-model head: NT-v2 as published."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.encoder = NTEncoder(config)
        self.lm_head = MaskedLanguageHead(config)

    def forward(self, tokens: torch.Tensor, pads: PadStyle = PadStyle.JAX) -> torch.Tensor:
        """Token ids (batch, tokens) to logits (batch, tokens, vocabulary)."""
        return self.lm_head(self.encoder(tokens, pads), tokens)  # type: ignore[no-any-return]
