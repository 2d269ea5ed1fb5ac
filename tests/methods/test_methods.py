"""What the methods draw, and that their losses are those of the equations, whatever shares a batch."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F

from longtail.data.dataset import Task
from longtail.methods.base import Batch, Drawing, Given, Method
from longtail.methods.joint import Joint, JointParams
from longtail.methods.lmle import LMLE
from longtail.methods.softmax import Softmax
from longtail.methods.triplet import Triplet
from longtail.methods.triplet.hinge import triplet_hinge
from longtail.network.network import Network, NetworkParams
from longtail.quintuplets import QuintupletTable
from longtail.quintuplets.hinge import Margins
from longtail.world import World

Ints = npt.NDArray[np.int64]
TASKS = [Task(name="digit", classes=["a", "b", "c"]), Task(name="kids", classes=["no", "yes"])]
MARGINS = Margins(g1=0.1, g2=0.2, g3=0.5)
KINDS = ("softmax", "lmle", "triplet", "joint")


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(NetworkParams(embedding=6), TASKS, (16, 16, 1)).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand((30, 1, 16, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def labels() -> dict[str, Ints]:
    rng = np.random.default_rng(0)
    return {"digit": rng.integers(-1, 3, 30), "kids": rng.integers(-1, 2, 30)}


def tables(labels: dict[str, Ints]) -> dict[str, QuintupletTable]:
    rng = np.random.default_rng(1)
    made = {}
    for task, codes in labels.items():
        anchors = np.flatnonzero(codes >= 0)
        members = np.stack([anchors, *rng.choice(anchors, (4, len(anchors)))], axis=1)
        made[task] = QuintupletTable(members, rng.random(len(anchors)) < 0.5)
    return made


def method_of(kind: str, labels: dict[str, Ints], **drawing: Any) -> Method:
    how = Drawing(**{"batch": 12} | drawing)
    given = Given(labels, how, 0, tables=tables(labels))
    made = {
        "softmax": lambda: Softmax(given),
        "lmle": lambda: LMLE(given, MARGINS),
        "triplet": lambda: Triplet(given, 0.5),
        "joint": lambda: Joint(given, JointParams(margins=MARGINS, cross_entropy=0.5, hinges=2)),
    }
    return made[kind]()


def class_weights(codes: Ints, cost: bool) -> list[float]:
    count = len(set(codes.tolist()))
    return [1 / (count * (codes == code).sum()) if cost else 1 / len(codes) for code in codes]


@pytest.mark.parametrize("cost", [True, False])
def test_softmax_is_the_weighted_cross_entropy_of_what_was_drawn(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], cost: bool
) -> None:
    method = method_of("softmax", labels, sampling="natural", cost=cost)
    drawn, batch = method.draw(3), method.batch(3)
    loss = method.loss(network, images[batch.samples], batch)["loss"]
    expected = 0.0
    for task, logits in network.logits(images).items():
        codes = labels[task][drawn[task].positions]
        assert (codes >= 0).all()
        for position, code, weight in zip(drawn[task].positions, codes, class_weights(codes, cost), strict=True):
            expected -= weight * float(F.log_softmax(logits[position], dim=0)[code].detach())
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("cost", [True, False])
def test_lmle_is_the_weighted_hinge_of_what_was_drawn(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], cost: bool
) -> None:
    made = tables(labels)
    method = method_of("lmle", labels, cost=cost)
    drawn, batch = method.draw(2), method.batch(2)
    scalars = {
        name: float(value.detach()) for name, value in method.loss(network, images[batch.samples], batch).items()
    }
    expected = {"hinge_1": 0.0, "hinge_2": 0.0, "hinge_3": 0.0}
    embeddings = {task: value.detach().double() for task, value in network.embed(images).items()}
    for task, one in drawn.items():
        quintuplets = one.positions
        weights = class_weights(labels[task][quintuplets[:, 0]], cost)
        row_of = {anchor: row for row, anchor in enumerate(made[task].members[:, 0])}
        for members, weight in zip(quintuplets, weights, strict=True):
            x = embeddings[task][members]
            D = [float((x[0] - other).square().sum()) for other in x[1:]]
            on = weight * bool(made[task].has_other_cluster[row_of[members[0]]])
            expected["hinge_1"] += on * max(0, 0.1 + D[0] - D[1])
            expected["hinge_2"] += on * max(0, 0.2 + D[1] - D[2])
            expected["hinge_3"] += weight * max(0, 0.5 + D[2] - D[3])
    assert scalars == pytest.approx(expected | {"loss": sum(expected.values())}, rel=1e-4)


@pytest.mark.parametrize("cost", [True, False])
def test_triplet_is_the_weighted_hinge_on_the_farthest_of_the_class_and_the_nearest_outside(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], cost: bool
) -> None:
    method = method_of("triplet", labels, cost=cost)
    drawn, batch = method.draw(1), method.batch(1)
    expected = 0.0
    for task, one in drawn.items():
        quintuplets = method_of("lmle", labels).draw(1)[task].positions
        assert (one.positions == quintuplets[:, [0, 3, 4]]).all()
        x = network.embed(images)[task].detach().double()
        weights = class_weights(labels[task][one.positions[:, 0]], cost)
        for (anchor, positive, negative), weight in zip(one.positions, weights, strict=True):
            D = [float((x[anchor] - x[other]).square().sum()) for other in (positive, negative)]
            expected += weight * max(0, 0.5 + D[0] - D[1])
    loss = method.loss(network, images[batch.samples], batch)["loss"]
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)


def test_the_gradient_of_the_triplet_hinge() -> None:
    x = torch.randn((6, 3), dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    triplets, weights = torch.tensor([[0, 1, 2], [3, 4, 5]]), torch.tensor([0.25, 0.75], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: triplet_hinge(x, triplets, weights, 9.0), x)


def test_joint_is_the_hinges_and_the_cross_entropy_of_all_members(
    network: Network, images: torch.Tensor, labels: dict[str, Ints]
) -> None:
    method = method_of("joint", labels)
    batch = method.batch(1)
    scalars = method.loss(network, images[batch.samples], batch)
    hinges = method_of("lmle", labels).loss(network, images[batch.samples], batch_of_lmle(batch))
    expected = 0.0
    for task, one in method.draw(1).items():
        members = one.positions.ravel()
        losses = F.cross_entropy(
            network.logits(images)[task][members], torch.from_numpy(labels[task][members]), reduction="none"
        )
        expected += float((losses.detach().numpy() * class_weights(labels[task][members], cost=True)).sum())
    assert float(scalars["cross_entropy"].detach()) == pytest.approx(expected, rel=1e-4)
    for name in ("hinge_1", "hinge_2", "hinge_3"):
        assert float(scalars[name].detach()) == pytest.approx(float(hinges[name].detach()), rel=1e-5)
    assert float(scalars["loss"].detach()) == pytest.approx(
        0.5 * expected + 2 * float(hinges["loss"].detach()), rel=1e-4
    )


def batch_of_lmle(batch: Batch) -> Batch:
    """A mini-batch of the joint method as LMLE would have drawn it."""
    kept = ("weights", "has_other_cluster")
    return replace(batch, about={task: {name: about[name] for name in kept} for task, about in batch.about.items()})


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_that_draw_together_use_each_image_for_all_tasks_that_label_it(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], kind: str
) -> None:
    method = method_of(kind, labels, together=True)
    anchors = {task: one.positions.reshape(len(one.positions), -1)[:, 0] for task, one in method.draw(0).items()}
    counts = np.bincount(labels["digit"][anchors["digit"]])
    assert counts.tolist() == [4, 4, 4]
    assert anchors["kids"].tolist() == [p for p in anchors["digit"].tolist() if labels["kids"][p] >= 0]
    batch = method.batch(0)
    assert float(method.loss(network, images[batch.samples], batch)["loss"].detach()) > 0


def test_a_task_of_which_a_mini_batch_has_no_label_adds_nothing(network: Network, images: torch.Tensor) -> None:
    labels = {"digit": np.arange(30) % 3, "kids": np.where(np.arange(30) > 27, np.arange(30) % 2, -1)}
    for kind in KINDS:
        method = method_of(kind, labels, together=True, batch=3)
        step = next(s for s in range(0, 20, 2) if not len(method.draw(s)["kids"].positions))
        batch = method.batch(step)
        loss = method.loss(network, images[batch.samples], batch)["loss"]
        assert torch.isfinite(loss)


def test_an_image_that_several_draws_share_is_in_the_batch_once(labels: dict[str, Ints]) -> None:
    method = method_of("lmle", labels)
    drawn, batch = method.draw(0), method.batch(0)
    assert isinstance(batch, Batch)
    assert batch.samples.tolist() == sorted({int(p) for one in drawn.values() for p in one.positions.ravel()})
    for task, one in drawn.items():
        assert (batch.samples[batch.draws[task].numpy()] == one.positions).all()


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_draw_their_own_samples_evenly_from_their_own_classes(labels: dict[str, Ints], kind: str) -> None:
    for task, one in method_of(kind, labels).draw(0).items():
        anchors = one.positions.reshape(12, -1)[:, 0]
        counts = np.bincount(labels[task][anchors])
        assert counts.tolist() == [12 // len(counts)] * len(counts)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_may_be_drawn_ahead_of_the_loss_of_another(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], kind: str
) -> None:
    method = method_of(kind, labels, batch=12)
    batch = method.batch(0)
    expected = method.loss(network, images[batch.samples], batch)["loss"]
    method.batch(1)
    assert method.loss(network, images[batch.samples], batch)["loss"] == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [2, 3])
def test_the_shares_of_the_processes_are_the_mini_batch_of_one(labels: dict[str, Ints], kind: str, size: int) -> None:
    method = method_of(kind, labels, batch=12)
    for step in range(5):
        whole = method.batch(step)
        parts = [method_of(kind, labels, batch=12).batch(step, World(rank, size)) for rank in range(size)]
        for task, rows in whole.draws.items():
            shares = [part.samples[part.draws[task].numpy()] for part in parts]
            assert [len(share) for share in shares] == [12 // size] * size
            assert np.array_equal(np.concatenate(shares), whole.samples[rows.numpy()])
        for part in parts:
            assert part.whole == len(whole.samples)
            assert np.array_equal(whole.samples[part.places], part.samples)
            assert len(set(part.samples.tolist())) == len(part.samples)


@pytest.mark.parametrize("kind", KINDS)
def test_the_losses_and_gradients_of_the_processes_add_up_to_those_of_one(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], kind: str
) -> None:
    def scalars_and_gradient(rank: int, size: int) -> tuple[dict[str, float], list[torch.Tensor]]:
        method = method_of(kind, labels, batch=6, sampling="natural")
        batch = method.batch(1, World(rank, size))
        scalars = method.loss(network.double(), images[batch.samples].double(), batch)
        network.zero_grad()
        scalars["loss"].backward()  # type: ignore[no-untyped-call]
        gradient = [p.grad.clone() for p in network.parameters() if p.grad is not None]
        return {name: float(value.detach()) for name, value in scalars.items()}, gradient

    drawn = method_of(kind, labels, batch=6, sampling="natural").draw(1)["digit"].positions.reshape(6, -1)[:, 0]
    codes = labels["digit"][drawn]
    assert set(codes[:3]) != set(codes)  # a class that is missing in the first share

    whole, gradient = scalars_and_gradient(0, 1)
    parts = [scalars_and_gradient(rank, 2) for rank in range(2)]
    assert {name: sum(part[name] for part, _ in parts) for name in whole} == pytest.approx(whole, rel=1e-5)
    for one, *others in zip(gradient, *(part for _, part in parts), strict=True):
        assert torch.allclose(one, torch.stack(others).sum(0), rtol=1e-4, atol=1e-7)
