"""The audit of files: shared audio is found and nothing else, leaks are named, faulty files do not stop it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from PIL import Image

from earmark.audit.alterations import SPEEDS
from earmark.audit.audit import audit
from earmark.audit.findings import findings, format_audit, has_leaks
from earmark.audit.record import AuditError, AuditReport, read_audit
from earmark.config.sections import FrontEndConfig, SplitConfig
from earmark.datasets.emodb import read_emodb
from earmark.datasets.esc50 import read_esc50
from earmark.datasets.manifest import Clip, clip_digest, manifest_digest
from earmark.features.log_mel import log_mel_image
from earmark.splits.copies import unite_copies
from earmark.splits.make import make_split
from earmark.splits.split import LeakageError, Split
from sounds import RATE, noisy, parallel_speech, scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Twelve sounds, and copies, faults and mistakes among them."""
    path = tmp_path_factory.mktemp("clips")

    def write(name: str, waveform: np.ndarray, rate: int = RATE, **how) -> None:
        soundfile.write(path / name, waveform, rate, **how)

    for seed in range(12):
        write(f"s{seed}.wav", scene(seed), subtype="PCM_16")
    stored = soundfile.read(path / "s0.wav", dtype="float32")[0]
    write("exact.flac", stored)
    write("coded.ogg", 0.3 * scene(1))
    write("slow.wav", soxr.resample(scene(2), RATE, 22050), 22050)
    write("sibling.wav", scene(3)[RATE // 2 :])
    write("silent.wav", np.zeros(RATE, np.float32))
    write("silence.wav", np.zeros(RATE, np.float32))
    write("loud.wav", np.clip(20 * scene(50), -1, 1))
    write("nan.wav", np.array([0.0, np.nan], np.float32), subtype="FLOAT")
    (path / "text.wav").write_text("no audio")
    return path


@pytest.fixture(scope="module")
def clips(folder) -> list[Clip]:
    group = {"sibling": "s3"}
    return [
        Clip(p.stem, p, "ab"[i % 2], group.get(p.stem, p.stem), 1 + i % 3)
        for i, p in enumerate(sorted(folder.iterdir()))
    ]


@pytest.fixture(scope="module")
def report(clips) -> AuditReport:
    return audit(clips, jobs=1)


class TestAudit:
    def test_copies_are_found_and_nothing_else(self, report):
        found = {frozenset((pair.first, pair.second)): pair for pair in report.pairs}
        wanted = ["s0 exact", "s1 coded", "s2 slow", "s3 sibling"]
        assert set(found) == {frozenset(names.split()) for names in wanted}
        exact, sibling = found[frozenset(("s0", "exact"))], found[frozenset(("s3", "sibling"))]
        assert exact.exact and exact.correlation == 1.0 and not sibling.exact
        assert abs(sibling.offset_seconds) == pytest.approx(0.5, abs=0.03)
        assert sibling.groups == ("s3", "s3")

    def test_faulty_files_are_reported_and_do_not_stop_it(self, report):
        assert set(report.unreadable) == {"nan", "text"}
        assert set(report.near_silent) == {"silent", "silence"} and set(report.clipped) == {"loud"}

    def test_it_is_json(self, report):
        assert json.loads(json.dumps(report.to_dict()))["n_clips"] == 21

    def test_processes_and_order_change_nothing(self, report, clips):
        again = audit(clips[::-1], jobs=2)
        assert {frozenset((p.first, p.second)) for p in again.pairs} == {
            frozenset((p.first, p.second)) for p in report.pairs
        }
        assert again.near_silent == report.near_silent

    def test_what_crosses_is_judged_against_split_then_folds_then_groups(self, clips):
        ids = [c.clip_id for c in clips]
        test = ("exact",)
        split = Split(tuple(i for i in ids if i not in test), (), test, "mine", 1)
        judged = audit(clips, split, jobs=1)
        assert judged.split == "mine, fold 1" and not judged.leaks
        assert [p.crosses for p in judged.pairs if "exact" in (p.first, p.second)] == ["subsets"]
        assert has_leaks(judged)
        (leak,) = [f for f in findings(judged) if f.level == "leak"]
        assert leak.check == "shared audio across subsets" and "exact = s0" in leak.found

    def test_leaks_and_waivers_of_the_split(self):
        clips = [Clip(f"{g}{i}", Path("none"), "a", g, i) for g in ("131943", "x") for i in (1, 2)]
        clips += [Clip(f"y{i}", Path("none"), "a", f"y{i}", i) for i in (1, 2)]
        config = SplitConfig(kind="folds", waiver="esc50-published-folds")
        judged = audit(clips, make_split(clips, config, 1, allow_leakage=True), jobs=1)
        assert judged.waived == ["131943"] and judged.leaks == ["group 'x' (train, test)"]
        assert judged.groups_across_folds == {"131943": [1, 2], "x": [1, 2]}
        assert len(judged.unreadable) == 6 and has_leaks(judged)

    def test_groups_and_labels_are_counted(self):
        clips = [Clip(f"{g}-{i}", Path("none"), "ab"[i % 2], f"g{g}") for g in range(3) for i in range(4)]
        judged = audit(clips, jobs=1)
        assert judged.mixed_groups["g0"] == {"a": 2, "b": 2} and judged.scarce_labels == {"a": 3, "b": 3}
        assert judged.balance == {"all": {"a": 6, "b": 6}}
        assert judged.random_siblings == pytest.approx(1 - 0.2**3)

    def test_images_instead_of_recordings(self, tmp_path):
        config = FrontEndConfig(sample_rate=RATE, n_fft=1024, hop_length=320)
        waveforms = {f"s{seed}": scene(seed) for seed in range(5)} | {"copy": noisy(scene(3))[RATE // 2 :]}
        for name, waveform in waveforms.items():
            Image.fromarray(log_mel_image(waveform, config)).save(tmp_path / f"{name}_orig.png")
        clips = [Clip(name, Path("none"), "a", name, duration=len(w) / RATE) for name, w in waveforms.items()]
        judged = audit([*clips, Clip("lost", Path("none"), "a", "lost")], images=tmp_path, jobs=1)
        (pair,) = judged.pairs
        assert {pair.first, pair.second} == {"s3", "copy"} and abs(pair.offset_seconds) == pytest.approx(0.5, abs=0.05)
        assert set(judged.unreadable) == {"lost"} and judged.images_only and not judged.shortcuts
        assert "listen to both" in format_audit(judged)


class TestExactCopies:
    """Bug 1: exact copies were paired only with the first one, so that a train/test copy was missed."""

    @pytest.fixture
    def copies(self, tmp_path) -> list[Clip]:
        for name in "abcd":
            soundfile.write(tmp_path / f"{name}.wav", scene(1, 1.0), RATE)
        return [Clip(name, tmp_path / f"{name}.wav", "x", name) for name in "abcd"]

    def test_with_the_first_copy_outside_the_split_the_others_are_a_leak(self, copies):
        split = Split(("b",), (), ("c",), "mine", 1)
        judged = audit(copies, split, jobs=1)
        assert [(p.first, p.second) for p in judged.pairs if p.crosses == "subsets"] == [("b", "c")]
        assert has_leaks(judged)

    def test_copies_in_other_folds_are_found_behind_one_in_the_same_fold(self, copies):
        folds = [replace(clip, fold=fold) for clip, fold in zip(copies, (None, 1, 1, 2), strict=True)]
        judged = audit(folds, jobs=1)
        assert ("b", "d") in [(p.first, p.second) for p in judged.pairs if p.crosses == "folds"]
        assert judged.copies == [("a", "b", "c", "d")]


class TestLongLivedProcess:
    def test_a_recording_that_was_replaced_by_a_copy_is_compared_as_it_is_now(self, tmp_path):
        for name, seed in (("x", 1), ("y", 2)):
            soundfile.write(tmp_path / f"{name}.wav", scene(seed), RATE)
        soundfile.write(tmp_path / "z.wav", noisy(scene(2)), RATE)
        clips = [Clip(name, tmp_path / f"{name}.wav", "a", name) for name in "xyz"]
        assert [(pair.first, pair.second) for pair in audit(clips, jobs=1).pairs] == [("y", "z")]
        soundfile.write(tmp_path / "y.wav", noisy(scene(1)), RATE)
        assert [(pair.first, pair.second) for pair in audit(clips, jobs=1).pairs] == [("x", "y")]


class TestGate:
    def test_copies_that_the_audit_found_are_refused_or_united(self, clips, report):
        assert report.manifest_digest == manifest_digest(clips) != manifest_digest(clips[1:])
        assert report.clips == {c.clip_id: clip_digest(c) for c in clips if c.clip_id not in report.unreadable}
        usable = [Clip(c.clip_id, c.path, "a", c.group) for c in clips]
        assert {frozenset(ids) for ids in report.copies} >= {frozenset(("s0", "exact")), frozenset(("s1", "coded"))}
        config = SplitConfig(kind="leave_one_group_out")
        with pytest.raises(LeakageError, match=r"same audio .*--unite-copies"):
            for fold in range(1, 15):
                make_split(usable, config, fold, copies=report.copies)
        united = unite_copies(usable, report.copies)
        n_groups = len({clip.group for clip in united})
        assert n_groups == len({clip.group for clip in usable}) - 3
        for fold in range(1, n_groups + 1):
            make_split(united, config, fold, copies=report.copies)


class TestSpeed:
    """Copies as speed perturbation makes them: another length and another pitch."""

    @pytest.fixture
    def sped(self, tmp_path) -> list[Clip]:
        waveforms = {f"s{seed}": scene(seed) for seed in range(5)}
        waveforms["fast"] = 0.5 * soxr.resample(scene(2), RATE, RATE / 1.1)
        waveforms["slow"] = soxr.resample(scene(4), RATE, RATE / 0.9)[: 3 * RATE]
        for name, waveform in waveforms.items():
            soundfile.write(tmp_path / f"{name}.wav", waveform, RATE)
        return [Clip(name, tmp_path / f"{name}.wav", "x", name) for name in waveforms]

    def test_they_are_found_at_that_speed_alone_and_kept_together(self, sped):
        assert audit(sped, jobs=1).pairs == []
        found = audit(sped, jobs=1, speeds=SPEEDS)
        assert {(p.first, p.second, p.speed) for p in found.pairs} == {("fast", "s2", 1.1), ("slow", "s4", 0.9)}
        assert all(p.correlation > 0.9 and abs(p.offset_seconds) < 0.01 for p in found.pairs)
        assert {frozenset(ids) for ids in found.copies} == {frozenset(("fast", "s2")), frozenset(("slow", "s4"))}
        assert "fast = s2 at speed 1.1 (" in format_audit(found)

    def test_a_pair_is_reported_once(self, sped):
        assert len(audit(sped[:3] + sped[5:6], jobs=1, speeds=(1.1, 1 / 1.1)).pairs) == 1

    @pytest.mark.parametrize("rate", [8000, 44100, 192_000])
    def test_a_recording_of_one_sample_stops_nothing(self, sped, tmp_path, rate):
        """It has none left at the rate that stands for a speed."""
        soundfile.write(tmp_path / "click.wav", np.full(1, 0.5), rate)
        clips = [sped[2], sped[5], Clip("click", tmp_path / "click.wav", "x", "click")]
        for speed in (0.5, 1.1, 2.0):
            found = audit(clips, jobs=1, speeds=(speed,))
            assert [(p.first, p.second) for p in found.pairs] == [("fast", "s2")] * (speed == 1.1)

    def test_the_file_keeps_the_speed_and_one_without_it_is_read(self, sped, tmp_path):
        found = audit([sped[2], sped[5]], jobs=1, speeds=SPEEDS)
        content = found.to_dict()
        (tmp_path / "a.json").write_text(json.dumps(content), encoding="utf-8")
        assert read_audit(tmp_path / "a.json").pairs == found.pairs
        del content["pairs"][0]["speed"]
        (tmp_path / "a.json").write_text(json.dumps(content), encoding="utf-8")
        assert read_audit(tmp_path / "a.json").pairs[0].speed == 1

    @pytest.mark.parametrize(
        ("speeds", "images", "message"),
        [
            ((1.0,), None, "speeds = 1: give 0.5 to 2, not 1"),
            ((3.0,), None, "speeds = 3: give"),
            ((0.9,), "png", "speeds: are for recordings"),
        ],
    )
    def test_speeds_that_mean_nothing_are_refused(self, sped, speeds, images, message):
        with pytest.raises(AuditError, match=message):
            audit(sped, jobs=1, images=images, speeds=speeds)


class TestSpeech:
    def test_parallel_speech_gives_no_pair_and_its_copy_does(self, tmp_path):
        waveforms = {name: w for name, w in parallel_speech().items() if name.startswith("malisofemu")}
        name, original = next(iter(waveforms.items()))
        waveforms["copy"] = 0.3 * noisy(original)[RATE // 4 :]
        clips = []
        for clip_id, waveform in waveforms.items():
            soundfile.write(tmp_path / f"{clip_id}.wav", waveform, RATE)
            clips.append(Clip(clip_id, tmp_path / f"{clip_id}.wav", "x", clip_id))
        (pair,) = audit(clips, jobs=1).pairs
        assert (pair.first, pair.second, pair.offset_seconds) == (name, "copy", 0.25)
        assert pair.correlation > 0.95


class TestRealData:
    def test_the_copies_that_esc10_has(self, real_data):
        """Crying babies and fires: three pairs under different Freesound ids, one of them across folds 3 and 5."""
        clips = [c for c in read_esc50(real_data / "ESC-10") if c.label in ("crying_baby", "crackling_fire")]
        report = audit(clips, jobs=1)
        assert {(p.first, p.second) for p in report.pairs} == {
            ("3-151080-A-20", "5-151085-A-20"),
            ("2-28314-A-12", "2-30322-A-12"),
            ("2-28314-B-12", "2-30322-B-12"),
        }
        assert [p.first for p in report.pairs if p.crosses == "folds"] == ["3-151080-A-20"]

    @pytest.mark.filterwarnings("ignore:.*every file lasts 2 s")
    def test_utterances_cut_to_two_seconds_are_recognised(self, real_data):
        cut = [c for c in read_emodb(real_data / "EmoDB-2s") if c.clip_id[5] in "NF" and c.group in ("13", "14")]
        whole = [c for c in read_emodb(real_data / "EmoDB-4class") if c.clip_id[5] in "NF" and c.group in ("13", "14")]
        clips = [Clip(f"{c.clip_id}_cut", c.path, c.label, c.group) for c in cut] + whole
        pairs = audit(clips, jobs=1).pairs
        assert {(p.first.removesuffix("_cut"), p.second) for p in pairs} == {(c.clip_id, c.clip_id) for c in whole}
