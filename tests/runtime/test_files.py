"""Files that are whole or not there."""

import errno
import json
import os
import platform
import subprocess
import sys
import time

import pytest

from earmark.runtime.files import (
    atomic_write,
    digest,
    file_digest,
    is_locked,
    remove_temporary,
    write_csv,
    write_json,
    write_text,
)


def temporary_name(name: str, process: int, host: str = platform.node()) -> str:
    """What a process of a host calls the temporary file of `name`."""
    return f"{name}.{digest(host, 6)}.{process}.0a1b2c.tmp"


def test_a_write_that_fails_leaves_what_was_there_and_nothing_beside(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old\n")
    with pytest.raises(ValueError, match="half"), atomic_write(path) as temporary:
        temporary.write_text("ne", encoding="utf-8")
        raise ValueError("half")
    assert path.read_bytes() == b"old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"b\.txt'$"), atomic_write(tmp_path / "a.txt"):
        raise OSError(errno.EROFS, "Read-only file system", "b.txt")
    with pytest.raises(OSError, match=r"No space.*a\.txt"), atomic_write(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_missing_folder_is_created_and_a_file_in_its_place_is_named(tmp_path):
    write_text(tmp_path / "new" / "deep" / "a.txt", "whole")
    with pytest.raises(OSError, match=r"a\.txt(/b)?'$"):
        write_text(tmp_path / "new" / "deep" / "a.txt" / "b" / "c.txt", "lost")
    assert [path.name for path in (tmp_path / "new" / "deep").iterdir()] == ["a.txt"]


def test_text_is_utf8_with_its_own_line_ends(tmp_path):
    write_text(tmp_path / "a", "−1\n")
    write_csv(tmp_path / "b", [("label", "n"), ("Käse, gelb", 1)])
    write_json(tmp_path / "c", {"label": "Käse"})
    assert (tmp_path / "a").read_bytes() == "−1\n".encode()
    assert (tmp_path / "b").read_bytes() == 'label,n\r\n"Käse, gelb",1\r\n'.encode()
    assert json.loads((tmp_path / "c").read_bytes()) == {"label": "Käse"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "here\n")
    assert os.read(reader, 100) == b"here\n"
    os.close(reader)
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


def test_temporary_files_of_killed_writers_are_removed_and_no_others(tmp_path):
    kept = [temporary_name("b", os.getpid()), "notes.tmp", "x.9.tmp", "a.png"]
    for name in (temporary_name("a.png", 123), temporary_name("last.safetensors", os.getpid(), "elsewhere"), *kept):
        (tmp_path / name).touch()
    assert remove_temporary(tmp_path) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(kept)
    assert remove_temporary(tmp_path / "absent") == 0


def test_a_file_has_the_digest_of_its_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert file_digest(tmp_path / "a") == digest(b"abc" * 100_000)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no harmless way to ask for a process")
def test_what_a_killed_writer_has_left_of_a_file_goes_when_the_file_is_written_again(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    kept = [temporary_name("a.json", os.getppid()), temporary_name("b.json", gone.pid), "a.json.x.tmp"]
    for name in (*kept, temporary_name("a.json", gone.pid)):
        (tmp_path / name).touch()
    write_json(tmp_path / "a.json", {})
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", *kept}


def test_what_another_host_writes_to_the_same_folder_is_left_alone_for_a_day(tmp_path, monkeypatch):
    """Process 1 of one container is not that of another one, which may be writing."""
    monkeypatch.setattr("earmark.runtime.files._is_running", lambda process: False)
    young, old = (tmp_path / temporary_name("a.json", 1, host) for host in ("container-1", "container-2"))
    for path, age in ((young, 3600), (old, 90_000)):
        path.touch()
        os.utime(path, (time.time() - age,) * 2)
    write_json(tmp_path / "a.json", {})
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", young.name}


def test_two_writers_of_one_process_number_do_not_take_each_others_file(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path) as first:
        first.write_text("first", encoding="utf-8")
        with atomic_write(path) as second:
            second.write_text("second", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "second"
    assert path.read_text(encoding="utf-8") == "first"


def test_a_table_that_is_there_already_is_left_alone(tmp_path):
    path = tmp_path / "a.csv"
    write_csv(path, [("a", "b"), (1, "ü,x")])
    os.utime(path, (1, 1))
    write_csv(path, iter([("a", "b"), (1, "ü,x")]))
    assert path.stat().st_mtime == 1 and path.read_bytes() == 'a,b\r\n1,"ü,x"\r\n'.encode()
    write_csv(path, [("a", "b"), (2, "ü,x")])
    assert path.stat().st_mtime > 1


def test_a_folder_where_nobody_may_write_is_not_locked(tmp_path, monkeypatch):
    """`earmark status` only reads, and refused such a folder."""

    def refuse(lock, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    (tmp_path / ".lock").touch()
    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert not is_locked(tmp_path)
