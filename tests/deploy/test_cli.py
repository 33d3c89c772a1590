"""The commands of cli/deploy.py, from arguments to files."""

import csv
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

import earmark.deploy.measure
from deploy_audio import CLASS_NAMES, make_waveform, write_model
from earmark import predict
from earmark.analysis.calibrate import Calibration
from earmark.cli.main import run_command
from earmark.datasets.segment_tables import read_segments
from earmark.deploy import quantize
from earmark.deploy.info import ExpectedScore
from earmark.deploy.label_files import LabelFiles
from earmark.deploy.model import load
from earmark.deploy.quantize import refuse_loss
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import file_digest


def run(command, *arguments) -> None:
    run_command(command, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for k, label in enumerate(("high", "low")):
        (folder / label).mkdir()
        for i in range(3):
            soundfile.write(folder / label / f"{i}.wav", make_waveform(2400, 10 * k + i), 8000)
    return folder


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.wav"
    soundfile.write(path, make_waveform(16000), 8000, subtype="FLOAT")
    return path


def test_export_writes_files_that_load(run_folder, tmp_path, capsys):
    for _ in range(2):  # what is there of an earlier call is written again
        run("export", run_folder, tmp_path / "m.onnx", "--split")
        compared, *lines = capsys.readouterr().out.splitlines()
    assert compared.startswith("as PyTorch on 4 synthetic clips: same labels, probabilities within ")
    names = [line.split("\t")[0] for line in lines]
    assert [Path(name).name for name in names] == ["m.front_end.onnx", "m.network.onnx"]
    assert load(tmp_path / "m.network.onnx").class_names == CLASS_NAMES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m.txt"], r"output = 'm\.txt': give a name that ends in \.onnx or \.html"),
        (["m.html"], "a page needs --runtime, the file that"),
        (["m.html", "--runtime", "r.tgz", "--split"], "split: a page is one file; leave it out"),
        (["m.html", "--runtime", "nix.tgz"], r"runtime nix\.tgz: no such file or folder; `npm pack onnxruntime-web@1"),
        (["m.onnx", "--precision", "int8"], "clips: int8 needs recordings"),
        (["m.onnx", "--precision", "int8", "--clips", "."], "no recording in a subfolder named like a class"),
    ],
)
def test_export_refuses_what_it_cannot_do(run_folder, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(earmark.deploy.export, "build_graphs", lambda *_: pytest.fail("built"))
    with pytest.raises(EarmarkError, match=message):
        run("export", run_folder, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_int8_reports_and_stores_its_accuracy(run_folder, clips, tmp_path, capsys):
    run("export", run_folder, tmp_path / "m.onnx", "--precision", "int8", "--clips", clips, "--force")
    assert f"accuracy on 6 clips (the clips of {clips.name}): float32" in capsys.readouterr().out
    import onnxruntime

    metadata = onnxruntime.InferenceSession(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map
    assert "6 clips: the clips of" in metadata["int8_score"]


def test_int8_says_where_its_accuracy_is_that_of_training_clips(clips, tmp_path, capsys, caplog):
    files = sorted(clips.rglob("*.wav"))
    for n_trained, tested in ((0, ""), (4, " that did not train the model"), (6, ", which trained the model")):
        digests = tuple(file_digest(file) for file in files[:n_trained])
        model = write_model(tmp_path / str(n_trained), recordings=digests)
        run("export", model, tmp_path / "m.onnx", "--precision", "int8", "--clips", clips, "--force")
        n_clips = 6 - n_trained or 6
        expected = f"accuracy on {n_clips} clips (the clips of {clips.name}{tested}): float32"
        assert expected in capsys.readouterr().out
        assert ("6 clips which trained the model: it is no score" in caplog.text) == (n_trained == 6)


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_a_clip_that_cannot_be_read_is_left_out(run_folder, clips, tmp_path, capsys, caplog, precision):
    folder = shutil.copytree(clips, tmp_path / "rec")
    for label in CLASS_NAMES[:2]:
        (folder / label).mkdir(exist_ok=True)
        (folder / label / "0.wav").write_bytes(b"no audio")
    arguments = ("export", run_folder, tmp_path / "m.onnx", "--precision", precision, "--clips", folder, "--force")
    n_files = len(list(folder.rglob("*.wav")))
    run(*arguments)
    out = capsys.readouterr().out
    assert f"accuracy on {n_files - 2} clips" in out or f"as PyTorch on {n_files - 2} clips" in out
    assert f"left out 2 clips of {n_files} that cannot be read: audio {folder}" in caplog.text
    for file in folder.rglob("*.wav"):
        file.write_bytes(b"no audio")
    with pytest.raises(EarmarkError, match=r"clips: none can be read \(audio .*\); name a folder of recordings"):
        run(*arguments)


def copy_run(run_folder: Path, rows: list[tuple[Path, str, str]], target: Path) -> Path:
    """The run folder with a split of these recordings, labels and subsets."""
    folder = shutil.copytree(run_folder, target)
    lines = [
        f"{os.path.relpath(path, folder)},{label},{i},{i},{subset}" for i, (path, label, subset) in enumerate(rows)
    ]
    header = "filepath,label,clip_id,group,subset"
    (folder / "split.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return folder


def test_int8_of_a_run_is_measured_on_its_own_test_clips(run_folder, clips, tmp_path, monkeypatch):
    files = sorted(clips.rglob("*.wav"))
    rows = [(file, file.parent.name, "train" if k % 3 else "test") for k, file in enumerate(files)]
    folder = copy_run(run_folder, rows, tmp_path / "run")
    _, before, after = quantize.export_int8(folder)
    assert before.n_clips == after.n_clips == 2
    assert after.source == "the test clips of run, int8"
    recordings = quantize.read_recordings(folder, None, CLASS_NAMES)
    assert [file.resolve() for file in recordings.ranges] == [file for file, _, subset in rows if subset == "train"]
    assert len(quantize.read_recordings(folder / "last.safetensors", None, CLASS_NAMES).tested) == 2
    folder.rename(tmp_path / "run-0123456789")
    assert len(quantize.read_recordings(folder, None, CLASS_NAMES).tested) == 2, "without its id"
    monkeypatch.chdir(tmp_path / "run-0123456789")
    assert quantize.read_recordings(Path(), None, CLASS_NAMES).name == "the test clips of run-0123456789"


def test_int8_of_a_run_with_a_class_that_the_model_does_not_have_is_refused(run_folder, clips, tmp_path):
    files = sorted(clips.rglob("*.wav"))
    folder = copy_run(run_folder, [(files[0], "high", "train"), (files[1], "zebra", "test")], tmp_path / "run")
    with pytest.raises(EarmarkError, match=r"split\.csv: zebra is not a class of the model; name a folder"):
        quantize.read_recordings(folder, None, CLASS_NAMES)


@pytest.mark.parametrize(("suffix", "subset"), [(".png", "test"), (".wav", "valid")])
def test_int8_of_a_run_without_test_recordings_is_refused(run_folder, tmp_path, suffix, subset):
    rows = [(Path(f"a{suffix}"), CLASS_NAMES[0], "train"), (Path(f"b{suffix}"), CLASS_NAMES[0], subset)]
    with pytest.raises(EarmarkError, match=r"split\.csv: does not list recordings of train and test; name a folder"):
        quantize.read_recordings(copy_run(run_folder, rows, tmp_path / "run"), None, CLASS_NAMES)


def test_value_ranges_are_measured_on_as_many_clips_as_stated(run_folder, clips, monkeypatch):
    measured = []
    build = quantize.build_graphs

    def build_or_stop(loaded, precision="float32", images_BFT=None):
        if images_BFT is None:
            return build(loaded, precision)
        measured.append(len(images_BFT))
        raise EarmarkError("enough")

    monkeypatch.setattr(quantize, "build_graphs", build_or_stop)
    for most, expected in ((4, 3), (6, 6)):  # six clips of one window
        monkeypatch.setattr(quantize, "RANGE_CLIPS", most)
        with pytest.raises(EarmarkError, match="enough"):
            quantize.export_int8(run_folder, clips)
        assert measured.pop() == expected


def test_accuracy_of_a_quantized_model_is_that_of_its_labels(exported):
    image = np.zeros((1, exported.info.front_end.n_mels, exported.info.window_frames), np.uint8)
    for k in range(3):
        info = replace(exported.info, calibration=Calibration(1.0, tuple(1e3 * np.eye(3)[k])))
        assert quantize._accuracy(replace(exported, info=info), [(image, k)]) == 1


def test_a_loss_of_more_than_a_point_is_refused():
    before, slight, grave = (ExpectedScore("accuracy", value, 100) for value in (0.9, 0.89, 0.885))
    refuse_loss(before, slight, force=False)
    refuse_loss(before, grave, force=True)
    with pytest.raises(EarmarkError, match=r"loses 1\.5 points of accuracy"):
        refuse_loss(before, grave, force=False)


def test_windows_are_written_in_each_format(onnx_file, recording, tmp_path, capsys):
    kinds = ("csv", "json", "audacity", "raven")
    outputs = [part for kind in kinds for part in (f"--{kind}", tmp_path / kind)]
    run("predict", onnx_file, recording, "--windows", "--hop", 0.1, "--threshold", 0.0, *outputs)
    text = {kind: (tmp_path / kind).read_text(encoding="utf-8") for kind in kinds}
    expected = list(load(onnx_file).predict_windows(recording, hop_seconds=0.1))
    labels = [w.label for w in expected]
    assert [row["prediction"] for row in csv.DictReader(io.StringIO(text["csv"]))] == labels
    assert [json.loads(line)["label"] for line in text["json"].splitlines()] == labels
    events = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    run("predict", onnx_file, recording, "--csv", tmp_path / "csv")  # over its own table
    assert events[-1][2] == "2.00" and events[-1][3] == labels[-1]
    assert [float(line.split("\t")[1]) for line in text["audacity"].splitlines()] == [float(e[2]) for e in events]
    assert len(text["raven"].splitlines()) == 1 + len(events)
    (tmp_path / "out.txt").write_text(text["raven"], encoding="utf-8")
    assert {s.recording for s in read_segments(tmp_path / "out.txt", recording.parent)} == {recording}, "to cut again"


def test_events_of_several_recordings_are_a_folder_of_label_files(onnx_file, clips, recording, tmp_path, capsys):
    """In the subfolders of the recordings; a file that cannot be read has none, and a class may have no events."""
    first = next(iter(sorted(clips.rglob("*.wav"))))
    for name in ("cove/dawn.wav", "fen/dawn.wav", "fen/dusk.wav"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(first if name == "fen/dusk.wav" else recording, tmp_path / "in" / name)
    (tmp_path / "in" / "fen" / "empty.wav").write_bytes(b"")
    labels = set(load(onnx_file).class_names)
    for left_out in ((), tuple(labels)):
        out = tmp_path / f"out{len(left_out)}"
        arguments = ["--leave-out", *left_out] if left_out else []
        kinds = ("--raven", out / "raven", "--audacity", out / "audacity")
        run("predict", onnx_file, tmp_path / "in", "--windows", "--threshold", 0.0, *kinds, *arguments)
        captured = capsys.readouterr()
        printed, told = captured.out.splitlines(), captured.err.splitlines()
        assert bool(printed) == (not left_out)
        without = [line for line in told if line.endswith("wav: no events")]
        assert len(without) == 3 * bool(left_out), "each recording, but not the one that cannot be read"
        names = sorted(p.relative_to(out / "raven").as_posix() for p in (out / "raven").rglob("*") if p.is_file())
        assert names == [f"{name}.selections.txt" for name in ("cove/dawn", "fen/dawn", "fen/dusk")]
        assert len((out / "audacity" / "fen" / "dusk.txt").read_text(encoding="utf-8").splitlines()) == sum(
            "dusk.wav" in line for line in printed
        )
        table = (out / "raven" / "cove" / "dawn.selections.txt").read_text(encoding="utf-8").splitlines()
        assert len(table) == 1 + sum("cove" in line for line in printed)
    found = read_segments(tmp_path / "out0" / "raven", tmp_path / "in")
    assert {s.recording.relative_to(tmp_path / "in").as_posix() for s in found} >= {"cove/dawn.wav", "fen/dawn.wav"}


def test_labels_that_are_there_are_not_overwritten_unless_forced(onnx_file, recording, tmp_path):
    """By hand or by a model: both have these names, and `cut` makes training clips of either."""
    shutil.copy(recording, tmp_path / "dawn.wav")
    (tmp_path / "dawn.txt").write_text("1\t2\trobin\n", encoding="utf-8")
    arguments = ("predict", onnx_file, tmp_path / "dawn.wav", "--windows", "--audacity", tmp_path)
    with pytest.raises(EarmarkError, match=r"dawn\.txt: exists; give another name or folder, or --force to overwrite"):
        run(*arguments)
    assert "robin" in (tmp_path / "dawn.txt").read_text(encoding="utf-8")
    run(*arguments, "--threshold", 0.0, "--force")
    assert "robin" not in (tmp_path / "dawn.txt").read_text(encoding="utf-8")


def test_label_files_stay_in_their_folder(tmp_path):
    """Recordings that differ in their extension only, and paths with dots."""
    paths = [tmp_path / "x" / ".." / "y" / "a.wav", tmp_path / "x" / "a.wav", tmp_path / "x" / "a.mp3"]
    files = LabelFiles(None, tmp_path / "out", paths, 8000)
    for path in paths:
        files.write(path, [])
    written = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.txt"))
    assert written == [f"out/{name}.selections.txt" for name in ("x/a.mp3", "x/a.wav", "y/a")]


def test_whole_files_are_printed_with_their_best_classes(run_folder, onnx_file, clips, capsys):
    for model in (run_folder, onnx_file):
        run("predict", model, clips, "--top-k", 2)
        lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        assert [line[0] for line in lines] == [str(path) for path in sorted(clips.rglob("*.wav"))]
        answer = load(model).predict(lines[-1][0])
        assert lines[-1][1:] == [cell for name, p in answer.top(2) for cell in (name, f"{p:.4f}")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--unknown"], "has no unknown score; `earmark finalize` makes"),
        (["--windows", "--raven", __file__], "is a file; for 6 recordings give a folder"),
        (["--windows", "--leave-out", "nothing"], "leave-out = 'nothing': no such class"),
        (
            ["--threshold", 0.99, "--min-seconds", 3, "--hop", 9],
            "--hop, --threshold, --min-seconds: .* without --windo",
        ),
        (["--threshold", 0.5], "--threshold: there are no events without --windows"),
        (["--audacity", "labels.txt"], "--audacity: there are no events without --windows; add it, or leave this out"),
        (["--raven", "raven"], "--raven: there are no events without --windows"),
        (["--leave-out", "dog"], "--leave-out: there are no events without --windows"),
        (["--windows", "--top-k", 3], "--top-k 3: events have one class; leave it out, or take all from --csv"),
    ],
)
def test_predict_refuses_what_it_cannot_do(run_folder, clips, arguments, message):
    with pytest.raises(EarmarkError, match=message):
        run("predict", run_folder, clips, *arguments)


def test_a_file_that_is_too_long_for_one_answer_is_named_with_what_the_command_offers(onnx_file, tmp_path, capsys):
    soundfile.write(tmp_path / "long.wav", np.zeros(8000 * 121), 8000)
    for command, remedy in (
        (("predict",), "use --windows"),
        (("embed", "-o", tmp_path / "e.csv"), "cut it into shorter"),
    ):
        run(command[0], onnx_file, tmp_path / "long.wav", *command[1:])
        assert f"long.wav: 121 s are more than 120 s at a time; {remedy}" in capsys.readouterr().err
    (answer,) = predict(onnx_file, [tmp_path / "long.wav"])
    assert answer.error.endswith("at a time; use predict_windows")


@pytest.mark.parametrize("as_json", [False, True])
def test_listen_prints_what_comes(run_folder, recording, monkeypatch, capsys, as_json):
    raw = soundfile.read(recording, dtype="float32")[0].astype("<f4").tobytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw)))
    options = ["--json"] if as_json else ["--threshold", 0.0]
    run("listen", run_folder, "--sample-rate", 8000, "--hop", 0.25, *options)
    lines = capsys.readouterr().out.splitlines()
    expected = list(load(run_folder).predict_windows(recording, hop_seconds=0.25))
    if as_json:
        assert [json.loads(line)["label"] for line in lines] == [w.label for w in expected]
    else:
        assert lines[0].split("\t")[2] == expected[0].label and lines[-1].split("\t")[1] == "2.00"


def test_listen_says_that_it_listens_and_that_there_was_nothing(run_folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(bytes(4 * 8000))))
    run("listen", run_folder, "--sample-rate", 8000, "--threshold", 1.0)
    listening, none = capsys.readouterr().err.splitlines()
    assert listening == "listening at 8000 Hz; Ctrl-C stops"
    assert none == "no events; --threshold below 1 finds weaker ones"


def test_listen_needs_a_stream(run_folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(EarmarkError, match="standard input is closed; send raw samples"):
        run("listen", run_folder, "--sample-rate", 8000)


def test_embeddings_are_written(run_folder, clips, tmp_path):
    for name in ("e.csv", "e.npz", "e.csv"):  # also over its own table
        run("embed", run_folder, clips, "-o", tmp_path / name)
    with np.load(tmp_path / "e.npz") as stored:
        assert stored["embeddings"].shape == (6, 320)
        np.testing.assert_allclose(stored["embeddings"][0], load(run_folder).embed(stored["paths"][0]), atol=1e-5)
    rows = list(csv.reader((tmp_path / "e.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 7 and len(rows[0]) == 321
    with pytest.raises(EarmarkError, match=r"give a name that ends in \.csv or \.npz"):
        run("embed", run_folder, clips, "-o", tmp_path / "e.txt")


def test_a_run_here_is_found_without_its_id(run_folder, clips, tmp_path, monkeypatch):
    shutil.copytree(run_folder, tmp_path / "se-fold1-seed42-0123456789")
    monkeypatch.chdir(tmp_path)
    run("embed", "se-fold1-seed42", clips, "-o", "e.csv")
    assert (tmp_path / "e.csv").is_file()


def test_embeddings_of_the_files_that_can_be_read_are_written(run_folder, clips, tmp_path, capsys):
    good, bad = sorted(clips.rglob("*.wav"))[0], tmp_path / "bad.wav"
    bad.write_bytes(b"no audio")
    assert run_command("embed", [str(run_folder), str(bad), "-o", str(tmp_path / "none.csv")]) == 1
    assert not (tmp_path / "none.csv").exists()
    assert run_command("embed", [str(run_folder), str(bad), str(good), "-o", str(tmp_path / "e.csv")]) == 1
    rows = list(csv.reader((tmp_path / "e.csv").read_text(encoding="utf-8").splitlines()))
    assert [row[0] for row in rows] == ["path", good.as_posix()]
    errors = capsys.readouterr().err
    assert f"error: audio {bad}: cannot be decoded" in errors
    assert "earmark embed: 1 of 2 files could not be read" in errors


def test_benchmark_measures_each_model_apart(onnx_file, clips, tmp_path, capsys):
    for _ in range(2):  # what is there of an earlier call is written again
        run("benchmark", onnx_file, "--clips", clips, "--json", tmp_path / "costs.json")
    (cost,) = json.loads((tmp_path / "costs.json").read_text(encoding="utf-8"))["costs"]
    assert cost["form"] == "model.onnx" and 0 < cost["p50_ms"] <= cost["p95_ms"]
    assert cost["megabytes"] == pytest.approx(onnx_file.stat().st_size / 1e6)
    assert 0 <= cost["accuracy"] <= 1
    assert "model.onnx" in capsys.readouterr().out


def test_benchmark_names_what_is_missing(tmp_path, clips):
    with pytest.raises(EarmarkError, match="empty: no audio file in this folder"):
        (tmp_path / "empty").mkdir()
        run("benchmark", "m.onnx", "--clips", tmp_path / "empty")
    with pytest.raises(EarmarkError, match=r"nowhere: no such file or folder$"):
        run("benchmark", "m.onnx", "--clips", tmp_path / "nowhere")
    with pytest.raises(EarmarkError, match="no such file") as missing:
        run("benchmark", tmp_path / "m.onnx", "--clips", clips)
    assert "Error" not in str(missing.value), "only the message of the process that failed"


def test_benchmark_finds_the_last_model_before_it_measures_the_first(onnx_file, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(earmark.deploy.measure.subprocess, "run", lambda *_, **__: pytest.fail("measured"))
    with pytest.raises(EarmarkError, match=r"^[^:]*m\.onnx: no such file"):
        run("benchmark", onnx_file, tmp_path / "m.onnx", "--clips", clips)


def test_benchmark_names_a_model_that_fails_once(onnx_file, clips, monkeypatch):
    failed = SimpleNamespace(returncode=1, stderr=f"{onnx_file}: is damaged\n")
    monkeypatch.setattr(earmark.deploy.measure.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(EarmarkError, match=r"^[^:]*model\.onnx: is damaged$"):
        run("benchmark", onnx_file, "--clips", clips)


@pytest.mark.skipif(not shutil.which("false"), reason="needs a program that fails silently")
def test_benchmark_says_how_a_process_ended_that_said_nothing(onnx_file, clips, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(EarmarkError, match=r"model\.onnx: the process ended with status 1"):
        run("benchmark", onnx_file, "--clips", clips)


def test_serve_refuses_before_it_listens(tmp_path):
    (tmp_path / "page.html").write_bytes(b"\xff\xfe")
    with pytest.raises(EarmarkError, match=r"page\.html is not UTF-8 text"):
        run("serve", tmp_path / "m.onnx", "--port", 0, "--page", tmp_path / "page.html")
    with pytest.raises(EarmarkError, match="name at least one exported file"):
        run("serve")
    with pytest.raises(EarmarkError, match="no such file"):
        run("serve", tmp_path / "m.onnx", "--port", 0)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(EarmarkError, match="give another port"):
        run("serve", tmp_path / "m.onnx", "--port", taken.getsockname()[1])


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell with true")
@pytest.mark.parametrize("streams", ["", "2>&1"])
def test_files_are_written_where_nobody_reads_the_output(onnx_file, clips, tmp_path, streams):
    """`| head -1` ended the command before the CSV was there."""
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    command = f'"{sys.executable}" -u -m earmark predict "{onnx_file}" "{tmp_path}" "{clips}"'
    for output, status in (("--csv a.csv --json a.jsonl", 1), ("--windows --csv b.csv --raven labels", 1), ("", 141)):
        line = f"({command} {output} {streams}; echo $? > status) | true"
        done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "Traceback" not in done.stderr
        assert int((tmp_path / "status").read_text()) == status
    with (tmp_path / "a.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 7
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 7
    assert (tmp_path / "b.csv").is_file() and len(list((tmp_path / "labels").rglob("*.txt"))) == 6


def test_predict_with_an_onnx_file_imports_no_torch(onnx_file, recording):
    code = f"""
import sys
from earmark.cli.main import main
main(["predict", {str(onnx_file)!r}, {str(recording)!r}])
sys.exit("torch" in sys.modules or "scipy" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("output", ["--csv", "--json", "--raven"])
@pytest.mark.parametrize("written", ["long.wav", "../{}/long.wav"])
def test_predict_does_not_replace_what_it_reads(onnx_file, recording, output, written):
    content = recording.read_bytes()
    with pytest.raises(EarmarkError, match="would replace an input"):
        run(
            "predict",
            onnx_file,
            recording,
            "--windows",
            output,
            recording.parent / written.format(recording.parent.name),
        )
    assert recording.read_bytes() == content
