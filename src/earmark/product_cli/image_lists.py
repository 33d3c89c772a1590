"""Read a training and a validation list of spectrograms (filepath,label) as clips in two subsets.

Missing columns are derived from the file names: the augmentation from the suffix, the group from the naming schemes of
ESC-50 and EmoDB. For other names, without a column group, every clip is its own group.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.config.sections import ConfigError
from earmark.datasets.manifest import Clip, base_clip_id, check_unique, safe_id, write_manifest
from earmark.datasets.rows import read_rows
from earmark.product_cli.layout import find_layout
from earmark.runtime.files import digest, write_csv

LOG = logging.getLogger("earmark")
MAKERS = "product/datasets/make_split.py and make_split_emodb.py write such lists"

OWN_GROUPS = (
    "%s: every clip is its own group; if several clips come from one recording or speaker, name it in a column group, "
    "otherwise results are too optimistic"
)


@dataclass(frozen=True)
class Row:
    """A line of a list: one image of a clip."""

    path: Path
    clip_id: str
    augmentation: str
    """`orig` for the clip itself."""
    label: str
    group: str
    """Empty if the list has none."""


@dataclass(frozen=True)
class ImageLists:
    """Two lists as clips; `Clip.path` is the image of the clip itself."""

    dataset: str
    """`esc50` or `emodb` if all names follow their scheme, else the name of the image folder."""
    folder: Path
    """Of the images."""
    clips: tuple[Clip, ...]
    train: tuple[str, ...]
    """Clip ids."""
    valid: tuple[str, ...]
    augmentations: tuple[str, ...]
    """Augmentations in the training list for which all clips have an image."""


def read_image_lists(train_csv: Path, val_csv: Path, project_root: Path) -> ImageLists:
    """Read the two lists; paths in them are relative to the project root or to the list.

    Raises:
        ConfigError: an image is missing or not named `<clip>_<augmentation>.png`, the images are in several folders, or
            a clip has two labels.
        ManifestError: a list is missing, lacks a column or has no rows.
    """
    train, valid = (read_list(path, project_root) for path in (train_csv, val_csv))
    folders = sorted({row.path.parent.resolve() for row in (*train, *valid)})
    if len(folders) > 1:
        raise ConfigError(
            f"{train_csv} and {val_csv}: the images are in {len(folders)} folders, {folders[0]} and {folders[1]}; "
            "move them to one folder"
        )
    _check_labels([*train, *valid], train_csv)
    clips = _clips(train, valid, train_csv)
    layout = find_layout(clip.clip_id for clip in clips)
    if any(row.augmentation != "orig" for row in valid):
        LOG.warning("%s: augmented images are ignored; only the original clips are scored", val_csv)
    return ImageLists(
        dataset=layout.name if layout else safe_id(folders[0].name),
        folder=folders[0],
        clips=clips,
        train=tuple(sorted({row.clip_id for row in train})),
        valid=tuple(sorted({row.clip_id for row in valid})),
        augmentations=_augmentations(train, clips, folders[0]),
    )


def read_list(path: Path, project_root: Path) -> list[Row]:
    """The rows of one list.

    Raises:
        ConfigError: an image is missing or not named `<clip>_<augmentation>.png`, or a label is empty.
        ManifestError: the list is missing, lacks a column or has no rows.
    """
    rows = read_rows(path, ("filepath", "label"), f"give a CSV with filepath,label; {MAKERS}")
    return [_read_row(row, path, line, project_root) for line, row in rows]


def _read_row(row: dict[str, str], path: Path, line: int, project_root: Path) -> Row:
    if not row["label"]:
        raise ConfigError(f"{path}, line {line}: label is empty; fill it in or delete the line")
    given = Path(row["filepath"].replace("\\", "/"))
    image = next((p for p in (project_root / given, path.parent / given) if p.is_file()), None)
    if image is None:
        raise ConfigError(
            f"{path}, line {line}: {row['filepath']!r} found neither in {project_root} nor in {path.parent}; "
            "generate the spectrograms or the list again"
        )
    clip_id = row.get("clip_id") or base_clip_id(image.stem)
    augmentation = image.stem.removeprefix(clip_id + "_")
    if image.name != f"{clip_id}_{augmentation}.png":
        raise ConfigError(
            f"{path}, line {line}: {image.name!r} is not named <clip>_orig.png or <clip>_<augmentation>.png"
        )
    return Row(image, clip_id, augmentation, row["label"], row.get("group", ""))


def _check_labels(rows: Iterable[Row], path: Path) -> None:
    labels: dict[str, str] = {}
    for row in rows:
        if labels.setdefault(row.clip_id, row.label) != row.label:
            both = f"{labels[row.clip_id]!r} and {row.label!r}"
            raise ConfigError(f"{path}: clip {row.clip_id!r} has the labels {both}; choose one of them")


def _clips(train: Sequence[Row], valid: Sequence[Row], path: Path) -> tuple[Clip, ...]:
    """One clip per id, sorted."""
    rows = {row.clip_id: row for row in (*train, *valid)}
    check_unique(rows)
    layout = find_layout(rows)
    if layout is None and not all(row.group for row in rows.values()):
        LOG.warning(OWN_GROUPS, path)
    return tuple(
        Clip(
            clip_id=clip_id,
            path=row.path.with_name(f"{clip_id}_orig.png"),
            label=row.label,
            group=row.group or (layout.group_of(clip_id) if layout else clip_id),
        )
        for clip_id, row in sorted(rows.items())
    )


def _augmentations(train: Iterable[Row], clips: Sequence[Clip], folder: Path) -> tuple[str, ...]:
    complete = []
    for augmentation in sorted({row.augmentation for row in train} - {"orig"}):
        missing = sum(not (folder / f"{clip.clip_id}_{augmentation}.png").is_file() for clip in clips)
        if missing:
            LOG.warning("%s: %s is missing for %d of %d clips and ignored", folder, augmentation, missing, len(clips))
        else:
            complete.append(augmentation)
    return tuple(complete)


def write_subset_files(lists: ImageLists, folder: Path) -> Path:
    """Write the lists in the format of earmark: clips.csv (a manifest), train.csv and valid.csv.

    Returns:
        Their folder, a subfolder of `folder` named after data set and content.
    """
    subsets = {"train": lists.train, "valid": lists.valid}
    facts = [(clip.clip_id, clip.label, clip.group) for clip in lists.clips]
    content = digest(json.dumps([str(lists.folder), facts, subsets]), length=10)
    place = folder / f"{lists.dataset}-{content}"
    write_manifest(lists.clips, place / "clips.csv")
    label_of = {clip.clip_id: clip.label for clip in lists.clips}
    for subset, ids in subsets.items():
        rows = [(f"{clip_id}_orig.png", label_of[clip_id]) for clip_id in ids]
        write_csv(place / f"{subset}.csv", [("filepath", "label"), *rows])
    return place
