"""From the spectrogram store and a split to batches.

`load_images` decodes the store once into one uint8 tensor when it fits into memory and opens it for streaming when it
does not; both give the same windows. A batch is then one gather of rows, without Python per clip.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from earmark.datasets.manifest import Clip

if TYPE_CHECKING:
    from earmark.features.store import Store

Key = tuple[str, str]
"""(clip_id, waveform variant); the clip itself is the variant `orig`."""


class MemoryImages:
    """All images one after the other in one tensor of bytes.

    A row of a window is a run of bytes there, so that a batch is one gather of runs.
    """

    def __init__(self, images_FT: Sequence[np.ndarray], device: torch.device | str = "cpu") -> None:
        self.n_frames = np.array([image.shape[1] for image in images_FT], dtype=np.int64)
        self._n_mels = images_FT[0].shape[0]
        self._longest = int(self.n_frames.max())
        sizes = self.n_frames * self._n_mels
        self._first = np.cumsum(sizes) - sizes
        behind = np.zeros(self._longest, dtype=np.uint8)  # a run that starts in the last row may end there
        self._bytes = torch.from_numpy(np.concatenate([*map(np.ravel, images_FT), behind])).to(device)

    def to(self, device: torch.device) -> MemoryImages:
        """The same images on a device."""
        there = copy.copy(self)
        there._bytes = self._bytes.to(device)
        return there

    def __getstate__(self) -> dict[str, Any]:
        """Pickled as NumPy arrays, which processes of one machine can share without copies of their own."""
        return vars(self) | {"_bytes": self._bytes.cpu().numpy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with warnings.catch_warnings():  # shared memory cannot be written to; nothing here writes
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            vars(self).update(state | {"_bytes": torch.from_numpy(state["_bytes"])})

    def windows(self, images: np.ndarray, starts: np.ndarray, width: int) -> Tensor:
        """uint8 (B, 1, F, width): a window of each image from its start frame on, silence (0) beyond its end."""
        length = min(width, self._longest)
        bins_F, n_frames_B = np.arange(self._n_mels), self.n_frames[images]
        runs_BF = self._first[images, None] + bins_F * n_frames_B[:, None] + starts[:, None]
        runs = torch.from_numpy(runs_BF.ravel()).to(self._bytes.device)
        windows = self._bytes.unfold(0, length, 1).index_select(0, runs).view(len(images), 1, self._n_mels, length)
        left_B = n_frames_B - starts
        if (left_B < length).any():
            beyond_BT = torch.from_numpy(np.arange(length) >= left_B[:, None]).to(windows.device)
            windows.masked_fill_(beyond_BT[:, None, None, :], 0)
        return F.pad(windows, (0, width - length))


class StreamedImages:
    """The same windows, decoded from the store whenever they are asked for."""

    def __init__(self, store: Store, keys: Sequence[Key]) -> None:
        self._store, self._keys = store, list(keys)
        self._pool = ThreadPoolExecutor(thread_name_prefix="decode")
        self.n_frames = np.array(list(self._pool.map(lambda key: store.n_frames(*key), self._keys)), dtype=np.int64)

    def windows(self, images: np.ndarray, starts: np.ndarray, width: int) -> Tensor:
        """As `MemoryImages.windows`, on the host."""
        decoded = list(self._pool.map(lambda i: self._store.read(*self._keys[i]), images))
        windows = np.zeros((len(decoded), 1, decoded[0].shape[0], width), dtype=np.uint8)
        for window, image, start in zip(windows, decoded, starts, strict=True):
            part = image[:, start : start + width]
            window[0, :, : part.shape[1]] = part
        return torch.from_numpy(windows)


Images = MemoryImages | StreamedImages


@dataclass(frozen=True)
class ImageSet:
    """The images of a data set, whole or streamed, found by clip id and waveform variant."""

    images: Images
    index: dict[Key, int]
    n_mels: int


@dataclass(frozen=True)
class Subset:
    """The clips of one part of a split, ready for batches."""

    images: Images
    choices: np.ndarray
    """(N, V): the images that stand for each clip, the original first; valid and test have the original only."""
    targets: np.ndarray
    """(N,) class indices."""
    clips: tuple[Clip, ...]

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def n_frames(self) -> np.ndarray:
        """(N,) lengths of the original clips in frames."""
        return self.images.n_frames[self.choices[:, 0]]


def load_images(store: Store, keys: Sequence[Key], memory_gib: float, device: torch.device | str = "cpu") -> ImageSet:
    """Decode the images into memory (on `device`), or open them for streaming above `memory_gib`.

    Raises:
        ValueError: an image is missing or damaged, or not as high as the others.
    """
    index = {key: i for i, key in enumerate(keys)}
    n_mels = store.n_mels
    with ThreadPoolExecutor() as pool:
        n_frames = sum(pool.map(lambda key: store.n_frames(*key), keys))
        if n_frames * n_mels > memory_gib * 2**30:
            return ImageSet(StreamedImages(store, keys), index, n_mels)
        images = list(pool.map(lambda key: store.read(*key), keys))
    return ImageSet(MemoryImages(images, device), index, n_mels)


def select_subset(
    image_set: ImageSet, clips: Sequence[Clip], class_names: Sequence[str], waveforms: Sequence[str] = ()
) -> Subset:
    """The part made of `clips`; `waveforms` are the waveform variants that may stand in for them (train only)."""
    target_of = {name: target for target, name in enumerate(class_names)}
    choices = [[image_set.index[clip.clip_id, w] for w in ("orig", *waveforms)] for clip in clips]
    targets = np.array([target_of[clip.label] for clip in clips], dtype=np.int64)
    return Subset(image_set.images, np.array(choices, dtype=np.int64), targets, tuple(clips))


def train_batches(
    part: Subset, batch_size: int, width: int, generator: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch: uint8 windows (B, 1, F, width) and targets (B,), each clip at most once, in random order.

    A clip longer than the window is cropped at random. The clips that do not fill the last batch are left out of this
    epoch (which ones is random).
    """
    order = generator.permutation(len(part))
    choice = generator.integers(part.choices.shape[1], size=len(part))
    images = part.choices[np.arange(len(part)), choice]
    room = np.maximum(part.images.n_frames[images] - width, 0)
    starts = (generator.random(len(part)) * (room + 1)).astype(np.int64)

    def batch(first: int) -> tuple[Tensor, Tensor]:
        clips = order[first : first + batch_size]
        return part.images.windows(images[clips], starts[clips], width), torch.from_numpy(part.targets[clips])

    batch_size = min(batch_size, len(part))
    yield from _ahead(batch, range(0, n_batches(part, batch_size) * batch_size, batch_size), part.images)


def n_batches(part: Subset, batch_size: int) -> int:
    """Steps of one epoch of `train_batches`."""
    return max(len(part) // batch_size, 1)


def score_batches(part: Subset, batch_size: int, width: int) -> Iterator[tuple[Tensor, np.ndarray]]:
    """uint8 windows (B, 1, F, width) that cover every clip evenly, each with the index of its clip in the part.

    A clip of at most `width` frames is one window; a longer one is cut into windows that overlap by at least half.
    """
    clips, starts = window_starts(part.n_frames, width)
    images = part.choices[clips, 0]

    def batch(first: int) -> tuple[Tensor, np.ndarray]:
        rows = slice(first, first + batch_size)
        return part.images.windows(images[rows], starts[rows], width), clips[rows]

    yield from _ahead(batch, range(0, len(clips), batch_size), part.images)


def window_starts(n_frames: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the clip and first frame of each window, for clips of the given lengths."""
    room = np.maximum(n_frames - width, 0)
    counts = 1 + np.minimum(np.ceil(2 * room / width), room).astype(np.int64)
    starts = [np.linspace(0, last, count) for last, count in zip(room, counts, strict=True)]
    return np.repeat(np.arange(len(counts)), counts), np.concatenate(starts).round().astype(np.int64)


def _ahead(batch, firsts: Sequence[int], images: Images) -> Iterator:
    """The batches in order; a streamed one is decoded while the one before it is used."""
    if isinstance(images, MemoryImages):
        yield from map(batch, firsts)
        return
    with ThreadPoolExecutor(1) as pool:
        pending = None
        for first in firsts:
            following = pool.submit(batch, first)
            if pending is not None:
                yield pending.result()
            pending = following
        if pending is not None:
            yield pending.result()
