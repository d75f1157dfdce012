"""Packed linear layers compute the same; what cannot be packed is left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segnt_tools.models import codon_unet
from segnt_tools.models.codon_unet import CodonUNetConfig
from segnt_tools.models.packing import PackedLinear, _packable, pack_linear_layers

needs_packing = pytest.mark.skipif(not _packable(torch.zeros(1, 1)), reason="oneDNN packs nothing on this machine")


@needs_packing
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(3, 48), (1, 1, 48), (2, 700, 48)])
def test_float32_is_exact(bias: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    layer, x = nn.Linear(48, 20, bias=bias), torch.randn(shape)
    with torch.inference_mode():
        assert torch.allclose(PackedLinear(layer)(x), layer(x), atol=1e-5)


@needs_packing
def test_bfloat16_stays_bfloat16() -> None:
    torch.manual_seed(1)
    layer, x = nn.Linear(48, 20).bfloat16(), torch.randn(5, 48, dtype=torch.bfloat16)
    if not _packable(layer.weight):
        pytest.skip("no bfloat16 on this CPU")
    with torch.inference_mode():
        packed = PackedLinear(layer)(x)
        assert packed.dtype == torch.bfloat16
        assert torch.allclose(packed.float(), layer(x).float(), atol=0.02)


@needs_packing
def test_a_whole_network_is_packed_and_gives_the_same() -> None:
    torch.manual_seed(1)
    config = CodonUNetConfig(channels=(6, 8, 12), blocks=1, dilations=(1, 2), attention_after=(1,), heads=2)
    model = codon_unet.build(codon_unet.make_card("tiny", "A test.", config)).eval().requires_grad_(False)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    codes = torch.randint(0, 5, (2, 480), dtype=torch.uint8)
    with torch.inference_mode():
        before = model(codes)
        pack_linear_layers(model)
        assert not any(isinstance(module, nn.Linear) for module in model.modules())
        assert torch.allclose(model(codes), before, atol=1e-4)


def test_float16_is_left_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 4).half(), nn.Linear(4, 4).double(), nn.Conv1d(4, 4, 3))
    pack_linear_layers(model)
    assert [type(module) for module in model] == [nn.Linear, nn.Linear, nn.Conv1d]
