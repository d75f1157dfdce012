"""Speed and memory of the networks at true size, with random weights: no download needed.

Every line of SegmentNT is compared with a plain eager float32 version of the same network and weights in the same run
(textbook attention that writes out all scores, separate projections, rotary tables made in every layer, Conv1d), which
is checked to compute the same on a short window first. The others are compared with themselves in float32 as they
are trained, before they are prepared for inference. Medians after warm-up; on a GPU timed by CUDA events.

What the machine could give is measured beside it: the largest matrix product of the network alone, in the form in which
the network runs it. Differences of probabilities from our own float32 are those of the first window, its logits first
spread like those of the parity cases, because random weights spread them at will.

    python benchmarks/model_speed.py                                          # SegmentNT, 3 kb, float32 and bfloat16
    python benchmarks/model_speed.py --lengths 3072 10008 30000 49992 --batch-sizes 1 4 16 --device cuda --compile
    python benchmarks/model_speed.py --lengths 10008 30000 --layers 2    # a part: memory is that of the whole network
    python benchmarks/model_speed.py --device cuda --compile reduce-overhead                      # CUDA graphs
    python benchmarks/model_speed.py --model segment_enformer --device cuda
    python benchmarks/model_speed.py --model codon_unet --repeats 20                 # the embedded network
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from segnt_tools.elements import SEGMENTNT_ELEMENTS
from segnt_tools.models import codon_unet, segment_borzoi, segment_enformer, segment_nt
from segnt_tools.models.architectures import build
from segnt_tools.models.card import Card
from segnt_tools.models.checkpoints.official import card_of
from segnt_tools.models.interface import SegmentationModel
from segnt_tools.models.nt_encoder import rescaling_factor, rotary_frequencies
from segnt_tools.models.packing import pack_linear_layers
from segnt_tools.models.precision import FullPrecisionLinear
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
# On a GPU graphs are recorded after two runs; on a CPU a window of minutes gains nothing from a run before it.
WARM_UPS = {"cpu": 1, "cuda": 3}
NOT_WARMED_GFLOP = 600
CHECKED_BASES = 3072
"""Longest window on which the plain version is checked."""
GOLDEN_SPREAD = 1.6
"""Standard deviation of the logits in the parity cases."""


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
        gflop_per_s: products and convolutions of the network by second; by second of processor time on a CPU.
        peak_gb: largest memory besides the weights and what the process held before.
        times_plain: speed over that of the first line of this length, where that ran; by processor time on a CPU.
        mean_change: mean absolute difference of probability from our own float32, where that ran.
        most_changed: its maximum.
    """

    what: str
    precision: str
    batch: int
    length: int
    seconds: float
    cpu_seconds: float
    kb_per_s: float
    gflop_per_s: float | None
    peak_gb: float
    times_plain: float | None
    mean_change: float | None
    most_changed: float | None


@dataclass(frozen=True, slots=True)
class Task:
    """What the lines of one window length have in common.

    Attributes:
        codes: the windows of the largest batch (batch, length); smaller batches are its first ones.
        gflop: of one window, where they can be counted.
        repeats: of every measurement.
        compile_mode: of torch.compile; None to leave it out.
    """

    codes: torch.Tensor
    gflop: float | None
    repeats: int
    compile_mode: str | None


@dataclass(slots=True)
class References:
    """What the lines of one window length are compared with, once it was measured.

    Attributes:
        plain: the first line.
        logits: of the first window in our own float32.
    """

    plain: Measurement | None = None
    logits: torch.Tensor | None = None


def main() -> None:
    """Run the measurements asked for and print a table."""
    options = _options()
    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    card = _card(options.model, options.layers)
    model = _random_model(card).to(device)
    lengths = options.lengths or LENGTHS[options.model]
    _print_header(options, device)
    for precision in options.precisions:
        _print_largest_product(model, min(lengths), PRECISIONS[precision], device)
    sys.stdout.write("\t".join(Measurement.__dataclass_fields__) + "\n")
    sys.stdout.flush()
    lines: list[Measurement] = []
    for length in lengths:
        codes = torch.randint(0, 4, (max(options.batch_sizes), length), dtype=torch.uint8, device=device)
        task = Task(codes, _gflop(card, length), options.repeats, options.compile)
        references = References()
        if not options.no_plain:
            if isinstance(model, SegmentNT) and length == lengths[0]:
                _check_plain(model, codes[:1, :CHECKED_BASES])
            references.plain = _plain_line(model, task)
            lines.append(references.plain)
        for precision in options.precisions:
            lines += _our_lines(model, precision, options.batch_sizes, task, references)
    if options.json:
        values = {"model": options.model, "device": _device_name(device), "threads": torch.get_num_threads()}
        options.json.write_text(json.dumps({**values, "lines": [asdict(line) for line in lines]}, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(LENGTHS), default="segment_nt")
    parser.add_argument("--layers", type=int, help="transformer blocks of SegmentNT (default: all 29)")
    parser.add_argument("--lengths", type=int, nargs="+", help="window lengths (default: 3072, or the fixed one)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1])
    parser.add_argument("--precisions", nargs="+", choices=list(PRECISIONS), default=["float32", "bfloat16"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--compile", nargs="?", const="default", metavar="MODE", help="also measure torch.compile, in a mode of its own"
    )
    parser.add_argument("--no-plain", action="store_true", help="leave out the plain eager version")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    return parser.parse_args()


def _card(name: str, layers: int | None) -> Card:
    if name == codon_unet.ARCHITECTURE:
        return codon_unet.make_card(name, "Random weights.")
    config = CONFIGS[name]
    if layers is not None and isinstance(config, SegmentNTConfig):
        config = dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, layers=layers))
    return card_of(name, None, name, SEGMENTNT_ELEMENTS, GEOMETRIES[name], config.as_dict())


def _random_model(card: Card) -> SegmentationModel:
    """The model at true size; weights small enough that nothing overflows in float16."""
    with Uninitialised():
        model = build(card)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
            else:
                parameter.fill_(1.0 if parameter_name.endswith("norm.weight") else 0.01)
    return model.eval().requires_grad_(False)


def _gflop(card: Card, length: int) -> float | None:
    """Work of one window: 2 for every multiplication of products, convolutions and attention."""
    if card.architecture == codon_unet.ARCHITECTURE:
        return None  # it does not run without numbers
    with torch.device("meta"), Uninitialised():
        model = build(card).eval()
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
        model(torch.zeros(1, length, dtype=torch.uint8, device="meta"))
    return float(counter.get_total_flops()) / 1e9


def _check_plain(model: SegmentNT, codes: torch.Tensor) -> None:
    """Stop if the plain version does not compute the same."""
    with torch.inference_mode():
        difference = float((_plain_segment_nt(model, codes) - model(codes)).abs().max())
    if difference > 1e-2:
        sys.exit(f"the plain version differs by {difference}: nothing is compared with it")


def _plain_line(model: SegmentationModel, task: Task) -> Measurement:
    """The plain version; of other networks than SegmentNT the one that is trained."""
    codes = task.codes[:1]
    if isinstance(model, SegmentNT):
        forward, what = partial(_plain_segment_nt, model, codes), "plain eager"
    else:
        forward, what = partial(model, codes), "unprepared"
    return _measured(what, forward, model, "float32", 1, task, References())[0]


def _our_lines(
    model: SegmentationModel, precision: str, batch_sizes: list[int], task: Task, references: References
) -> list[Measurement]:
    """Lines of a copy of the network that is made ready as `load_model` does it."""
    ready = copy.deepcopy(model)
    ready.set_precision(PRECISIONS[precision])
    lines = []
    if task.compile_mode is not None:
        with torch.inference_mode():
            ready(task.codes[:1])  # position tables are made outside of what is compiled
        compiled = torch.compile(ready, mode=task.compile_mode)
        for batch in batch_sizes:
            forward = partial(compiled, task.codes[:batch])
            lines.append(_measured("segnt_tools compiled", forward, ready, precision, batch, task, references)[0])
    if task.codes.device.type == "cpu":
        ready.prepare_for_cpu()
    for batch in batch_sizes:
        forward = partial(ready, task.codes[:batch])
        line, logits = _measured("segnt_tools", forward, ready, precision, batch, task, references)
        if precision == "float32" and references.logits is None:
            references.logits = logits
        lines.append(line)
    return lines


def _measured(
    what: str,
    forward: Callable[[], torch.Tensor],
    model: SegmentationModel,
    precision: str,
    batch: int,
    task: Task,
    references: References,
) -> tuple[Measurement, torch.Tensor]:
    """A printed line, and the logits of the first window."""
    device, length = task.codes.device, task.codes.shape[1]
    with torch.inference_mode():
        if device.type == "cuda" or (task.gflop or 0) * batch < NOT_WARMED_GFLOP:
            for _ in range(WARM_UPS[device.type]):
                forward()
        before = _reset_memory(device)
        used = time.process_time()
        seconds, logits = _timed(forward, device, task.repeats)
        used = (time.process_time() - used) / task.repeats
        peak = _peak_memory(device) - before
        kept, first = logits.shape[1] * batch, logits[0].float().clone()
    speed = kept / seconds / 1e3
    mean, most = (None, None) if references.logits is None else _changes(first, references.logits)
    work = None if task.gflop is None else task.gflop * batch / (seconds if device.type == "cuda" else used)
    line = Measurement(
        what=what,
        precision=precision,
        batch=batch,
        length=length,
        seconds=round(seconds, 4),
        cpu_seconds=round(used, 4),
        kb_per_s=round(speed, 3),
        gflop_per_s=None if work is None else round(work, 1),
        peak_gb=round(peak / 1e9, 3),
        times_plain=None
        if references.plain is None
        else round(_ratio(speed, used / batch, references.plain, device), 2),
        mean_change=None if mean is None else round(mean, 5),
        most_changed=None if most is None else round(most, 5),
    )
    sys.stdout.write("\t".join("-" if value is None else str(value) for value in asdict(line).values()) + "\n")
    sys.stdout.flush()
    return line, first


def _changes(logits: torch.Tensor, reference: torch.Tensor) -> tuple[float, float]:
    """Mean and largest absolute difference of probability, had the last layer made the reference spread as usual."""
    scale = GOLDEN_SPREAD / reference.std()
    change = (torch.sigmoid(logits * scale) - torch.sigmoid(reference * scale)).abs()
    if bool(change.isnan().any()):
        sys.exit("some probabilities are NaN")
    return float(change.mean()), float(change.max())


def _ratio(speed: float, cpu_seconds: float, plain: Measurement, device: torch.device) -> float:
    return speed / plain.kb_per_s if device.type == "cuda" else plain.cpu_seconds / cpu_seconds


def _timed(forward: Callable[[], torch.Tensor], device: torch.device, repeats: int) -> tuple[float, torch.Tensor]:
    """Median seconds of some runs, and what the last one gave."""
    seconds = []
    for _ in range(repeats):
        if device.type == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            begin.record()
            given = forward()
            end.record()
            end.synchronize()
            seconds.append(begin.elapsed_time(end) / 1e3)
        else:
            begun = time.perf_counter()
            given = forward()
            seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds), given


def _reset_memory(device: torch.device) -> int:
    """Start counting the peak anew; bytes in use now. Memory that was freed but kept for reuse is given back first."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
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
    part = "" if options.layers is None else f", {options.layers} transformer blocks"
    sys.stdout.write(f"# {options.model}{part} on {_device_name(device)}, torch {torch.__version__}\n")


def _print_largest_product(
    model: SegmentationModel, length: int, dtype: torch.dtype, device: torch.device, repeats: int = 10
) -> None:
    """Speed of the largest linear layer alone, on as many rows as SegmentNT has tokens: the network reaches no more."""
    layers = [x for x in model.modules() if isinstance(x, torch.nn.Linear) and not isinstance(x, FullPrecisionLinear)]
    largest = max(layers, key=lambda x: x.weight.numel())
    layer = torch.nn.Sequential(copy.deepcopy(largest).to(dtype))
    if device.type == "cpu":
        pack_linear_layers(layer)
    rows, (channels_out, channels_in) = length // segment_nt.BASES + 1, largest.weight.shape
    x = torch.randn(rows, channels_in, dtype=dtype, device=device)
    with torch.inference_mode():
        layer(x)
        used = time.process_time()
        seconds, _ = _timed(partial(layer, x), device, repeats)
        used = (time.process_time() - used) / repeats
    work = 2 * rows * channels_in * channels_out / 1e9
    speed = work / (seconds if device.type == "cuda" else used)
    name = str(dtype).removeprefix("torch.")
    sys.stdout.write(f"# product {rows} x {channels_in} x {channels_out} alone, {name}: {speed:.1f} GFLOP/s\n")


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
