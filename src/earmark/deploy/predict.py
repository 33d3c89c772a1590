"""Prediction on audio files: a checkpoint and paths in, probabilities out.

The checkpoint contains its front end, and scores come from the `infer` of training, so that neither features nor scores
can differ from those of training.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from earmark.audio.io import AudioError, audio_files
from earmark.datasets.manifest import Clip
from earmark.features.log_mel import load_image
from earmark.runtime.files import write_csv, write_json
from earmark.runtime.pool import cores
from earmark.training.batches import MemoryImages, Subset
from earmark.training.checkpoint import CheckpointError, CheckpointMetadata
from earmark.training.loop import infer

CHUNK = 64
"""Number of files held in memory at a time."""


@dataclass(frozen=True)
class Prediction:
    """The class probabilities of one file, or the reason why there are none."""

    path: Path
    probs: tuple[float, ...] = ()
    """One per class, in the order of the checkpoint's class names."""
    error: str = ""

    def best(self, class_names: Sequence[str]) -> tuple[str, float]:
        """The most probable label and its probability."""
        k = int(np.argmax(self.probs))
        return class_names[k], self.probs[k]


def find_audio(paths: Iterable[Path]) -> list[Path]:
    """The given files, and all audio files below the given folders in sorted order.

    Raises:
        AudioError: a path does not exist, or a folder contains no audio file.
    """
    found = []
    for path in paths:
        if path.is_dir():
            inside = audio_files(path)
            if not inside:
                raise AudioError(f"{path}: no audio file in this folder; give a file or another folder")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise AudioError(f"{path}: no such file or folder")
    return found


def predict(model: nn.Module, metadata: CheckpointMetadata, paths: Sequence[Path]) -> Iterator[Prediction]:
    """One prediction per file, in order; a file that cannot be read has an error instead of probabilities.

    Args:
        model: a network from `load_checkpoint`, on the device to run on.

    Raises:
        CheckpointError: the front end of the images that the model was trained on is unknown.
    """
    if metadata.front_end is None:
        raise CheckpointError(
            "this model was trained on ready-made images whose front end is unknown, so it cannot take audio; "
            "train on a store written by `earmark spectrograms`"
        )
    with ThreadPoolExecutor(cores()) as pool:
        for chunk in batched_paths(paths):
            results = list(pool.map(lambda path: _image_or_error(path, metadata), chunk))
            images = [result for result in results if isinstance(result, np.ndarray)]
            probs = iter(probabilities(model, metadata, images) if images else ())
            for path, result in zip(chunk, results, strict=True):
                if isinstance(result, str):
                    yield Prediction(path, error=result)
                else:
                    yield Prediction(path, tuple(next(probs).tolist()))


def batched_paths(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """The paths in chunks."""
    return (paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK))


def probabilities(model: nn.Module, metadata: CheckpointMetadata, images_FT: Sequence[np.ndarray]) -> np.ndarray:
    """(N, K) probabilities of uint8 images, equal to those that training reports."""
    clips = tuple(Clip(str(i), Path(), "", "") for i in range(len(images_FT)))
    index = np.arange(len(images_FT))
    subset = Subset(MemoryImages(images_FT), index[:, None], np.zeros_like(index), clips)
    logits = infer(model, subset, metadata.window_frames, n_shifts=metadata.n_shifts)
    return logits.double().softmax(dim=1).numpy()


def _image_or_error(path: Path, metadata: CheckpointMetadata) -> np.ndarray | str:
    assert metadata.front_end is not None
    try:
        return load_image(path, metadata.front_end)
    except AudioError as error:
        return str(error)


def write_predictions_csv(path: Path, predictions: Sequence[Prediction], class_names: Sequence[str]) -> None:
    """One row per file: path, prediction, probability, error, then the probability of every class."""
    header = ["path", "prediction", "probability", "error", *(f"prob:{name}" for name in class_names)]
    rows = [
        [
            p.path.as_posix(),
            *(("", "") if p.error else p.best(class_names)),
            p.error,
            *(p.probs or [""] * len(class_names)),
        ]
        for p in predictions
    ]
    write_csv(path, [header, *rows])


def write_predictions_json(path: Path, predictions: Sequence[Prediction], class_names: Sequence[str]) -> None:
    """A list with an object per file: path and either error or prediction, probability and all probabilities."""
    content = []
    for p in predictions:
        entry: dict[str, object] = {"path": p.path.as_posix()}
        if p.error:
            entry["error"] = p.error
        else:
            label, probability = p.best(class_names)
            probs = dict(zip(class_names, p.probs, strict=True))
            entry |= {"prediction": label, "probability": probability, "probs": probs}
        content.append(entry)
    write_json(path, content)
