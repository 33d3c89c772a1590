"""Runs of a suite as one calibrated model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from deploy_audio import SLANEY, WINDOW_FRAMES, make_waveform
from earmark.config.sections import ModelConfig, SplitConfig
from earmark.config.suite import RunConfig
from earmark.deploy.choices import Choices
from earmark.deploy.export import build_graphs, write_onnx
from earmark.deploy.finalize import _all_recordings, expected_score, finalize
from earmark.deploy.hub import stage
from earmark.deploy.info import DeployError, ModelInfo
from earmark.deploy.measure import measure_here
from earmark.deploy.model import load
from earmark.deploy.torch_engine import load_networks
from earmark.runtime.errors import EarmarkError
from run_folders import NAMES, make_clips, make_probs, write_run

FLOOR_HEADER = "fold,clip_id,majority,band_statistics,shortcuts"


@pytest.fixture(scope="module")
def suite(tmp_path_factory) -> Path:
    """Three folds and two seeds whose probabilities are too sure."""
    import torch

    from earmark.models.create import create_model
    from earmark.training.checkpoint import CheckpointMetadata, write_checkpoint

    runs = tmp_path_factory.mktemp("runs")
    clips = make_clips(n_folds=3)
    for fold in (1, 2, 3):
        for seed in (1, 2):
            test = [clip for clip in clips if clip.fold == fold]
            probs = make_probs(test, seed=10 * fold + seed) ** 8
            probs /= probs.sum(axis=1, keepdims=True)
            folder = write_run(runs, RunConfig(name="s", variant="base", fold=fold, seed=seed), clips, probs)
            torch.manual_seed(fold)
            recordings = ("0" * 16, f"{fold}" * 16)
            metadata = CheckpointMetadata(
                ModelConfig(), NAMES, 32, WINDOW_FRAMES, SLANEY, f"run{fold}", 1, recordings=recordings
            )
            write_checkpoint(folder / "last.safetensors", create_model("baseline_cnn", len(NAMES), 32), metadata)
    return runs


@pytest.fixture(scope="module")
def finalized(suite, tmp_path_factory):
    folder = tmp_path_factory.mktemp("final") / "model"
    return folder, finalize(suite, folder, choices=Choices(unknown=False))


def test_ensemble_is_the_calibrated_mean_of_the_logits(finalized, suite):
    folder, done = finalized
    waveform = make_waveform(2400)
    members = [load(run / "last.safetensors") for run in sorted((suite / "s").glob("base-fold*-seed1-*"))]
    assert len(members) == 3
    logits = np.mean([np.log(member.predict(waveform, 8000).probs) for member in members], axis=0)
    expected = done.info.probabilities(logits[None])[0]
    model = load(folder)
    np.testing.assert_allclose(model.predict(waveform, 8000).probs, expected, atol=1e-5)
    assert model.info == done.info
    assert model.info.recordings == ("0" * 16, "1" * 16, "2" * 16, "3" * 16), "of all members"
    assert model.embed(waveform, 8000).shape == (3 * 320,)


def test_calibration_softens_what_was_too_sure(finalized):
    _, done = finalized
    assert done.calibration.calibration.temperature > 1.5
    assert done.calibration.log_loss_after < done.calibration.log_loss_before


def test_expected_score_is_that_of_all_out_of_fold_predictions(finalized, suite):
    from earmark.analysis.records import read_runs

    records = [record for record in read_runs(suite) if record.config.seed == 1]
    right = np.concatenate([record.probs.argmax(axis=1) == record.targets for record in records])
    score = finalized[1].info.expected_score
    assert (score.value, score.n_clips) == (pytest.approx(right.mean()), len(right))
    assert "3 folds, 1 seed" in score.sentence()


@pytest.mark.parametrize(("floor", "remark"), [("labels", "is better"), ("own", "it is not shown to beat")])
def test_an_expected_score_names_what_needs_no_network(suite, tmp_path, floor, remark):
    from earmark.analysis.records import read_runs

    runs = shutil.copytree(suite, tmp_path / "runs")
    records = [record for record in read_runs(runs) if record.config.seed == 1]
    names, folder = records[0].class_names, records[0].folder.parent
    own = {i: names[k] for r in records for i, k in zip(r.clip_ids, r.predictions.tolist(), strict=True)}
    rows = [
        f"{c.fold},{c.clip_id},{names[0]},{c.label if floor == 'labels' else own[c.clip_id]},{names[0]}"
        for c in make_clips(n_folds=3)
    ]
    (folder / "floor.csv").write_text("\n".join([FLOOR_HEADER, *rows]), encoding="utf-8")
    (folder / "floor.json").write_text('{"missing": {}}', encoding="utf-8")
    score = "100.0" if floor == "labels" else "85.4"
    assert expected_score(records).source.endswith(f"; band statistics without a network: {score} %, which {remark}")


def test_ensemble_exports_with_its_calibration(finalized, tmp_path):
    folder, _ = finalized
    exported = load(write_onnx(build_graphs(load_networks(folder)), tmp_path / "m.onnx")[0])
    waveform = make_waveform(5000)
    expected = load(folder).predict(waveform, 8000)
    np.testing.assert_allclose(exported.predict(waveform, 8000).probs, expected.probs, atol=1e-4)


def test_files_hold_no_optimizer_and_a_damaged_folder_is_refused(finalized, tmp_path):
    folder, done = finalized
    assert {path.name for path in folder.iterdir()} == {"model.json", "README.md", *done.members}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert done.info.expected_score.sentence() in card and done.info.checksum in card
    (tmp_path / "model.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DeployError, match="is damaged"):
        load(tmp_path)


def test_a_network_that_was_exchanged_is_noticed_and_an_older_folder_is_read(finalized, tmp_path):
    folder = shutil.copytree(finalized[0], tmp_path / "model")
    first, second, *_ = finalized[1].members
    shutil.copy(folder / first, folder / second)
    with pytest.raises(DeployError, match=r"model\.json: the networks beside it are not those that it describes"):
        load(folder)
    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    described.pop("digests")
    (folder / "model.json").write_text(json.dumps(described), encoding="utf-8")
    load(folder)


def test_a_folder_of_a_later_format_is_refused(finalized, tmp_path):
    folder = shutil.copytree(finalized[0], tmp_path / "model")
    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    for later in (described | {"format_version": 99}, {"format_version": 99}):
        (folder / "model.json").write_text(json.dumps(later), encoding="utf-8")
        with pytest.raises(DeployError, match=r"model\.json: format_version = 99 is newer than this earmark; upgrade"):
            load(folder)


def test_recordings_are_not_known_where_one_network_does_not_say_its_own():
    infos = [ModelInfo(NAMES, SLANEY, 9, "x", recordings=recordings) for recordings in (("a",), ("b", "a"), ())]
    assert _all_recordings(infos[:2]) == ("a", "b")
    assert _all_recordings(infos) == ()


def test_the_model_of_another_variant_is_not_replaced(finalized, suite, tmp_path):
    folder = shutil.copytree(finalized[0], tmp_path / "model")
    assert "variant base" in (folder / "README.md").read_text(encoding="utf-8")
    finalize(suite, folder, choices=Choices(unknown=False, seed=2))
    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (folder / "model.json").write_text(json.dumps(described | {"variant": "frozen"}), encoding="utf-8")
    with pytest.raises(DeployError, match="holds the model of variant 'frozen'; give another folder, or --force"):
        finalize(suite, folder, choices=Choices(unknown=False))


@pytest.mark.parametrize("key", ["settings_id", "manifest_digest"])
def test_the_model_of_other_runs_is_replaced_by_force_alone_and_leaves_no_networks(finalized, suite, tmp_path, key):
    folder = shutil.copytree(finalized[0], tmp_path / "model")
    shutil.copy(folder / "fold1.safetensors", folder / "fold9.safetensors")
    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    described |= {key: "another", "members": [*described["members"], "fold9.safetensors"]}
    (folder / "model.json").write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(DeployError, match="holds the model of runs with other settings or recordings; give another"):
        finalize(suite, folder, choices=Choices(unknown=False))
    assert (folder / "fold9.safetensors").is_file()
    done = finalize(suite, folder, choices=Choices(unknown=False, force=True))
    assert sorted(path.name for path in folder.glob("*.safetensors")) == sorted(done.members)


def test_force_replaces_a_model_and_nothing_else(suite, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DeployError, match=r"is no model and holds notes\.txt"):
        finalize(suite, tmp_path, choices=Choices(unknown=False, force=True))


@pytest.mark.parametrize(
    ("variant", "choices", "message"),
    [
        ("bas", Choices(), "no such variant; did you mean 'base'"),
        ("base", Choices(seed=9), "seed = 9: no run has it; choose from 1, 2"),
        ("base", Choices(n_seeds=2), "more than 1 with --on-all-clips only"),
        ("base", Choices(false_alarms=0.0), "false-alarms = 0.0: give a share"),
        ("base", Choices(root="nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(suite, tmp_path, variant, choices, message):
    with pytest.raises(EarmarkError, match=message):
        finalize(suite, tmp_path / "model", variant, choices)
    assert not (tmp_path / "model").exists()


def test_points_of_a_learning_curve_are_left_out_and_refused_by_name(suite, tmp_path):
    runs = shutil.copytree(suite, tmp_path / "runs")
    clips, split = make_clips(n_folds=3), SplitConfig(train_fraction=0.5)
    for fold in (1, 2, 3):
        config = RunConfig(name="s", variant="base-train0.5", fold=fold, seed=1, split=split)
        write_run(runs, config, clips, make_probs([clip for clip in clips if clip.fold == fold], seed=fold))
    with pytest.raises(
        DeployError, match=r"'base-train0\.5': was trained on 50 % of the training groups .*; choose or train one"
    ):
        finalize(runs, tmp_path / "model", "base-train0.5")
    assert not (tmp_path / "model").exists()
    assert len(finalize(runs, tmp_path / "model", choices=Choices(unknown=False)).members) == 3


def test_a_folder_that_holds_other_things_loses_nothing(suite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / "fold1.safetensors").touch()  # an interrupted command left it
    finalize(suite, Path(), choices=Choices(unknown=False))
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "notes.txt").write_text("mine", encoding="utf-8")
    finalize(suite, Path(), choices=Choices(unknown=False))  # over the model of the first
    assert (tmp_path / "training" / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert f"# {tmp_path.name.replace('_', chr(92) + '_')}\n" in (tmp_path / "README.md").read_text(encoding="utf-8")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(DeployError, match=r"README\.md: exists and is no model card of earmark"):
        finalize(suite, Path("other"), choices=Choices(unknown=False))
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["README.md"]


def test_runs_and_recordings_are_no_place_for_a_model(suite, tmp_path):
    (tmp_path / "rec").mkdir()
    (tmp_path / "rec" / "a.wav").touch()
    for folder, name in ((suite, "s"), (tmp_path / "rec", r"a\.wav")):
        before = sorted(path.name for path in folder.iterdir())
        with pytest.raises(DeployError, match=rf"is no model and holds {name}.*; give a new folder"):
            finalize(suite, folder, choices=Choices(unknown=False))
        assert sorted(path.name for path in folder.iterdir()) == before


def test_what_an_earlier_model_left_is_not_uploaded_or_counted(finalized, tmp_path):
    folder, done = finalized
    shutil.copytree(folder, tmp_path / "model")
    for name in ("fold9.safetensors", "references.safetensors"):
        shutil.copy(folder / done.members[0], tmp_path / "model" / name)
    (tmp_path / "staged").mkdir()
    stage(tmp_path / "model", tmp_path / "staged", "model")
    assert {path.name for path in (tmp_path / "staged").iterdir()} == {"model.json", "README.md", *done.members}
    soundfile.write(tmp_path / "a.wav", make_waveform(2400), 8000)
    cost = measure_here(tmp_path / "model", [tmp_path / "a.wav"], 1)
    whole = sum(path.stat().st_size for path in folder.iterdir() if path.name != "README.md")
    assert cost.megabytes == pytest.approx(whole / 1e6)
