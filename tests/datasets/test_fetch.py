"""Fetching from a server that sends everything, breaks off, changes its mind or refuses."""

import numpy as np
import pytest

from earmark.datasets.fetch import DownloadError, fetch
from served import Served, serve


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


CONTENT = np.random.default_rng(0).bytes(300_000)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_arrives_whole_and_alone(tmp_path, chunked):
    with serve(Served(CONTENT, chunked=chunked)) as url:
        fetch(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_a_broken_connection_goes_on_where_it_stopped(tmp_path):
    served = Served(CONTENT, stop_after=[100_000, 50_000])
    with serve(served) as url:
        fetch(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert served.asked == [None, "bytes=100000-", "bytes=150000-"]


@pytest.mark.parametrize("changes", [{"ranges": False}, {"chunked": True, "ranges": False}, {"etag": 'W/"weak"'}])
def test_without_ranges_or_a_version_it_begins_again(tmp_path, changes):
    served = Served(CONTENT, stop_after=[100_000], **changes)
    with serve(served) as url:
        fetch(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert len(served.asked) == 2


def test_a_truncated_file_is_an_error_that_the_next_call_fixes(tmp_path):
    served = Served(CONTENT, stop_after=[1000] * 4)
    with serve(served) as url:
        with pytest.raises(DownloadError, match=r"lost 4 times; run the same command again to resume"):
            fetch(url, tmp_path / "a.zip")
        assert not (tmp_path / "a.zip").exists()
        assert (tmp_path / "a.zip.part").read_bytes() == CONTENT[:4000]
        fetch(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert served.asked[-1] == "bytes=4000-"


@pytest.mark.parametrize("new_etag", ['"v2"', '"v1"'])
def test_a_file_that_changed_meanwhile_is_downloaded_again(tmp_path, new_etag):
    """Also when it got shorter under the same name of its version."""
    other = CONTENT[::-1][:3000]
    served = Served(CONTENT, stop_after=[1000] * 4)
    with serve(served) as url:
        with pytest.raises(DownloadError, match="was lost"):
            fetch(url, tmp_path / "a.zip")
        served.content, served.etag = other, new_etag
        fetch(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == other


def test_a_part_from_another_address_is_not_continued(tmp_path):
    with serve(Served(CONTENT, stop_after=[1000] * 4)) as url, pytest.raises(DownloadError):
        fetch(url, tmp_path / "a.zip")
    served = Served(CONTENT[::-1])
    with serve(served) as url:
        fetch(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT[::-1]
    assert served.asked == [None]


def test_a_server_that_sends_another_range_is_not_believed(tmp_path):
    served = Served(CONTENT, stop_after=[1000], wrong_range=True)
    with serve(served) as url:
        fetch(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert served.asked == [None, "bytes=1000-", None]


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_is_reported_with_its_number(tmp_path, status):
    with (
        serve(Served(CONTENT, status=status)) as url,
        pytest.raises(DownloadError, match=rf"{url}: the server answers {status} .*--url"),
    ):
        fetch(url, tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


def test_an_absent_server_is_reported(tmp_path):
    with serve(Served(CONTENT)) as url:
        pass
    with pytest.raises(DownloadError, match=r"cannot be reached .*refused.*--url"):
        fetch(url, tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


def test_only_http_addresses_are_fetched(tmp_path):
    (tmp_path / "secret").touch()
    with pytest.raises(DownloadError, match="begins with http"):
        fetch((tmp_path / "secret").as_uri(), tmp_path / "a.zip")
