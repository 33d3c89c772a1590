"""Writing gray PNGs fast, and checking them (ISO/IEC 15948); Pillow reads them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = struct.Struct(">IIBBBBB")
GRAY_8_BIT = (8, 0)
"""Bit depth and color type."""


def encode_png(image: np.ndarray) -> bytes:
    """A gray 8-bit PNG of an image, uint8 (F, T).

    The difference to the row above, packed as Huffman codes and runs: as small as the default settings of
    libraries on spectrograms, in a fifth of their time.
    """
    height, width = image.shape
    rows = np.empty((height, 1 + width), np.uint8)
    rows[:, 0] = 2  # PNG's filter type "up"
    rows[0, 1:] = image[0]
    np.subtract(image[1:], image[:-1], out=rows[1:, 1:])
    deflate = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    header = HEADER.pack(width, height, *GRAY_8_BIT, 0, 0, 0)
    pixels = deflate.compress(rows.data) + deflate.flush()
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def is_intact(path: Path, height: int) -> bool:
    """Whether a file is a complete gray 8-bit PNG of this height; compares checksums and decodes nothing."""
    try:
        content = memoryview(path.read_bytes())
        _, found_height, *kind = HEADER.unpack_from(content, len(SIGNATURE) + 8)
        if content[: len(SIGNATURE)] != SIGNATURE or (found_height, *kind[:2]) != (height, *GRAY_8_BIT):
            return False
        start, name = len(SIGNATURE), b""
        while start < len(content):
            length, name = struct.unpack_from(">I4s", content, start)
            end = start + 8 + length
            if struct.unpack_from(">I", content, end)[0] != zlib.crc32(content[start + 4 : end]):
                return False
            start = end + 4
    except (OSError, struct.error):
        return False
    return name == b"IEND"
