"""Fetching a file over HTTP so that an interrupted download goes on where it stopped."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from earmark.datasets.reading import LOG
from earmark.runtime.errors import EarmarkError

ATTEMPTS = 4
"""How many connections one call opens when they break off."""

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""

_CHUNK = 1 << 16
_ELSEWHERE = "try again later, or give another address with --url"


class DownloadError(EarmarkError):
    """A download that failed; the message names the address or file and the remedy."""


class _BrokenOffError(Exception):
    """The connection ended before the file did."""


def fetch(url: str, path: Path, show_progress: bool = True) -> None:
    """Download `url` to `path`; meanwhile it is `<path>.part`, which a later call continues.

    Continuing needs a server that knows ranges and names the version of the file by a strong ETag or a date
    (RFC 9110, sections 13.1.5 and 14); otherwise, or when the file has changed since, it begins again.

    Raises:
        DownloadError: the address is no HTTP address, the server cannot be reached or refuses, or the connection
            breaks off repeatedly (what has come so far stays for the next call).
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"url {url!r}: give an address that begins with http:// or https://")
    part = path.with_name(path.name + ".part")
    for _ in range(ATTEMPTS):
        try:
            _receive(url, part, show_progress)
        except _BrokenOffError as error:
            LOG.warning("the connection broke off (%s)", error)
        else:
            part.replace(path)
            _version_file(part).unlink(missing_ok=True)
            return
    raise DownloadError(f"url {url}: the connection broke off {ATTEMPTS} times; the same command goes on from here")


def _receive(url: str, part: Path, show_progress: bool) -> None:
    """One request, its body written to `part`, behind what is there if the server allows."""
    with _open(url, part) as response:
        offset, total = _range(response, part)
        if not offset:
            part.write_bytes(b"")  # before its version is noted, so that the two never disagree
            _note_version(response, url, part)
        bar = tqdm(total=total, initial=offset, desc=part.stem, unit="B", unit_scale=True, disable=not show_progress)
        with part.open("ab") as file, bar:
            for chunk in _chunks(response):
                file.write(chunk)
                bar.update(len(chunk))
    size = part.stat().st_size
    if total is not None and size != total:
        raise _BrokenOffError(f"{size} of {total} bytes received")


def _open(url: str, part: Path) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "earmark"})
    if version := _noted_version(url, part):
        request.add_header("Range", f"bytes={part.stat().st_size}-")
        request.add_header("If-Range", version)
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:
            raise DownloadError(f"url {url}: the server answers {error.code} {error.reason}; {_ELSEWHERE}") from None
        part.unlink(missing_ok=True)
        raise _BrokenOffError("the server has less than what is here") from None
    except urllib.error.URLError as error:
        raise DownloadError(f"url {url}: cannot be reached ({error.reason}); {_ELSEWHERE}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(f"no answer: {error!r}") from None


def _range(response: http.client.HTTPResponse, part: Path) -> tuple[int, int | None]:
    """Where the body begins in the file, and the length of the whole file if the server tells it (bytes)."""
    if response.status != 206:
        length = response.headers["Content-Length"]
        return 0, int(length) if length and length.isdecimal() else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers["Content-Range"] or "")
    if not match or int(match[1]) != _size(part):
        part.unlink(missing_ok=True)
        raise _BrokenOffError("the server sends another range than asked for")
    return int(match[1]), int(match[2])


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read(_CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(repr(error)) from None


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _note_version(response: http.client.HTTPResponse, url: str, part: Path) -> None:
    """Keep what a later request can ask to continue by: a strong ETag or a date."""
    tag = response.headers["ETag"] or ""
    version = tag if tag.startswith('"') else response.headers["Last-Modified"]
    _version_file(part).write_text(f"{url}\n{version or ''}", encoding="utf-8")


def _noted_version(url: str, part: Path) -> str | None:
    """The version of the file that `part` is the beginning of; None when it cannot be continued from `url`."""
    if not (_size(part) and _version_file(part).exists()):
        return None
    noted_url, _, version = _version_file(part).read_text(encoding="utf-8").partition("\n")
    return version if version and noted_url == url else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
