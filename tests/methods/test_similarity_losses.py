"""The losses of auxiliary feature clustering, against the papers' equations in plain loops."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from longtail.methods import semantic
from longtail.methods.semantic import label_agreement, semantic_similarity_loss, valid_triplets
from longtail.methods.similarity import (
    colour_similarity_loss,
    pairwise_distances,
    self_similarity_loss,
)

Codes = list[list[int]]


def on_sphere(seed: int, count: int, length: int = 3) -> Tensor:
    points = np.random.default_rng(seed).normal(size=(count, length))
    return torch.nn.functional.normalize(torch.tensor(points, dtype=torch.float64), dim=1)


def slow_margin(codes: Codes, backgrounds: list[int], i: int, p: int, n: int) -> float:
    """SilkNet, Eq. 6: Y(i, p) − (Y(i, n) + u(i, n)); two samples of the background cannot be compared."""

    def shares(a: int, b: int) -> tuple[float, float]:
        same = unknown = 0
        for task, background in zip(codes, backgrounds, strict=True):
            if task[a] < 0 or task[b] < 0 or (task[a] == task[b] == background):
                unknown += 1
            elif task[a] == task[b]:
                same += 1
        return same / len(codes), unknown / len(codes)

    return shares(i, p)[0] - sum(shares(i, n))


def slow_triplets(codes: Codes, backgrounds: list[int]) -> list[tuple[int, int, int]]:
    every = itertools.permutations(range(len(codes[0])), 3)
    return [triplet for triplet in every if slow_margin(codes, backgrounds, *triplet) > 1e-9]


def slow_semantic(distances: Tensor, codes: Codes, backgrounds: list[int]) -> float:
    terms = [
        max(slow_margin(codes, backgrounds, i, p, n) + float(distances[i, p] - distances[i, n]), 0.0)
        for i, p, n in slow_triplets(codes, backgrounds)
    ]
    return sum(terms) / len(terms) if terms else 0.0


def slow_colour(points: Tensor, colours: np.ndarray) -> float:
    terms = []
    for i in range(len(points)):
        for o in range(len(points)):
            if i != o:
                distance = math.dist(points[i].tolist(), points[o].tolist())
                terms.append(abs(distance - (1 - np.corrcoef(colours[i], colours[o])[0, 1])))
    return sum(terms) / len(terms) if terms else 0.0


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 4), st.sampled_from([1, 20, 2**19]))
@settings(max_examples=60, deadline=None)
def test_semantic_similarity_is_that_of_all_valid_triplets(seed: int, count: int, tasks: int, pairs: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 3, (tasks, count))
    backgrounds = rng.integers(-1, 2, tasks)
    distances = pairwise_distances(on_sphere(seed, count))
    expected = slow_semantic(distances, codes.tolist(), backgrounds.tolist())
    with pytest.MonkeyPatch.context() as patch:  # however many anchors at a time
        patch.setattr(semantic, "PAIRS", pairs)
        found = semantic_similarity_loss(distances, torch.tensor(codes), torch.tensor(backgrounds))
        counted = valid_triplets(torch.tensor(codes), torch.tensor(backgrounds))
    assert float(found) == pytest.approx(expected, abs=1e-9)
    anchors = [anchor for anchor, _, _ in slow_triplets(codes.tolist(), backgrounds.tolist())]
    assert counted.tolist() == np.bincount(anchors, minlength=count).tolist()


@pytest.mark.parametrize(
    ("anchor", "positive", "negative", "margin"),
    [
        ([0], [0], [1], 1.0),  # one task: Eq. 3 of the paper of one task
        ([0], [0], [0], 0.0),
        ([0, 0], [0, 0], [1, 1], 1.0),
        ([0, 0], [0, 0], [0, 1], 0.5),
        ([0, 0], [0, -1], [1, 1], 0.5),  # the positive's missing label may be another: nothing is guaranteed by it
        ([0, 0], [0, 0], [1, -1], 0.5),  # the negative's may be the same
        ([0, 0], [0, -1], [1, -1], 0.0),
        ([-1, 0], [0, 0], [0, 1], 0.0),  # the anchor's own: the first task counts for the negative alone
        ([-1, -1], [0, 0], [1, 1], -1.0),
        ([0, 9], [0, 1], [1, 9], 0.0),  # background with background: known, and yet it cannot be compared
        ([0, 9], [0, 1], [1, 1], 0.5),  # background with a class: they differ
        ([0, 0, 0, 0], [0, 0, 0, -1], [0, 1, -1, 1], 0.25),
    ],
)
def test_margins_worked_by_hand(anchor: list[int], positive: list[int], negative: list[int], margin: float) -> None:
    codes = torch.tensor([anchor, positive, negative]).T
    same, possible = label_agreement(codes, codes, torch.full((len(anchor),), 9))
    assert float(same[0, 1] - possible[0, 2]) / len(anchor) == margin


@given(st.integers(0, 10**6), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_colour_similarity_is_that_of_all_pairs(seed: int, count: int) -> None:
    colours = np.random.default_rng(seed).integers(0, 1000, (count, 9)).astype(np.float64)
    centred = colours - colours.mean(1, keepdims=True)
    standard = torch.tensor(centred / np.linalg.norm(centred, axis=1, keepdims=True))
    points = on_sphere(seed, count)
    found = colour_similarity_loss(pairwise_distances(points), standard)
    assert float(found) == pytest.approx(slow_colour(points, colours), abs=1e-5)  # the diagonal's root


def test_self_similarity_is_the_mean_distance_and_flat_where_the_two_are_one() -> None:
    points, others = on_sphere(0, 5).requires_grad_(), on_sphere(1, 5)
    assert self_similarity_loss(points, others).item() == pytest.approx(
        np.mean([math.dist(a, b) for a, b in zip(points.tolist(), others.tolist(), strict=True)])
    )
    self_similarity_loss(points, points.detach()).backward()
    assert points.grad is not None
    assert torch.equal(points.grad, torch.zeros_like(points))


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare_is_no_loss(count: int) -> None:
    """As in a process whose share of a small mini-batch is empty."""
    points = on_sphere(0, count).requires_grad_()
    codes, backgrounds = torch.zeros((2, count), dtype=torch.int64), torch.tensor([-1, -1])
    losses = [
        semantic_similarity_loss(pairwise_distances(points), codes, backgrounds),
        colour_similarity_loss(pairwise_distances(points), on_sphere(1, count, 9)),
        self_similarity_loss(points, points.detach()),
    ]
    assert [loss.item() for loss in losses] == [0, 0, 0]
    torch.stack(losses).sum().backward()
    assert points.grad is not None
    assert not points.grad.any()


@pytest.mark.parametrize("seed", range(5))
def test_the_gradients_are_those_of_the_losses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes, backgrounds = torch.tensor(rng.integers(-1, 3, (3, 7))), torch.tensor([-1, 0, 1])
    colours = on_sphere(seed + 100, 7, 9)
    embeddings = torch.tensor(rng.normal(size=(7, 4)), requires_grad=True)

    def distances(raw: Tensor) -> Tensor:
        return pairwise_distances(torch.nn.functional.normalize(raw, dim=1))

    assert torch.autograd.gradcheck(
        lambda raw: semantic_similarity_loss(distances(raw), codes, backgrounds), [embeddings]
    )
    assert torch.autograd.gradcheck(lambda raw: colour_similarity_loss(distances(raw), colours), [embeddings])


def test_equal_points_have_a_finite_gradient() -> None:
    raw = torch.ones(4, 3, requires_grad=True)
    points = torch.nn.functional.normalize(raw, dim=1)
    loss = semantic_similarity_loss(pairwise_distances(points), torch.tensor([[0, 0, 1, 1]]), torch.tensor([-1]))
    (loss + colour_similarity_loss(pairwise_distances(points), on_sphere(0, 4).float())).backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


def test_no_tensor_on_the_way_holds_all_triplets() -> None:
    """B = 200 has 8 million triplets; the largest tensor that any operation makes is little more than B²."""
    distances = pairwise_distances(on_sphere(0, 200).float()).detach().requires_grad_()
    with _Sizes() as sizes:
        semantic_similarity_loss(distances, torch.arange(200)[None] % 4, torch.tensor([-1])).backward()
    assert max(sizes.found) == 200 * 201


def test_many_tasks_are_compared_for_a_block_of_anchors_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What 13 tasks say of all pairs of 300 is a million numbers; of so many anchors at a time, 53,000."""
    monkeypatch.setattr(semantic, "PAIRS", 2**12)
    distances = pairwise_distances(on_sphere(0, 300).float()).detach().requires_grad_()
    codes = torch.arange(300)[None] % torch.arange(2, 15)[:, None]
    with _Sizes() as sizes:
        semantic_similarity_loss(distances, codes, torch.full((13,), -1)).backward()
    assert max(sizes.found) == 300 * 300


class _Sizes(TorchDispatchMode):
    """Notes how many numbers each tensor has that is made meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[int] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        self.found += [one.numel() for one in (made if isinstance(made, tuple) else (made,)) if torch.is_tensor(one)]
        return made
