"""From an assembly to per-base values: windows through the model in batches, cores joined in order."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from segnt_tools.errors import MemoryExhaustedError, UsageError
from segnt_tools.logs import logger
from segnt_tools.models.registry import LoadedModel
from segnt_tools.quantisation import LOGIT_LIMIT, STEP
from segnt_tools.sequence.assembly import Assembly
from segnt_tools.sequence.codes import Codes, N
from segnt_tools.sequence.stretches import Stretch
from segnt_tools.sequence.windows import Window, windows_of_contig, windows_of_segments

# Windows are collected, sorted by length for batching and given back in order, this many bases at a time.
_ROUND_BASES = 1 << 20
_ROUND_BATCHES = 4
# On a CPU one window of this size keeps all cores busy; shorter ones are batched up to it.
_CPU_BATCH_BASES = 18_432
_MOST_WINDOWS = 512
_SHARE_OF_FREE_MEMORY = 0.8

_COMPLEMENT = torch.tensor([3, 2, 1, 0, 4], dtype=torch.uint8)

Values = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Task:
    """One window with its bases and the parts of its output that are wanted.

    Attributes:
        codes: the window's bases, with N as the assembly has them.
        kept: wanted stretches inside the window, ascending: one, or one for each region that it holds.
    """

    codes: Codes
    kept: tuple[slice, ...]

    @property
    def length(self) -> int:
        """Bases of the window."""
        return int(self.codes.size)


class Predictor:
    """Runs a model over pieces of contigs.

    Args:
        loaded: the model on its device.
        batch_size: windows of full length that go through the model at once; None chooses by the device's memory.
        both_strands: average the logits of a window and of its reverse complement.
        tracks: which of the model's tracks to give, by index; the trained ones by default.
        quantised: give 8-bit logit codes instead of float32 logits.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        batch_size: int | None = None,
        both_strands: bool = False,
        tracks: Sequence[int] | None = None,
        quantised: bool = True,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"a batch of {batch_size} windows makes no sense", hint="Give at least 1")
        self.loaded = loaded
        self.geometry = loaded.card.geometry
        self.batch_size = batch_size
        self.both_strands = both_strands
        self.quantised = quantised
        chosen = loaded.card.trained_tracks if tracks is None else tuple(tracks)
        device = loaded.device
        self._tracks = torch.tensor(chosen, device=device)
        self._mirrored = torch.tensor(self._mirrored_tracks(), device=device)
        self._complement = _COMPLEMENT.to(device)

    def _mirrored_tracks(self) -> list[int]:
        tracks = self.loaded.card.tracks
        place = {track.name: i for i, track in enumerate(tracks)}
        return [place[track.mirrored.name] for track in tracks]

    def predict(self, assembly: Assembly, pieces: Sequence[Stretch]) -> Generator[Values]:
        """Values of all pieces one after the other, each of shape (tracks, bases), in stretches of some windows.

        The windows depend on the contig and the model alone, so that a piece's values do not depend on its neighbours.
        A thread reads the assembly one round ahead, so that the model never waits for it; close the iterator to end it.

        Raises:
            MemoryExhaustedError: not even one window fits into the device's memory.
        """
        for tasks in _read_ahead(_rounds(self._tasks(assembly, pieces), self._round_bases())):
            yield from self._run(tasks)

    def _round_bases(self) -> int:
        return max(_ROUND_BASES, _ROUND_BATCHES * (self.batch_size or 1) * self.geometry.length)

    def _tasks(self, assembly: Assembly, pieces: Sequence[Stretch]) -> Iterator[_Task]:
        for run in _ascending_runs(pieces):
            contig, position = run[0].contig, 0
            for window in self._windows(assembly, contig):
                kept, position = _wanted_of_window(window, run, position)
                if kept:
                    yield _Task(_codes_of_window(assembly, contig, window), kept)
                if position == len(run):
                    break

    def _windows(self, assembly: Assembly, contig: str) -> list[Window]:
        length = assembly.lengths[contig]
        if self.loaded.card.allows_n:
            return windows_of_contig(length, self.geometry)
        return self._windows_between_gaps(assembly, contig, length)

    def _windows_between_gaps(self, assembly: Assembly, contig: str, length: int) -> list[Window]:
        # Bases in long gaps belong to no window; they get windows of their own that are never run.
        gaps = [(int(a), int(b)) for a, b in assembly.gaps(contig)]
        windows = windows_of_segments(length, gaps, self.geometry)
        filled: list[Window] = []
        position = 0
        for window in windows:
            if window.keep_from > position:
                filled.append(Window(position, window.keep_from - position, position, window.keep_from))
            filled.append(window)
            position = window.keep_to
        if position < length:
            filled.append(Window(position, length - position, position, length))
        return filled

    def _run(self, tasks: list[_Task]) -> Iterator[Values]:
        results: list[list[Values]] = [[]] * len(tasks)
        order = sorted(range(len(tasks)), key=lambda i: (tasks[i].length, i))
        to_run = []
        for i in order:
            if all((tasks[i].codes[kept] == N).all() for kept in tasks[i].kept):
                results[i] = [self._nothing(kept.stop - kept.start) for kept in tasks[i].kept]
            else:
                to_run.append(i)
        position = 0
        while position < len(to_run):
            length = tasks[to_run[position]].length
            size = self._windows_at_once(length)
            batch = [i for i in to_run[position : position + size] if tasks[i].length == length]
            for i, values in zip(batch, self._forward([tasks[j] for j in batch]), strict=True):
                results[i] = values
            position += len(batch)
        for values_of_task in results:
            yield from values_of_task

    def _nothing(self, bases: int) -> Values:
        shape = (len(self._tracks), bases)
        return np.zeros(shape, dtype=np.uint8) if self.quantised else np.full(shape, -np.inf, dtype=np.float32)

    def _windows_at_once(self, length: int) -> int:
        if self.batch_size is None:
            self.batch_size = self._fitting_batch()
        full = self.batch_size * self.geometry.length
        if self.loaded.device.type == "cpu" and self.geometry.length > _CPU_BATCH_BASES:
            full = max(self.batch_size * _CPU_BATCH_BASES, length)
        return max(1, min(full // length, _MOST_WINDOWS))

    def _fitting_batch(self) -> int:
        """How many windows of full length fit: measured with one window on a GPU, one on a CPU."""
        device = self.loaded.device
        if device.type == "cpu":
            return 1
        length = self.geometry.length
        probe = torch.zeros((1, length), dtype=torch.uint8, device=device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        with torch.inference_mode():
            self._logits(probe)
        needed = max(1, torch.cuda.max_memory_allocated(device) - before)
        free = torch.cuda.mem_get_info(device)[0]
        fitting = max(1, min(64, int(_SHARE_OF_FREE_MEMORY * free / needed)))
        logger.info("batch size %d: a window of %d bp needs %.2f GB on the GPU", fitting, length, needed / 1e9)
        return fitting

    def _forward(self, tasks: list[_Task]) -> Iterator[list[Values]]:
        try:
            yield from self._forward_batch(tasks)
        except (torch.OutOfMemoryError, MemoryError) as error:
            if len(tasks) == 1:
                raise MemoryExhaustedError(
                    f"one window of {tasks[0].length} bp does not fit into the memory of {self.loaded.device}",
                    hint="Use a smaller --window, --precision bfloat16 or a device with more memory",
                ) from error
            if self.loaded.device.type == "cuda":
                torch.cuda.empty_cache()
            self.batch_size = max(1, (self.batch_size or 2) // 2)
            logger.warning("out of memory: going on with a batch size of %d", self.batch_size)
            half = len(tasks) // 2
            yield from self._forward(tasks[:half])
            yield from self._forward(tasks[half:])

    def _forward_batch(self, tasks: list[_Task]) -> list[list[Values]]:
        codes = torch.from_numpy(np.stack([task.codes for task in tasks])).to(self.loaded.device, non_blocking=True)
        with torch.inference_mode():
            logits = self._logits(codes)
            # Quantised first, so that it is bytes that are transposed, chosen from and masked.
            by_track = (_quantise(logits) if self.quantised else logits).transpose(1, 2).contiguous()
            first, end = self.geometry.valid(codes.shape[1])
            unknown = (codes[:, first:end] == N).unsqueeze(1)
            chosen = by_track.index_select(1, self._tracks)
            values = chosen.masked_fill_(unknown, 0 if self.quantised else -torch.inf).cpu().numpy()
        return [
            [value[:, kept.start - first : kept.stop - first] for kept in task.kept]
            for task, value in zip(tasks, values, strict=True)
        ]

    def _logits(self, codes: torch.Tensor) -> torch.Tensor:
        model = self.loaded.model
        shown = codes if self.loaded.card.allows_n else codes.masked_fill(codes == N, 0)
        logits: torch.Tensor = model(shown)
        if self.both_strands:
            other: torch.Tensor = model(self._complement[shown.flip(1).long()])
            logits = (logits + other.flip(1).index_select(2, self._mirrored)) / 2
        return logits


def _quantise(logits: torch.Tensor) -> torch.Tensor:
    """8-bit codes of logits: segnt_tools.quantisation.quantise, on the device."""
    scaled = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).add_(LOGIT_LIMIT).mul_(1 / STEP).round_().add_(1)
    return scaled.masked_fill_(~(logits > -torch.inf), 0).to(torch.uint8)  # not above is NaN, too


def _ascending_runs(pieces: Iterable[Stretch]) -> Iterator[list[Stretch]]:
    """Pieces one after the other on one contig, together: they share windows."""
    run: list[Stretch] = []
    for piece in pieces:
        if run and (piece.contig != run[-1].contig or piece.start < run[-1].end):
            yield run
            run = []
        run.append(piece)
    if run:
        yield run


def _wanted_of_window(window: Window, run: Sequence[Stretch], position: int) -> tuple[tuple[slice, ...], int]:
    """What ascending pieces, from a position on, want of a window, inside it; and the first piece that wants more."""
    kept: list[slice] = []
    while position < len(run) and run[position].start < window.keep_to:
        piece = run[position]
        start, end = max(window.keep_from, piece.start), min(window.keep_to, piece.end)
        if start < end:
            kept.append(slice(start - window.start, end - window.start))
        if piece.end > window.keep_to:
            break
        position += 1
    return tuple(kept), position


def _codes_of_window(assembly: Assembly, contig: str, window: Window) -> Codes:
    """Bases of a window; N beyond the contig's ends."""
    start, end = max(0, window.start), min(assembly.lengths[contig], window.start + window.length)
    codes = np.full(window.length, N, dtype=np.uint8)
    codes[start - window.start : end - window.start] = assembly.codes(contig, start, end)
    return codes


def _rounds(tasks: Iterable[_Task], bases: int) -> Iterator[list[_Task]]:
    """Tasks in lists of at least so many bases."""
    collected: list[_Task] = []
    total = 0
    for task in tasks:
        collected.append(task)
        total += task.length
        if total >= bases:
            yield collected
            collected, total = [], 0
    if collected:
        yield collected


def _read_ahead(rounds: Iterator[list[_Task]]) -> Iterator[list[_Task]]:
    """The same rounds, each made by a thread while the one before is in use; what goes wrong there is raised here."""
    with ThreadPoolExecutor(1, "segnt_reader") as reader:
        following = reader.submit(next, rounds, None)
        while (tasks := following.result()) is not None:
            following = reader.submit(next, rounds, None)
            yield tasks
