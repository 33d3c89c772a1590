"""Commands on data sets: download, manifest, join, cut, validate, augment."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from earmark.cli.arguments import Augmentations, ClipsPath, ManifestPaths, OptionalPath, Output, SourcePath, TablePath
from earmark.cli.errors import FOUND
from earmark.config.sections import DatasetName
from earmark.runtime.console import pluralize
from earmark.runtime.errors import EarmarkError

if TYPE_CHECKING:
    from earmark.datasets.manifest import Clip, Columns


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
    dataset: Annotated[DatasetName, tyro.conf.Positional],
    root: SourcePath,
    output: Output = Path("clips.csv"),
    esc10: bool = False,
    path_column: str = "",
    label_column: str = "",
    group_column: str = "",
    group_pattern: str = "",
    recordings: OptionalPath = None,
    force: bool = False,
) -> None:
    """List labeled recordings in a manifest (CSV).

    Columns: clip_id, path, label, group, fold, duration.

    Example: earmark manifest folder my-recordings -o clips.csv

    Args:
        dataset: Layout of the data: a public data set, one subfolder per class (folder), a CSV with
            path,label[,group,fold], an audiofolder of Hugging Face, or tables of audformat.
        root: The folder, or the CSV file.
        output: Path of the manifest.
        esc10: Only the ten classes of ESC-10.
        path_column: Column of the path in a csv; empty uses path, file or filename.
        label_column: Column of the label in a csv, audiofolder or audformat; empty uses label.
        group_column: Column of the group in it; empty uses group, in all but a csv also speaker or speaker_id.
        group_pattern: For folder and csv: regular expression of the group in file names, or, with a slash, in paths.
        recordings: For csv: folder that relative paths start from; by default that of the CSV.
        force: Overwrite a manifest that has other labels, groups or folds, or further clips, or any other file.
    """
    from earmark.config.sections import DataConfig
    from earmark.datasets.alike import warn_of_alike_names
    from earmark.datasets.folder import read_csv, read_folder
    from earmark.datasets.read import read_dataset
    from earmark.datasets.recordings import find_data

    _check_for_csv(dataset, group_pattern, path_column, recordings)
    name: DatasetName = "esc10" if esc10 else dataset
    place = root if name == "demo" else find_data(str(root), "root")
    if name == "csv":
        clips = read_csv(place, label_column, group_column, group_pattern, path_column, recordings)
        warn_of_alike_names(clips, root)
    elif group_pattern:
        clips = read_folder(place, group_pattern)
        warn_of_alike_names(clips, root)
    else:
        clips = read_dataset(DataConfig(name, str(root), label_column, group_column))
    _write_manifest(clips, output, force)


def _check_for_csv(dataset: str, group_pattern: str, path_column: str, recordings: Path | None) -> None:
    """Refuse options that the layout of the data does not have."""
    if group_pattern and dataset not in ("folder", "csv"):
        raise EarmarkError(f"--group-pattern {group_pattern!r}: for folder and csv; {dataset} has groups of its own")
    for option, value in (("--path-column", path_column), ("--recordings", recordings)):
        if value and dataset != "csv":
            raise EarmarkError(f"{option} {str(value)!r}: for csv; {dataset} names its files itself")


def join(
    manifests: ManifestPaths,
    output: Output = Path("clips.csv"),
    rename: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
    fold_each: bool = False,
    same_groups: bool = False,
    force: bool = False,
) -> None:
    """Combine manifests into one, and rename or leave out classes.

    With --fold-each, every manifest becomes a published fold, tested by networks that were trained on the others
    (split.kind = "folds").

    Example: earmark join emodb.csv ravdess.csv -o both.csv --rename angry=anger --only anger sad --fold-each

    Args:
        manifests: Manifests, from `earmark manifest`. One is enough to rename or leave out classes.
        output: Path of the joined manifest.
        rename: OLD=NEW: new names of classes. Several classes may get the same name.
        only: Classes to keep, by their new names; default: all.
        fold_each: Make each manifest a fold, in the order given.
        same_groups: Treat groups of the same name in two manifests as one group.
        force: Overwrite a manifest that has other labels, groups or folds, or further clips, or any other file.
    """
    from earmark.datasets.alike import warn_of_alike_names
    from earmark.datasets.join import join_columns, join_manifests

    if not manifests:
        raise EarmarkError("no manifest; give one or more, from `earmark manifest`")
    clips = join_manifests(manifests, dict(map(_renaming, rename)), only, fold_each, same_groups)
    warn_of_alike_names(clips, output)
    _write_manifest(clips, output, force, join_columns(manifests, clips))


def _write_manifest(clips: Sequence[Clip], output: Path, force: bool, further: Columns | None = None) -> None:
    """Write a manifest, not over one that was edited unless it is forced, and print its size."""
    from earmark.datasets.manifest import write_manifest
    from earmark.datasets.overwrite import check_overwrite

    if not force:
        check_overwrite(output, clips, further=further or ())
    write_manifest(clips, output, further, force)
    print(f"{output}: {_sizes(clips)}")


def _renaming(text: str) -> tuple[str, str]:
    old, _, new = text.partition("=")
    if not (old and new):
        raise EarmarkError(f"--rename {text!r}: give OLD=NEW, such as angry=anger")
    return old, new


def _sizes(clips: Sequence[Clip]) -> str:
    sizes = {
        "clip": len(clips), "class": len({clip.label for clip in clips}), "group": len({clip.group for clip in clips})
    }  # fmt: skip
    return ", ".join(pluralize(n, word) for word, n in sizes.items())


def cut(
    table: TablePath,
    output: Output = Path("segments"),
    recordings: OptionalPath = None,
    label_column: str = "",
    group_column: str = "",
    group_pattern: str = "",
    seconds: float = 0.0,
    background: str = "",
    force: bool = False,
) -> None:
    """Write labeled segments of recordings as files, with a manifest.

    For selection tables of Raven, tables of BirdNET and OpenSoundscape, label tracks of Audacity, segmented tables of
    audformat, and CSVs with file,start,end,label.

    Example: earmark cut selections -o segments --recordings recordings --group-pattern "^[^_]+"

    Args:
        table: A table, or a folder of selection tables or label tracks (*.txt) or of CSVs.
        output: Folder for <recording>_<number>.wav and clips.csv.
        recordings: Folder of the recordings; by default that of the table.
        label_column: Column of the label; empty uses Annotation, Species, Common Name or label.
        group_column: Column of the group; empty uses the recording.
        group_pattern: Instead, a regular expression that finds the group in the name of each recording, such as
            "^[^_]+" for the site in SITE_20240503_053000.wav; with a slash, in its path below the recordings.
        seconds: Length of every file, around the middle of its segment; 0 keeps the length of each segment.
        background: Also cut files of this class from the time between the segments, at most as many as a recording has
            segments; needs --seconds, and tables that list every sound of the classes.
        force: Overwrite files that clips.csv there does not list, and a clips.csv that was edited.
    """
    from earmark.datasets.alike import warn_of_alike_names
    from earmark.datasets.segment_tables import read_segments
    from earmark.datasets.segments import cut_segments

    _refuse_input(table, output)
    segments = read_segments(table, recordings, label_column, group_column, group_pattern)
    clips = cut_segments(segments, output, seconds, background, force)
    warn_of_alike_names(clips, table)
    print(f"{output / 'clips.csv'}: {_sizes(clips)}")


def _refuse_input(table: Path, output: Path) -> None:
    """Raise `EarmarkError` where the manifest that is written into a folder would replace the table that is read."""
    if os.path.realpath(output / "clips.csv") == os.path.realpath(table):
        raise EarmarkError(f"-o {output}: its clips.csv is the table that is read; write to another folder")


def validate(clips: ClipsPath) -> int:
    """Find missing, unreadable, silent, clipped or duplicate files.

    Exit status 1 if there is a problem.

    Example: earmark validate clips.csv

    Args:
        clips: A manifest.
    """
    from earmark.datasets.alike import warn_of_alike_names
    from earmark.datasets.manifest import read_manifest
    from earmark.datasets.validate import validate_clips

    recordings = read_manifest(clips)
    warn_of_alike_names(recordings, clips)
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
    clips: ClipsPath,
    augmentations: Augmentations = ("noisy", "pitchUp2", "stretch0.9"),
    output: Output = Path("augmented"),
    jobs: int = 0,
    force: bool = False,
) -> None:
    """Write augmented copies: noise, pitch shift, time stretch.

    The copies are WAV files; they keep the group and the fold of their clip.

    Example: earmark augment clips.csv --augmentations noisy pitchUp2 stretch0.9 -o augmented

    Args:
        clips: A manifest.
        augmentations: Augmentations to write.
        output: Folder for <clip_id>_<augmentation>.wav and clips.csv.
        jobs: Number of threads; 0 uses all cores.
        force: Overwrite files that clips.csv there does not list, and a clips.csv that was edited.
    """
    from earmark.datasets.manifest import read_manifest
    from earmark.datasets.write_augmented import write_augmented

    _refuse_input(clips, output)
    written = write_augmented(read_manifest(clips), augmentations, None, output, jobs, force)
    print(f"{output}: {pluralize(len(written), 'file')}")
