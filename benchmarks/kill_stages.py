"""Kill every stage of the pipeline at random moments and show that what it leaves does not matter.

    python benchmarks/kill_stages.py

Each stage runs on 12 short synthetic recordings until it ends, then again in a fresh folder, killed (SIGKILL, the main
process only) at random moments and started again each time, until it was killed as often as the table says. Two
suites on one store are killed in turn. In the end the files must be those of the uninterrupted pipeline, byte by byte,
without temporary files, and no worker process may outlive its parent by 30 s. Exit status 1: something differs.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import forked
from kill_suite import comparable
from measure import hardware

SUITE = ("suite", "tones.toml", "--device", "cpu", "--threads", "1")
RUN_FILES = ("result.json", "predictions.csv", "history.csv", "split.csv", "split.json", "config.json")
TEMPORARY = re.compile(r"\.[0-9a-f]+\.tmp$|^shared-.*\.bin$")


@dataclass(frozen=True)
class Stage:
    """One command, what it writes, and how often it is killed."""

    name: str
    argv: tuple[str, ...]
    output: str
    kills: int
    n_processes: int = 1
    """How many terminals run the command at the same time."""


STAGES = (
    Stage("manifest", ("manifest", "folder", "audio", "-o", "clips.csv"), "clips.csv", 6),
    Stage("augment", ("augment", "clips.csv", "-o", "augmented"), "augmented", 12),
    Stage("spectrograms", ("spectrograms", "clips.csv", "-o", "store"), "store", 12),
    Stage("split", ("split", "clips.csv", "--n-folds", "2", "-o", "split"), "split", 4),
    Stage("audit", ("audit", "clips.csv", "--json", "audit.json"), "audit.json", 6),
    Stage("suite", SUITE, "runs", 24),
    Stage("suite --jobs 2", (*SUITE, "--jobs", "2"), "runs", 12),
    Stage("two suites at once", SUITE, "runs", 14, n_processes=2),
    Stage("report", ("report", "runs", "-o", "report.html"), "report.html", 5),
    Stage("predict", ("predict", "RUN", "audio", "--csv", "predicted.csv"), "predicted.csv", 5),
)


@dataclass
class Row:
    """What happened to a stage."""

    kills: int = 0
    ended: int = 0
    """How often it ended before or after its kills, each time with the files compared."""
    different: int = 0
    temporary: int = 0
    orphans: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--stages", nargs="+", default=[stage.name for stage in STAGES], help="these only")
    parser.add_argument("--share", type=float, default=1.0, help="of the kills")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--clips", type=int, default=4, help="recordings of each of the three classes")
    parser.add_argument("--epochs", type=int, default=2, help="of each of the four runs of the suite")
    given = parser.parse_args()
    print(f"{hardware()}, seed {given.seed}", flush=True)
    forked.preload()
    rng, rows = random.Random(given.seed), {}
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        forked.write_tones(whole, n_clips=given.clips, epochs=given.epochs)
        for stage in STAGES:
            if "--jobs" not in stage.argv and stage.n_processes == 1:
                seconds = timed(stage, whole)
            if stage.name in given.stages:
                before = time.monotonic()
                rows[stage.name] = attack(stage, whole, Path(name) / "killed", seconds, given.share, rng)
                print(f"{stage.name} ({time.monotonic() - before:.0f} s): {rows[stage.name]}", flush=True)
    report(rows)
    return int(any(row.different or row.temporary or row.orphans for row in rows.values()))


def command(stage: Stage, folder: Path) -> list[str]:
    """The arguments of a stage; RUN is the first run folder."""
    first = min((path.parent for path in folder.glob("runs/*/*/result.json")), default=Path("none"))
    return [str(first) if argument == "RUN" else argument for argument in stage.argv]


def timed(stage: Stage, folder: Path) -> float:
    """Seconds of an uninterrupted stage."""
    before = time.monotonic()
    status = forked.run(command(stage, folder), folder, folder / f"{stage.name}.log")
    if status not in (0, 1):
        sys.exit(f"{stage.name}: status {status}: {(folder / f'{stage.name}.log').read_text(encoding='utf-8')}")
    return time.monotonic() - before


def attack(stage: Stage, whole: Path, folder: Path, seconds: float, share: float, rng: random.Random) -> Row:
    """Kill a stage as often as it says, let it end, and compare."""
    row, log = Row(), folder / "log"
    fresh(stage, whole, folder)
    while row.kills < max(1, round(stage.kills * share)):
        processes = [forked.start(command(stage, folder), folder, log) for _ in range(stage.n_processes)]
        time.sleep(rng.uniform(0, seconds))
        victims = rng.sample(processes, rng.randint(1, len(processes)))
        killed = [process for process in victims if not ended(process)]
        row.kills += len(killed)
        for process in killed:
            with forked.no_orphans(process) as orphans:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
            row.orphans += len(orphans)
        for process in set(processes) - set(victims):
            forked.wait(process)
        if len(killed) < stage.n_processes and all(done(stage, folder)):
            check(stage, whole, folder, row)
            fresh(stage, whole, folder)
    if forked.run(command(stage, folder), folder, log) not in (0, 1):
        print(log.read_text(encoding="utf-8"), flush=True)
        row.different += 1
    check(stage, whole, folder, row)
    shutil.rmtree(folder)
    return row


def ended(process: int) -> bool:
    """Whether a process had ended by itself; it is then reaped."""
    return os.waitpid(process, os.WNOHANG)[0] != 0


def done(stage: Stage, folder: Path) -> list[bool]:
    """For each result of a suite whether it is there; for other stages whether there is any output."""
    if stage.output != "runs":
        return [(folder / stage.output).exists()]
    runs = list(folder.glob("runs/*/*/"))
    return [len(runs) == 4, *((run / "result.json").is_file() for run in runs)]


def fresh(stage: Stage, whole: Path, folder: Path) -> None:
    """The inputs of the stage, made by the uninterrupted pipeline, in an empty folder of the same depth."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("audio", "tones.toml", "clips.csv", "runs"):
        if name == stage.output or (name == "runs" and stage.name not in ("report", "predict")):
            continue
        if (whole / name).is_dir():
            shutil.copytree(whole / name, folder / name, copy_function=shutil.copy2)
        elif (whole / name).exists():
            shutil.copy2(whole / name, folder / name)


def check(stage: Stage, whole: Path, folder: Path, row: Row) -> None:
    """Compare the output with that of the uninterrupted pipeline."""
    row.ended += 1
    expected, found = (contents(base / stage.output) for base in (whole, folder))
    names = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    for name in names:
        print(f"{stage.name}: {name} differs", flush=True)
    row.different += len(names)
    left = [path for path in folder.rglob("*") if TEMPORARY.search(path.name)]
    for path in left:
        print(f"{stage.name}: {path.relative_to(folder)} is left", flush=True)
    row.temporary += len(left)


def contents(path: Path) -> dict[str, bytes]:
    """What is compared of a file or folder, by name: everything, of run folders `RUN_FILES`."""
    if path.is_file():
        return {path.name: path.read_bytes()}
    files = [file for file in path.rglob("*") if file.is_file() and ".lock" not in file.name]
    files = [file for file in files if not TEMPORARY.search(file.name)]
    if path.name == "runs":
        return {str(file.relative_to(path)): comparable(file) for file in files if file.name in RUN_FILES}
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def report(rows: dict[str, Row]) -> None:
    print("\n| stage | kills | ends compared | files that differ | temporary files left | orphans |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    total = Row()
    for name, row in [*rows.items(), ("all", total)]:
        print(f"| {name} | {row.kills} | {row.ended} | {row.different} | {row.temporary} | {row.orphans} |")
        for field in vars(total):
            setattr(total, field, getattr(total, field) + getattr(row, field))


if __name__ == "__main__":
    sys.exit(main())
