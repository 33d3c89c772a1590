"""pandas and notebooks: tables and plots of a comparison, splits and an audit of a DataFrame."""

import re
import sys
from xml.etree import ElementTree

import pytest

import earmark
from earmark.datasets.rows import ManifestError
from earmark.runtime.errors import EarmarkError
from run_folders import make_clips, make_probs, write_run


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    from earmark.config.suite import RunConfig

    runs, clips = tmp_path_factory.mktemp("runs"), make_clips(n_folds=3)
    for variant in ("a", "None"):
        for fold in (1, 2, 3):
            test = [clip for clip in clips if clip.fold == fold]
            probs = make_probs(test, seed=fold + 10 * (variant == "a"))
            write_run(runs, RunConfig(name="s", variant=variant, fold=fold), clips, probs)
    return earmark.aggregate(runs)


def test_tables_are_frames(comparison, monkeypatch):
    pytest.importorskip("pandas")
    frames = earmark.frames(comparison)
    results = frames["results"].set_index(["variant", "metric"])
    for v in comparison.variants:
        assert results.loc[(v.variant, "accuracy"), "pooled"] == pytest.approx(v.metrics["accuracy"].pooled)
    assert len(frames["comparisons"]) == len(comparison.comparisons)
    assert set(frames["groups"]["group"]) == set(comparison.variants[0].groups)
    matrix = frames["confusion"].query("variant == 'None'").pivot(index="label", columns="prediction", values="n_clips")
    assert matrix.to_numpy().tolist() == comparison.variants[0].confusion
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(EarmarkError, match="pandas is not installed; run `pip install pandas`"):
        earmark.frames(comparison)


def test_plots_are_figures(comparison, tmp_path):
    figures = earmark.figures(comparison)
    assert set(figures) == {"scores", "differences", "probabilities"}
    shown = figures["scores"]._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and "<svg" not in shown and "&lt;svg" in shown
    figures["scores"].save(tmp_path / "new" / "scores.html")
    assert (tmp_path / "new" / "scores.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_figures_are_saved_as_svg_that_needs_no_page(comparison, tmp_path):
    """HTML was written under any name, and a thesis needs a picture."""
    for name, figure in earmark.figures(comparison).items():
        figure.save(tmp_path / "plots" / f"{name}.svg")
        text = (tmp_path / "plots" / f"{name}.svg").read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and {"width", "height"} <= {*root.keys()}
        assert "var(" not in text and "#fbfaf7" not in text, "light colors on white"
        styled = set(re.findall(r"\.([\w-]+)", root.findtext("{*}style") or ""))
        used = {c for part in root.iter() for c in part.get("class", "").split()}
        assert used - styled <= {"row"}, "every mark has its rule"
    assert "Gray: practically equal." in text
    with pytest.raises(
        EarmarkError, match=r"d\.pdf: figures are written as SVG or HTML; give a name that ends in \.svg"
    ):
        figure.save(tmp_path / "d.pdf")
    assert not (tmp_path / "d.pdf").exists()


def test_splits_and_audits_a_frame(tones):
    pandas = pytest.importorskip("pandas")
    paths = sorted(path.relative_to(tones).as_posix() for path in tones.rglob("*.wav"))
    frame = pandas.DataFrame({"path": paths})
    frame["species"] = frame["path"].str.split("/").str[0]
    frame["recorder"] = frame["path"].str[-6:-5] + frame["species"]
    clips = earmark.read_clips(frame, tones, label_column="species", group_column="recorder")
    assert {(clip.label, clip.group) for clip in clips} == set(zip(frame["species"], frame["recorder"], strict=True))
    assert all(clip.path.is_file() for clip in clips)
    split = earmark.make_split(clips, "group_kfold", fold=1, n_folds=2)
    group_of = {clip.clip_id: clip.group for clip in clips}
    assert not {group_of[i] for i in split.train} & {group_of[i] for i in split.test}
    assert earmark.audit_clips(clips, split, jobs=1).n_clips == len(clips)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"file": [], "label": []}, "DataFrame: no column 'path'; choose from file, label"),
        ({"path": [], "label": []}, "DataFrame: has no rows"),
        ({"path": ["a.wav"], "labels": ["x"]}, "label_column = 'label': no column 'label'; did you mean 'labels'"),
        ({"Path": ["a.wav"], "Label": ["x"]}, "DataFrame: none of its 1 recordings can be read"),
        ({"path": ["a.wav", "b.wav"], "label": ["x", None]}, "DataFrame, row 2: label is empty"),
        ({"path": ["a.wav", "a.wav"], "label": ["x", "y"]}, "DataFrame, row 2: a.wav is already in row 1 as 'x'"),
        ({"path": ["a.wav"], "label": ["x"], "fold": [0.5]}, "DataFrame, row 1: fold '0.5'"),
        ({"path": ["a.wav"], "label": ["x"]}, "DataFrame: none of its 1 recordings can be read"),
    ],
)
def test_a_frame_that_cannot_be_used_is_not_said_to_be_a_file(columns, message):
    """The messages named a temporary file."""
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ManifestError, match=message):
        earmark.read_clips(pandas.DataFrame(columns))
