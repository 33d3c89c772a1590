"""The spectrogram store: a folder of gray PNGs, one per clip and augmentation, made once and read many times.

`front_end.json` says how the images were made and `index.csv` from what: each image has a recipe (hash of front
end and augmentation) and a content (hash of the audio file). An intact image of the same recipe and content is kept;
every other one is made again. Reading needs NumPy and Pillow alone.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from earmark.audio.augment import ORIGINAL, definition_of
from earmark.config.sections import FrontEndConfig
from earmark.config.suite import merge, to_dict
from earmark.datasets.manifest import Clip
from earmark.features.store_index import Entry, Index, append_entries, read_index, write_index
from earmark.features.store_tasks import Recipe, image_name, make_images, plan_tasks, planned_entries
from earmark.runtime.console import pluralize, progress_bar
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import digest, lock_folder, write_json
from earmark.runtime.pool import cores, map_tasks
from earmark.runtime.schema import read_json

FRONT_END = "front_end.json"
INDEX = "index.csv"
MAX_PIXELS = 2**26
"""Of one image: a day of sound in 128 bins has 10 million frames, but no clip to train on is as long."""


class StoreError(EarmarkError):
    """A store that cannot be made or read; the message names the folder or files and the remedy."""


@dataclass(frozen=True)
class Store:
    """A folder of `<clip_id>_<augmentation>.png`; `generate` and `open_store` return one."""

    folder: Path
    front_end: FrontEndConfig | None
    """How the images were made; None for a folder of PNGs from elsewhere, which does not say."""
    index: Index = field(repr=False)

    def path(self, clip_id: str, augmentation: str = ORIGINAL) -> Path:
        """The file of an image."""
        return self.folder / image_name(clip_id, augmentation)

    def read(self, clip_id: str, augmentation: str = ORIGINAL) -> np.ndarray:
        """An image, uint8 (F, T), row 0 the highest mel bin.

        Raises:
            StoreError: it is missing, damaged or not gray with 8 bits.
        """
        with open_image(self.path(clip_id, augmentation)) as image:
            return np.asarray(image)

    def n_frames(self, clip_id: str, augmentation: str = ORIGINAL) -> int:
        """Width of an image, from its header.

        Raises:
            StoreError: it is missing or damaged, or not as high as the others.
        """
        with open_image(self.path(clip_id, augmentation)) as image:
            if image.height != self.n_mels:
                path = self.path(clip_id, augmentation)
                raise StoreError(
                    f"image {path}: is {image.height} bins high, others here {self.n_mels}; "
                    "make all images with one front end"
                )
            return image.width

    @functools.cached_property
    def n_mels(self) -> int:
        """Height of the images."""
        if self.front_end is not None:
            return self.front_end.n_mels
        first = min(self.folder.glob("*.png"), default=None)
        if first is None:
            raise StoreError(f"store {self.folder}: has no images; `earmark spectrograms` makes them")
        with open_image(first) as image:
            return image.height

    def fingerprint(self, clip_ids: Iterable[str], augmentations: Iterable[str] = (ORIGINAL,)) -> str:
        """Sixteen hex digits that change when one of these images would.

        Computed from recipes and contents, or from the bytes of images that are not in the index.
        """
        augmentations = tuple(augmentations)
        names = sorted((clip_id, name) for clip_id in clip_ids for name in augmentations)
        return digest(json.dumps([[*name, *self._origin(name)] for name in names]))

    def _origin(self, name: tuple[str, str]) -> list[str]:
        if name in self.index:
            return [self.index[name].recipe, self.index[name].content]
        try:
            return [digest(self.path(*name).read_bytes())]
        except OSError as error:
            raise _unreadable(self.path(*name), error) from None


def open_store(folder: str | Path) -> Store:
    """Open a store for reading; of a folder of PNGs without `front_end.json` the `front_end` is None.

    Raises:
        StoreError: the folder is missing or its `front_end.json` cannot be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StoreError(f"store {folder}: no such folder; `earmark spectrograms` makes one")
    return Store(folder, _read_front_end(folder), read_index(folder / INDEX))


def resolve_front_end(clips: Sequence[Clip], config: FrontEndConfig) -> FrontEndConfig:
    """Fill in the sampling rate from the files where the config leaves it open (0).

    Files that cannot be read do not count; `generate` reports them.

    Raises:
        StoreError: the files have different rates, or none can be read.
        ConfigError: the settings do not go with the rate.
    """
    if config.sample_rate:
        return config
    with ThreadPoolExecutor(cores()) as pool:
        found = list(pool.map(_rate_or_reason, clips))
    rates = Counter(rate for rate in found if isinstance(rate, int))
    if not rates:
        raise StoreError(found[0] if found else "there are no clips to make spectrograms of; check the manifest")
    if len(rates) > 1:
        shown = ", ".join(f"{rate} Hz ({pluralize(count, 'clip')})" for rate, count in rates.most_common())
        raise StoreError(
            f"front_end.sample_rate = 0: the recordings have different rates, {shown}; "
            f"give one rate for all, such as --front-end.sample-rate {min(rates)} (`earmark floor` and `earmark "
            f"spectrograms`: --sample-rate {min(rates)}); above the lowest, recordings of a lower rate have an empty "
            "band that a network may learn instead of the classes"
        )
    return dataclasses.replace(config, sample_rate=next(iter(rates)))


def _rate_or_reason(clip: Clip) -> int | str:
    """The sampling rate of a recording, or why it is not known."""
    from earmark.audio.io import AudioError, audio_info

    try:
        return audio_info(clip.path).sample_rate
    except AudioError as error:
        return str(error)


def generate(
    clips: Sequence[Clip],
    config: FrontEndConfig,
    folder: str | Path,
    augmentations: Sequence[str] = (ORIGINAL,),
    definitions: Mapping[str, Mapping[str, Any]] | None = None,
    jobs: int = 0,
) -> Store:
    """Make the images that are missing, damaged or not made from this audio by this recipe, and return the store.

    It can be interrupted at any time and called again: writing an image is atomic, and what is there and valid is
    kept. A recording of the same size and times of change counts as unchanged. While one process makes images,
    others wait. The bytes do not depend on the number of threads.

    Args:
        config: with its sampling rate, see `resolve_front_end`.
        augmentations: their names; `orig` is the clip itself.
        definitions: further augmentations, see `definition_of`.
        jobs: threads; 0 takes one per core.

    Raises:
        StoreError: the folder holds images of another front end; or files cannot be used (all of them are
            listed, and all images of the others are made before).
        AugmentationError: an augmentation is unknown or wrongly defined.
    """
    folder = Path(folder)
    chosen = {name: definition_of(name, definitions) for name in augmentations}
    recipe = Recipe(folder, config, chosen)
    folder.mkdir(parents=True, exist_ok=True)
    index = read_index(folder / INDEX)
    if _holds(folder, config) and not plan_tasks(clips, recipe, index):
        return Store(folder, config, index)
    with lock_folder(folder):
        if not _holds(folder, config):
            write_json(folder / FRONT_END, to_dict(config))
        index = read_index(folder / INDEX)
        tasks = plan_tasks(clips, recipe, index)
        for task in tasks:  # while they are made, the index must not vouch for what they replace
            for name in task.names:
                index.pop((task.clip.clip_id, name), None)
        write_index(index, folder / INDEX)
        results = map_tasks(functools.partial(make_images, recipe), tasks, jobs)
        errors = _record(progress_bar(results, "spectrograms", len(tasks), "clip"), index, folder)
        write_index(index, folder / INDEX)
    if errors:
        raise StoreError("\n".join([f"{len(errors)} of {len(clips)} recordings cannot be used:", *errors]))
    return Store(folder, config, index)


def _record(results: Iterable[tuple[list[Entry], str]], index: Index, folder: Path) -> list[str]:
    """Add finished entries to the index, and to its file at once; returns the errors."""
    errors = []
    with (folder / INDEX).open("a", newline="", encoding="utf-8") as file:
        for entries, error in results:
            append_entries(entries, file)
            index.update({(entry.clip_id, entry.augmentation): entry for entry in entries})
            errors.extend([error] if error else [])
    return errors


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """An 8-bit gray image that is not decoded yet; its claimed size is checked.

    Raises:
        StoreError: it cannot be used.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path)
        with image:
            if image.mode != "L":
                raise OSError(f"its pixels are {image.mode}, not 8-bit gray")
            if image.width * image.height > MAX_PIXELS:
                raise OSError(f"it claims {image.width} x {image.height} pixels, at most {MAX_PIXELS} are read")
            yield image
    except StoreError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # Pillow's for a damaged PNG
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> StoreError:
    reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
    return StoreError(f"image {path}: {reason}; `earmark spectrograms` makes it again")


def _holds(folder: Path, config: FrontEndConfig) -> bool:
    """Whether the folder is a store of this front end; False while it is none yet.

    Raises:
        StoreError: it holds other images.
    """
    present = _read_front_end(folder)
    if present is None and next(folder.glob("*.png"), None):
        raise StoreError(f"store {folder}: holds images made elsewhere; give another folder")
    if present is not None and present != config:
        old, new = to_dict(present), to_dict(config)
        name = next(name for name in old if old[name] != new[name])
        raise StoreError(
            f"store {folder}: was made with front_end.{name} = {old[name]!r}, not {new[name]!r}; "
            f"give another folder, or delete this one"
        )
    return present is not None


def _read_front_end(folder: Path) -> FrontEndConfig | None:
    path = folder / FRONT_END
    try:
        return merge(FrontEndConfig(), read_json(path, dict)) if path.exists() else None
    except (OSError, EarmarkError) as error:
        raise StoreError(f"{path}: cannot be used ({error}); delete the folder and make it again") from None


def plan_store(
    clips: Sequence[Clip],
    config: FrontEndConfig,
    folder: str | Path,
    augmentations: Sequence[str],
    definitions: Mapping[str, Mapping[str, Any]],
) -> Store:
    """The store as `generate` will leave it, without making an image: for its fingerprint.

    The hash of an audio file comes from the index where size and times of change are those of the entry.

    Raises:
        StoreError: files cannot be read (all of them are listed).
        AugmentationError: an augmentation is unknown or wrongly defined.
    """
    folder = Path(folder)
    recipe = Recipe(folder, config, {name: definition_of(name, definitions) for name in augmentations})
    index = read_index(folder / INDEX)
    entries, errors = planned_entries(clips, recipe, index)
    if errors:
        raise StoreError("\n".join([f"{len(errors)} of {len(clips)} recordings cannot be used:", *errors]))
    return Store(folder, config, index | entries)
