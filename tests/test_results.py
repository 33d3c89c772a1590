"""The committed predictions in results/ can be read, are small and name no path."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from earmark.analysis.aggregate import aggregate
from earmark.analysis.records import read_runs
from earmark.analysis.tuning import read_trials, read_tuning
from earmark.config.suite import merge
from earmark.datasets.read import read_dataset
from earmark.runs.plan import data_fingerprint, data_folder, plan_data
from earmark.splits.make import make_split

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(path for path in (ROOT / "results").iterdir() if path.is_dir())
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
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


def test_the_readme_counts_as_many_configurations_as_the_page():
    found = re.search(r"At least (\d+) configurations have been evaluated on the test folds of (\S+),", README)
    assert found and f"| {found[2]} | {found[1]} |" in PAGE


@pytest.mark.parametrize("folder", [path for path in FOLDERS if (path / "tuning").is_dir()], ids=lambda path: path.name)
def test_the_means_of_trials_over_folds_are_those_of_the_page(folder):
    section = next(part for part in PAGE.split("\n## ") if f"compare results/{folder.name} " in part)
    scores: dict[int, list[float]] = {}
    for row in read_trials(folder):
        scores.setdefault(row.trial, []).append(100 * row.score)
    tuning = read_tuning(folder)
    assert len(scores) == tuning.trials
    for several in scores.values():
        assert f"{np.mean(several):.1f}" in section
    assert f"{'UAR' if tuning.metric == 'uar' else 'accuracy'} on inner folds |" in section


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_new_runs_on_the_same_data_can_be_compared_with_the_results(folder, real_data, tmp_path):
    """`earmark compare` refuses runs of one fold with other fingerprints: those of the results must stay today's."""
    record = read_runs(folder)[0]
    root = (
        real_data / {"esc10": "ESC-10", "emodb": "EmoDB-2s", "esc50": "ESC-50-spectrograms"}[record.config.data.dataset]
    )
    if folder.name == "esc50-attention-small":
        pytest.skip("its images are pooled by benchmarks/pool_images.py")
    images = str(root / "png") if (root / "png").is_dir() else ""
    config = merge(record.config, {"data": {"root": str(root), "images": images}})
    clips = tuple(read_dataset(config.data))
    split = make_split(clips, config.split, config.fold)
    data = plan_data(config, clips, data_folder(config.data, tmp_path))
    written = json.loads((record.folder / "config.json").read_text(encoding="utf-8"))
    assert data_fingerprint(config, data, split) == written["data_fingerprint"]
