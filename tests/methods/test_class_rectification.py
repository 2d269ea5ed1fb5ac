"""Class rectification as a method: what it draws, and its loss for tasks of several sizes with missing labels."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from longtail.data.dataset import Task
from longtail.data.samplers import Scheme
from longtail.methods.base import Sampling, Setup
from longtail.methods.class_rectification import ClassRectification, Params, missing_share
from longtail.methods.class_rectification.comparisons import (
    absolute,
    distribution,
    mined_pairs,
    relative,
    score_pairs,
)
from longtail.methods.class_rectification.hard_mining import mine_by_class, mine_by_instance
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
    """Patches of some shades: of noise all features would point in one direction."""
    coarse = torch.randn((60, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    return F.interpolate(3 * coarse, (16, 16))


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


VARIANTS: list[dict[str, Any]] = [
    *(
        {"mining": mining, "comparison": comparison, "normalise": normalise}
        for mining in ("instance", "class")
        for comparison in ("relative", "absolute", "distribution")
        for normalise in (True, False)
    ),
    {"positives": "all"},
    *({"mining": "class", "distances": "scores", "comparison": comparison} for comparison in ("relative", "absolute")),
    {"mining": "class", "distances": "scores", "comparison": "distribution"},
    {"margin": 0.25},
    {"mining": "class", "comparison": "absolute", "margin": 0.25},
]


def rectification_of(how: Params, labels: torch.Tensor, scores: torch.Tensor, features: torch.Tensor) -> float:
    """What the parameters say, of the tasks `digit` and `kids`."""
    if how.normalise:
        features = features / features.norm(dim=2, keepdim=True).clamp(min=1e-9)
    if how.mining == "class":
        mined = mine_by_class(labels, scores, how.hard)
    else:
        misclassified = how.positives == "misclassified"
        mined = mine_by_instance(labels, scores, features, how.hard, misclassified=misclassified)
    pairs = score_pairs(scores, mined) if how.distances == "scores" else mined_pairs(features, mined)
    own = torch.full((2,), 0.5) if how.distances == "scores" else torch.tensor([2 * math.pi / 3, math.pi])
    if how.margin is not None:
        own = torch.full((2,), how.margin)
    return float(
        {
            "relative": relative(pairs, own[mined.tasks]),
            "absolute": absolute(pairs, 1 if how.margin is None else how.margin),
            "distribution": distribution(pairs, 100),
        }[how.comparison]
    )


@pytest.mark.parametrize("how", VARIANTS, ids=str)
def test_each_variant_is_its_loss_on_what_the_classifiers_see(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], how: dict[str, Any]
) -> None:
    rectified = method(labels, weight=0.5, **how)
    positions, batch = rectified.select(0)["digit"].positions, rectified.batch(0)
    found = rectified.loss(network, images[batch.samples], batch)
    with torch.no_grad():
        features, logits = network.features_and_logits(images[positions])
    scores = torch.stack([logits["digit"].softmax(1), F.pad(logits["kids"].softmax(1), (0, 1))])
    of_batch = torch.from_numpy(np.stack([labels[task][positions] for task in ("digit", "kids")]))
    expected = rectification_of(rectified.params, of_batch, scores, torch.stack([features["digit"], features["kids"]]))
    assert expected > 0
    assert float(found["rectification"].detach()) == pytest.approx(expected, rel=1e-4)
    assert float(found["loss"].detach()) == pytest.approx(
        float(found["cross_entropy"].detach()) + 0.5 * expected, rel=1e-4
    )


class Scaled:
    """A network whose features are so many times longer, its scores the same."""

    def __init__(self, network: Network, times: float) -> None:
        self.network, self.times = network, times

    def features_and_logits(self, images: torch.Tensor) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        features, logits = self.network.features_and_logits(images)
        return {task: self.times * of_task for task, of_task in features.items()}, logits


@pytest.mark.parametrize("mining", ["instance", "class"])
@pytest.mark.parametrize("comparison", ["relative", "absolute"])
@pytest.mark.parametrize("times", [0.1, 10])
def test_normalised_it_is_blind_to_the_length_of_the_features(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], mining: str, comparison: str, times: float
) -> None:
    def rectification(of: Any, normalise: bool) -> float:
        rectified = method(labels, mining=mining, comparison=comparison, normalise=normalise)
        batch = rectified.batch(0)
        return float(rectified.loss(of, images[batch.samples], batch)["rectification"].detach())

    long = Scaled(network, times)
    assert rectification(long, normalise=True) == pytest.approx(rectification(network, normalise=True), rel=1e-4)
    assert rectification(long, normalise=False) != pytest.approx(rectification(network, normalise=False), rel=1e-3)


def test_features_of_zeros_have_no_direction_and_a_finite_gradient(labels: dict[str, Ints]) -> None:
    torch.manual_seed(0)
    dead = Network(NetworkParams(embedding=6), TASKS, (16, 16, 1)).eval()
    for layer in dead.embeddings:
        torch.nn.init.constant_(layer.bias, -1e3)
    rectified = method(labels)
    batch = rectified.batch(0)
    loss = rectified.loss(dead, torch.zeros((len(batch.samples), 1, 16, 16)), batch)["loss"]
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in dead.parameters())


@pytest.mark.parametrize("cost", [False, True])
def test_by_imbalance_both_losses_have_weights_that_sum_to_1(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], cost: bool
) -> None:
    rectified = method(labels, cost=cost, weight="imbalance")
    batch = rectified.batch(0)
    found = {name: float(x.detach()) for name, x in rectified.loss(network, images[batch.samples], batch).items()}
    # How many samples would fill each class up to the largest, as a share of what there were then.
    missing = []
    for codes, classes in ((labels["digit"], 3), (labels["kids"], 2)):
        counts = [int((codes == code).sum()) for code in range(classes)]
        missing.append(sum(max(counts) - count for count in counts) / (classes * max(counts)))
    alpha = sum(missing) / 2
    assert 0.1 < alpha < 0.9
    assert found["loss"] == pytest.approx(alpha * found["rectification"] + (1 - alpha) * found["cross_entropy"])


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_the_missing_share_is_0_of_balanced_data_and_never_1(counts: list[int]) -> None:
    share = missing_share(np.array(counts))
    assert 0 <= share < 1
    assert (share == 0) == (len(set(counts)) == 1)
    assert missing_share(np.array([3 * count for count in counts])) == pytest.approx(share)


@pytest.mark.parametrize("weight", [-0.1, "imbalanced", None, math.nan])
def test_a_weight_is_a_number_from_0_or_the_word(weight: Any) -> None:
    with pytest.raises(ValidationError):
        Params(weight=weight)


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


@pytest.mark.parametrize("mining", ["instance", "class"])
def test_a_process_whose_share_has_no_image_adds_nothing(network: Network, images: torch.Tensor, mining: Any) -> None:
    labels = {"digit": np.array([0, 0, 0, 1]), "kids": np.array([0, 1, 0, 0])}
    setup = Setup(labels, Sampling(batch=1, sampling="natural", cost=0), 0, 3)
    rectified = ClassRectification(setup, Params(mining=mining))
    rectified.plan(50)
    parts = [rectified.batch(step, World(rank, 3)) for step in range(50) for rank in range(3)]
    empty = next(part for part in parts if not len(part.samples))
    scalars = rectified.loss(network, images[:0], empty)
    assert {name: float(value.detach()) for name, value in scalars.items()} == dict.fromkeys(scalars, 0.0)


def test_a_mini_batch_in_which_a_task_has_no_label_trains_the_others(network: Network, images: torch.Tensor) -> None:
    labels = {"digit": np.arange(60) % 3, "kids": np.full(60, -1)}
    rectified = method(labels)
    batch = rectified.batch(0)
    loss = rectified.loss(network, images[batch.samples], batch)["loss"]
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"comparison": "distribution", "margin": 0.5}, "has no margin: leave `margin` out"),
        ({"mining": "class", "positives": "all"}, "always of all positives: leave `positives` out"),
    ],
)
def test_a_parameter_that_would_do_nothing_is_refused(how: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Params(**how)


@pytest.mark.parametrize(
    ("sampling", "warned"), [("natural", 0), ("square_root", 0), ("class_even", 1), ("over", 1), ("under", 1)]
)
def test_where_no_class_is_a_minority_it_says_so(sampling: Any, warned: int) -> None:
    """Of 90 and 10 samples the mini-batches of an even scheme have no minority, and the loss never an anchor."""
    labels = {"task": np.repeat([0, 1], [90, 10])}
    method = Params().build(Setup(labels, Sampling(batch=20, sampling=sampling), 0))
    said = method.warnings()
    assert len(said) == warned
    assert all("the paper's is `natural`" in one for one in said)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"bins": 7}, "has no bins: leave `bins` out"),
        ({"comparison": "absolute", "bins": 7}, "has no bins: leave `bins` out"),
        ({"mining": "class", "distances": "scores", "normalise": False}, "leave `normalise` out"),
        ({"comparison": "distribution", "bins": 7}, None),
    ],
)
def test_what_would_do_nothing_is_told_of_new_trainings_alone(how: dict[str, Any], says: str | None) -> None:
    """A model that was trained by it before is read all the same."""
    found = Params(**how).in_vain()
    assert found is None if says is None else says in str(found)
