"""Tables of Hugging Face audiofolder and of audformat, and columns of other names."""

import json
import logging

import pytest

from earmark.config.sections import ConfigError, DataConfig
from earmark.datasets.read import read_dataset
from earmark.datasets.rows import ManifestError
from earmark.datasets.tables import read_audformat, read_audiofolder
from public_sets import write_audio, write_lines


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def write_audiofolder(root):
    """A table for each split, one of them as JSON lines."""
    for name in ("train/a", "train/b", "train/deep/a", "test/a"):
        write_audio(root / "data" / f"{name}.wav")
    rows = ["file_name,label,speaker_id,note", "a.wav,dog,anna,x", "b.wav,cat,ben,", "deep/a.wav,dog,ben,"]
    write_lines(root / "data" / "train" / "metadata.csv", rows)
    row = {"file_name": "a.wav", "label": "cat", "speaker_id": 7, "note": None}
    write_lines(root / "data" / "test" / "metadata.jsonl", [json.dumps(row)])
    return root


def test_audiofolder(tmp_path, caplog):
    clips = read_audiofolder(write_audiofolder(tmp_path))
    assert [(c.clip_id, c.label, c.group, c.fold) for c in clips] == [
        ("data_test__a", "cat", "7", 1),
        ("data_train__a", "dog", "anna", 3),
        ("b", "cat", "ben", 3),
        ("data_train_deep__a", "dog", "ben", 3),
    ]
    assert all(c.path.is_file() and c.duration == pytest.approx(0.3) for c in clips)
    assert warnings_of(caplog) == []


def test_audiofolder_with_named_columns_and_without_groups(tmp_path, caplog):
    write_audio(tmp_path / "a.wav")
    write_lines(tmp_path / "metadata.csv", ["file_name,genre,site", "a.wav,rock,pier"])
    (clip,) = read_dataset(DataConfig("audiofolder", str(tmp_path), label_column="genre", group_column="site"))
    assert (clip.label, clip.group, clip.fold) == ("rock", "pier", None)
    (clip,) = read_audiofolder(tmp_path, label="genre")
    assert clip.group == "a"
    assert "every file is its own group; select the column of the speaker or source" in warnings_of(caplog)[-1]
    assert "data.group_column (site)" in warnings_of(caplog)[-1]
    with pytest.raises(ManifestError, match=r"data.label_column = 'label': no such column; choose from genre, site"):
        read_audiofolder(tmp_path)
    with pytest.raises(ManifestError, match=r"data.group_column = 'sites': no such column; did you mean 'site'"):
        read_audiofolder(tmp_path, "genre", "sites")


def test_audiofolders_that_cannot_be_used(tmp_path):
    write_audio(tmp_path / "dog" / "a.wav")
    with pytest.raises(ManifestError, match=r"no metadata.csv or metadata.jsonl, but holds dog/; .*'folder'"):
        read_audiofolder(tmp_path)
    for text, words in {
        "file,label\na.wav,dog": "no column 'file_name' among file, label",
        "file_name,label\ndog/a.wav,": "line 2: label is empty",
        "file_name,label\n,dog": "line 2: file_name is empty",
        "file_name,label\ndog/b.wav,dog": r"none of its 1 recordings can be read.*b.wav",
    }.items():
        write_lines(tmp_path / "metadata.csv", [text])
        with pytest.raises(ManifestError, match=words):
            read_audiofolder(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    write_lines(tmp_path / "metadata.jsonl", ['{"file_name": "dog/a.wav"', "[]"])
    with pytest.raises(ManifestError, match=r"metadata.jsonl, line 1: cannot be read .*one JSON object per line"):
        read_audiofolder(tmp_path)


def write_audformat(root):
    """A database as audformat saves it: tables of emotions for two splits, one of speakers, one of no files."""
    for i in range(4):
        write_audio(root / "wav" / f"{i}.wav")
    write_lines(root / "db.yaml", ["name: mini"])
    write_lines(root / "db.emotion.train.csv", ["file,emotion", "wav/0.wav,anger", "wav/1.wav,joy", "wav/2.wav,"])
    write_lines(root / "db.emotion.test.csv", ["file,emotion", "wav/3.wav,anger"])
    write_lines(root / "db.files.csv", ["file,speaker", *(f"wav/{i}.wav,{i % 2}" for i in range(4))])
    write_lines(root / "db.speaker.csv", ["speaker,age", "0,31", "1,26"])
    return root


def test_audformat(tmp_path, caplog):
    root = write_audformat(tmp_path)
    clips = read_audformat(root)
    assert [(c.clip_id, c.label, c.group, c.fold) for c in clips] == [
        ("3", "anger", "1", 1), ("0", "anger", "0", 3), ("1", "joy", "1", 3),
    ]  # fmt: skip
    assert warnings_of(caplog) == [f"{root}: left out without a label: 1 file"]
    one = read_dataset(DataConfig("audformat", str(root / "db.files.csv"), label_column="speaker"))
    assert [(c.label, c.group) for c in one] == [("0", "0"), ("1", "1"), ("0", "0"), ("1", "1")]


def test_audformat_that_cannot_be_used(tmp_path):
    with pytest.raises(ManifestError, match=r"no table db.<name>.csv, but is empty; .*storage_format='csv'"):
        read_audformat(tmp_path)
    root = write_audformat(tmp_path)
    write_lines(root / "db.other.csv", ["file,emotion", "wav/0.wav,fear"])
    with pytest.raises(ManifestError, match=r"emotion of wav/0.wav is 'fear', but 'anger' in .*train.csv, line 2"):
        read_audformat(root)
    write_lines(root / "db.other.csv", ["file,start,end,word", "wav/0.wav,0 days,0 days 00:00:01,yes"])
    with pytest.raises(ManifestError, match=r"the rows are segments of recordings; .*`earmark cut`"):
        read_audformat(root / "db.other.csv")
    with pytest.raises(ManifestError, match=r"no table has the column file"):
        read_audformat(root / "db.speaker.csv")


def test_a_csv_with_columns_of_other_names(tmp_path):
    write_audio(tmp_path / "a.wav")
    write_lines(tmp_path / "list.csv", ["path,species,site", "a.wav,owl,pier"])
    (clip,) = read_dataset(DataConfig("csv", str(tmp_path / "list.csv"), "species", "site"))
    assert (clip.label, clip.group) == ("owl", "pier")
    with pytest.raises(ManifestError, match="no column 'label' among path, species, site"):
        read_dataset(DataConfig("csv", str(tmp_path / "list.csv")))
    with pytest.raises(ManifestError, match="--group-column 'place': no such column; choose from path, species, site"):
        read_dataset(DataConfig("csv", str(tmp_path / "list.csv"), "species", "place"))


def test_other_layouts_have_no_columns_to_choose():
    with pytest.raises(ConfigError, match=r"data.group_column = 'site': 'esc50' has no such choice; leave it empty"):
        DataConfig("esc50", group_column="site")


@pytest.mark.parametrize("name", ["../a.wav", "/etc/hostname", "deep/../../a.wav"])
def test_a_file_outside_of_the_folder_is_refused(tmp_path, name):
    write_lines(tmp_path / "data" / "metadata.csv", ["file_name,label", f"{name},dog"])
    with pytest.raises(ManifestError, match=r"line 2: file_name .* leaves the folder"):
        read_audiofolder(tmp_path / "data")


def test_a_file_that_is_listed_twice_is_named_with_both_lines(tmp_path):
    write_lines(tmp_path / "metadata.csv", ["file_name,label", "a.wav,dog", "a.wav,cat"])
    with pytest.raises(ManifestError, match=r"line 3: .*a\.wav is already in .*line 2; delete one"):
        read_audiofolder(tmp_path)


@pytest.mark.parametrize("label", ["NaN", "[1]", '{"a": 1}', '"\\ud800"', "9" * 5000, "[" * 10_000])
def test_json_that_is_no_label_is_refused(tmp_path, label):
    write_lines(tmp_path / "metadata.jsonl", [f'{{"file_name": "a.wav", "label": {label}}}'])
    with pytest.raises(ManifestError, match=r"metadata\.jsonl, line 1: cannot be read"):
        read_audiofolder(tmp_path)


def test_json_lines_with_a_mark_of_byte_order_and_a_line_separator_are_read(tmp_path):
    write_audio(tmp_path / "a.wav")
    text = '\ufeff{"file_name": "a.wav", "label": "x\u2028y"}\r\n'
    (tmp_path / "metadata.jsonl").write_text(text, encoding="utf-8")
    assert [clip.label for clip in read_audiofolder(tmp_path)] == ["x\u2028y"]


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    write_lines(tmp_path / "metadata.csv", ["file_name,file_name,label", "a.wav,b.wav,dog"])
    with pytest.raises(ManifestError, match="has the column 'file_name' twice"):
        read_audiofolder(tmp_path)
