"""What a method is: how mini-batches are drawn, and how one becomes a loss."""

import copy
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, BeforeValidator, Field, SerializeAsAny, field_validator
from torch import Tensor, nn

from longtail.data.samplers import Drawing, TaskSampler, at_most, class_shares, mean_weights, strengths
from longtail.errors import DataError
from longtail.methods.batch import Batch, Selection, images_of, once
from longtail.methods.catalogue import params_class
from longtail.network.network import Network
from longtail.world import ALONE, World

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Negatives = Literal["ignore", "single", "by_class"]
OFTEN = 0.1  # epochs over the hard negatives in one over the images of the classes (the thesis, section 2.4.3)
# Mini-batches of which a prior is measured, if there are as many; of more data two passes, unless it changes meanwhile.
MEASURED = 200
LARGEST_BATCH = 2**20  # samples: what is more was a slip
MANY = 8  # tasks: each draws for itself up to here, and a step has their mini-batches one beside the other


class Sampling(BaseModel, extra="forbid"):
    """How mini-batches are drawn: parameters of every training."""

    batch: int = Field(
        128, ge=1, le=LARGEST_BATCH, description="samples, of methods with a table anchors, a step and task and process"
    )
    sampling: Drawing = Field(
        "class_even",
        description="natural, square_root, progressive, class_even, a number from 0 (natural) to 1 (class_even), or "
        "over- and under-sampled data",
    )
    cost: float = Field(
        1.0, ge=0, le=1, description="samples weigh n^(−cost), n those of their class in the mini-batch; true is 1"
    )
    deferred: float = Field(
        0.0, ge=0, lt=1, description="share of the training, its beginning, that is natural and without weights"
    )
    at_most: int | None = Field(
        None,
        ge=1,
        description="train on a random few of each class, a more balanced subset; of methods with a table, anchors",
    )
    together: bool | None = Field(
        None, description=f"tasks take turns to draw, and share what is drawn; null: where they are more than {MANY}"
    )
    negatives: Negatives = Field(
        "ignore",
        exclude_if=lambda value: value == "ignore",
        description="what a classifier makes of images that people rejected: single, one further class of all; "
        "by_class, one beside each class",
    )
    negatives_often: float = Field(
        OFTEN,
        gt=0,
        exclude_if=lambda value: value == OFTEN,
        description="how often such an image is drawn, an image of the classes being drawn once. They are drawn on top "
        "of `batch`, at least one and at most `batch` a step and task, and none where a step has no image of the task",
    )

    @field_validator("sampling")
    @classmethod
    def _by_name(cls, drawing: Drawing) -> Drawing:
        """The ends of the scale have names."""
        return {0: "natural", 1: "class_even"}.get(drawing, drawing)  # type: ignore[call-overload, no-any-return]

    def takes_turns(self, tasks: int) -> bool:
        """Whether so many tasks take turns to draw, and share what is drawn."""
        return tasks > MANY if self.together is None else self.together


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
    # The code of the background class of a task that has one; colour histograms (n, cells) as in data/colours.py,
    # where the data set has any.
    backgrounds: dict[str, int] = field(default_factory=dict)
    colours: npt.NDArray[np.uint16] | None = None
    # Task → (n,): the class that people took a sample without label for and found it to be none of the classes; −1: not
    # so. Such a sample is a negative of every class, and has no part in any classification.
    negatives: dict[str, Ints] = field(default_factory=dict)
    # How many classes each task has.
    classes: dict[str, int] = field(default_factory=dict)


class MethodParams(BaseModel, ABC, extra="forbid"):
    """The parameters of a method. Each kind adds a literal `kind`, its own numbers, and `build`."""

    kind: str
    # Whether it trains the backbone and the embeddings too; else the classifiers alone, and all below stays as it is.
    trains_body: ClassVar[bool] = True
    # Whether it forgets the classifiers of the training before it, and whether it cannot do without them.
    fresh_classifier: ClassVar[bool] = False
    needs_classifier: ClassVar[bool] = False
    # Whether its classifier can have further classes, of hard negatives, while it is trained.
    separates_negatives: ClassVar[bool] = False
    # Whether it compares samples by what all tasks have in common.
    one_embedding: ClassVar[bool] = False
    # Whether the images of a step serve all tasks, labelled or not; else each task has what it labels.
    shares_images: ClassVar[bool] = False

    def in_vain(self) -> str | None:
        """What is wrong with these parameters in a new training, as a sentence: they would change nothing, or what does
        not go together. A model that was trained by them before is read all the same.
        """
        return None

    @property
    def needs_colours(self) -> bool:
        """Whether it compares the colours of images, which `ingest` has to count."""
        return False

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
    views: int = 1
    # Whether the first of them is the image as it is; only the others are warped.
    plain_first: bool = False
    # After how many steps it is told anew where the samples lie (methods/placed.py); None: it does not ask.
    refresh: int | None = None
    # Whether the images of a step serve all tasks, labelled or not; else each task has what it labels.
    shares_images: ClassVar[bool] = False
    # Whether a mini-batch shall have no image twice, which it else has where one pass over a class ends in it.
    distinct: ClassVar[bool] = False

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.labels, self.sampling, self.seed = setup.labels, setup.sampling, setup.seed
        few = setup.sampling.at_most
        self._drawn = {
            task: codes if few is None else at_most(codes, few, setup.seed) for task, codes in setup.labels.items()
        }
        self._counts = {task: np.bincount(codes[codes >= 0]) for task, codes in self._drawn.items()}
        self._batch = setup.sampling.batch * setup.processes
        # Until it is known how long the training is, every step is as its first ones are.
        self._iterations: int | None = None
        self._begin = sys.maxsize if setup.sampling.deferred else 0

    def plan(self, iterations: int) -> None:
        """Say how many steps the training has: what changes in its course is spread over them."""
        self._iterations, self._begin = iterations, round(self.sampling.deferred * iterations)
        self.__dict__.pop("sampler", None)

    def measuring(self, labels: dict[str, Ints]) -> Self:
        """The same loss on other samples, of which `labels` are as in `Setup`: by the weights and the class counts of
        this method, with all begun that begins in the course of a training, and their first view as it is.
        """
        other = copy.copy(self)
        other.labels = other._drawn = labels
        other._iterations, other._begin, other.plain_first = None, 0, True
        other.__dict__.pop("sampler", None)
        return other

    @cached_property
    def sampler(self) -> TaskSampler:
        """What draws the mini-batches; made when the first is drawn, since most trainings are planned by then."""
        return TaskSampler(
            self._drawn,
            self._batch,
            scheme=self.sampling.sampling,
            seed=self.seed,
            together=self.shares_images or self.sampling.takes_turns(len(self.labels)),
            steps=self._iterations,
            deferred=self._begin,
            distinct=self.distinct,
        )

    def warnings(self) -> list[str]:
        """What a user should be told before the training begins; a sentence each."""
        return []

    def balances(self, step: int) -> bool:
        """Whether a step samples and weighs as it should; until the share `deferred` is over none does."""
        return step >= self._begin

    def cost(self, step: int) -> float:
        """The exponent of the costs at a step."""
        return self.sampling.cost if self.balances(step) else 0.0

    def select(self, step: int) -> dict[str, Selection]:
        """What step number `step` needs, for each task. A function of the step alone: steps are prepared ahead, in
        another thread than that of `loss`.
        """
        if self.shares_images:
            positions = self.sampler.images(step)
            return {task: self.select_shared(task, positions, step) for task in self.labels}
        drawn = self.sampler.positions(step)
        return {task: self.select_for(task, positions, step) for task, positions in drawn.items()}

    def select_for(self, task: str, positions: Ints, step: int) -> Selection:
        """What a task needs of the labelled samples at those positions (B,): codes, and weights that sum to 1."""
        codes = self.labels[task][positions]
        return Selection(positions, {"codes": codes, "weights": mean_weights(codes, cost=self.cost(step))})

    def select_shared(self, task: str, positions: Ints, step: int) -> Selection:
        """What a task needs of images (B,) that all tasks share: codes, −1 where it has no label, and weights, which
        are 0 there and else sum to 1.

        An image that is drawn twice is there once, with the weight of both: it would be its own positive.
        """
        codes = self._drawn[task][positions]
        of_draws = np.zeros(len(codes), np.float32)
        of_draws[codes >= 0] = mean_weights(codes[codes >= 0], cost=self.cost(step))
        kept, weights = once(positions, of_draws)
        share = np.full(len(kept), 1 / len(kept), np.float32)
        return Selection(kept, {"codes": self._drawn[task][kept], "weights": weights, "share": share})

    def class_counts(self, task: str, classes: int) -> Ints:
        """How many training samples each class of a task has, (K,)."""
        counts = self._counts[task]
        return np.pad(counts, (0, classes - len(counts)))

    def classifier_targets(self, task: str, selected: dict[str, Selection]) -> tuple[Ints, Floats]:
        """The class codes (n,) that a task's classifier is trained on in a step, and the weight (n,) of each in its
        loss, from what the step selects for all tasks.
        """
        targets = selected[task].targets
        return targets["codes"], targets["weights"]  # type: ignore[return-value]

    def trained_prior(self, classes: dict[str, int], iterations: int) -> dict[str, Floats]:
        """For each task the share (K,) of each of its `classes` in what its classifier is trained on: of the weights of
        its loss, over the mini-batches. A loss that accounts for the prior itself has even shares: it leaves nothing to
        correct. Where sampling or weights change in the course of the training, it is as they are at its end.
        """
        # A share `deferred` that rounds to the whole of a short training leaves no step with what follows exactly.
        exact = self.balances(iterations - 1)
        known = {task: self.exact_prior(task, count) if exact else None for task, count in classes.items()}
        unknown = [task for task, prior in known.items() if prior is None]
        passes = -(-2 * len(next(iter(self.labels.values()))) // self.sampler.batch)
        window = MEASURED if self.sampling.sampling == "progressive" else max(MEASURED, passes)
        first = max(self._begin if exact else 0, iterations - window)
        measured = self._measured_prior({task: classes[task] for task in unknown}, range(max(0, first), iterations))
        return {task: measured[task] if prior is None else prior for task, prior in known.items()}

    def earlier_prior(self, classes: dict[str, int], iterations: int) -> dict[str, Floats] | None:
        """The same of the beginning, where sampling or weights change in the course of the training; None where nothing
        changes.
        """
        first, last = strengths(self.sampling.sampling)
        if first == last and not self.sampling.deferred:
            return None
        if self.keeps_shares and (self.sampling.deferred or not self.sampling.cost):
            return {task: self._drawn_shares(task, count, 0) for task, count in classes.items()}
        return self._measured_prior(classes, range(min(iterations, self._begin or iterations, MEASURED)))

    @property
    def keeps_shares(self) -> bool:
        """Whether, without weights, the loss has the classes as they are drawn."""
        return True

    def _drawn_shares(self, task: str, count: int, strength: float) -> Floats:
        shares: Floats = class_shares(self.class_counts(task, count), strength).astype(np.float32)
        return shares

    def exact_prior(self, task: str, count: int) -> Floats | None:
        """The shares that follow from how mini-batches are drawn; None if they have to be measured."""
        _, strength = strengths(self.sampling.sampling)
        if self.sampling.sampling == "natural" and not self.sampling.cost:
            return self._drawn_shares(task, count, 0)  # of tasks that share images too
        if self.sampler.together and len(self.labels) > 1:
            return None
        if strength < 1 and self.sampling.cost:
            return None
        return self._drawn_shares(task, count, strength)

    def _measured_prior(self, classes: dict[str, int], steps: range) -> dict[str, Floats]:
        """Of some mini-batches. A class that is in none of them was trained all the same: it has its share of the
        samples, by the least factor of the others.
        """
        sums = {task: np.zeros(count) for task, count in classes.items()}
        for step in steps if classes else ():
            selected = self.select(step)
            for task, of_task in sums.items():
                codes, weights = self.classifier_targets(task, selected)
                own = (codes >= 0) & (codes < len(of_task))  # hard negatives have codes beyond
                np.add.at(of_task, codes[own], weights[own])
        return {task: self._with_every_class(task, of_task) for task, of_task in sums.items()}

    def _with_every_class(self, task: str, measured: npt.NDArray[np.float64]) -> Floats:
        natural = self._drawn_shares(task, len(measured), 0).astype(np.float64)
        seen = measured > 0
        factor = (measured[seen] / natural[seen]).min() if seen.any() else 1.0
        whole = np.where(seen, measured, factor * natural)
        shares: Floats = (whole / whole.sum()).astype(np.float32)
        return shares

    @abstractmethod
    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The scalars to log, "loss" being what is minimised. `images`: float (views·m)×C×H×W, the images of
        `batch.samples`, and after them the same once more for each further view.

        Over the processes they add up to those of the whole mini-batch. Methods that compare its samples with each
        other are excepted: they do so within the share of each process, and say it.
        """

    def batch(self, step: int, world: World = ALONE) -> Batch:
        """This process's part of the mini-batch of a step: an image that several of its rows share goes through the
        network once.
        """
        selected = self.select(step)
        shares = {task: world.share(len(one.positions)) for task, one in selected.items()}
        mine = {task: one.positions[shares[task]] for task, one in selected.items()}
        samples = images_of(mine)
        whole = samples if world.size == 1 else images_of({task: one.positions for task, one in selected.items()})
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
