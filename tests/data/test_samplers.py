"""Mini-batches: class-even, of resampled data, shared by tasks; and costs that give their classes equal weight."""

import math
from collections import Counter
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.data.samplers import (
    BetweenSampler,
    DistinctSampler,
    Drawing,
    Sampler,
    Scheme,
    TaskSampler,
    at_most,
    class_shares,
    mean_weights,
    sampler_of,
)
from longtail.methods.base import Sampling, Setup
from longtail.methods.softmax import Params as SoftmaxParams
from longtail.world import World

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
DRAWINGS: tuple[Drawing, ...] = (*SCHEMES, 0.25)
IN_ROUNDS: tuple[Scheme, ...] = ("natural", "class_even", "over", "under")
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


@settings(deadline=None, max_examples=200)
@given(labels_with_missing, st.integers(1, 30), st.sampled_from(["natural", "class_even", "under"]), st.integers(0, 9))
def test_distinct_mini_batches_have_no_sample_twice_where_their_classes_are_large_enough(
    codes: list[int], batch: int, scheme: Drawing, seed: int
) -> None:
    labels = np.array(codes)
    plain, distinct = (sampler_of(labels, batch, scheme=scheme, seed=seed, distinct=apart) for apart in (False, True))
    assert isinstance(distinct, DistinctSampler)
    pools = {int(member): number for number, pool in enumerate(distinct._pools) for member in pool}
    sizes = np.array([len(pool) for pool in distinct._pools])
    sequence: dict[int, list[int]] = {number: [] for number in range(len(sizes))}
    for step in range(30):
        found = distinct.positions(step).tolist()
        of_pool = [pools[position] for position in found]
        assert of_pool == [pools[position] for position in plain.positions(step).tolist()]
        for number, size in enumerate(sizes):
            members = [position for position in found if pools[position] == number]
            assert len(set(members)) == len(members) or len(members) > size
            sequence[number] += members
    for number, size in enumerate(sizes.tolist()):
        for start in range(0, len(sequence[number]) - size + 1, size):
            assert len(set(sequence[number][start : start + size])) == size, "a pass has each once"
    # A step is the same whatever was asked before.
    again = sampler_of(labels, batch, scheme=scheme, seed=seed, distinct=True)
    assert again.positions(29).tolist() == found
    assert again.positions(3).tolist() == distinct.positions(3).tolist()


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
@given(labels_with_missing, st.integers(1, 15), st.sampled_from(IN_ROUNDS), st.integers(0, 9), st.integers(0, 30))
def test_a_mini_batch_is_its_draws_one_by_one(
    codes: list[int], batch: int, scheme: Scheme, seed: int, step: int
) -> None:
    sampler = Sampler(np.array(codes), batch, scheme=scheme, seed=seed)
    for later in (step, step + 1):
        numbers = range(later * batch, (later + 1) * batch)
        assert sampler.positions(later).tolist() == [draw_number(n, codes, scheme, seed) for n in numbers]


@pytest.mark.parametrize("scheme", DRAWINGS)
def test_a_step_is_the_same_whatever_was_asked_before(scheme: Drawing) -> None:
    labels = np.random.default_rng(0).integers(-1, 5, 300)

    def made() -> Sampler:
        return sampler_of(labels, 16, scheme=scheme, seed=1, draws=40 * 16)

    after_all, backwards = made(), made()
    drawn(after_all, 40)
    for step in (39, 3, 17):
        expected = after_all.positions(step).tolist()
        assert backwards.positions(step).tolist() == expected
        assert made().positions(step).tolist() == expected


several_classes = st.lists(st.integers(-1, 4), min_size=2, max_size=40).filter(lambda codes: len(set(codes) - {-1}) > 1)


def expected_draws(codes: list[int], strength: float, draws: int, whole: int | None = None) -> list[float]:
    """How many of the first draws each class should have had, draw by draw; `whole`: progressive over so many."""
    sizes = [codes.count(code) for code in sorted(set(codes) - {-1})]
    powers = [size ** (1 - strength) for size in sizes]
    had = [0.0] * len(sizes)
    for draw in range(draws):
        even = min(1.0, (draw + 0.5) / whole) if whole else 0.0  # the mean of a straight line over one draw
        for place, power in enumerate(powers):
            had[place] += (1 - even) * power / sum(powers) + even / len(sizes)
    return had


@settings(deadline=None, max_examples=50)
@given(several_classes, st.sampled_from([0.0, 0.3, 1.0, "square_root"]), st.integers(1, 9), st.integers(0, 9))
def test_between_natural_and_class_even_every_class_has_its_draws(
    codes: list[int], scheme: Drawing, batch: int, seed: int
) -> None:
    sampler = BetweenSampler(np.array(codes), batch, scheme=scheme, seed=seed)
    labelled = sum(code >= 0 for code in codes)
    sequence = drawn(sampler, -(-6 * labelled // batch))
    strength = 0.5 if scheme == "square_root" else float(scheme)
    for block in (1, 2, 3):
        had = Counter(codes[p] for p in sequence[: 2 * labelled * block])
        for found, wanted in zip(
            [had[code] for code in sorted(set(codes) - {-1})],
            expected_draws(codes, strength, 2 * labelled * block),
            strict=True,
        ):
            assert abs(found - wanted) <= 1 + 1e-6
    for code in set(codes) - {-1}:  # pass after pass: none a second time before all others were drawn
        times = Counter(p for p in sequence[: 6 * labelled] if codes[p] == code)
        assert (
            not times or max(times.values()) - min(times.get(p, 0) for p in range(len(codes)) if codes[p] == code) <= 2
        )


@settings(deadline=None, max_examples=30)
@given(several_classes, st.integers(1, 9), st.integers(1, 400), st.integers(0, 9))
def test_progressive_goes_from_natural_to_class_even_in_a_straight_line(
    codes: list[int], batch: int, whole: int, seed: int
) -> None:
    sampler = BetweenSampler(np.array(codes), batch, scheme="progressive", seed=seed, draws=whole)
    block = 2 * sum(code >= 0 for code in codes)
    sequence = drawn(sampler, -(-3 * block // batch))
    for blocks in (1, 2, 3):
        had = Counter(codes[p] for p in sequence[: block * blocks])
        wanted = expected_draws(codes, 0.0, block * blocks, whole)
        for place, code in enumerate(sorted(set(codes) - {-1})):
            assert abs(had[code] - wanted[place]) <= 1.5


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.sampled_from([1, 2, 3000]) | st.integers(1, 3000), min_size=1, max_size=4).filter(lambda n: len(n) > 1),
    st.sampled_from([0.0, 0.9, 1.0, "square_root", "progressive"]),
    st.integers(1, 10**6),
    st.integers(0, 9),
)
def test_of_classes_of_one_sample_and_of_thousands_each_has_its_draws(
    sizes: list[int], scheme: Drawing, whole: int, seed: int
) -> None:
    codes = np.random.default_rng(seed).permutation(np.repeat(np.arange(-1, len(sizes)), [5, *sizes]))
    block = 2 * sum(sizes)
    sampler = BetweenSampler(codes, block, scheme=scheme, seed=seed, draws=whole)
    had = np.zeros(len(sizes))
    for step in range(3):
        of_step = codes[sampler.positions(step)]
        assert of_step.min() >= 0
        had += np.bincount(of_step, minlength=len(sizes))
        assert np.abs(had - sampler.expected((step + 1) * block)).max() <= 1 + 1e-6


@given(
    st.lists(st.sampled_from([0, 1, 10**9]) | st.integers(0, 10**9), min_size=1, max_size=6).filter(any),
    st.floats(0, 1),
)
def test_shares_are_those_of_the_power_for_any_counts(counts: list[int], strength: float) -> None:
    powers = [n ** (1 - strength) if n else 0.0 for n in counts]
    assert class_shares(np.array(counts), strength) == pytest.approx([p / math.fsum(powers) for p in powers])


@pytest.mark.parametrize("passes", [0.5, 1, 3])
def test_progressive_follows_its_line_in_a_short_training_too(passes: float) -> None:
    codes = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [900, 90, 10]))
    whole = int(passes * len(codes))
    sampler = BetweenSampler(codes, whole // 10, scheme="progressive", seed=0, draws=whole)
    for step in range(10):
        had = np.bincount(codes[sampler.positions(step)], minlength=3) / (whole // 10)
        even = (step + 0.5) / 10
        assert np.allclose(had, (1 - even) * np.array([0.9, 0.09, 0.01]) + even / 3, atol=0.05)


def test_square_root_is_half_way_and_ends_are_natural_and_even() -> None:
    counts = np.array([0, 1, 4, 9, 10**9])
    assert class_shares(counts, 0.0).tolist() == (counts / counts.sum()).tolist()
    assert class_shares(counts, 1.0).tolist() == [0, 0.25, 0.25, 0.25, 0.25]
    assert class_shares(counts[:4], 0.5).tolist() == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6])


@settings(deadline=None, max_examples=50)
@given(labels_with_missing, st.integers(1, 12) | st.just(10**9), st.integers(0, 9))
def test_a_more_balanced_subset_has_so_many_of_a_class_at_most(codes: list[int], count: int, seed: int) -> None:
    kept = at_most(np.array(codes), count, seed)
    sizes = Counter(code for code in codes if code >= 0)
    assert Counter(kept[kept >= 0].tolist()) == {code: min(size, count) for code, size in sizes.items()}
    assert all(found in (-1, code) for found, code in zip(kept.tolist(), codes, strict=True))
    assert at_most(np.array(codes), count, seed).tolist() == kept.tolist()


@pytest.mark.parametrize("together", [False, True])
def test_deferred_steps_draw_naturally_and_the_others_begin_then(together: bool) -> None:
    labels = {"shape": np.random.default_rng(0).integers(-1, 4, 200), "colour": np.arange(200) % 7}
    late = TaskSampler(labels, 12, scheme="class_even", seed=3, together=together, steps=20, deferred=15)
    natural = TaskSampler(labels, 12, scheme="natural", seed=3, together=together)
    even = TaskSampler(labels, 12, scheme="class_even", seed=3, together=together)
    for step in range(20):
        expected = (natural.positions(step) if step < 15 else even.positions(step - 15)).items()
        assert {task: p.tolist() for task, p in late.positions(step).items()} == {t: p.tolist() for t, p in expected}


@pytest.mark.parametrize("deferred", [0.0, 0.5])
@pytest.mark.parametrize("scheme", DRAWINGS)
def test_two_processes_share_what_one_draws(scheme: Drawing, deferred: float) -> None:
    """Coverage and balance over the training are one process's: the two halves are its mini-batches."""
    labels = {"class": np.repeat([0, 1, 2, 3], [60, 30, 9, 1])}
    steps, sampling = 40, {"sampling": scheme, "cost": 0.5, "deferred": deferred}
    one = SoftmaxParams().build(Setup(labels, Sampling(batch=10, **sampling), 0))
    two = SoftmaxParams().build(Setup(labels, Sampling(batch=5, **sampling), 0, processes=2))
    for method in (one, two):
        method.plan(steps)
    for step in range(steps):
        whole = one.batch(step)
        halves = [two.batch(step, World(rank, 2, rank)) for rank in (0, 1)]
        of_all, weights = [], []
        for part in halves:
            of_all += part.samples[part.rows["class"].numpy()].tolist()
            weights += part.targets["class"]["weights"].tolist()
        assert of_all == whole.samples[whole.rows["class"].numpy()].tolist()
        assert weights == whole.targets["class"]["weights"].tolist()


def test_seeds_and_passes_differ() -> None:
    labels = np.zeros(50, np.int64)
    sampler = Sampler(labels, 50, scheme="class_even", seed=0)
    assert sampler.positions(0).tolist() != sampler.positions(1).tolist()
    assert sampler.positions(0).tolist() != Sampler(labels, 50, scheme="class_even", seed=1).positions(0).tolist()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_costs_give_the_classes_of_a_batch_equal_weight(codes: list[int]) -> None:
    weights = mean_weights(np.array(codes), cost=True)
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    for code in set(codes):
        of_class = weights[np.array(codes) == code]
        assert of_class.sum() == pytest.approx(1 / len(set(codes)), abs=1e-5)
        assert np.ptp(of_class) == 0


@given(st.lists(st.integers(0, 5), max_size=60), st.floats(0, 1))
def test_costs_of_a_strength_are_a_power_of_the_frequency(codes: list[int], cost: float) -> None:
    unscaled = [codes.count(code) ** -cost for code in codes]
    expected = [weight / sum(unscaled) for weight in unscaled]
    assert mean_weights(np.array(codes, np.int64), cost=cost).tolist() == pytest.approx(expected, rel=1e-5)


def test_costs_of_an_even_batch_are_equal() -> None:
    assert set(mean_weights(np.array([0, 1, 2, 2, 1, 0]), cost=True).tolist()) == {np.float32(1 / 6)}


def test_without_cost_every_draw_weighs_the_same() -> None:
    assert mean_weights(np.array([0, 0, 0, 1]), cost=False).tolist() == [0.25] * 4
