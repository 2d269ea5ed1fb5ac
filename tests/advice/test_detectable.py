"""The smallest difference that is told, against simulated test subsets and the tests that the harness makes of them."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from longtail.advice.detectable import (
    FEWEST,
    POWER,
    effective,
    margin,
    needed,
    of_class,
    of_mean,
    of_seeds,
    power,
    variance,
)
from longtail.metrics.significance import Answers, paired_difference

DRAWS = 2000


def gains(rng: np.random.Generator, shape: tuple[int, ...], psi: float, delta: float) -> npt.NDArray[np.int64]:
    """1 where the first method alone is right, −1 where the second is."""
    return rng.choice([1, -1, 0], shape, p=[(psi + delta) / 2, (psi - delta) / 2, 1 - psi])


@pytest.mark.parametrize(("images", "psi"), [(40, 0.3), (100, 0.2), (400, 0.05), (1000, 0.5)])
def test_a_class_is_told_in_80_of_100_test_subsets_by_mcnemars_test(images: int, psi: float) -> None:
    delta = of_class(images, psi)
    assert delta is not None
    assert delta <= psi
    drawn = gains(np.random.default_rng(0), (DRAWS, images), psi, delta)
    first, discordant = (drawn > 0).sum(1), (drawn != 0).sum(1)
    told = [
        bool(n) and stats.binomtest(int(k), int(n)).pvalue < 0.05 and k > n - k
        for k, n in zip(first, discordant, strict=True)
    ]
    assert np.mean(told) == pytest.approx(POWER, abs=0.035)


@pytest.mark.parametrize(
    ("sizes", "psi"), [([60] * 5, [0.2] * 5), ([200, 40, 25], [0.1, 0.3, 0.4]), ([300, 20], [0.05, 0.5])]
)
def test_the_mean_over_classes_is_told_as_often_by_the_harness(sizes: list[int], psi: list[float]) -> None:
    delta = of_mean(sizes, psi)
    assert delta is not None
    rng, truth = np.random.default_rng(1), np.repeat(np.arange(len(sizes)), sizes)
    told = []
    for draw in range(150):
        drawn = np.concatenate([gains(rng, (n,), max(p, delta), delta) for n, p in zip(sizes, psi, strict=True)])
        first, second = np.where(drawn < 0, -2, truth), np.where(drawn > 0, -2, truth)
        told.append(paired_difference([Answers(truth, first, second)], resamples=400, seed=draw).p < 0.05)
    assert np.mean(told) == pytest.approx(POWER, abs=0.1)


@pytest.mark.parametrize("likeness", [0.0, 0.3, 1.0])
def test_groups_are_worth_as_many_images_as_the_variance_of_their_mean_says(likeness: float) -> None:
    sizes, rng = [1, 2, 5, 10, 10, 3, 8], np.random.default_rng(2)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    shared, own = gains(rng, (20_000, len(sizes)), 0.5, 0.0), gains(rng, (20_000, len(groups)), 0.5, 0.0)
    # A gain of the whole group with this probability of both; so two of a group correlate by its square.
    as_group = rng.random(own.shape) < math.sqrt(likeness)
    means = np.where(as_group, shared[:, groups], own).mean(1)
    assert effective(sizes, likeness) == pytest.approx(0.5 / means.var(), rel=0.05)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_a_difference_over_seeds_is_told_in_80_of_100_by_the_paired_t_test(seeds: int) -> None:
    spread, of_test = 0.02, 0.0003
    delta = of_seeds(of_test, spread, seeds)
    drawn = np.random.default_rng(3).normal(delta, math.sqrt(of_test + spread**2), (20_000, seeds))
    found = stats.ttest_1samp(drawn, 0, axis=1)
    assert np.mean((found.pvalue < 0.05) & (found.statistic > 0)) == pytest.approx(POWER, abs=0.01)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 400), st.floats(0.01, 0.9), st.integers(1, 200))
def test_more_images_tell_less_and_more_discordance_hides_more(images: int, psi: float, more: int) -> None:
    sizes = [images, 2 * images]
    few, many, noisy = (
        of_mean(sizes, [psi] * 2),
        of_mean([n + more for n in sizes], [psi] * 2),
        of_mean(sizes, [1.0] * 2),
    )
    assert few is None or (many is not None and many <= few + 1e-6)
    assert noisy is None or (few is not None and few <= noisy + 1e-6)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.01, 0.9), st.floats(0.05, 0.5))
def test_so_many_images_as_are_needed_tell_the_difference_and_one_fewer_may_not(psi: float, delta: float) -> None:
    count, discordance = needed(psi, delta), max(psi, delta)
    assert power(count, discordance, delta) >= POWER > power(count - 1, discordance, delta)


def test_fewer_than_six_images_tell_nothing_whatever_the_difference() -> None:
    assert [of_class(images, 0.9) for images in range(FEWEST)] == [None] * FEWEST
    assert of_class(FEWEST, 0.1) is not None
    assert of_mean([], []) is None
    assert of_mean([2, 2, 1], [0.4] * 3) is None


def test_the_variance_of_the_mean_is_led_by_the_class_with_the_fewest_images() -> None:
    assert variance([1000, 4], [0.2, 0.2]) == pytest.approx(0.2 * (1 / 1000 + 1 / 4) / 4)
    assert (of_mean([1000, 40], [0.2, 0.2]) or 0) > 3 * (of_mean([1000, 1000], [0.2, 0.2]) or 1)


@pytest.mark.parametrize("images", [2, 10, 178, 100_000])
def test_the_accuracy_of_one_model_is_known_to_half_of_wilsons_widest_interval(images: int) -> None:
    def half(right: int) -> float:
        found = stats.binomtest(right, images).proportion_ci(method="wilson")
        return float(found.high - found.low) / 2

    assert margin(images) == pytest.approx(half(images // 2))
    assert margin(images) == pytest.approx(max(half(right) for right in {0, 1, images // 2, images}))
    assert margin(0) == 0.5
