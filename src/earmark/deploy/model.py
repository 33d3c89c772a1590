"""A trained model in use: `load(path).predict("dog.wav")`.

The path is a checkpoint, a run folder or an exported `.onnx` file. All give the same answers; an `.onnx` file needs
neither torch nor the SciPy front end.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from earmark.audio.io import AudioError, audio_info
from earmark.audio.quality import is_too_short
from earmark.deploy.info import DeployError, ModelInfo
from earmark.deploy.remote import local_path
from earmark.deploy.scores import Scores
from earmark.deploy.segments import Segment, cut_segments, file_segments, hop_samples, warn_of_gaps
from earmark.deploy.unknown import move_gate
from earmark.deploy.waveform import Audio, level_dbfs, mono_waveform
from earmark.runtime.console import pluralize, printable

UNKNOWN = "unknown"
"""Answer for what is none of the classes, where it is asked for."""
LONG_CLIP = 10
"""From how many windows on `predict` warns that it gives one answer for a long recording."""
MAX_CLIP_SECONDS = 1800.0
"""Longer audio needs `predict_windows`, whose memory does not grow."""
WINDOW_BATCH = 16
"""Windows scored at a time by `predict_windows`."""


class TooLongError(DeployError):
    """Audio that is longer than a model takes at a time."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        """The message without the remedy, which differs between Python and commands."""


class Engine(Protocol):
    """What computes logits: PyTorch or ONNX Runtime."""

    info: ModelInfo
    max_seconds: float | None
    """The longest waveform it takes; None where there is no limit."""

    def score(self, waveforms: Sequence[np.ndarray]) -> Scores:
        """Scores of float32 waveforms (N,) at the model's rate."""
        ...


@dataclass(frozen=True)
class Answer:
    """What a model says of one clip or one window."""

    class_names: tuple[str, ...]
    probs: np.ndarray
    """Calibrated probabilities, float64 (K,)."""
    level_dbfs: float
    """RMS level in dB relative to full scale."""
    silent: bool
    """The level is below the model's gate: the probabilities mean nothing."""
    unknown_score: float | None = field(default=None, kw_only=True)
    """How far the sound is from all that the model was trained on, in usual distances; None where it cannot tell."""
    unknown: bool = field(default=False, kw_only=True)
    """Silent, or further than the model's threshold: probably none of the classes."""

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.class_names[int(self.probs.argmax())]

    @property
    def probability(self) -> float:
        """Its probability."""
        return float(self.probs.max())

    def top(self, k: int = 3) -> list[tuple[str, float]]:
        """The k most probable classes and their probabilities."""
        order = np.argsort(-self.probs, kind="stable")[:k]
        return [(self.class_names[i], float(self.probs[i])) for i in order]

    def label_or_unknown(self) -> str:
        """The most probable class, or `unknown` for silence and for what is none of the classes."""
        return UNKNOWN if self.silent or self.unknown else self.label


@dataclass(frozen=True)
class WindowAnswer(Answer):
    """What a model says of one window of a longer recording."""

    start: float
    """Seconds from the beginning of the recording."""
    end: float


class Model:
    """A model that takes audio of any rate. Threads can share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.info = engine.info

    def __repr__(self) -> str:
        n_classes = pluralize(len(self.class_names), "class")
        return f"<Model {self.info.architecture}, {n_classes}, {self.sample_rate} Hz, run {self.info.run_id}>"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of `Answer.probs`."""
        return self.info.class_names

    @property
    def sample_rate(self) -> int:
        """The rate in Hz that audio is brought to."""
        return self.info.sample_rate

    def at_false_alarms(self, rate: float) -> Model:
        """This model with the threshold of its unknown score set for another rate of false alarms.

        Raises:
            EarmarkError: it has no unknown score, or no threshold for this rate.
        """
        if self.info.unknown is None:
            raise DeployError("false-alarms: the model has no unknown score; `earmark finalize` makes one that has")
        model = Model(self._engine)
        model.info = replace(self.info, unknown=move_gate(self.info.unknown, rate))
        return model

    def predict(self, audio: Audio, sample_rate: int | None = None, *, warn_if_long: bool = True) -> Answer:
        """One answer for a clip: the mean over the windows that cover it, as training scores clips.

        Args:
            audio: a path, or samples (N,), (N, C) or (C, N): floats in [-1, 1], int16 or int32.
            sample_rate: rate of the samples in Hz; a file knows its own.
            warn_if_long: warn of audio that is much longer than the clips of training.

        Raises:
            AudioError: the audio cannot be read, is not finite, or is too short for an answer.
            DeployError: it is longer than the model takes at a time.
        """
        waveform = self._waveform(audio, sample_rate)
        self._refuse_short(_name(audio), len(waveform))
        seconds, window = len(waveform) / self.sample_rate, self.info.window_seconds
        if warn_if_long and seconds > LONG_CLIP * window:
            warnings.warn(
                f"{_name(audio)}: one answer for {seconds:.0f} s, while the model was trained on clips of {window:.1f} "
                "s; predict_windows (`earmark predict --windows`) gives one for each window",
                stacklevel=2,
            )
        return self.predict_batch([waveform])[0]

    def predict_batch(self, waveforms: Sequence[np.ndarray]) -> list[Answer]:
        """Answers for mono float32 waveforms (N,) at the model's rate."""
        answers = self._answers(waveforms, waveforms) if len(waveforms) else ()
        return [Answer(self.class_names, probs, **rest) for probs, rest in answers]

    def embed(self, audio: Audio, sample_rate: int | None = None) -> np.ndarray:
        """The embedding of a clip, float32 (D,): what the last linear layer takes, averaged over windows."""
        return self._scores([self._waveform(audio, sample_rate)]).embeddings[0]

    def predict_windows(
        self, audio: Audio, sample_rate: int | None = None, hop_seconds: float | None = None
    ) -> Iterator[WindowAnswer]:
        """An answer for each window of a recording of any length, in order; memory does not grow with the length.

        A window is as long as the clips of training and is scored as a clip of its own. The last one is filled up
        with zeros where the recording ends inside it, however short its part is.

        Args:
            audio, sample_rate: as in `predict`.
            hop_seconds: from the start of one window to the next; half a window if not given. More than a window
                leaves gaps, with a warning.

        Raises:
            AudioError: the audio cannot be read, is not finite, or is, as a whole, too short for an answer.
        """
        info = self.info
        hop = hop_samples(info.window_seconds / 2 if hop_seconds is None else hop_seconds, info.sample_rate)
        warn_of_gaps(hop, info.window_samples, info.sample_rate)
        if isinstance(audio, str | Path):
            segments = file_segments(audio, info.sample_rate, info.window_samples, hop)
        else:
            waveform = mono_waveform(audio, sample_rate, info.sample_rate)
            segments = cut_segments([waveform], info.window_samples, hop)
        return self.answer_segments(self._long_enough(segments, _name(audio)))

    def answer_segments(self, segments: Iterator[Segment], batch: int = WINDOW_BATCH) -> Iterator[WindowAnswer]:
        """The answers for segments of one window's length, `batch` scored at a time."""
        pending: list[Segment] = []
        for segment in segments:
            pending.append(segment)
            if len(pending) == batch:
                yield from self._answer_pending(pending)
                pending = []
        if pending:
            yield from self._answer_pending(pending)

    def _answer_pending(self, segments: Sequence[Segment]) -> Iterator[WindowAnswer]:
        recorded = [segment.waveform[: segment.n_samples] for segment in segments]
        answers = self._answers([segment.waveform for segment in segments], recorded)
        for segment, (probs, rest) in zip(segments, answers, strict=True):
            start = round(segment.first / self.sample_rate, 6)
            end = round((segment.first + segment.n_samples) / self.sample_rate, 6)
            yield WindowAnswer(self.class_names, probs, start=start, end=end, **rest)

    def _answers(
        self, waveforms: Sequence[np.ndarray], recorded: Sequence[np.ndarray]
    ) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """Probabilities and the other fields of `Answer`; levels are those of what was `recorded`, without padding."""
        scores, gate = self._scores(waveforms), self.info.unknown
        for i, probs in enumerate(self.info.probabilities(scores.logits)):
            level = level_dbfs(recorded[i])
            distance = None if scores.unknown is None else float(scores.unknown[i])
            silent = level < self.info.silence_dbfs
            unknown = silent or (distance is not None and gate is not None and distance > gate.threshold)
            yield probs, {"level_dbfs": level, "silent": silent, "unknown_score": distance, "unknown": unknown}

    def _scores(self, waveforms: Sequence[np.ndarray]) -> Scores:
        """What the engine computes, once it is known to be one finite row per clip with a logit for each class."""
        scores, expected = self._engine.score(waveforms), (len(waveforms), len(self.class_names))
        if scores.logits.shape != expected or len(scores.embeddings) != len(waveforms):
            raise DeployError(f"the model gives logits of shape {scores.logits.shape}, not {expected}; export it again")
        if not np.isfinite(scores.logits).all():
            raise DeployError(
                "the model gives logits that are NaN or infinite; its weights are damaged: export it again"
            )
        return scores

    def _waveform(self, audio: Audio, sample_rate: int | None) -> np.ndarray:
        if isinstance(audio, str | Path):
            self._refuse_long(_name(audio), audio_info(audio).duration)  # before it is decoded
        waveform = mono_waveform(audio, sample_rate, self.sample_rate)
        self._refuse_long(_name(audio), len(waveform) / self.sample_rate)
        return waveform

    def _long_enough(self, segments: Iterator[Segment], name: str) -> Iterator[Segment]:
        for segment in segments:
            if segment.first == 0:  # it is as long as the recording, where this is shorter than a window
                self._refuse_short(name, segment.n_samples)
            yield segment

    def _refuse_short(self, name: str, n_samples: int) -> None:
        seconds, least = n_samples / self.sample_rate, self.info.min_seconds
        if is_too_short(seconds + 1 / self.sample_rate, least):  # resampling may have removed a sample
            message = f"{name}: {seconds:.3f} s are too short for an answer; give at least {least:.3g} s"
            raise AudioError(message, "too_short")

    def _refuse_long(self, name: str, seconds: float) -> None:
        longest = self._engine.max_seconds or MAX_CLIP_SECONDS
        if seconds > longest:
            problem = f"{name}: {seconds:.0f} s are more than {longest:.0f} s at a time"
            raise TooLongError(problem, "use predict_windows")


def _name(audio: Audio) -> str:
    """What messages call it."""
    return f"audio {printable(audio)}" if isinstance(audio, str | Path) else "audio"


def load(path: str | Path, device: str = "cpu", threads: int = 0) -> Model:
    """A model from a checkpoint, a run folder (its id may be left out), a model folder, an `.onnx` file or `hf:REPO`.

    Args:
        device: where PyTorch computes: `auto`, `cpu`, `cuda`; an `.onnx` file always takes the processor.
        threads: processor threads of an `.onnx` file; 0 takes all cores. PyTorch's are the process's own.

    Raises:
        DeployError: the file is damaged or of a later format, or cannot take audio.
        CheckpointError: there is no checkpoint, or it does not fit the network that it names.
    """
    path = local_path(path)
    if path.suffix == ".onnx":
        from earmark.deploy.onnx_engine import load_onnx

        return Model(load_onnx(path, threads))
    from earmark.deploy.torch_engine import load_torch

    return Model(load_torch(path, device))
