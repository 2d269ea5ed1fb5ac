"""On which prior a classifier was trained: that of what was sampled and weighed, not that of the data."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from longtail.methods.base import Sampling, Setup
from longtail.methods.catalogue import CATALOGUE, params_class
from longtail.methods.softmax import Softmax

COUNTS = np.array([700, 200, 80, 20])
KINDS = [kind for kind, entry in CATALOGUE.items() if not entry.needs_table]


def labels(*counts: int, missing: int = 30, seed: int = 0) -> npt.NDArray[np.int64]:
    codes = np.repeat(np.arange(-1, len(counts)), [missing, *counts])
    return np.random.default_rng(seed).permutation(codes)


def method(tasks: dict[str, npt.NDArray[np.int64]], **sampling: Any) -> Softmax:
    return Softmax(Setup(tasks, Sampling(batch=32, **sampling), 0))


def measured(one: Softmax, task: str, count: int, steps: int) -> npt.NDArray[np.float64]:
    """The weights of each class over the first mini-batches, added one by one."""
    total = np.zeros(count)
    for step in range(steps):
        targets = one.select(step)[task].targets
        for code, weight in zip(targets["codes"], targets["weights"], strict=True):
            if code >= 0:
                total[code] += weight
    return total / total.sum()


@pytest.mark.parametrize(
    ("sampling", "cost", "expected"),
    [
        ("natural", False, COUNTS / COUNTS.sum()),
        ("class_even", True, np.full(4, 0.25)),
        ("square_root", False, COUNTS**0.5 / (COUNTS**0.5).sum()),
        (0.2, False, COUNTS**0.8 / (COUNTS**0.8).sum()),
        ("class_even", False, np.full(4, 0.25)),
        ("over", False, np.full(4, 0.25)),
        ("under", False, np.full(4, 0.25)),
    ],
)
def test_what_follows_from_the_sampling_is_exact(sampling: Any, cost: bool, expected: npt.NDArray[np.float64]) -> None:
    one = method({"label": labels(*COUNTS)}, sampling=sampling, cost=cost)
    prior = one.trained_prior({"label": 4}, 600)["label"]
    assert np.allclose(prior, expected, atol=1e-6)
    assert np.allclose(prior, measured(one, "label", 4, 400), atol=0.01)


@pytest.mark.parametrize(
    "changing", [{"sampling": "progressive", "cost": 0}, {"sampling": "class_even", "cost": 0, "deferred": 0.8}]
)
def test_of_a_sampling_that_changes_it_is_the_end_that_counts(changing: dict[str, Any]) -> None:
    one = method({"label": labels(*COUNTS)}, **changing)
    one.plan(1000)
    assert one.trained_prior({"label": 4}, 1000)["label"].tolist() == pytest.approx([0.25] * 4)
    end = np.zeros(4)
    for step in range(970, 1000):
        end += np.bincount(one.select(step)["label"].targets["codes"], minlength=4)
    assert np.allclose(end / end.sum(), 0.25, atol=0.04)
    begin = np.bincount(one.select(0)["label"].targets["codes"], minlength=4)
    assert begin[0] > begin[1:].sum()


def test_deferred_costs_are_those_of_the_end() -> None:
    late = method({"label": labels(*COUNTS)}, sampling="natural", cost=1, deferred=0.5)
    late.plan(1000)
    whole = method({"label": labels(*COUNTS)}, sampling="natural", cost=1)
    assert [late.cost(step) for step in (0, 499, 500, 999)] == [0, 0, 1, 1]
    found, expected = (one.trained_prior({"label": 4}, 1000)["label"] for one in (late, whole))
    assert np.allclose(found, expected, atol=0.03)


def test_costs_on_natural_mini_batches_are_measured() -> None:
    """A class that is in few mini-batches has less than an even share of the loss, and more than of the data."""
    one = method({"label": labels(*COUNTS)}, sampling="natural", cost=True)
    prior = one.trained_prior({"label": 4}, 1000)["label"]
    assert np.allclose(prior, measured(one, "label", 4, 1000), atol=0.01)
    assert COUNTS[3] / COUNTS.sum() < prior[3] < 0.25 < prior[0] < COUNTS[0] / COUNTS.sum()


def test_a_draw_that_is_even_for_one_task_is_not_for_another() -> None:
    first = labels(300, 300, missing=0)
    second = np.where(first == 0, labels(590, 10, missing=0, seed=1)[: len(first)], 0)
    one = method({"first": first, "second": second}, sampling="class_even", cost=False, together=True)
    prior = one.trained_prior({"first": 2, "second": 2}, 400)
    for task in ("first", "second"):
        assert np.allclose(prior[task], measured(one, task, 2, 400), atol=0.02)
    assert prior["second"][1] > 2 * (second == 1).mean()


def test_a_class_absent_from_training_has_no_share() -> None:
    for sampling in ("natural", "class_even"):
        prior = method({"label": labels(50, 0, 10)}, sampling=sampling, cost=False).trained_prior({"label": 3}, 10)
        assert prior["label"][1] == 0
        assert prior["label"].sum() == pytest.approx(1)


def colours(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.uint16]:
    """Histograms for as many samples: some methods compare them."""
    return np.eye(len(codes), dtype=np.uint16)


@pytest.mark.parametrize("kind", KINDS)
def test_every_method_at_once_tells_its_prior(kind: str) -> None:
    codes = labels(*COUNTS)
    setup = Setup({"label": codes}, Sampling(batch=32, sampling="natural", cost=False), 0, colours=colours(codes))
    one = params_class(kind).model_validate({"kind": kind}).build(setup)
    prior = one.trained_prior({"label": 4}, 100)["label"]
    assert prior.sum() == pytest.approx(1)
    assert np.allclose(prior, COUNTS / COUNTS.sum(), atol=1e-6) != CATALOGUE[kind].corrects_prior


@pytest.mark.parametrize("normalise", ["samples", "weights"])
@pytest.mark.parametrize("beta", [0.0, 0.99, 1 - 1e-9])
def test_of_weighed_classes_it_is_what_the_weights_add_up_to(beta: float, normalise: str) -> None:
    """Divided by its weights a mini-batch without the rarest class counts as much as one with it."""
    setup = Setup({"label": labels(*COUNTS)}, Sampling(batch=32, sampling="natural", cost=0), 0)
    one = params_class("class_balanced")(beta=beta, normalise=normalise).build(setup)
    assert np.allclose(one.trained_prior({"label": 4}, 1000)["label"], measured(one, "label", 4, 1000), atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_of_classes_that_training_lacks_at_either_end_there_is_a_share_of_0(kind: str) -> None:
    codes = np.where(np.arange(90) % 9 == 0, -1, 1 + np.arange(90) % 2)
    setup = Setup({"label": codes}, Sampling(batch=32, sampling="natural", cost=0), 0, colours=colours(codes))
    prior = params_class(kind)().build(setup).trained_prior({"label": 4}, 20)["label"]
    assert prior.shape == (4,)
    assert prior[[0, 3]].tolist() == [0, 0]
    assert prior.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("kind", "own", "sampling"),
    [
        ("softmax", {}, {"cost": 1}),
        ("softmax", {"mixup": {"kappa": 3}}, {"cost": 0}),
        ("softmax", {"mixup": {}}, {"cost": 0, "sampling": "square_root"}),
        ("class_balanced", {"normalise": "weights"}, {"cost": 0}),
        ("class_balanced", {"mixup": {}}, {"cost": 0}),
        ("softmax", {}, {"cost": 0, "sampling": 0.1, "together": True}),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_class_that_was_trained_has_a_share_of_0(
    kind: str, own: dict[str, Any], sampling: dict[str, Any], seed: int
) -> None:
    """Of a tail that ends in single images, in data of far more mini-batches than are measured."""
    counts = np.r_[np.round(1000 * 0.002 ** (np.arange(60) / 59)), 1, 1].astype(int)
    codes = labels(*counts, seed=seed)
    tasks = {"label": codes, "other": np.where(codes >= 0, codes % 2, -1)}
    how = {"sampling": "natural"} | sampling
    one = params_class(kind).model_validate({"kind": kind, **own}).build(Setup(tasks, Sampling(batch=8, **how), seed))
    prior = one.trained_prior({"label": len(counts), "other": 2}, 210)["label"]  # a tenth of a pass
    assert (prior > 0).all()
    assert prior.sum() == pytest.approx(1)
    assert prior[-2:].max() < 0.02


def test_of_natural_mini_batches_that_tasks_share_it_is_exact() -> None:
    """Measured on so few samples of the rare class it would be anything."""
    tasks = {f"task-{i}": labels(3000, 3, seed=i) for i in range(10)}
    one = method(tasks, sampling="natural", cost=False)
    assert one.sampler.together
    for prior in one.trained_prior(dict.fromkeys(tasks, 2), 50).values():
        assert prior == pytest.approx([3000 / 3003, 3 / 3003], rel=1e-5)


def test_a_task_without_a_label_in_the_measured_mini_batches_has_its_shares_of_the_samples() -> None:
    tasks = {f"task-{i}": labels(3000, 300, seed=i) for i in range(9)} | {"few": labels(3, 1, missing=3326, seed=9)}
    one = method(tasks, sampling="natural", cost=True)
    assert one.trained_prior(dict.fromkeys(tasks, 2), 1)["few"] == pytest.approx([0.75, 0.25])


@pytest.mark.parametrize("epsilon", [0.1, 0.3])
def test_of_smoothed_labels_it_is_what_they_say(epsilon: float) -> None:
    setup = Setup({"label": labels(*COUNTS, 0)}, Sampling(batch=32, sampling="natural", cost=0), 0)
    one = params_class("softmax")(label_smoothing=epsilon).build(setup)
    expected = np.r_[(1 - epsilon) * COUNTS / COUNTS.sum() + epsilon / 5, 0]
    assert one.trained_prior({"label": 5}, 100)["label"] == pytest.approx(expected / expected.sum(), abs=1e-6)


@pytest.mark.parametrize("kind", ["single", "by_class"])
@pytest.mark.parametrize("often", [0.5, 1.0])
def test_of_smoothed_labels_beside_hard_negatives_it_is_what_both_say(kind: Any, often: float) -> None:
    """The mass that constant logits would have at their best, of the loss as it is, over many mini-batches."""
    epsilon, codes = 0.3, labels(900, 100, missing=500)
    negatives = np.where(codes < 0, np.arange(len(codes)) % 2, -1)
    sampling = Sampling(batch=100, cost=0, sampling="natural", negatives=kind, negatives_often=often)
    setup = Setup({"label": codes}, sampling, 0, 1, negatives={"label": negatives}, classes={"label": 2})
    one = params_class("softmax")(label_smoothing=epsilon).build(setup)
    width = 3 if kind == "single" else 4
    mass = np.zeros(width)
    for step in range(200):
        targets = one.select(step)["label"].targets
        said = (1 - epsilon) * np.eye(width)[targets["codes"]] + epsilon / width
        mass += targets["weights"] @ said
    expected = mass[:2] / mass[:2].sum()
    assert one.trained_prior({"label": 2}, 200)["label"] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("sampling", "changes"),
    [
        ({"sampling": "progressive", "cost": 0}, True),
        ({"sampling": "class_even", "cost": 0, "deferred": 0.8}, True),
        ({"sampling": "natural", "cost": 1, "deferred": 0.8}, True),
        ({"sampling": "square_root", "cost": 1}, False),
        ({"sampling": "natural", "cost": 0}, False),
    ],
)
def test_a_training_that_changes_tells_the_prior_of_its_beginning_too(sampling: dict[str, Any], changes: bool) -> None:
    found = method({"label": labels(*COUNTS)}, **sampling).earlier_prior({"label": 4}, 1000)
    assert (found is not None) == changes
    if found is not None:
        assert found["label"] == pytest.approx(COUNTS / COUNTS.sum())


DEFERRED = {"sampling": "natural", "cost": 1, "deferred": 0.8}


@pytest.mark.parametrize(
    ("own", "sampling", "begin"),
    [
        ({}, DEFERRED, 480),
        ({"mixup": {"kappa": 3}}, {**DEFERRED, "sampling": "class_even"}, 480),
        ({"mixup": {"kappa": 3}}, {"sampling": "progressive", "cost": 0}, 400),
        ({}, {"sampling": "progressive", "cost": 1}, 400),
    ],
)
def test_both_ends_are_measured_where_they_are(own: dict[str, Any], sampling: dict[str, Any], begin: int) -> None:
    """Not the one on mini-batches of the other, of data of which a pass is longer than what is deferred."""
    codes = {"label": labels(15_000, 4_500, 500)}
    setup = Setup(codes, Sampling.model_validate({"batch": 64, **sampling}), 0)
    one = params_class("softmax").model_validate({"kind": "softmax", **own}).build(setup)
    one.plan(600)

    def of(steps: range) -> npt.NDArray[np.float64]:
        total = np.zeros(3)
        for step in steps:
            np.add.at(total, *one.classifier_targets("label", one.select(step)))
        return total / total.sum()

    end, beginning = one.trained_prior({"label": 3}, 600)["label"], one.earlier_prior({"label": 3}, 600)
    assert beginning is not None
    assert beginning["label"] == pytest.approx(of(range(200)), abs=0.03)
    assert end == pytest.approx(of(range(begin, 600)), abs=0.03)
