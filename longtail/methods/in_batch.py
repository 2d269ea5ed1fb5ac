"""What the methods share that compare the samples of a mini-batch with each other."""

import math
import sys
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
    """Raise DataError if no class ever has `least` samples in a mini-batch, or in all, so that nothing would
    be learned. `wants` says what needs them, `otherwise` what else would help. Several tasks serve each other.
    """
    check_classes(setup, least, wants)
    if len(setup.labels) != 1:
        return
    ((task, sizes),) = class_sizes(setup).items()
    batch, classes = setup.sampling.batch, len(sizes)
    if batch < least:
        raise DataError(f"{wants}, and mini-batches have {batch}: set `batch` to {least} or more")
    if draws_evenly(setup) and (most := most_of_a_class(batch, classes)) < least:
        raise DataError(
            f"{wants}, and class-even mini-batches of {batch} have at most {most} of each of the {classes} classes "
            f"of {task!r}: set `batch` to {least * classes} or more, or {otherwise}"
        )


def check_classes(setup: Setup, least: int, wants: str) -> None:
    """Raise DataError if no class has `least` samples, or if there is but one and nothing to keep it apart from.
    Several tasks serve each other.
    """
    if len(setup.labels) != 1:
        return
    ((task, sizes),) = class_sizes(setup).items()
    if len(sizes) and sizes.max() < least:
        raise DataError(
            f"{wants}, and no class of {task!r} has {least} images to train on"
            + (": raise `at_most`" if setup.sampling.at_most else "")
        )
    marked = setup.negatives.get(task)
    if len(sizes) == 1 and (marked is None or not (marked >= 0).any()):
        raise DataError(f"a class is kept apart from the samples of others, and {task!r} has one class alone")


def small_classes(setup: Setup, least: int) -> list[str]:
    """What to say where classes have fewer than `least` samples."""
    return [
        f"{count} of the {len(sizes)} classes of {task!r} have fewer than {least} images to train on, so there is "
        "nothing to compare within them"
        for task, sizes in class_sizes(setup).items()
        if (count := int((sizes < least).sum()))
    ]


def few_of_a_class(setup: Setup, least: int) -> list[str]:
    """What to say where classes have fewer than `least` samples, or most have in a class-even mini-batch."""
    batch, every = setup.sampling.batch, class_sizes(setup)
    few = [
        f"class-even mini-batches of {batch} have {least} samples of few of the {len(sizes)} classes of {task!r}, and "
        f"of the others nothing is learned in a step: `batch` of {least * len(sizes)} or more would have of all"
        for task, sizes in every.items()
        if draws_evenly(setup) and batch < least * len(sizes)
    ]
    return small_classes(setup, least) + few


def class_sizes(setup: Setup) -> dict[str, Ints]:
    """How many samples each class of each task that has any is trained on, (K,)."""
    most = setup.sampling.at_most or sys.maxsize
    sizes = {task: np.bincount(codes[codes >= 0]) for task, codes in setup.labels.items()}
    return {task: np.minimum(of_task[of_task > 0], most) for task, of_task in sizes.items()}


def draws_evenly(setup: Setup) -> bool:
    """Whether mini-batches are class-even."""
    return setup.sampling.sampling == "class_even"


def most_of_a_class(batch: int, classes: int) -> int:
    """The most samples that a class can have in `batch` draws, of which every `classes` in turn are one of each.

    As many as there are turns in a mini-batch that begins as late in one as it can.
    """
    late = classes - math.gcd(batch, classes)
    return -(-(late + batch) // classes)


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
        self.views, self._few = views, few_of_a_class(setup, 2) if views == 1 else []
        if views == 1:
            check_batch(setup, 2, "only samples of one class are compared as positives", "`sampling: natural`")

    def warnings(self) -> list[str]:
        return [*super().warnings(), *self._few]

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
                losses = self.losses(embeddings[self.rows(batch, task)], codes)
            total = total + (losses * weights).sum()
        return {"loss": total}
