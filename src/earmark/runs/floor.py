"""The floor under a suite: what can be scored on its test clips without any network.

Three references are scored in every fold: the most frequent class of the training subset; a logistic regression on the
mean and standard deviation of every mel bin of the images that the networks see; and a decision tree that knows the
file (length, level, codec) and not the sound. The predictions are in floor.csv in the folder of the suite, and are
computed again only where clips, labels, subsets or images have changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from earmark.analysis.floor import FLOOR_CSV, FLOOR_JSON, REFERENCES
from earmark.analysis.records import RunError, read_runs
from earmark.audio.io import AudioError, audio_info, decode
from earmark.audio.quality import measure_quality
from earmark.audit.shortcuts import facts_of
from earmark.config.sections import DataConfig
from earmark.datasets.manifest import Clip
from earmark.datasets.read import read_dataset
from earmark.features.store import Store
from earmark.runs.plan import PlannedRun, SuitePlan, data_fingerprint, data_folder, data_key, plan_data
from earmark.runs.prepare import prepare_data
from earmark.runs.probe import fit_classifier, logistic
from earmark.runtime.console import Progress, pluralize
from earmark.runtime.files import write_csv, write_json
from earmark.runtime.pool import map_tasks
from earmark.runtime.schema import SchemaError, read_json, read_table
from earmark.splits.io import SPLIT_FILE, check_split_clips, read_split
from earmark.splits.split import Split

FORMAT_VERSION = 1
PENALTIES = (0.03, 0.3, 3.0)
"""Inverse strengths of the L2 penalty that inner folds choose from."""
NO_RECORDINGS = "ready-made images have no recordings to measure"
FLOOR_SCHEMA = {"format_version": int, "fingerprints": {str: str}, "missing": {str: str}}
COLUMNS = ("fold", "clip_id", "label", *REFERENCES)
Row = tuple[str, ...]
"""The cells of `COLUMNS`; a reference that is not available is empty."""


def update_floor(plan: SuitePlan, folder: Path, jobs: int = 0) -> dict[str, str]:
    """Score the references in the folds of a suite that have changed, and write floor.csv and floor.json.

    Args:
        plan: the references see the images of its first run, which are made where they are missing, and are fitted on
            the training subsets of runs with its split, not on those of points of learning curves.
        folder: that of the suite.
        jobs: threads; 0 takes one per core.

    Returns:
        Why each reference that is missing is missing.
    """
    runs = {run.config.fold: run for run in reversed(plan.runs) if run.config.split == plan.runs[0].config.split}
    known, rows, missing = _read(folder)
    todo = {fold: run for fold, run in runs.items() if known.get(str(fold)) != run.fingerprint}
    if not todo:
        return missing
    Progress().line(f"scoring references without a network on {pluralize(len(todo), 'fold')}")
    first = plan.runs[0]
    data = plan.data_of(first)
    prepare_data(first.config, data, jobs)
    bands = _band_statistics(data.clips, data.store, jobs)
    facts, reason = (None, NO_RECORDINGS) if first.config.data.images else file_facts(data.clips, jobs)
    still = set(map(int, known)) - set(todo)
    kept = [row for row in rows if int(row[0]) in still]
    made = [row for run in todo.values() for row in _score_fold(run, data.clips, bands, facts)]
    missing = {"shortcuts": reason} if facts is None else {}
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / FLOOR_CSV, [COLUMNS, *sorted([*kept, *made], key=lambda row: (int(row[0]), row[1]))])
    fingerprints = known | {str(fold): run.fingerprint for fold, run in todo.items()}
    write_json(
        folder / FLOOR_JSON, {"format_version": FORMAT_VERSION, "fingerprints": fingerprints, "missing": missing}
    )
    return missing


def plan_of_runs(folder: Path, manifest: Path | None, work: Path, sample_rate: int = 0) -> SuitePlan:
    """Finished runs of one folder as a plan whose floor can be scored.

    Where the training subset of imported runs is not known, the references are fitted on all clips that are not tested.

    Args:
        folder: the runs.
        manifest: lists their recordings; imported runs need it, others know where theirs were.
        work: where the images are kept; those of imported runs are made with the default front end.
        sample_rate: of the images of imported runs, in Hz; 0 takes that of the recordings.

    Raises:
        EarmarkError: the runs are in several folders, or do not name their clips; or these are not in the manifest.
    """
    records = read_runs(folder)
    parents = sorted({str(run.folder.parent) for run in records})
    if len(parents) > 1:
        raise RunError(f"{folder}: has runs in {len(parents)} folders; give one of them, such as {parents[0]}")
    config = records[0].config
    for run in records:
        if not (run.folder / SPLIT_FILE).is_file():
            raise RunError(f"{run.folder}: without {SPLIT_FILE} its training clips are not known; there is no floor")
    if manifest is None and (records[0].imported or not config.data.root):
        reason = "were imported" if records[0].imported else "do not say where their recordings are"
        raise RunError(f"{folder}: its runs {reason}; give their manifest with --clips")
    if sample_rate and records[0].imported:
        config = replace(config, front_end=replace(config.front_end, sample_rate=sample_rate))
    if manifest:
        config = replace(config, data=DataConfig(dataset="manifest", root=str(manifest)))
    remedy = "give the manifest of these runs with --clips"
    clips = read_dataset(config.data, "" if manifest else remedy)
    for run in records:
        check_split_clips(run.folder, clips, remedy)
    data = plan_data(config, clips, data_folder(config.data, work))
    runs = []
    for run in records:
        own = replace(config, split=run.config.split, fold=run.config.fold, variant=run.variant, seed=run.config.seed)
        split = read_split(run.folder)
        if not split.train:
            raise RunError(f"{run.folder}: names no training clips, on which references are fitted; there is no floor")
        runs.append(PlannedRun(own, split, data_fingerprint(own, data, split), run.id, run.folder))
    return SuitePlan(tuple(runs), {data_key(config): data})


def _read(folder: Path) -> tuple[dict[str, str], list[Row], dict[str, str]]:
    """Fingerprints of the folds that are scored, their rows, and what is missing; nothing of an unusable file."""
    try:
        content = read_json(folder / FLOOR_JSON, FLOOR_SCHEMA)
        rows = [tuple(row[name] for name in COLUMNS) for row in read_table(folder / FLOOR_CSV, COLUMNS)]
    except SchemaError:
        return {}, [], {}
    numbers = [*content["fingerprints"], *(row[0] for row in rows)]
    if content["format_version"] != FORMAT_VERSION or not all(n.isdecimal() and len(n) < 10 for n in numbers):
        return {}, [], {}
    return content["fingerprints"], rows, content["missing"]


def band_statistics(image_FT: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time of each mel bin of an image, uint8 (F, T), as float64 (2F,) in [0, 1]."""
    image = image_FT.astype(np.float64) / 255
    return np.concatenate([image.mean(axis=1), image.std(axis=1)])


def _band_statistics(clips: Sequence[Clip], store: Store, jobs: int) -> dict[str, np.ndarray]:
    ids = [clip.clip_id for clip in clips]
    return dict(zip(ids, map_tasks(lambda clip_id: band_statistics(store.read(clip_id)), ids, jobs), strict=True))


def file_facts(clips: Sequence[Clip], jobs: int) -> tuple[dict[str, np.ndarray] | None, str]:
    """Numbers that describe the file of each clip, by clip id, or None and the reason why not."""
    try:
        found = list(map_tasks(_facts_of_clip, clips, jobs))
    except AudioError as error:
        return None, str(error)
    columns = [np.unique(np.array(column), return_inverse=True)[1] for column in zip(*found, strict=True)]
    return dict(zip([clip.clip_id for clip in clips], np.column_stack(columns), strict=True)), ""


def _facts_of_clip(clip: Clip) -> tuple[float | str, ...]:
    samples_NC, rate = decode(clip.path)
    return facts_of(measure_quality(samples_NC, rate), audio_info(clip.path)).features()


def _score_fold(
    run: PlannedRun, clips: Sequence[Clip], bands: Mapping[str, np.ndarray], facts: Mapping[str, np.ndarray] | None
) -> list[Row]:
    predictions = predict_references(run.split, clips, bands, facts)
    label_of = {clip.clip_id: clip.label for clip in clips}
    tested = run.split.reported
    columns = [predictions.get(name, [""] * len(tested)) for name in REFERENCES]
    return [
        (str(run.config.fold), clip_id, label_of[clip_id], *labels)
        for clip_id, *labels in zip(tested, *columns, strict=True)
    ]


def predict_references(
    split: Split, clips: Sequence[Clip], bands: Mapping[str, np.ndarray], facts: Mapping[str, np.ndarray] | None
) -> dict[str, list[str]]:
    """The labels that each reference, fitted on the training subset alone, predicts for the reported clips.

    Args:
        split: of one fold.
        clips: the manifest.
        bands: `band_statistics` of each clip.
        facts: numbers that describe the file of each clip; None leaves that reference out.
    """
    by_id = {clip.clip_id: clip for clip in clips}
    train = [by_id[clip_id] for clip_id in split.train]
    tested = split.reported
    labels, groups = [clip.label for clip in train], [clip.group for clip in train]
    majority = min(Counter(labels).items(), key=lambda item: (-item[1], item[0]))[0]
    found = {"majority": [majority] * len(tested)}
    if len(set(labels)) < 2:
        return found | {name: [majority] * len(tested) for name in ("band_statistics", *["shortcuts"] * bool(facts))}
    create = {penalty: partial(logistic, penalty) for penalty in PENALTIES}
    model, _ = fit_classifier(create, _rows(bands, split.train), np.array(labels), groups)
    found["band_statistics"] = model.predict(_rows(bands, tested)).tolist()
    if facts is not None:
        tree = _tree(len(set(labels))).fit(_rows(facts, split.train), labels)
        found["shortcuts"] = tree.predict(_rows(facts, tested)).tolist()
    return found


def _rows(values: Mapping[str, np.ndarray], clip_ids: Sequence[str]) -> np.ndarray:
    return np.array([values[clip_id] for clip_id in clip_ids])


def _tree(n_classes: int) -> Any:
    """The decision tree of the audit's shortcuts."""
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(
        max_leaf_nodes=4 * n_classes, min_samples_leaf=3, class_weight="balanced", random_state=0
    )
