"""From patches to a map: what was drawn in training patches is laid where a patch is like them, and averaged.

Y. Ganin, V. Lempitsky: N⁴-Fields: Neural Network Nearest Neighbor Fields for Image Transforms, ACCV 2014. LMLE
(section 5) transfers the annotations of the nearest neighbours in the same way.
"""

from collections.abc import Callable

import faiss
import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

from longtail.data.photographs import Photographs
from longtail.problems.edges.dense import Grid
from longtail.rules.base import Floats, Ints
from longtail.rules.knn import nearest

BLOCK = 4096  # windows that are added up at a time


Transfer = Callable[[Floats], Floats]
"""From embeddings (n, d), or the probabilities of classes (n, K), to windows of a map (n, s, s) in 0 to 1."""


def mean_windows(photographs: Photographs, rows: Ints, codes: Ints, count: int, side: int) -> Floats:
    """What was drawn on average, (count, side, side), in the patches `rows` (n,) of each code (n,); −1 is left out."""
    sums, sizes = np.zeros((count, side * side), np.float32), np.bincount(codes[codes >= 0], minlength=count)
    order = np.flatnonzero(codes >= 0)
    order = order[
        np.argsort(photographs.places[rows[order], 0], kind="stable")
    ]  # each photograph is read once or twice
    for start in range(0, len(order), BLOCK):
        here = order[start : start + BLOCK]
        np.add.at(sums, codes[here], photographs.annotation_windows(rows[here], side).reshape(len(here), -1))
    means: Floats = (sums / np.maximum(sizes, 1)[:, None]).astype(np.float32)
    return means.reshape(count, side, side)


def of_clusters(points: Floats, windows: Floats, neighbours: int) -> Transfer:
    """The mean window of the nearest of the clusters, whose centroids are `points` (m, d), and `windows` (m, s, s)."""

    def transfer(embeddings: Floats) -> Floats:
        found: Floats = windows[nearest(points, embeddings, neighbours)[1]].mean(axis=1)
        return found

    return transfer


def of_patches(
    points: Floats, embeddings: Floats, assignment: Ints, windows: npt.NDArray[np.bool_], clusters: int, count: int
) -> Transfer:
    """The mean window of the `count` nearest training patches, (m, d) and (m, s, s), in the nearest clusters, or of all
    where these have fewer; of which each patch is, `assignment` (m,). No cluster may be empty.
    """
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(points.shape[1]), points.shape[1], len(points))
    index.quantizer.add(points)
    index.train(points)
    rows, lists = np.ascontiguousarray(embeddings, np.float32), np.ascontiguousarray(assignment, np.int64)
    # Not `add`: the centroid that is nearest to a patch may be another than its cluster's, and some have none then.
    index.add_core(len(rows), faiss.swig_ptr(rows), None, faiss.swig_ptr(lists))
    index.nprobe = min(clusters, len(points))

    def transfer(queries: Floats) -> Floats:
        found = index.search(np.ascontiguousarray(queries, np.float32), count)[1]
        there = found >= 0  # −1: those clusters have no more
        laid = windows[np.where(there, found, 0)] & there[:, :, None, None]
        mean: Floats = laid.sum(axis=1, dtype=np.float32) / there.sum(axis=1, dtype=np.float32)[:, None, None]
        return mean

    return transfer


def of_classes(windows: Floats) -> Transfer:
    """The mean window of each class (K, s, s), by their probabilities."""
    flat = windows.reshape(len(windows), -1)

    def transfer(probabilities: Floats) -> Floats:
        return (probabilities @ flat).reshape(-1, *windows.shape[1:])

    return transfer


class Canvas:
    """A map H×W on which windows are laid about the centres of a grid, in order; where they overlap, their mean.

    What is said of a patch is said of all pixels that are nearest to its centre: each has as many windows as another.
    Else there would be a dot at every centre, where patches with an edge have it.
    """

    def __init__(self, grid: Grid, side: int) -> None:
        self._grid, self._side = grid, side
        shape = grid.height + side + grid.stride, grid.width + side + grid.stride
        self._sum, self._count = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._rows = np.repeat(grid.rows, len(grid.columns))
        self._columns = np.tile(grid.columns, len(grid.rows))
        self._laid = 0

    def lay(self, windows: Floats) -> None:
        """Add the next windows (n, side, side)."""
        here = slice(self._laid, self._laid + len(windows))
        self._laid += len(windows)
        at = self._rows[here] * self._sum.shape[1] + self._columns[here]  # of the top left corner, shifted by side // 2
        for dy in range(self._side):
            for dx in range(self._side):
                place = at + dy * self._sum.shape[1] + dx  # no centre comes twice: neither does a place
                self._sum.ravel()[place] += windows[:, dy, dx]
                self._count.ravel()[place] += 1

    def map(self) -> Floats:
        """float32 H×W in 0 to 1."""
        before, grid = self._side // 2, self._grid
        inside = np.s_[before : before + grid.height, before : before + grid.width]
        first = grid.stride % 2 - 1  # of an even stride the centre is the first of the cell's second half
        laid, count = (
            uniform_filter(values, grid.stride, mode="constant", origin=first) for values in (self._sum, self._count)
        )
        mean: Floats = (laid[inside] / count[inside]).astype(np.float32)
        return mean
