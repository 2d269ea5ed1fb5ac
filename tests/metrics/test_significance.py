"""The paired bootstrap: it reports a planted improvement, and a planted tie as a tie."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from longtail.metrics.significance import Answers, paired_difference, row_keys

Ints = npt.NDArray[np.int64]
CLASSES = 4


def answers(rng: np.random.Generator, first: float, second: float, size: int = 1500) -> Answers:
    """Two classifiers that are right that often, class by class, on skewed classes."""
    truth = rng.choice(CLASSES, size, p=[0.6, 0.25, 0.1, 0.05])

    def said(right: float) -> Ints:
        return np.where(rng.random(size) < right, truth, (truth + rng.integers(1, CLASSES, size)) % CLASSES)

    return Answers(truth, said(first), said(second))


def slow_difference(one: Answers) -> float:
    """The difference of the mean per-class accuracies, sample by sample."""
    gains = []
    for code in sorted(set(one.truth.tolist()) - {-1}):
        members = [i for i, t in enumerate(one.truth) if t == code]
        gains.append(sum(int(one.first[i] == code) - int(one.second[i] == code) for i in members) / len(members))
    return sum(gains) / len(gains)


def test_a_planted_improvement_is_significant() -> None:
    rng = np.random.default_rng(0)
    seeds = [answers(rng, 0.90, 0.84) for _ in range(3)]
    found = paired_difference(seeds)
    assert found.significant
    assert 0 < found.low < found.mean < found.high
    assert found.mean == pytest.approx(np.mean([slow_difference(one) for one in seeds]))
    turned = paired_difference([Answers(one.truth, one.second, one.first) for one in seeds])
    assert turned.significant
    assert turned.mean == pytest.approx(-found.mean)


def test_a_planted_tie_is_no_difference() -> None:
    rng = np.random.default_rng(1)
    found = paired_difference([answers(rng, 0.85, 0.85) for _ in range(3)])
    assert not found.significant
    assert found.low < 0 < found.high


def test_ties_are_called_differences_about_as_rarely_as_the_level_says() -> None:
    rng = np.random.default_rng(2)
    called = [paired_difference([answers(rng, 0.8, 0.8, 400)], resamples=500).significant for _ in range(300)]
    assert 0.02 < np.mean(called) < 0.09


def test_seeds_that_differ_by_more_than_their_samples_are_heeded() -> None:
    """Three trainings that scatter: their mean difference is not 0, and yet no difference of the methods."""
    rng = np.random.default_rng(6)
    called = []
    for _ in range(200):
        seeds = [answers(rng, *np.clip(0.8 + 0.03 * rng.normal(size=2), 0, 1), 1500) for _ in range(3)]
        called.append(paired_difference(seeds, resamples=300).significant)
    assert np.mean(called) < 0.09


def test_seeds_that_are_tested_on_the_same_samples_do_not_count_as_more_samples() -> None:
    one = answers(np.random.default_rng(7), 0.85, 0.82, 600)
    named = Answers(one.truth, one.first, one.second, np.arange(600))
    shared, alone = paired_difference([named] * 3), paired_difference([named])
    assert shared.high - shared.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert shared.p == pytest.approx(alone.p, abs=0.02)


def test_one_and_the_same_classifier_differs_by_nothing() -> None:
    one = answers(np.random.default_rng(3), 0.8, 0.8)
    found = paired_difference([Answers(one.truth, one.first, one.first)])
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_a_gain_on_one_seed_of_three_is_no_significant_gain() -> None:
    rng = np.random.default_rng(4)
    assert not paired_difference(
        [answers(rng, 0.95, 0.7), answers(rng, 0.8, 0.82), answers(rng, 0.8, 0.82)]
    ).significant


def test_samples_of_one_group_count_as_one() -> None:
    rng = np.random.default_rng(5)
    one = answers(rng, 0.90, 0.82, 200)
    copies = 20
    many = [np.repeat(part, copies) for part in (one.truth, one.first, one.second)]
    alone = paired_difference([Answers(*many)])
    grouped = paired_difference([Answers(*many, groups=np.repeat(np.arange(200), copies))])
    single = paired_difference([one])
    assert grouped.high - grouped.low == pytest.approx(single.high - single.low, rel=0.15)
    assert alone.high - alone.low < 0.5 * (grouped.high - grouped.low)


@pytest.mark.parametrize("discordant", [1, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("copies", [1, 5])
@pytest.mark.parametrize("seeds", [1, 2])
def test_few_groups_on_one_side_are_no_more_than_the_sign_test_says(discordant: int, copies: int, seeds: int) -> None:
    """In five copies each, in every seed, with another group whose images of one class cancel."""
    truth = np.repeat([0, 1], 50)
    second, first = truth.copy(), truth.copy()
    second[:discordant] = 1
    groups = np.arange(100)
    groups[91] = 90
    first[90], second[91] = 0, 0
    parts = [np.repeat(part, copies) for part in (truth, first, second, groups)]
    found = paired_difference([Answers(*parts)] * seeds)
    assert found.mean == pytest.approx(discordant / 100)
    assert found.p == pytest.approx(2.0 ** (1 - discordant), abs=0.002)
    assert found.significant == (discordant > 5)
    assert found.interval is not None
    assert found.significant or found.interval[0] <= 0, "an interval beyond 0 would say the contrary"
    turned = paired_difference([Answers(parts[0], parts[2], parts[1], parts[3])] * seeds)
    assert turned.p == pytest.approx(found.p, abs=0.02)


def test_the_sign_test_counts_where_all_groups_are_on_one_side_alone() -> None:
    truth = np.repeat([0, 1], 50)
    first, second = truth.copy(), truth.copy()
    second[:12] = 1
    first[12:14] = 1
    found = paired_difference([Answers(truth, first, second, np.arange(100))])
    assert 0.0001 < found.p < 0.02


@pytest.mark.parametrize("seeds", [1, 3])
def test_one_group_says_nothing_of_others(seeds: int) -> None:
    truth = np.repeat([0, 1], 100)
    second = truth.copy()
    second[:8] = 1
    found = paired_difference([Answers(truth, truth, second, np.full(200, "a"))] * seeds)
    assert (found.mean, found.interval, found.p) == (pytest.approx(0.04), None, 1)
    assert found.as_json() == {"mean": found.mean, "low": None, "high": None, "p": 1, "seeds": seeds}


def test_missing_labels_and_absent_classes_are_left_out() -> None:
    truth = np.array([0, 0, 2, 2, -1, -1])
    found = paired_difference(
        [Answers(truth, np.array([0, 0, 2, 0, 1, 1]), np.array([0, 2, 2, 2, -1, 0]))], resamples=50
    )
    assert found.mean == pytest.approx((0.5 - 0.5) / 2)


def test_the_mean_over_tasks_counts_every_task_alike_and_draws_their_samples_together() -> None:
    """Two tasks on the same samples, of four and of two classes: as the mean of both differences, image by image."""
    rng = np.random.default_rng(9)
    first = answers(rng, 0.9, 0.8)
    truth = rng.choice(2, len(first.truth), p=[0.9, 0.1])
    second = Answers(truth, np.where(rng.random(len(truth)) < 0.7, truth, 1 - truth), truth.copy())
    names = np.arange(len(truth)).astype(str)
    joined = Answers(
        np.concatenate([first.truth, truth + CLASSES]),
        np.concatenate([first.first, second.first + CLASSES]),
        np.concatenate([first.second, second.second + CLASSES]),
        np.concatenate([names, names]),
    )
    weights = np.array([1 / CLASSES] * CLASSES + [1 / 2] * 2)
    found = paired_difference([joined], weights=weights)
    assert found.mean == pytest.approx((slow_difference(first) + slow_difference(second)) / 2)
    assert found.significant
    assert found.low < found.mean < found.high < 0


@given(st.lists(st.lists(st.integers(-3, 3), min_size=5, max_size=5), min_size=1, max_size=12))
@settings(max_examples=300, deadline=None)
def test_the_keys_of_sparse_rows_are_equal_and_ordered_as_the_rows_themselves(rows: list[list[int]]) -> None:
    keys = row_keys(csr_array(np.array(rows, dtype=np.int64)))
    for row, key in zip(rows, keys, strict=True):
        assert [(other < row, other == row) for other in rows] == [(other < key, other == key) for other in keys]
