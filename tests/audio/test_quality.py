"""Level, silence, clipping and digest of decoded samples."""

import numpy as np
import pytest

from earmark.audio.quality import NO_LEVEL_DB, measure_quality

RATE = 8000


def test_levels_silence_and_clipping_of_a_known_signal():
    samples_NC = np.concatenate([np.full(800, 0.5), np.zeros(800)]).astype(np.float32)[:, None]
    samples_NC[:80] = 1.0
    quality = measure_quality(samples_NC, RATE)
    assert (quality.duration, quality.silent_fraction, quality.peak_db) == (0.2, 0.5, 0.0)
    assert (quality.n_clipped, quality.clipped_fraction) == (80, pytest.approx(80 / 1600))
    assert quality.rms_db == pytest.approx(10 * np.log10((80 + 720 * 0.25) / 1600), abs=1e-4)
    assert not quality.is_silent and quality.n_not_finite == 0


def test_runs_shorter_than_three_are_not_clipped():
    samples = 0.3 * np.random.default_rng(0).uniform(-1, 1, RATE).astype(np.float32)
    samples[[10, 11, 12, 13, 20, 21, 30]] = 1.0  # runs of 4, 2 and 1
    samples[100:103] = -1.0
    assert measure_quality(samples[:, None], RATE).n_clipped == 7


@pytest.mark.parametrize("amplitude", [0.0, 0.9e-4])
def test_a_silent_clip_has_no_digest(amplitude):
    quality = measure_quality(np.full((RATE, 1), amplitude, np.float32), RATE)
    assert quality.is_silent and quality.digest == ""
    assert quality.peak_db == (NO_LEVEL_DB if amplitude == 0 else pytest.approx(-80.9, abs=0.1))


def test_channels_that_cancel_are_silent():
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)
    assert measure_quality(np.stack([noise, -noise], axis=1), RATE).is_silent


def test_the_digest_depends_on_the_mono_waveform_and_the_rate_alone():
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE, 1)).astype(np.float32)
    one = measure_quality(noise, RATE).digest
    assert one == measure_quality(np.repeat(noise, 2, axis=1), RATE).digest
    assert one not in {measure_quality(noise, 16000).digest, measure_quality(noise[:-1], RATE).digest}


def test_samples_that_are_not_finite_are_counted():
    samples_NC = np.full((100, 2), 0.1, np.float32)
    samples_NC[3, 0], samples_NC[7, 1] = np.nan, -np.inf
    assert measure_quality(samples_NC, RATE).n_not_finite == 2
