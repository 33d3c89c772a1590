"""Reading a training and a validation list of spectrograms (filepath,label) as clips in two parts.

What a list does not say is read from the file names: the waveform variant from the ending, the group from the names of
ESC-50 and EmoDB. Elsewhere, without a column group, every clip is a group of its own.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.config.sections import ConfigError
from earmark.datasets.manifest import Clip, base_clip_id, check_unique, read_rows, safe_id, write_manifest
from earmark.product_cli.corpora import corpus_of
from earmark.runtime.files import write_csv

LOG = logging.getLogger("earmark")
MAKERS = "product/datasets/make_split.py and make_split_emodb.py write such lists"

OWN_GROUPS = (
    "%s: every clip counts as a source of its own; where several come from one recording or speaker, name it in a "
    "column group, or results will be too good"
)


@dataclass(frozen=True)
class Row:
    """A line of a list: one image of a clip."""

    path: Path
    clip_id: str
    waveform: str
    """Its waveform variant."""
    label: str
    group: str
    """Empty where the list does not say."""


@dataclass(frozen=True)
class ImageLists:
    """Two lists as clips; `Clip.path` is the image of the clip itself."""

    dataset: str
    """`esc50` or `emodb` where all names follow theirs, else the name of the folder of the images."""
    folder: Path
    """Of the images."""
    clips: tuple[Clip, ...]
    train: tuple[str, ...]
    """Clip ids."""
    valid: tuple[str, ...]
    waveforms: tuple[str, ...]
    """The waveform variants that the training list has beside the originals and that all clips have as images."""


def read_image_lists(train_csv: Path, val_csv: Path, project_root: Path) -> ImageLists:
    """Read the two lists; paths in them are relative to the project's root or to the list.

    Raises:
        ConfigError: an image is not there or not named `<clip>_<variant>.png`, the images lie in several folders, or a
            clip has two labels.
        ManifestError: a list is missing, lacks a column or has no rows.
    """
    train, valid = (read_list(path, project_root) for path in (train_csv, val_csv))
    folders = sorted({row.path.parent.resolve() for row in (*train, *valid)})
    if len(folders) > 1:
        raise ConfigError(
            f"{train_csv} and {val_csv}: the images lie in {len(folders)} folders, {folders[0]} and {folders[1]}; "
            "put them into one"
        )
    _check_labels([*train, *valid], train_csv)
    clips = _clips(train, valid, train_csv)
    corpus = corpus_of(clip.clip_id for clip in clips)
    if any(row.waveform != "orig" for row in valid):
        LOG.warning("%s: waveform variants are left out; the clips themselves are scored", val_csv)
    return ImageLists(
        dataset=corpus.name if corpus else safe_id(folders[0].name),
        folder=folders[0],
        clips=clips,
        train=tuple(sorted({row.clip_id for row in train})),
        valid=tuple(sorted({row.clip_id for row in valid})),
        waveforms=_waveforms(train, clips, folders[0]),
    )


def read_list(path: Path, project_root: Path) -> list[Row]:
    """The rows of one list.

    Raises:
        ConfigError: an image is not there or not named `<clip>_<variant>.png`, or a label is empty.
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
            f"{path}, line {line}: {row['filepath']!r} is neither below {project_root} nor below {path.parent}; "
            "make the spectrograms or the list anew"
        )
    clip_id = row.get("clip_id") or base_clip_id(image.stem)
    waveform = image.stem.removeprefix(clip_id + "_")
    if image.name != f"{clip_id}_{waveform}.png":
        raise ConfigError(f"{path}, line {line}: {image.name!r} is not named <clip>_orig.png or <clip>_<variant>.png")
    return Row(image, clip_id, waveform, row["label"], row.get("group", ""))


def _check_labels(rows: Iterable[Row], path: Path) -> None:
    labels: dict[str, str] = {}
    for row in rows:
        if labels.setdefault(row.clip_id, row.label) != row.label:
            raise ConfigError(
                f"{path}: clip {row.clip_id!r} has the labels {labels[row.clip_id]!r} and {row.label!r}; give it one"
            )


def _clips(train: Sequence[Row], valid: Sequence[Row], path: Path) -> tuple[Clip, ...]:
    """One clip per id, sorted."""
    rows = {row.clip_id: row for row in (*train, *valid)}
    check_unique(rows)
    corpus = corpus_of(rows)
    if corpus is None and not all(row.group for row in rows.values()):
        LOG.warning(OWN_GROUPS, path)
    return tuple(
        Clip(
            clip_id=clip_id,
            path=row.path.with_name(f"{clip_id}_orig.png"),
            label=row.label,
            group=row.group or (corpus.file_name.fullmatch(clip_id)["group"] if corpus else clip_id),
        )
        for clip_id, row in sorted(rows.items())
    )


def _waveforms(train: Iterable[Row], clips: Sequence[Clip], folder: Path) -> tuple[str, ...]:
    complete = []
    for waveform in sorted({row.waveform for row in train} - {"orig"}):
        missing = sum(not (folder / f"{clip.clip_id}_{waveform}.png").is_file() for clip in clips)
        if missing:
            LOG.warning("%s: %s is missing for %d of %d clips and left out", folder, waveform, missing, len(clips))
        else:
            complete.append(waveform)
    return tuple(complete)


def write_part_files(lists: ImageLists, folder: Path) -> Path:
    """Write the lists as earmark reads them: clips.csv (a manifest), train.csv and valid.csv.

    Returns:
        Where they lie: a folder below `folder`, named after data set and content.
    """
    parts = {"train": lists.train, "valid": lists.valid}
    facts = [(clip.clip_id, clip.label, clip.group) for clip in lists.clips]
    digest = hashlib.sha256(json.dumps([str(lists.folder), facts, parts]).encode()).hexdigest()[:10]
    place = folder / f"{lists.dataset}-{digest}"
    write_manifest(lists.clips, place / "clips.csv")
    label_of = {clip.clip_id: clip.label for clip in lists.clips}
    for part, ids in parts.items():
        rows = [(f"{clip_id}_orig.png", label_of[clip_id]) for clip_id in ids]
        write_csv(place / f"{part}.csv", [("filepath", "label"), *rows])
    return place
