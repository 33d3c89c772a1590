"""What ends a command: one line and a status, never a traceback; and output that any system can write."""

import errno
import io
import subprocess
import sys
import warnings

import pytest

from earmark.cli.errors import report_errors
from earmark.runtime.console import pluralize


def ending(error: BaseException, **options) -> int:
    """The exit status of a command whose work ends with an error."""
    with pytest.raises(SystemExit) as caught, report_errors("earmark try", **options):
        raise error
    return caught.value.code


def test_a_mistake_is_one_line_in_the_words_of_the_command(capsys):
    assert ending(ValueError("train.lr = 0: give more"), reword=lambda text: text.replace("train.lr", "--lr")) == 2
    assert capsys.readouterr().err == "earmark try: --lr = 0: give more\n"


def test_a_file_system_that_refuses_is_named_with_the_remedy(capsys):
    assert ending(OSError(errno.ENOSPC, "No space left on device", "runs/a.csv")) == 2
    assert capsys.readouterr().err.startswith("earmark try: runs/a.csv: No space left on device; make room")
    assert ending(PermissionError(errno.EACCES, "Permission denied", "out")) == 2
    assert "give a place that you may" in capsys.readouterr().err


def test_an_interruption_tells_that_nothing_is_lost(capsys):
    assert ending(KeyboardInterrupt()) == 130
    assert "goes on where it stopped" in capsys.readouterr().err


@pytest.mark.parametrize("error", [OSError(errno.EIO, "gone", "x"), RuntimeError("ours")])
def test_an_error_of_ours_keeps_its_traceback(error):
    with pytest.raises(type(error), match=r"gone|ours"), report_errors("earmark try"):
        raise error


def test_warnings_are_lines(capsys):
    with warnings.catch_warnings(), report_errors("earmark try"):
        warnings.simplefilter("always")
        warnings.warn("too few groups", stacklevel=1)
    assert capsys.readouterr().err == "WARNING: too few groups\n"


def test_a_code_page_without_a_minus_sign_is_no_end(monkeypatch):
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    with report_errors("earmark try"):
        print("−0.5")
    assert written.getvalue().decode("utf-8").strip() == "−0.5"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell with head")
def test_a_reader_that_goes_away_is_no_error():
    code = "from earmark.cli.errors import report_errors\nwith report_errors('try'):\n    [print(i) for i in range(100000)]"
    line = f'"{sys.executable}" -c "{code}" | head -n 1'
    result = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("0\n", "")


@pytest.mark.parametrize(
    ("n", "word", "text"), [(0, "run", "0 runs"), (1, "class", "1 class"), (2, "class", "2 classes")]
)
def test_numbers_with_their_word(n, word, text):
    assert pluralize(n, word) == text
