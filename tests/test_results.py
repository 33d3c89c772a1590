"""The committed predictions in results/ can be read, are small and name no path."""

import re
from pathlib import Path

import numpy as np
import pytest

from earmark.analysis.aggregate import aggregate
from earmark.analysis.records import read_runs
from earmark.analysis.tuning import read_trials

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(path for path in (ROOT / "results").iterdir() if path.is_dir())
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
SCORE = r"\d+\.\d % \(\d+\.\d to \d+\.\d\)"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_committed_results_are_small_and_can_be_compared(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1e6
    assert not [path for path in files if '": "/' in path.read_text(encoding="utf-8")], "no path of a machine"
    result = aggregate(read_runs(folder))
    n_variants = len(result.variants)
    assert len(result.comparisons) == n_variants * (n_variants - 1), "every two, in accuracy and in UAR"
    assert len(result.references.references) + len(result.references.missing) == 3
    for variant in result.variants:
        scores = [variant.metrics[metric] for metric in ("accuracy", "uar")]
        shown = [f"{100 * m.pooled:.1f} % ({100 * m.low:.1f} to {100 * m.high:.1f})" for m in scores]
        assert any(score in PAGE for score in shown), f"{variant.variant}: {shown}"


@pytest.mark.parametrize("page", ["README.md", "results/README.md"])
def test_scores_of_other_pages_are_those_of_the_results(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    scores = re.findall(SCORE, text)
    assert len(scores) > 5
    assert [score for score in scores if score not in PAGE] == []


@pytest.mark.parametrize("folder", [path for path in FOLDERS if (path / "tuning").is_dir()], ids=lambda path: path.name)
def test_the_means_of_trials_over_folds_are_those_of_the_page(folder):
    section = next(part for part in PAGE.split("\n## ") if f"compare results/{folder.name} " in part)
    scores: dict[int, list[float]] = {}
    for row in read_trials(folder):
        scores.setdefault(row.trial, []).append(100 * row.score)
    assert len(scores) >= 3
    for several in scores.values():
        assert f"{np.mean(several):.1f}" in section
