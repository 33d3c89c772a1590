"""Reading recordings into clips: the public sets as they are here, and made-up folders and tables."""

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import soundfile

from earmark.cli.main import main
from earmark.config.sections import ConfigError, DataConfig
from earmark.datasets.alike import alike_names, derived_clips, lists_of_labels, warn_of_alike_names
from earmark.datasets.emodb import UTTERANCES, read_emodb, validate_emodb
from earmark.datasets.esc50 import read_esc50, validate_esc50
from earmark.datasets.folder import groups_of_paths, read_csv, read_folder
from earmark.datasets.manifest import Clip, class_names, read_manifest, write_manifest
from earmark.datasets.read import READERS, read_dataset
from earmark.datasets.recordings import find_data
from earmark.datasets.rows import ManifestError


def write(path, seconds=0.5, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(int(seconds * rate)), rate)


def write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# ---------------------------------------------------------------------------------------------- ESC-50


def test_esc10_as_published(real_data, caplog):
    clips = read_esc50(real_data / "ESC-10", esc10=True)
    assert set(Counter(c.label for c in clips).values()) == {40}
    assert Counter(c.fold for c in clips) == dict.fromkeys(range(1, 6), 80)
    assert len(clips) == 400
    assert validate_esc50(clips, esc10=True) == []
    assert warnings_of(caplog) == []
    one = next(c for c in clips if c.clip_id == "1-100032-A-0")
    path = real_data / "ESC-10" / "audio" / "1-100032-A-0.ogg"
    assert one == Clip("1-100032-A-0", path, "dog", "100032", 1, pytest.approx(5.0, abs=0.02))
    durations = [c.duration for c in clips]
    assert (min(durations), max(durations)) == (pytest.approx(3.64, abs=0.01), pytest.approx(7.24, abs=0.01))


def test_esc50_of_ready_made_images_needs_no_audio(real_data):
    clips = read_esc50(real_data / "ESC-50-spectrograms", require_audio=False)
    assert (len(clips), len(class_names(clips)), len({c.group for c in clips})) == (2000, 50, 1524)
    assert validate_esc50(clips) == []
    subset = read_esc50(real_data / "ESC-50-spectrograms", esc10=True, require_audio=False)
    assert validate_esc50(subset, esc10=True) == []
    assert subset == [c for c in clips if c.label in set(class_names(subset))]


def test_the_four_sources_of_esc50_in_two_folds(real_data):
    """The known flaw of the published folds, so that a reader that fixes or misses it is noticed."""
    folds: dict[str, set] = {}
    for c in read_esc50(real_data / "ESC-50-spectrograms", require_audio=False):
        folds.setdefault(c.group, set()).add(c.fold)
    assert {g for g, f in folds.items() if len(f) > 1} == {"131943", "134049", "209698", "234879"}


HEADER = "filename,fold,target,category,esc10,src_file,take\n"


def test_esc50_errors_name_the_line_and_the_remedy(tmp_path):
    cases = {
        "": "is empty; ",
        HEADER: "has no rows",
        "filename,fold\na.wav,1\n": "no column 'category' among filename, fold",
        HEADER + "a.wav,x,0,dog,True,7,A\n": "line 2: fold 'x'; give a whole number from 1",
        HEADER + "a.wav,0,0,dog,True,7,A\n": "line 2: fold '0'",
        HEADER + "a.wav,1,0,dog,True,7,A\nb.wav,1,0,,True,7,A\n": "line 3: category is empty",
        HEADER + "a.wav,1,0,dog,True,7,A,8\n": "line 2: more cells than columns",
        HEADER + "a.wav,1,0,dog,True,7,A\na.flac,1,0,dog,True,7,A\n": "clip_id 'a' occurs more than once",
        HEADER + "a.wav,1,0,dog,True,7,A\n": "none of its 1 recordings can be read.*a.wav: does not exist",
    }
    for text, words in cases.items():
        write_text(tmp_path / "meta" / "esc50.csv", text)
        with pytest.raises(ManifestError, match=words):
            read_esc50(tmp_path)
    with pytest.raises(ManifestError, match=r"esc50.csv: cannot be read \(No such file.*earmark download esc50"):
        read_esc50(tmp_path / "absent")
    write_text(tmp_path / "meta" / "esc50.csv", HEADER + "a.wav,1,0,dog,False,7,A\n")
    with pytest.raises(ManifestError, match="no row is marked as ESC-10"):
        read_esc50(tmp_path, esc10=True)


def test_unreadable_recordings_are_warned_about_and_kept(tmp_path, caplog):
    write(tmp_path / "audio" / "a.flac")
    rows = "a.flac,1,0,dog,True,7,A\nb.wav,2,1,cat,True,8,A\n"
    write_text(tmp_path / "meta" / "esc50.csv", HEADER + rows)
    clips = read_esc50(tmp_path)
    assert [(c.clip_id, c.duration) for c in clips] == [("a", 0.5), ("b", 0.0)]
    (warning,) = warnings_of(caplog)
    assert "1 of 2 recordings cannot be read, `earmark validate` lists them" in warning
    assert "b.wav: does not exist" in warning


def test_what_is_missing_from_esc50_is_reported(real_data):
    clips = read_esc50(real_data / "ESC-50-spectrograms", require_audio=False)
    problems = validate_esc50([c for c in clips if c.label != "dog"][:-1])
    assert problems[:2] == ["1959 clips instead of 2000", "49 classes instead of 50"]
    assert problems[2].endswith(": 39 clips instead of 40")
    assert "instead of 5 folds of 400" in problems[3]


# ----------------------------------------------------------------------------------------------- EmoDB


def test_emodb_of_2_seconds_is_complete_but_not_the_original(real_data, caplog):
    clips = read_emodb(real_data / "EmoDB-2s")
    assert Counter(c.label for c in clips) == UTTERANCES
    assert validate_emodb(clips) == []
    assert {c.duration for c in clips} == {2.0}
    (warning,) = warnings_of(caplog)
    assert "every file lasts 2 s, so this is not the original EmoDB" in warning
    one = next(c for c in clips if c.clip_id == "03a01Fa")
    assert (one.label, one.group, one.fold) == ("happiness", "03", None)


def test_emodb_of_4_classes_is_original_but_not_complete(real_data, caplog):
    clips = read_emodb(real_data / "EmoDB-4class")
    assert len(clips) == 339
    assert Counter(c.label for c in clips) == {k: UTTERANCES[k] for k in ("anger", "neutral", "happiness", "sadness")}
    assert min(c.duration for c in clips) < 1.5
    assert max(c.duration for c in clips) > 8.5
    assert warnings_of(caplog) == []
    assert validate_emodb(clips) == [
        "339 utterances instead of 535",
        "boredom: 0 clips instead of 81",
        "disgust: 0 clips instead of 46",
        "fear: 0 clips instead of 69",
    ]


def test_emodb_in_the_archives_layout_with_other_files_beside(tmp_path, caplog):
    for name, seconds in (("03a01Wa.wav", 1), ("16b10Lb.flac", 2), ("readme.wav", 1), ("._03a01Wa.wav", 1)):
        write(tmp_path / "wav" / name, seconds)
    write_text(tmp_path / "wav" / "notes.txt", "")
    clips = read_emodb(tmp_path)
    assert [(c.label, c.group, c.duration) for c in clips] == [("anger", "03", 1.0), ("boredom", "16", 2.0)]
    assert warnings_of(caplog) == [f"{tmp_path}: skipped 1 file not named as in EmoDB; the first: readme.wav"]


@pytest.mark.parametrize("name", ["03a01Xa.wav", "3a01Wa.wav", "03c01Wa.wav", "03a01W.wav", "03a01wa.wav"])
def test_names_that_are_not_emodbs(tmp_path, name):
    write(tmp_path / name)
    with pytest.raises(ManifestError, match=r"no audio file named as in EmoDB .*earmark download emodb"):
        read_emodb(tmp_path)


def test_emodb_with_one_utterance_twice_is_refused(tmp_path):
    write(tmp_path / "03a01Wa.wav")
    write(tmp_path / "03a01Wa.flac")
    with pytest.raises(
        ManifestError, match=r"'03a01Wa' occurs more than once: \S+03a01Wa.flac and \S+03a01Wa.wav; rename"
    ):
        read_emodb(tmp_path)


# ------------------------------------------------------------------------------------- folders and tables


def test_a_folder_of_class_folders(tmp_path, caplog):
    names = ["dog/1.wav", "dog/2.flac", "cat/1.WAV", "cat/deep/1.ogg", "<script>alert(1)/é ü.wav", "loose.wav"]
    for name in names:
        write(tmp_path / name)
    write_text(tmp_path / "notes" / "a.txt", "no class: no audio")
    clips = {c.path.relative_to(tmp_path).as_posix(): c for c in read_folder(tmp_path)}
    assert {name: c.label for name, c in clips.items()} == {
        "dog/1.wav": "dog",
        "dog/2.flac": "dog",
        "cat/1.WAV": "cat",
        "cat/deep/1.ogg": "cat",
        "<script>alert(1)/é ü.wav": "<script>alert(1)",
    }
    ids = [clips[name].clip_id for name in names[:5]]
    assert ids == ["dog__1", "2", "cat__1", "cat_deep__1", "é_ü"]
    assert all(c.group == c.clip_id and c.duration == 0.5 and c.fold is None for c in clips.values())
    loose, groups = warnings_of(caplog)
    assert "1 file in no class folder, skipped: loose.wav" in loose
    assert "every file is its own group" in groups


@pytest.mark.parametrize(
    ("names", "warning"),
    [
        (
            ["rec/rain/1.wav", "rec/wind/2.wav"],
            "only one class, rec; are the classes one level below, such as rec/rain?",
        ),
        (
            ["a/rain/1.wav", "b/rain/2.wav"],
            "(a, b) hold folders only; are the classes one level below, such as a/rain?",
        ),
        (["rain/1.wav", "rain/x/2.wav"], "only one class, rain; make a folder for each class"),
        (["rain/1.wav", "wind/x/2.wav"], ""),
    ],
)
def test_a_folder_one_level_too_high_warns(tmp_path, caplog, names, warning):
    for name in names:
        write(tmp_path / name)
    read_folder(tmp_path, r"(\d)")
    assert [warning in text for text in warnings_of(caplog)] == [True] * bool(warning)


def test_groups_are_read_from_the_names_of_a_folder(tmp_path, caplog):
    write(tmp_path / "dog" / "tape7-a.wav")
    write(tmp_path / "dog" / "tape7-b.wav")
    write(tmp_path / "rain" / "x" / "tape8-a.wav")
    for pattern in ("^[^-]+", r"^(\w+)-"):
        assert [c.group for c in read_folder(tmp_path, pattern)] == ["tape7", "tape7", "tape8"]
    assert "own group" not in caplog.text


@pytest.mark.parametrize("pattern", [r"^(tape\d)|^(.*)", r"^(tape\d)|^.*", r"^tape\d|^.*"])
def test_a_group_pattern_may_have_alternatives(pattern):
    paths = [Path("dog", name) for name in ("tape7-a.wav", "tape7-b.wav", "bark.wav")]
    assert groups_of_paths(paths, pattern) == ["tape7", "tape7", "bark.wav"]


def test_groups_are_read_from_the_folders_where_the_pattern_has_a_slash(tmp_path):
    write(tmp_path / "dog" / "2024-05-03_site A" / "1.wav")
    write(tmp_path / "rain" / "2024-05-03_site A" / "x" / "2.wav")
    write(tmp_path / "rain" / "2024-05-11_site B" / "3.wav")
    groups = [c.group for c in read_folder(tmp_path, "^[^/]+/([^/]+)/")]
    assert groups == ["2024-05-03_site A", "2024-05-03_site A", "2024-05-11_site B"]
    with pytest.raises(ManifestError, match=r"no group in 1.wav, .*with a slash, .* it is searched in the path"):
        read_folder(tmp_path, "site")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "not a regular expression"), ("^z", "no group in a-1.wav"), ("^(z?)", "no group in a-1.wav")],
)
def test_a_group_pattern_that_finds_no_group_is_refused(tmp_path, pattern, message):
    write(tmp_path / "dog" / "a-1.wav")
    with pytest.raises(ManifestError, match=message):
        read_folder(tmp_path, pattern)


def test_a_group_pattern_for_a_csv(tmp_path, caplog):
    for name in ("cove_1.wav", "cove_2.wav", "fen_1.wav"):
        write(tmp_path / name)
    listed = write_text(tmp_path / "list.csv", "path,label\ncove_1.wav,owl\ncove_2.wav,owl\nfen_1.wav,toad\n")
    assert [c.group for c in read_csv(listed, group_pattern="^[^_]+")] == ["cove", "cove", "fen"]
    assert not caplog.text
    read_csv(listed, group_pattern="wav$")
    assert "group pattern 'wav$': gives one group ('wav') to all 3 recordings" in caplog.text
    write_text(listed, "path,label,group\ncove_1.wav,owl,a\n")
    with pytest.raises(ManifestError, match="has the column 'group'; give no group pattern"):
        read_csv(listed, group_pattern="^[^_]+")


@pytest.mark.parametrize("times", ["start,end", "start_time,end_time", "Start (s),End (s)"])
def test_a_csv_of_segments_is_no_list_of_files(tmp_path, times):
    write(tmp_path / "a.wav")
    listed = write_text(tmp_path / "list.csv", f"path,label,{times}\na.wav,owl,1,2\na.wav,owl,3,4\n")
    with pytest.raises(ManifestError, match=r"cut them into files with `earmark cut`.*for whole files, delete them"):
        read_csv(listed)


def test_labels_that_differ_in_writing_only_are_named(tmp_path, caplog, capsys):
    labels = ("Gallus gallus", "gallus_gallus", "Gre\u0300be", "Gr\u00e8be", "owl")
    for i, label in enumerate(labels):
        write(tmp_path / label / f"{i}.wav")
    main(["manifest", "folder", str(tmp_path), "-o", str(tmp_path / "clips.csv")])
    (warning,) = [text for text in warnings_of(caplog) if "count as different classes" in text]
    assert "'Gallus gallus' (1) = 'gallus_gallus' (1)" in warning and warning.count(" = ") == 1
    found = [c.label for c in read_manifest(tmp_path / "clips.csv")]
    assert found.count("Gr\u00e8be") == 2, "accents of macOS and of others are one label"


def test_labels_with_odd_characters_survive_the_manifest(tmp_path):
    labels = ["<script>alert('x')</script>", 'a "quoted", label', "=1+1", "naïve 声"]
    lines = ["path,label"]
    for i, label in enumerate(labels):
        write(tmp_path / "in" / f"{i}.wav")
        lines.append(f'{i}.wav,"{label.replace(chr(34), 2 * chr(34))}"')
    clips = read_csv(write_text(tmp_path / "in" / "list.csv", "\n".join(lines)))
    write_manifest(clips, tmp_path / "out" / "clips.csv")
    assert [c.label for c in clips] == [c.label for c in read_manifest(tmp_path / "out" / "clips.csv")] == labels


def test_folders_without_classes_are_refused(tmp_path):
    with pytest.raises(ManifestError, match="no subfolder has audio files; make one for each class"):
        read_folder(tmp_path)
    write(tmp_path / "a.wav")
    with pytest.raises(ManifestError, match="no subfolder has audio files"):
        read_folder(tmp_path)


def test_files_that_differ_in_extension_only_are_refused(tmp_path):
    write(tmp_path / "dog" / "1.wav")
    write(tmp_path / "dog" / "1.flac")
    with pytest.raises(ManifestError, match=r"'dog__1' occurs more than once: dog.1\.flac and dog.1\.wav; rename"):
        read_folder(tmp_path)


def test_a_table_with_groups_and_folds(tmp_path, caplog):
    write(tmp_path / "audio" / "a.wav")
    write(tmp_path / "b.wav", seconds=1.0)
    text = f"\ufefflabel, path ,group,fold,note\ndog,audio/a.wav,street,2,x\n cat ,{tmp_path / 'b.wav'},yard,,\n"
    clips = read_csv(write_text(tmp_path / "list.csv", text.replace(" path ", "path")))
    assert clips == [
        Clip("a", tmp_path / "audio" / "a.wav", "dog", "street", 2, 0.5),
        Clip("b", tmp_path / "b.wav", "cat", "yard", None, 1.0),
    ]
    assert warnings_of(caplog) == []


@pytest.mark.parametrize(
    ("header", "column"), [("FileName", ""), ("FILE", ""), ("clip", "clip"), ("path,clip", "clip")]
)
def test_the_column_of_the_path_has_any_name_and_its_paths_start_anywhere(tmp_path, header, column):
    write(tmp_path / "audio" / "a.wav")
    unused = "x," * header.count(",")
    table = write_text(tmp_path / "meta.csv", f"{header},Species,Recordist\n{unused}a.wav,robin,anna\n")
    options = ["--label-column", "Species", "--group-column", "Recordist", "--recordings", str(tmp_path / "audio")]
    options += ["--path-column", column] if column else []
    main(["manifest", "csv", str(table), "-o", str(tmp_path / "clips.csv"), *options])
    (clip,) = read_manifest(tmp_path / "clips.csv")
    assert (clip.path.resolve(), clip.label, clip.group) == (tmp_path / "audio" / "a.wav", "robin", "anna")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"label": "species"}, "--label-column 'species': no such column; did you mean 'Species'"),
        ({"group": "Recorder"}, "--group-column 'Recorder': no such column; did you mean 'Recordist'"),
        ({"path_column": "filename"}, "--path-column 'filename': no such column; did you mean 'FileName'"),
        ({"label": "FileName"}, "--label-column 'FileName': is the column of the path; name another one"),
        ({"label": "Species", "recordings": "nowhere"}, "--recordings 'nowhere': no such folder; give the one that"),
    ],
)
def test_a_column_that_is_not_there_gets_a_suggestion(tmp_path, given, message):
    table = write_text(tmp_path / "meta.csv", "FileName,Species,Recordist\na.wav,robin,anna\n")
    with pytest.raises(ManifestError, match=message):
        read_csv(table, **given)


def test_a_table_without_groups_warns(tmp_path, caplog):
    for name in ("x/a.wav", "y/a.wav"):
        write(tmp_path / name)
    clips = read_csv(write_text(tmp_path / "list.csv", "path,label\nx/a.wav,dog\ny/a.wav,cat\n"))
    assert [(c.clip_id, c.group) for c in clips] == [("x__a", "x__a"), ("y__a", "y__a")]
    assert "every file is its own group" in warnings_of(caplog)[0]
    assert "(other columns: none)" in warnings_of(caplog)[0]


def test_a_table_without_groups_names_its_other_columns(tmp_path, caplog):
    """A column speaker is not taken by itself; the warning says how."""
    write(tmp_path / "a.wav")
    table = write_text(tmp_path / "list.csv", "path,emotion,speaker,age\na.wav,joy,anna,30\n")
    (clip,) = read_csv(table, label="emotion")
    assert clip.group == "a"
    assert (
        "select their column with --group-column or data.group_column (other columns: speaker, age)"
        in warnings_of(caplog)[0]
    )
    with pytest.raises(
        ManifestError, match=r"no column 'label' among path, emotion.*--label-column.*data\.label_column"
    ):
        read_csv(table)


def test_names_that_are_written_in_two_ways_are_warned_of(tmp_path, caplog):
    """Two spellings of a speaker were two groups, so that the speaker could be in training and in test."""
    for name in "abcd":
        write(tmp_path / f"{name}.wav")
    lines = ["path,label,group", "a.wav,Joy,03", "b.wav,joy,3", "c.wav,anger,Anna  B", "d.wav,anger,anna b"]
    read_dataset(DataConfig("csv", str(write_text(tmp_path / "list.csv", "\n".join(lines)))))
    labels, groups = warnings_of(caplog)
    assert "labels that differ only in spelling count as different classes: 'Joy' (1) = 'joy' (1);" in labels
    assert "'03' (1) = '3' (1)" in groups and "'Anna  B' (1) = 'anna b' (1)" in groups
    assert "one speaker may be in both train and test" in groups


def test_names_that_differ_are_not_warned_of():
    assert alike_names(["site-0.5", "site-0.05", "10", "1", "0", "straße", "strasen", "Jo", "Joe"]) == []
    assert alike_names(["1-23", "12-3", "123", "x_-1", "x_1", "c", "c+", "Jorgen", "Joergen"]) == []
    assert alike_names(["か", "が", "й", "и"]) == [], "marks that make another letter"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("00", "0"),
        ("S01", "s1"),
        ("tape07", "tape7"),
        ("spk_1", "spk1"),
        ("a-1", "a1"),
        ("2024_05_03", "2024-05-03"),
        ("Anna-Lena", "Anna Lena"),
        ("A.B.", "AB"),
        ("björk", "bjork"),
        ("Jürgen", "Juergen"),
        ("JU\u0308RGEN", "Juergen"),
        ("é", "e\u0301"),
    ],
)
def test_spellings_of_one_name(one, other):
    first, second = sorted([one, other])
    assert alike_names([one, other, one, "else"]) == [
        f"{first!r} ({1 + (first == one)}) = {second!r} ({1 + (second == one)})"
    ]


def test_three_spellings_are_one_text():
    assert alike_names(["Muller", "Mueller", "Müller"]) == ["'Mueller' (1) = 'Muller' (1) = 'Müller' (1)"]


def test_several_labels_in_a_cell_are_warned_of(caplog):
    """Such a cell was a class of its own, without a word, although a clip has one label."""
    labels = ["anger", "loud", "anger;loud", "Loud, anger", "anger;loud", '["anger","loud"]', "['sad']", "anger + loud"]
    warn_of_alike_names([Clip(str(i), Path(f"{i}.wav"), label, str(i)) for i, label in enumerate(labels)], "list.csv")
    assert warnings_of(caplog) == [
        "list.csv: labels that seem to be several count as classes of their own (6 clips; 'Loud, anger', "
        "'[\"anger\",\"loud\"]', \"['sad']\", 'anger + loud', 'anger;loud'); give each clip one label"
    ]
    assert lists_of_labels(["guitar", "guitar, electric", "a/c", "a", "[noise]", "a/", "R&B"]) == []


def test_a_table_that_was_made_on_windows(tmp_path):
    write(tmp_path / "wav" / "anna" / "1.wav")
    (clip,) = read_csv(write_text(tmp_path / "list.csv", "path,label,group\nwav\\anna\\1.wav,joy,anna\n"))
    assert (clip.clip_id, clip.path, clip.duration) == ("1", tmp_path / "wav" / "anna" / "1.wav", 0.5)
    (tmp_path / "list.csv").write_bytes("path,label\na.wav,Ärger\n".encode("cp1252"))
    with pytest.raises(ManifestError, match=r"list\.csv: is not UTF-8 text \(byte 0xc4\); save it again, in Excel as"):
        read_csv(tmp_path / "list.csv")


@pytest.mark.parametrize("separator", [";", "\t"])
def test_tables_that_a_spreadsheet_has_saved(tmp_path, separator):
    """Semicolons and decimal commas, as in many countries; a comma in a cell is then no separator."""
    write(tmp_path / "a.wav")
    lines = ["path,label,group", "a.wav,dog,tape 7"]
    table = write_text(tmp_path / "list.csv", "\ufeff" + "\n".join(lines).replace(",", separator))
    (clip,) = read_csv(table)
    assert (clip.label, clip.group) == ("dog", "tape 7")
    write_manifest([clip], tmp_path / "clips.csv")
    text = (tmp_path / "clips.csv").read_text(encoding="utf-8").replace(",", separator).replace(".00", ",00")
    (again,) = read_manifest(write_text(tmp_path / "clips.csv", text.replace("dog", "dog, barking")))
    assert (again.label, again.duration) == ("dog, barking", clip.duration) and clip.duration > 0


@pytest.mark.parametrize("first", ["sep=;", "sep=;;"])
def test_a_first_line_with_the_separator_is_no_header(tmp_path, first):
    """Excel needs it where the system has another separator; lines in messages still are those of the file."""
    write(tmp_path / "a.wav")
    lines = f"\ufeff{first}\r\npath;label\r\na.wav;dog, barking\r\n"
    (clip,) = read_csv(write_text(tmp_path / "list.csv", lines))
    assert clip.label == "dog, barking"
    with pytest.raises(ManifestError, match="line 4: label is empty"):
        read_csv(write_text(tmp_path / "list.csv", lines + "b.wav;\r\n"))


@pytest.mark.parametrize("column", ["file", "filename"])
def test_the_column_of_the_recordings_may_have_another_name(tmp_path, column):
    write(tmp_path / "a.wav")
    (clip,) = read_csv(write_text(tmp_path / "list.csv", f"{column},label\na.wav,dog\n"))
    assert (clip.path, clip.label) == (tmp_path / "a.wav", "dog")
    with pytest.raises(ManifestError, match="no column 'path' among file, filename, label"):
        read_csv(write_text(tmp_path / "list.csv", "file,filename,label\na.wav,a.wav,dog\n"))


def test_columns_may_be_in_capitals(tmp_path):
    write(tmp_path / "a.wav")
    (clip,) = read_csv(write_text(tmp_path / "list.csv", "Path,Label,GROUP,Fold\na.wav,dog,x,2\n"))
    assert (clip.label, clip.group, clip.fold) == ("dog", "x", 2)
    (clip,) = read_csv(write_text(tmp_path / "list.csv", "path,Label,label\na.wav,dog,cat\n"), label="Label")
    assert clip.label == "dog"


def test_folds_as_pandas_writes_them_beside_gaps(tmp_path):
    for name in "ab":
        write(tmp_path / f"{name}.wav")
    clips = read_csv(write_text(tmp_path / "list.csv", "path,label,fold\na.wav,dog,2.0\nb.wav,dog,\n"))
    assert [clip.fold for clip in clips] == [2, None]


def test_tables_that_cannot_be_used(tmp_path):
    write(tmp_path / "a.wav")
    cases = {
        "path|label\na.wav|dog\n": "no column 'path' among path|label; give a CSV with the columns path,label",
        "path,label\n": "has no rows",
        "path,label\na.wav,\n": "line 2: label is empty; fill it in",
        "path,label\n\n,dog\n": "line 3: path is empty",
        "path,label,group\na.wav,dog,\n": "line 2: group is empty",
        "path,label,fold\na.wav,dog,one\n": "line 2: fold 'one'; give a whole number",
        "path,label\na.wav,dog\na.wav,cat\n": "line 3: a.wav is already in line 2 as 'dog', here it is 'cat'",
        "path,label\na.wav,dog\n./x/../a.wav,cat\n": r"line 3: \./x/\.\./a\.wav is already in line 2",
        "path,label\na,b.wav,dog\n": "line 2: more cells than columns; put cells with commas in quotes",
        "path,label\nb.wav,dog\n": "none of its 1 recordings can be read; the first: .*b.wav: does not exist",
    }
    for text, words in cases.items():
        with pytest.raises(ManifestError, match=words):
            read_csv(write_text(tmp_path / "list.csv", text))
    (tmp_path / "list.csv").write_bytes(b"path,label\n\xff.wav,dog\n")
    with pytest.raises(ManifestError, match=r"list.csv: is not UTF-8 text"):
        read_csv(tmp_path / "list.csv")


# -------------------------------------------------------------------------------------- by configuration


def test_every_kind_of_dataset_has_a_reader():
    assert set(READERS) == set(get_args(get_type_hints(DataConfig)["dataset"]))


def test_root_is_found_as_given_or_below_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EARMARK_DATA", raising=False)
    with pytest.raises(ManifestError, match=r"data.root = 'ESC-10': not found at .*EARMARK_DATA is not set.*download"):
        find_data("ESC-10")
    monkeypatch.setenv("EARMARK_DATA", str(tmp_path / "data"))
    with pytest.raises(ManifestError, match=f"not found at {tmp_path}/ESC-10 nor at {tmp_path}/data/ESC-10; give"):
        find_data("ESC-10")
    (tmp_path / "data" / "ESC-10").mkdir(parents=True)
    assert find_data("ESC-10") == tmp_path / "data" / "ESC-10"
    (tmp_path / "ESC-10").mkdir()
    assert find_data("ESC-10").absolute() == tmp_path / "ESC-10"
    assert find_data(str(tmp_path / "data")) == tmp_path / "data"


def test_datasets_by_configuration(real_data, monkeypatch, caplog):
    monkeypatch.setenv("EARMARK_DATA", str(real_data))
    monkeypatch.chdir(real_data.parent)
    assert len(read_dataset(DataConfig("esc10", root="ESC-10"))) == 400
    images = DataConfig("esc50", root="ESC-50-spectrograms", images="ESC-50-spectrograms/png")
    assert len(read_dataset(images)) == 2000
    assert warnings_of(caplog) == []
    read_dataset(DataConfig("esc50", root="ESC-10"))
    assert "ESC-10: not the complete ESC-50: 400 clips instead of 2000; 10 classes" in warnings_of(caplog)[-1]
    read_dataset(DataConfig("emodb", root="EmoDB-4class"))
    assert "not the complete EmoDB: 339 utterances instead of 535; boredom" in warnings_of(caplog)[-1]


def test_own_recordings_by_configuration(tmp_path):
    write(tmp_path / "set" / "dog" / "a.wav")
    (clip,) = read_dataset(DataConfig("folder", root=str(tmp_path / "set")))
    write_manifest([clip], tmp_path / "clips.csv")
    table = write_text(tmp_path / "list.csv", "path,label\nset/dog/a.wav,dog\n")
    for dataset, root in (("manifest", tmp_path / "clips.csv"), ("csv", table)):
        (same,) = read_dataset(DataConfig(dataset, root=str(root)))
        assert same == clip
    with pytest.raises(ConfigError, match=r"data.root = '': give the folder"):
        read_dataset(DataConfig("folder"))


def test_a_demo_set_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr("earmark.datasets.demo.N_SOURCES", 1)
    config = DataConfig("demo", root=str(tmp_path / "demo"))
    clips = read_dataset(config)
    clips[0].path.unlink()
    assert read_dataset(config) == clips
    assert not clips[0].path.exists()


def made_of(*names, **fields):
    return [Clip(name, Path(f"{name}.wav"), "dog", name, **fields) for name in names]


def test_clips_that_are_called_like_others_with_the_same_ending_are_named(tmp_path, caplog):
    originals = made_of("a", "b", "c", "d")
    halls = made_of("a_hall", "b_hall", "c_hall")
    assert derived_clips([*originals, *halls]) == {"_hall": ["a_hall", "b_hall", "c_hall"]}
    sped = made_of("sp0.9-a", "sp0.9-b", "sp0.9-c")
    assert derived_clips([*originals, *sped]) == {"sp0.9-": ["sp0.9-a", "sp0.9-b", "sp0.9-c"]}
    warn_of_alike_names([*originals, *halls, *sped], "clips.csv")
    assert "other groups with 'sp0.9-' at the beginning (sp0.9-a, " in caplog.text
    assert (
        "clips.csv: 3 clips are called like clips of other groups with '_hall' at the end (a_hall, b_hall,"
        in caplog.text
    )
    assert derived_clips([*originals, *halls[:2]]) == {}, "two may be chance"
    assert derived_clips([*originals, *(replace(clip, group=clip.clip_id[0]) for clip in halls)]) == {}, "one group"
    assert derived_clips([*originals, *(replace(clip, label="cat") for clip in halls)]) == {}
    assert derived_clips([*originals, *made_of("a_1", "b_1", "c_1", "a-02", "b-02", "c-02")]) == {}, "takes"
    assert derived_clips([*originals, *made_of("a_noisy", "b_noisy", "c_noisy")]) == {}, "kept with the original"
    assert derived_clips(made_of("a_hall", "b_hall", "c_hall")) == {}, "without an original"
