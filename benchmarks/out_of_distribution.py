"""Sounds unlike all classes: how many the unknown score finds, plain and relative to what is usual for a class.

Takes the finished runs of a suite, one network per fold, and recordings of another data set; noises, tones and clicks
at three levels are made. The threshold is set for 5 % false alarms; false alarms are cross-fitted over the folds.

    python benchmarks/out_of_distribution.py runs/esc10-mn04 --other data/EmoDB --every 9
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from earmark.analysis.records import RunRecord, read_runs
from earmark.audio.io import audio_files, load_audio
from earmark.config.sections import Options
from earmark.deploy.choices import select_runs
from earmark.deploy.held_out import clip_scores, held_out_distances, subset_of
from earmark.deploy.synthetic_sounds import synthetic_sounds
from earmark.deploy.torch_engine import load_torch
from earmark.deploy.unknown import (
    class_distances,
    cross_fitted_scores,
    make_references,
    references_per_class,
    relative_scores,
    set_gate,
    usual_distances,
)
from earmark.runs.final import SuiteData, load_suite_data
from earmark.runtime.text_tables import markdown_table
from earmark.training.checkpoint_files import checkpoint_of

LEVELS = (0.2, 1.0, 3.0)
"""Of synthetic sounds, relative to 20 dB below full scale."""


def measure(
    records: list[RunRecord], suite: SuiteData, other: list[Path]
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Distances (N, K) to the classes, by fold: of held-out clips, synthetic sounds and other recordings."""
    per_class = references_per_class(len(suite.data.class_names), len(records))
    references, made, others = [], [], []
    for record in records:
        train = subset_of(suite, suite.splits[record.config.fold].train)
        embeddings = clip_scores(checkpoint_of(record.folder), train).embeddings
        references.append(make_references(embeddings, train.targets, per_class))
        engine = load_torch(record.folder)
        rate, n_samples = engine.info.sample_rate, engine.info.window_samples
        sounds = [level * s for level in LEVELS for s in synthetic_sounds(rate, n_samples).values()]
        clips = (load_audio(path, rate)[0] for path in other)
        for waveforms, found in ((sounds, made), (clips, others)):
            vectors = np.concatenate([engine.score([np.clip(w, -1, 1)]).embeddings for w in waveforms])
            found.append(class_distances(vectors, references[-1], len(suite.data.class_names)))
        print(f"fold {record.config.fold}", flush=True)
    return held_out_distances(records, suite, references), made, others


def table_rows(
    held_out: list[np.ndarray], made: list[np.ndarray], others: list[np.ndarray], rate: float
) -> Iterator[list[str]]:
    """A row for each score, the header first."""
    yield [
        "score",
        "false alarms",
        "synthetic sounds, one network",
        "ensemble",
        "other data set, one network",
        "ensemble",
    ]
    n_classes = held_out[0].shape[1]
    for name, usual in (("plain", np.ones(n_classes)), ("relative", usual_distances(np.concatenate(held_out)))):
        plain = [relative_scores(part, usual) for part in held_out]
        known = plain if name == "plain" else cross_fitted_scores(held_out)
        folds = range(len(known))
        thresholds = [set_gate(np.concatenate([known[j] for j in folds if j != i]), rate).threshold for i in folds]
        alarms = np.concatenate([known[i] > thresholds[i] for i in folds]).mean()
        threshold, cells = set_gate(np.concatenate(known), rate).threshold, []
        for distances in (made, others):
            scores = np.stack([relative_scores(part, usual) for part in distances])
            cells += [(scores > threshold).mean(), (scores.mean(axis=0) > threshold).mean()]
        yield [name, *(f"{100 * x:.1f} %" for x in (alarms, *cells))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--other", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="take every n-th of the other recordings")
    parser.add_argument("--root", default="")
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--false-alarms", type=float, default=0.05)
    a = parser.parse_args()
    torch.set_num_threads(1)
    records = select_runs(read_runs(a.runs), "", a.seed)
    suite = load_suite_data(records, Options(work=a.work), a.root)
    other = sorted(audio_files(a.other))[:: a.every]
    distances = measure(records, suite, other)
    n_held_out, n_made, n_other = sum(map(len, distances[0])), len(distances[1][0]), len(other)
    print(f"{n_held_out} held-out clips, {n_made} synthetic sounds, {n_other} clips of the other data set")
    print(markdown_table(list(table_rows(*distances, a.false_alarms))))


if __name__ == "__main__":
    main()
