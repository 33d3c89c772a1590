"""`earmark doctor`: the page, the problems that it finds, and NO_COLOR."""

import json
import os
import subprocess
import sys

import pytest

from earmark.cli import doctor
from earmark.cli.main import main
from earmark.runtime import machine


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EARMARK_DATA", raising=False)
    monkeypatch.setattr(machine, "PROBE_BYTES", 2**20)
    return tmp_path


def status(*argv: str) -> int:
    try:
        main(["doctor", *argv])
    except SystemExit as error:
        return error.code
    return 0


def test_the_page_has_every_section_and_the_version(here, capsys):
    assert status() == 0
    page = capsys.readouterr().out
    titles = [line for line in page.splitlines() if line and not line.startswith(" ")]
    assert titles[:-1] == [
        "earmark",
        "packages",
        "extras",
        "processor",
        "GPU",
        "caches",
        "work folder",
        "data",
        "environment",
    ]
    assert titles[-1] == "no problems found"
    assert "  torch " in page
    assert "  write (MiB/s) " in page
    assert max(map(len, page.splitlines())) < 200
    assert not (here / "work").exists(), "it leaves nothing behind"


def test_a_home_that_is_the_root_folder_leaves_paths_as_they_are(here, capsys, monkeypatch):
    monkeypatch.setenv("HOME", "/")
    status()
    page = capsys.readouterr().out
    assert "write (MiB/s)" in page and "~" not in page


def test_json_has_the_same_sections(here, capsys):
    assert status("--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["problems"] == []
    assert content["processor"]["precision auto"] in ("float32", "bfloat16")
    assert content["work folder"]["write (MiB/s)"] > 0


def test_a_folder_that_cannot_be_written_to_is_a_problem(here, capsys, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(machine, "write_speed", refuse)
    assert status("--work", "elsewhere") == 1
    problem = "problem: elsewhere: cannot be written to (Permission denied); choose another folder with --work"
    assert capsys.readouterr().out.splitlines()[-1] == problem


def test_it_runs_where_nothing_can_be_written(here, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert status() == 0
    assert "work folder" in capsys.readouterr().out


def test_missing_and_old_packages_are_problems(here, monkeypatch):
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: ["numpy>=999.0", "nonsense-package>=1"])
    _, problems = doctor.examine(here)
    assert problems[0].endswith("is older than 999.0; run `pip install --upgrade numpy`")
    assert problems[1] == "nonsense-package is not installed; run `pip install nonsense-package`"


def test_the_requirements_are_those_of_the_metadata(here, monkeypatch):
    lines = [
        "numpy>=1.26",
        "onnx>=1.18; extra == 'onnx'",
        "earmark[onnx]; extra == 'all'",
        'ray>=2.40 ; extra == "ray"',
    ]
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: lines)
    sections, problems = doctor.examine(here)
    assert (list(sections["packages"]), list(sections["extras"]), problems) == (["numpy"], ["onnx", "ray"], [])


def test_a_source_tree_that_is_not_installed_has_no_requirements(here, monkeypatch):
    def missing(package):
        raise doctor.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(doctor.metadata, "requires", missing)
    sections, _ = doctor.examine(here)
    assert sections["packages"] == sections["extras"] == {}


def test_data_manifests_and_runs_are_found(here, monkeypatch):
    (here / "data" / "ESC-50-master" / "meta").mkdir(parents=True)
    (here / "data" / "ESC-50-master" / "meta" / "esc50.csv").touch()
    (here / "clips.csv").write_text("clip_id,path,label,group,fold,duration\n", encoding="utf-8")
    (here / "other.csv").write_text("a,b\n", encoding="utf-8")
    (here / "folder.csv").mkdir()
    (here / "runs" / "own" / "se-fold1-seed1-ab").mkdir(parents=True)
    (here / "runs" / "own" / "se-fold1-seed1-ab" / "result.json").touch()
    sections, _ = doctor.examine(here)
    assert sections["data"] == {"data": ["ESC-50-master (ESC-50)"], "manifests": ["clips.csv"], "finished runs": 1}


def test_folders_are_measured_for_a_limited_time(here):
    (here / "a").write_bytes(b"0" * 2**20)
    assert machine.folder_mib(here) == (1.0, True)
    assert machine.folder_mib(here, max_seconds=-1)[1] is False


@pytest.mark.parametrize(("variable", "colored"), [("", True), ("1", False)])
def test_no_color(variable, colored):
    pytest.importorskip("pty", reason="needs a pseudo-terminal")
    code = (
        "import os; from earmark.cli.main import main; "
        f"os.environ.update(TERM='xterm', NO_COLOR={variable!r}); main(['init', '--help'])"
    )
    script = f"import pty, sys; sys.exit(pty.spawn([{sys.executable!r}, '-c', {code!r}]) >> 8)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, stdin=subprocess.DEVNULL, check=False)
    assert b"--output" in result.stdout
    assert (b"\x1b[" in result.stdout) is colored
