"""Colours of 16 bits a channel, of which the upper 8 are read: never black, and never without `white`, in silence."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from longtail.errors import DataError
from longtail.sources.decoding import BadImageError, decode
from longtail.sources.deep_grey import DeepGrey
from longtail.sources.folder import Folder

Load = Callable[..., Any]


def deep_png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel: grey with alpha, RGB, or RGB with alpha. Pillow writes none."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def deep_tiff(values: np.ndarray) -> bytes:
    """A TIFF of 16 bits a channel in RGB."""
    height, width, channels = values.shape
    pixels = values.astype("<u2").tobytes()
    behind = 8 + len(pixels) + 2 + 9 * 12 + 4
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, behind), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, 8), (277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(pixels))]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(pixels))
    return head + pixels + struct.pack("<H", len(tags)) + entries + bytes(4) + struct.pack("<3H", 16, 16, 16)


def colours(white: int, channels: int) -> np.ndarray:
    """From black to white in every channel, opaque."""
    values = np.linspace(0, white, 16).astype(np.uint16).reshape(4, 4, 1).repeat(channels, axis=2)
    if channels != 3:
        values[..., -1] = 65535
    return values


DEEP_COLOURS: list[tuple[Callable[[np.ndarray], bytes], int]] = [
    (deep_png, 2),
    (deep_png, 3),
    (deep_png, 4),
    (deep_tiff, 3),
]


@pytest.mark.parametrize(("kind", "channels"), DEEP_COLOURS)
@pytest.mark.parametrize("most", [0, 200, 255, 1023, 4095, 30000])
def test_colours_of_16_bits_that_are_dark_throughout_are_refused(
    load: Load, root: Path, kind: Callable[[np.ndarray], bytes], channels: int, most: int
) -> None:
    for name in ("a/1.png", "b/1.png"):
        (root / name).parent.mkdir()
        (root / name).write_bytes(kind(colours(most, channels)))
    with pytest.raises(DataError, match=rf"brighter than {most | 255} of 65535.*nearly black.*8 bits a channel"):
        load(Folder(kind="folder"))


@pytest.mark.parametrize(("kind", "channels"), DEEP_COLOURS)
def test_colours_of_16_bits_that_are_bright_somewhere_are_read(
    load: Load, root: Path, kind: Callable[[np.ndarray], bytes], channels: int
) -> None:
    for name, white in {"a/1.png": 4095, "b/1.png": 65535}.items():
        (root / name).parent.mkdir()
        (root / name).write_bytes(kind(colours(white, channels)))
    assert load(Folder(kind="folder"), (4, 4, 3)).pixels.max(axis=(1, 2, 3)).tolist() == [15, 255]


@pytest.mark.parametrize(("kind", "channels"), DEEP_COLOURS)
def test_white_is_not_passed_over_in_silence_by_colours_of_16_bits(
    kind: Callable[[np.ndarray], bytes], channels: int
) -> None:
    data = kind(colours(4095, channels))
    with pytest.raises(BadImageError, match="`white`, 4095, cannot act on them: save it with 8 bits a channel"):
        decode(data, (4, 4, 3), deep_grey=DeepGrey(4095))
    dark = DeepGrey(65535)
    assert decode(data, (4, 4, 3), deep_grey=dark).max() == 15
    dark.check()


def test_images_of_8_bits_are_not_looked_at() -> None:
    dark = DeepGrey()
    for kind in ("PNG", "TIFF", "BMP", "TGA"):
        data = io.BytesIO()
        Image.new("RGB", (4, 4), (9, 9, 9)).save(data, kind)
        decode(data.getvalue(), (4, 4, 3), deep_grey=dark)
    dark.check()
