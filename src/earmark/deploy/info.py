"""What a model in use says of itself: stored in a model folder as JSON and in an ONNX file as metadata."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import earmark
from earmark.analysis.calibrate import Calibration, calibrated_probabilities
from earmark.audio.quality import MIN_SECONDS
from earmark.config.sections import ConfigError, FrontEndConfig
from earmark.config.suite import merge, to_dict
from earmark.deploy.unknown import UnknownGate
from earmark.features.log_mel import FIRST_VERSION, VERSION
from earmark.runtime.errors import EarmarkError
from earmark.runtime.schema import SchemaError, check_schema, parse_json

FORMAT_VERSION = 1
"""Of this description, and of the model.json around it."""
MAX_WINDOW_FRAMES = 2**22
"""Of a front end with a hop of 10 ms, 11 hours."""
INFO = {
    "class_names": [str],
    "front_end": dict,
    "window_frames": int,
    "architecture": str,
    "run_id": str,
    "checksum": str,
    "calibration": {"temperature": float, "bias": [float]},
    "silence_dbfs": float,
    "expected_score": dict | None,
    "unknown?": dict | None,
    "recordings?": [str],
    "front_end_version?": int,
    "earmark": str,
}
SCORE = {"metric": str, "value": float, "n_clips": int, "low?": float | None, "high?": float | None, "source?": str}
GATE = {"threshold": float, "false_alarms": float, "n_clips": int, "held_out": [float]}


class DeployError(EarmarkError):
    """A model that cannot be used or exported as asked; the message gives name, value and remedy."""


@dataclass(frozen=True)
class ExpectedScore:
    """What to expect on new clips: measured on clips that no network of the estimate was trained on."""

    metric: str
    value: float
    n_clips: int
    low: float | None = None
    high: float | None = None
    source: str = ""
    """What was measured, for example `the test clips of fold 1, with this network`."""

    def sentence(self) -> str:
        """The score as people read it: `accuracy 90.7 % (86.9 to 93.9), 400 clips: ...`."""
        interval = "" if self.low is None or self.high is None else f" ({100 * self.low:.1f} to {100 * self.high:.1f})"
        return f"{self.metric} {100 * self.value:.1f} %{interval}, {self.n_clips} clips: {self.source}"


@dataclass(frozen=True)
class ModelInfo:
    """Classes, input and provenance of a model."""

    class_names: tuple[str, ...]
    front_end: FrontEndConfig
    window_frames: int
    """Width of the images that the network was trained on; longer clips are scored in overlapping windows."""
    architecture: str
    """Name of the network, with its attention."""
    run_id: str = ""
    checksum: str = ""
    """SHA-256 of the weights' file that this model was made from, 64 hex digits."""
    calibration: Calibration = field(default_factory=Calibration)
    silence_dbfs: float = -70.0
    """Audio whose RMS level is below this is silent: its probabilities mean nothing."""
    expected_score: ExpectedScore | None = None
    unknown: UnknownGate | None = None
    """None where the model holds no references to compare a sound with."""
    recordings: tuple[str, ...] = ()
    """Digests of the files that trained its networks, sorted; empty where they are not known."""
    front_end_version: int = VERSION
    """Of the images that trained it, see `check_front_end`."""
    earmark: str = earmark.__version__

    @property
    def sample_rate(self) -> int:
        """Samples per second that the model takes (Hz)."""
        return self.front_end.sample_rate

    @property
    def window_samples(self) -> int:
        """Samples of audio that fill one window exactly."""
        return max(self.window_frames - 1, 1) * self.front_end.hop_length + (self.front_end.pre_emphasis > 0)

    @property
    def window_seconds(self) -> float:
        """Length of one window."""
        return self.window_samples / self.sample_rate

    @property
    def min_seconds(self) -> float:
        """Shortest recording that has an answer, as `earmark validate` has it, or half of a window below twice that."""
        return min(MIN_SECONDS, self.window_seconds / 2)

    def probabilities(self, logits_NK: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 (N, K)."""
        return calibrated_probabilities(logits_NK, self.calibration)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps({"format_version": FORMAT_VERSION, **to_dict(self)}, ensure_ascii=False)


def info_from_json(text: str, source: str) -> ModelInfo:
    """The inverse of `ModelInfo.to_json`.

    Args:
        source: where the text comes from, for the message.

    Raises:
        DeployError: the text is not of this format, or of a later version of it.
    """
    try:
        content = parse_json(text, "it")
        check_schema(content, {"format_version": int}, "it")
        version = content.pop("format_version")
        check_version(version, source)
        check_schema(content, INFO, "it")
        for name, schema in (("expected_score", SCORE), ("unknown", GATE)):
            if content.get(name) is not None:
                check_schema(content[name], schema, name)
        info = _info_from_dict(content)
        _check_sizes(info)
        return info
    except (SchemaError, ConfigError, KeyError, TypeError, AttributeError) as error:
        raise DeployError(f"{source}: its description is damaged ({error}); export the model again") from None


def check_version(version: int, source: str) -> None:
    """Raise `DeployError` for the format of a later earmark.

    Args:
        source: where the version comes from, for the message.
    """
    if version > FORMAT_VERSION:
        raise DeployError(f"{source}: format_version = {version} is newer than this earmark; upgrade earmark")


def check_front_end(version: int, source: str) -> None:
    """Raise `DeployError` for a model whose images this earmark would compute otherwise than in its training.

    Args:
        version: of the front end that made the images of training.
        source: the model, for the message.
    """
    if version != VERSION:
        raise DeployError(
            f"{source}: front_end_version = {version}, and this earmark has {VERSION}: the network would see other "
            "images than in training; use the earmark that trained it, or train again"
        )


def _check_sizes(info: ModelInfo) -> None:
    """Raise `SchemaError` for numbers that contradict each other or that no model has."""
    names, calibration = info.class_names, info.calibration
    if not names or len(set(names)) < len(names):
        raise SchemaError(f"class_names has {len(names)} names, {len(set(names))} of them different")
    if not 1 <= info.window_frames <= MAX_WINDOW_FRAMES:
        raise SchemaError(f"window_frames = {info.window_frames} is not in 1 to {MAX_WINDOW_FRAMES}")
    if not 1e-6 <= calibration.temperature <= 1e6:
        raise SchemaError(f"calibration.temperature = {calibration.temperature:g} is not in 1e-6 to 1e6")
    if calibration.bias and (len(calibration.bias) != len(names) or max(map(abs, calibration.bias)) > 1e6):
        raise SchemaError(f"calibration.bias has {len(calibration.bias)} values for {len(names)} classes, or one > 1e6")


def _info_from_dict(content: dict[str, Any]) -> ModelInfo:
    score, calibration, gate = content["expected_score"], content["calibration"], content.get("unknown")
    content |= {
        "class_names": tuple(content["class_names"]),
        "front_end": merge(FrontEndConfig(), content["front_end"]),
        "calibration": Calibration(calibration["temperature"], tuple(calibration["bias"])),
        "expected_score": None if score is None else ExpectedScore(**score),
        "unknown": None if gate is None else UnknownGate(**gate | {"held_out": tuple(gate["held_out"])}),
        "recordings": tuple(content.get("recordings", ())),
        "front_end_version": content.get("front_end_version", FIRST_VERSION),
    }
    return ModelInfo(**{f.name: content[f.name] for f in dataclasses.fields(ModelInfo)})
