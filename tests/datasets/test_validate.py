"""Every kind of bad recording among good ones, all in one pass."""

import numpy as np
import pytest
import soundfile

from earmark.datasets.emodb import read_emodb
from earmark.datasets.esc50 import read_esc50
from earmark.datasets.manifest import Clip
from earmark.datasets.validate import KINDS, validate_clips

RATE = 16000


def noise(seed: int, n: int = RATE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, n)


def clip(path, label="dog", group=None) -> Clip:
    return Clip(path.name, path, label, group or path.name)


@pytest.fixture
def messy(tmp_path):
    """Files by name; those beginning with `good` have nothing wrong with them."""

    def write(name, samples, **options):
        soundfile.write(tmp_path / name, samples, RATE, **options)

    write("good.wav", noise(1))
    write("good_quiet.wav", noise(2) * 10 ** (-70 / 20))
    write("good_short.wav", noise(3, 1600))
    write("good_loud_tone.wav", np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE))
    write("unreadable.flac", noise(4))
    (tmp_path / "unreadable.flac").write_text("not audio")
    (tmp_path / "empty.wav").touch()
    write("empty2.wav", np.zeros(0))
    write("silent.wav", np.zeros(RATE))
    write("silent_dither.wav", np.resize([2, -3, 1, 0], RATE + 1).astype(np.int16))
    write("silent_opposed.wav", np.stack([noise(5), -noise(5)], axis=1), subtype="FLOAT")
    write("clipped.wav", np.clip(10 * noise(6), -1, 1))
    write("clipped8.wav", np.clip(4 * noise(7), -1, 1), subtype="PCM_U8")
    write("clipped_one_side.wav", np.clip(4 * noise(8), -1, 0.3))
    write("clipped_stereo.wav", np.stack([np.clip(4 * noise(9), -1, 1), noise(10)], axis=1))
    write("nan.wav", np.where(np.arange(RATE) < 3, np.nan, noise(11)), subtype="FLOAT")
    write("nan_inf.wav", np.where(np.arange(RATE) < 3, -np.inf, noise(12)), subtype="FLOAT")
    write("too_short.wav", noise(13, 1599))
    return tmp_path


def found(clips):
    """(clip id, kind) of all problems; a problem's words stay available by `validate_clips`."""
    return [(problem.clip_id, problem.kind) for problem in validate_clips(clips)]


def test_every_bad_file_is_listed_with_its_kind(messy):
    clips = [clip(path) for path in sorted(messy.iterdir())] + [clip(messy / "missing.wav")]
    expected = {
        (c.clip_id, next(k for k in KINDS if c.clip_id.startswith(k)))
        for c in clips
        if not c.clip_id.startswith("good")
    }
    assert len(expected) == 14
    assert found(clips) == sorted(expected, key=lambda problem: [c.clip_id for c in clips].index(problem[0]))


def test_details_tell_what_was_measured(messy):
    words = {
        "silent.wav": "all samples are zero",
        "silent_dither.wav": "the peak is at -81 dB of full scale",
        "nan.wav": "NaN or infinite: 3 samples",
        "too_short.wav": "0.100 s",
        "missing.wav": f"audio {messy / 'missing.wav'}: does not exist; give the path of an audio file",
    }
    problems = validate_clips([clip(messy / name) for name in words])
    assert {p.clip_id: p.detail for p in problems} == words
    assert all(p.path == messy / p.clip_id for p in problems)


def test_clipped_samples_are_counted_in_runs_of_three(tmp_path):
    samples = noise(0) * 0.5
    samples[[10, 11, 12, 13, 20, 21, 30]] = 1.0  # runs of 4, 2 and 1
    samples[100:103] = -1.0
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    (problem,) = validate_clips([clip(tmp_path / "a.wav")])
    assert (problem.kind, problem.detail) == ("clipped", "7 of 16000 samples are at full scale")


def test_duplicates_are_found_across_formats_and_say_what_they_spoil(tmp_path):
    samples = np.round(noise(0) * 2**15).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    soundfile.write(tmp_path / "b.flac", np.stack([samples, samples], axis=1), RATE)
    soundfile.write(tmp_path / "c.wav", samples, RATE)
    soundfile.write(tmp_path / "d.wav", samples, RATE // 2)
    soundfile.write(tmp_path / "e.wav", samples[:-1], RATE)
    clips = [
        clip(tmp_path / "a.wav", "dog", "street"),
        clip(tmp_path / "b.flac", "cat", "yard"),
        clip(tmp_path / "c.wav", "dog", "street"),
        clip(tmp_path / "d.wav"),
        clip(tmp_path / "e.wav"),
    ]
    problems = validate_clips(clips)
    assert [(p.clip_id, p.kind, p.detail) for p in problems] == [
        (
            "b.flac",
            "duplicate",
            "same audio as a.wav, labeled 'dog' instead of 'cat', in another group ('street'): it can leak",
        ),
        ("c.wav", "duplicate", "same audio as a.wav"),
    ]


def test_real_sets_are_sound(real_data):
    clips = read_esc50(real_data / "ESC-10")[:40] + read_emodb(real_data / "EmoDB-4class")[::4]
    assert len(clips) == 125
    assert found(clips) == []


@pytest.mark.slow
def test_the_whole_of_esc10_has_six_clipped_recordings_and_nothing_else(real_data):
    problems = found(read_esc50(real_data / "ESC-10"))
    assert [kind for _, kind in problems] == ["clipped"] * 6
    assert "5-186924-A-12" in dict(problems)
