"""Triplets and learned anchor points: Eq. 2.1 to 2.5 in plain loops, and gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.methods.anchor_triplet import AnchorPoints, Params
from longtail.methods.base import Sampling, Setup
from longtail.methods.sampled_triplet import Params as Alone
from longtail.methods.sampled_triplet import SampledTriplet
from longtail.network.network import Network, NetworkParams
from longtail.rules.clusters import anchor_points

TASKS = [Task(name="one", classes=["a", "b", "c", "never"]), Task(name="two", classes=["no", "yes"])]
Points = list[list[float]]


def hinge(anchor: list[float], positive: list[float], negative: list[float], margin: float) -> float:
    """Eq. 2.1."""
    return max(0.0, math.dist(anchor, positive) ** 2 - math.dist(anchor, negative) ** 2 + margin)


def share(query: list[float], anchors: list[Points], code: int, gamma: float) -> float:
    """Eq. 2.3."""
    votes = [sum(math.exp(-gamma * math.dist(query, u) ** 2) for u in of_class) for of_class in anchors]
    return votes[code] / sum(votes)


def made(
    params: Alone | Params, *, marked: bool = False, seed: int = 0
) -> tuple[Network, torch.Tensor, SampledTriplet, dict[str, np.ndarray]]:
    """A network, images, a method that knows where they lie, and their classes."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    labels = {"one": rng.integers(-1, 3, 40), "two": rng.integers(-1, 2, 40)}
    negatives = {"one": np.where(labels["one"] < 0, 0, -1)} if marked else {}
    network = Network(NetworkParams(embedding=6), TASKS, (16, 16, 1), head=params.head).eval()
    images = torch.rand((40, 1, 16, 16)) * 2 - 1
    method = params.build(Setup(labels, Sampling(batch=9), seed, negatives=negatives))
    with torch.no_grad():
        where = {task: points.numpy()[method.placed] for task, points in network.embed(images).items()}
    method.place(where, network, step=0)
    return network, images, method, labels


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("weight", [None, 0.1, 0.7])
def test_the_loss_is_eq_2_5_of_what_was_drawn(weight: float | None, marked: bool) -> None:
    params = Alone(margin=0.4) if weight is None else Params(margin=0.4, weight=weight, gamma=3, anchors=2)
    network, images, method, labels = made(params, marked=marked)
    selected, batch = method.select(2), method.batch(2)
    scalars = {name: float(v.detach()) for name, v in method.loss(network, images[batch.samples], batch).items()}
    triplet, classification, count = 0.0, 0.0, 0
    for number, (task, one) in enumerate(selected.items()):
        z = network.embed(images)[task].detach().double().tolist()
        codes = labels[task][one.positions[:, 0]]
        there = [c for c, of_row in zip(codes, one.targets["triplet_weights"], strict=True) for w in of_row if w > 0]
        for (a, p, *negatives), of_row in zip(one.positions, one.targets["triplet_weights"], strict=True):
            for n, used in zip(negatives, of_row > 0, strict=True):
                # Classes of the triplets that there are weigh alike, as by `cost`.
                own = 1 / (len(set(there)) * there.count(labels[task][a])) if used else 0
                triplet += own * hinge(z[a], z[p], z[n], 0.4)
                count += used
        if weight is not None:
            anchors = network.classifiers[number].weight.detach().double().tolist()
            for a, code in zip(one.positions[:, 0], codes, strict=True):
                own = 1 / (len(set(codes.tolist())) * (codes == code).sum())
                classification -= own * math.log(share(z[a], anchors, code, 3.0))  # Eq. 2.4
    assert triplet > 0
    assert scalars["triplets"] == count > 0
    if weight is None:
        assert scalars["loss"] == pytest.approx(triplet, rel=1e-5)
    else:
        assert scalars["triplet"] == pytest.approx(triplet, rel=1e-5)
        assert scalars["classification"] == pytest.approx(classification, rel=1e-5)
        assert scalars["loss"] == pytest.approx(weight * triplet + (1 - weight) * classification, rel=1e-5)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**6))
def test_without_any_hinge_a_class_is_as_near_together_as_eq_2_2_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spread, margin = rng.choice([0.01, 0.1]), rng.choice([0.0, 0.05, 0.2])
    centres = rng.normal(size=(2, 3))
    z = [(c / np.linalg.norm(c)).tolist() for c in np.repeat(centres, 4, axis=0) + spread * rng.normal(size=(8, 3))]
    own, others = range(4), range(4, 8)
    assume(all(hinge(z[a], z[p], z[n], margin) == 0 for a in own for p in own if p != a for n in others))
    farthest = max(math.dist(z[a], z[n]) for a in own for n in others)
    for i in own:
        for j in own:
            assert math.dist(z[i], z[j]) ** 2 <= 2 * (farthest**2 - margin)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 999), st.sampled_from([0.1, 5.0, 30.0]), st.integers(1, 4))
def test_the_softmax_of_the_head_is_eq_2_3(seed: int, gamma: float, anchors: int) -> None:
    torch.manual_seed(seed)
    head = AnchorPoints(5, 4, anchors, gamma)
    embeddings = 3 * torch.randn(6, 5)
    shares = head(embeddings).softmax(1).detach()
    unit = torch.nn.functional.normalize(embeddings.double(), dim=1).tolist()
    for query, of_query in zip(unit, shares, strict=True):
        expected = [share(query, head.weight.double().tolist(), code, gamma) for code in range(4)]
        assert of_query.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("gamma", [1e-6, 1e4])
def test_the_limits_of_gamma_of_the_head(gamma: float) -> None:
    """At 0 the prior of anchor counts, even; at infinity the class of the nearest point, and nothing underflows."""
    torch.manual_seed(0)
    head, embeddings = AnchorPoints(5, 4, 3, gamma), torch.nn.functional.normalize(torch.randn(50, 5), dim=1)
    logits = head(embeddings).detach()
    assert torch.isfinite(logits).all()
    if gamma < 1:
        assert torch.allclose(logits.softmax(1), torch.full((50, 4), 0.25), atol=1e-5)
    else:
        nearest = torch.cdist(embeddings, head.weight.detach().flatten(0, 1)).argmin(1) // 3
        assert (logits.argmax(1) == nearest).float().mean() > 0.95
        assert logits.softmax(1).max(1).values.median() > 0.999


def test_the_gradient_of_the_anchor_points_and_of_what_they_classify() -> None:
    torch.manual_seed(0)
    head = AnchorPoints(4, 3, 2, 5.0).double()
    embeddings, codes = torch.randn(6, 4, dtype=torch.float64, requires_grad=True), torch.tensor([0, 1, 2, 0, 1, 2])

    def loss(points: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        logits = torch.func.functional_call(head, {"weight": weight}, (points,))
        return torch.nn.functional.cross_entropy(logits, codes)

    assert torch.autograd.gradcheck(loss, (embeddings, head.weight.detach().clone().requires_grad_()))


def test_the_head_is_as_exact_under_autocast() -> None:
    torch.manual_seed(0)
    head, embeddings = AnchorPoints(5, 4, 3, 50.0), torch.randn(20, 5)
    with torch.autocast("cpu", torch.bfloat16):
        halved = head(embeddings)
    assert torch.equal(halved, head(embeddings))


def test_anchor_points_begin_by_k_means_and_those_of_a_class_without_a_sample_at_random() -> None:
    params = Params(anchors=3)
    network, images, method, labels = made(params)
    head = network.classifiers[0]
    z = network.embed(images)["one"].detach().numpy()
    expected, codes = anchor_points(z, labels["one"], 3)
    assert codes.tolist() == [0, 1, 2]
    assert np.allclose(head.weight[:3].detach().numpy(), expected, atol=1e-6)
    assert torch.allclose(head.weight[3].detach().norm(dim=1), torch.ones(3))
    before = head.weight.detach().clone()
    method.place({task: np.zeros((40, 6), np.float32)[method.placed] for task in labels}, network, step=7)
    assert torch.equal(head.weight, before), "afterwards they are learned"


@pytest.mark.parametrize("how", [{"task_layers": [4]}, {"relu": "classifier"}])
def test_anchor_points_of_another_space_than_the_embedding_are_refused(how: dict[str, object]) -> None:
    network = Network(NetworkParams.model_validate({"embedding": 6, **how}), TASKS[1:], (16, 16, 1), head=Params().head)
    method = Params().build(Setup({"two": np.arange(20) % 2}, Sampling(batch=4), 0))
    with pytest.raises(DataError, match=r"^anchor_triplet has its anchor points in the embedding itself: leave out"):
        method.place({"two": np.zeros((20, 6), np.float32)}, network, step=0)
