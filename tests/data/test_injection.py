"""How many samples of each class injection keeps, and which."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from longtail.data.injection import (
    Balanced,
    Exponential,
    Gaussian,
    Step,
    choose_kept,
    gaussian_rates,
    kept_counts,
)
from longtail.errors import DataError


@pytest.mark.parametrize("removed", [0.2, 0.4])
@pytest.mark.parametrize("counts", [[1200] * 10, [1157, 1294, 1189, 1228, 1163, 1075, 1179, 1237, 1170, 1308]])
def test_gaussian_removes_the_asked_share_in_all(counts: list[int], removed: float) -> None:
    kept = kept_counts(np.array(counts), Gaussian(kind="gaussian", removed=removed))
    assert abs(kept.sum() - (1 - removed) * sum(counts)) <= len(counts) / 2  # half a sample a class, by rounding


@pytest.mark.parametrize("removed", [0.2, 0.4, 0.6])
@pytest.mark.parametrize("classes", [3, 10, 11])
def test_gaussian_rates_are_a_gaussian_over_the_class_order(classes: int, removed: float) -> None:
    rates = gaussian_rates(np.full(classes, 500), removed)
    assert rates.max() == 1
    assert rates.tolist() == pytest.approx(rates[::-1].tolist())
    # The logarithm of a Gaussian is a parabola: its second differences are all equal, −1/σ².
    curvature = np.diff(np.log(rates), 2)
    assert curvature.tolist() == pytest.approx([curvature[0]] * len(curvature))
    assert curvature[0] < 0


@given(st.floats(1e-9, 0.01), st.integers(3, 20_000))
def test_gaussian_removes_as_little_as_is_asked_of_as_many_classes(removed: float, classes: int) -> None:
    rates = gaussian_rates(np.full(classes, 50), removed)
    assert rates.mean() == pytest.approx(1 - removed, abs=1e-11)
    assert (rates[0] < 1) == (rates[-1] < 1)


def test_gaussian_keeps_one_sample_of_every_class_when_nearly_all_goes() -> None:
    assert kept_counts(np.full(11, 100), Gaussian(kind="gaussian", removed=0.9)).min() == 1


@pytest.mark.parametrize(("classes", "removed", "most"), [(2, 0.4, "0%"), (4, 0.6, "50%"), (10, 0.95, "80%")])
def test_gaussian_refuses_a_share_that_it_cannot_remove(classes: int, removed: float, most: str) -> None:
    with pytest.raises(DataError, match=f"at most {most} of the samples, and removed is {removed}"):
        kept_counts(np.full(classes, 100), Gaussian(kind="gaussian", removed=removed))


@pytest.mark.parametrize(
    ("factor", "published"),
    [
        (10, [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500]),
        (50, [5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100]),
        (100, [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]),
        (200, [5000, 2775, 1540, 854, 474, 263, 146, 81, 45, 25]),
    ],
)
def test_exponential_is_truncated_as_the_published_long_tails_of_cifar_10_are(
    factor: int, published: list[int]
) -> None:
    kept = kept_counts(np.full(10, 5000), Exponential(kind="exponential", factor=factor))
    assert kept.tolist() == published


@given(st.integers(1, 10**6), st.integers(2, 1000))
def test_the_last_class_is_the_first_by_the_factor_whatever_a_power_is_rounded_to(first: int, factor: int) -> None:
    kept = kept_counts(np.full(7, first), Exponential(kind="exponential", factor=factor))
    assert kept[-1] == max(1, first // factor)
    assert kept[0] == first


@pytest.mark.parametrize("units", [1, 3])
def test_a_steeper_long_tail_is_part_of_a_flatter_one_and_repeats_nothing(units: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(5), 200))
    of_units = np.arange(1000) // units * 5 + labels  # those of a unit are of one class
    kept = []
    for factor in (2, 10, 50, 100):
        counts = kept_counts(np.bincount(labels), Exponential(kind="exponential", factor=factor))
        chosen = choose_kept(labels, of_units, counts, np.random.default_rng(1))
        kept.append(set(np.flatnonzero(chosen).tolist()))
    assert all(steeper < flatter for flatter, steeper in pairwise(kept))


def test_step_thins_the_last_classes_alone() -> None:
    kept = kept_counts(np.full(10, 1000), Step(kind="step", factor=10, minority=0.3))
    assert kept.tolist() == [1000] * 7 + [100] * 3


@pytest.mark.parametrize(("minority", "thinned"), [(0.01, 1), (0.99, 3)])
def test_step_thins_at_least_one_class_and_never_all(minority: float, thinned: int) -> None:
    kept = kept_counts(np.full(4, 100), Step(kind="step", factor=10, minority=minority))
    assert (kept < 100).sum() == thinned


def test_none_keeps_everything() -> None:
    assert kept_counts(np.array([3, 1, 2]), Balanced()).tolist() == [3, 1, 2]


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 500), min_size=2, max_size=12),
    st.one_of(
        st.builds(Gaussian, kind=st.just("gaussian"), removed=st.floats(0.05, 0.95)),
        st.builds(Exponential, kind=st.just("exponential"), factor=st.floats(1.1, 1000)),
        st.builds(Step, kind=st.just("step"), factor=st.floats(1.1, 1000), minority=st.floats(0.05, 0.95)),
    ),
)
def test_every_class_keeps_at_least_one_and_at_most_what_there_is(
    counts: list[int], injection: Gaussian | Exponential | Step
) -> None:
    try:
        kept = kept_counts(np.array(counts), injection)
    except DataError:
        assume(False)
    assert (kept >= 1).all()
    assert (kept <= counts).all()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 15)), min_size=1, max_size=60), st.integers(0, 9))
def test_whole_groups_of_a_class_are_kept_or_removed(samples: list[tuple[int, int]], seed: int) -> None:
    labels, units = np.array(samples).T
    counts = np.bincount(labels[labels >= 0], minlength=4)
    kept = np.maximum(counts // 2, np.minimum(counts, 1))
    present = counts > 0
    if not present.all():
        return
    keep = choose_kept(labels, units, kept, np.random.default_rng(seed))
    assert keep[labels < 0].all()
    for code in range(4):
        for unit in np.unique(units[labels == code]):
            assert len(set(keep[(labels == code) & (units == unit)])) == 1
        largest = np.bincount(units[labels == code]).max()
        assert keep[labels == code].any()
        assert abs(keep[labels == code].sum() - kept[code]) <= largest


def test_units_of_one_sample_give_the_exact_count() -> None:
    labels = np.repeat([0, 1], 50)
    keep = choose_kept(labels, np.arange(100), np.array([50, 7]), np.random.default_rng(0))
    assert [int(keep[labels == code].sum()) for code in (0, 1)] == [50, 7]


def test_the_rate_of_the_outer_classes_follows_from_sigma() -> None:
    rates = gaussian_rates(np.full(3, 100), 0.4)
    # 1 + 2r = 3 · 0.6, so r = 0.4 at a distance of one class from the middle.
    assert rates.tolist() == pytest.approx([0.4, 1.0, 0.4])
    assert math.log(rates[0]) == pytest.approx(math.log(0.4))
