"""Pretrained weights: where they come from, how they get into a network, and what is trained then.

Weights are tensors and nothing else: files are safetensors, or PyTorch files read with `weights_only`.
"""

from __future__ import annotations

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
from earmark.runtime.errors import EarmarkError

Weights = Mapping[str, Tensor]
TRAIN = ("all", "last_stage", "head")
NAMED = ("imagenet", "audioset")
CHECKPOINT_PREFIX = "model."
"""What stands before the names of the weights in a checkpoint of earmark."""


class WeightsError(EarmarkError):
    """Pretrained weights that cannot be had or do not fit; the message says which and what to do."""


def fetch_weights(url: str, check_hash: bool) -> Weights:
    """Weights from PyTorch's cache or, the first time, from the net.

    Args:
        check_hash: the file's name ends in the first digits of its SHA-256, as torchvision's do.

    Raises:
        WeightsError: they are neither there nor to be had.
    """
    name = Path(urlsplit(url).path).name
    cached = Path(torch.hub.get_dir()) / "checkpoints" / name
    if cached.is_file():
        return read_weights(cached)
    cached.parent.mkdir(parents=True, exist_ok=True)
    digits = cached.stem.rpartition("-")[2] if check_hash else None
    try:
        torch.hub.download_url_to_file(url, str(cached), digits, progress=sys.stderr.isatty())
    except (OSError, RuntimeError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise unreachable(url, str(cached), error) from None
    try:
        return read_weights(cached)
    except WeightsError:
        cached.unlink()  # a broken download must not come back from the cache
        raise


def unreachable(source: str, cached: str, error: Exception) -> WeightsError:
    """The error for weights that cannot be fetched: one line with the reason and the three remedies."""
    reason = " ".join(str(error).split())
    return WeightsError(
        f"weights {source}: cannot be fetched ({reason}); go online once, or copy the file from elsewhere to {cached}, "
        "or set model.weights to the path of a file of weights ('none' starts from scratch)"
    )


def read_weights(path: str | Path) -> Weights:
    """Read a file of weights: safetensors, also a checkpoint of earmark, or a PyTorch state dict.

    Raises:
        WeightsError: the file is missing or holds anything but named tensors.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(f"model.weights = {str(path)!r}: no such file; give a path, none, {' or '.join(NAMED)}")
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"weights {path}: cannot be read as safetensors or plain tensors ({reason})") from None
    if not (isinstance(content, dict) and content and all(isinstance(v, Tensor) for v in content.values())):
        raise WeightsError(f"weights {path}: holds no plain state dict (name: tensor); save model.state_dict()")
    return _of_checkpoint(content)


def _of_checkpoint(content: Weights) -> Weights:
    """The model's part of an earmark checkpoint, or all of another file."""
    of_model = {k.removeprefix(CHECKPOINT_PREFIX): v for k, v in content.items() if k.startswith(CHECKPOINT_PREFIX)}
    return of_model or content


def load_weights(network: Network, weights: Weights, source: str) -> None:
    """Put pretrained weights into a network, all but those of its output layer, and record their names.

    Attention blocks may be missing from the weights; nothing else may be missing or left over. Filters over three
    colours become filters over grey by their sum.

    Raises:
        WeightsError: a tensor is missing, left over or of another shape.
    """
    own = network.state_dict()
    given = {network.state_dict_name(name): tensor for name, tensor in weights.items()}
    given = {name: tensor for name, tensor in given.items() if not name.startswith(network.output + ".")}
    for name, tensor in given.items():
        if name not in own:
            raise _misfit(source, f"{name!r} is not in this network")
        given[name] = _to_grey(tensor, own[name])
        if given[name].shape != own[name].shape:
            raise _misfit(source, f"{name!r} has shape {_size(tensor)}, this network needs {_size(own[name])}")
    for name in sorted(own.keys() - given.keys() - network.attention_names()):
        if not name.startswith(network.output + ".") and not name.endswith("num_batches_tracked"):
            raise _misfit(source, f"{name!r} is missing")
    network.load_state_dict(given, strict=False)
    network.pretrained = frozenset(name for name, _ in network.named_parameters() if name in given)


def _misfit(source: str, what: str) -> WeightsError:
    remedy = "give weights of the same architecture, width and number of mel bins, or model.weights = 'none'"
    return WeightsError(f"weights {source}: {what}; {remedy}")


def _size(tensor: Tensor) -> str:
    return "x".join(str(n) for n in tensor.shape)


def _to_grey(tensor: Tensor, own: Tensor) -> Tensor:
    colour = tensor.ndim == 4 and tensor.shape[1] == 3 and own.shape[1] == 1
    return tensor.sum(1, keepdim=True) if colour else tensor


def freeze(network: Network, train: str) -> None:
    """Leave trainable what `train` says: `all`, `last_stage` (and the head) or `head`; attention always is.

    Raises:
        ModelError: it is not known where the last stage begins.
    """
    if train == "all":
        return
    first = {"last_stage": network.last_stage, "head": network.head}[train]
    if not first:
        raise ModelError("model.train = 'last_stage': timm does not say where this network's begins; give 'head'")
    network.freeze_before(first)
