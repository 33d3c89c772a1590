"""Augmentations as WAV files, for listening and for other tools; `earmark` itself needs no such files."""

from __future__ import annotations

import dataclasses
import functools
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from earmark.audio.augment import Definition, apply_augmentation, definition_of
from earmark.audio.io import AudioError, load_audio
from earmark.datasets.manifest import Clip, write_manifest
from earmark.datasets.overwrite import check_files, writing_files
from earmark.runtime.console import progress_bar
from earmark.runtime.files import write_bytes
from earmark.runtime.pool import map_tasks


def write_augmented(
    clips: Sequence[Clip],
    names: Sequence[str],
    definitions: Mapping[str, Definition] | None,
    folder: str | Path,
    jobs: int = 0,
    force: bool = False,
) -> list[Clip]:
    """Write `<clip_id>_<augmentation>.wav` for each clip and augmentation, and `clips.csv` that lists them.

    The files are mono at the recording's own rate, in 32-bit float, so that nothing is clipped. In the manifest they
    keep label, group and fold of their clip, so that they cannot get into another subset.

    Args:
        names: of the augmentations, see `definition_of`.
        jobs: threads; 0 takes one per core. The bytes do not depend on it.
        force: overwrite files that the `clips.csv` there does not list, and one that was edited.

    Returns:
        The augmented clips.

    Raises:
        AugmentationError: a name or definition cannot be used.
        AudioError: recordings cannot be read; all of them are listed, after the others have been written.
        ManifestError: a file of somebody else would be overwritten.
    """
    folder = Path(folder)
    chosen = {name: definition_of(name, definitions) for name in names}
    planned = [_augmented_clip(clip, name, folder) for clip in clips for name in chosen]
    check_files(planned, folder, [clip.path for clip in clips], force)
    with writing_files(planned, folder):
        results = map_tasks(functools.partial(_write_clip, folder, chosen), clips, jobs)
        written, errors = [], []
        for made, error in progress_bar(results, "augment", len(clips), "clip"):
            written += made
            errors += [error] if error else []
        if written:
            write_manifest(written, folder / "clips.csv", force=force)
    if errors:
        raise AudioError("\n".join([f"{len(errors)} of {len(clips)} recordings cannot be used:", *errors]))
    return written


def _write_clip(folder: Path, chosen: dict[str, Definition], clip: Clip) -> tuple[list[Clip], str]:
    """The augmentations of one clip and, where its file cannot be used, why not."""
    try:
        waveform, sample_rate = load_audio(clip.path)
    except AudioError as error:
        return [], str(error)
    made = []
    for name, definition in chosen.items():
        augmented = apply_augmentation(waveform, sample_rate, clip.clip_id, name, definition)
        written = _augmented_clip(clip, name, folder)
        write_bytes(written.path, float_wav(augmented, sample_rate))
        made.append(dataclasses.replace(written, duration=len(augmented) / sample_rate))
    return made, ""


def _augmented_clip(clip: Clip, name: str, folder: Path) -> Clip:
    clip_id = f"{clip.clip_id}_{name}"
    return dataclasses.replace(clip, clip_id=clip_id, path=folder / f"{clip_id}.wav")


def float_wav(waveform: np.ndarray, sample_rate: int) -> bytes:
    """A mono WAV of 32-bit floats: the same bytes for the same samples.

    libsndfile would add a chunk (PEAK) with the time of writing.

    Args:
        waveform: float32 (N,).
        sample_rate: Hz.
    """
    data = np.ascontiguousarray(waveform, dtype="<f4").tobytes()
    form = struct.pack("<HHIIHHH", 3, 1, sample_rate, 4 * sample_rate, 4, 32, 0)
    chunks = [(b"fmt ", form), (b"fact", struct.pack("<I", len(waveform))), (b"data", data)]
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(content)) + content for name, content in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body
