"""The ledger: every look at test clips is counted, under any name, and removing results does not undo it."""

import multiprocessing
import shutil
from dataclasses import replace

import numpy as np
import pytest

import earmark
from earmark.analysis.aggregate import aggregate
from earmark.analysis.joint_model import JointModel
from earmark.analysis.ledger import (
    COLUMNS,
    LedgerError,
    digest_predictions,
    find_ledger,
    imported_configuration,
    read_ledger,
    record_look,
)
from earmark.analysis.looks import count_configurations, count_looks, expected_maximum, group_by_test_set, look_notes
from earmark.analysis.paired_runs import PairedRuns
from earmark.analysis.records import read_runs
from earmark.cli.main import main
from earmark.datasets.manifest import Clip
from ledger_rows import CLIPS, append_many, look
from run_folders import make_clips, write_suite


def looks_of(folder):
    """A look for every finished run below a folder, as training records it."""
    for r in read_runs(folder):
        place = {"suite": r.config.name, "variant": r.variant, "fold": r.config.fold, "seed": r.config.seed}
        identity = {"configuration": r.settings_id, "run": r.id}
        others = {"event": "trained", "test_clips": r.clip_ids, "all_clips": [c.clip_id for c in make_clips()]}
        record_look(r.folder, **place, **identity, **others)


@pytest.fixture
def toy(tmp_path):
    """Two variants, five folds, two seeds, all in the ledger."""
    folder = write_suite(tmp_path / "runs", seeds=(1, 2))
    looks_of(folder)
    return folder


def note(folder):
    (found,) = [text for text in aggregate(read_runs(folder)).notes if "scored on these test clips" in text]
    return found


def test_a_look_is_a_row_and_rows_stay(tmp_path):
    look(tmp_path)
    look(tmp_path, variant="b", run="r2", configuration="c2", suite="two")
    first, second = read_ledger(find_ledger(tmp_path / "two"))
    assert (first.suite, first.variant, first.fold, first.seed, first.run, first.n_test) == ("one", "a", 1, 1, "r1", 5)
    assert (second.suite, second.configuration) == ("two", "c2")
    assert first.test_clips == second.test_clips and first.test_audio == ""
    assert (tmp_path / "ledger.csv").read_text(encoding="utf-8").splitlines()[0] == ",".join(COLUMNS)


def test_a_run_that_is_not_in_a_folder_of_its_suite_has_the_ledger_beside_it(tmp_path):
    place = {"variant": "a", "fold": 1, "seed": 1, "configuration": "c", "run": "r"}
    record_look(tmp_path / "runs" / "mine", event="trained", suite="s", **place, test_clips=CLIPS, all_clips=CLIPS)
    assert (tmp_path / "runs" / "ledger.csv").is_file()


def test_a_row_that_was_cut_off_is_left_out_and_the_next_one_is_whole(tmp_path):
    look(tmp_path)
    path = tmp_path / "ledger.csv"
    path.write_text(path.read_text(encoding="utf-8") + "2026-01-01,trained,one,a", encoding="utf-8")
    look(tmp_path, run="r2")
    assert [found.run for found in read_ledger(path)] == ["r1", "r2"]


def test_a_ledger_without_a_column_is_refused(tmp_path):
    (tmp_path / "ledger.csv").write_text("time,event\n", encoding="utf-8")
    with pytest.raises(LedgerError, match="lacks the column 'suite'"):
        read_ledger(tmp_path / "ledger.csv")


def test_processes_that_append_at_the_same_time_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=append_many, args=(tmp_path, name)) for name in "xyz"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    expected = {f"{name}{i}" for name in "xyz" for i in range(25)}
    assert {found.run for found in read_ledger(tmp_path / "ledger.csv")} == expected


# --- counting


def test_folds_and_seeds_of_one_configuration_are_one(tmp_path):
    for fold in (1, 2):
        for seed in (1, 2):
            look(tmp_path, fold=fold, seed=seed, run=f"r{fold}{seed}", test=CLIPS[5 * fold : 5 * fold + 5])
    looks = read_ledger(tmp_path / "ledger.csv")
    assert count_configurations(looks) == 1
    look(tmp_path, configuration="c2", run="other")
    look(tmp_path, run="r11")  # the same run, repeated: its result is the same
    assert count_configurations(read_ledger(tmp_path / "ledger.csv")) == 2


def test_predictions_that_are_imported_again_under_the_same_variant_count_again(tmp_path):
    for run in ("first", "tuned"):
        look(tmp_path, event="imported", configuration=imported_configuration("svm"), run=run)
    assert count_configurations(read_ledger(tmp_path / "ledger.csv")) == 2


def test_a_comparison_that_the_ledger_knows_has_as_many_looks_as_variants(toy):
    count = count_looks(read_runs(toy))
    assert (count.n, count.n_shown, count.n_elsewhere, count.complete) == (2, 2, 0, True)
    assert note(toy).startswith("2 configurations have been scored on these test clips.")


def test_another_suite_name_does_not_hide_a_look(toy, tmp_path):
    runs = tmp_path / "runs"
    clips = make_clips()
    for i in range(10):
        test = [c.clip_id for c in clips if c.fold == 1]
        ids = [c.clip_id for c in clips]
        look(runs, suite=f"try{i}", configuration=f"tuned{i}", run=f"t{i}", test=test, all_clips=ids)
    assert note(toy).startswith("12 configurations have been scored on these test clips, 2 of them shown here.")


def test_other_names_of_the_clips_do_not_hide_a_look_where_the_audio_is_known(tmp_path):
    audio = [f"digest{i}" for i in range(5)]
    look(tmp_path, test_audio=audio)
    look(tmp_path, test=["x", "y", "z", "v", "w"], test_audio=audio[::-1], configuration="c2", run="r2")
    look(tmp_path, test=["x", "y", "z", "v", "w"], configuration="c3", run="r3")  # imported: no audio
    look(tmp_path, test=CLIPS[5:10], configuration="c4", run="r4")
    sets = group_by_test_set(read_ledger(tmp_path / "ledger.csv"))
    assert sorted(len(looks) for looks in sets) == [1, 3]


def test_other_folds_of_the_same_clips_are_counted_apart(toy, tmp_path):
    ids = [c.clip_id for c in make_clips()]
    for i in range(3):
        look(tmp_path / "runs", suite="s", configuration=f"seed{i}", run=f"s{i}", test=ids[i::4], all_clips=ids)
    assert "3 more have been scored on other test subsets of these data." in note(toy)


def test_runs_that_no_ledger_has_make_the_count_a_lower_bound(toy, tmp_path):
    (tmp_path / "runs" / "ledger.csv").unlink()
    assert note(toy).startswith("At least 2 configurations have been scored on these test clips.")


def test_a_scored_run_whose_result_was_removed_is_named(toy):
    assert not [text for text in aggregate(read_runs(toy)).notes if "no result any more" in text]
    for folder in [*toy.glob("*-fold2-seed1-*")]:
        shutil.rmtree(folder)
    (text,) = [text for text in aggregate(read_runs(toy)).notes if "no result any more" in text]
    assert text.startswith("2 runs of this suite were scored and have no result any more (none fold 2 seed 1, se ")


def table(clip_ids, shift=0.0):
    """Ids, labels and probabilities of made-up predictions."""
    probs = np.linspace(0.1, 0.9, len(clip_ids)) + shift
    return clip_ids, ["dog" if p > 0.5 else "cat" for p in probs], np.stack([1 - probs, probs], axis=1)


def test_the_digest_of_predictions_is_that_of_clips_labels_and_probabilities():
    ids, labels, probs = table(CLIPS[:4])
    found = digest_predictions(ids, labels, probs)
    assert digest_predictions(ids[::-1], labels[::-1], probs[::-1]) == found
    others = [(CLIPS[1:5], labels, probs), (ids, ["dog"] * 4, probs), (ids, labels, probs + 1e-6), (ids, labels, None)]
    assert len({found, *(digest_predictions(*other) for other in others)}) == 5


def test_the_same_predictions_under_other_names_are_one_configuration(tmp_path):
    """Where all of them are known and all are the same."""
    same = digest_predictions(*table(CLIPS[:5]))

    def count(variant, predictions=same, **changes):
        made = {"configuration": imported_configuration(variant), "run": f"{variant}{changes}", **changes}
        look(tmp_path, variant=variant, predictions=predictions, **made)
        return count_configurations(read_ledger(tmp_path / "ledger.csv"))

    assert [count(name) for name in ("svm", "svm-again", "svm-best")] == [1, 1, 1]
    assert count("svm-best", "another", fold=2, test=CLIPS[5:10]) == 2, "they differ in a fold"
    assert count("mlp", digest_predictions(*table(CLIPS[:5], shift=0.01))) == 3
    assert count("old", "") == count("older", "") - 1 == 4, "not known to be the same"


def test_rows_of_an_earlier_version_stay_valid_before_and_after_those_of_this_one(tmp_path):
    for earlier in (True, False):
        folder = tmp_path / str(earlier)
        look(folder, predictions="p")
        path = folder / "ledger.csv"
        header, row = path.read_text(encoding="utf-8").splitlines()
        old_header, old_row = header.removesuffix(",predictions"), row.removesuffix(",p").replace("r1", "r0")
        lines = [old_header, old_row] if earlier else [header, row, old_row]
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        look(folder, run="r2", predictions="q")
        found = {one.run: (one.predictions, one.n_test) for one in read_ledger(path)}
        assert found == {"r0": ("", 5), "r2": ("q", 5)} | ({} if earlier else {"r1": ("p", 5)})


def test_one_table_that_is_imported_under_three_names_is_one_configuration(tmp_path, capsys):
    clips = [Clip(c.clip_id, tmp_path / c.clip_id, c.label, c.group, c.fold, 1.0) for c in make_clips()]
    test = [c.clip_id for c in clips if c.fold == 1]
    columns = {"clip_id": test, "prediction": [c.label for c in clips if c.fold == 1]}
    for name in ("svm", "svm-final", "svm-best"):
        earmark.import_predictions(columns, clips, tmp_path / "runs" / "svm", variant=name)
    earmark.import_predictions(
        columns | {"prediction": [clips[0].label] * len(test)}, clips, tmp_path / "runs" / "svm", variant="mlp"
    )
    assert note(tmp_path / "runs" / "svm").startswith("2 configurations have been scored on these test clips.")
    main(["ledger", str(tmp_path / "runs")])
    assert capsys.readouterr().out.splitlines()[1].split()[1:4] == [str(len(test)), "2", "4"]


# --- what looks are worth


@pytest.mark.parametrize(("n", "expected"), [(1, 0.0), (2, 1 / np.sqrt(np.pi)), (3, 1.5 / np.sqrt(np.pi))])
def test_the_expected_maximum_has_its_closed_form_for_few_draws(n, expected):
    assert expected_maximum(n) == pytest.approx(expected, abs=1e-6)


def test_the_expected_maximum_is_that_of_a_simulation_and_bounds_correlated_draws():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(40_000, 28))
    assert expected_maximum(28) == pytest.approx(draws.max(axis=1).mean(), abs=0.01)
    correlated = np.sqrt(0.7) * rng.normal(size=(40_000, 1)) + np.sqrt(0.3) * draws
    assert correlated.max(axis=1).mean() < expected_maximum(28)


def look_often(toy, tmp_path):
    test = [c.clip_id for c in make_clips() if c.fold == 1]
    for i in range(26):
        look(tmp_path / "runs", suite="tuning", configuration=f"t{i}", run=f"t{i}", test=test)


def test_the_note_gives_that_maximum_in_standard_errors_of_what_variants_do_not_share(toy, tmp_path):
    look_often(toy, tmp_path)
    (comparison,) = aggregate(read_runs(toy)).verdicts
    points = 100 * expected_maximum(28) * np.sqrt(comparison.judgment.variance.total / 2)
    assert points > 1
    assert note(toy).endswith(
        f"Of 28 equally good configurations, the best is expected to score {points:.1f} points too high by chance, "
        "given how much those shown differ."
    )


def test_no_luck_is_given_where_all_configurations_are_shown_and_the_highest_is_corrected_for_the_choice(toy):
    result = aggregate(read_runs(toy))
    assert note(toy) == "2 configurations have been scored on these test clips."
    assert "corrected for choosing the best of 2" in repr(result)


def test_the_luck_is_that_of_pairs_with_most_runs_in_common(toy, tmp_path):
    look_often(toy, tmp_path)
    (pair,) = aggregate(read_runs(toy)).verdicts
    variance = replace(pair.judgment.variance, groups=100 * pair.judgment.variance.groups)
    few = replace(pair, n_pairs=pair.n_pairs - 1, judgment=replace(pair.judgment, variance=variance))
    assert look_notes(read_runs(toy), [], [pair, few]) == look_notes(read_runs(toy), [], [pair])


def test_the_score_of_a_single_variant_bounds_it(toy, tmp_path):
    look_often(toy, tmp_path)
    (alone,) = {r.variant for r in read_runs(toy)} - {"none"}
    result = aggregate([r for r in read_runs(toy) if r.variant == alone])
    low, high = result.variants[0].metrics["accuracy"].interval
    points = 100 * expected_maximum(28) * (high - low) / 3.919928
    (text,) = (note for note in result.notes if "Of 28 equally good configurations" in note)
    assert f"up to {points:.1f} points too high by chance (an upper bound" in text


def test_the_best_of_equal_variants_is_as_lucky_as_the_note_says():
    """Variants that share most of what their scores vary by: the error of a score alone says three times as much."""
    rng, found, said = np.random.default_rng(0), [], []
    for _ in range(20):
        right = (rng.random((8, 300)) < np.where(rng.random(300) < 0.8, 0.95, 0.05)).astype(float)
        runs = PairedRuns(tuple("abcdefgh"), right[:, None], np.zeros(1, int), np.arange(300), fixed=True)
        verdicts = JointModel(runs).compare([("b", "a"), ("d", "c"), ("f", "e"), ("h", "g")])
        found.append(right.mean(axis=1).max() - right.mean())
        said.append(expected_maximum(8) * np.median([np.sqrt(v.components.total / 2) for v in verdicts]))
    assert np.mean(said) == pytest.approx(np.mean(found), rel=0.15)


def test_few_groups_have_no_such_figure(tmp_path):
    folder = write_suite(tmp_path, n_folds=2, seeds=(1,), clips=make_clips(2, 2, 4))
    assert "by chance" not in note(folder)


# --- the command


def test_the_command_prints_the_count_of_each_test_set(toy, tmp_path, capsys):
    look(tmp_path / "runs", suite="other", configuration="new", run="n", test=read_runs(toy)[0].clip_ids)
    for folder in (tmp_path / "runs", toy):
        main(["ledger", str(folder)])
        header, *rows = capsys.readouterr().out.splitlines()
        assert header.split()[:4] == ["test", "set", "clips", "configurations"]
        assert sorted(row.split()[1:4] for row in rows) == [["16", "2", "4"]] * 4 + [["16", "3", "5"]]
        assert any("other, toy" in row for row in rows)


def test_a_folder_without_a_ledger_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as status:
        main(["ledger", str(tmp_path)])
    assert status.value.code == 2
    assert "ledger.csv: not found" in capsys.readouterr().err


def test_a_renamed_variant_of_equal_settings_is_no_new_configuration(toy, tmp_path):
    records = read_runs(toy)
    renamed = [replace(r, config=replace(r.config, variant=f"x-{r.variant}")) for r in records]
    assert count_looks(renamed).n == 2


def test_a_row_of_endless_digits_is_left_out(tmp_path):
    row = [*["x"] * 4, "9" * 5000, "1", "c", "r", "t", "a", "c", "1"]
    (tmp_path / "ledger.csv").write_text(",".join(COLUMNS) + "\n" + ",".join(row) + "\n", encoding="utf-8")
    assert read_ledger(tmp_path / "ledger.csv") == []
