"""A finished run is trained again and compared: equal bytes here, a tolerance elsewhere, or why it cannot be."""

import csv
import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import earmark.runs.reproduce
from earmark.cli.main import main
from earmark.config.sections import Options
from earmark.config.suite import RunConfig, SuiteConfig, merge
from earmark.runs.plan import plan_suite
from earmark.runs.reproduce import reproduce
from earmark.runs.suite import run_suite
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import file_digest, write_csv
from earmark.training.checkpoint import digest_weights, load_checkpoint
from run_folders import make_clips, make_probs, write_run


def silent(text: str) -> None:
    """Takes the lines of the epochs."""


def suite_on(recordings, **settings):
    """Two folds of the tones, on small images."""
    content = {
        "data": {"dataset": "folder", "root": str(recordings)},
        "front_end": {"n_fft": 256, "hop_length": 64, "n_mels": 32},
        "split": {"kind": "group_kfold", "n_folds": 2},
    }
    return merge(merge(SuiteConfig(), content), settings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tones):
    """A finished run on its own copy of the recordings, and its repetition: its folder, recordings and output."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(tones, folder / "tones")
    settings = {"augment": {"freq_mask_bins": 4}, "train": {"epochs": 2, "batch_size": 4}}
    suite = suite_on(folder / "tones", name="tones", split={"val_ratio": 0.3}, **settings).only("", 1, 1)
    plan = plan_suite(suite, Options(runs=folder / "runs", work=folder / "work", device="cpu", threads=1))
    assert run_suite(plan, Options(device="cpu", threads=1)) == {}
    found = reproduce(plan.runs[0].folder, folder / "again", log=silent)
    return plan.runs[0].folder, found, folder


def edit(path, **changes):
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | changes), encoding="utf-8")


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the run that a test may change."""
    return shutil.copytree(trained[0], tmp_path / "runs" / "tones" / trained[0].name)


def test_a_run_trained_again_has_the_same_bytes(trained):
    run, found, _ = trained
    assert found.same_bytes and found.same(0.0) and found.changes == () and found.distance == 0
    assert found.folder != run and found.folder.name == run.name
    assert [line.split(":")[0] for line in found.lines] == [
        "best.safetensors", "last.safetensors", "history.csv", "predictions.csv",
    ]  # fmt: skip
    assert all("the same" in line for line in found.lines)


def test_the_id_of_the_run_can_be_omitted(trained):
    run, _, folder = trained
    short = run.with_name(run.name.rpartition("-")[0])
    assert not short.exists()
    assert reproduce(short, folder / "again", log=silent).same_bytes


def test_a_run_records_versions_processor_threads_seed_and_digests(trained):
    run = trained[0]
    timing, result, config = (
        json.loads((run / f"{name}.json").read_text(encoding="utf-8")) for name in ("timing", "result", "config")
    )
    assert timing["threads"] == 1 and timing["processes"] == 1 and timing["device"] == "cpu"
    assert timing["processor"] and timing["platform"]
    assert {"earmark", "python", "torch", "numpy", "scipy", "soundfile", "soxr", "pillow"} <= set(timing["versions"])
    assert config["run"]["seed"] == 1 and config["run"]["split"]["seed"] >= 0
    assert result["digests"]["data"] == config["data_fingerprint"]
    assert result["digests"]["predictions"] == file_digest(run / "predictions.csv")
    assert result["digests"]["weights"] == digest_weights(load_checkpoint(run)[0])


def test_one_changed_bit_is_found_with_status_1(trained, copy, capsys):
    _, _, folder = trained
    path = copy / "last.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    name = next(name for name in tensors if name.startswith("model.") and tensors[name].is_floating_point())
    tensors[name].view(torch.int32).view(-1)[0] ^= 1
    save_file(tensors, path, metadata)
    with pytest.raises(SystemExit, match="1"):
        main(["reproduce", str(copy), "-o", str(folder / "again")])
    printed = capsys.readouterr().out
    assert "last.safetensors: 1 of" in printed and "tensors differ, by at most" in printed
    assert "best.safetensors: the same" in printed
    assert "differs: on the same platform" in printed


def test_it_takes_as_many_threads_as_the_run_had(trained, copy, tmp_path, monkeypatch):
    edit(copy / "timing.json", threads=3)
    taken = []
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    monkeypatch.setattr(earmark.runs.reproduce, "train_and_evaluate", lambda *_: taken.append("trained"))
    with pytest.raises(EarmarkError, match="no such folder"):
        reproduce(copy, tmp_path / "again", log=silent)
    assert taken == [3, "trained"]


def test_on_other_versions_a_tolerance_holds(trained, copy):
    _, _, folder = trained
    with (copy / "predictions.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    rows = [[*row[:4], *(0.9 * float(p) + 0.1 / 3 for p in row[4:])] for row in rows]
    write_csv(copy / "predictions.csv", [header, *rows])
    timing = json.loads((copy / "timing.json").read_text(encoding="utf-8"))
    edit(copy / "timing.json", versions=timing["versions"] | {"torch": "1.0"})
    found = reproduce(copy, folder / "again", log=silent)
    assert found.changes == (f"torch {torch.__version__}, was 1.0",)
    assert not found.same_bytes and 0 < found.distance < 0.05
    assert found.same(0.05) and not found.same(found.distance / 2)
    assert found.verdict(0.05).startswith("same: mean distance") and found.verdict(0.0).startswith("differs: mean")


def refused(run, output, match, **where):
    with pytest.raises(EarmarkError, match=match) as error:
        reproduce(run, output, log=silent, **where)
    assert "\n" not in str(error.value)


def test_what_cannot_be_trained_again_says_why(trained, copy, tmp_path):
    run, _, folder = trained
    shutil.copytree(folder / "tones", tmp_path / "tones")
    changed = next((tmp_path / "tones" / "high").glob("*.wav"))
    content = changed.read_bytes()
    changed.write_bytes(content[:-2] + bytes([content[-2] ^ 1, content[-1]]))
    refused(run, tmp_path / "o", "recordings have changed since .digest", root=str(tmp_path / "tones"))
    changed.unlink()
    refused(run, tmp_path / "o", "1 clip of its split not in the data", root=str(tmp_path / "tones"))
    refused(
        run, tmp_path / "o", "not found at .*; give the recordings it was trained on", root=str(tmp_path / "nowhere")
    )
    refused(run, folder, "where the run itself is")
    refused(run, tmp_path / "o", "not available here", device="cuda:99")
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    edit(copy / "config.json", run=config["run"] | {"train": config["run"]["train"] | {"lr": 0.5}})
    refused(copy, tmp_path / "o", "config.json has been changed")
    (copy / "last.safetensors").unlink()
    refused(copy, tmp_path / "o", "has no last.safetensors to compare with")
    (copy / "result.json").unlink()
    refused(copy, tmp_path / "o", "no finished run .unfinished: 1")
    assert not (tmp_path / "o" / "runs").exists()


def test_imported_runs_are_refused(tmp_path):
    clips = make_clips(2)
    test = [clip for clip in clips if clip.fold == 1]
    run = write_run(tmp_path, RunConfig(name="a"), clips, make_probs(test, 0), imported=True)
    refused(run, tmp_path / "o", "imported")


def test_a_probe_is_fitted_again(tones, tmp_path):
    suite = suite_on(tones, name="probe", probe={"kind": "logistic"}).only("", 1, 1)
    plan = plan_suite(suite, Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1))
    assert run_suite(plan, Options(device="cpu", threads=1)) == {}
    run = plan.runs[0].folder
    found = reproduce(run, tmp_path / "again", log=silent)
    assert found.same_bytes and found.lines == ("predictions.csv: the same 18 clips",)
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    assert result["digests"]["predictions"] == file_digest(found.folder / "predictions.csv")


def test_a_point_of_a_learning_curve_is_trained_for_as_many_epochs_again(tones, tmp_path):
    """Its epochs come from the clips that were left out, which split.json did not name."""
    train = {"epochs": 1, "batch_size": 4}
    suite = suite_on(tones, name="curve", folds=[1], seeds=[1], train=train, train_fractions=[0.5])
    options = Options(tmp_path / "runs", tmp_path / "work", device="cpu", threads=1)
    plan = plan_suite(suite, options)
    (point,) = (run for run in plan.runs if run.config.split.train_fraction < 1)
    assert point.train.epochs > 1
    assert run_suite(plan, options) == {}
    assert reproduce(point.folder, tmp_path / "again", log=silent).same_bytes


def test_two_runs_of_unequal_budgets_are_repeated_in_one_folder(tones, tmp_path):
    """The second was refused, with the remedy to give another name, which `reproduce` does not take."""
    variants = {"short": {"train": {"epochs": 1}}, "long": {"train": {"epochs": 2}}}
    suite = suite_on(tones, name="unequal", folds=[1], seeds=[1], train={"batch_size": 4}, variants=variants)
    options = Options(tmp_path / "runs", tmp_path / "work", device="cpu", threads=1, allow_unequal_budget=True)
    plan = plan_suite(suite, options)
    assert run_suite(plan, options) == {}
    for run in plan.runs:
        assert reproduce(run.folder, tmp_path / "again", log=silent).same_bytes
