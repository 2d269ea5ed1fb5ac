"""The four measures against plain loops and scikit-learn's silhouettes, in blocks, with ties, and by the axioms."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import granularity_oracle as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import silhouette_samples

from longtail.errors import DataError
from longtail.granularity import granularity
from longtail.granularity.distance import Floats, Ints, euclidean, precomputed
from longtail.granularity.granularity import Granularity, granularity_of
from longtail.granularity.labelled import Labelled, medoids
from longtail.granularity.measures import rankm, rsm, to_medoids

NAMES = list("abcdef")
MEASURES = ("rs", "rsm", "rank", "rankm")


@st.composite
def labelled_points(draw: Any, *, ties: bool = True) -> tuple[Floats, Ints]:
    """Points of which many are equal, or none; some samples without a label, and some alone in their class."""
    n = draw(st.integers(4, 14))
    coordinates = st.integers(-2, 2) if ties else st.floats(-2, 2, allow_subnormal=False)
    points = draw(arrays(np.float64, (n, 2), elements=coordinates))
    labels = draw(arrays(np.int64, n, elements=st.integers(-1, 3)))
    labels[:3] = 0, 0, 1  # two classes, and one of two samples
    return points, labels


def of(points: Floats, labels: Ints, **options: Any) -> Granularity:
    found = granularity_of(euclidean(points), labels, NAMES, **options)
    assert found is not None
    return found


def matrix(points: Floats) -> Floats:
    return np.sqrt(((points[:, None] - points) ** 2).sum(2))


@given(labelled_points(), st.integers(1, 40))
def test_every_measure_agrees_with_plain_loops_in_blocks_of_any_size(case: tuple[Floats, Ints], block: int) -> None:
    points, labels = case
    with pytest.MonkeyPatch.context() as patch:
        for module in ("distance", "labelled"):
            patch.setattr(f"longtail.granularity.{module}.BLOCK", block)
        found = of(points, labels)
    d, plain = matrix(points).tolist(), labels.tolist()
    for name in MEASURES:
        assert getattr(found, name) == pytest.approx(getattr(oracle, name)(d, plain), abs=1e-9), name
    kept = labels[labels >= 0]
    alone = (np.bincount(kept)[kept] == 1).sum()
    assert (found.samples, found.missing, found.alone) == (len(kept), len(labels) - len(kept), alone)


@given(labelled_points(ties=False))
def test_rs_is_what_scikit_learns_silhouettes_say(case: tuple[Floats, Ints]) -> None:
    """s = (b − a) / max(a, b), so a / b = 1 − s where a ≤ b, and 1 / (1 + s) elsewhere."""
    points, labels = case
    d = matrix(points[labels >= 0])
    kept = labels[labels >= 0]
    if len(np.unique(kept)) == len(kept) or (d[np.triu_indices(len(d), 1)] < 1e-3).any():
        return
    s = silhouette_samples(d, kept, metric="precomputed")[np.bincount(kept)[kept] > 1]
    ratios = np.where(s >= 0, 1 - s, 1 / (1 + s))
    assert granularity_of(precomputed(d), kept, NAMES).rs == pytest.approx(ratios.mean())  # type: ignore[union-attr]


def test_silhouettes_of_a_matrix_of_distances() -> None:
    d = np.array([[0, 0.1, 0.3], [0.1, 0, 0.2], [0.3, 0.2, 0]])
    found = granularity_of(precomputed(d), np.array([0, 0, 1]), NAMES)
    assert found is not None
    assert found.rs == pytest.approx((0.1 / 0.3 + 0.1 / 0.2) / 2)
    assert (found.alone, found.rankm, found.rank) == (1, 0, 0)


TRANSFORMED: dict[str, Callable[[Floats], Floats]] = {
    "float32": lambda points: points.astype(np.float32),
    "float16": lambda points: points.astype(np.float16),
    "bytes": lambda points: (points + 2).astype(np.uint8),
    "far from the origin": lambda points: points + 2.0**20,
    "larger": lambda points: 4096 * points,
}


@pytest.mark.parametrize("kind", TRANSFORMED)
@given(case=labelled_points())
def test_type_place_and_scale_of_points_change_nothing(kind: str, case: tuple[Floats, Ints]) -> None:
    points, labels = case
    plain, changed = of(points, labels), of(TRANSFORMED[kind](points), labels)
    for name in MEASURES:
        assert getattr(changed, name) == pytest.approx(getattr(plain, name)), name
    assert changed.pairs == plain.pairs


@given(labelled_points(), st.floats(1e-3, 1e3))
def test_scale_invariance(case: tuple[Floats, Ints], factor: float) -> None:
    points, labels = case
    plain, scaled = (granularity_of(precomputed(d), labels, NAMES) for d in (matrix(points), factor * matrix(points)))
    assert plain is not None
    assert scaled is not None
    for name in MEASURES:
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name)), name


@given(labelled_points(), st.permutations(range(4)))
def test_isomorphism_invariance(case: tuple[Floats, Ints], permutation: list[int]) -> None:
    points, labels = case
    permuted = np.where(labels < 0, -1, np.array(permutation)[labels])
    plain, changed = of(points, labels), of(points, permuted)
    for name in MEASURES:
        assert getattr(changed, name) == pytest.approx(getattr(plain, name)), name


@st.composite
def consistent(draw: Any) -> tuple[Floats, Floats, Ints]:
    """A matrix of distances, and another in which no distance within a class is larger, and none between smaller."""
    points, labels = draw(labelled_points())
    before = matrix(points)
    factor = draw(arrays(np.float64, before.shape, elements=st.floats(0, 1)))
    factor = np.triu(factor, 1) + np.triu(factor, 1).T
    same = labels[:, None] == labels
    return before, np.where(same, before * factor, before + 3 * factor * (1 - np.eye(len(labels)))), labels


@given(consistent())
def test_granularity_consistency_of_rs_and_rank(case: tuple[Floats, Floats, Ints]) -> None:
    before, after, labels = case
    coarse, fine = (granularity_of(precomputed(d), labels, NAMES) for d in (after, before))
    assert coarse is not None
    assert fine is not None
    assert coarse.rs <= fine.rs * (1 + 1e-9)  # type: ignore[operator]
    assert coarse.rank <= fine.rank + 1e-9  # type: ignore[operator]


@given(consistent())
def test_granularity_consistency_of_rsm_and_rankm_with_the_same_medoids(case: tuple[Floats, Floats, Ints]) -> None:
    before, after, labels = case
    labelled = Labelled.of(labels)
    centres, k = medoids(precomputed(before), labelled), len(labelled.codes)
    fine, coarse = (to_medoids(precomputed(d), labelled, centres) for d in (before, after))
    assert rsm(labelled, coarse) <= rsm(labelled, fine) * (1 + 1e-9)
    assert rankm(coarse.ranks, k) <= rankm(fine.ranks, k) + 1e-9


def test_a_medoid_that_moves_breaks_consistency_of_rsm_and_rankm() -> None:
    """Proposition 2 has no proof where a smaller distance within a class makes another of its samples the medoid: here
    one that lies close to the other class.
    """
    near, far, farther, a, b = range(5)
    before = np.full((5, 5), 9.0)
    for i, j, value in [(near, far, 4), (near, farther, 4), (far, farther, 1), (a, b, 3), (near, a, 5), (near, b, 2)]:
        before[i, j] = before[j, i] = value
    np.fill_diagonal(before, 0)
    after = before.copy()
    for j in (far, farther):
        after[near, j] = after[j, near] = 0.1
    labels = np.array([0, 0, 0, 1, 1])
    fine, coarse = (granularity_of(precomputed(d), labels, NAMES) for d in (before, after))
    assert fine is not None
    assert coarse is not None
    assert coarse.rankm > fine.rankm
    assert coarse.rsm > fine.rsm
    assert coarse.rs < fine.rs  # type: ignore[operator]
    assert coarse.rank <= fine.rank  # type: ignore[operator]


@pytest.mark.parametrize(("classes", "expected"), [(2, 0.5), (10, 0.78567), (100, 0.95770)])
def test_labels_at_random_have_the_rankm_of_chance(classes: int, expected: float) -> None:
    """Where every rank is as likely: Σ 1/r of the harmonic series, here of classes that are even."""
    rng = np.random.default_rng(0)
    n = max(1000, 100 * classes)
    found = granularity_of(
        euclidean(rng.normal(size=(n, 20))), rng.integers(0, classes, n), [str(i) for i in range(classes)], exact=False
    )
    assert found is not None
    assert found.rankm == pytest.approx(expected, abs=0.05)
    assert found.chance == pytest.approx(expected, abs=0.05)


def test_classes_of_equal_points_are_as_fine_as_can_be() -> None:
    found = of(np.ones((6, 2)), np.array([0, 0, 0, 1, 1, 1]))
    assert (found.rankm, found.rsm, found.rs) == (1, 1, 1)
    assert found.pairs[0].rankm == 1


def test_a_sample_upon_another_classs_medoid_makes_rsm_infinite() -> None:
    points = np.array([[0.0], [1], [1], [4], [4], [4], [4]])
    assert of(points, np.array([0, 0, 0, 1, 1, 1, 0])).rsm == np.inf


@pytest.mark.parametrize("labels", [[0, 0, 0], [-1, -1, -1], [0, 1, 2], [-1, 0, 0]])
def test_there_is_nothing_to_measure(labels: list[int]) -> None:
    assert granularity_of(euclidean(np.arange(3.0)[:, None]), np.array(labels), NAMES) is None


def test_the_finest_pairs_and_their_images() -> None:
    # a and b overlap; c is far from both.
    points = np.array([0.0, 1, 2, 6, 5, 6.5, 7, 2.5, 100, 101, 102])[:, None]
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2])
    found = of(points, labels)
    assert [pair.classes for pair in found.pairs] == [("a", "b")]
    pair = found.pairs[0]
    assert (pair.medoids, pair.between, pair.rankm) == ((1, 4), (3, 7), 2 / 8)
    alone = granularity_of(euclidean(points[:8]), labels[:8], NAMES)
    assert alone is not None
    assert alone.rankm == pair.rankm
    assert [one.name for one in found.by_class] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "sizes",
    [
        [2] * 200,
        [2] * 10,
        [3] * 50,
        [10] * 3,
        [200] * 2,
        [400, 10],
        [300, 40],
        [200, 80, 30, 9, 5],
        [60, 60, *[1] * 20],
    ],
    ids=lambda sizes: f"{len(sizes)} of {sizes[0]} to {sizes[-1]}",
)
@pytest.mark.parametrize("dimensions", [16, 100])
def test_the_told_chance_is_that_of_noise_in_classes_of_any_size(sizes: list[int], dimensions: int) -> None:
    """A class's medoid is nearest to itself, which counts the more the smaller classes are; and that of a large class
    lies in the middle, so that small ones lose.
    """
    rng, names = np.random.default_rng(0), [str(code) for code in range(len(sizes))]
    labels = np.repeat(np.arange(len(sizes)), sizes)
    points = rng.normal(size=(16, len(labels), dimensions))
    found = [granularity_of(euclidean(one), labels, names, exact=False) for one in points]
    rankm, told = zip(*((one.rankm, one.chance) for one in found if one), strict=True)
    assert np.mean(told) == pytest.approx(np.mean(rankm), abs=0.06)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_the_finest_pairs_are_those_of_all_pairs(seed: int, paired: int) -> None:
    """However few rows are looked at at a time, of equals those that all at once would give."""
    rng = np.random.default_rng(seed)
    labels, points = rng.integers(0, 6, 40), rng.integers(0, 4, (40, 2)).astype(float)
    names = [str(code) for code in range(6)]
    labels[:2] = 0, 1
    whole = granularity_of(euclidean(points), labels, names, exact=False, pairs=4)
    with patch.object(granularity, "PAIRED", 6 * paired):
        assert granularity_of(euclidean(points), labels, names, exact=False, pairs=4) == whole
    assert whole is not None
    every = granularity_of(euclidean(points), labels, names, exact=False, pairs=99)
    assert every is not None
    assert every.pairs[:4] == whole.pairs
    for pair in every.pairs:
        both = np.isin(labels, [names.index(name) for name in pair.classes])
        alone = granularity_of(euclidean(points[both]), labels[both], names, exact=False)
        assert alone is None or pair.rankm == pytest.approx(alone.rankm)


def test_points_that_are_no_numbers_are_told() -> None:
    points = np.zeros((4, 3))
    points[1, 2] = np.nan
    with pytest.raises(DataError, match="NaN or infinity"):
        granularity_of(euclidean(points), np.array([0, 0, 1, 1]), ["a", "b"])
