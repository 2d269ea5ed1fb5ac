"""Early stopping: when a training ends, which model it leaves, and that a kill changes nothing."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from interruption import interrupted
from pydantic import ValidationError
from tiny import OPTIMISATION, hashes, run_stage

from longtail.data.dataset import PackedDataset, Task
from longtail.data.splits import Split
from longtail.data.transforms import to_float
from longtail.errors import DataError
from longtail.methods.base import Method, Sampling, Setup
from longtail.methods.batch import Batch
from longtail.methods.catalogue import CATALOGUE, params_class
from longtail.methods.softmax import Softmax
from longtail.network.embedder import load_embedder
from longtail.network.network import Network, NetworkParams
from longtail.network.snapshot import State, current
from longtail.stages import fit as stage_fit
from longtail.stages import train
from longtail.training import early_stopping
from longtail.training.early_stopping import Best

NOISY = {**OPTIMISATION, "iterations": 400, "learning_rate": 0.3, "schedule": "constant", "early_stopping": 3}


def curve(model: Path) -> list[dict[str, float]]:
    return State.read(model).history[-1].curve


def fit(root: Path, model: Path, method: dict[str, Any] | None = None, **optimisation: Any) -> dict[str, float]:
    how = {"method": method or {"kind": "softmax"}, "sampling": "natural", "cost": False}
    return run_stage(root, "fit", paths={"model": str(model)}, optimisation=NOISY | optimisation, **how)


def test_it_ends_after_as_many_measurements_without_a_smaller_loss(prepared: Path, tmp_path: Path) -> None:
    fit(prepared, tmp_path / "model")
    measured = [point["validation_loss"] for point in curve(tmp_path / "model")]
    assert len(measured) < 400 / 4
    assert int(np.argmin(measured)) == len(measured) - 1 - 3
    assert curve(tmp_path / "model")[-1]["iteration"] == 4 * len(measured)


@pytest.mark.parametrize("method", [{"kind": "softmax"}, {"kind": "softmax", "mixup": {"alpha": 1.0}}])
def test_the_model_is_that_of_the_least_loss_on_the_validation_images_as_they_are(
    prepared: Path, tmp_path: Path, method: dict[str, Any]
) -> None:
    """Of mini-batches of them that make one pass, by the stored network; mixtures are of the training alone."""
    split, packed = Split.open(prepared / "split"), PackedDataset.open(prepared / "dataset")
    fit(prepared, tmp_path / "model", method, augmentation={"rotate": 30, "shift": 0.1}, precision="float32")
    network = load_embedder(current(tmp_path / "model")).network
    assert network is not None
    labels = {task.name: np.where(split.subset == "validation", split.labels(task), -1) for task in split.tasks}
    drawn = Softmax(Setup(labels, Sampling(batch=24, sampling="natural", cost=0), 0))
    losses = []
    for step in range(math.ceil(np.mean([(codes >= 0).sum() for codes in labels.values()]) / 24)):
        for task, one in drawn.select(step).items():
            images = to_float(torch.from_numpy(packed.images(split.samples["row"].to_numpy()[one.positions])))
            with torch.no_grad():
                scores = network.logits(images)[task]
            losses.append(F.cross_entropy(scores, torch.from_numpy(labels[task][one.positions])).item() * 2)
    assert min(point["validation_loss"] for point in curve(tmp_path / "model")) == pytest.approx(
        np.mean(losses), rel=1e-4
    )


@pytest.mark.parametrize("kind", [kind for kind, entry in CATALOGUE.items() if not entry.needs_table])
def test_the_loss_on_other_samples_is_that_of_the_training_whatever_their_classes_are(kind: str) -> None:
    """As of a training subset that was made imbalanced: margins and priors are its own."""
    params = params_class(kind)()
    tasks = [Task(name="one", classes=["a", "b"]), Task(name="two", classes=["x", "y", "z"])]
    labels = {
        "one": np.r_[np.repeat([0, 1], [80, 20]), np.full(30, -1)],
        "two": np.r_[np.repeat([2, 1, 0], [70, 25, 5]), np.full(30, -1)],
    }
    others = {"one": np.r_[np.full(100, -1), np.arange(30) % 2], "two": np.r_[np.full(100, -1), np.arange(30) % 3]}
    colours = np.eye(130, dtype=np.uint16)
    method = params.build(Setup(labels, Sampling(batch=12, deferred=0.5), 0, colours=colours))
    measuring = method.measuring(others)
    method.plan(100)
    torch.manual_seed(0)
    network = Network(NetworkParams(embedding=4), tasks, (8, 8, 1), head=params.head).eval()
    batch = measuring.batch(0)
    assert (batch.samples >= 100).all()
    assert (method.batch(0).samples < 100).all()
    assert measuring.balances(0)
    assert not method.balances(0)
    images = torch.rand((method.views * len(batch.samples), 8, 8, 1)).movedim(3, 1)
    assert torch.equal(measuring.loss(network, images, batch)["loss"], method.loss(network, images, batch)["loss"])


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("batch", [7, 12, 100])
def test_a_measurement_sees_every_labelled_sample(monkeypatch: pytest.MonkeyPatch, together: bool, batch: int) -> None:
    """However few of them each task labels, and whether tasks share their images or not."""
    labels = {name: np.where(np.arange(40) % 4 == place, 0, -1) for place, name in enumerate(["one", "two", "three"])}
    how = Sampling(batch=batch, sampling="natural", cost=0, together=together)
    method, seen = Softmax(Setup(labels, how, 0)), set[int]()

    def loaded(inputs: Any, method: Method, *, steps: range, **_: Any) -> Iterator[tuple[None, Batch]]:
        for step in steps:
            drawn = method.batch(step)
            seen.update(drawn.samples.tolist())
            yield None, drawn

    monkeypatch.setattr(early_stopping, "mini_batches", loaded)
    monkeypatch.setattr(method, "loss", lambda *_: {"loss": torch.ones(())})
    network: Any = torch.nn.Identity()
    nothing: Any = None
    assert early_stopping.validation_loss(network, method, nothing, seed=0, halved=False) == 1
    assert seen == {sample for sample in range(40) if sample % 4 < 3}


@pytest.mark.parametrize("batch", [3, 7, 30])
def test_a_measurement_is_balanced_for_every_task_as_often(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Tasks that take turns: else those whose turn does not come were measured on what is balanced for others."""
    labels = {f"task {task}": (np.arange(40) % (task + 2) == 0).astype(np.int64) for task in range(5)}
    method = Softmax(Setup(labels, Sampling(batch=batch, sampling="class_even", cost=0, together=True), 0))
    measured = []

    def loaded(inputs: Any, method: Method, *, steps: range, **_: Any) -> Iterator[tuple[None, Batch]]:
        measured.append(steps)
        return ((None, method.batch(step)) for step in steps)

    monkeypatch.setattr(early_stopping, "mini_batches", loaded)
    monkeypatch.setattr(method, "loss", lambda *_: {"loss": torch.ones(())})
    nothing: Any = torch.nn.Identity()
    early_stopping.validation_loss(nothing, method, nothing, seed=0, halved=False)
    (steps,) = measured
    assert len(steps) % 5 == 0
    assert len(steps) * batch >= 40


@pytest.mark.parametrize("average", [None, 0.9])
def test_a_training_that_was_killed_ends_as_one_that_was_not(
    prepared: Path, tmp_path: Path, average: float | None
) -> None:
    fit(prepared, tmp_path / "whole", average=average)
    with interrupted(after=8):
        fit(prepared, tmp_path / "resumed", average=average)
    fit(prepared, tmp_path / "resumed", average=average)
    assert hashes(tmp_path / "resumed") == hashes(tmp_path / "whole")


def test_without_it_nothing_is_measured_and_the_last_model_is_kept(prepared: Path, tmp_path: Path) -> None:
    fit(prepared, tmp_path / "whole", iterations=12, early_stopping=None)
    fit(prepared, tmp_path / "patient", iterations=12, early_stopping=1000, learning_rate=0.001)
    assert "validation_loss" not in curve(tmp_path / "whole")[-1]
    assert len(curve(tmp_path / "patient")) == 3


def test_the_best_are_kept_as_copies() -> None:
    module, best = torch.nn.Linear(1, 1, bias=False), Best(torch.nn.Linear(1, 1, bias=False))
    ages = []
    for weight, loss in enumerate([3.0, 2.0, 2.0, 2.5, 1.0, math.inf]):
        torch.nn.init.constant_(module.weight, weight)
        ages.append(best.take(module, loss))
    assert ages == [0, 0, 1, 2, 0, 1]
    assert best.kept.weight.item() == 4


def test_a_loss_on_validation_that_is_not_finite_is_said(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not finite"):
        fit(prepared, tmp_path / "model", learning_rate=1e18)


@pytest.mark.parametrize("changing", [{"deferred": 0.5}, {"sampling": "progressive"}])
def test_what_changes_in_the_course_of_a_training_may_not_be_stopped_early(changing: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="before its mini-batches are what they are to be"):
        stage_fit.Params(optimisation={"iterations": 4, "early_stopping": 2}, **changing)


def test_rounds_are_stopped_by_their_own_patience() -> None:
    with pytest.raises(ValidationError, match=r"train\.patience"):
        train.Params(optimisation={"iterations": 4, "early_stopping": 2})
