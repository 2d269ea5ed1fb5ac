"""Where patches are drawn in an annotated photograph: as many on boundaries as away from them."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from longtail.data.photographs import Bools

Ints = npt.NDArray[np.int64]


def draw_places(boundaries: Bools, count: int, clearance: float, random: np.random.Generator) -> tuple[Ints, Ints]:
    """Two arrays (n, 3) of annotator, row and column, n ≤ `count`, none twice: boundary pixels of that annotator, and
    pixels farther than `clearance` pixels from whatever anybody has drawn, each with an annotator at random.

    `boundaries`: A×H×W. Where there are fewer pixels of either kind, n is their number.
    """
    edges = np.argwhere(boundaries)
    others = np.argwhere(_distance(np.any(boundaries, axis=0)) > clearance)
    n = min(count, len(edges), len(others))
    edges = edges[np.sort(random.choice(len(edges), n, replace=False))]
    others = others[np.sort(random.choice(len(others), n, replace=False))]
    annotators = random.integers(len(boundaries), size=n)
    return edges, np.column_stack([annotators, others])


def _distance(boundary: Bools) -> npt.NDArray[np.float64]:
    """How far each pixel is from a boundary; infinitely, where there is none."""
    if not boundary.any():
        return np.full(boundary.shape, np.inf)
    return distance_transform_edt(~boundary)  # type: ignore[no-any-return]
