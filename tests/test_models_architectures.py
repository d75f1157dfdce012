"""The architectures: sizes at true scale, geometry, tokens, precision, and equivalence to their textbook forms."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from segnt_tools.elements import SEGMENTNT_ELEMENTS
from segnt_tools.errors import CheckpointError, UsageError
from segnt_tools.models import relative_attention, segment_borzoi, segment_enformer, segment_nt
from segnt_tools.models.checkpoints import naming
from segnt_tools.models.checkpoints.official import card_of
from segnt_tools.models.nt_encoder import (
    EncoderConfig,
    MaskedLanguageModel,
    NTEncoder,
    PadStyle,
    RotaryTable,
    rescaling_factor,
    rotary_frequencies,
)
from segnt_tools.models.precision import FullPrecisionLinear
from segnt_tools.models.relative_attention import RelativeAttention, TransformerConfig
from segnt_tools.models.segment_borzoi import BorzoiConfig
from segnt_tools.models.segment_enformer import AttentionPool, EnformerConfig
from segnt_tools.models.segment_nt import SegmentNTConfig
from segnt_tools.models.tokenizer import CLS, KmerTokenizer, one_hot
from segnt_tools.models.unet_head import REACH, UNetHead
from segnt_tools.models.uninitialised import Uninitialised
from segnt_tools.quantisation import quantise

TRUE_SIZE = {
    segment_nt: SegmentNTConfig(),
    segment_enformer: EnformerConfig(),
    segment_borzoi: BorzoiConfig(),
}
SMALL_ENCODER = EncoderConfig(width=32, layers=2, heads=2, head_width=16, ffn_width=48)


@pytest.fixture(autouse=True)
def _one_thread_and_one_seed():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    yield
    torch.set_num_threads(before)


def _card(module, config):
    geometry, name = module.GEOMETRY, module.ARCHITECTURE
    return card_of("test", None, name, SEGMENTNT_ELEMENTS, geometry, config.as_dict())


def _true_size(module):
    with torch.device("meta"), Uninitialised():
        return module.build(_card(module, TRUE_SIZE[module]))


def _small_segment_nt():
    return segment_nt.build(_card(segment_nt, SegmentNTConfig(SMALL_ENCODER, head_channels=32))).eval()


def _codes(batch, length, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (batch, length), dtype=np.uint8))


# --- true scale ------------------------------------------------------------------------------------------------------


def _parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_published_numbers_of_parameters():
    segment = _true_size(segment_nt)
    assert _parameters(segment.encoder) == 490_982_400 + 2_048
    assert _parameters(segment.head) == 66_246_824
    assert _parameters(segment) == 562_492_595 - 5_261_323  # the JAX tree also holds the rest of the LM head
    with torch.device("meta"), Uninitialised():
        language_model = MaskedLanguageModel(EncoderConfig(rescaling_factor=None))
    assert _parameters(language_model.lm_head) == 5_261_323
    enformer = _true_size(segment_enformer)
    assert _parameters(enformer.head) == 154_165_760
    assert _parameters(enformer) == 379_286_528
    borzoi = _true_size(segment_borzoi)
    assert _parameters(borzoi.head) == 151_803_776
    assert _parameters(borzoi) == 323_072_672


@pytest.mark.parametrize(
    ("module", "table", "rules"),
    [
        (segment_nt, "segnt", naming.SEGMENT_NT_JAX),
        (segment_enformer, "segenformer", naming.ENFORMER_JAX),
        (segment_borzoi, "segborzoi", naming.BORZOI_JAX),
    ],
)
def test_every_published_tensor_finds_its_place(shared, module, table, rules):
    """The specification's table at true size, shape by shape, with tensors that take no memory."""
    rows = json.loads((shared / "spec" / f"mapping_{table}.json").read_text())["rows"]
    foreign = {}
    for row in rows:
        name = row.get("jax_module") or row["jax_module_in_checkpoint"]
        root, _, rest = name.partition("/")
        root = {"dcnuc_v2_500M_multi_species": "encoder", "u_net_head": "head"}.get(root, root)
        foreign[f"{root}/{rest}|{row['jax_param']}"] = torch.empty(row["jax_shape"], device="meta")
    tensors, unknown = rules.convert(foreign)
    assert not unknown
    shapes = {name: tensor.shape for name, tensor in naming.fuse_qkv(tensors).items()}
    assert shapes == {name: tensor.shape for name, tensor in _true_size(module).state_dict().items()}


@pytest.mark.parametrize("module", TRUE_SIZE)
def test_configuration_survives_its_card(module):
    card = _card(module, TRUE_SIZE[module])
    assert module.build.__module__ == module.__name__
    config = type(TRUE_SIZE[module])
    assert config.from_dict(json.loads(json.dumps(card.as_dict()["config"]))) == TRUE_SIZE[module]
    with pytest.raises(CheckpointError, match="configuration"):
        config.from_dict({**card.config, "surprise": 1})
    with pytest.raises(CheckpointError, match="configuration"):
        config.from_dict({})


def test_geometries():
    assert (segment_nt.GEOMETRY.length, segment_nt.GEOMETRY.multiple) == (30_000, 24)
    assert segment_nt.GEOMETRY.core % 24 == 0
    assert segment_nt.GEOMETRY.longest == 50_016  # 50 kb in whole groups of four tokens; segnt predict warns beyond
    assert segment_enformer.GEOMETRY.valid(196_608) == (0, 196_608)
    assert segment_borzoi.GEOMETRY.valid(524_288) == (163_840, 360_448)
    assert BorzoiConfig().crop * BorzoiConfig().bases == segment_borzoi.GEOMETRY.crop
    assert EnformerConfig().bases == 128
    assert BorzoiConfig().bases == 32


# --- tokens ----------------------------------------------------------------------------------------------------------


def _naive_tokens(sequence, k):
    """The procedure of the specification, piece by piece."""
    tokenizer = KmerTokenizer(k)
    ids = {token: i for i, token in enumerate(tokenizer.vocabulary)}
    out, piece = [CLS], ""
    for letter in [*sequence, None]:
        if letter in ("N", None):
            while len(piece) >= k:
                out.append(ids[piece[:k]])
                piece = piece[k:]
            out += [ids[base] for base in piece]
            piece = ""
            out += [ids["N"]] * (letter == "N")
        else:
            piece += letter
    return out


@pytest.mark.parametrize("k", [3, 6])
def test_tokens_equal_the_naive_procedure(k):
    random = np.random.default_rng(3)
    for _ in range(300):
        share = random.choice([0.0, 0.02, 0.3, 0.9])
        codes = random.integers(0, 4, random.integers(0, 60)).astype(np.uint8)
        codes[random.random(codes.size) < share] = 4
        sequence = "".join("ACGTN"[code] for code in codes)
        assert KmerTokenizer(k).encode_codes(codes).tolist() == _naive_tokens(sequence, k)
        assert KmerTokenizer(k).encode(sequence).tolist() == _naive_tokens(sequence, k)


def test_window_tokens_equal_the_tokenizer():
    codes = _codes(3, 240)
    tokens = KmerTokenizer().window_tokens(codes)
    for row, ids in zip(codes.numpy(), tokens.numpy(), strict=True):
        assert np.array_equal(KmerTokenizer().encode_codes(row), ids)


def test_tokenizer_is_vectorised():
    """A million bases with N take a fraction of a second, not a loop over 170,000 tokens in Python."""
    codes = np.random.default_rng(0).integers(0, 5, 1_000_000).astype(np.uint8)
    assert KmerTokenizer().encode_codes(codes).size > 200_000


def test_too_many_tokens():
    with pytest.raises(UsageError, match="33 tokens exceeds"):
        KmerTokenizer().encode_batch(["A" * 192], 32)


def test_one_hot():
    got = one_hot(torch.tensor([[0, 1, 2, 3, 4]], dtype=torch.uint8), torch.float32)
    assert torch.equal(got[0], torch.cat([torch.eye(4), torch.zeros(4, 1)], dim=1))


# --- rotary tables ---------------------------------------------------------------------------------------------------


def test_rescaling_rule():
    assert rescaling_factor(2.44140625, 5001) == 2.44140625  # 30,000 bp: the training value, not 5001 / 2048
    assert rescaling_factor(2.44140625, 513) == 2.44140625
    assert rescaling_factor(2.44140625, 6669) == 6669 / 2048  # 40,008 bp
    assert rescaling_factor(2.44140625, 8333) == 4.06884765625  # 49,992 bp
    assert rescaling_factor(None, 2048) is None
    bases = {2.44140625: 25127.227384, 3.25634765625: 33827.543970, 4.06884765625: 42572.759187}
    for factor, base in bases.items():
        assert float(rotary_frequencies(64, factor)[1]) == pytest.approx(base ** (-2 / 64), rel=1e-9)


def test_rotary_table_is_kept_in_float32_and_per_length():
    table = RotaryTable(64, 2.44140625)
    cosine, _ = table(8333, torch.device("cpu"), torch.bfloat16)
    assert cosine.dtype == torch.float32
    assert table(8333, torch.device("cpu"), torch.float32)[0] is cosine
    angles = 8332 * rotary_frequencies(64, 8333 / 2048)
    assert torch.allclose(cosine[8332, :32].double(), angles.cos(), atol=1e-6)
    assert table(5001, torch.device("cpu"), torch.float32)[0].shape == (5001, 64)
    assert table(5001, torch.device("cpu"), torch.float64)[0].dtype == torch.float64


# --- SegmentNT -------------------------------------------------------------------------------------------------------


def test_forward_shape_and_batch_invariance():
    model = _small_segment_nt()
    codes = _codes(3, 240)
    with torch.inference_mode():
        logits = model(codes)
        assert logits.shape == (3, 240, 14)
        assert logits.dtype == torch.float32
        for i in range(3):
            assert torch.allclose(model(codes[i : i + 1])[0], logits[i], atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batches_of_the_prepared_network_change_no_code_by_more_than_one(dtype):
    """As it runs on a CPU, with logits that spread like those of the parity cases."""
    model = _small_segment_nt()
    codes = _codes(5, 960)
    with torch.no_grad():
        model.head.proj.bias.zero_()
        model.head.proj.weight *= 1.6 / model(codes).std()
    model.set_precision(dtype)
    model.prepare_for_cpu()
    with torch.inference_mode():
        alone = torch.cat([model(window.unsqueeze(0)) for window in codes])
        assert alone.std() > 0.8
        for together in (model(codes), torch.cat([model(part) for part in codes.split(2)])):
            steps = quantise(together.numpy()).astype(int) - quantise(alone.numpy())
            assert abs(steps).max() <= 1
            if dtype == torch.float32:
                assert torch.allclose(together, alone, rtol=0, atol=1e-5)


def test_lengths():
    model = _small_segment_nt()
    with pytest.raises(UsageError, match="250 bp is no multiple of 24"):
        model(_codes(1, 250))
    with pytest.raises(UsageError, match="no multiple of 4"):
        model.class_logits(torch.zeros(1, 4, dtype=torch.long))
    with torch.inference_mode():
        assert model(_codes(1, 24)).shape == (1, 24, 14)


@pytest.mark.parametrize(("dtype", "worst"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
@pytest.mark.parametrize("length", [3072, 30_000, 49_992])
def test_reduced_precision_on_long_windows(dtype, worst, length):
    """No NaN, and probabilities near those of float32; bfloat16 angles would be useless here."""
    model = _small_segment_nt()
    with torch.no_grad():
        model.head.proj.weight *= 8
    codes = _codes(1, length)
    with torch.inference_mode():
        wanted = torch.sigmoid(model(codes))
        assert wanted.std() > 0.05
        model.set_precision(dtype)
        got = torch.sigmoid(model(codes))
    assert bool(torch.isfinite(got).all())
    difference = (got - wanted).abs()
    assert float(difference.max()) <= worst
    assert float(difference.mean()) <= worst / 10


@pytest.mark.parametrize("module", TRUE_SIZE)
def test_last_layer_and_norms_stay_in_float32(module):
    model = _true_size(module)
    model.set_precision(torch.bfloat16)
    types = {name: parameter.dtype for name, parameter in model.named_parameters()}
    assert isinstance(model.head.proj, FullPrecisionLinear)
    kept = [name for name in types if "norm" in name or name.startswith(("head.proj", "encoder.embed"))]
    assert len(kept) > 10
    assert {types[name] for name in kept} == {torch.float32}
    assert sum(dtype == torch.bfloat16 for dtype in types.values()) > len(types) / 3


def test_head_reaches_no_further_than_it_says():
    """A changed position changes nothing beyond REACH positions; windows' margins rely on it."""
    head = UNetHead(16, 16, bases=6, tracks=2).double()
    embeddings = torch.randn(1, 200, 16, dtype=torch.float64)
    reached = 0
    with torch.no_grad():
        before = head(embeddings).view(200, -1)
        for position in range(96, 104):
            changed = embeddings.clone()
            changed[0, position] += 1
            rows = (head(changed).view(200, -1) - before).abs().amax(-1).nonzero().flatten()
            reached = max(reached, position - int(rows.min()), int(rows.max()) - position)
    assert 12 < reached <= REACH


def _naive_encoder(encoder, tokens):
    """The specification's formulas written out: masked scores are set to -1e30, so that pad queries see everything."""
    config, x = encoder.config, encoder.embed(tokens)
    cosine, sine = encoder.rotary(tokens.shape[1], x.device, x.dtype)
    seen = (tokens != 1)[:, None, :, None] & (tokens != 1)[:, None, None, :]
    half = config.head_width // 2

    def turned(z):
        return z * cosine + torch.cat([-z[..., half:], z[..., :half]], -1) * sine

    for block in encoder.blocks:
        h = block.attn.qkv(block.attn_norm(x))
        q, k, v = (part.unflatten(-1, (config.heads, -1)).transpose(1, 2) for part in h.chunk(3, -1))
        scores = turned(q) @ turned(k).transpose(-1, -2) / config.head_width**0.5
        weights = torch.softmax(torch.where(seen, scores, -1e30), -1)
        x = x + block.attn.out((weights @ v).transpose(1, 2).flatten(2))
        activated, gate = block.ffn.into(block.ffn_norm(x)).chunk(2, -1)
        x = x + block.ffn.out(activated * torch.sigmoid(activated) * gate)
    return encoder.final_norm(x)


def test_pads_equal_the_formulas():
    encoder = NTEncoder(SMALL_ENCODER).eval()
    tokens = torch.from_numpy(np.random.default_rng(2).integers(6, 4107, (2, 25)))
    tokens[:, 0] = CLS
    tokens[0, 18:] = tokens[1, 9:] = 1
    with torch.no_grad():
        wanted = _naive_encoder(encoder, tokens)
        assert torch.allclose(encoder(tokens, PadStyle.JAX), wanted, atol=1e-5)
        outputs, weights = encoder.layer_outputs(tokens)
        assert torch.allclose(outputs[-1], wanted, atol=1e-5)
        assert torch.allclose(weights[0][1, :, 12], torch.full((2, 25), 1 / 25))
        assert not torch.allclose(encoder(tokens, PadStyle.HUGGING_FACE), wanted, atol=0.1)
        assert not torch.allclose(encoder(tokens, PadStyle.IGNORE), wanted, atol=0.1)


# --- Enformer and Borzoi ---------------------------------------------------------------------------------------------


def _textbook_attention(attention, x, features):
    """Position scores of all pairs by looking up the distance j - i."""
    n = x.shape[1]
    split = attention._split
    q = split(attention.to_q(x)) * attention.to_q.weight.shape[0] ** 0
    q = q * q.shape[-1] ** -0.5
    k, v = split(attention.to_k(x)), split(attention.to_v(x))
    r = split(attention.to_rel_k(features))
    index = torch.arange(n)[None, :] - torch.arange(n)[:, None] + n - 1
    content = torch.einsum("bhid,bhjd->bhij", q + attention.content_bias, k)
    position = torch.einsum("bhid,hijd->bhij", q + attention.position_bias, r[:, index])
    out = torch.softmax(content + position, -1) @ v
    return attention.out(out.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("block", [1, 7, 16, 33, 100])
def test_relative_attention_equals_the_textbook(monkeypatch, block):
    monkeypatch.setattr(relative_attention, "QUERY_BLOCK", block)
    config = TransformerConfig(24, 1, 3, 8, 5, 48, 12, 1e-5)
    attention = RelativeAttention(config).double()
    torch.nn.init.normal_(attention.content_bias)
    torch.nn.init.normal_(attention.position_bias)
    x = torch.randn(2, 33, 24, dtype=torch.float64)
    features = segment_enformer.position_features(33, 12)
    with torch.no_grad():
        assert torch.allclose(attention(x, features), _textbook_attention(attention, x, features), atol=1e-12)


def test_attention_pool_is_a_softmax_over_neighbours():
    pool = AttentionPool(5).double()
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    with torch.no_grad():
        weights = torch.softmax(pool.scores(x).view(2, 5, 6, 2), dim=-1)
        wanted = (x.view(2, 5, 6, 2) * weights).sum(-1)
        assert torch.allclose(pool(x), wanted, atol=1e-12)


def _small_convolutional(module):
    if module is segment_enformer:
        config = EnformerConfig(
            (12, 12, 16, 24), layers=1, heads=2, key_width=8, position_features=12, head_channels=24
        )
    else:
        config = BorzoiConfig(
            (12, 12, 16, 24),
            layers=1,
            heads=2,
            key_width=8,
            position_features=12,
            joined_channels=24,
            embedding_channels=20,
            head_channels=16,
            crop=8,
        )
    return module.build(_card(module, config)).eval()


@pytest.mark.parametrize("module", [segment_enformer, segment_borzoi])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_convolutional_models_with_n(module, dtype):
    model = _small_convolutional(module)
    codes = _codes(2, 256)
    codes[0, 100:150] = 4
    with torch.inference_mode():
        wanted = model(codes)
        model.set_precision(dtype)
        logits = model(codes)
    crop = 0 if module is segment_enformer else 8 * 4
    assert logits.shape == (2, 256 - 2 * crop, 14)
    assert logits.dtype == torch.float32
    assert float((torch.sigmoid(logits) - torch.sigmoid(wanted)).abs().max()) < 0.02


@pytest.mark.parametrize("module", [segment_enformer, segment_borzoi])
def test_convolutional_models_refuse_other_lengths(module):
    with pytest.raises(UsageError, match="no multiple"):
        _small_convolutional(module)(_codes(1, 100))
