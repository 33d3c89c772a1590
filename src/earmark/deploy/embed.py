"""Embeddings of audio files: by a trained model, or by a network with published weights."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from earmark.audio.io import AudioError
from earmark.config.sections import FrontEndConfig
from earmark.config.suite import merge
from earmark.datasets.manifest import safe_id
from earmark.deploy.info import DeployError
from earmark.features.log_mel import load_image
from earmark.features.windows import cut_windows
from earmark.models.create import create_model
from earmark.models.embed import headless
from earmark.models.network import Network
from earmark.models.registry import MODELS
from earmark.runtime.errors import suggest
from earmark.runtime.files import atomic_write
from earmark.training.checkpoint import db_range, load_checkpoint

WINDOW_SECONDS = 10.0
"""Window of a network that was not trained here, as in AudioSet."""
BATCH = 32


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
        device = next(self.body.parameters()).device
        parts = [self.body(batch.to(device).float().div_(255)).float().cpu() for batch in windows.split(BATCH)]
        return torch.cat(parts).mean(dim=0).numpy()


def load_embedder(source: str, weights: str = "", device: str = "cpu") -> Embedder:
    """The embedder of a checkpoint or of a network with published weights.

    Args:
        source: a checkpoint, a run folder or the name of a network whose weights name their front end, as `mn04`.
        weights: for a name: its published weights or the path of a file; empty takes the published ones.
        device: `cpu` or `cuda`.

    Raises:
        EarmarkError: there is no such checkpoint or network, or it does not say what its images are.
    """
    if source in MODELS:
        return _published(source, weights, device)
    if not Path(source).exists() and "/" not in source and "." not in source:
        raise DeployError(f"model {source!r}: no checkpoint and no network{suggest(source, MODELS)}")
    model, metadata = load_checkpoint(Path(source))
    if metadata.front_end is None or not isinstance(model, Network):
        raise DeployError(f"{source}: does not say how its images were computed from audio, so it cannot take audio")
    return Embedder(headless(model).to(device), metadata.front_end, metadata.window_frames)


def _published(name: str, weights: str, device: str) -> Embedder:
    architecture = MODELS[name]
    if not architecture.front_end:
        named = [known for known, other in MODELS.items() if other.front_end]
        raise DeployError(
            f"model {name!r}: has no published weights for audio; give a checkpoint, or {', '.join(named)}"
        )
    front_end = merge(FrontEndConfig(), dict(architecture.front_end))
    weights = weights or next(iter(architecture.weights))
    network = create_model(name, 2, front_end.n_mels, weights=weights, db_range=db_range(front_end))
    frames = round(WINDOW_SECONDS * front_end.sample_rate / front_end.hop_length)
    return Embedder(headless(network).to(device), front_end, frames)


def embed_files(embedder: Embedder, paths: Sequence[Path]) -> tuple[np.ndarray, list[str]]:
    """Embeddings (N, D) of the files that can be read; others have a row of NaN.

    Returns:
        The vectors, and the errors.
    """

    def embed(path: Path) -> np.ndarray | str:
        try:
            return embedder.embed(path)
        except AudioError as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(embed, paths))
    errors = [result for result in found if isinstance(result, str)]
    size = next((len(result) for result in found if not isinstance(result, str)), 0)
    rows = [np.full(size, np.nan, np.float32) if isinstance(result, str) else result for result in found]
    return np.array(rows, dtype=np.float32), errors


def save_vectors(path: Path, files: Sequence[Path], vectors_ND: np.ndarray) -> None:
    """Write the arrays `paths`, `clip_ids` (file names without their ending) and `vectors` as .npz."""
    clip_ids = [safe_id(file.stem) for file in files]
    arrays = {"paths": np.array([file.as_posix() for file in files]), "clip_ids": np.array(clip_ids)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays, vectors=vectors_ND)
