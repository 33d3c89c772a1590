"""Score a model on labeled recordings that are new to it: one finished run, read by tables, comparisons and reports.

The digests of the files that trained a model are stored with it, so that the recordings of a score can be compared with
them.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from earmark.analysis.classes import Share, difference_interval, score_as_it_is
from earmark.analysis.compare import COMPARED
from earmark.analysis.ledger import FILE, digest_names, read_ledger
from earmark.analysis.records import RunRecord, read_runs
from earmark.analysis.verdicts import points
from earmark.config.suite import to_dict
from earmark.datasets.manifest import Clip, has_groups
from earmark.deploy.info import DeployError, ExpectedScore, ModelInfo
from earmark.deploy.model import Model, load
from earmark.deploy.predict import predict
from earmark.runs.import_predictions import ScoredModel, folder_of_run, import_predictions, run_identity
from earmark.runs.known_names import warn_of_known_names
from earmark.runs.prediction_table import PredictedRun
from earmark.runtime.console import format_names, pluralize, progress_bar
from earmark.runtime.files import digest, file_digest
from earmark.runtime.names import RUN_NAME, name_problem, run_name
from earmark.splits.split import Leak, LeakageError, Split
from earmark.training.checkpoint_files import CheckpointError, checkpoint_of, run_folder

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

    @property
    def metric(self) -> str:
        """The metric of the score that the model names; empty where models are not compared by it."""
        return self.expected.metric if self.expected and self.expected.metric in COMPARED else ""


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
        variant: name of the model in tables; by default the variant of a run folder, or the name of the file or folder.
        known: what is done with recordings that trained the model: `refuse`, `skip` them and score the others, or
            score all and `flag` the run.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        LeakageError: recordings have trained the model.
        EarmarkError: the model cannot be used, a label is none of its classes, or a recording cannot be read.
    """
    model = load(path, device)
    _check_clips(model.class_names, clips)
    folder = folder if folder.name else folder.resolve()
    audio = {clip.clip_id: _digest(clip) for clip in clips}
    trained = _trained(path, model, audio, known)
    skipped = tuple(trained) if known == "skip" else ()
    clips = sorted((clip for clip in clips if clip.clip_id not in skipped), key=lambda clip: clip.clip_id)
    warn_of_known_names(path, [clip for clip in clips if clip.clip_id not in trained])
    ids = tuple(clip.clip_id for clip in clips)
    scored = _scored(path, model, [audio[clip_id] for clip_id in ids], folder.parent / FILE)
    run = PredictedRun(variant, FOLD, SEED, ids, np.empty(0), None)
    run = run if variant else replace(run, variant=_default_variant(path, folder, run_identity(run, clips, scored)))
    names = tuple(sorted(model.class_names))
    target = folder_of_run(run, clips, folder, scored)
    _check_beside(folder, names, clips)
    if not (target / "result.json").is_file():
        probs_NK = _probabilities(model, clips)
        run = replace(run, predicted=probs_NK.argmax(axis=1), probs=probs_NK)
        leaks = tuple(str(Leak("clip", clip_id, ("train", "test"))) for clip_id in trained if known == "flag")
        groups = "declared" if has_groups(clips) else "none"
        splits = {FOLD: Split((), (), ids, "files", FOLD, leaks=leaks, groups=groups)}
        import_predictions([run], clips, folder, splits=splits, selected_on="none", names=names, model=scored)
    return Evaluated(target, model.info.expected_score, skipped)


def compare_with_expected(expected: ExpectedScore, record: RunRecord) -> str:
    """Whether a score on new recordings is the one that was measured when the model was built, in one or two sentences.

    A score that is flagged, as some of the recordings trained the model, is not compared.

    Args:
        expected: what the model says.
        record: its run on the new recordings.
    """
    text = f"When it was built: {expected.sentence()}."
    if leaks := record.result["split"]["leaks"]:
        n_trained = f"{len(leaks)} of {pluralize(len(record.targets), 'recording')}"
        return f"{text} The score on these recordings is not compared with it: {n_trained} trained the model."
    if expected.metric not in COMPARED or expected.low is None or expected.high is None:
        return f"{text} It has no interval to compare with; a model of `earmark finalize` has one."
    if expected.metric == "uar" and len(set(record.targets.tolist())) < len(record.class_names):
        return f"{text} The average recall of fewer classes is another quantity and is not compared with it."
    now = score_as_it_is(record, expected.metric)
    if now.low is None:
        return text
    low, high = difference_interval(now, Share(expected.value, expected.low, expected.high))
    verdict = "higher" if low > 0 else "lower" if high < 0 else "not shown to differ"
    change = points(now.value - expected.value, signed=True)
    interval = f"95 % interval {points(low, signed=True)} to {points(high, signed=True)}"
    mix = "; the classes may be in other proportions" if expected.metric == "accuracy" else ""
    return f"{text} On these recordings it is {verdict}: {change} points ({interval}{mix})."


def _default_variant(path: Path, folder: Path, identity: str) -> str:
    """The variant of a run folder, unless another model has this name here; else the name of the file or folder.

    Args:
        path: the model.
        folder: of the runs of the comparison; a run of this model that is there keeps its name.
        identity: that of its run.
    """
    name = path.stem if path.suffix in (".onnx", ".safetensors") else run_folder(path).resolve().name
    name = "model" if name_problem(name) else name
    trained = RUN_NAME.fullmatch(name)
    names = (trained["variant"], name) if trained else (name,)
    there = {name: [run.name for run in folder.glob(run_name(name, FOLD, SEED))] for name in names}
    own = [name for name, runs in there.items() if run_name(name, FOLD, SEED, identity) in runs]
    return (own or [name for name, runs in there.items() if not runs] or names)[0]


def _check_clips(names: Sequence[str], clips: Sequence[Clip]) -> None:
    ids = Counter(clip.clip_id for clip in clips)
    twice = [clip_id for clip_id, n in ids.items() if n > 1]
    if not clips or twice:
        problem = f"clip {format_names(twice)} is there twice" if twice else "there is none"
        raise DeployError(f"clips: {problem}; give each recording once, with an id of its own")
    counts = Counter(clip.label for clip in clips if clip.label not in names)
    if counts:
        found = format_names([f"{label} ({pluralize(n, 'clip')})" for label, n in counts.items()])
        raise DeployError(
            f"label {found}: not a class of the model, which knows {format_names(names)}; rename or leave them out "
            "with `earmark join`"
        )


def _check_beside(folder: Path, names: Sequence[str], clips: Sequence[Clip]) -> None:
    """Refuse, before anything is predicted, a folder whose runs could not be in one table with this one."""
    wanted = [(clip.clip_id, clip.group, clip.label) for clip in clips]
    for record in read_runs(folder) if any(folder.glob("*/result.json")) else ():
        labels = [record.class_names[k] for k in record.targets]
        present = list(zip(record.clip_ids, record.groups, labels, strict=True))
        if (record.config.fold, record.class_names, present) != (FOLD, names, wanted):
            raise DeployError(
                f"output = {str(folder)!r}: {record.folder.name} is of other clips, labels, groups, folds or classes; "
                "give another folder"
            )


def _digest(clip: Clip) -> str:
    try:
        return file_digest(clip.path)
    except OSError as error:
        raise DeployError(f"{clip.path}: cannot be read ({error.strerror}); correct the manifest") from None


def _trained(path: Path, model: Model, audio: Mapping[str, str], known: Known) -> list[str]:
    """The clips whose files have trained the model.

    Raises:
        LeakageError: there are some and they are refused, or nothing else is left to score.
    """
    digests = set(model.info.recordings)
    if not digests:
        LOG.warning("%s does not hold the digests of its training recordings, so they cannot be kept out", path)
    if n_copies := len(audio) - len(set(audio.values())):
        LOG.warning("%s counted twice: the file is that of another clip", pluralize(n_copies, "clip"))
    found = sorted(clip_id for clip_id, digest in audio.items() if digest in digests)
    if found and (known == "refuse" or (known == "skip" and len(found) == len(audio))):
        raise LeakageError(
            f"{path} was trained on {pluralize(len(found), 'recording')} of {len(audio)}: {format_names(found)}; "
            "--known skip scores the others, --known flag all of them, and flags the result"
        )
    return found


def _scored(path: Path, model: Model, test_audio: Sequence[str], ledger: Path) -> ScoredModel:
    info = model.info
    exported = file_digest(path) if path.suffix == ".onnx" else ""  # a graph of the same weights may be less precise
    decides = [info.class_names, to_dict(info.front_end), info.window_frames, asdict(info.calibration), exported]
    repeated = _is_repeated(info, test_audio, ledger)
    return ScoredModel(info.checksum, digest(json.dumps(decides)), bool(info.recordings), tuple(test_audio), repeated)


def _is_repeated(info: ModelInfo, test_audio: Sequence[str], ledger: Path) -> bool:
    """Whether the ledger has the run of this model on the same recordings, and its folder has these weights."""
    wanted = (info.run_id, digest_names(test_audio))
    for look in read_ledger(ledger) if ledger.is_file() else ():
        folder = ledger.parent / look.suite / run_name(look.variant, look.fold, look.seed, look.run)
        if (look.run, look.test_audio) != wanted or not (folder / "result.json").is_file():
            continue
        with contextlib.suppress(CheckpointError):
            if file_digest(checkpoint_of(folder), 64) == info.checksum:
                return True
    return False


def _probabilities(model: Model, clips: Sequence[Clip]) -> np.ndarray:
    """The answers for the clips, (N, K) over the sorted class names.

    Raises:
        DeployError: a recording cannot be read.
    """
    answers = predict(model, [clip.path for clip in clips], "cut it into clips (`earmark cut`)")
    rows = []
    for prediction in progress_bar(answers, "evaluate", len(clips), "clip"):
        if prediction.answer is None:
            raise DeployError(f"{prediction.error}; nothing was written")
        rows.append(prediction.answer.probs)
    return np.stack(rows)[:, np.argsort(model.class_names)]
