"""What a model costs on this machine: latency, throughput, memory and size, for each form in which it can run."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from earmark.deploy.info import DeployError
from earmark.deploy.model import load
from earmark.deploy.predict import find_audio
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import write_json
from earmark.training.checkpoint_files import checkpoint_of

MIN_CLIPS = 50
"""Clips are taken again until this many have been timed."""


@dataclass(frozen=True)
class Cost:
    """One form of a model, measured in a process of its own."""

    form: str
    megabytes: float
    """Size of the file, or of the files of a model folder."""
    p50_ms: float
    """Median latency of one clip, from the file to the label."""
    p95_ms: float
    files_per_second: float
    peak_megabytes: float
    """Resident memory at its highest, libraries included; 0 where the system does not tell."""
    accuracy: float | None = None
    """Of the clips whose folder is named like a class."""


def measure_costs(paths: Sequence[Path], clips: Sequence[Path], threads: int) -> list[Cost]:
    """The cost of each model file, run folder or model folder, one after the other, each in a fresh process.

    Raises:
        AudioError: there is no clip.
        DeployError: a process failed; the message is its last line.
    """
    files = find_audio(clips)
    for path in paths:
        load(path)  # what is wrong with the last model is said before the first is measured
    return [_measure_apart(path, files, threads) for path in paths]


def _measure_apart(path: Path, files: Sequence[Path], threads: int) -> Cost:
    environment = os.environ | {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    task = json.dumps({"path": str(path), "files": [str(file) for file in files], "threads": threads})
    command = [sys.executable, "-m", "earmark.deploy.measure"]
    result = subprocess.run(command, input=task, capture_output=True, text=True, check=False, env=environment)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"the process ended with status {result.returncode}"]
        raise DeployError(lines[-1] if str(path) in lines[-1] else f"{path}: {lines[-1]}")
    return Cost(**json.loads(result.stdout.splitlines()[-1]))


def measure_here(path: Path, files: Sequence[Path], threads: int) -> Cost:
    """The cost of one model in this process."""
    model = load(path, threads=threads)
    model.predict(files[0], warn_if_long=False)
    seconds, right, known = [], 0, 0
    for i in range(max(MIN_CLIPS, len(files))):
        file = files[i % len(files)]
        start = time.perf_counter()
        answer = model.predict(file, warn_if_long=False)
        seconds.append(time.perf_counter() - start)
        if i < len(files) and file.parent.name in model.class_names:
            known, right = known + 1, right + (answer.label == file.parent.name)
    p50, p95 = np.percentile(seconds, [50, 95]) * 1e3
    return Cost(
        form=path.name or path.resolve().name,
        megabytes=_size(path) / 1e6,
        p50_ms=round(float(p50), 2),
        p95_ms=round(float(p95), 2),
        files_per_second=round(len(seconds) / sum(seconds), 1),
        peak_megabytes=round(peak_megabytes(), 1),
        accuracy=right / known if known else None,
    )


def peak_megabytes() -> float:
    """Peak resident memory of this process; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    return float(status.read_text(encoding="ascii").split("VmHWM:")[1].split()[0]) / 1024


def write_costs(path: Path, costs: Sequence[Cost], threads: int) -> None:
    """The costs as JSON, for a report that puts latency beside accuracy."""
    machine = {"machine": platform.machine(), "system": platform.system(), "threads": threads}
    write_json(path, {"format_version": 1, **machine, "costs": [asdict(cost) for cost in costs]})


def format_costs(costs: Sequence[Cost]) -> str:
    """A table for the console."""
    lines = [f"{'model':<28}{'MB':>8}{'p50 ms':>9}{'p95 ms':>9}{'files/s':>9}{'peak MB':>9}{'accuracy':>10}"]
    for c in costs:
        accuracy = "" if c.accuracy is None else f"{100 * c.accuracy:.1f} %"
        numbers = (
            f"{c.megabytes:>8.2f}{c.p50_ms:>9.1f}{c.p95_ms:>9.1f}{c.files_per_second:>9.1f}{c.peak_megabytes:>9.0f}"
        )
        lines.append(f"{c.form:<28}{numbers}{accuracy:>10}")
    return "\n".join(lines)


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    from earmark.deploy.torch_engine import MODEL_FILE, model_files

    files = model_files(path) if (path / MODEL_FILE).is_file() else [checkpoint_of(path)]
    return sum(file.stat().st_size for file in files)


if __name__ == "__main__":
    given = json.load(sys.stdin)
    try:
        cost = measure_here(Path(given["path"]), [Path(f) for f in given["files"]], given["threads"])
    except EarmarkError as error:
        sys.exit(str(error))
    print(json.dumps(asdict(cost)))
