"""The trainings that autrainer was measured on: score and processor time.

    uv run python benchmarks/autrainer.py --data ../shared/data            about an hour on one core
    uv run python benchmarks/autrainer.py --data ../shared/data --only emodb

autrainer's figures are from an earlier measurement on a machine of the same kind with the settings of `WORK`: clips,
split, front end, epochs, batch size and seed are the same here. The epoch is selected on the validation subset, and the
test subset is scored once. Processor seconds per epoch are those of one thread, including validation.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measure import hardware

from earmark.analysis.records import read_runs
from earmark.config.sections import Options
from earmark.config.suite import SuiteConfig, merge
from earmark.datasets.manifest import Clip
from earmark.datasets.read import read_dataset
from earmark.runs.plan import plan_suite
from earmark.runs.suite import run_suite
from earmark.runtime.files import write_csv


@dataclass(frozen=True)
class Work:
    """One training of autrainer, and its result."""

    dataset: str
    folder: str
    subsets: dict[str, tuple[str, ...]]
    """Speakers (EmoDB) or published folds (ESC-10) of each subset."""
    front_end: dict[str, Any]
    model: str
    their_model: str
    metric: str
    their_score: float | None
    """In percent; None if it was not measured."""
    their_seconds: float
    """Processor seconds of an epoch."""
    train: dict[str, Any] = field(default_factory=dict)
    augment: dict[str, Any] = field(default_factory=dict)


EMODB = {
    "dataset": "emodb",
    "folder": "EmoDB-2s",
    "subsets": {"train": ("03", "08", "09", "10", "11", "12"), "valid": ("13", "14"), "test": ("15", "16")},
    "front_end": {"sample_rate": 16000, "n_fft": 512, "hop_length": 160, "n_mels": 64},
    "augment": {"freq_mask_bins": 8, "mixup_alpha": 0.0},  # 180 steps are too few for mixup
    "metric": "uar",
}
ESC10 = {
    "dataset": "esc10",
    "folder": "ESC-10",
    "subsets": {"train": ("1", "2", "3"), "valid": ("4",), "test": ("5",)},
    "front_end": {"sample_rate": 32000, "n_fft": 1024, "hop_length": 320, "n_mels": 64},
    "augment": {"freq_mask_bins": 8},
    "metric": "accuracy",
}
WORK = {
    "emodb": Work(**EMODB, model="baseline_cnn", their_model="Cnn10", their_score=50.4, their_seconds=54.0),
    "esc10": Work(**ESC10, model="baseline_cnn", their_model="AlexNet", their_score=77.5, their_seconds=10.4),
    "esc10-alexnet": Work(
        **ESC10 | {"augment": {"freq_masks": 0, "time_masks": 0, "mixup_alpha": 0.0}},  # best on the validation subset
        model="alexnet",
        their_model="AlexNet",
        their_score=77.5,
        their_seconds=10.4,
        train={"lr": 3e-4},
    ),
    "esc10-resnet50": Work(
        **ESC10, model="resnet50", their_model="ResNet-50", their_score=None, their_seconds=65.0, train={"lr": 1e-3}
    ),
}
EPOCHS, BATCH_SIZE, SEED = 20, 32, 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ESC-10 and EmoDB-2s")
    parser.add_argument("--only", nargs="+", choices=list(WORK), default=list(WORK))
    options = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as name:
        for key in options.only:
            lines.append(line(WORK[key], *train(key, WORK[key], options.data, Path(name))))
    print(f"\n{hardware()}; {EPOCHS} epochs, batch {BATCH_SIZE}, seed {SEED}, one thread\n")
    print("| data | earmark | autrainer | score | theirs | CPU seconds per epoch | theirs |\n" + "| --- " * 7 + "|")
    print("\n".join(lines))
    return 0


def train(key: str, work: Work, data: Path, folder: Path) -> tuple[float, float]:
    """Score in percent and processor seconds of an epoch."""
    settings = {
        "name": key,
        "seeds": [SEED],
        "data": {"dataset": work.dataset, "root": str(data / work.folder)},
        "front_end": work.front_end,
        "split": {"kind": "files", "path": str(folder / key)},
        "model": {"name": work.model},
        "augment": work.augment,
        "train": {"epochs": EPOCHS, "batch_size": BATCH_SIZE, **work.train},
    }
    suite = merge(SuiteConfig(), settings)
    write_subsets(read_dataset(suite.data), work, folder / key)
    options = Options(runs=folder / "runs", work=folder / "work", device="cpu", threads=1)
    planned = plan_suite(suite, options)
    start = time.process_time()
    failures = run_suite(planned, options)
    if failures:
        sys.exit(str(failures))
    seconds = (time.process_time() - start) / EPOCHS
    return 100 * read_runs(folder / "runs" / key)[0].result["metrics"][work.metric], seconds


def write_subsets(clips: Sequence[Clip], work: Work, folder: Path) -> None:
    """Write the CSV files of the split, by speaker or published fold."""
    folder.mkdir()
    speakers = work.dataset == "emodb"
    for subset, members in work.subsets.items():
        rows = [
            (clip.path.name, clip.label) for clip in clips if (clip.group if speakers else str(clip.fold)) in members
        ]
        write_csv(folder / f"{subset}.csv", [("filepath", "label"), *rows])


def line(work: Work, score: float, seconds: float) -> str:
    theirs = "not measured" if work.their_score is None else f"{work.their_score:.1f} %"
    return (
        f"| {work.folder} | {work.model} | {work.their_model} | {work.metric} {score:.1f} % | {theirs} "
        f"| {seconds:.1f} | {work.their_seconds:g} |"
    )


if __name__ == "__main__":
    sys.exit(main())
