"""The command line: what it prints, what it refuses, with which exit status."""

import csv
import json
import subprocess
import sys

import pytest

from earmark.cli.main import VERBS, main


def refused(capsys, *argv: object) -> str:
    """The one line that a refused command prints on stderr; its exit status is 2."""
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in argv])
    assert caught.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    return lines[-1]


def test_help_lists_every_verb_and_answers_at_once():
    resource = pytest.importorskip("resource", reason="measures processor time, which Windows tells otherwise")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, "-m", "earmark", "--help"], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert all(f"\n  {verb}" in result.stdout for verb in VERBS)
    # processor time, not wall-clock time, which is up to whatever else the machine does
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.4


def test_help_imports_nothing_heavy():
    code = "import sys, earmark.cli.main; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "scipy", "soundfile", "sklearn", "PIL"} & set(result.stdout.split())


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_help_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert f"Example: earmark {verb}" in capsys.readouterr().out


def test_version(capsys):
    main(["--version"])
    assert capsys.readouterr().out.startswith("earmark 0.")


def test_mistakes_are_one_line_and_status_2(capsys, tmp_path):
    assert refused(capsys, "trian") == "earmark trian: 'trian' is no verb; did you mean 'train'?"
    assert "the config comes first" in refused(capsys, "suite", "--seeds", "1")
    assert "cannot be read" in refused(capsys, "train", tmp_path / "no.toml")
    assert "cannot be read" in refused(capsys, "validate", tmp_path / "no.csv")
    assert "not found" in refused(capsys, "manifest", "folder", tmp_path / "nowhere")
    assert "not found" in refused(capsys, "predict", tmp_path / "no.safetensors", tmp_path)


def test_unknown_overrides_are_refused(capsys, tmp_path):
    (tmp_path / "a.toml").write_text("", encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        main(["train", str(tmp_path / "a.toml"), "--train.bacth-size", "3"])
    assert caught.value.code == 2
    assert "--train.batch-size" in "".join(capsys.readouterr())


@pytest.fixture(scope="module")
def work(tmp_path_factory, tones):
    """A folder in which a manifest, a suite and a report were made by the command line, as a user would."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "tones.toml").write_text(
        'name = "tones"\n[data]\ndataset = "manifest"\n[front_end]\nn_fft = 256\nhop_length = 64\nn_mels = 32\n'
        "[split]\nn_folds = 2\n[augment]\nfreq_mask_bins = 4\n"
        "[variants.plain]\n[variants.dropped]\nmodel.dropout = 0.5\n",
        encoding="utf-8",
    )
    main(["manifest", "folder", str(tones), "-o", str(folder / "clips.csv")])
    where = ["--runs", str(folder / "runs"), "--work", str(folder / "work"), "--threads", "1"]
    overrides = ["--data.root", str(folder / "clips.csv"), "--train.epochs", "4", "--train.batch_size", "4"]
    main(["suite", str(folder / "tones.toml"), *overrides, *where, "--seeds", "1", "2"])
    return folder


def test_the_road_by_command_line(work, capsys):
    assert len(list((work / "runs" / "tones").glob("*/result.json"))) == 8
    main(["aggregate", str(work / "runs"), "-o", str(work / "tables")])
    assert {path.name for path in (work / "tables").iterdir()} >= {"results.csv", "results.md", "results.tex"}
    out = capsys.readouterr().out
    assert "plain" in out
    assert "dropped" in out
    main(["report", str(work / "runs"), "-o", str(work / "report.html")])
    page = (work / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;" in page


def test_dry_run_lists_and_trains_nothing(work, capsys):
    overrides = ["--data.root", str(work / "clips.csv"), "--train.epochs", "4", "--train.batch_size", "4"]
    where = ["--runs", str(work / "runs"), "--work", str(work / "work"), "--seeds", "1", "3"]
    main(["suite", str(work / "tones.toml"), *overrides, *where, "--dry-run"])
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("finished") for line in lines) == 4
    assert sum(line.startswith("to do") for line in lines) == 4


def test_split_writes_csvs_that_other_tools_read(work, capsys, tmp_path):
    argv = ["split", str(work / "clips.csv"), "--kind", "holdout", "--test-ratio", "0.25", "--val_ratio", "0.25"]
    main([*argv, "--seed", "123", "-o", str(tmp_path / "split")])
    with (tmp_path / "split" / "split.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:2] == ["filepath", "label"]
    assert {row["part"] for row in rows} == {"train", "valid", "test"}


def test_predict_answers_good_files_names_bad_ones_and_loses_nothing(work, tones, capsys, tmp_path):
    folder = tmp_path / "sounds"
    folder.mkdir()
    (folder / "good.wav").write_bytes((tones / "high" / "h00.wav").read_bytes())
    (folder / "text.wav").write_text("no audio", encoding="utf-8")
    (folder / "empty.wav").touch()
    run = next((work / "runs" / "tones").glob("plain-*"))
    table, records = tmp_path / "p.csv", tmp_path / "p.json"
    with pytest.raises(SystemExit) as caught:
        main(["predict", str(run), str(folder), str(tones / "low"), "--csv", str(table), "--json", str(records)])
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 13
    errors = printed.err.splitlines()
    assert sum("text.wav" in line for line in errors) == sum("empty.wav" in line for line in errors) == 1
    assert "2 of 15 files could not be read" in errors[-1]
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(json.loads(records.read_text(encoding="utf-8"))) == 15
    for row in rows:
        probs = [float(row[f"prob:{name}"]) for name in ("<script>", "high", "low")] if not row["error"] else [1.0]
        assert sum(probs) == pytest.approx(1.0)


def test_predict_refuses_a_folder_without_audio(work, capsys, tmp_path):
    run = next((work / "runs" / "tones").glob("plain-*"))
    assert "no audio file in this folder" in refused(capsys, "predict", run, tmp_path)
    assert "no such file or folder" in refused(capsys, "predict", run, tmp_path / "nowhere.wav")
