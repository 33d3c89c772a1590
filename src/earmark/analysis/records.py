"""Finished runs as plain values, read from their folders and checked.

A run is finished when its folder has a result.json. `read_runs` reads all finished runs below a folder,
`unfinished_runs` names the others.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from earmark.analysis.metrics import accuracy, confusion_matrix
from earmark.analysis.predictions import read_predictions
from earmark.analysis.tuning import FILE, FOLDER, what_trains
from earmark.config.search_space import configuration_id
from earmark.config.suite import RunConfig, run_from_dict
from earmark.runtime.console import format_names
from earmark.runtime.errors import EarmarkError, did_you_mean
from earmark.runtime.files import digest
from earmark.runtime.schema import check_schema, read_json

FORMAT_VERSION = 2
"""Of the files of a run folder; files without the key `format_version` have version 1."""
RENAMED = {"reported_part": "reported_subset", "multiply_adds": "macs", "part": "subset"}
"""Keys and columns of version 1 that have other names in version 2."""
CONFIG = {
    "format_version?": int,
    "run": {"fold": int, "seed": int},
    "class_names": [str],
    "data_fingerprint": str,
    "manifest_digest?": str,
}
RESULT: dict[str, Any] = {
    "format_version?": int,
    "id": str,
    "reported_subset": str,
    "selected_on": str,
    "kept_epoch?": int | None,
    "epochs?": int | None,
    "split": {"kind": str, "waiver": str, "waived_groups": [str], "leaks": [str], "groups?": str},
    "metrics": {
        "accuracy": float,
        "uar": float,
        "macro_f1": float,
        "top3_accuracy": float | None,
        "roc_auc": float | None,
        "nll": float | None,
        "ece": float | None,
    },
    "n_parameters?": int | None,
    "macs?": int | None,
    "imported?": bool,
    "name?": str,
    "variant?": str,
    "training_subset_known?": bool,
    "training_files_checked?": bool,
    "fixed_model?": bool,
    "model_checksum?": str,
    "missing?": str,
    "n_unanswered?": int,
    "n_train?": int,
    "n_train_groups?": int,
    "subsets_digest?": str,
    "unknown_start?": bool,
    "digests?": {"test_audio?": str},
}
NOT_TRAINED = dict.fromkeys(("kept_epoch", "epochs", "n_parameters", "macs"))
"""What is None where nothing was trained here."""
TIMING = {"train_seconds?": float, "device?": str, "threads?": int}
SAME = 1e-6
"""By how much sums and scores may differ because of rounding in files."""


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
    manifest_digest: str
    """Which recordings the manifest listed, see `manifest.manifest_digest`; empty where it is not known."""
    result: dict[str, Any]
    """result.json in the names of version 2: metrics, split, selected_on, reported_subset, n_parameters, macs ..."""
    timing: dict[str, Any]
    """timing.json: train_seconds, score_seconds, device, threads ...; empty where the file is missing."""
    subsets_digest: str
    """Equal for runs with the same clips in the same subsets."""
    n_train: int
    """Number of training clips."""
    n_train_groups: int
    """Number of groups of training clips; 0 where it is not known."""
    clip_ids: tuple[str, ...]
    groups: tuple[str, ...]
    targets: np.ndarray
    """(N,) index of each clip's label in `class_names`."""
    predictions: np.ndarray
    """(N,) index of each predicted label."""
    probs: np.ndarray
    """float64 (N, K) class probabilities; 1 for the predicted label where only labels are known."""
    has_probs: bool = True
    """Whether probabilities are known."""

    @property
    def variant(self) -> str:
        return self.config.variant

    @property
    def ungrouped(self) -> bool:
        """Whether the manifest declares no groups, so that each clip is one; guessed for runs that do not say."""
        found = "none" if len(set(self.groups)) == len(self.groups) else "declared"
        return self.result["split"].get("groups", found) == "none"

    @property
    def fold_seed(self) -> tuple[int, int]:
        return self.config.fold, self.config.seed

    @property
    def imported(self) -> bool:
        """Whether another tool made the predictions, so that its settings are not known."""
        return bool(self.result.get("imported", False))

    @property
    def training_subset_known(self) -> bool:
        """Whether it is known which clips it was trained on."""
        return bool(self.result.get("training_subset_known", True))

    @property
    def fixed_model(self) -> bool:
        """Whether the score is of a network as it is, and not of a recipe that was trained with this fold and seed."""
        return bool(self.result.get("fixed_model", False))

    @property
    def unknown_start(self) -> bool:
        """Whether it is not known what trained the weights that it started from."""
        return bool(self.result.get("unknown_start", False))

    @property
    def test_audio(self) -> str:
        """Stands for the recordings that it reports; empty where they are not known."""
        return str(self.result.get("digests", {}).get("test_audio", ""))

    @property
    def training_files_checked(self) -> bool:
        """Whether the files of its test clips were compared with those that its model was trained on."""
        return bool(self.result.get("training_files_checked", False))


def are_fixed(records: Sequence[RunRecord]) -> bool:
    """Whether each variant is one network as it is, all scored on the same clips."""
    single = len(records) == len({run.variant for run in records}) and len({run.config.fold for run in records}) == 1
    return single and all(run.fixed_model for run in records)


def confusion_of(record: RunRecord) -> np.ndarray:
    """Counts (K, K) of the reported clips by true class (rows) and predicted class (columns)."""
    return confusion_matrix(record.targets, record.predictions, len(record.class_names))


def read_runs(folder: str | Path) -> list[RunRecord]:
    """Read every finished run below a folder, sorted by variant, fold and seed.

    Raises:
        RunError: there is none, or a file of a finished run is missing or cannot be used (named).
    """
    finished = [run for run in _run_folders(Path(folder)) if (run / "result.json").is_file()]
    if not finished:
        begun = unfinished_runs(folder)
        state = f"unfinished: {len(begun)}" if begun else "no run has been started there"
        if not Path(folder).exists():
            beside = [path.name for path in Path(folder).parent.glob("*") if path.is_dir()]
            raise RunError(f"runs {folder}: no such folder{did_you_mean(Path(folder).name, beside)}")
        if Path(folder).is_file():
            raise RunError(f"runs {folder}: is a file; give the folder of its runs (predictions: `earmark import`)")
        raise RunError(f"runs {folder}: no finished run ({state}); {what_trains(Path(folder))}")
    records = [_read_run(run) for run in finished]
    return sorted(records, key=lambda r: (r.config.name, r.variant, *r.fold_seed, r.id))


def unfinished_runs(folder: str | Path) -> list[Path]:
    """The run folders below a folder that have no result.json yet, sorted."""
    return sorted(run for run in _run_folders(Path(folder)) if not (run / "result.json").is_file())


def unfinished_beside(records: Sequence[RunRecord]) -> list[Path]:
    """The unfinished runs in the folders of these records, sorted; those of other data or classes are left out."""
    kinds = {(r.config.data.dataset, r.class_names) for r in records}
    folders = {r.folder.parent for r in records}
    return sorted({run for folder in folders for run in unfinished_runs(folder) if _kind(run) in kinds})


def _kind(run: Path) -> tuple[str, tuple[str, ...]] | None:
    """Data set and classes of a run; None where its config cannot be read."""
    try:
        content = read_json(run / "config.json", {**CONFIG, "run": {"data": {"dataset": str}}})
    except EarmarkError:
        return None
    return content["run"]["data"]["dataset"], tuple(content["class_names"])


def _run_folders(folder: Path) -> Iterator[Path]:
    for where, subfolders, files in os.walk(folder):
        if (Path(where) / FOLDER / FILE).is_file():
            subfolders.remove(FOLDER)  # the trials of a search are no results
        if "config.json" in files:
            subfolders.clear()
            yield Path(where)


def _read_run(folder: Path) -> RunRecord:
    try:
        return _record(folder)
    except (OSError, EarmarkError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"run {folder}: {error}; remove the folder and repeat the run") from None


def _record(folder: Path) -> RunRecord:
    content = _upgrade(read_json(folder / "config.json", CONFIG), "config.json")
    result = _upgrade(read_json(folder / "result.json", dict), "result.json")
    check_schema(result, RESULT, "result.json")
    result = NOT_TRAINED | result
    timing = folder / "timing.json"
    config = _read_config(json.dumps({**content["run"], "fold": 1, "seed": 0}))
    predictions = read_predictions(folder / "predictions.csv", content["class_names"])
    if "subsets_digest" in result and not (folder / "split.csv").is_file():
        split = _SplitFile(result["subsets_digest"], {result["reported_subset"]: frozenset(predictions.clip_ids)})
    else:
        split = _read_split((folder / "split.csv").read_bytes())
    record = RunRecord(
        folder=folder,
        config=replace(config, fold=content["run"]["fold"], seed=content["run"]["seed"]),
        id=result["id"],
        settings_id=configuration_id(config),
        class_names=tuple(content["class_names"]),
        data_fingerprint=content["data_fingerprint"],
        manifest_digest=content.get("manifest_digest", ""),
        result=result,
        timing=read_json(timing, TIMING) if timing.is_file() else {},
        subsets_digest=split.digest,
        n_train=result.get("n_train", len(split.subsets.get("train", ()))),
        n_train_groups=result.get("n_train_groups", split.n_train_groups),
        **predictions._asdict(),
    )
    _check_ranges(record)
    _check_consistent(record, split)
    return record


def _upgrade(content: Mapping[str, Any], file: str) -> dict[str, Any]:
    """The content of a file of any version in the names of `FORMAT_VERSION`."""
    version = content.get("format_version", 1)
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise RunError(f"{file}: format_version = {version!r}, and this version of earmark reads 1 to {FORMAT_VERSION}")
    if version == FORMAT_VERSION:
        return dict(content)
    renamed = {RENAMED.get(key, key): value for key, value in content.items()}
    return renamed | {"format_version": FORMAT_VERSION}


@functools.lru_cache(maxsize=64)
def _read_config(text: str) -> RunConfig:
    return run_from_dict(json.loads(text))


class _SplitFile(NamedTuple):
    digest: str
    subsets: Mapping[str, frozenset[str]]
    """Ids of the clips of each subset."""
    n_train_groups: int = 0


@functools.lru_cache(maxsize=64)
def _read_split(content: bytes) -> _SplitFile:
    """Which clip is in which subset, from the content of a split.csv."""
    header, *rows = [*csv.reader(io.StringIO(content.decode("utf-8"), newline=""))] or [[]]
    columns = [RENAMED.get(name, name) for name in header]
    missing = {"filepath", "clip_id", "subset"} - set(columns)
    if missing:
        raise RunError(f"split.csv lacks the column {min(missing)!r}")
    if any(len(row) != len(columns) for row in rows):
        raise RunError(f"split.csv has a row that has not {len(columns)} cells")
    clip, subset = columns.index("clip_id"), columns.index("subset")
    group = columns.index("group") if "group" in columns else clip
    n_groups = len({row[group] for row in rows if row[subset] == "train"})
    assigned = sorted((row[clip], row[subset]) for row in rows)
    subsets: dict[str, set[str]] = {}
    for clip_id, name in assigned:
        subsets.setdefault(name, set()).add(clip_id)
    members = {name: frozenset(ids) for name, ids in subsets.items()}
    return _SplitFile(digest(json.dumps(assigned), 64), members, n_groups)


def _check_ranges(record: RunRecord) -> None:
    """Refuse numbers that no training writes."""
    metrics = record.result["metrics"]
    for name, value in metrics.items():
        if name in RESULT["metrics"] and value is not None and not 0 <= value <= (1e6 if name == "nll" else 1 + SAME):
            raise RunError(f"result.json: metrics.{name} = {value} is out of range")
    for name in ("kept_epoch", "epochs", "n_parameters", "macs"):
        if (record.result[name] or 0) < 0:
            raise RunError(f"result.json: {name} = {record.result[name]} must be 0 or more")
    seconds = record.timing.get("train_seconds", 0.0)
    if not 0 <= seconds < 1e12:
        raise RunError(f"timing.json: train_seconds = {seconds} is out of range")


def _check_consistent(record: RunRecord, split: _SplitFile) -> None:
    """Refuse a run whose files contradict one another: a folder that was edited or mixed from two."""
    if len(set(record.clip_ids)) < len(record.clip_ids):
        raise RunError("predictions.csv has a clip in several rows")
    subset = record.result["reported_subset"]
    twice = [i for i, n in Counter(i for ids in split.subsets.values() for i in ids).items() if n > 1]
    if twice and not record.result["split"]["leaks"]:
        raise RunError(f"split.csv has clips in several subsets ({format_names(sorted(twice))})")
    differ = split.subsets.get(subset, frozenset()) ^ set(record.clip_ids)
    if differ:
        raise RunError(
            f"predictions.csv and the subset {subset!r} of split.csv differ in {len(differ)} clips "
            f"({format_names(sorted(differ))})"
        )
    chosen = record.probs[np.arange(len(record.targets)), record.predictions]
    if (chosen < record.probs.max(axis=1) - SAME).any():
        raise RunError("predictions.csv has a prediction that is not the most probable class")
    stated, found = record.result["metrics"]["accuracy"], accuracy(confusion_of(record))
    if abs(stated - found) > SAME:
        raise RunError(f"result.json: metrics.accuracy = {stated}, but predictions.csv gives {found:.6f}")
