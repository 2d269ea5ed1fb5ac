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
    """The centres of patches: every `stride`-th row and column of H×W pixels, from half a stride on."""

    height: int
    width: int
    stride: int

    @property
    def rows(self) -> Ints:
        """The rows of the centres."""
        return np.arange(self.stride // 2, self.height, self.stride)

    @property
    def columns(self) -> Ints:
        """The columns of the centres."""
        return np.arange(self.stride // 2, self.width, self.stride)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)


def patches(pixels: Pixels, side: int, grid: Grid) -> Iterator[Pixels]:
    """Blocks n×side×side×C of a photograph H×W×C, mirrored at its border, row by row of the grid."""
    before = side // 2
    padded = np.pad(pixels, [(before, side - 1 - before)] * 2 + [(0, 0)], mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1))
    y, x = np.repeat(grid.rows, len(grid.columns)), np.tile(grid.columns, len(grid.rows))
    for start in range(0, len(grid), BLOCK):
        here = slice(start, start + BLOCK)
        yield windows[y[here], x[here]].transpose(0, 2, 3, 1)
