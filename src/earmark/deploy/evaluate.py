"""Score a model on labeled recordings that are new to it: one finished run, read by tables, comparisons and reports.

The digests of the files that trained a model are stored with it, so that the recordings of a score can be compared with
them.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from earmark.analysis.classes import Share, difference_interval
from earmark.analysis.verdicts import points
from earmark.datasets.manifest import Clip, has_groups
from earmark.deploy.info import DeployError, ExpectedScore
from earmark.deploy.model import Model, load
from earmark.deploy.predict import predict
from earmark.runs.import_predictions import ScoredModel, folder_of_run, import_predictions
from earmark.runs.prediction_table import PredictedRun
from earmark.runtime.console import format_names, pluralize, progress_bar
from earmark.runtime.files import digest, file_digest
from earmark.runtime.names import name_problem
from earmark.splits.split import Leak, LeakageError, Split

LOG = logging.getLogger("earmark")
FOLD, SEED = 1, 0
"""Of the run: all recordings are tested, once."""


Known = Literal["refuse", "skip", "flag"]
"""What is done with recordings that trained the model."""


class Evaluated(NamedTuple):
    """What was written, and what the model said before."""

    run: Path
    """The folder of the run."""
    expected: ExpectedScore | None
    """The score that the model names; None where it names none."""
    skipped: tuple[str, ...]
    """Ids of the clips that were left out, as they trained the model."""


def evaluate(
    path: Path,
    clips: Sequence[Clip],
    folder: Path,
    variant: str = "",
    *,
    known: Known = "refuse",
    device: str = "auto",
) -> Evaluated:
    """Write the run of a model on labeled recordings; does nothing for a finished one.

    Each recording is one answer of `Model.predict`; the classes are those of the model, so that answers with a class
    that no recording has are wrong.

    Args:
        path: the model, as `earmark.load` takes it.
        clips: the recordings; their labels are classes of the model.
        folder: of the runs of one comparison; the run's folder is made in it.
        variant: name of the model in tables; by default that of its file or folder.
        known: what is done with recordings that trained the model: `refuse`, `skip` them and score the others, or
            score all and `flag` the run.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        LeakageError: recordings have trained the model.
        EarmarkError: the model cannot be used, a label is none of its classes, or a recording cannot be read.
    """
    model = load(path, device)
    _check_labels(model.class_names, clips)
    audio = {clip.clip_id: _digest(clip) for clip in clips}
    trained = _trained(path, model, audio, known)
    skipped = tuple(trained) if known == "skip" else ()
    clips = sorted((clip for clip in clips if clip.clip_id not in skipped), key=lambda clip: clip.clip_id)
    ids = tuple(clip.clip_id for clip in clips)
    scored = _scored(path, model, [audio[clip_id] for clip_id in ids])
    run = PredictedRun(variant or default_variant(path), FOLD, SEED, ids, np.empty(0), None)
    target = folder_of_run(run, clips, folder, scored)
    if not (target / "result.json").is_file():
        probs_NK = _probabilities(model, clips)
        run = replace(run, predicted=probs_NK.argmax(axis=1), probs=probs_NK)
        leaks = tuple(str(Leak("clip", clip_id, ("train", "test"))) for clip_id in trained if known == "flag")
        groups = "declared" if has_groups(clips) else "none"
        splits = {FOLD: Split((), (), ids, "files", FOLD, leaks=leaks, groups=groups)}
        names = tuple(sorted(model.class_names))
        import_predictions([run], clips, folder, splits=splits, selected_on="none", names=names, model=scored)
    return Evaluated(target, model.info.expected_score, skipped)


def compare_with_expected(expected: ExpectedScore, value: float, low: float | None, high: float | None) -> str:
    """Whether a score on new recordings is the one that was measured when the model was built, in one sentence."""
    text = f"When it was built: {expected.sentence()}."
    if None in (low, high, expected.low, expected.high):
        return text
    ends = difference_interval(Share(value, low, high), Share(expected.value, expected.low, expected.high))
    verdict = "higher" if ends[0] > 0 else "lower" if ends[1] < 0 else "not shown to differ"
    interval = f"95 % interval {points(ends[0], signed=True)} to {points(ends[1], signed=True)}"
    change = points(value - expected.value, signed=True)
    return f"{text} On these recordings it is {verdict}: {change} points ({interval})."


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


def _trained(path: Path, model: Model, audio: Mapping[str, str], known: Known) -> list[str]:
    """The clips whose files have trained the model.

    Raises:
        LeakageError: there are some and they are refused, or nothing else is left to score.
    """
    digests = set(model.info.recordings)
    if not digests:
        LOG.warning("%s does not hold the digests of its training recordings, so they cannot be kept out", path)
    found = sorted(clip_id for clip_id, digest in audio.items() if digest in digests)
    if found and (known == "refuse" or (known == "skip" and len(found) == len(audio))):
        raise LeakageError(
            f"{path} was trained on {pluralize(len(found), 'recording')} of {len(audio)}: {format_names(found)}; "
            "--known skip scores the others, --known flag all of them, and flags the result"
        )
    return found


def _digest(clip: Clip) -> str:
    try:
        return file_digest(clip.path)
    except OSError as error:
        raise DeployError(f"{clip.path}: cannot be read ({error.strerror}); correct the manifest") from None


def _scored(path: Path, model: Model, test_audio: Sequence[str]) -> ScoredModel:
    exported = file_digest(path) if path.is_file() else ""  # a graph of the same weights can have another precision
    answers = digest(json.dumps([model.info.to_json(), exported]))
    return ScoredModel(model.info.checksum, answers, bool(model.info.recordings), tuple(test_audio))


def _probabilities(model: Model, clips: Sequence[Clip]) -> np.ndarray:
    """The answers for the clips, (N, K) over the sorted class names.

    Raises:
        DeployError: a recording cannot be read.
    """
    answers = predict(model, [clip.path for clip in clips])
    rows = []
    for prediction in progress_bar(answers, "evaluate", len(clips), "clip"):
        if prediction.answer is None:
            raise DeployError(f"{prediction.error}; nothing was written (`earmark validate` lists all such files)")
        rows.append(prediction.answer.probs)
    return np.stack(rows)[:, np.argsort(model.class_names)]
