"""Freed memory stays with the process that trains."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import earmark

PACKAGE = Path(earmark.__file__).parent

FAULTS = """
import resource, torch
from earmark.runtime.memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
torch.set_num_threads(1)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc's thresholds are glibc's")
def test_large_buffers_are_not_mapped_again():
    def count(keep: bool) -> int:
        done = subprocess.run(
            [sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert count(keep=True) < count(keep=False) / 10


def test_no_library_function_changes_the_allocator_of_the_process():
    """Bug 17: `mallopt` was called by the front end. Only the command line and worker processes may do so."""
    callers = set()
    for path in PACKAGE.rglob("*.py"):
        names = {
            node.id for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Name)
        }
        if "keep_freed_memory" in names:
            callers.add(path.relative_to(PACKAGE).as_posix())
    assert callers == {"cli/main.py", "runs/ray_executor.py", "runs/suite.py"}
