"""Honest and leaky conditions side by side, on a set where the leak is known to pay."""

import numpy as np
import pytest
import soundfile

from earmark.analysis.records import read_runs
from earmark.analysis.statistics import Interval
from earmark.config.sections import Options
from earmark.config.suite import SuiteConfig, merge
from earmark.datasets.manifest import Clip, write_manifest
from earmark.runs.leak_study import COMPARED, LeakEffect, format_inflation, measure_inflation, plan_inflation
from earmark.runs.suite import run_suite


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """Two classes that only the speaker tells apart: each of 8 speakers has a pitch of their own and one label."""
    folder = tmp_path_factory.mktemp("voices")
    rng = np.random.default_rng(0)
    clips = []
    pitches = rng.permutation(np.geomspace(200, 3000, 8))
    for speaker, pitch in enumerate(pitches):
        for take in range(4):
            seconds = np.arange(2400) / 8000
            path = folder / f"s{speaker}t{take}.wav"
            soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * seconds) + 0.01 * rng.normal(size=2400), 8000)
            clips.append(Clip(path.stem, path, "ab"[speaker % 2], f"s{speaker}", speaker % 4 + 1, 0.3))
    write_manifest(clips, folder / "clips.csv")
    return folder / "clips.csv"


def test_leaky_conditions_are_run_marked_and_measured(voices, tmp_path):
    suite = merge(
        SuiteConfig(),
        {
            "name": "voices",
            "folds": [1, 2],
            "data": {"dataset": "manifest", "root": str(voices)},
            "front_end": {"n_fft": 256, "hop_length": 64, "n_mels": 32},
            "split": {"kind": "folds"},
            "augment": {"freq_masks": 0, "time_masks": 0, "mixup_alpha": 0.0},
            "train": {"epochs": 8, "batch_size": 4},
        },
    )
    options = Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1)
    planned = plan_inflation(suite, options)
    assert len(planned.jobs) == 2 * 5
    assert len({job.id for job in planned.jobs}) == 10
    steps = {len(job.split.train) * job.config.train.epochs for job in planned.jobs}
    assert max(steps) < 1.2 * min(steps), "copies make no longer training"
    assert run_suite(planned, options) == {}
    records = read_runs(tmp_path / "runs" / "voices-optimism")
    by_condition = {record.variant: record for record in records}
    assert set(by_condition) == {*COMPARED, *COMPARED.values()}
    for name in COMPARED:
        assert by_condition[name].result["split"]["leaks"], f"{name} is marked"
    for name in COMPARED.values():
        assert not by_condition[name].result["split"]["leaks"]
    assert by_condition["epoch_on_test"].result["selected_on"] == "test"
    found = measure_inflation(records)
    assert {(i.condition, i.metric) for i in found} == {(c, m) for c in COMPARED for m in ("accuracy", "uar")}
    gain = {i.condition: i.leaky - i.honest for i in found if i.metric == "accuracy"}
    assert gain["random_clips"] > 0.2, "who knows the speaker knows the label"
    assert gain["epoch_on_test"] >= 0


def test_the_table_is_in_points():
    line = format_inflation([LeakEffect("random_clips", "uar", 0.6, 0.683, Interval(0.05, 0.12), 10)]).splitlines()[-1]
    assert line == "| random_clips | uar | 60.0 | 68.3 | +8.3 | +5.0 to +12.0 | 10 |"
