"""Copies at another tempo or pitch: found by their images alone, so that they are a warning and no leak."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from earmark.audio.phase_vocoder import change_tempo
from earmark.audit.alterations import SEMITONES, TEMPOS
from earmark.audit.altered import Altered, Change, alter, find_altered, pack_level
from earmark.audit.audit import audit
from earmark.audit.findings import format_audit, has_leaks, tables
from earmark.audit.fingerprint import FRONT_END, fingerprint_of_level
from earmark.audit.record import AuditError, read_audit
from earmark.cli.main import main
from earmark.config.sections import Options
from earmark.config.suite import SuiteConfig, merge
from earmark.datasets.emodb import read_emodb
from earmark.datasets.manifest import Clip, read_manifest, write_manifest
from earmark.features.log_mel import bin_of, log_mel
from earmark.runs.plan import plan_suite
from earmark.splits.split import Split
from sounds import RATE, SENTENCES, say, scene

librosa = pytest.importorskip("librosa")
BOTH = {"tempos": (0.9, 1.1), "semitones": (-2.0, 2.0)}


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    """Five sounds, and a copy of three of them, two by an independent phase vocoder."""
    folder = tmp_path_factory.mktemp("altered")
    waveforms = {f"s{seed}": scene(seed) for seed in range(5)}
    waveforms["longer"] = 0.3 * librosa.effects.time_stretch(scene(1), rate=0.9)
    waveforms["higher"] = librosa.effects.pitch_shift(scene(2), sr=RATE, n_steps=2)
    waveforms["shorter"] = change_tempo(scene(3), RATE, 1.1)
    for name, waveform in waveforms.items():
        soundfile.write(folder / f"{name}.wav", waveform, RATE)
    return [
        Clip(name, folder / f"{name}.wav", "x", name, 1 if name[0] == "s" and name[1].isdigit() else 2)
        for name in waveforms
    ]


@pytest.fixture(scope="module")
def report(clips):
    return audit(clips, jobs=1, **BOTH)


def tone(hertz: float, seconds: float = 2.0) -> np.ndarray:
    """A tone that becomes louder halfway."""
    time = np.arange(int(seconds * FRONT_END.sample_rate)) / FRONT_END.sample_rate
    return np.where(time < seconds / 2, 0.1, 0.5) * np.sin(2 * np.pi * hertz * time)


@pytest.mark.parametrize("semitones", [-5.0, 3.0])
@pytest.mark.parametrize("hertz", [500.0, 2000.0])
def test_an_image_is_moved_to_the_bin_of_the_new_pitch(hertz, semitones):
    level = alter(log_mel(tone(hertz), FRONT_END), Change(semitones=semitones))
    wanted = bin_of(hertz * 2 ** (semitones / 12), FRONT_END)
    assert level[:, 60].argmax() == pytest.approx(wanted, abs=1)
    assert level.shape == log_mel(tone(hertz), FRONT_END).shape


@pytest.mark.parametrize("tempo", [0.8, 1.25])
def test_an_image_is_stretched_in_time(tempo):
    level = log_mel(tone(1000), FRONT_END)
    altered = alter(level, Change(tempo=tempo))
    steps = [int(np.diff(image.max(axis=0)).argmax()) for image in (level, altered)]
    assert altered.shape[1] == round(level.shape[1] / tempo)
    assert steps[1] == pytest.approx(steps[0] / tempo, abs=2)


def test_copies_are_found_and_nothing_else(report):
    found = {(p.first, p.second): (p.tempo, p.semitones) for p in report.altered}
    assert found.keys() <= {("longer", "s1"), ("higher", "s2"), ("shorter", "s3")} | {
        ("s1", "longer"),
        ("s2", "higher"),
        ("s3", "shorter"),
    }
    changes = {frozenset(pair): change for pair, change in found.items()}
    assert changes[frozenset(("longer", "s1"))] in ((0.9, 0.0), (1.1, 0.0)), "one is the other at either tempo"
    assert changes[frozenset(("higher", "s2"))][0] == 1.0 and abs(changes[frozenset(("higher", "s2"))][1]) == 2.0
    assert len(changes) == 3
    assert report.pairs == [], "no waveform agrees"


def test_takes_of_one_sentence_are_no_copies(real_data):
    """Three actors say the same ten sentences in several emotions, at other speeds and pitches."""
    clips = [clip for clip in read_emodb(real_data / "EmoDB-2s") if clip.group in ("03", "08", "16")]
    assert len(clips) > 150 and audit(clips, tempos=TEMPOS, semitones=SEMITONES).altered == []


def test_a_synthetic_voice_at_another_tempo_is_a_copy():
    """A limit: it says each sentence in the same way, which no image can tell from a phase vocoder."""
    waveforms = [say(sentence, speed) for sentence in SENTENCES[:2] for speed in (1.0, 1.1)]
    levels = [log_mel(waveform.astype(np.float32), FRONT_END) for waveform in waveforms]
    found = find_altered([pack_level(v) for v in levels], [fingerprint_of_level(v) for v in levels], (1.1,), (), jobs=1)
    assert {frozenset((one.first, one.second)) for one in found} == {frozenset((0, 1)), frozenset((2, 3))}


def test_it_is_a_warning_that_names_the_change_and_not_a_proof(report, clips):
    text = format_audit(report)
    assert "copies at another tempo or pitch" in text and " at tempo " in text
    assert re.search(r" by [+-]2 semitones \(correlation ", text)
    assert report.copies == [], "a split may separate them"
    folds = Split(*(tuple(c.clip_id for c in clips if c.fold == k) for k in (1, 3, 2)), kind="folds", fold=2)
    judged = audit(clips, folds, jobs=1, **BOTH)
    assert any(p.crosses == "subsets" for p in judged.altered) and not has_leaks(judged)
    assert "copies at another tempo or pitch across subsets" in format_audit(judged)
    (pairs, *_) = [rows for title, rows in tables(judged) if title.startswith("Pairs")]
    assert len(pairs) == 1 + len(judged.altered)


def test_exact_copies_are_no_copies_at_another_pitch(clips, tmp_path, monkeypatch):
    """Of three exact copies, the pairs with the first are known; the other two were listed again."""
    twin, quiet = tmp_path / "twin.wav", tmp_path / "quiet.wav"
    shutil.copy(clips[0].path, twin)
    soundfile.write(quiet, 0.5 * scene(0), RATE)
    names = {"s0": clips[0].path, "twin": twin, "third": clips[0].path, "quiet": quiet, "s1": clips[1].path}
    same = [Clip(name, path, "x", name) for name, path in names.items()]
    every = [Altered(i, j, Change(semitones=-1.0), 0.5) for i in range(5) for j in range(i)]
    monkeypatch.setattr("earmark.audit.pairs.find_altered", lambda *_: every)
    found = audit(same, jobs=1, semitones=(-1.0,))
    assert {"s0", "twin", "third", "quiet"} == {name for pair in found.pairs for name in (pair.first, pair.second)}
    assert {frozenset((p.first, p.second)) for p in found.altered} == {
        frozenset(("s1", name)) for name in ("s0", "twin", "third", "quiet")
    }


def test_the_file_keeps_them(report, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(report.to_dict()), encoding="utf-8")
    assert read_audit(tmp_path / "a.json").altered == report.altered


def test_the_command_looks_for_them_by_default_and_unites_them(clips, tmp_path, capsys):
    write_manifest(clips, tmp_path / "clips.csv")
    command = ["audit", str(tmp_path / "clips.csv"), "--jobs", "1"]
    main([*command, "--unite-copies", str(tmp_path / "united.csv")])
    assert "longer" in capsys.readouterr().out
    group = {clip.clip_id: clip.group for clip in read_manifest(tmp_path / "united.csv")}
    assert group["longer"] == group["s1"] and group["higher"] == group["s2"] and group["s3"] != group["s1"]
    main([*command, "--tempos", "--semitones", "--speeds"])
    assert "another tempo" not in capsys.readouterr().out


def test_a_split_and_a_suite_name_those_that_they_separate(clips, tmp_path, caplog):
    clips = [replace(clip, label="xy"[int(clip.clip_id in ("s0", "s4", "longer", "higher"))]) for clip in clips]
    write_manifest(clips, tmp_path / "clips.csv")
    main(["audit", str(tmp_path / "clips.csv"), "--jobs", "1", "--json", str(tmp_path / "clips.audit.json")])
    main(["split", str(tmp_path / "clips.csv"), "--kind", "folds", "-o", str(tmp_path / "split")])
    message = "3 pairs of clips are probably copies at another tempo or pitch, and one is trained on where the other is"
    assert message in caplog.text
    caplog.clear()
    data = {"dataset": "manifest", "root": str(tmp_path / "clips.csv")}
    suite = merge(SuiteConfig(), {"data": data, "split": {"kind": "folds"}, "front_end": {"n_fft": 1024}})
    plan_suite(suite, Options(work=tmp_path / "work", runs=tmp_path / "runs"))
    assert caplog.text.count(message) == 1
    caplog.clear()
    united, audited = tmp_path / "united.csv", tmp_path / "united.audit.json"
    main(["audit", str(tmp_path / "clips.csv"), "--jobs", "1", "--json", str(audited), "--unite-copies", str(united)])
    main(["split", str(united), "--n-folds", "2", "-o", str(tmp_path / "split")])
    assert "probably copies" not in caplog.text


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"tempos": (1.0,)}, "tempos = 1: give 0.5 to 2, not 1"),
        ({"semitones": (0.0,)}, "semitones = 0: give -12 to 12, not 0"),
        ({"semitones": (2.0,), "images": "png"}, "semitones: are for recordings"),
    ],
)
def test_alterations_that_mean_nothing_are_refused(clips, how, message):
    with pytest.raises(AuditError, match=message):
        audit(clips, jobs=1, **how)


def test_a_recording_of_one_sample_and_silence_stop_nothing(clips, tmp_path):
    soundfile.write(tmp_path / "click.wav", np.full(1, 0.5), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    more = [Clip(name, tmp_path / f"{name}.wav", "x", name) for name in ("click", "silent")]
    found = audit([clips[1], clips[5], *more], jobs=1, **BOTH)
    assert {frozenset((p.first, p.second)) for p in found.altered} == {frozenset(("longer", "s1"))}
