"""Where intervals and verdicts are least to be trusted, by simulation: the numbers under "Findings and limits".

    python benchmarks/limits.py            # tables in Markdown, about 7 minutes on one free core
    python benchmarks/limits.py --quick    # the same with a tenth of the experiments

`--part` makes one table.

Numbers after +- are Monte-Carlo standard errors.
"""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import numpy as np
from scipy import stats
from simulated_runs import Structure
from verdict import compare, experiments, model, percent

from earmark.analysis.bootstrap import Resampling, evaluate
from earmark.analysis.joint_model import JointModel
from earmark.analysis.paired_runs import PairedRuns
from earmark.analysis.statistics import resample_groups

METRICS = ("macro_f1", "top3_accuracy", "roc_auc", "nll")
N_CLASSES = 5
N_TRUTH = 20_000
"""Groups that the true value of a metric is computed on."""


def training_table(n: int) -> None:
    """Training sets that matter more than groups do: with 300 groups, the square root of v is about one point."""
    print(f"\nLarge effects of the training set, {2 * n} experiments a line\n")
    print("| runs | training set, points | false claims |\n| --- | --- | --- |")
    for n_folds in (5, 10):
        for points in (2.0, 3.0, 4.0, 6.0, 10.0):
            structure = Structure(f"{n_folds} x 3, 300 groups of 4", n_groups=300, n_folds=n_folds)
            found = experiments(structure.with_training(points), 2 * n, (0.0, 0.0))
            wrong = np.array([float(compare(model(e), "v0", "v1").p < 0.05) for e in found])
            print(f"| {structure.name} | {points:g} | {percent(wrong)} |", flush=True)


def large_table(n: int) -> None:
    """Large test sets: the assumed effect of seeds and training sets falls with the number of clips."""
    print(f"\nLarge test sets of single clips, {n} experiments a line\n")
    print("| test clips | runs | seeds and training sets, points each | false claims | 1 point is found |")
    print("| --- | --- | --- | --- | --- |")
    for n_clips in (2000, 10_000):
        for n_folds, n_seeds in ((1, 1), (1, 3), (5, 1), (5, 3)):
            for points in (0.1, 0.3, 1.0):
                s = Structure("", n_clips, 1, n_folds, n_seeds, seed_points=points).with_training(points)
                rates = []
                for truth in ((0.0, 0.0), (0.0, 1.0)):
                    found = experiments(s, n, truth)
                    rates.append(percent(np.array([float(compare(model(e), "v1", "v0").p < 0.05) for e in found])))
                print(f"| {n_clips:,} | {n_folds} x {n_seeds} | {points:g} | {' | '.join(rates)} |", flush=True)


def speakers_table(n: int) -> None:
    """Speakers of unequal size that are left out in turn, without a true difference; one seed."""
    print(f"\nSpeakers of unequal size, {n} experiments a line\n")
    print("| speakers | variants differ | false claims |\n| --- | --- | --- |")
    for n_speakers in (6, 10, 20):
        for power in (0.0, 0.7):
            rng, wrong = np.random.default_rng(7), []
            for _ in range(n):
                sizes = np.maximum(5, np.round(30 * np.exp(rng.standard_normal(n_speakers)))).astype(int)
                speaker = np.repeat(np.arange(n_speakers), sizes)
                own = 0.3 * rng.standard_normal((2, n_speakers)) * np.clip((sizes / 40) ** power, 0.2, 3)
                score = (0.5 * rng.standard_normal(n_speakers) + own)[:, speaker] + 0.97
                score += 0.8 * rng.standard_normal(len(speaker)) + 0.6 * rng.standard_normal(score.shape)
                tested = speaker == np.arange(n_speakers)[:, None]
                right = np.where(tested, (score > 0)[:, None].astype(float), np.nan)
                runs = PairedRuns(("a", "b"), right, np.arange(n_speakers), speaker, None, 1.1)
                wrong.append(float(compare(JointModel(runs), "a", "b").p < 0.05))
            differ = "more on large ones" if power else "alike"
            print(f"| {n_speakers} | {differ} | {percent(np.array(wrong))} |", flush=True)


def rare_table(n: int) -> None:
    """A copy of a network that goes wrong on 40 % of the clips in 5 % of the groups, a loss of 1.8 points."""
    print(f"\nA rare loss of 1.8 points, {n} experiments a line\n")
    print("| groups | clips of each | equal within 1 point |\n| --- | --- | --- |")
    for n_groups, n_clips in ((10, 50), (50, 10), (300, 4)):
        rng, equal = np.random.default_rng(3), []
        group = np.repeat(np.arange(n_groups), n_clips)
        for _ in range(n):
            right = rng.random(len(group)) < 0.9
            lost = (rng.random(n_groups) < 0.05)[group] & (rng.random(len(group)) < 0.4)
            both = np.stack([right, right & ~lost])[:, None].astype(float)
            runs = PairedRuns(("a", "b"), both, np.zeros(1, int), group, fixed=True)
            equal.append(float(compare(JointModel(runs), "a", "b").verdict == "equal"))
        print(f"| {n_groups} | {n_clips} | {percent(np.array(equal))} |", flush=True)


class Run(SimpleNamespace):
    """What `evaluate` reads of a run."""

    __hash__ = object.__hash__


def predictions(sizes: np.ndarray, nested: bool, margin: float, rng: np.random.Generator) -> Run:
    """A run on groups of these sizes, each of one class where they are `nested`."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    frequencies = [0.4, 0.25, 0.2, 0.1, 0.05]
    targets = group % N_CLASSES if nested else rng.choice(N_CLASSES, len(group), p=frequencies)
    logits = rng.standard_normal((len(group), N_CLASSES))
    own = rng.standard_normal(len(sizes))[group] + 1.6 * rng.standard_normal(len(group))
    logits[np.arange(len(group)), targets] += margin + own
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    return Run(
        fold_seed=(1, 0),
        config=SimpleNamespace(fold=1, seed=0),
        has_probs=True,
        probs=probs,
        targets=targets,
        predictions=probs.argmax(axis=1),
        groups=tuple(map(str, group)),
        clip_ids=tuple(map(str, range(len(group)))),
        class_names=tuple("abcde"),
    )


def draw_sizes(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    if kind == "lognormal":
        return np.maximum(1, np.round(6 * np.exp(rng.standard_normal(n)))).astype(int)
    sizes = np.full(n, 10)
    if kind == "30 % in one" and n < N_TRUTH:
        sizes[0] = round(0.3 / 0.7 * 10 * (n - 1))
    return sizes


def metrics_table(n: int) -> None:
    """Intervals of the metrics that no verdict is about, of one network as it is."""
    print(f"\nOther metrics, {n} experiments a line: covered, %\n")
    print(f"| groups | sizes | classes | right | {' | '.join(METRICS)} |\n| --- |" + " --- |" * (3 + len(METRICS)))
    everything = {str(row): row for row in range(N_TRUTH)}
    for nested in (False, True):
        for kind in ("10 each", "lognormal", "30 % in one"):
            for share in (0.7, 0.95):
                margin, rng = 3 * float(stats.norm.ppf(share)), np.random.default_rng(9)
                whole = predictions(draw_sizes(kind, N_TRUTH, rng), nested, margin, rng)
                truth = evaluate([whole], Resampling(everything, np.ones((2, N_TRUTH), np.uint8))).metrics
                for n_groups in (10, 20, 60):
                    rows = {str(row): row for row in range(n_groups)}
                    resampling = Resampling(rows, resample_groups(n_groups, 1000, np.random.default_rng(0)))
                    rng, covered = np.random.default_rng(4), {metric: [] for metric in METRICS}
                    for _ in range(n):
                        run = predictions(draw_sizes(kind, n_groups, rng), nested, margin, rng)
                        found = evaluate([run], resampling)
                        for metric in METRICS:
                            interval = found.interval(metric)
                            if interval:
                                covered[metric].append(float(interval.low <= truth[metric] <= interval.high))
                    cells = " | ".join(percent(np.array(values)) for values in covered.values())
                    classes = "one in a group" if nested else "all in a group"
                    right = f"{100 * truth['accuracy']:.0f} %"
                    print(f"| {n_groups} | {kind} | {classes} | {right} | {cells} |", flush=True)


PARTS = {
    "training": training_table,
    "large": large_table,
    "speakers": speakers_table,
    "rare": rare_table,
    "metrics": metrics_table,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the experiments")
    parser.add_argument("--part", choices=PARTS, help="only this table")
    given = parser.parse_args()
    for name, table in PARTS.items():
        if given.part in (None, name):
            table(30 if given.quick else 300)


if __name__ == "__main__":
    main()
