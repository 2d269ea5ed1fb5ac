"""What a method is: how mini-batches are drawn, and how one becomes a loss."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, BeforeValidator, Field, SerializeAsAny
from torch import Tensor, nn

from longtail.data.samplers import Scheme, TaskSampler, mean_weights
from longtail.errors import DataError
from longtail.methods.catalogue import params_class
from longtail.network.network import Network
from longtail.world import ALONE, World

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
MANY = 8  # tasks: each draws for itself up to here, and a step has their mini-batches one beside the other


class Sampling(BaseModel, extra="forbid"):
    """How mini-batches are drawn: parameters of every training."""

    batch: int = Field(128, ge=1, description="samples, of methods with a table anchors, a step and task and process")
    sampling: Scheme = Field("class_even", description="natural, class_even, or over- and under-sampled data")
    cost: bool = Field(True, description="give the classes of a mini-batch equal weight")
    together: bool | None = Field(
        None, description=f"tasks take turns to draw, and share what is drawn; null: where they are more than {MANY}"
    )


@dataclass(frozen=True)
class Setup:
    """What a method is made from: `labels` (task → (n,) class codes, −1 where there is none), how mini-batches are
    drawn by that many processes, and the directory of the quintuplet tables for a method that needs them.
    """

    labels: dict[str, Ints]
    sampling: Sampling
    seed: int
    processes: int = 1
    table: Path | None = None


@dataclass(frozen=True)
class Selection:
    """What a step selects for one task, for all processes, which divide the first axis among them.

    `positions` (B, …): in the split. `targets` (name → (B,) array): what the loss has to know of each. What is a
    mean over the mini-batch, or a weight that depends on all of it (as a class's frequency in it does), is in here.
    """

    positions: Ints
    targets: dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Batch:
    """What one process does of a mini-batch; alone, that is all of it.

    `samples` (m,): positions in the split, each image once; `whole`: how many images the mini-batch of all processes
    has; `places` (m,): which of these are `samples`. As tensors, for each task: `rows`, what the method selected for
    this process, as rows of `samples`; `targets`, what it has to know of each.
    """

    samples: Ints
    whole: int
    places: Ints
    rows: dict[str, Tensor]
    targets: dict[str, dict[str, Tensor]]

    def to(self, device: torch.device) -> "Batch":
        """The same with its tensors on a device."""
        rows = {task: to_device(of_task, device) for task, of_task in self.rows.items()}
        targets = {
            task: {name: to_device(values, device) for name, values in of_task.items()}
            for task, of_task in self.targets.items()
        }
        return replace(self, rows=rows, targets=targets)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of this process's memory on a device; a GPU fetches it while the process goes on."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values


class MethodParams(BaseModel, ABC, extra="forbid"):
    """The parameters of a method. Each kind adds a literal `kind`, its own numbers, and `build`."""

    kind: str

    @abstractmethod
    def build(self, setup: Setup) -> "Method":
        """The method."""

    def head(self, features: int, classes: int) -> nn.Module:
        """The classifier of a task: `features` numbers of an embedding to the scores of `classes` classes."""
        return nn.Linear(features, classes)


def _of_its_kind(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    try:
        return params_class(str(values.get("kind"))).model_validate(values)
    except DataError as error:
        raise ValueError(str(error)) from error


# A field that holds the parameters of whichever method `kind` names.
AnyMethod = Annotated[SerializeAsAny[MethodParams], BeforeValidator(_of_its_kind)]


class Method(nn.Module, ABC):
    """One way of training the network. Its own parameters, if it has any, are trained beside the network's.

    Adding one is a folder here and an entry in catalogue.yaml: docs/add-a-method.md.
    """

    # Whether the loss trains the network's classifiers: their scores are then kept, and can answer.
    trains_classifier: ClassVar[bool] = True
    # How many images of each sample a step has, each warped for itself.
    views: ClassVar[int] = 1
    # Whether the images of a step serve all tasks, labelled or not; else each task has what it labels.
    shares_images: ClassVar[bool] = False

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        params = setup.sampling
        self.labels, self.cost, self.scheme = setup.labels, params.cost, params.sampling
        self._counts = {task: np.bincount(codes[codes >= 0]) for task, codes in setup.labels.items()}
        self.sampler = TaskSampler(
            setup.labels,
            params.batch * setup.processes,
            scheme=params.sampling,
            seed=setup.seed,
            together=self.shares_images or (len(setup.labels) > MANY if params.together is None else params.together),
        )

    def select(self, step: int) -> dict[str, Selection]:
        """What step number `step` needs, for each task. A function of the step alone: steps are prepared ahead, in
        another thread than that of `loss`.
        """
        if self.shares_images:
            positions = self.sampler.images(step)
            return {task: self.select_shared(task, positions) for task in self.labels}
        return {task: self.select_for(task, positions) for task, positions in self.sampler.positions(step).items()}

    def select_for(self, task: str, positions: Ints) -> Selection:
        """What a task needs of the labelled samples at those positions (B,): codes, and weights that sum to 1."""
        codes = self.labels[task][positions]
        return Selection(positions, {"codes": codes, "weights": mean_weights(codes, cost=self.cost)})

    def select_shared(self, task: str, positions: Ints) -> Selection:
        """What a task needs of images (B,) that all tasks share: codes, −1 where it has no label, and weights, which
        are 0 there and else sum to 1.

        An image that is drawn twice is there once, with the weight of both: it would be its own positive.
        """
        _, first, of_draw = np.unique(positions, return_index=True, return_inverse=True)
        codes = self.labels[task][positions]
        known = codes >= 0
        summed = np.bincount(of_draw[known], mean_weights(codes[known], cost=self.cost), len(first))
        order = np.argsort(first)  # as drawn: several processes take their shares from a shuffled mini-batch
        kept, weights = positions[first[order]], summed[order].astype(np.float32)
        share = np.full(len(kept), 1 / len(kept), np.float32)
        return Selection(kept, {"codes": self.labels[task][kept], "weights": weights, "share": share})

    def class_counts(self, task: str, classes: int) -> Ints:
        """How many training samples each class of a task has, (K,)."""
        counts = self._counts[task]
        return np.pad(counts, (0, classes - len(counts)))

    def classifier_targets(self, selection: Selection) -> tuple[Ints, Floats]:
        """The class codes (n,) that the classifier is trained on in a step, and the weight (n,) of each in its loss."""
        return selection.targets["codes"], selection.targets["weights"]  # type: ignore[return-value]

    def trained_prior(self, classes: dict[str, int], iterations: int) -> dict[str, Floats]:
        """For each task the share (K,) of each of its `classes` in what its classifier is trained on: of the weights of
        its loss, over the mini-batches. A loss that accounts for the prior itself has even shares: it leaves nothing to
        correct.
        """
        known = {task: self.exact_prior(task, count) for task, count in classes.items()}
        unknown = [task for task, prior in known.items() if prior is None]
        measured = self._measured_prior({task: classes[task] for task in unknown}, iterations) if unknown else {}
        return {task: measured[task] if prior is None else prior for task, prior in known.items()}

    def exact_prior(self, task: str, count: int) -> Floats | None:
        """The shares that follow from how mini-batches are drawn: as in training, or even; None if they have to be
        measured.
        """
        if self.sampler.together and len(self.labels) > 1:
            return None
        counts = self.class_counts(task, count)
        if self.scheme == "natural" and self.cost:
            return None
        drawn = counts if self.scheme == "natural" else counts > 0
        shares: Floats = (drawn / drawn.sum()).astype(np.float32)
        return shares

    def _measured_prior(self, classes: dict[str, int], iterations: int) -> dict[str, Floats]:
        """Of the mini-batches of one pass over the data or, if that is more, of 200."""
        steps = min(iterations, max(200, -(-len(next(iter(self.labels.values()))) // self.sampler.batch)))
        sums = {task: np.zeros(count) for task, count in classes.items()}
        for step in range(steps):
            selected = self.select(step)
            for task, of_task in sums.items():
                codes, weights = self.classifier_targets(selected[task])
                np.add.at(of_task, codes[codes >= 0], weights[codes >= 0])
        return {task: (of_task / of_task.sum()).astype(np.float32) for task, of_task in sums.items()}

    @abstractmethod
    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The scalars to log, "loss" being what is minimised. `images`: float (views·m)×C×H×W, the images of
        `batch.samples`, and after them the same once more for each further view.

        Over the processes they add up to those of the whole mini-batch (class rectification excepted).
        """

    def batch(self, step: int, world: World = ALONE) -> Batch:
        """This process's part of the mini-batch of a step: an image that several of its rows share goes through the
        network once.
        """
        selected = self.select(step)
        shares = {task: world.share(len(one.positions)) for task, one in selected.items()}
        mine = {task: one.positions[shares[task]] for task, one in selected.items()}
        samples = _images(mine)
        whole = samples if world.size == 1 else _images({task: one.positions for task, one in selected.items()})
        return Batch(
            samples,
            len(whole),
            np.searchsorted(whole, samples),
            {task: torch.from_numpy(np.searchsorted(samples, positions)) for task, positions in mine.items()},
            {
                task: {name: torch.from_numpy(values[shares[task]]) for name, values in one.targets.items()}
                for task, one in selected.items()
            },
        )


class ClassifierMethod(Method):
    """A method whose loss is that of single samples, summed with their weights over `batch` samples a task and step."""

    @abstractmethod
    def losses(self, task: str, logits: Tensor, codes: Tensor) -> Tensor:
        """The loss (n,) of samples of a task, from their logits (n, K) and class codes (n,)."""

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        total = torch.zeros((), device=images.device)
        for task, logits in network.logits(images).items():
            targets = batch.targets[task]
            total = total + (self.losses(task, logits[batch.rows[task]], targets["codes"]) * targets["weights"]).sum()
        return {"loss": total}


def _images(positions: dict[str, Ints]) -> Ints:
    return np.unique(np.concatenate([of_task.ravel() for of_task in positions.values()]))
