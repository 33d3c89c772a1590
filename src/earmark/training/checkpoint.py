"""A checkpoint: one safetensors file with the weights and, in its header, all that is needed to use them.

Nothing is ever unpickled. The file is written to a temporary name and renamed, so that it is whole or not there.
"""

from __future__ import annotations

import dataclasses
import glob
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from earmark.config.sections import FrontEndConfig, ModelConfig
from earmark.config.suite import merge, to_dict
from earmark.models.create import create_model
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import atomic_write

HEADER_KEY = "earmark"


class CheckpointError(EarmarkError):
    """A file that is no checkpoint of earmark, or does not fit."""


@dataclass(frozen=True)
class CheckpointMetadata:
    """What a checkpoint says of itself."""

    model: ModelConfig
    class_names: tuple[str, ...]
    n_mels: int
    window_frames: int
    front_end: FrontEndConfig | None
    """None: the model was trained on images whose making is not known, so it cannot take audio."""
    run_id: str
    epoch: int
    history: tuple[dict[str, Any], ...] = ()
    """One entry per epoch until then."""


def create_from_header(header: CheckpointMetadata, weights: str = "none") -> nn.Module:
    """The network that the header describes, with fresh weights or those that `weights` names."""
    front_end = header.front_end
    return create_model(
        header.model.name,
        n_classes=len(header.class_names),
        n_mels=header.n_mels,
        attention=header.model.attention,
        placement=header.model.placement,
        weights=weights,
        train=header.model.train,
        dropout=header.model.dropout,
        db_range=None if front_end is None else db_range(front_end),
    )


def db_range(front_end: FrontEndConfig) -> tuple[float, float] | None:
    """The levels in dB that 0 and 255 stand for; None where 0 dB is each clip's own peak."""
    if front_end.reference == "peak":
        return None
    return front_end.reference_db - front_end.range_db, front_end.reference_db


def write_checkpoint(
    path: Path, model: nn.Module, header: CheckpointMetadata, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Write the model, its header and, to go on training later, the optimizer's state."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    if optimizer is not None:
        for i, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = save(tensors, metadata={HEADER_KEY: json.dumps(to_dict(header))})
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def read_header(path: Path) -> CheckpointMetadata:
    """The header alone.

    Raises:
        CheckpointError: the file is missing or is not a checkpoint of earmark.
    """
    return _read(path, "no tensor has this prefix")[0]


def load_checkpoint(path: Path) -> tuple[nn.Module, CheckpointMetadata]:
    """The trained network, in eval mode on the host, and its header.

    Args:
        path: a checkpoint, or a run folder, of which the selected checkpoint is taken.

    Raises:
        CheckpointError: no checkpoint there, or its weights do not fit the network it names.
    """
    path = checkpoint_of(path)
    header, tensors = _read(path, "model.")
    model = create_from_header(header)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"checkpoint {path}: weights do not fit {header.model.name} ({reason})") from None
    return model.eval(), header


def restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> CheckpointMetadata:
    """Put a checkpoint's weights and optimizer state into place to go on training; returns its header."""
    header, weights = _read(path, "model.")
    model.load_state_dict(weights)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _read(path, "optimizer.")[1].items():
        i, key = name.split(".", 1)
        state.setdefault(int(i), {})[key] = _laid_out_like(parameters[int(i)], tensor)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return header


def _laid_out_like(parameter: Tensor, tensor: Tensor) -> Tensor:
    """The tensor with the parameter's strides: the fused optimizer walks both through memory in step."""
    return torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor


def checkpoint_of(path: Path) -> Path:
    """The selected checkpoint of a run folder (`best` if a valid part selected one, else `last`), or the file itself.

    Args:
        path: a file, a run folder, or a run folder without the id at its end (``runs/own/se-fold1-seed42``).

    Raises:
        CheckpointError: there is none, or several run folders begin so.
    """
    path = path if path.exists() else _with_id(path)
    if path.is_dir():
        for name in ("best.safetensors", "last.safetensors"):
            if (path / name).is_file():
                return path / name
        raise CheckpointError(f"checkpoint {path}: the folder holds neither best.safetensors nor last.safetensors")
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path}: not found; give a .safetensors file or a run folder")
    return path


def _with_id(path: Path) -> Path:
    """The run folder whose name goes on with ``-<id>``; the path itself where there is none."""
    found = sorted(p for p in path.parent.glob(f"{glob.escape(path.name)}-*") if p.is_dir())
    if len(found) > 1:
        raise CheckpointError(f"checkpoint {path}: {len(found)} runs begin so, {found[0]} and {found[1]}; give one")
    return found[0] if found else path


def _read(path: Path, prefix: str) -> tuple[CheckpointMetadata, dict[str, Tensor]]:
    """The header and the tensors whose names begin with the prefix, without it."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER_KEY)
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 (not a dict)
            tensors = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"checkpoint {path}: cannot be read as safetensors ({error})") from None
    if text is None:
        raise CheckpointError(f"checkpoint {path}: was not written by earmark, its header has no {HEADER_KEY!r}")
    return _header_from_dict(json.loads(text)), tensors


def _header_from_dict(content: dict[str, Any]) -> CheckpointMetadata:
    front_end = content["front_end"]
    content |= {
        "model": merge(ModelConfig(), content["model"]),
        "front_end": None if front_end is None else merge(FrontEndConfig(), front_end),
        "class_names": tuple(content["class_names"]),
        "history": tuple(content["history"]),
    }
    return CheckpointMetadata(**{field.name: content[field.name] for field in dataclasses.fields(CheckpointMetadata)})
