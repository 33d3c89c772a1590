"""Augmentations: measured signal-to-noise ratios, frequencies, lengths and levels; the same bytes everywhere."""

import inspect
import math

import librosa
import numpy as np
import pytest
import scipy.signal
import scipy.stats
import soundfile

from earmark.audio.augment import (
    AUGMENTATIONS,
    FUNCTIONS,
    NOISE_SLOPES,
    AugmentationError,
    add_noise,
    add_reverb,
    apply_augmentation,
    change_gain,
    definition_of,
    shift_pitch,
    shift_time,
    stretch_time,
)
from earmark.audio.io import AudioError, load_audio
from earmark.audio.phase_vocoder import change_tempo
from earmark.datasets.manifest import Clip, read_manifest
from earmark.datasets.write_augmented import write_augmented

RATE = 22050


def generator(seed=0):
    return np.random.default_rng(seed)


def tone(frequency, seconds=2.0, sample_rate=RATE):
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def clip_of_noise(n_samples=RATE):
    return (0.1 * generator(1).standard_normal(n_samples)).astype(np.float32)


def frequency_of(waveform, sample_rate=RATE):
    """The strongest frequency, in Hz, by a transform padded to a hundredth of a bin's error."""
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)), 16 * len(waveform)))
    return spectrum.argmax() * sample_rate / (16 * len(waveform))


def power_db(waveform):
    return 10 * math.log10(np.mean(np.square(waveform, dtype=np.float64)))


@pytest.mark.parametrize("color", NOISE_SLOPES)
@pytest.mark.parametrize("snr_db", [-5, 0, 25, 60])
def test_the_signal_to_noise_ratio_is_what_was_asked_for(snr_db, color):
    waveform = tone(440) * np.linspace(0, 1, 2 * RATE, dtype=np.float32)
    noisy = add_noise(waveform, RATE, generator(), snr_db, color)
    assert noisy.dtype == np.float32
    assert power_db(waveform) - power_db(noisy.astype(np.float64) - waveform) == pytest.approx(snr_db, abs=0.1)


SLOPES_DB = [("white", 0), ("pink", -3.01), ("brown", -6.02), ("blue", 3.01), ("violet", 6.02)]


@pytest.mark.parametrize(("color", "db_per_octave"), SLOPES_DB)
def test_colored_noise_has_its_slope(color, db_per_octave):
    waveform = np.zeros(20 * RATE, np.float32)
    waveform[0] = 1.0
    noise = add_noise(waveform, RATE, generator(), 0.0, color) - waveform
    frequency, density = scipy.signal.welch(noise.astype(np.float64), RATE, nperseg=4096)
    used = (frequency > 100) & (frequency < 8000)
    slope, _ = np.polyfit(np.log2(frequency[used]), 10 * np.log10(density[used]), 1)
    assert slope == pytest.approx(db_per_octave, abs=0.1)


def test_the_noise_is_normal_and_independent():
    waveform = np.full(200_001, 1e-3, np.float32)
    noise = (add_noise(waveform, RATE, generator(), 0.0).astype(np.float64) - waveform) / 1e-3
    assert scipy.stats.kstest(noise, "norm").pvalue > 0.01
    assert np.abs(noise).max() > 4
    shifted = [np.corrcoef(noise[lag:], noise[:-lag])[0, 1] for lag in (1, 2, 100_000)]
    assert np.abs(shifted).max() < 0.02


def test_a_range_is_drawn_evenly():
    waveform = tone(440, 0.1)
    noises = [add_noise(waveform, RATE, generator(i), (10, 30)) - waveform for i in range(300)]
    drawn = [power_db(waveform) - power_db(noise) for noise in noises]
    assert scipy.stats.kstest(drawn, scipy.stats.uniform(10, 20).cdf).pvalue > 0.01


@pytest.mark.parametrize("sample_rate", [16000, 44100])
@pytest.mark.parametrize("semitones", [2, -3, 12])
def test_pitch_shift_moves_the_frequency_and_keeps_the_length(semitones, sample_rate):
    waveform = tone(1000, 2.0, sample_rate)
    shifted = shift_pitch(waveform, sample_rate, generator(), semitones)
    assert shifted.dtype == np.float32
    assert len(shifted) == len(waveform)
    assert frequency_of(shifted, sample_rate) == pytest.approx(1000 * 2 ** (semitones / 12), rel=0.005)
    assert power_db(shifted) == pytest.approx(power_db(waveform), abs=0.3)


@pytest.mark.parametrize("sample_rate", [16000, 44100])
@pytest.mark.parametrize("rate", [0.5, 0.9, 1.25])
def test_time_stretch_keeps_the_frequency_and_changes_the_length(rate, sample_rate):
    waveform = tone(1000, 2.0, sample_rate)
    stretched = stretch_time(waveform, sample_rate, generator(), rate)
    assert stretched.dtype == np.float32
    assert len(stretched) == round(len(waveform) / rate)
    assert frequency_of(stretched, sample_rate) == pytest.approx(1000, rel=0.005)
    assert power_db(stretched) == pytest.approx(power_db(waveform), abs=0.3)


def tone_to_rest_db(waveform, frequency):
    """Power of a tone over all that is left when it is taken out, away from the ends."""
    middle = waveform[RATE // 2 : -RATE // 2].astype(np.float64)
    phase = 2 * np.pi * frequency * np.arange(len(middle)) / RATE
    basis = np.stack([np.cos(phase), np.sin(phase)], axis=1)
    rest = middle - basis @ np.linalg.lstsq(basis, middle, rcond=None)[0]
    return power_db(middle) - power_db(rest)


def test_a_stretched_tone_stays_pure():
    assert tone_to_rest_db(change_tempo(tone(1000, 3), RATE, 0.9), 1000) > 55


@pytest.mark.slow  # Numba compiles for 20 s
@pytest.mark.filterwarnings("ignore:The `.*` parameter is deprecated:FutureWarning")  # of librosa 1.0 itself
def test_librosas_stretched_tone_is_less_pure():
    assert tone_to_rest_db(librosa.effects.time_stretch(tone(1000, 3), rate=0.9), 1000) < 55


def test_stretched_noise_and_clicks_keep_their_level():
    noise = clip_of_noise(4 * RATE)
    assert power_db(change_tempo(noise, RATE, 0.9)) == pytest.approx(power_db(noise), abs=0.7)
    clicks = np.zeros(4 * RATE, np.float32)
    clicks[RATE // 4 :: RATE // 2] = 1
    stretched = np.abs(change_tempo(clicks, RATE, 0.9))
    assert stretched.max() > 0.9
    peaks = np.flatnonzero(stretched > 0.5)
    np.testing.assert_allclose(peaks[0], RATE / 4 / 0.9, atol=0.01 * RATE)
    np.testing.assert_allclose(peaks[-1] - peaks[0], 7 * RATE / 2 / 0.9, atol=0.01 * RATE)


def test_tempo_one_is_the_identity():
    noise = clip_of_noise(10_000)
    np.testing.assert_allclose(change_tempo(noise, RATE, 1.0), noise, atol=1e-6)


@pytest.mark.parametrize("n_samples", [1, 2, 255, 256, 257, 1024, 5000])
@pytest.mark.parametrize("rate", [0.25, 0.9, 1.0, 4.0])
def test_clips_of_any_length_can_be_stretched(n_samples, rate):
    stretched = change_tempo(clip_of_noise(n_samples), RATE, rate)
    assert len(stretched) == max(1, round(n_samples / rate))
    assert np.isfinite(stretched).all()
    assert not change_tempo(np.zeros(n_samples, np.float32), RATE, rate).any()


def test_gain_is_exact():
    np.testing.assert_allclose(change_gain(tone(440), RATE, generator(), 6.0), tone(440) * 1.9952623, rtol=1e-5)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("shift", [0, 3, -3, 8, -8, 11, -11])
def test_time_shift(shift, wrap):
    waveform = np.arange(1, 9, dtype=np.float32)
    expected = [waveform[(i - shift) % 8] if wrap or 0 <= i - shift < 8 else 0 for i in range(8)]
    np.testing.assert_array_equal(shift_time(waveform, 10, generator(), shift / 10, wrap), expected)


def test_reverberation_decays_as_asked_and_keeps_power_and_length():
    rate, click = 16000, np.zeros(32000, np.float32)
    click[0] = 1.0
    response = add_reverb(click, rate, generator(), 0.5, 6.0).astype(np.float64)
    assert len(response) == len(click)
    assert power_db(response) == pytest.approx(power_db(click), abs=0.01)
    tail = response[1:]
    assert 10 * math.log10(response[0] ** 2 / (tail @ tail)) == pytest.approx(6, abs=0.01)
    remaining = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1][:6400] / (tail @ tail))  # Schroeder, to 0.4 s
    slope, _ = np.polyfit(np.arange(4000) / rate, remaining[:4000], 1)
    assert -60 / slope == pytest.approx(0.5, rel=0.05)


def test_a_recorded_room_is_a_convolution(tmp_path):
    room = np.zeros(400, np.float32)
    room[[100, 150, 390]] = 0.8, -0.4, 0.2
    soundfile.write(tmp_path / "room.wav", room, RATE, subtype="FLOAT")
    waveform = clip_of_noise(3000)
    expected = np.convolve(waveform.astype(np.float64), room[100:])[:3000]
    expected *= math.sqrt(np.sum(waveform.astype(np.float64) ** 2) / np.sum(expected**2))
    wet = add_reverb(waveform, RATE, generator(), impulse_response=str(tmp_path / "room.wav"))
    np.testing.assert_allclose(wet, expected, atol=1e-5)
    with pytest.raises(AudioError, match=r"none\.wav"):
        definition_of("hall", {"hall": {"function": "add_reverb", "impulse_response": str(tmp_path / "none.wav")}})
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    with pytest.raises(AugmentationError, match=r"augmentation 'hall': impulse_response = .*silent\.wav': is silent"):
        definition_of("hall", {"hall": {"function": "add_reverb", "impulse_response": str(tmp_path / "silent.wav")}})


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("waveform", [np.zeros(1, np.float32), np.ones(1, np.float32), np.zeros(9000, np.float32)])
def test_short_and_silent_clips_come_through(function, waveform):
    varied = function(waveform, 44100, generator())
    assert varied.dtype == np.float32
    assert np.isfinite(varied).all()
    assert len(varied) > 0
    assert waveform.any() or not varied.any()


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_input_is_left_alone_and_a_seed_gives_the_same_samples(function):
    waveform = clip_of_noise(5000)
    kept = waveform.copy()
    first = function(waveform, RATE, generator(3))
    np.testing.assert_array_equal(waveform, kept)
    np.testing.assert_array_equal(function(waveform, RATE, generator(3)), first)


def test_an_augmentation_is_seeded_by_clip_and_name():
    waveform, noisy = clip_of_noise(), AUGMENTATIONS["noisy"]
    first = apply_augmentation(waveform, RATE, "a", "noisy", noisy)
    np.testing.assert_array_equal(apply_augmentation(waveform, RATE, "a", "noisy", noisy), first)
    assert (apply_augmentation(waveform, RATE, "b", "noisy", noisy) != first).any()
    assert (apply_augmentation(waveform, RATE, "a", "noisy2", noisy) != first).any()
    assert apply_augmentation(waveform, RATE, "a", "orig", {}) is waveform


def test_the_names_that_need_no_definition():
    assert definition_of("orig") == {}
    waveform = tone(1000)
    snr_db = power_db(waveform) - power_db(
        apply_augmentation(waveform, RATE, "a", "noisy", definition_of("noisy")) - waveform
    )
    assert snr_db == pytest.approx(25, abs=0.1)
    higher = apply_augmentation(waveform, RATE, "a", "pitchUp2", definition_of("pitchUp2"))
    assert frequency_of(higher) == pytest.approx(1122.46, rel=0.005)
    slower = apply_augmentation(waveform, RATE, "a", "stretch0.9", definition_of("stretch0.9"))
    assert len(slower) == round(len(waveform) / 0.9)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"function": "add_noize"}, "function 'add_noize': unknown; did you mean 'add_noise'"),
        ({"snr_db": 3}, "function None: unknown; choose from add_noise"),
        ({"function": "add_noise", "snr": 3}, "argument 'snr': unknown; did you mean 'snr_db'"),
        ({"function": "add_noise", "generator": 3}, "argument 'generator': unknown"),
        ({"function": "add_noise", "snr_db": "loud"}, "snr_db = 'loud': give a number from"),
        ({"function": "add_noise", "snr_db": [1, 2, 3]}, "snr_db = .*two to draw between"),
        ({"function": "add_noise", "color": "green"}, "color 'green': unknown; choose from white"),
        ({"function": "stretch_time", "rate": 0.1}, "rate = 0.1: give a number from 0.25 to 4"),
        ({"function": "shift_pitch", "semitones": [-30, 0]}, "semitones = .*from -24 to 24"),
        ({"function": "shift_time", "wrap": "no"}, "wrap = 'no': give true or false"),
        ({"function": "add_reverb", "impulse_response": ["hall.wav"]}, r"impulse_response = \['hall.wav'\]: give text"),
    ],
)
def test_a_wrong_definition_is_refused(definition, message):
    with pytest.raises(AugmentationError, match=f"augmentation 'mine': {message}"):
        definition_of("mine", {"mine": definition})


def test_a_wrong_name_is_refused():
    with pytest.raises(AugmentationError, match="'pitchup2': unknown; did you mean 'pitchUp2'"):
        definition_of("pitchup2")
    with pytest.raises(AugmentationError, match="'a_b': use letters, digits"):
        definition_of("a_b", {"a_b": {"function": "add_noise"}})


def test_every_function_takes_the_same_three_things_first():
    for function in FUNCTIONS.values():
        assert list(inspect.signature(function).parameters)[:3] == ["waveform", "sample_rate", "generator"]


def test_augmentations_are_written_as_files_that_follow_their_clip(tmp_path):
    soundfile.write(tmp_path / "a.wav", 2 * tone(500), RATE, subtype="FLOAT")
    good = Clip("a", tmp_path / "a.wav", "beep", "room 1", 3, 2.0)
    bad = Clip("b", tmp_path / "b.wav", "beep", "room 2", 3, 2.0)
    names = ["noisy", "stretch0.9"]
    written = write_augmented([good], names, None, tmp_path / "out", jobs=1)
    assert [clip.clip_id for clip in written] == ["a_noisy", "a_stretch0.9"]
    for clip, name in zip(written, names, strict=True):
        waveform, rate = load_audio(clip.path)
        assert rate == RATE
        expected = apply_augmentation(load_audio(good.path)[0], RATE, "a", name, definition_of(name))
        np.testing.assert_array_equal(waveform, expected)
        assert (clip.label, clip.group, clip.fold) == ("beep", "room 1", 3)
    reread = read_manifest(tmp_path / "out" / "clips.csv")
    assert [clip.group for clip in reread] == ["room 1", "room 1"]
    np.testing.assert_allclose([clip.duration for clip in reread], [2.0, 2.0 / 0.9], atol=1e-3)
    with pytest.raises(AudioError, match=r"1 of 2 recordings(?s:.*)b\.wav"):
        write_augmented([bad, good], names, None, tmp_path / "out", jobs=1)
    written = {p.name for p in (tmp_path / "out").iterdir()}
    assert written - {".lock"} == {"a_noisy.wav", "a_stretch0.9.wav", "clips.csv"}
