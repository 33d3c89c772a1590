"""A manifest that somebody has edited is not overwritten unasked: by every command that writes one."""

import shutil
from pathlib import Path

import pytest

from commands import run


@pytest.fixture
def manifest(tones, tmp_path, monkeypatch):
    """clips.csv of a copied folder, in the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tones, "in")
    assert run("manifest", "folder", "in") == 0
    return Path("clips.csv")


def edit(manifest: Path, old: str, new: str) -> str:
    """Replace a text once; returns what the file has then."""
    text = manifest.read_text(encoding="utf-8")
    assert old in text
    manifest.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "high,h03,,",
            "high,tape 7,,",
            "fold of 1 clip (the first: h03 has group 'tape 7' and would get",
        ),
        ("high,h03,,", "low,h03,,", "(the first: h03 has label 'low' and would get 'high')"),
        ("high,h03,,", "high,h03,2,", "(the first: h03 has fold '2' and would get '')"),
        ("h03,in/high/h03.wav,high,h03,", "x,in/high/h03.wav,high,x,", "1 clip that would be lost (x)"),
        ("fold,duration", "fold,duration,site", "1 column that would be lost ('site')"),
        ("high,h03,,", "high,,,", None),
    ],
)
def test_an_edited_manifest_is_kept(manifest, capsys, old, new, said):
    text = edit(manifest, old, new)
    capsys.readouterr()
    assert run("manifest", "folder", "in") == (0 if said is None else 2)
    if said is None:
        return
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "earmark manifest: clips.csv: is a" in line]
    assert said in line and line.endswith("write to another file with -o, or give --force to overwrite it")
    assert manifest.read_text(encoding="utf-8") == text
    assert run("manifest", "folder", "in", "--force") == 0
    assert manifest.read_text(encoding="utf-8") != text


def test_what_loses_nothing_is_silent(manifest):
    assert run("manifest", "folder", "in") == 0, "unchanged"
    shutil.copy("in/high/h03.wav", "in/high/new.wav")
    assert run("manifest", "folder", "in") == 0, "a new clip"
    assert run("manifest", "folder", "in", "--group-pattern", "^.") == 0, "groups that were not filled in before"
    assert run("manifest", "folder", "in") == 2, "they are now"
    Path("empty.csv").touch()
    assert run("manifest", "folder", "in", "-o", "empty.csv") == 0


def test_a_file_that_is_no_manifest_is_kept(tones, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tones, "in")
    text = "\n".join(["path,label,remark", *(f"in/high/h0{i}.wav,high,windy" for i in range(3))])
    Path("clips.csv").write_text(text, encoding="utf-8")
    for words in (("csv", "clips.csv"), ("folder", "in")):
        assert run("manifest", *words) == 2
        assert "clips.csv: exists and is not a manifest of earmark; write to" in capsys.readouterr().err
        assert Path("clips.csv").read_text(encoding="utf-8") == text
    assert run("manifest", "csv", "clips.csv", "--force") == 0


def augment(*more: str) -> int:
    return run("augment", "clips.csv", "--augmentations", "noisy", "--jobs", "1", *more)


def test_augment_keeps_what_it_did_not_write(manifest, capsys):
    before = manifest.read_bytes()
    for more in ((), ("--force",)):
        assert augment("-o", ".", *more) == 2
        assert "its clips.csv is the table that is read; write to another folder" in capsys.readouterr().err
    assert manifest.read_bytes() == before
    own = Path("out/h00_noisy.wav")
    own.parent.mkdir()
    own.write_bytes(b"mine")
    assert augment("-o", "out") == 2
    assert "h00_noisy.wav: exists, and out/clips.csv does not list it; write to" in capsys.readouterr().err
    assert [path.name for path in own.parent.iterdir()] == [own.name] and own.read_bytes() == b"mine"
    assert augment("-o", "out", "--force") == augment("-o", "out") == 0, "its own files are written again"
    edit(Path("out/clips.csv"), "high,h03,,", "low,h03,,")
    assert augment("-o", "out") == 2


def interrupt(monkeypatch, module: str) -> None:
    """Make Ctrl-C fall on the second audio file that a module writes."""
    written: list[Path] = []

    def write(path: Path, content: bytes) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        path.write_bytes(content)

    monkeypatch.setattr(f"{module}.write_bytes", write)


def test_what_an_interrupted_command_has_written_is_written_again(manifest, monkeypatch, capsys):
    Path("table.csv").write_text("file,start,end,label\nh00.wav,0,0.1,owl\nh00.wav,0.1,0.2,toad", encoding="utf-8")
    cut = ("cut", "table.csv", "--recordings", "in/high", "-o", "cut")
    for module, command, folder in (
        ("earmark.datasets.write_augmented", lambda: augment("-o", "noisy"), Path("noisy")),
        ("earmark.datasets.segments", lambda: run(*cut), Path("cut")),
    ):
        with monkeypatch.context() as patched:
            interrupt(patched, module)
            assert command() == 130
        assert capsys.readouterr().err.endswith(": interrupted\n")
        assert len(list(folder.glob("*.wav"))) == 1 and not (folder / "clips.csv").exists()
        assert command() == 0
        (folder / "clips.csv").unlink()
        assert command() == 2, "what was finished is no longer overwritten"
        assert f"exists, and {folder}/clips.csv does not list it" in capsys.readouterr().err


def test_a_recording_is_not_replaced_by_its_neighbor(tones, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a/x", "a/x_noisy", "b/y"):
        Path(name).parent.mkdir(exist_ok=True)
        shutil.copy(tones / "high" / "h00.wav", f"{name}.wav")
    assert run("manifest", "folder", ".") == 0
    assert augment("-o", "a", "--force") == 2
    assert "a/x_noisy.wav: is one of the recordings that are read" in capsys.readouterr().err
    assert sorted(path.name for path in Path("a").iterdir()) == ["x.wav", "x_noisy.wav"]


def test_cut_keeps_what_it_did_not_write(tones, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("r/dawn.wav", "r/dawn_0001.wav"):
        Path("r").mkdir(exist_ok=True)
        shutil.copy(tones / "high" / "h00.wav", name)
    rows = ["file,start,end,label", "dawn.wav,0,0.1,owl", "dawn.wav,0.1,0.2,toad"]
    table = Path("r/clips.csv")
    table.write_text("\n".join(rows), encoding="utf-8")
    assert run("cut", table, "-o", "r", "--force") == 2
    assert "its clips.csv is the table that is read" in capsys.readouterr().err
    table = table.rename("r/table.csv")
    assert run("cut", table, "-o", "r") == 2
    assert "dawn_0001.wav: exists, and r/clips.csv does not list it" in capsys.readouterr().err
    assert not Path("r/clips.csv").exists() and not Path("r/dawn_0002.wav").exists()
    table.write_text("\n".join([*rows, "dawn_0001.wav,0,0.1,owl"]), encoding="utf-8")
    assert run("cut", table, "-o", "r", "--force") == 2, "is read, too"
    assert run("cut", table, "-o", "out") == run("cut", table, "-o", "out") == 0
    edit(Path("out/clips.csv"), "toad", "owl")
    assert run("cut", table, "-o", "out") == 2
    assert "label, group or fold of 1 clip" in capsys.readouterr().err
    assert run("cut", table, "-o", "out", "--force") == 0


def test_join_and_tables_ask_as_well(manifest, capsys):
    edit(manifest, "high,h03,,", "high,tape 7,,")
    assert run("join", manifest, "--rename", "low=high", "-o", manifest) == 2
    assert "label, group or fold of 12 clips" in capsys.readouterr().err
    assert run("join", manifest, "-o", "both.csv") == run("join", manifest, "-o", "both.csv") == 0
    rows = [f"in/high/h0{i}.wav,high" for i in range(3)]
    Path("list.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    assert run("manifest", "csv", "list.csv") == 2
    assert "that would be lost" in capsys.readouterr().err
    assert run("join", manifest, "--rename", "low=high", "-o", manifest, "--force") == 0
