"""By how much leaky splits raised a score, from the finished runs of `earmark optimism`."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from earmark.analysis.compare import joint_model
from earmark.analysis.paired_model import MIN_GROUPS
from earmark.analysis.records import RunRecord
from earmark.analysis.statistics import Interval
from earmark.analysis.step_down import LEVEL
from earmark.analysis.verdicts import covered
from earmark.runtime.console import pluralize

COMPARED = {
    "random_clips": "honest",
    "epoch_on_test": "honest",
    "copies_across_subsets": "honest_with_copies",
}
"""Each leaky condition and the honest one that it is compared with."""
MATES = {"random_clips": "another clip of their group", "copies_across_subsets": "a copy"}
"""What test clips have in training under a leaky condition."""
METRICS = {"accuracy": "accuracy", "uar": "UAR"}


@dataclass(frozen=True)
class LeakEffect:
    """By how much one leak raises one metric."""

    condition: str
    metric: str
    honest: float
    leaky: float
    interval: Interval | None
    """95 % interval of the difference, over groups of clips, seeds and training sets; None with too few groups."""
    n_clips: int
    """Clips that were reported under both conditions."""
    n_runs: int
    """Runs of each of the two conditions."""
    n_folds: int
    n_tested: int
    """Clips that were reported under the honest condition."""
    n_mates: int
    """Clips among `n_clips` that have a mate in training under the leaky condition: a clip of the group, or a copy."""
    largest: float
    """The difference if the leak turned all clips with a mate from wrong to right; it cannot explain a larger one."""

    @property
    def difference(self) -> float:
        return self.leaky - self.honest


def measure_leaks(records: Sequence[RunRecord], mates: Mapping[str, Collection[str]]) -> list[LeakEffect]:
    """Compare each leaky condition with its honest one on the clips that both have reported.

    Seeds count that have finished the same folds under both conditions. A condition without such seeds, or without
    clips in common, is left out.

    Args:
        records: the finished runs of the study.
        mates: by run id, the test clips that have a clip of their group, or a copy, in training.
    """
    n_train = {r.fold_seed: r.n_train for r in records if r.variant == "honest"}  # copies are no further recordings
    records = [replace(r, n_train=n_train.get(r.fold_seed, r.n_train)) for r in records]
    effects = []
    for condition, honest in COMPARED.items():
        runs = [[r for r in records if r.variant == name] for name in (condition, honest)]
        leaky_runs, honest_runs = _on_common_clips(*runs)
        if leaky_runs:
            n_tested = len({i for r in runs[1] for i in r.clip_ids})
            effects += [_compare(m, leaky_runs, honest_runs, mates, n_tested) for m in METRICS]
    return effects


def _on_common_clips(first: list[RunRecord], second: list[RunRecord]) -> tuple[list[RunRecord], list[RunRecord]]:
    """The runs of two conditions cut to the folds, seeds and clips that both have."""
    shared = {r.fold_seed for r in first} & {r.fold_seed for r in second}
    folds = {fold for fold, _ in shared}
    seeds = {seed for _, seed in shared if all((fold, seed) in shared for fold in folds)}
    first, second = ([r for r in runs if r.fold_seed in shared and r.config.seed in seeds] for runs in (first, second))
    common = {i for r in first for i in r.clip_ids} & {i for r in second for i in r.clip_ids}
    return _restrict(first, common), _restrict(second, common)


def _restrict(records: Sequence[RunRecord], clip_ids: Collection[str]) -> list[RunRecord]:
    """The records with these clips alone, without those that have none of them."""
    restricted = []
    for record in records:
        kept = [i for i, clip_id in enumerate(record.clip_ids) if clip_id in clip_ids]
        if kept:
            restricted.append(
                replace(
                    record,
                    clip_ids=tuple(record.clip_ids[i] for i in kept),
                    groups=tuple(record.groups[i] for i in kept),
                    targets=record.targets[kept],
                    predictions=record.predictions[kept],
                    probs=record.probs[kept],
                )
            )
    return restricted


def _compare(
    metric: str,
    leaky: Sequence[RunRecord],
    honest: Sequence[RunRecord],
    mates: Mapping[str, Collection[str]],
    n_tested: int,
) -> LeakEffect:
    """The effect of one leak on one metric, by the model of all comparisons.

    It pairs runs of one fold, and `random_clips` has other folds than the honest split: the answers of one side are
    sorted into the folds of the other. What seeds and training sets change is then visible on one side alone, so this
    is done both ways and the wider interval is taken, which covers the truth as often as in comparisons of equal folds.
    """
    models = [
        joint_model({"leaky": _in_folds_of(side, leaky), "honest": _in_folds_of(side, honest)}, metric)
        for side in (honest, leaky)
    ]
    runs = models[0].runs
    with_mate = {i for r in leaky for i in r.clip_ids if i in mates.get(r.id, ())}
    both = np.isfinite(runs.difference("leaky", "honest"))
    scores = [runs.mean(np.where(both, right, np.nan)) for right in runs.right]
    has_mate = np.isin(runs.clip_ids, sorted(with_mate)).astype(float)
    found = [score for m in models if (score := m.difference("leaky", "honest", 1 - LEVEL)) is not None]
    widest = max(found, key=lambda score: score.high - score.low, default=None)
    return LeakEffect(
        condition=leaky[0].variant,
        metric=metric,
        honest=scores[1],
        leaky=scores[0],
        interval=None if widest is None else Interval(widest.low, widest.high),
        n_clips=len(runs.clip_ids),
        n_runs=len(leaky),
        n_folds=len({r.config.fold for r in leaky}),
        n_tested=n_tested,
        n_mates=len(with_mate),
        largest=runs.mean(np.where(both, has_mate, np.nan)),
    )


def _in_folds_of(records: Sequence[RunRecord], others: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs `records` with the answers of `others`: of the same seed to the same clips, in the order of folds."""
    answers: dict[tuple[int, str], deque[int]] = defaultdict(deque)
    for run in sorted(others, key=lambda r: r.fold_seed):
        for clip_id, prediction in zip(run.clip_ids, run.predictions.tolist(), strict=True):
            answers[run.config.seed, clip_id].append(prediction)
    moved = []
    for run in sorted(records, key=lambda r: r.fold_seed):
        seed = run.config.seed
        for kept in _restrict([run], {i for i in run.clip_ids if answers[seed, i]}):
            moved.append(replace(kept, predictions=np.array([answers[seed, i].popleft() for i in kept.clip_ids])))
    return moved


def format_leaks(effects: Sequence[LeakEffect]) -> str:
    """A Markdown table in percent and points, or one sentence where nothing can be compared yet."""
    if not effects:
        return "No leak can be measured yet: no fold and seed has finished under a leaky and its honest condition."
    columns = ("leak", "metric", "honest", "leaky", "inflation, points", "95 % interval", "clips", "runs")
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for e in effects:
        interval = "-" if e.interval is None else f"{100 * e.interval.low:+.1f} to {100 * e.interval.high:+.1f}"
        scores = f"{100 * e.honest:.1f} | {100 * e.leaky:.1f} | {100 * e.difference:+.1f} | {interval}"
        lines.append(f"| {e.condition} | {e.metric} | {scores} | {e.n_clips} | {e.n_runs} |")
    return "\n".join(lines)


def leak_notes(effects: Sequence[LeakEffect]) -> list[str]:
    """What to know before believing the table: what intervals cover, and what a leak can explain at most."""
    if not effects:
        return []
    notes = [_interval_note(effects)]
    if any(e.interval is None for e in effects):
        notes.append(f"No interval (-): it takes {MIN_GROUPS} groups of clips that both conditions test.")
    if any(e.difference < 0 for e in effects):
        notes.append("A leak is not expected to lower a score: a value below 0 shows how much training and folds vary.")
    for condition in dict.fromkeys(e.condition for e in effects):
        notes += _condition_notes([e for e in effects if e.condition == condition])
    return notes


def _interval_note(effects: Sequence[LeakEffect]) -> str:
    """What the intervals cover and assume."""
    note = f"The intervals cover {covered(fixed=False)}, and are not corrected for the number of leaks."
    if any(e.n_runs == e.n_folds for e in effects):
        note += " Every fold has one seed, so they include an assumed effect of other seeds; more --seeds measure it."
    if any(e.n_folds == 1 for e in effects):
        note += " No condition has several training sets, so they include an assumed effect of other training sets."
    return f"{note} These are estimates, not verdicts."


def _condition_notes(effects: Sequence[LeakEffect]) -> list[str]:
    """How many clips of one condition are compared, how many can profit from its leak, and where that is too few."""
    condition, n = effects[0].condition, effects[0].n_clips
    notes = []
    if n < effects[0].n_tested:
        tested = pluralize(effects[0].n_tested, "test clip")
        notes.append(f"{condition}: compared on the {n} of {tested} that its folds test, too; more folds have more.")
    if condition not in MATES:
        return notes
    note = f"{condition}: {effects[0].n_mates} of {pluralize(n, 'test clip')} have {MATES[condition]} in training"
    beyond = [e for e in effects if e.difference > e.largest + 1e-9]
    if beyond:
        parts = [f"{100 * e.largest:.1f} of {100 * e.difference:.1f} points of {METRICS[e.metric]}" for e in beyond]
        note += f", so the leak explains at most {' and '.join(parts)}; the rest is training and other folds"
    return [*notes, f"{note}."]
