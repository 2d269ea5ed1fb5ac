"""The losses that compare a mini-batch with itself, against the papers' equations in plain loops."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from longtail.data.samplers import Sampler
from longtail.errors import DataError
from longtail.methods.balanced_contrastive.loss import balanced_contrastive_losses
from longtail.methods.base import Sampling, Setup
from longtail.methods.catalogue import params_class
from longtail.methods.contrastive import contrastive_losses
from longtail.methods.in_batch import InBatchMethod, most_of_a_class
from longtail.methods.multi_similarity import Params as MultiSimilarityParams
from longtail.methods.semi_hard_triplet import semi_hard_losses
from longtail.world import World

Points = list[list[float]]
CLASSES = 6
IN_BATCH = ("semi_hard_triplet", "contrastive", "multi_similarity", "balanced_contrastive")


def unit(points: np.ndarray) -> Tensor:
    return torch.nn.functional.normalize(torch.tensor(points, dtype=torch.float64), dim=1)


def drawn(seed: int, *, coinciding: bool = True) -> tuple[Tensor, Tensor]:
    """Points on the sphere, some of them `coinciding`, and their classes: none, one, or several of a class."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(rng.integers(1, 12), rng.integers(2, 5)))
    if coinciding and rng.random() < 0.3:
        points = points[rng.integers(len(points), size=len(points))]
    return unit(points), torch.tensor(rng.integers(CLASSES, size=len(points)))


def prototypes_of(seed: int, length: int) -> Tensor:
    return unit(np.random.default_rng([seed, 1]).normal(size=(CLASSES, length)))


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def slow_semi_hard(z: Points, y: list[int], margin: float) -> list[float]:
    """FaceNet, section 3.2: all positives; the nearest negative beyond each, else the farthest negative."""

    def distance(i: int, j: int) -> float:
        return sum((a - b) ** 2 for a, b in zip(z[i], z[j], strict=True))

    found = []
    for a in range(len(z)):
        hinges = []
        negatives = [distance(a, n) for n in range(len(z)) if y[n] != y[a]]
        for p in range(len(z)):
            if p != a and y[p] == y[a] and negatives:
                beyond = [d for d in negatives if d > distance(a, p)]
                hinges.append(max(0.0, margin + distance(a, p) - (min(beyond) if beyond else max(negatives))))
        found.append(sum(hinges) / len(hinges) if hinges else 0.0)
    return found


def slow_contrastive(z: Points, y: list[int], temperature: float) -> list[float]:
    """Khosla et al., Eq. 2."""
    found = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [p for p in others if y[p] == y[i]]
        total = sum(math.exp(dot(z[i], z[a]) / temperature) for a in others)
        logs = [math.log(math.exp(dot(z[i], z[p]) / temperature) / total) for p in positives]
        found.append(-sum(logs) / len(logs) if logs else 0.0)
    return found


def slow_balanced(z: Points, y: list[int], c: Points, temperature: float) -> list[float]:
    """BCL: a class is the mean of its members, of which its prototype is one."""
    found = []
    for i in range(len(z)):
        members = {j: [z[k] for k in range(len(z)) if y[k] == j and k != i] + [c[j]] for j in range(len(c))}
        total = sum(
            sum(math.exp(dot(z[i], other) / temperature) for other in of_class) / len(of_class)
            for of_class in members.values()
        )
        logs = [math.log(math.exp(dot(z[i], p) / temperature) / total) for p in members[y[i]]]
        found.append(-sum(logs) / len(logs))
    return found


def slow_multi_similarity(
    z: Points, y: list[int], alpha: float, beta: float, base: float, epsilon: float
) -> list[float]:
    """Wang et al.: a positive is kept if it is less similar than the most similar negative plus ε, a negative if it is
    more so than the least similar positive minus ε; then the two logarithms of sums.
    """
    found = []
    for i in range(len(z)):
        positives = [dot(z[i], z[k]) for k in range(len(z)) if k != i and y[k] == y[i]]
        negatives = [dot(z[i], z[k]) for k in range(len(z)) if y[k] != y[i]]
        kept = [s for s in positives if s - epsilon < max(negatives)] if negatives else []
        hard = [s for s in negatives if s + epsilon > min(positives)] if positives else []
        plus = math.log(1 + sum(math.exp(-alpha * (s - base)) for s in kept)) / alpha
        found.append(plus + math.log(1 + sum(math.exp(beta * (s - base)) for s in hard)) / beta)
    return found


def multi_similarity(embeddings: Tensor, codes: Tensor, **params: float) -> Tensor:
    setup = Setup({"task": np.arange(4) % 2}, Sampling(), 0)
    found: Tensor = MultiSimilarityParams(**params).build(setup).losses(embeddings, codes)
    return found


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.2, 3.0]))
def test_semi_hard_triplets_are_those_of_the_paper(seed: int, margin: float) -> None:
    z, y = drawn(seed, coinciding=False)  # else it is a matter of rounding which is farther
    expected = slow_semi_hard(z.tolist(), y.tolist(), margin)
    assert semi_hard_losses(z, y, margin).tolist() == pytest.approx(expected, abs=1e-9)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.1, 1.0]))
def test_the_contrastive_loss_is_eq_2(seed: int, temperature: float) -> None:
    z, y = drawn(seed)
    assert contrastive_losses(z, y, temperature).tolist() == pytest.approx(
        slow_contrastive(z.tolist(), y.tolist(), temperature), abs=1e-9
    )


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**6), st.sampled_from([0.07, 1.0]))
def test_the_balanced_contrastive_loss_averages_classes_and_completes_them(seed: int, temperature: float) -> None:
    z, y = drawn(seed)
    c = prototypes_of(seed, z.shape[1])
    assert balanced_contrastive_losses(z, y, c, temperature).tolist() == pytest.approx(
        slow_balanced(z.tolist(), y.tolist(), c.tolist(), temperature), abs=1e-9
    )


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6))
def test_multi_similarity_is_that_of_the_paper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    z = unit(rng.normal(size=(rng.integers(2, 12), 3)))
    y = torch.tensor(rng.integers(CLASSES, size=len(z)))
    for params in ((2.0, 50.0, 0.5, 0.1), (1.0, 5.0, 0.0, 0.4)):
        names = dict(zip(("alpha", "beta", "base", "epsilon"), params, strict=True))
        expected = slow_multi_similarity(z.tolist(), y.tolist(), *params)
        assert multi_similarity(z, y, **names).tolist() == pytest.approx(expected, abs=1e-9)


def test_multi_similarity_learns_from_one_pair_of_either_kind() -> None:
    """The library's own loss is 0 there, which gets common as classes come apart."""
    z = unit(np.array([[1, 0.2], [0.2, 1], [1, 0]])).requires_grad_()
    found = multi_similarity(z, torch.tensor([1, 1, 2]))
    assert found.tolist() == pytest.approx(slow_multi_similarity(z.tolist(), [1, 1, 2], 2, 50, 0.5, 0.1))
    found.sum().backward()
    assert z.grad is not None
    assert z.grad.abs().max() > 0.1


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "semi_hard_triplet": lambda z, y: semi_hard_losses(z, y, 0.9),
    "contrastive": lambda z, y: contrastive_losses(z, y, 0.3),
    "multi_similarity": lambda z, y: multi_similarity(z, y, alpha=1.0, beta=2.0, epsilon=2.0),
    "balanced_contrastive": lambda z, y: balanced_contrastive_losses(
        z, y, torch.eye(CLASSES, z.shape[1], dtype=z.dtype), 0.3
    ),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_their_gradients_are_those_of_finite_differences(kind: str) -> None:
    rng = np.random.default_rng(0)
    z, y = unit(rng.normal(size=(7, 4))).requires_grad_(), torch.tensor([0, 0, 0, 1, 1, 2, 3])
    assert torch.autograd.gradcheck(lambda z: LOSSES[kind](z, y), z)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize(("count", "classes"), [(0, 1), (1, 1), (2, 1), (2, 2), (6, 1), (6, 3), (6, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_to_compare_is_nothing_and_coinciding_points_have_a_finite_gradient(
    kind: str, count: int, classes: int, dtype: torch.dtype
) -> None:
    z = torch.tensor([[1.0, 0, 0, 0]], dtype=dtype).repeat(count, 1).requires_grad_()
    losses = LOSSES[kind](z, torch.arange(count) % classes)
    assert losses.shape == (count,)
    assert torch.isfinite(losses).all()
    losses.sum().backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    if kind in {"semi_hard_triplet", "contrastive"} and classes >= count:  # no positive
        assert losses.sum() == 0


class Largest(TorchDispatchMode):
    """How many elements the largest tensor has that is made meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else [made]:
            if isinstance(one, Tensor):
                self.elements = max(self.elements, one.numel())
        return made


@pytest.mark.parametrize("kind", LOSSES)
def test_memory_grows_with_the_pairs_and_not_with_triplets(kind: str) -> None:
    count, length = 96, 64
    z = unit(np.random.default_rng(0).normal(size=(count, length))).requires_grad_()
    with Largest() as largest:
        LOSSES[kind](z, torch.arange(count) % CLASSES).sum().backward()
    # The library lists pairs by two numbers each.
    assert largest.elements <= 2 * count * (count + CLASSES)


@pytest.mark.parametrize("kind", IN_BATCH)
def test_a_sample_drawn_twice_is_there_once_with_the_weight_of_both(kind: str) -> None:
    labels = {"task": np.array([0] * 20 + [1] * 3)}
    corrects = {"sampling": "natural", "cost": 0.0} if kind == "balanced_contrastive" else {}
    method = params_class(kind)().build(Setup(labels, Sampling(batch=40, **corrects), 0))
    assert isinstance(method, InBatchMethod)
    for step in range(3):
        selected = method.select(step)["task"]
        positions, weights = selected.positions, selected.targets["weights"]
        assert len(set(positions.tolist())) == len(positions) < 40
        assert weights.sum() == pytest.approx(1)
        if not corrects:
            assert weights[labels["task"][positions] == 1].sum() == pytest.approx(0.5)


def test_two_views_of_a_sample_are_positives_of_each_other() -> None:
    """Of a class that a mini-batch has one sample of there is a loss with two views, and none with one."""
    z, y = unit(np.random.default_rng(0).normal(size=(4, 3))), torch.tensor([0, 1])
    assert contrastive_losses(z[:2], y, 0.1).tolist() == [0, 0]
    assert (contrastive_losses(z, y.repeat(2), 0.1) > 0).all()
    for two_views, count in ((False, 1), (True, 2)):
        method = params_class("contrastive")(two_views=two_views).build(
            Setup({"t": np.arange(9) % 2}, Sampling(batch=4), 0)
        )
        batch = method.batch(0)
        assert method.views == count
        assert method.rows(batch, "t").tolist() == [
            row + view * len(batch.samples) for view in range(count) for row in batch.rows["t"].tolist()
        ]
        assert float(method.of_views(batch, "t")[1].sum()) == pytest.approx(1)


@pytest.mark.parametrize("classes", [7, 10, 12])
@pytest.mark.parametrize("batch", range(1, 40))
def test_the_most_of_a_class_is_what_the_sampler_draws(classes: int, batch: int) -> None:
    sampler = Sampler(np.arange(9 * classes) % classes, batch, scheme="class_even", seed=0)
    drawn = [np.bincount(sampler.positions(step) % classes).max() for step in range(300)]
    assert max(drawn) == most_of_a_class(batch, classes)


@pytest.mark.parametrize("kind", ["contrastive", "semi_hard_triplet", "multi_similarity"])
@pytest.mark.parametrize(("batch", "trains", "warned"), [(5, 0, 0), (10, 0, 0), (7, 1, 1), (11, 1, 1), (20, 1, 0)])
def test_mini_batches_without_two_samples_of_a_class_are_refused(
    kind: str, batch: int, trains: bool, warned: bool
) -> None:
    """They would have no positive in any step, and a loss of 0; where few classes have two, that is told."""
    setup = Setup({"t": np.arange(90) % 10}, Sampling(batch=batch), 0)
    if trains:
        assert len(params_class(kind)().build(setup).warnings()) == warned
    else:
        with pytest.raises(DataError, match=r"of the 10 classes of 't': set `batch` to 20 or more, or `sampling: nat"):
            params_class(kind)().build(setup)
    if kind == "contrastive":
        assert params_class(kind)(two_views=True).build(setup).warnings() == []


@pytest.mark.parametrize("kind", ["contrastive", "semi_hard_triplet", "multi_similarity"])
def test_mini_batches_of_one_image_are_refused_however_they_are_drawn(kind: str) -> None:
    setup = Setup({"t": np.arange(90) % 3}, Sampling(batch=1, sampling="natural"), 0)
    with pytest.raises(DataError, match="mini-batches have 1: set `batch` to 2 or more"):
        params_class(kind)().build(setup)


@pytest.mark.parametrize("kind", ["contrastive", "semi_hard_triplet", "multi_similarity"])
@pytest.mark.parametrize("changes", [{"at_most": 1}, {"sampling": "natural"}])
def test_classes_of_one_image_are_refused_or_told(kind: str, changes: dict[str, Any]) -> None:
    """Drawn twice it is there once: of itself it is no positive."""
    labels = {"t": np.arange(90) % 10 if "at_most" in changes else np.arange(10)}
    with pytest.raises(DataError, match="no class of 't' has 2 images to train on"):
        params_class(kind)().build(Setup(labels, Sampling(batch=30, **changes), 0))
    some = {"t": np.array([0, 0, 1, 2, 2, 3])}
    (said,) = params_class(kind)().build(Setup(some, Sampling(batch=30), 0)).warnings()
    assert said.startswith("2 of the 4 classes of 't' have fewer than 2 images to train on")


@pytest.mark.parametrize("changes", [{"at_most": 1}, {"sampling": "natural"}])
def test_so_they_are_where_positives_are_of_all_samples(changes: dict[str, Any]) -> None:
    """Triplet-A is told: its classification goes on."""
    labels = {"t": np.arange(90) % 10 if "at_most" in changes else np.arange(10)}
    setup = Setup(labels, Sampling(batch=30, **changes), 0)
    with pytest.raises(DataError, match="no class of 't' has 2 images to train on"):
        params_class("sampled_triplet")().build(setup)
    (said,) = params_class("anchor_triplet")().build(setup).warnings()
    assert said.startswith("10 of the 10 classes")


@pytest.mark.parametrize("kind", ["contrastive", "semi_hard_triplet", "multi_similarity", "sampled_triplet"])
def test_a_class_alone_is_refused_unless_people_marked_what_is_none_of_it(kind: str) -> None:
    alone = Setup({"t": np.array([0, 0, 0, -1])}, Sampling(batch=8), 0)
    with pytest.raises(DataError, match="'t' has one class alone"):
        params_class(kind)().build(alone)
    if kind == "sampled_triplet":
        params_class(kind)().build(replace(alone, negatives={"t": np.array([-1, -1, -1, 0])}))


@pytest.mark.parametrize("kind", IN_BATCH)
def test_every_process_compares_within_its_share_and_counts_by_it(kind: str) -> None:
    """A rare class is then in one share and not in the other; what is compared is a matter of the share alone."""
    labels = {"task": np.array([0] * 20 + [1] * 20 + [2])}
    corrects = {"sampling": "natural", "cost": 0.0} if kind == "balanced_contrastive" else {}
    shares = []
    for rank in range(2):
        method = params_class(kind)().build(Setup(labels, Sampling(batch=8, **corrects), 0, processes=2))
        targets = method.batch(0, World(rank, 2)).targets["task"]
        z = unit(np.random.default_rng(rank).normal(size=(len(targets["codes"]), 4)))
        losses = LOSSES[kind](z, targets["codes"])
        assert torch.isfinite(losses).all()
        assert (losses > 0).any()
        shares.append(float(targets["weights"].sum()))
    assert sum(shares) == pytest.approx(1)
    assert min(shares) > 0.2
