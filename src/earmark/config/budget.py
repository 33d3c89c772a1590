"""Which settings give the variants of a comparison unequal chances."""

from __future__ import annotations

import json
from collections.abc import Sequence

from earmark.config.learning_curve import is_curve_point
from earmark.config.suite import RunConfig, deciding_settings


def unequal_budgets(runs: Sequence[RunConfig]) -> list[str]:
    """Settings outside `model` and the learning rate that differ between runs of one comparison.

    Variants that train longer, on other data or with other augmentation do not compare networks. Points of a learning
    curve are left out: they are no contestants. Settings that one search has chosen for all variants do not count: its
    budget was equal. Variants of different searches, or of a search and of none, are unequal.
    """
    sections = ("data", "split", "augment", "train")
    free = {"train.lr", "train.weight_decay", "train.backbone_lr_ratio"}
    contestants = [run for run in runs if not is_curve_point(run)]
    if len({run.tuned.search for run in contestants}) == 1 and contestants[0].tuned.mode != "none":
        free |= set(contestants[0].tuned.settings)
    seen: dict[str, set[str]] = {}
    for run in contestants:
        seen.setdefault("tuned.search", set()).add(run.tuned.search)
        for name, value in deciding_settings(run).items():
            if name.partition(".")[0] in sections and name not in free:
                seen.setdefault(name, set()).add(json.dumps(value, sort_keys=True))
    return sorted(name for name, values in seen.items() if len(values) > 1)
