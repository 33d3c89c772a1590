"""Measuring two ways of doing the same thing against each other, fairly, and saying whether a target is met."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from earmark.runtime.pool import cores

DATA = Path(os.environ.get("EARMARK_DATA", Path(__file__).parents[2] / "shared" / "data"))
"""Where the data sets lie unless `--data` says otherwise."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    ours: str
    theirs: str
    ratio: float
    """How many times better than theirs."""
    noise: float
    """Half of the range that the middle half of the measured ratios covers."""
    target: float
    """The smallest ratio that is good enough; 0 where there is none."""

    @property
    def missed(self) -> bool:
        """Below the target by more than the noise."""
        return self.ratio + self.noise < self.target


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """`--data`, the folder of the data sets."""
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder with ESC-10 and EmoDB-2s (default: {DATA})")


def compare(
    what: str,
    ours: Callable[[object], object],
    theirs: Callable[[object], object],
    inputs: Sequence[object],
    target: float = 0.0,
    rounds: int = 5,
) -> Row:
    """CPU time of two functions over the same inputs, taken in turn; medians, and the spread of their ratio."""
    ours(inputs[0]), theirs(inputs[0])  # imports, caches, compilation
    seconds = np.array([[cpu_seconds(theirs, x), cpu_seconds(ours, x)] for _ in range(rounds) for x in inputs])
    slow, fast = np.median(seconds, axis=0)
    ratios = seconds[:, 0] / seconds[:, 1]
    return Row(what, f"{1e3 * fast:.2f} ms", f"{1e3 * slow:.2f} ms", slow / fast, half_spread(ratios), target)


def cpu_seconds(function: Callable[[object], object], argument: object) -> float:
    """Processor time of one call: on one thread, what it takes on a core of its own."""
    start = time.process_time()
    function(argument)
    return time.process_time() - start


def half_spread(values: Sequence[float]) -> float:
    lower, upper = np.percentile(values, [25, 75])
    return float(upper - lower) / 2


def report(rows: Sequence[Row]) -> int:
    """Print the table in Markdown; returns the exit status: 1 when a target is missed by more than the noise."""
    print(f"\n{date.today().isoformat()}, {hardware()}, Python {platform.python_version()}, NumPy {np.__version__}\n")
    print("| what | earmark | compared with | ratio | target |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        target = f"{row.target:g}{' MISSED' if row.missed else ''}" if row.target else ""
        print(f"| {row.what} | {row.ours} | {row.theirs} | {row.ratio:.2f} ± {row.noise:.2f} | {target} |")
    return int(any(row.missed for row in rows))


def hardware() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{cores()} cores of {names[0] if names else platform.processor()}"
