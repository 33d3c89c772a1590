"""Splits on disk: earmark's own in both versions, and the train, valid and test CSVs of other tools."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest

from earmark.config.sections import SplitConfig
from earmark.datasets.manifest import Clip
from earmark.splits.io import check_split_clips, read_split, write_split
from earmark.splits.make import make_split
from earmark.splits.split import LeakageError, Split, SplitError


def clip(name: str, label: str = "dog", group: str = "", fold: int | None = None) -> Clip:
    return Clip(name, Path("audio") / f"{name}.wav", label, group or name, fold)


class TestFiles:
    clips = (clip("a"), clip("b"), clip("c_2"), clip("dog__1"), clip("cat__1"))

    def folder(self, tmp_path: Path, **files: str) -> SplitConfig:
        for subset, names in files.items():
            rows = "".join(f"{name},dog\n" for name in names.split())
            (tmp_path / f"{subset}.csv").write_text("filepath,label\n" + rows)
        return SplitConfig(kind="files", path=str(tmp_path))

    def test_subset_files(self, tmp_path):
        config = self.folder(tmp_path, train="a_orig.png a_noisy.png b.wav", test="c_2.wav", valid="dog/1.wav")
        split = make_split(self.clips, config, 1)
        assert (split.train, split.valid, split.test) == (("a", "b"), ("dog__1",), ("c_2",))

    @pytest.mark.parametrize("name", ["", "split.csv"])
    def test_a_split_of_earmark_is_read_too(self, tmp_path, name):
        made = Split(("a", "b"), ("dog__1",), ("c_2",), "group_kfold", 2)
        write_split(made, self.clips, tmp_path)
        config = SplitConfig(kind="files", path=str(tmp_path / name))
        split = make_split(self.clips, config, 1)
        assert (split.subsets(), split.kind, split.fold) == (made.subsets(), "files", 1)
        with pytest.raises(SplitError, match="clip 'b' of the split is not in the manifest"):
            make_split([c for c in self.clips if c.clip_id != "b"], config, 1)
        with pytest.raises(SplitError, match="clip a has the label 'dog', but 'cat' in the manifest"):
            make_split([dataclasses.replace(c, label="cat") for c in self.clips], config, 1)
        with pytest.raises(SplitError, match="already has a valid subset"):
            make_split(self.clips, dataclasses.replace(config, val_ratio=0.2), 1)
        self.folder(tmp_path, train="a.wav b.wav", test="dog/1.wav")
        if not name:
            assert make_split(self.clips, config, 1).test == ("dog__1",), "the lists of another tool beside it"

    @pytest.mark.parametrize("word", ["val", "valid", "dev", "devel", "validation"])
    def test_other_names_and_no_test_subset(self, tmp_path, word):
        self.folder(tmp_path, **{"train_x": "a.wav b.wav", f"{word}_x": "dog/1.wav", "train": "a.wav", "test": "b.wav"})
        config = SplitConfig(kind="files", path=str(tmp_path / "train_x.csv"))
        split = make_split(self.clips, config, 1)
        assert (split.train, split.valid, split.test) == (("a", "b"), ("dog__1",), ())
        with pytest.raises(SplitError, match=r"val_y.csv'?: give a folder with train.csv or split.csv, or a "):
            make_split(self.clips, dataclasses.replace(config, path=str(tmp_path / "val_y.csv")), 1)

    @pytest.mark.parametrize("name", ["train_constrained.csv", "constrained_train.csv"])
    def test_train_may_occur_twice_in_a_file_name(self, tmp_path, name):
        """Bug 12: `train_constrained.csv` found no test file."""
        self.folder(tmp_path, **{name.removesuffix(".csv"): "a.wav b.wav"})
        other = {"train_constrained.csv": "test_constrained", "constrained_train.csv": "constrained_test"}[name]
        self.folder(tmp_path, **{other: "c_2.wav"})
        split = make_split(self.clips, SplitConfig(kind="files", path=str(tmp_path / name)), 1)
        assert (split.train, split.test) == (("a", "b"), ("c_2",))

    def test_the_column_may_be_called_path(self, tmp_path):
        """As the tables of predictions, and the lists of autrainer's documentation."""
        config = self.folder(tmp_path, train="a.wav", dev="b.wav", test="c_2.wav")
        for file in tmp_path.glob("*.csv"):
            file.write_text(file.read_text().replace("filepath", "path"))
        split = make_split(self.clips, config, 1)
        assert (split.train, split.valid, split.test) == (("a",), ("b",), ("c_2",))

    def test_augmentations_of_a_config_are_known(self, tmp_path):
        config = self.folder(tmp_path, train="a_orig.png a_street.png b.wav", test="c_2.wav")
        with pytest.raises(SplitError, match=r"'a_street\.png' is not a clip of the manifest"):
            make_split(self.clips, config, 1)
        assert make_split(self.clips, config, 1, augmentations=("street",)).train == ("a", "b")

    def test_a_subset_without_clips_is_refused(self, tmp_path):
        with pytest.raises(SplitError, match="no clip is left for test"):
            make_split(self.clips, self.folder(tmp_path, train="a.wav", valid=""), 1)

    def test_valid_can_be_taken_out_of_train(self, tmp_path):
        config = self.folder(tmp_path, train="a.wav b.wav cat/1.wav", test="c_2.wav")
        split = make_split(self.clips, dataclasses.replace(config, val_ratio=0.25), 1)
        assert len(split.train) == 2 and len(split.valid) == 1 and split.test == ("c_2",)

    def test_a_second_valid_subset_is_refused(self, tmp_path):
        config = self.folder(tmp_path, train="a.wav b.wav", test="c_2.wav", valid="cat/1.wav")
        with pytest.raises(SplitError, match=r"already has a valid subset"):
            make_split(self.clips, dataclasses.replace(config, val_ratio=0.25), 1)

    def test_an_unknown_clip_is_named(self, tmp_path):
        config = self.folder(tmp_path, train="a.wav nobody.wav", test="b.wav")
        with pytest.raises(SplitError, match=r"train.csv, line 3: 'nobody.wav' is not a clip"):
            make_split(self.clips, config, 1)

    def test_another_label_is_refused(self, tmp_path):
        config = self.folder(tmp_path, train="a.wav", test="b.wav")
        (tmp_path / "test.csv").write_text("filepath,label\nb.wav,cat\n")
        with pytest.raises(SplitError, match=r"line 2: label 'cat', but the manifest has 'dog' for 'b'"):
            make_split(self.clips, config, 1)

    def test_a_missing_file_or_column(self, tmp_path):
        config = self.folder(tmp_path, train="a.wav")
        with pytest.raises(SplitError, match=r"there is no test or valid file next to train.csv"):
            make_split(self.clips, config, 1)
        (tmp_path / "test.csv").write_text("file,label\nb.wav,dog\n")
        with pytest.raises(SplitError, match="column 'filepath' is missing"):
            make_split(self.clips, config, 1)

    def test_augmented_copies_across_subsets_are_refused_or_flagged(self, tmp_path):
        config = self.folder(tmp_path, train="a_noisy.png b.wav", test="a_orig.png c_2.wav")
        with pytest.raises(LeakageError, match=r"clip 'a' \(train, test\)"):
            make_split(self.clips, config, 1)
        assert make_split(self.clips, config, 1, allow_leakage=True).leaks == ("clip 'a' (train, test)",)

    def test_written_and_read_again(self, tmp_path):
        clips = [clip(f"{k}{i}", k) for k in "ab" for i in range(6)]
        made = make_split(clips, SplitConfig(n_folds=3, val_ratio=0.2, train_fraction=0.5), 2)
        split = dataclasses.replace(made, leaks=("x",))
        assert split.left_out
        write_split(split, clips, tmp_path / "run")
        assert read_split(tmp_path / "run") == split
        with (tmp_path / "run" / "split.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["filepath", "label", "clip_id", "group", "subset"]
        found = (tmp_path / "run" / rows[0]["filepath"]).resolve()
        assert found == {c.clip_id: c.path.resolve() for c in clips}[rows[0]["clip_id"]]

    @pytest.mark.parametrize(
        ("name", "text"), [("split.json", "{}"), ("split.json", "no"), ("split.csv", "subset\nx\n")]
    )
    def test_what_cannot_be_read_is_named(self, tmp_path, name, text):
        write_split(Split(("a",), (), (), "mine", 1), self.clips, tmp_path)
        (tmp_path / name).write_text(text)
        with pytest.raises(SplitError, match=r"cannot be read \("):
            read_split(tmp_path)

    def test_your_own_lists_are_not_a_split_yet(self, tmp_path):
        (tmp_path / "train.csv").write_text("path,label\n")
        with pytest.raises(SplitError, match=r"`earmark split CLIPS --kind files --path .*` checks files of your own"):
            read_split(tmp_path)

    def test_the_format_has_a_version(self, tmp_path):
        write_split(Split(("a",), (), (), "mine", 1), self.clips, tmp_path)
        record = json.loads((tmp_path / "split.json").read_text())
        assert record["format_version"] == 2 and record["groups"] == "declared"
        (tmp_path / "split.json").write_text(json.dumps(record | {"format_version": 3}))
        with pytest.raises(SplitError, match="format_version 3 is newer than this earmark"):
            read_split(tmp_path)

    def test_a_run_without_its_split_is_named(self, tmp_path):
        with pytest.raises(SplitError, match=r"split .*gone: cannot be read \(.*; give a folder with split\.csv"):
            check_split_clips(tmp_path / "gone", self.clips, "give them")

    @pytest.mark.parametrize(("group", "groups"), [("g", "declared"), ("c", "none")])
    def test_a_split_of_version_1_is_read(self, tmp_path, group, groups):
        rows = [f"x/a.wav,dog,a,{group},train", "x/b.wav,dog,b,g,train", "x/a_noisy.wav,dog,a_noisy,h,test"]
        (tmp_path / "split.csv").write_text("\n".join(["filepath,label,clip_id,group,part", *rows]) + "\n")
        leaks = ["variants of 'a' (train, test)"]
        record = {"kind": "mine", "fold": 1, "waiver": "", "waived_groups": [], "leaks": leaks}
        (tmp_path / "split.json").write_text(json.dumps(record))
        leaks = ("copies of 'a' (train, test)",)
        assert read_split(tmp_path) == Split(("a", "b"), (), ("a_noisy",), "mine", 1, leaks=leaks, groups=groups)
