"""What a method is: how mini-batches are drawn, and how one becomes a loss."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from longtail.models.network import Network
from longtail.world import ALONE, World

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """What one process does of a mini-batch; alone, that is all of it.

    `samples` (m,): positions in the split, each image once; `draws` (task → array): what the method drew for this
    process, as rows of `samples`; `share`: where that lies in what it drew for all processes. `whole`: how many images
    the mini-batch of all processes has; `places` (m,): which of these are `samples`.
    """

    samples: Ints
    draws: dict[str, Ints]
    share: slice
    whole: int
    places: Ints


class Method(ABC):
    """One way of training the network. Adding a method is one file in this folder."""

    @abstractmethod
    def draw(self, step: int) -> dict[str, Ints]:
        """Positions in the split that step number `step` needs, for all processes: for each task an array of any
        shape, whose first axis is what the processes divide among them.
        """

    @abstractmethod
    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The scalars to log, "loss" being what is minimised. `images`: float m×C×H×W, those of `batch.samples`.

        Over the processes they add up to those of the whole mini-batch, so whatever is a mean over it (or a weight
        that depends on it, as a class's frequency in it does) is taken over the whole before `batch.share` is.
        """

    def batch(self, step: int, world: World = ALONE) -> Batch:
        """This process's part of the mini-batch of a step: an image that several of its draws share goes through the
        network once.
        """
        drawn = self.draw(step)
        share = world.share(len(next(iter(drawn.values()))))
        mine = {task: positions[share] for task, positions in drawn.items()}
        whole, samples = _images(drawn), _images(mine)
        rows = {task: np.searchsorted(samples, positions) for task, positions in mine.items()}
        return Batch(samples, rows, share, len(whole), np.searchsorted(whole, samples))


def _images(drawn: dict[str, Ints]) -> Ints:
    return np.unique(np.concatenate([positions.ravel() for positions in drawn.values()]))
