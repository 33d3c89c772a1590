"""Freed memory stays with the process that trains."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from earmark.memory import keep_freed_memory
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
def test_large_buffers_are_not_mapped_anew():
    def count(keep: bool) -> int:
        done = subprocess.run([sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, text=True)
        return int(done.stdout)

    assert count(keep=True) < count(keep=False) / 10
