"""The nearest images of other groups: those of one group are known to be alike."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from longtail.granularity.distance import BLOCK, Floats, Ints, Points, blocks
from longtail.rules.knn import nearest, search_among

WIDE = 4  # times as many neighbours as are asked are looked at before a group's own are left out
BLOCK_ROWS = 10_000  # samples whose neighbours are looked for at once


class Neighbours(NamedTuple):
    """Of n samples the distances to the k nearest of other groups, nearest first, and their positions, both (n, k);
    infinite and −1 where there are fewer.
    """

    distances: Floats
    positions: Ints


def neighbours(points: Points, groups: npt.NDArray[np.generic], k: int) -> Neighbours:
    """Euclidean, of points (n, d) and the groups that they belong to (n,); exact, so it takes n² distances."""
    known = np.unique(groups, return_inverse=True)[1]
    n = len(points)
    # About their mean: of vectors that are alike nearly everywhere float32 does not tell the nearest apart.
    vectors = np.array(points, np.float32, order="C")
    vectors -= points.mean(0, dtype=np.float64).astype(np.float32)
    distances, positions = np.full((n, k), np.inf), np.full((n, k), -1, np.int64)
    search, parts = search_among(vectors), np.array_split(np.arange(n), n // BLOCK_ROWS + 1)
    pending = np.concatenate([_among_all(search(vectors[rows], WIDE * k)[1], known, rows, positions) for rows in parts])
    # The others' nearest are all of their own group, however many of it lie near: the others are searched alone.
    for group in np.unique(known[pending]):
        others, rows = np.flatnonzero(known != group), pending[known[pending] == group]
        if len(others):
            found = nearest(vectors[others], vectors[rows], k)[1]
            positions[rows, : found.shape[1]] = others[found]
    _measure(vectors, positions, distances)
    order = np.argsort(distances, axis=1, kind="stable")
    return Neighbours(np.take_along_axis(distances, order, 1), np.take_along_axis(positions, order, 1))


def _among_all(found: Ints, known: Ints, rows: Ints, positions: Ints) -> Ints:
    """Fill in the positions of those rows of whose nearest (rows, WIDE · k) enough are strangers; return the others."""
    k = positions.shape[1]
    strange = known[found] != known[rows][:, None]
    enough = strange.sum(1) >= k
    order = np.argsort(~strange[enough], axis=1, kind="stable")[:, :k]
    positions[rows[enough], : order.shape[1]] = np.take_along_axis(found[enough], order, 1)
    left: Ints = rows[~enough]
    return left


def _measure(points: npt.NDArray[np.float32], positions: Ints, distances: Floats) -> None:
    """Fill in the distances, point by point: a search by products of matrices leaves equal points apart."""
    size = max(1, BLOCK // (positions.shape[1] * points.shape[1]))
    for rows in blocks(len(points), size):
        there = positions[rows] >= 0
        apart = points[positions[rows]].astype(np.float64) - points[rows][:, None]
        distances[rows] = np.where(there, np.sqrt((apart * apart).sum(2)), np.inf)
