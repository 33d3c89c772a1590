"""Segments of long recordings become files: which samples, which clips, and what is refused before any is written."""

import os
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from earmark.audio.io import AudioError
from earmark.cli.main import main
from earmark.datasets.manifest import read_manifest
from earmark.datasets.rows import ManifestError
from earmark.datasets.segment_tables import read_segments
from earmark.datasets.segments import Segment, cut_segments
from public_sets import RATE, write_audio, write_lines

HEADER = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation"


def row(number, view, start, end, label, channel=1):
    return f"{number}\t{view}\t{channel}\t{start}\t{end}\t0\t4000\t{label}"


def write_raven(root):
    """Two stereo recordings and their tables, in Raven's own naming; selection 1 has two views."""
    for name in ("dawn", "dusk"):
        write_audio(root / "recordings" / f"{name}.wav", seconds=2, channels=2)
    views = [row(1, "Waveform 1", 0.25, 0.75, ""), row(1, "Spectrogram 1", 0.25, 0.75, "owl")]
    lines = [HEADER, *views, row(2, "Spectrogram 1", 1.0, 2.02, "toad", channel=2)]
    write_lines(root / "selections" / "dawn.Table.1.selections.txt", lines)
    lines = [HEADER, row(1, "Spectrogram 1", 0.5, 1, "owl")]
    write_lines(root / "selections" / "dusk.Table.1.selections.txt", lines)
    return root


def test_raven_tables_become_files_with_a_manifest(tmp_path, capsys):
    root = write_raven(tmp_path)
    main(["cut", str(root / "selections"), "-o", str(root / "out"), "--recordings", str(root / "recordings")])
    assert capsys.readouterr().out == f"{root}/out/clips.csv: 3 clips, 2 classes, 2 groups\n"
    clips = read_manifest(root / "out" / "clips.csv")
    assert [(c.clip_id, c.label, c.group, c.duration) for c in clips] == [
        ("dawn_0001", "owl", "dawn", 0.5),
        ("dawn_0002", "toad", "dawn", 1.0),
        ("dusk_0001", "owl", "dusk", 0.5),
    ]
    whole, _ = soundfile.read(root / "recordings" / "dawn.wav", dtype="float32")
    for name, expected in (("dawn_0001", whole[2000:6000, 0]), ("dawn_0002", whole[8000:, 1])):
        samples, rate = soundfile.read(root / "out" / f"{name}.wav", dtype="float32")
        assert rate == RATE
        np.testing.assert_array_equal(samples, expected)


def test_recordings_of_one_name_in_folders_of_one_name(tmp_path):
    """As recorders write them, by day and time: each site has a folder of that day."""
    segments = []
    for site in ("north", "south"):
        path = tmp_path / site / "day1" / "0530.wav"
        write_audio(path, seconds=2)
        segments.append(Segment(path, 0.5, 1.0, "owl", site, str(path)))
    clips = cut_segments(segments, tmp_path / "out")
    assert [clip.clip_id for clip in clips] == ["north_day1__0530_0001", "south_day1__0530_0001"]


def test_a_table_of_many_recordings_with_paths_of_another_machine(tmp_path):
    """As BirdNET writes it: the time in the whole list of files, and the offset in the file."""
    root = write_raven(tmp_path)
    header = HEADER.replace("Annotation", "Common Name") + "\tBegin Path\tFile Offset (s)\tsite"
    rows = [
        row(1, "Spectrogram 1", 0, 1, "Tawny Owl") + "\tC:\\field\\dawn.wav\t0\tpier",
        row(1, "Spectrogram 1", 2.5, 3.5, "Toad") + "\tC:\\field\\dusk.wav\t0.5\tpier",
    ]
    table = write_lines(root / "all.txt", [header, *rows])
    clips = cut_segments(read_segments(table, group="site"), root / "out")
    assert [(c.label, c.group, c.duration) for c in clips] == [("Tawny Owl", "pier", 1.0), ("Toad", "pier", 1.0)]
    whole, _ = soundfile.read(root / "recordings" / "dusk.wav", dtype="float32")
    samples, _ = soundfile.read(clips[1].path, dtype="float32")
    np.testing.assert_array_equal(samples, whole[4000:12000, 0])


FILES_HEADER = "file,start,end,label"


@pytest.mark.parametrize("root", ["", "/data/", "D:\\field\\"])
def test_two_paths_are_never_found_as_one_recording(tmp_path, root):
    """Where that of site1 is missing, its rows are not cut from the recording of site2 that has the same name."""
    write_audio(tmp_path / "rec" / "site2" / "dawn.wav", seconds=2)
    rows = [f"{root}site1/dawn.wav,0,1,wren", f"{root}site2/dawn.wav,1,2,robin"]
    table = write_lines(tmp_path / "all.csv", [FILES_HEADER, *rows])
    with pytest.raises(
        ManifestError, match=r"line 3: '.*site2/dawn.wav' and '.*site1/dawn.wav' \(.*line 2\) would both"
    ):
        read_segments(table, tmp_path / "rec")
    write_audio(tmp_path / "rec" / "site1" / "dawn.wav", seconds=2)
    assert [s.recording.parent.name for s in read_segments(table, tmp_path / "rec")] == ["site1", "site2"]


def test_tables_in_folders_of_sites_are_not_found_as_one_recording(tmp_path):
    write_audio(tmp_path / "rec" / "site2" / "dawn.wav", seconds=2)
    for site in ("site1", "site2"):
        write_lines(tmp_path / "tracks" / site / "dawn.txt", ["0\t1\twren"])
    with pytest.raises(ManifestError, match=r"site2/dawn.txt and .*site1/dawn.txt \(.*line 1\) would both be"):
        read_segments(tmp_path / "tracks", tmp_path / "rec")
    write_audio(tmp_path / "flat" / "dawn.wav", seconds=2)  # tables of two persons, for instance
    assert len(read_segments(tmp_path / "tracks", tmp_path / "flat")) == 2


def test_one_recording_has_one_path_however_rows_write_it(tmp_path):
    recording = write_audio(tmp_path / "rec" / "dawn.wav", seconds=2)
    names = ["dawn.wav", "rec/dawn.wav", "rec\\dawn.wav", "rec/../rec/dawn.wav", "DAWN.WAV", str(recording)]
    table = write_lines(tmp_path / "all.csv", [FILES_HEADER, *(f"{name},0,1,wren" for name in names)])
    assert {s.recording for s in read_segments(table, tmp_path / "rec")} == {recording}


def test_a_recording_in_other_folders_than_those_in_the_table_is_named(tmp_path, caplog):
    write_audio(tmp_path / "rec" / "site2" / "dawn.wav", seconds=2)
    table = write_lines(tmp_path / "one.csv", [FILES_HEADER, "site1/dawn.wav,0,1,wren"])
    read_segments(table, tmp_path / "rec")
    assert "1 recording found by name, in other folders" in caplog.text
    assert "the first: 'site1/dawn.wav' is cut from" in caplog.text
    caplog.clear()
    write_lines(table, [FILES_HEADER, "/home/me/site2/dawn.wav,0,1,wren", "site2/dawn.wav,0,1,wren"])
    read_segments(table, tmp_path / "rec")
    write_lines(table, [FILES_HEADER, "/home/me/dawn.wav,0,1,wren"])
    read_segments(table, tmp_path / "rec" / "site2")
    assert not caplog.text


def test_a_table_in_capitals(tmp_path):
    write_audio(tmp_path / "dawn.wav", seconds=2)
    write_lines(tmp_path / "tracks" / "DAWN.TXT", ["0\t1\twren"])
    assert [s.recording.name for s in read_segments(tmp_path / "tracks", tmp_path)] == ["dawn.wav"]


@pytest.mark.parametrize("first", ["file,start,end,label", HEADER, "0\t1\towl"])
def test_tables_in_another_encoding_are_named_with_the_remedy(tmp_path, first):
    write_audio(tmp_path / "dawn.wav", seconds=2)
    (tmp_path / "dawn.txt").write_bytes(f"{first}\n0\t1\tgrün\n".encode("cp1252"))
    with pytest.raises(ManifestError, match=r"dawn.txt: is not UTF-8 text \(byte 0xfc\); save it .* 'CSV UTF-8'$"):
        read_segments(tmp_path / "dawn.txt")


def test_a_day_in_the_folder_of_another_site_is_named(tmp_path, caplog):
    write_audio(tmp_path / "rec" / "site2" / "day1" / "dawn.wav", seconds=2)
    table = write_lines(tmp_path / "one.csv", [FILES_HEADER, "/data/site1/day1/dawn.wav,0,1,wren"])
    read_segments(table, tmp_path / "rec")
    assert "the first: '/data/site1/day1/dawn.wav' is cut from" in caplog.text


def test_the_folder_of_a_path_decides_before_the_case_of_the_name(tmp_path):
    for name in ("A/DAWN.wav", "B/dawn.wav"):
        write_audio(tmp_path / "rec" / name, seconds=2)
    table = write_lines(tmp_path / "one.csv", [FILES_HEADER, "A/dawn.wav,0,1,wren"])
    assert [s.recording.parent.name for s in read_segments(table, tmp_path / "rec")] == ["A"]


def test_a_name_in_the_folder_of_a_site_means_the_recording_of_this_site(tmp_path):
    for name in ("dawn.wav", "site1/dawn.wav"):
        write_audio(tmp_path / "rec" / name, seconds=2)
    write_lines(tmp_path / "tables" / "site1" / "all.csv", [FILES_HEADER, "dawn.wav,0,1,wren"])
    (segment,) = read_segments(tmp_path / "tables", tmp_path / "rec")
    assert segment.recording.parent.name == "site1"


def test_label_tracks_of_audacity(tmp_path):
    root = write_raven(tmp_path)
    lines = ["0.25\t0.75\towl", "\\\t100.0\t3000.0", "1,0\t1,5\ttawny owl", ""]
    track = write_lines(root / "tracks" / "dawn.txt", lines)
    write_lines(root / "tracks" / "notes.txt", ["10 o'clock: rain"])
    for given in (track, root / "tracks"):
        found = read_segments(given, root / "recordings")
        assert [(s.recording.name, s.start, s.end, s.label) for s in found] == [
            ("dawn.wav", 0.25, 0.75, "owl"),
            ("dawn.wav", 1.0, 1.5, "tawny owl"),
        ]
    both = read_segments(root, root / "recordings")
    assert len(both) == 3, "the label track of a recording beside its Raven table is not read a second time"


def test_segmented_tables_of_audformat_and_plain_csvs(tmp_path):
    write_audio(tmp_path / "wav" / "a.wav", seconds=2)
    rows = ["wav/a.wav,0 days 00:00:00.500000,0 days 00:00:01,yes", "wav/a.wav,0 days 00:00:01.5,,no"]
    table = write_lines(tmp_path / "db.words.csv", ["file,start,end,word", *rows])
    segments = read_segments(table, label="word")
    assert [(s.start, s.end, s.label) for s in segments] == [(0.5, 1.0, "yes"), (1.5, float("inf"), "no")]
    clips = cut_segments(segments, tmp_path / "out")
    assert [c.duration for c in clips] == [0.5, 0.5]
    table = write_lines(tmp_path / "list.csv", ["path,start,end,label", "wav/a.wav,0.5,1,yes"])
    assert read_segments(table)[0].recording == tmp_path / "wav" / "a.wav"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEADER], "has no selections"),
        ([HEADER, row(1, "S", 0.5, 0.5, "owl")], r"line 2: is a point; give a length with --seconds, or correct"),
        ([HEADER, row(1, "S", 1, 0.5, "owl")], r"line 2: ends at 0.5 s, before its start at 1 s; correct the times"),
        ([HEADER, row(1, "S", 1, 2.2, "owl")], r"line 2: 1 to 2.2 s, but dawn.wav lasts 2 s"),
        ([HEADER, row(1, "S", 3, 4, "owl")], r"line 2: 3 to 4 s, but dawn.wav lasts 2 s"),
        ([HEADER, row(1, "S", "nan", 1, "owl")], r"line 2: time 'nan'; give seconds"),
        ([HEADER, row(1, "S", 0, 1, "")], "line 2: Annotation is empty"),
        ([HEADER, row(1, "S", 0, 1, "owl", channel=3)], "line 2: channel 3, but dawn.wav has 2"),
        ([HEADER.replace("Annotation", "Remark"), row(1, "S", 0, 1, "x")], "no column of the label; name it with"),
        ([f"{HEADER}\tBegin File", row(1, "S", 0, 1, "x") + "\tno.wav"], "line 2: the recording 'no.wav' is not below"),
        (["Time\tLabel", "1\t2"], "no column 'start' among .*give a Raven selection table"),
    ],
)  # fmt: skip
def test_wrong_tables_are_named_before_anything_is_written(tmp_path, lines, message):
    root = write_raven(tmp_path)
    table = write_lines(root / "recordings" / "dawn.Table.1.selections.txt", lines)
    with pytest.raises(ManifestError, match=message):
        cut_segments(read_segments(table), root / "out")
    assert not (root / "out").exists()


def test_recordings_that_are_missing_ambiguous_or_damaged(tmp_path):
    root = write_raven(tmp_path)
    table = root / "selections" / "dawn.Table.1.selections.txt"
    with pytest.raises(ManifestError, match=r"line 3: a recording that the table is named after is not below"):
        read_segments(table)
    write_audio(root / "copy" / "dawn.wav")
    with pytest.raises(ManifestError, match=r"is there 2 times .*give the folder of the recordings with --recordings"):
        read_segments(table, root)
    (root / "recordings" / "dawn.wav").write_bytes(b"nothing")
    with pytest.raises(AudioError, match=r"dawn.wav: cannot be decoded"):
        cut_segments(read_segments(table, root / "recordings"), root / "out")
    with pytest.raises(
        ManifestError, match=r"copy: holds no Raven table or label track \(\*.txt\) .*, but holds dawn.wav"
    ):
        read_segments(root / "copy")


@pytest.mark.parametrize("channel", ["0", "-1", "1.5", "left", "9" * 5000])
def test_a_channel_that_is_none_is_refused(tmp_path, channel):
    write_audio(tmp_path / "dawn.wav")
    write_lines(tmp_path / "dawn.txt", [HEADER, row(1, "Spectrogram 1", 0.1, 0.2, "owl", channel=channel)])
    with pytest.raises(ManifestError, match=r"line 2: Channel .* from 1, or leave it empty"):
        read_segments(tmp_path / "dawn.txt")


def test_a_segment_of_no_sample_is_refused(tmp_path):
    write_audio(tmp_path / "dawn.wav")
    write_lines(tmp_path / "dawn.txt", [HEADER, row(1, "Spectrogram 1", 0.1, 0.1 + 1e-9, "owl")])
    with pytest.raises(ManifestError, match="line 2: is shorter than one sample"):
        cut_segments(read_segments(tmp_path / "dawn.txt"), tmp_path / "out")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_among_tables_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "dawn.txt")
    with pytest.raises(ManifestError, match=r"dawn\.txt is not a file"):
        read_segments(tmp_path)


@pytest.mark.parametrize(
    "lines",
    [
        [
            "Start (s),End (s),Scientific name,Common name,Confidence,File",
            "0.5,1.0,Strix aluco,owl,0.9,/home/me/dawn.wav",
        ],
        ["audio_file,annotation_file,annotation,start_time,end_time,low_f", "rec/dawn.wav,x.txt,owl,0.5,1.0,200"],
        ["file,start_time,end_time,label", "recordings/dawn.wav,0.5,1.0,owl"],
        ["File,Start,End,LABEL,start_of_day", "recordings/dawn.wav,0.5,1.0,owl,6"],
        [HEADER.replace("\t", ","), "1,Waveform 1,1,0.5,1,0,4000,", "1,Spectrogram 1,1,0.5,1,0,4000,owl"],
        [HEADER.replace("\t", ";"), "1;Spectrogram 1;1;0,5;1,0;0;4000;owl"],
    ],
)
def test_csvs_of_birdnet_opensoundscape_and_raven(tmp_path, lines):
    root = write_raven(tmp_path)
    table = write_lines(root / "csvs" / "dawn.csv", lines)
    write_lines(root / "csvs" / "other.csv", ["path,label", "dawn.wav,owl"])
    for given in (table, root / "csvs"):
        found = read_segments(given, root)
        assert [(s.recording.name, s.start, s.end, s.label) for s in found] == [("dawn.wav", 0.5, 1.0, "owl")]


def test_tables_without_selections_in_a_folder_are_skipped_with_a_warning(tmp_path, caplog):
    root = write_raven(tmp_path)
    write_lines(root / "selections" / "night.Table.1.selections.txt", [HEADER])
    assert len(read_segments(root / "selections", root)) == 3
    assert "1 table without selections, skipped: night.Table.1.selections.txt" in caplog.text
    header = "Start (s),End (s),Scientific name,Common name,Confidence,File"
    write_lines(root / "csvs" / "night.BirdNET.results.csv", [header])
    with pytest.raises(ManifestError, match="csvs: has no selections"):
        read_segments(root / "csvs", root)


def test_the_group_in_the_names_of_the_recordings(tmp_path, capsys):
    for name in ("cove_0503.wav", "cove_0504.wav", "fen_0503.wav"):
        write_audio(tmp_path / "rec" / name[:4] / name, seconds=2)
    rows = [f"{name},0,1,owl" for name in ("cove_0503.wav", "cove_0504.wav", "fen_0503.wav")]
    table = write_lines(tmp_path / "all.csv", ["file,start,end,label", *rows])
    main(
        [
            "cut",
            str(table),
            "--recordings",
            str(tmp_path / "rec"),
            "-o",
            str(tmp_path / "o"),
            "--group-pattern",
            "^[^_]+",
        ]
    )
    assert "3 clips, 1 class, 2 groups" in capsys.readouterr().out
    assert [s.group for s in read_segments(table, tmp_path / "rec", group_pattern="^([^/]+)/")] == [
        "cove",
        "cove",
        "fen_",
    ]
    with pytest.raises(ManifestError, match=r"no group in fen_0503\.wav"):
        read_segments(table, tmp_path / "rec", group_pattern="cove")
    with pytest.raises(ManifestError, match="both name the group; give one"):
        read_segments(table, tmp_path / "rec", group="label", group_pattern="^[^_]+")


def test_files_of_one_length_around_their_segments(tmp_path):
    root = write_raven(tmp_path)
    segments = read_segments(root / "selections", root / "recordings")
    clips = cut_segments(segments, root / "out", seconds=0.9)
    assert [c.duration for c in clips] == [0.9] * 3
    whole, _ = soundfile.read(root / "recordings" / "dawn.wav", dtype="float32")
    first, last = round(0.05 * RATE), round(1.05 * RATE)
    for clip, expected in zip(clips, (whole[first : first + 7200, 0], whole[last : last + 7200, 1]), strict=False):
        np.testing.assert_array_equal(soundfile.read(clip.path, dtype="float32")[0], expected)
    edges = [replace(segments[0], start=0, end=0.1), replace(segments[0], start=1.9, end=2)]
    clips = cut_segments(edges, root / "edges", seconds=0.5)
    for clip, expected in zip(clips, (whole[:4000, 0], whole[-4000:, 0]), strict=True):
        np.testing.assert_array_equal(soundfile.read(clip.path, dtype="float32")[0], expected)
    for seconds in (3, 1e-9, -1, float("nan")):
        with pytest.raises(ManifestError, match="seconds = "):
            cut_segments(segments, root / "no", seconds=seconds)
    assert not (root / "no").exists()


def test_background_is_cut_from_the_time_between_the_segments(tmp_path, capsys, caplog):
    write_audio(tmp_path / "dawn.wav", seconds=12)
    write_audio(tmp_path / "full.wav", seconds=2)
    rows = ["dawn.wav,1,1.4,owl", "dawn.wav,1.2,4.5,toad", "dawn.wav,9.9,10,owl", "full.wav,0.5,1.5,owl"]
    table = write_lines(tmp_path / "all.csv", ["file,start,end,label", *rows])
    options = ["-o", str(tmp_path / "out"), "--seconds", "1", "--background", "noise"]
    main(["cut", str(table), *options])
    assert "7 clips, 3 classes, 2 groups" in capsys.readouterr().out
    assert "1 recording without room for noise between the segments: full.wav" in caplog.text
    whole, _ = soundfile.read(tmp_path / "dawn.wav", dtype="float32")
    noise = [clip for clip in read_manifest(tmp_path / "out" / "clips.csv") if clip.label == "noise"]
    assert {clip.group for clip in noise} == {"dawn"}
    # free: 0 to 0.7, 4.5 to 9.45 and 10.45 to 12, with room for four and one; evenly spread
    for clip, start in zip(noise, (4.5, 6.5, 10.45), strict=True):
        first = round(start * RATE)
        np.testing.assert_array_equal(soundfile.read(clip.path, dtype="float32")[0], whole[first : first + RATE])
    with pytest.raises(SystemExit):
        main(["cut", str(table), "-o", str(tmp_path / "no"), "--background", "noise"])
    assert "give the length of these files with --seconds" in capsys.readouterr().err


def test_segments_of_different_labels_that_overlap_are_named(tmp_path, caplog):
    write_audio(tmp_path / "dawn.wav", seconds=2)
    rows = [row(1, "S", 0, 1, "owl"), row(2, "S", 0.5, 1.5, "toad"), row(3, "S", 1.2, 2, "toad")]
    write_lines(tmp_path / "dawn.txt", [HEADER, *rows])
    cut_segments(read_segments(tmp_path / "dawn.txt"), tmp_path / "out")
    assert "1 pair of different labels overlap" in caplog.text
    assert "dawn.txt, line 2 and " in caplog.text
    caplog.clear()
    write_lines(tmp_path / "dawn.txt", [HEADER, rows[0], row(2, "S", 1, 1.5, "toad")])
    cut_segments(read_segments(tmp_path / "dawn.txt"), tmp_path / "next")
    assert not caplog.text


def test_paths_of_windows_and_names_in_another_case_are_found(tmp_path, caplog):
    for folder in ("A", "B"):
        write_audio(tmp_path / folder / "DAWN.WAV")
    table = write_lines(
        tmp_path / "T.CSV", ["file,onset,offset,label", "A\\dawn.wav,0,1,owl", "B\\dawn.wav,0:01,0:01,5,frog"]
    )
    write_lines(table, ["file;onset;offset;label", "A\\dawn.wav;0;1;owl", "B\\dawn.wav;0:01;0:01,5;frog"])
    for given in (table, tmp_path):
        found = read_segments(given)
        assert [(s.recording.parent.name, s.start, s.end) for s in found] == [("A", 0.0, 1.0), ("B", 1.0, 1.5)]
    assert not caplog.text
    write_lines(table, ["file;onset;offset;label", "C\\x.wav;0;1;owl"])
    write_audio(tmp_path / "B" / "x.wav")
    read_segments(table)
    assert (
        "1 recording found by name, in other folders than those in the table; the first: 'C\\\\x.wav' is cut"
        in caplog.text
    )


def test_all_overlaps_are_seen_and_none_crosses_groups(tmp_path, caplog):
    path = tmp_path / "dawn.wav"
    write_audio(path, seconds=3, channels=2)

    def segment(start, end, label, group="", channel=0):
        return Segment(path, start, end, label, group, f"t.csv, {label} {start}", channel)

    cut_segments([segment(0, 3, "A"), segment(0.1, 0.2, "A"), segment(1, 2, "B")], tmp_path / "out")
    assert "1 pair of different labels overlap" in caplog.text, "also where they are no neighbors"
    caplog.clear()
    clips = cut_segments([segment(0, 1, "A"), segment(0, 1, "A"), segment(2, 3, "B")], tmp_path / "twice")
    assert len(clips) == 2 and "1 segment listed a second time, cut once" in caplog.text
    caplog.clear()
    groups = [
        segment(0, 2, "A", "q"),
        segment(1, 2.5, "A", "p"),
        segment(2.6, 3, "A", "q"),
        segment(2.5, 2.6, "A", "r"),
    ]
    clips = cut_segments(groups, tmp_path / "united")
    assert [clip.group for clip in clips] == ["p", "p", "r", "p"]
    assert "1 pair of different groups overlap, so that these become one group: p and q; the first" in caplog.text
    caplog.clear()
    apart = [segment(0, 3, "A", "p", channel=1), segment(1, 2, "A", "q", channel=2)]
    assert [clip.group for clip in cut_segments(apart, tmp_path / "channels")] == ["p", "q"]
    following = [segment(0, 0.1 + 0.2, "A", "p"), segment(0.3, 1, "B", "q")]
    assert [clip.group for clip in cut_segments(following, tmp_path / "following")] == ["p", "q"]
    assert not caplog.text


def test_united_groups_in_two_spellings(tmp_path):
    """One of them kept its name, so that the group was in two subsets."""
    path = write_audio(tmp_path / "dawn.wav", seconds=8)
    rows = [(0, 2, "Jo\u0308rg"), (1, 3, "Anna"), (5, 6, "J\u00f6rg")]
    clips = cut_segments([Segment(path, *row[:2], "owl", row[2], f"{row}") for row in rows], tmp_path / "out")
    assert {clip.group for clip in clips} == {"Anna"}


def test_a_point_at_an_offset_stays_a_point(tmp_path):
    assert 0.2 + 0.5 - 0.2 < 0.5, "a rounding error"
    write_audio(tmp_path / "dawn.wav", seconds=2)
    lines = [f"{HEADER}\tFile Offset (s)", row(1, "S", 0.2, 0.2, "owl") + "\t0.5"]
    table = write_lines(tmp_path / "dawn.txt", lines)
    assert len(cut_segments(read_segments(table), tmp_path / "out", seconds=0.5)) == 1


def test_points_get_a_length(tmp_path):
    root = write_raven(tmp_path)
    track = write_lines(root / "tracks" / "dawn.txt", ["0.5\t0.5\towl"])
    segments = read_segments(track, root / "recordings")
    (clip,) = cut_segments(segments, root / "out", seconds=0.5)
    assert clip.duration == 0.5
    with pytest.raises(ManifestError, match=r"is a point; give a length with --seconds"):
        cut_segments(segments, root / "no")


def test_a_label_track_in_the_folder_of_another_site_is_named(tmp_path, caplog):
    write_audio(tmp_path / "rec" / "COVE" / "dawn.wav")
    write_lines(tmp_path / "sel" / "FEN" / "dawn.txt", ["0.25\t0.75\towl"])
    read_segments(tmp_path / "sel", tmp_path / "rec")
    assert "1 recording found by name, in other folders than those in the table" in caplog.text
    caplog.clear()
    write_audio(tmp_path / "flat" / "dawn.wav")
    read_segments(tmp_path / "sel", tmp_path / "flat")
    assert not caplog.text


def test_recordings_of_one_name_on_two_drives_are_two(tmp_path):
    write_audio(tmp_path / "rec" / "dawn.wav")
    lines = ["file,start,end,label", "E:\\dawn.wav,0,1,wren", "E:\\dawn.wav,1,2,wren", "F:\\dawn.wav,0,1,robin"]
    with pytest.raises(ManifestError, match=r"'F:.*dawn\.wav' and 'E:.*dawn\.wav' .* would both be .*dawn\.wav"):
        read_segments(write_lines(tmp_path / "t.csv", lines), tmp_path / "rec")
    assert len(read_segments(write_lines(tmp_path / "t.csv", lines[:3]), tmp_path / "rec")) == 2
