"""Frozen backbones of other tools: files of vectors, ONNX files, and folders of Hugging Face Transformers.

A backbone maps waveforms to embeddings. It is never trained, and nothing of it is unpickled or run as code.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from earmark.models.network import ModelError
from earmark.models.prefixes import ONNX, TRANSFORMERS, is_external
from earmark.models.weights import content_digest
from earmark.runtime.files import digest

LOCATION = re.compile(rb"\n\x08location\x12([\x01-\x7f])", re.DOTALL)
"""Before the name of a file with external data in ONNX, a key and its value in Protocol Buffers; with its length."""


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen network from waveforms to embeddings."""

    name: str
    sample_rate: int
    """Rate in Hz of the waveforms."""
    apply: Callable[[np.ndarray], np.ndarray]
    """Embeddings (W, D) of windows float32 (W, N)."""
    fixed_samples: int = 0
    """Length that every window must have; 0 takes any."""
    most_samples: int = 0
    """Length of the longest window that is not cut off; 0 without such a limit."""
    n_parameters: int = 0
    """0 where it is not known."""

    def embed(self, windows_WN: np.ndarray) -> np.ndarray:
        """Embeddings float32 (W, D) of windows (W, N).

        Raises:
            ModelError: the network does not take such windows, or does not give one finite vector for each.
        """
        try:
            vectors_WD = np.asarray(self.apply(np.ascontiguousarray(windows_WN, np.float32)), np.float32)
        except ModelError:
            raise
        except Exception as error:  # those of ONNX Runtime and of the many networks of transformers
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"model.name = {self.name!r}: does not take a waveform of {windows_WN.shape[1]} samples ({reason}); "
                "give a network from waveform to embedding"
            ) from None
        if vectors_WD.ndim != 2 or len(vectors_WD) != len(windows_WN) or not np.isfinite(vectors_WD).all():
            raise ModelError(
                f"model.name = {self.name!r}: gives {vectors_WD.shape} for {len(windows_WN)} windows, or values that "
                "are not finite; give an output with one vector per window"
            )
        return vectors_WD


def backbone_path(name: str) -> Path:
    """The file or folder of an external backbone."""
    return Path(name.partition(":")[2]).expanduser()


def backbone_digest(name: str) -> str:
    """Stands for the content of the files of an external backbone; empty for another network."""
    if not is_external(name):
        return ""
    path = backbone_path(name)
    files = [path]
    if name.startswith(ONNX) and path.is_file():  # weights of more than 2 GB lie beside the file
        beside = {*path.parent.glob(f"{path.name}[._]data*"), *_external_data(path, content_digest(path))}
        files += sorted(beside)
    if name.startswith(TRANSFORMERS):
        files = sorted([*path.glob("*.json"), *path.glob("*.safetensors")])
    if len(files) == 1:
        return content_digest(path)
    return digest(json.dumps([[file.name, content_digest(file)] for file in files]))


@functools.cache
def _external_data(path: Path, _digest: str) -> list[Path]:
    """The files that an ONNX file names as the places of its tensors."""
    content = path.read_bytes()
    names = {content[found.end() : found.end() + found[1][0]] for found in LOCATION.finditer(content)}
    files = (path.parent / os.fsdecode(name) for name in names if b"\0" not in name)
    return [file for file in files if file.is_file()]


def load_backbone(
    name: str, sample_rate: int = 0, model_output: str = "", device: torch.device | str = "cpu"
) -> Backbone:
    """Load a backbone that takes waveforms, and try it on a second of noise.

    Args:
        name: `onnx:` and the path of a file, or `transformers:` and the path of a folder.
        sample_rate: in Hz, where an ONNX file does not say it; else 0.
        model_output: name of the ONNX output with the embedding; empty takes the only one of two axes.
        device: for `transformers:`; ONNX runs on the processor.

    Raises:
        ModelError: an extra is not installed, a file is missing or cannot be used, or the rate is not that of the file.
    """
    if name.startswith(ONNX):
        from earmark.models.onnx_backbone import load_onnx_backbone

        backbone = load_onnx_backbone(name, backbone_path(name), sample_rate, model_output)
    else:
        from earmark.models.hf_backbone import load_hf_backbone

        backbone = load_hf_backbone(name, backbone_path(name), torch.device(device))
        if sample_rate not in (0, backbone.sample_rate):
            raise ModelError(f"sample_rate = {sample_rate}: {name} takes {backbone.sample_rate} Hz; leave it out")
    n_samples = backbone.fixed_samples or min(backbone.sample_rate, backbone.most_samples or backbone.sample_rate)
    backbone.embed(0.1 * np.random.default_rng(0).normal(size=(1, n_samples)))
    return backbone
