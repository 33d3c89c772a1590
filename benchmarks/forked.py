"""Run earmark commands in forked processes, so that hundreds of them can be started, limited and killed in minutes."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

PRELOADED = ("torch", "earmark.analysis.aggregate", "earmark.audit.audit", "earmark.cli.main", "earmark.deploy.predict")
PRELOADED += ("earmark.report.page", "earmark.runs.floor", "earmark.runs.suite")
CONFIG = """\
name = "tones"
seeds = [1]

[data]
dataset = "manifest"
root = "clips.csv"

[front_end]
n_fft = 256
hop_length = 64
n_mels = 32

[split]
n_folds = 2

[augment]
freq_mask_bins = 4
waveform = ["noisy"]

[train]
epochs = {epochs}
batch_size = 4

[variants.plain]

[variants.se]
model.attention = "se"
"""


def write_tones(folder: Path, n_clips: int = 12, epochs: int = 6) -> None:
    """Recordings of three classes, `n_clips` of each, below `audio/`, and a suite over them, `tones.toml`."""
    rng = np.random.default_rng(0)
    for label, frequency in {"high": 2000, "low": 250, "mid": 700}.items():
        (folder / "audio" / label).mkdir(parents=True)
        for i in range(n_clips):
            seconds = np.arange(int(8000 * rng.uniform(0.25, 0.45))) / 8000
            tone = np.sin(2 * np.pi * frequency * rng.uniform(0.9, 1.1) * seconds)
            samples = 0.3 * tone + 0.1 * rng.normal(size=len(seconds))
            soundfile.write(folder / "audio" / label / f"{label}{i:02d}.wav", samples, 8000)
    (folder / "tones.toml").write_text(CONFIG.format(epochs=epochs), encoding="utf-8")


def preload() -> None:
    """Import in this process what the commands need, without starting a thread."""
    for module in PRELOADED:
        importlib.import_module(module)


def start(argv: Sequence[str], folder: Path, log: Path, limit: Callable[[], None] | None = None) -> int:
    """Start `earmark argv` in a folder and a process group of its own; returns the process.

    Args:
        argv: arguments of the command.
        folder: working directory.
        log: file that takes stdout and stderr.
        limit: called in the new process before the command.
    """
    process = os.fork()
    if process:
        return process
    status = 3
    try:
        os.setsid()
        os.chdir(folder)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        if limit:
            limit()
        from earmark.cli.main import main

        try:
            main(list(argv))
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def wait(process: int, seconds: float = 600) -> int | None:
    """The exit status of a process, negative where a signal ended it; None: it does not end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def run(argv: Sequence[str], folder: Path, log: Path, limit: Callable[[], None] | None = None) -> int | None:
    """Run a command to its end; its exit status, None where it had to be killed."""
    process = start(argv, folder, log, limit)
    status = wait(process)
    if status is None:
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
    return status


def members(group: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@contextmanager
def no_orphans(group: int, seconds: float = 30) -> Iterator[list[int]]:
    """Yields a list that then has the processes of a group which outlive the block by `seconds`; they are killed."""
    found: list[int] = []
    yield found
    end = time.monotonic() + seconds
    while (left := members(group)) and time.monotonic() < end:
        time.sleep(0.05)
    found += left
    for process in left:
        os.kill(process, signal.SIGKILL)
