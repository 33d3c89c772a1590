"""One run, from recordings to result.json: its files, that it can be resumed, that it is deterministic."""

import contextlib
import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

import earmark.runs.train
from earmark.config.sections import ConfigError, Options
from earmark.config.suite import merge, run_from_dict
from earmark.config.training import TrainConfig
from earmark.datasets.manifest import Clip
from earmark.datasets.read import read_dataset
from earmark.deploy.model import load
from earmark.deploy.predict import predict
from earmark.features.windows import window_frames
from earmark.runs.evaluate import write_gallery
from earmark.runs.plan import data_folder, plan_data, plan_run, plan_suite
from earmark.runs.prepare import load_data, prepare_data
from earmark.runs.suite import run_suite
from earmark.runs.train import BusyError, best_epoch, is_last, select_subsets, train_and_evaluate
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import file_digest
from earmark.splits.make import make_split
from earmark.splits.split import LeakageError
from earmark.training.batches import MemoryImages, Subset
from earmark.training.checkpoint import load_checkpoint, write_checkpoint
from earmark.training.checkpoint_files import CheckpointError

CPU = torch.device("cpu")


@pytest.fixture
def config(small_suite):
    return small_suite.run("plain", fold=1, seed=1)


def prepared(config, folder):
    """The data of a run, with their images made below `folder`."""
    data = plan_data(config, read_dataset(config.data), data_folder(config.data, folder / "work"))
    prepare_data(config, data, jobs=1)
    return data


def planned(config, data, folder, allow_leakage=False):
    """The run of a config, in its folder below `folder`."""
    split = make_split(data.clips, config.split, config.fold, allow_leakage)
    return plan_run(config, data, split, folder / "runs")


def run_once(config, folder):
    """Train and evaluate one run below `folder`, and return it."""
    data = prepared(config, folder)
    run = planned(config, data, folder)
    train_and_evaluate(run, data, load_data(config, data), CPU, log=lambda text: None)
    return run


def without_seconds(run):
    """The checkpoint's tensors and the other results: everything but the clock."""
    model, _ = load_checkpoint(run.folder)
    return [t.numpy().tobytes() for t in model.state_dict().values()], [
        (run.folder / name).read_bytes() for name in ("result.json", "predictions.csv", "split.csv", "config.json")
    ]


def test_a_checkpoint_names_the_files_that_trained_it_and_selected_its_epoch(finished, tones):
    digest_of = {clip.clip_id: file_digest(clip.path) for clip in read_dataset(finished.config.data)}
    used = {*finished.split.train, *finished.split.valid}
    _, metadata = load_checkpoint(finished.folder)
    assert metadata.recordings == tuple(sorted({digest_of[clip_id] for clip_id in used}))
    assert not {digest_of[clip_id] for clip_id in finished.split.test} & {*metadata.recordings}


def test_a_checkpoint_names_the_files_of_the_weights_that_it_started_from(config, tmp_path):
    first = run_once(merge(config, {"split": {"train_fraction": 0.5}}), tmp_path)
    again = merge(config, {"model": {"weights": str(first.folder / "last.safetensors")}})
    second = run_once(again, tmp_path / "second")
    digests = [set(load_checkpoint(run.folder)[1].recordings) for run in (first, second)]
    assert digests[0] <= digests[1] and len(digests[1]) > len(digests[0])

    silent = tmp_path / "silent.safetensors"
    network, metadata = load_checkpoint(first.folder)
    write_checkpoint(silent, network, dataclasses.replace(metadata, recordings=()))
    third = run_once(merge(again, {"model": {"weights": str(silent)}}), tmp_path / "third")
    assert load_checkpoint(third.folder)[1].recordings == (), "what trained its weights is not known"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tones):
    """A finished run, shared by the tests that only look at it."""
    from earmark.config.suite import SuiteConfig

    content = {
        "data": {"dataset": "folder", "root": str(tones)},
        "front_end": {"n_fft": 256, "hop_length": 64, "n_mels": 32},
        "split": {"kind": "group_kfold", "n_folds": 3, "val_ratio": 0.2},
        "augment": {"freq_mask_bins": 4, "mixup_alpha": 0.0},
        "train": {"epochs": 16, "batch_size": 4},
    }
    return run_once(merge(SuiteConfig(), content).run("base", fold=1, seed=1), tmp_path_factory.mktemp("finished"))


def test_a_run_leaves_what_the_architecture_page_says(finished):
    names = {path.name for path in finished.folder.iterdir()}
    assert names >= {
        "config.json", "split.csv", "split.json", "history.csv", "best.safetensors", "last.safetensors",
        "predictions.csv", "result.json", "timing.json",
    }  # fmt: skip
    assert any(name.startswith("events.out") for name in names)
    assert not any(name.endswith(".tmp") for name in names)
    content = json.loads((finished.folder / "config.json").read_text(encoding="utf-8"))
    assert run_from_dict(content["run"]) == finished.config
    assert content["class_names"] == ["<script>", "high", "low"]
    assert finished.folder.name == f"base-fold1-seed1-{content['id']}"


def test_the_result_is_that_of_the_predictions(finished):
    result = json.loads((finished.folder / "result.json").read_text(encoding="utf-8"))
    with (finished.folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["clip_id"] for row in rows) == sorted(finished.split.test)
    right = np.mean([row["label"] == row["prediction"] for row in rows])
    assert result["metrics"]["accuracy"] == pytest.approx(right)
    assert result["metrics"]["accuracy"] > 0.6, "three octaves can be told apart"
    assert result["n_clips"] == len(rows)
    assert result["selected_on"] == "valid"
    assert result["reported_subset"] == "test"
    assert result["format_version"] == 2 and result["macs"] > 0


def test_the_best_epoch_on_valid_is_kept(finished):
    result = json.loads((finished.folder / "result.json").read_text(encoding="utf-8"))
    with (finished.folder / "history.csv").open(encoding="utf-8", newline="") as file:
        history = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert [row["epoch"] for row in history] == list(range(1, 17))
    best = max(history, key=lambda row: (row["valid_uar"], -row["valid_loss"]))
    assert result["kept_epoch"] == best["epoch"]
    assert best_epoch(({"epoch": 1, "valid_uar": None, "valid_loss": None},)) == 0


def assert_predicts_what_was_scored(folder, clips):
    """`predict` on the recordings of the test subset gives the probabilities in the run folder."""
    by_id = {clip.clip_id: clip for clip in clips}
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    model = load(folder)
    predictions = list(predict(model, [by_id[row["clip_id"]].path for row in rows]))
    for row, prediction in zip(rows, predictions, strict=True):
        scored = [float(row[f"prob:{name}"]) for name in model.class_names]
        np.testing.assert_allclose(prediction.probs, scored, atol=1e-5)


def test_predict_gives_the_probabilities_that_training_scored(finished):
    assert_predicts_what_was_scored(finished.folder, read_dataset(finished.config.data))


@pytest.fixture(scope="module")
def real_suite(real_data, tmp_path_factory):
    """Sixty recordings of three folds of ESC-10, with those that are not five seconds long; a coarse front end."""
    from earmark.config.suite import SuiteConfig
    from earmark.datasets.esc50 import read_esc50
    from earmark.datasets.manifest import write_manifest

    clips = [clip for clip in read_esc50(real_data / "ESC-10", esc10=True) if clip.fold in (1, 2, 3)]
    odd = [clip for clip in clips if abs(clip.duration - 5) > 0.01]
    assert len({round(clip.duration, 2) for clip in odd}) > 2
    path = tmp_path_factory.mktemp("real") / "clips.csv"
    write_manifest([*odd, *[clip for clip in clips if clip not in odd][:: len(clips) // 60]], path)
    content = {
        "data": {"dataset": "manifest", "root": str(path)},
        "front_end": {"hop_length": 1024, "n_mels": 32},
        "split": {"kind": "folds"},
        "augment": {"freq_mask_bins": 4},
        "train": {"epochs": 1, "batch_size": 8},
    }
    return merge(SuiteConfig(), content)


def test_predict_gives_the_probabilities_of_training_on_real_recordings(real_suite, tmp_path):
    run = run_once(real_suite.run("base", fold=1, seed=1), tmp_path)
    assert_predicts_what_was_scored(run.folder, read_dataset(run.config.data))


def test_a_random_split_of_real_recordings_is_refused(real_data, tmp_path):
    from earmark.config.sections import SplitConfig
    from earmark.datasets.esc50 import read_esc50
    from earmark.splits.make import make_split

    clips = read_esc50(real_data / "ESC-10", esc10=True)
    train = set(np.random.default_rng(0).permutation(400)[:320].tolist())
    for part, inside in (("train", True), ("test", False)):
        with (tmp_path / f"{part}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["filepath", "label"])
            rows.writerows([c.path.name, c.label] for i, c in enumerate(clips) if (i in train) is inside)
    with pytest.raises(LeakageError, match="group"):
        make_split(clips, SplitConfig(kind="files", path=str(tmp_path)), fold=1)


def test_tensorboard_has_scalars_confusion_and_settings(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished.folder))
    events.Reload()
    tags = events.Tags()
    assert {"train/loss", "valid/uar", "test/accuracy"} <= set(tags["scalars"])
    assert len(events.Scalars("train/loss")) == 16
    assert "test/confusion" in tags["images"]


def test_two_runs_give_the_same_bytes(config, tmp_path):
    first, second = (run_once(config, tmp_path / name) for name in ("a", "b"))
    assert without_seconds(first) == without_seconds(second)


def test_what_a_killed_process_has_left_is_removed_when_the_run_is_trained(tmp_path):
    left = [tmp_path / "last.safetensors.0a1b2c.9.3d4e5f.tmp", tmp_path / "gallery" / "a.png.0a1b2c.9.3d4e5f.tmp"]
    (tmp_path / "gallery").mkdir()
    for path in left:
        path.touch()
    with earmark.runs.train.locked(tmp_path):
        assert not [path for path in left if path.exists()]


OPTIONS = {
    "train": {
        "epochs": 4, "patience": 4, "ema_decay": 0.8, "n_shifts": 3,
        "sampler": "class_group_balanced", "focal_gamma": 2.0,
    },
    "augment": {"freq_mixstyle_alpha": 0.4},
    "split": {"val_ratio": 0.3},
}  # fmt: skip


@pytest.mark.parametrize("changes", [{"train": {"epochs": 4}}, OPTIONS], ids=["plain", "options"])
def test_an_interrupted_run_is_resumed_and_ends_the_same(config, tmp_path, monkeypatch, changes):
    monkeypatch.setattr(earmark.runs.train, "CHECKPOINT_SECONDS", -1.0)
    config = merge(config, changes)
    whole = run_once(config, tmp_path / "whole")

    data = prepared(config, tmp_path / "resumed")
    run = planned(config, data, tmp_path / "resumed")

    def interrupt(text: str) -> None:
        if text.startswith("epoch 2/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_and_evaluate(run, data, load_data(config, data), CPU, log=interrupt)
    assert not run.finished
    lines = []
    train_and_evaluate(run, data, load_data(config, data), CPU, log=lines.append)
    assert lines[0] == "resuming at epoch 3/4"
    assert without_seconds(run) == without_seconds(whole)


@pytest.mark.parametrize("name", ["last.safetensors", "best.safetensors"])
def test_a_checkpoint_of_another_fold_is_neither_resumed_nor_scored(config, tmp_path, name):
    """It may have been trained on these test clips."""
    config = merge(config, {"split": {"n_folds": 3, "val_ratio": 0.2}})
    run = run_once(config, tmp_path)
    (run.folder / "result.json").unlink()
    network, metadata = load_checkpoint(run.folder / name, allow_unfinished=True)
    write_checkpoint(run.folder / name, network, dataclasses.replace(metadata, run_id="0123456789"))
    with pytest.raises(CheckpointError, match=f"is of run 0123456789, not of {run.id}; remove it to train again"):
        run_once(config, tmp_path)
    assert not (run.folder / "result.json").exists()


@pytest.mark.parametrize(("patience", "last"), [(0, 5), (1, 3), (2, 4), (3, 5)])
def test_training_ends_after_patience_without_a_better_epoch(patience, last):
    uars, config = (0.5, 0.7, 0.7, 0.6, 0.6), TrainConfig(epochs=5, patience=patience)
    history = [{"epoch": i, "valid_uar": uar, "valid_loss": 1.0} for i, uar in enumerate(uars, start=1)]
    assert [is_last(history[:n], config) for n in range(6)].index(True) == last


def test_early_stopping_says_what_it_saved_and_is_not_resumed(config, tmp_path):
    changes = {"train": {"epochs": 500, "patience": 1, "lr": 1e-9}, "split": {"val_ratio": 0.3}}
    data = prepared(merge(config, changes), tmp_path)
    run, lines = planned(merge(config, changes), data, tmp_path), []
    train_and_evaluate(run, data, load_data(config, data), CPU, log=lines.append)
    result, timing = (json.loads((run.folder / f"{name}.json").read_text()) for name in ("result", "timing"))
    stopped = result["stopped_epoch"]
    assert stopped == result["kept_epoch"] + 1 < result["epochs"] == 500
    assert lines[-1].startswith(f"stopped after epoch {stopped}/500, which saved ")
    assert timing["saved_seconds"] == pytest.approx(timing["train_seconds"] / stopped * (500 - stopped), rel=0.01)
    (run.folder / "result.json").unlink()  # killed before it was scored
    train_and_evaluate(run, data, load_data(config, data), CPU, log=lambda text: pytest.fail(text, pytrace=False))
    assert json.loads((run.folder / "result.json").read_text()) == result


def test_early_stopping_needs_a_valid_subset(config, tmp_path):
    config = merge(config, {"train": {"patience": 5}})
    with pytest.raises(ConfigError, match=r"train\.patience = 5: there is no valid subset .* split\.val_ratio"):
        planned(config, prepared(config, tmp_path), tmp_path)


def test_a_best_epoch_is_never_later_than_the_last_checkpoint(config, tmp_path, monkeypatch):
    """A run that is resumed on another machine, with other rounding, must keep the weights of its own best epoch."""
    config = merge(config, {"train": {"epochs": 3}, "split": {"val_ratio": 0.3}})
    data = prepared(config, tmp_path)
    run = planned(config, data, tmp_path)

    def interrupt(text: str) -> None:
        if text.startswith("epoch 1/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_and_evaluate(run, data, load_data(config, data), CPU, log=interrupt)
    best, last = (
        load_checkpoint(run.folder / f"{name}.safetensors", allow_unfinished=True)[1].epoch for name in ("best", "last")
    )
    assert best == last == 1


@pytest.mark.parametrize("done", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("decay", [0.0, 0.8])
def test_a_kill_at_any_write_of_a_checkpoint_leaves_a_run_that_ends_the_same(
    config, tmp_path, monkeypatch, done, decay
):
    changes = {"train": {"epochs": 3, "ema_decay": decay}, "split": {"val_ratio": 0.3}}
    config = merge(config, changes)
    whole = run_once(config, tmp_path / "whole")
    monkeypatch.setattr(earmark.runs.train, "CHECKPOINT_SECONDS", -1.0)
    n_writes = 0
    for killed in range(20):
        data = prepared(config, tmp_path / str(killed))
        run, writes = planned(config, data, tmp_path / str(killed)), []

        def write(path, *given, killed=killed, writes=writes):
            writes.append(path.name)
            if len(writes) != killed + 1 or done:
                write_checkpoint(path, *given)
            if len(writes) == killed + 1:
                raise KeyboardInterrupt

        monkeypatch.setattr(earmark.runs.train, "write_checkpoint", write)
        with contextlib.suppress(KeyboardInterrupt):
            train_and_evaluate(run, data, load_data(config, data), CPU, log=lambda text: None)
        monkeypatch.setattr(earmark.runs.train, "write_checkpoint", write_checkpoint)
        if run.finished:
            break
        n_writes += 1
        epochs = {
            name: load_checkpoint(run.folder / f"{name}.safetensors", allow_unfinished=True)[1].epoch
            for name in ("best", "last")
            if (run.folder / f"{name}.safetensors").is_file()
        }
        assert epochs.get("best", 0) <= epochs.get("last", 0)
        train_and_evaluate(run, data, load_data(config, data), CPU, log=lambda text: None)
        assert without_seconds(run) == without_seconds(whole)
    assert n_writes > 3


def test_a_run_that_another_process_finished_meanwhile_is_left_alone(config, tmp_path, monkeypatch):
    data = prepared(config, tmp_path)
    run = planned(config, data, tmp_path)

    @contextlib.contextmanager
    def waited(folder):
        folder.mkdir(parents=True)
        (folder / "result.json").write_text("{}", encoding="utf-8")
        yield

    monkeypatch.setattr(earmark.runs.train, "locked", waited)
    train_and_evaluate(run, None, None, CPU)
    assert [path.name for path in run.folder.iterdir()] == ["result.json"]


@pytest.mark.parametrize("weights", ["{home}/weights.safetensors", "~/weights.safetensors"])
def test_other_weights_in_the_same_file_are_another_run(config, tmp_path, monkeypatch, weights):
    monkeypatch.setenv("HOME", str(tmp_path))
    data = prepared(config, tmp_path)
    config = merge(config, {"model": {"weights": weights.format(home=tmp_path)}})
    ids = set()
    for content in (b"a", b"b"):
        (tmp_path / "weights.safetensors").write_bytes(content)
        ids.add(planned(config, data, tmp_path).id)
    assert len(ids) == 2


def test_a_finished_run_is_left_alone(finished):
    before = {path.name: path.stat().st_mtime_ns for path in finished.folder.iterdir()}
    train_and_evaluate(finished, None, None, CPU)
    assert {path.name: path.stat().st_mtime_ns for path in finished.folder.iterdir()} == before


def test_two_processes_cannot_train_one_run(config, tmp_path):
    from filelock import FileLock

    data = prepared(config, tmp_path)
    run = planned(config, data, tmp_path)
    run.folder.mkdir(parents=True)
    with FileLock(run.folder / ".lock"), pytest.raises(BusyError, match="another process is training there"):
        train_and_evaluate(run, data, None, CPU)


def test_a_leaky_split_is_refused_and_allowed_leakage_is_flagged(config, tmp_path):
    data = prepared(config, tmp_path)
    clips = tuple(dataclasses.replace(clip, group=clip.label) for clip in data.clips)
    leaky = dataclasses.replace(data, clips=clips)
    split = planned(config, data, tmp_path).split
    (tmp_path / "csvs").mkdir()
    for part in ("train", "test"):
        with (tmp_path / "csvs" / f"{part}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["filepath", "label"])
            label_of = {clip.clip_id: clip.label for clip in clips}
            rows.writerows([f"{clip_id}.wav", label_of[clip_id]] for clip_id in getattr(split, part))
    config = merge(config, {"split": {"kind": "files", "path": str(tmp_path / "csvs")}})
    with pytest.raises(LeakageError, match="high"):
        planned(config, leaky, tmp_path)
    run = planned(config, leaky, tmp_path, allow_leakage=True)
    train_and_evaluate(run, leaky, load_data(config, leaky), CPU, log=lambda text: None)
    assert json.loads((run.folder / "result.json").read_text(encoding="utf-8"))["split"]["leaks"]


def test_augmentations_are_used_in_training_only(config, tmp_path):
    config = merge(config, {"augment": {"waveform": ["noisy"]}})
    data = prepared(config, tmp_path)
    images = load_data(config, data)
    run = planned(config, data, tmp_path)
    subsets = select_subsets(run, data, images)
    names = {i: key for key, i in images.index.items()}
    for subset, waveforms in (("train", {"orig", "noisy"}), ("test", {"orig"})):
        keys = {names[i] for i in subsets[subset].choices.ravel()}
        assert {waveform for _, waveform in keys} == waveforms
        assert {clip_id for clip_id, _ in keys} == set(getattr(run.split, subset))


def test_images_from_elsewhere_train_but_their_model_takes_no_audio(config, tmp_path, tones):
    made = prepared(config, tmp_path)
    images = tmp_path / "images"
    images.mkdir()
    for png in made.store.folder.glob("*.png"):
        (images / png.name).write_bytes(png.read_bytes())
    run = run_once(merge(config, {"data": {"images": str(images)}}), tmp_path)
    assert load_checkpoint(run.folder)[1].front_end is None
    with pytest.raises(EarmarkError, match=r"trained on ready-made images .* cannot take audio"):
        load(run.folder)


def test_seconds_of_a_window_need_a_front_end(config, tmp_path):
    data = prepared(config, tmp_path)
    train = select_subsets(planned(config, data, tmp_path), data, load_data(config, data))["train"]
    assert window_frames(0.24, train.n_frames, data.store.front_end) == 30  # 8000 Hz, hop 64: 125 frames a second
    assert window_frames(0, train.n_frames, None) == np.median(train.n_frames)
    with pytest.raises(
        ConfigError, match=r"train\.window_seconds = 0\.24: the hop length of ready-made images is not known"
    ):
        window_frames(0.24, train.n_frames, None)


def test_published_weights_need_the_front_end_that_they_were_trained_with(config, tmp_path):
    config = merge(config, {"model": {"name": "mn04", "weights": "audioset"}})
    with pytest.raises(ConfigError, match=r"front_end\.sample_rate = 8000: mn04 was trained with 32000"):
        planned(config, prepared(config, tmp_path), tmp_path)


def test_run_ids_follow_the_content_of_the_recordings(config, small_suite, tmp_path, tones):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tones, copy)
    moved = merge(config, {"data": {"root": str(copy)}})
    first = planned(config, prepared(config, tmp_path), tmp_path)
    same = planned(moved, prepared(moved, tmp_path), tmp_path)
    assert same.id == first.id, "a moved folder is the same data"
    (copy / "low" / "l00.wav").write_bytes((tones / "low" / "l01.wav").read_bytes())
    changed = planned(moved, prepared(moved, tmp_path), tmp_path)
    assert changed.id != first.id


def test_suite_options_reach_the_run(small_suite, tmp_path):
    options = Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1)
    plan = plan_suite(small_suite.only("plain", fold=2), options)
    assert run_suite(plan, options) == {}
    assert plan.runs[0].finished
    assert plan.runs[0].folder.is_relative_to(tmp_path / "runs" / "tones")


def test_what_a_killed_process_left_is_removed_when_a_run_starts_again(tmp_path):
    (tmp_path / "last.safetensors.0a1b2c.1.3d4e5f.tmp").touch()
    (tmp_path / "last.safetensors").touch()
    with earmark.runs.train.locked(tmp_path):
        assert sorted(p.name for p in tmp_path.iterdir()) == [".holder", ".lock", "last.safetensors"]


def test_the_gallery_shows_clips_that_are_shorter_than_the_window(tmp_path):
    """Your own network may take images of the window alone; the picture is as long as the clip."""
    images = MemoryImages([np.full((8, length), 90, np.uint8) for length in (12, 30)])
    clips = tuple(Clip(name, tmp_path / f"{name}.wav", "a", name) for name in ("short", "long"))
    test = Subset(images, np.arange(2)[:, None], np.zeros(2, np.int64), clips)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, (8, 20)), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    write_gallery(tmp_path / "gallery", network.eval(), test, np.array([[0.1, 0.9], [0.2, 0.8]]), window_frames=20)
    for name, width in (("short", 12), ("long", 30)):
        with Image.open(tmp_path / "gallery" / f"{name}.png") as picture:
            assert picture.size == (width, 8)
