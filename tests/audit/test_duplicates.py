"""Near-duplicates: none where there is none, whatever the density and the dimension; those that are planted, found."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.datasets import load_digits

from longtail.audit.checked import alike
from longtail.audit.duplicates import duplicates, largest
from longtail.audit.neighbours import Neighbours, neighbours
from longtail.granularity.distance import Floats, Ints

SAMPLES = 600


def gaussian(rng: np.random.Generator, dimensions: int) -> Floats:
    return rng.normal(size=(SAMPLES, dimensions))


def mixture(rng: np.random.Generator, dimensions: int) -> Floats:
    """Five clusters of a long tail, each ten times denser than the one before; the last is of four samples."""
    cluster = np.repeat(range(5), [SAMPLES - 100, 60, 25, 11, 4])
    centres = rng.normal(size=(5, dimensions)) * 10
    return centres[cluster] + rng.normal(size=(SAMPLES, dimensions)) * (10.0 ** -np.arange(5))[cluster, None]


def sphere(rng: np.random.Generator, dimensions: int) -> Floats:
    points = gaussian(rng, dimensions + 1)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def folded(rng: np.random.Generator, dimensions: int) -> Floats:
    """A surface of few dimensions in many."""
    return np.tanh(gaussian(rng, dimensions) @ rng.normal(size=(dimensions, 256)) / dimensions)


def digits(rng: np.random.Generator, dimensions: int) -> Floats:
    """Real images, bytes, in which ones lie on fewer dimensions than eights."""
    return load_digits().data.astype(np.uint8)[rng.permutation(1797)[:SAMPLES]]


CLEAN: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    function.__name__: function for function in (gaussian, mixture, sphere, folded, digits)
}


def pairs(points: Floats, groups: Ints | None = None) -> list[tuple[int, int]]:
    groups = np.arange(len(points)) if groups is None else groups
    return [(copy.first, copy.second) for copy in duplicates(neighbours(points, groups, 10))[0]]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dimensions", [3, 10, 60])
@pytest.mark.parametrize("kind", CLEAN)
def test_clean_data_has_none_and_planted_copies_are_found(kind: str, dimensions: int, seed: int) -> None:
    rng = np.random.default_rng([seed, dimensions])
    points = CLEAN[kind](rng, dimensions)
    assert pairs(points) == []
    chosen = rng.choice(SAMPLES, 20, replace=False)
    planted = [(int(i), SAMPLES + place) for place, i in enumerate(chosen)]
    assert sorted(pairs(np.concatenate([points, points[chosen]]))) == sorted(planted)
    if dimensions > 3:  # in three, chance alone brings pairs as close as that
        nearest = neighbours(points, np.arange(SAMPLES), 10).distances[chosen, 2:3] / points.shape[1] ** 0.5
        moved = points[chosen] + 0.05 * nearest * rng.normal(size=(20, points.shape[1]))
        assert sorted(pairs(np.concatenate([points, moved]))) == sorted(planted)


@pytest.mark.parametrize("seed", range(3))
def test_copies_among_images_that_are_alike_nearly_everywhere_are_found(seed: int) -> None:
    """Of blank pages float32 does not tell the nearest apart, far from their mean as they are."""
    rng = np.random.default_rng(seed)
    pages = np.full((SAMPLES, 64 * 64 * 3), 250, np.uint8)
    for page in pages:
        page[rng.choice(len(page), 10, replace=False)] -= rng.integers(1, 4, 10).astype(np.uint8)
    found = pairs(np.concatenate([pages, pages[:20]]))
    assert {(i, SAMPLES + i) for i in range(20)} <= set(found)


def test_many_copies_do_not_hide_each_other() -> None:
    rng = np.random.default_rng(0)
    points = gaussian(rng, 20)
    copies = SAMPLES // 6
    moved = points[:copies] + 0.05 * rng.normal(size=(copies, 20))
    assert sorted(pairs(np.concatenate([points, moved]))) == [(i, SAMPLES + i) for i in range(copies)]


def test_all_of_several_copies_are_told() -> None:
    points = gaussian(np.random.default_rng(1), 20)
    assert sorted(pairs(np.concatenate([points, points[:1], points[:1]]))) == [(0, 600), (0, 601), (600, 601)]


def test_images_of_one_group_are_no_duplicates() -> None:
    points = np.repeat(gaussian(np.random.default_rng(2), 20), 30, axis=0)[: 30 * 100]
    assert pairs(points, np.repeat(np.arange(100), 30)) == []


@pytest.mark.parametrize("count", [1, 2, 5, 19])
def test_of_few_images_equal_ones_alone_are_told(count: int) -> None:
    points = gaussian(np.random.default_rng(3), 5)[:count]
    assert pairs(points) == []
    assert pairs(np.concatenate([points, points[:1]])) == [(0, count)]


@pytest.mark.parametrize("dimensions", [2, 8, 30])
def test_the_limit_is_where_chance_brings_a_thousandth_of_a_pair(dimensions: int) -> None:
    rng, n = np.random.default_rng(dimensions), 20_000
    ratios = (1 - rng.random(n) ** 0.5) ** (1 / dimensions)  # 1 − (1 − t^m)² of them are below t
    below = 1 - (1 - largest(ratios) ** dimensions) ** 2
    assert n * below == pytest.approx(0.001, rel=2)


def test_what_training_has_drawn_together_is_looked_at_again() -> None:
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (30, 50)).astype(np.float64)
    images[1] = images[0] + 1
    points = gaussian(rng, 8)[:30]
    points[[1, 3]] = points[[0, 2]]
    found = neighbours(points, np.arange(30), 20)
    copies = duplicates(found)[0]
    assert {(0, 1), (2, 3)} <= {(copy.first, copy.second) for copy in copies}
    kept = alike(copies, found, lambda at: images[at])
    assert [(copy.first, copy.second) for copy in kept] == [(0, 1)]


def test_no_neighbours_are_no_pairs() -> None:
    assert duplicates(Neighbours(np.full((3, 10), np.inf), np.full((3, 10), -1)))[0] == []
