"""Drawing subsets from many groups of many classes."""

import tracemalloc

import numpy as np
import pytest

from longtail.data.splits import stratify


@pytest.mark.parametrize("tasks", [1, 3])
def test_many_classes_take_memory_of_the_samples_and_not_of_groups_times_classes(tasks: int) -> None:
    K, n = 3000, 15_000  # groups × classes would be 360 MB a task
    rng = np.random.default_rng(0)
    labels = [rng.permutation(n) % K for _ in range(tasks)]
    tracemalloc.start()
    subset = stratify(labels, np.arange(n), {"": 0.8, "test": 0.2}, rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6
    if tasks == 1:
        assert (np.bincount(labels[0][subset == "test"], minlength=K) == 1).all()  # of five of each class
    assert (subset == "test").mean() == pytest.approx(0.2, abs=0.001)
