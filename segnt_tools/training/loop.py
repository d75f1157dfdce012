"""The training loop: draws windows, moves weights, validates, saves, and goes on exactly where it was killed."""

from __future__ import annotations

import gc
import inspect
import math
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, nn

from segnt_tools.errors import RecipeError
from segnt_tools.files import atomic_path
from segnt_tools.logs import logger
from segnt_tools.training.journal import Journal
from segnt_tools.training.optimisers import WeightAverage, copied, optimisers, rate_factor
from segnt_tools.training.recipe import Recipe, StageRecipe

STATE_FILE = "state.pt"
_SECONDS_BETWEEN_SAVES = 240.0
_STEPS_BETWEEN_LINES = 100
_STEPS_BETWEEN_CLOCKS = 25


class Task(Protocol):
    """What a run learns: an objective, its batches, its held-out figures."""

    objective: nn.Module
    network: nn.Module

    def batch(self, numbers: Sequence[int], window: int, device: torch.device) -> Any:
        """The training windows of these numbers."""

    def validate(self, fabric: Fabric, window: int) -> dict[str, float]:
        """Figures on held-out sequence, the same on every process; empty where nothing is held out."""

    def is_head(self, parameter: str) -> bool:
        """Whether a parameter belongs to the first or last layer (not for Muon)."""

    def begin_stage(self, stage: StageRecipe) -> None:
        """Prepare the network for windows of another length."""

    def close(self) -> None:
        """Close files."""


@dataclass(slots=True)
class Position:
    """How far a run is.

    Attributes:
        step: updates done.
        windows: windows drawn.
        bases: bases seen.
        seconds: time spent, over all sessions.
        best_loss: lowest validation loss of this stage.
        best_step: its step.
        stale: validations since.
        progress: share of the learning rate's course that is done.
        stage: index of the stage.
        stage_begun: step at which it began.
    """

    step: int = 0
    windows: int = 0
    bases: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    best_step: int = 0
    stale: int = 0
    progress: float = 0.0
    stage: int = 0
    stage_begun: int = 0

    def next_stage(self) -> None:
        """Begin the next stage: losses at another window length do not compare, so best and patience begin anew."""
        self.stage += 1
        self.stage_begun = self.step
        self.best_loss = math.inf
        self.stale = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run: the weights to keep, the position, the held-out figures of these weights, why it ended."""

    weights: dict[str, Tensor]
    position: Position
    validation: dict[str, float]
    stopped: str


class Trainer:
    """Runs a recipe.

    Args:
        fabric: devices, precision and processes.
        recipe: what to do.
        task: what to learn.
        folder: where state and logs go.
        minutes: end the learning rate's course after this time where the steps would take longer.
        publish: called on the first process with weights and position whenever a better checkpoint exists.
    """

    def __init__(
        self,
        fabric: Fabric,
        recipe: Recipe,
        task: Task,
        folder: Path,
        *,
        minutes: float | None = None,
        publish: Callable[[dict[str, Tensor], Position, dict[str, float]], None] | None = None,
    ) -> None:
        self.fabric = fabric
        self.recipe = recipe
        self.task = task
        self.folder = folder
        self.minutes = minutes
        self.publish = publish
        for stage in recipe.stage:
            if stage.batch % fabric.world_size:
                raise RecipeError(f"a batch of {stage.batch} cannot be divided among {fabric.world_size} processes")
        self.position = Position()
        opts = optimisers(task.network, recipe.optimiser, task.is_head)
        self._module, *self._optimisers = _set_up(fabric, task.objective, opts)
        self.average = WeightAverage(task.network, recipe.optimiser.average) if recipe.optimiser.average else None
        self._begun_with = copied(task.network.state_dict()) if recipe.model.base_share else None
        self.best: dict[str, Tensor] | None = None
        self.last_validation: dict[str, float] = {}
        self.best_validation: dict[str, float] = {}
        self._restore()
        self._parameters = [p for p in task.network.parameters() if p.requires_grad]
        self._begun = time.monotonic() - self.position.seconds
        self._saved = time.monotonic()
        self._journal = Journal(folder, self.position.step) if fabric.is_global_zero else None

    def run(self) -> Outcome:
        """Train through all stages: each to its end or until nothing gets better, the whole within the time limit."""
        stages, position = self.recipe.stage, self.position
        while True:
            stage = stages[position.stage]
            self.task.begin_stage(stage)
            reason = self._run_stage(stage)
            if position.stage == len(stages) - 1 or self._time_is_up():
                break
            if reason and self.fabric.is_global_zero:
                logger.info(f"stage {position.stage + 1} of {len(stages)} ends: {reason}")
            position.next_stage()
        self._validate(stages[position.stage])
        self._save()
        if self._journal is not None:
            self._journal.close()
        reason = reason or "all steps done"
        if self.recipe.validation.keep == "last" or self.best is None:
            return Outcome(self._weights(), self.position, self.last_validation, reason)
        return Outcome(self.best, self.position, self.best_validation, reason)

    def _run_stage(self, stage: StageRecipe) -> str:
        """Train to the stage's last step; a reason to stop before, or nothing."""
        since, losses = time.monotonic(), []
        last = self.position.stage_begun + stage.steps
        while self.position.step < last:
            if reason := self._no_better():
                return reason
            losses.append(self._step(stage))
            position = self.position
            if position.step % _STEPS_BETWEEN_LINES == 0 or position.step == last:
                now = time.monotonic()
                self._log_training(losses, stage, now - since)
                since, losses = now, []
            if position.step % self.recipe.validation.every == 0 or self._time_is_up():
                self._validate(stage)
                since = time.monotonic()
            if self._time_is_up():
                return f"{self.minutes:g} minutes are up"
            if time.monotonic() - self._saved > _SECONDS_BETWEEN_SAVES:
                self._save()
        return self._no_better()

    def _no_better(self) -> str:
        """Whether the patience with this stage is at its end."""
        patience, stale = self.recipe.validation.patience, self.position.stale
        return f"no better for {stale} validations" if patience and stale >= patience else ""

    def _time_is_up(self) -> bool:
        return self.minutes is not None and self.position.progress >= 1.0

    def _step(self, stage: StageRecipe) -> Tensor:
        """One update of the weights; the loss of this process's windows."""
        position, fabric = self.position, self.fabric
        share = stage.batch // fabric.world_size
        first = position.windows + fabric.global_rank * share
        numbers = list(range(first, first + share))
        micro = [numbers[i : i + stage.device_batch] for i in range(0, share, stage.device_batch)]
        torch.manual_seed(hash((self.recipe.seed, position.step, fabric.global_rank)) % 2**31)
        factor = rate_factor(position.progress, self.recipe.optimiser) * stage.rate
        for optimiser in self._optimisers:
            # The wrapper's own param_groups is a copy that goes stale when a state is loaded.
            for group in _plain(optimiser).param_groups:
                group["lr"] = group["peak"] * factor
            _plain(optimiser).zero_grad(set_to_none=True)
        total = torch.zeros((), device=fabric.device)
        for index, chosen in enumerate(micro):
            batch = self.task.batch(chosen, stage.window, fabric.device)
            with fabric.no_backward_sync(self._module, enabled=index < len(micro) - 1):
                loss = self._module(batch) * (len(chosen) / share)
                fabric.backward(loss)
            total += loss.detach()
        if self.recipe.optimiser.clip:
            nn.utils.clip_grad_norm_(self._parameters, self.recipe.optimiser.clip)
        for optimiser in self._optimisers:
            optimiser.step()
        if self.average is not None:
            self.average.update(self.task.network)
        position.step += 1
        position.windows += stage.batch
        position.bases += stage.batch * stage.window
        self._advance()
        return total

    def _advance(self) -> None:
        """Progress of the learning rate: by steps, or by time where that is further; equal on all processes."""
        position = self.position
        done = sum(stage.steps for stage in self.recipe.stage[: position.stage])
        by_steps = (done + position.step - position.stage_begun) / self.recipe.steps
        position.seconds = time.monotonic() - self._begun
        if self.minutes is None:
            position.progress = by_steps
        elif position.step % _STEPS_BETWEEN_CLOCKS == 0 or by_steps == 1.0:
            progress = max(by_steps, position.seconds / (60 * self.minutes))
            position.progress = float(self.fabric.broadcast(progress))

    def _log_training(self, losses: list[Tensor], stage: StageRecipe, seconds: float) -> None:
        if self._journal is None or not losses:
            return
        values = {
            "loss": float(torch.stack(losses).mean()),
            "rate": rate_factor(self.position.progress, self.recipe.optimiser) * stage.rate,
            "bases": self.position.bases,
            "bases_per_second": round(len(losses) * stage.batch * stage.window / max(seconds, 1e-9)),
            "minutes": round(self.position.seconds / 60, 2),
        }
        if not math.isfinite(values["loss"]):
            raise RecipeError(f"the loss is {values['loss']} at step {self.position.step}", hint="Lower optimiser.rate")
        self._journal.add(self.position.step, "train", values)

    def _validate(self, stage: StageRecipe) -> None:
        """Figures of the averaged weights on held-out sequence; keeps and publishes the best."""
        position = self.position
        if self.last_validation.get("step") == position.step:
            return
        own = copied(self.task.network.state_dict())
        weights = self._weights()
        self.task.network.load_state_dict(weights)
        self.task.network.eval()
        figures = self.task.validate(self.fabric, stage.window)
        self.task.network.train()
        self.task.network.load_state_dict(own)
        better = not figures or figures["loss"] < position.best_loss
        position.stale = 0 if better else position.stale + 1
        if better:
            position.best_loss = figures.get("loss", math.inf)
            position.best_step = position.step
            self.best = copied(weights)
            self.best_validation = {"step": position.step, **figures}
        self.last_validation = {"step": position.step, **figures}
        if self._journal is not None and figures:
            self._journal.add(position.step, "validation", figures)
        self._save()
        if self.publish and self.fabric.is_global_zero and (better or self.recipe.validation.keep == "last"):
            self.publish(weights, position, figures)

    def _weights(self) -> dict[str, Tensor]:
        """The weights to validate and keep: the running average where there is one, and the base's share."""
        weights = copied(self.average.values if self.average is not None else self.task.network.state_dict())
        for name, value in (self._begun_with or {}).items():
            if value.is_floating_point():
                weights[name].lerp_(value, self.recipe.model.base_share)
        return weights

    def _save(self) -> None:
        """Write all that a resumed run needs."""
        self._saved = time.monotonic()
        if not self.fabric.is_global_zero:
            return
        state = {
            "position": {name: getattr(self.position, name) for name in Position.__slots__},
            "network": self.task.network.state_dict(),
            "optimisers": [_plain(optimiser).state_dict() for optimiser in self._optimisers],
            "average": self.average and {"steps": self.average.steps, "values": self.average.values},
            "best": self.best,
            "last_validation": self.last_validation,
            "best_validation": self.best_validation,
        }
        with atomic_path(self.folder / STATE_FILE) as temporary:
            torch.save(state, temporary)

    def _restore(self) -> None:
        """Take up the state of an earlier session, if there is one."""
        file = self.folder / STATE_FILE
        if not file.exists():
            return
        state = torch.load(file, map_location=self.fabric.device, weights_only=True)
        self.position = Position(**state["position"])
        self.task.network.load_state_dict(state["network"])
        for optimiser, values in zip(self._optimisers, state["optimisers"], strict=True):
            _plain(optimiser).load_state_dict(values)
        if self.average is not None:
            self.average.steps = state["average"]["steps"]
            self.average.values = state["average"]["values"]
        self.best = state["best"]
        self.last_validation = state["last_validation"]
        self.best_validation = state.get("best_validation", self.last_validation)
        if self.fabric.is_global_zero:
            logger.info(f"resuming after step {self.position.step} of {self.recipe.steps}")


def _set_up(fabric: Fabric, objective: nn.Module, opts: Sequence[torch.optim.Optimizer]) -> tuple[Any, ...]:
    """Objective and optimisers, wrapped for the devices."""
    wrapped = fabric.setup(objective, *opts)
    return wrapped if isinstance(wrapped, tuple) else (wrapped,)


def _plain(optimiser: Any) -> torch.optim.Optimizer:
    inner: torch.optim.Optimizer = getattr(optimiser, "optimizer", optimiser)
    return inner


def make_fabric(device: str, precision: str) -> Fabric:
    """Devices of this run: one, or one a process where torchrun started several.

    Args:
        device: cpu or cuda.
        precision: float32 or bfloat16 (mixed with float32 weights).
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    nodes = max(1, int(os.environ.get("WORLD_SIZE", "1")) // processes)
    with warnings.catch_warnings():
        # It recommends srun wherever Slurm is installed.
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        fabric = Fabric(
            accelerator="cuda" if device.startswith("cuda") else "cpu",
            devices=processes,
            num_nodes=nodes,
            # Buffers are constants here; synchronising them before every step would only cost time.
            strategy=DDPStrategy(**_CONSTANT_BUFFERS) if processes * nodes > 1 else "auto",
            precision="bf16-mixed" if precision == "bfloat16" else "32-true",
        )
        fabric.launch()
    return fabric


def part_processes(fabric: Fabric) -> None:
    """Wait until every process of a run is done, and close the connections between them.

    A process that ends with open connections is now and then aborted by them, and torchrun then calls the whole run
    failed. Call it when the trainer is gone: its gradient reducer would close them with Python's lock held, which the
    connections' own thread may be waiting for. After an error it is of no use: the other processes may never come.
    """
    if fabric.world_size == 1:
        return
    gc.collect()
    fabric.barrier()
    torch.distributed.destroy_process_group()


# torch 2.13 renamed the option.
_CONSTANT_BUFFERS: dict[str, bool] = {
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(nn.parallel.DistributedDataParallel.__init__).parameters
    else "broadcast_buffers": False
}
