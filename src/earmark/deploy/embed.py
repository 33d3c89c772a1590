"""Embeddings of audio files as a table, by a model of earmark or a network with published weights."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from earmark.config.sections import FrontEndConfig
from earmark.config.suite import merge
from earmark.deploy.info import DeployError
from earmark.deploy.model import TooLongError
from earmark.deploy.predict import in_threads
from earmark.features.log_mel import load_image
from earmark.features.windows import cut_windows
from earmark.models.create import create_model
from earmark.models.embed import headless
from earmark.models.registry import MODELS
from earmark.runtime.errors import EarmarkError, suggest
from earmark.runtime.files import atomic_write, check_own_table, write_csv
from earmark.training.checkpoint import db_range

WINDOW_SECONDS = 10.0
"""Window of a network that was not trained here, as in AudioSet."""
BATCH = 32


class Embedded(NamedTuple):
    """A file with its embedding, float32 (D,), or the reason why it has none."""

    path: Path
    vector: np.ndarray | None
    error: str


def embed_files(embed: Callable[[Path], np.ndarray], paths: Sequence[Path]) -> Iterator[Embedded]:
    """The embedding of each file, in order.

    Args:
        embed: maps a path to its embedding, in several threads.
    """

    def embed_one(path: Path) -> Embedded:
        try:
            return Embedded(path, embed(path), "")
        except TooLongError as error:
            return Embedded(path, None, f"{error.problem}; cut it into shorter files")
        except EarmarkError as error:
            return Embedded(path, None, str(error))

    return in_threads(embed_one, paths)


def write_embeddings(embeddings: Mapping[Path, np.ndarray], output: Path, recordings: Sequence[str] = ()) -> None:
    """Write a .csv with a row per file, or a .npz with `paths`, `embeddings` and `recordings`.

    Args:
        recordings: digests of the files that earmark has trained the network on, as far as they are known.
    """
    vectors = np.stack(list(embeddings.values()))
    if output.suffix == ".csv":
        rows = ([file.as_posix(), *row] for file, row in zip(embeddings, vectors.tolist(), strict=True))
        write_csv(output, [["path", *(f"e{i}" for i in range(vectors.shape[1]))], *rows])
        return
    with atomic_write(output) as temporary, temporary.open("wb") as file:
        paths = [path.as_posix() for path in embeddings]
        np.savez(file, paths=paths, embeddings=vectors, recordings=np.array(recordings, dtype=np.str_))


def check_own_vectors(output: Path) -> None:
    """Raise `EarmarkError` where a file is there that is not empty and that `write_embeddings` did not write."""
    if output.suffix == ".csv":
        check_own_table(output, ("path", "e0"))
    elif output.is_file() and output.stat().st_size:
        try:
            with np.load(output) as stored:
                own = {"paths", "embeddings"} <= set(stored.files)
        except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile):  # TypeError: an array alone
            own = False
        if not own:
            raise EarmarkError(f"{output}: exists and holds no vectors of earmark; give another name, or remove it")


@dataclass(frozen=True, eq=False)
class Embedder:
    """A network without its head, and how audio becomes its images."""

    body: nn.Module
    front_end: FrontEndConfig
    window_frames: int

    @torch.inference_mode()
    def embed(self, path: Path) -> np.ndarray:
        """Embedding float32 (D,) of a file: what the head of the network takes, averaged over windows.

        Raises:
            AudioError: the file cannot be read.
        """
        image_FT = load_image(path, self.front_end)
        width = min(self.window_frames, max(image_FT.shape[1], 1))
        windows = torch.from_numpy(cut_windows(image_FT, width)).unsqueeze(1)
        parts = [self.body(batch.float().div_(255)) for batch in windows.split(BATCH)]
        return torch.cat(parts).mean(dim=0).numpy()


def load_embedder(name: str, weights: str = "") -> Embedder:
    """The embedder of a network whose published weights name their front end, as `mn04`.

    Args:
        name: of the network.
        weights: the path of a file of weights; empty takes the published ones, which PANNs do not have here.

    Raises:
        EarmarkError: there is no such network, or it has no published weights for audio.
    """
    if name not in MODELS:
        raise DeployError(f"model {name!r}: no file, no run folder and no network{suggest(name, MODELS)}")
    architecture = MODELS[name]
    if not architecture.front_end:
        named = [known for known, other in MODELS.items() if other.front_end]
        raise DeployError(
            f"model {name!r}: has no published weights for audio; give a checkpoint, or {', '.join(named)}"
        )
    front_end = merge(FrontEndConfig(), dict(architecture.front_end))
    weights = weights or next(iter(architecture.weights), "")
    if not weights:
        raise DeployError(f"model {name!r}: no weights are published under a name; give --weights FILE")
    network = create_model(name, 2, front_end.n_mels, weights=weights, db_range=db_range(front_end))
    frames = round(WINDOW_SECONDS * front_end.sample_rate / front_end.hop_length)
    return Embedder(headless(network), front_end, frames)
