"""Class rectification against the paper's equations in plain loops: batch profiling, hard mining, the three losses."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from longtail.methods.class_rectification import comparisons as class_rectification
from longtail.methods.class_rectification import hard_mining
from longtail.methods.class_rectification.comparisons import (
    Pairs,
    absolute,
    class_margins,
    distribution,
    mined_pairs,
    relative,
    score_pairs,
)
from longtail.methods.class_rectification.hard_mining import (
    Mined,
    find_anchors,
    mine_by_class,
    mine_by_instance,
    minority_classes,
)

BINS = 7
FLOATS = (torch.float32, torch.float64)


@dataclass
class Batch:
    """A mini-batch of J attributes: labels (J, B), −1 where missing; features (J, B, d); scores (J, B, Z)."""

    labels: Tensor
    features: Tensor
    scores: Tensor
    class_counts: list[int]


def random_batch(seed: int, dtype: torch.dtype = torch.float64, *, tied: bool = False) -> Batch:
    """Skewed classes, one class alone, no label at all, missing labels; `tied`: few values, so that many are equal."""
    rng = np.random.default_rng(seed)
    tasks, size, dimensions = rng.integers(1, 4), rng.integers(2, 14), rng.integers(1, 4)
    class_counts = rng.integers(1, 5, tasks).tolist()
    labels = np.stack([rng.choice(n, size, p=rng.dirichlet(np.full(n, 0.7))) for n in class_counts])
    labels[rng.random(labels.shape) < rng.choice([0, 0.3, 1], p=[0.5, 0.4, 0.1])] = -1
    features = rng.integers(0, 3, (tasks, size, dimensions)) if tied else rng.normal(size=(tasks, size, dimensions))
    scores = np.zeros((tasks, size, max(class_counts)))
    for task, count in enumerate(class_counts):
        raw = rng.integers(1, 4, (size, count)) if tied else rng.random((size, count))
        scores[task, :, :count] = raw / raw.sum(1, keepdims=True)
    return Batch(
        torch.tensor(labels), torch.tensor(features, dtype=dtype), torch.tensor(scores, dtype=dtype), class_counts
    )


def slow_minorities(labels: list[int], class_count: int) -> list[int]:
    """Eq. 3 as it reads."""
    known = [code for code in labels if code >= 0]
    chosen: list[int] = []
    for code in sorted(range(class_count), key=lambda c: (known.count(c), c)):
        if 2 * sum(known.count(c) for c in [*chosen, code]) >= len(known):
            break
        chosen.append(code)
    return chosen


def distance(a: list[float], b: list[float]) -> float:
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


@dataclass
class Hard:
    """An anchor with its hard samples, the hardest first."""

    task: int
    row: int
    code: int
    positives: list[int]
    negatives: list[int]


# At which level is mined, and what of: the misclassified positives of an instance, or all.
LEVELS = ("class", "instance", "instance, all positives")


def slow_mining(batch: Batch, k: int, level: str) -> list[Hard]:
    """Eq. 4 to 7 in plain loops."""
    found = []
    for task, labels in enumerate(batch.labels.tolist()):
        scores, points = batch.scores[task].tolist(), batch.features[task].tolist()
        for code in slow_minorities(labels, batch.scores.shape[2]):
            of_class = [i for i, label in enumerate(labels) if label == code]
            others = [i for i, label in enumerate(labels) if label not in (code, -1)]
            for row in of_class if len(of_class) > 1 else []:
                if level == "class":
                    hard = sorted(of_class, key=lambda i: scores[i][code])[:k]
                    near = sorted(others, key=lambda i: -scores[i][code])[:k]
                    hard = [i for i in hard if i != row]
                else:
                    every = level == "instance, all positives"
                    open_to = [i for i in of_class if i != row and (every or int(np.argmax(scores[i])) != code)]
                    hard = sorted(open_to, key=lambda i: -distance(points[row], points[i]))[:k]
                    near = sorted(others, key=lambda i: distance(points[row], points[i]))[:k]
                found.append(Hard(task, row, code, hard, near))
    return sorted(found, key=lambda hard: (hard.task, hard.row))


def slow_distances(batch: Batch, hard: list[Hard]) -> list[tuple[int, list[float], list[float]]]:
    """Of each anchor: |Z_j|, the distances to its positives, those to its negatives."""
    found = []
    for one in hard:
        points = batch.features[one.task].tolist()
        positives, negatives = (
            [distance(points[one.row], points[i]) for i in of] for of in (one.positives, one.negatives)
        )
        found.append((batch.class_counts[one.task], positives, negatives))
    return found


def slow_score_distances(batch: Batch, hard: list[Hard]) -> list[tuple[int, list[float], list[float]]]:
    """The same of the scores: Eq. 10 of the version of 2018, the second with its sign."""
    found = []
    for one in hard:
        of_class = [scores[one.code] for scores in batch.scores[one.task].tolist()]
        own = of_class[one.row]
        positives, negatives = (
            [abs(own - of_class[i]) for i in one.positives],
            [own - of_class[i] for i in one.negatives],
        )
        found.append((batch.class_counts[one.task], positives, negatives))
    return found


def slow_relative(found: list[tuple[int, list[float], list[float]]]) -> float:
    hinges = [max(0.0, 2 * math.pi / z + p - n) for z, ps, ns in found for p in ps for n in ns]
    return sum(hinges) / len(hinges) if hinges else 0.0


def slow_absolute(found: list[tuple[int, list[float], list[float]]], margin: float) -> float:
    positives = [p**2 for _, ps, _ in found for p in ps]
    negatives = [max(0.0, margin - n) ** 2 for *_, ns in found for n in ns]
    return 0.5 * sum(sum(values) / len(values) for values in (positives, negatives) if values)


def slow_distribution(found: list[tuple[int, list[float], list[float]]], bins: int) -> float:
    positives, negatives = [p for _, ps, _ in found for p in ps], [n for *_, ns in found for n in ns]
    if not positives or not negatives:
        return 0.0
    least = min([0.0, *positives, *negatives])
    step = (max(positives + negatives) - least) / (bins - 1)

    def histogram(values: list[float]) -> list[float]:
        if not step:
            return [1.0] + [0.0] * (bins - 1)
        nodes = [least + t * step for t in range(bins)]
        return [sum(max(0.0, 1 - abs(value - node) / step) for value in values) / len(values) for node in nodes]

    plus, minus = histogram(positives), histogram(negatives)
    return sum(plus[t] * sum(minus[: t + 1]) for t in range(bins))


def slow_losses(found: list[tuple[int, list[float], list[float]]]) -> dict[str, float]:
    return {
        "relative": slow_relative(found),
        "absolute": slow_absolute(found, 1.5),
        "distribution": slow_distribution(found, BINS),
    }


def mine(batch: Batch, k: int, level: str) -> Mined:
    if level == "class":
        return mine_by_class(batch.labels, batch.scores, k)
    return mine_by_instance(batch.labels, batch.scores, batch.features, k, misclassified=level == "instance")


def losses(batch: Batch, mined: Mined, of: str = "features") -> dict[str, Tensor]:
    pairs = score_pairs(batch.scores, mined) if of == "scores" else mined_pairs(batch.features, mined)
    margins = class_margins(torch.tensor(batch.class_counts, dtype=batch.features.dtype))[mined.tasks]
    return {
        "relative": relative(pairs, margins),
        "absolute": absolute(pairs, 1.5),
        "distribution": distribution(pairs, BINS),
    }


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**6), st.booleans())
def test_minorities_agree_with_eq_3(seed: int, tied: bool) -> None:
    batch = random_batch(seed, tied=tied)
    found = minority_classes(batch.labels, batch.scores.shape[2])
    for labels, chosen in zip(batch.labels.tolist(), found, strict=True):
        assert chosen.nonzero().flatten().tolist() == sorted(slow_minorities(labels, batch.scores.shape[2]))


def test_minorities_take_empty_classes_first_and_of_equals_the_lower_code() -> None:
    labels = torch.tensor([[0, 0, 1, 1, 3, 3], [0, 1, 2, 2, 2, -1], [0, 0, 0, 1, 1, 1]])
    found = minority_classes(labels, 5)
    # Two of six are less than half, four are not; the empty classes 2 and 4 come before all.
    assert found[0].tolist() == [True, False, True, False, True]
    # The missing label does not count: two of five are less than half.
    assert found[1].tolist() == [True, True, False, True, True]
    # Half the samples is not less than half.
    assert found[2].tolist() == [False, False, True, True, True]


def test_a_sample_alone_in_its_class_is_no_anchor() -> None:
    anchors = find_anchors(torch.tensor([[0, 1, 1, 2, 2, 2, 2]]), 3)
    assert (anchors.rows.tolist(), anchors.classes.tolist()) == ([1, 2], [1, 1])


def mined_and_oracle(batch: Batch, k: int, level: str) -> Iterator[tuple[Hard, list[int], list[int]]]:
    """Each anchor, of which both have the same: by the oracle, and the positives and negatives that were mined."""
    mined, expected = mine(batch, k, level), slow_mining(batch, k, level)
    assert list(zip(mined.tasks.tolist(), mined.rows.tolist(), strict=True)) == [(h.task, h.row) for h in expected]
    for place, hard in enumerate(expected):
        positives = mined.positives[place][mined.positive[place]].tolist()
        yield hard, positives, mined.negatives[place][mined.negative[place]].tolist()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("tied", [False, True])
@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**6), st.integers(1, 16))
def test_mining_of_a_class_agrees_with_eq_4_and_5(dtype: torch.dtype, tied: bool, seed: int, k: int) -> None:
    for hard, positives, negatives in mined_and_oracle(random_batch(seed, dtype, tied=tied), k, "class"):
        assert positives == sorted(hard.positives)
        assert negatives == sorted(hard.negatives)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("level", LEVELS[1:])
@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6), st.integers(1, 16))
def test_mining_of_an_instance_agrees_with_eq_6_and_7(
    level: str, tied: bool, dtype: torch.dtype, seed: int, k: int
) -> None:
    batch = random_batch(seed, dtype, tied=tied)
    tolerance = {"rel": 1e-3, "abs": 1e-3} if dtype == torch.float32 else {"rel": 1e-9, "abs": 1e-7}
    for hard, positives, negatives in mined_and_oracle(batch, k, level):
        points = batch.features[hard.task].tolist()
        for rows, those in ((positives, hard.positives), (negatives, hard.negatives)):
            # Of distances that differ by less than they are rounded any may be taken.
            found, right = (sorted(distance(points[hard.row], points[i]) for i in of) for of in (rows, those))
            assert found == pytest.approx(right, **tolerance)
            if dtype == torch.float64 and not tied:
                assert rows == sorted(those)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("level", LEVELS)
@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6), st.integers(1, 16))
def test_losses_agree_with_eq_9_to_14(level: str, dtype: torch.dtype, seed: int, k: int) -> None:
    batch = random_batch(seed, dtype)
    found = losses(batch, mine(batch, k, level))
    slow = slow_distances(batch, slow_mining(batch, k, level))
    expected = slow_losses(slow)
    assert all(value.dtype == dtype for value in found.values())
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("level", LEVELS)
@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6), st.integers(1, 16))
def test_losses_of_ties_agree_too(level: str, seed: int, k: int) -> None:
    batch = random_batch(seed, tied=True)
    found = losses(batch, mine(batch, k, level))
    slow = slow_distances(batch, slow_mining(batch, k, level))
    assert {name: float(value) for name, value in found.items()} == pytest.approx(slow_losses(slow))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("level", ["class", "instance"])
@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6), st.integers(1, 16))
def test_losses_of_scores_agree_too(level: str, tied: bool, seed: int, k: int) -> None:
    batch = random_batch(seed, tied=tied and level == "class")
    found = losses(batch, mine(batch, k, level), "scores")
    slow = slow_score_distances(batch, slow_mining(batch, k, level))
    assert {name: float(value) for name, value in found.items()} == pytest.approx(slow_losses(slow), abs=1e-9)


def pairs_of(points: Tensor, mined: Mined, of: str) -> Pairs:
    """The pairs that are compared: of features, of these at length 1, or of scores with these logits."""
    if of == "scores":
        return score_pairs(points.softmax(2), mined)
    return mined_pairs(torch.nn.functional.normalize(points, dim=2) if of == "normalised" else points, mined)


@pytest.mark.parametrize("of", ["features", "normalised", "scores"])
@pytest.mark.parametrize("loss", ["relative", "absolute", "distribution"])
@pytest.mark.parametrize("level", LEVELS)
def test_gradients_are_those_of_finite_differences(level: str, loss: str, of: str) -> None:
    checked = 0
    for seed in range(40):
        batch = random_batch(seed)
        mined = mine(batch, 3, level)
        points = batch.scores if of == "scores" else batch.features
        pairs = pairs_of(points, mined, of)
        if not pairs.positive.any() or not pairs.negative.any():
            continue
        # Two pairs farther apart than all others hold the histogram's range, which is not differentiated.
        ends = torch.tensor([[50.0], [-50.0]], dtype=torch.float64).expand(2, pairs.to_negatives.shape[1])

        def value(points: Tensor, mined: Mined = mined, ends: Tensor = ends) -> Tensor:
            found = pairs_of(points, mined, of)
            match loss:
                case "relative":
                    return relative(found, torch.ones(len(mined.rows), dtype=torch.float64))
                case "absolute":
                    return absolute(found, 1.5)
            yes = torch.ones_like(ends, dtype=torch.bool)
            both = zip(found, (ends, yes, ends, ~yes), strict=True)
            return distribution(Pairs(*(torch.cat(parts) for parts in both)), 4000)

        assert torch.autograd.gradcheck(value, points.requires_grad_(), eps=1e-7, atol=1e-5)
        checked += 1
    assert checked >= 5


def test_equal_points_have_a_gradient_of_zero_and_no_nan() -> None:
    features = torch.ones(1, 6, 2, requires_grad=True)
    labels = torch.tensor([[0, 0, 1, 1, 1, 1]])
    scores = torch.tensor([[[0.1, 0.9]] * 6])
    batch = Batch(labels, features, scores, [2])
    for level in ("class", "instance"):
        for value in losses(batch, mine(batch, 2, level)).values():
            (gradient,) = torch.autograd.grad(value, features, retain_graph=True)
            assert torch.equal(gradient, torch.zeros_like(features))
    # All distances are in the first bin: any negative pair is as near as any positive one.
    assert losses(batch, mine(batch, 2, "class"))["distribution"].item() == 1


@pytest.mark.parametrize("level", ["class", "instance"])
def test_without_minorities_there_is_nothing_to_rectify(level: str) -> None:
    features = torch.randn(2, 4, 3, requires_grad=True)
    batch = Batch(torch.tensor([[0, 0, 1, 1], [-1, -1, -1, -1]]), features, torch.full((2, 4, 2), 0.5), [2, 2])
    for value in losses(batch, mine(batch, 2, level)).values():
        assert float(value) == 0
        (gradient,) = torch.autograd.grad(value, features, retain_graph=True)
        assert not gradient.any()


def test_where_no_positive_is_misclassified_only_negatives_are_pushed() -> None:
    labels = torch.tensor([[0, 0, 1, 1, 1]])
    right = torch.nn.functional.one_hot(labels, 2).double()
    batch = Batch(labels, torch.randn(1, 5, 3, dtype=torch.float64), right, [2])
    mined = mine(batch, 2, "instance")
    assert not mined.positive.any()
    assert mined.negative.all()
    found = losses(batch, mined)
    assert float(found["relative"]) == float(found["distribution"]) == 0
    assert float(found["absolute"]) == pytest.approx(
        slow_absolute(slow_distances(batch, slow_mining(batch, 2, "instance")), 1.5)
    )


@pytest.mark.parametrize("level", ["class", "instance"])
@pytest.mark.parametrize("seed", [2, 4, 5, 6, 9, 10])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, seed: int, level: str) -> None:
    batch = random_batch(seed)
    batch.features.requires_grad_()

    def values_and_gradients() -> dict[str, tuple[float, list[float]]]:
        mined = mine(batch, 3, level)
        assert len(mined.rows) > 1
        return {
            name: (value.item(), torch.autograd.grad(value, batch.features, retain_graph=True)[0].flatten().tolist())
            for name, value in losses(batch, mined).items()
        }

    whole = values_and_gradients()
    monkeypatch.setattr(hard_mining, "BLOCK", 1)
    monkeypatch.setattr(class_rectification, "BLOCK", 1)
    for name, (value, gradient) in values_and_gradients().items():
        assert value == pytest.approx(whole[name][0])
        assert gradient == pytest.approx(whole[name][1])


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that is made."""

    found = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tensors = [one for one in (made if isinstance(made, tuple | list) else [made]) if isinstance(one, Tensor)]
        self.found = max([self.found, *(one.numel() for one in tensors)])
        return made


@pytest.mark.parametrize("level", ["class", "instance"])
def test_no_tensor_has_a_number_for_every_triplet_of_the_mini_batch(level: str) -> None:
    J, B, k = 2, 200, 3
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand((J, B), generator=generator) < 0.3).long()
    features, scores = (torch.randn((J, B, d), generator=generator) for d in (8, 2))
    with Largest() as largest:
        if level == "class":
            mined = mine_by_class(labels, scores.softmax(2), k)
        else:
            mined = mine_by_instance(labels, scores.softmax(2), features, k)
        for pairs in (mined_pairs(features, mined), score_pairs(scores, mined)):
            relative(pairs, class_margins(torch.tensor([2, 2]))[mined.tasks])
    assert len(mined.rows) > B / 4
    assert 0 < largest.found <= J * B**2


@pytest.mark.parametrize("autocast", [False, True])
def test_mining_is_in_full_precision(autocast: bool) -> None:
    noise = torch.randn(1, 64, 32, generator=torch.Generator().manual_seed(0))
    features = noise + 500  # what all have in common hides how they differ
    batch = Batch(torch.arange(64)[None] % 5 // 4, features, torch.rand(1, 64, 2).softmax(2), [2])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = mine(batch, 1, "instance")
    points = features[0].double()
    nearest = [
        int((points - points[row]).square().sum(1).where(batch.labels[0] == 0, 1e9).argmin()) for row in found.rows
    ]
    assert found.negatives[:, 0].tolist() == nearest
