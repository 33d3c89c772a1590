"""Long recordings and streams: segments, events and the files that other programs read."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy_audio import CLASS_NAMES, KALDI, make_waveform
from earmark.audio.io import AudioError, load_audio
from earmark.deploy import events
from earmark.deploy.events import Event, merge_events
from earmark.deploy.listen import listen, stream_blocks
from earmark.deploy.model import WindowAnswer, load
from earmark.deploy.predict import Prediction
from earmark.deploy.segments import cut_segments, file_blocks, file_segments, resample_blocks
from earmark.deploy.tables import CsvTable, JsonLines
from earmark.features.log_mel import log_mel, mel_energy
from earmark.runtime.errors import EarmarkError


@settings(max_examples=200, deadline=None)
@given(total=st.integers(1, 300), length=st.integers(1, 50), hop=st.integers(1, 80), block=st.integers(1, 70))
def test_segments_do_not_depend_on_blocks_and_cover_what_they_should(total, length, hop, block):
    waveform = np.arange(1, total + 1, dtype=np.float32)
    blocks = [waveform[i : i + block] for i in range(0, total, block)]
    cut = list(cut_segments(blocks, length, hop))
    starts = [0]
    while starts[-1] + max(length, hop) < total:
        starts.append(starts[-1] + hop)
    assert [s.first for s in cut] == [s for s in starts if s < total]
    for segment in cut:
        expected = waveform[segment.first : segment.first + length]
        assert segment.n_samples == len(expected)
        np.testing.assert_array_equal(segment.waveform, np.pad(expected, (0, length - len(expected))))


@pytest.mark.parametrize("rate", [8000, 11025, 48000])
def test_blocks_are_resampled_without_seams(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", make_waveform(200_000), rate, subtype="FLOAT")
    expected, _ = load_audio(tmp_path / "a.wav", 8000)
    blocks = list(resample_blocks(file_blocks(tmp_path / "a.wav"), rate, 8000))
    assert max(map(len, blocks)) < 100_000
    np.testing.assert_allclose(np.concatenate(blocks), expected, atol=1e-6)


def test_windows_of_a_file_that_is_cut_short_are_refused(tmp_path):
    """As `predict` refuses the whole of it; half of the recording was scored as if it were all."""
    soundfile.write(tmp_path / "whole.mp3", make_waveform(200_000), 22050)
    content = (tmp_path / "whole.mp3").read_bytes()
    (tmp_path / "cut.mp3").write_bytes(content[: len(content) // 2])
    assert sum(map(len, file_blocks(tmp_path / "whole.mp3"))) == pytest.approx(200_000, abs=3000)
    with pytest.raises(AudioError, match=r"cut\.mp3: is cut short after .* samples; fetch it again"):
        list(file_blocks(tmp_path / "cut.mp3"))


def test_a_file_without_a_sample_at_the_rate_of_the_model_is_refused(tmp_path):
    """It had no window, so that nothing was said of it."""
    soundfile.write(tmp_path / "one.wav", np.full(1, 0.5), 96_000)
    with pytest.raises(AudioError, match=r"one\.wav: has no sample left at 8000 Hz; leave it out"):
        list(file_segments(tmp_path / "one.wav", 8000, 4000, 2000))


def window(start, end, probs, silent=False):
    return WindowAnswer(CLASS_NAMES, np.array(probs), -20.0, silent, start, end)


def test_neighbors_with_one_label_become_an_event():
    high, low, unsure = [0.8, 0.1, 0.1], [0.1, 0.9, 0.0], [0.4, 0.3, 0.3]
    windows = [window(i, i + 2, p) for i, p in enumerate([high, [0.9, 0.1, 0.0], low, unsure, high])]
    assert list(merge_events(windows)) == [
        Event(0, 2.5, "high", 0.9),
        Event(2.5, 3.5, "low", 0.9),
        Event(4.5, 6, "high", 0.8),
    ]
    assert [e.label for e in merge_events(windows, min_seconds=1.2)] == ["high", "high"]
    assert [e.label for e in merge_events(windows, threshold=0.85)] == ["high", "low"]
    assert [e.label for e in merge_events(windows, left_out=("high",))] == ["low"]
    assert [e.label for e in merge_events(windows, threshold=0.3)] == ["high", "low", "high"]


def test_silence_and_gaps_end_an_event():
    windows = [window(0, 1, [1, 0, 0]), window(3, 4, [1, 0, 0]), window(6, 7, [1, 0, 0], silent=True)]
    assert list(merge_events(windows)) == [Event(0, 1, "high", 1), Event(3, 4, "high", 1)]
    assert list(merge_events([])) == []


def test_files_for_other_programs():
    found = [Event(0.5, 1.25, "a\tb\nc", 0.75), Event(2, 3, "low", 1.0)]
    audacity, raven = io.StringIO(), io.StringIO()
    events.write_audacity(audacity, found)
    assert audacity.getvalue() == "0.500000\t1.250000\ta b c\n2.000000\t3.000000\tlow\n"
    events.write_raven(raven, found, 8000, "a  b\t.wav")
    rows = list(csv.DictReader(io.StringIO(raven.getvalue()), delimiter="\t"))
    assert rows[0]["Begin Time (s)"] == "0.500000" and rows[0]["High Freq (Hz)"] == "4000"
    assert rows[1]["Annotation"] == "low" and rows[1]["Selection"] == "2"
    assert rows[0]["Begin File"] == "a  b\\t.wav"


def test_answers_as_csv_and_json_lines():
    known = replace(window(0, 1, [0.25, 0.5, 0.25]), unknown_score=0.2, unknown=True)
    found = [
        Prediction(Path("a.wav"), known),
        Prediction(Path("a.wav"), window(1, 2, [1, 0, 0], silent=True)),
        Prediction(Path("b.wav"), error="is empty"),
    ]
    for say_unknown, label in ((False, "low"), (True, "unknown")):
        text, lines = io.StringIO(), io.StringIO()
        writers = CsvTable(text, CLASS_NAMES, say_unknown), JsonLines(lines, say_unknown)
        [writer.write(prediction) for writer in writers for prediction in found]
        rows = list(csv.DictReader(io.StringIO(text.getvalue())))
        assert rows[0]["prediction"] == label and float(rows[0]["prob:<script>"]) == 0.25 and rows[1]["silent"] == "1"
        assert (rows[0]["unknown_score"], rows[0]["unknown"], rows[1]["unknown"]) == ("0.200000", "1", "")
        assert rows[2]["error"] == "is empty" and rows[2]["prob:<script>"] == ""
        first, second, third = map(json.loads, lines.getvalue().splitlines())
        assert first["label"] == label and first["unknown"] and first["unknown_score"] == 0.2
        assert first["probs"] == dict(zip(CLASS_NAMES, [0.25, 0.5, 0.25], strict=True)) and second["silent"] is True
        assert third == {"path": "b.wav", "error": "is empty"}


def test_unknown_windows_have_no_event_where_they_are_left_out():
    windows = [replace(window(i, i + 1, [1, 0, 0]), unknown=i == 1) for i in range(3)]
    assert [(e.start, e.end) for e in merge_events(windows)] == [(0, 3)]
    assert [(e.start, e.end) for e in merge_events(windows, leave_out_unknown=True)] == [(0, 1), (2, 3)]


class Dribble(io.BytesIO):
    """A pipe that gives a few odd bytes at a time."""

    def read1(self, size=-1):
        return super().read1(min(size, 1001))


@pytest.mark.parametrize(("sample_format", "channels"), [("f32le", 1), ("f32le", 3), ("s16le", 2)])
def test_a_stream_is_answered_as_the_file(run_folder, tmp_path, sample_format, channels):
    model = load(run_folder)
    waveform = (make_waveform(20000) * 2**15).round().astype(np.int16)
    soundfile.write(tmp_path / "a.wav", waveform, 8000, subtype="PCM_16")
    samples = np.repeat(waveform[:, None], channels, axis=1)
    raw = samples.astype("<i2") if sample_format == "s16le" else (samples / 2**15).astype("<f4")
    blocks = stream_blocks(Dribble(raw.tobytes()), channels, sample_format)
    streamed = list(listen(model, blocks, 8000, 0.1))
    expected = list(model.predict_windows(tmp_path / "a.wav", hop_seconds=0.1))
    assert [w.start for w in streamed] == [w.start for w in expected]
    np.testing.assert_allclose([w.probs for w in streamed], [w.probs for w in expected], atol=1e-6)


def test_mel_energies_of_a_stream_are_those_of_the_file():
    """With a fixed reference a frame does not depend on what is around its window; at the window's ends it does."""
    waveform, hop = make_waveform(20000), 25 * KALDI.hop_length
    raw = Dribble(waveform.astype("<f4").tobytes())
    segments = list(cut_segments(stream_blocks(raw), 40 * KALDI.hop_length, hop))
    of_file = mel_energy(waveform, KALDI), log_mel(waveform, KALDI)
    edge = -(-KALDI.n_fft // 2 // KALDI.hop_length)
    assert len(segments) > 5
    for segment in segments[:-1]:
        first = segment.first // KALDI.hop_length
        of_window = mel_energy(segment.waveform, KALDI), log_mel(segment.waveform, KALDI)
        for of_segment, whole in zip(of_window, of_file, strict=True):
            inside = slice(edge, of_segment.shape[1] - edge)
            expected = whole[:, first : first + of_segment.shape[1]][:, inside]
            np.testing.assert_allclose(of_segment[:, inside], expected, rtol=1e-4, atol=1e-4)


def test_windows_of_a_stream_leave_out_nothing_unless_asked_to(run_folder):
    """The hop was half a second, also where a window is shorter than that."""
    model = load(run_folder)
    waveform = make_waveform(20000).astype("<f4")
    starts = [window.start for window in listen(model, stream_blocks(Dribble(waveform.tobytes())), 8000)]
    assert np.diff(starts)[:-1] == pytest.approx(min(0.5, model.info.window_seconds / 2), abs=1e-3)


def test_a_hop_that_leaves_parts_of_a_recording_out_warns(run_folder):
    model, waveform = load(run_folder), make_waveform(20000)
    window = model.info.window_seconds
    assert len(list(model.predict_windows(waveform, 8000, window))) == 9
    text = r"hop: 3\.12 s are more than a window of 0\.312 s, so that 90 % of a long recording is in no window"
    with pytest.warns(UserWarning, match=text):
        model.predict_windows(waveform, 8000, 10 * window)
    with pytest.warns(UserWarning, match=text):
        listen(model, iter([waveform]), 8000, 10 * window)


def test_a_stream_is_answered_while_it_runs(run_folder):
    model, given = load(run_folder), []

    def blocks():
        for i in range(10):
            given.append(i)
            yield make_waveform(2000, i)

    answers = listen(model, blocks(), 8000, 0.25)
    assert next(answers).start == 0 and len(given) == 2


def test_bad_streams_are_refused(run_folder):
    model = load(run_folder)
    for seconds in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(EarmarkError, match="hop_seconds = "):
            listen(model, iter(()), 8000, seconds)
        with pytest.raises(EarmarkError, match="hop_seconds = "):
            model.predict_windows(np.ones(800, np.float32), 8000, seconds)
    with pytest.raises(AudioError, match="stream: has NaN or infinite samples as f32le; are --format and --channels"):
        list(stream_blocks(io.BytesIO(np.full(4, np.nan, "<f4").tobytes())))
    for start, kind in ((b"RIFF\x24\0\0\0WAVE", "WAV"), (b"fLaC\0\0\0\x22", "FLAC"), (b"OggS\0\x02\0\0", "Ogg")):
        with pytest.raises(AudioError, match=rf"is a {kind} file, and raw .* ffmpeg -i - -f s16le -ac 2 -ar RATE - "):
            list(stream_blocks(Dribble(start + b"\0" * 40), 2, "s16le"))
    with pytest.raises(AudioError, match="ended without a sample"):
        list(listen(model, stream_blocks(io.BytesIO(b"abc")), 8000))


def test_segments_of_an_array_are_its_windows():
    segments = list(cut_segments([np.arange(10, dtype=np.float32)], 4, 3))
    assert [(s.first, s.n_samples) for s in segments] == [(0, 4), (3, 4), (6, 4)]
