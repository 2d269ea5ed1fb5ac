"""The idx format of MNIST: a magic number, the dimensions (big-endian), then bytes. http://yann.lecun.com/exdb/mnist/"""

import gzip
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from longtail.errors import DataError
from longtail.sources.files import read_regular
from longtail.sources.limits import Limits


class IdxPair(BaseModel, extra="forbid"):
    """An images file and its labels file, each .gz or not."""

    images: str = Field(description="idx file of uint8 images, or its .gz")
    labels: str = Field(description="idx file of their labels, or its .gz")


def read_pair(root: Path, pair: IdxPair, limits: Limits) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Images N×h×w and labels N. Raises DataError that names the file if they are broken or do not match."""
    images, labels = read_idx(root / pair.images, 3, limits), read_idx(root / pair.labels, 1, limits)
    if len(images) != len(labels):
        raise DataError(f"{root / pair.images} has {len(images)} images, {root / pair.labels} has {len(labels)} labels")
    if not images.size:
        raise DataError(f"{root / pair.images} has no image")
    return images, labels


def read_idx(path: Path, dimensions: int, limits: Limits) -> npt.NDArray[np.uint8]:
    """The bytes of an idx file as an array of that many dimensions. Raises DataError that says what is wrong."""
    data = _read(path, limits)
    head = 4 + 4 * dimensions
    if len(data) < head:
        raise DataError(f"{path} is truncated: {len(data)} bytes, its header alone has {head}")
    zeros, kind, found = struct.unpack(">HBB", data[:4])
    if zeros or kind != 0x08:
        raise DataError(
            f"{path} is no idx file of bytes: it starts with 0x{data[:4].hex()}, not 0x000008{dimensions:02x}"
        )
    if found != dimensions:
        raise DataError(
            f"{path} has {found} dimension(s) where {dimensions} are needed; are images and labels swapped?"
        )
    shape = struct.unpack(f">{dimensions}I", data[4:head])
    expected = int(np.prod(shape, dtype=object))
    if len(data) - head != expected:
        fault = "is truncated" if len(data) - head < expected else "is too long"
        raise DataError(f"{path} {fault}: {len(data) - head} bytes of data, its header {shape} announces {expected}")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def _read(path: Path, limits: Limits) -> bytes:
    try:
        data = read_regular(str(path), limits)
        if not data.startswith(b"\x1f\x8b"):
            return data
        with gzip.open(io.BytesIO(data)) as stream:
            return b"".join(limits.inflated(stream, len(data), path))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is truncated or broken: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
