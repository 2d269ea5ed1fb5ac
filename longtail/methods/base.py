"""What a method is: how mini-batches are drawn, and how one becomes a loss."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from longtail.models.network import Network
from longtail.world import ALONE, World

Ints = npt.NDArray[np.int64]


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
    """One way of training the network. Adding a method is one file in this folder."""

    @abstractmethod
    def draw(self, step: int) -> dict[str, Drawn]:
        """What step number `step` needs, for each task. A function of the step alone: steps are drawn ahead, in another
        thread than that of `loss`.
        """

    @abstractmethod
    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The scalars to log, "loss" being what is minimised. `images`: float m×C×H×W, those of `batch.samples`.

        Over the processes they add up to those of the whole mini-batch.
        """

    def batch(self, step: int, world: World = ALONE) -> Batch:
        """This process's part of the mini-batch of a step: an image that several of its draws share goes through the
        network once.
        """
        drawn = self.draw(step)
        share = world.share(len(next(iter(drawn.values())).positions))
        mine = {task: one.positions[share] for task, one in drawn.items()}
        samples = _images(mine)
        whole = samples if world.size == 1 else _images({task: one.positions for task, one in drawn.items()})
        return Batch(
            samples,
            len(whole),
            np.searchsorted(whole, samples),
            {task: torch.from_numpy(np.searchsorted(samples, positions)) for task, positions in mine.items()},
            {task: {name: torch.from_numpy(v[share]) for name, v in one.about.items()} for task, one in drawn.items()},
        )


def _images(positions: dict[str, Ints]) -> Ints:
    return np.unique(np.concatenate([of_task.ravel() for of_task in positions.values()]))
