"""`earmark spectrograms` over every kind of awkward recording: which become images, which are refused by name."""

import numpy as np
import pytest
import soundfile

from earmark.cli.main import main
from earmark.config.sections import FrontEndConfig
from earmark.features.log_mel import load_image
from earmark.features.store import open_store

RATE = 44100
NOISE = np.random.default_rng(0).normal(0, 0.1, RATE)
GOOD = {  # samples, rate, frames of the image
    "one_sample": (NOISE[:1], RATE, 1),
    "below_a_window": (NOISE[:300], RATE, 1),
    "all_zero": (np.zeros(RATE), RATE, 87),
    "at_192_khz": (np.resize(NOISE, 192000), 192000, 87),
    "eight_channels": (np.stack([NOISE] * 8, axis=1), RATE, 87),
}
BAD = {"zero_length": (np.zeros(0), "is empty"), "nan": (np.array([0.1, np.nan, 0.2]), "NaN")}


@pytest.fixture
def store(tmp_path, capsys):
    """The store that the command makes of all of them, and what it prints about the refused ones."""
    audio = tmp_path / "audio" / "any"
    audio.mkdir(parents=True)
    for name, (samples, rate, _) in GOOD.items():
        soundfile.write(audio / f"{name}.wav", samples, rate, subtype="FLOAT")
    for name, (samples, _) in BAD.items():
        soundfile.write(audio / f"{name}.wav", samples, RATE, subtype="FLOAT")
    rows = [f"{name},audio/any/{name}.wav,any,{name},," for name in (*GOOD, *BAD)]
    (tmp_path / "clips.csv").write_text("\n".join(["clip_id,path,label,group,fold,duration", *rows]) + "\n")
    command = ["spectrograms", tmp_path / "clips.csv", "-o", tmp_path / "store", "--sample-rate", RATE]
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in command])
    assert caught.value.code == 2
    return open_store(tmp_path / "store"), capsys.readouterr().err, audio


def test_each_awkward_recording_is_handled_as_documented(store):
    images, printed, audio = store
    assert sorted(path.name for path in images.folder.glob("*.png")) == sorted(f"{name}_orig.png" for name in GOOD)
    for name, (_, _, n_frames) in GOOD.items():
        image = images.read(name)
        assert image.shape == (128, n_frames), name
        assert image.any() == (name != "all_zero"), name
        np.testing.assert_array_equal(image, load_image(audio / f"{name}.wav", FrontEndConfig(sample_rate=RATE)))
    assert "2 of 7 recordings cannot be used" in printed
    for name, (_, reason) in BAD.items():
        assert any(f"{name}.wav" in line and reason in line for line in printed.splitlines()), name
