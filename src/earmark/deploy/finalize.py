"""From the runs of a suite to one model folder: the folds' networks as an ensemble, calibrated, with what to expect.

The out-of-fold predictions of the suite are held out by construction: each clip was scored by a network that was not
trained on it. They fit the calibration and give the expected score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from earmark.analysis.metrics import SMALLEST_PROBABILITY
from earmark.analysis.records import RunRecord, read_runs
from earmark.deploy.calibrate import CalibrationReport, choose_calibration
from earmark.deploy.card import format_card
from earmark.deploy.info import DeployError, ExpectedScore, ModelInfo
from earmark.deploy.torch_engine import MODEL_FILE, describe_checkpoint
from earmark.runtime.errors import suggest
from earmark.runtime.files import digest, write_json, write_text
from earmark.training.checkpoint import CheckpointMetadata, checkpoint_of, load_checkpoint, write_checkpoint


@dataclass(frozen=True)
class Finalized:
    """What was written."""

    info: ModelInfo
    members: tuple[str, ...]
    calibration: CalibrationReport | None
    """None with a single fold, which leaves nothing to cross-fit."""


def finalize_ensemble(runs: Path, output: Path, variant: str = "", seed: int | None = None) -> Finalized:
    """Bundle the networks of a variant, one per fold, into a model folder.

    Args:
        runs: the folder of a suite's runs.
        variant: which one; may be left out if there is one only.
        seed: which of several seeds; the lowest if not given.

    Raises:
        RunError: there are no finished runs.
        DeployError: there is no such variant or seed, or the networks do not take the same images.
    """
    records = select_runs(read_runs(runs), variant, seed)
    infos = [describe_checkpoint(*_checkpoint(record)) for record in records]
    for name in ("class_names", "front_end", "window_frames"):
        if len({getattr(info, name) for info in infos}) > 1:
            raise DeployError(f"{name} differs between the folds; set train.window_seconds and front_end in the suite")
    targets, probs = (np.concatenate([getattr(r, name) for r in records]) for name in ("targets", "probs"))
    report = calibrate_records(records)
    checksum = digest("".join(info.checksum for info in infos), length=64)
    score = ExpectedScore(
        "accuracy", float((probs.argmax(axis=1) == targets).mean()), len(targets), source=_source(records)
    )
    info = replace(
        infos[0],
        architecture=f"{infos[0].architecture} x {len(records)}",
        run_id="+".join(record.id for record in records),
        checksum=checksum,
        expected_score=score,
        calibration=infos[0].calibration if report is None else report.calibration,
    )
    return _write(output, info, records, report)


def select_runs(records: Sequence[RunRecord], variant: str = "", seed: int | None = None) -> list[RunRecord]:
    """The runs of one variant and seed, one per fold."""
    variants = sorted({record.variant for record in records})
    if not variant and len(variants) > 1:
        raise DeployError(f"variant: the suite has {len(variants)}; choose from {', '.join(variants)}")
    variant = variant or variants[0]
    if variant not in variants:
        raise DeployError(f"variant = {variant!r}: no such variant{suggest(variant, variants)}")
    seeds = sorted({record.config.seed for record in records if record.variant == variant})
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise DeployError(f"seed = {seed}: no run has it; choose from {', '.join(map(str, seeds))}")
    return [record for record in records if record.variant == variant and record.config.seed == seed]


def calibrate_records(records: Sequence[RunRecord]) -> CalibrationReport | None:
    """The calibration fitted on the out-of-fold predictions; None with a single fold.

    Logarithms of probabilities are logits up to a constant per clip, which the softmax takes away.
    """
    if len(records) < 2:
        return None
    logits = np.concatenate([np.log(np.maximum(record.probs, SMALLEST_PROBABILITY)) for record in records])
    targets = np.concatenate([record.targets for record in records])
    folds = np.concatenate([np.full(len(record.targets), record.config.fold) for record in records])
    return choose_calibration(logits, targets, folds)


def _checkpoint(record: RunRecord) -> tuple[Path, CheckpointMetadata]:
    path = checkpoint_of(record.folder)
    return path, load_checkpoint(path)[1]


def _source(records: Sequence[RunRecord]) -> str:
    folds = ", ".join(str(record.config.fold) for record in records)
    return f"clips of folds {folds}, each scored by the one network that was not trained on it"


def _write(output: Path, info: ModelInfo, records: Sequence[RunRecord], report: CalibrationReport | None) -> Finalized:
    """The networks without the optimizer's state, then the description: a folder without it is no model."""
    output.mkdir(parents=True, exist_ok=True)
    members = tuple(f"fold{record.config.fold}.safetensors" for record in records)
    for name, record in zip(members, records, strict=True):
        write_checkpoint(output / name, *load_checkpoint(checkpoint_of(record.folder)))
    write_text(output / "README.md", format_card(info, output.name))
    content = {"info": info.to_json(), "members": members, "calibration": asdict(report) if report else None}
    write_json(output / MODEL_FILE, {"format_version": 1, **content})
    return Finalized(info, members, report)
