"""Train variants on splits that a benchmark makes itself, and print their comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from earmark.analysis.aggregate import aggregate
from earmark.analysis.records import read_runs
from earmark.analysis.tables import write_tables
from earmark.config.sections import Options
from earmark.config.suite import SuiteConfig
from earmark.datasets.read import read_dataset
from earmark.runs.plan import SuitePlan, data_folder, data_key, plan_data, plan_run
from earmark.runs.suite import run_suite
from earmark.splits.split import Split

MakeSplit = Callable[[SuiteConfig, int], Split]
"""The split of a suite's fold."""


def run_variants(suite: SuiteConfig, make_split: MakeSplit, folder: Path) -> None:
    """Train all runs of the suite's folds that are missing below `folder`, and write and print the tables."""
    clips = read_dataset(suite.data)
    splits = {fold: make_split(suite, fold) for fold in suite.folds}
    configs = suite.runs(suite.folds)
    by_key = {data_key(config): config for config in configs}
    data = {key: plan_data(c, clips, data_folder(suite.data, folder / "work")) for key, c in by_key.items()}
    runs = tuple(plan_run(c, data[data_key(c)], splits[c.fold], folder / "runs") for c in configs)
    failures = run_suite(
        SuitePlan(runs, data), Options(runs=folder / "runs", work=folder / "work", device="cpu", threads=1)
    )
    assert not failures, failures
    output = folder / "tables" / suite.name
    output.mkdir(parents=True, exist_ok=True)
    records = read_runs(folder / "runs" / suite.name)
    print(write_tables(aggregate(records, baseline=suite.baseline, metric=suite.metric), output))


def reduced(suite: SuiteConfig, root: str, folds: list[int], seeds: list[int]) -> SuiteConfig:
    """The suite with another folder, folds and seeds."""
    data = dataclasses.replace(suite.data, root=root)
    return dataclasses.replace(suite, data=data, folds=tuple(folds), seeds=tuple(seeds))
