"""A search in tables and sentences: what was searched, what the choice was worth, how stable it was over folds."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from earmark.analysis.records import RunRecord
from earmark.analysis.rows import Cell, Number, Table, cell
from earmark.analysis.tuning import ONCE, Choice, TrialRow, Tuning
from earmark.analysis.verdicts import METRIC_NAMES, percent, points
from earmark.config.search import tuned_name
from earmark.runtime.console import pluralize

STRATEGIES = {"random": "random search", "halving": "successive halving", "tpe": "TPE of Optuna"}
MODES = {
    "nested": "Chosen in each fold separately, inside its training subset (nested).",
    "once": "Chosen once for all folds, on clips that no fold tests (once).",
}

ENDS = {"largest": max, "smallest": min}
SAME_END = 0.8
"""In this fraction of the folds, an end of the numbers that were tried must win to be worth saying."""

SAME_SCORE = 1e-8
"""Scores that differ by less, relative to each other, are equal: trials.csv has nine digits."""

Tested = Mapping[tuple[str, int], float]
"""Score on the test clips by variant and fold; fold 0 is all folds."""


def scores_of_choices(records: Sequence[RunRecord], tuning: Tuning) -> dict[tuple[str, int], float]:
    """What the choices scored on test clips, mean over seeds, as far as their runs are finished."""
    found: dict[tuple[str, int], list[float]] = {}
    searched = {tuned_name(choice.variant, tuning.mode): choice.variant for choice in tuning.choices}
    for record in records:
        variant = record.result.get("variant", record.variant)  # not as renamed where folders are compared
        if record.config.tuned.search == tuning.search and variant in searched:
            fold = ONCE if tuning.mode == "once" else record.config.fold
            found.setdefault((searched[variant], fold), []).append(record.result["metrics"][tuning.metric])
    return {key: mean(values) for key, values in found.items()}


def search_text(tuning: Tuning) -> str:
    """How was searched, in sentences."""
    what = pluralize(len(tuning.space), "setting")
    each = "" if tuning.mode == "once" else " per fold"
    budget = f"{'at most ' if tuning.minutes else ''}{pluralize(tuning.trials, 'trial')}{each}"
    limit = f", within {tuning.minutes:g} minutes for the whole search" if tuning.minutes else ""
    rest = "; the best of them are trained longer" if tuning.strategy == "halving" else ""
    return (
        f"{MODES[tuning.mode]} {STRATEGIES[tuning.strategy].capitalize()} over {what}: {budget}{limit}, each scored by "
        f"{tuning.inner_folds} inner folds that keep groups together{rest}. No test clip was read."
    )


def space_table(tuning: Tuning) -> Table:
    """What was searched."""
    rows = tuple((cell(name), cell(text)) for name, text in tuning.space.items())
    return Table("What was searched", ("setting", "choices or range"), rows)


def choices_table(tuning: Tuning) -> Table:
    """The settings that won, by variant and fold."""
    names = list(tuning.space)
    rows = [
        (cell(choice_name(c)), *(cell(_text(c.settings[name])) for name in names), cell(str(c.trial)))
        for c in tuning.choices
    ]
    return Table("What won", ("", *names, "trial"), tuple(rows))


def worth_table(tuning: Tuning, tested: Tested) -> Table:
    """What each choice was worth; with a column of scores on test clips where there are any."""
    trials = "trials with all epochs" if tuning.strategy == "halving" else "trials"
    header = ("in %", trials, "winner", "config as it is", "median trial", "corrected")
    rows = [
        (
            cell(choice_name(c)),
            cell(str(c.n_trials)),
            *(_percent(value) for value in (c.score, c.default, c.median, c.corrected)),
            *([_percent(tested.get((c.variant, c.fold)))] if tested else []),
        )
        for c in tuning.choices
    ]
    title = f"What the choice was worth: {METRIC_NAMES[tuning.metric]} on the inner folds"
    return Table(title, (*header, *(["test clips"] if tested else [])), tuple(rows))


def worth_text(tuning: Tuning, tested: Tested) -> str:
    """What the choices were worth on average, and how much of that is left on groups that did not choose them."""
    choices = tuning.choices
    score = mean(c.score for c in choices)
    gains = [
        *_gain(score, choices),
        f"{points(score - mean(c.median for c in choices), True)} points from the median trial",
    ]
    where = "" if len(choices) == 1 else f" on average over {len(choices)} choices"
    parts = [f"The winner scored {percent(score)} % on the inner folds{where}: {' and '.join(gains)}."]
    corrected = [c.corrected for c in choices if c.corrected is not None]
    if len(corrected) == len(choices):
        expected, groups = mean(corrected), sorted(c.n_groups for c in choices)
        number = " to ".join(map(str, dict.fromkeys((groups[0], groups[-1]))))
        left = "".join(f", {gain}" for gain in _gain(expected, choices))
        parts.append(
            f"This score also chose it: on groups that did not, about {percent(expected)} % is expected{left}, "
            f"estimated from {number} groups."
        )
    scored = [tested[c.variant, c.fold] for c in choices if (c.variant, c.fold) in tested]
    if scored and len(scored) == len(choices):
        parts.append(
            f"On the test clips it reaches {percent(mean(scored))} %; inner folds train on fewer clips, so this may "
            "be higher."
        )
    return " ".join(parts)


def _gain(score: float, choices: Sequence[Choice]) -> list[str]:
    """By how much a mean score of the choices exceeds that of the config; nothing where a trial of it failed."""
    defaults = [c.default for c in choices if c.default is not None]
    whole = len(defaults) == len(choices)
    return [f"{points(score - mean(defaults), True)} points from the config as it is"] if whole else []


def complete_trials(trials: Sequence[TrialRow], choice: Choice, tuning: Tuning) -> list[TrialRow]:
    """The trials that a choice was made among."""
    own = [t for t in trials if (t.variant, t.fold) == (choice.variant, choice.fold) and t.score is not None]
    if "train.epochs" in tuning.space:
        return own
    return [t for t in own if t.epochs == choice.epochs]


def ties_text(tuning: Tuning, trials: Sequence[TrialRow]) -> str:
    """Choices whose score other trials have as well."""
    ties, same = [], []
    for choice in tuning.choices:
        rows = complete_trials(trials, choice, tuning)
        best = [t for t in rows if math.isclose(t.score or 0.0, choice.score, rel_tol=SAME_SCORE)]
        if len(best) > 1:
            ties.append(f"{choice_name(choice)} (trials {', '.join(str(t.trial) for t in best)})")
        if len(best) == len(rows) > 1 and len({t.nll for t in rows}) == 1:
            same.append(choice_name(choice))
    if not ties:
        return ""
    text = (
        f"Several trials share the best score: {'; '.join(ties)}. Of these the one with the lowest log-loss was "
        f"chosen, the first where that is equal as well; by {METRIC_NAMES[tuning.metric]} none of them is better than "
        "the others."
    )
    if same:
        text += f" All trials of {'; '.join(same)} have the same log-loss, too: no setting made a difference."
    return text


def stability_text(tuning: Tuning) -> str:
    """Whether the folds chose alike."""
    sentences = []
    for variant in dict.fromkeys(c.variant for c in tuning.choices):
        own = [c for c in tuning.choices if c.variant == variant]
        if len(own) > 1:
            counts = Counter(json.dumps(c.settings, sort_keys=True) for c in own)
            spread = "; ".join(f"{name}: {_spread([c.settings[name] for c in own])}" for name in tuning.space)
            same = "the same choice in " + ("both folds" if len(own) == 2 else f"all {len(own)} folds")
            frequent = f"the most frequent one in {counts.most_common(1)[0][1]}"
            different = f"{len(counts)} different choices in {len(own)} folds, {frequent}"
            sentences.append(f"{variant}: {same if len(counts) == 1 else different} ({spread}).")
    return " ".join(sentences) or "There is one choice, so its stability over folds is not known."


def ends_text(tuning: Tuning, trials: Sequence[TrialRow]) -> str:
    """Numbers of which the largest or smallest that was tried won in nearly all folds."""
    sentences = []
    for variant in dict.fromkeys(c.variant for c in tuning.choices):
        own = [c for c in tuning.choices if c.variant == variant]
        tried = {c.fold: [t.settings for t in trials if (t.variant, t.fold) == (variant, c.fold)] for c in own}
        ends = [_end(name, word, own, tried) for name in tuning.space for word in ENDS] if len(own) > 2 else []
        if found := ", ".join(filter(None, ends)):
            sentences.append(f"{variant}: at the end of what was tried: {found}. Values beyond were not tried.")
    return " ".join(sentences)


def _end(name: str, word: str, choices: Sequence[Choice], tried: Mapping[int, Sequence[Mapping[str, Any]]]) -> str:
    """In how many folds the largest or smallest number that was tried won; empty if in few, or if it is 0."""
    won = []
    for choice in choices:
        value, values = choice.settings[name], [settings[name] for settings in tried[choice.fold] if name in settings]
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (value, *values))
        if numbers and value != 0 and len({*values, value}) > 1 and value == ENDS[word]([*values, value]):
            won.append(value)
    if len(won) < SAME_END * len(choices):
        return ""
    folds = f"all {len(choices)}" if len(won) == len(choices) else f"{len(won)} of {len(choices)}"
    return f"{name} (the {word}, {_spread(won)}, in {folds} folds)"


def _spread(values: Sequence[Any]) -> str:
    """Numbers from the least to the most, other values with how often each won."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        low, high = min(values), max(values)
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"
    counts = Counter(map(_text, values)).most_common()
    return ", ".join(f"{text} {n}x" for text, n in counts)


def choice_name(choice: Choice) -> str:
    """The variant, and its fold where each has a choice of its own."""
    return choice.variant if choice.fold == ONCE else f"{choice.variant}, fold {choice.fold}"


def _percent(value: float | None) -> Cell:
    return cell(None if value is None else Number(value, percent(value)))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)
