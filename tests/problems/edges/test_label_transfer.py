"""Label transfer against slow loops: windows of a map, where they are laid, and from what they come."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.data.photographs import window
from longtail.problems.edges.dense import Grid, patches
from longtail.problems.edges.detector import spread
from longtail.problems.edges.transfer import Canvas, of_classes, of_clusters, of_patches

SIDES = st.integers(1, 9)


@given(st.integers(9, 14), st.integers(9, 14), st.integers(1, 5), SIDES)
def test_patches_are_the_windows_about_the_centres_of_the_grid(height: int, width: int, stride: int, side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    grid = Grid(height, width, stride)
    found = np.concatenate(list(patches(pixels, side, grid)))
    expected = [window(pixels, y, x, side) for y in grid.rows for x in grid.columns]
    assert len(grid) == len(found) == len(expected) == -(-height // stride) * -(-width // stride)
    assert (found == np.array(expected)).all()


def slow_map(windows: np.ndarray, grid: Grid, side: int) -> np.ndarray:  # type: ignore[type-arg]
    """Every window is laid about every pixel of its centre's cell of stride×stride; the mean where they overlap."""
    total, count = np.zeros((grid.height, grid.width)), np.zeros((grid.height, grid.width))
    for of_one, (y, x) in zip(windows, [(y, x) for y in grid.rows for x in grid.columns], strict=True):
        for cy in range(y - grid.stride // 2, y - grid.stride // 2 + grid.stride):
            for cx in range(x - grid.stride // 2, x - grid.stride // 2 + grid.stride):
                for dy in range(side):
                    for dx in range(side):
                        at = cy - side // 2 + dy, cx - side // 2 + dx
                        if 0 <= at[0] < grid.height and 0 <= at[1] < grid.width:
                            total[at] += of_one[dy, dx]
                            count[at] += 1
    return total / count


@given(st.integers(6, 10), st.integers(6, 10), st.integers(1, 4), st.integers(1, 5), st.integers(1, 7))
def test_a_map_is_the_mean_of_the_windows_of_all_pixels(
    height: int, width: int, stride: int, side: int, block: int
) -> None:
    grid = Grid(height, width, stride)
    windows = np.random.default_rng(1).random((len(grid), side, side)).astype(np.float32)
    canvas = Canvas(grid, side)
    for start in range(0, len(windows), block):
        canvas.lay(windows[start : start + block])
    found = canvas.map()
    assert found.shape == (height, width)
    np.testing.assert_allclose(found, slow_map(windows, grid, side), atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_where_all_patches_say_the_same_there_are_no_dots_at_their_centres(stride: int) -> None:
    """Windows of edges have their boundary at the centre: laid at the centres alone they would leave a grid."""
    grid, spike = Grid(24, 24, stride), np.zeros((8, 8), np.float32)
    spike[4, 4] = 1
    canvas = Canvas(grid, 8)
    canvas.lay(np.tile(spike, (len(grid), 1, 1)))
    inner = canvas.map()[8:-8, 8:-8]
    np.testing.assert_allclose(inner, 1 / 64, atol=1e-6)


POINTS = np.eye(4, dtype=np.float32)
WINDOWS = np.random.default_rng(2).random((4, 3, 3)).astype(np.float32)


@pytest.mark.parametrize("neighbours", [1, 2, 4, 9])
def test_the_windows_of_the_nearest_clusters_are_averaged(neighbours: int) -> None:
    query = np.array([[0.9, 0.5, 0.3, 0.1]], np.float32)
    found = of_clusters(POINTS, WINDOWS, neighbours)(query)
    np.testing.assert_allclose(found[0], WINDOWS[: min(neighbours, 4)].mean(axis=0), rtol=1e-6)


def test_classes_are_weighed_by_their_probabilities() -> None:
    shares = np.array([[0.5, 0.25, 0.25, 0]], np.float32)
    expected = 0.5 * WINDOWS[0] + 0.25 * WINDOWS[1] + 0.25 * WINDOWS[2]
    np.testing.assert_allclose(of_classes(WINDOWS)(shares)[0], expected, rtol=1e-6)


@pytest.mark.parametrize("count", [1, 3, 50])
def test_the_nearest_patches_of_the_nearest_clusters_are_those_of_a_search_among_all(count: int) -> None:
    random = np.random.default_rng(3)
    embeddings, queries = random.random((30, 4), np.float32), random.random((5, 4), np.float32)
    drawn = random.random((30, 3, 3)) < 0.5
    found = of_patches(POINTS, embeddings, np.arange(30) % 4, drawn, 4, count)(queries)
    for query, of_one in zip(queries, found, strict=True):
        order = np.argsort(((embeddings - query) ** 2).sum(axis=1))[:count]
        np.testing.assert_allclose(of_one, drawn[order].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 11])
@pytest.mark.parametrize("clusters", [1, 2, 3])
def test_patches_are_searched_in_their_own_clusters(clusters: int, count: int) -> None:
    """Even where another cluster's centroid is nearer, or none of its patches is near its own; where clusters have few,
    each counts once.
    """
    random = np.random.default_rng(4)
    embeddings, queries = random.random((40, 4), np.float32), random.random((9, 4), np.float32)
    assignment, drawn = random.permutation(np.arange(40) % 4), random.random((40, 3, 3)) < 0.5
    found = of_patches(POINTS, embeddings, assignment, drawn, clusters, count)(queries)
    for query, of_one in zip(queries, found, strict=True):
        near = np.argsort(((POINTS - query) ** 2).sum(axis=1))[:clusters]
        rows = np.flatnonzero(np.isin(assignment, near))
        order = rows[np.argsort(((embeddings[rows] - query) ** 2).sum(axis=1))[:count]]
        np.testing.assert_allclose(of_one, drawn[order].mean(axis=0), atol=1e-6)


@given(st.integers(1, 32), st.lists(st.floats(0, 1, width=32), min_size=2, max_size=9))
def test_spreading_keeps_the_order_and_the_ends_and_one_pixel_as_it_is(side: int, means: list[float]) -> None:
    values = np.sort(np.array([0, *means, 1], np.float32))
    found = spread(values, side)
    assert (np.diff(found) >= 0).all()
    assert (found[0], found[-1]) == (0, 1)
    if side == 1:
        np.testing.assert_allclose(found, values, atol=1e-7)
