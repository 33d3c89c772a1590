"""Which model to ship: one fold's network, the ensemble of the folds, or one network trained on all clips.

A nested check: an outer fold is held out; the other folds are an inner suite, whose networks, their ensemble and a
network trained on all its clips are scored on the outer fold. Each is calibrated on the inner suite's out-of-fold
predictions, as `earmark finalize` does. Trainings are resumed, so a killed check goes on where it stopped.

    python benchmarks/nested_final.py configs/esc10-mn04.toml --data data/ESC-50 --epochs 6
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from earmark.analysis.calibrate import calibrated_probabilities, choose_calibration, log_loss
from earmark.config.sections import Options
from earmark.config.suite import RunConfig, read_suite
from earmark.datasets.read import read_dataset
from earmark.runs.final import SuiteData, train_for_use
from earmark.runs.plan import data_folder, plan_data
from earmark.runs.prepare import load_data, prepare_data
from earmark.runtime.text_tables import align_columns
from earmark.splits.split import NOT_REPORTED, Split
from earmark.training.batches import select_subset
from earmark.training.checkpoint import load_checkpoint
from earmark.training.loop import infer


class Check:
    """The clips by fold, and what networks say of them."""

    def __init__(self, config: RunConfig, options: Options) -> None:
        clips = tuple(read_dataset(config.data))
        data = plan_data(config, clips, data_folder(config.data, options.work))
        prepare_data(config, data)
        self.suite = SuiteData(data, load_data(config, data), {})
        self.config, self.options = config, options
        self.folds = sorted({clip.fold for clip in clips})

    def train(self, folds: list[int], seed: int) -> Path:
        """The checkpoint of a network trained on the clips of some folds."""
        train = tuple(sorted(clip.clip_id for clip in self.suite.data.clips if clip.fold in folds))
        split = Split(train, (), (), NOT_REPORTED, 1)
        folder = self.options.runs / f"{self.config.name}-nested" / "-".join(map(str, folds))
        print("training on folds", *folds, f"seed {seed}", flush=True)
        return train_for_use(replace(self.config, seed=seed), self.suite, split, folder, self.options, lambda _: None)

    def targets(self, fold: int) -> np.ndarray:
        """(N,) of the clips of a fold."""
        data = self.suite.data
        return np.array([data.class_names.index(clip.label) for clip in data.clips if clip.fold == fold])

    def logits(self, checkpoint: Path, fold: int) -> tuple[np.ndarray, np.ndarray]:
        """Logits (N, K) and targets (N,) of the clips of a fold."""
        model, metadata = load_checkpoint(checkpoint)
        clips = [clip for clip in self.suite.data.clips if clip.fold == fold]
        subset = select_subset(self.suite.images, clips, metadata.class_names)
        logits = infer(model, subset, metadata.window_frames, n_shifts=metadata.n_shifts)
        return logits.double().numpy(), subset.targets

    def outer(self, held_out: int, seed: int) -> dict[str, list[np.ndarray]]:
        """Calibrated probabilities of the held-out fold by each way to ship."""
        rest = [fold for fold in self.folds if fold != held_out]
        members = {fold: self.train([f for f in rest if f != fold], seed) for fold in rest}
        inner = [self.logits(members[fold], fold) for fold in rest]
        numbers = np.repeat(rest, [len(targets) for _, targets in inner])
        logits, targets = (np.concatenate(part) for part in zip(*inner, strict=True))
        calibration = choose_calibration(logits, targets, numbers).calibration
        single = [self.logits(path, held_out)[0] for path in members.values()]
        final = self.logits(self.train(rest, seed), held_out)[0]
        forms = {"one fold's network": single, "ensemble of the folds": [np.mean(single, axis=0)], "all clips": [final]}
        return {name: [calibrated_probabilities(one, calibration) for one in found] for name, found in forms.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", default="")
    parser.add_argument("--weights", default="")
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--outer", type=int, nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    suite = read_suite(a.config)
    config = suite.run(next(iter(suite.variants), "base"), fold=1, seed=a.seed)
    config = replace(config, data=replace(config.data, root=a.data or config.data.root))
    config = replace(config, model=replace(config.model, weights=a.weights or config.model.weights))
    config = replace(config, train=replace(config.train, epochs=a.epochs or config.train.epochs))
    torch.set_num_threads(a.threads)
    check = Check(config, Options(runs=a.runs, work=a.work, device="cpu", threads=a.threads))
    found: dict[str, list[tuple[float, float]]] = {}
    for held_out in a.outer or check.folds:
        targets = check.targets(held_out)
        for name, forms in check.outer(held_out, a.seed).items():
            scores = [((p.argmax(axis=1) == targets).mean(), log_loss(p, targets)) for p in forms]
            found.setdefault(name, []).append(tuple(np.mean(scores, axis=0)))
            accuracy, loss = found[name][-1]
            print(f"fold {held_out}, {name}: accuracy {accuracy:.4f}, log loss {loss:.4f}", flush=True)
    rows = [["model", "accuracy, %", "log loss", *(f"fold {f}" for f in a.outer or check.folds)]]
    for name, scores in found.items():
        accuracy, loss = np.mean(scores, axis=0)
        rows.append([name, f"{100 * accuracy:.2f}", f"{loss:.3f}", *(f"{100 * s[0]:.1f}" for s in scores)])
    print(align_columns(rows))


if __name__ == "__main__":
    main()
