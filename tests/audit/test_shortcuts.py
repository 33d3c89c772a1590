"""Properties of files that predict the label, and those that do not."""

import numpy as np
import pytest

from earmark.audio.io import AudioInfo
from earmark.audio.quality import measure_quality
from earmark.audit.shortcuts import ClipFacts, facts_of, find_shortcuts


def facts(**changed) -> ClipFacts:
    plain = ClipFacts(5.0, 44100, 1, "WAV PCM_16", -20.0, 0.0, 0.0)
    return ClipFacts(**{**plain.__dict__, **changed})


class TestFacts:
    def test_facts_are_those_of_the_header_and_the_samples(self):
        quality = measure_quality(np.full((800, 2), 0.5, np.float32), 8000)
        measured = facts_of(quality, AudioInfo(8000, 2, 800, 0.1, "WAV", "FLOAT"))
        assert measured == ClipFacts(0.1, 8000, 2, "WAV FLOAT", pytest.approx(-6.02, abs=0.01), 0.0, 0.0)

    def test_a_property_that_follows_the_label_is_found(self):
        rng = np.random.default_rng(0)
        labels = [f"label{i % 4}" for i in range(160)]
        every = [facts(duration=1 + i % 4 + rng.uniform(0, 0.5), loudness_db=rng.uniform(-40, 0)) for i in range(160)]
        found = {s.feature: s for s in find_shortcuts(every, labels, [str(i // 2) for i in range(160)], "label")}
        assert set(found) == {"length", "loudness", "all of them"}  # the others are the same everywhere
        assert found["length"].accuracy > 0.95 and found["length"].predicts and found["length"].incidental
        assert not found["loudness"].predicts and found["loudness"].chance == 0.25

    def test_what_only_tells_the_groups_apart_is_no_shortcut(self):
        """Each group has its own level and one label: right on the same group, useless on another."""
        rng = np.random.default_rng(1)
        level = {str(g): rng.uniform(-40, 0) for g in range(40)}
        groups = [str(i % 40) for i in range(400)]
        every = [facts(loudness_db=level[g]) for g in groups]
        (shortcut,) = find_shortcuts(every, [f"label{int(g) % 4}" for g in groups], groups, "label")
        assert not shortcut.predicts

    def test_one_of_many_properties_does_not_stand_out_by_luck(self):
        """Seven properties without a meaning; a test of each alone finds one in four of these six data sets."""
        alarms = 0
        for seed in range(6):
            rng = np.random.default_rng(seed)
            labels = [f"label{k}" for k in rng.integers(0, 2, 40).repeat(2)]
            every = [
                facts(
                    duration=d, loudness_db=-20 * level, clipped=c, silence=s, sample_rate=rate, channels=n, codec=codec
                )
                for d, level, c, s, rate, n, codec in zip(
                    *rng.random((4, 80)), *rng.integers(1, 6, (2, 80)).tolist(), rng.choice(["a", "b"], 80), strict=True
                )
            ]
            found = find_shortcuts(every, labels, [str(i // 2) for i in range(80)], "label")
            assert len(found) == 8 and len({s.best_shuffled for s in found}) == 1
            alarms += any(shortcut.predicts for shortcut in found)
        assert alarms <= 1

    def test_nothing_to_tell_apart(self):
        assert find_shortcuts([facts()] * 4, ["a"] * 4, list("wxyz"), "label") == []
        assert find_shortcuts([facts()] * 4, list("aabb"), list("wxyz"), "label") == []
        assert find_shortcuts([facts(), facts(duration=1.0)], ["a", "b"], ["g", "g"], "label") == []

    def test_groups_larger_than_the_sample_are_examined_too(self, monkeypatch):
        monkeypatch.setattr("earmark.audit.shortcuts.MAX_CLIPS", 50)
        every, labels = [facts(duration=1.0 + i % 2) for i in range(300)], [f"label{i % 2}" for i in range(300)]
        (shortcut,) = find_shortcuts(every, labels, [str(i // 75) for i in range(300)], "label")
        assert shortcut.feature == "length" and shortcut.accuracy == 1.0

    def test_large_sets_are_sampled_by_group(self, monkeypatch):
        monkeypatch.setattr("earmark.audit.shortcuts.MAX_CLIPS", 50)
        every = [facts(duration=float(i % 2)) for i in range(400)]
        (shortcut,) = find_shortcuts(
            every, ["ab"[i % 2] for i in range(400)], [str(i // 4) for i in range(400)], "label"
        )
        assert shortcut.accuracy == 1.0 and shortcut.predicts
