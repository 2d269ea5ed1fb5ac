"""Prediction sets against their definition in plain loops, and what they guarantee in a seeded simulation."""

import json
import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logits import blocks, drawn, groups

from longtail.metrics.conformal import (
    ADJUSTED,
    ALPHA,
    BY_CLASS,
    FEWEST,
    MARGINAL,
    PredictionSets,
    least_probabilities,
    prediction_sets,
    rank,
)
from longtail.metrics.probabilities import Logits, probabilities
from longtail.metrics.scores import Codes, Floats

NAMES = [f"class {c}" for c in range(6)]


def made(
    calibration: tuple[Logits, Codes], test: tuple[Logits, Codes], prior: Floats | None, background: int | None = None
) -> dict[str, PredictionSets]:
    K = calibration[0].shape[1]
    foreground = np.arange(K) != (-1 if background is None else background)
    floors = least_probabilities(blocks(*calibration), foreground, prior)
    of = {name: mask & foreground for name, mask in groups(K).items()}
    classes = [f"class {c}" for c in range(K)]
    return prediction_sets(blocks(*test), floors, np.bincount(calibration[1], minlength=K), classes, of)


def slow_sets(
    kind: str, calibration: tuple[Logits, Codes], test: Logits, prior: Floats, background: int | None
) -> list[set[int]]:
    """{y: s(x, y) ≤ q}, q the ⌈(n + 1)(1 − α)⌉-th smallest score of the calibration samples, by class of y's."""

    def score(p: float, c: int) -> float:
        if kind != ADJUSTED:
            return -p
        return -p / float(prior[c]) if prior[c] else -math.inf

    shares, truth = probabilities(calibration[0]), calibration[1].tolist()
    scores = [(score(p[y], y), y) for p, y in zip(shares, truth, strict=True)]

    def threshold(c: int) -> float:
        of = sorted(s for s, y in scores if kind != BY_CLASS or y == c)
        k = -((-(len(of) + 1) * 9) // 10)
        return of[k - 1] if k <= len(of) else math.inf

    inside = [c for c in range(shares.shape[1]) if c != background]
    # A quotient that is the threshold but for its last bit is the threshold.
    return [{c for c in inside if score(p[c], c) <= threshold(c) * (1 - 1e-12)} for p in probabilities(test)]


@st.composite
def samples(draw: st.DrawFn, K: int, n: int, first: int) -> tuple[Logits, Codes]:
    value = st.sampled_from([-3.0, -1.0, 0.0, 0.5, 2.0, 40.0])
    logits = draw(st.lists(st.lists(value, min_size=K, max_size=K), min_size=n, max_size=n))
    truth = draw(st.lists(st.integers(first, K - 1), min_size=n, max_size=n))
    return np.array(logits).reshape(n, K), np.array(truth, np.int64)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_sets_agree_with_the_slow_oracle(data: st.DataObject) -> None:
    K, background = data.draw(st.integers(2, 4)), data.draw(st.sampled_from([None, 0]))
    first = 0 if background is None else 1
    calibration = data.draw(samples(K, data.draw(st.sampled_from([0, 8, 9, 10, 19, 30])), first))
    test = data.draw(samples(K, data.draw(st.integers(1, 8)), first))
    counts = st.lists(st.sampled_from([0.0, 1.0, 3.0, 50.0]), min_size=K, max_size=K).filter(any)
    prior = np.array(data.draw(counts))
    prior /= prior.sum()
    found = made(calibration, test, prior, background)
    for kind in (MARGINAL, BY_CLASS, ADJUSTED):
        sets = slow_sets(kind, calibration, test[0], prior, background)
        hits = [y in of for of, y in zip(sets, test[1].tolist(), strict=True)]
        assert found[kind].coverage == pytest.approx(np.mean(hits))
        assert found[kind].size == pytest.approx(np.mean([len(of) for of in sets]))
        by_class = {c: np.mean([hit for hit, y in zip(hits, test[1], strict=True) if y == c]) for c in set(test[1])}
        assert found[kind].mean_class_coverage == pytest.approx(np.mean(list(by_class.values())))
        assert found[kind].lowest_coverage == pytest.approx(min(by_class.values()))
        for row in found[kind].per_class:
            c = int(row.name.split()[1])
            assert row.coverage == (pytest.approx(by_class[c]) if c in by_class else None)
        assert [int(row.name.split()[1]) for row in found[kind].per_class] == list(range(first, K))
        json.dumps(found[kind].model_dump(), allow_nan=False)


@given(st.integers(0, 10**6), st.integers(1, 99))
def test_the_rank_is_exact_for_every_number_of_samples_and_level(n: int, percent: int) -> None:
    assert rank(n, percent / 100) == math.ceil((n + 1) * (1 - Fraction(percent, 100)))


def test_the_fewest_samples_are_those_of_which_one_can_be_the_threshold() -> None:
    assert rank(FEWEST, ALPHA) <= FEWEST
    assert all(rank(n, ALPHA) > n for n in range(FEWEST))


@pytest.mark.parametrize(("n", "always"), [(0, True), (8, True), (9, False)])
def test_a_class_of_too_few_validation_samples_is_in_every_set_and_it_alone(n: int, always: bool) -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [200, 200, n])
    logits = rng.normal(0, 1, (len(truth), 3)) + 8 * np.eye(3)[truth]
    far = np.array([[30.0, 0.0, 0.0]] * 5)
    found = made((logits, truth), (far, np.array([0, 0, 0, 1, 2])), None)[BY_CLASS]
    assert [row.always for row in found.per_class] == [False, False, always]
    assert found.always == always
    assert found.per_class[2].coverage == float(always)
    assert found.per_class[2].validation == n
    assert made((logits, truth), (far, np.zeros(5, np.int64)), None)[MARGINAL].always == 0


def test_with_fewer_than_9_validation_samples_every_set_holds_every_class() -> None:
    logits, truth = drawn(0, 8, 4)
    found = made((logits, truth), drawn(1, 30, 4), np.full(4, 0.25))
    for sets in found.values():
        assert (sets.coverage, sets.size, sets.always) == (1, 4, 4)


def test_without_test_samples_there_are_no_sets_and_without_a_prior_no_adjusted_ones() -> None:
    nothing = np.empty((0, 4)), np.empty(0, np.int64)
    assert made(drawn(0, 30, 4), nothing, None) == {}
    assert list(made(drawn(0, 30, 4), drawn(1, 5, 4), None)) == [MARGINAL, BY_CLASS]


def test_what_the_sets_guarantee_holds_over_many_draws_of_the_validation_samples() -> None:
    n, draws = 60, 400
    coverage: dict[str, list[float]] = {kind: [] for kind in (MARGINAL, BY_CLASS, ADJUSTED)}
    of_class: list[list[float]] = []
    wrong = np.array([0.0, 1.5, -1.0, 0.5])  # the guarantee asks nothing of the model
    logits, truth = drawn(3, draws * 3 * n, 4)
    for start in range(0, len(truth), 3 * n):
        ours = slice(start, start + n), slice(start + n, start + 3 * n)
        parts = [(2 * logits[rows] + wrong, truth[rows]) for rows in ours]
        found = made(parts[0], parts[1], np.array([0.5, 0.25, 0.15, 0.1]))
        for kind, sets in found.items():
            coverage[kind].append(sets.coverage)
        of_class.append([math.nan if row.coverage is None else row.coverage for row in found[BY_CLASS].per_class])
    for kind in (MARGINAL, ADJUSTED):
        assert 0.9 - 0.006 < np.mean(coverage[kind]) < 0.9 + 1 / (n + 1) + 0.006
    assert (np.nanmean(of_class, axis=0) > 0.9 - 0.015).all()


def test_prevalence_adjusted_sets_cover_rare_classes_better_than_marginal_ones_of_the_same_coverage() -> None:
    rng = np.random.default_rng(0)
    prior = np.array([0.7, 0.2, 0.08, 0.02])
    truth = rng.choice(4, 40_000, p=prior)
    x = rng.normal(2.0 * np.eye(4)[truth], 1)
    logits = 2.0 * x + np.log(prior)  # the true posterior: equal covariances, means 2 e_c
    half = slice(0, 20_000), slice(20_000, None)
    found = made((logits[half[0]], truth[half[0]]), (logits[half[1]], truth[half[1]]), prior)
    assert found[ADJUSTED].coverage == pytest.approx(found[MARGINAL].coverage, abs=0.01)
    assert found[ADJUSTED].mean_class_coverage > found[MARGINAL].mean_class_coverage + 0.1
    assert found[BY_CLASS].lowest_coverage > found[MARGINAL].lowest_coverage + 0.2


def test_10000_classes_take_memory_of_a_block() -> None:
    K, n = 10_000, 400
    logits = np.random.default_rng(0).normal(0, 3, (n, K)).astype(np.float32)
    of = np.ones(K, np.bool_), np.full(K, 1 / K)
    tracemalloc.start()
    floors = least_probabilities(blocks(logits, logits.argmax(1), size=40), *of)
    found = prediction_sets(
        blocks(logits, logits.argmax(1), size=40), floors, np.zeros(K, np.int64), [str(c) for c in range(K)], groups(K)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[BY_CLASS].always > 9000
    assert peak < 45e6
