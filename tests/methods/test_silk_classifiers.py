"""The losses of auxiliary clustering and SilkNet as a whole: weights, missing labels, views, warnings."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from longtail.data.colours import standardised
from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.methods.base import Method, Sampling, Setup
from longtail.methods.batch import Batch
from longtail.methods.catalogue import params_class
from longtail.methods.focal import focal_loss
from longtail.methods.semantic import semantic_similarity_loss
from longtail.methods.similarity import colour_similarity_loss, pairwise_distances, self_similarity_loss
from longtail.network.network import Network, NetworkParams
from longtail.training.params import TrainingParams

TASKS = [Task(name="place", classes=["a", "b", "c"]), Task(name="time", classes=["x", "y"])]
COUNTS = np.random.default_rng(1).integers(0, 500, (40, 25)).astype(np.uint16)
Ints = npt.NDArray[np.int64]


def labels() -> dict[str, Ints]:
    rng = np.random.default_rng(0)
    return {"place": rng.integers(-1, 3, 40), "time": rng.integers(-1, 2, 40)}


def method_of(kind: str, given: dict[str, Ints] | None = None, batch: int = 16, **params: Any) -> Method:
    sampling = params.pop("sampling", {"sampling": "natural", "cost": False})
    setup = Setup(given or labels(), Sampling(batch=batch, **sampling), 0, backgrounds={"place": 2}, colours=COUNTS)
    made: Method = params_class(kind)(**params).build(setup)
    return made


def network(shared: bool) -> Network:
    torch.manual_seed(0)
    how = NetworkParams(embedding=6, shared_embedding=shared, relu="classifier", task_layers=[5])
    return Network(how, TASKS, (16, 16, 1)).eval()


def images(batch: Batch, views: int) -> Tensor:
    """Of each view others."""
    drawn = torch.rand((views, 40, 1, 16, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1
    return drawn[:, batch.samples].flatten(0, 1)


def scalars(method: Method, made: Network, batch: Batch) -> dict[str, float]:
    return {name: value.item() for name, value in method.loss(made, images(batch, method.views), batch).items()}


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_silknet_is_the_sum_of_its_losses_each_over_what_is_known(gamma: float) -> None:
    method, made = method_of("silknet", gamma=gamma, classification=0.7, clustering=0.9, semantic=0.2), network(True)
    batch, views = method.batch(3), method.views
    assert views == 2
    positions, count = batch.samples, len(batch.samples)
    embeddings, logits = made.embed_and_classify(images(batch, views))
    found, annotations = 0.0, 0
    for task in TASKS:
        for row, code in enumerate(labels()[task.name][positions].tolist()):
            if code >= 0:
                annotations += 1
                found += focal_loss(logits[task.name][[row]], torch.tensor([code]), gamma).item()
    points = embeddings["place"]
    codes = torch.tensor(np.stack([labels()[task.name][positions] for task in TASKS]))
    distances = pairwise_distances(points[:count])
    expected = {
        "classification": found / annotations,
        "semantic": semantic_similarity_loss(distances, codes, torch.tensor([2, -1])).item(),
        "colour": colour_similarity_loss(distances, torch.tensor(standardised(COUNTS[positions]))).item(),
        "self_similarity": self_similarity_loss(points[:count], points[count:]).item(),
    }
    expected["loss"] = 0.7 * expected["classification"] + 0.9 * (
        0.2 * expected["semantic"] + 0.5 * expected["colour"] + 0.5 * expected["self_similarity"]
    )
    assert scalars(method, made, batch) == pytest.approx(expected, rel=1e-5)


def test_auxiliary_clustering_is_the_sum_over_the_tasks() -> None:
    method, made = method_of("auxiliary_clustering", semantic=0.3, colour=0.6), network(False)
    batch = method.batch(0)  # in later ones an image may be drawn twice, and weigh as much
    embeddings, logits = made.embed_and_classify(images(batch, 1))
    expected = {"classification": 0.0, "semantic": 0.0, "colour": 0.0}
    for task, background in zip(TASKS, (2, -1), strict=True):
        rows = batch.rows[task.name]
        codes = torch.tensor(labels()[task.name][batch.samples[rows]])
        assert (codes >= 0).all()
        distances = pairwise_distances(embeddings[task.name][rows])
        colours = torch.tensor(standardised(COUNTS[batch.samples[rows]]))
        expected["classification"] += F.cross_entropy(logits[task.name][rows], codes).item()
        expected["semantic"] += semantic_similarity_loss(distances, codes[None], torch.tensor([background])).item()
        expected["colour"] += colour_similarity_loss(distances, colours).item()
    expected["loss"] = expected["classification"] + 0.3 * expected["semantic"] + 0.6 * expected["colour"]
    assert scalars(method, made, batch) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["auxiliary_clustering", "silknet"])
def test_without_clustering_it_is_classification_of_one_view_and_needs_no_colours(kind: str) -> None:
    setup = Setup(labels(), Sampling(batch=16, sampling="natural", cost=False), 0)
    method = params_class(kind)(clustering=0).build(setup)
    assert method.views == 1
    assert not method.plain_first
    assert set(scalars(method, network(kind == "silknet"), method.batch(0))) == {"loss", "classification"}
    with pytest.raises(DataError, match=r"no colour histograms: set `ingest.colours: 5`"):
        params_class(kind)().build(setup)


def test_what_stands_in_unlabelled_slots_is_of_no_account() -> None:
    """Neither the scores of a task that does not label an image, nor what stands in the place of its label."""
    method, made = method_of("silknet"), network(True)
    batch = method.batch(0)
    unlabelled = batch.targets["time"]["codes"] < 0
    assert unlabelled.any()
    before = scalars(method, made, batch)
    logits = made.embed_and_classify

    def changed(given: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        embeddings, scores = logits(given)
        other = scores["time"].clone()
        other[batch.rows["time"][unlabelled]] = torch.inf
        return embeddings, scores | {"time": other}

    made.embed_and_classify = changed  # type: ignore[method-assign]
    batch.targets["time"]["weights"][unlabelled] = 9.0
    assert scalars(method, made, batch) == before


def test_a_task_without_any_label_in_a_mini_batch_has_no_gradient() -> None:
    given = labels()
    given["time"] = np.where(np.arange(40) < 38, -1, given["time"].clip(min=0))
    method, made = method_of("silknet", given), network(True)
    batch = next(b for b in map(method.batch, range(40)) if (b.targets["time"]["codes"] < 0).all())
    found = method.loss(made, images(batch, 2), batch)
    found["loss"].backward()  # type: ignore[no-untyped-call]
    of_task = [*made.branches[1].parameters(), *made.classifiers[1].parameters()]
    assert found["loss"].isfinite()
    assert all(p.grad is None or not p.grad.any() for p in of_task)


@pytest.mark.parametrize("scale", [1.0, -100.0, 100.0])
@pytest.mark.parametrize("kind", ["auxiliary_clustering", "silknet"])
def test_in_bfloat16_it_is_finite_where_logits_are_large(kind: str, scale: float) -> None:
    method, made = method_of(kind), network(kind == "silknet")
    with torch.no_grad():
        for classifier in made.classifiers:
            classifier.bias.copy_(scale * torch.linspace(-1, 1, len(classifier.bias)))
    batch = method.batch(0)
    with torch.autocast("cpu", torch.bfloat16):
        found = method.loss(made, images(batch, method.views), batch)
    found["loss"].backward()  # type: ignore[no-untyped-call]
    assert all(value.isfinite() for value in found.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in made.parameters())


@pytest.mark.parametrize("kind", ["auxiliary_clustering", "silknet"])
def test_a_class_balanced_mini_batch_larger_than_eq_5_allows_is_explained(kind: str) -> None:
    given = {"place": np.repeat([0, 1, 2], [30, 6, 4])}
    even = {"sampling": "class_even", "cost": False}
    assert method_of(kind, given, batch=12, sampling=even).warnings() == []
    (said,) = method_of(kind, given, batch=13, sampling=even).warnings()
    assert "N_min·K = 4·3 = 12 samples for place" in said
    assert method_of(kind, given, batch=13).warnings() == []


@pytest.mark.parametrize("kind", ["auxiliary_clustering", "silknet"])
def test_costs_are_told_to_be_none_of_the_papers(kind: str) -> None:
    (said,) = method_of(kind, sampling={"sampling": "natural", "cost": 1}).warnings()
    assert said.endswith("the papers have no class weights; theirs is `cost: false`")


@pytest.mark.parametrize(("tasks", "together", "few"), [(13, False, True), (13, True, False), (3, False, False)])
def test_labels_missing_one_by_one_leave_nothing_to_compare(tasks: int, together: bool, few: bool) -> None:
    """What of two images is known of both hardly ever outweighs what is not; it does where the same images lack all."""
    rng = np.random.default_rng(0)
    missing = np.resize([0.269, 0.277, 0.42, 0.673, 0.93], tasks)[:, None]
    chance = rng.random((1 if together else tasks, 3000))
    codes = np.where(chance < missing, -1, rng.integers(0, 2, (tasks, 3000)))
    colours = rng.integers(0, 500, (3000, 25)).astype(np.uint16)
    setup = Setup(
        {f"task {number}": of_task for number, of_task in enumerate(codes)},
        Sampling(batch=180, sampling="natural", cost=False),
        0,
        colours=colours,
    )
    said = params_class("silknet")().build(setup).warnings()
    assert [text.startswith("semantic similarity compares little: ") for text in said] == [True] * few
    assert params_class("silknet")(semantic=0).build(setup).warnings() == []
    assert params_class("silknet")(clustering=0).build(setup).warnings() == []


@pytest.mark.parametrize("kind", ["silknet", "class_rectification"])
def test_tasks_that_share_images_cannot_draw_apart(kind: str) -> None:
    with pytest.raises(ValidationError, match="leave out `together: false`"):
        TrainingParams(method={"kind": kind}, sampling="natural", cost=0, together=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["auxiliary_clustering", "silknet"])
def test_a_clustering_of_no_loss_is_refused(kind: str) -> None:
    nothing = {name: 0 for name in ("semantic", "colour", "self_similarity") if name in params_class(kind).model_fields}
    assert "all similarity losses weigh 0" in (params_class(kind)(**nothing).in_vain() or "")
    assert params_class(kind)(**nothing, clustering=0).in_vain() is None
    assert params_class(kind)().in_vain() is None


@pytest.mark.parametrize("batch", [9, 12])
def test_within_eq_5_a_class_balanced_mini_batch_has_every_class_alike_and_no_image_twice(batch: int) -> None:
    given = {"place": np.repeat([0, 1, 2], [30, 6, 4])}
    method = method_of("auxiliary_clustering", given, batch=batch, sampling={"sampling": "class_even", "cost": False})
    for step in range(200):
        drawn = method.sampler.positions(step)["place"]
        assert np.bincount(given["place"][drawn]).tolist() == [batch // 3] * 3
        assert len(set(drawn.tolist())) == batch
