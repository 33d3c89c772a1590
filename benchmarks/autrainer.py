"""The trainings that autrainer was measured on: score over seeds, and processor time.

    uv run python benchmarks/autrainer.py --data ../shared/data            about an hour on one core
    uv run python benchmarks/autrainer.py --data ../shared/data --only esc10-alexnet --seeds 1 2 3 4 5 --folder out

autrainer's figures are constants (how they were measured: benchmarks/README.md). Clips, split, front end, epochs and
batch size are the same here. The epoch is selected on the validation subset, and the test subset is scored once.
Processor seconds per epoch are those of one thread, with validation, and without making the images.

With `--folder`, a second call resumes, and the runs are in `out/runs/esc10-alexnet`, for `earmark compare`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from measure import hardware

from earmark.analysis.aggregate import aggregate
from earmark.analysis.records import read_runs
from earmark.config.sections import Options
from earmark.config.suite import SuiteConfig, merge
from earmark.datasets.manifest import Clip
from earmark.datasets.read import read_dataset
from earmark.runs.declare import declare_plan
from earmark.runs.plan import PlannedRun, SuitePlan, plan_suite
from earmark.runs.prepare import prepare_suite
from earmark.runs.suite import train_missing
from earmark.runtime.files import write_csv, write_json
from earmark.runtime.schema import read_json


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
    their_score: str
    """Mean in percent, with the lowest and highest where several seeds were measured."""
    their_seconds: float
    """Processor seconds of an epoch."""
    train: dict[str, Any] = field(default_factory=dict)
    augment: dict[str, Any] = field(default_factory=dict)


EMODB = {
    "dataset": "emodb",
    "folder": "EmoDB-2s",
    "subsets": {"train": ("03", "08", "09", "10", "11", "12"), "dev": ("13", "14"), "test": ("15", "16")},
    "front_end": {"sample_rate": 16000, "n_fft": 512, "hop_length": 160, "n_mels": 64},
    "augment": {"freq_mask_bins": 8, "mixup_alpha": 0.0},  # 180 steps are too few for mixup
    "metric": "uar",
}
ESC10 = {
    "dataset": "esc10",
    "folder": "ESC-10",
    "subsets": {"train": ("1", "2", "3"), "dev": ("4",), "test": ("5",)},
    "front_end": {"sample_rate": 32000, "n_fft": 1024, "hop_length": 320, "n_mels": 64},
    "augment": {"freq_mask_bins": 8},
    "metric": "accuracy",
}
WORK = {
    "emodb": Work(**EMODB, model="baseline_cnn", their_model="Cnn10", their_score="50.4 %", their_seconds=54.0),
    "esc10": Work(**ESC10, model="baseline_cnn", their_model="AlexNet", their_score="77.5 %", their_seconds=10.4),
    "esc10-alexnet": Work(
        **ESC10 | {"augment": {"freq_masks": 0, "time_masks": 0, "mixup_alpha": 0.0}},  # best on the validation subset
        model="alexnet",
        their_model="AlexNet",
        their_score="77.5 %",
        their_seconds=10.4,
        train={"lr": 3e-4},
    ),
    "esc10-resnet50": Work(
        **ESC10,
        model="resnet50",
        their_model="ResNet-50",
        their_score="not measured",
        their_seconds=65.0,
        train={"lr": 1e-3},
    ),
}
EPOCHS, BATCH_SIZE, SEED = 20, 32, 1
COLUMNS = (
    "data",
    "earmark",
    "score (lowest to highest seed)",
    "95 % interval",
    "autrainer",
    "theirs",
    "CPU seconds per epoch",
    "theirs",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ESC-10 and EmoDB-2s")
    parser.add_argument("--only", nargs="+", choices=list(WORK), default=list(WORK))
    parser.add_argument("--seeds", nargs="+", type=int, default=[SEED])
    parser.add_argument("--folder", type=Path, help="keep images and runs here, and resume those that are there")
    options = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        for key in options.only:
            seconds = train(key, WORK[key], options.data, folder, options.seeds)
            lines.append(line(key, WORK[key], folder, options.seeds, seconds))
    seeds = ", ".join(map(str, options.seeds))
    print(f"\n{hardware()}; {EPOCHS} epochs, batch {BATCH_SIZE}, seeds {seeds}, one thread\n")
    print("| " + " | ".join(COLUMNS) + " |\n" + "| --- " * len(COLUMNS) + "|")
    print("\n".join(lines))
    return 0


def train(key: str, work: Work, data: Path, folder: Path, seeds: Sequence[int]) -> list[float]:
    """Train the runs that are not finished; processor seconds of an epoch of each run that was not interrupted."""
    suite = configure(key, work, data, folder, seeds)
    write_subsets(read_dataset(suite.data), work, folder / key)
    options = Options(runs=folder / "runs", work=folder / "work", device="cpu", threads=1)
    plan = plan_suite(suite, options)
    declare_plan(plan, suite)
    prepare_suite(plan)
    measured = [train_one(plan, run, options) for run in plan.runs]
    return [seconds for seconds in measured if seconds is not None]


def configure(key: str, work: Work, data: Path, folder: Path, seeds: Sequence[int]) -> SuiteConfig:
    settings = {
        "name": key,
        "metric": work.metric,
        "seeds": list(seeds),
        "data": {"dataset": work.dataset, "root": str(data / work.folder)},
        "front_end": work.front_end,
        "split": {"kind": "files", "path": str(folder / key)},
        "model": {"name": work.model},
        "augment": work.augment,
        "train": {"epochs": EPOCHS, "batch_size": BATCH_SIZE, **work.train},
        "variants": {key: {}},
    }
    return merge(SuiteConfig(), settings)


def train_one(plan: SuitePlan, run: PlannedRun, options: Options) -> float | None:
    """Processor seconds of an epoch, kept beside the run; None where the run was interrupted."""
    file, fresh = run.folder / "cpu_seconds.json", not run.folder.exists()
    start = time.process_time()
    failures = train_missing(replace(plan, runs=(run,)), options)
    if failures:
        sys.exit(str(failures))
    if fresh:
        write_json(file, (time.process_time() - start) / EPOCHS)
    return read_json(file, float) if file.is_file() else None


def write_subsets(clips: Sequence[Clip], work: Work, folder: Path) -> None:
    """Write the CSV files of the split, by speaker or published fold, under names that autrainer reads, too."""
    folder.mkdir(parents=True, exist_ok=True)
    speakers = work.dataset == "emodb"
    for subset, members in work.subsets.items():
        rows = [
            (clip.path.name, clip.label) for clip in clips if (clip.group if speakers else str(clip.fold)) in members
        ]
        write_csv(folder / f"{subset}.csv", [("filepath", "label"), *rows])


def line(key: str, work: Work, folder: Path, seeds: Sequence[int], seconds: Sequence[float]) -> str:
    """One row of the table; the interval is that of `aggregate` for the runs of these seeds."""
    runs = [run for run in read_runs(folder / "runs" / key) if run.config.seed in seeds]
    scores = [run.result["metrics"][work.metric] for run in runs]
    low, high = aggregate(runs, work.metric).variants[0].metrics[work.metric].interval
    cells = (
        work.folder,
        work.model,
        f"{work.metric} {span(float(np.mean(scores)), min(scores), max(scores))}",
        "-" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f} %",
        work.their_model,
        work.their_score,
        f"{np.mean(seconds):.1f}" if seconds else "interrupted",
        f"{work.their_seconds:g}",
    )
    return f"| {' | '.join(cells)} |"


def span(mean: float, low: float, high: float) -> str:
    return f"{100 * mean:.1f} %" if low == high else f"{100 * mean:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    sys.exit(main())
