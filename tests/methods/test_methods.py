"""What the methods draw, and that their losses are those of the equations, whatever shares a batch."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F

from longtail.data.dataset import Task
from longtail.losses.triple_header_hinge import Margins
from longtail.methods.base import Batch
from longtail.methods.lmle import LMLE
from longtail.methods.softmax import Softmax
from longtail.models.network import Network, NetworkParams
from longtail.quintuplets import QuintupletTable
from longtail.world import World

Ints = npt.NDArray[np.int64]
TASKS = [Task(name="digit", classes=["a", "b", "c"]), Task(name="kids", classes=["no", "yes"])]
MARGINS = Margins(g1=0.1, g2=0.2, g3=0.5)


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


def class_weights(codes: Ints, cost: bool) -> list[float]:
    count = len(set(codes.tolist()))
    return [1 / (count * (codes == code).sum()) if cost else 1 / len(codes) for code in codes]


@pytest.mark.parametrize("cost", [True, False])
def test_softmax_is_the_weighted_cross_entropy_of_what_was_drawn(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], cost: bool
) -> None:
    method = Softmax(labels, batch=12, class_even=False, cost=cost, seed=0)
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
    method = LMLE(labels, made, MARGINS, batch=12, class_even=True, cost=cost, seed=0)
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


def test_an_image_that_several_draws_share_is_in_the_batch_once(labels: dict[str, Ints]) -> None:
    method = LMLE(labels, tables(labels), MARGINS, batch=12, class_even=True, cost=True, seed=0)
    drawn, batch = method.draw(0), method.batch(0)
    assert isinstance(batch, Batch)
    assert batch.samples.tolist() == sorted({int(p) for one in drawn.values() for p in one.positions.ravel()})
    for task, one in drawn.items():
        assert (batch.samples[batch.draws[task].numpy()] == one.positions).all()


@pytest.mark.parametrize("kind", ["softmax", "lmle"])
def test_tasks_draw_their_own_samples_evenly_from_their_own_classes(labels: dict[str, Ints], kind: str) -> None:
    made = tables(labels)
    method: Softmax | LMLE = (
        Softmax(labels, batch=12, class_even=True, cost=True, seed=0)
        if kind == "softmax"
        else LMLE(labels, made, MARGINS, batch=12, class_even=True, cost=True, seed=0)
    )
    for task, one in method.draw(0).items():
        anchors = one.positions.reshape(12, -1)[:, 0]
        counts = np.bincount(labels[task][anchors])
        assert counts.tolist() == [12 // len(counts)] * len(counts)


def method_of(kind: str, labels: dict[str, Ints], *, batch: int, class_even: bool = True) -> Softmax | LMLE:
    how = {"batch": batch, "class_even": class_even, "cost": True, "seed": 0}
    return Softmax(labels, **how) if kind == "softmax" else LMLE(labels, tables(labels), MARGINS, **how)


@pytest.mark.parametrize("kind", ["softmax", "lmle"])
def test_a_step_may_be_drawn_ahead_of_the_loss_of_another(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], kind: str
) -> None:
    method = method_of(kind, labels, batch=12)
    batch = method.batch(0)
    expected = method.loss(network, images[batch.samples], batch)["loss"]
    method.batch(1)
    assert method.loss(network, images[batch.samples], batch)["loss"] == expected


@pytest.mark.parametrize("kind", ["softmax", "lmle"])
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


@pytest.mark.parametrize("kind", ["softmax", "lmle"])
def test_the_losses_and_gradients_of_the_processes_add_up_to_those_of_one(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], kind: str
) -> None:
    def scalars_and_gradient(rank: int, size: int) -> tuple[dict[str, float], list[torch.Tensor]]:
        method = method_of(kind, labels, batch=6, class_even=False)
        batch = method.batch(1, World(rank, size))
        scalars = method.loss(network, images[batch.samples], batch)
        network.zero_grad()
        scalars["loss"].backward()  # type: ignore[no-untyped-call]
        gradient = [p.grad.clone() for p in network.parameters() if p.grad is not None]
        return {name: float(value.detach()) for name, value in scalars.items()}, gradient

    drawn = method_of(kind, labels, batch=6, class_even=False).draw(1)["digit"].positions.reshape(6, -1)[:, 0]
    codes = labels["digit"][drawn]
    assert set(codes[:3]) != set(codes)  # a class that is missing in the first share

    whole, gradient = scalars_and_gradient(0, 1)
    parts = [scalars_and_gradient(rank, 2) for rank in range(2)]
    assert {name: sum(part[name] for part, _ in parts) for name in whole} == pytest.approx(whole, rel=1e-5)
    for one, *others in zip(gradient, *(part for _, part in parts), strict=True):
        assert torch.allclose(one, torch.stack(others).sum(0), rtol=1e-4, atol=1e-7)
