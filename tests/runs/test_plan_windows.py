"""Windows in use are scaled as in training, or it is said before the training that they will not be."""

import logging

import pytest

from earmark.config.sections import Options
from earmark.config.suite import merge
from earmark.runs.plan import plan_suite
from earmark.runs.plan_warnings import warn_of_plan


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": {"window_seconds": 0.1}}, True),
        ({"train": {"window_seconds": 0.1}, "front_end": {"reference": "fixed"}}, False),
        ({}, False),
    ],
)
def test_short_windows_of_clips_that_are_scaled_by_their_peak_are_named(small_suite, tmp_path, caplog, changes, said):
    options = Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1)
    with caplog.at_level(logging.WARNING, logger="earmark"):
        plan_suite(merge(small_suite, changes), options)
    assert ("by the peak of each window; set front_end.reference = 'fixed'" in caplog.text) == said


@pytest.mark.parametrize(("seconds", "said"), [(0.0, True), (0.3, False)])
def test_folds_with_windows_of_different_length_are_named(small_suite, tmp_path, caplog, seconds, said):
    """Their networks cannot be averaged, which was said by `earmark finalize` alone, after all trainings."""
    options = Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1)
    plan = plan_suite(merge(small_suite, {"train": {"window_seconds": seconds}}), options)
    caplog.clear()
    warn_of_plan(plan, (), tmp_path / "clips.csv")
    assert ("cannot average the networks of the folds; for one length set train.window_seconds" in caplog.text) == said
