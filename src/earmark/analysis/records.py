"""Finished runs as plain values: what their folders say, read once and checked to belong together.

A run is finished when its folder has a result.json. `read_runs` reads all finished runs below a folder,
`unfinished_runs` names the rest, and `check_comparable` refuses runs that must not be put into one table.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark.config.suite import RunConfig, run_from_dict, run_id, to_dict
from earmark.runtime.errors import EarmarkError

SHARED_FOLDER = (
    "move those of each into a folder of its own (aggregate_seeds in product/training takes them as they lie)"
)


class RunError(EarmarkError):
    """Run folders that cannot be read or must not be compared; the message names them and the remedy."""


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One finished run. The arrays are over the reported clips, sorted by clip id."""

    folder: Path
    config: RunConfig
    id: str
    settings_id: str
    """Equal for runs that differ at most in fold, seed, names, places and speed."""
    class_names: tuple[str, ...]
    data_fingerprint: str
    result: dict[str, Any]
    """result.json: metrics, recall, confusion, split, selected_on, reported_part, n_parameters ..."""
    timing: dict[str, Any]
    """timing.json: train_seconds, score_seconds, device, versions ...; empty where the file is missing."""
    parts_digest: str
    """Equal for runs with the same clips in the same parts."""
    n_train: int
    """Number of training clips."""
    clip_ids: tuple[str, ...]
    groups: tuple[str, ...]
    targets: np.ndarray
    """(N,) index of each clip's label in `class_names`."""
    probs: np.ndarray
    """float64 (N, K) class probabilities."""

    @property
    def variant(self) -> str:
        return self.config.variant

    @property
    def cell(self) -> tuple[int, int]:
        """Fold and seed."""
        return self.config.fold, self.config.seed

    @property
    def predictions(self) -> np.ndarray:
        """(N,) index of the most probable class."""
        return self.probs.argmax(axis=1)


def read_runs(folder: str | Path) -> list[RunRecord]:
    """Read every finished run below a folder, sorted by variant, fold and seed.

    Raises:
        RunError: there is none, or a file of a finished run is missing or cannot be used (named).
    """
    finished = [run for run in _run_folders(Path(folder)) if (run / "result.json").is_file()]
    if not finished:
        begun = unfinished_runs(folder)
        state = f"unfinished: {len(begun)}" if begun else "no run has been started there"
        raise RunError(f"runs {folder}: no finished run ({state}); `earmark suite` makes runs and finishes them")
    records = [_read_run(run) for run in finished]
    return sorted(records, key=lambda r: (r.config.name, r.variant, *r.cell, r.id))


def unfinished_runs(folder: str | Path) -> list[Path]:
    """The run folders below a folder that have no result.json yet, sorted."""
    return sorted(run for run in _run_folders(Path(folder)) if not (run / "result.json").is_file())


def unfinished_beside(records: Sequence[RunRecord]) -> list[Path]:
    """The unfinished runs in the folders of these records, sorted; those of other data or classes do not count."""
    kinds = {(r.config.data.dataset, r.class_names) for r in records}
    folders = {r.folder.parent for r in records}
    return sorted({run for folder in folders for run in unfinished_runs(folder) if _kind(run) in kinds})


def _kind(run: Path) -> tuple[str, tuple[str, ...]] | None:
    """Data set and classes of a run; None where its config cannot be read."""
    try:
        content = json.loads((run / "config.json").read_text(encoding="utf-8"))
        return content["run"]["data"]["dataset"], tuple(content["class_names"])
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _run_folders(folder: Path) -> Iterator[Path]:
    for where, subfolders, files in os.walk(folder):
        if "config.json" in files:
            subfolders.clear()
            yield Path(where)


def _read_run(folder: Path) -> RunRecord:
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        result = _upgrade(json.loads((folder / "result.json").read_text(encoding="utf-8")))
        timing = folder / "timing.json"
        config = _read_config(json.dumps({**content["run"], "fold": 1, "seed": 0}))
        class_names = tuple(content["class_names"])
        parts_digest, n_train = _read_parts((folder / "split.csv").read_bytes())
        return RunRecord(
            folder=folder,
            config=replace(config, fold=content["run"]["fold"], seed=content["run"]["seed"]),
            id=result["id"],
            settings_id=run_id(config, ""),
            class_names=class_names,
            data_fingerprint=content["data_fingerprint"],
            result=result,
            timing=json.loads(timing.read_text(encoding="utf-8")) if timing.is_file() else {},
            parts_digest=parts_digest,
            n_train=n_train,
            **_read_predictions(folder / "predictions.csv", class_names),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise RunError(f"run {folder}: cannot be read ({reason}); remove the folder and repeat the run") from None


def _upgrade(result: dict[str, Any]) -> dict[str, Any]:
    """The content of a result.json of any version in the names of version 1."""
    names = {"reported_subset": "reported_part", "macs": "multiply_adds"}
    return {names.get(name, name): value for name, value in result.items()}


@functools.lru_cache(maxsize=64)
def _read_config(text: str) -> RunConfig:
    return run_from_dict(json.loads(text))


@functools.lru_cache(maxsize=64)
def _read_parts(content: bytes) -> tuple[str, int]:
    """A digest of which clip is in which part, and the number of training clips, of a split.csv."""
    rows = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""))
    parts = sorted((row["clip_id"], row.get("subset") or row["part"]) for row in rows)
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return digest, sum(part == "train" for _, part in parts)


def _read_predictions(path: Path, class_names: Sequence[str]) -> dict[str, Any]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    expected = ["clip_id", "group", "label", "prediction", *(f"prob:{name}" for name in class_names)]
    if header != expected or not rows:
        raise ValueError(f"{path.name} lacks rows, or its columns are not those of the classes in config.json")
    rows.sort()
    target_of = {name: index for index, name in enumerate(class_names)}
    return {
        "clip_ids": tuple(row[0] for row in rows),
        "groups": tuple(row[1] for row in rows),
        "targets": np.array([target_of[row[2]] for row in rows]),
        "probs": np.array([row[4:] for row in rows], dtype=np.float64),
    }


def check_comparable(records: Sequence[RunRecord]) -> None:
    """Refuse runs that must not be put into one table.

    Raises:
        RunError: runs of several comparisons, a run that selected on what it reports, two runs for one
            variant, fold and seed, a variant whose runs differ in settings, or runs of one fold that differ
            in their classes, clips, parts or data. The message names two of them and the remedy.
    """
    _check_one_name(records)
    _check_selection(records)
    _check_settings(records)
    _check_classes(records)
    _check_same_clips(records)


def _check_one_name(records: Sequence[RunRecord]) -> None:
    folder_of = {r.config.name: r.folder.parent for r in records}
    if len(folder_of) > 1:
        folders = sorted({str(folder) for folder in folder_of.values()})
        remedy = f"give one of {', '.join(folders)}" if len(folders) == len(folder_of) else SHARED_FOLDER
        raise RunError(f"runs of {len(folder_of)} comparisons ({', '.join(sorted(folder_of))}): {remedy}")


def _check_selection(records: Sequence[RunRecord]) -> None:
    cheats = [r for r in records if r.result["selected_on"] in ("test", r.result["reported_part"])]
    if cheats:
        raise RunError(
            f"run {cheats[0].folder} (and {len(cheats) - 1} more): selected_on = "
            f"{cheats[0].result['selected_on']!r}: its epoch was chosen on the clips that it reports, which "
            "flatters; remove it and repeat it with split.val_ratio or split.valid_fold, or without selection"
        )


def _check_settings(records: Sequence[RunRecord]) -> None:
    _refuse_difference(
        records,
        lambda r: (r.variant, r.cell),
        lambda r: r.folder,
        "are both of one variant, fold and seed; keep one, or give them different variant names",
    )
    _refuse_difference(
        records,
        lambda r: r.variant,
        lambda r: r.settings_id,
        "have one variant name and different settings; give them different variant names",
    )


def _check_classes(records: Sequence[RunRecord]) -> None:
    remedy = "differ in their {}; aggregate them apart"
    _refuse_difference(records, lambda r: 0, lambda r: r.class_names, remedy.format("classes"))
    _refuse_difference(records, lambda r: 0, lambda r: r.result["reported_part"], remedy.format("reported part"))


def _check_same_clips(records: Sequence[RunRecord]) -> None:
    remedy = "are of one fold and differ in {}; repeat the older one"
    _refuse_difference(
        records,
        lambda r: r.config.fold,
        lambda r: r.parts_digest,
        remedy.format("which clip is in which part"),
    )
    _refuse_difference(
        records,
        lambda r: r.config.fold,
        lambda r: (r.clip_ids, r.groups, r.targets.tobytes()),
        remedy.format("the clips, groups or labels that they report"),
    )
    _refuse_difference(
        records,
        lambda r: (r.config.fold, _images_key(r.config)),
        lambda r: r.data_fingerprint,
        remedy.format("the audio or images that they read"),
    )


def _refuse_difference(records: Iterable[RunRecord], key: Any, value: Any, text: str) -> None:
    """Raise `RunError` for two records with the same key and different values."""
    first: dict[Any, RunRecord] = {}
    for record in records:
        other = first.setdefault(key(record), record)
        if value(other) != value(record):
            raise RunError(f"runs {other.folder} and {record.folder} {text}")


def _images_key(config: RunConfig) -> str:
    """Runs with the same key read the same images, if the recordings are the same."""
    front_end, augment = to_dict(config.front_end), config.augment
    return json.dumps([front_end, augment.waveform, augment.waveform_definitions], sort_keys=True)
