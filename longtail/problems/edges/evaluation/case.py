"""One image to evaluate: a predicted map and what its annotators drew, as arrays or as files."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.errors import DataError
from longtail.problems.edges.annotations import read_boundaries
from longtail.problems.edges.edge_maps import SUFFIXES, Map, check_edge_map, read_edge_map
from longtail.problems.edges.evaluation.correspondence import Pixels
from longtail.sources.quoting import listed, shown


@dataclass(frozen=True)
class Case:
    """An image: its map H×W in 0 to 1 and its annotators' boundaries A×H×W, or the files of them. Of boundaries a pixel
    counts that is not 0, whatever the type.
    """

    name: str
    edge_map: npt.ArrayLike | Path
    boundaries: npt.ArrayLike | Path

    def read(self) -> tuple[Map, Pixels]:
        """Both arrays. Raises DataError if one cannot be read, is no such array, or they differ in size."""
        name = shown(self.edge_map if isinstance(self.edge_map, Path) else self.name)
        if isinstance(self.edge_map, Path):
            edge_map = read_edge_map(self.edge_map)
        else:
            edge_map = _numbers(self.edge_map, f"the map of {name}").astype(np.float64)
            check_edge_map(edge_map, name)
        boundaries = self.boundaries
        boundaries = read_boundaries(boundaries) if isinstance(boundaries, Path) else _drawn(boundaries, name)
        if boundaries.shape[1:] != edge_map.shape:
            sizes = [f"{height}×{width}" for height, width in (edge_map.shape, boundaries.shape[1:])]
            raise DataError(f"{name} is {sizes[0]} pixels (height×width) and its annotation {sizes[1]}; give one size")
        return edge_map, boundaries


def _drawn(boundaries: npt.ArrayLike, name: str) -> Pixels:
    """Boundaries A×H×W as booleans."""
    values = _numbers(boundaries, f"what was drawn in {name}")
    if not len(values):
        raise DataError(f"{name} has no annotation; leave the image out")
    if values.ndim != 3:
        raise DataError(
            f"what was drawn in {name} has the shape {values.shape}; give annotators×height×width, of one annotator "
            "`boundaries[None]`"
        )
    if not np.isfinite(values).all():
        raise DataError(f"what was drawn in {name} has NaN or infinity; give 0 where nothing is drawn")
    return np.asarray(values != 0)


def _numbers(values: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
    """An array of at least one dimension. Raises DataError where lists differ in length, or hold no numbers."""
    try:
        array = np.atleast_1d(np.asarray(values))
    except ValueError as error:
        raise DataError(f"{what} is no array: its rows differ in length; give all the same") from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} is of the type {array.dtype}, which is none of numbers; give an array of numbers")
    return array


def key(name: str, edge_map: Map, boundaries: Pixels, settings: str) -> str:
    """A digest, in hexadecimal, of all that the counts of an image depend on."""
    digest = hashlib.sha256(f"{settings}\n{name}\n{boundaries.shape}\n".encode("utf-8", "surrogateescape"))
    for values in (edge_map, boundaries):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def paired(predictions: Path, ground_truth: Path) -> list[Case]:
    """The images of two folders, by their names without suffix, sorted. Raises DataError if one lacks its partner."""
    maps = _by_name(predictions, SUFFIXES)
    annotations = _by_name(ground_truth, (".mat",))
    if alone := sorted(maps.keys() - annotations.keys()):
        raise DataError(f"{shown(ground_truth)} has no annotation (.mat) of {listed(alone)}; leave these maps out")
    if alone := sorted(annotations.keys() - maps.keys()):
        raise DataError(
            f"{shown(predictions)} has no map (.png or .mat) of {listed(alone)}; add these, or give a folder of the "
            "annotations that are asked"
        )
    return [Case(name, maps[name], annotations[name]) for name in sorted(maps)]


def _by_name(folder: Path, suffixes: Iterable[str]) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"{shown(folder)} is no folder; give one with a file for each image")
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in suffixes and not file.name.startswith("."):
            if file.stem in found:
                raise DataError(f"{shown(found[file.stem])} and {shown(file)} are maps of the same image; keep one")
            found[file.stem] = file
    if not found:
        raise DataError(f"{shown(folder)} has no file that ends in {' or '.join(suffixes)}")
    return found
