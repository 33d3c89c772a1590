"""Commands on data sets: download, manifest, validate, augment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from earmark.cli.arguments import Augmentations, Output, RequiredPath
from earmark.cli.errors import FOUND
from earmark.runtime.console import pluralize


def download(
    name: Annotated[Literal["esc50", "emodb"], tyro.conf.Positional],
    target: Output = Path("data"),
    folder: str = "",
    url: str = "",
) -> None:
    """Download, verify and unpack a public data set.

    An interrupted download is resumed by the same command.

    Example: earmark download esc50 -o data

    Args:
        name: Name of the data set.
        target: Folder that the folder of the data set is created in.
        folder: Name of that folder; empty uses the name of the data set, ESC-50 or EmoDB.
        url: Alternative URL of the archive, for example a mirror.
    """
    from earmark.datasets.download import download as fetch

    print(f"{name}: complete in {fetch(name, target, url or None, folder_name=folder)}")


def manifest(
    dataset: Annotated[Literal["esc50", "emodb", "folder", "csv", "demo"], tyro.conf.Positional],
    root: RequiredPath,
    output: Output = Path("clips.csv"),
    esc10: bool = False,
) -> None:
    """List labeled recordings in a manifest (CSV).

    Columns: clip_id, path, label, group, fold, duration.

    Example: earmark manifest folder my-recordings -o clips.csv

    Args:
        dataset: Layout of the data: a public data set, one subfolder per class, or a CSV with path,label[,group,fold].
        root: The folder, or the CSV file.
        output: Path of the manifest.
        esc10: Only the ten classes of ESC-10.
    """
    from earmark.config.sections import DataConfig
    from earmark.datasets.manifest import class_names, write_manifest
    from earmark.datasets.read import read_dataset

    clips = read_dataset(DataConfig(dataset="esc10" if esc10 else dataset, root=str(root)))
    write_manifest(clips, output)
    sizes = {"clip": len(clips), "class": len(class_names(clips)), "group": len({clip.group for clip in clips})}
    print(f"{output}: {', '.join(pluralize(n, word) for word, n in sizes.items())}")


def validate(clips: RequiredPath) -> int:
    """Find missing, unreadable, silent, clipped or duplicate files.

    Exit status 1 if there is a problem.

    Example: earmark validate clips.csv

    Args:
        clips: A manifest.
    """
    from earmark.datasets.manifest import read_manifest
    from earmark.datasets.validate import validate_clips

    recordings = read_manifest(clips)
    problems = validate_clips(recordings)
    for problem in problems:
        print(f"{problem.clip_id}\t{problem.kind}\t{problem.detail}\t{problem.path}")
    if not problems:
        print(f"{clips}: {pluralize(len(recordings), 'clip')}, no problems")
        return 0
    found = f"{pluralize(len(problems), 'problem')} in {pluralize(len(recordings), 'clip')}"
    print(f"earmark validate: {clips}: {found}, listed above", file=sys.stderr)
    return FOUND


def augment(
    clips: RequiredPath,
    augmentations: Augmentations = ("noisy", "pitchUp2", "stretch0.9"),
    output: Output = Path("augmented"),
    jobs: int = 0,
) -> None:
    """Write augmented copies: noise, pitch shift, time stretch.

    The copies are WAV files; they keep the group and the fold of their clip.

    Example: earmark augment clips.csv --augmentations noisy pitchUp2 stretch0.9 -o augmented

    Args:
        clips: A manifest.
        augmentations: Augmentations to write.
        output: Folder for <clip_id>_<augmentation>.wav and clips.csv.
        jobs: Number of threads; 0 uses all cores.
    """
    from earmark.datasets.manifest import read_manifest
    from earmark.datasets.write_augmented import write_augmented

    written = write_augmented(read_manifest(clips), augmentations, None, output, jobs)
    print(f"{output}: {pluralize(len(written), 'file')}")
