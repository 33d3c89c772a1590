"""Files that claim or have an impossible size are refused before they are read or decoded, in one line."""

import os
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from earmark.analysis.predictions import read_predictions
from earmark.audit.audit import _examine_image
from earmark.config.sections import ConfigError
from earmark.config.suite import read_suite
from earmark.datasets.manifest import Clip, read_manifest
from earmark.features.store import StoreError, open_store
from earmark.runs.embeddings import read_vectors
from earmark.runtime.errors import EarmarkError
from earmark.runtime.schema import MAX_BYTES, read_json, read_table

READERS = {
    "suite": read_suite,
    "manifest": read_manifest,
    "predictions": lambda path: read_predictions(path, ("a",)),
    "JSON": lambda path: read_json(path, dict),
    "table": read_table,
}


@pytest.mark.parametrize("name", READERS)
def test_an_endless_or_huge_file_is_refused_unread(name, tmp_path):
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(MAX_BYTES + 2**21)  # sparse
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    devices = [] if sys.platform == "win32" else [Path("/dev/zero")]
    for path in (huge, tmp_path, *devices):
        with pytest.raises(EarmarkError, match=r"is not a file|MiB, at most|director|Permission") as error:
            READERS[name](path)
        assert "\n" not in str(error.value)
    if name != "predictions":  # in a folder whose run is named with the error
        with pytest.raises(EarmarkError, match="cannot be read"):
            READERS[name](tmp_path / "loop")


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(2**20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(9000, 9000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_an_image_that_claims_many_pixels_is_refused_undecoded(tmp_path, size):
    (tmp_path / "a_orig.png").write_bytes(png_that_claims(*size))
    with pytest.raises(StoreError, match=r"pixels|exceeds limit"):
        open_store(tmp_path).read("a")
    clip = Clip("a", tmp_path / "a.wav", "label", "group")
    assert "a_orig.png: cannot be read" in _examine_image(tmp_path, clip)


def test_an_archive_of_vectors_that_unpacks_to_far_more_is_refused(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 33554432), }".ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(2**27)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vectors.npy", content)
        archive.writestr("clip_ids.npy", content)
    with pytest.raises(EarmarkError, match="unpacks to 256 MiB, more than 64 times its size"):
        read_vectors(f"npz:{tmp_path / 'a.npz'}", ["a"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_vectors_in_a_pipe_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(ConfigError, match=r"a\.npz is not a file"):
        read_vectors(f"npz:{tmp_path / 'a.npz'}", ["a"])


@pytest.mark.parametrize(
    "vectors", [np.ones((1, 2), complex), np.array([["1"]]), np.ones((1, 0)), np.full((1, 2), 1e30)]
)
def test_vectors_that_are_no_numbers_to_compute_with_are_refused(tmp_path, vectors):
    np.savez(tmp_path / "a.npz", clip_ids=np.array(["a"]), vectors=vectors)
    with pytest.raises(ConfigError, match=r"not real numbers|vectors are not finite and below 1e\+15"):
        read_vectors(f"npz:{tmp_path / 'a.npz'}", ["a"])
