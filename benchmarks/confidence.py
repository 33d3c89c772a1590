"""How often a confidence does not keep the precision that was found for it (`--precision`), by simulation.

    python benchmarks/confidence.py            # a table in Markdown, about 3 minutes on one free core
    python benchmarks/confidence.py --quick    # the same with a tenth of the experiments

One network as it is, whose confidence is calibrated. The truth is the precision on 200,000 other clips. Numbers after
+- are Monte-Carlo standard errors.
"""

from __future__ import annotations

import argparse

import numpy as np

from earmark.analysis.confidence import GRID, lowest_confidence
from earmark.analysis.paired_runs import PairedRuns

DESIGNS = ((100, 1), (300, 1), (1000, 1), (100, 4), (40, 10))
"""Groups, and clips of each."""
WANTED = (0.8, 0.9, 0.95)


def draw(n_groups: int, n_clips: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group, right answer and confidence of each clip; 73 % of the answers are right."""
    group = np.repeat(np.arange(n_groups), n_clips)
    logit = rng.normal(size=n_groups)[group] + 1.5 * rng.normal(size=len(group)) + 1.3
    confidence = 1 / (1 + np.exp(-logit))
    return group, (rng.random(len(group)) < confidence).astype(float), confidence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the experiments")
    n = 40 if parser.parse_args().quick else 400
    _, right, confidence = draw(200_000, 1, np.random.default_rng(99))
    truth = {least: right[confidence >= least].mean() for least in GRID}
    print("| groups | clips of each | wanted, % | not kept, % | no confidence found, % | answered, % |")
    print("| --- |" + " --- |" * 5)
    for n_groups, n_clips in DESIGNS:
        for wanted in WANTED:
            rng, broken, answered = np.random.default_rng(0), [], []
            for _ in range(n):
                group, right, confidence = draw(n_groups, n_clips, rng)
                runs = PairedRuns(("a",), right[None, None], np.zeros(1, int), group, fixed=True)
                found = lowest_confidence(runs, confidence[None], wanted)
                broken.append(found is not None and truth[found[0]] < wanted)
                answered.append(np.nan if found is None else np.mean(confidence >= found[0]))
            share, none = np.mean(broken), np.mean(np.isnan(answered))
            error = np.sqrt(max(share * (1 - share), 1 / n**2) / n)
            shown = "–" if none == 1 else f"{100 * np.nanmean(answered):.0f}"
            rates = f"{100 * share:.1f} ± {100 * error:.1f} | {100 * none:.0f} | {shown}"
            print(f"| {n_groups} | {n_clips} | {100 * wanted:g} | {rates} |", flush=True)


if __name__ == "__main__":
    main()
