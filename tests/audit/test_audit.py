"""The audit: shared audio is found and nothing else, leaks and shortcuts are named, faulty files do not stop it."""

import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from PIL import Image
from scipy.signal import correlate

from earmark.audit import fingerprint
from earmark.audit.audit import AuditReport, Pair, audit, read_audit
from earmark.audit.findings import findings, format_audit, has_leaks
from earmark.audit.fingerprint import (
    CERTAIN,
    FOLLOWERS,
    FRAMES_PER_SECOND,
    LIKELY,
    MAX_GAP,
    MAX_STEP,
    MIN_GAP,
    Match,
    coherence,
    find_matches,
    find_peaks,
    fingerprint_of,
    is_copy,
)
from earmark.audit.shortcuts import ClipFacts, Shortcut, facts_of, find_shortcuts
from earmark.config.sections import FrontEndConfig, SplitConfig
from earmark.datasets.emodb import read_emodb
from earmark.datasets.esc50 import read_esc50
from earmark.datasets.manifest import Clip
from earmark.features.log_mel import log_mel_image
from earmark.report.audit import audit_section
from earmark.runtime.files import write_json
from earmark.splits.make import make_split
from earmark.splits.split import Split

RATE = 16000


def scene(seed: int, seconds: float = 3.0) -> np.ndarray:
    """A sound of its own: sweeps and bursts over noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    waveform = 0.01 * rng.normal(size=len(t))
    for _ in range(8):
        start, length = int(rng.integers(0, len(t) - RATE // 4)), int(rng.integers(RATE // 16, RATE // 4))
        s = t[:length]
        sweep = np.sin(2 * np.pi * (rng.uniform(200, 3000) * s + rng.uniform(-2000, 4000) * s**2))
        waveform[start : start + length] += 0.3 * (sweep + 0.3 * rng.normal(size=length)) * np.exp(-8 * s)
    return waveform.astype(np.float32)


def noisy(waveform: np.ndarray, snr_db: float = 20.0) -> np.ndarray:
    level = np.sqrt(np.mean(waveform**2)) * 10 ** (-snr_db / 20)
    return waveform + np.random.default_rng(0).normal(0, level, len(waveform)).astype(np.float32)


def matches_of(waveforms: list[np.ndarray], evidence: float = CERTAIN) -> dict[tuple[int, int], Match]:
    found = find_matches([fingerprint_of(waveform) for waveform in waveforms], evidence)
    return {(match.first, match.second): match for match in found}


class TestFingerprint:
    @pytest.mark.parametrize(
        ("alter", "offset"),
        [
            (lambda w: w * 0.1, 0.0),
            (lambda w: -w, 0.0),
            (noisy, 0.0),
            (lambda w: soxr.resample(soxr.resample(w, RATE, 11025), 11025, RATE), 0.0),
            (lambda w: w[12345:], 12345 / RATE),
            (lambda w: np.concatenate([scene(99, 1.0), w[: len(w) // 2]]), -1.0),
            (lambda w: np.round(w * 127) / 127, 0.0),
        ],
        ids=["quieter", "inverted", "noisy", "resampled", "cut", "half after another sound", "eight bits"],
    )
    def test_altered_copies_are_found_at_their_offset(self, alter, offset):
        waveforms = [scene(seed) for seed in range(6)]
        waveforms.append(np.asarray(alter(waveforms[2]), np.float32))
        found = matches_of(waveforms)
        assert set(found) == {(2, 6)}
        assert found[2, 6].offset / FRAMES_PER_SECOND == pytest.approx(offset, abs=1.5 / FRAMES_PER_SECOND)
        assert coherence(found[2, 6], waveforms[2], waveforms[6]) > 0.5

    def test_the_shared_time_is_that_of_the_overlap(self):
        waveforms = [scene(1), np.concatenate([scene(98, 1.5), scene(1)[: int(1.5 * RATE)]])]
        match = matches_of(waveforms)[0, 1]
        assert match.n_frames / FRAMES_PER_SECOND == pytest.approx(1.5, abs=0.4)

    def test_silence_and_one_frame_match_nothing(self):
        silent = np.zeros(RATE, np.float32)
        assert not matches_of([silent, silent, scene(0)[:100], scene(0)[:100], scene(0)])

    def test_no_clips_no_matches(self):
        assert find_matches([]) == []

    def test_only_copies_agree_in_phase(self):
        """Two takes of one alarm: the images agree, the waveforms do not."""
        t = np.arange(3 * RATE) / RATE
        on = (np.sin(2 * np.pi * 3 * t) > 0) * np.exp(-((6 * t) % 1))
        takes = []
        for seed in (1, 2):
            rng = np.random.default_rng(seed)
            tones = sum(
                np.sin(2 * np.pi * f * (1 + 0.001 * seed) * t + rng.uniform(0, 6.28)) for f in (900, 1430, 2210, 3170)
            )
            takes.append((0.2 * on * tones + 0.02 * on * rng.normal(size=len(t))).astype(np.float32))
        match = matches_of(takes, LIKELY)[0, 1]
        assert match.score > 0.6 and match.repeats
        assert not is_copy(match, coherence(match, *takes))
        copies = [takes[0], noisy(takes[0])]
        match = matches_of(copies, LIKELY)[0, 1]
        assert is_copy(match, coherence(match, *copies))

    def test_coherence_is_the_normalised_cross_correlation(self, monkeypatch):
        monkeypatch.setattr(fingerprint, "WHITENING", 0.0)
        rng = np.random.default_rng(0)
        a = rng.normal(size=20 * 256)
        b = 0.5 * np.roll(a, 300) + rng.normal(size=len(a))
        match = Match(0, 1, 0, 4, 1.0, 20, slice(0, 20))
        x = a * np.hanning(len(a))
        y = np.pad(b, fingerprint.MAX_SHIFT) * np.hanning(len(b) + 2 * fingerprint.MAX_SHIFT)
        expected = np.abs(correlate(y, x, mode="valid")).max() / np.sqrt(np.sum(x**2) * np.sum(y**2))
        assert coherence(match, a, b) == pytest.approx(expected, rel=1e-6)

    def test_peaks_are_the_local_maxima(self):
        level = np.random.default_rng(0).normal(size=(20, 40)) * 10
        times, bins = find_peaks(level)
        padded = np.pad(level, 2, constant_values=-np.inf)
        expected = {
            (t, f)
            for f in range(20)
            for t in range(40)
            if level[f, t] == padded[f + 1 : f + 4, t : t + 5].max() and level[f, t] > level.min() + 1
        }
        assert set(zip(times, bins, strict=True)) <= expected
        assert len(times) == min(len(expected), fingerprint.PEAKS_PER_SECOND)

    def test_followers_are_the_first_peaks_near_by(self):
        rng = np.random.default_rng(0)
        times, bins = np.sort(rng.integers(0, 300, 120)), rng.integers(0, 96, 120)
        for i, row in enumerate(fingerprint._followers(times, bins)):
            near = [
                j
                for j in range(i + 1, 120)
                if MIN_GAP <= times[j] - times[i] <= MAX_GAP and abs(bins[j] - bins[i]) <= MAX_STEP
            ]
            assert list(row[row >= 0]) == near[:FOLLOWERS]

    def test_landmarks_do_not_depend_on_time(self):
        times, bins = find_peaks(np.random.default_rng(1).normal(size=(30, 90)) * 10)
        first, second = (fingerprint._landmarks(times + shift, bins) for shift in (0, 77))
        assert np.array_equal(first[0], second[0]) and np.array_equal(first[1] + 77, second[1])

    def test_landmarks_are_counted_as_by_hand(self, monkeypatch):
        monkeypatch.setattr(fingerprint, "MIN_LANDMARKS", 1)
        monkeypatch.setattr(fingerprint, "MAX_OFFSETS", 10_000)
        prints = [fingerprint_of(scene(seed % 3, 1.0 + seed / 4)) for seed in range(5)]
        found = {(a, b): dict(offsets) for a, b, offsets in fingerprint._candidates(prints)}
        for a in range(5):
            for b in range(a + 1, 5):
                anchors = {
                    (int(s), int(s) - int(t))
                    for h, s in zip(prints[a].hashes, prints[a].times, strict=True)
                    for t in prints[b].times[prints[b].hashes == h]
                }
                count = Counter(offset for _, offset in anchors)
                expected = {offset: n + count.get(offset + 1, 0) for offset, n in count.items()}
                assert found.get((a, b), {}) == expected

    def test_a_crowd_of_copies_is_found_as_a_chain(self, monkeypatch):
        """More copies of one clip than a hash may link pair by pair."""
        monkeypatch.setattr(fingerprint, "MAX_PER_HASH", 8)
        waveforms = [noisy(scene(1, 1.0), 30) * (1 - i / 40) for i in range(30)] + [scene(2, 1.0), scene(3, 1.0)]
        cluster = {0}
        for first, second in sorted(matches_of(waveforms)):
            cluster |= {first, second} if first in cluster else set()
        assert cluster == set(range(30))

    def test_blocks_change_nothing(self, monkeypatch):
        waveforms = [scene(seed % 7) for seed in range(12)]
        whole = matches_of(waveforms)
        monkeypatch.setattr(fingerprint, "BLOCK_HITS", 50)
        assert matches_of(waveforms) == whole and len(whole) == 5


def facts(**changed) -> ClipFacts:
    plain = ClipFacts(5.0, 44100, 1, "WAV PCM_16", -20.0, 0.0, 0.0, "x")
    return ClipFacts(**{**plain.__dict__, **changed})


class TestFacts:
    def test_loudness_silence_and_clipping(self, tmp_path):
        waveform = np.concatenate([np.full(800, 0.5), np.zeros(800)]).astype(np.float32)
        waveform[:80] = 1.0
        soundfile.write(tmp_path / "a.wav", waveform, 8000, subtype="FLOAT")
        from earmark.audio.io import audio_info

        measured = facts_of(waveform[:, None], audio_info(tmp_path / "a.wav"))
        assert measured.silence == 0.5 and measured.clipped == pytest.approx(80 / 1600)
        assert measured.loudness_db == pytest.approx(10 * np.log10((80 + 720 * 0.25) / 1600), abs=1e-4)
        assert (measured.duration, measured.sample_rate, measured.codec) == (0.2, 8000, "WAV FLOAT")

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

    def test_nothing_to_tell_apart(self):
        assert find_shortcuts([facts()] * 4, ["a"] * 4, list("wxyz"), "label") == []
        assert find_shortcuts([facts()] * 4, list("aabb"), list("wxyz"), "label") == []
        assert find_shortcuts([facts(), facts(duration=1.0)], ["a", "b"], ["g", "g"], "label") == []

    def test_large_sets_are_sampled_by_group(self, monkeypatch):
        monkeypatch.setattr("earmark.audit.shortcuts.MAX_CLIPS", 50)
        every = [facts(duration=float(i % 2)) for i in range(400)]
        (shortcut,) = find_shortcuts(
            every, ["ab"[i % 2] for i in range(400)], [str(i // 4) for i in range(400)], "label"
        )
        assert shortcut.accuracy == 1.0 and shortcut.predicts


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
    return audit(clips, jobs=1, show_progress=False)


class TestAudit:
    def test_copies_are_found_and_nothing_else(self, report):
        found = {frozenset((pair.first, pair.second)): pair for pair in report.pairs}
        wanted = ["s0 exact", "s1 coded", "s2 slow", "s3 sibling"]
        assert set(found) == {frozenset(names.split()) for names in wanted}
        exact, sibling = found[frozenset(("s0", "exact"))], found[frozenset(("s3", "sibling"))]
        assert exact.exact and exact.score == 1.0 and not sibling.exact
        assert abs(sibling.offset_seconds) == pytest.approx(0.5, abs=0.03)
        assert sibling.groups == ("s3", "s3")

    def test_faulty_files_are_reported_and_do_not_stop_it(self, report):
        assert set(report.unreadable) == {"nan", "text"}
        assert set(report.near_silent) == {"silent", "silence"} and set(report.clipped) == {"loud"}

    def test_it_is_json(self, report):
        assert json.loads(json.dumps(report.to_dict()))["n_clips"] == 21

    def test_processes_and_order_change_nothing(self, report, clips):
        again = audit(clips[::-1], jobs=2, show_progress=False)
        assert {frozenset((p.first, p.second)) for p in again.pairs} == {
            frozenset((p.first, p.second)) for p in report.pairs
        }
        assert again.near_silent == report.near_silent

    def test_what_crosses_is_judged_against_split_then_folds_then_groups(self, clips):
        ids = [c.clip_id for c in clips]
        test = ("exact",)
        split = Split(tuple(i for i in ids if i not in test), (), test, "mine", 1)
        judged = audit(clips, split, jobs=1, show_progress=False)
        assert judged.split == "mine, fold 1" and not judged.leaks
        assert [p.crosses for p in judged.pairs if "exact" in (p.first, p.second)] == ["parts"]
        assert has_leaks(judged)
        (leak,) = [f for f in findings(judged) if f.level == "leak"]
        assert leak.check == "shared audio across parts" and "exact = s0" in leak.found

    def test_leaks_and_waivers_of_the_split(self):
        clips = [Clip(f"{g}{i}", Path("none"), "a", g, i) for g in ("131943", "x") for i in (1, 2)]
        clips += [Clip(f"y{i}", Path("none"), "a", f"y{i}", i) for i in (1, 2)]
        config = SplitConfig(kind="folds", waiver="esc50-published-folds")
        judged = audit(clips, make_split(clips, config, 1, allow_leakage=True), jobs=1, show_progress=False)
        assert judged.waived == ["131943"] and judged.leaks == ["group 'x' (train, test)"]
        assert judged.groups_across_folds == {"131943": [1, 2], "x": [1, 2]}
        assert len(judged.unreadable) == 6 and has_leaks(judged)

    def test_groups_and_labels_are_counted(self):
        clips = [Clip(f"{g}-{i}", Path("none"), "ab"[i % 2], f"g{g}") for g in range(3) for i in range(4)]
        judged = audit(clips, jobs=1, show_progress=False)
        assert judged.mixed_groups["g0"] == {"a": 2, "b": 2} and judged.scarce_labels == {"a": 3, "b": 3}
        assert judged.balance == {"all": {"a": 6, "b": 6}}
        assert judged.random_siblings == pytest.approx(1 - 0.2**3)

    def test_images_instead_of_recordings(self, tmp_path):
        config = FrontEndConfig(sample_rate=RATE, n_fft=1024, hop_length=320)
        waveforms = {f"s{seed}": scene(seed) for seed in range(5)} | {"copy": noisy(scene(3))[RATE // 2 :]}
        for name, waveform in waveforms.items():
            Image.fromarray(log_mel_image(waveform, config)).save(tmp_path / f"{name}_orig.png")
        clips = [Clip(name, Path("none"), "a", name, duration=len(w) / RATE) for name, w in waveforms.items()]
        judged = audit([*clips, Clip("lost", Path("none"), "a", "lost")], images=tmp_path, jobs=1, show_progress=False)
        (pair,) = judged.pairs
        assert {pair.first, pair.second} == {"s3", "copy"} and abs(pair.offset_seconds) == pytest.approx(0.5, abs=0.05)
        assert set(judged.unreadable) == {"lost"} and judged.images_only and not judged.shortcuts
        assert "listen to both" in format_audit(judged)


def pair(first: str = "a", second: str = "b", **changed) -> Pair:
    plain = {"exact": False, "score": 0.9, "offset_seconds": 0.5, "shared_seconds": 2.0}
    plain |= {"groups": ("g", "h"), "labels": ("x", "x"), "folds": (None, None), "parts": ("", "")}
    return Pair(first, second, **{**plain, **changed})


class TestText:
    plain = AuditReport(n_clips=10, n_groups=5, n_labels=1, n_folds=5, balance={"all": {"x": 10}})

    def with_(self, **changed) -> AuditReport:
        return AuditReport(**{**self.plain.__dict__, **changed})

    @pytest.mark.parametrize(
        ("changed", "level", "text"),
        [
            ({"split": "folds, fold 1", "leaks": ["group 'g' (train, test)"]}, "leak", "group 'g'"),
            ({"split": "folds, fold 1", "waived": ["131943"]}, "note", "131943 cross parts under the waiver"),
            ({"groups_across_folds": {"131943": [2, 3]}}, "note", "esc50-published-folds"),
            ({"groups_across_folds": {"131943": [2, 3], "x": [1, 2]}}, "leak", "x (folds 1, 2)"),
            ({"pairs": [pair(folds=(1, 2))]}, "leak", "shared audio across folds"),
            ({"split": "mine", "pairs": [pair(folds=(1, 2))]}, "warning", "shared audio across folds"),
            ({"pairs": [pair()]}, "warning", "shared audio across groups"),
            ({"pairs": [pair(groups=("g", "g"))]}, "note", "shared audio within groups"),
            ({"pairs": [pair(labels=("x", "y"))]}, "warning", "one sound, two labels"),
            ({"images_only": True, "pairs": [pair(folds=(1, 2))]}, "warning", "like images across folds"),
            ({"mixed_groups": {"g": {"x": 1, "y": 1}}, "n_groups": 20}, "warning", "g (x, y)"),
            ({"mixed_groups": {"g": {"x": 1, "y": 1}}}, "note", "as with speakers"),
            ({"scarce_labels": {"x": 3}}, "warning", "x (3)"),
            ({"balance": {"all": {"x": 3, "y": 1}}}, "note", "1 to 3 clips per label"),
            ({"clipped": {"a": 0.012}}, "warning", "a (1.2%)"),
            ({"near_silent": {"a": -75.0}}, "warning", "a (-75 dB)"),
            ({"unreadable": {"a": "broken"}}, "warning", "`earmark validate`"),
            ({}, "ok", "shared audio"),
        ],
    )
    def test_each_finding_has_its_level(self, changed, level, text):
        report = self.with_(**changed)
        hits = [f for f in findings(report) if text in f"{f.check} {f.found} {f.remedy}"]
        assert [f.level for f in hits] == [level]
        assert text in format_audit(report)
        assert has_leaks(report) == (level == "leak")

    def test_the_worst_comes_first(self):
        report = self.with_(pairs=[pair(), pair(folds=(1, 2))], scarce_labels={"x": 1})
        levels = [f.level for f in findings(report)]
        assert levels == sorted(levels, key=("leak", "warning", "note", "ok").index)

    def test_long_lists_are_cut_and_say_so(self):
        report = self.with_(pairs=[pair(f"a{i}", f"b{i}") for i in range(50)])
        text = format_audit(report)
        assert "and 45 more" in text and "(the first 20 of 50)" in text and "a19" in text and "a20" not in text

    def test_the_report_shows_what_the_file_says_and_nothing_as_markup(self, tmp_path):
        shortcuts = [Shortcut("label", "duration", 0.41, 0.25, 0.27)]
        report = self.with_(pairs=[pair("<script>", "&amp")], balance={"all": {"<b>": 1}}, shortcuts=shortcuts)
        write_json(tmp_path / "audit.json", report.to_dict())
        assert read_audit(tmp_path / "audit.json") == report
        html = audit_section(read_audit(tmp_path / "audit.json")).body
        assert "<script>" not in html and "&lt;script&gt;" in html and "&amp;amp" in html and "<b>" not in html
        assert "duration" in html and "41.0%" in html
        open_tags: list[str] = []
        parser = HTMLParser()
        parser.handle_starttag = lambda name, attributes: open_tags.append(name)
        parser.handle_endtag = lambda name: open_tags.pop() == name or pytest.fail(name)
        parser.feed(html)
        assert open_tags == []

    @pytest.mark.parametrize("content", ["{}", "[1]", "{", '{"pairs": [{"a": 1}], "shortcuts": []}'])
    def test_another_file_is_refused_in_one_line(self, tmp_path, content):
        (tmp_path / "audit.json").write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=r"audit .*audit\.json: not what `earmark audit") as raised:
            read_audit(tmp_path / "audit.json")
        assert "\n" not in str(raised.value)


class TestRealData:
    def test_the_copies_that_esc10_has(self, real_data):
        """Crying babies and fires: three pairs under different Freesound ids, one of them across folds 3 and 5."""
        clips = [c for c in read_esc50(real_data / "ESC-10") if c.label in ("crying_baby", "crackling_fire")]
        report = audit(clips, jobs=1, show_progress=False)
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
        pairs = audit(clips, jobs=1, show_progress=False).pairs
        assert {(p.first.removesuffix("_cut"), p.second) for p in pairs} == {(c.clip_id, c.clip_id) for c in whole}
