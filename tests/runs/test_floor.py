"""The references of a suite: they see the training subset alone, are scored once, and a missing one is named."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.analysis.records import RunError
from earmark.cli.main import main
from earmark.config.sections import Options
from earmark.config.suite import merge
from earmark.datasets.manifest import Clip, read_manifest, write_manifest
from earmark.runs import floor
from earmark.runs.floor import band_statistics, plan_of_runs, predict_references, update_floor
from earmark.runs.plan import plan_suite
from earmark.runs.prepare import prepare_suite
from earmark.runtime.errors import EarmarkError
from earmark.splits.split import Split, SplitError


def planned(suite, tmp_path):
    plan = plan_suite(suite, Options(runs=tmp_path / "runs", work=tmp_path / "work"))
    prepare_suite(plan)
    return plan, tmp_path / "runs" / suite.name


def rows_of(folder):
    with (folder / "floor.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def accuracy(rows, name):
    return np.mean([row[name] == row["label"] for row in rows])


def test_every_test_clip_has_the_predictions_of_three_references(small_suite, tmp_path):
    plan, folder = planned(small_suite, tmp_path)
    assert update_floor(plan, folder) == {}
    rows = rows_of(folder)
    tested = {(str(run.config.fold), clip_id) for run in plan.runs for clip_id in run.split.test}
    assert {(row["fold"], row["clip_id"]) for row in rows} == tested
    assert len(rows) == len(tested)
    assert accuracy(rows, "band_statistics") > 0.9, "tones of three octaves"
    assert accuracy(rows, "majority") == pytest.approx(1 / 3, abs=0.1)


def test_images_that_are_gone_are_made_again(small_suite, tmp_path):
    plan, folder = planned(small_suite, tmp_path)
    shutil.rmtree(tmp_path / "work")  # the runs may have been trained on another machine
    assert update_floor(plan, folder) == {}
    assert accuracy(rows_of(folder), "band_statistics") > 0.9


def test_the_floor_is_not_computed_again_unless_a_fold_is_new(small_suite, tmp_path, monkeypatch):
    plan, folder = planned(replace(small_suite, folds=(1,)), tmp_path)
    update_floor(plan, folder)
    scored = []
    real = floor._score_fold
    monkeypatch.setattr(floor, "_score_fold", lambda run, *rest: scored.append(run.config.fold) or real(run, *rest))
    update_floor(plan, folder)
    assert scored == []
    update_floor(planned(small_suite, tmp_path)[0], folder)
    assert scored == [2]
    assert {row["fold"] for row in rows_of(folder)} == {"1", "2"}
    update_floor(plan, folder)
    assert {row["fold"] for row in rows_of(folder)} == {"1", "2"}, "a part of the suite keeps the other folds"


def test_a_changed_label_or_image_is_scored_again(small_suite, tmp_path, tones):
    plan, folder = planned(small_suite, tmp_path)
    update_floor(plan, folder)
    before = json.loads((folder / "floor.json").read_text())["fingerprints"]
    other, _ = planned(merge(small_suite, {"front_end": {"n_mels": 16}}), tmp_path)
    update_floor(other, folder)
    after = json.loads((folder / "floor.json").read_text())["fingerprints"]
    assert before.keys() == after.keys() and not set(before.values()) & set(after.values())


def test_ready_made_images_have_no_shortcuts_and_say_so(small_suite, tmp_path):
    plan, _ = planned(small_suite, tmp_path)
    images = plan.data_of(plan.runs[0]).store.folder
    ready = merge(small_suite, {"data": {"images": str(images)}})
    plan, folder = planned(ready, tmp_path / "ready")
    assert update_floor(plan, folder) == {"shortcuts": floor.NO_RECORDINGS}
    assert update_floor(plan, folder) == {"shortcuts": floor.NO_RECORDINGS}, "not only the first time"
    assert {row["shortcuts"] for row in rows_of(folder)} == {""}


@pytest.fixture
def imported(small_suite, tmp_path):
    """Perfect predictions on the two folds of the small suite, imported, and the rows of the suite's own floor."""
    plan, folder = planned(small_suite, tmp_path)
    update_floor(plan, folder)
    clips = {clip.clip_id: clip for clip in plan.data_of(plan.runs[0]).clips}
    write_manifest(clips.values(), tmp_path / "clips.csv")
    rows = {(clip_id, clips[clip_id].label, run.config.fold) for run in plan.runs for clip_id in run.split.test}
    lines = ["clip_id,prediction,fold", *(",".join(map(str, row)) for row in sorted(rows))]
    (tmp_path / "mine.csv").write_text("\n".join(lines), encoding="utf-8")
    arguments = ["--clips", str(tmp_path / "clips.csv"), "-o", str(tmp_path / "runs" / "mine")]
    main(["import", str(tmp_path / "mine.csv"), *arguments])
    return tmp_path / "runs" / "mine", rows_of(folder)


def test_imported_runs_get_the_floor_of_a_suite_on_the_same_folds(imported, tmp_path, capsys, monkeypatch):
    folder, suite_rows = imported
    work = ["--work", str(tmp_path / "work")]
    main(["floor", str(folder), "--clips", str(tmp_path / "clips.csv"), *work])
    assert capsys.readouterr().out.endswith(f"{folder / 'floor.csv'}: references of 2 folds\n")
    rows = rows_of(folder)
    for name in ("majority", "shortcuts"):
        assert [row[name] for row in rows] == [row[name] for row in suite_rows], "fitted on the same clips"
    assert accuracy(rows, "band_statistics") > 0.9
    main(["compare", str(folder)])
    assert "to beat the floor, band statistics" in capsys.readouterr().out.replace("\n", " ")
    monkeypatch.setattr(floor, "_score_fold", lambda *args: pytest.fail("scored twice"))
    main(["floor", str(folder), "--clips", str(tmp_path / "clips.csv"), *work])


def test_runs_of_a_suite_know_their_recordings(small_suite, tmp_path, imported):
    plan, _ = planned(small_suite, tmp_path)
    folder = tmp_path / "own"
    for number, run in enumerate(plan.runs):
        there = imported[0].glob(f"*-fold{run.config.fold}-*")
        shutil.copytree(next(there), folder / str(number))
        content = json.loads((folder / str(number) / "result.json").read_text(encoding="utf-8"))
        (folder / str(number) / "result.json").write_text(json.dumps(content | {"imported": False}), encoding="utf-8")
        config = json.loads((folder / str(number) / "config.json").read_text(encoding="utf-8"))
        config["run"]["data"] |= {"dataset": "folder", "root": small_suite.data.root}
        (folder / str(number) / "config.json").write_text(json.dumps(config), encoding="utf-8")
    found = plan_of_runs(folder, None, tmp_path / "work")
    assert [run.split.test for run in found.runs] == [run.split.test for run in plan.runs]


def test_references_are_not_fitted_on_the_groups_of_a_point_of_a_learning_curve(small_suite, tmp_path, imported):
    """In a fold where only such a point was finished, the floor was that of half of the training groups."""
    folder, _ = imported
    for run in folder.glob("*-fold2-*"):
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        config["run"]["split"]["train_fraction"] = 0.5
        (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    plan = plan_of_runs(folder, tmp_path / "clips.csv", tmp_path / "work")
    assert {run.config.fold: run.config.split.train_fraction for run in plan.runs} == {1: 1.0, 2: 0.5}
    update_floor(plan, folder)
    assert {row["fold"] for row in rows_of(folder)} == {"1"}


def test_the_rate_of_imported_recordings_of_several_rates_can_be_given(imported, tmp_path):
    folder, _ = imported
    recordings = shutil.copytree(Path(read_manifest(tmp_path / "clips.csv")[0].path).parents[1], tmp_path / "mixed")
    clips = [
        replace(c, path=recordings / c.path.parent.name / c.path.name) for c in read_manifest(tmp_path / "clips.csv")
    ]
    waveform, _ = soundfile.read(clips[0].path)
    soundfile.write(clips[0].path, waveform, 16000)
    write_manifest(clips, tmp_path / "mixed.csv")
    with pytest.raises(
        EarmarkError,
        match=r"8000 Hz \(\d+ clips\), 16000 Hz \(1 clip\); give one.*--front-end.sample-rate 8000.*`earmark floor`",
    ):
        plan_of_runs(folder, tmp_path / "mixed.csv", tmp_path / "work")
    plan = plan_of_runs(folder, tmp_path / "mixed.csv", tmp_path / "work", sample_rate=8000)
    assert plan.data_of(plan.runs[0]).store.front_end.sample_rate == 8000


def test_a_floor_needs_the_manifest_of_imported_runs(imported, tmp_path):
    folder, _ = imported
    with pytest.raises(RunError, match=r"were imported; give their manifest with --clips"):
        plan_of_runs(folder, None, tmp_path / "work")
    clips = read_manifest(tmp_path / "clips.csv")
    write_manifest(clips[1:], tmp_path / "fewer.csv")
    with pytest.raises(SplitError, match=rf"1 clip of its split not in the data \({clips[0].clip_id}\)"):
        plan_of_runs(folder, tmp_path / "fewer.csv", tmp_path / "work")
    write_manifest([replace(clips[0], label=clips[-1].label), *clips[1:]], tmp_path / "other.csv")
    with pytest.raises(SplitError, match="1 clip of its split labeled otherwise now"):
        plan_of_runs(folder, tmp_path / "other.csv", tmp_path / "work")
    shutil.copytree(folder, folder.with_name("theirs"))
    with pytest.raises(RunError, match="has runs in 2 folders; give one of them"):
        plan_of_runs(folder.parent, tmp_path / "clips.csv", tmp_path / "work")


def test_a_floor_needs_recordings_and_training_clips_of_published_runs(imported, tmp_path):
    """Runs may be published without places and splits; neither data.root nor a split can be given to `floor`."""
    folder = shutil.copytree(imported[0], tmp_path / "published")
    for path in folder.glob("*/*.json"):
        content = json.loads(path.read_text())
        if path.name == "config.json":
            content["run"]["data"]["root"] = ""
        content.pop("imported", None)
        path.write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"do not say where their recordings are; give their manifest with --clips"):
        plan_of_runs(folder, None, tmp_path / "work")
    for path in folder.glob("*/config.json"):
        path.write_text(path.read_text().replace('"root": ""', '"root": "elsewhere"'))
    with pytest.raises(EarmarkError, match=r"not found at .*; give the manifest of these runs with --clips"):
        plan_of_runs(folder, None, tmp_path / "work")
    run = min(folder.glob("*/split.csv"))
    result = json.loads((run.parent / "result.json").read_text())
    (run.parent / "result.json").write_text(json.dumps({**result, "subsets_digest": "0" * 64, "n_train": 18}))
    run.unlink()
    with pytest.raises(RunError, match=r"without split\.csv its training clips are not known; there is no floor"):
        plan_of_runs(folder, tmp_path / "clips.csv", tmp_path / "work")


def test_shortcuts_know_the_length_and_not_the_sound(tmp_path):
    rng = np.random.default_rng(0)
    clips = []
    for i in range(24):
        label = ("a", "b")[i % 2]
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, 0.1 * rng.normal(size=4000 if label == "a" else 6000), 8000)
        clips.append(Clip(f"{i}", path, label, f"g{i}"))
    facts, _ = floor.file_facts(clips, 1)
    bands = {clip.clip_id: rng.normal(size=4) for clip in clips}
    split = Split(tuple(c.clip_id for c in clips[:16]), (), tuple(c.clip_id for c in clips[16:]), "holdout", 1)
    found = predict_references(split, clips, bands, facts)
    assert found["shortcuts"] == [clip.label for clip in clips[16:]]
    assert found["majority"] == ["a"] * 8, "of equally frequent classes the first"


def test_an_unreadable_recording_leaves_out_the_shortcuts_with_the_reason():
    clips = [Clip("x", Path("nowhere.wav"), "a", "g")]
    facts, reason = floor.file_facts(clips, 1)
    assert facts is None
    assert "nowhere.wav" in reason


def test_band_statistics_are_mean_and_deviation_of_each_bin():
    image = np.array([[0, 255], [51, 51]], dtype=np.uint8)
    np.testing.assert_allclose(band_statistics(image), [0.5, 0.2, 0.5, 0.0])
