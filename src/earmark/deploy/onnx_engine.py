"""Scoring with ONNX Runtime, without torch. A whole model needs no front end of its own; a network alone uses ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from earmark.deploy.info import DeployError, ModelInfo, info_from_json
from earmark.features.windows import cut_windows

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
        raise DeployError("onnxruntime is not installed; `pip install earmark[onnx]` gets it") from None
    return onnxruntime


class WaveformEngine:
    """An exported file from waveform to probabilities."""

    def __init__(self, session: Any, info: ModelInfo, max_seconds: float) -> None:
        self._session, self.info = session, info
        self.max_seconds: float | None = max_seconds

    def score(self, waveforms_BN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits (B, K) and embeddings (B, D), float32."""
        waveforms = np.ascontiguousarray(waveforms_BN, np.float32)
        logits, embedding = self._session.run(["logits", "embedding"], {"waveform": waveforms})
        return logits, embedding


class NetworkEngine:
    """An exported network; images come from the SciPy front end."""

    max_seconds: float | None = None

    def __init__(self, session: Any, info: ModelInfo) -> None:
        self._session, self.info = session, info

    def score(self, waveforms_BN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits (B, K) and embeddings (B, D), float32."""
        from earmark.features.log_mel import log_mel_image

        info = self.info
        windows = [cut_windows(log_mel_image(w, info.front_end), info.window_frames) for w in waveforms_BN]
        flat, (n_clips, n_windows) = np.concatenate(windows), (len(windows), len(windows[0]))
        batches = [flat[i : i + BATCH] for i in range(0, len(flat), BATCH)]
        outputs = [self._session.run(["logits", "embedding"], {"image": batch}) for batch in batches]
        logits, embedding = (np.concatenate(part) for part in zip(*outputs, strict=True))
        return tuple(part.reshape(n_clips, n_windows, -1).mean(axis=1) for part in (logits, embedding))


def load_onnx(path: Path, threads: int = 0) -> WaveformEngine | NetworkEngine:
    """The engine of an exported file.

    Args:
        threads: processor threads per run; 0 takes all cores.

    Raises:
        DeployError: the file is missing, damaged or not exported by earmark.
    """
    session = open_session(path, threads)
    metadata: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
    if "earmark" not in metadata:
        raise DeployError(f"{path}: was not exported by earmark; `earmark embed onnx:{path}` takes any network")
    info = info_from_json(metadata["earmark"], str(path))
    if metadata["kind"] == "network":
        return NetworkEngine(session, info)
    if metadata["kind"] != "waveform":
        raise DeployError(f"{path}: holds the front end alone; give the network's file or a whole model")
    return WaveformEngine(session, info, float(metadata["max_seconds"]))


def open_session(path: Path, threads: int = 0) -> Any:
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
        reason = str(error).splitlines()[0]
        raise DeployError(f"{path}: cannot be read as ONNX ({reason}); export it again") from None
