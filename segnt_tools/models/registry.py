"""Which models there are by name, and how a name or folder becomes a network that is ready to run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType

import torch

from segnt_tools.errors import CheckpointError, UsageError
from segnt_tools.logs import logger
from segnt_tools.models.architectures import build
from segnt_tools.models.card import AUTO_MODEL, CARD_FILE, Card
from segnt_tools.models.checkpoints import Inspection, inspect_checkpoint
from segnt_tools.models.interface import SegmentationModel
from segnt_tools.models.uninitialised import Uninitialised

PRECISIONS: Mapping[str, torch.dtype] = MappingProxyType(
    {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
)
MODELS_VARIABLE = "SEGNT_MODELS"
"""Environment variable with the folders of the user's models, separated like those of PATH."""
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model on its device.

    Attributes:
        model: the network, in evaluation mode.
        device: where it runs.
        precision: type of its arithmetic.
        fingerprint: digest of the checkpoint's files.
        notes: what was taken for granted in reading it.
    """

    model: SegmentationModel
    device: torch.device
    precision: torch.dtype
    fingerprint: str
    notes: tuple[str, ...] = ()

    @property
    def card(self) -> Card:
        """The model's card."""
        return self.model.card


def embedded_folder() -> Path:
    """The folder of the checkpoints inside the package."""
    return Path(str(resources.files("segnt_tools") / "data" / "models"))


def user_folders(model_dirs: Sequence[Path] = ()) -> tuple[Path, ...]:
    """The folders of the user's models, in the order of search.

    Those of the command line, then those of $SEGNT_MODELS, or segnt_tools/models in the user's data folder where the
    variable is not set.
    """
    given = tuple(Path(folder) for folder in os.environ.get(MODELS_VARIABLE, "").split(os.pathsep) if folder)
    if not given:
        data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        given = (Path(data) / "segnt_tools" / "models",)
    return (*model_dirs, *given)


def known_models(model_dirs: Sequence[Path] = ()) -> dict[str, Path]:
    """Names and folders of the embedded models and the user's own; of one name, the first of the search path.

    Args:
        model_dirs: folders to search before those of the environment.

    Raises:
        UsageError: one of `model_dirs` is no folder.
    """
    for folder in model_dirs:
        if not folder.is_dir():
            raise UsageError("there is no such folder", file=folder, hint="Give another --model-dir")
    known = embedded_models()
    for folder in reversed(user_folders(model_dirs)):
        known |= _checkpoints_in(folder)
    return known


def embedded_models() -> dict[str, Path]:
    """Names and folders of the models inside the package."""
    return _checkpoints_in(embedded_folder())


def _checkpoints_in(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")}


def find_checkpoint(name_or_folder: str | Path, model_dirs: Sequence[Path] = ()) -> Path:
    """The folder of a model's checkpoint.

    Args:
        name_or_folder: name of an embedded or installed model, or a checkpoint folder.
        model_dirs: folders to search before those of the environment.

    Raises:
        CheckpointError: there is no such model; the message says where it was searched.
        UsageError: one of `model_dirs` is no folder.
    """
    known = known_models(model_dirs)
    if str(name_or_folder) in known:
        return known[str(name_or_folder)]
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder
    if str(name_or_folder) == AUTO_MODEL:
        raise CheckpointError(
            f"--model {AUTO_MODEL} needs an assembly to choose for", hint=f"Name one of {', '.join(known)}"
        )
    raise CheckpointError(
        f"no model named {name_or_folder}, and no such folder; searched in "
        f"{', '.join(map(str, user_folders(model_dirs)))} and among the embedded models",
        hint=f"Known models: {', '.join(known) or 'none'}. See segnt models list",
    )


def load_model(model: str | Path | Inspection, device: str = "auto", precision: str = "auto") -> LoadedModel:
    """Load a checkpoint onto a device, for inference only: on a CPU its linear layers are packed.

    Args:
        model: name of an embedded or installed model, a checkpoint folder, or one that was inspected before.
        device: auto, cpu, cuda or cuda:N.
        precision: auto, float32, bfloat16 or float16.

    Raises:
        CheckpointError: unknown, damaged or unsafe checkpoint.
        UsageError: the device is not there.
    """
    chosen_device = choose_device(device)
    inspection = model if isinstance(model, Inspection) else inspect_checkpoint(find_checkpoint(model))
    with Uninitialised():
        network = build(inspection.card)
    dtype = choose_precision(precision, chosen_device, network.reduced_on_cpu)
    network.load_state_dict(inspection.take_weights(), strict=True)
    network.eval().requires_grad_(False)
    network.set_precision(dtype)
    network.to(chosen_device)
    if chosen_device.type == "cpu":
        network.prepare_for_cpu()
    return LoadedModel(network, chosen_device, dtype, checkpoint_fingerprint(inspection.folder), inspection.notes)


def checkpoint_fingerprint(folder: Path) -> str:
    """SHA-256 over the files of a checkpoint that decide its predictions."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".safetensors", ".bin", ".joblib") or path.name in (
            "config.json",
            "hyperparams.json",
            CARD_FILE,
        ):
            digest.update(path.relative_to(folder).as_posix().encode())
            with path.open("rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def choose_device(device: str) -> torch.device:
    """The device of an option value; `auto` takes the first GPU, else the CPU.

    Raises:
        UsageError: there is no such device.
    """
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"unknown device {device}", hint="Use auto, cpu, cuda or cuda:N") from error
    if chosen.type not in ("cpu", "cuda"):
        raise UsageError(f"unknown device {device}", hint="Use auto, cpu, cuda or cuda:N")
    if chosen.type == "cuda":
        if not torch.cuda.is_available():
            raise UsageError(
                "no GPU can be used here",
                hint="Use --device cpu, or check nvidia-smi and CUDA_VISIBLE_DEVICES (containers: --nv or --gpus all)",
            )
        if (chosen.index or 0) >= torch.cuda.device_count():
            raise UsageError(f"there is no {device}: {torch.cuda.device_count()} GPUs are visible")
    return chosen


def choose_precision(precision: str, device: torch.device, reduced_on_cpu: bool) -> torch.dtype:
    """The arithmetic of an option value; `auto` is bfloat16 on GPUs, and for some models on CPUs that do it fast."""
    if precision != "auto":
        return PRECISIONS[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if reduced_on_cpu and _bfloat16_is_fast_on_cpu() else torch.float32


def _bfloat16_is_fast_on_cpu() -> bool:
    """With matrix tiles (AMX), or with the AVX512-BF16 of AMD; that of Intel without tiles is slower than float32."""
    if torch.cpu._is_amx_tile_supported():
        return True
    amd = _CPU_INFO.is_file() and "AuthenticAMD" in _CPU_INFO.read_text()
    return amd and torch.cpu._is_avx512_bf16_supported()


def describe(loaded: LoadedModel, version: str) -> str:
    """The first log lines of a tool that runs a model: what runs where, under which licence, and how to cite it."""
    device = str(loaded.device)
    if loaded.device.type == "cuda":
        device += f" ({torch.cuda.get_device_name(loaded.device)})"
    else:
        device += f" ({torch.get_num_threads()} threads)"
    precision = str(loaded.precision).removeprefix("torch.")
    card = loaded.card
    line = f"segnt_tools {version}: {card.name} on {device} in {precision}; licence of the weights: {card.licence}"
    return f"{line}\ncite: {card.citation}" if card.citation else line


def log_model(loaded: LoadedModel, version: str) -> None:
    """Say version, device, precision, model, licence and citation, then what was taken for granted in reading it."""
    logger.info(describe(loaded, version))
    for note in loaded.notes:
        logger.info(note)
