"""What a training run leaves behind to read: JSON lines, CSV, TensorBoard and a picture of the learning curve."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segnt_tools.files import atomic_path
from segnt_tools.logs import logger

LOG_FILE = "log.jsonl"
TABLE_FILE = "log.csv"
PICTURE_FILE = "learning_curve.png"


class Journal:
    """The log of one run in its folder; a resumed run goes on where the last saved state was.

    Args:
        folder: the folder of the logs.
        step: entries after this step (of a run that was killed after its last saved state) are forgotten.
        tensorboard: also write TensorBoard events where tensorboard is installed.
    """

    def __init__(self, folder: Path, step: int, *, tensorboard: bool = True) -> None:
        self.folder = folder
        self.entries = [entry for entry in read_entries(folder) if entry["step"] <= step]
        self._write_all()
        self._board = _tensorboard(folder / "tensorboard", step) if tensorboard else None

    def add(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Log numbers of a step; `kind` is train or validation."""
        entry = {"step": step, "kind": kind, **values}
        self.entries.append(entry)
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(entry) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)
        text = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        logger.info(f"step {step} {kind}: {text}")

    def close(self) -> None:
        """Write the CSV table and the picture."""
        self._write_all()
        names = list(dict.fromkeys(name for entry in self.entries for name in entry))
        with (
            atomic_path(self.folder / TABLE_FILE) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as out,
        ):
            writer = csv.DictWriter(out, names, restval="")
            writer.writeheader()
            writer.writerows(self.entries)
        draw_learning_curve(self.entries, self.folder.parent / PICTURE_FILE)
        if self._board is not None:
            self._board.close()

    def _write_all(self) -> None:
        with atomic_path(self.folder / LOG_FILE) as temporary:
            temporary.write_text("".join(json.dumps(entry) + "\n" for entry in self.entries), encoding="utf-8")


def read_entries(folder: Path) -> list[dict[str, Any]]:
    """Entries of a run's log; a last line cut by a kill is left out."""
    file = folder / LOG_FILE
    if not file.exists():
        return []
    entries = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return entries


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


def draw_learning_curve(entries: list[dict[str, Any]], file: Path) -> None:
    """Losses and the other validation figures over steps, as PNG."""
    from matplotlib.figure import Figure

    validation = [entry for entry in entries if entry["kind"] == "validation"]
    training = [entry for entry in entries if entry["kind"] == "train"]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([e["step"] for e in training], [e["loss"] for e in training], color="#BBBBBB", label="training")
    if validation:
        left.plot([e["step"] for e in validation], [e["loss"] for e in validation], color="#4477AA", label="held out")
    left.set(xlabel="step", ylabel="loss", yscale="log")
    left.legend()
    figures = [
        name for name in (validation[0] if validation else {}) if name not in ("step", "kind") and "loss" not in name
    ]
    for name in figures:
        right.plot([e["step"] for e in validation], [e.get(name) for e in validation], label=name.replace("_", " "))
    right.set(xlabel="step", ylabel="held out", ylim=(0, 1))
    if figures:
        right.legend(fontsize="small")
    with atomic_path(file) as temporary:
        figure.savefig(temporary, dpi=120)
