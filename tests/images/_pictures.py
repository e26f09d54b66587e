"""Small image files, and what is said of those that are refused."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import ImageError

COLOR = (200, 40, 90)
PALETTE = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], dtype=np.uint8)
ORIENTATIONS = range(1, 9)


def plain(color, mode="RGB", size=(4, 3)):
    """A Pillow image 3 high and 4 wide, of one colour."""
    return Image.new("RGB", size, color).convert(mode)


def saved(folder, image, name="image.png", **options):
    path = folder / name
    image.save(path, **options)
    return path


def png_16_bit(folder, values):
    """A 16-bit PNG, (H, W, bands): grey or RGB, alpha behind them in even numbers, which Pillow cannot write."""
    height, width, bands = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    return png_of_chunks(folder, (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))


def png_of_chunks(folder, *chunks):
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    path = folder / "chunks.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def refused(call, *parts, error=ImageError):
    """The one-line error of `call`, which holds every one of `parts`."""
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text, text
    for part in parts:
        assert str(part) in text, text  # which pytest shows in files of tests only
    return text
