"""Backbones from ONNX files that take a waveform, of any tool; needs the extra `onnx`."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earmark.models.backbone import Backbone, backbone_path
from earmark.models.network import ModelError
from earmark.models.weights import content_digest
from earmark.runtime.errors import first_line, missing_extra, suggest

RATE_KEYS = ("sample_rate", "sampling_rate")
"""Keys of the metadata that say the rate in Hz; earmark's exports have the first."""
EMBEDDING_NAMES = ("embedding", "embeddings")


def load_onnx_backbone(name: str, path: Path, sample_rate: int, model_output: str) -> Backbone:
    """The backbone in an ONNX file.

    Its one input is float32 (batch, samples) or (samples,), of any or of one fixed length. The output with the
    embedding is (batch, D), or (batch, frames, D) if it is named: the mean over frames is taken. Without a batch axis
    of the input, it is (D,) or (frames, D).

    Args:
        name: for messages.
        path: of the file.
        sample_rate: in Hz, if the metadata of the file do not say it.
        model_output: name of the output; empty takes the only one, the only one of two axes, or the one called
            `embedding`.

    Raises:
        ModelError: the file is missing or cannot be used; the message says what to give.
    """
    session = _open_session(name, path)
    source, n_samples, one_by_one = _input(name, session.get_inputs())
    output = _output(name, session.get_outputs(), model_output)
    rate = _sample_rate(name, session.get_modelmeta().custom_metadata_map, sample_rate)
    batched = len(source.shape) == 2

    def apply(windows_WN: np.ndarray) -> np.ndarray:
        batches = np.split(windows_WN, len(windows_WN)) if one_by_one else [windows_WN]
        values = (session.run([output], {source.name: batch if batched else batch[0]})[0] for batch in batches)
        return np.concatenate([_one_vector_each(value, batched) for value in values])

    return Backbone(name, rate, apply, fixed_samples=n_samples)


def recordings_of_onnx(name: str) -> tuple[str, ...] | None:
    """Digests of the files that trained a model which earmark has exported; empty for files of other tools.

    Args:
        name: `onnx:` and the path of the file.

    Returns:
        None where an export of earmark does not say them.

    Raises:
        ModelError: the file is missing or cannot be read.
    """
    path = backbone_path(name)
    return _recordings_in(name, path, content_digest(path))


@functools.cache
def _recordings_in(name: str, path: Path, _digest: str) -> tuple[str, ...] | None:
    text = _open_session(name, path).get_modelmeta().custom_metadata_map.get("earmark")
    try:
        return () if text is None else tuple(json.loads(text).get("recordings", ())) or None
    except (ValueError, AttributeError, TypeError):
        return ()  # another tool's


def _open_session(name: str, path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ModelError(f"model.name = {name!r}: {missing_extra('onnxruntime', 'onnx')}") from None
    if not path.is_file():
        raise ModelError(f"model.name = {name!r}: no such file; give onnx: and the path of an .onnx file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        remedy = f"cannot be read as ONNX ({first_line(error)}); export it again"
        raise ModelError(f"model.name = {name!r}: {remedy}") from None


def _input(name: str, inputs: Sequence[Any]) -> tuple[Any, int, bool]:
    """The input, the fixed number of samples (0: any), and whether it takes one window at a time."""
    waveform = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(inputs[0].shape) in (1, 2)
    batch = inputs[0].shape[0] if waveform and len(inputs[0].shape) == 2 else 1
    if not waveform or (isinstance(batch, int) and batch != 1):
        raise ModelError(
            f"model.name = {name!r}: takes {_describe(inputs)}; give a file with one input, float32 (batch, samples) "
            "or (samples,), of a batch of 1 or any"
        )
    samples = inputs[0].shape[-1]
    return inputs[0], samples if isinstance(samples, int) else 0, batch == 1


def _output(name: str, outputs: Sequence[Any], wanted: str) -> str:
    names = [output.name for output in outputs]
    if wanted:
        if wanted not in names:
            raise ModelError(f"model_output = {wanted!r}: {name} has no such output{suggest(wanted, names)}")
        return wanted
    vectors = [output.name for output in outputs if len(output.shape) == 2]
    called = [output for output in vectors if output in EMBEDDING_NAMES]
    for found in (names, vectors, called):
        if len(found) == 1:
            return found[0]
    raise ModelError(
        f"model_output = '': {name} gives {_describe(outputs)}; give the name of the one with the embedding"
    )


def _describe(tensors: Sequence[Any]) -> str:
    """Names, types and shapes: `scores float (batch, 10)`."""
    texts = []
    for tensor in tensors:
        kind = tensor.type.removeprefix("tensor(").removesuffix(")")
        texts.append(f"{tensor.name} {kind} ({', '.join(str(n) for n in tensor.shape)})")
    return ", ".join(texts)


def _sample_rate(name: str, metadata: Mapping[str, str], given: int) -> int:
    """The rate in Hz that the metadata say, or the given one."""
    text = next((metadata[key] for key in RATE_KEYS if key in metadata), "").removesuffix(".0")
    known = int(text) if text.isdecimal() else 0
    if known and given not in (0, known):
        raise ModelError(f"sample_rate = {given}: the metadata of {name} say {known} Hz; leave it out")
    if not known and not given:
        raise ModelError(
            f"sample_rate = 0: the metadata of {name} do not say it; give the rate in Hz that it was trained with"
        )
    return known or given


def _one_vector_each(value: np.ndarray, batched: bool) -> np.ndarray:
    """(W, D) of an output (W, D) or (W, frames, D), without a batch axis (D,) or (frames, D)."""
    value = np.asarray(value) if batched else np.asarray(value)[None]
    return value.mean(axis=1) if value.ndim == 3 else value
