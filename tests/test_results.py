"""The committed predictions in results/ can be read, are small and name no path."""

from pathlib import Path

import pytest

from earmark.analysis.aggregate import aggregate
from earmark.analysis.records import read_runs

FOLDERS = sorted(path for path in (Path(__file__).parents[1] / "results").iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_committed_results_are_small_and_can_be_compared(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1e6
    assert not [path for path in files if '": "/' in path.read_text(encoding="utf-8")], "no path of a machine"
    result = aggregate(read_runs(folder))
    n_variants = len(result.variants)
    assert len(result.comparisons) == n_variants * (n_variants - 1), "every two, in accuracy and in UAR"
    assert len(result.references.references) == 3
