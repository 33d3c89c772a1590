"""The public API: `import earmark` costs nothing, and its functions cover the pipeline."""

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import earmark
from earmark.analysis.tables import terminal_text
from earmark.audit.alterations import SPEEDS
from earmark.audit.findings import format_audit
from earmark.config.sections import Options, SplitConfig
from earmark.datasets.manifest import Clip, write_manifest
from earmark.datasets.read import read_dataset
from earmark.runtime.errors import EarmarkError
from earmark.splits.make import make_split
from run_folders import make_clips, write_suite


def test_importing_earmark_costs_nothing():
    code = "import sys; before = set(sys.modules); import earmark; print(*sorted(set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.split(".")[0] for name in result.stdout.split()}
    assert not imported & {"numpy", "torch", "scipy", "sklearn", "PIL", "soundfile", "tyro"}
    assert {name for name in result.stdout.split() if name.startswith("earmark")} == {"earmark"}


def test_every_public_name_is_an_annotated_function_that_no_folder_replaces():
    import earmark.audit.audit
    import earmark.deploy.predict

    for name in set(earmark.__all__).difference(*earmark._ELSEWHERE.values()):
        function = getattr(earmark, name)
        assert function.__module__ == "earmark", name
        assert "return" in function.__annotations__, name
        assert function.__doc__, name


def test_public_names_of_other_modules_are_those_of_their_modules():
    for module, names in earmark._ELSEWHERE.items():
        for name in names:
            assert getattr(earmark, name).__module__ == module and name in earmark.__all__
    assert issubclass(earmark.LeakageError, earmark.EarmarkError) and earmark.Clip is Clip
    with pytest.raises(AttributeError, match=r"^module 'earmark' has no attribute 'Clips'$"):
        getattr(earmark, "Clips")  # noqa: B009


def test_a_split_takes_all_settings_of_its_section():
    clips = make_clips(20)
    clips = [Clip(c.clip_id, Path(c.filepath), c.label, c.group) for c in clips]
    split = earmark.make_split(clips, n_folds=4, seed=3, val_ratio=0.2)
    assert split.valid and split == make_split(clips, SplitConfig(n_folds=4, seed=3, val_ratio=0.2), 1)
    part = SplitConfig(n_folds=4, seed=3, train_fraction=0.5)
    assert earmark.make_split(clips, n_folds=4, seed=3, train_fraction=0.5) == make_split(clips, part, 1, draw=3)
    with pytest.raises(earmark.EarmarkError, match=r"^split\.val_ratio = 2.0: give 0 to below 1"):
        earmark.make_split(clips, val_ratio=2)


@pytest.mark.parametrize("argument", [{"root": "recordings"}, {"label_column": "species"}, {"group_column": "site"}])
def test_a_manifest_takes_no_arguments_of_a_data_frame(tmp_path, argument):
    write_manifest([Clip("a", tmp_path / "a.wav", "dog", "g")], tmp_path / "clips.csv")
    assert [clip.clip_id for clip in earmark.read_clips(tmp_path / "clips.csv")] == ["a"]
    name, value = *argument, *argument.values()
    with pytest.raises(EarmarkError, match=rf"clips\.csv: .*{name} = '{value}'.* are for a DataFrame; leave them out"):
        earmark.read_clips(str(tmp_path / "clips.csv"), **argument)


def test_the_package_says_that_it_is_typed():
    from importlib.resources import files

    assert (files("earmark") / "py.typed").is_file()


def test_from_a_suite_to_a_prediction(small_suite, tones, tmp_path):
    suite = replace(small_suite, folds=(1,), variants={"plain": {}})
    options = Options(runs=tmp_path / "runs", work=tmp_path / "work", threads=1)
    assert earmark.run_suite(suite, options) == {}
    (variant,) = earmark.aggregate(tmp_path / "runs").variants
    assert (variant.variant, variant.n_runs) == ("plain", 1)

    checkpoint = tmp_path / "runs" / "tones" / "plain-fold1-seed1"
    recording = tones / "high" / "h00.wav"
    (prediction,) = earmark.predict(checkpoint, [recording])
    for path in (str(recording), recording):
        assert [p.probs for p in earmark.predict(checkpoint, path)] == [prediction.probs]
    assert len(earmark.predict(checkpoint, str(recording.parent))) == len(list(recording.parent.glob("*.wav")))
    model = earmark.load(checkpoint)
    label, probability = prediction.best(model.class_names)
    assert model.predict(recording).label == label
    assert model.predict(recording).probability == pytest.approx(probability, abs=1e-5)


def test_an_audit_takes_a_manifest_or_its_clips_and_prints_as_in_the_terminal(small_suite, tmp_path):
    clips = read_dataset(small_suite.data)
    write_manifest(clips, tmp_path / "clips.csv")
    assert earmark.audit_clips(tmp_path / "clips.csv", jobs=1).n_clips == len(clips)
    report = earmark.audit_clips(clips[:8], jobs=1)
    assert report.n_clips == 8
    assert repr(report) == format_audit(report)
    assert earmark.make_split(str(tmp_path / "clips.csv"), n_folds=2) == earmark.make_split(clips, n_folds=2)


def test_an_audit_in_python_compares_the_speeds_of_the_command():
    assert inspect.signature(earmark.audit_clips).parameters["speeds"].default == SPEEDS


def test_several_folders_are_compared_as_by_earmark_compare(tmp_path):
    folders = [write_suite(tmp_path / day, {day: skill}, 3, (1,)) for day, skill in (("monday", 1.0), ("friday", 3.0))]
    both = earmark.aggregate(path for path in map(str, folders))
    assert [v.variant for v in both.variants] == ["friday", "monday"] and len(both.verdicts) == 1
    assert both.name == "monday_toy+friday_toy"
    assert earmark.aggregate(str(folders[0])).name == "toy"
    with pytest.raises(EarmarkError, match="is given twice"):
        earmark.aggregate([folders[0], folders[0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: earmark.SuiteConfig(seeds=42), r"^seeds = 42: give a list \[...\]$"),
        (lambda: earmark.SuiteConfig(seeds="42"), r"^seeds = '42': give a list"),
        (lambda: earmark.SuiteConfig(variants=["se"]), r"^variants = \['se'\]: give a table"),
        (lambda: earmark.SuiteConfig(data="rec"), r"^data = 'rec': give a value of type DataConfig$"),
        (lambda: earmark.DataConfig(dataset="esc11"), r"^data.dataset = 'esc11': no such choice; did you mean 'esc10'"),
        (lambda: earmark.TrainConfig(epochs="3"), r"^train.epochs = '3': give a whole number, without quotes$"),
        (lambda: earmark.TrainConfig(epochs=True), r"^train.epochs = True: give a whole number$"),
        (lambda: earmark.TrainConfig(epochs=2.5), r"^train.epochs = 2.5: give a whole number$"),
        (lambda: earmark.TrainConfig(lr=None), r"^train.lr = None: give a number$"),
        (lambda: earmark.Options(runs=3), r"^runs = 3: give a path$"),
        (lambda: earmark.load(None), r"^model of type NoneType: give the path of a model or run, or hf:REPO$"),
        (lambda: earmark.load(3), r"^model of type int: give the path"),
        (lambda: earmark.predict("m.onnx", None), r"^audio of type NoneType: give the path of a file or folder, or"),
        (lambda: earmark.predict("m.onnx", b"RIFF"), r"^audio of type bytes: give the path"),
        (lambda: earmark.predict("m.onnx", [1.0, 2.0]), r"^audio of type list: give the path"),
        (lambda: earmark.read_folder("nope"), r"^nope: no such folder$"),
        (lambda: earmark.read_clips([1]), r"^clips: are of type list; give the path of a manifest, a DataFrame or"),
        (lambda: earmark.audit_clips(["a.wav"]), r"^clips: are of type list; give the path of a manifest"),
        (lambda: earmark.write_report([], "r.html"), r"^no folder of runs; give one or more$"),
        (lambda: earmark.aggregate([1]), r"^runs: give folders, or what `earmark.read_runs` returned$"),
        (lambda: earmark.run_suite("no.toml"), r"^config no.toml: cannot be read"),
    ],
)
def test_arguments_of_another_kind_are_refused_in_one_line(call, message):
    with pytest.raises(EarmarkError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_values_that_stand_for_the_annotated_type_are_taken():
    suite = earmark.SuiteConfig(seeds=[1, np.int64(2)], folds=range(1, 3), train=earmark.TrainConfig(lr=np.float32(1)))
    assert (suite.seeds, suite.folds, suite.train.lr) == ((1, 2), (1, 2), 1.0)
    assert {type(seed) for seed in suite.seeds} == {int} and type(suite.train.lr) is float
    assert earmark.Options(runs="runs", track=["wandb"]) == Options(runs=Path("runs"), track=("wandb",))


def test_a_report_takes_folders_and_what_is_printed_is_what_the_terminal_shows(tmp_path):
    folder = write_suite(tmp_path, {"net": 3.0, "svm": 1.0}, 3, (1,))
    comparison = earmark.write_report(folder, tmp_path / "a.html")
    earmark.write_report(earmark.read_runs(folder), tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert repr(comparison) == terminal_text(comparison) == repr(earmark.aggregate(earmark.read_runs(folder)))
    of_label = earmark.write_report(folder, tmp_path / "c.html", by="label").slices
    assert of_label == earmark.aggregate(folder, by="label").slices
    value_of_clip = {clip.clip_id: clip.label for clip in make_clips(3)}
    assert earmark.write_report(folder, tmp_path / "c.html", by=("site", value_of_clip)).slices.column == "site"
    with pytest.raises(EarmarkError, match=r"^by = 'site': give 'label', or \('site', a dict with the value of each"):
        earmark.write_report(folder, tmp_path / "c.html", by="site")
    assert repr(earmark.figures(comparison)["scores"]).startswith("<Figure 'Accuracy")


def test_dir_lists_the_public_names_only():
    assert set(dir(earmark)) == {*earmark.__all__, "__version__"}


def test_mistakes_are_earmark_errors(tmp_path):
    with pytest.raises(EarmarkError, match="cannot be read"):
        earmark.read_suite(tmp_path / "no.toml")
    with pytest.raises(EarmarkError, match="not found"):
        earmark.load(tmp_path / "no.safetensors")
    with pytest.raises(EarmarkError, match=r"^split.kind = 'kfold': no such choice; did you mean 'group_kfold'\?"):
        earmark.make_split(make_clips(3), kind="kfold")
    unpublished = [Clip(c.clip_id, tmp_path / c.filepath, c.label, c.group) for c in make_clips(3)]
    columns = {"clip_id": [c.clip_id for c in unpublished], "prediction": [c.label for c in unpublished]}
    with pytest.raises(EarmarkError, match=r"give --fold or --split \(in Python: fold= or split=\)$"):
        earmark.import_predictions(columns, unpublished, tmp_path / "runs")


def test_files_of_the_user_are_not_overwritten(tmp_path):
    """As the commands do not; what earmark wrote is written again."""
    folder = write_suite(tmp_path / "runs", {"base": 1.5}, n_folds=2, seeds=(1,))
    comparison = earmark.aggregate(folder)
    scores, clips = earmark.figures(comparison)["scores"], [Clip("a", tmp_path / "a.wav", "dog", "g")]
    writers = {
        "report.html": lambda path: earmark.write_report(folder, path),
        "figure.html": scores.save,
        "figure.svg": scores.save,
        "clips.csv": lambda path: earmark.write_manifest(clips, path),
    }
    for name, write in writers.items():
        (tmp_path / name).write_text("mine", encoding="utf-8")
        with pytest.raises(earmark.EarmarkError, match=f"{name}: exists and is no"):
            write(tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8") == "mine"
        (tmp_path / name).unlink()
        write(tmp_path / name)
        write(tmp_path / name)
    with pytest.raises(earmark.EarmarkError, match=r"clips\.csv: a report is a page; give a name that ends in \.html"):
        earmark.write_report(folder, tmp_path / "clips.csv")
    earmark.write_manifest(clips, tmp_path / "report.html", force=True)
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("clip_id,")
