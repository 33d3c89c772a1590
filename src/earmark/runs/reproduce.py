"""Train a finished run again from its config.json and split.csv, and compare weights, history and predictions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from earmark.analysis.records import RunRecord, read_runs
from earmark.config.sections import Options
from earmark.config.suite import RunConfig
from earmark.datasets.read import read_dataset
from earmark.runs.environment import changes
from earmark.runs.plan import PlannedRun, RunData, SuitePlan, data_folder, data_key, plan_data, plan_run
from earmark.runs.preflight import check_plan
from earmark.runs.prepare import load_data, prepare_data
from earmark.runs.train import train_and_evaluate
from earmark.runtime.console import pluralize
from earmark.runtime.errors import EarmarkError
from earmark.runtime.schema import read_json, read_table
from earmark.splits.io import check_split_clips, read_split
from earmark.training.checkpoint import read_weights
from earmark.training.checkpoint_files import CHECKPOINTS, run_folder
from earmark.training.devices import select_device

TOLERANCE = 0.05
"""Mean total variation distance between the probabilities of two runs on different platforms, versions or threads."""


class ReproduceError(EarmarkError):
    """A run that cannot be trained again as it was."""


@dataclass(frozen=True)
class Reproduction:
    """A run and its repetition."""

    folder: Path
    """Of the repetition."""
    changes: tuple[str, ...]
    """What the repetition was trained with that differs; where nothing does, it must have the same bytes."""
    lines: tuple[str, ...]
    """What is the same and what differs, one line per file."""
    same_bytes: bool
    distance: float
    """Mean over the clips of the total variation distance between the probabilities, 0 to 1."""

    def same(self, tolerance: float = TOLERANCE) -> bool:
        """Whether the repetition is what it must be: equal, or near where platform, versions or threads differ."""
        return self.same_bytes or bool(self.changes and self.distance <= tolerance)

    def verdict(self, tolerance: float = TOLERANCE) -> str:
        """What `same` says, in a sentence."""
        if self.same_bytes:
            return "same: all bytes are equal"
        if not self.changes:
            return "differs: on the same platform, versions and threads all bytes must be equal"
        word, sign = ("same", "<=") if self.same(tolerance) else ("differs", ">")
        return f"{word}: mean distance of the probabilities {self.distance:.4f} {sign} tolerance {tolerance:g}"


def reproduce(
    folder: Path, output: Path, root: str = "", device: str = "", log: Callable[[str], None] = print
) -> Reproduction:
    """Train a finished run again, on as many threads as before, and compare the two.

    Args:
        folder: the run.
        output: where images and the repetition are written; a repetition that is there already is only compared.
        root: where the recordings are now; empty: where the run found them.
        device: where to train; empty: where the run was trained.
        log: takes a line for each epoch.

    Raises:
        EarmarkError: the run is not finished, was not trained here, or has lost its weights; or recordings, weights or
            settings are no longer those it was trained with.
    """
    run = _read(folder)
    here = select_device(device or str(run.timing.get("device", "auto")).partition(" ")[0])
    torch.set_num_threads(run.timing.get("threads") or torch.get_num_threads())
    config = run.config if not root else replace(run.config, data=replace(run.config.data, root=root))
    again, data = _plan(run, config, output)
    check_plan(SuitePlan((again,), {data_key(config): data}), Options(device=str(here), allow_unequal_budget=True))
    if not again.finished:
        prepare_data(config, data)
        train_and_evaluate(again, data, load_data(config, data, here), here, log)
    return compare(run, _read(again.folder))


def _read(folder: Path) -> RunRecord:
    runs = read_runs(run_folder(folder))
    if len(runs) > 1:
        raise ReproduceError(f"run {folder}: has {len(runs)} runs below it; give one, such as {runs[0].folder}")
    (run,) = runs
    if run.imported:
        raise ReproduceError(f"run {run.folder}: its predictions were imported; repeat it with the tool they are from")
    if run.config.probe.kind == "none" and not (run.folder / CHECKPOINTS[1]).is_file():
        raise ReproduceError(f"run {run.folder}: has no {CHECKPOINTS[1]} to compare with; give a complete run folder")
    return run


def _plan(run: RunRecord, config: RunConfig, output: Path) -> tuple[PlannedRun, RunData]:
    """The run planned once more in another folder, with the split that it had.

    Raises:
        ReproduceError: it would not be the same run.
    """
    remedy = "give the recordings it was trained on with --data"
    clips = read_dataset(config.data, remedy)
    check_split_clips(run.folder, clips, remedy)
    data = plan_data(config, clips, data_folder(config.data, output / "work"))
    again = plan_run(config, replace(data, class_names=run.class_names), read_split(run.folder), output / "runs")
    if again.fingerprint != run.data_fingerprint:
        raise ReproduceError(
            f"run {run.folder}: its recordings have changed since (digest {again.fingerprint}, was "
            f"{run.data_fingerprint}); {remedy}"
        )
    if again.id != run.id:
        weights = config.model.weights
        reason = f"the weights {weights!r} have changed" if weights != "none" else "config.json has been changed"
        raise ReproduceError(f"run {run.folder}: {reason} since (run id {again.id}, was {run.id}); restore them")
    if again.folder.resolve() == run.folder.resolve():
        raise ReproduceError(f"output {output}: is where the run itself is; give another folder")
    return again, data


def compare(run: RunRecord, again: RunRecord) -> Reproduction:
    """Two finished runs of the same id, file by file."""
    checkpoints = [_compare_weights(run.folder / name, again.folder / name) for name in CHECKPOINTS]
    found = [*filter(None, [*checkpoints, _compare_history(run, again)]), _compare_predictions(run, again)]
    distance = float(np.abs(run.probs - again.probs).sum(axis=1).mean() / 2)
    timings = [read_json(r.folder / "timing.json", dict) if r.timing else {} for r in (run, again)]
    lines = tuple(line for _, line in found)
    return Reproduction(again.folder, changes(*timings), lines, all(same for same, _ in found), distance)


def _compare_weights(first: Path, second: Path) -> tuple[bool, str] | None:
    """Whether two checkpoints have the same weights, and a line about it; None where both are missing."""
    if not (first.is_file() and second.is_file()):
        return (False, f"{first.name}: only one of the runs has it") if first.exists() != second.exists() else None
    old, new = read_weights(first), read_weights(second)
    if old.keys() != new.keys() or any(old[name].shape != new[name].shape for name in old):
        return False, f"{first.name}: other tensors"
    differ = {n: (old[n].double() - new[n].double()).abs().max().item() for n in old if not _equal(old[n], new[n])}
    if not differ:
        return True, f"{first.name}: the same {pluralize(len(old), 'tensor')}"
    name = max(differ, key=lambda name: differ[name])
    return False, f"{first.name}: {len(differ)} of {len(old)} tensors differ, by at most {differ[name]:.2g} ({name})"


def _equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.dtype == second.dtype and first.numpy().tobytes() == second.numpy().tobytes()


def _compare_history(run: RunRecord, again: RunRecord) -> tuple[bool, str] | None:
    """Losses and scores of the epochs; not the seconds they took. None for a probe, which has no epochs."""
    if run.config.probe.kind != "none":
        return None
    old, new = (read_table(r.folder / "history.csv", ("epoch", "seconds")) for r in (run, again))
    for row in (*old, *new):
        del row["seconds"]
    if old == new:
        return True, f"history.csv: the same {pluralize(len(old), 'epoch')}"
    n_same = sum(1 for _ in itertools.takewhile(lambda rows: rows[0] == rows[1], zip(old, new, strict=False)))
    return False, f"history.csv: differs from epoch {n_same + 1} on"


def _compare_predictions(run: RunRecord, again: RunRecord) -> tuple[bool, str]:
    old, new = ((r.folder / "predictions.csv").read_bytes() for r in (run, again))
    if old == new:
        return True, f"predictions.csv: the same {pluralize(len(run.clip_ids), 'clip')}"
    n_labels = int((run.predictions != again.predictions).sum())
    most = np.abs(run.probs - again.probs).max()
    was, now = (r.result["metrics"]["accuracy"] for r in (run, again))
    return False, (
        f"predictions.csv: {n_labels} of {len(run.clip_ids)} labels differ, probabilities by at most {most:.2g}; "
        f"accuracy {now:.4f}, was {was:.4f}"
    )
