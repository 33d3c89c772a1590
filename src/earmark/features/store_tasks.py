"""Which images of a spectrogram store have to be made, and how one clip's are."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from earmark.audio.augment import Definition
from earmark.audio.io import AudioError, audio_info
from earmark.audio.limits import EMPTY, recording_problem
from earmark.config.sections import FrontEndConfig
from earmark.config.suite import to_dict
from earmark.datasets.manifest import Clip
from earmark.features.log_mel import VERSION, clip_images
from earmark.features.png import encode_png, is_intact
from earmark.features.store_index import Entry, Index
from earmark.runtime.console import printable
from earmark.runtime.files import digest, file_digest, write_bytes
from earmark.runtime.pool import cores


@dataclass(frozen=True)
class Recipe:
    """How the images of all clips are made, and where they go."""

    folder: Path
    config: FrontEndConfig
    augmentations: Mapping[str, Definition]

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """By augmentation: hash of all that decides the image, except for the recording."""
        return {name: self._digest(name, definition) for name, definition in self.augmentations.items()}

    def _digest(self, name: str, definition: Definition) -> str:
        response = definition.get("impulse_response")
        files = [_content(Path(response))] if response else []
        return digest(json.dumps([VERSION, to_dict(self.config), name, definition, files], sort_keys=True))


@dataclass(frozen=True)
class Task:
    """The images of one clip that are to be made."""

    clip: Clip
    names: tuple[str, ...]
    """Of the augmentations."""
    contents: dict[str, str]
    """Of intact images of the same recipe: the hash of the audio that they were made from."""


def image_name(clip_id: str, augmentation: str) -> str:
    """The file name of an image in a store."""
    return f"{clip_id}_{augmentation}.png"


def plan_tasks(clips: Sequence[Clip], recipe: Recipe, index: Index) -> list[Task]:
    """What to make: images that are missing, damaged or of another recipe, or whose audio file may have changed."""
    intact = _intact_images(clips, recipe, index)
    tasks = []
    for clip in clips:
        kept = {n: index[clip.clip_id, n] for n in recipe.augmentations if (clip.clip_id, n) in intact}
        stamp = _stamp(clip.path)
        names = [n for n in recipe.augmentations if n not in kept or kept[n].stamp != stamp]
        if names:
            tasks.append(Task(clip, tuple(names), {n: entry.content for n, entry in kept.items()}))
    return tasks


def _intact_images(clips: Sequence[Clip], recipe: Recipe, index: Index) -> set[tuple[str, str]]:
    """Clip ids and augmentations of the images that are there by this recipe and not damaged."""
    files = {path.name for path in recipe.folder.iterdir()}
    names = [(clip.clip_id, n) for clip in clips for n in recipe.augmentations if image_name(clip.clip_id, n) in files]
    made = [name for name in names if name in index and index[name].recipe == recipe.digests[name[1]]]
    paths = [recipe.folder / image_name(*name) for name in made]
    with ThreadPoolExecutor(cores()) as pool:
        intact = pool.map(lambda path: is_intact(path, recipe.config.n_mels), paths)
        return {name for name, good in zip(made, intact, strict=True) if good}


def make_images(recipe: Recipe, task: Task) -> tuple[list[Entry], str]:
    """Make a clip's images; returns their entries and, where its file cannot be used, why not."""
    clip = task.clip
    try:
        stamp, content = _stamp(clip.path), _content(clip.path)
        todo = {n: recipe.augmentations[n] for n in task.names if task.contents.get(n) != content}
        for name, made in clip_images(clip.path, recipe.config, todo, clip.clip_id) if todo else ():
            write_bytes(recipe.folder / image_name(clip.clip_id, name), encode_png(made.image))
    except AudioError as error:
        return [], str(error)
    return [Entry(clip.clip_id, name, recipe.digests[name], content, *stamp) for name in task.names], ""


def planned_entries(clips: Sequence[Clip], recipe: Recipe, index: Index) -> tuple[Index, list[str]]:
    """The index entries that `make_images` will give for all clips, and the reasons why files cannot be read."""
    known = {(entry.clip_id, *entry.stamp): entry.content for entry in index.values()}

    def entries_of(clip: Clip) -> list[Entry] | str:
        stamp = _stamp(clip.path)
        try:
            content = known.get((clip.clip_id, *stamp)) or _readable_content(clip.path)
        except AudioError as error:
            return str(error)
        return [Entry(clip.clip_id, name, recipe_digest, content, *stamp) for name, recipe_digest in digests]

    digests = list(recipe.digests.items())
    with ThreadPoolExecutor(cores()) as pool:
        found = list(pool.map(entries_of, clips))
    errors = [reason for reason in found if isinstance(reason, str)]
    entries = [entry for made in found if not isinstance(made, str) for entry in made]
    return {(entry.clip_id, entry.augmentation): entry for entry in entries}, errors


def _stamp(path: Path) -> tuple[int, int, int]:
    """The `Entry.stamp` of a file; (-1, -1, -1), which fits no entry, where there is none."""
    try:
        status = path.stat()
    except OSError:
        return -1, -1, -1
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _readable_content(path: Path) -> str:
    """The hash of an audio file whose header can be read and announces sound."""
    if not audio_info(path).n_samples:
        raise AudioError(f"audio {printable(path)}: {EMPTY}", "empty")
    return _content(path)


def _content(path: Path) -> str:
    problem, kind = recording_problem(path)
    if problem and kind != "empty":
        raise AudioError(f"audio {printable(path)}: {problem}", kind)
    try:
        return file_digest(path)
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); check its path in the manifest"
        raise AudioError(f"audio {printable(path)}: {reason}") from None
