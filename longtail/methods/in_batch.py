"""What the methods share that compare the samples of a mini-batch with each other."""

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor

from longtail.data.samplers import mean_weights
from longtail.errors import DataError
from longtail.methods.base import Ints, Method, Setup
from longtail.methods.batch import Batch, Selection, once
from longtail.network.network import Network


def check_batch(setup: Setup, least: int, wants: str, otherwise: str) -> None:
    """Raise DataError if no class has `least` samples in a class-even mini-batch, so that nothing would be learned.
    `wants` says what needs them, `otherwise` what else would help.
    """
    for task, codes in setup.labels.items():
        classes, batch = len(np.unique(codes[codes >= 0])), setup.sampling.batch
        if setup.sampling.sampling == "class_even" and batch <= (least - 1) * classes:
            raise DataError(
                f"{wants}, and class-even mini-batches of {batch} have at most {-(-batch // classes)} of each of the "
                f"{classes} classes of {task!r}: set `batch` to {least * classes} or more, or {otherwise}"
            )


class InBatchMethod(Method):
    """A method that compares `batch` samples a task and step with each other.

    A sample that is drawn twice is there once, with the weight of both: it would be its own positive. Every process
    compares within its own share of a mini-batch, so the loss of several is not that of the whole.
    """

    def select_for(self, task: str, positions: Ints, step: int) -> Selection:
        weights = mean_weights(self.labels[task][positions], cost=self.cost(step))
        kept, summed = once(positions, weights)
        return Selection(kept, {"codes": self.labels[task][kept], "weights": summed})

    def rows(self, batch: Batch, task: str) -> Tensor:
        """The rows (views·n,) of the images that a task has of a mini-batch, view after view."""
        return torch.cat([batch.rows[task] + view * len(batch.samples) for view in range(self.views)])

    def of_views(self, batch: Batch, task: str) -> tuple[Tensor, Tensor]:
        """The class codes (views·n,) of these images, and their weights: a sample's is divided among its views."""
        targets = batch.targets[task]
        return targets["codes"].repeat(self.views), targets["weights"].repeat(self.views) / self.views


class AnchorMethod(InBatchMethod):
    """Compares embeddings: the loss of each sample, as an anchor, summed with its weight."""

    trains_classifier = False

    def __init__(self, setup: Setup, *, views: int = 1) -> None:
        super().__init__(setup)
        self.views = views
        if views == 1:
            check_batch(setup, 2, "only samples of one class are compared as positives", "`sampling: natural`")

    @abstractmethod
    def losses(self, embeddings: Tensor, codes: Tensor) -> Tensor:
        """The loss (n,) of each anchor, from the embeddings (n, d) on the unit sphere, float32 under autocast too, and
        the class codes (n,). An anchor without anything to compare it with has 0.
        """

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        total = torch.zeros((), device=images.device)
        for task, embeddings in network.embed(images).items():
            codes, weights = self.of_views(batch, task)
            # Autocast would take the products in bfloat16, and near neighbours would be equally near.
            with torch.autocast(images.device.type, enabled=False):
                losses = self.losses(embeddings[self.rows(batch, task)].float(), codes)
            total = total + (losses * weights).sum()
        return {"loss": total}
