"""The public archives from a server on this machine: complete, changed, incomplete, wrong."""

import hashlib
import io
import logging
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from earmark.cli.main import main
from earmark.datasets import download as download_module
from earmark.datasets.download import ARCHIVES, download
from earmark.datasets.emodb import EMOTIONS, SPEAKERS, UTTERANCES, read_emodb
from earmark.datasets.esc50 import read_esc50
from earmark.datasets.fetch import DownloadError
from served import Served, serve, zipped


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="module")
def beep() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(80), 8000, format="WAV")
    return buffer.getvalue()


def emodb_names() -> list[str]:
    """535 names of the right speakers and emotions, as in the archive."""
    codes = {label: code for code, label in EMOTIONS.items()}
    return [
        f"{SPEAKERS[i % 10]}{'ab'[i // 260]}{i // 10 % 26:02d}{codes[label]}a.wav"
        for label, n in UTTERANCES.items()
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def emodb_zip(beep) -> bytes:
    files = {f"wav/{name}": beep for name in emodb_names()}
    return zipped({**files, "erklaerung.txt": b"names", "lablaut/03a01Fa.lablaut": b"labels"})


@pytest.fixture(scope="module")
def esc50_zip(beep) -> bytes:
    names = [
        f"{fold}-{1000 * c + fold}-{take}-{c}.wav" for fold in range(1, 6) for c in range(50) for take in "ABCDEFGH"
    ]
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for name in names:
        fold, source, take, c = name.removesuffix(".wav").split("-")
        rows.append(f"{name},{fold},{c},class {c},{int(c) < 10},{source},{take}")
    files = {f"ESC-50-master/audio/{name}": beep for name in names}
    return zipped({**files, "ESC-50-master/meta/esc50.csv": "\n".join(rows).encode()})


def test_emodb_is_downloaded_whole_or_not_at_all(tmp_path, emodb_zip):
    served = Served(emodb_zip, stop_after=[20_000])
    with serve(served) as url:
        folder = download("emodb", tmp_path, url)
        assert len(served.asked) == 2
        assert download("emodb", tmp_path, url) == folder
        assert len(served.asked) == 2, "what is there is not fetched again"
    assert folder == tmp_path / "EmoDB"
    assert len(read_emodb(folder)) == 535
    assert [p.name for p in tmp_path.iterdir()] == ["EmoDB"]


def test_the_folder_can_have_another_name(tmp_path, emodb_zip):
    """As the documented command lines look for it: docs/commands.md."""
    with serve(Served(emodb_zip)) as url:
        main(["download", "emodb", "-o", str(tmp_path), "--folder", "EmoDB-wav", "--url", url])
    assert [p.name for p in tmp_path.iterdir()] == ["EmoDB-wav"]
    assert len(read_emodb(tmp_path / "EmoDB-wav")) == 535


def test_esc50_with_its_checksum_is_accepted_silently_and_with_another_loudly(tmp_path, esc50_zip, monkeypatch, caplog):
    with serve(Served(esc50_zip)) as url:
        folder = download("esc50", tmp_path / "changed", url)
        assert "not the published 7771e4b9d86d0945acce719c7a59305a; accepted" in caplog.text
        assert len(read_esc50(folder)) == 2000
        caplog.clear()
        archive = replace(ARCHIVES["esc50"], md5=hashlib.md5(esc50_zip).hexdigest())
        monkeypatch.setitem(download_module.ARCHIVES, "esc50", archive)
        download("esc50", tmp_path / "same", url)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def without(content: bytes, ending: str) -> bytes:
    """The archive without the files whose name ends so."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return zipped({n: archive.read(n) for n in archive.namelist() if not n.endswith(ending)})


def test_what_is_not_the_set_is_refused_and_leaves_nothing(tmp_path, emodb_zip, esc50_zip, beep):
    wrong = {
        "html": (b"<!DOCTYPE html><p>moved</p>", "not a usable zip archive"),
        "cut": (emodb_zip[: len(emodb_zip) // 2], "not a usable zip archive"),
        "other set": (esc50_zip, "is not EmoDB"),
        "one missing": (without(emodb_zip, f"{emodb_names()[0]}"), "534 utterances instead of 535; anger: 126 clips"),
        "hostile": (zipped({"../EmoDB/evil.wav": beep}), "leads out of the folder"),
        "unreadable": (
            zipped({f"wav/{n}": beep if i else b"x" for i, n in enumerate(emodb_names())}),
            "cannot be read",
        ),
    }
    for name, (content, words) in wrong.items():
        with serve(Served(content)) as url, pytest.raises(DownloadError, match=words):
            download("emodb", tmp_path / name, url)
        assert not list((tmp_path / name).iterdir()), name


def test_an_interruption_while_unpacking_keeps_the_archive_only(tmp_path, emodb_zip, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    served = Served(emodb_zip)
    with serve(served) as url:
        with monkeypatch.context() as patch:
            patch.setattr(download_module, "_check_content", interrupt)
            with pytest.raises(KeyboardInterrupt):
                download("emodb", tmp_path, url)
        assert [p.name for p in tmp_path.iterdir()] == ["EmoDB.download.zip"]
        (tmp_path / ".EmoDB.unpacking" / "left by a kill").mkdir(parents=True)
        download("emodb", tmp_path, url)
    assert [p.name for p in tmp_path.iterdir()] == ["EmoDB"]
    assert len(served.asked) == 1


def test_a_folder_that_is_there_but_incomplete_is_left_alone(tmp_path, beep):
    (tmp_path / "EmoDB").mkdir()
    (tmp_path / "EmoDB" / "03a01Fa.wav").write_bytes(beep)
    with pytest.raises(DownloadError, match=r"EmoDB exists but is not the complete EmoDB.*move it away"):
        download("emodb", tmp_path, "http://127.0.0.1:9/never")
    assert (tmp_path / "EmoDB" / "03a01Fa.wav").read_bytes() == beep


def test_unknown_sets_and_unwritable_places_are_reported(tmp_path):
    with pytest.raises(DownloadError, match="'urbansound': cannot be downloaded; choose from esc50, emodb"):
        download("urbansound", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"cannot be written .*give another folder"):
        download("emodb", tmp_path / "file", "http://127.0.0.1:9/never")
