"""Files and images beyond the limits: one clean sentence, before memory or disk are full."""

import gzip
import os
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longtail.errors import DataError
from longtail.sources.collection import Request
from longtail.sources.files import open_files, read_file
from longtail.sources.folder import Folder
from longtail.sources.idx_format import read_idx
from longtail.sources.limits import Limits
from longtail.sources.problems import Problems

Load = Callable[..., Any]


def png_bomb(side: int) -> bytes:
    """A black image of side × side pixels, in few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_an_image_of_too_many_pixels_is_not_decoded(root: Path, draw: Callable[..., Path], tmp_path: Path) -> None:
    draw("a/1.png")
    draw("b/1.png")
    (root / "b" / "bomb.png").write_bytes(png_bomb(12_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problems = Problems()
    Folder(kind="folder").load(root, Request((8, 8, 3), tmp_path, problems=problems))
    (line,) = problems.found
    assert "bomb.png: image too large (more pixels than `limits.image_megapixels` allows" in line
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_the_limit_of_pixels_is_a_parameter(root: Path, draw: Callable[..., Path], tmp_path: Path) -> None:
    for name, size in (("a/1.png", 16), ("b/1.png", 32)):
        draw(name, size=size)
    for megapixels, count in ((0.001, 1), (0.0011, 0)):
        problems = Problems()
        request = Request((8, 8, 3), tmp_path, problems=problems, limits=Limits(image_megapixels=megapixels))
        Folder(kind="folder").load(root, request)
        assert problems.counts["image too large"] == count


def test_a_file_of_too_many_bytes_is_not_read(root: Path, draw: Callable[..., Path], tmp_path: Path) -> None:
    draw("a/1.png")
    with (root / "a" / "large.png").open("wb") as file:
        file.truncate(10**12)
    files = open_files(root, Request((8, 8, 3), tmp_path))
    with pytest.raises(OSError, match=r"1,000,000 MB where 1000 are allowed; raise `limits\.file_megabytes`"):
        files.read("a/large.png")
    with pytest.raises(DataError, match="cannot be read: 1,000,000 MB"):
        read_file(root / "a" / "large.png", Request((8, 8, 3), tmp_path))


def test_a_packed_idx_file_inflates_no_further_than_allowed(tmp_path: Path) -> None:
    content = b"\0\0\x08\x01" + struct.pack(">I", 3 * 10**6) + bytes(3 * 10**6)
    (tmp_path / "labels.gz").write_bytes(gzip.compress(content))
    assert len(read_idx(tmp_path / "labels.gz", 1, Limits())) == 3 * 10**6
    with pytest.raises(DataError, match=r"labels\.gz inflates to more than 2 times its size"):
        read_idx(tmp_path / "labels.gz", 1, Limits(inflation=2))


def test_a_pipe_is_not_waited_for(root: Path, tmp_path: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(DataError, match="a pipe, no regular file"):
        read_idx(root / "pipe", 1, Limits())
    with pytest.raises(DataError, match="a pipe, no regular file"):
        read_file(root / "pipe", Request((8, 8, 3), tmp_path))
    with pytest.raises(DataError, match="a pipe, no regular file"):
        open_files(root / "pipe", Request((8, 8, 3), tmp_path))


def test_a_device_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="a device, no regular file"):
        read_file(tmp_path / "labels.csv", Request((8, 8, 3), tmp_path))
