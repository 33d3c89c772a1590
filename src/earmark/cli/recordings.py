"""Verbs on recordings: from download to split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from earmark.cli.arguments import Given, Output
from earmark.config.sections import ConfigError, FrontEndConfig, SplitConfig
from earmark.runtime.console import pluralize


def download(
    name: Annotated[Literal["esc50", "emodb"], tyro.conf.Positional],
    target: Output = Path("data"),
    folder: str = "",
    url: str = "",
) -> None:
    """Fetch a public data set, verify it and unpack it; an interrupted download goes on.

    Example: earmark download esc50 -o data

    Args:
        name: Which data set.
        target: Where the folder of the data set is put.
        folder: Name of that folder; empty takes the set's own, ESC-50 or EmoDB.
        url: Another place to fetch the archive from, for example a mirror.
    """
    from earmark.datasets.download import download as fetch

    print(f"{name} is complete in {fetch(name, target, url or None, folder_name=folder)}")


def manifest(
    dataset: Annotated[Literal["esc50", "emodb", "folder", "csv", "demo"], tyro.conf.Positional],
    root: Given,
    output: Output = Path("clips.csv"),
    esc10: bool = False,
) -> None:
    """List labelled recordings in a manifest: clip_id, path, label, group, fold, duration.

    Example: earmark manifest folder my-recordings -o clips.csv

    Args:
        dataset: The layout: an official one, one subfolder per class, or a CSV with path,label[,group,fold].
        root: The folder, or the CSV.
        output: Where to write the manifest.
        esc10: Only the ten classes of ESC-10.
    """
    from earmark.config.sections import DataConfig
    from earmark.datasets.manifest import class_names, write_manifest
    from earmark.datasets.read import read_dataset

    clips = read_dataset(DataConfig(dataset="esc10" if esc10 else dataset, root=str(root)))
    write_manifest(clips, output)
    sizes = {"clip": len(clips), "class": len(class_names(clips)), "group": len({clip.group for clip in clips})}
    print(f"{output}: {', '.join(pluralize(n, word) for word, n in sizes.items())}")


def validate(clips: Given) -> None:
    """List every file that is missing, unreadable, empty, silent, clipped, too short or a duplicate.

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
    if problems:
        found = f"{pluralize(len(problems), 'problem')} in {pluralize(len(recordings), 'clip')}"
        raise ConfigError(f"{clips}: {found}, listed above; mend them")
    print(f"{clips}: {len(recordings)} clips, no problems")


def spectrograms(
    clips: Given,
    output: Output = Path("spectrograms"),
    variants: tuple[str, ...] = (),
    front_end: Annotated[FrontEndConfig, tyro.conf.arg(name="")] = FrontEndConfig(),
    jobs: int = 0,
) -> None:
    """Make grey log-mel PNGs of all clips, and of their waveform variants; what is there and valid is kept.

    Example: earmark spectrograms clips.csv -o spectrograms --variants noisy pitchUp2 stretch0.9

    Args:
        clips: A manifest.
        output: Folder of the store: <clip_id>_orig.png, <clip_id>_noisy.png, ..., front_end.json, index.csv.
        variants: Waveform variants to make beside the originals.
        front_end: How a file becomes an image.
        jobs: Processes; 0 takes all cores.
    """
    from earmark.datasets.manifest import read_manifest
    from earmark.features.store import generate, resolve_front_end

    recordings = read_manifest(clips)
    waveforms = ("orig", *variants)
    generate(recordings, resolve_front_end(recordings, front_end), output, waveforms, jobs=jobs)
    print(f"{output}: {len(recordings)} clips x {len(waveforms)} images")


def augment(
    clips: Given,
    variants: tuple[str, ...] = ("noisy", "pitchUp2", "stretch0.9"),
    output: Output = Path("augmented"),
    jobs: int = 0,
) -> None:
    """Write altered copies of all clips as WAV: noise, pitch shift, time stretch; they keep group and fold.

    Example: earmark augment clips.csv --variants noisy pitchUp2 stretch0.9 -o augmented

    Args:
        clips: A manifest.
        variants: Waveform variants.
        output: Folder to write <clip_id>_<variant>.wav and clips.csv into.
        jobs: Processes; 0 takes all cores.
    """
    from earmark.datasets.manifest import read_manifest
    from earmark.datasets.write_augmented import write_augmented

    written = write_augmented(read_manifest(clips), variants, None, output, jobs)
    print(f"{output}: {len(written)} files")


def show(
    clip: Given,
    output: Output = Path("clip.png"),
    variants: tuple[str, ...] = (),
    front_end: Annotated[FrontEndConfig, tyro.conf.arg(name="")] = FrontEndConfig(),
) -> None:
    """Draw a recording as the network sees it, beside its waveform variants.

    Example: earmark show recording.wav --variants noisy pitchUp2 -o clip.png

    Args:
        clip: An audio file.
        output: Where to write the picture (PNG).
        variants: Waveform variants to draw beside it.
        front_end: How a file becomes an image.
    """
    from earmark.features.plot import show as draw

    print(draw(clip, output, front_end, variants))


def audit(
    clips: Given,
    split: Path | None = None,
    json: Path | None = None,
    images: Path | None = None,
    jobs: int = 0,
) -> None:
    """Find what would inflate results: groups and copies across parts, mixed labels, shortcuts; status 2 on a leak.

    Example: earmark audit clips.csv --split split --json audit.json

    Args:
        clips: A manifest.
        split: Folder of a split to judge, as `earmark split` writes it.
        json: Write everything that was found to this file.
        images: Folder of ready-made images to look at instead of the recordings.
        jobs: Processes; 0 takes all cores.
    """
    from earmark.audit.audit import audit as look
    from earmark.audit.findings import format_audit, has_leaks
    from earmark.datasets.manifest import read_manifest
    from earmark.runtime.files import write_json
    from earmark.splits.io import read_split

    found = look(read_manifest(clips), read_split(split) if split else None, jobs, images)
    print(format_audit(found))
    if json:
        write_json(json, found.to_dict())
    if has_leaks(found):
        raise ConfigError(f"{clips}: leaks were found, see above")


def split(
    clips: Given,
    output: Output = Path("split"),
    fold: int = 1,
    config: Annotated[SplitConfig, tyro.conf.arg(name="")] = SplitConfig(),
) -> None:
    """Write one train/valid/test split in which no group crosses parts.

    Example: earmark split clips.csv --kind holdout --test-ratio 0.2 --val-ratio 0.1 --seed 123 -o split

    Args:
        clips: A manifest.
        output: Folder to write split.csv and split.json into.
        fold: Which fold is the test part, from 1.
        config: How to split.
    """
    from earmark.datasets.manifest import read_manifest
    from earmark.splits.io import write_split
    from earmark.splits.make import make_split

    recordings = read_manifest(clips)
    made = make_split(recordings, config, fold)
    write_split(made, recordings, output)
    print(f"{output}: {len(made.train)} train, {len(made.valid)} valid, {len(made.test)} test clips")
