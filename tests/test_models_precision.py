"""Which arithmetic `auto` takes on which CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from segnt_tools.models import registry

CASES = [
    ("GenuineIntel", True, True, torch.bfloat16),
    ("GenuineIntel", False, True, torch.float32),
    ("AuthenticAMD", False, True, torch.bfloat16),
    ("AuthenticAMD", False, False, torch.float32),
    (None, False, True, torch.float32),
]


@pytest.mark.parametrize(("vendor", "tiles", "bfloat16", "expected"), CASES)
def test_auto_is_bfloat16_where_it_is_fast(monkeypatch, tmp_path: Path, vendor, tiles, bfloat16, expected) -> None:
    described = tmp_path / "cpuinfo"
    if vendor:
        described.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
    monkeypatch.setattr(registry, "_CPU_INFO", described)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bfloat16)
    cpu = torch.device("cpu")
    assert registry.choose_precision("auto", cpu, reduced_on_cpu=True) == expected
    assert registry.choose_precision("auto", cpu, reduced_on_cpu=False) == torch.float32
    assert registry.choose_precision("float32", cpu, reduced_on_cpu=True) == torch.float32
