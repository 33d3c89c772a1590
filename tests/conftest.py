"""Fixtures shared by all tests."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors, and several test processes at a time: threads only wait

from pathlib import Path

import pytest

REAL_DATA = Path(os.environ.get("EARMARK_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with ESC-10, EmoDB-2s, ... (see docs/data.md); the test is skipped where it is absent."""
    if not (REAL_DATA / "ESC-10").is_dir():
        pytest.skip(f"real data not found at {REAL_DATA}; set EARMARK_DATA to the folder that holds ESC-10")
    return REAL_DATA
