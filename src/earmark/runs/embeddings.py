"""Embeddings of all clips of a suite by a frozen network, computed once and kept on disk."""

from __future__ import annotations

import json
import struct
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from torch import nn

from earmark.audio.limits import MAX_EXPANSION, SMALL_BYTES
from earmark.config.sections import ConfigError
from earmark.config.suite import RunConfig
from earmark.features.windows import window_frames
from earmark.models.backbone import backbone_path
from earmark.models.complexity import count_parameters_and_macs
from earmark.models.custom import source_digest
from earmark.models.weights import weights_digest
from earmark.runtime.console import brief, format_names
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import atomic_write, digest
from earmark.runtime.schema import check_size
from earmark.training.batches import ImageSet, select_subset
from earmark.training.loop import infer

if TYPE_CHECKING:
    from earmark.runs.plan import PlannedRun, RunData


DAMAGED = (
    OSError, ValueError, KeyError, EOFError, OverflowError, MemoryError, RuntimeError, NotImplementedError,
    zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError, TypeError,
)  # fmt: skip
"""What reading a damaged .npz raises."""
MAX_VECTORS_BYTES = 2**34
"""Size of a .npz, 16 GiB."""
MAX_NUMBER = 1e15
"""Squares of larger numbers overflow in float32, and with them every distance."""


class Embeddings(NamedTuple):
    """Embeddings of all clips, and the size of the network that computed them."""

    vectors: np.ndarray
    """float32 (N, D)."""
    n_parameters: int
    macs: int
    """Multiply-accumulate operations per window. 0, as `n_parameters`, where it is not known."""


def network_embeddings(
    run: PlannedRun,
    data: RunData,
    images: ImageSet,
    create: Callable[[], nn.Module],
    window_frames: int,
    device: torch.device,
) -> Embeddings:
    """Embeddings of `data.clips`, from the cache or by the network.

    The cache lies beside the images. Its name stands for the images, the network, its weights and the window, so that
    folds, probes and suites share it.

    Args:
        run: its config names the network and the weights.
        data: the clips.
        images: their images.
        create: creates the network without its head; called where nothing is cached.
        window_frames: width of the windows that an embedding is averaged over.
        device: where to compute.
    """

    def compute() -> Embeddings:
        body = create().to(device).to(memory_format=torch.channels_last)
        size = count_parameters_and_macs(body, images.n_mels, window_frames)
        subset = select_subset(images, data.clips, data.class_names)
        with torch.inference_mode():
            return Embeddings(infer(body, subset, window_frames).numpy(), *size)

    return cached(_cache_path(run, data, window_frames), [clip.clip_id for clip in data.clips], compute)


def has_embeddings(run: PlannedRun, data: RunData) -> bool:
    """Whether the embeddings of a run's network are cached, so that it need not be created."""
    if not any(cache_folder(run, data).glob("embeddings-*.npz")):
        return False
    try:
        n_frames = np.array([data.store.n_frames(clip_id) for clip_id in run.split.train])
        frames = window_frames(run.config.train.window_seconds, n_frames, data.store.front_end)
        return _cache_path(run, data, frames).is_file()
    except EarmarkError:  # images that are missing or damaged are made first
        return False


def _cache_path(run: PlannedRun, data: RunData, window_frames: int) -> Path:
    return cache_folder(run, data) / f"embeddings-{_key(run.config, data, window_frames)}.npz"


def cached(path: Path, clip_ids: Sequence[str], compute: Callable[[], Embeddings]) -> Embeddings:
    """What a cache of these clips holds; computed and written where it is missing, by one process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        found = _read_cache(path, clip_ids)
        if found is None:
            found = compute()
            write_vectors(path, clip_ids, found.vectors, (found.n_parameters, found.macs))
    return found


def cache_folder(run: PlannedRun, data: RunData) -> Path:
    """The store of the images; the folder of the suite where the images are ready-made or not on this machine."""
    own = not run.config.data.images and data.store.folder.is_dir()
    return data.store.folder if own else run.folder.parent


def _key(config: RunConfig, data: RunData, window_frames: int) -> str:
    model = config.model
    network = [model.name, model.attention, model.placement, model.weights, weights_digest(model.weights)]
    source = source_digest(model.name)
    network += [source] if source else []
    seed = config.seed if model.weights == "none" else None  # a random network
    ids = [clip.clip_id for clip in data.clips]
    return digest(json.dumps([network, seed, window_frames, data.store.fingerprint(ids)]))


def write_vectors(path: Path, clip_ids: Sequence[str], vectors_ND: np.ndarray, size: tuple[int, int] = (0, 0)) -> None:
    """Write embeddings (N, D) with the ids of their clips and the network's parameters and MACs as .npz."""
    ids, vectors = np.array(clip_ids, dtype=np.str_), np.asarray(vectors_ND, dtype=np.float32)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, clip_ids=ids, vectors=vectors, size=np.array(size))


def _read_cache(path: Path, clip_ids: Sequence[str]) -> Embeddings | None:
    """What a cache holds; None where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as content:
            if content["clip_ids"].tolist() != list(clip_ids):
                return None
            n_parameters, macs = content["size"].tolist()
            return Embeddings(content["vectors"], n_parameters, macs)
    except DAMAGED:
        return None


def _check_expansion(path: Path) -> None:
    """Raise `ValueError` for a .npz that unpacks to far more than its size, as no array of numbers does."""
    check_size(path, MAX_VECTORS_BYTES)
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > max(SMALL_BYTES, MAX_EXPANSION * path.stat().st_size):
        raise ValueError(f"unpacks to {unpacked >> 20} MiB, more than {MAX_EXPANSION} times its size")


def read_vectors(name: str, clip_ids: Sequence[str]) -> np.ndarray:
    """Vectors (N, D) of these clips from a file made by `earmark embed` or elsewhere.

    Args:
        name: `npz:` and the path of a file with the arrays `clip_ids` or `paths`, (M,), and `vectors` or `embeddings`,
            (M, D).
        clip_ids: whose vectors are read.

    Raises:
        ConfigError: the file cannot be used, or clips are missing; they are named.
    """
    path = backbone_path(name)
    try:
        _check_expansion(path)
        with np.load(path, allow_pickle=False) as content:
            keys = _either(content, "clip_ids", "paths").tolist()
            stored = _either(content, "vectors", "embeddings")
            if stored.dtype.kind not in "fiu":
                raise ValueError(f"vectors are {stored.dtype}, not real numbers")
            vectors_MD = stored.astype(np.float32)
    except DAMAGED as error:
        raise ConfigError(
            f"model.name = {name!r}: cannot be read ({brief(str(error))}); give a .npz with the arrays clip_ids and "
            "vectors"
        ) from None
    row_of = _rows_by_name([str(key) for key in keys])
    missing = [clip_id for clip_id in clip_ids if clip_id not in row_of]
    shaped = vectors_MD.ndim == 2 and len(vectors_MD) == len(keys) and vectors_MD.shape[1] > 0
    good = shaped and (np.abs(vectors_MD) < MAX_NUMBER).all()
    if missing or not good:
        reason = (
            f"no vector, or several, for {format_names(missing)}"
            if missing
            else f"vectors are not finite and below {MAX_NUMBER:g}, one row per clip"
        )
        raise ConfigError(f"model.name = {name!r}: {reason}; make the file again for all clips of the manifest")
    return vectors_MD[[row_of[clip_id] for clip_id in clip_ids]]


def recordings_of_vectors(name: str) -> tuple[str, ...]:
    """Digests of the files that trained the network whose vectors `npz:` names, if `earmark embed` has written them."""
    path = backbone_path(name)
    try:
        _check_expansion(path)
        with np.load(path, allow_pickle=False) as content:
            return tuple(content["recordings"].tolist()) if "recordings" in content else ()
    except DAMAGED:
        return ()  # `read_vectors` says that it is damaged


def _either(content: Mapping[str, np.ndarray], name: str, other: str) -> np.ndarray:
    found = name if name in content else other
    if found not in content:
        raise ValueError(f"has neither {name} nor {other}, but {format_names(list(content)) or 'nothing'}")
    return content[found]


def _rows_by_name(keys: Sequence[str]) -> dict[str, int]:
    """The row of each clip: by its key or, where no key is its id, by the only path with that stem."""
    stems = [Path(key).stem for key in keys]
    rows: dict[str, int] = {}
    for names in (stems, keys):
        count = Counter(names)
        rows |= {name: row for row, name in enumerate(names) if count[name] == 1}
    return rows
