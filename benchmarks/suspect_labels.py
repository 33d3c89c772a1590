"""How many flipped labels does the list of suspect labels have at its head? python benchmarks/suspect_labels.py CONFIG

A fraction of the labels is replaced by random other classes, the frozen embeddings of the suite's first variant get a
logistic probe per fold on these labels, and the out-of-fold predictions are ranked as by `earmark audit --runs`.
Clips that are suspicious with the published labels already count as wrong hits.

    python benchmarks/suspect_labels.py configs/esc10-probes.toml --root data/ESC-50
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from earmark.analysis.suspects import suspicious_rows
from earmark.config.sections import Options
from earmark.config.suite import merge, read_suite
from earmark.features.windows import window_frames
from earmark.runs.plan import plan_suite
from earmark.runs.prepare import load_data, prepare_suite
from earmark.runs.probe import fit_classifier, probabilities, probe_candidates
from earmark.runs.probe_run import embed_clips
from earmark.runs.train import select_subsets
from earmark.training.batches import Subset


def main() -> None:
    given = arguments()
    suite = read_suite(given.config)
    suite = replace(
        merge(suite, {"data": {"root": given.root}}), variants={"logistic": {"probe": {"kind": "logistic"}}}
    )
    if given.weights:
        suite = merge(suite, {"model": {"weights": given.weights}})
    plan = plan_suite(suite, Options(runs=given.work / "runs", work=given.work))
    prepare_suite(plan)
    vectors, data = embeddings(plan)
    labels = np.array([data.class_names.index(clip.label) for clip in data.clips])
    groups = [clip.group for clip in data.clips]
    row_of = {clip.clip_id: row for row, clip in enumerate(data.clips)}
    folds = [([row_of[i] for i in run.split.train], [row_of[i] for i in run.split.test]) for run in plan.runs]
    found = [one_flip(vectors, labels, groups, folds, given.fraction, seed) for seed in range(given.repeats)]
    print_table(found, len(labels))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--root", required=True, help="folder of the data set")
    parser.add_argument("--weights", default="", help="file of weights instead of the published ones")
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--fraction", type=float, default=0.05)
    parser.add_argument("--repeats", type=int, default=10)
    return parser.parse_args()


def embeddings(plan):
    """Vectors (N, D) of all clips by the frozen network."""
    run = plan.runs[0]
    data = plan.data_of(run)
    images = load_data(run.config, data)
    subsets: dict[str, Subset] = select_subsets(run, data, images)
    frames = window_frames(run.config.train.window_seconds, subsets["train"].n_frames, data.store.front_end)
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    vectors, _ = embed_clips(run, data, images, frames, torch.device("cpu"))
    return vectors, data


def one_flip(vectors, labels, groups, folds, fraction, seed):
    """Precision and recall at the head of the list and of all of it."""
    rng = np.random.default_rng(seed)
    n_classes, n_flipped = labels.max() + 1, round(fraction * len(labels))
    flipped = rng.choice(len(labels), n_flipped, replace=False)
    noisy = labels.copy()
    noisy[flipped] = (labels[flipped] + rng.integers(1, n_classes, n_flipped)) % n_classes
    probs = np.zeros((len(labels), n_classes))
    for train, test in folds:
        candidates = probe_candidates("logistic", len(train), seed)
        estimator, _ = fit_classifier(candidates, vectors[train], noisy[train], [groups[i] for i in train])
        probs[test] = probabilities(estimator, vectors[test], range(n_classes))
    listed = suspicious_rows(probs, noisy)
    hit = np.isin(listed, flipped)
    restored = probs[listed[hit]].argmax(axis=1) == labels[listed[hit]]
    return {
        "flipped labels": n_flipped,
        "clips on the list": len(listed),
        "precision of the first 10, %": 100 * hit[:10].mean(),
        "precision of the first 20, %": 100 * hit[:20].mean(),
        "recall of the first n (n: flipped labels), %": 100 * hit[:n_flipped].sum() / n_flipped,
        "precision of the list, %": 100 * hit.mean(),
        "recall of the list, %": 100 * hit.sum() / n_flipped,
        "suggested class is the true one, % of the hits": 100 * restored.mean(),
    }


def print_table(found, n_clips):
    print(f"{n_clips} clips, {len(found)} draws: mean and range")
    for name in found[0]:
        values = [each[name] for each in found]
        print(f"{name:<50} {np.mean(values):6.1f}  ({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main()
