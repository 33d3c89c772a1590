"""The functions behind the scripts of product/: lists of spectrograms, runs, tables over seeds."""

import csv
import json
import re
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from earmark.analysis.records import read_runs
from earmark.config.sections import ConfigError, Options
from earmark.config.suite import read_suite
from earmark.datasets.rows import ManifestError
from earmark.product_cli import training
from earmark.product_cli.command import use_option_names
from earmark.product_cli.image_lists import read_image_lists
from earmark.product_cli.layout import EMODB, ESC50, RUNS, SPLITS, find_layout
from earmark.product_cli.png_dataset import PngDataset
from earmark.product_cli.recordings import spectrograms
from earmark.product_cli.seeds import aggregate_data_sets, seed_rows, seeds_latex
from earmark.product_cli.splits import split
from earmark.runtime.errors import EarmarkError
from earmark.splits.split import LeakageError
from product_data import ROOT, make_project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project root with synthetic recordings, their spectrograms and splits."""
    root = tmp_path_factory.mktemp("project")
    make_project(root, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["script"])
        for layout in (ESC50, EMODB):
            spectrograms(layout, root)
            split(layout, root, val_ratio=0.25)
    return root


@pytest.fixture(scope="module")
def baseline(project):
    """The folder of a finished run."""
    return training.train("baseline_cnn", arguments(project))


def arguments(project: Path, network: str = "baseline_cnn", **changes) -> training.Arguments:
    small = {"epochs": 2, "img_size": 24, "batch_size": 8, "device": "cpu"}
    return replace(training.default_arguments(network, project), **{**small, **changes})


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def facts_of(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


class TestMistakes:
    def test_a_list_that_is_not_there(self, project):
        with pytest.raises(ManifestError, match=r"other\.csv: cannot be read .*make_split\.py"):
            training.plan_training("baseline_cnn", arguments(project, train_csv=Path("other.csv")))

    @pytest.mark.parametrize(("layout", "folder"), [(ESC50, "ESC-50"), (EMODB, "EmoDB-wav")])
    def test_missing_recordings_are_reported_with_the_download_command(
        self, tmp_path, monkeypatch, capsys, layout, folder
    ):
        monkeypatch.setattr("sys.argv", ["script"])
        with pytest.raises(SystemExit):
            spectrograms(layout, tmp_path)
        error = capsys.readouterr().err
        assert f"`earmark download {layout.name} -o product/audio_preprocessing/data --folder {folder}`" in error

    def test_emodb_may_be_in_the_folder_of_its_archive(self, project, tmp_path, monkeypatch):
        monkeypatch.setattr("sys.argv", ["script"])
        recordings = sorted((project / EMODB.recordings).glob("*.wav"))
        (tmp_path / EMODB.recordings / "wav").mkdir(parents=True)
        for path in recordings[:2]:
            shutil.copy(path, tmp_path / EMODB.recordings / "wav")
        spectrograms(EMODB, tmp_path)
        names = {path.name for path in (tmp_path / EMODB.spectrograms).glob("*_orig.png")}
        assert names == {f"{path.stem}_orig.png" for path in recordings[:2]}

    def test_a_missing_image_is_reported_with_its_line(self, project, tmp_path):
        lists = self.lists(project, tmp_path, "train", lambda text: text + "gone_orig.png,dog,gone,gone\n")
        with pytest.raises(EarmarkError, match=r"train\.csv, line 74: 'gone_orig\.png' found neither in"):
            training.plan_training("baseline_cnn", lists)

    def test_a_clip_in_both_lists_is_refused(self, project, tmp_path):
        line = (project / SPLITS / "val.csv").read_text(encoding="utf-8").splitlines()[1]
        lists = self.lists(project, tmp_path, "train", lambda text: text + line.replace("_orig", "_noisy") + "\n")
        with pytest.raises(LeakageError, match="more than one subset has clip"):
            training.plan_training("baseline_cnn", lists)

    def test_two_labels_of_a_clip_are_refused(self, project, tmp_path):
        one_cow = re.compile(r"(?<=_noisy\.png),\w+")
        lists = self.lists(project, tmp_path, "train", lambda text: one_cow.sub(",cow", text, count=1))
        with pytest.raises(EarmarkError, match=r"has the labels '\w+' and 'cow'"):
            training.plan_training("baseline_cnn", lists)

    def test_a_name_of_another_run_is_refused(self, project, baseline):
        given = arguments(project, run_name=baseline.name, lr=1e-4)
        with pytest.raises(EarmarkError, match="holds a run with other settings or data; choose another name"):
            training.plan_training("baseline_cnn", given)

    def test_a_name_whose_result_is_of_other_options_is_refused_without_its_checkpoint_too(self, project, tmp_path):
        given = arguments(project, epochs=1, run_name="pruned", logdir=tmp_path)
        folder = training.train("baseline_cnn", given)
        (folder / "last.safetensors").unlink()  # as people do to save disk space; the old result stays
        with pytest.raises(ConfigError, match="holds a run with other settings or data; choose another name"):
            training.plan_training("baseline_cnn", replace(given, lr=1e-4))
        (folder / "result.json").write_text("{", encoding="utf-8")
        with pytest.raises(EarmarkError, match=r"result\.json is not JSON"):
            training.plan_training("baseline_cnn", given)

    @pytest.mark.parametrize("name", ["a/b", "..", "a b"])
    def test_a_name_that_is_no_folder_name_is_refused(self, project, name):
        with pytest.raises(EarmarkError, match=r"--run_name = .*use letters"):
            training.plan_training("baseline_cnn", arguments(project, run_name=name))

    @staticmethod
    def lists(project: Path, folder: Path, subset: str, change) -> training.Arguments:
        """Arguments with one of the two lists changed."""
        text = (project / SPLITS / f"{subset}.csv").read_text(encoding="utf-8")
        (folder / f"{subset}.csv").write_text(change(text), encoding="utf-8")
        return arguments(project, **{f"{subset}_csv": folder / f"{subset}.csv"})


class TestForeignImages:
    """Lists of images that earmark did not compute: only filepath and label, any names."""

    @pytest.fixture
    def lists(self, tmp_path) -> training.Arguments:
        rng = np.random.default_rng(0)
        (tmp_path / "pictures").mkdir()
        rows = {"train": [], "val": []}
        for label in ("cat", "cow"):
            for i in range(6):
                pixels = rng.integers(0, 256, (32, 40 + i), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "pictures" / f"{label}{i}_orig.png")
                rows["train" if i < 4 else "val"].append(f"pictures\\{label}{i}_orig.png,{label}")
        for subset, lines in rows.items():
            (tmp_path / f"{subset}.csv").write_text("\n".join(["filepath,label", *lines]), encoding="utf-8")
        given = training.default_arguments("baseline_cnn", tmp_path)
        return replace(given, train_csv=Path("train.csv"), val_csv=Path("val.csv"))

    def test_every_clip_is_its_own_group_with_a_warning(self, lists, caplog):
        read = read_image_lists(lists.project_root / "train.csv", lists.project_root / "val.csv", lists.project_root)
        assert "every clip is its own group" in caplog.text
        assert (read.dataset, len(read.train), len(read.valid)) == ("pictures", 8, 4)
        assert {clip.group for clip in read.clips} == {clip.clip_id for clip in read.clips}

    def test_the_column_group_is_used(self, lists, caplog):
        for subset in ("train", "val"):
            path = lists.project_root / f"{subset}.csv"
            header, *lines = path.read_text(encoding="utf-8").splitlines()
            path.write_text("\n".join([f"{header},group", *(f"{line},farm" for line in lines)]), encoding="utf-8")
        with pytest.raises(LeakageError, match="group 'farm'") as caught:
            training.plan_training("baseline_cnn", lists)
        assert use_option_names(str(caught.value)).endswith(
            "as product/datasets/make_split.py and make_split_emodb.py do"
        )
        assert not caplog.text

    def test_their_frames_have_no_known_duration(self, lists):
        run, _ = training.plan_training("baseline_cnn", lists)
        assert run.config.train.window_seconds == 0
        with pytest.raises(EarmarkError, match="--img_size = 32: the duration of a frame is unknown"):
            training.plan_training("baseline_cnn", replace(lists, img_size=32))


@pytest.fixture(scope="module")
def several(project, baseline):
    """The project with more runs of the baseline: another seed (twice) and another learning rate."""
    training.train("baseline_cnn", arguments(project, seed=7))
    training.train("baseline_cnn", arguments(project, seed=7, run_name="again"))
    training.train("baseline_cnn", arguments(project, epochs=1, lr=1e-4, run_name="slower"))
    return project


class TestRuns:
    def test_a_finished_run_is_not_trained_again(self, project, baseline):
        before = (baseline / "last.safetensors").stat().st_mtime_ns
        assert training.train("baseline_cnn", arguments(project)) == baseline
        assert (baseline / "last.safetensors").stat().st_mtime_ns == before

    def test_mean_and_spread_are_those_of_the_records(self, several, baseline):
        (esc50,) = aggregate_data_sets(read_runs(several / RUNS))
        again = several / RUNS / "again"
        values = [facts_of(run / "result.json")["metrics"]["accuracy"] for run in (baseline, again)]
        mean, std = statistics.mean(values), statistics.stdev(values)
        (row,) = [row for row in seed_rows([esc50]) if row[2] == "accuracy" and row[6] == "7 42"]
        assert row[0] == "esc50"
        assert row[3:6] == pytest.approx((mean, std, 2))
        assert rf"& 2 & {100 * mean:.1f} $\pm$ {100 * std:.1f} &" in seeds_latex([esc50])

    def test_runs_with_other_settings_are_a_separate_model(self, several):
        (esc50,) = aggregate_data_sets(read_runs(several / RUNS))
        assert {v.variant: v.n_runs for v in esc50.variants} == {
            "baseline_cnn train.epochs=1 train.lr=0.0001": 1,
            "baseline_cnn train.epochs=2 train.lr=0.003": 2,
        }

    def test_another_split_is_a_separate_table(self, several, tmp_path):
        lists = TestMistakes.lists(several, tmp_path, "val", lambda text: "\n".join(text.splitlines()[:-1]))
        training.train("baseline_cnn", replace(lists, epochs=1, logdir=tmp_path / "runs"))
        records = read_runs(several / RUNS) + read_runs(tmp_path / "runs")
        names = [one.name for one in aggregate_data_sets(records)]
        assert len(set(names)) == 2 and all(re.fullmatch("esc50-[0-9a-f]{6}", name) for name in names)

    @pytest.mark.parametrize(("name", "suffix"), [("product_esc50", ""), ("product_emodb", "_emodb")])
    def test_suites_and_scripts_make_the_same_runs(self, project, monkeypatch, name, suffix):
        """Down to the run id, so that the tables treat their results as one."""
        from earmark.runs.plan import plan_suite

        monkeypatch.chdir(project)
        suite = read_suite(ROOT / "configs" / f"{name}.toml")
        planned_runs = plan_suite(suite, Options(runs=RUNS)).runs
        assert {run.config.seed for run in planned_runs} == {42, 123, 999}
        for run in planned_runs:
            given = training.default_arguments(run.config.variant, project)
            lists = {"train_csv": SPLITS / f"train{suffix}.csv", "val_csv": SPLITS / f"val{suffix}.csv"}
            scripted, _ = training.plan_training(run.config.variant, replace(given, seed=run.config.seed, **lists))
            assert scripted.id == run.id


class TestModules:
    def test_the_names_that_users_know_are_importable(self, project, monkeypatch):
        import torch
        from torch.utils.data import DataLoader

        monkeypatch.syspath_prepend(ROOT)
        from product.datasets.esc50_png_dataset import ESC50PNGDataset
        from product.models.baseline_cnn import BaselineCNN
        from product.models.cbam import CBAM
        from product.models.se_block import SEBlock

        train = ESC50PNGDataset(project / SPLITS / "train.csv", project, window_frames=40)
        images, targets = next(iter(DataLoader(train, batch_size=4)))
        assert images.shape == (4, 1, 128, 40) and images.max() == 1 and targets.shape == (4,)
        assert BaselineCNN(50)(images).shape == (4, 50)
        features = torch.rand(2, 32, 8, 8)
        assert SEBlock(32)(features).shape == CBAM(32)(features).shape == features.shape

    def test_images_and_targets_are_those_of_the_list(self, project):
        rows = rows_of(project / SPLITS / "train.csv")
        dataset = PngDataset(project / SPLITS / "train.csv", project)
        assert len(dataset) == len(rows)
        for i in (0, 5, len(rows) - 1):
            image, target = dataset[i]
            with Image.open(project / rows[i]["filepath"]) as file:
                assert np.array_equal(np.asarray(file), np.rint(255 * image[0].numpy()))
            assert dataset.class_names[target] == rows[i]["label"]
        with pytest.raises(EarmarkError, match="is not in class_names; pass the classes of training"):
            PngDataset(project / SPLITS / "val.csv", project, class_names=("cow",))

    def test_file_names_identify_the_data_set(self):
        assert find_layout(["1-100032-A-0", "5-9032-A-0"]).name == "esc50"
        assert find_layout(["03a01Fa", "16b10Wb"]).name == "emodb"
        assert find_layout(["03a01Fa", "1-100032-A-0"]) is None
