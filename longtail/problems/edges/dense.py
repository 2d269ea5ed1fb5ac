"""The patch about every pixel of a photograph, or about every second, through a network: in blocks of bounded size."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from longtail.data.jpeg import Pixels

Ints = npt.NDArray[np.int64]
BLOCK = 1024  # patches at a time


@dataclass(frozen=True)
class Grid:
    """H×W pixels in cells of `stride`×`stride`, at whose centres patches lie: those of the last may lie outside."""

    height: int
    width: int
    stride: int

    @property
    def rows(self) -> Ints:
        """The rows of the centres."""
        return _centres(self.height, self.stride)

    @property
    def columns(self) -> Ints:
        """The columns of the centres."""
        return _centres(self.width, self.stride)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)


def _centres(length: int, stride: int) -> Ints:
    return np.arange(0, length, stride) + stride // 2


def patches(pixels: Pixels, side: int, grid: Grid) -> Iterator[Pixels]:
    """Blocks n×side×side×C of a photograph H×W×C, mirrored at its border, row by row of the grid."""
    padded = np.pad(pixels, [(side // 2, side + grid.stride)] * 2 + [(0, 0)], mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1))
    y, x = np.repeat(grid.rows, len(grid.columns)), np.tile(grid.columns, len(grid.rows))
    for start in range(0, len(grid), BLOCK):
        here = slice(start, start + BLOCK)
        yield windows[y[here], x[here]].transpose(0, 2, 3, 1)
