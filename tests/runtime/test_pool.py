"""Many tasks on several threads: order, errors, few at a time, and a prompt end."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from earmark.runtime.pool import TASKS_AHEAD, map_tasks


def square(number):
    return number * number


def fail_at_40(number):
    if number == 40:
        raise ValueError("forty")
    return number


@pytest.mark.parametrize("jobs", [0, 1, 2, 5])
def test_results_come_in_order(jobs):
    def slow_at_first(number):
        time.sleep(0.01 * (number < 3))
        return number * number

    assert list(map_tasks(slow_at_first, range(100), jobs)) == [n * n for n in range(100)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_reaches_the_caller_at_its_place(jobs):
    results = map_tasks(fail_at_40, range(100), jobs)
    assert [next(results) for _ in range(40)] == list(range(40))
    with pytest.raises(ValueError, match="forty"):
        next(results)


def test_nothing_to_do():
    assert list(map_tasks(square, [], 2)) == []
    assert list(map_tasks(square, [3], 2)) == [9]


@pytest.mark.parametrize("jobs", [1, 3])
def test_only_a_few_tasks_run_ahead_of_the_caller(jobs):
    """What bounds memory: results that nobody has taken yet."""
    started = []
    results = map_tasks(started.append, range(3000), jobs)
    next(results)
    time.sleep(0.2)
    assert 1 <= len(started) <= TASKS_AHEAD * jobs + 1
    results.close()
    time.sleep(0.1)
    assert len(started) <= TASKS_AHEAD * jobs + 1, "nothing is started after the end"


def test_the_work_is_divided_among_the_threads():
    barrier = threading.Barrier(2, timeout=10)
    assert len(list(map_tasks(lambda _: barrier.wait(), range(20), jobs=2))) == 20


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no CPU affinity")
def test_cores_respect_cpu_affinity():
    code = (
        "import os; from earmark.runtime.pool import cores;"
        "before = cores(); os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(before, cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(os.sched_getaffinity(0))), "1"]


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_an_interruption_ends_it_promptly(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from earmark.runtime.pool import map_tasks\n"
        "def work(i):\n    Path(sys.argv[1], str(i)).touch(); time.sleep(0.2)\n"
        "try:\n    list(map_tasks(work, range(1000), 2))\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while len(list(tmp_path.iterdir())) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=10)
    assert out == "interrupted\n"
    assert len(list(Path(tmp_path).iterdir())) < 100
