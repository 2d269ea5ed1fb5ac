"""Predicted edge maps, H×W in 0 to 1: from PNG files, and from the .mat files of hierarchical segmentations."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from longtail.errors import DataError
from longtail.problems.edges.matlab import read_matlab
from longtail.sources.quoting import shown

Map = npt.NDArray[np.float64]

SUFFIXES = (".png", ".mat")
# Pillow's modes of one channel, and what stands for 1.
WHITE = {"1": 1, "L": 255, "I;16": 65535}


def read_edge_map(file: Path) -> Map:
    """The map of a grey PNG file, or of an ultrametric contour map `ucm2` of twice the size.

    Raises DataError if it cannot be read or is not in 0 to 1.
    """
    edge_map = _of_png(file) if file.suffix.lower() == ".png" else _of_contours(file)
    check_edge_map(edge_map, shown(file))
    return edge_map


def check_edge_map(edge_map: Map, name: str) -> None:
    """Raise DataError, which names it so, if a map is not of two dimensions or not in 0 to 1."""
    if edge_map.ndim != 2 or min(edge_map.shape) < 2:
        raise DataError(f"{name} is no edge map: it has the shape {edge_map.shape}; give H×W numbers, 2×2 at least")
    if not np.isfinite(edge_map).all():
        raise DataError(f"{name} has pixels that are NaN or infinite; an edge map is in 0 to 1")
    if edge_map.min() < 0 or edge_map.max() > 1:
        least, most = edge_map.min(), edge_map.max()
        raise DataError(f"{name} has values from {least:g} to {most:g}; scale it to 0 to 1")


def _of_png(file: Path) -> Map:
    try:
        with Image.open(file, formats=["PNG"]) as image:
            mode, pixels = image.mode, np.asarray(image)
    except Exception as error:  # of a damaged file the decoder raises whatever comes
        raise DataError(f"cannot read {shown(file)} as a PNG file: {shown(error)}") from error
    if mode not in WHITE:
        raise DataError(f"{shown(file)} is an image in colour or with transparency ({mode}); save the map in grey")
    return pixels / WHITE[mode]


def _of_contours(file: Path) -> Map:
    """Of the boundaries between pixels, twice as fine, those that a pixel is said to have."""
    contours = read_matlab(file, "ucm2")
    if contours.ndim != 2 or contours.dtype.kind not in "biuf" or not all(size % 2 for size in contours.shape):
        raise DataError(
            f"`ucm2` of {shown(file)} is no contour map: of an image H×W it has the shape (2H + 1)×(2W + 1), and here "
            f"{contours.shape}"
        )
    return contours[2::2, 2::2].astype(np.float64)
