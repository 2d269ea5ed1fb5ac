"""Domain similarity against scipy's plain linear program, the published figures, and what other libraries got wrong."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog

from longtail.errors import DataError
from longtail.transfer.comparison import compare
from longtail.transfer.domain import Domain
from longtail.transfer.similarity import (
    class_distances,
    distances_of_classes,
    domain_distance,
    earth_movers_distance,
    similarity,
)

Floats = npt.NDArray[np.float64]


def domain(means: npt.ArrayLike, counts: npt.ArrayLike, name: str = "photos", backbone: str | None = None) -> Domain:
    of_classes = np.asarray(means, np.float64)
    names = [f"class {place}" for place in range(len(of_classes))]
    return Domain(name, names, of_classes, np.asarray(counts, np.int64), "label", backbone)


def drawn(seed: int, m: int, n: int, length: int = 3) -> tuple[Domain, Domain]:
    rng = np.random.default_rng(seed)
    source, target = (rng.normal(size=(count, length)) for count in (m, n))
    return domain(source, rng.integers(1, 5000, m)), domain(target, rng.integers(1, 5000, n))


def plain_program(distances: Floats, supply: Floats, demand: Floats) -> float:
    """Eq. 4.2 as it is written: every f_ij, each row and column in a loop of its own."""
    m, n = distances.shape
    rows = [[float(i == row) for i in range(m) for _ in range(n)] for row in range(m)]
    columns = [[float(j == column) for _ in range(m) for j in range(n)] for column in range(n)]
    given, wanted = supply / supply.sum(), demand / demand.sum()
    upper = linprog(
        distances.ravel(), A_ub=rows + columns, b_ub=[*given, *wanted], A_eq=[[1.0] * m * n], b_eq=[1.0 - 1e-9]
    )
    return float((upper.x * distances.ravel()).sum() / upper.x.sum())


@given(seed=st.integers(0, 10_000), m=st.integers(1, 7), n=st.integers(1, 7))
def test_it_is_the_plain_linear_program(seed: int, m: int, n: int) -> None:
    source, target = drawn(seed, m, n)
    expected = plain_program(class_distances(source, target), source.shares, target.shares)
    assert domain_distance(source, target) == pytest.approx(expected, abs=1e-6)


@given(seed=st.integers(0, 10_000), m=st.integers(1, 12))
def test_a_domain_has_no_distance_from_itself_in_whichever_order_its_classes_stand(seed: int, m: int) -> None:
    one = drawn(seed, m, 1)[0]
    order = np.random.default_rng(seed).permutation(m)
    other = domain(one.means[order], one.counts[order] * 3)
    assert domain_distance(one, other) == pytest.approx(0, abs=1e-9)
    assert similarity(domain_distance(one, other)) == pytest.approx(1)


@given(seed=st.integers(0, 10_000), m=st.integers(1, 6), n=st.integers(1, 6), k=st.integers(1, 6))
def test_it_is_symmetric_and_no_detour_is_shorter(seed: int, m: int, n: int, k: int) -> None:
    (source, target), (between, _) = drawn(seed, m, n), drawn(seed + 1, k, 1)
    straight = domain_distance(source, target)
    assert domain_distance(target, source) == pytest.approx(straight)
    assert straight <= domain_distance(source, between) + domain_distance(between, target) + 1e-9


@given(seed=st.integers(0, 10_000), m=st.integers(2, 8))
def test_even_classes_are_assigned_one_to_one(seed: int, m: int) -> None:
    source, target = drawn(seed, m, m)
    distances = class_distances(source, target)
    assert earth_movers_distance(distances, np.ones(m), np.full(m, 7)) == pytest.approx(
        distances[linear_sum_assignment(distances)].mean()
    )


def test_one_class_each_is_their_distance() -> None:
    assert domain_distance(domain([[0, 0]], [5]), domain([[3, 4]], [900])) == 5


@pytest.mark.parametrize(("counts", "expected"), [([1, 1], 1.5), ([3, 1], 1.25), ([1, 0], 1.0), ([0, 9], 2.0)])
def test_a_domain_of_one_class_takes_everything(counts: list[int], expected: float) -> None:
    distances = np.array([[1.0], [2.0]])
    assert earth_movers_distance(distances, counts, [4]) == pytest.approx(expected)
    assert earth_movers_distance(distances.T, [4], counts) == pytest.approx(expected)


def test_equal_histograms_on_other_bins_are_not_the_same() -> None:
    """pyemd gave 0 here: the masses are equal, and the places are not."""
    assert domain_distance(domain([[0.0], [1]], [1, 1]), domain([[10.0], [11]], [1, 1])) == pytest.approx(10)


@pytest.mark.parametrize("scale", [1e-6, 1, 1e9])
def test_unequal_masses_are_shares(scale: float) -> None:
    """pyemd did not end here, and POT refuses."""
    distances = np.array([[0.0, 4], [4, 0]])
    assert earth_movers_distance(distances, np.array([3, 1]) * scale, [2, 2]) == pytest.approx(1)


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-12, 1e-8, 1e-6, 1.0, 1e6, 1e20]))
def test_its_unit_is_that_of_the_distances(seed: int, scale: float) -> None:
    """A solver's tolerance must not be relative to 1."""
    source, target = drawn(seed, 4, 5)
    distances = class_distances(source, target)
    found = earth_movers_distance(distances * scale, source.shares, target.shares)
    assert found == pytest.approx(scale * earth_movers_distance(distances, source.shares, target.shares), rel=1e-6)


def test_where_nothing_is_apart_there_is_no_distance() -> None:
    assert earth_movers_distance(np.zeros((2, 3)), [1, 2], [1, 1, 1]) == 0


def test_the_tiny_share_of_a_class_among_many_is_moved_too() -> None:
    """A solver's tolerance of 10⁻⁷ must not swallow masses of 10⁻⁷."""
    distances = np.array([[0.0, 1], [1e7, 0]])
    assert earth_movers_distance(distances, [10**8 - 1, 1], [10**8, 0]) == pytest.approx(0.1)
    assert earth_movers_distance(distances, [10**8 - 1, 1], [10**8 - 2, 2]) == pytest.approx(1e-8)


@pytest.mark.parametrize(("distance", "expected"), [(57.532, 0.563), (42.961, 0.651)])
def test_published_similarities(distance: float, expected: float) -> None:
    """ImageNet and iNaturalist to CUB-200."""
    assert round(float(similarity(distance)), 3) == pytest.approx(expected, abs=1e-3)
    assert similarity(distance / 100, 1) == pytest.approx(similarity(distance))


@given(seed=st.integers(0, 10_000), m=st.integers(1, 6), n=st.integers(1, 6))
def test_the_distance_of_a_class_is_that_of_a_domain_of_it_alone(seed: int, m: int, n: int) -> None:
    source, target = drawn(seed, m, n)
    alone = [domain_distance(domain(source.means[[i]], [1]), target) for i in range(m)]
    assert distances_of_classes(source, target) == pytest.approx(np.array(alone))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_end_in_one_sentence(bad: float) -> None:
    with pytest.raises(DataError, match=r"photos: the mean features of \['class 1'\] are not finite"):
        domain([[0.0], [bad]], [1, 1])
    with pytest.raises(DataError, match="distances between classes are finite"):
        earth_movers_distance(np.array([[bad]]), [1], [1])


@pytest.mark.parametrize("masses", [[0, 0], [1, -1], [np.nan, 1], [np.inf, 1]])
def test_masses_that_are_none_end_in_one_sentence(masses: list[float]) -> None:
    for supply, demand in ((masses, [1, 1]), ([1, 1], masses)):
        with pytest.raises(DataError, match="masses of classes are finite, not negative, and not all 0"):
            earth_movers_distance(np.ones((2, 2)), supply, demand)


def test_features_of_another_length_or_backbone_are_refused() -> None:
    with pytest.raises(DataError, match="has 2 features an image and birds has 3: make both by the same backbone"):
        domain_distance(domain([[0, 0]], [1]), domain([[0, 0, 0]], [1], "birds"))
    with pytest.raises(DataError, match="of two backbones"):
        domain_distance(domain([[0, 0]], [1], backbone="a"), domain([[0, 0]], [1], backbone="b"))


def test_a_domain_without_classes_is_refused() -> None:
    with pytest.raises(DataError, match="photos has no class with a training image"):
        domain(np.empty((0, 2)), [])
    with pytest.raises(DataError, match="no class of 200 images or more, the largest has 7: ask for fewer"):
        domain([[0, 0]], [7]).of_at_least(200)


def test_images_of_another_size_or_fit_are_told() -> None:
    """The distance is then of that as well, and nothing in the figures shows it."""
    source = replace(domain([[0.0], [1]], [300, 300]), images="64×64 colour, crop")
    for images, told in (("64×64 colour, crop", False), ("16×16 colour, crop", True), (None, True)):
        found = compare(source, [replace(domain([[0.0], [1]], [300, 300]), images=images)])
        assert ("the distance is of that too" in found.text()) == told
        assert found.as_json()["targets"][0]["made_of"] == images
