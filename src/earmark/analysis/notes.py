"""What a reader must know before believing the numbers of a comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from earmark.analysis.floor import Floor
from earmark.analysis.history import FALLING, MIN_EPOCHS, loss_decrease, mean_losses
from earmark.analysis.paired_model import MIN_GROUPS
from earmark.analysis.records import RunRecord, are_fixed
from earmark.analysis.verdicts import end_points, percent, points
from earmark.config.suite import RunConfig, deciding_settings
from earmark.runtime.console import format_names, pluralize

TUNED = {
    "nested": "chosen in each fold separately, by inner folds of its training subset; the score is that of the search, "
    "not of one configuration",
    "once": "chosen once by inner folds of clips that no fold tests",
}
"""How a search has chosen settings, by its mode."""
RESIDUAL = ("resnet50", "mn")
"""Beginnings of the names of networks with residual branches and a place for attention in them."""
MOST_CLIPS = 0.6
"""Fraction of the clips in one class from which on accuracy says little of the other classes."""
FEW_GROUPS = 4
"""Groups of a class below which the other classes have much of a say in how much it varies, see `moderate` in
`earmark.analysis.class_variance` (benchmarks/verdict.py --part few-groups)."""
NETWORK = {"model.name", "model.attention", "model.placement", "probe.kind", "probe.shots", "probe.draws"}
"""Settings that a comparison of networks varies on purpose."""
MAX_DIFFERING = 4
"""Of more other settings that differ, a note names only these with their values."""


def notes_on(
    by_variant: Mapping[str, Sequence[RunRecord]], n_groups: int, unfinished: Sequence[str], seed_note: str = ""
) -> list[str]:
    """The notes on the runs of each variant, the most serious first; `seed_note` is that of `pair_seeds`."""
    records = [run for runs in by_variant.values() for run in runs]
    several_seeds = len({(run.variant, run.config.fold) for run in records}) < len(records)
    return [
        *_split_notes(records),
        *_missing_notes(by_variant, unfinished, by_fold_alone=bool(seed_note)),
        *[seed_note] * bool(seed_note and several_seeds),
        *_same_notes(by_variant),
        *_import_notes(by_variant),
        *_start_notes(by_variant),
        *_tuning_notes(by_variant),
        *_setting_notes({name: runs[0].config for name, runs in by_variant.items() if not runs[0].imported}),
        *_control_notes([runs[0].config for runs in by_variant.values() if not runs[0].imported]),
        *_group_notes(records, n_groups),
        *_class_notes(by_variant),
        *_convergence_notes(by_variant),
    ]


def floor_notes(floor: Floor, metric: str) -> list[str]:
    """The variants that do not beat the best reference, and the references that are missing."""
    best = floor.best(metric)
    which = "" if best is None else f"the floor, {best.name}"
    open_claim = f"Not shown to beat {which}, which needs no network"
    if best is not None and floor.unbeaten:  # the headline says that
        open_claim = f"Differences from {which} ({percent(best.score(metric))} %)"
    by_claim: dict[str, list[str]] = {}
    for check in floor.checks:
        if best is None or check.beaten is not False:
            continue
        interval = ""
        if check.low is not None and check.high is not None and check.high - check.low > 1:
            interval = "; too few folds and groups for an interval"
        elif check.low is not None and check.high is not None:
            interval = f", 95 % interval {end_points(check.low, True)} to {end_points(check.high, True)}"
        claim = f"Worse than {which}, which needs no network" if check.worse else open_claim
        text = f"{check.variant} ({points(check.difference, True)} points{interval})"
        by_claim.setdefault(claim, []).append(text)
    notes = [f"{claim}: {', '.join(texts)}." for claim, texts in by_claim.items()]
    return notes + [f"Reference without a score: {name} ({reason})." for name, reason in floor.missing.items()]


def _split_notes(records: Sequence[RunRecord]) -> list[str]:
    leaky = [run for run in records if run.result["split"]["leaks"]]
    waived = {group for run in records for group in run.result["split"]["waived_groups"]}
    waiver = next((run.result["split"]["waiver"] for run in records if run.result["split"]["waiver"]), "")
    notes = []
    if leaky:
        example, *others = leaky[0].result["split"]["leaks"]
        example += f" and {len(others)} more" if others else ""
        notes.append(
            f"LEAKAGE in {len(leaky)} of {len(records)} runs: the training subset contains test data ({example}), "
            "so these scores are too high."
        )
    if waived:
        notes.append(f"Groups that cross subsets, by the published exception {waiver}: {', '.join(sorted(waived))}.")
    if records[0].result["reported_subset"] != "test":
        notes.append(
            f"The scores are of the {records[0].result['reported_subset']} subset: the split has no test subset."
        )
    return notes


def _missing_notes(
    by_variant: Mapping[str, Sequence[RunRecord]], unfinished: Sequence[str], by_fold_alone: bool
) -> list[str]:
    """Runs that were left out, and those that one variant has and another one lacks.

    Args:
        by_fold_alone: the variants have different seeds, so that only whole folds can be missing.
    """
    planned = {run.fold_seed for runs in by_variant.values() for run in runs}
    notes = [f"{pluralize(len(unfinished), 'unfinished run')} left out: {format_names(unfinished)}."] * bool(unfinished)
    lacking: dict[tuple[tuple[int, int], ...], list[str]] = {}
    for name, runs in by_variant.items():
        missing = sorted(planned - {run.fold_seed for run in runs})
        if by_fold_alone:
            missing = [key for key in missing if key[0] not in {run.config.fold for run in runs}]
        if missing:
            lacking.setdefault(tuple(missing), []).append(name)
    for keys, names in lacking.items():
        listed = format_names([f"fold {fold} seed {seed}" for fold, seed in keys])
        lack, them, their = ("lacks", "it", "its") if len(names) == 1 else ("lack", "them", "their")
        notes.append(
            f"{format_names(names)} {lack} {len(keys)} of {len(planned)} runs ({listed}): compare {them} by the paired "
            f"differences, which leave out these runs of both variants, not by {their} scores. Metrics other than "
            "accuracy and UAR are of the seeds that have all folds."
        )
    return notes


def _same_notes(by_variant: Mapping[str, Sequence[RunRecord]]) -> list[str]:
    """The variants that are likely to be one model under several names; of labels, all that are right prove nothing."""
    alike: dict[tuple[tuple[tuple[int, int], bytes], ...], list[str]] = {}
    for name, runs in by_variant.items():
        if any(run.has_probs or (run.predictions != run.targets).any() for run in runs):
            alike.setdefault(tuple((run.fold_seed, run.probs.tobytes()) for run in runs), []).append(name)
    return [
        f"All predictions of {format_names(names)} are the same: are they one model under several names?"
        for names in alike.values()
        if len(names) > 1
    ]


def _class_notes(by_variant: Mapping[str, Sequence[RunRecord]]) -> list[str]:
    """The classes that no clip is of, one that most clips are of, and the variants that always answer the same."""
    records = [run for runs in by_variant.values() for run in runs]
    names = records[0].class_names
    counts = np.bincount(np.concatenate([run.targets for run in records]), minlength=len(names))
    notes = []
    if absent := [name for name, count in zip(names, counts, strict=True) if not count]:
        found = f"{len(names) - len(absent)} of {len(names)} classes have clips; the average recall is that of these"
        notes.append(f"{found} (none of {format_names(absent)}).")
    fraction = counts.max() / counts.sum()
    if MOST_CLIPS <= fraction < 1:
        notes.append(
            f"{percent(fraction)} % of the clips are {names[counts.argmax()]}, so always answering that has this "
            "accuracy; in the average recall (UAR), each class counts the same."
        )
    answers = {name: {int(k) for run in runs for k in run.predictions} for name, runs in by_variant.items()}
    if constant := [name for name, given in answers.items() if len(given) == 1 < len(names) - len(absent)]:
        notes.append(f"The same class is predicted for every clip: {format_names(constant)}.")
    return notes


def _import_notes(by_variant: Mapping[str, Sequence[RunRecord]]) -> list[str]:
    """What is not known of predictions that another tool made."""
    selected = [n for n, runs in by_variant.items() if any(r.result["selected_on"] == "unknown" for r in runs)]
    unknown = {n: runs for n, runs in by_variant.items() if not all(r.training_subset_known for r in runs)}
    checked = [n for n, runs in unknown.items() if all(r.training_files_checked for r in runs)]
    subsets = [n for n in unknown if n not in checked]
    notes = []
    fixed = [n for n, runs in by_variant.items() if all(r.fixed_model for r in runs)]
    if are_fixed([run for runs in by_variant.values() for run in runs]):
        notes.append(
            "Networks are judged as they are: the intervals are for other recordings, not for another training with "
            "other seeds or clips."
        )
    elif fixed:
        notes.append(
            f"{format_names(fixed)}: of a model as it is, but not every variant is one run of such a model, so all "
            "intervals include other seeds and training sets. Where the others are finished models, too: `earmark "
            "import --as-it-is`."
        )
    if selected:
        notes.append(
            f"It is not known what the settings of {format_names(selected)} were chosen on (selected_on = unknown): if "
            "it was the test clips, the score is too high."
        )
    if subsets:
        notes.append(
            f"It is not known which clips {format_names(subsets)} trained on: a difference in score may come from the "
            "training subset, and leaks cannot be checked."
        )
    if len(subsets) == len(by_variant) and not fixed and all(len(runs) == 1 for runs in by_variant.values()):
        notes.append(
            "One run of each variant: where the question is about these finished models and not about their recipes, "
            "`earmark import --as-it-is` gives intervals without other seeds and training sets."
        )
    if whole := [n for n in subsets if not any(r.n_train for r in unknown[n])]:
        notes.append(
            f"{format_names(whole)}: every clip of the manifest is a test clip. If any of them was in training, the "
            "score is too high."
        )
    for name, runs in by_variant.items():
        n_clips = sum(r.result.get("n_unanswered", 0) for r in runs)
        if n_clips:
            of_all, label = pluralize(sum(len(r.clip_ids) for r in runs), "test clip"), runs[0].result.get("missing")
            notes.append(f"{name} gave no answer for {n_clips} of {of_all}: they count as {label}.")
    if checked:
        notes.append(
            f"No test clip is the same file as one that {format_names(checked)} trained on, unless named as leakage. "
            "Converted copies, and other recordings of the same groups, would not be noticed."
        )
    return notes


def _start_notes(by_variant: Mapping[str, Sequence[RunRecord]]) -> list[str]:
    """The variants whose initial weights something unknown has trained."""
    names = [name for name, runs in by_variant.items() if any(run.unknown_start for run in runs)]
    what = f"It is not known what trained the weights that {format_names(names)} started from"
    return [f"{what}: if it was the test clips, the score is too high."] * bool(names)


def _tuning_notes(by_variant: Mapping[str, Sequence[RunRecord]]) -> list[str]:
    """How the settings of tuned variants were chosen."""
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, (run, *_) in by_variant.items():
        alike.setdefault((run.config.tuned.mode, tuple(sorted(run.config.tuned.settings))), []).append(name)
    return [
        f"{format_names(names)}: {format_names(settings)} {how}."
        for kind, how in TUNED.items()
        for (mode, settings), names in alike.items()
        if mode == kind
    ]


def _setting_notes(configs: Mapping[str, RunConfig]) -> list[str]:
    """The settings outside network and search that differ between variants, with their values."""
    flat = {name: flat_settings(config) for name, config in configs.items()}
    keys = {key for settings in flat.values() for key in settings if not key.startswith("tuned.")} - NETWORK
    differing = {}
    for key in sorted(keys):
        values: dict[str, list[str]] = {}
        for name, settings in flat.items():
            if key in settings:
                values.setdefault(settings[key], []).append(name)
        if len(values) > 1:
            shown = "; ".join(f"{value} for {format_names(names)}" for value, names in values.items())
            differing[key] = f"{key} ({shown})"
    with_values, others = [*differing.values()][:MAX_DIFFERING], [*differing][MAX_DIFFERING:]
    more = f"; and in {', '.join(others)}, whose values `earmark report` lists" if others else ""
    what = f"Variants differ in {', '.join(with_values)}{more}: a difference in score may come from that."
    return [what] * bool(differing)


def _control_notes(configs: Sequence[RunConfig]) -> list[str]:
    """Attention in the residual branches of a network from scratch is compared without its control."""
    models = [c.model for c in configs if c.model.weights == "none" and c.model.placement == "block"]
    kinds = {model.attention for model in models if model.name.startswith(RESIDUAL)}
    if "none" not in kinds or "constant" in kinds or len(kinds) == 1:
        return []
    return [
        "Attention gates start near 1/2, so the residual branches of a network from scratch start smaller, which by "
        'itself changes how it trains: add a variant with model.attention = "constant" as a control.'
    ]


def flat_settings(config: RunConfig) -> dict[str, str]:
    """What decides the result, apart from fold and seed, as section.key, each value as text.

    A probe trains no network: of the settings of training it has the window alone.
    """
    unused = ("augment.", "train.", "model.train") if config.probe.kind != "none" else ()
    return {
        name: setting_text(value)
        for name, value in deciding_settings(config).items()
        if name not in ("fold", "seed") and (name == "train.window_seconds" or not name.startswith(unused))
    }


def setting_text(value: Any) -> str:
    """The value of a setting as notes show it."""
    return value if isinstance(value, str) else json.dumps(value)


def _group_notes(records: Sequence[RunRecord], n_groups: int) -> list[str]:
    notes = []
    if n_groups < MIN_GROUPS:
        notes.append(f"{pluralize(n_groups, 'group')} of clips: intervals and verdicts need {MIN_GROUPS}.")
    if any(run.ungrouped for run in records):
        notes.append(
            "Each clip is a group of its own: if some clips have the same speaker or source recording, the scores may "
            "be too high and the intervals too narrow."
        )
    groups_of_class: dict[str, set[str]] = {}
    for run in records:
        for target, group in zip(run.targets, run.groups, strict=True):
            groups_of_class.setdefault(run.class_names[target], set()).add(group)
    counts = {name: len(groups) for name, groups in groups_of_class.items()}
    few = sorted(name for name, count in counts.items() if count < FEW_GROUPS)
    if few and n_groups >= MIN_GROUPS and (len(few) < len(counts) or min(counts.values()) == 1):
        notes.append(
            f"Test clips of {format_names(few)} are of fewer than {FEW_GROUPS} groups: intervals of UAR assume that "
            "groups of such a class vary as those of the other classes do."
        )
    return notes


def _convergence_notes(by_variant: Mapping[str, Sequence[RunRecord]]) -> list[str]:
    losses, notes = mean_losses(by_variant), []
    falling = {name: decrease for name, loss in losses.items() if (decrease := loss_decrease(loss)) > FALLING}
    if falling:
        names = format_names([f"{name} {100 * decrease:.0f} %" for name, decrease in falling.items()])
        notes.append(
            f"Training had not converged: the training loss was still falling over the last epochs ({names}). "
            "More epochs may change the scores and their order."
        )
    if short := [name for name, loss in losses.items() if 0 < len(loss) < MIN_EPOCHS]:
        notes.append(
            f"Too few epochs to see whether training had converged: {format_names(short)}. More epochs may change the "
            "scores and their order."
        )
    return notes
