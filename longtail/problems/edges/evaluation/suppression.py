"""Non-maximum suppression: an edge map whose ridges are one pixel wide. Figures depend on it, so it has a name."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve1d, map_coordinates

from longtail.problems.edges.edge_maps import Map
from longtail.problems.edges.evaluation.settings import Suppression

TRIANGLE = 4  # radius of the filter that smooths the map before its orientation is estimated, in pixels
LENIENCE = 1.01  # a pixel stays if, times this, it is no less than both neighbours
BORDER = 5  # pixels from the border within which a map fades


def suppressed(edge_map: Map, nms: Suppression) -> Map:
    """The map H×W after the non-maximum suppression of that name."""
    return edge_map if nms is Suppression.NONE else structured_edges(edge_map)


def structured_edges(edge_map: Map) -> Map:
    """Keep what is largest along its normal, as the structured edge detector does (Dollár and Zitnick, 2013).

    Each pixel is compared with the map's values one pixel to either side along the normal, interpolated linearly.
    Towards the border the map fades.
    """
    angle = normals(edge_map)
    y, x = np.indices(edge_map.shape, dtype=np.float64)
    kept = np.ones(edge_map.shape, dtype=np.bool_)
    for side in (-1, 1):
        at = [y + side * np.sin(angle), x + side * np.cos(angle)]
        kept &= LENIENCE * edge_map >= map_coordinates(edge_map, at, order=1, mode="nearest")
    return np.asarray(np.where(kept, edge_map, 0.0) * np.outer(*(_fading(size) for size in edge_map.shape)))


def normals(edge_map: Map) -> Map:
    """The direction across the edge at each pixel, in radians from the x axis (rightwards) towards y (downwards), in
    [0, π): from the second derivatives of the smoothed map.

    The formula is the detector's own, which figures in the literature rest on. It is right along the axes and the
    diagonals, and up to 14 degrees off between them, since it has the square of the tangent. Where the mixed derivative
    is exactly 0, as on a drawn horizontal line, its sign counts as positive; the detector's own code is then 90 degrees
    off.
    """
    weights = np.bartlett(2 * TRIANGLE + 3)[1:-1]
    smooth = edge_map
    for axis in (0, 1):
        smooth = convolve1d(smooth, weights / weights.sum(), axis=axis, mode="reflect")
    y, x = np.gradient(smooth)
    xy, xx = np.gradient(x)
    yy = np.gradient(y, axis=0)
    return np.asarray(np.mod(np.arctan(yy * np.where(xy > 0, -1, 1) / (xx + 1e-5)), np.pi))


def _fading(size: int) -> npt.NDArray[np.float64]:
    """Factors 0, 1/5, … 1, …, 1/5, 0 along an axis."""
    border = min(BORDER, size // 2)
    place = np.arange(size)
    return np.minimum(1.0, np.minimum(place, place[::-1]) / max(1, border))
