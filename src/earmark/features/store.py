"""The spectrogram store: a folder of grey PNGs, one per clip and waveform variant, made once and read many times.

`front_end.json` says how the images were made and `index.csv` from what: each image has a recipe (hash of front
end and waveform variant) and a content (hash of the audio file). What is there and was made by the same recipe
from the same content is not made again; everything else is. Reading needs NumPy and Pillow alone.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from earmark.audio.augment import ORIGINAL, Definition, apply_augmentation, definition_of
from earmark.config.sections import FrontEndConfig
from earmark.config.suite import merge, to_dict
from earmark.datasets.manifest import Clip
from earmark.features.log_mel import VERSION, log_mel_image
from earmark.features.png import encode_png
from earmark.features.store_index import Entry, Index, append_entries, read_index, write_index
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import write_bytes, write_json
from earmark.runtime.pool import map_tasks

FRONT_END = "front_end.json"
INDEX = "index.csv"


class StoreError(EarmarkError):
    """A store that cannot be made or read; the message names the folder or files and the remedy."""


@dataclass(frozen=True)
class Store:
    """A folder of `<clip_id>_<waveform variant>.png`; `generate` and `open_store` give one."""

    folder: Path
    front_end: FrontEndConfig | None
    """How the images were made; None for a folder of PNGs from elsewhere, which does not say."""
    index: Index = field(repr=False)

    def path(self, clip_id: str, waveform: str = ORIGINAL) -> Path:
        """Where an image lies."""
        return self.folder / f"{clip_id}_{waveform}.png"

    def read(self, clip_id: str, waveform: str = ORIGINAL) -> np.ndarray:
        """An image, uint8 (F, T), row 0 the highest mel bin.

        Raises:
            StoreError: it is missing, damaged or not grey with 8 bits.
        """
        with _opened(self.path(clip_id, waveform)) as image:
            return np.asarray(image)

    def n_frames(self, clip_id: str, waveform: str = ORIGINAL) -> int:
        """Width of an image, from its header.

        Raises:
            StoreError: it is missing or damaged, or not as high as the others.
        """
        with _opened(self.path(clip_id, waveform)) as image:
            if image.height != self.n_mels:
                raise StoreError(
                    f"image {self.path(clip_id, waveform)}: is {image.height} bins high, others here {self.n_mels}; "
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
        with _opened(first) as image:
            return image.height

    def fingerprint(self, clip_ids: Iterable[str], waveforms: Iterable[str] = (ORIGINAL,)) -> str:
        """Sixteen hex digits that change when one of these images would.

        Taken over recipes and contents, or over the bytes of images that are not in the index.
        """
        waveforms = tuple(waveforms)
        names = sorted((clip_id, waveform) for clip_id in clip_ids for waveform in waveforms)
        return _hash(json.dumps([[*name, *self._origin(name)] for name in names]).encode())

    def _origin(self, name: tuple[str, str]) -> list[str]:
        if name in self.index:
            return [self.index[name].recipe, self.index[name].content]
        try:
            return [_hash(self.path(*name).read_bytes())]
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
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(_rate_or_reason, clips))
    rates = Counter(rate for rate in found if isinstance(rate, int))
    if not rates:
        raise StoreError(found[0] if found else "there are no clips to make spectrograms of; check the manifest")
    if len(rates) > 1:
        found = ", ".join(f"{rate} Hz ({count} clips)" for rate, count in rates.most_common())
        raise StoreError(
            f"front_end.sample_rate = 0: the recordings have different rates, {found}; "
            f"give the rate that all should be brought to, for example {min(rates)}"
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
    waveform: Sequence[str] = (ORIGINAL,),
    definitions: Mapping[str, Mapping[str, Any]] | None = None,
    jobs: int = 0,
    show_progress: bool = True,
) -> Store:
    """Make the images that are not there yet, or not from this audio, and return the store.

    It can be interrupted at any time and called again: an image appears whole or not at all, and what is there
    and valid is left alone. A file of the same size and time of change is taken for the same. The bytes do not
    depend on the number of processes.

    Args:
        config: with its sampling rate, see `resolve_front_end`.
        waveform: names of waveform variants; `orig` is the clip itself.
        definitions: further waveform variants, see `augment_waveform.definition_of`.
        jobs: processes; 0 takes one per core.

    Raises:
        StoreError: the folder holds images of another front end; or files cannot be used (all of them are
            listed, and all images of the others are made before).
        VariantError: a waveform variant is unknown or wrongly defined.
    """
    folder = Path(folder)
    variants = {name: definition_of(name, definitions or {}) for name in waveform}
    _claim(folder, config)
    index = read_index(folder / INDEX)
    tasks = _tasks(clips, folder, {name: _recipe(config, name, variants[name]) for name in variants}, index)
    if not tasks:
        return Store(folder, config, index)
    write_index(index, folder / INDEX)
    results = map_tasks(functools.partial(_make_images, folder, config, variants), tasks, jobs)
    errors = _record(_with_progress(results, len(tasks), show_progress), index, folder)
    write_index(index, folder / INDEX)
    if errors:
        raise StoreError("\n".join([f"{len(errors)} of {len(clips)} recordings cannot be used:", *errors]))
    return Store(folder, config, index)


@dataclass(frozen=True)
class Task:
    """The images of one clip that are to be made."""

    clip: Clip
    recipes: dict[str, str]
    """By waveform variant."""
    contents: dict[str, str]
    """Of images that are there by the same recipe: the hash of the audio that they were made from."""


def _tasks(clips: Sequence[Clip], folder: Path, recipes: dict[str, str], index: Index) -> list[Task]:
    """What to make: images that are not there by this recipe, or whose audio file may have changed."""
    files = {path.name for path in folder.iterdir()}
    tasks = []
    for clip in clips:
        there = {n: index.get((clip.clip_id, n)) for n in recipes if f"{clip.clip_id}_{n}.png" in files}
        same = {n: entry for n, entry in there.items() if entry and entry.recipe == recipes[n]}
        stamp = _stamp(clip.path)
        todo = {n: r for n, r in recipes.items() if n not in same or (same[n].size, same[n].mtime_ns) != stamp}
        if todo:
            tasks.append(Task(clip, todo, {n: entry.content for n, entry in same.items()}))
    return tasks


def _make_images(
    folder: Path, config: FrontEndConfig, variants: dict[str, Definition], task: Task
) -> tuple[list[Entry], str]:
    """Make a clip's images; returns their entries and, where its file cannot be used, why not."""
    from earmark.audio.io import AudioError, load_audio

    clip = task.clip
    try:
        stamp, content = _stamp(clip.path), _content(clip.path)
        todo = [n for n in task.recipes if task.contents.get(n) != content]
        waveform = load_audio(clip.path, config.sample_rate)[0] if todo else np.empty(0, np.float32)
    except AudioError as error:
        return [], str(error)
    for name in todo:
        varied = apply_augmentation(waveform, config.sample_rate, clip.clip_id, name, variants[name])
        write_bytes(folder / f"{clip.clip_id}_{name}.png", encode_png(log_mel_image(varied, config)))
    return [Entry(clip.clip_id, name, recipe, content, *stamp) for name, recipe in task.recipes.items()], ""


def _record(results: Iterable[tuple[list[Entry], str]], index: Index, folder: Path) -> list[str]:
    """Take finished entries into the index, and into its file at once; returns the errors."""
    errors = []
    with (folder / INDEX).open("a", newline="", encoding="utf-8") as file:
        for entries, error in results:
            append_entries(entries, file)
            index.update({(entry.clip_id, entry.waveform): entry for entry in entries})
            errors.extend([error] if error else [])
    return errors


def _with_progress(results: Iterator, total: int, show: bool) -> Iterator:
    from tqdm import tqdm

    return tqdm(results, "spectrograms", total, unit="clip", disable=not show)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            if image.mode != "L":
                raise OSError(f"its pixels are {image.mode}, not 8-bit grey")
            yield image
    except (OSError, SyntaxError) as error:  # Pillow's word for a damaged PNG is SyntaxError
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> StoreError:
    reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
    return StoreError(f"image {path}: {reason}; `earmark spectrograms` makes it again")


def _claim(folder: Path, config: FrontEndConfig) -> None:
    """Make sure that the folder holds images of this front end, or none yet."""
    folder.mkdir(parents=True, exist_ok=True)
    present = _read_front_end(folder)
    if present is None:
        if next(folder.glob("*.png"), None):
            raise StoreError(f"store {folder}: holds images made elsewhere; give another folder")
        write_json(folder / FRONT_END, to_dict(config))
    elif present != config:
        old, new = to_dict(present), to_dict(config)
        name = next(name for name in old if old[name] != new[name])
        raise StoreError(
            f"store {folder}: was made with front_end.{name} = {old[name]!r}, not {new[name]!r}; "
            f"give another folder, or delete this one"
        )


def _read_front_end(folder: Path) -> FrontEndConfig | None:
    path = folder / FRONT_END
    try:
        return merge(FrontEndConfig(), json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        raise StoreError(f"{path}: cannot be used ({error}); delete the folder and make it again") from None


def _recipe(config: FrontEndConfig, variant: str, definition: Definition) -> str:
    """Hash of all that decides the image, except for the recording."""
    room = definition.get("impulse_response")
    files = [_content(Path(room))] if room else []
    return _hash(json.dumps([VERSION, to_dict(config), variant, definition, files], sort_keys=True).encode())


def _stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and time of change in ns; (-1, -1), which fits no entry, where there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _content(path: Path) -> str:
    from earmark.audio.io import AudioError

    try:
        return _hash(path.read_bytes())
    except OSError as error:
        raise AudioError(f"audio {path}: cannot be read ({error.strerror}); check its path in the manifest") from None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def plan_store(
    clips: Sequence[Clip],
    config: FrontEndConfig,
    folder: str | Path,
    waveform: Sequence[str] = (ORIGINAL,),
    definitions: Mapping[str, Mapping[str, Any]] | None = None,
) -> Store:
    """The store as `generate` will leave it, without making an image: for its fingerprint.

    The hash of an audio file comes from the index where size and modification time are those of the entry.

    Raises:
        StoreError: files cannot be read (all of them are listed).
        VariantError: an augmentation is unknown or wrongly defined.
    """
    folder = Path(folder)
    recipes = {name: _recipe(config, name, definition_of(name, definitions or {})) for name in waveform}
    index = read_index(folder / INDEX)
    known = {(entry.clip_id, entry.size, entry.mtime_ns): entry.content for entry in index.values()}
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(functools.partial(_stamp_and_content, known), clips))
    errors = [reason for _, _, reason in found if reason]
    if errors:
        raise StoreError("\n".join([f"{len(errors)} of {len(clips)} recordings cannot be used:", *errors]))
    for clip, (stamp, content, _) in zip(clips, found, strict=True):
        index |= {(clip.clip_id, n): Entry(clip.clip_id, n, recipe, content, *stamp) for n, recipe in recipes.items()}
    return Store(folder, config, index)


def _stamp_and_content(known: Mapping[tuple[str, int, int], str], clip: Clip) -> tuple[tuple[int, int], str, str]:
    """Size and time, and hash of an audio file; where it cannot be read, the reason instead of the hash."""
    from earmark.audio.io import AudioError

    stamp = _stamp(clip.path)
    try:
        return stamp, known.get((clip.clip_id, *stamp)) or _content(clip.path), ""
    except AudioError as error:
        return stamp, "", str(error)
