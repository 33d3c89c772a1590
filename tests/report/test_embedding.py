"""The picture of the embedding: every tested clip once, in one plane, with the way to its card."""

import re

import pytest

from earmark.analysis.records import RunError, read_runs
from earmark.report.embedding import embedding_section
from run_folders import write_suite


@pytest.fixture
def records(tmp_path):
    """Two probes on one network; clip number i lies at (i, 2 i)."""
    found = read_runs(write_suite(tmp_path, {"knn": 1.0, "logistic": 2.0}, n_folds=2, seeds=(1, 2)))
    places = {clip_id: i for i, clip_id in enumerate(sorted({c for r in found for c in r.clip_ids}))}
    for r in found:
        rows = [f"{clip_id},{places[clip_id]},{2 * places[clip_id]}" for clip_id in r.clip_ids]
        (r.folder / "embedding.csv").write_text("\n".join(["clip_id,x,y", *rows]) + "\n", encoding="utf-8")
    return found


def test_every_clip_is_drawn_once_and_distances_are_kept(records):
    same = [r for r in records if r.variant == "knn"]
    page = embedding_section(same, {"1-00-0"}).body
    circles = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', page)
    assert len(circles) == len({clip for r in same for clip in r.clip_ids}) == 32
    (x0, y0), *_, (x1, y1) = [(float(x), float(y)) for x, y in circles]
    assert (y0 - y1) / (x1 - x0) == pytest.approx(2, abs=0.01) and 0 <= min(y0, y1) < max(y0, y1) <= 440
    assert re.findall(r'data-card="([^"]+)"', page) == ["clip-1-00-0"]
    assert page.count("<button") == 4


def test_networks_have_a_picture_each_and_trained_runs_none(records):
    assert embedding_section(records, set()).body.count("<figure") == 2, "attention is part of the network"
    for r in records:
        (r.folder / "embedding.csv").unlink()
    assert embedding_section(records, set()) is None


@pytest.mark.parametrize(
    ("rows", "message"), [("none,1,2\n", "cannot be read"), ("", "has no clip"), ("1-00-0,nan,1\n", "has no clip")]
)
def test_a_damaged_file_is_named(records, rows, message):
    (records[0].folder / "embedding.csv").write_text(f"clip_id,x,y\n{rows}", encoding="utf-8")
    with pytest.raises(RunError, match=rf"embedding\.csv: {message} .*delete it, or repeat the run"):
        embedding_section(records, set())
