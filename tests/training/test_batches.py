"""Batches: windows against slicing, streamed against in memory, which images are used for which clip, memory."""

import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from earmark.datasets.manifest import Clip
from earmark.features.windows import window_starts
from earmark.training.batches import (
    MemoryImages,
    StreamedImages,
    Subset,
    load_images,
    score_batches,
    select_subset,
    train_batches,
)

LENGTHS = (40, 12, 95, 40, 61)


class FakeStore:
    """A store in a dict: random images, three per clip."""

    n_mels = 8

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.images = {}
        for i, length in enumerate(LENGTHS):
            for augmentation, frames in (("orig", length), ("noisy", length), ("stretch0.9", length * 10 // 9)):
                self.images[f"clip{i}", augmentation] = rng.integers(0, 256, (8, frames), dtype=np.uint8)

    def read(self, clip_id: str, augmentation: str) -> np.ndarray:
        return self.images[clip_id, augmentation]

    def n_frames(self, clip_id: str, augmentation: str) -> int:
        return self.images[clip_id, augmentation].shape[1]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def clips() -> list[Clip]:
    return [Clip(f"clip{i}", None, "ab"[i % 2], f"group{i}") for i in range(len(LENGTHS))]


def sliced(image: np.ndarray, start: int, width: int) -> np.ndarray:
    window = np.zeros((8, width), dtype=np.uint8)
    frames = image[:, start : start + width]
    window[:, : frames.shape[1]] = frames
    return window


def test_images_are_pickled_without_a_copy(store):
    images = MemoryImages(list(store.images.values()))
    buffers = []
    content = pickle.dumps(images, protocol=5, buffer_callback=buffers.append)
    pixels = sum(image.size for image in store.images.values())
    assert len(content) < 1000 < pixels <= sum(buffer.raw().nbytes for buffer in buffers)
    there = pickle.loads(content, buffers=[bytes(buffer) for buffer in buffers])  # read-only, as with Ray
    chosen, starts = np.array([0, 4, 2]), np.array([3, 0, 30])
    assert torch.equal(there.windows(chosen, starts, 20), images.windows(chosen, starts, 20))
    assert torch.equal(there.to(torch.device("cpu")).windows(chosen, starts, 20), images.windows(chosen, starts, 20))


def test_windows_are_slices_padded_with_silence(store):
    keys = list(store.images)
    n_frames = np.array([store.n_frames(*key) for key in keys])
    memory, streamed = MemoryImages(list(store.images.values())), StreamedImages(store, keys, n_frames)
    images, starts = np.array([0, 3, 6, 6, 14]), np.array([0, 5, 60, 90, 100])
    expected = np.stack([sliced(store.images[keys[i]], s, 30)[None] for i, s in zip(images, starts, strict=True)])
    for source in (memory, streamed):
        windows = source.windows(images, starts, 30)
        assert windows.dtype == torch.uint8
        np.testing.assert_array_equal(windows.numpy(), expected)


@pytest.mark.parametrize("memory_gib", [1.0, 0.0])
def test_streamed_images_and_images_in_memory_give_the_same_batches(store, clips, memory_gib):
    keys = list(store.images)
    subset = select_subset(load_images(store, keys, memory_gib), clips, ("a", "b"), ("noisy", "stretch0.9"))
    assert isinstance(subset.images, MemoryImages if memory_gib else StreamedImages)
    reference = select_subset(load_images(store, keys, 1.0), clips, ("a", "b"), ("noisy", "stretch0.9"))
    for (windows, targets), (expected, expected_targets) in zip(
        train_batches(subset, 2, 20, np.random.default_rng(5)),
        train_batches(reference, 2, 20, np.random.default_rng(5)),
        strict=True,
    ):
        assert torch.equal(windows, expected)
        assert torch.equal(targets, expected_targets)


def test_an_epoch_has_each_clip_at_most_once(store, clips):
    subset = select_subset(load_images(store, list(store.images), 1.0), clips, ("a", "b"), ("noisy", "stretch0.9"))
    total = np.zeros(5, dtype=int)
    augmentations = set()
    for seed in range(40):
        batches = list(train_batches(subset, 2, 12, np.random.default_rng(seed)))
        assert [len(targets) for _, targets in batches] == [2, 2]
        seen = np.zeros(5, dtype=int)
        for window in torch.cat([windows for windows, _ in batches]):
            (key,) = [key for key, image in store.images.items() if contains(image, window[0].numpy())]
            seen[int(key[0][-1])] += 1
            augmentations.add(key[1])
        assert seen.max() == 1
        total += seen
    assert total.min() > 20
    assert augmentations == {"orig", "noisy", "stretch0.9"}


def contains(image: np.ndarray, window: np.ndarray) -> bool:
    width = window.shape[1]
    return any(np.array_equal(image[:, s : s + width], window) for s in range(image.shape[1] - width + 1))


def test_scoring_uses_the_originals_only(store, clips):
    subset = select_subset(load_images(store, list(store.images), 1.0), clips, ("a", "b"), ("noisy", "stretch0.9"))
    for windows, indices in score_batches(subset, 3, 30):
        for window, i in zip(windows, indices, strict=True):
            original = np.pad(store.images[f"clip{i}", "orig"], ((0, 0), (0, 30)))
            assert contains(original, window[0].numpy())


def test_a_small_subset_is_one_batch(store, clips):
    subset = select_subset(load_images(store, [(c.clip_id, "orig") for c in clips], 1.0), clips[:3], ("a", "b"))
    ((windows, targets),) = train_batches(subset, 32, 20, np.random.default_rng(0))
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
        assert (np.diff(mine) <= width / 2 + 1).all(), "by half, up to rounding to whole frames"
        assert (np.diff(mine) > 0).all()


def test_a_subset_knows_the_lengths_of_its_clips(store, clips):
    subset: Subset = select_subset(load_images(store, list(store.images), 1.0), clips[1:4], ("a", "b"), ("noisy",))
    assert subset.n_frames.tolist() == [12, 95, 40]
    assert len(subset) == 3


class LargeStore:
    """256 images of 100 KB, made when they are read."""

    n_mels = 100
    keys = tuple((f"clip{i}", "orig") for i in range(256))

    def read(self, clip_id: str, augmentation: str) -> np.ndarray:
        return np.full((100, 1000), int(clip_id[4:]), dtype=np.uint8)

    def n_frames(self, clip_id: str, augmentation: str) -> int:
        return 1000


def peak_bytes(function) -> int:
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_loading_takes_no_more_memory_than_the_images():
    """One buffer for all images, and the few that are being decoded."""
    store = LargeStore()
    load_images(store, store.keys[:8], 1.0)  # imports
    assert peak_bytes(lambda: load_images(store, store.keys, 1.0)) < 1.3 * 256 * 100_000


def test_loading_from_a_shared_file_takes_no_memory_of_the_process(tmp_path):
    store = LargeStore()
    image_set = load_images(store, store.keys, 1.0, shared_file=tmp_path / "images.bin")  # writes the file
    mapped = []
    peak = peak_bytes(lambda: mapped.append(load_images(store, store.keys, 1.0, shared_file=tmp_path / "images.bin")))
    assert peak < 0.1 * 256 * 100_000
    chosen = np.array([3, 200])
    for images in (image_set.images, mapped[0].images):
        windows = images.windows(chosen, np.array([0, 999]), 5)
        assert windows[0].unique().tolist() == [3] and windows[1, 0, 0].tolist() == [200, 0, 0, 0, 0]


def test_a_shared_file_is_decoded_once(store, tmp_path):
    """Several workers ask at once; the first one decodes, also when there is half a file of an earlier one."""
    reads, keys, path = [], list(store.images), tmp_path / "images.bin"
    path.write_bytes(b"half")
    store.read = lambda *key: (reads.append(key), store.images[key])[1]
    with ThreadPoolExecutor(4) as pool:
        sets = list(pool.map(lambda _: load_images(store, keys, 1.0, shared_file=path), range(4)))
    assert sorted(reads) == sorted(keys)
    expected = MemoryImages(list(store.images.values()))
    for image_set in sets:
        chosen, starts = np.array([0, 4, 2]), np.array([3, 0, 30])
        assert torch.equal(image_set.images.windows(chosen, starts, 20), expected.windows(chosen, starts, 20))


def test_a_failed_load_leaves_no_shared_file(store, tmp_path):
    def fail(*key):
        raise ValueError("damaged")

    store.read = fail
    with pytest.raises(ValueError, match="damaged"):
        load_images(store, list(store.images), 1.0, shared_file=tmp_path / "images.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["images.bin.lock"]
