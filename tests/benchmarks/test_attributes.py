"""What the quintuplet table is measured against makes the same table."""

import numpy as np
import pytest

from benchmarks.attributes import attribute, embeddings, masked_partners, masked_table
from longtail.quintuplets.search import quintuplet_tables


@pytest.mark.parametrize("rate", [0.35, 0.5])
def test_masks_and_the_plain_search_find_the_partners_of_the_table(rate: float) -> None:
    points, task = embeddings(1300, 0), attribute(1300, rate, 0)
    x, everyone = points.astype(np.float64), np.arange(1300)
    plain = masked_partners(x, task, everyone)
    for members in (quintuplet_tables(points, [task])[0].members[:, 1:], masked_table(points, task)):
        assert ((x[:, None] - x[members]) ** 2).sum(axis=2) == pytest.approx(plain, abs=1e-5)


def test_an_attribute_is_as_rare_as_asked_and_its_clusters_are_of_about_200() -> None:
    task = attribute(20_000, 0.1, 0)
    assert task.labels.mean() == pytest.approx(0.1, abs=0.01)
    sizes = np.bincount(task.clusters)
    assert 199 <= sizes.min() <= sizes.max() <= 230
    assert all(len(np.unique(task.labels[task.clusters == cluster])) == 1 for cluster in range(len(sizes)))
