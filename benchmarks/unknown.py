"""Tables of calibration and of the unknown score on frozen embeddings: nothing is trained but a probe.

Takes the finished runs of a suite of probes and the data that they were made of. Calibration: log loss and calibration
error of each probe before and after, cross-fitted over the folds. Unknown: each class is left out of the training clips
of each fold in turn, a logistic probe is fitted without it, and three scores tell its test clips from the others.

    python benchmarks/unknown.py results/esc10-probes --root data/ESC-50 --work work
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from earmark.analysis.calibrate import calibrate_records
from earmark.analysis.records import RunRecord, read_runs
from earmark.analysis.unknown_tables import unknown_table_rows
from earmark.config.sections import Options
from earmark.deploy.unknown import (
    ComparedScores,
    HeldOutClass,
    class_distances,
    make_references,
    unknown_table,
)
from earmark.features.windows import window_frames
from earmark.models.embed import headless
from earmark.runs.embeddings import network_embeddings
from earmark.runs.final import SuiteData, load_suite_data
from earmark.runs.plan import plan_run
from earmark.runs.probe import logistic
from earmark.runs.train import select_subsets
from earmark.runtime.text_tables import markdown_table
from earmark.training.checkpoint import CheckpointMetadata, create_from_metadata


def calibration_rows(records: list[RunRecord]) -> list[list[str]]:
    """A row per probe."""
    rows = [["probe", "clips", "temperature", "bias", "log loss", "after", "calibration error, %", "after"]]
    for variant in sorted({record.variant for record in records}):
        own = [record for record in records if record.variant == variant]
        report = calibrate_records(own)
        assert report is not None, "there are several folds"
        c = report.calibration
        losses = [f"{report.log_loss_before:.3f}", f"{report.log_loss_after:.3f}"]
        errors = [f"{100 * report.error_before:.1f}", f"{100 * report.error_after:.1f}"]
        n_clips = str(sum(len(record.targets) for record in own))
        rows.append([variant, n_clips, f"{c.temperature:.2f}", "yes" if c.bias else "no", *losses, *errors])
    return rows


def embeddings(records: list[RunRecord], suite: SuiteData, weights: str) -> np.ndarray:
    """(N, D) of all clips by the frozen network, as the probes take them."""
    config = records[0].config
    config = dataclasses.replace(
        config, model=dataclasses.replace(config.model, weights=weights or config.model.weights)
    )
    run = plan_run(config, suite.data, suite.splits[config.fold], Path("runs"))
    subsets = select_subsets(run, suite.data, suite.images)
    frames = window_frames(config.train.window_seconds, subsets["train"].n_frames, suite.data.store.front_end)
    metadata = CheckpointMetadata(
        config.model, suite.data.class_names, suite.images.n_mels, frames, suite.data.store.front_end, run.id, epoch=0
    )

    def create() -> nn.Module:
        return headless(create_from_metadata(metadata, weights=config.model.weights))

    return network_embeddings(run, suite.data, suite.images, create, frames, torch.device("cpu")).vectors


def held_out_classes(suite: SuiteData, vectors_ND: np.ndarray, per_class: int, c: float) -> Iterator[HeldOutClass]:
    """Every class, held out of every fold."""
    row_of = {clip.clip_id: i for i, clip in enumerate(suite.data.clips)}
    targets = np.array([suite.data.class_names.index(clip.label) for clip in suite.data.clips])
    for k, label in enumerate(suite.data.class_names):
        for split in suite.splits.values():
            train, test = (np.array([row_of[i] for i in ids]) for ids in (split.train, split.test))
            train = train[targets[train] != k]
            if not (targets[test] == k).any() or (targets[test] == k).all():
                continue
            probe = logistic(c).fit(vectors_ND[train], targets[train])
            references = make_references(vectors_ND[train], targets[train], per_class)
            distances = class_distances(vectors_ND[test], references, len(suite.data.class_names))
            scores = ComparedScores(distances, probe.decision_function(vectors_ND[test]))
            own = targets[test] == k
            yield HeldOutClass(label, scores[~own], scores[own])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--root", default="")
    parser.add_argument("--weights", default="")
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--per-class", type=int, nargs="*", default=[10, 1000])
    parser.add_argument("--c", type=float, default=1e-2)
    parser.add_argument("--false-alarms", type=float, default=0.05)
    a = parser.parse_args()
    records = read_runs(a.runs)
    print(markdown_table(calibration_rows(records)), "\n")
    records = [record for record in records if record.variant == records[0].variant]
    suite = load_suite_data(records, Options(work=a.work), a.root)
    vectors = embeddings(records, suite, a.weights)
    for per_class in a.per_class:
        held_out = list(held_out_classes(suite, vectors, per_class, a.c))
        print(f"at most {per_class} references per class")
        print(markdown_table(unknown_table_rows(unknown_table(held_out, a.false_alarms))), "\n")


if __name__ == "__main__":
    main()
