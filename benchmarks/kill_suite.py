"""Show that a suite gives the same results however it is interrupted and wherever its runs are trained.

    python benchmarks/kill_suite.py --data DATA/ESC-10

Trains the 20 runs of configs/esc10-short.toml (2 variants x 5 folds x 2 seeds) without interruption; then again, with
the whole process group killed (SIGKILL) at random moments and started again each time; then with two worker processes;
and, where ray is installed, on a Ray cluster of two nodes on this machine. Prints what was finished at each kill and a
table. Exit status 1: a file differs in more than the seconds that something took.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import hardware

ROOT = Path(__file__).parents[1]
COMPARED = ("result.json", "predictions.csv", "history.csv", "split.csv", "config.json")
"""Files of a run that must be the same; `timing.json` and TensorBoard's depend on time and machine."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    finished: int
    different: list[str]
    minutes: float
    remark: str = ""


def main() -> int:
    given = parse_arguments()
    print(f"{hardware()}, seed {given.seed}", flush=True)
    with contextlib.ExitStack() as stack:
        runs = given.runs or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        command = suite_command(given, runs)
        rows = [measured("uninterrupted", runs / "whole", None, lambda: finish(command("whole")))]
        expected = contents(runs / "whole")
        print(f"{len(expected)} runs in {rows[0].minutes:.1f} min", flush=True)

        def check(what: str, name: str, work: Callable[[], str | None]) -> None:
            rows.append(measured(what, runs / name, expected, work))
            print(f"{what}: {len(rows[-1].different)} differences", flush=True)

        killing = lambda: kill_and_finish(  # noqa: E731
            command("killed"), runs / "killed", given.kills, 60 * rows[0].minutes, random.Random(given.seed)
        )
        check(f"killed {given.kills} times", "killed", killing)
        check("two processes", "two", lambda: finish(command("two", "--jobs", "2")))
        if importlib.util.find_spec("ray"):
            check("Ray, two nodes", "ray", lambda: on_ray(command("ray", "--executor", "ray")))
        else:
            print("ray is not installed: skipping Ray (uv run --extra ray python ...)")
    report(rows)
    return int(any(row.different or row.finished != rows[0].finished for row in rows))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of ESC-10 or ESC-50")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "esc10-short.toml")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--runs", type=Path, help="where the runs are kept; a temporary folder if not given")
    return parser.parse_args()


def suite_command(given: argparse.Namespace, runs: Path) -> Callable[..., list[str]]:
    """The command line of the suite by the name of its folder; all use the same spectrograms."""

    def command(name: str, *more: str) -> list[str]:
        suite = [sys.executable, "-m", "earmark", "suite", str(given.config), "--data.root", str(given.data)]
        where = ["--runs", str(runs / name), "--work", str(runs / "work"), "--device", "cpu", "--threads", "1"]
        return [*suite, *where, *more]

    return command


def measured(what: str, runs: Path, expected: dict | None, work: Callable[[], str | None]) -> Row:
    start = time.monotonic()
    remark = work() or ""
    minutes = (time.monotonic() - start) / 60
    found = contents(runs)
    return Row(what, len(found), [] if expected is None else differences(expected, found), minutes, remark)


def start(command: Sequence[str]) -> subprocess.Popen:
    """Start a suite in its own process group; its output is logged next to its runs."""
    log = Path(command[command.index("--runs") + 1]).with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8", newline="") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)


def finish(command: Sequence[str]) -> None:
    with start(command) as process:
        if process.wait() != 0:
            sys.exit(f"exit status {process.returncode}: {' '.join(command)}")


def kill_and_finish(command: Sequence[str], runs: Path, kills: int, seconds: float, rng: random.Random) -> str:
    """Kill the suite `kills` times, spread over its work, then let it finish; returns the progress at each kill.

    A moment is drawn as a number of finished runs, and as seconds within the run after them.
    """
    n_runs = len(contents(runs.with_name("whole")))
    at_kill = []
    for kill in range(kills):
        after = rng.randrange(n_runs * kill // kills, n_runs * (kill + 1) // kills)
        with start(command) as process:
            wait_until(lambda after=after: n_finished(runs) >= after and under_way(runs), process)
            time.sleep(rng.uniform(0, seconds / n_runs))
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        started = [folder.name for folder in unfinished(runs)]
        at_kill.append(f"{n_finished(runs)}+{len(started)}")
        print(f"kill {kill + 1}: {n_finished(runs)} of {n_runs} runs finished, {len(started)} started", flush=True)
    finish(command)
    return f"finished+started at the kills: {', '.join(at_kill)}"


def wait_until(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    while not condition():
        if process.poll() is not None:
            sys.exit("the suite ended before it could be killed")
        time.sleep(0.02)


def n_finished(runs: Path) -> int:
    return len(list(runs.rglob("result.json")))


def unfinished(runs: Path) -> list[Path]:
    return [path.parent for path in runs.rglob("config.json") if not (path.parent / "result.json").is_file()]


def under_way(runs: Path) -> bool:
    """Whether a run has started and is not finished."""
    return bool(unfinished(runs))


@contextlib.contextmanager
def two_nodes() -> Iterator[str]:
    """The address of a Ray cluster of two nodes with one core each."""
    from ray.cluster_utils import Cluster

    os.environ |= {"RAY_worker_niceness": "0", "RAY_worker_register_timeout_seconds": "600"}  # for busy machines
    node = {"num_cpus": 1, "object_store_memory": 200 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        yield cluster.address
    finally:
        cluster.shutdown()


def on_ray(command: Sequence[str]) -> None:
    with two_nodes() as address:
        os.environ["RAY_ADDRESS"] = address
        finish(command)


def contents(runs: Path) -> dict[str, dict[str, bytes]]:
    """What is compared of each finished run, by folder and file name."""
    folders = sorted(path.parent for path in runs.rglob("result.json"))
    return {folder.name: {name: comparable(folder / name) for name in COMPARED} for folder in folders}


def comparable(path: Path) -> bytes:
    """The bytes of a file; of a history without the column `seconds`."""
    content = path.read_bytes()
    if path.name != "history.csv":
        return content
    rows = list(csv.reader(io.StringIO(content.decode())))
    left_out = rows[0].index("seconds")
    return json.dumps([row[:left_out] + row[left_out + 1 :] for row in rows]).encode()


def differences(expected: dict, found: dict) -> list[str]:
    """Names of files that differ, and of runs that only one of the two has."""
    odd = sorted(set(expected) ^ set(found))
    both = sorted(set(expected) & set(found))
    return odd + [f"{run}/{name}" for run in both for name in COMPARED if expected[run][name] != found[run][name]]


def report(rows: Sequence[Row]) -> None:
    print("\n| suite | runs | files that differ | minutes | |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        print(f"| {row.what} | {row.finished} | {len(row.different)} | {row.minutes:.1f} | {row.remark} |")
    for row in rows:
        for name in row.different:
            print(f"{row.what}: {name} differs")


if __name__ == "__main__":
    sys.exit(main())
