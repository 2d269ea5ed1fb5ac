"""Colour histograms: how many pixels of an image have which hue and saturation, whatever their brightness.

colours.npy   uint16, n×G²: of every image a grid of G×G cells, row after row

Source: Dorozynski and Rottensteiner, SilkNet, 2022, section 3.2 (the colour similarity loss, Eq. 7). Hue H and
saturation S, both in [0, 1], are the polar coordinates of a pixel: x = S cos 2πH and y = S sin 2πH lie in the square
[−1, 1]², which the grid divides. Grey pixels lie at its centre.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

Counts = npt.NDArray[np.uint16]

FILE = "colours.npy"
Grid = Annotated[int, Field(ge=2, le=64)]
"""Cells along a side of the grid. An odd number keeps grey pixels together in one cell; the authors take 5."""


def open_histograms(path: Path, count: int, grid: int) -> Counts:
    """The histograms in the directory `path` of so many images, (count, grid²), memory-mapped.

    Raises ValueError, or what else numpy raises, if there are none, or of other images.
    """
    counts: Counts = np.load(path / FILE, mmap_mode="r")
    if counts.dtype != np.uint16 or counts.shape != (count, grid**2):
        raise ValueError(f"{FILE} holds {counts.dtype} {counts.shape}")
    return counts
