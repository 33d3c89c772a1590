"""A checkpoint: one safetensors file with the weights and, in its metadata, everything needed to use them.

Nothing is ever unpickled. Files are written atomically.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from earmark.config.sections import FrontEndConfig, ModelConfig
from earmark.config.suite import merge, to_dict
from earmark.features.log_mel import FIRST_VERSION, VERSION
from earmark.models.create import create_model
from earmark.models.custom import source_digest
from earmark.models.network import Network
from earmark.models.weights import upgrade_names
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import write_bytes
from earmark.runtime.schema import check_schema, parse_json
from earmark.training.checkpoint_files import MODEL_FORMS, CheckpointError, checkpoint_of

METADATA_KEY = "earmark"
FORMAT_VERSION = 2
"""Version 1, without this key in the metadata, had other names of weights, see `upgrade_names`."""
METADATA = {
    "model": dict,
    "class_names": [str],
    "n_mels": int,
    "window_frames": int,
    "front_end": dict | None,
    "run_id": str,
    "epoch": int,
    "history": [dict],
    "source?": str,
    "n_shifts?": int,
    "recordings?": [str],
    "front_end_version?": int,
}


@dataclass(frozen=True)
class CheckpointMetadata:
    """The metadata of a checkpoint."""

    model: ModelConfig
    class_names: tuple[str, ...]
    n_mels: int
    window_frames: int
    front_end: FrontEndConfig | None
    """None: the model was trained on images made by an unknown front end, so it cannot take audio."""
    run_id: str
    epoch: int
    history: tuple[dict[str, Any], ...] = ()
    """One entry per epoch so far."""
    source: str = ""
    """Of your own network: the digest of its source, see `source_digest`."""
    n_shifts: int = 1
    """A window is scored as the mean over this many circular time shifts."""
    recordings: tuple[str, ...] = ()
    """Digests of the files that trained it or selected its epoch, sorted; empty where they are not known."""
    front_end_version: int = VERSION
    """Of the images that trained it: with another one, the same settings give other images."""


def metadata_of_weights(weights: str) -> CheckpointMetadata | None:
    """Of the checkpoint of earmark that initial weights are; None for published weights and files of other tools.

    Args:
        weights: `model.weights`.

    Raises:
        CheckpointError: the metadata are damaged, or of a later version of the format.
    """
    path = Path(weights).expanduser()
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
    except SafetensorError:
        return None  # `read_weights` says that it is damaged
    return None if text is None else _read_metadata(text, path)[1]


def create_from_metadata(metadata: CheckpointMetadata, weights: str = "none") -> Network:
    """Create the network that the metadata describe, with fresh or pretrained `weights`.

    Raises:
        CheckpointError: the source of your own network is another than that of the checkpoint.
    """
    if metadata.source != source_digest(metadata.model.name):
        raise CheckpointError(
            f"run {metadata.run_id}: the source of {metadata.model.name} has changed since it was trained; restore "
            "it, or train again"
        )
    front_end = metadata.front_end
    return create_model(
        metadata.model.name,
        n_classes=len(metadata.class_names),
        n_mels=metadata.n_mels,
        attention=metadata.model.attention,
        placement=metadata.model.placement,
        weights=weights,
        train=metadata.model.train,
        dropout=metadata.model.dropout,
        db_range=None if front_end is None else db_range(front_end),
        stochastic_depth=metadata.model.stochastic_depth,
    )


def db_range(front_end: FrontEndConfig) -> tuple[float, float] | None:
    """The levels in dB that 0 and 255 stand for; None if 0 dB is the peak of each clip."""
    if front_end.reference == "peak":
        return None
    return front_end.reference_db - front_end.range_db, front_end.reference_db


def write_checkpoint(
    path: Path,
    model: nn.Module,
    metadata: CheckpointMetadata,
    optimizer: torch.optim.Optimizer | None = None,
    trained: nn.Module | None = None,
) -> None:
    """Write the model, its metadata and, to resume training, the state of the optimizer.

    Args:
        trained: to resume where `model` is a moving average: the network that the optimizer trains.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    if trained is not None:
        tensors |= {f"trained.{name}": tensor for name, tensor in trained.state_dict().items()}
    if optimizer is not None:
        for i, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": torch.as_tensor(value) for name, value in state.items()}
    contiguous = torch.contiguous_format  # copies: safetensors refuses layers that share a tensor
    tensors = {name: tensor.detach().cpu().clone(memory_format=contiguous) for name, tensor in tensors.items()}
    content = {"format_version": FORMAT_VERSION} | to_dict(metadata)
    if not metadata.source:
        del content["source"]
    write_bytes(path, save(tensors, metadata={METADATA_KEY: json.dumps(content)}))


def load_checkpoint(path: Path, *, allow_unfinished: bool = False) -> tuple[Network, CheckpointMetadata]:
    """Load the trained network, in eval mode on the CPU, and its metadata; warns if its run is not finished.

    Args:
        path: a checkpoint, or a run folder, whose selected checkpoint is loaded.
        allow_unfinished: no warning.

    Raises:
        CheckpointError: there is no checkpoint, or its weights do not fit the network it names.
    """
    path = checkpoint_of(path)
    if not (allow_unfinished or is_finished(path)):
        warnings.warn(f"checkpoint {path}: its run is not finished, so these weights are not final", stacklevel=2)
    metadata, (tensors,) = _read(path, "model.")
    model = create_from_metadata(metadata)
    _check_types(model, tensors, path)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"checkpoint {path}: weights do not fit {metadata.model.name} ({reason})") from None
    return model.eval(), metadata


def _check_types(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise `CheckpointError` for weights that another program has rounded, which loading would not notice."""
    for name, own in model.state_dict().items():
        stored = tensors.get(name, own)
        if stored.dtype != own.dtype:
            types = f"{stored.dtype}, not {own.dtype}".replace("torch.", "")
            usual = torch.get_default_dtype() == torch.float32
            remedy = "give the checkpoint that was trained" if usual else "call torch.set_default_dtype(torch.float32)"
            raise CheckpointError(f"checkpoint {path}: {name} is {types}; {remedy}")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of the network in a checkpoint, by name.

    Raises:
        CheckpointError: it cannot be read.
    """
    return _read(path, "model.")[1][0]


def publish_checkpoint(source: Path, target: Path) -> None:
    """Copy a checkpoint for others: without the optimizer's state, and of the path of initial weights the file name."""
    model, metadata = load_checkpoint(source, allow_unfinished=True)
    own = dataclasses.replace(metadata.model, weights=Path(metadata.model.weights).name)
    write_checkpoint(target, model, dataclasses.replace(metadata, model=own))


def digest_weights(model: nn.Module) -> str:
    """Sixteen hex digits that stand for the names and bytes of all tensors of a network."""
    total = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:16]


def is_finished(path: Path) -> bool:
    """Whether the run of a checkpoint is finished.

    In a run folder the result says so. Elsewhere a file with the state of the optimizer is one to resume from.
    """
    if (path.parent / "config.json").is_file():
        return (path.parent / "result.json").is_file()
    return not _read(path, "optimizer.0.")[1][0]


def restore(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None = None
) -> CheckpointMetadata:
    """Load weights and optimizer state from a checkpoint to resume training; returns its metadata.

    Args:
        average: the moving average of the model, if it has one.
    """
    metadata, (weights, trained, moments) = _read(path, "model.", "trained.", "optimizer.")
    try:
        if average is not None:
            average.load_state_dict(weights)
            weights = trained or weights  # after the last epoch there is nothing to resume
        model.load_state_dict(weights)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in moments.items():
            i, key = name.split(".", 1)
            state.setdefault(int(i), {})[key] = _laid_out_like(parameters[int(i)], tensor)
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except (RuntimeError, IndexError, KeyError, ValueError) as error:
        if isinstance(error, EarmarkError):
            raise
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"checkpoint {path}: does not fit its run ({reason}); remove it to train again") from None
    return metadata


def _laid_out_like(parameter: Tensor, tensor: Tensor) -> Tensor:
    """The tensor with the strides of the parameter, as the fused optimizer needs it."""
    return torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor


def _read(path: Path, *prefixes: str) -> tuple[CheckpointMetadata, list[dict[str, Tensor]]]:
    """The metadata, and for each prefix the tensors whose names begin with it, without it."""
    try:
        with safe_open(path, framework="pt") as file:
            text, names = (file.metadata() or {}).get(METADATA_KEY), list(file.keys())
            parts = [
                {name.removeprefix(prefix): file.get_tensor(name) for name in names if name.startswith(prefix)}
                for prefix in prefixes
            ]
    except (SafetensorError, OSError) as error:
        remedy = "restore it, or train again" if path.suffix == ".safetensors" else MODEL_FORMS
        raise CheckpointError(f"checkpoint {path}: cannot be read as safetensors ({error}); {remedy}") from None
    if text is None:
        raise CheckpointError(f"checkpoint {path}: was not written by earmark, its metadata have no {METADATA_KEY!r}")
    version, metadata = _read_metadata(text, path)
    return metadata, [dict(upgrade_names(part)) for part in parts] if version == 1 else parts


def _read_metadata(text: str, path: Path) -> tuple[int, CheckpointMetadata]:
    """Format version and metadata of a checkpoint from its JSON.

    Raises:
        CheckpointError: it is damaged, or of a later version of the format.
    """
    try:
        content = parse_json(text, "metadata")
        check_schema(content, {"format_version?": int}, "metadata")
        version = content.pop("format_version", 1)
        if version > FORMAT_VERSION:
            raise CheckpointError(f"format version {version} is newer than this earmark; update earmark")
        check_schema(content, METADATA, "metadata")
        return version, _metadata_from_dict(content)
    except EarmarkError as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from None


def _metadata_from_dict(content: dict[str, Any]) -> CheckpointMetadata:
    content.setdefault("n_shifts", 1)
    bounds = {"n_mels": (1, 4096), "window_frames": (1, 2**22), "epoch": (0, 2**31), "n_shifts": (1, 64)}
    for name, (least, most) in bounds.items():
        if not least <= content[name] <= most:
            raise CheckpointError(f"metadata: {name} = {content[name]} is out of range")
    if not 1 <= len(content["class_names"]) <= 2**20:
        raise CheckpointError(f"metadata: {len(content['class_names'])} class names")
    front_end = content["front_end"]
    merged = None if front_end is None else merge(FrontEndConfig(), front_end)
    if merged is not None and not merged.sample_rate:
        raise CheckpointError("metadata: front_end.sample_rate = 0, the rate of the recordings is missing")
    if merged is not None and merged.n_mels != content["n_mels"]:
        raise CheckpointError(f"metadata: n_mels = {content['n_mels']}, but front_end.n_mels = {merged.n_mels}")
    content |= {
        "model": merge(ModelConfig(), content["model"]),
        "front_end": merged,
        "class_names": tuple(content["class_names"]),
        "history": tuple(content["history"]),
        "source": content.get("source", ""),
        "recordings": tuple(content.get("recordings", ())),
        "front_end_version": content.get("front_end_version", FIRST_VERSION),
    }
    return CheckpointMetadata(**{field.name: content[field.name] for field in dataclasses.fields(CheckpointMetadata)})
