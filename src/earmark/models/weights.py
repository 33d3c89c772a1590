"""Pretrained weights: fetch and read them, load them into a network, freeze what is not trained.

Weights are tensors and nothing else: files are safetensors, or PyTorch files read with `weights_only`.
"""

from __future__ import annotations

import functools
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from earmark.models.network import ModelError, Network
from earmark.runtime.errors import EarmarkError, first_line
from earmark.runtime.files import file_digest

Weights = Mapping[str, Tensor]
TRAIN = ("all", "last_stage", "head")
NAMED = ("imagenet", "audioset")
V1_NAMES = {"behind.": "attention_after."}
"""Prefixes of names in checkpoints of format version 1, and what they are now."""
CHECKPOINT_PREFIX = "model."
"""Prefix of the weights' names in a checkpoint of earmark."""


class WeightsError(EarmarkError):
    """Pretrained weights that are not available or do not fit; the message says which and what to do."""


def fetch_weights(url: str, sha256: str | None) -> Weights:
    """Read weights from PyTorch's cache; download them if they are not there.

    Args:
        sha256: the first digits of the file's SHA-256, checked after the download; None if it is not known.

    Raises:
        WeightsError: they are neither cached nor can be downloaded, or the hash is wrong.
    """
    name = Path(urlsplit(url).path).name
    cached = Path(torch.hub.get_dir()) / "checkpoints" / name
    if cached.is_file():
        return read_weights(cached)
    cached.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(cached), sha256, progress=sys.stderr.isatty())
    except (OSError, RuntimeError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise unreachable(url, str(cached), error) from None
    try:
        return read_weights(cached)
    except WeightsError:
        cached.unlink()  # do not keep a broken download
        raise


def unreachable(source: str, cached: str, error: Exception) -> WeightsError:
    """The error for weights that cannot be downloaded: one line with the reason and three remedies."""
    reason = " ".join(str(error).split())
    return WeightsError(
        f"weights {source}: cannot be fetched ({reason}); go online once, or copy the file from elsewhere to {cached}, "
        "or set model.weights to the path of a file of weights ('none' starts from scratch)"
    )


def read_weights(path: str | Path) -> Weights:
    """Read a file of weights: safetensors, also a checkpoint of earmark, or a PyTorch state dict, also as `model`.

    Raises:
        WeightsError: the file is missing or holds anything but named tensors.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(f"model.weights = {str(path)!r}: no such file; give a path, none, {' or '.join(NAMED)}")
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise WeightsError(
            f"weights {path}: cannot be read as safetensors or plain tensors (damaged, or with Python objects, which "
            "are never loaded); save its state dict alone: torch.save(model.state_dict(), FILE)"
        ) from None
    except (OSError, RuntimeError, EOFError, SafetensorError) as error:
        reason = first_line(error)
        raise WeightsError(f"weights {path}: cannot be read as safetensors or plain tensors ({reason})") from None
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]  # as PANNs are published
    if not (isinstance(content, dict) and content and all(isinstance(v, Tensor) for v in content.values())):
        raise WeightsError(f"weights {path}: holds no plain state dict (name: tensor); save model.state_dict()")
    return _of_checkpoint(content)


def weights_path(weights: str) -> Path | None:
    """The path that `model.weights` is; None for `none` and published weights, also where a file has such a name."""
    return None if weights in ("none", *NAMED) else Path(weights).expanduser()


def weights_digest(weights: str) -> str:
    """Stands for the content of a file of weights; empty for `none` and published weights."""
    path = weights_path(weights)
    return "" if path is None else content_digest(path)


def content_digest(path: Path) -> str:
    """The digest of a file, computed once; empty where there is none."""
    return _file_digest(path, path.stat().st_mtime_ns) if path.is_file() else ""


@functools.cache
def _file_digest(path: Path, _mtime_ns: int) -> str:
    return file_digest(path)


def _of_checkpoint(content: Weights) -> Weights:
    """The model's tensors of an earmark checkpoint, or all tensors of another file."""
    of_model = {k.removeprefix(CHECKPOINT_PREFIX): v for k, v in content.items() if k.startswith(CHECKPOINT_PREFIX)}
    return upgrade_names(of_model) or content


def upgrade_names(weights: Weights) -> Weights:
    """The weights of a checkpoint of any format version under today's names."""
    renamed = {}
    for name, tensor in weights.items():
        old = next((prefix for prefix in V1_NAMES if name.startswith(prefix)), "")
        renamed[V1_NAMES.get(old, "") + name.removeprefix(old)] = tensor
    return renamed


def load_weights(network: Network, weights: Weights, source: str) -> None:
    """Load pretrained weights into a network, except for its output layer, and record their names.

    Only attention blocks may be missing from the weights, and nothing may be left over but the front end that some
    published files hold, whose shapes are checked. Filters over three colors are summed to filters over gray.

    Raises:
        WeightsError: a tensor is missing, left over or of another shape.
    """
    own = network.state_dict()
    _check_front_end(network, weights, source)
    weights = {name: tensor for name, tensor in weights.items() if name not in network.published_front_end}
    given = {network.state_dict_name(name): tensor for name, tensor in weights.items()}
    given = {name: tensor for name, tensor in given.items() if not name.startswith(network.output + ".")}
    for name, tensor in given.items():
        if name not in own:
            raise _misfit(source, f"{name!r} is not in this network")
        given[name] = _to_gray(tensor, own[name])
        if given[name].shape != own[name].shape:
            raise _misfit(source, f"{name!r} has shape {_size(tensor)}, this network needs {_size(own[name])}")
    for name in sorted(own.keys() - given.keys() - network.attention_names()):
        if not name.startswith(network.output + ".") and not name.endswith("num_batches_tracked"):
            raise _misfit(source, f"{name!r} is missing")
    network.load_state_dict(given, strict=False)
    network.pretrained = frozenset(name for name, _ in network.named_parameters() if name in given)


def _check_front_end(network: Network, weights: Weights, source: str) -> None:
    for name, shape in network.published_front_end.items():
        if name in weights and tuple(weights[name].shape) != shape:
            needed = "x".join(str(n) for n in shape)
            raise _misfit(source, f"{name!r} has shape {_size(weights[name])}, its front end must have {needed}")


def _misfit(source: str, what: str) -> WeightsError:
    remedy = "give weights of the same architecture, width and number of mel bins, or model.weights = 'none'"
    return WeightsError(f"weights {source}: {what}; {remedy}")


def _size(tensor: Tensor) -> str:
    return "x".join(str(n) for n in tensor.shape)


def _to_gray(tensor: Tensor, own: Tensor) -> Tensor:
    color = tensor.ndim == 4 and tensor.shape[1] == 3 and own.shape[1] == 1
    return tensor.sum(1, keepdim=True) if color else tensor


def freeze(network: Network, train: str) -> None:
    """Freeze all parameters except for `train`: `all`, `last_stage` (and the head) or `head`; attention always trains.

    Raises:
        ModelError: the first module of the last stage is not known.
    """
    if train == "all":
        return
    first = {"last_stage": network.last_stage, "head": network.head}[train]
    if not first:
        raise ModelError("model.train = 'last_stage': the last stage of this network is not known; give 'head'")
    network.freeze_before(first)
