"""Waveforms of candidates: copies agree to the sample in every window, second takes do not."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from scipy.signal import correlate

from earmark.audio.io import load_audio
from earmark.audit import confirm
from earmark.audit.confirm import N_WINDOWS, SAME_SOUND, SAME_WAVEFORM, compare_waveforms, is_copy
from earmark.audit.fingerprint import fingerprint_of
from earmark.audit.matches import LIKELY, Match, find_matches
from sounds import RATE, noisy, parallel_speech, say, scene


def only_match(first: np.ndarray, second: np.ndarray) -> Match:
    (match,) = find_matches([fingerprint_of(first), fingerprint_of(second)], LIKELY)
    return match


def coded(waveform: np.ndarray, folder: Path) -> np.ndarray:
    soundfile.write(folder / "coded.ogg", waveform, RATE, compression_level=0.6)
    return load_audio(folder / "coded.ogg")[0]


def test_only_copies_agree_in_phase():
    """Two takes of one alarm clock: the images agree, the waveforms do not."""
    t = np.arange(3 * RATE) / RATE
    on = (np.sin(2 * np.pi * 3 * t) > 0) * np.exp(-((6 * t) % 1))
    takes = []
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        tones = sum(
            np.sin(2 * np.pi * f * (1 + 0.001 * seed) * t + rng.uniform(0, 6.28)) for f in (900, 1430, 2210, 3170)
        )
        takes.append((0.2 * on * tones + 0.02 * on * rng.normal(size=len(t))).astype(np.float32))
    match = only_match(*takes)
    assert match.score > 0.6 and match.repeats
    assert not is_copy(match, compare_waveforms(match, *takes))
    copies = [takes[0], noisy(takes[0])]
    match = only_match(*copies)
    assert is_copy(match, compare_waveforms(match, *copies))


def test_coherence_is_the_normalized_cross_correlation(monkeypatch):
    monkeypatch.setattr(confirm, "WHITENING", 0.0)
    rng = np.random.default_rng(0)
    a = rng.normal(size=20 * 256)
    b = 0.5 * np.roll(a, 300) + rng.normal(size=len(a))
    match = Match(0, 1, 0, 4, 1.0, 20, slice(0, 20))
    x = a * np.hanning(len(a))
    y = np.pad(b, confirm.MAX_SHIFT) * np.hanning(len(b) + 2 * confirm.MAX_SHIFT)
    expected = np.abs(correlate(y, x, mode="valid")).max() / np.sqrt(np.sum(x**2) * np.sum(y**2))
    assert compare_waveforms(match, a, b).coherence == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("alter", "offset"),
    [
        (lambda w: -0.1 * w, 0),
        (lambda w: noisy(w, 10.0), 0),
        (lambda w: w[12345:], 12345),
        (lambda w: np.concatenate([scene(99, 1.0), w]), -RATE),
        (lambda w: soxr.resample(soxr.resample(w, RATE, 11025), 11025, RATE), 0),
        (None, 0),
    ],
    ids=["quieter and inverted", "noisy", "cut", "after another sound", "resampled", "coded"],
)
@pytest.mark.parametrize("sound", [scene(2), say("malisofemu")], ids=["scene", "speech"])
def test_altered_copies_are_confirmed_at_the_sample(tmp_path, sound, alter, offset):
    altered = np.asarray(alter(sound) if alter else coded(sound, tmp_path), np.float32)
    agreement = compare_waveforms(only_match(sound, altered), sound, altered)
    assert abs(agreement.offset - offset) <= 1
    assert agreement.n_agreeing >= N_WINDOWS - 1 and agreement.correlation > 0.8
    assert is_copy(only_match(sound, altered), agreement)


def test_no_pair_of_parallel_speech_is_a_copy():
    """Drifting lags: in one second alone some of these pairs are coherent enough, in its windows none agrees."""
    waveforms = list(parallel_speech().values())
    candidates = find_matches([fingerprint_of(waveform) for waveform in waveforms], LIKELY)
    agreements = [compare_waveforms(m, waveforms[m.first], waveforms[m.second]) for m in candidates]
    in_one_second = [
        a.coherence >= SAME_WAVEFORM and m.evidence + a.coherence >= SAME_SOUND
        for m, a in zip(candidates, agreements, strict=True)
    ]
    assert len(candidates) > 50 and sum(in_one_second) >= 3, "the set is no test any more"
    assert not any(itertools.starmap(is_copy, zip(candidates, agreements, strict=True)))


def test_windows_have_equal_energy_and_cover_everything():
    sound = scene(3)
    windows = confirm._windows(sound)
    assert windows[0].start == 0 and windows[-1].stop == len(sound) and len(windows) == N_WINDOWS
    assert all(a.stop >= b.start for a, b in itertools.pairwise(windows))
    energy = [float(np.sum(sound[w] ** 2)) for w in windows if w.stop - w.start > confirm.MIN_WINDOW]
    assert energy == pytest.approx([float(np.sum(sound**2)) / N_WINDOWS] * len(energy), rel=0.05)


def test_segments_beyond_the_ends_are_zeros():
    waveform = np.arange(1.0, 6.0)
    assert list(confirm._cut(waveform, -2, 4)) == [0, 0, 1, 2]
    assert list(confirm._cut(waveform, 3, 4)) == [4, 5, 0, 0]
    assert list(confirm._cut(waveform, -9, 3)) == list(confirm._cut(waveform, 9, 3)) == [0, 0, 0]
