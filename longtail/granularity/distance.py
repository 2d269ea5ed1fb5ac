"""Distance functions: from positions of samples to a block of their distances."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.errors import DataError
from longtail.rules.distances import squared_distances

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Points = npt.NDArray[Any]
# From positions (r,) and (c,) to distances (r, c), at least 0.
Distance = Callable[[Ints, Ints], Floats]

BLOCK = 2**22  # numbers of a block (32 MiB), whatever the number of samples
EQUAL = 1 + 1e-9  # distances of less than this ratio are equal, but for rounding
SAME = 1e-12  # of the squared lengths of two points: nearer than that they are one point, but for rounding


def euclidean(points: Points) -> Distance:
    """Euclidean distance of points (n, d) of any real type; they are read, and made float64, in blocks.

    Raises DataError of points that are not finite.
    """
    size = max(1, BLOCK // points.shape[1])
    centre = points.mean(0, dtype=np.float64)  # far from the origin small distances would drown in rounding
    if len(points) and not np.isfinite(centre).all():
        raise DataError("the points hold NaN or infinity, so they have no distances: make the features again")

    def block(rows: Ints, columns: Ints) -> Floats:
        first = points[rows].astype(np.float64) - centre
        lengths = (first * first).sum(1)[:, None]
        found = np.empty((len(rows), len(columns)))
        for part in blocks(len(columns), size):
            second = points[columns[part]].astype(np.float64) - centre
            squares = squared_distances(first, second)
            squares[squares <= SAME * (lengths + (second * second).sum(1))] = 0
            np.sqrt(squares, out=found[:, part])
        return found

    def distances(rows: Ints, columns: Ints) -> Floats:
        parts = [block(rows[part], columns) for part in blocks(len(rows), size)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return distances


def precomputed(matrix: Floats) -> Distance:
    """The distances that a symmetric matrix (n, n) holds."""
    return lambda rows, columns: matrix[np.ix_(rows, columns)]


def least(values: Floats) -> int:
    """The place of the least value, of those that are equal but for rounding the first."""
    return int(np.flatnonzero(values <= values.min() * EQUAL)[0])


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of so many at most, over all of them; one empty slice of none."""
    for start in range(0, max(count, 1), size):
        yield slice(start, min(start + size, count))
