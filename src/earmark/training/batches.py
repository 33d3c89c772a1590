"""Batches from a spectrogram store and a split.

`load_images` decodes the images once into one uint8 buffer if they fit into memory, and otherwise streams them from the
store; the batches are the same. With a buffer a batch is one gather, without a loop over clips.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from torch.nn import functional as F

from earmark.config.training import steps_per_epoch
from earmark.datasets.manifest import Clip
from earmark.features.windows import window_starts
from earmark.runtime.files import atomic_write, remove_abandoned
from earmark.training.devices import to_device
from earmark.training.sampling import draw_clips

if TYPE_CHECKING:
    from earmark.features.store import Store

Key = tuple[str, str]
"""(clip_id, augmentation); the augmentation `orig` is the clip itself."""


class MemoryImages:
    """Images (F, T) of different lengths, one after the other in one buffer of bytes.

    The frames of a window in one bin are contiguous, so that a batch is one gather.
    """

    def __init__(self, images_FT: Sequence[np.ndarray], device: torch.device | str = "cpu") -> None:
        self._lay_out(np.array([image.shape[1] for image in images_FT], dtype=np.int64), images_FT[0].shape[0])
        pixels = np.empty(self.n_bytes, dtype=np.uint8)
        self._fill(pixels, lambda i: images_FT[i])
        self._bytes = torch.from_numpy(pixels).to(device)

    @classmethod
    def decode(
        cls, store: Store, keys: Sequence[Key], n_frames: np.ndarray, shared_file: Path | None = None
    ) -> MemoryImages:
        """Decode the images of a store into a new buffer, or into a file that is mapped into memory.

        Args:
            n_frames: (N,) widths of the images, as `Store.n_frames` gives them.
            shared_file: see `load_images`.
        """
        images = cls.__new__(cls)
        images._lay_out(n_frames, store.n_mels)

        def read(i: int) -> np.ndarray:
            return store.read(*keys[i])

        if shared_file is None:
            pixels = np.empty(images.n_bytes, dtype=np.uint8)
            images._fill(pixels, read)
        else:
            with FileLock(f"{shared_file}.lock"):
                if not (shared_file.is_file() and shared_file.stat().st_size == images.n_bytes):
                    remove_abandoned(shared_file)
                    images._write(shared_file, read)
            pixels = np.memmap(shared_file, np.uint8, mode="c")  # "r" would be shared too, but PyTorch warns
        images._bytes = torch.from_numpy(pixels)
        return images

    def _lay_out(self, n_frames: np.ndarray, n_mels: int) -> None:
        self.n_frames, self._n_mels = n_frames, n_mels
        self._longest = int(n_frames.max())
        ends = np.cumsum(n_frames * n_mels)
        self._first = ends - n_frames * n_mels
        self.n_bytes = int(ends[-1]) + self._longest  # a window that starts in the last row may end there

    def _fill(self, pixels: np.ndarray, read: Callable[[int], np.ndarray]) -> None:
        def fill(i: int) -> None:
            first, shape = self._first[i], (self._n_mels, self.n_frames[i])
            pixels[first : first + shape[0] * shape[1]].reshape(shape)[:] = read(i)

        pixels[self.n_bytes - self._longest :] = 0
        with ThreadPoolExecutor() as pool:
            for _ in pool.map(fill, range(len(self.n_frames))):
                pass

    def _write(self, path: Path, read: Callable[[int], np.ndarray]) -> None:
        with atomic_write(path) as temporary:
            with temporary.open("wb") as file:
                if hasattr(os, "posix_fallocate"):  # a full disk is an error here, and a crash when a mapping is filled
                    os.posix_fallocate(file.fileno(), 0, self.n_bytes)
                file.truncate(self.n_bytes)
            pixels = np.memmap(temporary, np.uint8, mode="r+")
            self._fill(pixels, read)
            pixels.flush()

    def to(self, device: torch.device | str) -> MemoryImages:
        """The same images on a device."""
        there = copy.copy(self)
        there._bytes = self._bytes.to(device)
        return there

    def __getstate__(self) -> dict[str, Any]:
        """Pickled as NumPy arrays, which processes on one machine can share without copies."""
        return vars(self) | {"_bytes": self._bytes.cpu().numpy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with warnings.catch_warnings():  # it is never written to
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            vars(self).update(state | {"_bytes": torch.from_numpy(state["_bytes"])})

    def windows(self, images: np.ndarray, starts: np.ndarray, width: int) -> Tensor:
        """uint8 (B, 1, F, width): a window of each image from its start frame on, padded with silence (0)."""
        length = min(width, self._longest)
        device, n_frames_B = self._bytes.device, self.n_frames[images]
        first_B, stride_B = to_device(self._first[images] + starts, device), to_device(n_frames_B, device)
        rows_BF = first_B[:, None] + stride_B[:, None] * torch.arange(self._n_mels, device=device)
        windows = self._bytes.unfold(0, length, 1).index_select(0, rows_BF.flatten())
        windows = windows.view(len(images), 1, self._n_mels, length)
        left_B = n_frames_B - starts
        if (left_B < length).any():
            padding_BT = torch.arange(length, device=device) >= to_device(left_B, device)[:, None]
            windows.masked_fill_(padding_BT[:, None, None, :], 0)
        return F.pad(windows, (0, width - length))


class StreamedImages:
    """The same windows, decoded from the store on demand."""

    def __init__(self, store: Store, keys: Sequence[Key], n_frames: np.ndarray) -> None:
        self._store, self._keys, self.n_frames = store, list(keys), n_frames
        self._pool = ThreadPoolExecutor(thread_name_prefix="decode")

    def windows(self, images: np.ndarray, starts: np.ndarray, width: int) -> Tensor:
        """As `MemoryImages.windows`, on the CPU."""
        decoded = list(self._pool.map(lambda i: self._store.read(*self._keys[i]), images))
        windows = np.zeros((len(decoded), 1, decoded[0].shape[0], width), dtype=np.uint8)
        for window, image, start in zip(windows, decoded, starts, strict=True):
            frames = image[:, start : start + width]
            window[0, :, : frames.shape[1]] = frames
        return torch.from_numpy(windows)


Images = MemoryImages | StreamedImages


@dataclass(frozen=True)
class ImageSet:
    """The images of a data set, in memory or streamed, indexed by clip id and augmentation."""

    images: Images
    index: dict[Key, int]
    n_mels: int


@dataclass(frozen=True)
class Subset:
    """The clips of one subset of a split, ready for batches."""

    images: Images
    choices: np.ndarray
    """(N, A): indices of the images of each clip, the original first; valid and test have the original only."""
    targets: np.ndarray
    """(N,) class indices."""
    clips: tuple[Clip, ...]

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def n_frames(self) -> np.ndarray:
        """(N,) lengths of the original clips in frames."""
        return self.images.n_frames[self.choices[:, 0]]


def load_images(
    store: Store,
    keys: Sequence[Key],
    memory_gib: float,
    device: torch.device | str = "cpu",
    shared_file: Path | None = None,
) -> ImageSet:
    """Decode the images into memory (on `device`), or stream them from the store if they take over `memory_gib`.

    Args:
        shared_file: several processes on one machine share the decoded images: the first one decodes them into this
            file, all map it into memory. It takes as many bytes as there are pixels; in /dev/shm they are memory, on a
            disk they are cache that the system can reclaim. The caller chooses a new path for each set of images (a
            file of the right size is not decoded again) and deletes it, and `<shared_file>.lock`, in the end.

    Raises:
        StoreError: an image is missing or damaged, or its height differs from the others.
        OSError: there is no room for the shared file.
    """
    index = {key: i for i, key in enumerate(keys)}
    with ThreadPoolExecutor() as pool:
        n_frames = np.array(list(pool.map(lambda key: store.n_frames(*key), keys)), dtype=np.int64)
    if n_frames.sum() * store.n_mels > memory_gib * 2**30:
        return ImageSet(StreamedImages(store, keys, n_frames), index, store.n_mels)
    images = MemoryImages.decode(store, keys, n_frames, shared_file).to(device)
    return ImageSet(images, index, store.n_mels)


def select_subset(
    image_set: ImageSet, clips: Sequence[Clip], class_names: Sequence[str], augmentations: Sequence[str] = ()
) -> Subset:
    """The subset made of `clips`; training draws each clip from its original and its `augmentations`."""
    target_of = {name: target for target, name in enumerate(class_names)}
    choices = [[image_set.index[clip.clip_id, a] for a in ("orig", *augmentations)] for clip in clips]
    targets = np.array([target_of[clip.label] for clip in clips], dtype=np.int64)
    return Subset(image_set.images, np.array(choices, dtype=np.int64), targets, tuple(clips))


def train_batches(
    subset: Subset, batch_size: int, width: int, generator: np.random.Generator, sampler: str = "shuffle"
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch: uint8 windows (B, 1, F, width) and targets (B,), in random order.

    Each clip is used at most once, or as often as the sampler draws it (`draw_clips`). A clip longer than the window is
    cropped at random. The last, incomplete batch is dropped, so each epoch leaves out other clips.
    """
    order = generator.permutation(len(subset))
    choice = generator.integers(subset.choices.shape[1], size=len(subset))
    clips = draw_clips(subset.targets, [clip.group for clip in subset.clips], sampler, generator)
    images = subset.choices[clips, choice]
    room = np.maximum(subset.images.n_frames[images] - width, 0)
    starts = (generator.random(len(subset)) * (room + 1)).astype(np.int64)

    def batch(first: int) -> tuple[Tensor, Tensor]:
        rows = order[first : first + batch_size]
        return subset.images.windows(images[rows], starts[rows], width), torch.from_numpy(subset.targets[clips[rows]])

    batch_size = min(batch_size, len(subset))
    n_steps = steps_per_epoch(len(subset), batch_size)
    yield from _prefetch(batch, range(0, n_steps * batch_size, batch_size), subset.images)


def score_batches(subset: Subset, batch_size: int, width: int) -> Iterator[tuple[Tensor, np.ndarray]]:
    """uint8 windows (B, 1, F, width) that cover every clip evenly, each with the index of its clip in the subset.

    A clip of at most `width` frames is one window; a longer one is divided into windows that overlap by at least half.
    """
    clips, starts = window_starts(subset.n_frames, width)
    images = subset.choices[clips, 0]

    def batch(first: int) -> tuple[Tensor, np.ndarray]:
        rows = slice(first, first + batch_size)
        return subset.images.windows(images[rows], starts[rows], width), clips[rows]

    yield from _prefetch(batch, range(0, len(clips), batch_size), subset.images)


def _prefetch(batch: Callable[[int], Any], firsts: Sequence[int], images: Images) -> Iterator[Any]:
    """The batches in order; a streamed batch is decoded while the one before it is used."""
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
