"""Colour histograms: how many pixels of an image have which hue and saturation, whatever their brightness.

colours.npy   uint16, n×G²: of every image the counts on a grid of G×G cells, row after row

Sources: Dorozynski, SilkNet, 2023, section 3.2 (colour similarity, Eq. 7), and the authors' code, in which G
is 5. The resized image's hue H and saturation S, both in [0, 1], are polar coordinates: x = S cos 2πH along a row and
y = S sin 2πH across the rows of a grid over the square [−1, 1]². Grey pixels lie at its centre.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from longtail.artifacts.rows import RowsFile
from longtail.progress import Advance
from longtail.threads import budget

Counts = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

COLOURS = "colours.npy"
SIDE = 224  # pixels of the resized image; uint16 counts them all
BLACK = 24  # what a JPEG of quality 95 makes of a black bar is darker, beside the noisiest image too
Grid = Annotated[
    int, Field(ge=2, le=64, description="cells along a side; an odd number keeps grey pixels in one of them")
]


def without_bars(image: Pixels) -> Pixels:
    """An image H×W×C that lies on a black ground (`fit: pad`), without that: the rows and columns at its edges of which
    no pixel is brighter than what a JPEG makes of black. A black ground of the photograph's own goes with it. A black
    image stays as it is.
    """
    bright = image.max(2) > BLACK
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    return image if not len(rows) else image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def histogram(image: Pixels, grid: int, *, padded: bool = False) -> Counts:
    """(grid²,), which sums to 224²: of an image H×W×C, grey (C is 1) or RGB, resized to 224×224. A pixel between cells
    belongs to the later one, and at the square's edge to the last. Bars of a `padded` image do not count.
    """
    image = without_bars(image) if padded else image
    rgb = Image.fromarray(np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image)
    resized = np.asarray(rgb.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    hue, saturation = _hue_and_saturation(resized)
    # Rounded, so that what lies between two cells is not moved by the last bits of a cosine, which differ by processor.
    column, row = (
        np.minimum(np.floor(np.round((1 + saturation * wave(2 * np.pi * hue)) * grid / 2, 9)), grid - 1)
        for wave in (np.cos, np.sin)
    )
    cells = (row * grid + column).astype(np.int64)
    return np.bincount(cells.ravel(), minlength=grid**2).astype(np.uint16)


def _hue_and_saturation(rgb: Pixels) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """H×W each, the hue in [−1/6, 5/6] of a circle; both 0 where a pixel is grey."""
    red, green, blue = np.ascontiguousarray(np.moveaxis(rgb, 2, 0), np.float64)
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    divisor = np.maximum(chroma, 1)  # channels are whole numbers: without chroma all differences are 0
    of_others = np.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor)
    return np.where(value == red, (green - blue) / divisor, of_others) / 6, chroma / np.maximum(value, 1)


def write_histograms(
    path: Path, images: Callable[[Ints], Pixels], count: int, grid: int, block: int, *, padded: bool = False
) -> None:
    """Write the histograms of so many images into the directory `path`; `images` gives those of some rows, `block` at a
    time. `padded`: they lie on a black ground.
    """
    counts = RowsFile(path / COLOURS, (count, grid**2), np.uint16)
    # Threads, because numpy and Pillow work without the interpreter's lock.
    with counts, ThreadPoolExecutor(budget()) as pool, Advance("colours", count) as advance:
        for start in range(0, count, block):
            rows = np.arange(start, min(start + block, count))
            of_block = pool.map(lambda image: histogram(image, grid, padded=padded), images(rows))
            counts.add(np.stack(list(of_block)))
            advance.add(len(rows))


def open_histograms(path: Path, count: int, grid: int) -> Counts:
    """The histograms in the directory `path` of so many images, (count, grid²), memory-mapped.

    Raises ValueError, or what else numpy raises, if there are none, or of other images.
    """
    counts: Counts = np.load(path / COLOURS, mmap_mode="r")
    if counts.dtype != np.uint16 or counts.shape != (count, grid**2):
        raise ValueError(f"{COLOURS} holds {counts.dtype} {counts.shape}")
    return counts


def standardised(counts: Counts) -> Floats:
    """(n, cells): each histogram less its own mean, and of length 1: the product of two is their correlation. One that
    is even over all cells, which no image has, is 0.

    Eq. 7 takes the normalised cross-correlation of two histograms; the authors' code subtracts from each cell its mean
    over the mini-batch instead, and what two images have in common then depends on the others.
    """
    centred = counts - counts.mean(axis=1, keepdims=True, dtype=np.float64)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    rows: Floats = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0).astype(np.float32)
    return rows
