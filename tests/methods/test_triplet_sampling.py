"""Positives of the region and negatives that violate the margin, against plain loops, over ties and tiny classes."""

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from longtail.methods.base import Sampling, Setup
from longtail.methods.placed import Pool
from longtail.methods.sampled_triplet import Params, SampledTriplet, sampling
from longtail.methods.sampled_triplet.sampling import draw_negatives, draw_positives, region_size
from longtail.network.network import Network

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
REGIONS = [0.01, 0.2, 0.4, 0.6, 0.8, 1.0]


def squared(points: Floats, one: int, other: int) -> float:
    return sum((float(a) - float(b)) ** 2 for a, b in zip(points[one], points[other], strict=True))


def drawn(seed: int) -> tuple[Floats, Ints, Ints]:
    """Points on a coarse grid, so that many are equally near and float32 is exact; classes of one sample, and of more;
    missing labels, of which some are marked.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(4, 40))
    points = (rng.integers(0, rng.integers(1, 6), (count, 2)) / 4).astype(np.float32)
    codes = rng.integers(-1, rng.integers(1, 6), count)
    codes[:2] = [0, 1]
    return points, codes, np.where(rng.random(count) < 0.5, 0, -1)


def in_pool(seed: int) -> tuple[Floats, Pool, Ints]:
    points, codes, marked = drawn(seed)
    pool = Pool(codes, marked)
    anchors = np.random.default_rng([seed, 1]).choice(pool.labelled, 10)
    return points[pool.positions], pool, anchors


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**6), st.sampled_from(REGIONS), st.sampled_from([1, 20, 2**21]))
def test_every_positive_is_of_the_class_and_within_the_region(seed: int, region: float, block: int) -> None:
    """So that fewer others of the class than are in the region are nearer, however many are equally near."""
    points, pool, anchors = in_pool(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "BLOCK", block)
        found = draw_positives(points, pool, anchors, region, np.random.default_rng(seed))
    for anchor, positive in zip(anchors.tolist(), found.tolist(), strict=True):
        others = [row for row in range(len(points)) if pool.codes[row] == pool.codes[anchor] and row != anchor]
        assert (positive in others) if others else positive == -1
        nearer = [row for row in others if squared(points, anchor, row) < squared(points, anchor, positive)]
        assert not others or len(nearer) < math.ceil(region * len(others))


@settings(deadline=None, max_examples=200)
@given(
    st.integers(0, 10**6), st.sampled_from([0.0625, 0.25, 4.0, np.inf]), st.sampled_from([1, 3, 2048]), st.booleans()
)
def test_every_negative_is_of_another_class_and_violates_the_margin(
    seed: int, bound: float, candidates: int, of_people: bool
) -> None:
    """And where there is none, there is none."""
    points, pool, anchors = in_pool(seed)
    bounds = np.where(np.arange(10) % 5 == 4, -np.inf, bound).astype(np.float32)
    among = pool.marked if of_people else pool.labelled
    assume(len(among) > 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "CANDIDATES", candidates)
        patch.setattr(sampling, "BLOCK", 20 * candidates)
        found = draw_negatives(points, pool, among, anchors, bounds, np.random.default_rng(seed))
    for anchor, negative, of_anchor in zip(anchors.tolist(), found.tolist(), bounds.tolist(), strict=True):
        allowed = [row for row in among.tolist() if pool.codes[row] != pool.codes[anchor]]
        violating = [row for row in allowed if squared(points, anchor, row) < of_anchor]
        assert (negative in violating) if violating else negative == -1


def even(counts: Counter[int], among: set[int]) -> bool:
    """Within five standard deviations of a binomial distribution."""
    total, share = sum(counts.values()), 1 / len(among)
    spread = 5 * math.sqrt(total * share * (1 - share))
    return set(counts) == among and all(abs(count - total * share) < spread for count in counts.values())


@pytest.mark.parametrize("candidates", [3, 2048])
def test_of_violating_negatives_each_is_as_likely_as_the_hardest(
    monkeypatch: pytest.MonkeyPatch, candidates: int
) -> None:
    monkeypatch.setattr(sampling, "CANDIDATES", candidates)
    points = np.linspace(0, 1, 21, dtype=np.float32)[:, None]
    pool = Pool(np.repeat([0, 1], [1, 20]), None)
    rng = np.random.default_rng(0)
    bound = np.array([0.5**2 + 1e-4], np.float32)
    drawn = Counter(int(draw_negatives(points, pool, pool.labelled, np.array([0]), bound, rng)[0]) for _ in range(3000))
    assert even(drawn, set(range(1, 11)))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("region", "nearest"), [(0.3, 3), (1.0, 10)])
def test_of_the_region_each_is_as_likely_as_the_nearest(region: float, nearest: int, ties: bool) -> None:
    points = (np.zeros(11) if ties else np.linspace(0, 1, 11)).astype(np.float32)[:, None]
    pool, rng = Pool(np.zeros(11, np.int64), None), np.random.default_rng(0)
    drawn = Counter(int(draw_positives(points, pool, np.array([0]), region, rng)[0]) for _ in range(3000))
    assert even(drawn, set(range(1, 11)) if ties else set(range(1, nearest + 1)))


def test_a_region_is_rounded_up_and_not_by_what_float_makes_of_it() -> None:
    assert region_size(10, 1e-11) == 1
    assert [region_size(others, 0.6) for others in (1, 2, 4, 5, 10)] == [1, 2, 3, 3, 6]
    assert [region_size(others, 0.7) for others in (10, 100)] == [7, 70]  # 0.7 · 10 is 7.000000000000001 elsewhere
    assert region_size(10_000, 1.0) == 10_000


def placed(
    seed: int, make: Callable[[Setup], SampledTriplet], **sampling: object
) -> tuple[SampledTriplet, Floats, Ints]:
    """A method that knows where the samples of one task lie, where, and their classes."""
    points, codes, marked = drawn(seed)
    how = {"batch": 8, **sampling}
    method = make(Setup({"label": codes}, Sampling.model_validate(how), seed, negatives={"label": marked}))
    method.place({"label": points[method.placed]}, Network.__new__(Network), step=0)
    return method, points, codes


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6), st.sampled_from(REGIONS), st.sampled_from([0.1, 0.5]), st.integers(0, 5))
def test_a_step_has_violating_triplets_alone_and_leaves_no_anchor_out_that_has_one(
    seed: int, region: float, margin: float, step: int
) -> None:
    _, labels, negatives = drawn(seed)
    sizes = np.unique(labels[labels >= 0], return_counts=True)[1]
    assume(sizes.max() > 1 and (len(sizes) > 1 or (negatives >= 0).any()))  # others are refused
    method, points, codes = placed(seed, Params(region=region, margin=margin).build)
    selected = method.select(step)["label"]
    marked = np.flatnonzero(method.pools["label"].codes < 0)
    assert selected.positions.shape == (8, 4 if len(marked) else 3)
    weights = selected.targets["triplet_weights"]
    assert weights.sum() == pytest.approx(1 if (weights > 0).any() else 0)
    assert (codes[selected.positions[:, 0]] == selected.targets["codes"]).all()
    for (anchor, positive, *negatives), of_row in zip(selected.positions.tolist(), weights, strict=True):
        own = [row for row in np.flatnonzero(codes == codes[anchor]).tolist() if row != anchor]
        assert (positive in own) if own else positive == anchor
        bound = squared(points, anchor, positive) + margin
        for place, (negative, weight) in enumerate(zip(negatives, of_row, strict=True)):
            among = method.pools["label"].positions[marked] if place else np.flatnonzero(codes >= 0)
            violating = [
                row for row in among.tolist() if codes[row] != codes[anchor] and squared(points, anchor, row) < bound
            ]
            assert (weight > 0) == (own != [] and violating != [])
            assert (negative in violating) if weight else negative == anchor


@pytest.mark.parametrize("scheme", ["natural", "class_even"])
def test_what_is_drawn_by_class_stays_so_where_anchors_are_replaced(scheme: str) -> None:
    """One sample of a class violates, and is the anchor wherever that class is drawn often enough to find it."""
    points = np.array([[0], [0.1], [5], [5.1], [5.2], [0.3], [9], [9.1]], np.float32)
    codes = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    setup = Setup({"label": codes}, Sampling.model_validate({"batch": 16, "sampling": scheme}), 0)
    method = Params(margin=0.2, region=0.25).build(setup)
    method.place({"label": points}, Network.__new__(Network), step=0)
    plain = method.sampler.positions(0)["label"]
    selected = method.select(0)["label"]
    assert selected.targets["codes"].tolist() == codes[plain].tolist()
    kept = selected.positions[selected.targets["triplet_weights"][:, 0] > 0]
    assert set(map(tuple, kept[:, [0, 2]].tolist())) <= {(0, 5), (1, 5), (5, 0), (5, 1), (5, 2), (5, 3), (5, 4)}
    assert len(kept) > (np.isin(plain, [0, 1, 5])).sum(), "others have taken the place of some that have none"


def test_people_s_negatives_are_as_many_as_hard_ones_of_other_classes_and_have_no_label() -> None:
    rng = np.random.default_rng(0)
    codes = np.where(np.arange(60) < 40, np.arange(60) % 2, -1)
    marked = np.where(np.arange(60) < 55, np.arange(60) % 2, -1)  # of samples with a label too, which counts more
    method = Params(margin=0.5).build(Setup({"label": codes}, Sampling(batch=16), 0, negatives={"label": marked}))
    points = rng.normal(size=(60, 4)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert method.placed.tolist() == list(range(55))
    method.place({"label": points[:55]}, Network.__new__(Network), step=0)
    seen: set[int] = set()
    for step in range(40):
        selected = method.select(step)["label"]
        weights = selected.targets["triplet_weights"]
        both = (weights > 0).sum(0)
        assert both[0] == pytest.approx(both[1], abs=3)
        assert (codes[selected.positions[:, :3]] >= 0).all()
        people_s = selected.positions[weights[:, 1] > 0, 3]
        assert ((people_s >= 40) & (people_s < 55)).all()
        seen |= set(people_s.tolist())
        of_class, of_weight = method.classifier_targets("label", method.select(step))
        assert set(of_class.tolist()) == {0, 1}
        assert of_weight.sum() == pytest.approx(1)
    assert seen == set(range(40, 55))
    assert method.trained_prior({"label": 2}, 100)["label"].tolist() == [0.5, 0.5]


def test_tasks_have_triplets_of_their_own_and_an_image_is_there_once() -> None:
    rng = np.random.default_rng(0)
    labels = {"one": rng.integers(-1, 3, 60), "two": rng.integers(-1, 2, 60)}
    method = Params().build(Setup(labels, Sampling(batch=12), 0))
    points = {task: rng.normal(size=(len(method.placed), 3)).astype(np.float32) for task in labels}
    method.place(points, Network.__new__(Network), step=0)
    batch, selected = method.batch(0), method.select(0)
    assert len(set(batch.samples.tolist())) == len(batch.samples)
    for task, codes in labels.items():
        rows = np.searchsorted(method.placed, method.pools[task].positions)
        assert np.array_equal(method.points(task), points[task][rows])
        assert (codes[selected[task].positions] >= 0).all()
        assert (batch.samples[batch.rows[task].numpy()] == selected[task].positions).all()
        assert (codes[selected[task].positions[:, 0]] != codes[selected[task].positions[:, 2]]).mean() > 0.5
