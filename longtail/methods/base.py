"""What a method is: how mini-batches are drawn, and how one becomes a loss."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from longtail.models.network import Network

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """`samples` (m,): positions in the split, each image once; `draws` (task → array): what the method drew, as
    rows of `samples`.
    """

    samples: Ints
    draws: dict[str, Ints]


class Method(ABC):
    """One way of training the network. Adding a method is one file in this folder."""

    @abstractmethod
    def draw(self, step: int) -> dict[str, Ints]:
        """Positions in the split that step number `step` needs, an array of any shape for each task."""

    @abstractmethod
    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The scalars to log, "loss" being what is minimised. `images`: float m×C×H×W, those of `batch.samples`."""

    def batch(self, step: int) -> Batch:
        """The mini-batch of a step: an image that several draws share goes through the network once."""
        drawn = self.draw(step)
        samples = np.unique(np.concatenate([positions.ravel() for positions in drawn.values()]))
        return Batch(samples, {task: np.searchsorted(samples, positions) for task, positions in drawn.items()})
