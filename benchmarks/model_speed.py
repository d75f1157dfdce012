"""Speed and memory of the networks at true size, with random weights: no download needed.

Every line of SegmentNT is compared with a plain eager float32 version of the same network and weights in the same run
(textbook attention that writes out all scores, separate projections, rotary tables made in every layer, Conv1d), whose
output is checked against ours first. The others are compared with themselves in float32 as they are trained, before
they are prepared for inference. Medians after warm-up; on a GPU timed by CUDA events.

    python benchmarks/model_speed.py                                          # SegmentNT, 3 kb, float32 and bfloat16
    python benchmarks/model_speed.py --lengths 3072 10008 30000 49992 --batch-sizes 1 4 16 --device cuda --compile
    python benchmarks/model_speed.py --model segment_enformer --device cuda
    python benchmarks/model_speed.py --model codon_unet --repeats 20                 # the embedded network
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from segnt_tools.elements import SEGMENTNT_ELEMENTS
from segnt_tools.models import codon_unet, segment_borzoi, segment_enformer, segment_nt
from segnt_tools.models.architectures import build
from segnt_tools.models.checkpoints.official import card_of
from segnt_tools.models.interface import SegmentationModel
from segnt_tools.models.nt_encoder import rescaling_factor, rotary_frequencies
from segnt_tools.models.registry import PRECISIONS
from segnt_tools.models.segment_borzoi import BorzoiConfig
from segnt_tools.models.segment_enformer import EnformerConfig
from segnt_tools.models.segment_nt import SegmentNT, SegmentNTConfig
from segnt_tools.models.unet_head import UNetHead
from segnt_tools.models.uninitialised import Uninitialised

CONFIGS: dict[str, SegmentNTConfig | EnformerConfig | BorzoiConfig] = {
    "segment_nt": SegmentNTConfig(),
    "segment_enformer": EnformerConfig(),
    "segment_borzoi": BorzoiConfig(),
}
GEOMETRIES = {
    "segment_nt": segment_nt.GEOMETRY,
    "segment_enformer": segment_enformer.GEOMETRY,
    "segment_borzoi": segment_borzoi.GEOMETRY,
}
LENGTHS = {
    "segment_nt": [3072],
    "segment_enformer": [196_608],
    "segment_borzoi": [524_288],
    codon_unet.ARCHITECTURE: [18_432],
}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One line of the result.

    Attributes:
        what: `plain eager`, `unprepared` or `segnt_tools`, with `compiled` where it was.
        precision: of the arithmetic.
        batch: windows at once.
        length: bases of a window.
        seconds: median of a batch.
        cpu_seconds: processor time of a batch over all threads, which a busy machine disturbs less.
        kb_per_s: bases that got an output, in thousands, by second.
        peak_gb: largest memory besides the weights; of the whole process on a CPU.
        estimated_gb: what the model's own estimate says, where it has one.
        times_plain: speed over that of the first line of this length, where that ran; by processor time on a CPU.
    """

    what: str
    precision: str
    batch: int
    length: int
    seconds: float
    cpu_seconds: float
    kb_per_s: float
    peak_gb: float
    estimated_gb: float | None
    times_plain: float | None


def main() -> None:
    """Run the measurements asked for and print a table."""
    options = _options()
    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    model = _random_model(options.model).to(device)
    _print_header(options, device)
    lines: list[Measurement] = []
    for length in options.lengths or LENGTHS[options.model]:
        plain = _plain_line(model, length, options, device)
        lines += [plain] if plain else []
        for precision in options.precisions:
            lines += _our_lines(model, length, precision, plain, options, device)
    if options.json:
        values = {"model": options.model, "device": _device_name(device), "threads": torch.get_num_threads()}
        options.json.write_text(json.dumps({**values, "lines": [asdict(line) for line in lines]}, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(LENGTHS), default="segment_nt")
    parser.add_argument("--lengths", type=int, nargs="+", help="window lengths (default: 3072, or the fixed one)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1])
    parser.add_argument("--precisions", nargs="+", choices=list(PRECISIONS), default=["float32", "bfloat16"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="also measure torch.compile")
    parser.add_argument("--no-plain", action="store_true", help="leave out the plain eager version")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    return parser.parse_args()


def _random_model(name: str) -> SegmentationModel:
    """The model at true size; weights small enough that nothing overflows in float16."""
    if name == codon_unet.ARCHITECTURE:
        card = codon_unet.make_card(name, "Random weights.")
    else:
        card = card_of(name, None, name, SEGMENTNT_ELEMENTS, GEOMETRIES[name], CONFIGS[name].as_dict())
    with Uninitialised():
        model = build(card)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
            else:
                parameter.fill_(1.0 if parameter_name.endswith("norm.weight") else 0.01)
        for buffer_name, buffer in model.named_buffers():
            buffer.fill_(1.0 if buffer_name.endswith("var") else 0.0)
    return model.eval().requires_grad_(False)


def _plain_line(
    model: SegmentationModel, length: int, options: argparse.Namespace, device: torch.device
) -> Measurement | None:
    """The plain version, once it is known to compute the same; of other networks the one that is trained."""
    if options.no_plain:
        return None
    codes = _codes(1, length, device)
    if not isinstance(model, SegmentNT):
        return _measured("unprepared", partial(model, codes), model, "float32", codes, None, options)
    with torch.inference_mode():
        difference = float((_plain_segment_nt(model, codes) - model(codes)).abs().max())
    if difference > 1e-2:
        sys.exit(f"the plain version differs by {difference}: nothing is compared with it")
    return _measured("plain eager", lambda: _plain_segment_nt(model, codes), model, "float32", codes, None, options)


def _our_lines(
    model: SegmentationModel,
    length: int,
    precision: str,
    plain: Measurement | None,
    options: argparse.Namespace,
    device: torch.device,
) -> list[Measurement]:
    """Lines of a copy of the network that is made ready as `load_model` does it."""
    ready = copy.deepcopy(model)
    ready.set_precision(PRECISIONS[precision])
    batches = [_codes(batch, length, device) for batch in options.batch_sizes]
    lines = []
    if options.compile:
        compiled = torch.compile(ready)
        lines += [
            _measured("segnt_tools compiled", partial(compiled, codes), ready, precision, codes, plain, options)
            for codes in batches
        ]
    if device.type == "cpu":
        ready.prepare_for_cpu()
    lines += [
        _measured("segnt_tools", partial(ready, codes), ready, precision, codes, plain, options) for codes in batches
    ]
    return lines


def _codes(batch: int, length: int, device: torch.device) -> torch.Tensor:
    return torch.randint(0, 4, (batch, length), dtype=torch.uint8, device=device)


def _measured(
    what: str,
    forward: Callable[[], torch.Tensor],
    model: SegmentationModel,
    precision: str,
    codes: torch.Tensor,
    plain: Measurement | None,
    options: argparse.Namespace,
) -> Measurement:
    device, (batch, length) = codes.device, codes.shape
    with torch.inference_mode():
        forward()
        before = _reset_memory(device)
        used = time.process_time()
        seconds = statistics.median(_seconds(forward, device) for _ in range(options.repeats))
        used = (time.process_time() - used) / options.repeats
        peak = _peak_memory(device) - before
        kept = forward().shape[1] * batch
    speed = kept / seconds / 1e3
    estimate = getattr(model, "window_bytes", None)
    line = Measurement(
        what=what,
        precision=precision,
        batch=batch,
        length=length,
        seconds=round(seconds, 4),
        cpu_seconds=round(used, 4),
        kb_per_s=round(speed, 3),
        peak_gb=round(peak / 1e9, 3),
        estimated_gb=None if estimate is None else round(batch * estimate(length, PRECISIONS[precision]) / 1e9, 3),
        times_plain=None if plain is None else round(_ratio(speed, used / batch, plain, device), 2),
    )
    sys.stdout.write("\t".join("-" if value is None else str(value) for value in asdict(line).values()) + "\n")
    sys.stdout.flush()
    return line


def _ratio(speed: float, cpu_seconds: float, plain: Measurement, device: torch.device) -> float:
    return speed / plain.kb_per_s if device.type == "cuda" else plain.cpu_seconds / cpu_seconds


def _seconds(forward: Callable[[], torch.Tensor], device: torch.device) -> float:
    if device.type != "cuda":
        begun = time.perf_counter()
        forward()
        return time.perf_counter() - begun
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begin.record()
    forward()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def _reset_memory(device: torch.device) -> int:
    """Start counting the peak anew; bytes in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    Path("/proc/self/clear_refs").write_text("5")
    return _status_bytes("VmRSS")


def _peak_memory(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status_bytes("VmHWM")


def _status_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{field}:")))


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def _print_header(options: argparse.Namespace, device: torch.device) -> None:
    sys.stdout.write(f"# {options.model} on {_device_name(device)}, torch {torch.__version__}\n")
    sys.stdout.write("\t".join(Measurement.__dataclass_fields__) + "\n")
    sys.stdout.flush()


def _plain_segment_nt(model: SegmentNT, codes: torch.Tensor) -> torch.Tensor:
    """SegmentNT as a textbook would write it, on the same weights."""
    encoder, heads, width = model.encoder, model.config.encoder.heads, model.config.encoder.head_width
    tokens = model.tokenizer.window_tokens(codes)
    x = encoder.embed(tokens)
    block: Any
    for block in encoder.blocks:
        h = block.attn_norm(x)
        weights, biases = block.attn.qkv.weight.chunk(3), block.attn.qkv.bias.chunk(3)
        q, k, v = (
            F.linear(h, weight, bias).view(*h.shape[:2], heads, width).transpose(1, 2)
            for weight, bias in zip(weights, biases, strict=True)
        )
        q, k = _plain_rotation(q, model), _plain_rotation(k, model)
        scores = torch.softmax(q @ k.transpose(-1, -2) / width**0.5, dim=-1)
        x = x + block.attn.out((scores @ v).transpose(1, 2).flatten(2))
        h = block.ffn.into(block.ffn_norm(x))
        activated, gate = h.chunk(2, dim=-1)
        x = x + block.ffn.out(F.silu(activated) * gate)
    classes = _plain_head(model.head, encoder.final_norm(x)[:, 1:])
    return classes[..., 1] - classes[..., 0]


def _plain_head(head: UNetHead, x: torch.Tensor) -> torch.Tensor:
    x = x.transpose(1, 2)
    skips = []
    for pair in head.down:
        x = _plain_convolutions(pair, x)
        skips.append(x)
        x = F.avg_pool1d(x, 2)
    for pair in head.up:
        x = _plain_convolutions(pair, x).repeat_interleave(2, dim=-1) + skips.pop()
    x = _plain_convolutions(head.out, x)
    z: torch.Tensor = head.proj(x.transpose(1, 2))
    return z.view(z.shape[0], -1, head.tracks, 2)


def _plain_convolutions(layers: Any, x: torch.Tensor) -> torch.Tensor:
    for layer in layers:
        x = F.silu(F.conv1d(x, layer.weight, layer.bias, padding=1))
    return x


def _plain_rotation(z: torch.Tensor, model: SegmentNT) -> torch.Tensor:
    config = model.config.encoder
    frequencies = rotary_frequencies(config.head_width, rescaling_factor(config.rescaling_factor, z.shape[2]))
    angles = torch.arange(z.shape[2], dtype=torch.float64)[:, None] * frequencies
    angles = torch.cat([angles, angles], dim=-1).to(z.device)
    first, second = z.chunk(2, dim=-1)
    return z * angles.cos().float() + torch.cat([-second, first], dim=-1) * angles.sin().float()


if __name__ == "__main__":
    main()
