"""Unknown scores of clips that a network was not trained on: for the threshold, and with classes held out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from earmark.analysis.records import RunRecord
from earmark.analysis.unknown_tables import UnknownRow
from earmark.config.sections import Options
from earmark.deploy.info import DeployError
from earmark.deploy.scores import Scores
from earmark.deploy.torch_engine import SplitNetwork, split_network
from earmark.deploy.unknown import (
    ComparedScores,
    HeldOutClass,
    class_distances,
    make_references,
    references_per_class,
    unknown_table,
)
from earmark.runs.final import SuiteData, split_without, train_for_use
from earmark.runtime.console import Progress, format_duration, pluralize
from earmark.training.batches import Subset, select_subset
from earmark.training.checkpoint import load_checkpoint
from earmark.training.checkpoint_files import checkpoint_of
from earmark.training.loop import infer


class _SideBySide(nn.Module):
    """Logits and embedding in one tensor (B, K + D), as `infer` takes it."""

    def __init__(self, network: SplitNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """(B, K + D) of images (B, 1, F, T) in [0, 1]."""
        return torch.cat(self.network(image), dim=1)


def subset_of(suite: SuiteData, clip_ids: Sequence[str]) -> Subset:
    """The clips with these ids."""
    chosen = set(clip_ids)
    clips = [clip for clip in suite.data.clips if clip.clip_id in chosen]
    return select_subset(suite.images, clips, suite.data.class_names)


def clip_scores(checkpoint: Path, subset: Subset) -> Scores:
    """Logits and embeddings of clips by the network of a checkpoint, as training scores them."""
    model, metadata = load_checkpoint(checkpoint, allow_unfinished=True)
    network = _SideBySide(split_network(model, metadata)).to(memory_format=torch.channels_last)
    both = infer(network, subset, metadata.window_frames).numpy()
    n_classes = len(metadata.class_names)
    return Scores(both[:, :n_classes], both[:, n_classes:])


def held_out_distances(
    records: Sequence[RunRecord], suite: SuiteData, references: Sequence[tuple[np.ndarray, np.ndarray]]
) -> list[np.ndarray]:
    """Distances (N, K) of the reported clips of each fold to each class, by the network that was not trained on them.

    Args:
        records: one per fold.
        references: of the network of each, from `make_references`.
    """
    found = []
    for record, of_network in zip(records, references, strict=True):
        scores = clip_scores(checkpoint_of(record.folder), subset_of(suite, record.clip_ids))
        found.append(class_distances(scores.embeddings, of_network, len(suite.data.class_names)))
    return found


def measure_unknown(
    records: Sequence[RunRecord],
    suite: SuiteData,
    folder: Path,
    false_alarms: float,
    options: Options,
    progress: Progress,
) -> list[UnknownRow]:
    """Train the recipe without each class in turn, and see how well its clips are recognized as unknown.

    The classes take the folds in turn, so there are as many trainings as classes. A class is left out, with a line that
    says so, if no fold tests it along with other classes.

    Args:
        records: one per fold.
        folder: where the networks are trained; trainings that are finished there are not repeated.
        false_alarms: rate that thresholds are set for.

    Raises:
        DeployError: there are fewer than three classes, or fewer than two can be measured.
    """
    labels = suite.data.class_names
    if len(labels) < 3:
        raise DeployError(f"measure-unknown: {pluralize(len(labels), 'class')}; without one of them there is no choice")
    chosen = choose_folds(records)
    if left_out := [label for label in labels if label not in chosen]:
        progress.line(f"not measured: {', '.join(left_out)} (no fold tests them along with other classes)")
    if len(chosen) < 2:
        raise DeployError(
            f"measure-unknown: {pluralize(len(chosen), 'class')} can be measured; use folds that test several classes"
        )
    seconds = np.mean([record.timing.get("train_seconds", 0.0) for record in records])
    progress.line(
        f"training {len(chosen)} networks, each without one class, about {format_duration(float(seconds))} each"
    )
    held_out = []
    for label, record in chosen.items():
        progress.line(f"without {label}, fold {record.config.fold}")
        held_out.append(_without_class(record, suite, label, folder, options, progress))
    return unknown_table(held_out, false_alarms)


def choose_folds(records: Sequence[RunRecord]) -> dict[str, RunRecord]:
    """The fold that holds out each class, in turn if all test it; none where no fold tests it along with others."""
    chosen = {}
    for number, label in enumerate(records[0].class_names):
        turn = number % len(records)
        for record in (*records[turn:], *records[:turn]):
            of_class = record.targets == number
            if of_class.any() and not of_class.all():
                chosen[label] = record
                break
    return chosen


def _without_class(
    record: RunRecord, suite: SuiteData, label: str, folder: Path, options: Options, progress: Progress
) -> HeldOutClass:
    split = split_without(suite, record, label)
    checkpoint = train_for_use(record.config, suite, split, folder, options, progress.status)
    train = subset_of(suite, split.train)
    per_class = references_per_class(len(suite.data.class_names) - 1)
    references = make_references(clip_scores(checkpoint, train).embeddings, train.targets, per_class)
    reported = subset_of(suite, record.clip_ids)
    scores = clip_scores(checkpoint, reported)
    distances = class_distances(scores.embeddings, references, len(suite.data.class_names))
    compared = ComparedScores(distances, scores.logits)
    of_class = reported.targets == suite.data.class_names.index(label)
    return HeldOutClass(label, compared[~of_class], compared[of_class])
