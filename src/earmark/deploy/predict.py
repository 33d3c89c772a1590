"""Prediction on audio files: a model and paths in, answers out, in order; a file that cannot be read has an error."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from earmark.audio.io import AudioError, audio_files, audio_info
from earmark.deploy.info import DeployError
from earmark.deploy.model import Model, TooLongError, WindowAnswer
from earmark.runtime.pool import cores

T = TypeVar("T")
MAX_THREADS = 4
"""Files that are read and scored at a time; the libraries below use further threads themselves."""


@dataclass(frozen=True)
class Prediction:
    """The answer for a file or for one window of it, or the reason why there is none."""

    path: Path
    answer: WindowAnswer | None = None
    error: str = ""

    @property
    def probs(self) -> tuple[float, ...]:
        """The probabilities of the classes; empty with an error."""
        return () if self.answer is None else tuple(self.answer.probs.tolist())

    def best(self, class_names: Sequence[str]) -> tuple[str, float]:
        """The most probable label and its probability."""
        k = max(range(len(self.probs)), key=self.probs.__getitem__)
        return class_names[k], self.probs[k]


def find_audio(audio: str | Path | Iterable[str | Path]) -> list[Path]:
    """The given files, and all audio files below the given folders in sorted order.

    Raises:
        AudioError: no path is given, one does not exist, or a folder contains no audio file.
    """
    given = audio if isinstance(audio, Iterable) and not isinstance(audio, str | bytes) else [audio]
    found = []
    for one in given:
        if not isinstance(one, str | Path):
            raise AudioError(f"audio of type {type(audio).__name__}: give the path of a file or folder, or several")
        path = Path(one)
        if path.is_dir():
            inside = audio_files(path)
            if not inside:
                raise AudioError(f"{path}: no audio file in this folder; give a file or another folder")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise AudioError(f"{path}: no such file or folder")
    if not found:
        raise AudioError("no recordings; give audio files, or folders of them")
    return found


def predict(model: Model, paths: Sequence[Path], if_too_long: str = "") -> Iterator[Prediction]:
    """One answer per file, from its start to its end.

    Args:
        if_too_long: what a command offers for a file that is too long for one answer; Python has `predict_windows`.
    """
    return in_threads(partial(_predict_one, model, if_too_long), paths)


def in_threads(function: Callable[[Path], T], paths: Iterable[Path]) -> Iterator[T]:
    """What a function gives for each path, in order; few at a time, so that memory holds few recordings."""
    with ThreadPoolExecutor(min(MAX_THREADS, cores())) as pool:
        pending: deque[Future[T]] = deque()
        for path in paths:
            pending.append(pool.submit(function, path))
            if len(pending) > MAX_THREADS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _predict_one(model: Model, if_too_long: str, path: Path) -> Prediction:
    try:
        answer, seconds = model.predict(path), audio_info(path).duration
    except TooLongError as error:
        return Prediction(path, error=f"{error.problem}; {if_too_long}" if if_too_long else str(error))
    except (AudioError, DeployError) as error:
        return Prediction(path, error=str(error))
    return Prediction(path, WindowAnswer(**vars(answer), start=0.0, end=seconds))


def predict_windows(model: Model, paths: Sequence[Path], hop_seconds: float | None = None) -> Iterator[Prediction]:
    """One answer per window of each file, in order; an error in a file ends it."""
    for path in paths:
        try:
            for answer in model.predict_windows(path, hop_seconds=hop_seconds):
                yield Prediction(path, answer)
        except AudioError as error:
            yield Prediction(path, error=str(error))
