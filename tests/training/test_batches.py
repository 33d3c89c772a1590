"""Batches: windows against plain slicing, streamed against in memory, which images stand for which clip."""

import pickle

import numpy as np
import pytest
import torch

from earmark.datasets.manifest import Clip
from earmark.training.batches import (
    MemoryImages,
    StreamedImages,
    Subset,
    load_images,
    score_batches,
    select_subset,
    train_batches,
    window_starts,
)

LENGTHS = (40, 12, 95, 40, 61)


class FakeStore:
    """A store held in a dict: random images, one variant per clip."""

    n_mels = 8

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.images = {}
        for i, length in enumerate(LENGTHS):
            for waveform, frames in (("orig", length), ("noisy", length), ("stretch0.9", length * 10 // 9)):
                self.images[f"clip{i}", waveform] = rng.integers(0, 256, (8, frames), dtype=np.uint8)

    def read(self, clip_id: str, waveform: str) -> np.ndarray:
        return self.images[clip_id, waveform]

    def n_frames(self, clip_id: str, waveform: str) -> int:
        return self.images[clip_id, waveform].shape[1]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def clips() -> list[Clip]:
    return [Clip(f"clip{i}", None, "ab"[i % 2], f"group{i}") for i in range(len(LENGTHS))]


def sliced(image: np.ndarray, start: int, width: int) -> np.ndarray:
    window = np.zeros((8, width), dtype=np.uint8)
    part = image[:, start : start + width]
    window[:, : part.shape[1]] = part
    return window


def test_images_travel_between_processes_without_a_copy(store):
    images = MemoryImages(list(store.images.values()))
    buffers = []
    content = pickle.dumps(images, protocol=5, buffer_callback=buffers.append)
    pixels = sum(image.size for image in store.images.values())
    assert len(content) < 1000 < pixels <= sum(buffer.raw().nbytes for buffer in buffers)
    there = pickle.loads(content, buffers=[bytes(buffer) for buffer in buffers])  # read-only, as Ray's memory is
    chosen, starts = np.array([0, 4, 2]), np.array([3, 0, 30])
    assert torch.equal(there.windows(chosen, starts, 20), images.windows(chosen, starts, 20))
    assert torch.equal(there.to(torch.device("cpu")).windows(chosen, starts, 20), images.windows(chosen, starts, 20))


def test_windows_are_slices_with_silence_beyond_the_end(store):
    keys = list(store.images)
    memory, streamed = MemoryImages(list(store.images.values())), StreamedImages(store, keys)
    images, starts = np.array([0, 3, 6, 6, 14]), np.array([0, 5, 60, 90, 100])
    expected = np.stack([sliced(store.images[keys[i]], s, 30)[None] for i, s in zip(images, starts, strict=True)])
    for source in (memory, streamed):
        windows = source.windows(images, starts, 30)
        assert windows.dtype == torch.uint8
        np.testing.assert_array_equal(windows.numpy(), expected)


@pytest.mark.parametrize("memory_gib", [1.0, 0.0])
def test_streamed_and_held_images_give_the_same_batches(store, clips, memory_gib):
    keys = list(store.images)
    part = select_subset(load_images(store, keys, memory_gib), clips, ("a", "b"), ("noisy", "stretch0.9"))
    assert isinstance(part.images, MemoryImages if memory_gib else StreamedImages)
    reference = select_subset(load_images(store, keys, 1.0), clips, ("a", "b"), ("noisy", "stretch0.9"))
    for (windows, targets), (expected, expected_targets) in zip(
        train_batches(part, 2, 20, np.random.default_rng(5)),
        train_batches(reference, 2, 20, np.random.default_rng(5)),
        strict=True,
    ):
        assert torch.equal(windows, expected)
        assert torch.equal(targets, expected_targets)


def test_an_epoch_shows_each_clip_at_most_once_and_never_lengthens(store, clips):
    part = select_subset(load_images(store, list(store.images), 1.0), clips, ("a", "b"), ("noisy", "stretch0.9"))
    total = np.zeros(5, dtype=int)
    variants = set()
    for seed in range(40):
        batches = list(train_batches(part, 2, 12, np.random.default_rng(seed)))
        assert [len(targets) for _, targets in batches] == [2, 2]
        seen = np.zeros(5, dtype=int)
        for window in torch.cat([windows for windows, _ in batches]):
            (clip_id, waveform), *more = [k for k, image in store.images.items() if contains(image, window[0].numpy())]
            assert not more
            seen[int(clip_id[-1])] += 1
            variants.add(waveform)
        assert seen.max() == 1
        total += seen
    assert total.min() > 20
    assert variants == {"orig", "noisy", "stretch0.9"}


def contains(image: np.ndarray, window: np.ndarray) -> bool:
    width = window.shape[1]
    return any(np.array_equal(image[:, s : s + width], window) for s in range(image.shape[1] - width + 1))


def test_scoring_reads_the_original_alone_even_where_variants_are_at_hand(store, clips):
    part = select_subset(load_images(store, list(store.images), 1.0), clips, ("a", "b"), ("noisy", "stretch0.9"))
    for windows, indices in score_batches(part, 3, 30):
        for window, i in zip(windows, indices, strict=True):
            original = np.pad(store.images[f"clip{i}", "orig"], ((0, 0), (0, 30)))
            assert contains(original, window[0].numpy())


def test_a_small_part_is_one_batch(store, clips):
    part = select_subset(load_images(store, [(c.clip_id, "orig") for c in clips], 1.0), clips[:3], ("a", "b"))
    ((windows, targets),) = train_batches(part, 32, 20, np.random.default_rng(0))
    assert windows.shape == (3, 1, 8, 20)
    assert sorted(targets.tolist()) == [0, 0, 1]


@pytest.mark.parametrize("width", [1, 7, 40, 200])
def test_windows_cover_every_frame_and_overlap_by_half(width):
    lengths = np.array([1, 7, 39, 40, 41, 81, 200, 333])
    clips, starts = window_starts(lengths, width)
    for i, n_frames in enumerate(lengths):
        mine = starts[clips == i]
        covered = np.zeros(max(n_frames, width), dtype=bool)
        for start in mine:
            covered[start : start + width] = True
        assert covered[:n_frames].all()
        assert mine.max() + width <= max(n_frames, width)
        assert (np.diff(mine) <= width / 2 + 1).all(), "by half, but for rounding to whole frames"
        assert (np.diff(mine) > 0).all()


def test_a_part_knows_the_lengths_of_its_clips(store, clips):
    part: Subset = select_subset(load_images(store, list(store.images), 1.0), clips[1:4], ("a", "b"), ("noisy",))
    assert part.n_frames.tolist() == [12, 95, 40]
    assert len(part) == 3
