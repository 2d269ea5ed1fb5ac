"""The nearest of other groups against a plain search, whatever the sizes of groups."""

import numpy as np
import pytest

from longtail.audit import neighbours as module
from longtail.audit.neighbours import neighbours


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
