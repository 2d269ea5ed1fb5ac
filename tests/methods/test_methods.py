"""What the methods draw, and that their losses are those of the equations, whatever shares a batch."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F

from longtail import methods
from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.methods.base import Method, Sampling, Setup
from longtail.methods.batch import Batch
from longtail.methods.catalogue import CATALOGUE, entry_of, params_class, title_of
from longtail.methods.in_batch import InBatchMethod
from longtail.methods.triplet.hinge import triplet_hinge
from longtail.network.network import Network, NetworkParams
from longtail.quintuplets.hinge import Margins, triple_header_hinge
from longtail.quintuplets.in_batch import batch_quintuplets
from longtail.quintuplets.table import QuintupletTable, save_centroids, save_tables
from longtail.rules.base import rule_class
from longtail.rules.registry import RULES
from longtail.world import World

Ints = npt.NDArray[np.int64]
TASKS = [Task(name="digit", classes=["a", "b", "c"]), Task(name="kids", classes=["no", "yes"])]
COLOURS = np.random.default_rng(3).integers(0, 99, (30, 9)).astype(np.uint16)
MARGINS = Margins(g1=0.1, g2=0.2, g3=0.5)
# Parameters other than the defaults, where a test computes with them; and those that small mini-batches need.
CHOSEN: dict[str, dict[str, Any]] = {
    "lmle": {"margins": MARGINS},
    "joint": {"margins": MARGINS, "cross_entropy": 0.5, "hinges": 2},
}


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
        made[task] = QuintupletTable(members, rng.random(len(anchors)) < 0.5, 2 * codes[anchors] + anchors % 2)
    return made


def method_of(kind: str, labels: dict[str, Ints], **sampling: Any) -> Method:
    with tempfile.TemporaryDirectory() as folder:
        save_tables(Path(folder), tables(labels))
        for task, of_task in tables(labels).items():
            drawn = np.random.default_rng(2).dirichlet(np.ones(6), of_task.clusters.max() + 1)
            save_centroids(Path(folder), task, drawn.astype(np.float32))
        setup = Setup(labels, Sampling(**{"batch": 12} | sampling), 0, table=Path(folder), colours=COLOURS)
        made: Method = params_class(kind)(**CHOSEN.get(kind, {})).build(setup)
    return made


def network_of(kind: str) -> Network:
    """A network with the heads of a method."""
    torch.manual_seed(0)
    params = params_class(kind)()
    how = NetworkParams(embedding=6, shared_embedding=params.one_embedding)
    return Network(how, TASKS, (16, 16, 1), head=params.head).eval()


def views(method: Method, images: torch.Tensor, batch: Batch) -> torch.Tensor:
    """What the loss of a mini-batch is given: its images, once for each view."""
    return torch.cat([images[batch.samples]] * method.views)


def shares_images(kind: str) -> bool:
    return method_of(kind, {"digit": np.arange(30) % 3, "kids": np.arange(30) % 2}).shares_images


# Every method that there is, those that are added later too.
KINDS = tuple(CATALOGUE)
# Of which each task has images of its own, with labels.
OWN = tuple(kind for kind in KINDS if not shares_images(kind))
# Which compare each image of a mini-batch with the others, once.
IN_BATCH = tuple(kind for kind in OWN if isinstance(method_of(kind, {"digit": np.arange(30) % 3}), InBatchMethod))
# Whose losses over several processes are that of one.
SUMMED = tuple(kind for kind in KINDS if kind not in {"class_rectification", "silknet", *IN_BATCH})


def class_weights(codes: Ints, cost: bool) -> list[float]:
    count = len(set(codes.tolist()))
    return [1 / (count * (codes == code).sum()) if cost else 1 / len(codes) for code in codes]


@pytest.mark.parametrize("cost", [True, False])
def test_softmax_is_the_weighted_cross_entropy_of_what_was_drawn(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], cost: bool
) -> None:
    method = method_of("softmax", labels, sampling="natural", cost=cost)
    selected, batch = method.select(3), method.batch(3)
    loss = method.loss(network, images[batch.samples], batch)["loss"]
    expected = 0.0
    for task, logits in network.logits(images).items():
        codes = labels[task][selected[task].positions]
        assert (codes >= 0).all()
        for position, code, weight in zip(selected[task].positions, codes, class_weights(codes, cost), strict=True):
            expected -= weight * float(F.log_softmax(logits[position], dim=0)[code].detach())
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("cost", [True, False])
def test_lmle_is_the_weighted_hinge_of_what_was_drawn(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], cost: bool
) -> None:
    made = tables(labels)
    method = method_of("lmle", labels, cost=cost)
    selected, batch = method.select(2), method.batch(2)
    scalars = {
        name: float(value.detach()) for name, value in method.loss(network, images[batch.samples], batch).items()
    }
    expected = {"hinge_1": 0.0, "hinge_2": 0.0, "hinge_3": 0.0}
    embeddings = {task: value.detach().double() for task, value in network.embed(images).items()}
    for task, one in selected.items():
        quintuplets = one.positions
        weights = class_weights(labels[task][quintuplets[:, 0]], cost)
        row_of = {anchor: row for row, anchor in enumerate(made[task].members[:, 0])}
        for members, weight in zip(quintuplets, weights, strict=True):
            x = embeddings[task][members]
            D = [float((x[0] - other).square().sum()) for other in x[1:]]
            on = weight * bool(made[task].has_other_cluster[row_of[members[0]]])
            expected["hinge_1"] += on * max(0, 0.1 + D[0] - D[1])
            expected["hinge_2"] += on * max(0, 0.2 + D[1] - D[2]) * (members[3] not in members[1:3])
            expected["hinge_3"] += weight * max(0, 0.5 + D[2] - D[3])
    assert scalars == pytest.approx(expected | {"loss": sum(expected.values())}, rel=1e-4)


@pytest.mark.parametrize("kind", ["lmle", "joint"])
def test_fresh_quintuplets_of_single_samples_are_refused(labels: dict[str, Ints], kind: str, tmp_path: Path) -> None:
    labels = {"digit": labels["digit"]}
    save_tables(tmp_path, tables(labels))

    def build(**sampling: Any) -> None:
        params_class(kind)(mining="batch").build(Setup(labels, Sampling(**sampling), 0, table=tmp_path))

    build(batch=5)
    build(batch=7)
    build(batch=3, sampling="natural")
    for sampling in ("natural", "class_even"):
        with pytest.raises(DataError, match="mini-batches have 2: set `batch` to 3 or more"):
            build(batch=2, sampling=sampling)
    for batch, most in ((3, 1), (4, 2), (6, 2)):
        says = f"{batch} have at most {most} of each of the 3 classes of 'digit': set `batch` to 9 or more"
        with pytest.raises(DataError, match=says):
            build(batch=batch)


@pytest.mark.parametrize("kind", ["lmle", "joint"])
def test_fresh_quintuplets_are_those_of_the_mini_batch_by_its_embeddings(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], kind: str
) -> None:
    made = tables(labels)
    with tempfile.TemporaryDirectory() as folder:
        save_tables(Path(folder), made)
        params = params_class(kind)(mining="batch", margins=MARGINS)
        method = params.build(Setup(labels, Sampling(batch=12), 0, table=Path(folder)))
    batch = method.batch(1)
    scalars = method.loss(network, images[batch.samples], batch)
    expected, whole = torch.zeros(3), []
    for task, one in method.select(1).items():
        rows = one.positions
        embeddings, codes = network.embed(images)[task].detach()[rows], labels[task][rows]
        own = dict(zip(made[task].members[:, 0].tolist(), made[task].clusters.tolist(), strict=True))
        clusters = np.array([own[position] for position in rows.tolist()])
        mined = batch_quintuplets(embeddings, torch.from_numpy(codes), torch.from_numpy(clusters))
        drawn = method.sampler.positions(1)[task]
        weights = torch.tensor(class_weights(labels[task][drawn], cost=True))
        assert len(rows) == len(set(drawn.tolist()))
        weights = torch.stack([weights[drawn == position].sum() for position in rows])
        five = [len(set(members)) == 5 for members in mined.members.tolist()]
        whole.append(float(weights[torch.tensor(five) & mined.has_other_cluster].sum()))
        expected += torch.stack(
            triple_header_hinge(embeddings, mined.members, mined.has_other_cluster, weights, MARGINS)[1:]
        )
    assert [float(scalars[f"hinge_{n}"].detach()) for n in (1, 2, 3)] == pytest.approx(expected.tolist(), rel=1e-4)
    assert float(scalars["whole"]) == pytest.approx(np.mean(whole), rel=1e-4)


@pytest.mark.parametrize("kind", ["lmle", "joint", "triplet"])
def test_hinges_are_in_full_precision_under_autocast(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bfloat16 neighbours that lie close together would be equally near, and hinges would flip."""
    seen = []
    for module, name in ((methods.quintuplets, "triple_header_hinge"), (methods.triplet, "triplet_hinge")):

        def spied(points: torch.Tensor, *args: Any, own: Any = getattr(module, name)) -> Any:  # noqa: B008
            seen.append((points.dtype, torch.is_autocast_enabled("cpu")))
            return own(points, *args)

        monkeypatch.setattr(module, name, spied)
    method = method_of(kind, labels)
    batch = method.batch(1)
    with torch.autocast("cpu", torch.bfloat16):
        method.loss(network, images[batch.samples], batch)["loss"].backward()
    assert seen
    assert set(seen) == {(torch.float32, False)}


@pytest.mark.parametrize("cost", [True, False])
def test_triplet_is_the_weighted_hinge_on_the_farthest_of_the_class_and_the_nearest_outside(
    network: Network, images: torch.Tensor, labels: dict[str, Ints], cost: bool
) -> None:
    method = method_of("triplet", labels, cost=cost)
    selected, batch = method.select(1), method.batch(1)
    expected = 0.0
    for task, one in selected.items():
        quintuplets = method_of("lmle", labels).select(1)[task].positions
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


@pytest.mark.parametrize("cost", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("sampling", ["class_even", "natural"])
def test_joint_with_fresh_quintuplets_classifies_what_is_drawn(cost: float, sampling: Any, tmp_path: Path) -> None:
    """A rare sample that is drawn again and again is there once, and counts as often as it was drawn."""
    labels = {"digit": np.repeat([0, 1], [390, 10])}
    save_tables(tmp_path, tables(labels))
    setup = Setup(labels, Sampling(batch=128, cost=cost, sampling=sampling), 0, 1, tmp_path, classes={"digit": 2})
    method = params_class("joint")(mining="batch").build(setup)
    method.plan(500)
    found = np.zeros(2)
    for step in range(100):
        codes, weights = method.classifier_targets("digit", method.select(step))
        np.add.at(found, codes, weights)
        assert weights.sum() == pytest.approx(1)
    assert method.trained_prior({"digit": 2}, 500)["digit"] == pytest.approx(found / found.sum(), abs=0.02)


def test_joint_is_the_hinges_and_the_cross_entropy_of_all_members(
    network: Network, images: torch.Tensor, labels: dict[str, Ints]
) -> None:
    method = method_of("joint", labels)
    batch = method.batch(1)
    scalars = method.loss(network, images[batch.samples], batch)
    hinges = method_of("lmle", labels).loss(network, images[batch.samples], batch_of_lmle(batch))
    expected = 0.0
    for task, one in method.select(1).items():
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
    return replace(batch, targets={task: {name: of[name] for name in kept} for task, of in batch.targets.items()})


@pytest.mark.parametrize("kind", OWN)
def test_tasks_that_draw_together_use_each_image_for_all_tasks_that_label_it(
    images: torch.Tensor, labels: dict[str, Ints], kind: str
) -> None:
    method, network = method_of(kind, labels, together=True), network_of(kind)
    anchors = {task: one.positions.reshape(len(one.positions), -1)[:, 0] for task, one in method.select(0).items()}
    counts = np.bincount(labels["digit"][anchors["digit"]])
    assert counts.tolist() == [4, 4, 4]
    assert anchors["kids"].tolist() == [p for p in anchors["digit"].tolist() if labels["kids"][p] >= 0]
    batch = method.batch(0)
    assert float(method.loss(network, views(method, images, batch), batch)["loss"].detach()) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_of_which_a_mini_batch_has_no_label_adds_nothing(images: torch.Tensor, kind: str) -> None:
    labels = {"digit": np.arange(30) % 3, "kids": np.where(np.arange(30) > 27, np.arange(30) % 2, -1)}
    method = method_of(kind, labels, together=True, batch=6)

    def unlabelled(step: int) -> bool:
        return bool((labels["kids"][method.select(step)["kids"].positions] < 0).all())

    batch, network = method.batch(next(step for step in range(0, 20, 2) if unlabelled(step))), network_of(kind)
    scalars = method.loss(network, views(method, images, batch), batch)
    assert torch.isfinite(scalars["loss"])
    scalars["loss"].backward()  # type: ignore[no-untyped-call]
    others, own = (list(classifier.parameters()) for classifier in network.classifiers)
    if len(network.embeddings) > 1:
        others, own = others + list(network.embeddings[0].parameters()), own + list(network.embeddings[1].parameters())
    assert all(p.grad is None or not p.grad.any() for p in own)
    assert any(p.grad is not None and p.grad.any() for p in others)


def test_an_image_that_several_draws_share_is_in_the_batch_once(labels: dict[str, Ints]) -> None:
    method = method_of("lmle", labels)
    selected, batch = method.select(0), method.batch(0)
    assert isinstance(batch, Batch)
    assert batch.samples.tolist() == sorted({int(p) for one in selected.values() for p in one.positions.ravel()})
    for task, one in selected.items():
        assert (batch.samples[batch.rows[task].numpy()] == one.positions).all()


@pytest.mark.parametrize("kind", OWN)
def test_tasks_draw_their_own_samples_evenly_from_their_own_classes(labels: dict[str, Ints], kind: str) -> None:
    for task, one in method_of(kind, labels).select(0).items():
        anchors = one.positions.reshape(12, -1)[:, 0]
        counts = np.bincount(labels[task][anchors])
        assert counts.tolist() == [12 // len(counts)] * len(counts)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_may_be_drawn_ahead_of_the_loss_of_another(
    images: torch.Tensor, labels: dict[str, Ints], kind: str
) -> None:
    method, network = method_of(kind, labels, batch=12), network_of(kind)
    batch = method.batch(0)
    expected = method.loss(network, views(method, images, batch), batch)["loss"]
    method.batch(1)
    assert method.loss(network, views(method, images, batch), batch)["loss"] == expected


@pytest.mark.parametrize("kind", [kind for kind, entry in CATALOGUE.items() if not entry.needs_table])
@pytest.mark.parametrize("together", [False, True])
def test_no_task_is_trained_on_more_of_a_class_than_at_most(labels: dict[str, Ints], kind: str, together: bool) -> None:
    """Nor by what another task has drawn."""
    method = method_of(kind, labels, sampling="natural", at_most=3, together=together)
    seen: dict[tuple[str, int], set[int]] = {}
    for step in range(20):
        for task, one in method.select(step).items():
            for row, code in zip(one.positions, one.targets["codes"].tolist(), strict=True):
                # A row of several has the anchor, of that code, and others beside it.
                for place, position in enumerate(np.ravel(row).tolist()):
                    own = int(labels[task][position]) if place else code
                    seen.setdefault((task, own), set()).add(position)
    assert {len(of_class) for (_, code), of_class in seen.items() if code >= 0} == {3}


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("size", [2, 3])
def test_the_shares_of_the_processes_are_the_mini_batch_of_one(labels: dict[str, Ints], kind: str, size: int) -> None:
    method = method_of(kind, labels, batch=12)
    for step in range(5):
        whole = method.batch(step)
        parts = [method_of(kind, labels, batch=12).batch(step, World(rank, size)) for rank in range(size)]
        for task, rows in whole.rows.items():
            shares = [part.samples[part.rows[task].numpy()] for part in parts]
            if kind not in IN_BATCH:
                assert [len(share) for share in shares] == [12 // size] * size
            assert np.array_equal(np.concatenate(shares), whole.samples[rows.numpy()])
        for part in parts:
            assert part.whole == len(whole.samples)
            assert np.array_equal(whole.samples[part.places], part.samples)
            assert len(set(part.samples.tolist())) == len(part.samples)


@pytest.mark.parametrize("kind", SUMMED)
def test_the_losses_and_gradients_of_the_processes_add_up_to_those_of_one(
    images: torch.Tensor, labels: dict[str, Ints], kind: str
) -> None:
    network = network_of(kind).double()

    def scalars_and_gradient(rank: int, size: int) -> tuple[dict[str, float], list[torch.Tensor]]:
        torch.manual_seed(0)  # of what is random in the parameters of a method's own
        method = method_of(kind, labels, batch=6, sampling="natural").double()
        batch = method.batch(1, World(rank, size))
        network.zero_grad()
        scalars = method.loss(network, views(method, images, batch).double(), batch)
        scalars["loss"].backward()  # type: ignore[no-untyped-call]
        gradient = [p.grad.clone() for p in (*network.parameters(), *method.parameters()) if p.grad is not None]
        return {name: float(value.detach()) for name, value in scalars.items()}, gradient

    drawn = method_of(kind, labels, batch=6, sampling="natural").select(1)["digit"].positions
    codes = labels["digit"][drawn.reshape(len(drawn), -1)[:, 0]]
    assert set(codes[: len(codes) // 2]) != set(codes)  # a class that is missing in the first share

    whole, gradient = scalars_and_gradient(0, 1)
    parts = [scalars_and_gradient(rank, 2) for rank in range(2)]
    assert {name: sum(part[name] for part, _ in parts) for name in whole} == pytest.approx(whole, rel=1e-5)
    for one, *others in zip(gradient, *(part for _, part in parts), strict=True):
        assert torch.allclose(one, torch.stack(others).sum(0), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_catalogue_says_of_a_method_is_true(labels: dict[str, Ints], images: torch.Tensor, kind: str) -> None:
    entry, params = CATALOGUE[kind], params_class(kind)(**CHOSEN.get(kind, {}))
    assert params.kind == kind
    title = title_of(params.model_dump(mode="json"))
    assert title
    assert "{" not in title
    assert entry.rule in RULES
    method = method_of(kind, labels, sampling="natural")
    assert method.trains_classifier or not rule_class(entry.rule).needs_logits
    batch = method.batch(0)
    scalars = method.loss(network_of(kind), views(method, images, batch), batch)
    assert {"loss", *entry.parts} <= set(scalars)
    assert all(value.shape == () for value in scalars.values())
    if not entry.needs_table:
        alone = params.build(Setup(labels, Sampling(batch=12, sampling="natural"), 0, colours=COLOURS))
        assert alone.batch(0).samples.tolist() == batch.samples.tolist()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("size", [1.0, 1e4])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_finite_and_its_gradient_flows_to_all_that_is_trained(
    images: torch.Tensor, labels: dict[str, Ints], kind: str, size: float, half: bool
) -> None:
    """Of a network whose logits are so many times as large, too, and in bfloat16."""
    method, network = method_of(kind, labels, sampling="natural"), network_of(kind)
    with torch.no_grad():
        for head in network.classifiers:
            head.weight.mul_(size)
    batch = method.batch(0)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        scalars = method.loss(network, views(method, images, batch), batch)
    assert all(torch.isfinite(value) for value in scalars.values())
    scalars["loss"].backward()  # type: ignore[no-untyped-call]
    trained = {
        "backbone": network.backbone,
        "embeddings": network.embeddings,
        **({"classifiers": network.classifiers} if method.trains_classifier else {}),
        "method": method,
    }
    for part, module in trained.items():
        gradients = [p.grad for p in module.parameters() if p.requires_grad]
        assert all(g is not None and torch.isfinite(g).all() for g in gradients), part
        assert not gradients or any(bool(g.any()) for g in gradients if g is not None), part


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bits(images: torch.Tensor, labels: dict[str, Ints], kind: str) -> None:
    def scalars(step: int) -> dict[str, float]:
        torch.manual_seed(0)
        method, network = method_of(kind, labels, sampling="natural"), network_of(kind)
        batch = method.batch(step)
        found = method.loss(network, views(method, images, batch), batch)
        return {name: float(value.detach()) for name, value in found.items()}

    assert scalars(0) == scalars(0) != scalars(1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [2, 7])
def test_a_methods_head_scores_every_class(kind: str, classes: int) -> None:
    torch.manual_seed(0)
    head = params_class(kind)().head(6, classes)
    scores = head(torch.rand(5, 6))
    assert scores.shape == (5, classes)
    assert torch.isfinite(scores).all()


def test_every_folder_of_a_method_is_in_the_catalogue() -> None:
    folders = {file.parent.name for file in Path(methods.__path__[0]).glob("*/__init__.py")}
    assert folders == set(CATALOGUE)


def test_a_method_that_does_not_exist_is_named_with_the_nearest_or_those_that_do() -> None:
    for of_kind in (entry_of, params_class):
        with pytest.raises(DataError, match=r"^there is no method 'lmel'; did you mean 'lmle'\?$"):
            of_kind("lmel")
        with pytest.raises(DataError, match=rf"^there is no method 'x'; there are {', '.join(CATALOGUE)}$"):
            of_kind("x")
