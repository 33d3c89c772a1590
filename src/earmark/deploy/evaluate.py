"""Score a model on labeled recordings that are new to it: one finished run, read by tables, comparisons and reports.

The digests of the files that trained a model are stored with it, so that the recordings of a score can be compared with
them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from earmark.datasets.manifest import Clip, has_groups
from earmark.deploy.info import DeployError, ExpectedScore
from earmark.deploy.model import Model, load
from earmark.deploy.predict import predict
from earmark.runs.import_predictions import import_predictions
from earmark.runs.prediction_table import PredictedRun
from earmark.runtime.console import format_names, pluralize, progress_bar
from earmark.runtime.files import file_digest
from earmark.runtime.names import name_problem
from earmark.splits.split import Leak, LeakageError, Split

LOG = logging.getLogger("earmark")
FOLD, SEED = 1, 0
"""Of the run: all recordings are tested, once."""


class Evaluated(NamedTuple):
    """What was written, and what the model said before."""

    run: Path
    """The folder of the run."""
    expected: ExpectedScore | None
    """The score that the model names; None where it names none."""


def evaluate(
    path: Path,
    clips: Sequence[Clip],
    folder: Path,
    variant: str = "",
    *,
    allow_leakage: bool = False,
    device: str = "auto",
) -> Evaluated:
    """Write the run of a model on labeled recordings.

    Each recording is one answer of `Model.predict`; the classes are those of the model, so that answers with a class
    that no recording has are wrong.

    Args:
        path: the model, as `earmark.load` takes it.
        clips: the recordings; their labels are classes of the model.
        folder: of the runs of one comparison; the run's folder is made in it.
        variant: name of the model in tables; by default that of its file or folder.
        allow_leakage: score recordings that trained the model as well, and flag the run.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        LeakageError: recordings have trained the model.
        EarmarkError: the model cannot be used, a label is none of its classes, or a recording cannot be read.
    """
    model = load(path, device)
    variant = variant or default_variant(path)
    _check_labels(model.class_names, clips)
    trained = _trained_on(model, clips)
    if trained and not allow_leakage:
        raise LeakageError(
            f"{path} was trained on {pluralize(len(trained), 'recording')} of {len(clips)}: {format_names(trained)}; "
            "take them out of the manifest, or give --allow-leakage, which flags the result"
        )
    if not model.info.recordings:
        LOG.warning("%s does not say which recordings it was trained on, so nothing keeps them out of its test", path)
    run = _predicted(model, clips, variant)
    leaks = tuple(str(Leak("clip", clip_id, ("train", "test"))) for clip_id in trained)
    split = Split((), (), run.clip_ids, "files", FOLD, leaks=leaks, groups="declared" if has_groups(clips) else "none")
    (target,) = import_predictions(
        [run],
        clips,
        folder,
        splits={FOLD: split},
        selected_on="none",
        names=model.class_names,
        files_checked=bool(model.info.recordings),
    )
    return Evaluated(target, model.info.expected_score)


def default_variant(path: Path) -> str:
    """The name of a model's file or folder, where a variant can have it; else `model`."""
    name = path.stem if path.suffix in (".onnx", ".safetensors") else path.resolve().name
    return "model" if name_problem(name) else name


def _check_labels(names: Sequence[str], clips: Sequence[Clip]) -> None:
    counts = Counter(clip.label for clip in clips if clip.label not in names)
    if counts:
        found = format_names([f"{label} ({pluralize(n, 'clip')})" for label, n in counts.items()])
        raise DeployError(
            f"label {found}: not a class of the model, which knows {format_names(names)}; rename or leave them out "
            "with `earmark join`"
        )


def _trained_on(model: Model, clips: Sequence[Clip]) -> list[str]:
    """The clips whose files are, byte by byte, among those that trained the model.

    Raises:
        DeployError: a file cannot be read.
    """
    known, found = set(model.info.recordings), []
    for clip in clips:
        try:
            if file_digest(clip.path) in known:
                found.append(clip.clip_id)
        except OSError as error:
            raise DeployError(f"{clip.path}: cannot be read ({error.strerror}); correct the manifest") from None
    return found


def _predicted(model: Model, clips: Sequence[Clip], variant: str) -> PredictedRun:
    """The answers for all clips, sorted by clip id.

    Raises:
        DeployError: a recording cannot be read.
    """
    ordered = sorted(clips, key=lambda clip: clip.clip_id)
    answers = predict(model, [clip.path for clip in ordered])
    rows = []
    for prediction in progress_bar(answers, "evaluate", len(ordered), "clip"):
        if prediction.answer is None:
            raise DeployError(f"{prediction.error}; nothing was written (`earmark validate` lists all such files)")
        rows.append(prediction.answer.probs)
    probs_NK = np.stack(rows)
    ids = tuple(clip.clip_id for clip in ordered)
    return PredictedRun(variant, FOLD, SEED, ids, probs_NK.argmax(axis=1), probs_NK)
