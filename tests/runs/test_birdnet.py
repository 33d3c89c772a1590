"""Results of BirdNET-Analyzer, as it writes them, become one answer for each clip."""

from pathlib import Path

import pytest

from earmark.analysis.records import read_runs
from earmark.cli.main import main
from earmark.config.sections import SplitConfig
from earmark.datasets.manifest import Clip, unique_ids, write_manifest
from earmark.runs.birdnet import read_detections
from earmark.runs.prediction_table import PredictionTableError
from earmark.splits.io import write_split
from earmark.splits.make import make_split

LABELS = ("Grèbe à cou noir", "Steller's Jay", "background")
CSV = "Start (s),End (s),Scientific name,Common name,Confidence,File\n"
RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tCommon Name\t"
RAVEN += "Species Code\tConfidence\tBegin Path\tFile Offset (s)\n"


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Names with blanks, each in two folders of each class; the manifest is written in the current folder."""
    monkeypatch.chdir(tmp_path)
    paths = [Path("rec", label, site, f"dawn {i}.wav") for label in LABELS for site in "AB" for i in range(2)]
    ids = unique_ids([path.stem for path in paths], [path.parent.as_posix() for path in paths])
    found = [Clip(i, p, p.parts[1], f"{p.parts[2]}{p.stem}") for i, p in zip(ids, paths, strict=True)]
    write_manifest(found, "clips.csv")
    return found


def write_results(clips: list[Clip]) -> None:
    """What a perfect detector writes, in both formats, with paths of two other machines; background is silent."""
    for number, clip in enumerate(clips):
        own = [(0.5, other) for other in LABELS[:2]] + [(0.9, clip.label), (0.99, "Eurasian Wren")]
        found = own if clip.label != "background" else []
        target = Path("birdnet", clip.clip_id)
        target.parent.mkdir(exist_ok=True)
        if number % 2:
            rows = [f'0.0,3.0,x,{label},{confidence},"/home/me/{clip.path}"\n' for confidence, label in found]
            target.with_name(f"{target.name}.BirdNET.results.csv").write_text(CSV + "".join(rows), encoding="utf-8")
            continue
        path = "D:\\field\\" + str(clip.path).replace("/", "\\")
        rows = [
            f"{i}\tSpectrogram 1\t1\t0\t3\t0\t15000\t{label}\tcode\t{confidence}\t{path}\t0\n"
            for i, (confidence, label) in enumerate(found or [(1.0, "nocall")], start=1)
        ]
        name = f"{target.name}.BirdNET.selection.table.txt"
        target.with_name(name).write_text(RAVEN + "".join(rows), encoding="utf-8")


def test_a_perfect_detector_is_right_for_every_clip(clips, caplog, capsys):
    """Blanks in names and names in two folders lost a fifth of the detections in a recipe that merged on the name."""
    write_results(clips)
    for fold in (1, 2):
        made = make_split(clips, SplitConfig(n_folds=2), fold)
        write_split(made, clips, Path("own", f"se-fold{fold}-seed42-0123456789"))
    given = ["--clips", "clips.csv", "--split", "own", "-o", "runs"]
    main(["import", "birdnet", "--format", "birdnet", "--missing", "background", *given])
    assert capsys.readouterr().out.startswith("runs: 2 runs of birdnet, 12 test clips, accuracy 100.0 %\n")
    assert "birdnet: 4 of 12 test clips without a prediction, counted as background (right for 4)" in caplog.text
    records = read_runs("runs")
    assert [r.result["metrics"]["accuracy"] for r in records] == [1.0, 1.0]
    assert sum(r.result["n_unanswered"] for r in records) == 4 and records[0].result["missing"] == "background"
    main(["aggregate", "runs"])
    assert "Note: birdnet gave no answer for 4 of 12 test clips: they count as background." in capsys.readouterr().out


def test_clips_without_a_detection_need_a_class(clips, capsys):
    write_results(clips)
    with pytest.raises(SystemExit):
        main(["import", "birdnet", "--format", "birdnet", "--clips", "clips.csv", "--fold", "1", "-o", "runs"])
    assert "prediction is empty; fill it in, or give --missing LABEL" in capsys.readouterr().err


def test_only_tested_clips_have_a_row_and_scientific_names_are_classes_too(clips):
    Path("a.csv").write_text(CSV + "0,3,Poecile,Chickadee,0.7,dawn 0.wav\n", encoding="utf-8")
    clips = [Clip(c, Path(f"{c}.wav"), label, c) for c, label in (("dawn 0", "Poecile"), ("b", "Chickadee"))]
    found = read_detections([Path("a.csv")], clips, ("Poecile", "x"), {"dawn 0"})
    assert found == {"clip_id": ["dawn 0"], "prediction": ["Poecile"]}


def test_the_most_confident_detection_is_the_answer_wherever_it_is(clips):
    rows = [f"{3 * i},{3 * i + 3},x,{LABELS[k]},{c},c.wav\n" for i, (k, c) in enumerate([(0, 0.6), (1, 0.9), (0, 0.7)])]
    Path("a.csv").write_text(CSV + "".join(rows), encoding="utf-8")
    clips = [Clip("c", Path("c.wav"), LABELS[0], "c"), Clip("d", Path("d.wav"), LABELS[1], "d")]
    assert read_detections([Path("a.csv")], clips)["prediction"] == [LABELS[1], ""]


def test_a_class_without_detections_is_named(clips, caplog):
    Path("a.csv").write_text(CSV + f"0,3,x,{LABELS[0]},0.7,B/dawn 0.wav\n0,3,x,Jay,0.7,c.wav\n", encoding="utf-8")
    clips = [*(c for c in clips if "rec/Gr" in c.path.as_posix()), Clip("c", Path("c.wav"), LABELS[1], "c")]
    assert read_detections([Path("a.csv")], clips)["prediction"] == ["", "", LABELS[0], "", ""]
    assert "no detection of Steller's Jay; detected, but no class: Jay (1)" in caplog.text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0,3,x,Steller's Jay,0.9,/rec/dusk.wav", r"1 recording with detections that the manifest lacks \(/rec/dusk"),
        ("0,3,x,Steller's Jay,0.9,/x/A/dawn 0.wav", "A/dawn 0.wav may be .*same folders"),
        ("0,3,x,Steller's Jay,high,B/dawn 1.wav", "line 2: Confidence 'high' is not a number"),
        ("0,3,x,Steller's Jay,nan,B/dawn 1.wav", "line 2: Confidence 'nan' is not a number"),
        (
            "0,3,x,Jay,0.9,/rec/background/B/dawn 1.wav",
            r"no detection is of a class \(.*the detected species: Jay \(1\)",
        ),
        ("0,3,x,Steller's Jay,0.9,", "line 2 has no recording, File or Begin Path"),
        ("0,3,,,0.9,dawn 0.wav", "line 2 has no species"),
    ],
)
def test_results_that_cannot_be_used_are_refused(clips, row, message):
    Path("a.results.csv").write_text(f"{CSV}{row}\n", encoding="utf-8")
    with pytest.raises(PredictionTableError, match=message):
        read_detections([Path("a.results.csv")], clips)


def test_two_recordings_are_not_one_clip(clips):
    rows = [f"0,3,x,background,0.9,{folder}/background/B/dawn 1.wav\n" for folder in ("/old", "/new")]
    Path("a.results.csv").write_text(CSV + "".join(rows), encoding="utf-8")
    with pytest.raises(PredictionTableError, match=r"/new/.* and /old/.* are .* by their name"):
        read_detections([Path("a.results.csv")], clips)


def test_other_files_are_refused(clips):
    with pytest.raises(PredictionTableError, match=r"has no \*\.results\.csv or \*\.selection\.table\.txt, but holds"):
        read_detections([Path()], clips)
    with pytest.raises(PredictionTableError, match=r"clips.csv: cannot be read .*'Confidence'"):
        read_detections([Path("clips.csv")], clips)
