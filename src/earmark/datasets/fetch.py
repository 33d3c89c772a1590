"""Download a file over HTTP so that an interrupted download resumes where it stopped."""

from __future__ import annotations

import http.client
import logging
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from earmark.runtime.errors import EarmarkError

LOG = logging.getLogger("earmark")

ATTEMPTS = 4
"""How many connections one call opens at most."""

TIMEOUT = 30.0
"""Seconds without a byte after which a connection is considered broken."""

_CHUNK = 1 << 16
_REMEDY = "try again later, or give another address with --url"


class DownloadError(EarmarkError):
    """A download that failed; the message names the address or file and the remedy."""


class _ConnectionLostError(Exception):
    """The connection ended before the file did."""


def fetch(url: str, path: Path) -> None:
    """Download `url` to `path`; until it is complete it is `<path>.part`, which a later call resumes.

    Resuming needs a server that knows ranges and names the version of the file by a strong ETag or a date
    (RFC 9110, sections 13.1.5 and 14); otherwise, or when the file has changed since, the download starts over.

    Raises:
        DownloadError: the address is no HTTP address, the server cannot be reached or refuses, or the connection
            is lost repeatedly (what has been received is kept for the next call).
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"url {url!r}: give an address that begins with http:// or https://")
    part = path.with_name(path.name + ".part")
    for _ in range(ATTEMPTS):
        try:
            _receive(url, part)
        except _ConnectionLostError as error:
            LOG.warning("the connection was lost (%s)", error)
        else:
            part.replace(path)
            _version_file(part).unlink(missing_ok=True)
            return
    raise DownloadError(f"url {url}: the connection was lost {ATTEMPTS} times; run the same command again to resume")


def _receive(url: str, part: Path) -> None:
    """Send one request and write its body to `part`, appending to it if the server allows."""
    with _open(url, part) as response:
        offset, total = _range(response, part)
        if not offset:
            part.write_bytes(b"")  # before its version is stored, so that the two never disagree
            _store_version(response, url, part)
        bar = tqdm(total=total, initial=offset, desc=part.stem, unit="B", unit_scale=True)
        with part.open("ab") as file, bar:
            for chunk in _chunks(response):
                file.write(chunk)
                bar.update(len(chunk))
    size = part.stat().st_size
    if total is not None and size != total:
        raise _ConnectionLostError(f"{size} of {total} bytes received")


def _open(url: str, part: Path) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "earmark"})
    if version := _stored_version(url, part):
        request.add_header("Range", f"bytes={part.stat().st_size}-")
        request.add_header("If-Range", version)
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:
            raise DownloadError(f"url {url}: the server answers {error.code} {error.reason}; {_REMEDY}") from None
        part.unlink(missing_ok=True)
        raise _ConnectionLostError("the server has less than is already here") from None
    except urllib.error.URLError as error:
        raise DownloadError(f"url {url}: cannot be reached ({error.reason}); {_REMEDY}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionLostError(f"no answer: {error!r}") from None


def _range(response: http.client.HTTPResponse, part: Path) -> tuple[int, int | None]:
    """Where the body begins in the file, and the length of the whole file in bytes if the server gives it."""
    if response.status != 206:
        length = response.headers["Content-Length"]
        return 0, int(length) if length and length.isdecimal() else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers["Content-Range"] or "")
    if not match or int(match[1]) != _size(part):
        part.unlink(missing_ok=True)
        raise _ConnectionLostError("the server sent another range than requested")
    return int(match[1]), int(match[2])


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read(_CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionLostError(repr(error)) from None


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _store_version(response: http.client.HTTPResponse, url: str, part: Path) -> None:
    """Store what a later request resumes by: a strong ETag or a date."""
    tag = response.headers["ETag"] or ""
    version = tag if tag.startswith('"') else response.headers["Last-Modified"]
    _version_file(part).write_text(f"{url}\n{version or ''}", encoding="utf-8")


def _stored_version(url: str, part: Path) -> str | None:
    """The version of the file that `part` is the beginning of; None when it cannot be resumed from `url`."""
    if not (_size(part) and _version_file(part).exists()):
        return None
    stored_url, _, version = _version_file(part).read_text(encoding="utf-8").partition("\n")
    return version if version and stored_url == url else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
