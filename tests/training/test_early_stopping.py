"""Early stopping: when a training ends, which model it leaves, and that a kill changes nothing."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from tiny import OPTIMISATION, hashes, run_stage

from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.data.transforms import to_float
from longtail.errors import DataError
from longtail.methods.base import Sampling, Setup
from longtail.methods.softmax import Softmax
from longtail.network.embedder import load_embedder
from longtail.network.snapshot import State, current
from longtail.stages import train
from longtail.training import loop
from longtail.training.early_stopping import Best

NOISY = {**OPTIMISATION, "iterations": 400, "learning_rate": 0.3, "schedule": "constant", "early_stopping": 3}


def curve(model: Path) -> list[dict[str, float]]:
    return State.read(model).history[-1].curve


def fit(root: Path, model: Path, **optimisation: Any) -> dict[str, float]:
    how = {"method": {"kind": "softmax"}, "sampling": "natural", "cost": False}
    return run_stage(root, "fit", paths={"model": str(model)}, optimisation=NOISY | optimisation, **how)


def test_it_ends_after_as_many_measurements_without_a_smaller_loss(prepared: Path, tmp_path: Path) -> None:
    fit(prepared, tmp_path / "model")
    measured = [point["validation_loss"] for point in curve(tmp_path / "model")]
    assert len(measured) < 400 / 4
    assert int(np.argmin(measured)) == len(measured) - 1 - 3
    assert curve(tmp_path / "model")[-1]["iteration"] == 4 * len(measured)


def test_the_model_is_that_of_the_least_loss_on_the_validation_images_as_they_are(
    prepared: Path, tmp_path: Path
) -> None:
    """Of mini-batches of them that make one pass, by the stored network."""
    split, packed = Split.open(prepared / "split"), PackedDataset.open(prepared / "dataset")
    fit(prepared, tmp_path / "model", augmentation={"rotate": 30, "shift": 0.1})
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


@pytest.mark.parametrize("average", [None, 0.9])
def test_a_training_that_was_killed_ends_as_one_that_was_not(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, average: float | None
) -> None:
    fit(prepared, tmp_path / "whole", average=average)
    whole = loop.save_checkpoint

    def failing(*args: Any) -> None:
        whole(*args)
        if args[4] >= 8:
            raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", failing)
        with pytest.raises(MemoryError):
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


def test_rounds_are_stopped_by_their_own_patience() -> None:
    with pytest.raises(ValidationError, match=r"train\.patience"):
        train.Params(optimisation={"iterations": 4, "early_stopping": 2})
