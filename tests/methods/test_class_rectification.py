"""Class rectification as a method: what it draws, and its loss for tasks of several sizes with missing labels."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F

from longtail.data.dataset import Task
from longtail.data.samplers import Scheme
from longtail.methods.base import Sampling, Setup
from longtail.methods.class_rectification import ClassRectification, Params
from longtail.methods.class_rectification.comparisons import (
    absolute,
    class_margins,
    distribution,
    mined_pairs,
    relative,
)
from longtail.methods.class_rectification.hard_mining import Mined, mine_by_class, mine_by_instance
from longtail.methods.softmax import Softmax
from longtail.network.network import Network, NetworkParams
from longtail.world import World

Ints = npt.NDArray[np.int64]
TASKS = [Task(name="digit", classes=["a", "b", "c"]), Task(name="kids", classes=["no", "yes"])]


@pytest.fixture
def labels() -> dict[str, Ints]:
    rng = np.random.default_rng(0)
    digit = rng.choice(3, 60, p=[0.7, 0.2, 0.1])
    return {"digit": digit, "kids": np.where(rng.random(60) < 0.3, -1, (rng.random(60) < 0.2).astype(np.int64))}


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(NetworkParams(embedding=6), TASKS, (16, 16, 1)).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand((60, 1, 16, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1


def method(labels: dict[str, Ints], *, cost: bool = False, **how: Any) -> ClassRectification:
    sampled = Sampling(batch=30, sampling="natural", cost=cost)
    return ClassRectification(Setup(labels, sampled, 0), Params(**how))


def test_all_tasks_share_the_images_of_a_step_labelled_or_not(labels: dict[str, Ints]) -> None:
    drawn = method(labels).select(0)
    assert len(set(drawn["digit"].positions.tolist())) == 30
    assert (drawn["digit"].positions == drawn["kids"].positions).all()
    assert (drawn["kids"].targets["codes"] == -1).any()
    seen = {int(p) for step in range(2) for p in method(labels).select(step)["digit"].positions}
    assert len(seen) == 60, "a pass over the images leaves none out"


def test_an_image_is_in_a_mini_batch_once(labels: dict[str, Ints]) -> None:
    oversampled = ClassRectification(
        Setup(labels, Sampling(batch=200, sampling="over", cost=False, together=True), 0), Params()
    )
    positions = oversampled.select(0)["digit"].positions
    assert 10 < len(positions) == len(set(positions.tolist())) <= 60


@pytest.mark.parametrize("cost", [False, True])
@pytest.mark.parametrize("sampling", ["natural", "over", "under", "class_even"])
def test_without_weight_it_is_softmax(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], sampling: Scheme, cost: bool
) -> None:
    given = Setup(labels, Sampling(batch=30, sampling=sampling, cost=cost, together=True), 0)
    softmax, rectified = Softmax(given), ClassRectification(given, Params(weight=0))
    batch, same = softmax.batch(1), rectified.batch(1)
    assert (batch.samples == same.samples).all()
    plain = softmax.loss(network, images[batch.samples], batch)["loss"]
    assert float(rectified.loss(network, images[batch.samples], same)["loss"].detach()) == pytest.approx(
        float(plain.detach()), rel=1e-6
    )


@pytest.mark.parametrize("cost", [False, True])
def test_the_cross_entropy_is_that_of_eq_2(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], cost: bool
) -> None:
    rectified = method(labels, cost=cost)
    positions, batch = rectified.select(1)["digit"].positions, rectified.batch(1)
    expected = 0.0
    for task, logits in network.logits(images).items():
        codes = labels[task][positions]
        for position, code in zip(positions, codes, strict=True):
            if code >= 0:
                known = codes[codes >= 0]
                weight = 1 / (len(set(known)) * (known == code).sum()) if cost else 1 / len(known)
                expected -= weight * float(F.log_softmax(logits[position].detach(), dim=0)[code])
    found = rectified.loss(network, images[batch.samples], batch)
    assert float(found["cross_entropy"].detach()) == pytest.approx(expected, rel=1e-5)


def mined(how: dict[str, str], labels: torch.Tensor, scores: torch.Tensor, features: torch.Tensor) -> Mined:
    if how["mining"] == "class":
        return mine_by_class(labels, scores, 5)
    return mine_by_instance(labels, scores, features, 5)


@pytest.mark.parametrize("mining", ["instance", "class"])
@pytest.mark.parametrize("comparison", ["relative", "absolute", "distribution"])
def test_each_variant_is_its_loss_on_the_features_that_the_classifiers_see(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], mining: str, comparison: str
) -> None:
    how = {"mining": mining, "comparison": comparison}
    rectified = method(labels, weight=0.5, **how)
    positions, batch = rectified.select(0)["digit"].positions, rectified.batch(0)
    found = rectified.loss(network, images[batch.samples], batch)
    with torch.no_grad():
        features, logits = network.features_and_logits(images[positions])
    scores = torch.stack([logits["digit"].softmax(1), F.pad(logits["kids"].softmax(1), (0, 1))])
    of_batch = torch.from_numpy(np.stack([labels[task][positions] for task in ("digit", "kids")]))
    stacked = torch.stack([features["digit"], features["kids"]])
    hard = mined(how, of_batch, scores, stacked)
    pairs = mined_pairs(stacked, hard)
    margins = class_margins(torch.tensor([3, 2]))[hard.tasks]
    assert {round(float(m), 4) for m in margins} == {round(2 * math.pi / 3, 4), round(math.pi, 4)}
    expected = {
        "relative": relative(pairs, margins),
        "absolute": absolute(pairs, 1),
        "distribution": distribution(pairs, 100),
    }
    assert float(expected[comparison]) > 0
    assert float(found["rectification"].detach()) == pytest.approx(float(expected[comparison]), rel=1e-4)
    assert float(found["loss"].detach()) == pytest.approx(
        float(found["cross_entropy"].detach()) + 0.5 * float(expected[comparison]), rel=1e-4
    )
    assert int(found["anchors"]) == len(hard.rows)
    assert int(found["hard_positives"]) == int(hard.positive.sum())


def test_the_shares_of_two_processes_are_the_images_of_one_and_add_up_to_its_cross_entropy(
    network: Network, images: torch.Tensor, labels: dict[str, Ints]
) -> None:
    whole = method(labels).batch(2)
    parts = [method(labels).batch(2, World(rank, 2)) for rank in range(2)]
    assert sorted(int(p) for part in parts for p in part.samples) == whole.samples.tolist()
    one, *two = (
        float(method(labels).loss(network, images[batch.samples], batch)["cross_entropy"].detach())
        for batch in (whole, *parts)
    )
    assert sum(two) == pytest.approx(one, rel=1e-5)


def test_the_rectification_of_a_process_counts_as_its_share(
    network: Network, images: torch.Tensor, labels: dict[str, Ints]
) -> None:
    part = method(labels).batch(2, World(0, 2))
    alone = replace(part, targets={task: known | {"share": known["share"] * 2} for task, known in part.targets.items()})
    half, whole = (
        float(method(labels).loss(network, images[part.samples], batch)["rectification"].detach())
        for batch in (part, alone)
    )
    assert sum(float(known["share"].sum()) for known in alone.targets.values()) == pytest.approx(2)
    assert half == pytest.approx(whole / 2)
    assert half > 0


def test_a_mini_batch_in_which_a_task_has_no_label_trains_the_others(network: Network, images: torch.Tensor) -> None:
    labels = {"digit": np.arange(60) % 3, "kids": np.full(60, -1)}
    rectified = method(labels)
    batch = rectified.batch(0)
    loss = rectified.loss(network, images[batch.samples], batch)["loss"]
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())
