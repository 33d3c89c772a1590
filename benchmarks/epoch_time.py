"""Processor time of the training of configs, from epochs that are trained in turn.

    python benchmarks/epoch_time.py configs/esc10.toml configs/esc10-fast.toml --data DATA/ESC-10

One thread. Nothing is scored. The time of a run is that of its epochs, the median of several, without the first.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from earmark.config.sections import Options
from earmark.config.suite import merge, read_suite
from earmark.runs.plan import plan_suite
from earmark.runs.prepare import load_data, prepare_suite
from earmark.runs.train import _start_or_resume, select_subsets
from earmark.runtime.memory import keep_freed_memory
from earmark.training.loop import TrainingSetup, step_of, train_epoch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("configs", type=Path, nargs="+", help="the first is the baseline")
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--epochs", type=int, default=7, help="that are timed")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        setups = {path: setup_of(path, given.data, Path(folder)) for path in given.configs}
        steps = {path: step_of(setup, setup.model) for path, setup in setups.items()}
        seconds: dict[Path, list[float]] = {path: [] for path in setups}
        for epoch in range(1, given.epochs + 1):
            for path, setup in setups.items():
                start = time.process_time()
                train_epoch(steps[path], setup, epoch)
                seconds[path].append(time.process_time() - start)
    whole = {path: setups[path].config.epochs * statistics.median(found[1:]) for path, found in seconds.items()}
    print("| config | epochs | seconds of an epoch | of a run | ratio |\n| --- | --- | --- | --- | --- |")
    for path, run in whole.items():
        n_epochs = setups[path].config.epochs
        print(f"| {path.stem} | {n_epochs} | {run / n_epochs:.2f} | {run:.0f} | {run / whole[given.configs[0]]:.2f} |")
    return 0


def setup_of(path: Path, data: Path, folder: Path) -> TrainingSetup:
    """The training of the first fold and seed of a config."""
    suite = merge(read_suite(path), {"data": {"root": str(data)}, "folds": [1], "seeds": [1]})
    plan = plan_suite(suite, Options(runs=folder / "runs", work=folder / "work", device="cpu", threads=1))
    prepare_suite(plan)
    run = plan.runs[0]
    content = plan.data_of(run)
    images = load_data(run.config, content)
    subsets = select_subsets(run, content, images)
    return _start_or_resume(run, content, images, subsets, torch.device("cpu"))[0]


if __name__ == "__main__":
    sys.exit(main())
