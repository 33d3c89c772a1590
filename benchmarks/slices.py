"""How often a claim about a slice of the clips is wrong (`--by`), by simulation without any true difference.

    python benchmarks/slices.py            # a table in Markdown, about 4 minutes on one free core
    python benchmarks/slices.py --quick    # the same with a tenth of the experiments

Two variants; whole groups are drawn into slices, or clips where it says so. Numbers after +- are Monte-Carlo standard
errors; a width is half of an interval, the mean over slices.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from simulated_runs import Experiment, Structure, draw
from verdict import SPEAKERS, percent

from earmark.analysis.joint_model import JointModel
from earmark.analysis.paired_runs import PairedRuns
from earmark.analysis.slices import Column, Estimate, Slices, find_slices

HALVES, SMALL, SMALLEST = (0.5, 0.5), (0.6, 0.3, 0.1), (0.82, 0.06, 0.06, 0.06)
KINDS = ("differences", "gaps", "changes")
GRID = (
    (Structure("5 folds x 3 seeds, 100 groups of 4"), HALVES),
    (Structure("5 x 3, 100 groups of 4"), SMALL),
    (Structure("5 x 3, 100 groups of 4, by clip"), SMALL),
    (Structure("5 x 3, 100 groups of 4"), SMALLEST),
    (Structure("5 x 3, 100 groups of 4, training sets 1.5 points").with_training(1.5), SMALL),
    (Structure("5 x 1, 100 groups of 4", n_seeds=1), SMALL),
    (Structure("5 x 3, 300 groups of 4, 97 % right", n_groups=300, accuracy=0.97), (0.7, 0.25, 0.05)),
    (Structure("5 x 3, 20 groups of 20", n_groups=20, clips_per_group=20), (0.75, 0.25)),
    (Structure("5 x 3, groups of 1 to 20", unequal=True), (0.9, 0.1)),
    (Structure("5 x 3, a group with 30 % of the clips", giant=0.3), (0.7, 0.3)),
    (Structure("5 x 3, 100 groups of 4, UAR", uar=True), (0.7, 0.3)),
    (Structure("5 x 3, UAR of 5 classes without common groups", nested=5), (0.7, 0.3)),
    (Structure("10 speakers, one out, x 3", n_folds=10, **SPEAKERS), HALVES),
    (Structure("10 speakers, one out, x 3, UAR", n_folds=10, uar=True, **SPEAKERS), HALVES),
    (Structure("24 speakers, one out, x 3, UAR", n_folds=24, uar=True, **SPEAKERS | {"n_groups": 24}), HALVES),
    (Structure("hold-out x 5, 100 groups of 4", n_folds=1, n_seeds=5), SMALL),
)


def slices_of(e: Experiment, shares: Sequence[float], by_clip: bool, rng: np.random.Generator) -> Slices:
    """The clips of an experiment in slices of about these shares."""
    n_groups = int(e.group.max()) + 1
    dealt = np.searchsorted(np.cumsum(shares) * n_groups, np.arange(n_groups) + 0.5)
    values = rng.choice(len(shares), size=len(e.group), p=shares) if by_clip else rng.permutation(dealt)[e.group]
    ids = tuple(str(clip) for clip in range(len(e.group)))
    runs = PairedRuns(("a", "b"), e.right, e.fold, e.group, e.target, e.ratio, clip_ids=ids)
    metric = "accuracy" if e.target is None else "uar"
    models = {metric: JointModel(runs)}
    return find_slices(
        Column("slice", dict(zip(ids, map(str, values), strict=True))), metric, models, models, [("b", "a")]
    )


def half_width(estimates: Sequence[Estimate]) -> float:
    """Mean, in points; NaN without an interval."""
    widths = [50 * (e.high - e.low) for e in estimates if e.low is not None and e.high is not None]
    return float(np.mean(widths)) if widths else np.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the experiments")
    n = 50 if parser.parse_args().quick else 500
    print("| runs | slices | b - a in a slice | width | score of a slice | width | change of b - a | width |")
    print("| --- |" + " --- |" * 7)
    for structure, shares in GRID:
        rng = np.random.default_rng(1)
        found = [slices_of(draw(structure, rng), shares, "by clip" in structure.name, rng) for _ in range(n)]
        cells = []
        for kind in KINDS:
            wrong = np.array([float(any(e.shown for e in getattr(s, kind))) for s in found])
            width = np.array([half_width(getattr(s, kind)) for s in found])
            known = np.isfinite(width).any()
            cells += [percent(wrong), f"{np.nanmean(width):.1f}"] if known else ["too few groups", "–"]
        slices = ", ".join(f"{100 * share:.0f}" for share in shares)
        print(f"| {structure.name} | {slices} % | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
