"""Scoring with ONNX Runtime, without torch. A whole model needs no front end of its own; a network alone uses ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from earmark.deploy.info import DeployError, ModelInfo, check_front_end, info_from_json
from earmark.deploy.scores import Scores, score_windows
from earmark.deploy.unknown import References
from earmark.runtime.console import brief
from earmark.runtime.errors import first_line, missing_extra

BATCH = 16
"""Windows per run of a network alone."""


def import_onnxruntime() -> ModuleType:
    """The package, or one line that says how to get it.

    Raises:
        DeployError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise DeployError(missing_extra("onnxruntime", "onnx")) from None
    return onnxruntime


class Session:
    """A session whose failures are those of the file."""

    def __init__(self, path: Path, threads: int) -> None:
        self._path, self._session = path, open_session(path, threads)
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map

    def run(self, outputs: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs for these inputs.

        Raises:
            DeployError: the graph has other inputs or outputs, or cannot be computed.
        """
        try:
            values: list[np.ndarray] = self._session.run(outputs, inputs)
        except Exception as error:  # its exceptions have no common base
            raise DeployError(f"{self._path}: cannot be computed ({brief(str(error))}); export it again") from None
        return values


class WaveformEngine:
    """An exported file from waveform to probabilities."""

    def __init__(self, session: Session, info: ModelInfo, max_seconds: float) -> None:
        self._session, self.info = session, info
        self.max_seconds: float | None = max_seconds
        self._outputs = ["logits", "embedding", *(["unknown"] if info.unknown else [])]

    def score(self, waveforms: Sequence[np.ndarray]) -> Scores:
        """Scores of float32 waveforms (N,) at the model's rate; equally long ones are scored together."""
        lengths = [len(waveform) for waveform in waveforms]
        if len(set(lengths)) == 1:
            batch = np.ascontiguousarray(np.stack(waveforms), np.float32)
            return Scores(*self._session.run(self._outputs, {"waveform": batch}))
        each = [self._session.run(self._outputs, {"waveform": w[None].astype(np.float32)}) for w in waveforms]
        return Scores(*(np.concatenate(part) for part in zip(*each, strict=True)))


class NetworkEngine:
    """An exported network; images come from the SciPy front end."""

    max_seconds: float | None = None

    def __init__(self, session: Session, info: ModelInfo) -> None:
        self._session, self.info = session, info
        self._references: References | None = None
        if info.unknown:
            empty = np.zeros((1, info.front_end.n_mels, info.window_frames), np.uint8)
            self._references = References(*session.run(["references", "reference_scales"], {"image": empty}))

    def score(self, waveforms: Sequence[np.ndarray]) -> Scores:
        """Means over the windows that cover each float32 waveform (N,) at the model's rate."""
        return score_windows(waveforms, self.info, self._references, self._infer_windows)

    def _infer_windows(self, windows_BFT: np.ndarray) -> list[np.ndarray]:
        batches = [windows_BFT[i : i + BATCH] for i in range(0, len(windows_BFT), BATCH)]
        outputs = [self._session.run(["logits", "embedding"], {"image": batch}) for batch in batches]
        return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]


def load_onnx(path: Path, threads: int) -> WaveformEngine | NetworkEngine:
    """The engine of an exported file.

    Args:
        threads: processor threads per run; 0 takes all cores.

    Raises:
        DeployError: the file is missing, damaged or not exported by earmark.
    """
    session = Session(path, threads)
    metadata = session.metadata
    if "earmark" not in metadata:
        raise DeployError(f"{path}: was not exported by earmark; `earmark embed onnx:{path}` takes any network")
    info = info_from_json(metadata["earmark"], str(path))
    kind = metadata.get("kind", "")
    if kind == "network":
        check_front_end(info.front_end_version, str(path))
        return NetworkEngine(session, info)
    if kind == "front_end":
        raise DeployError(f"{path}: holds the front end alone; give the network's file or a whole model")
    if kind != "waveform":
        raise DeployError(f"{path}: kind = {brief(kind)!r}, none that earmark writes; export it again")
    return WaveformEngine(session, info, _max_seconds(metadata.get("max_seconds", ""), path))


def _max_seconds(text: str, path: Path) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise DeployError(f"{path}: max_seconds = {brief(text)!r} is not a number of seconds; export it again")
    return seconds


def open_session(path: Path, threads: int) -> Any:
    """A session on the processor.

    Raises:
        DeployError: the file is missing or cannot be read as ONNX.
    """
    onnxruntime = import_onnxruntime()
    if not path.is_file():
        raise DeployError(f"{path}: no such file; `earmark export` writes one")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        raise DeployError(f"{path}: cannot be read as ONNX ({first_line(error)}); export it again") from None
