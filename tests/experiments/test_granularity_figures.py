"""The experiment on granularity: what is done to images, and granularity against the training error."""

import numpy as np
import pytest

from experiments.granularity import against_difficulty, merged, nuisances


@pytest.mark.parametrize("name", list(nuisances()))
def test_nuisances_keep_shape_and_change_images_but_the_first(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    changed = nuisances()[name](images)
    assert (changed.shape, changed.dtype) == (images.shape, np.uint8)
    assert (changed == images).all() == (name == "as they are")


def test_finer_pairs_are_harder_to_learn() -> None:
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(6), 40)
    points = np.outer(codes**1.5, np.ones(30)) * 0.3 + rng.normal(size=(240, 30))
    text = against_difficulty(points.astype(np.float32), codes, list("abcdef"), 15)
    assert float(text.split()[-1]) > 0.5
    assert text.count("\n| 5 |") == 3


def test_classes_are_merged_to_groups_that_lie_together() -> None:
    """Two clouds of four classes each: two groups lie apart, and what is in them does not."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(8), 30)
    points = 30.0 * (codes[:, None] % 2) + 0.5 * rng.normal(size=(8, 20))[codes] + rng.normal(size=(240, 20))
    rows = [line.split(" | ") for line in merged(points, 3 * codes, [str(i) for i in range(24)]).splitlines()[2:]]
    assert [int(row[0].strip("| ")) for row in rows] == [2, 4, 8]
    assert rows[0][1:] == ["0.000", "0.0 % |"]
    assert 0 < float(rows[1][1]) < float(rows[2][1])
