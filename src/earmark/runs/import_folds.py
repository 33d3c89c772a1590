"""Which fold tests each clip that another tool has predicted."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from earmark.datasets.manifest import Clip, has_groups
from earmark.runs.prediction_table import PredictedRun, PredictionTableError
from earmark.runtime.console import format_names
from earmark.runtime.schema import read_json
from earmark.splits.io import read_splits
from earmark.splits.split import Split

LOG = logging.getLogger("earmark")


class ImportFolds(NamedTuple):
    """How the rows of a table of predictions are read."""

    splits: dict[int, Split] | None
    """By fold; None where the rows follow the folds of the manifest or of the table."""
    clips: list[Clip]
    """The manifest, with the fold that tests each clip."""
    names: tuple[str, ...]
    """The classes of the runs on whose splits the predictions are; empty takes those of the manifest."""
    fold: int | None
    """The fold of all rows; None where they have folds of their own."""


def folds_of_import(
    clips: Sequence[Clip], split: Split | str | Path | None, fold: int | None, waiver: str, as_it_is: bool
) -> ImportFolds:
    """The folds that a user names.

    Args:
        clips: the manifest.
        split: a folder of runs on the same folds, or one split: itself, or its folder.
        fold: of all rows.
        waiver: name of a published exception to group-disjointness.
        as_it_is: the predictions are those of finished models, and all clips test them.

    Raises:
        PredictionTableError: `as_it_is` along with another argument.
        SplitError, SchemaError: the split cannot be read.
    """
    if as_it_is:
        given = {"split": split, "fold": fold, "waiver": waiver or None}
        if others := [name for name, value in given.items() if value is not None]:
            raise PredictionTableError(f"as_it_is and {others[0]}: a model as it is has no folds; give one of them")
        LOG.warning("every clip of the manifest is tested; if any of them was in training, the score is too high")
        groups = "declared" if has_groups(clips) else "none"
        whole = Split((), (), tuple(sorted(clip.clip_id for clip in clips)), "files", 1, groups=groups)
        return ImportFolds({1: whole}, with_tested_folds(clips, {1: whole}), (), 1)
    if split is None:
        return ImportFolds(None, list(clips), (), fold)
    if isinstance(split, Split):
        return ImportFolds({split.fold: split}, with_tested_folds(clips, {split.fold: split}), (), fold)
    splits = read_splits(split, clips)
    return ImportFolds(splits, with_tested_folds(clips, splits), classes_of_runs(Path(split)), fold)


def check_one_run_each(runs: Sequence[PredictedRun], as_it_is: bool) -> None:
    """Refuse several runs of a variant where it is a model as it is."""
    count = Counter(run.variant for run in runs)
    several = [variant for variant, n in count.items() if n > 1]
    if as_it_is and several:
        raise PredictionTableError(
            f"as_it_is: {format_names(several)} has {count[several[0]]} runs, and a model as it is has one; give each "
            "model its own variant, or leave as_it_is out where the seeds are those of a recipe"
        )


def with_tested_folds(clips: Sequence[Clip], splits: Mapping[int, Split]) -> list[Clip]:
    """The clips with the fold that tests them as their fold; None where none or several do.

    With one split all get its fold, so that clips which it does not test are refused by their names.
    """
    if len(splits) == 1:
        return [replace(clip, fold=min(splits)) for clip in clips]
    tested = [(clip_id, fold) for fold, split in splits.items() for clip_id in split.reported]
    count, fold_of = Counter(clip_id for clip_id, _ in tested), dict(tested)
    return [replace(c, fold=fold_of[c.clip_id] if count[c.clip_id] == 1 else None) for c in clips]


def classes_of_runs(folder: Path) -> tuple[str, ...]:
    """The classes of a run, or of the runs in a folder; they may be more than those of the clips. None without runs.

    Raises:
        SchemaError: a config.json is damaged.
    """
    own = folder / "config.json"
    files = [own] if own.is_file() else sorted(folder.glob("*/config.json"))
    return tuple(read_json(files[0], {"class_names": [str]})["class_names"]) if files else ()
