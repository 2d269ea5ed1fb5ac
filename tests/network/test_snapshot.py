"""When an embedding has collapsed, and when it has not."""

import numpy as np
import pytest

from longtail.network.snapshot import Floats, Ints, collapse_warning

RNG = np.random.default_rng(0)


def at(points: list[list[float]], labels: Ints) -> Floats:
    """Each sample at the point of its class, all but exactly."""
    return (np.array(points)[labels] + RNG.normal(0, 1e-4, (len(labels), 2))).astype(np.float32)


def test_one_point_for_all_is_a_collapse() -> None:
    labels = RNG.integers(0, 3, 30_000)
    said = collapse_warning("digit", at([[0.6, 0.8]] * 3, labels), labels)
    assert said
    assert said.startswith("The embedding of digit has collapsed")


@pytest.mark.parametrize(("spread", "collapsed"), [(0.001, True), (0.01, True), (0.1, False)])
def test_a_small_cloud_is_a_collapse_too(spread: float, collapsed: bool) -> None:
    """As hinges leave it that neither pull nor push can lower."""
    labels = RNG.integers(0, 3, 3000)
    cloud = np.array([0.6, 0.8, 0]) + spread * RNG.normal(size=(3000, 3))
    assert bool(collapse_warning("digit", cloud.astype(np.float32), labels)) == collapsed


def test_so_it_is_when_a_few_samples_are_elsewhere() -> None:
    labels = np.arange(3000) % 3
    embeddings = np.zeros((3000, 2), np.float32)  # a ReLU has set all to 0
    embeddings[:200] = [1, 0]
    assert collapse_warning("digit", embeddings, labels)


@pytest.mark.parametrize("rare", [3, 100, 1000])
def test_classes_that_are_apart_have_not_collapsed(rare: int) -> None:
    labels = np.zeros(2000, np.int64)
    labels[:rare] = 1
    assert not collapse_warning("kids", at([[1, 0], [0, 1]], labels), labels)


def test_samples_that_differ_have_not_collapsed() -> None:
    embeddings = RNG.normal(size=(500, 2)).astype(np.float32)
    assert not collapse_warning("kids", embeddings, np.arange(500) % 2)


def test_nothing_is_said_of_a_single_class_or_of_unknown_labels() -> None:
    same = np.ones((5, 2), np.float32)
    for labels in ([0, 0, 0, 0, 0], [-1, -1, -1, -1, -1], [0, -1, -1, 0, -1]):
        assert not collapse_warning("kids", same, np.array(labels))
    assert not collapse_warning("kids", same[:1], np.array([0]))
