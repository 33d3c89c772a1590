"""The synthetic set: what it holds, that it is the same each time, and that it is neither trivial nor hopeless."""

import time
from collections import Counter, defaultdict

import numpy as np
import pytest
import scipy.signal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from earmark.audio.io import audio_info, load_audio
from earmark.datasets.demo import SAMPLE_RATE, SOUNDS, read_demo, synthesize, write_demo, write_fresh_clip
from earmark.datasets.manifest import read_manifest


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, write_demo(folder)


def test_contents(demo):
    folder, clips = demo
    assert Counter(c.label for c in clips) == dict.fromkeys(SOUNDS, 32)
    assert len(SOUNDS) == 10
    assert set(Counter(c.group for c in clips).values()) == {4}
    assert all(c.path.parent == folder / "audio" for c in clips)
    info = audio_info(clips[0].path)
    assert (info.sample_rate, info.channels, info.subtype, info.duration) == (16000, 1, "PCM_16", 1.25)
    assert clips == read_manifest(folder / "clips.csv") == read_demo(folder)


def test_folds_are_balanced_and_disjoint_by_group(demo):
    _, clips = demo
    assert Counter((c.fold, c.label) for c in clips) == {(f, label): 8 for f in (1, 2, 3, 4) for label in SOUNDS}
    folds = defaultdict(set)
    for c in clips:
        folds[c.group].add(c.fold)
    assert all(len(f) == 1 for f in folds.values())


def test_the_same_seed_gives_the_same_files_and_another_gives_others(demo):
    _, clips = demo
    for clip in clips[::37]:
        source, take = (int(number) - 1 for number in clip.clip_id.rpartition("-s")[2].split("-"))
        again = synthesize(clip.label, source, take, seed=0)
        assert np.abs(load_audio(clip.path)[0] - again).max() <= 1 / 32768  # one 16-bit step: libsndfile truncates
        assert not np.allclose(synthesize(clip.label, source, take, seed=1), again)


def test_every_clip_is_another_one_at_a_usable_level(demo):
    _, clips = demo
    waveforms = [load_audio(c.path)[0] for c in clips]
    assert len({w.tobytes() for w in waveforms}) == len(clips)
    peaks = np.array([np.abs(w).max() for w in waveforms])
    assert 0.19 < peaks.min() < 0.3
    assert 0.8 < peaks.max() < 0.91


def test_fresh_clips_come_from_other_sources(demo, tmp_path):
    _, clips = demo
    known = {c.path.read_bytes() for c in clips}
    paths = [tmp_path / "new" / f"{label}{seed}.wav" for label in SOUNDS for seed in (0, 1)]
    for path in paths:
        write_fresh_clip(path, path.stem[:-1], seed=int(path.stem[-1]))
    assert len({p.read_bytes() for p in paths} | known) == len(known) + 20
    assert {len(load_audio(p)[0]) for p in paths} == {20000}


def test_any_source_gives_a_usable_clip():
    """Fresh clips and other seeds go beyond what `write_demo` makes."""
    for label in SOUNDS:
        for source in range(8, 28):
            waveform = synthesize(label, source, take=source % 5, seed=source)
            assert np.isfinite(waveform).all()
            assert 0.2 <= np.abs(waveform).max() <= 0.9


def test_it_takes_seconds():
    start = time.process_time()
    for label in SOUNDS:
        for source in range(4):
            synthesize(label, source, take=0)
    assert (time.process_time() - start) * 8 < 10  # all 320 clips; 1.4 s on one idle core of 2024


def band_levels(path) -> np.ndarray:
    """Mean and spread over time of the level in 40 bands: what a simple classifier sees of a clip."""
    waveform, _ = load_audio(path)
    _, _, spectrum = scipy.signal.stft(waveform, SAMPLE_RATE, nperseg=512)
    edges = np.geomspace(1, 257, 41).astype(int)
    power = np.add.reduceat(np.abs(spectrum) ** 2, np.unique(edges[:-1]), axis=0)
    level = np.log(power + 1e-9)
    return np.concatenate([level.mean(axis=1), level.std(axis=1)])


def test_a_simple_classifier_is_between_chance_and_perfect_and_profits_from_leakage(demo):
    """Chance is 10 %. A random split puts takes of one source on both sides, which must look (falsely) better."""
    _, clips = demo
    x = np.stack([band_levels(c.path) for c in clips])
    y = [c.label for c in clips]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    by_fold = cross_val_score(model, x, y, cv=PredefinedSplit([c.fold for c in clips])).mean()
    random = cross_val_score(model, x, y, cv=KFold(4, shuffle=True, random_state=0)).mean()
    assert 0.5 < by_fold < 0.85
    assert random > by_fold + 0.05
