"""The files that hold the images of a packed dataset: pixels, or JPEGs. Each is memory-mapped and of bounded size.

images-00000.npy …     uint8, N×H×W×C
images-00000.mjpeg …   or N JPEGs, one after another,
offsets-00000.npy …    and for each where it begins, int64 (N+1,); the last is where the file ends
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from longtail.artifacts.digests import check_file
from longtail.data import jpeg
from longtail.data.jpeg import Pixels
from longtail.errors import DataError
from longtail.threads import budget

SHARD_BYTES = 256 * 2**20
SPAN = 8  # images that a thread decodes before it takes the next

Ints = npt.NDArray[np.int64]
Shape = tuple[int, int, int]
Block = Pixels | list[bytes]
"""Some images on their way into shards: uint8 n×H×W×C, or their JPEGs."""


class Shards:
    """The images of the packed dataset in the directory `path`: in each file as many as `sizes` says, all H×W×C.

    Raises ValueError, or what else numpy raises, if the files do not hold such.
    """

    def __init__(self, path: Path, sizes: list[int], shape: Shape, *, jpegs: bool) -> None:
        self.shape = shape
        self._ends = np.cumsum(sizes)
        kind: type[_JPEGs] | type[_Raw] = _JPEGs if jpegs else _Raw
        self._shards = [kind(path, number, size, shape) for number, size in enumerate(sizes)]
        self._checked: set[int] = set()

    def images(self, rows: Ints) -> Pixels:
        """uint8 len(rows)×H×W×C, in the order asked; an image that is asked twice is read once.

        Raises DataError if a file is not as it was written: each is read as a whole when first needed.
        """
        distinct, first, places = np.unique(rows, return_index=True, return_inverse=True)
        out = np.empty((len(rows), *self.shape), np.uint8)
        shards = np.searchsorted(self._ends, distinct, side="right")
        self._check(set(shards.tolist()) - self._checked)
        for number in np.unique(shards):
            shard, here = self._shards[number], shards == number
            shard.read(distinct[here] - (self._ends[number] - shard.size), first[here], out)
        again = np.flatnonzero(first[places] != np.arange(len(rows)))
        out[again] = out[first[places[again]]]
        return out

    def _check(self, numbers: set[int]) -> None:
        if numbers:
            with ThreadPoolExecutor(budget()) as pool:
                list(pool.map(lambda number: check_file(self._shards[number].file), sorted(numbers)))
            self._checked |= numbers


class _Raw:
    def __init__(self, path: Path, number: int, size: int, shape: Shape) -> None:
        self.file, self.size = _raw_file(path, number), size
        self._pixels = np.load(self.file, mmap_mode="r")
        if self._pixels.dtype != np.uint8 or self._pixels.shape != (size, *shape):
            raise ValueError(f"{self.file.name} holds {self._pixels.dtype} {self._pixels.shape}")

    def read(self, rows: Ints, places: Ints, out: Pixels) -> None:
        """Bring those rows of the file to those places of `out`."""
        out[places] = self._pixels[rows]


class _JPEGs:
    def __init__(self, path: Path, number: int, size: int, shape: Shape) -> None:
        self.file, self.size, self._shape = _jpeg_file(path, number), size, shape
        self._bytes = np.memmap(self.file, np.uint8, "r")
        offsets = _offsets_file(path, number)
        self._offsets = np.load(offsets)
        if self._offsets.dtype != np.int64 or self._offsets.shape != (size + 1,):
            raise ValueError(f"{offsets.name} holds {self._offsets.dtype} {self._offsets.shape}")
        if self._offsets[0] != 0 or (np.diff(self._offsets) <= 0).any() or self._offsets[-1] != len(self._bytes):
            raise ValueError(f"{offsets.name} does not fit {self.file.name}")

    def read(self, rows: Ints, places: Ints, out: Pixels) -> None:
        """Bring those rows of the file to those places of `out`. Raises DataError for one that cannot be decoded."""

        def decode(span: slice) -> None:
            for row, place in zip(rows[span], places[span], strict=True):
                out[place] = self._decoded(row)

        # Threads, because Pillow decodes without the interpreter's lock. To start them takes far less than to decode.
        with ThreadPoolExecutor(budget()) as pool:
            list(pool.map(decode, [slice(start, start + SPAN) for start in range(0, len(rows), SPAN)]))

    def _decoded(self, row: np.int64) -> Pixels:
        try:
            return jpeg.decode(self._bytes[self._offsets[row] : self._offsets[row + 1]].tobytes(), self._shape)
        except ValueError as error:
            raise DataError(f"{self.file}: image {row} (from 0) is {error}; run `longtail ingest` again") from error


def write_shards(
    path: Path, images: Iterable[Block], digest: "hashlib._Hash", *, count: int, shape: Shape, quality: int | None
) -> list[int]:
    """Write `count` images of `shape` into the directory `path`, as JPEGs if there is a `quality`; how many lie in each
    file. What is written is added to the digest. Raises ValueError if there are not as many images.
    """
    sizes: list[int] = []
    per_file = max(1, SHARD_BYTES // int(np.prod(shape)))
    for number, members in groupby(_encoded(images, quality), key=_filling()):
        with (_raw_file if quality is None else _jpeg_file)(path, number).open("wb") as file:
            if quality is None:
                _write_header(file, min(per_file, count - sum(sizes)), shape)
            lengths = [_write(file, data, digest) for data in members]
        if quality is not None:
            offsets = np.cumsum([0, *lengths], dtype=np.int64)
            np.save(_offsets_file(path, number), offsets)
            digest.update(offsets.tobytes())
        sizes.append(len(lengths))
    if sum(sizes) != count:
        raise ValueError(f"the table has {count} samples, and there are {sum(sizes)} images")
    return sizes


def _encoded(images: Iterable[Block], quality: int | None) -> Iterator[bytes]:
    with ThreadPoolExecutor(budget()) as pool:
        for block in images:
            if isinstance(block, list):
                yield from block
            elif quality is None:
                yield from (pixels.tobytes() for pixels in block)
            else:
                yield from pool.map(lambda pixels: jpeg.encode(pixels, quality), block)


def _write(file: BinaryIO, data: bytes, digest: "hashlib._Hash") -> int:
    digest.update(data)
    return file.write(data)


def _write_header(file: BinaryIO, size: int, shape: Shape) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (max(0, size), *shape)}
    np.lib.format.write_array_header_1_0(file, header)


def _filling() -> Callable[[bytes], int]:
    """Asked for every image in turn: the number of the file that it goes to."""
    number = filled = 0

    def place(data: bytes) -> int:
        nonlocal number, filled
        if filled and filled + len(data) > SHARD_BYTES:
            number, filled = number + 1, 0
        filled += len(data)
        return number

    return place


def _raw_file(path: Path, number: int) -> Path:
    return path / f"images-{number:05d}.npy"


def _jpeg_file(path: Path, number: int) -> Path:
    return path / f"images-{number:05d}.mjpeg"


def _offsets_file(path: Path, number: int) -> Path:
    return path / f"offsets-{number:05d}.npy"
