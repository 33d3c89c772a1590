"""Train a whole suite on one machine with a GPU, without the command line, and report the use of the hardware.

    python benchmarks/gpu_suite.py configs/esc50-attention.toml --root ESC-50-spectrograms \\
        --images ESC-50-spectrograms/png --jobs 4 --output out

It needs the dependencies of training from images only: NumPy, SciPy, Pillow, PyTorch, torchvision, scikit-learn,
TensorBoard and safetensors; put `src` on PYTHONPATH. Several runs at a time share the GPU, since one run of small
images does not use all of it. For each suite it writes to `--output`: results.csv, results.md, comparisons.csv, and
`<name>-runs.json` with the result and the timing of every run; and `hardware.md`: seconds per epoch, images per second
and the fraction of the GPU's peak. A second call resumes where the first one stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from earmark.analysis.aggregate import aggregate
from earmark.analysis.records import RunRecord, read_runs
from earmark.analysis.tables import write_tables
from earmark.config.sections import Options
from earmark.config.suite import SuiteConfig, read_suite
from earmark.runs.plan import plan_suite
from earmark.runs.suite import run_suite

PEAK_BF16 = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}
"""Dense bfloat16 operations per second, from NVIDIA's data sheets."""
TRAINING_COST = 3
"""A training step costs three times the operations of the forward pass."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("configs", nargs="+", type=Path)
    parser.add_argument("--root", help="folder of the data set, instead of the config's")
    parser.add_argument("--images", help="folder of ready-made images")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--jobs", type=int, default=4, help="worker processes that share the GPU")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--output", type=Path, default=Path("out"))
    given = parser.parse_args()
    options = Options(runs=given.runs, work=given.work, jobs=given.jobs)
    given.output.mkdir(parents=True, exist_ok=True)
    failed = False
    for path in given.configs:
        suite = adapt(read_suite(path), given)
        start = time.perf_counter()
        failures = run_suite(plan_suite(suite, options), options)
        seconds = time.perf_counter() - start
        for name, reason in failures.items():
            print(f"{name}: {reason}", file=sys.stderr)
        failed |= bool(failures)
        write_outcome(read_runs(options.runs / suite.name), suite.name, seconds, given.output)
    return int(failed)


def adapt(suite: SuiteConfig, given: argparse.Namespace) -> SuiteConfig:
    """The config with the folders of this machine and, where given, other seeds and epochs."""
    data = dataclasses.replace(suite.data, root=given.root or suite.data.root, images=given.images or suite.data.images)
    train = dataclasses.replace(suite.train, epochs=given.epochs or suite.train.epochs)
    return dataclasses.replace(suite, data=data, train=train, seeds=tuple(given.seeds or suite.seeds))


def write_outcome(records: Sequence[RunRecord], name: str, seconds: float, folder: Path) -> None:
    (folder / name).mkdir(exist_ok=True)
    print(write_tables(aggregate(records), folder / name))
    runs = [{**r.result, "timing": r.timing} for r in records]
    (folder / f"{name}-runs.json").write_text(json.dumps(runs), encoding="utf-8")
    with (folder / "hardware.md").open("a", encoding="utf-8", newline="") as file:
        file.write(hardware_table(records, name, seconds))
    print((folder / "hardware.md").read_text(encoding="utf-8"))


def peak_operations(device: str) -> float | None:
    """bfloat16 operations per second of a card by its name; None if it is not known."""
    return next((operations for card, operations in PEAK_BF16.items() if card in device), None)


def hardware_table(records: Sequence[RunRecord], name: str, seconds: float) -> str:
    """One line per variant: the speed of a run while others share the GPU."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    peak = peak_operations(device)
    lines = [
        f"{name}: {len(records)} runs, {seconds:.0f} s in this call, {device}, PyTorch {torch.__version__}\n",
        "| variant | s per epoch | images/s of a run | operations/s of a run | of peak |",
        "| --- " * 5 + "|",
    ]
    for variant in dict.fromkeys(r.variant for r in records):
        own = [r for r in records if r.variant == variant]
        per_epoch = sum(r.timing["train_seconds"] / r.result["epochs"] for r in own) / len(own)
        rate = sum(r.n_train for r in own) / len(own) / per_epoch
        operations = rate * TRAINING_COST * 2 * own[0].result["macs"]
        fraction = "–" if peak is None else f"{operations / peak:.1%}"
        lines.append(f"| {variant} | {per_epoch:.2f} | {rate:.0f} | {operations:.2e} | {fraction} |")
    return "\n".join(lines) + "\n\n"


if __name__ == "__main__":
    sys.exit(main())
