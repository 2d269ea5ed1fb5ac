"""Which edge pixels of two maps are the same edge: one to one, as near as can be, within a radius."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import KDTree

Pixels = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

# A pixel without partner costs this many radii, as in the official code: so much that as many as can be are matched,
# but for long contours.
OUTLIER = 100
# Costs are whole numbers, in units of a 1024th of a pixel: with real ones the search may not end.
UNIT = 1024


def correspondence(first: Pixels, second: Pixels, radius: float) -> tuple[Pixels, Pixels]:
    """The matched pixels of each of two maps H×W, by the assignment of least cost: the sum of the distances, where a
    pair fewer costs `OUTLIER` radii.

    It has as many pairs as can be, unless the last one lengthens all others together by more than that: as of two lines
    of which one lies a pixel further along, if they have more than 100 radii of pixels, about 430 on BSDS500.

    Pairs are at most `radius` pixels apart. Both results have the same number of pixels. Where several assignments
    have the least distance, it is always the same one.
    """
    matched = np.zeros_like(first), np.zeros_like(second)
    rows, columns, distances = _pairs(first, second, radius)
    if len(distances):
        chosen = _assignment(rows, columns, np.rint(UNIT * distances), np.rint(UNIT * OUTLIER * radius))
        for pixels, places in zip(matched, chosen, strict=True):
            pixels.flat[places] = True
    return matched


def _pairs(first: Pixels, second: Pixels, radius: float) -> tuple[Places, Places, npt.NDArray[np.float64]]:
    """All pairs within the radius: places in the flattened first and second map, and distances."""
    places = np.flatnonzero(first), np.flatnonzero(second)
    if not len(places[0]) or not len(places[1]):
        return places[0][:0], places[1][:0], np.empty(0)
    trees = [KDTree(np.column_stack(np.unravel_index(place, first.shape))) for place in places]
    near = trees[0].sparse_distance_matrix(trees[1], radius, output_type="ndarray")
    return places[0][near["i"]], places[1][near["j"]], near["v"]


def _assignment(first: Places, second: Places, costs: npt.NDArray[np.float64], outlier: float) -> tuple[Places, Places]:
    """The chosen pairs. Each row of the graph has a column of its own for staying without partner."""
    rows, row = np.unique(first, return_inverse=True)
    columns, column = np.unique(second, return_inverse=True)
    if len(rows) > len(columns):  # each row is a search
        return _assignment(second, first, costs, outlier)[::-1]
    alone = np.arange(len(rows))
    # The sparse graph has no edge of cost 0. One more for all changes nothing: every row has one edge.
    weights = 1 + np.concatenate([costs, np.full(len(rows), outlier)])
    edges = np.concatenate([row, alone]), np.concatenate([column, len(columns) + alone])
    graph = csr_array((weights, edges), shape=(len(rows), len(columns) + len(rows)))
    chosen_rows, chosen_columns = min_weight_full_bipartite_matching(graph)
    paired = chosen_columns < len(columns)
    return rows[chosen_rows[paired]], columns[chosen_columns[paired]]
