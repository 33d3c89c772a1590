"""Reading run folders, and refusing those that must not be put into one table."""

import json
from dataclasses import replace

import numpy as np
import pytest

from earmark.analysis.comparable import check_comparable
from earmark.analysis.records import RunError, read_runs, unfinished_beside, unfinished_runs
from earmark.config.sections import FrontEndConfig, SplitConfig
from earmark.config.suite import RunConfig
from earmark.config.training import AugmentConfig, TrainConfig
from run_folders import NAMES, make_clips, make_probs, write_run, write_suite

BASE = RunConfig(name="toy", variant="none")
CLIPS = make_clips(2)
FIRST = [c for c in CLIPS if c.fold == 1]


def add_run(runs, config=BASE, clips=CLIPS, names=NAMES, **changes):
    test = [c for c in clips if c.fold == config.fold]
    return write_run(runs, config, clips, make_probs(test, seed=config.seed, names=names), names, **changes)


def test_a_record_says_what_its_folder_says(tmp_path):
    probs = make_probs(FIRST, seed=0)
    folder = write_run(tmp_path, BASE, CLIPS, probs)
    (record,) = read_runs(tmp_path)
    assert record.folder == folder
    assert (record.variant, record.fold_seed, record.class_names) == ("none", (1, 42), NAMES)
    assert record.clip_ids == tuple(sorted(c.clip_id for c in FIRST))
    assert record.n_train == len(CLIPS) - len(FIRST)
    order = np.argsort([c.clip_id for c in FIRST])
    np.testing.assert_allclose(record.probs, probs[order], rtol=1e-8)
    assert [NAMES[t] for t in record.targets] == [FIRST[i].label for i in order]
    assert record.result["metrics"]["accuracy"] == np.mean(record.predictions == record.targets)


def test_runs_are_found_at_any_depth_and_sorted(tmp_path):
    write_suite(tmp_path / "deep" / "er", {"se": 1, "none": 1}, n_folds=2, seeds=(2, 1))
    records = read_runs(tmp_path)
    keys = [(r.variant, *r.fold_seed) for r in records]
    assert len(keys) == 8
    assert keys == sorted(keys)


def test_unfinished_runs_are_named(tmp_path):
    add_run(tmp_path)
    begun = add_run(tmp_path, replace(BASE, seed=7), finished=False)
    assert unfinished_runs(tmp_path) == [begun]
    assert len(read_runs(tmp_path)) == 1


def test_unfinished_runs_of_other_data_beside_are_not_named(tmp_path):
    """The folder of the documented training scripts holds the runs of ESC-50 and of EmoDB."""
    add_run(tmp_path)
    begun = add_run(tmp_path, replace(BASE, seed=7), finished=False)
    other = replace(BASE, seed=9, data=replace(BASE.data, dataset="esc10", root="elsewhere"))
    add_run(tmp_path, other, finished=False)
    assert unfinished_beside(read_runs(tmp_path)) == [begun]


def test_a_folder_without_finished_runs_is_refused(tmp_path):
    with pytest.raises(RunError, match="no run has been started"):
        read_runs(tmp_path)
    (tmp_path / "svm.csv").write_text("clip_id,prediction\n")
    with pytest.raises(RunError, match=r"svm\.csv: is a file; give the folder of its runs .*`earmark import`"):
        read_runs(tmp_path / "svm.csv")
    add_run(tmp_path, finished=False)
    with pytest.raises(RunError, match="unfinished: 1"):
        read_runs(tmp_path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda f: (f / "predictions.csv").unlink(), r"predictions\.csv"),
        (lambda f: (f / "result.json").write_text("{"), r"result\.json is not JSON: Expecting"),
        (lambda f: (f / "result.json").write_text("{}"), r"result\.json lacks the key 'id'"),
        (lambda f: edit(f, "config.json", class_names=3), r"config\.json: class_names = 3 must be a list"),
        (lambda f: edit(f, "result.json", macs=-1), r"result\.json: macs = -1 must be 0 or more"),
        (lambda f: edit(f, "result.json", format_version=3), r"result\.json: format_version = 3, and .* reads 1 to 2"),
        (lambda f: edit(f, "timing.json", train_seconds="x"), r"timing\.json: train_seconds = \"x\" must be a number"),
        (lambda f: (f / "predictions.csv").write_text("clip_id,group\n"), "columns are not those of the classes"),
        (lambda f: drop_row(f / "predictions.csv"), "differ in 1 clips"),
        (lambda f: drop_row(f / "split.csv"), "differ in 1 clips"),
        (lambda f: swap_labels(f / "predictions.csv"), r"metrics\.accuracy = .*, but predictions\.csv gives"),
        (lambda f: (f / "split.csv").write_text("clip_id,subset\n"), r"split\.csv lacks the column 'filepath'"),
    ],
)
def test_a_damaged_run_is_named_with_the_remedy(tmp_path, damage, reason):
    folder = add_run(tmp_path)
    damage(folder)
    with pytest.raises(RunError, match=f"{folder.name}.*{reason}.*repeat the run"):
        read_runs(tmp_path)


def edit(folder, file, **changes):
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content | changes))


def drop_row(path):
    """Leave out the first clip of fold 1, which is tested."""
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if FIRST[0].clip_id not in line))


def swap_labels(path):
    """Make every label that of the next class, as if another data set's predictions lay in the folder."""
    header, *rows = (line.split(",") for line in path.read_text().splitlines())
    for row in rows:
        row[2] = NAMES[(NAMES.index(row[2]) + 1) % len(NAMES)]
    path.write_text("\n".join(",".join(row) for row in [header, *rows]))


@pytest.mark.parametrize("version", [1, 2])
def test_runs_of_both_format_versions_are_read_alike(tmp_path, version):
    """Version 1 says `part`, `reported_part` and `multiply_adds`, and has no `format_version`."""
    folder = add_run(tmp_path, version=version)
    assert ("format_version" in (folder / "result.json").read_text()) == (version == 2)
    assert ("reported_part" in (folder / "result.json").read_text()) == (version == 1)
    assert (",part" in (folder / "split.csv").read_text()) == (version == 1)
    (record,) = read_runs(tmp_path)
    assert (record.result["reported_subset"], record.result["macs"]) == ("test", 12_000_000)
    assert record.result["format_version"] == 2
    assert record.n_train == len(CLIPS) - len(FIRST)


def test_runs_of_both_format_versions_stand_in_one_table(tmp_path):
    write_suite(tmp_path, {"none": 1.0}, 2, (1,), version=1)
    write_suite(tmp_path, {"se": 1.0}, 2, (1,), version=2)
    check_comparable(read_runs(tmp_path))


def test_sound_suite_is_comparable(tmp_path):
    write_suite(tmp_path)
    check_comparable(read_runs(tmp_path))


def test_selection_on_the_test_subset_is_refused(tmp_path):
    add_run(tmp_path)
    add_run(tmp_path, replace(BASE, seed=1), selected_on="test")
    with pytest.raises(RunError, match=r"selected_on = 'test'.*split\.val_ratio"):
        check_comparable(read_runs(tmp_path))


def test_reporting_the_subset_that_selected_is_refused(tmp_path):
    add_run(tmp_path, selected_on="valid", reported_subset="valid")
    for path in tmp_path.rglob("split.csv"):
        path.write_text(path.read_text().replace(",test", ",valid"))
    with pytest.raises(RunError, match="selected_on = 'valid'"):
        check_comparable(read_runs(tmp_path))


def test_two_suites_are_refused(tmp_path):
    add_run(tmp_path)
    add_run(tmp_path, replace(BASE, name="other"))
    with pytest.raises(RunError, match=r"2 suites \(other, toy\): give one of"):
        check_comparable(read_runs(tmp_path))


def test_two_suites_in_one_folder_are_to_be_moved_apart(tmp_path):
    records = read_runs(add_run(tmp_path).parent)
    other = replace(records[0], config=replace(records[0].config, name="other"))
    with pytest.raises(RunError, match=r"2 suites \(other, toy\): move those of each into a folder of its own"):
        check_comparable([*records, other])


def test_two_runs_of_one_fold_and_seed_are_refused(tmp_path):
    add_run(tmp_path)
    add_run(tmp_path, fingerprint="of other data")
    with pytest.raises(RunError, match="both have this variant, fold and seed"):
        check_comparable(read_runs(tmp_path))


def test_one_variant_with_two_settings_is_refused(tmp_path):
    add_run(tmp_path)
    add_run(tmp_path, replace(BASE, seed=1, train=TrainConfig(epochs=5)))
    with pytest.raises(RunError, match="one variant name and different settings"):
        check_comparable(read_runs(tmp_path))


def test_a_moved_data_root_is_no_other_setting(tmp_path):
    add_run(tmp_path)
    add_run(tmp_path, replace(BASE, seed=1, data=replace(BASE.data, root="/elsewhere", memory_gib=1.0)))
    check_comparable(read_runs(tmp_path))


def test_other_data_of_one_fold_is_refused(tmp_path):
    add_run(tmp_path)
    add_run(tmp_path, replace(BASE, variant="se"), fingerprint="of other data")
    with pytest.raises(RunError, match="the audio or images that they read"):
        check_comparable(read_runs(tmp_path))


@pytest.mark.parametrize(
    "changes", [{"front_end": FrontEndConfig(n_mels=64)}, {"augment": AugmentConfig(waveform=("noisy",))}]
)
def test_a_variant_may_read_other_images_of_the_same_clips(tmp_path, changes):
    add_run(tmp_path)
    add_run(tmp_path, replace(BASE, variant="other", **changes), fingerprint="of other images")
    check_comparable(read_runs(tmp_path))


def test_another_split_of_one_fold_is_refused(tmp_path):
    add_run(tmp_path)
    fewer = [c for c in CLIPS if c.fold == 1 or not c.clip_id.endswith("0")]
    add_run(tmp_path, replace(BASE, variant="se", split=SplitConfig(val_ratio=0.1)), fewer)
    with pytest.raises(RunError, match="which clip is in which subset"):
        check_comparable(read_runs(tmp_path))


def test_other_recordings_of_the_same_names_are_refused_whatever_the_front_end(tmp_path):
    for variant, audio, hop in (("a", "x", 512), ("b", "x", 256), ("c", "y", 128)):
        base = RunConfig(name="toy", front_end=FrontEndConfig(hop_length=hop))
        write_suite(tmp_path, {variant: 1.0}, base=base, digests={"test_audio": audio})
    records = read_runs(tmp_path / "toy")
    check_comparable([r for r in records if r.variant != "c"])
    with pytest.raises(RunError, match="differ in the recordings that they report, although the names"):
        check_comparable(records)


def test_a_clip_in_two_subsets_of_a_run_is_refused(tmp_path):
    folder = next(write_suite(tmp_path, {"a": 1.0}, seeds=(1,)).iterdir())
    lines = (folder / "split.csv").read_text(encoding="utf-8").splitlines()
    tested = next(line for line in lines if ",test" in line)
    text = "\n".join([*lines, tested.replace(",test", ",train")])
    (folder / "split.csv").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match="clips in several subsets"):
        read_runs(tmp_path / "toy")


def test_other_groups_of_the_same_clips_are_refused(tmp_path):
    add_run(tmp_path)
    regrouped = [replace(c, group="all") for c in CLIPS]
    add_run(tmp_path, replace(BASE, variant="se"), regrouped)
    with pytest.raises(RunError, match=r"differ in the group of \d+ clips \(.*\); give both the same split"):
        check_comparable(read_runs(tmp_path))


def test_other_classes_are_refused(tmp_path):
    add_run(tmp_path)
    names = (*NAMES, "whistle")
    add_run(tmp_path, replace(BASE, variant="se"), names=names)
    with pytest.raises(RunError, match="differ in their classes"):
        check_comparable(read_runs(tmp_path))


def test_results_are_read_as_written(tmp_path):
    folder = add_run(tmp_path)
    (record,) = read_runs(folder)
    assert record.result == json.loads((folder / "result.json").read_text())
