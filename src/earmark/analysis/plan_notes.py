"""The runs of a comparison held against the plan of their suite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from earmark.analysis.notes import setting_text
from earmark.analysis.plan_file import DeclaredPlan, PlanEntry, RunKey, read_plan
from earmark.analysis.records import RunRecord
from earmark.runtime.console import format_names, pluralize

DEFAULT_METRIC = "accuracy"


def planned_choice(records: Sequence[RunRecord], metric: str, baseline: str | None) -> tuple[str, str]:
    """Metric and baseline: as given, else as planned, else accuracy and all pairs of variants.

    Of several plans, the metric counts where they agree.

    Args:
        records: the runs of the comparison.
        metric: empty for that of the plan.
        baseline: None for that of the plan.
    """
    planned = [plan.first for plan, _ in _plans(records)]
    metrics = {choice.metric for choice in planned}
    if baseline is None:
        only = planned[0].baseline if len(planned) == 1 else ""
        baseline = only if any(record.variant == only for record in records) else ""
    return metric or (metrics.pop() if len(metrics) == 1 else DEFAULT_METRIC), baseline


def plan_notes(records: Sequence[RunRecord], metric: str, baseline: str) -> list[str]:
    """What differs between the runs and the plan of their suite; empty without plan.json.

    Args:
        records: the runs of the comparison.
        metric: what the comparison is about.
        baseline: what all variants are compared with; empty for all pairs.
    """
    found = _plans(records)
    notes = []
    for plan, runs in found:
        prefix = f"{runs[0].folder.parent.name}: " if len(found) > 1 else ""
        texts = [*_run_notes(plan, runs), *_choice_notes(plan, metric, baseline), *_history_notes(plan)]
        notes += [prefix + text for text in texts]
    return notes


def _plans(records: Sequence[RunRecord]) -> list[tuple[DeclaredPlan, list[RunRecord]]]:
    """The plan of each suite that has one, with its runs."""
    folders = sorted({record.folder.parent for record in records})
    read = [(read_plan(folder), [r for r in records if r.folder.parent == folder]) for folder in folders]
    return [(plan, runs) for plan, runs in read if plan is not None]


def _run_notes(plan: DeclaredPlan, records: Sequence[RunRecord]) -> list[str]:
    planned, done = set(plan.runs.values()), {_place(record) for record in records}
    missing, others = planned - done, done - planned
    notes = []
    if missing:
        names = describe(missing, planned)
        be = "are" if "," in names else "is"
        notes.append(f"{len(planned) - len(missing)} of {len(planned)} planned runs: {names} {be} missing.")
    if others:
        variants = format_names(sorted({place.variant for place in others}))
        notes.append(f"{pluralize(len(others), 'run')} of {variants} not in the plan of the suite.")
    return notes


def _place(record: RunRecord) -> RunKey:
    return RunKey(record.result.get("variant", record.variant), *record.fold_seed)


def describe(places: Iterable[RunKey], everything: Iterable[RunKey]) -> str:
    """Runs in words: whole folds, whole seeds and whole variants of `everything` by name, the rest one by one."""
    left, texts = set(places), []
    for field in ("variant", "fold", "seed"):
        for value in sorted({getattr(place, field) for place in left}):
            whole = {place for place in everything if getattr(place, field) == value}
            if whole & left and whole <= set(places):
                texts.append(f"{field} {value}")
                left -= whole
    rest = [f"{variant} fold {fold} seed {seed}" for variant, fold, seed in sorted(left)]
    return format_names([*texts, *rest])


def _choice_notes(plan: DeclaredPlan, metric: str, baseline: str) -> list[str]:
    planned, notes = plan.first, []
    if metric != planned.metric:
        notes.append(f"This comparison is by {metric}; the plan of the suite is by {planned.metric}.")
    if baseline != planned.baseline:
        texts = (_baseline(baseline), _baseline(planned.baseline))
        notes.append(f"This comparison has {texts[0]}; the plan of the suite has {texts[1]}.")
    return notes


def _baseline(name: str) -> str:
    return f"the baseline {name}" if name else "no baseline"


def _history_notes(plan: DeclaredPlan) -> list[str]:
    """What was planned after results existed."""
    notes, before = [], plan.first
    if before.n_results:
        notes.append(f"The plan of the suite was written when {pluralize(before.n_results, 'result')} existed already.")
    known = set(before.runs.values())
    for entry in plan.later:
        known |= set(entry.runs.values())
        changes = [*_added(entry, known), *_changed_choices(before, entry), *_changed_settings(before, entry)]
        if changes:
            notes.append(
                f"Added to the plan when {pluralize(entry.n_results, 'result')} existed: {'; '.join(changes)}."
            )
        before = entry
    return notes


def _added(entry: PlanEntry, known: set[RunKey]) -> list[str]:
    if not entry.runs:
        return []
    places = set(entry.runs.values())
    return [f"{pluralize(len(places), 'run')} ({describe(places, known)})"]


def _changed_choices(before: PlanEntry, entry: PlanEntry) -> list[str]:
    metrics, baselines = ([getattr(e, name) for e in (entry, before)] for name in ("metric", "baseline"))
    pairs = [[f"metric {metric}" for metric in metrics], list(map(_baseline, baselines))]
    return [f"{new} instead of {old}" for new, old in pairs if new != old]


def _changed_settings(before: PlanEntry, entry: PlanEntry) -> list[str]:
    texts = []
    for variant in entry.variants.keys() & before.variants.keys():
        old, new = before.settings(variant), entry.settings(variant)
        changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
        texts += [
            f"{key} = {setting_text(new.get(key))} instead of {setting_text(old.get(key))} for {variant}"
            for key in changed
        ]
    return sorted(texts)
