"""How often test clips have been scored, and what choosing the best of all these scores is worth by chance."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import ndtr

from earmark.analysis.compare import Comparison
from earmark.analysis.ledger import (
    REPEATED,
    Look,
    digest_names,
    find_ledger,
    imported_configuration,
    model_configuration,
    read_ledger,
)
from earmark.analysis.records import RunRecord
from earmark.runtime.connected import connected_sets
from earmark.runtime.console import format_names, pluralize
from earmark.runtime.names import id_of

INTERVAL = 2 * 1.959964
"""Width of a 95 % interval in standard errors."""


@dataclass(frozen=True)
class LookCount:
    """The looks at the test clips of a comparison."""

    n: int
    """Configurations that have been scored on these test clips."""
    n_shown: int
    """Those of them in the comparison."""
    n_elsewhere: int
    """Configurations scored on other test subsets of the same clips alone: other folds, another `split.seed`."""
    complete: bool
    """Whether the ledger has every run of the comparison; otherwise `n` is a lower bound."""


def count_looks(records: Sequence[RunRecord]) -> LookCount:
    """Count the configurations that were scored on the test clips of these runs, by the ledgers beside them."""
    looks = _ledger_of(records)
    in_ledger = {look.run for look in looks}
    known_predictions = {look.run: look.predictions for look in looks}
    shown = [replace(look, predictions=known_predictions.get(look.run, "")) for look in map(_own_look, records)]
    new = [look for look in shown if look.run not in in_ledger]
    ids = {look.test_clips for look in shown}
    audio = {look.test_audio for look in looks if look.test_clips in ids and look.test_audio}
    here: list[Look] = []
    others: list[Look] = []
    for look in looks:
        (here if look.test_clips in ids or look.test_audio in audio else others).append(look)
    data, known = {look.clips for look in here}, {look.configuration for look in here}
    apart = [look for look in others if look.clips in data and look.configuration not in known]
    return LookCount(
        count_configurations([*here, *new]),
        count_configurations(shown),
        count_configurations(apart),
        complete=not new,
    )


def count_configurations(looks: Iterable[Look]) -> int:
    """Different settings; settings that were scored again with other data or other weights count again.

    Those of which all predictions are those of other settings, on the same clips, are these under another name.
    """
    runs: dict[str, dict[tuple[str, int, int], set[str]]] = defaultdict(lambda: defaultdict(set))
    for look in _without_copies(looks):
        runs[look.configuration][look.test_clips, look.fold, look.seed].add(look.run)
    return sum(max(map(len, by_place.values())) for by_place in runs.values())


def _without_copies(looks: Iterable[Look]) -> list[Look]:
    """The looks of settings that are first in having their predictions; those of unknown predictions are all there.

    Those that repeat a look at the same weights are left out.
    """
    by_configuration: dict[str, list[Look]] = defaultdict(list)
    for look in looks:
        if look.event != REPEATED:
            by_configuration[look.configuration].append(look)
    first: dict[frozenset[tuple[str, str]], list[Look]] = {}
    for configuration, own in by_configuration.items():
        known = all(look.predictions for look in own)
        made = {(look.test_clips, look.predictions) for look in own}
        first.setdefault(frozenset(made if known else {("configuration", configuration)}), own)
    return [look for own in first.values() for look in own]


def group_by_test_set(looks: Sequence[Look]) -> list[list[Look]]:
    """The looks by test set: those with the same clip ids or the same recordings."""
    pairs = [(number, key) for number, look in enumerate(looks) for key in _keys(look)]
    sets = connected_sets(pairs)
    return [[looks[number] for number in sorted(item for item in one if isinstance(item, int))] for one in sets]


def _keys(look: Look) -> list[str]:
    """The two names of a test set, as far as they are known."""
    return [f"clips {look.test_clips}", *[f"audio {look.test_audio}"] * bool(look.test_audio)]


def _ledger_of(records: Sequence[RunRecord]) -> list[Look]:
    found = {find_ledger(record.folder.parent) for record in records}
    return [look for path in sorted(filter(None, found)) for look in read_ledger(path)]


def _own_look(record: RunRecord) -> Look:
    """The look that a record stands for, where the ledger does not have it."""
    variant = record.result.get("variant", record.variant)
    configuration = imported_configuration(variant) if record.result.get("imported") else record.settings_id
    if checksum := record.result.get("model_checksum"):
        configuration = model_configuration(checksum)
    place = (record.variant, *record.fold_seed, configuration, record.id)
    return Look("", "", record.config.name, *place, digest_names(record.clip_ids), "", "", len(record.clip_ids))


def expected_maximum(n: int) -> float:
    """Expected largest of n independent standard normal numbers (David and Nagaraja 2003, section 3.1)."""
    x = np.linspace(-9, 9, 20_001)
    below = ndtr(x) ** n
    area = (below[1:] + below[:-1]).sum() / 2 * (x[1] - x[0])
    return float(9 - area)  # E[max] = 9 - integral of P(max < x) over -9 to 9


def look_notes(
    records: Sequence[RunRecord],
    intervals: Sequence[tuple[float | None, float | None]],
    comparisons: Sequence[Comparison],
) -> list[str]:
    """How many configurations have been scored on these test clips, and which scored runs have no result.

    Args:
        records: the runs of the comparison.
        intervals: 95 % interval of each variant on the metric, as fractions; None where there is none.
        comparisons: of the variants on the metric.
    """
    count = count_looks(records)
    least = "" if count.complete else "At least "
    text = f"{least}{pluralize(count.n, 'configuration')} {_have(count.n)} been scored on these test clips"
    text += f", {count.n_shown} of them shown here." if count.n > count.n_shown else "."
    if count.n_elsewhere:
        text += f" {count.n_elsewhere} more {_have(count.n_elsewhere)} been scored on other test subsets of these data."
    return [text + _chance(count, intervals, comparisons), *_removed_notes(records)]


def _have(n: int) -> str:
    return "has" if n == 1 else "have"


def _chance(
    count: LookCount, intervals: Sequence[tuple[float | None, float | None]], comparisons: Sequence[Comparison]
) -> str:
    """What the best of n equal configurations owes to luck, which is what scores of the same clips do not share.

    The difference of two has twice its variance, which is estimated best where they have most runs in common. Without a
    difference, all that a score varies by is the bound. Where all n are compared, `Best` says it for their scores.
    """
    judged = [(c.n_pairs, c.judgment.variance.total / 2) for c in comparisons if c.judgment is not None]
    widths = [high - low for low, high in intervals if low is not None and high is not None]
    if count.n < 2 or not (judged or widths) or (judged and count.n == count.n_shown):
        return ""
    luck = [math.sqrt(variance) for n_pairs, variance in judged if n_pairs == max(judged)[0]]
    error = np.median(luck) if luck else np.median(widths) / INTERVAL
    chance = f"{100 * expected_maximum(count.n) * float(error):.1f} points too high by chance"
    best = f" Of {count.n} equally good configurations, the best is expected to score"
    if luck:
        return f"{best} {chance}, given how much those shown differ."
    return f"{best} up to {chance} (an upper bound, because scores on the same clips are correlated)."


def _removed_notes(records: Sequence[RunRecord]) -> list[str]:
    """The runs of these suites that were scored and have no result any more."""
    names = []
    for folder, suite in sorted({(r.folder.parent, r.result.get("name", r.config.name)) for r in records}):
        if folder.name == suite:
            names += _removed(folder, suite)
    if not names:
        return []
    return [
        f"{pluralize(len(names), 'run')} of this suite {'was' if len(names) == 1 else 'were'} scored and "
        f"{_have(len(names))} no result any more ({format_names(names)}): the remaining runs may be a selection."
    ]


def _removed(folder: Path, suite: str) -> list[str]:
    path = find_ledger(folder)
    there = {id_of(result.parent) for result in folder.glob("*/result.json")}
    gone = {look.run: look for look in (read_ledger(path) if path else []) if look.suite == suite}
    return [f"{look.variant} fold {look.fold} seed {look.seed}" for run, look in gone.items() if run not in there]
