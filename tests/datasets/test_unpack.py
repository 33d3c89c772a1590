"""Archives that would write elsewhere, fill the disk or are damaged."""

import stat
import zipfile

import numpy as np
import pytest

from earmark.datasets.fetch import DownloadError
from earmark.datasets.unpack import unpack_zip
from served import zipped


def special(name: str, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    return entry


HOSTILE = {
    "parent": ({"good.txt": b"", "../evil.txt": b"x"}, "'../evil.txt' leads out of the folder"),
    "inner parent": ({"a/../../evil.txt": b"x"}, "leads out of the folder"),
    "absolute": ({"/tmp/evil.txt": b"x"}, "leads out of the folder"),
    "backslash": ({"..\\evil.txt": b"x"}, "leads out of the folder"),
    "drive": ({"C:evil.txt": b"x"}, "leads out of the folder"),
    "link": ({special("a", stat.S_IFLNK): b"/etc", "a/evil.txt": b"x"}, "'a' is a link"),
    "pipe": ({special("a", stat.S_IFIFO): b""}, "is a link or a special file"),
    "twice": ({"a.txt": b"1", "A.txt": b"2"}, "'A.txt' occurs twice"),
    "bomb": ({"zeros": bytes(2_000_000)}, "unpacks to 2000000 bytes, more than the expected 1000000"),
    "file and folder": ({"a": b"1", "a/b": b"2"}, "not a usable zip archive"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused(tmp_path, name):
    files, words = HOSTILE[name]
    path, inside = tmp_path / "a.zip", tmp_path / "deep" / "inside"
    path.write_bytes(zipped(files))
    with pytest.raises(DownloadError, match=f"a.zip: .*{words}"):
        unpack_zip(path, inside, max_bytes=1_000_000)
    assert not list(tmp_path.rglob("evil.txt"))


def test_an_archive_that_lies_about_its_sizes_cannot_fill_the_disk(tmp_path):
    content = bytearray(zipped({"zeros": bytes(2_000_000)}))
    central = content.rfind(b"PK\x01\x02")
    content[central + 24 : central + 28] = (10).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DownloadError, match="not a usable zip archive"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "out", max_bytes=1000)
    assert sum(p.stat().st_size for p in (tmp_path / "out").rglob("*")) <= 10


def test_encrypted_and_unusual_archives_are_refused(tmp_path):
    encrypted = bytearray(zipped({"a": b"1"}))
    encrypted[encrypted.rfind(b"PK\x01\x02") + 8] |= 1
    for content in (bytes(encrypted), zipped({"a": b"1"}, zipfile.ZIP_LZMA)):
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(DownloadError, match="'a' is encrypted or compressed in an unusual way"):
            unpack_zip(tmp_path / "a.zip", tmp_path / "out", max_bytes=1000)


def test_damaged_archives_are_refused(tmp_path):
    """Whatever byte is changed: an error of ours, or files with their own content (counting is the reader's)."""
    good = zipped({"top/é.txt": b"hello" * 20, "top/b.txt": b"world" * 20})
    rng = np.random.default_rng(0)
    for i in range(300):
        content = bytearray(good)
        content[rng.integers(len(content))] = rng.integers(256)
        (tmp_path / "a.zip").write_bytes(content)
        out = tmp_path / f"out{i}"
        try:
            unpack_zip(tmp_path / "a.zip", out, max_bytes=1000)
        except DownloadError:
            continue
        assert {p.read_bytes() for p in out.rglob("*") if p.is_file()} <= {b"hello" * 20, b"world" * 20}
