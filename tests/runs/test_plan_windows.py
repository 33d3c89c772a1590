"""Windows in use are scaled as in training, or it is said before the training that they will not be."""

import logging

import pytest

from earmark.config.sections import Options
from earmark.config.suite import merge
from earmark.runs.plan import plan_suite


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
