"""How often the verdict is wrong, how wide its intervals are and what it finds: before and after, by simulation.

    python benchmarks/verdict.py            # tables in Markdown, about 20 minutes on one free core
    python benchmarks/verdict.py --quick    # the same with a tenth of the experiments
    python benchmarks/verdict.py --real DATA   # real recordings and cheap classifiers; DATA: see docs/data.md
    python benchmarks/verdict.py --seeds-of results/esc10-attention results/esc10-tuned results/esc10-mn04

`--part` makes one table. Numbers after +- are Monte-Carlo standard errors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from scipy import stats
from scipy.special import expit, logit
from simulated_runs import Experiment, Structure, draw
from verdict_before import before, holm

from earmark.analysis import joint_model, variance_moments
from earmark.analysis.compare import joint_model as joint_model_of
from earmark.analysis.joint_model import JointModel, Verdict, pairs_of
from earmark.analysis.paired_runs import PairedRuns
from earmark.analysis.records import read_runs
from earmark.analysis.selection import best_of
from earmark.analysis.variance_moments import compute_moments, tabulate

SPEAKERS = {"n_groups": 10, "clips_per_group": 50, "group_of_variant": 0.5}
GRID = (
    Structure("5 folds x 1 seed, 100 groups of 4", n_seeds=1),
    Structure("5 x 3, 100 groups of 4"),
    Structure("5 x 10, 100 groups of 4", n_seeds=10),
    Structure("5 x 3, 300 groups of 4", n_groups=300),
    Structure("5 x 3, 20 groups of 20", n_groups=20, clips_per_group=20),
    Structure("5 x 2, 60 groups of 4", n_groups=60, n_seeds=2),
    Structure("5 x 3, 40 groups of 50", n_groups=40, clips_per_group=50),
    Structure("5 x 3, a group with 30 % of the clips", giant=0.3),
    Structure("5 x 3, groups of 1 to 20", unequal=True),
    Structure("10 speakers, one out, x 3", n_folds=10, **SPEAKERS),
    Structure("10 speakers, one out, x 3, UAR", n_folds=10, uar=True, **SPEAKERS),
    Structure("5 folds of two speakers x 3", **SPEAKERS),
    Structure("5 x 3, 100 groups of 4, UAR", uar=True),
    Structure("3 partitions of 5 folds x 1", n_seeds=1, partitions=3),
    Structure("hold-out x 3, 100 groups of 4", n_folds=1),
    Structure("hold-out x 5, 100 groups of 4", n_folds=1, n_seeds=5),
    Structure("hold-out x 10, 100 groups of 4", n_folds=1, n_seeds=10),
    Structure("hold-out x 5, 60 groups of 4", n_folds=1, n_seeds=5, n_groups=60),
    Structure("10 partitions of 5 x 1, 20 groups of 20", n_seeds=1, partitions=10, n_groups=20, clips_per_group=20),
    Structure(
        "10 partitions of 2 x 1, 10 groups of 20", n_folds=2, n_seeds=1, partitions=10, n_groups=10, clips_per_group=20
    ),
)
BASE = GRID[1]


def model(e: Experiment) -> JointModel:
    names = tuple(f"v{i}" for i in range(len(e.right)))
    return JointModel(PairedRuns(names, e.right, e.fold, e.group, e.target, e.ratio))


def compare(m: JointModel, variant: str, baseline: str) -> Verdict:
    (verdict,) = m.compare([(variant, baseline)])
    return verdict


def compare_all(m: JointModel) -> tuple[Verdict, ...]:
    return m.compare(pairs_of(m.runs.names, ""))


def experiments(s: Structure, n: int, points: tuple[float, ...], seed: int = 0) -> Iterator[Experiment]:
    rng = np.random.default_rng(seed)
    for _ in range(n):
        yield draw(s, rng, points)


def percent(hits: np.ndarray) -> str:
    """Share of hits with its Monte-Carlo error; NaN does not count."""
    hits = hits[~np.isnan(hits)]
    share = hits.mean()
    return f"{100 * share:.1f} ± {100 * np.sqrt(max(share * (1 - share), 1 / len(hits) ** 2) / len(hits)):.1f}"


def judged(s: Structure, n: int, gap: float) -> np.ndarray:
    """(n, 7): claimed before, after; covered before, after; half widths before, after (points); error (points)."""
    rows, rng = [], np.random.default_rng(1)
    for e in experiments(s, n, (gap, 0.0)):
        difference, p, low, high = before(e, 0, 1, rng)
        verdict, truth = compare(model(e), "v0", "v1"), e.truth[0] - e.truth[1]
        rows.append(
            [
                p < 0.05 and (difference > 0 or gap == 0),
                verdict.p < 0.05 and (verdict.difference > 0 or gap == 0),
                low <= truth <= high,
                verdict.low <= truth <= verdict.high,
                50 * (high - low),
                50 * (verdict.high - verdict.low),
                100 * (verdict.difference - truth),
            ]
        )
    return np.array(rows, dtype=float)


def grid_table(n: int) -> None:
    print(f"\nFalse claims and intervals, {n} experiments without and {n // 2} with a difference of 3 points a line\n")
    print(
        "| structure | training set | false claims before | after | covers before | after | half width, in true sd |",
        end="",
    )
    print(" claims at 3 points before | after |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    rates = []
    for s in GRID:
        large = 4.0 if s.n_seeds == 2 else 2.0
        for points in (0.0, 1.0, large) if s.n_folds == 1 else (0.0, large):
            none, some = judged(s.with_training(points), n, 0.0), judged(s.with_training(points), n // 2, 3.0)
            both = np.concatenate([none, some])
            width = none[:, 5].mean() / none[:, 6].std()
            cells = [percent(none[:, 0]), percent(none[:, 1]), percent(both[:, 2]), percent(both[:, 3])]
            cells += [f"{width:.2f}", percent(some[:, 0]), percent(some[:, 1])]
            rates.append((none[:, 0].mean(), none[:, 1].mean()))
            print(f"| {s.name} | {points:g} | {' | '.join(cells)} |", flush=True)
    mean, worst = 100 * np.mean(rates, axis=0), 100 * np.max(rates, axis=0)
    for name, (old, new) in (("mean", mean), ("largest", worst)):
        print(f"| {name} | | {old:.1f} | {new:.1f} | | | | | |")


def power_table(n: int) -> None:
    print(f"\nClaims of a true difference, {n} experiments a line\n")
    print("| structure | training set | points | before | after | ratio |\n| --- | --- | --- | --- | --- | --- |")
    for s in (GRID[1], GRID[3]):
        for train in (0.0, 1.0):
            for gap in (3.0, 5.0):
                rows = judged(s.with_training(train), n, gap)
                ratio = rows[:, 1].mean() / max(rows[:, 0].mean(), 1 / n)
                print(
                    f"| {s.name} | {train:g} | {gap:g} | {percent(rows[:, 0])} | {percent(rows[:, 1])} | {ratio:.2f} |",
                    flush=True,
                )


def detectable_table(n: int) -> None:
    print(f"\nClaims, in percent, at the printed minimum detectable effect (its mean over {n} experiments)\n")
    print("| structure | training set | variants | printed | claimed |\n| --- | --- | --- | --- | --- |")
    for s in (GRID[1], GRID[3], GRID[9], GRID[15]):
        for train, k in ((1.0, 2), (1.0, 4)):
            settled = s.with_training(train)
            printed = np.array(
                [[v.detectable for v in compare_all(model(e))] for e in experiments(settled, n, (0.0,) * k)]
            )
            gap = 100 * printed.mean()
            found = []
            for e in experiments(settled, n, (gap / 2,) + (-gap / 2,) * (k - 1), seed=2):
                verdicts = [v for v in compare_all(model(e)) if v.baseline == "v0"]
                found += [np.mean([v.verdict == "worse" for v in verdicts])]
            print(f"| {s.name} | {train:g} | {k} | {gap:.1f} | {percent(np.array(found))} |", flush=True)


def advice_table(n: int) -> None:
    print(
        f"\nClaims, in percent, with as many groups as advised (the median over {n} experiments) for the difference\n"
    )
    print("| structure | training set | difference | groups advised | claimed |\n| --- | --- | --- | --- | --- |")
    for s in (GRID[1], GRID[3], GRID[0], GRID[12]):
        for train in (0.0, 1.0, 2.0):
            settled = s.with_training(train)
            now = [compare(model(e), "v0", "v1") for e in experiments(settled, n, (0.0, 0.0))]
            for part in (0.8, 0.6):
                goal = part * float(np.mean([verdict.detectable for verdict in now]))
                groups = np.median([verdict.advice(goal).groups or np.inf for verdict in now])
                found = "–"
                if np.isfinite(groups):
                    more = experiments(replace(settled, n_groups=int(groups)), 2 * n, (100 * goal, 0.0), seed=2)
                    found = percent(np.array([compare(model(e), "v0", "v1").verdict == "better" for e in more]))
                print(f"| {s.name} | {train:g} | {100 * goal:.1f} | {groups:g} | {found} |", flush=True)


def large_table(n: int) -> None:
    """Two networks as they are, whose clips of a group are alike (beta-binomial, of a correlation of 1/11)."""
    print(f"\nLarge differences, {n} experiments a line\n")
    print("| right | groups | clips of each | nearer to 0: before | after | farther | width before | after |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for high, low in ((0.99, 0.01), (0.97, 0.03), (0.9, 0.1), (0.9, 0.3)):
        for n_groups, clips in ((10, 20), (20, 4), (100, 1), (100, 4)):
            rng, rows = np.random.default_rng(0), []
            group = np.repeat(np.arange(n_groups), clips)
            for _ in range(n):
                share = [np.repeat(rng.beta(10 * p, 10 * (1 - p), n_groups), clips) for p in (high, low)]
                right = (rng.random((2, 1, len(group))) < np.array(share)[:, None]).astype(float)
                verdict = compare(
                    JointModel(PairedRuns(("a", "b"), right, np.zeros(1, int), group, fixed=True)), "a", "b"
                )
                least, truth = verdict.difference - verdict.posterior.half_width(), high - low
                rows.append(
                    (truth < least, truth < verdict.low, truth > verdict.high, least, verdict.low, verdict.high)
                )
            found = np.array(rows, float)
            widths = " | ".join(f"{100 * (found[:, 5] - found[:, end]).mean():.1f}" for end in (3, 4))
            cells = " | ".join(percent(found[:, k]) for k in range(3))
            print(f"| {100 * high:g}, {100 * low:g} % | {n_groups} | {clips} | {cells} | {widths} |", flush=True)


def family_table(n: int) -> None:
    print(f"\nSeveral variants, all pairs; {n} experiments per row\n")
    print("| structure | scores | any false claim: Holm | max-t | claims: Holm | max-t | all intervals cover |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    scores = ((0,) * 4, (0,) * 10, (8, 5, 2, 0), (8, 0, 0, 0))
    for s in (BASE.with_training(1.0), GRID[9].with_training(0.0)):
        for points in scores:
            rows = []
            for e in experiments(s, n, points):
                verdicts = compare_all(model(e))
                truth = np.array([e.truth[int(v.variant[1:])] - e.truth[int(v.baseline[1:])] for v in verdicts])
                sign = np.sign([v.difference for v in verdicts])
                claims = np.array(
                    [holm(np.array([v.posterior.p for v in verdicts])) < 0.05, [v.p < 0.05 for v in verdicts]]
                )
                wrong = claims & (sign != np.sign(np.round(truth, 9)))
                real = np.abs(truth) > 1e-9
                right = (claims & ~wrong)[:, real].mean(axis=1) if real.any() else [np.nan, np.nan]
                cover = all(v.low <= t <= v.high for v, t in zip(verdicts, truth, strict=True))
                rows.append([*wrong.any(axis=1), *right, cover])
            cells = " | ".join(
                percent(column) if not np.isnan(column).all() else "" for column in np.array(rows, float).T
            )
            text = f"{len(points)} equal" if len(set(points)) == 1 else ", ".join(map(str, points))
            print(f"| {s.name} | {text} | {cells} |", flush=True)


def unlike_table(n: int) -> None:
    """Equal variants, unlike effects of seeds and training sets; comparisons alone, and learning from each other."""
    print(f"\nUnlike effects of seeds and training sets, {n} experiments per row\n")
    print("| structure | training set of each | seeds | any false claim: alone | shared | all cover: alone | shared |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    s300, two = GRID[3], (0, 0, 0, 0, 4, 4)
    cases = (
        (s300, (2, 2, 2, 2), (1,) * 4), (s300, (0, 0, 3, 3), (1,) * 4), (BASE, (0, 0, 0, 4), (1,) * 4),
        (s300, two, (1,) * 6), (s300, (0, 0, 0, 0, 2, 2), (1,) * 6), (s300, (0, 0, 0, 0, 1, 1), two),
    )  # fmt: skip
    for s, points, seeds in cases:
        rows = []
        unlike = replace(s, seed_points=np.array(seeds, float)[:, None], train_points=np.array(points, float)[:, None])
        for e in experiments(unlike, n, (0.0,) * len(points)):
            shared = compare_all(model(e))
            with mock.patch.object(joint_model, "SHARED", 0.0):
                alone = compare_all(model(e))
            both = (alone, shared)
            claims = [any(v.p < 0.05 for v in verdicts) for verdicts in both]
            rows.append([*claims, *(all(v.low <= 0 <= v.high for v in verdicts) for verdicts in both)])
        cells = " | ".join(percent(column) for column in np.array(rows, float).T)
        print(f"| {s.name} | {', '.join(map(str, points))} | {', '.join(map(str, seeds))} | {cells} |", flush=True)


def winner_table(n: int) -> None:
    print(f"\nScore of the winner minus its truth, in points, {n} experiments a line\n")
    print("| structure | training set | scores | as it is | groups drawn (BBC-CV) | groups and seeds drawn |")
    print("| --- | --- | --- | --- | --- | --- |")
    scores = ((0,) * 4, (0,) * 10, (3, 2, 1, 0), (8, 0, 0, 0), (3, 3, 3, 0, 0, 0, 0, 0, 0, 0))
    for s, train in ((BASE, 1.0), (GRID[9], 0.0), (GRID[15], 1.0)):
        for points in scores:
            rows = []
            for e in experiments(s.with_training(train), n, points):
                winner = best_of(e.right, e.fold, e.group, e.target)
                by_seed = e.right.reshape(len(points), -1, s.n_seeds, e.right.shape[-1])
                one = np.where(np.isnan(by_seed[:, :, 0]), np.nan, np.nansum(by_seed, axis=2) / s.n_seeds)
                plain = best_of(one, np.unique(e.fold), e.group, e.target)
                rows.append(
                    np.array([winner.score, plain.corrected, winner.corrected]) - e.truth[[*winner.indices]].mean()
                )
            mean, error = 100 * np.mean(rows, axis=0), 100 * np.std(rows, axis=0) / np.sqrt(n)
            text = f"{len(points)} equal" if len(set(points)) == 1 else ", ".join(map(str, points))
            cells = " | ".join(f"{m:+.2f} ± {e:.2f}" for m, e in zip(mean, error, strict=True))
            print(f"| {s.name} | {train:g} | {text} | {cells} |", flush=True)


def score_table(n: int) -> None:
    print(f"\nThe 95 % interval of one variant, {n} experiments a line\n")
    print("| structure | training set | covers | truth above | below |\n| --- | --- | --- | --- | --- |")
    few = [Structure(f"5 x 3, {g} groups of 20", n_groups=g, clips_per_group=20) for g in (6, 8, 12)]
    single = Structure("hold-out x 1, 80 groups of 1", n_folds=1, n_seeds=1, n_groups=80, clips_per_group=1)
    near_1 = [
        replace(s, name=f"{s.name}, {100 * share:g} % right", accuracy=share, seed_points=5 * (1 - share))
        for s in (GRID[1], single)
        for share in (0.95, 0.98, 0.995)
    ]
    real = replace(single, name=f"{single.name}, seeds of 3 points", seed_points=3.0)  # as seeds did on ESC-10
    for s in (*few, *(GRID[i] for i in (1, 3, 7, 9, 12, 14, 15)), single, real, *near_1):
        for train in (0.0, 2.0, 4.0)[: 3 if s.n_folds == 1 and s.accuracy == 0.8 else 2]:
            rows = []
            for e in experiments(s.with_training(train), n, (0.0,)):
                score, truth = model(e).score("v0"), e.truth[0]
                rows.append([score.low <= truth <= score.high, truth > score.high, truth < score.low])
            print(f"| {s.name} | {train:g} | {' | '.join(percent(c) for c in np.array(rows, float).T)} |", flush=True)


def nested_table(n: int) -> None:
    print(f"\nAverage recall of classes that share no group, {n} experiments a line\n")
    print("| structure | classes | training set | false claims | one variant covers |\n| --- | --- | --- | --- | --- |")
    sizes = ((20, 10, 10), (30, 4, 3), (30, 4, 10), (60, 4, 10), (100, 4, 50), (300, 4, 50))
    equal = [
        Structure(f"5 x 3, {groups} groups of {clips}", n_groups=groups, clips_per_group=clips, nested=classes)
        for groups, clips, classes in sizes
    ]
    unequal = [
        Structure(f"5 x 3, {groups} groups of 1 to 50", n_groups=groups, clips_per_group=10, nested=10, unequal=True)
        for groups in (20, 40)
    ]
    for s in (*equal, *unequal):
        for train in (0.0, 2.0):
            rows = []
            for e in experiments(s.with_training(train), n, (0.0, 0.0)):
                score, verdict = model(e).score("v0"), compare(model(e), "v0", "v1")
                rows.append([verdict.p < 0.05, score.low <= e.truth[0] <= score.high])
            cells = " | ".join(percent(column) for column in np.array(rows, float).T)
            print(f"| {s.name} | {s.nested} | {train:g} | {cells} |", flush=True)


def one_seed_table(n: int) -> None:
    """The second variant has one seed per fold, which is paired with every seed of the first, as `pair_seeds` does."""
    print(f"\nOne seed against several, {n} experiments a line\n")
    print("| structure | training set | seeds, points | false claims | covers |\n| --- | --- | --- | --- | --- |")
    large = Structure("hold-out x 10, 300 groups of 4", n_folds=1, n_seeds=10, n_groups=300)
    for s in (GRID[1], GRID[2], GRID[3], GRID[9], GRID[15], large):
        for train, seeds in ((0.0, 1.0), (1.0, 1.0), (1.0, 3.0), *([(1.0, 5.0)] if s.n_folds == 1 else [])):
            settled, rows = replace(s.with_training(train), seed_points=seeds), []
            for e in experiments(settled, n, (0.0, 0.0)):
                e.right[1] = e.right[1, e.fold * s.n_seeds]
                single = frozenset(("v1", fold) for fold in e.fold.tolist())
                v = compare(JointModel(replace(model(e).runs, repeated=single)), "v0", "v1")
                rows.append([v.p < 0.05, v.low <= e.truth[0] - e.truth[1] <= v.high])
            cells = " | ".join(percent(column) for column in np.array(rows, float).T)
            print(f"| {s.name} | {train:g} | {seeds:g} | {cells} |", flush=True)


def as_it_is_table(n: int) -> None:
    """Two networks as they are on new groups, each right with a share from Beta(4, 1), the same one in half of them."""
    print(f"\nNetworks as they are, {n} experiments a line\n")
    print("| classes | groups of each | clips of each | UAR covered | difference in UAR | accuracy covered |")
    print("| --- | --- | --- | --- | --- | --- |")
    for n_classes, n_groups, n_clips in (
        (3, 2, 4),
        (3, 2, 20),
        (2, 3, 10),
        (3, 3, 4),
        (3, 4, 4),
        (10, 4, 4),
        (3, 20, 4),
    ):
        rng, rows = np.random.default_rng(0), []
        group = np.repeat(np.arange(n_classes * n_groups), n_clips)
        for _ in range(n):
            own, common = rng.beta(4, 1, (2, n_classes * n_groups)), rng.beta(4, 1, n_classes * n_groups)
            share = np.where(rng.random(n_classes * n_groups) < 0.5, common, own)[:, group]
            right = (rng.random(share.shape) < share)[:, None].astype(float)
            runs = PairedRuns(("a", "b"), right, np.zeros(1, int), group, group // n_groups, fixed=True)
            uar, accuracy = JointModel(runs), JointModel(replace(runs, target=None))
            scores, verdict = (uar.score("a"), accuracy.score("a")), compare(uar, "a", "b")
            inside = [score.low <= 0.8 <= score.high for score in scores]
            rows.append([inside[0], verdict.low <= 0 <= verdict.high, inside[1]])
        cells = " | ".join(percent(column) for column in np.array(rows, float).T)
        print(f"| {n_classes} | {n_groups} | {n_clips} | {cells} |", flush=True)


def few_groups_table(n: int) -> None:
    """Two equal networks on four classes: three of 40 groups of 5 clips, one of few groups; half of the errors shared.

    Each group has a level of difficulty of its own, normal on the logit scale with a standard deviation of 1.
    """
    print(f"\nA class of few groups beside three of 40 groups, {n} experiments a line\n")
    print("| its groups | clips of each | right in the others, in it | folds | false claims before | after", end="")
    print(" | one covers before | after |\n| --- | --- | --- | --- | --- | --- | --- | --- |")
    moderate = variance_moments.moderate
    without = mock.patch.object(variance_moments, "moderate", lambda *args: (moderate(*args)[0], 0.0, np.inf))
    for folds in (1, 5):
        for n_groups, n_clips, usual, own in (
            (1, 1, 0.8, 0.8),
            (1, 20, 0.8, 0.8),
            (2, 20, 0.8, 0.8),
            (3, 20, 0.8, 0.8),
            (4, 20, 0.8, 0.8),
            (1, 20, 0.97, 0.6),
            (2, 20, 0.97, 0.6),
            (3, 20, 0.97, 0.6),
            (4, 20, 0.97, 0.6),
        ):
            rng, rows = np.random.default_rng(0), []
            group = np.concatenate([np.repeat(np.arange(120), 5), 120 + np.repeat(np.arange(n_groups), n_clips)])
            target = np.minimum(group // 40, 3)
            level = np.where(target == 3, logit(own), logit(usual))
            truth = np.mean([expit(logit(p) + rng.normal(size=100_000)).mean() for p in (usual, usual, usual, own)])
            for _ in range(n):
                fold = rng.permutation(group.max() + 1)[group] % folds
                drawn = two_networks(rng, group, level)
                right = np.where(np.arange(folds)[:, None] == fold, drawn[:, None], np.nan)
                runs = PairedRuns(("a", "b"), right, np.arange(folds), group, target, fixed=folds == 1)
                found = []
                for version in (without, nullcontext()):
                    with version:
                        score, verdict = JointModel(runs).score("a"), compare(JointModel(runs), "a", "b")
                    found.append((verdict.p < 0.05, score.low <= truth <= score.high))
                rows.append([found[0][0], found[1][0], found[0][1], found[1][1]])
            cells = " | ".join(percent(column) for column in np.array(rows, float).T)
            shares = f"{100 * usual:.0f} %, {100 * own:.0f} %"
            print(f"| {n_groups} | {n_clips} | {shares} | {folds if folds > 1 else 'as it is'} | {cells} |", flush=True)


def two_networks(rng: np.random.Generator, group: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Which clips two equal networks get right, (2, N): half of their errors and of the effects of groups are shared.

    Args:
        level: (N,) of each clip, on the logit scale; groups have a standard deviation of 1 around it.
    """
    shared, alone = rng.normal(size=group.max() + 1), rng.normal(size=(2, group.max() + 1))
    chance, same = expit(level + (shared + alone)[:, group] / np.sqrt(2)), rng.random(len(group)) < 0.5
    return np.where(same, rng.random(len(group)), rng.random((2, len(group)))) < chance


def class_sizes_table(n: int) -> None:
    """Two equal networks, as they are, on classes whose groups differ in clips, or that are in some of the groups only.

    Against the stratified textbook variance of the difference: of each class from its groups, summed (Cochran 1977).
    """
    print(f"\nClasses that differ in clips per group, {n} experiments a line\n")
    print("| groups x clips of the classes | false claims | one covers | half width | by class | 1.96 sd |")
    print("| --- | --- | --- | --- | --- | --- |")
    truth = expit(logit(0.8) + np.random.default_rng(1).normal(size=1_000_000)).mean()
    for name, sizes in CLASS_SIZES.items():
        rng, rows = np.random.default_rng(0), []
        if sizes:
            group = np.repeat(np.arange(sum(g for g, _ in sizes)), np.concatenate([[c] * g for g, c in sizes]))
            target = np.repeat(np.arange(len(sizes)), [g * c for g, c in sizes])
        for _ in range(n):
            if not sizes:  # 20 classes, each in 6 of 30 groups
                there = np.argsort(rng.random((20, 30)), axis=1)[:, :6]
                group, target = np.repeat(there.ravel(), 10), np.repeat(np.arange(20), 60)
            right = two_networks(rng, group, np.full(len(group), logit(0.8)))[:, None].astype(float)
            runs = PairedRuns(("a", "b"), right, np.zeros(1, int), group, target, fixed=True)
            score, verdict = JointModel(runs).score("a"), compare(JointModel(runs), "a", "b")
            difference = right[0, 0] - right[1, 0]
            half = (verdict.high - verdict.low) / 2
            rows.append(
                [verdict.p < 0.05, score.low, score.high, half, by_class(difference, group, target), difference]
            )
        estimates = [np.mean([d[target == k].mean() for k in np.unique(target)]) for *_, d in rows]
        truth = expit(logit(0.8) + np.random.default_rng(1).normal(size=1_000_000)).mean()
        cover = np.array([low <= truth <= high for _, low, high, *_ in rows], float)
        widths = [np.mean([row[i] for row in rows]) for i in (3, 4)] + [1.96 * np.std(estimates)]
        cells = [
            percent(np.array([row[0] for row in rows], float)),
            percent(cover),
            *(f"{100 * w:.1f}" for w in widths),
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


CLASS_SIZES = {
    "20 x 20, 20 x 20": ((20, 20), (20, 20)),
    "20 x 20, 20 x 5": ((20, 20), (20, 5)),
    "20 x 20, 20 x 1": ((20, 20), (20, 1)),
    "20 x 50, 30 x 4": ((20, 50), (30, 4)),
    "20 x 20, 20 x 20, 40 x 2": ((20, 20), (20, 20), (40, 2)),
    "20 classes, each in 6 of 30 groups, 10 clips": (),
}


def by_class(difference: np.ndarray, group: np.ndarray, target: np.ndarray) -> float:
    """Half the width of the 95 % interval of a stratified mean: t with Satterthwaite's degrees of freedom."""
    parts, df = [], []
    for k in np.unique(target):
        inside = target == k
        index = np.unique(group[inside], return_inverse=True)[1]
        sums = np.bincount(index, difference[inside] - difference[inside].mean()) / inside.sum()
        parts.append(np.sum(sums**2) * len(sums) / (len(sums) - 1) / len(np.unique(target)) ** 2)
        df.append(len(sums) - 1)
    parts = np.array(parts)
    return float(np.sqrt(parts.sum()) * stats.t.ppf(0.975, parts.sum() ** 2 / np.sum(parts**2 / df)))


def group_sizes_of(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Clips of each of `n` groups, 10 to 30 on average."""
    if kind == "lognormal":
        return np.maximum(1, np.round(10 * np.exp(1.2 * rng.standard_normal(n)))).astype(int)
    if kind == "1 to 100":
        return rng.geometric(1 / 20, n)
    sizes = np.full(n, 20)
    if kind != "20 each":
        share = int(kind.split()[0]) / 100
        sizes[0] = round(share / (1 - share) * 20 * (n - 1))
    return sizes


def unequal_table(n: int) -> None:
    """Two networks as they are on groups of unequal size; of four classes, which every group has, one is rare."""
    print(f"\nNetworks as they are and groups of unequal size, {n} experiments a line\n")
    print("| groups | sizes | metric | effect of a group | false claims | one covers | half width, in true sd |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    offsets, scale = np.array([0.4, 0.1, -0.1, -0.4]), np.sqrt(1.34)
    center = scale * stats.norm.ppf(0.8)
    kinds = ("20 each", "1 to 100", "lognormal", "30 % in one", "50 % in one")
    cases = [(g, kind, metric, 0.0) for g in (12, 30, 100) for kind in kinds for metric in ("accuracy", "UAR")]
    for n_groups, kind, metric, power in [*cases, *((g, "lognormal", "accuracy", 0.7) for g in (12, 30, 100))]:
        rng, rows = np.random.default_rng(7), []
        for _ in range(n):
            sizes = group_sizes_of(kind, n_groups, rng)
            group = np.repeat(np.arange(n_groups), sizes)
            target = rng.choice(4, len(group), p=[0.55, 0.25, 0.15, 0.05]) if metric == "UAR" else None
            own = 0.3 * rng.standard_normal((2, n_groups)) * np.clip((sizes / 20) ** power, 0.2, 3)
            score = (0.5 * rng.standard_normal(n_groups) + own)[:, group] + 0.8 * rng.standard_normal(len(group))
            score += 0.6 * rng.standard_normal(score.shape) + center + (0 if target is None else offsets[target])
            truth = 0.8 if target is None else stats.norm.cdf((center + offsets) / scale).mean()
            right = (score > 0).astype(float)[:, None]
            m = JointModel(PairedRuns(("a", "b"), right, np.zeros(1, int), group, target, fixed=True))
            verdict, one = compare(m, "a", "b"), m.score("a")
            covered = np.nan if power else one.low <= truth <= one.high
            rows.append([verdict.p < 0.05, covered, verdict.difference, (verdict.high - verdict.low) / 2])
        r = np.array(rows, float)
        cells = f"{percent(r[:, 0])} | {'' if power else percent(r[:, 1])} | {r[:, 3].mean() / r[:, 2].std():.2f}"
        effect = "grows with the group" if power else "the same"
        print(f"| {n_groups} | {kind} | {metric} | {effect} | {cells} |", flush=True)


EDGES = (
    (Structure("5 x 3, 100 groups of 4"), 8.0),
    (Structure("5 x 3, 300 groups of 4", n_groups=300), 5.0),
    (Structure("5 x 3, 1000 groups of 4", n_groups=1000), 2.0),
    (Structure("5 x 3, 300 groups of 4, 97 % right", n_groups=300, accuracy=0.97, seed_points=0.3), 1.0),
    (Structure("hold-out x 5, 300 groups of 4", n_groups=300, n_folds=1, n_seeds=5), 8.0),
    (Structure("10 speakers, one out, x 3", n_folds=10, **SPEAKERS | {"group_of_variant": 0.1}), 6.0),
)
"""Runs, and the largest difference that is practically equal, in points."""


def equal_table(n: int) -> None:
    """Variants that all differ from the baseline by just the largest difference that counts as equal."""
    print(f"\nPractically equal at the edge, {n} experiments a line\n")
    print("| runs | equal up to, points | training set | wrong, two variants | any wrong, baseline and five |")
    print("| --- | --- | --- | --- | --- |")
    for structure, rope in EDGES:
        for training in (0.0, 1.0):
            cells = []
            for n_others in (1, 5):
                wrong = [
                    float(any(v.verdict == "equal" for v in model(e).compare(pairs_of(names, "v0"), rope / 100)))
                    for e in experiments(structure.with_training(training), n, (0.0, *[-rope] * n_others), 3)
                    for names in [[f"v{i}" for i in range(n_others + 1)]]
                ]
                cells.append(percent(np.array(wrong)))
            print(f"| {structure.name} | {rope:g} | {training:g} | {' | '.join(cells)} |", flush=True)


def seed_effects(folders: list[Path]) -> None:
    """How much seeds move the score of one variant, for the prior `SEED_SCALE_OF_SCORE`."""
    print("| runs | variant | sqrt v of a fold, points | seeds, in sqrt v |\n| --- | --- | --- | --- |")
    squares = []
    for folder in folders:
        records = read_runs(folder)
        by_variant = {r.variant: [other for other in records if other.variant == r.variant] for r in records}
        runs = joint_model_of(by_variant, "accuracy").runs
        for name, right in zip(runs.names, runs.right, strict=True):
            m = compute_moments(tabulate(right, runs.fold, runs.group, None))
            if m.seed_df:
                v = float(np.mean(np.diag(m.fold_covariance))) * m.rough
                squares.append((m.run_squares / m.seed_df - m.seed_noise) / v)
                shown = f"{np.sqrt(max(squares[-1], 0)):.2f}"
                print(f"| {folder.name} | {name} | {100 * np.sqrt(v):.1f} | {shown} |")
    print(f"root mean square: {np.sqrt(max(np.mean(squares), 0)):.2f}")


def real_table(n: int, data: Path) -> None:
    from real_predictions import ESC_10, Setting, draw_real, read_emodb, read_esc

    smooth, rough = Setting(slice(0, 64), 2.0), Setting(slice(0, 64), 1.0)
    means_only = Setting(slice(0, 32), 2.0)
    esc, emodb = read_esc(data / "ESC-50-spectrograms", ESC_10), read_emodb(data / "EmoDB-2s")
    cases = (
        (esc, 304, 5, 3, False), (esc, 60, 5, 2, False), (esc, 304, 5, 1, False), (esc, 304, 1, 5, False),
        (esc, 304, 5, 3, True), (emodb, 10, 5, 3, False), (emodb, 10, 5, 3, True),
    )  # fmt: skip
    print(f"\nResampled real recordings, {n} experiments per row\n")
    print(
        "| data | groups | runs | metric | classifiers | difference | missed before | after | half width, in true sd |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for recordings, n_groups, n_folds, n_seeds, uar in cases:
        for label, pair in (("width", (smooth, rough)), ("features", (smooth, means_only))):
            rng, rows = np.random.default_rng(0), []
            for _ in range(n):
                e = draw_real(recordings, pair, n_groups, n_folds, n_seeds, rng, uar)
                _, _, low, high = before(e, 0, 1, rng)
                v = compare(model(e), "v0", "v1")
                rows.append([v.difference, low, high, v.low, v.high])
            rows = np.array(rows)
            truth = rows[:, 0].mean()
            missed = [(truth < rows[:, i]) | (truth > rows[:, i + 1]) for i in (1, 3)]
            width = (rows[:, 4] - rows[:, 3]).mean() / 2 / rows[:, 0].std()
            rates = " | ".join(percent(m.astype(float)) for m in missed)
            cells = f"{100 * truth:+.1f} | {rates} | {width:.2f}"
            name = "UAR" if uar else "accuracy"
            print(
                f"| {recordings.name} | {n_groups} | {n_folds} x {n_seeds} | {name} | {label} | {cells} |", flush=True
            )


PARTS = {
    "grid": (grid_table, 600),
    "power": (power_table, 500),
    "detectable": (detectable_table, 150),
    "advice": (advice_table, 100),
    "large": (large_table, 600),
    "family": (family_table, 150),
    "unlike": (unlike_table, 300),
    "winner": (winner_table, 150),
    "score": (score_table, 250),
    "one-seed": (one_seed_table, 300),
    "nested": (nested_table, 300),
    "as-it-is": (as_it_is_table, 600),
    "few-groups": (few_groups_table, 600),
    "class-sizes": (class_sizes_table, 600),
    "equal": (equal_table, 300),
    "unequal": (unequal_table, 600),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the experiments")
    parser.add_argument("--part", choices=PARTS, action="append", help="one table; may be repeated")
    parser.add_argument("--real", type=Path, metavar="DATA", help="real recordings instead of simulated ones")
    parser.add_argument("--seeds-of", type=Path, nargs="+", metavar="RUNS", help="what seeds change in these runs")
    args = parser.parse_args()
    if args.seeds_of:
        seed_effects(args.seeds_of)
        return 0
    if args.real:
        real_table(10 if args.quick else 80, args.real)
        return 0
    for name in args.part or PARTS:
        table, n = PARTS[name]
        print(f"{name} ...", file=sys.stderr, flush=True)
        table(n // 10 if args.quick else n)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
