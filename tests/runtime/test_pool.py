"""Many tasks on several processes: order, errors, few at a time, and no process left behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from earmark.runtime.pool import CHUNK_TASKS, CHUNKS_AHEAD, CHUNKS_HELD, cores, map_tasks


def square(number):
    return number * number


def fail_at_40(number):
    if number == 40:
        raise ValueError("forty")
    return number


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order(jobs):
    assert list(map_tasks(square, range(100), jobs)) == [n * n for n in range(100)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_reaches_the_caller(jobs):
    with pytest.raises(ValueError, match="forty"):
        list(map_tasks(fail_at_40, range(100), jobs))


def test_nothing_to_do():
    assert list(map_tasks(square, [], 2)) == []
    assert cores() >= 1


def touch(path):
    path.touch()


def test_only_a_few_tasks_run_ahead_of_the_caller(tmp_path):
    """What bounds memory: results that nobody has taken yet."""
    results = map_tasks(touch, [tmp_path / str(i) for i in range(3000)], jobs=2)
    next(results)
    time.sleep(0.5)
    assert 1 <= len(list(tmp_path.iterdir())) <= (CHUNKS_HELD + CHUNKS_AHEAD + 1) * CHUNK_TASKS
    results.close()


def process_id(_):
    time.sleep(0.005)
    return os.getpid()


def test_this_process_and_the_others_share_the_work():
    workers = list(map_tasks(process_id, range(800), jobs=2))
    assert len(set(workers)) == 2
    assert workers.count(os.getpid()) > 100


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks up processes in /proc")
def test_workers_end_with_a_killed_parent(tmp_path):
    code = (
        "import os, sys, time; from pathlib import Path; from earmark.runtime.pool import map_tasks;"
        "sys.path.insert(0, sys.argv[2]); from test_parallel import mark_and_wait;"
        "list(map_tasks(mark_and_wait, [Path(sys.argv[1])] * 64, 2))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)]) as process:
        deadline = time.monotonic() + 30
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        workers = [int(path.name) for path in tmp_path.iterdir()]
        process.kill()
    assert len(workers) == 2  # the parent is one of them
    workers.remove(process.pid)
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in workers)


def mark_and_wait(folder):
    (folder / str(os.getpid())).touch()
    time.sleep(0.3)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split(") ")[1][0] != "Z"
    except OSError:
        return False
