"""Compare an exported model with PyTorch before its file is written: an exporter can be silently wrong.

The network is compared on equal images, where only rounding may differ, then the whole model from waveform to label.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from earmark.audio.io import AudioError, audio_files, load_audio
from earmark.deploy.export import MAX_SECONDS, Exported, checked
from earmark.deploy.info import DeployError, ModelInfo
from earmark.deploy.onnx_engine import import_onnxruntime
from earmark.deploy.torch_engine import LoadedModel, TorchEngine
from earmark.runtime.console import pluralize

LOG = logging.getLogger("earmark")
NETWORK_TOLERANCE = {"float32": 1e-4, "float16": 2e-2}
"""Of logits and embeddings on equal images, relative to the largest."""
LARGEST_DIFFERENCE = {"float32": 1e-3, "float16": 2e-2}
"""Of probabilities from waveform to answer: a few pixels of the image may differ by one step."""
MAX_CLIPS = 100
"""Clips of a folder that are compared."""


@dataclass(frozen=True)
class Agreement:
    """What was compared, and how well it agrees."""

    n_clips: int
    largest_difference: float
    """Of any probability."""

    def sentence(self, source: str) -> str:
        """The result as people read it."""
        return f"as PyTorch on {self.n_clips} {source}: same labels, probabilities within {self.largest_difference:.1g}"


def check_agreement(exported: Exported, loaded: LoadedModel, waveforms: Sequence[np.ndarray] = ()) -> Agreement:
    """Compare the graphs with the network that they were made from.

    Args:
        exported: in float32 or float16; 8 bits are judged by their accuracy.
        loaded: the network.
        waveforms: float32 (N,) clips at the model's rate; synthetic ones if empty.

    Raises:
        DeployError: they disagree.
    """
    engine = TorchEngine(loaded, torch.device("cpu"))
    _check_network(exported, engine)
    session = open_graph(exported.whole())
    largest = 0.0
    clips = waveforms or synthetic_clips(exported.info)
    for waveform in clips:
        expected = exported.info.probabilities(engine.score([waveform]).logits)[0]
        (probs,) = session.run(["probabilities"], {"waveform": waveform[None]})
        difference = float(np.abs(probs[0] - expected).max())
        largest = max(largest, difference)
        clear = expected.max() - expected[int(probs[0].argmax())] <= 2 * LARGEST_DIFFERENCE[exported.precision]
        if not (difference <= LARGEST_DIFFERENCE[exported.precision] and clear):
            raise _disagreement(
                f"probabilities of a clip of {len(waveform) / exported.info.sample_rate:.2f} s", difference
            )
    return Agreement(len(clips), largest)


def _check_network(exported: Exported, engine: TorchEngine) -> None:
    info = exported.info
    rng = np.random.default_rng(0)
    session = open_graph(exported.network_alone())
    for n_windows in (1, 3):
        images = rng.integers(0, 256, (n_windows, info.front_end.n_mels, info.window_frames), np.uint8)
        expected = engine.infer_windows(images)
        for name, ours, theirs in zip(
            ("logits", "embedding"), session.run(["logits", "embedding"], {"image": images}), expected, strict=True
        ):
            difference = float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max()))
            if not difference <= NETWORK_TOLERANCE[exported.precision]:  # NaN as well
                raise _disagreement(f"{name} of {n_windows} images", difference)


def _disagreement(what: str, difference: float) -> DeployError:
    return DeployError(
        f"the exported model differs from PyTorch: {what} by {difference:.2g}, so nothing was written; this network "
        "cannot be exported, please report it"
    )


def open_graph(model: onnx.ModelProto) -> Any:
    """A session of ONNX Runtime that computes a graph."""
    return import_onnxruntime().InferenceSession(checked(model), providers=["CPUExecutionProvider"])


def synthetic_clips(info: ModelInfo) -> list[np.ndarray]:
    """Tones in noise at several levels: shorter than a window, exactly one, and several windows long."""
    rng, clips = np.random.default_rng(0), []
    longest = int(MAX_SECONDS * info.sample_rate)
    for length in (0.3, 1.0, 1.7, 3.2):
        n_samples = min(max(1, round(length * info.window_samples)), longest)
        seconds = np.arange(n_samples) / info.sample_rate
        tone = np.sin(2 * np.pi * rng.uniform(0.01, 0.3) * info.sample_rate * seconds)
        loudness = 10 ** rng.uniform(-2.5, -0.3)
        clips.append((loudness * (tone + 0.1 * rng.normal(size=n_samples))).astype(np.float32))
    return clips


def some_clips(folder: Path, info: ModelInfo) -> list[np.ndarray]:
    """Waveforms of at most `MAX_CLIPS` recordings of a folder, spread evenly; of long ones the first windows.

    Raises:
        DeployError: there is none that can be read.
    """
    files = audio_files(folder)
    if not files:
        raise DeployError(f"clips {folder}: there is no audio file; give a folder of recordings")
    most = 10 * info.window_samples
    chosen = files[:: -(-len(files) // MAX_CLIPS)]
    return list(read_clips(chosen, lambda file: load_audio(file, info.sample_rate)[0][:most]).values())


def read_clips(files: Iterable[Path], read: Callable[[Path], np.ndarray]) -> dict[Path, np.ndarray]:
    """What is read of each file; those that cannot be read are left out, with a warning that counts them.

    Raises:
        DeployError: none can be read.
    """
    found: dict[Path, np.ndarray] = {}
    errors: dict[Path, AudioError] = {}
    for file in dict.fromkeys(files):
        try:
            found[file] = read(file)
        except AudioError as error:
            errors[file] = error
    if not found:
        raise DeployError(f"clips: none can be read ({next(iter(errors.values()))}); name a folder of recordings")
    if errors:
        n_clips, first = pluralize(len(errors), "clip"), next(iter(errors.values()))
        LOG.warning("left out %s of %d that cannot be read: %s", n_clips, len(found) + len(errors), first)
    return found
