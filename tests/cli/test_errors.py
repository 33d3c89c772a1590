"""How a command ends: one line and an exit status, and output that any system can write."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from earmark.cli.errors import report_errors
from earmark.runtime.console import pluralize
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import atomic_write


def exit_status(error: BaseException, **options) -> int:
    """The exit status of a command that raises `error`."""
    with pytest.raises(SystemExit) as caught, report_errors("earmark try", **options):
        raise error
    return caught.value.code


def test_a_mistake_of_the_user_is_one_line_in_the_words_of_the_command(capsys):
    error = EarmarkError("train.lr = 0: give more")
    assert exit_status(error, reword=lambda text: text.replace("train.lr", "--lr")) == 2
    assert capsys.readouterr().err == "earmark try: --lr = 0: give more\n"


def test_an_error_of_the_file_system_is_one_line_with_the_remedy(capsys):
    assert exit_status(OSError(errno.ENOSPC, "No space left on device", "runs/a.csv")) == 2
    assert capsys.readouterr().err.startswith("earmark try: runs/a.csv: No space left on device; free some disk space")
    assert exit_status(PermissionError(errno.EACCES, "Permission denied", "out")) == 2
    assert "choose a path that you may" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("n_lines", [1, 5000])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_the_output_is_named(n_lines, unbuffered):
    """The interpreter flushed the output once more, failed again and ended with status 120."""
    code = "from earmark.cli.errors import report_errors\nwith report_errors('earmark try'):\n    "
    code += f"print('a line\\n' * {n_lines})"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, env=environment
        )
    assert done.returncode == 2
    assert done.stderr.startswith("earmark try: standard output: No space left on device; free some disk space")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.EIO, "Input/output error", "disk.wav"), "earmark try: disk.wav: Input/output error\n"),
        (OSError("cannot identify image file"), "earmark try: cannot identify image file\n"),
    ],
)
def test_other_errors_of_the_operating_system_are_one_line_too(capsys, error, line):
    assert exit_status(error) == 2
    assert capsys.readouterr().err == line


def test_an_interruption_says_how_to_resume(capsys):
    assert exit_status(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.endswith("interrupted; run the same command again to resume\n")
    assert exit_status(KeyboardInterrupt(), resumes=False) == 130
    assert capsys.readouterr().err.endswith("earmark try: interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that can be handled")
def test_sigterm_ends_with_one_line_and_what_is_half_written_is_removed(capsys, tmp_path):
    with pytest.raises(SystemExit) as caught, report_errors("earmark try"), atomic_write(tmp_path / "a") as temporary:
        temporary.touch()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert caught.value.code == 143
    assert capsys.readouterr().err.endswith("earmark try: terminated; run the same command again to resume\n")
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("can't start new thread"),
    ],
)
def test_a_lack_of_memory_is_one_line_with_the_remedy(capsys, error):
    assert exit_status(error) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("earmark try: out of memory (") and "--jobs 1" in line


@pytest.mark.parametrize("error", [ValueError("shapes differ"), RuntimeError("ours"), AssertionError(), KeyError("a")])
def test_any_other_error_is_a_bug_with_traceback_and_a_request_to_report_it(capsys, error):
    assert exit_status(error) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2].startswith(type(error).__name__)
    assert lines[-1] == "earmark try: This is a bug in earmark; please report it with the lines above"


def test_warnings_are_lines(capsys):
    with warnings.catch_warnings(), report_errors("earmark try"):
        warnings.simplefilter("always")
        warnings.warn("too few groups", stacklevel=1)
        warnings.warn("too few groups", stacklevel=1)  # from another step of the command
    assert capsys.readouterr().err == "WARNING: too few groups\n"


def test_output_is_utf_8_whatever_the_code_page(monkeypatch):
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    with report_errors("earmark try"):
        print("−0.5")
    assert written.getvalue().decode("utf-8").strip() == "−0.5"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell with head")
def test_a_closed_pipe_is_no_error():
    imports = "from earmark.cli.errors import report_errors"
    code = f"{imports}\nwith report_errors('try'):\n    [print(i) for i in range(100000)]"
    line = f'"{sys.executable}" -c "{code}" | head -n 1'
    result = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("0\n", "")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_goes_to_a_closed_stream_is_dropped(stream, monkeypatch):
    monkeypatch.setattr(sys, stream, None)
    with report_errors("earmark try"):
        print("result", file=getattr(sys, stream))
    with pytest.raises(SystemExit, match="2"), report_errors("earmark try"):
        raise EarmarkError("wrong")
    getattr(sys, stream).close()


@pytest.mark.parametrize(
    ("n", "word", "text"), [(0, "run", "0 runs"), (1, "class", "1 class"), (2, "class", "2 classes")]
)
def test_pluralize(n, word, text):
    assert pluralize(n, word) == text


def test_ctrl_c_while_the_command_line_is_imported_has_no_traceback(tmp_path):
    (tmp_path / "tyro.py").write_text("raise KeyboardInterrupt", encoding="utf-8")
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "earmark", "--version"], env=os.environ | {"PYTHONPATH": paths}, capture_output=True
    )
    assert (done.returncode, done.stderr) == (130, b"")
