"""Mini-batches: class-even, of resampled data, shared by tasks; and costs that give their classes equal weight."""

from collections import Counter
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.data.samplers import Sampler, Scheme, TaskSampler, inverse_frequency_weights, mean_weights

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
labels_with_missing = st.lists(st.integers(-1, 4), min_size=1, max_size=40).filter(lambda codes: max(codes) >= 0)


def drawn(sampler: Sampler, steps: int) -> list[int]:
    return [int(position) for step in range(steps) for position in sampler.positions(step)]


@settings(deadline=None, max_examples=50)
@given(labels_with_missing, st.integers(1, 7), st.integers(0, 9))
def test_every_class_is_drawn_equally_often(codes: list[int], times: int, seed: int) -> None:
    classes = len(set(codes) - {-1})
    positions = drawn(Sampler(np.array(codes), classes * times, scheme="class_even", seed=seed), 3)
    assert set(Counter(codes[p] for p in positions).values()) == {3 * times}


@settings(deadline=None, max_examples=50)
@given(labels_with_missing, st.integers(0, 9))
def test_a_class_is_drawn_without_replacement_pass_after_pass(codes: list[int], seed: int) -> None:
    classes = len(set(codes) - {-1})
    sequence = drawn(
        Sampler(np.array(codes), classes, scheme="class_even", seed=seed), 2 * max(Counter(codes).values())
    )
    for code in set(codes) - {-1}:
        size, of_class = codes.count(code), [p for p in sequence if codes[p] == code]
        for start in range(0, len(of_class) - size + 1, size):
            assert len(set(of_class[start : start + size])) == size


@settings(deadline=None, max_examples=50)
@given(labels_with_missing, st.integers(0, 9))
def test_without_class_even_every_labelled_sample_is_drawn_once_a_pass(codes: list[int], seed: int) -> None:
    labelled = [i for i, code in enumerate(codes) if code >= 0]
    sampler = Sampler(np.array(codes), len(labelled), scheme="natural", seed=seed)
    for step in range(3):
        assert sorted(sampler.positions(step).tolist()) == labelled


@settings(deadline=None, max_examples=50)
@given(labels_with_missing, st.integers(0, 9))
def test_over_sampling_brings_every_class_to_the_largest_and_loses_no_sample(codes: list[int], seed: int) -> None:
    sizes = Counter(code for code in codes if code >= 0)
    largest = max(sizes.values())
    (positions,) = Sampler(np.array(codes), largest * len(sizes), scheme="over", seed=seed)._pools
    assert Counter(codes[p] for p in positions) == dict.fromkeys(sizes, largest)
    times = Counter(positions.tolist())
    assert set(times) == {i for i, code in enumerate(codes) if code >= 0}
    assert all(times[p] - largest // sizes[codes[p]] in (0, 1) for p in times)


@settings(deadline=None, max_examples=50)
@given(labels_with_missing, st.integers(0, 9))
def test_under_sampling_brings_every_class_to_the_smallest_and_repeats_no_sample(codes: list[int], seed: int) -> None:
    sizes = Counter(code for code in codes if code >= 0)
    (positions,) = Sampler(np.array(codes), 4, scheme="under", seed=seed)._pools
    assert Counter(codes[p] for p in positions) == dict.fromkeys(sizes, min(sizes.values()))
    assert len(set(positions.tolist())) == len(positions)


def test_tasks_that_draw_together_take_turns_and_share_what_is_drawn() -> None:
    rng = np.random.default_rng(0)
    labels = {"shape": rng.integers(-1, 3, 200), "colour": rng.integers(-1, 2, 200)}
    sampler = TaskSampler(labels, 12, scheme="class_even", seed=0, together=True)
    alone = TaskSampler(labels, 12, scheme="class_even", seed=0).positions(2)
    for step, even, other in ((4, "shape", "colour"), (5, "colour", "shape")):
        drawn = sampler.positions(step)
        assert drawn[even].tolist() == alone[even].tolist()
        assert drawn[other].tolist() == [p for p in alone[even].tolist() if labels[other][p] >= 0]


def draw_number(number: int, codes: list[int], scheme: Scheme, seed: int) -> int:
    """One draw, from its definition."""

    def permutation(stream: int, index: int, length: int) -> list[int]:
        drawn: list[int] = np.random.default_rng([seed, stream, index]).permutation(length).tolist()
        return drawn

    classes = sorted(set(codes) - {-1})
    pools = [[i for i, code in enumerate(codes) if code == c] for c in classes]
    if scheme == "natural":
        pools = [[i for i, code in enumerate(codes) if code >= 0]]
    elif scheme != "class_even":
        size = (max if scheme == "over" else min)(map(len, pools))
        rng = np.random.default_rng([seed, len(pools), size])
        rests = [rng.permutation(pool)[: size % len(pool)].tolist() for pool in pools]
        pools = [
            sorted(p for pool, rest in zip(pools, rests, strict=True) for p in [*pool * (size // len(pool)), *rest])
        ]
    turn, place = divmod(number, len(pools))
    pool = permutation(0, turn, len(pools))[place]
    passed, place = divmod(turn, len(pools[pool]))
    return pools[pool][permutation(pool + 1, passed, len(pools[pool]))[place]]


@settings(deadline=None, max_examples=50)
@given(labels_with_missing, st.integers(1, 15), st.sampled_from(SCHEMES), st.integers(0, 9), st.integers(0, 30))
def test_a_mini_batch_is_its_draws_one_by_one(
    codes: list[int], batch: int, scheme: Scheme, seed: int, step: int
) -> None:
    sampler = Sampler(np.array(codes), batch, scheme=scheme, seed=seed)
    for later in (step, step + 1):
        numbers = range(later * batch, (later + 1) * batch)
        assert sampler.positions(later).tolist() == [draw_number(n, codes, scheme, seed) for n in numbers]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_step_is_the_same_whatever_was_asked_before(scheme: Scheme) -> None:
    labels = np.random.default_rng(0).integers(-1, 5, 300)
    after_all = Sampler(labels, 16, scheme=scheme, seed=1)
    drawn(after_all, 40)
    backwards = Sampler(labels, 16, scheme=scheme, seed=1)
    for step in (39, 3, 17):
        expected = after_all.positions(step).tolist()
        assert backwards.positions(step).tolist() == expected
        assert Sampler(labels, 16, scheme=scheme, seed=1).positions(step).tolist() == expected


def test_seeds_and_passes_differ() -> None:
    labels = np.zeros(50, np.int64)
    sampler = Sampler(labels, 50, scheme="class_even", seed=0)
    assert sampler.positions(0).tolist() != sampler.positions(1).tolist()
    assert sampler.positions(0).tolist() != Sampler(labels, 50, scheme="class_even", seed=1).positions(0).tolist()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_costs_give_the_classes_of_a_batch_equal_weight(codes: list[int]) -> None:
    weights = inverse_frequency_weights(np.array(codes))
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    for code in set(codes):
        of_class = weights[np.array(codes) == code]
        assert of_class.sum() == pytest.approx(1 / len(set(codes)), abs=1e-5)
        assert np.ptp(of_class) == 0


def test_costs_of_an_even_batch_are_equal() -> None:
    assert set(inverse_frequency_weights(np.array([0, 1, 2, 2, 1, 0])).tolist()) == {np.float32(1 / 6)}


def test_without_cost_every_draw_weighs_the_same() -> None:
    codes = np.array([0, 0, 0, 1])
    assert mean_weights(codes, cost=False).tolist() == [0.25] * 4
    assert mean_weights(codes, cost=True).tolist() == inverse_frequency_weights(codes).tolist()
