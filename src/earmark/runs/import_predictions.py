"""Predictions of any tool as finished run folders, judged beside the runs that earmark trained.

`read_prediction_table` (`earmark.runs.prediction_table`) reads a table, `import_predictions` checks its runs against
the manifest and writes their folders. Nothing is trained. A run with test clips missing is refused, and they are named.
"""

from __future__ import annotations

import json
import tempfile
import typing
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

import earmark
from earmark.analysis.comparable import check_comparable
from earmark.analysis.ledger import (
    REPEATED,
    digest_predictions,
    imported_configuration,
    model_configuration,
    record_look,
)
from earmark.analysis.metrics import OF_PROBABILITIES, score, score_labels
from earmark.analysis.predictions import write_predictions
from earmark.analysis.records import FORMAT_VERSION, RunError, read_runs
from earmark.config.sections import DataConfig, SplitConfig, check_setting
from earmark.config.suite import RunConfig, to_dict
from earmark.config.variants import check_name
from earmark.datasets.manifest import Clip, class_names, manifest_digest
from earmark.runs.check_predictions import (
    check_complete,
    check_labels,
    check_splits,
    splits_of_folds,
    warn_of_missing,
    warn_of_ties,
    with_missing,
)
from earmark.runs.exchanged_classes import warn_of_exchanged_classes
from earmark.runs.prediction_table import PredictedRun, PredictionTableError
from earmark.runtime.files import digest, write_bytes, write_json
from earmark.runtime.names import nfc, run_name
from earmark.runtime.schema import SchemaError, read_json
from earmark.splits.io import write_split
from earmark.splits.split import Split, check_split

SelectedOn = Literal["none", "valid", "unknown"]
RESULT = "result.json"
KINDS = typing.get_args(typing.get_type_hints(SplitConfig)["kind"])


class ScoredModel(NamedTuple):
    """A model that was scored on the clips."""

    checksum: str
    """Of its weights."""
    answers: str
    """Stands for all that decides its answers: calibration and precision, too."""
    files_checked: bool
    """Whether the files of the clips were compared with those that it was trained on."""
    test_audio: tuple[str, ...]
    """A digest of the file of each clip, in the order of the run's clips."""
    repeated: bool = False
    """Whether the ledger has a run of these weights on the same files."""


def import_predictions(
    runs: Sequence[PredictedRun],
    clips: Sequence[Clip],
    folder: Path,
    *,
    splits: Mapping[int, Split] | None = None,
    waiver: str = "",
    selected_on: SelectedOn = "unknown",
    names: Sequence[str] = (),
    missing: str = "",
    model: ScoredModel | None = None,
) -> list[Path]:
    """Write one finished run folder per run into `folder`, named as the comparison; returns the run folders.

    Args:
        runs: what `read_prediction_table` returned, of any number of tables.
        clips: the manifest.
        splits: by fold, where the runs are of folds that the manifest does not know. One without training clips
            does not say what they trained on: the runs are of networks as they are.
        waiver: name of a published exception to group-disjointness.
        selected_on: what the tool chose its epoch or hyperparameters on; `unknown` is marked in every table.
        names: the classes of the predictions, where the clips are not of all of them.
        missing: the class that test clips without a prediction count as; without it they are refused.
        model: whose predictions they are, where it was scored here.

    Raises:
        PredictionTableError: a run is incomplete, or `folder` has other predictions of the same variant, fold and
            seed, or runs that could not be in one table with these.
        LeakageError: a group is in two subsets of a split, or without `splits` in the test clips of two folds.
    """
    check_setting(selected_on in typing.get_args(SelectedOn), "selected_on", selected_on, "give none, valid or unknown")
    names, missing = tuple(names) or class_names(clips), nfc(missing)
    choice = {"selected_on": selected_on, **_training(splits, model), **({"missing": missing} if missing else {})}
    check_setting(not waiver or splits is None, "waiver", waiver, "leave it out: the split has its own, if any")
    splits = splits_of_folds(runs, clips, waiver) if splits is None else splits
    runs = _checked(runs, clips, splits, names, missing)
    ids = [run_identity(run, clips, model) for run in runs]
    _check_free(runs, ids, folder)
    warn_of_exchanged_classes(runs, clips, names)
    warn_of_ties(runs)
    data = _data(clips, names)
    with tempfile.TemporaryDirectory() as elsewhere:
        made = Path(elsewhere, folder.name)
        for run, identity in zip(runs, ids, strict=True):
            _write_run(run, identity, splits[run.fold], clips, made, folder, data, choice)
        _check_beside(made, folder)
        identified = zip(runs, ids, strict=True)
        return [_put_in_place(run, i, splits[run.fold], made, folder, names, model) for run, i in identified]


def _data(clips: Sequence[Clip], names: Sequence[str]) -> dict[str, Any]:
    """What config.json says of the classes and the manifest."""
    return {
        "class_names": names,
        "data_fingerprint": digest(json.dumps(sorted((c.clip_id, c.label, c.group) for c in clips))),
        "manifest_digest": manifest_digest(clips),
        "earmark": earmark.__version__,
    }


def _checked(
    runs: Sequence[PredictedRun],
    clips: Sequence[Clip],
    splits: Mapping[int, Split],
    names: Sequence[str],
    missing: str,
) -> Sequence[PredictedRun]:
    """The runs, each with a prediction of all test clips of its fold."""
    check_labels(names, clips)
    check_splits(splits, clips)
    for split in splits.values():
        check_split(split, clips)
    if missing:
        runs = [with_missing(run, splits, names.index(missing)) for run in runs]
    warn_of_missing(runs, clips, splits, missing)
    check_complete(runs, splits)
    return runs


def _check_beside(written: Path, folder: Path) -> None:
    """Refuse runs, written elsewhere, that could not be in one table with each other and with those of the folder."""
    records = [replace(record, folder=folder / record.folder.name) for record in read_runs(written)]
    new = {record.folder for record in records}
    there = read_runs(folder) if any(folder.glob("*/result.json")) else []
    try:
        check_comparable([*(record for record in there if record.folder not in new), *records])
    except RunError as error:
        remedy = "give another folder, or correct what differs" if there else "correct what differs"
        raise PredictionTableError(
            f"output = {str(folder)!r}: the runs could not be compared; {remedy} ({error})"
        ) from None


def _training(splits: Mapping[int, Split] | None, model: ScoredModel | None) -> dict[str, Any]:
    """What result.json says of the training of a model."""
    known = splits is not None and all(split.train for split in splits.values())
    said: dict[str, Any] = {"training_subset_known": known, "fixed_model": splits is not None and not known}
    if model:
        said |= {"model_checksum": model.checksum, "model_answers": model.answers}
        said["training_files_checked"] = model.files_checked
    return said


def folder_of_run(run: PredictedRun, clips: Sequence[Clip], folder: Path, model: ScoredModel) -> Path:
    """Where `import_predictions` writes the run of a model, which is known before anything is predicted.

    Raises:
        PredictionTableError: `folder` has another run of the same variant, or of the same weights in another form.
    """
    identity = run_identity(run, clips, model)
    _check_free([run], [identity], folder)
    target = folder / _folder_name(run, identity)
    try:
        finished = (target / RESULT).is_file()
        other = finished and read_json(target / RESULT, {"model_answers": str})["model_answers"] != model.answers
    except SchemaError as error:
        raise PredictionTableError(f"{target}: {error}; remove that folder") from None
    if other:
        raise PredictionTableError(
            f"{target}: is of the same weights, calibrated, rounded or exported otherwise; give --variant NEW, or "
            "remove that folder"
        )
    return target


def run_identity(run: PredictedRun, clips: Sequence[Clip], model: ScoredModel | None) -> str:
    """Ten hex digits that stand for the predictions, or the model that makes them, and the labels of the clips."""
    label_of = {clip.clip_id: (clip.label, clip.group) for clip in clips}
    rows = [(clip_id, *label_of[clip_id]) for clip_id in run.clip_ids]
    if model:
        return digest(json.dumps([model.checksum, rows, model.test_audio]), 10)
    probs = None if run.probs is None else run.probs.round(9).tolist()
    return digest(json.dumps([run.variant, run.fold, run.seed, rows, run.predicted.tolist(), probs]), 10)


def _check_free(runs: Sequence[PredictedRun], ids: Sequence[str], folder: Path) -> None:
    """Refuse names that no folder can have, and two runs of one variant, fold and seed, in the tables or on disk."""
    check_name(folder.name, "output")
    for variant in dict.fromkeys(run.variant for run in runs):
        check_name(variant, "variant")
    seen: set[str] = set()
    for run, identity in zip(runs, ids, strict=True):
        if run.name in seen:
            raise PredictionTableError(f"{run.name}: is in two tables; give each its own variant, fold or seed")
        seen.add(run.name)
        there = [path for path in folder.glob(_folder_name(run)) if path.name != _folder_name(run, identity)]
        if there:
            raise PredictionTableError(
                f"{run.name}: {there[0]} has other predictions of it; remove that folder, or give another variant"
            )


def _folder_name(run: PredictedRun, identity: str = "*") -> str:
    return run_name(run.variant, run.fold, run.seed, identity)


def _write_run(
    run: PredictedRun,
    identity: str,
    split: Split,
    clips: Sequence[Clip],
    made: Path,
    folder: Path,
    data: Mapping[str, Any],
    choice: Mapping[str, Any],
) -> None:
    """Write the files of a run into a temporary folder.

    Args:
        made: the temporary folder of all runs.
        folder: where they will be, from which the paths of the recordings are relative.
        data: what config.json says of the classes and the manifest.
        choice: what result.json says of how the model was chosen and trained.
    """
    by_id, names = {clip.clip_id: clip for clip in clips}, data["class_names"]
    tested = [by_id[clip_id] for clip_id in run.clip_ids]
    name = _folder_name(run, identity)
    config = replace(
        RunConfig(name=folder.name, variant=run.variant, fold=run.fold, seed=run.seed),
        data=DataConfig(dataset="manifest"),
        split=SplitConfig(kind=split.kind if split.kind in KINDS else "files", waiver=split.waiver),  # type: ignore[arg-type]
    )
    shared = {"format_version": FORMAT_VERSION, "id": identity, "imported": True}
    write_json(made / name / "config.json", {**shared, "run": to_dict(config), **data})
    write_split(split, clips, made / name, folder / name)
    write_predictions(made / name / "predictions.csv", tested, names, run.predicted.tolist(), run.probs)
    scores = _scores(run, np.array([names.index(clip.label) for clip in tested]), names)
    write_json(made / name / RESULT, {**shared, **_result(run, split, folder.name), **choice, **scores})


def _put_in_place(
    run: PredictedRun,
    identity: str,
    split: Split,
    made: Path,
    folder: Path,
    names: Sequence[str],
    model: ScoredModel | None,
) -> Path:
    """Copy the files of a run from the temporary folder; the ledger has the look before there is a result.json."""
    name = _folder_name(run, identity)
    target = folder / name
    for file in sorted((made / name).iterdir(), key=lambda file: file.name == RESULT):
        if file.name == RESULT and not (target / RESULT).is_file():
            _record(run, target, identity, split, model, names)
        write_bytes(target / file.name, file.read_bytes())
    return target


def _scores(run: PredictedRun, targets_N: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """The scores of the predicted labels, of which a table may name one of several equally probable classes."""
    scores = score_labels(run.predicted, targets_N, names)
    of_probs = {} if run.probs is None else score(run.probs, targets_N, names)["metrics"]
    scores["metrics"] |= {name: value for name, value in of_probs.items() if name in OF_PROBABILITIES}
    return scores


def _record(
    run: PredictedRun, target: Path, identity: str, split: Split, model: ScoredModel | None, names: Sequence[str]
) -> None:
    """Append the run to the ledger before its score is written."""
    record_look(
        target,
        event=REPEATED if model and model.repeated else "imported",
        suite=target.parent.name,
        variant=run.variant,
        fold=run.fold,
        seed=run.seed,
        configuration=model_configuration(model.checksum) if model else imported_configuration(run.variant),
        run=identity,
        test_clips=run.clip_ids,
        all_clips={clip_id for ids in split.subsets().values() for clip_id in ids},
        test_audio=model.test_audio if model else (),
        predictions=digest_predictions(run.clip_ids, [names[k] for k in run.predicted], run.probs),
    )


def _result(run: PredictedRun, split: Split, name: str) -> dict[str, Any]:
    """What result.json says of the run besides its scores."""
    return {
        "name": name,
        "variant": run.variant,
        "fold": run.fold,
        "seed": run.seed,
        "reported_subset": split.reported_subset,
        "n_clips": len(run.clip_ids),
        "n_unanswered": len(run.unanswered),
        "split": split.description(),
    }
