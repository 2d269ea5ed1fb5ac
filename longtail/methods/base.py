"""What a method is: how mini-batches are drawn, and how one becomes a loss."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from longtail.data.samplers import Sampling, TaskSampler
from longtail.network.network import Network
from longtail.quintuplets import QuintupletTable
from longtail.world import ALONE, World

Ints = npt.NDArray[np.int64]


class Drawing(BaseModel, extra="forbid"):
    """How mini-batches are drawn: parameters of every stage that trains."""

    batch: int = Field(ge=1, description="samples, of LMLE anchors, a step and task, of each process")
    sampling: Sampling = Field("class_even", description="natural, class_even, or over- and under-sampled data")
    cost: bool = Field(True, description="give the classes of a mini-batch equal weight")
    together: bool = Field(False, description="tasks take turns to draw, and share what is drawn")


@dataclass(frozen=True)
class Given:
    """What a method is made from: `labels` (task → (n,) class codes, −1 where there is none), the tables of quintuplets
    where there are any, and how mini-batches are drawn by that many processes.
    """

    labels: dict[str, Ints]
    drawing: Drawing
    seed: int
    processes: int = 1
    tables: dict[str, QuintupletTable] = field(default_factory=dict)


@dataclass(frozen=True)
class Drawn:
    """What a step draws for one task, for all processes, which divide the first axis among them.

    `positions` (B, …): in the split. `about` (name → (B,) array): what the loss has to know of each draw. What is a
    mean over the mini-batch, or a weight that depends on all of it (as a class's frequency in it does), is in here.
    """

    positions: Ints
    about: dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Batch:
    """What one process does of a mini-batch; alone, that is all of it.

    `samples` (m,): positions in the split, each image once; `whole`: how many images the mini-batch of all processes
    has; `places` (m,): which of these are `samples`. As tensors, for each task: `draws`, what the method drew for this
    process, as rows of `samples`; `about`, what it has to know of each draw.
    """

    samples: Ints
    whole: int
    places: Ints
    draws: dict[str, Tensor]
    about: dict[str, dict[str, Tensor]]

    def to(self, device: torch.device) -> "Batch":
        """The same with its tensors on a device."""
        draws = {task: to_device(rows, device) for task, rows in self.draws.items()}
        about = {
            task: {name: to_device(values, device) for name, values in known.items()}
            for task, known in self.about.items()
        }
        return replace(self, draws=draws, about=about)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of this process's memory on a device; a GPU fetches it while the process goes on."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values


class Method(ABC):
    """One way of training the network. Adding one is a file in this folder, and a word in `choice.py` if it has rounds,
    in `classifier_choice.py` if it has none.
    """

    trains_classifier: ClassVar[bool] = False

    def __init__(self, given: Given) -> None:
        how = given.drawing
        self.labels, self.tables, self.cost = given.labels, given.tables, how.cost
        self.sampler = TaskSampler(
            given.labels, how.batch * given.processes, sampling=how.sampling, seed=given.seed, together=how.together
        )

    def draw(self, step: int) -> dict[str, Drawn]:
        """What step number `step` needs, for each task. A function of the step alone: steps are drawn ahead, in another
        thread than that of `loss`.
        """
        return {task: self.drawn(task, positions) for task, positions in self.sampler.positions(step).items()}

    @abstractmethod
    def drawn(self, task: str, positions: Ints) -> Drawn:
        """What a task needs of the samples at those positions (B,)."""

    @abstractmethod
    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The scalars to log, "loss" being what is minimised. `images`: float m×C×H×W, those of `batch.samples`.

        Over the processes they add up to those of the whole mini-batch (class rectification excepted).
        """

    def batch(self, step: int, world: World = ALONE) -> Batch:
        """This process's part of the mini-batch of a step: an image that several of its draws share goes through the
        network once.
        """
        drawn = self.draw(step)
        shares = {task: world.share(len(one.positions)) for task, one in drawn.items()}
        mine = {task: one.positions[shares[task]] for task, one in drawn.items()}
        samples = _images(mine)
        whole = samples if world.size == 1 else _images({task: one.positions for task, one in drawn.items()})
        return Batch(
            samples,
            len(whole),
            np.searchsorted(whole, samples),
            {task: torch.from_numpy(np.searchsorted(samples, positions)) for task, positions in mine.items()},
            {
                task: {name: torch.from_numpy(values[shares[task]]) for name, values in one.about.items()}
                for task, one in drawn.items()
            },
        )


def _images(positions: dict[str, Ints]) -> Ints:
    return np.unique(np.concatenate([of_task.ravel() for of_task in positions.values()]))
