"""What leaks are worth: the same variant trained under an honest split and under those that people use.

The conditions are made by `earmark.runs.leaky_splits`; here they are run and compared, clip by clip and group by group.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.analysis.bootstrap import Resampling, evaluate
from earmark.analysis.records import RunRecord
from earmark.analysis.statistics import Interval, percentile_interval, resample_groups
from earmark.config.sections import Options
from earmark.config.suite import SuiteConfig
from earmark.datasets.manifest import Clip
from earmark.datasets.readers import read_dataset
from earmark.datasets.write_augmented import write_augmented
from earmark.runs.leaky_splits import add_copies, copies_across_parts, random_clips, selected_on_test
from earmark.runs.plan import SuitePlan, data_folder, data_key, plan, prepare
from earmark.splits.make import fold_numbers, make_split
from earmark.splits.split import Split

COPIES = ("noisy", "pitchUp2")
"""Waveform variants that are written as files of their own, as people do before they split."""
COMPARED = {
    "random_clips": "honest",
    "epoch_on_test": "honest",
    "copies_across_parts": "honest_with_copies",
}
"""Each leaky condition and the honest one that it is measured against."""
N_RESAMPLES = 10_000
RANDOM_SEED = 0


@dataclass(frozen=True)
class LeakEffect:
    """By how much one leak raises one metric."""

    condition: str
    metric: str
    honest: float
    leaky: float
    interval: Interval | None
    """95 % interval of the difference, by drawing groups again."""
    n_runs: int


def plan_inflation(suite: SuiteConfig, options: Options) -> SuitePlan:
    """All runs: conditions x folds x seeds of the suite's first variant.

    Raises:
        ValueError: the data or a setting cannot be used.
    """
    suite = dataclasses.replace(suite.only(), name=f"{suite.name}-optimism", folds=suite.folds, seeds=suite.seeds)
    clips = read_dataset(suite.data)
    base = suite.run(next(iter(suite.variants)), fold=1, seed=suite.seeds[0])
    copies = write_augmented(clips, COPIES, {}, data_folder(base.data, options.work) / "copies")
    recordings = prepare(base, [*clips, *copies], options.work)
    jobs = []
    for fold in suite.folds or fold_numbers(clips, suite.split):
        splits = conditions(clips, copies, suite, fold)
        for seed in suite.seeds:
            for condition, split in splits.items():
                train = dataclasses.replace(base.train, epochs=equal_epochs(base.train.epochs, splits["honest"], split))
                config = dataclasses.replace(base, variant=condition, fold=fold, seed=seed, train=train)
                jobs.append(plan(config, recordings, options.runs, split=split))
    return SuitePlan(tuple(jobs), {data_key(base): recordings})


def conditions(clips: Sequence[Clip], copies: Sequence[Clip], suite: SuiteConfig, fold: int) -> dict[str, Split]:
    """The split of every condition for one fold."""
    honest = make_split(clips, suite.split, fold)
    return {
        "honest": honest,
        "random_clips": random_clips(clips, suite.split, fold),
        "epoch_on_test": selected_on_test(honest, clips),
        "honest_with_copies": add_copies(honest, copies),
        "copies_across_parts": copies_across_parts(honest, clips, copies),
    }


def equal_epochs(epochs: int, honest: Split, split: Split) -> int:
    """As many epochs as make the steps of `epochs` under the honest split: copies are more clips, not more training."""
    return max(1, round(epochs * len(honest.train) / len(split.train)))


def measure_inflation(records: Sequence[RunRecord]) -> list[LeakEffect]:
    """Compare each leaky condition with its honest one on the same clips.

    Only cells (fold, seed) that all conditions have are counted.
    """
    by_condition: dict[str, dict[tuple[int, int], RunRecord]] = {}
    for record in records:
        by_condition.setdefault(record.variant, {})[record.fold_seed] = record
    needed = {*COMPARED, *COMPARED.values()} & set(by_condition)
    cells = set.intersection(*(set(by_condition[name]) for name in needed)) if needed else set()
    groups = sorted({group for name in needed for cell in cells for group in by_condition[name][cell].groups})
    weights = resample_groups(len(groups), N_RESAMPLES, np.random.default_rng(RANDOM_SEED))
    resampling = Resampling({group: row for row, group in enumerate(groups)}, weights)
    evaluated = {name: evaluate([by_condition[name][c] for c in sorted(cells)], resampling) for name in needed}
    return [
        LeakEffect(
            condition,
            metric,
            evaluated[honest].metrics[metric],
            evaluated[condition].metrics[metric],
            percentile_interval(
                evaluated[condition].resampled[metric] - evaluated[honest].resampled[metric], len(groups)
            ),
            len(cells),
        )
        for condition, honest in COMPARED.items()
        if {condition, honest} <= needed
        for metric in ("accuracy", "uar")
    ]


def format_inflation(found: Sequence[LeakEffect]) -> str:
    """A Markdown table in percent and points."""
    lines = ["| leak | metric | honest | leaky | inflation, points | 95 % interval | runs |", "| --- " * 7 + "|"]
    for i in found:
        interval = "-" if i.interval is None else f"{100 * i.interval.low:+.1f} to {100 * i.interval.high:+.1f}"
        gain = 100 * (i.leaky - i.honest)
        numbers = f"{100 * i.honest:.1f} | {100 * i.leaky:.1f} | {gain:+.1f} | {interval} | {i.n_runs}"
        lines.append(f"| {i.condition} | {i.metric} | {numbers} |")
    return "\n".join(lines)
