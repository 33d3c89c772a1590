"""Plans: nothing is written, finished runs are recognized, and each split is made once."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark.runs.plan
from earmark.cli import training as commands
from earmark.config.sections import ConfigError, FrontEndConfig, Options
from earmark.config.suite import merge
from earmark.config.training import AugmentConfig
from earmark.datasets.manifest import manifest_digest, read_manifest
from earmark.features.log_mel import clip_images
from earmark.features.store import StoreError
from earmark.runs.plan import plan_run, plan_suite, store_name
from earmark.runs.prepare import load_data, prepare_suite
from earmark.runs.suite import run_suite
from earmark.runs.train import select_subsets
from earmark.splits.copies import audit_path
from earmark.splits.make import make_split
from earmark.splits.split import LeakageError


@pytest.fixture
def options(tmp_path) -> Options:
    return Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1)


def test_planning_writes_nothing_and_gives_the_ids_of_the_finished_runs(small_suite, options, tmp_path):
    before = plan_suite(small_suite, options)
    assert list(tmp_path.iterdir()) == []
    assert run_suite(before, options) == {}
    after = plan_suite(small_suite, options)
    assert [run.id for run in after.runs] == [run.id for run in before.runs]
    assert after.missing == []
    fresh = plan_suite(small_suite, dataclasses.replace(options, work=tmp_path / "elsewhere"))
    assert fresh.missing == [], "without the images as well"


@pytest.mark.parametrize("option", ["--dry-run", "--print-commands"])
def test_listing_a_suite_makes_no_spectrogram(tones, tmp_path, monkeypatch, capsys, option):
    monkeypatch.chdir(tmp_path)
    Path("tones.toml").write_text(
        f"data = {{ dataset = 'folder', root = '{tones.as_posix()}' }}\n"
        "front_end = { n_fft = 256, hop_length = 64, n_mels = 32 }\nsplit.n_folds = 2\n",
        encoding="utf-8",
    )
    commands.suite(["tones.toml", option])
    lines = capsys.readouterr().out.splitlines()
    assert sum("to do  " in line or line.startswith("earmark train ") for line in lines) == 2
    made = {path.name for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"}
    assert made == {"tones.toml"} | ({"plan.json"} if option == "--print-commands" else set())


@pytest.mark.parametrize("option", [[], ["--dry-run"], ["--print-commands"]])
@pytest.mark.parametrize(
    ("content", "seen_in_header"),
    [(b"", True), (b"RIFF and no more", True), ((np.nan, np.nan), False)],
    ids=["empty", "no audio", "nan"],
)
def test_a_suite_with_a_bad_recording_has_no_plan(tones, tmp_path, monkeypatch, option, content, seen_in_header):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tones, "tones")
    bad = next(Path("tones").rglob("*.wav"))
    if isinstance(content, bytes):
        bad.write_bytes(content)
    else:
        soundfile.write(bad, np.array(content), 8000, subtype="FLOAT")
    Path("tones.toml").write_text(
        "data = { dataset = 'folder', root = 'tones' }\nsplit.n_folds = 2\n"
        "front_end = { sample_rate = 8000, n_fft = 256, hop_length = 64, n_mels = 32 }\n",
        encoding="utf-8",
    )
    if option and not seen_in_header:
        commands.suite(["tones.toml", *option])
    else:
        with pytest.raises(StoreError, match=rf"1 of \d+ recordings cannot be used:\naudio .*{bad.name}: "):
            commands.suite(["tones.toml", *option])
        assert not Path("runs").exists()


def test_an_audit_of_the_manifest_of_a_data_set_is_a_gate(small_suite, options):
    plan = plan_suite(small_suite, options)
    prepare_suite(plan)
    (data,) = plan.data.values()
    manifest = data.store.folder.parent / "clips.csv"
    test, train = plan.runs[0].split.test[0], plan.runs[0].split.train[0]
    assert manifest_digest(read_manifest(manifest)) == manifest_digest(data.clips)
    audit = {"manifest_digest": manifest_digest(data.clips), "copies": [[test, train]]}
    audit_path(manifest).write_text(json.dumps(audit), encoding="utf-8")
    with pytest.raises(LeakageError, match="same audio"):
        plan_suite(small_suite, options)


def test_ids_are_those_of_the_first_version(small_suite, options, tones, tmp_path):
    """The fingerprint of a store that is planned is that of the store that is made."""
    plan = plan_suite(small_suite, options)
    (planned,) = plan.data.values()
    prepare_suite(plan)
    (made,) = plan_suite(small_suite, options).data.values()
    ids = [clip.clip_id for clip in planned.clips]
    assert planned.store.fingerprint(ids) == made.store.fingerprint(ids)
    assert {entry.content for entry in made.store.index.values()} == {e.content for e in planned.store.index.values()}


@pytest.mark.parametrize("changed", ["group", "label"])
def test_corrected_clips_make_another_run(small_suite, options, changed):
    """Old predictions name the old group of each clip, and intervals are over groups."""
    plan = plan_suite(small_suite, options)
    run, (data,) = plan.runs[0], plan.data.values()
    clips = [
        dataclasses.replace(clip, **{changed: "other"}) if clip.clip_id == run.split.test[0] else clip
        for clip in data.clips
    ]
    again = plan_run(run.config, dataclasses.replace(data, clips=tuple(clips)), run.split, options.runs)
    assert again.id != run.id
    assert plan_run(run.config, data, run.split, options.runs).id == run.id


def test_the_content_of_unchanged_files_is_not_read_again(small_suite, options, monkeypatch):
    prepare_suite(plan_suite(small_suite, options))
    monkeypatch.setattr("earmark.features.store_tasks._content", lambda path: pytest.fail(f"{path} was read"))
    plan_suite(small_suite, options)


def test_missing_recordings_are_listed(small_suite, options, tones, tmp_path):
    manifest = tmp_path / "clips.csv"
    rows = [f"c{i},{tmp_path / 'none'}{i}.wav,{'ab'[i % 2]},g{i},,1" for i in range(6)]
    manifest.write_text("\n".join(["clip_id,path,label,group,fold,duration", *rows]) + "\n", encoding="utf-8")
    content = {"data": {"dataset": "manifest", "root": str(manifest)}, "front_end": {"sample_rate": 8000}}
    with pytest.raises(StoreError, match=r"(?s)6 of 6 recordings cannot be used:.*none0.*none5"):
        plan_suite(merge(small_suite, content), options)


def test_recordings_that_change_between_plan_and_training_are_refused(small_suite, options, tones, tmp_path):
    copy = tmp_path / "copy"
    for path in tones.rglob("*.wav"):
        (copy / path.parent.name).mkdir(parents=True, exist_ok=True)
        (copy / path.parent.name / path.name).write_bytes(path.read_bytes())
    plan = plan_suite(merge(small_suite, {"data": {"root": str(copy)}}), options)
    (copy / "low" / "l00.wav").write_bytes((copy / "low" / "l01.wav").read_bytes())
    os.utime(copy / "low" / "l00.wav", ns=(1, 1))
    with pytest.raises(StoreError, match="recordings have changed just now; run the command again"):
        run_suite(plan, options)


def test_each_split_is_made_once(small_suite, options, monkeypatch):
    made = []

    def counted(clips, config, fold, *rest):
        made.append(fold)
        return make_split(clips, config, fold, *rest)

    monkeypatch.setattr(earmark.runs.plan, "make_split", counted)
    plan = plan_suite(merge(small_suite, {"seeds": [1, 2, 3]}), options)
    assert len(plan.runs) == 12
    assert sorted(made) == [1, 2]


@pytest.mark.parametrize("change", [{"name": ".."}, {"variant": "a/b"}, {"variant": "con"}])
def test_a_run_cannot_be_planned_outside_the_folder_of_runs(small_suite, tmp_path, change):
    plan = plan_suite(small_suite, Options(runs=tmp_path / "runs", work=tmp_path / "work"))
    run = plan.runs[0]
    with pytest.raises(ConfigError, match=f"^{next(iter(change))} = "):
        plan_run(dataclasses.replace(run.config, **change), plan.data_of(run), run.split, tmp_path / "runs")


def test_two_definitions_of_a_name_do_not_share_an_image(small_suite, options):
    """They wrote to one file, so that both variants were trained on the images of the second."""

    def hiss(snr_db):
        definitions = {"hiss": {"function": "add_noise", "snr_db": snr_db}}
        return {"augment": {"waveform": ["hiss"], "waveform_definitions": definitions}}

    two = merge(dataclasses.replace(small_suite, variants={}), {"variants": {"soft": hiss(40.0), "loud": hiss(-20.0)}})
    plan = plan_suite(two, dataclasses.replace(options, allow_unequal_budget=True))
    prepare_suite(plan)
    levels = {}
    for run in plan.runs:
        data, augment = plan.data_of(run), run.config.augment
        images = load_data(run.config, data)
        assert select_subsets(run, data, images)["train"].choices.shape == (len(run.split.train), 2)
        clip = data.clips[0]
        made = dict(clip_images(clip.path, data.store.front_end, augment.waveform_definitions, clip.clip_id))
        image = data.store.read(clip.clip_id, "hiss")
        np.testing.assert_array_equal(image, made["hiss"].image)
        levels[run.config.variant] = image.mean()
    assert levels["loud"] > levels["soft"] + 20


def test_only_definitions_that_are_used_and_not_the_usual_ones_have_a_folder_of_their_own():
    front_end = FrontEndConfig(sample_rate=8000)
    usual = store_name(front_end, AugmentConfig())
    noisy = {"noisy": {"function": "add_noise", "snr_db": 25.0}}
    for augment in (AugmentConfig(("noisy",), noisy), AugmentConfig((), {"hall": {"function": "add_reverb"}})):
        assert store_name(front_end, augment) == usual
    loud = {"noisy": {"function": "add_noise", "snr_db": 0.0}}
    assert store_name(front_end, AugmentConfig(("noisy",), loud)).startswith(f"{usual}-")
