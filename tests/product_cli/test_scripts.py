"""The command lines of product/ as their users type them, and the files that they write."""

import csv
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from earmark.product_cli.layout import ESC50
from product_data import ROOT, make_project

SPECTROGRAMS = Path("product/audio_preprocessing/outputs")
SPLITS = Path("product/artifacts/splits")
RUNS = Path("product/artifacts/runs")
SMALL = ("--epochs", "1", "--img_size", "32", "--batch_size", "32")
EMODB = "--train_csv product/artifacts/splits/train_emodb.csv --val_csv product/artifacts/splits/val_emodb.csv"


def type_line(project: Path, line: str, *more: str, fails: bool = False) -> subprocess.CompletedProcess:
    """Run a command line in the project root, where ImageNet weights are neither cached nor available."""
    argv = [*shlex.split(line), *more]
    if argv[0] == "python":
        argv[0] = sys.executable
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    offline = {"TORCH_HOME": str(project / "torch"), "HTTPS_PROXY": "http://127.0.0.1:9"}
    env = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **offline}
    result = subprocess.run(argv, cwd=project, env=env, capture_output=True, text=True)
    assert result.returncode == (2 if fails else 0), result.stderr
    return result


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def facts_of(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project root with recordings, and spectrograms and splits made by the scripts."""
    from conftest import REAL_DATA

    root = tmp_path_factory.mktemp("project")
    make_project(root, REAL_DATA if (REAL_DATA / "ESC-10").is_dir() else None)
    type_line(root, "python product/audio_preprocessing/src/generate_spectrograms.py")
    type_line(root, "python product/audio_preprocessing/src/generate_spectrograms_emodb.py")
    type_line(root, "python product/datasets/make_split.py --val_ratio 0.1 --seed 123")
    folders = "--spec_dir product/audio_preprocessing/outputs/spectrograms_emodb --out_dir product/artifacts/splits"
    type_line(root, f"python product/datasets/make_split_emodb.py {folders}")
    return root


@pytest.fixture(scope="module")
def baseline(project):
    """The folder of a baseline run that was trained by its script."""
    line = "python -m product.training.train_baseline --epochs 10 --batch_size 32"
    result = type_line(project, line, "--epochs", "2", "--img_size", "32")
    (folder,) = (project / RUNS).glob("baseline_cnn-esc50-seed42-*")
    assert result.stdout.startswith(f"{folder}: accuracy ")
    return folder


class TestRecordings:
    @pytest.mark.parametrize(
        ("folder", "n_clips", "height"), [("spectrograms", 24, 128), ("spectrograms_emodb", 28, 64)]
    )
    def test_every_clip_has_its_four_images(self, project, folder, n_clips, height):
        names = {path.name for path in (project / SPECTROGRAMS / folder).glob("*.png")}
        bases = {name.removesuffix("_orig.png") for name in names if name.endswith("_orig.png")}
        assert len(bases) == n_clips
        assert names == {f"{b}_{v}.png" for b in bases for v in ("orig", "noisy", "pitchUp2", "stretch0.9")}
        for base in bases:
            widths = {}
            for name in ("orig", "noisy", "pitchUp2", "stretch0.9"):
                with Image.open(project / SPECTROGRAMS / folder / f"{base}_{name}.png") as image:
                    assert image.mode == "L" and image.height == height
                    widths[name] = image.width
            assert widths["orig"] == widths["noisy"] == widths["pitchUp2"]
            assert widths["stretch0.9"] == pytest.approx(widths["orig"] / 0.9, abs=2)

    def test_augmented_wavs_keep_the_rate_of_their_recording(self, project):
        import soundfile

        type_line(project, "python product/audio_preprocessing/src/augment_audio.py")
        data = project / "product" / "audio_preprocessing" / "data"
        recordings = {path.stem: path for path in (data / "ESC-50" / "audio").iterdir()}
        wavs = {path.stem: path for path in (data / "augmented_wav").glob("*.wav")}
        assert set(wavs) == {f"{base}_{v}" for base in recordings for v in ("noisy", "pitchUp2", "stretch0.9")}
        for base, recording in recordings.items():
            own = soundfile.info(recording)
            found = {v: soundfile.info(wavs[f"{base}_{v}"]) for v in ("noisy", "pitchUp2", "stretch0.9")}
            assert {info.samplerate for info in found.values()} == {own.samplerate}
            assert found["noisy"].frames == found["pitchUp2"].frames == own.frames
            assert found["stretch0.9"].frames == pytest.approx(own.frames / 0.9, rel=1e-3)

    def test_audio_utils_know_the_paths(self, project):
        code = (
            "import audio_utils as a; w, rate = a.load_audio(next((a.esc50_folder() / 'audio').iterdir())); "
            "print(a.spectrogram_path('x'), len(w) / rate, a.stretch_time(w, rate, None, 0.9).shape[0] / len(w))"
        )
        source = project / "product" / "audio_preprocessing" / "src"
        path, seconds, longer = type_line(source, "python -c", code).stdout.split()
        assert Path(path) == project / SPECTROGRAMS / "spectrograms" / "x_orig.png"
        assert float(seconds) >= 1
        assert float(longer) == pytest.approx(1 / 0.9, rel=1e-3)


class TestSplits:
    @pytest.mark.parametrize(
        ("suffix", "n_clips", "folder"), [("", 24, "spectrograms"), ("_emodb", 28, "spectrograms_emodb")]
    )
    def test_groups_stay_together_and_augmentations_only_train(self, project, suffix, n_clips, folder):
        train, valid = (rows_of(project / SPLITS / f"{subset}{suffix}.csv") for subset in ("train", "val"))
        assert list(train[0])[:2] == ["filepath", "label"]
        assert not {row["group"] for row in train} & {row["group"] for row in valid}
        clips = {row["clip_id"] for row in train} | {row["clip_id"] for row in valid}
        assert clips == {p.name.removesuffix("_orig.png") for p in (project / SPECTROGRAMS / folder).glob("*_orig.png")}
        assert len(train) == 4 * (n_clips - len(valid))
        assert all((project / row["filepath"]).is_file() for row in (*train, *valid))
        assert all(row["filepath"].endswith("_orig.png") for row in valid)

    def test_groups_are_recordings_and_speakers_and_labels_are_right(self, project):
        meta = rows_of(project / ESC50.recordings / "meta" / "esc50.csv")
        esc50 = {row["filename"].rpartition(".")[0]: row for row in meta}
        for row in rows_of(project / SPLITS / "train.csv"):
            assert (row["label"], row["group"]) == tuple(esc50[row["clip_id"]][k] for k in ("category", "src_file"))
        labels = ("anger", "boredom", "disgust", "fear", "happiness", "sadness", "neutral")
        letters = dict(zip(labels, "WLEAFTN", strict=True))
        for row in rows_of(project / SPLITS / "train_emodb.csv"):
            assert letters[row["label"]] + row["group"] == row["clip_id"][5] + row["clip_id"][:2]

    def test_missing_spectrograms_are_reported_with_the_script_that_makes_them(self, project):
        line = "python product/datasets/make_split.py --spec_dir nowhere"
        error = type_line(project, line, fails=True).stderr.splitlines()
        assert len(error) == 1 and "generate_spectrograms.py first" in error[0]


class TestTraining:
    def test_a_run_writes_the_files_listed_in_the_docs(self, baseline):
        names = {path.name for path in baseline.iterdir()}
        assert names >= {"last.safetensors", "curves.png", "confusion_matrix.png", "summary.json", "history.csv"}
        history = rows_of(baseline / "history.csv")
        assert len(history) == 2 and all(row["valid_loss"] and row["valid_uar"] for row in history)
        for name in ("curves.png", "confusion_matrix.png"):
            with Image.open(baseline / name) as image:
                assert min(image.size) > 100 and len(set(image.convert("L").tobytes())) > 2
        result, facts = facts_of(baseline / "result.json"), facts_of(baseline / "summary.json")
        assert facts["accuracy"] == result["metrics"]["accuracy"] and facts["dataset"] == "esc50"
        assert (facts["reported_subset"], facts["selected_on"], facts["kept_epoch"]) == ("valid", "none", 2)
        assert result["window_frames"] == 32

    def test_the_result_is_that_of_the_validation_clips(self, project, baseline):
        held_out = {row["clip_id"]: row["label"] for row in rows_of(project / SPLITS / "val.csv")}
        predictions = rows_of(baseline / "predictions.csv")
        assert {row["clip_id"]: row["label"] for row in predictions} == held_out
        right = statistics.mean(row["prediction"] == row["label"] for row in predictions)
        assert facts_of(baseline / "summary.json")["accuracy"] == pytest.approx(right)

    def test_augmentations_train(self, baseline):
        settings = facts_of(baseline / "config.json")["run"]
        assert settings["augment"]["waveform"] == ["noisy", "pitchUp2", "stretch0.9"]

    def test_tensorboard_shows_the_runs(self, project, baseline):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(project / RUNS / baseline.name)).Reload()
        assert len(events.Scalars("valid/uar")) == len(events.Scalars("train/loss")) == 2

    def test_unavailable_weights_are_one_line_with_remedies(self, project):
        line = "python -m product.training.resnet50_se --lr 1e-3 --run_name custom_test"
        errors = type_line(project, line, *SMALL, fails=True).stderr.splitlines()
        assert len(errors) == 1
        assert re.match(r"resnet50_se: weights https.*resnet50.*: cannot be fetched", errors[0])
        assert "--weights" in errors[0] and "'none'" in errors[0]
        type_line(project, line, *SMALL, "--weights", "none")
        facts = facts_of(project / RUNS / "custom_test" / "summary.json")
        assert (facts["model"], facts["dataset"], facts["epochs"]) == ("resnet50_se", "esc50", 1)
        assert facts_of(project / RUNS / "custom_test" / "config.json")["run"]["train"]["lr"] == 1e-3

    @pytest.mark.slow
    def test_tensorboard_serves_them(self, project, baseline):
        program = Path(sys.executable).with_name("tensorboard")
        argv = [str(program), "--logdir", "product/artifacts/runs", "--port", "0"]
        without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with subprocess.Popen(argv, cwd=project, stderr=subprocess.PIPE, text=True) as server:
            try:
                address = next(
                    found[0] for line in server.stderr if (found := re.search(r"http://localhost:\d+/", line))
                )
                for _ in range(60):  # it reads the runs in the background
                    with without_proxy.open(f"{address}data/runs") as answer:
                        runs = json.load(answer)
                    if baseline.name in runs:
                        break
                    time.sleep(1)
            finally:
                server.terminate()
        assert baseline.name in runs

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("line", "model"),
        [
            (f"python -m product.training.resnet50_cbam {EMODB}", "resnet50_cbam"),
            ("python -m product.training.Resnet50_t1", "resnet50"),
            ("python -m product.training.alexnet_t1", "alexnet"),
        ],
    )
    def test_other_networks(self, project, line, model):
        type_line(project, line, *SMALL, "--weights", "none", "--run_name", f"line_{model}")
        facts = facts_of(project / RUNS / f"line_{model}" / "summary.json")
        assert (facts["model"], facts["dataset"]) == (model, "emodb" if "emodb" in line else "esc50")

    @pytest.mark.slow
    @pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
    @pytest.mark.parametrize(
        ("script", "variants"),
        [
            ("run_all_experiments.sh", {"resnet50", "resnet50_se", "resnet50_cbam"}),
            ("run_emodb_experiments.sh", {"baseline_cnn", "resnet50", "resnet50_se", "resnet50_cbam", "alexnet"}),
        ],
    )
    def test_experiments(self, project, script, variants):
        before = {path.name: path.read_bytes() for path in (project / SPLITS).iterdir()}
        small = "--train.epochs 1 --train.window_seconds 0.35 --train.batch_size 8 --model.weights none --seeds 42 123"
        type_line(project, f"bash {script} {small}")
        assert {path.name: path.read_bytes() for path in (project / SPLITS).iterdir()} == before
        folder = project / RUNS / ("product_esc50" if "all" in script else "product_emodb")
        results = [facts_of(path) for path in folder.glob("*/result.json")]
        assert sorted((r["variant"], r["seed"]) for r in results) == sorted((v, s) for v in variants for s in (42, 123))

    def test_errors_name_the_options_of_the_script(self, project):
        error = type_line(project, "python -m product.training.train_baseline --epochs 0", fails=True).stderr
        assert error == "train_baseline: --epochs = 0: give 1 to 100000\n"

    def test_seeds_are_aggregated(self, project, baseline):
        out = type_line(project, "python -m product.training.aggregate_seeds").stdout
        assert "baseline_cnn" in out and "esc50" in out
        tables = project / "product" / "artifacts" / "tables"
        rows = [row for row in rows_of(tables / "seeds.csv") if row["dataset"] == "esc50" and row["metric"] == "uar"]
        (row,) = [row for row in rows if row["model"] == "baseline_cnn"]
        assert float(row["mean"]) == facts_of(baseline / "summary.json")["uar"]
        assert r"baseline\_cnn & 1 &" in (tables / "seeds.tex").read_text(encoding="utf-8")
        assert (tables / "esc50" / "results.csv").is_file()


class TestFiles:
    @pytest.mark.parametrize("script", ["run_all_experiments", "run_emodb_experiments"])
    def test_the_batch_file_runs_the_commands_of_the_shell_script(self, script):
        def commands(ending: str, python: str, rest: str) -> list[str]:
            lines = (ROOT / f"{script}.{ending}").read_text(encoding="utf-8").splitlines()
            return [line.replace(rest, "").strip() for line in lines if line.startswith(python)]

        found = commands("sh", '"${python[@]}" ', '"$@"')
        assert [line.split('" ')[-1] for line in found] == [
            line.removeprefix("call %python% ") for line in commands("bat", "call %python% ", "%*")
        ]
        assert len(found) == 2

    def test_every_script_is_documented(self):
        page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
        files = (ROOT / "product").rglob("*.py")
        scripts = [path for path in files if '__name__ == "__main__"' in path.read_text(encoding="utf-8")]
        assert len(scripts) == 11
        for script in scripts:
            relative = script.relative_to(ROOT)
            module = "python -m " + ".".join(relative.with_suffix("").parts)
            assert (module if script.parent.name == "training" else f"python {relative.as_posix()}") in page
