"""Logit adjustment: from the prior that was trained on to the one that is wanted, and to nothing else."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import run_pipeline, write_tiny_dataset

from longtail.data.injection import Exponential
from longtail.data.splits import Split
from longtail.network.snapshot import current
from longtail.rules.base import Evidence
from longtail.rules.evidence import read_evidence
from longtail.rules.head_adjusted import STRENGTHS, HeadAdjusted, adjustment
from longtail.rules.search import Search, accuracy_under, mean_class_accuracy

Floats = npt.NDArray[np.float32]
COUNTS = st.lists(st.integers(1, 10**9), min_size=2, max_size=8)
MEANS = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]])


def bayes(points: npt.NDArray[np.float64], prior: npt.NDArray[np.float64]) -> Floats:
    """The logits log p(c | x) + constant of normal classes with unit variance: the best classifier under a prior."""
    return (points @ MEANS.T - (MEANS**2).sum(1) / 2 + np.log(prior)).astype(np.float32)


def toy(seed: int = 0, prior: tuple[float, ...] = (0.9, 0.08, 0.02)) -> tuple[Evidence, npt.NDArray[np.float64]]:
    """Samples of such classes, half of them validation, and logits that are the best under the prior."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, 6000, p=prior)
    points = rng.normal(size=(6000, 2)) + MEANS[labels]
    logits = bayes(points, np.array(prior))
    validation = np.where(np.arange(6000) % 2, labels, -1)
    nothing = np.full(6000, -1)
    found = Evidence(points, logits, nothing, validation, 3, 10, Search(), 0, np.array(prior, np.float32))
    return found, points


def test_the_best_classifier_of_a_long_tail_becomes_the_best_of_even_classes() -> None:
    found, points = toy()
    assert found.logits is not None
    assert found.prior is not None
    adjusted = found.logits + adjustment(found.prior, None, 1.0)
    assert np.array_equal(adjusted.argmax(1), bayes(points, np.full(3, 1 / 3)).argmax(1))


@pytest.mark.parametrize("target", [(0.97, 0.02, 0.01), (0.2, 0.3, 0.5)])
def test_it_becomes_the_best_of_any_other_prior(target: tuple[float, ...]) -> None:
    found, points = toy()
    assert found.logits is not None
    assert found.prior is not None
    adjusted = found.logits + adjustment(found.prior, np.array(target, np.float32), 1.0)
    assert (adjusted.argmax(1) == bayes(points, np.array(target)).argmax(1)).mean() > 0.999  # float32, at the borders


@given(COUNTS)
def test_counts_do_as_well_as_shares_and_nothing_is_floored(values: list[int]) -> None:
    of_counts = adjustment(np.array(values, np.float32), None, 1.0)
    assert np.allclose(of_counts, adjustment((np.array(values) / sum(values)), None, 1.0), atol=1e-4)
    expected = np.log(values[0]) - np.log(np.array(values))
    assert np.allclose(of_counts - of_counts[0], expected, atol=1e-4)


@given(COUNTS)
def test_no_strength_an_even_prior_and_a_prior_that_is_wanted_change_nothing(values: list[int]) -> None:
    shares = np.array(values, np.float64) / sum(values)
    assert not adjustment(shares, None, 0.0).any()
    assert np.allclose(adjustment(np.full(len(values), values[0]), None, 1.0), 0, atol=1e-6)
    assert np.allclose(adjustment(shares, shares, 1.0), 0, atol=1e-6)


# Shares of classes that were never trained, are rare beyond what any floor would leave, and are most of the data.
SHARES = st.lists(st.sampled_from([0.0, 1.0, 1e9]) | st.floats(1e-6, 1e9), min_size=2, max_size=6)


@given(SHARES.filter(any), st.integers(0, 2**32 - 1), st.sampled_from([None, 1, 2]), st.floats(0, 2))
def test_it_is_the_difference_of_logs_for_any_prior_target_and_strength(
    prior: list[float], seed: int, wanted: int | None, strength: float
) -> None:
    rng = np.random.default_rng(seed)
    target = None if wanted is None else rng.dirichlet(np.full(len(prior), wanted)) + 1e-9
    shift = adjustment(np.array(prior), target, strength)
    assert np.isfinite(shift).all()
    shares = np.full(len(prior), 1 / len(prior)) if target is None else target
    trained = [c for c, share in enumerate(prior) if share]
    expected = [strength * (math.log(shares[c]) - math.log(prior[c] / sum(prior))) for c in trained]
    assert shift[trained] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert all(shift[c] == min(shift) for c in range(len(prior)) if c not in trained)
    order = rng.permutation(len(prior))
    permuted = adjustment(np.array(prior)[order], None if target is None else target[order], strength)
    assert permuted == pytest.approx(shift[order], rel=1e-5, abs=1e-5)


def test_a_class_that_was_never_trained_is_raised_by_the_least() -> None:
    shift = adjustment(np.array([90, 0, 9, 1], np.float32), None, 1.0)
    assert np.isfinite(shift).all()
    assert shift[1] == shift.min() == shift[0]
    without = adjustment(np.array([90, 9, 1], np.float32), None, 1.0)
    assert np.allclose(np.diff(shift[[0, 2, 3]]), np.diff(without))


def test_the_strength_is_chosen_on_validation_and_stays_1_where_no_other_is_better() -> None:
    found, _ = toy()
    rule = HeadAdjusted.fit(found, {})
    assert found.logits is not None
    known = found.validation >= 0
    plain = mean_class_accuracy(found.validation[known], found.logits[known].argmax(1))
    assert rule.score > plain + 0.1
    assert rule.score == max(point["score"] for point in rule.curve)
    assert [point["strength"] for point in rule.curve] == sorted(STRENGTHS)
    easy = replace(found, logits=(100 * np.eye(3)[np.maximum(found.validation, 0)]).astype(np.float32))
    assert HeadAdjusted.fit(easy, {}).strength == 1.0


def test_a_target_prior_is_what_the_strength_is_chosen_for() -> None:
    found, _ = toy()
    assert found.prior is not None
    rule = HeadAdjusted.fit(replace(found, target=found.prior), {})
    assert np.allclose(rule.shift, 0, atol=1e-6)
    codes, _ = rule.predict(found.embeddings, found.logits)
    assert found.logits is not None
    assert np.array_equal(codes, found.logits.argmax(1))


def test_the_prior_is_in_the_order_of_the_classes_and_not_of_their_names(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset", imbalance=Exponential(kind="exponential", factor=4))
    run_pipeline(tmp_path, stages=("split", "start", "fit"), fit={"sampling": "natural", "cost": False})
    split = Split.open(tmp_path / "split")
    (task,), counts = split.tasks, split.info.subsets["train"].counts["digit"]
    assert task.classes != sorted(task.classes)
    assert counts[0] > counts[1] > counts[2]
    model, how = current(tmp_path / "softmax/model"), {"cluster_size": 8, "search": Search(), "seed": 0}
    shares = np.array(counts) / sum(counts)
    assert read_evidence(model, split, task, **how).prior == pytest.approx(shares)


@given(st.integers(0, 2**32 - 1))
def test_the_accuracy_under_a_target_is_that_of_samples_drawn_as_it_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, answers = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
    target = rng.dirichlet(np.ones(4)).astype(np.float32)
    there = sorted(set(truth.tolist()))
    recalls = [np.mean(answers[truth == code] == code) for code in there]
    expected = np.average(recalls, weights=target[there])
    assert accuracy_under(truth, answers, target) == pytest.approx(expected, abs=1e-6)
    assert accuracy_under(truth, answers, None) == mean_class_accuracy(truth, answers)
