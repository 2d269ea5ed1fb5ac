"""The nearest of other groups against a plain search, whatever the sizes of groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from longtail.audit import neighbours as module
from longtail.audit.neighbours import neighbours
from longtail.granularity.distance import Floats


@pytest.mark.parametrize("rows", [7, 10_000])
@pytest.mark.parametrize("sizes", [[1] * 60, [2, 50, 8], [30, 30], [60], [59, 1]])
@pytest.mark.parametrize("tight", [1.0, 1e-3])
def test_they_are_those_of_a_plain_search(
    sizes: list[int], rows: int, tight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", rows)
    rng, k = np.random.default_rng(0), 3
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    points = rng.normal(size=(len(sizes), 4))[groups] + tight * rng.normal(size=(len(groups), 4))
    found = neighbours(points, groups, k)
    points = points.astype(np.float32).astype(float)
    for row, point in enumerate(points):
        others = np.flatnonzero(groups != groups[row])
        apart = np.sort(np.linalg.norm(points[others] - point, axis=1))[:k]
        assert found.distances[row, : len(apart)] == pytest.approx(apart)
        assert np.isinf(found.distances[row, len(apart) :]).all()
        assert set(found.positions[row]) <= {*others.tolist(), -1}


@given(
    arrays(np.float64, st.tuples(st.integers(1, 30), st.just(2)), elements=st.integers(-3, 3)),
    st.data(),
    st.integers(1, 12),
)
def test_neighbours_agree_with_plain_loops(points: Floats, data: st.DataObject, k: int) -> None:
    groups = data.draw(arrays(np.int64, len(points), elements=st.integers(0, 4)))
    found = neighbours(points, groups, k)
    for i in range(len(points)):
        others = [j for j in range(len(points)) if groups[j] != groups[i]]
        expected = sorted(float(np.linalg.norm(points[i] - points[j])) for j in others)[:k]
        assert found.distances[i, : len(expected)].tolist() == pytest.approx(expected)
        assert np.isinf(found.distances[i, len(expected) :]).all()
        assert (found.positions[i, len(expected) :] == -1).all()
        assert all(groups[j] != groups[i] for j in found.positions[i] if j >= 0)
