"""The leak study: what a leak is worth, how sure that is, and what the leak can explain."""

from dataclasses import replace

import numpy as np
import pytest

from earmark.analysis.compare import joint_model
from earmark.analysis.leaks import LeakEffect, format_leaks, leak_notes, measure_leaks
from earmark.analysis.records import read_runs
from earmark.analysis.statistics import Interval
from earmark.config.suite import RunConfig
from run_folders import make_clips, make_probs, write_run


def make_records(folder, conditions, clips_of):
    """Finished runs of the given (condition, fold, seed), read back; `clips_of` says what each reports."""
    clips = make_clips(n_folds=3)
    for condition, fold, seed in conditions:
        moved = [replace(c, fold=fold if c in clips_of(condition, fold, clips) else 9) for c in clips]
        config = RunConfig(name="study", variant=condition, fold=fold, seed=seed)
        test = [c for c in moved if c.fold == fold]
        write_run(folder, config, moved, make_probs(test, seed=[fold, seed], skill=2.0))
    return read_runs(folder)


def reported(condition, fold, clips):
    """The honest folds, and folds that ignore groups."""
    if condition == "random_clips":
        return clips[fold - 1 :: 3]
    return [c for c in clips if c.fold == fold]


def test_with_some_of_the_folds_honest_and_leaky_are_compared_on_the_same_clips(tmp_path):
    conditions = [(name, fold, 1) for name in ("honest", "random_clips") for fold in (1, 2)]
    records = make_records(tmp_path, conditions, reported)
    honest, leaky = (
        {i for r in records if r.variant == name for i in r.clip_ids} for name in ("honest", "random_clips")
    )
    assert honest != leaky and honest & leaky
    for effect in measure_leaks(records, {}):
        assert effect.n_clips == len(honest & leaky)
        assert effect.n_runs == 2
    (accuracy, _) = measure_leaks(records, {})
    for name, value in (("honest", accuracy.honest), ("random_clips", accuracy.leaky)):
        right = [
            r.targets[i] == r.probs[i].argmax()
            for r in records
            for i, clip_id in enumerate(r.clip_ids)
            if r.variant == name and clip_id in honest & leaky
        ]
        assert value == pytest.approx(np.mean(right))


def test_without_a_common_fold_and_seed_nothing_is_compared(tmp_path):
    records = make_records(tmp_path, [("honest", 1, 1), ("random_clips", 2, 1), ("epoch_on_test", 1, 2)], reported)
    assert measure_leaks(records, {}) == []
    assert format_leaks([]).startswith("No leak can be measured yet: no fold and seed")


def test_a_seed_without_all_folds_is_left_out(tmp_path):
    finished = [(name, fold, seed) for name in ("honest", "random_clips") for fold in (1, 2) for seed in (1, 2)]
    finished.remove(("random_clips", 2, 2))
    (accuracy, _) = measure_leaks(make_records(tmp_path, finished, reported), {})
    assert accuracy.n_runs == 2


def test_the_interval_is_that_of_a_comparison_of_the_two_conditions(tmp_path):
    """With one seed it covered groups alone: what training varies by was called inflation."""
    finished = [(name, fold, 1) for name in ("honest", "epoch_on_test") for fold in (1, 2, 3)]
    records = make_records(tmp_path, finished, reported)
    honest, leaky = ([r for r in records if r.variant == name] for name in ("honest", "epoch_on_test"))
    for effect in measure_leaks(records, {}):
        expected = joint_model({"a": leaky, "b": honest}, effect.metric).difference("a", "b", 0.05)
        assert effect.difference == pytest.approx(expected.estimate)
        np.testing.assert_allclose(effect.interval, (expected.low, expected.high))


def test_of_other_folds_the_wider_interval_counts(tmp_path):
    """Training effects are seen on the side whose folds they are: here each network knows a lot or nothing."""
    clips, found = make_clips(n_folds=3, groups_per_fold=8), {}
    for skilled in ("honest", "random_clips"):
        for condition in ("honest", "random_clips"):
            for fold in (1, 2, 3):
                test = clips[fold - 1 :: 3] if condition == "random_clips" else [c for c in clips if c.fold == fold]
                moved = [replace(c, fold=fold if c in test else 9) for c in clips]
                skill = 6.0 * (fold > 1) if condition == skilled else 1.0
                config = RunConfig(name=skilled, variant=condition, fold=fold, seed=1)
                probs = make_probs([c for c in moved if c.fold == fold], seed=[fold, len(condition)], skill=skill)
                write_run(tmp_path, config, moved, probs)
        (effect, _) = measure_leaks(read_runs(tmp_path / skilled), {})
        found[skilled] = effect.interval.high - effect.interval.low
    assert max(found.values()) < 1.5 * min(found.values()), "whichever side varies"


def test_copies_are_no_further_training_clips(tmp_path):
    """Three times the training clips would make the assumed effect of other training sets smaller."""
    widths = []
    for n_copies in (0, 2):
        for name in ("honest", "honest_with_copies", "copies_across_subsets"):
            for fold in (1, 2, 3):
                clips = make_clips(n_folds=3)
                config = RunConfig(name=f"with{n_copies}", variant=name, fold=fold, seed=1)
                probs = make_probs([c for c in clips if c.fold == fold], seed=[fold, len(name)], skill=2.0)
                n_train = 32 * (1 if name == "honest" else 1 + n_copies)
                write_run(tmp_path, config, clips, probs, n_train=n_train)
        (effect, _) = measure_leaks(read_runs(tmp_path / f"with{n_copies}"), {})
        widths.append(effect.interval.high - effect.interval.low)
    assert widths[0] == pytest.approx(widths[1])


def test_repeated_partitions_are_compared_answer_by_answer(tmp_path):
    def reported(condition, fold, clips):
        shift = 7 * (fold > 3)
        in_order = clips[shift:] + clips[:shift]
        if condition == "random_clips":
            return in_order[(fold - 1) % 3 :: 3]
        return [c for c in clips if c.fold == (fold + (fold > 3)) % 3 + 1]

    finished = [(name, fold, 1) for name in ("honest", "random_clips") for fold in range(1, 7)]
    records = make_records(tmp_path, finished, reported)
    (effect, _) = measure_leaks(records, {})
    for name, score in (("honest", effect.honest), ("random_clips", effect.leaky)):
        right = np.concatenate([r.predictions == r.targets for r in records if r.variant == name])
        assert score == pytest.approx(right.mean())


def test_clips_without_a_mate_in_training_are_counted(tmp_path):
    records = make_records(tmp_path, [(n, f, 1) for n in ("honest", "random_clips") for f in (1, 2, 3)], reported)
    bark = {i for r in records for i, k in zip(r.clip_ids, r.targets, strict=True) if k == 0}
    few = sorted(bark)[:3]
    mates = {r.id: few for r in records if r.variant == "random_clips"}
    accuracy, uar = measure_leaks(records, mates)
    assert (accuracy.n_mates, accuracy.n_clips) == (3, 48)
    assert accuracy.largest == pytest.approx(3 / 48)
    assert uar.largest == pytest.approx(3 / len(bark) / 4), "a clip weighs as much as its class has clips"


def effect_of(condition="random_clips", **changes):
    effect = LeakEffect(condition, "accuracy", 0.3, 0.5, Interval(-0.1, 0.4), 40, 2, 2, 40, 2, 0.05)
    return replace(effect, **changes)


def test_what_a_leak_cannot_explain_is_said():
    """Two of 40 clips had a mate, and 20 points were called inflation."""
    (_, note) = leak_notes([effect_of(), effect_of(metric="uar", leaky=0.34)])
    assert note == (
        "random_clips: 2 of 40 test clips have another clip of their group in training, so the leak explains at most "
        "5.0 of 20.0 points of accuracy; the rest is training and other folds."
    )
    (_, note) = leak_notes([effect_of("copies_across_subsets", n_mates=40, largest=1.0)])
    assert note == "copies_across_subsets: 40 of 40 test clips have a copy in training."
    assert len(leak_notes([effect_of("epoch_on_test")])) == 1


def test_notes_say_what_intervals_cover_and_assume():
    (several, *_), (one, *_) = leak_notes([effect_of(n_runs=4)]), leak_notes([effect_of()])
    assert several.startswith("The intervals cover groups of clips, seeds and training sets") and "seed," not in several
    assert "Every fold has one seed, so they include an assumed effect of other seeds" in one
    assert "training sets." not in one.replace("seeds and training sets,", "")
    assert "several training sets" in leak_notes([effect_of(n_runs=1, n_folds=1)])[0]
    assert one.endswith("These are estimates, not verdicts.")
    assert leak_notes([]) == []


def test_notes_explain_no_interval_values_below_0_and_clips_that_are_left_out():
    assert any("(-): it takes 6 groups" in note for note in leak_notes([effect_of(interval=None)]))
    assert any("below 0" in note for note in leak_notes([effect_of(leaky=0.2)]))
    assert any("on the 5 of 12 test clips" in note for note in leak_notes([effect_of(n_clips=5, n_tested=12)]))
    usual = "\n".join(leak_notes([effect_of()]))
    assert not [text for text in ("(-)", "below 0", "compared on") if text in usual]


def test_with_too_few_groups_there_is_no_interval(tmp_path):
    finished = [(name, 1, 1) for name in ("honest", "epoch_on_test")]
    effects = measure_leaks(make_records(tmp_path, finished, reported), {})  # one fold, four groups
    assert [e.interval for e in effects] == [None, None]
    assert " | - | " in format_leaks(effects)


def test_the_table_is_in_points():
    effect = effect_of(metric="uar", honest=0.6, leaky=0.683, interval=Interval(0.05, 0.12), n_clips=400, n_runs=10)
    line = format_leaks([effect]).splitlines()[-1]
    assert line == "| random_clips | uar | 60.0 | 68.3 | +8.3 | +5.0 to +12.0 | 400 | 10 |"
