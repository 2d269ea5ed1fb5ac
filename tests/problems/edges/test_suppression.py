"""Non-maximum suppression against loops over pixels, and on ridges of known direction."""

from math import atan, cos, pi, sin

import numpy as np
import numpy.typing as npt
import pytest

from longtail.problems.edges.evaluation.settings import Suppression
from longtail.problems.edges.evaluation.suppression import normals, structured_edges, suppressed

Map = npt.NDArray[np.float64]


def slow(values: Map) -> Map:
    """As the detector's own code, pixel by pixel."""
    height, width = values.shape
    angle, kept = slow_angles(values), values.copy()
    for y in range(height):
        for x in range(width):
            for d in (-1, 1):
                if 1.01 * values[y, x] < between(values, y + d * sin(angle[y, x]), x + d * cos(angle[y, x])):
                    kept[y, x] = 0
    for distance in range(5):
        for side in (distance, -1 - distance):
            kept[side] *= distance / 5
            kept[:, side] *= distance / 5
    return kept


def between(values: Map, y: float, x: float) -> float:
    y, x = (min(max(place, 0.0), size - 1.0) for place, size in zip((y, x), values.shape, strict=True))
    top, left = (min(int(place), size - 2) for place, size in zip((y, x), values.shape, strict=True))
    a, b = y - top, x - left
    rows = [(1 - b) * values[row, left] + b * values[row, left + 1] for row in (top, top + 1)]
    return (1 - a) * rows[0] + a * rows[1]


def slow_angles(values: Map) -> Map:
    weights = np.outer([1, 2, 3, 4, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 4, 3, 2, 1]) / 625
    padded = np.pad(values, 4, mode="symmetric")
    smooth = np.array(
        [
            [(padded[y : y + 9, x : x + 9] * weights).sum() for x in range(values.shape[1])]
            for y in range(values.shape[0])
        ]
    )
    gy, gx = np.gradient(smooth)
    (xy, xx), yy = np.gradient(gx), np.gradient(gy)[0]
    return np.array(
        [
            [atan(c * (-1 if b > 0 else 1) / (a + 1e-5)) % pi for a, b, c in zip(*row, strict=True)]
            for row in zip(xx, xy, yy, strict=True)
        ]
    )


def ridge(degrees: float) -> tuple[Map, Map]:
    """A blurred line through the middle whose normal has this direction; and each pixel's distance to it."""
    y, x = np.indices((61, 61)) - 30.0
    distance = x * cos(np.radians(degrees)) + y * sin(np.radians(degrees))
    return np.exp(-((distance / 2) ** 2)), np.abs(distance)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_loop_over_pixels(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.clip(ridge(random.uniform(0, 180))[0] + 0.2 * random.random((61, 61)), 0, 1)[:, : 40 + seed]
    assert structured_edges(values) == pytest.approx(slow(values), abs=1e-9)


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90, 115, 135, 160])
def test_a_ridge_becomes_one_pixel_wide(degrees: float) -> None:
    values, distance = ridge(degrees)
    turned = np.abs((np.degrees(normals(values))[distance < 1] - degrees + 90) % 180 - 90)
    assert np.median(turned) < (14 if degrees % 45 else 1)
    kept = structured_edges(values)[6:-6, 6:-6] > 0.3
    assert distance[6:-6, 6:-6][kept].max() < 0.8
    assert 49 <= kept.sum() <= 2 * 49


@pytest.mark.parametrize(
    "values", [np.zeros((9, 9)), np.ones((9, 9)), np.ones((2, 2)), np.ones((3, 40)), np.ones((2, 20))]
)
def test_maps_without_ridges(values: Map) -> None:
    kept = structured_edges(values)
    assert kept.shape == values.shape
    assert ((kept >= 0) & (kept <= values)).all()


def test_none_leaves_the_map_as_it_is() -> None:
    values = ridge(30)[0]
    assert suppressed(values, Suppression.NONE) is values
    assert (suppressed(values, Suppression.STRUCTURED_EDGES) == structured_edges(values)).all()
