"""By which measure rules are chosen on validation: the mean per-class accuracy, or the mean F1."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_evidence import answers, evidence, evidence_for, fitted
from sklearn.metrics import f1_score

from longtail.metrics.classification import evaluate
from longtail.rules.base import Evidence, Floats, Ints, Rule
from longtail.rules.head_and_knn import BLENDS, choose_blend
from longtail.rules.head_thresholds import best_threshold
from longtail.rules.search import Search, average_f1, mean_class_accuracy

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=50)
SHARES = st.lists(st.floats(0.01, 1), min_size=5, max_size=5)
# Those of which something is chosen on validation, each by itself.
CHOSEN = ("cluster_wise", "sample_wise", "soft_voting", "head_adjusted", "head_tau_normalised", "head_thresholds")


def as_target(shares: list[float]) -> Floats:
    return (np.array(shares) / sum(shares)).astype(np.float32)


@given(PAIRS)
def test_it_is_the_mean_f1_that_is_reported(pairs: list[tuple[int, int]]) -> None:
    truth, said = np.array(pairs).T
    found = average_f1(truth, said)
    assert found == pytest.approx(f1_score(truth, said, labels=np.unique(truth), average="macro", zero_division=0))
    reported = evaluate(truth, said, classes=list("abcde"), train_counts=[1] * 5, resamples=0)
    assert found == pytest.approx(reported.average_f1)


@given(PAIRS, SHARES)
def test_under_a_target_it_is_that_of_samples_weighed_as_it_says(
    pairs: list[tuple[int, int]], shares: list[float]
) -> None:
    truth, said = np.array(pairs).T
    target = as_target(shares)
    weights = target[truth] / np.bincount(truth)[truth]
    expected = f1_score(truth, said, labels=np.unique(truth), average="macro", sample_weight=weights, zero_division=0)
    assert average_f1(truth, said, target) == pytest.approx(expected, abs=1e-6)


@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 1)), min_size=1, max_size=30),
    st.none() | st.floats(0.01, 0.99).map(lambda share: np.array([1 - share, share], np.float32)),
)
def test_no_threshold_has_a_higher_f1(samples: list[tuple[int, int]], target: Floats | None) -> None:
    odds, truth = (np.array(values) for values in zip(*samples, strict=True))
    found = best_threshold(odds / 2.0, truth, target, "average_f1")
    if len(set(truth.tolist())) < 2:
        assert found == 0
        return

    def reached(threshold: float) -> float:
        return average_f1(truth, (odds / 2.0 > threshold).astype(np.int64), target)

    assert reached(found) == pytest.approx(max(reached(half / 4) for half in range(-13, 14)), abs=1e-6)


def of_validation(rule: Rule, found: Evidence) -> tuple[Ints, Ints]:
    known = found.validation >= 0
    return found.validation[known], answers(rule, found)[0][known]


@pytest.mark.parametrize("key", CHOSEN)
def test_a_rule_is_chosen_by_the_measure_that_is_asked_for(key: str) -> None:
    gained = 0.0
    for seed in range(8):
        found = replace(evidence_for(key, seed), search=Search())
        by_recall = fitted(found, (key,))[key]
        by_f1 = fitted(replace(found, measure="average_f1"), (key,))[key]
        gain = average_f1(*of_validation(by_f1, found)) - average_f1(*of_validation(by_recall, found))
        assert gain > -1e-6
        gained += gain
        assert by_f1.score == pytest.approx(mean_class_accuracy(*of_validation(by_f1, found)), abs=1e-6)
        assert by_f1.score <= by_recall.score + 1e-6, "the score stays the mean per-class accuracy"
    assert gained > 0, "else nothing tells the measures apart"


def test_so_is_a_blend() -> None:
    found = evidence()
    known = found.validation >= 0
    assert found.logits is not None
    logits, truth = found.logits[known], found.validation[known]
    scores = np.random.default_rng(1).normal(size=logits.shape).astype(np.float32)
    blend, score = choose_blend([(logits, scores)], truth, "average_f1")
    every = {one: one.mix(logits, scores).argmax(1) for one in BLENDS}
    assert average_f1(truth, every[blend]) == max(average_f1(truth, said) for said in every.values())
    assert score == mean_class_accuracy(truth, every[blend])
