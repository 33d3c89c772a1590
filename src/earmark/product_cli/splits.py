"""Scripts that split a data set into a training and a validation list of spectrograms.

The lists are CSV files with the columns filepath, label, clip_id and group. The training list contains every
augmentation, the validation list only the original clips.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.config.sections import ConfigError, SplitConfig
from earmark.datasets.emodb import EMOTIONS
from earmark.datasets.esc50 import read_esc50
from earmark.datasets.manifest import Clip, portable
from earmark.product_cli.command import run_script
from earmark.product_cli.layout import EMODB, ESC50, SPLITS, Layout
from earmark.runtime.files import write_csv
from earmark.splits.make import make_split

LOG = logging.getLogger("earmark")
COLUMNS = ("filepath", "label", "clip_id", "group")


@dataclass(frozen=True)
class Arguments:
    """Options of the scripts that split."""

    project_root: Path
    """Folder that contains product/; relative paths start from it."""
    spec_dir: Path
    """Folder of the spectrograms."""
    val_ratio: float
    """Fraction of the clips to hold out, in whole groups."""
    seed: int = 123
    """Seed of the split."""
    out_dir: Path = SPLITS
    """Folder for the two CSV files."""


def split(layout: Layout, project_root: Path, val_ratio: float) -> None:
    """The script that splits a data set; `val_ratio` is its default."""

    def work(given: Arguments) -> None:
        """Write a stratified split with no source recording (ESC-50) or speaker (EmoDB) in both subsets."""
        folder = given.project_root / given.spec_dir
        clips = clips_of_images(layout, folder, given.project_root)
        config = SplitConfig(kind="holdout", test_ratio=0.0, val_ratio=given.val_ratio, seed=given.seed)
        made = make_split(clips, config, 1)
        train, valid = (_chosen(clips, ids) for ids in (made.train, made.valid))
        out = given.project_root / given.out_dir
        write_images(train, _augmentations_by_clip(folder), given.project_root, out / f"train{layout.suffix}.csv")
        write_images(valid, {}, given.project_root, out / f"val{layout.suffix}.csv")
        print(f"{out}: {len(train)} training clips, {len(valid)} validation clips; no {layout.group} is in both")

    run_script(f"make_split{layout.suffix}", work, Arguments(project_root, layout.spectrograms, val_ratio))


def clips_of_images(layout: Layout, folder: Path, project_root: Path) -> list[Clip]:
    """The clips with a spectrogram in `folder`, with label and group; `Clip.path` is the image.

    Raises:
        ConfigError: there are none.
        ManifestError: the labels of ESC-50 cannot be read.
    """
    ids = sorted(path.name.removesuffix("_orig.png") for path in folder.glob("*_orig.png"))
    label_of = _LABELS[layout.name](project_root, ids)
    clips = [Clip(i, folder / f"{i}_orig.png", label_of[i], layout.group_of(i)) for i in ids if i in label_of]
    if not clips:
        script = f"product/audio_preprocessing/src/generate_spectrograms{layout.suffix}.py"
        raise ConfigError(f"--spec_dir = {str(folder)!r}: no spectrograms of this data set; run python {script} first")
    if len(clips) < len(ids):
        LOG.warning("%s: %d images do not belong to this data set and are ignored", folder, len(ids) - len(clips))
    return clips


def _esc50_labels(project_root: Path, ids: Iterable[str]) -> dict[str, str]:
    clips = read_esc50(project_root / ESC50.recordings, require_audio=False)
    return {clip.clip_id: clip.label for clip in clips if ESC50.file_name.fullmatch(clip.clip_id)}


def _emodb_labels(project_root: Path, ids: Iterable[str]) -> dict[str, str]:
    matches = {i: EMODB.file_name.fullmatch(i) for i in ids}
    return {i: EMOTIONS[match["emotion"]] for i, match in matches.items() if match}


_LABELS = {"esc50": _esc50_labels, "emodb": _emodb_labels}


def _chosen(clips: Sequence[Clip], ids: Iterable[str]) -> list[Clip]:
    wanted = set(ids)
    return [clip for clip in clips if clip.clip_id in wanted]


def _augmentations_by_clip(folder: Path) -> dict[str, list[str]]:
    """The augmentations in a folder of spectrograms by clip, the original first."""
    augmentations: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.png")):
        clip_id, _, augmentation = path.stem.rpartition("_")
        augmentations.setdefault(clip_id, []).append(augmentation)
    return {clip_id: sorted(names, key=lambda name: name != "orig") for clip_id, names in augmentations.items()}


def write_images(clips: Iterable[Clip], augmentations: dict[str, list[str]], project_root: Path, path: Path) -> None:
    """Write a list of spectrograms, one row per clip and augmentation, with paths relative to the project root."""
    images = [
        (clip, clip.path.with_name(f"{clip.clip_id}_{augmentation}.png"))
        for clip in clips
        for augmentation in augmentations.get(clip.clip_id, ["orig"])
    ]
    rows = [(portable(image, project_root), clip.label, clip.clip_id, clip.group) for clip, image in images]
    write_csv(path, [COLUMNS, *rows])
