"""The command line: what it prints, what it refuses, with which exit status."""

import csv
import subprocess
import sys

import pytest

from commands import run
from earmark.cli.main import COMMANDS, EXIT_STATUS, GROUPS, main, overview, summary
from earmark.cli.training import report_failures

VERBS = {"Check", "Classify", "Compare", "Compute", "Download,", "Find", "Import", "List", "Measure", "Plot"}
VERBS |= {"Combine", "Count", "Make", "Upload", "Export", "Print", "Serve", "Run", "Show", "Split", "Train", "Write"}
VERBS |= {"Build", "Choose", "Score"}
"""First words of help lines: extend it with imperatives only."""


def refused(capsys, *argv: object) -> str:
    """The one line that a command which cannot run prints on stderr; its exit status is 2."""
    assert run(*argv) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line]
    return line


class TestHelp:
    def test_lists_every_command_and_answers_at_once(self):
        resource = pytest.importorskip("resource", reason="measures processor time, which Windows reports differently")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = subprocess.run([sys.executable, "-m", "earmark", "--help"], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert all(f"\n  {name}" in result.stdout for name in COMMANDS)
        # processor time, not wall-clock time, which depends on the load of the machine
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.4

    def test_imports_nothing_heavy(self):
        code = "import sys, earmark.cli.main; print(*sorted({m.split('.')[0] for m in sys.modules}))"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert not {"torch", "numpy", "scipy", "soundfile", "sklearn", "PIL"} & set(result.stdout.split())

    def test_groups_the_commands_by_pipeline_stage(self):
        positions = [overview().index(f"\n{group}:\n") for group in GROUPS]
        assert positions == sorted(positions)
        assert list(GROUPS) == ["Start", "Data", "Features", "Splits", "Training", "Results", "Deployment"]

    def test_fits_a_terminal_of_80_columns(self):
        assert max(map(len, overview().splitlines())) <= 80

    @pytest.mark.parametrize("name", sorted(COMMANDS))
    def test_lines_begin_with_an_imperative(self, name):
        assert summary(COMMANDS[name]).split()[0] in VERBS
        assert summary(COMMANDS[name]).endswith(".")

    def test_explains_the_exit_status(self):
        assert EXIT_STATUS in overview()

    @pytest.mark.parametrize("name", sorted(COMMANDS))
    def test_every_command_has_an_example(self, name, capsys):
        assert run(name, "--help") == 0
        printed = capsys.readouterr().out
        assert f"\nExample: earmark {name}" in printed, "at the beginning of a line"
        assert "{None}|" not in printed


def test_version(capsys):
    main(["--version"])
    assert capsys.readouterr().out.startswith("earmark 0.")


def test_help_ends_quietly_when_its_reader_goes_away():
    code = "import sys; from earmark.cli.main import main; sys.stdin.read(); main(['--help'])"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as process:
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_an_unknown_command_names_the_nearest_one(capsys):
    assert refused(capsys, "trian") == "earmark: unknown command 'trian'; did you mean 'train'?"
    assert refused(capsys, "siute") == "earmark: unknown command 'siute'; did you mean 'suite'?"
    assert refused(capsys, "xyz").startswith("earmark: unknown command 'xyz'; choose from demo, init, doctor, ")


def test_mistakes_are_one_line_and_status_2(capsys, tmp_path):
    assert "the config comes first" in refused(capsys, "suite", "--seeds", "1")
    assert "`earmark init esc10` writes esc10.toml" in refused(capsys, "suite", "nowhere/esc10.toml")
    assert "`earmark init own` writes own.toml" in refused(capsys, "suite", "nowhere.toml")
    assert "no recordings; give audio files" in refused(capsys, "predict", "runs/own")
    assert "--group-pattern 'x': for folder and csv" in refused(
        capsys, "manifest", "esc50", "a", "--group-pattern", "x"
    )
    assert "cannot be read" in refused(capsys, "train", tmp_path / "no.toml")
    assert "cannot be read" in refused(capsys, "validate", tmp_path / "no.csv")
    assert "not found" in refused(capsys, "manifest", "folder", tmp_path / "nowhere")
    (tmp_path / "a.wav").touch()
    assert "not found" in refused(capsys, "predict", tmp_path / "no.safetensors", tmp_path)


def test_a_recording_is_not_listened_to(capsys):
    line = refused(capsys, "listen", "model.onnx", "field/dawn 1.WAV")
    assert line.endswith("for a file: earmark predict MODEL 'field/dawn 1.WAV' --windows")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["suite", "tones.toml", "--data.root", "clips.csv", "--folds", "9"], "has folds 1 to 2 here"),
        (["suite", "tones.toml", "--data.root", "clips.csv", "--train.patience", "3"], "no valid subset to stop on"),
        (["finalize", "runs/tones", "model"], "the suite has 2; choose from dropped, plain"),
        (["finalize", "runs/tones", "model", "--variant", "plane"], "did you mean 'plain'"),
    ],
)
def test_what_needs_no_torch_is_refused_before_it_is_imported_and_audio_read(work, arguments, message):
    code = f"""
import sys, earmark.audio.io, earmark.features.store_tasks as tasks
from earmark.cli.main import main
earmark.audio.io.audio_info = tasks.planned_entries = None
try:
    main({arguments!r})
finally:
    print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=work)
    assert message in done.stderr and done.stdout == "False\n", done.stderr


def test_unknown_overrides_are_refused(capsys, tmp_path):
    (tmp_path / "a.toml").write_text("", encoding="utf-8")
    assert run("train", tmp_path / "a.toml", "--train.bacth-size", 3) == 2
    assert "--train.batch-size" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--probe.shots", 3, 0], "probe.shots = 0: give numbers from 1"),
        (
            ["--split.valid-fold", "--split.val-ratio", 0.2],
            "split.val_ratio = 0.2: give 0, or set valid_fold = false: ",
        ),
        (["--seeds", 1, 1], "seeds = [1, 1]: give each seed once"),
    ],
)
def test_values_of_options_are_refused_in_one_line_as_those_of_the_config_are(capsys, tmp_path, options, message):
    (tmp_path / "a.toml").write_text("", encoding="utf-8")
    assert refused(capsys, "suite", tmp_path / "a.toml", *options).startswith(f"earmark suite: {message}")


@pytest.fixture(scope="module")
def work(tmp_path_factory, tones):
    """A folder with a manifest and a finished suite, made by the command line."""
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


def test_the_pipeline_by_command_line(work, capsys):
    assert len(list((work / "runs" / "tones").glob("*/result.json"))) == 8
    main(["aggregate", str(work / "runs"), "-o", str(work / "tables")])
    assert {path.name for path in (work / "tables").iterdir()} >= {"results.csv", "results.md", "results.tex"}
    out = capsys.readouterr().out
    assert "plain" in out
    assert "dropped" in out
    main(["report", str(work / "runs"), "-o", str(work / "report.html")])
    page = (work / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;" in page


def test_dry_run_lists_the_runs_and_trains_none(work, capsys):
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
    assert {row["subset"] for row in rows} == {"train", "valid", "test"}
    assert "instead of" not in capsys.readouterr().out
    main(["split", str(work / "clips.csv"), "--n-folds", "2", "-o", str(tmp_path / "split")])
    assert capsys.readouterr().out.endswith(" test clips (instead of holdout, fold 1, with 9 test clips)\n")


def test_predict_classifies_good_files_and_names_bad_ones_with_status_1(work, tones, capsys, tmp_path):
    folder = tmp_path / "sounds"
    folder.mkdir()
    (folder / "good.wav").write_bytes((tones / "high" / "h00.wav").read_bytes())
    (folder / "text.wav").write_text("no audio", encoding="utf-8")
    (folder / "empty.wav").touch()
    checkpoint = next((work / "runs" / "tones").glob("plain-*"))
    table, records = tmp_path / "p.csv", tmp_path / "p.json"
    for first in (True, False):  # what is there of an earlier call is written again
        assert run("predict", checkpoint, folder, tones / "low", "--csv", table, "--json", records) == 1
        if first:
            capsys.readouterr()
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 13
    errors = printed.err.splitlines()
    assert sum("text.wav" in line for line in errors) == sum("empty.wav" in line for line in errors) == 1
    assert "2 of 15 files could not be read" in errors[-1]
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(records.read_text(encoding="utf-8").splitlines()) == 15
    for row in rows:
        probs = [float(row[f"prob:{name}"]) for name in ("<script>", "high", "low")] if not row["error"] else [1.0]
        assert sum(probs) == pytest.approx(1.0)


def test_predict_refuses_a_folder_without_audio(work, capsys, tmp_path):
    checkpoint = next((work / "runs" / "tones").glob("plain-*"))
    assert "no audio file in this folder" in refused(capsys, "predict", checkpoint, tmp_path)
    assert "no such file or folder" in refused(capsys, "predict", checkpoint, tmp_path / "nowhere.wav")


def test_validate_ends_with_1_where_it_found_a_problem(work, capsys):
    assert run("validate", work / "clips.csv") == 0
    assert "36 clips, no problems" in capsys.readouterr().out
    lines = (work / "clips.csv").read_text(encoding="utf-8").splitlines()
    gone = work / "gone.csv"
    gone.write_text("\n".join([*lines, "gone,gone.wav,high,gone,,"]), encoding="utf-8")
    assert run("validate", gone) == 1
    printed = capsys.readouterr()
    assert "gone.wav" in printed.out
    assert printed.err.splitlines()[-1] == f"earmark validate: {gone}: 1 problem in 37 clips, listed above"


def test_audit_ends_with_1_where_it_found_a_leak(work, capsys, tmp_path):
    main(["split", str(work / "clips.csv"), "--n-folds", "2", "-o", str(tmp_path / "split")])
    assert "split: fold 1 of 2, " in capsys.readouterr().out
    assert run("audit", work / "clips.csv", "--split", tmp_path / "split", "--jobs", 1) == 0
    lines = (work / "clips.csv").read_text(encoding="utf-8").splitlines()
    one_group = [",".join([*line.split(",")[:3], "same", *line.split(",")[4:]]) for line in lines[1:]]
    leaky = work / "leaky.csv"
    leaky.write_text("\n".join([lines[0], *one_group]), encoding="utf-8")
    assert run("audit", leaky, "--split", tmp_path / "split", "--jobs", 1) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"earmark audit: {leaky}: found leaks, listed above"


@pytest.mark.parametrize("argv", [["validate"], ["split", "--n-folds", "2"], ["audit", "--jobs", "1"]])
def test_two_spellings_of_a_group_are_named_by_every_command_on_a_manifest(work, capsys, tmp_path, argv):
    """A table that was edited after `earmark manifest`, in a spreadsheet that removes zeros or by two people."""
    rows = [line.split(",") for line in (work / "clips.csv").read_text(encoding="utf-8").splitlines()]
    rows[1][3], rows[2][3] = "Anna", "anna"
    edited = work / "edited.csv"
    edited.write_text("\n".join(map(",".join, rows)), encoding="utf-8")
    run(argv[0], edited, *argv[1:], *(["-o", tmp_path / "split"] if argv[0] == "split" else []))
    assert f"WARNING: {edited}: groups that differ only in spelling" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["suite", "train"])
def test_failed_runs_end_with_1_and_are_named(work, capsys, monkeypatch, command):
    monkeypatch.setattr(
        "earmark.runs.suite.run_suite", lambda plan, _: {run.folder.name: "loss is NaN" for run in plan.missing}
    )
    overrides = ["--data.root", work / "clips.csv", "--runs", work / "none", "--work", work / "work"]
    assert run(command, work / "tones.toml", *overrides, *(["--seeds", 5] if command == "suite" else [])) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    n_runs = 4 if command == "suite" else 1
    same = ", all for one reason: loss is NaN" if command == "suite" else ": plain-fold1-seed42"
    assert line.startswith(f"earmark {command}: {n_runs} of {n_runs} runs failed{same}")
    assert line.count("loss is NaN") == 1


def test_failures_for_several_reasons_are_named_each(capsys):
    assert report_failures("suite", {"a-fold1": "loss is NaN", "a-fold2": "loss is inf"}, 3) == 1
    line = "earmark suite: 2 of 3 runs failed: a-fold1 (loss is NaN); a-fold2 (loss is inf)\n"
    assert capsys.readouterr().err == line
