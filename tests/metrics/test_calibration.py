"""Calibration errors against plain loops written from their definitions, and temperatures against a fine grid."""

import json
import math
import tracemalloc
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from logits import blocks, drawn, groups

from longtail.metrics.calibration import BINS, HOTTEST, Calibration, calibration, fit_temperature
from longtail.metrics.probabilities import Logits, negative_log_likelihood
from longtail.metrics.scores import Codes, Mask


@st.composite
def answered(draw: st.DrawFn) -> tuple[Logits, Codes]:
    K, n = draw(st.integers(1, 5)), draw(st.integers(1, 20))
    # Logs of small shares put probabilities exactly on the edges of bins, too.
    share = st.sampled_from([-4.0, 0.0, math.log(2), math.log(4), 1.7, 30.0, 800.0])
    logits = np.array(draw(st.lists(st.lists(share, min_size=K, max_size=K), min_size=n, max_size=n)), np.float32)
    truth = np.array(draw(st.lists(st.integers(0, K - 1), min_size=n, max_size=n)))
    return logits, truth


def slow_shares(row: Logits, temperature: float) -> list[float]:
    scaled = [float(z) / temperature for z in row]
    weights = [math.exp(z - max(scaled)) for z in scaled]
    return [w / sum(weights) for w in weights]


def slow_gap(pairs: list[tuple[float, bool]], of: int) -> float:
    """Σ over the bins ((m − 1) / M, m / M] of |mean share − frequency| times its part of `of`; the first has 0, too."""
    total = 0.0
    for m in range(1, BINS + 1):
        inside = [(p, hit) for p, hit in pairs if ((m - 1) / BINS < p or m == 1) and p <= m / BINS]
        if inside:
            mean = sum(p for p, _ in inside) / len(inside)
            total += len(inside) / of * abs(mean - sum(hit for _, hit in inside) / len(inside))
    return total


def slow_calibration(logits: Logits, truth: Codes, temperature: float, of: Mapping[str, Mask]) -> dict[str, float]:
    shares = [slow_shares(row, temperature) for row in logits]
    said = [int(np.argmax(row)) for row in logits]
    pairs = [(p[a], a == y) for p, a, y in zip(shares, said, truth, strict=True)]
    present = sorted(set(truth.tolist()))
    classwise = [slow_gap([(p[j], y == j) for p, y in zip(shares, truth, strict=True)], len(truth)) for j in present]
    found = {"ece": slow_gap(pairs, len(pairs)), "classwise_ece": sum(classwise) / len(present)}
    for name in ("many", "medium", "few"):
        inside = [pair for pair, a in zip(pairs, said, strict=True) if of[name][a]]
        if inside:
            found[f"{name}_ece"] = slow_gap(inside, len(inside))
    return found


def measured(logits: Logits, truth: Codes, temperature: float = 1.0) -> Calibration:
    found = calibration(blocks(logits, truth), temperature, groups(logits.shape[1]))
    assert found is not None
    return found


@given(answered(), st.sampled_from([0.5, 1.0, 3.0]))
@settings(max_examples=300, deadline=None)
def test_every_error_agrees_with_the_slow_oracle(case: tuple[Logits, Codes], temperature: float) -> None:
    logits, truth = case
    found = measured(logits, truth, temperature)
    expected = slow_calibration(logits, truth, temperature, groups(logits.shape[1]))
    flat = found.model_dump(include=set(Calibration.model_fields) - {"bins", "images", "nll"}, exclude_none=True)
    # A probability on an edge may be a last bit beyond it in the other order of sums: then it is in the next bin.
    if not on_an_edge(logits, temperature):
        assert flat == pytest.approx(expected, abs=1e-9)
    assert flat.keys() == expected.keys()
    assert sum(one.images for one in found.bins) == found.images == len(truth)
    json.dumps(found.model_dump(), allow_nan=False)


def on_an_edge(logits: Logits, temperature: float) -> bool:
    shares = np.array([slow_shares(row, temperature) for row in logits]) * BINS
    near = np.abs(shares - np.round(shares)) < 1e-9
    return bool((near & (np.round(shares) > 0) & (np.round(shares) < BINS)).any())


def test_a_confidence_on_an_edge_is_in_the_lower_bin() -> None:
    found = measured(np.log([[1.0, 2.0, 2.0]] * 2), np.array([1, 2]))  # 2 / 5 = 6 / 15
    assert [place for place, one in enumerate(found.bins) if one.images] == [5]
    assert (found.bins[5].confidence, found.bins[5].accuracy) == (pytest.approx(0.4), 0.5)


@given(answered())
@settings(max_examples=100, deadline=None)
def test_blocks_change_nothing(case: tuple[Logits, Codes]) -> None:
    one, other = (calibration(blocks(*case, size=size), 1.3, groups(case[0].shape[1])) for size in (1, 1000))
    assert one is not None
    assert other is not None
    assert one.model_dump(exclude={"bins"}) == pytest.approx(other.model_dump(exclude={"bins"}))


@given(answered())
@settings(max_examples=150, deadline=None)
def test_the_temperature_is_no_worse_than_any_of_a_fine_grid(case: tuple[Logits, Codes]) -> None:
    logits, truth = case
    assume((logits.argmax(1) != truth).any())
    temperature = fit_temperature(blocks(logits, truth))
    assert temperature is not None
    grid = np.exp(np.linspace(math.log(0.011), math.log(99), 400))
    least = min(negative_log_likelihood(logits, truth, t).mean() for t in [1.0, *grid])
    assert negative_log_likelihood(logits, truth, temperature).mean() <= least + 1e-3 * max(1, least)


@pytest.mark.parametrize("wrong", [0.25, 1.0, 4.0])
def test_logits_that_are_too_large_are_mended_by_the_temperature(wrong: float) -> None:
    logits, truth = drawn(0, 40_000, 5)
    temperature = fit_temperature(blocks(logits * wrong, truth, size=4000))
    assert temperature == pytest.approx(wrong, rel=0.03)
    before, after = measured(logits * wrong, truth), measured(logits * wrong, truth, temperature or 1.0)
    assert after.ece < 0.012
    assert after.nll <= before.nll
    if wrong != 1:
        assert before.ece > 3 * after.ece
        assert before.classwise_ece > 3 * after.classwise_ece


def test_perfect_probabilities_have_no_error_in_any_group_of_answers_but_have_one_by_true_class() -> None:
    logits, truth = drawn(1, 60_000, 6)
    found = measured(logits, truth)
    for error in (found.ece, found.many_ece, found.medium_ece, found.few_ece):
        assert error is not None
        assert error < 0.02
    rare = groups(6)["few"][truth]
    of_rare = measured(logits[rare], truth[rare])
    assert of_rare.ece > 0.05


def test_a_group_that_is_never_answered_is_absent() -> None:
    found = measured(np.array([[3.0, 0.0, 0.0]] * 4), np.array([0, 0, 1, 2]))
    assert found.many_ece is not None
    assert found.medium_ece is None
    assert found.few_ece is None


def test_without_a_sample_there_is_neither_temperature_nor_calibration() -> None:
    nothing = blocks(np.empty((0, 3), np.float32), np.empty(0, np.int64))
    assert fit_temperature(nothing) is None
    assert calibration(nothing, 1.0, groups(3)) is None


@pytest.mark.parametrize(("samples", "scale"), [(1, 9.0), (109, 9.0), (109, 0.2), (2000, 3.0)])
def test_answers_without_a_mistake_do_not_become_certain(samples: int, scale: float) -> None:
    truth = np.random.default_rng(samples).integers(5, size=samples)
    logits = scale * (np.eye(5)[truth] + 0.1 * np.random.default_rng(0).random((samples, 5)))
    temperature = fit_temperature(blocks(logits, truth, size=50))
    found = measured(logits, truth, temperature or 1.0)
    assert found.ece == pytest.approx(1 / (samples + 2), rel=1e-3)  # by Laplace's rule of succession


@pytest.mark.parametrize(
    ("logits", "truth"),
    [
        (np.zeros((9, 3)), np.arange(9) % 3),
        (np.zeros((9, 3)), np.zeros(9, np.int64)),
        (np.ones((9, 1)), np.zeros(9, np.int64)),
        (np.array([[1.0, 1, 0], [0, 1, 1], [3, 1, 0], [3, 0, 1]]), np.array([0, 1, 0, 0])),
        (np.array([[np.nan, 1.0], [2.0, 1.0]]), np.array([0, 0])),
    ],
)
def test_logits_that_tell_nothing_keep_their_temperature(logits: Logits, truth: Codes) -> None:
    assert fit_temperature(blocks(logits, truth)) == 1.0


def test_logits_that_are_all_wrong_end_at_the_hottest_temperature() -> None:
    temperature = fit_temperature(blocks(np.array([[5.0, 0.0]] * 20), np.ones(20, np.int64)))
    assert temperature == pytest.approx(HOTTEST, rel=0.01)


def test_a_probability_that_underflows_has_a_finite_likelihood() -> None:
    found = measured(np.array([[0.0, 5000.0]]), np.array([0]), 0.5)
    assert found.nll == pytest.approx(10_000)
    assert found.ece == 1


def test_10000_classes_take_memory_of_a_block() -> None:
    K, n = 10_000, 600
    logits = np.random.default_rng(0).normal(0, 3, (n, K)).astype(np.float32)
    truth = logits.argmax(1)
    tracemalloc.start()
    found = calibration(blocks(logits, truth, size=50), 1.0, groups(K))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found is not None
    assert peak < 40e6  # all at once are 48 MB in each of several arrays
