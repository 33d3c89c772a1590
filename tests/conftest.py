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


@pytest.fixture(scope="session")
def tones(tmp_path_factory) -> Path:
    """A folder of 36 short recordings of three classes, one subfolder each: tones of three octaves in noise."""
    import numpy as np
    import soundfile

    root = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    for label, frequency in {"high": 2000, "low": 250, "<script>": 700}.items():
        (root / label).mkdir()
        for i in range(12):
            seconds = np.arange(int(8000 * rng.uniform(0.25, 0.45))) / 8000
            tone = np.sin(2 * np.pi * frequency * rng.uniform(0.9, 1.1) * seconds)
            noise = rng.normal(size=len(seconds))
            soundfile.write(root / label / f"{label[:1]}{i:02d}.wav", 0.3 * tone + 0.1 * noise, 8000)
    return root


@pytest.fixture
def small_suite(tones):
    """A suite over `tones` that trains in seconds: baseline CNN, two variants, two folds, two epochs."""
    from earmark.config.suite import SuiteConfig, merge

    return merge(
        SuiteConfig(),
        {
            "name": "tones",
            "seeds": [1],
            "data": {"dataset": "folder", "root": str(tones)},
            "front_end": {"n_fft": 256, "hop_length": 64, "n_mels": 32},
            "split": {"kind": "group_kfold", "n_folds": 2},
            "augment": {"freq_mask_bins": 4},
            "train": {"epochs": 2, "batch_size": 4},
            "variants": {"plain": {}, "dropped": {"model": {"dropout": 0.5}}},
        },
    )
