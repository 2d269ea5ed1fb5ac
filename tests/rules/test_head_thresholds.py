"""A threshold between two classes: the best of all there are, and one half where nothing speaks for another."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.errors import DataError
from longtail.rules.base import Evidence, Floats, Ints
from longtail.rules.head import Head
from longtail.rules.head_adjusted import HeadAdjusted
from longtail.rules.head_thresholds import HeadThresholds, best_threshold
from longtail.rules.registry import fit_rules
from longtail.rules.search import Search, accuracy_under

# Few different numbers, so that samples of both classes share one.
SAMPLES = st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 1)), min_size=1, max_size=30)
TARGETS = st.none() | st.floats(0.01, 0.99).map(lambda share: np.array([1 - share, share], np.float32))


def evidence(logits: Floats, truth: Ints, target: Floats | None = None) -> Evidence:
    """All samples are validation; the classifier was trained on nine of the first class to one of the second."""
    prior, nothing = np.array([0.9, 0.1], np.float32), np.full(len(truth), -1)
    return Evidence(logits, logits, nothing, truth, logits.shape[1], 10, Search(), 0, prior, target)


def of_odds(odds: npt.ArrayLike) -> Floats:
    """Logits with those log-odds of the second class."""
    second = np.asarray(odds, np.float32)
    return np.stack([np.zeros_like(second), second], 1)


def reached(odds: Floats, truth: Ints, threshold: float, target: Floats | None) -> Fraction:
    """What the threshold gets right, each class weighed by its share, in exact numbers."""
    shares = [Fraction(1, 2)] * 2 if target is None else [Fraction(float(share)) for share in target]
    total = Fraction(0)
    for code, share in enumerate(shares):
        said = [int(one > threshold) for one in odds[truth == code]]
        total += share * Fraction(said.count(code), len(said))
    return total


@given(SAMPLES, TARGETS)
def test_no_threshold_is_better_and_even_odds_stay_where_none_is(
    samples: list[tuple[int, int]], target: Floats | None
) -> None:
    odds, truth = (np.array(values) for values in zip(*samples, strict=True))
    found = best_threshold(odds / 2.0, truth, target)
    if len(set(truth.tolist())) < 2:
        assert found == 0
        return
    every = sorted({0.0, *(half / 4 for half in range(-13, 14))})  # beside and midway between all that the samples have
    scores = {threshold: reached(odds / 2.0, truth, threshold, target) for threshold in every}
    mine, best = reached(odds / 2.0, truth, found, target), max(scores.values())
    assert float(mine) == pytest.approx(float(best), abs=1e-12)
    if target is None:
        assert mine == best
        if scores[0.0] == best:
            assert found == 0


def test_it_lies_midway_between_the_neighbours_that_it_parts() -> None:
    assert best_threshold(np.array([-5.0, -4, -2, 1]), np.array([0, 0, 1, 1]), None) == -3
    assert best_threshold(np.array([-1.0, 3, 5]), np.array([0, 0, 1]), None) == 4


def test_of_two_that_are_as_good_the_one_nearer_to_one_half_stays_and_below_it_if_both_are() -> None:
    odds, truth = np.array([-6.0, -4, 2, 4]), np.array([0, 1, 0, 1])
    assert best_threshold(odds, truth, None) == 3
    odds, truth = np.array([-3.0, -1, 1, 3]), np.array([0, 1, 0, 1])
    assert best_threshold(odds, truth, None) == -2


@pytest.mark.parametrize("present", [0, 1])
@pytest.mark.parametrize("target", [None, np.array([0.97, 0.03], np.float32)])
def test_a_class_without_a_validation_sample_leaves_one_half(present: int, target: Floats | None) -> None:
    """As where the other is the background, which is not scored."""
    odds = np.random.default_rng(0).normal(-3, 2, 50)
    found = evidence(of_odds(odds), np.full(50, present), target)
    rule = HeadThresholds.fit(found, {})
    assert rule.summary()["threshold"] == 0.5
    assert np.array_equal(rule.predict(found.embeddings, found.logits)[0], of_odds(odds).argmax(1))


def test_a_head_that_parts_best_is_left_as_it_is_to_the_sample() -> None:
    """Equal logits, too: the first class answers."""
    odds = np.array([-2, -1, 0, 0, 1e-45, 2], np.float32)
    found = evidence(of_odds(odds), np.array([0, 0, 0, 0, 1, 1]))
    rule = HeadThresholds.fit(found, {})
    assert rule.log_odds == 0
    assert rule.predict(found.embeddings, found.logits)[0].tolist() == [0, 0, 0, 0, 1, 1]


def tail(seed: int = 0, share: float = 0.1) -> Evidence:
    """Two normal classes of unit variance, two apart, and the logits of the best classifier where the second has that
    share.
    """
    rng = np.random.default_rng(seed)
    truth = (rng.random(4000) < share).astype(np.int64)
    points = rng.normal(size=4000) + 2 * truth
    return evidence(of_odds(2 * points - 2 + np.log(share / (1 - share))), truth)


def test_it_finds_the_threshold_of_even_classes() -> None:
    """The probability above which the second is the more likely of even classes is its share in training."""
    found = tail()
    rule, head = HeadThresholds.fit(found, {}), Head.fit(found, {})
    assert rule.summary()["threshold"] == pytest.approx(0.1, abs=0.05)
    assert rule.score > head.score + 0.1
    assert rule.score >= HeadAdjusted.fit(found, {}).score, "no strength gives a better threshold"


def test_a_target_is_what_the_threshold_is_chosen_for() -> None:
    found = tail()
    rare = np.array([0.9, 0.1], np.float32)
    rule = HeadThresholds.fit(replace(found, target=rare), {})
    assert rule.summary()["threshold"] == pytest.approx(0.5, abs=0.15)
    even = HeadThresholds.fit(found, {})
    said = [one.predict(found.embeddings, found.logits)[0] for one in (rule, even)]
    assert accuracy_under(found.validation, said[0], rare) > accuracy_under(found.validation, said[1], rare) + 0.05


def test_answers_that_are_sure_to_the_last_digit_of_a_probability_are_told_apart() -> None:
    odds = np.array([50, 60, 70, 80], np.float32)
    found = evidence(of_odds(odds), np.array([0, 0, 1, 1]))
    rule = HeadThresholds.fit(found, {})
    assert (rule.score, rule.log_odds, rule.summary()["threshold"]) == (1, 65, 1)


@pytest.mark.parametrize("classes", [1, 3, 10])
def test_of_other_than_two_classes_it_is_left_out_and_refused_where_it_is_asked_for(classes: int) -> None:
    truth = np.arange(20) % classes
    found = evidence(np.eye(classes, dtype=np.float32)[truth], truth)
    assert "head_thresholds" not in fit_rules(["head", "head_thresholds"], found)
    sentence = f"it has {classes} classes, and a threshold parts two$"
    with pytest.raises(DataError, match=f"^the rule head_thresholds cannot be fitted on a task: {sentence}"):
        HeadThresholds.fit(found, {})
