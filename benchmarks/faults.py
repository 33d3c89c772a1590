"""Take away disk, memory, files, home and time from earmark, and show that it says so in one line and resumes.

    python benchmarks/faults.py

Each fault meets one command on 18 short synthetic recordings. The command must end with the expected status, without a
traceback; then the same command without the fault must succeed, and its files must be those of a run that never met
a fault, byte by byte. Needs Linux; the faults that need root are left out without it. Exit status 1: one is not met.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import forked
from kill_stages import TEMPORARY, contents
from measure import hardware

SUITE = ("suite", "tones.toml", "--device", "cpu", "--threads", "1")
SPECTROGRAMS = ("spectrograms", "clips.csv", "-o", "store", "--jobs", "1")
AUGMENT = ("augment", "clips.csv", "-o", "augmented", "--jobs", "1")
REPORT = ("report", "runs", "-o", "report.html")
MIB = 2**20


@dataclass(frozen=True)
class Fault:
    """What is taken away from a command, and what it then must do."""

    name: str
    argv: tuple[str, ...]
    output: str
    statuses: tuple[int, ...]
    says: str
    """Pattern of the last line; empty: any line, or none after success."""
    limit: Callable[[], None] | None = None
    """Called in the process of the command."""
    around: Callable[[Path], AbstractContextManager] = nullcontext
    """Entered before the command and left after it; gets the folder."""


def limited(kind: int, value: int) -> Callable[[], None]:
    """Set a limit of the process."""
    return lambda: resource.setrlimit(kind, (value, value))


def little_memory() -> None:
    """Leave the process 40 MiB more address space than it has."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    size = pages * resource.getpagesize() + 40 * MIB
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def broken_clock() -> None:
    """Let the clock jump by up to a year, back and forth."""
    rng, true = random.Random(0), time.time
    time.time = lambda: true() + rng.uniform(-3e7, 3e7)


def without_home() -> None:
    os.environ |= {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent/cache"}


def without_tmpdir() -> None:
    os.environ["TMPDIR"] = tempfile.tempdir = "/nonexistent"


def closed_pipe() -> None:
    """Write to a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)
    sys.stdout = os.fdopen(1, "w", closefd=False)


def terminated(number: int, seconds: float) -> Callable[[], None]:
    """Send a signal to the process after some seconds."""

    def limit() -> None:
        parent = os.getpid()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets background processes ignore it
        if os.fork() == 0:
            time.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):
                os.kill(parent, number)
            os._exit(0)

    return limit


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Let the output folders be on a disk of 60 kB; what was written there stays."""
    with contextlib.ExitStack() as stack:
        for name in {"store", "augmented", "runs", "work"} - {path.name for path in folder.iterdir()}:
            (folder / name).mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", str(folder / name)]
            subprocess.run(mount, check=True)
            stack.callback(_unmount, folder / name)
        yield


def _unmount(folder: Path) -> None:
    """Replace a mounted folder by a plain one of the same content."""
    copy = folder.with_name(f"{folder.name}-copy")
    shutil.copytree(folder, copy)
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()
    copy.rename(folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nothing be written in the folder."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def vanished(folder: Path) -> Iterator[None]:
    path = folder / "audio" / "low" / "low01.wav"
    path.rename(folder / "elsewhere.wav")
    yield
    (folder / "elsewhere.wav").rename(path)


@contextmanager
def changed(folder: Path) -> Iterator[None]:
    """Train, then change a recording: what is finished belongs to the old one."""
    forked.run(SUITE, folder, folder.with_name("log"))
    path = folder / "audio" / "low" / "low01.wav"
    content = path.read_bytes()
    path.write_bytes(content[:-100] + bytes(100))
    yield
    path.write_bytes(content)


TRAINING = (1, 2)
FULL = r"No space left on device.*free some disk space"
FAULTS = [
    Fault("disk full", SPECTROGRAMS, "store", (2,), FULL, around=small_disk),
    Fault("disk full", AUGMENT, "augmented", (2,), FULL, around=small_disk),
    Fault("disk full", SUITE, "runs", TRAINING, FULL, around=small_disk),
    Fault("files of 50 kB at most", SUITE, "runs", TRAINING, r"too large", limited(resource.RLIMIT_FSIZE, 50_000)),
    Fault("read-only folder", SPECTROGRAMS, "store", (2,), r"Read-only file system", around=read_only),
    Fault("read-only folder", SUITE, "runs", (2,), r"Read-only file system", around=read_only),
    Fault("read-only folder", REPORT, "report.html", (2,), r"Read-only file system", around=read_only),
    Fault("vanished recording", SPECTROGRAMS, "store", (2,), r"low01\.wav", around=vanished),
    Fault("vanished recording", SUITE, "runs", (2,), r"low01\.wav", around=vanished),
    Fault("changed recording", SUITE, "runs", (2,), r"trained on other recordings", around=changed),
    Fault("clock jumps by a year", SPECTROGRAMS, "store", (0,), "", broken_clock),
    Fault("clock jumps by a year", SUITE, "runs", (0,), "", broken_clock),
    Fault("no home", SUITE, "runs", (0,), "", without_home),
    Fault("TMPDIR not there", SUITE, "runs", (0,), "", without_tmpdir),
    Fault("TMPDIR not there", REPORT, "report.html", (0,), "", without_tmpdir),
    Fault("closed pipe", ("models", "alexnet"), "", (141,), "", closed_pipe),
    Fault("closed pipe", ("status", "runs"), "", (141,), "", closed_pipe),
    Fault("closed pipe", ("aggregate", "runs", "-o", "tables"), "tables", (141,), "", closed_pipe),
    Fault("64 open files", SPECTROGRAMS, "store", (0,), "", limited(resource.RLIMIT_NOFILE, 64)),
    Fault("64 open files", SUITE, "runs", (0,), "", limited(resource.RLIMIT_NOFILE, 64)),
    Fault("64 open files", REPORT, "report.html", (0,), "", limited(resource.RLIMIT_NOFILE, 64)),
    Fault("40 MiB of memory", (*SUITE, "--train.batch_size", "4000"), "", TRAINING, "out of memory", little_memory),
    Fault("40 MiB of memory", SPECTROGRAMS, "store", (0, 2), "", little_memory),
    Fault("4 GB of address space", SPECTROGRAMS, "store", (0,), "", limited(resource.RLIMIT_AS, 4 * 10**9)),
    Fault("4 GB of address space", SUITE, "runs", (0, *TRAINING), "", limited(resource.RLIMIT_AS, 4 * 10**9)),
    *(
        Fault(f"{word} after {seconds:g} s", argv, output, (0, status), ".", terminated(number, seconds))
        for word, number, status in (("SIGTERM", signal.SIGTERM, 143), ("Ctrl-C", signal.SIGINT, 130))
        for argv, output, all_seconds in ((SPECTROGRAMS, "store", (0.0, 0.1)), (SUITE, "runs", (0.2, 1.5, 4.0)))
        for seconds in all_seconds
    ),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[""], help="faults whose name and command contain one of these")
    given = parser.parse_args()
    print(hardware(), flush=True)
    forked.preload()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        forked.write_tones(whole, n_clips=6, epochs=2)
        log = Path(name) / "log"
        tables = ("aggregate", "runs", "-o", "tables")
        for argv in (("manifest", "folder", "audio", "-o", "clips.csv"), SPECTROGRAMS, AUGMENT, SUITE, REPORT, tables):
            if forked.run(argv, whole, log) != 0:
                sys.exit(log.read_text(encoding="utf-8"))
        for fault in FAULTS:
            named = any(text in f"{fault.name} {fault.argv[0]}" for text in given.only)
            if named and not (fault.around in (small_disk, read_only) and os.geteuid()):
                rows.append(meet(fault, whole, Path(name) / "met", log))
                print(" | ".join(rows[-1]), flush=True)
    print("\n| fault | command | status | what it says | then |\n| --- | --- | ---: | --- | --- |")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    return int(any("NOT" in cell for row in rows for cell in row))


def meet(fault: Fault, whole: Path, folder: Path, log: Path) -> tuple[str, ...]:
    """Run a command under a fault, then without it; returns its line of the table."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    inputs = ["audio", "tones.toml", "clips.csv", *(["runs"] if fault.output != "runs" else [])]
    for name in inputs:
        copy = shutil.copytree if (whole / name).is_dir() else shutil.copy2
        copy(whole / name, folder / name)
    with fault.around(folder):
        status = forked.run(fault.argv, folder, log, fault.limit)
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [
        line for line in re.split(r"[\r\n]+", text) if line.strip() and "it/s" not in line and "clip/s" not in line
    ]
    good = status in fault.statuses and "Traceback" not in text
    last = next((line for line in reversed(lines) if line.startswith("earmark ")), "") if status else ""
    if not good or (fault.says not in ("", ".") and not re.search(fault.says, "\n".join(lines))):
        last = f"NOT as expected: {' // '.join(lines[-4:])}"
    return (
        fault.name,
        fault.argv[0],
        str(status),
        last.replace(str(folder.parent), "")[:230],
        then(fault, whole, folder, log),
    )


def then(fault: Fault, whole: Path, folder: Path, log: Path) -> str:
    """The same command without the fault, and how its files compare."""
    if not fault.output:
        return ""
    if forked.run(fault.argv, folder, log) != 0:
        return f"NOT resumed: {log.read_text(encoding='utf-8', errors='replace')[-300:]}"
    expected, found = contents(whole / fault.output), contents(folder / fault.output)
    differ = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    left = [path.name for path in folder.rglob("*") if TEMPORARY.search(path.name)]
    return f"NOT the same: {differ[:3]} {left[:3]}" if differ or left else "the same files"


if __name__ == "__main__":
    sys.exit(main())
