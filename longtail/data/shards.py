"""The files that hold the images of a packed dataset: pixels, or JPEGs. Each is memory-mapped and of bounded size.

images-00000.npy …     uint8, N×H×W×C
images-00000.mjpeg …   or N JPEGs, one after another,
offsets-00000.npy …    and for each where it begins, int64 (N+1,); the last is where the file ends
"""

import hashlib
from abc import ABC, abstractmethod
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


def open_shards(path: Path, sizes: list[int], shape: Shape, *, jpegs: bool) -> "Shards":
    """The images of the packed dataset in the directory `path`: in each file as many as `sizes` says, all H×W×C.

    Raises ValueError, or what else numpy raises, if the files do not hold such.
    """
    return (_JPEGs if jpegs else _Raw)(path, sizes, shape)


class Shards(ABC):
    """The files of one dataset: a row is in the file `number` at a place `local` to it."""

    def __init__(self, path: Path, sizes: list[int], shape: Shape) -> None:
        self._path, self._shape = path, shape
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self._starts = self._ends - sizes
        self._checked: set[int] = set()

    def images(self, rows: Ints) -> Pixels:
        """uint8 len(rows)×H×W×C, in the order asked; an image that is asked twice is read once.

        Raises DataError if a file is not as it was written: each is read as a whole when first needed.
        """
        distinct, first, places = np.unique(rows, return_index=True, return_inverse=True)
        numbers = np.searchsorted(self._ends, distinct, side="right")
        self._check(set(numbers.tolist()) - self._checked)
        out = np.empty((len(rows), *self._shape), np.uint8)
        self._read(numbers, distinct - self._starts[numbers], out, first)
        again = np.flatnonzero(first[places] != np.arange(len(rows)))
        out[again] = out[first[places[again]]]
        return out

    def stored(self, rows: Ints) -> Block:
        """Images as they are stored, in the order asked: pixels, or JPEGs, which lose nothing when packed again.

        Raises DataError as `images`.
        """
        numbers = np.searchsorted(self._ends, rows, side="right")
        self._check(set(numbers.tolist()) - self._checked)
        return self._stored(numbers, rows - self._starts[numbers])

    def _check(self, numbers: set[int]) -> None:
        if numbers:
            with ThreadPoolExecutor(budget()) as pool:
                list(pool.map(lambda number: check_file(self._file(number)), sorted(numbers)))
            self._checked |= numbers

    @abstractmethod
    def _file(self, number: int) -> Path: ...

    @abstractmethod
    def _stored(self, numbers: Ints, local: Ints) -> Block: ...

    @abstractmethod
    def _read(self, numbers: Ints, local: Ints, out: Pixels, places: Ints) -> None:
        """Bring images to those places of `out`."""


class _Raw(Shards):
    def __init__(self, path: Path, sizes: list[int], shape: Shape) -> None:
        super().__init__(path, sizes, shape)
        self._pixels = [np.load(self._file(number), mmap_mode="r") for number in range(len(sizes))]
        for number, (size, pixels) in enumerate(zip(sizes, self._pixels, strict=True)):
            if pixels.dtype != np.uint8 or pixels.shape != (size, *shape):
                raise ValueError(f"{self._file(number).name} holds {pixels.dtype} {pixels.shape}")

    def _file(self, number: int) -> Path:
        return _raw_file(self._path, number)

    def _stored(self, numbers: Ints, local: Ints) -> Block:
        out, everything = np.empty((len(local), *self._shape), np.uint8), np.arange(len(local))
        self._read(numbers, local, out, everything)
        return out

    def _read(self, numbers: Ints, local: Ints, out: Pixels, places: Ints) -> None:
        for number in np.unique(numbers):
            here = numbers == number
            out[places[here]] = self._pixels[number][local[here]]


class _JPEGs(Shards):
    def __init__(self, path: Path, sizes: list[int], shape: Shape) -> None:
        super().__init__(path, sizes, shape)
        self._bytes = [np.memmap(self._file(number), np.uint8, "r") for number in range(len(sizes))]
        self._offsets = [np.load(_offsets_file(path, number)) for number in range(len(sizes))]
        for number, (size, offsets) in enumerate(zip(sizes, self._offsets, strict=True)):
            name = _offsets_file(path, number).name
            if offsets.dtype != np.int64 or offsets.shape != (size + 1,):
                raise ValueError(f"{name} holds {offsets.dtype} {offsets.shape}")
            if offsets[0] != 0 or (np.diff(offsets) <= 0).any() or offsets[-1] != len(self._bytes[number]):
                raise ValueError(f"{name} does not fit {self._file(number).name}")
        if sizes:
            self._decoded(0, 0)  # is it of that shape at all?

    def _file(self, number: int) -> Path:
        return _jpeg_file(self._path, number)

    def _read(self, numbers: Ints, local: Ints, out: Pixels, places: Ints) -> None:
        def decode(start: int) -> None:
            for i in range(start, min(start + SPAN, len(places))):
                out[places[i]] = self._decoded(numbers[i], local[i])

        # Threads, because Pillow decodes without the interpreter's lock. To start them takes far less than to decode.
        with ThreadPoolExecutor(budget()) as pool:
            list(pool.map(decode, range(0, len(places), SPAN)))

    def _stored(self, numbers: Ints, local: Ints) -> Block:
        return [self._encoded(number, row) for number, row in zip(numbers, local, strict=True)]

    def _encoded(self, number: int, row: int) -> bytes:
        start, end = self._offsets[number][row : row + 2]
        return self._bytes[number][start:end].tobytes()

    def _decoded(self, number: int, row: int) -> Pixels:
        try:
            return jpeg.decode(self._encoded(number, row), self._shape)
        except ValueError as error:
            file = self._file(number)
            raise DataError(f"{file}: image {row} (from 0) is {error}; run `longtail ingest` again") from error


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
