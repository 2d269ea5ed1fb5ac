"""Photographs that a packed dataset cuts its images out of, when they are drawn: two million patches of 45×45 are
12 GB, and the five hundred photographs behind them 230 MB.

images-photographs.bin   uint8: each photograph H×W×C, one after another
images-annotations.bin   its annotations A×H×W after that, as bits, each photograph beginning with a byte
photographs.json         of each its name, subset, height, width, and number of annotations
places.npy               int32 (N, 4): of each patch its photograph, annotation, and row and column of its centre
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, TypeAdapter

from longtail.artifacts.digests import check_file
from longtail.artifacts.reading import read_array
from longtail.data.jpeg import Pixels
from longtail.data.shards import Ints, Shape, Shards

Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int32]

TABLE, PLACES = "photographs.json", "places.npy"
PIXELS, ANNOTATIONS = "images-photographs.bin", "images-annotations.bin"


@dataclass(frozen=True)
class Photograph:
    """A photograph, uint8 H×W×C, and what people marked in it, A×H×W."""

    name: str
    subset: str
    pixels: Pixels
    annotations: Bools


@dataclass(frozen=True)
class Cuts:
    """What patches are cut out of: `places` as in places.npy, photographs in their order."""

    photographs: Iterable[Photograph]
    places: Places


class Entry(BaseModel, extra="forbid"):
    """A line of photographs.json."""

    name: str
    subset: str
    height: int
    width: int
    annotations: int


ENTRIES = TypeAdapter(list[Entry])


class Photographs:
    """The photographs of a packed dataset, memory-mapped."""

    def __init__(self, path: Path, channels: int) -> None:
        """Raises ValueError, or what else numpy raises, if the files do not hold such."""
        self.path, self.channels = path, channels
        self.entries = ENTRIES.validate_json((path / TABLE).read_bytes())
        self.places: Places = read_array(path / PLACES)
        areas = [one.height * one.width for one in self.entries]
        self._pixels = _opened(path / PIXELS, [area * channels for area in areas])
        bits = [-(-area * one.annotations // 8) for area, one in zip(areas, self.entries, strict=True)]
        self._bits = _opened(path / ANNOTATIONS, bits)
        self._checked: set[str] = set()
        _check_places(self.places, self.entries)

    def pixels(self, number: int) -> Pixels:
        """uint8 H×W×C of a photograph. Raises DataError if the file is not as it was written."""
        one = self.entries[number]
        return self._checked_part(PIXELS, self._pixels[number]).reshape(one.height, one.width, self.channels)

    def annotations(self, number: int) -> Bools:
        """bool A×H×W. Raises DataError if the file is not as it was written."""
        one = self.entries[number]
        shape = one.annotations, one.height, one.width
        bits = np.unpackbits(self._checked_part(ANNOTATIONS, self._bits[number]), count=int(np.prod(shape)))
        return bits.view(np.bool_).reshape(shape)

    def annotation_windows(self, rows: Ints, side: int) -> Bools:
        """len(rows)×side×side: what is marked about the centre of each of those patches by its annotator."""
        out = np.empty((len(rows), side, side), np.bool_)
        places = self.places[rows]
        order = np.argsort(places[:, 0], kind="stable")
        for of_one in np.split(order, np.flatnonzero(np.diff(places[order, 0])) + 1):
            annotations = self.annotations(int(places[of_one[0], 0])) if len(of_one) else None
            for row in of_one:
                _, annotator, y, x = places[row].tolist()
                out[row] = window(annotations[annotator], y, x, side)  # type: ignore[index]
        return out

    def _checked_part(self, name: str, part: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if name not in self._checked:
            check_file(self.path / name)
            self._checked.add(name)
        return part


class Patches(Shards):
    """The images of a packed dataset of patches: of the shape `shape`, each about its place."""

    def __init__(self, photographs: Photographs, shape: Shape) -> None:
        super().__init__(photographs.path, [len(photographs.places)], shape)
        self.photographs = photographs

    def _file(self, number: int) -> Path:
        return self._path / PIXELS

    def _stored(self, numbers: Ints, local: Ints) -> Pixels:
        out = np.empty((len(local), *self._shape), np.uint8)
        self._read(numbers, local, out, np.arange(len(local)))
        return out

    def _read(self, numbers: Ints, local: Ints, out: Pixels, places: Ints) -> None:
        for place, (number, _, y, x) in zip(places, self.photographs.places[local].tolist(), strict=True):
            out[place] = window(self.photographs.pixels(number), y, x, self._shape[0])


def window(image: npt.NDArray[np.generic], y: int, x: int, side: int) -> npt.NDArray[np.generic]:
    """side×side×… about the pixel at row y and column x, which is at side // 2; mirrored at the border of H×W×…"""
    top, left = y - side // 2, x - side // 2
    height, width = image.shape[:2]
    if top >= 0 and left >= 0 and top + side <= height and left + side <= width:
        return image[top : top + side, left : left + side]
    return image[np.ix_(_mirrored(top, side, height), _mirrored(left, side, width))]


def write_cuts(path: Path, cuts: Cuts, digest: "hashlib._Hash") -> None:
    """Write the photographs and places into the directory `path`. What is written is added to the digest."""
    entries = []
    with (path / PIXELS).open("wb") as pixels, (path / ANNOTATIONS).open("wb") as bits:
        for one in cuts.photographs:
            for file, data in ((pixels, one.pixels.tobytes()), (bits, np.packbits(one.annotations).tobytes())):
                digest.update(data)
                file.write(data)
            annotations, height, width = one.annotations.shape
            entries.append(Entry(name=one.name, subset=one.subset, height=height, width=width, annotations=annotations))
    (path / TABLE).write_bytes(ENTRIES.dump_json(entries, indent=1) + b"\n")
    np.save(path / PLACES, cuts.places.astype(np.int32), allow_pickle=False)
    digest.update((path / TABLE).read_bytes() + (path / PLACES).read_bytes())


def _check_places(places: Places, entries: list[Entry]) -> None:
    """Raise ValueError if a place lies in no photograph, or is of no annotation."""
    if places.ndim != 2 or places.shape[1] != 4 or places.dtype != np.int32:
        raise ValueError(f"{PLACES} holds {places.dtype} {places.shape}")
    numbers = places[:, 0]
    if not ((numbers >= 0) & (numbers < len(entries))).all():
        raise ValueError(f"{PLACES} names photographs that {TABLE} has not")
    sizes = np.array([(one.annotations, one.height, one.width) for one in entries]).reshape(-1, 3)
    if not ((places[:, 1:] >= 0) & (places[:, 1:] < sizes[numbers])).all():
        raise ValueError(f"{PLACES} has places outside of their photographs")


def _mirrored(start: int, side: int, length: int) -> Ints:
    """Positions from `start` on, reflected at 0 and at the last."""
    inside = np.abs(np.arange(start, start + side))
    mirrored: Ints = length - 1 - np.abs(length - 1 - inside)
    return mirrored


def _opened(file: Path, sizes: list[int]) -> list[npt.NDArray[np.uint8]]:
    everything = np.memmap(file, np.uint8, "r") if sum(sizes) else np.empty(0, np.uint8)
    if len(everything) != sum(sizes):
        raise ValueError(f"{file.name} does not fit {TABLE}")
    return np.split(everything, np.cumsum(sizes)[:-1])
