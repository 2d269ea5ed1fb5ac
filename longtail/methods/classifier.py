"""What the methods share whose loss is that of single samples: weights, missing labels, mixtures."""

from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from longtail.methods.base import Floats, Ints, Method, MethodParams, Setup
from longtail.methods.batch import Batch, Selection, images_of, to_device
from longtail.methods.hard_negatives import HardNegatives
from longtail.methods.mixup import TAU, Mixed, Mixup, label_weights, mix
from longtail.network.network import Network


class ClassifierParams(MethodParams):
    """The parameters of a method whose loss is that of single samples."""

    separates_negatives = True
    mixup: Mixup | None = Field(None, description="train on mixtures of two images")

    def in_vain(self) -> str | None:
        """As of every method."""
        if self.mixup and self.mixup.kappa is None and self.mixup.tau != TAU:
            return "`mixup.tau` is of Remix, which is mixup with a `kappa`: give it too, or leave `tau` out"
        return super().in_vain()


class ClassifierMethod(Method):
    """A method whose loss is that of single samples, summed with their weights over `batch` samples a task and step."""

    def __init__(self, setup: Setup, mixup: Mixup | None = None) -> None:
        super().__init__(setup)
        self.mixup = mixup
        self._negatives = HardNegatives.of_tasks(setup, self._drawn, self._batch)
        self._on_top = self._negatives

    def select(self, step: int) -> dict[str, Selection]:
        """As of every method; hard negatives come on top, where they are classes."""
        selected = super().select(step)
        return selected | {task: found.joined(selected[task], step) for task, found in self._on_top.items()}

    def class_counts(self, task: str, classes: int) -> Ints:
        """As of every method; behind the task's own classes those of its hard negatives, as they are drawn."""
        counts = super().class_counts(task, classes)
        return self._negatives[task].counted(counts) if task in self._negatives else counts

    def measuring(self, labels: dict[str, Ints]) -> Self:
        """As of every method; images are not mixed, and no hard negatives are drawn, which have no label to measure."""
        other = super().measuring(labels)
        other.mixup, other._on_top = None, {}
        return other

    def classifier_targets(self, task: str, selected: dict[str, Selection]) -> tuple[Ints, Floats]:
        """As of every method; of mixtures the labels as they are mixed on average."""
        codes, weights = super().classifier_targets(task, selected)
        if self.mixup is None:
            return codes, weights
        images = images_of({name: one.positions for name, one in selected.items()})
        partners = np.full(len(images), -1)
        partners[np.searchsorted(images, selected[task].positions)] = codes
        return label_weights(codes, weights, partners, self._counts[task], self.mixup)

    def exact_prior(self, task: str, count: int) -> Floats | None:
        """As of every method. Mixtures of natural mini-batches leave it as it is: each label is in them as own and as
        partner, with its own weight. It is measured of others, and of Remix.
        """
        kept = self.mixup is None or (self.keeps_shares and self.sampling.sampling == "natural")
        return super().exact_prior(task, count) if kept else None

    @property
    def keeps_shares(self) -> bool:
        """Not those of Remix, which labels mixtures as the rarer class."""
        return self.mixup is None or self.mixup.kappa is None

    def losses(self, task: str, logits: Tensor, codes: Tensor) -> Tensor:
        """The loss (n,) of samples of a task, from their logits (n, K) and class codes (n,): cross-entropy, unless a
        method has another.
        """
        return F.cross_entropy(logits, codes, reduction="none")

    def weighted_losses(self, task: str, logits: Tensor, codes: Tensor, weights: Tensor) -> Tensor:
        """These losses (n,) times the weights (n,) of the samples, and what a method adds by weights of its own."""
        return self.losses(task, logits, codes) * weights

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        mixed = mix(images, self.mixup) if self.mixup else None
        total = torch.zeros((), device=images.device)
        for task, logits in network.logits(images if mixed is None else mixed.images).items():
            rows, codes, weights = batch.rows[task], batch.targets[task]["codes"], batch.targets[task]["weights"]
            of_rows = logits[rows]
            losses = self.weighted_losses(task, of_rows, codes, weights)
            if mixed is not None:
                losses = self._mixed_losses(mixed, task, of_rows, rows, losses, codes, weights)
            total = total + losses.sum()
        return {"loss": total}

    def _mixed_losses(
        self, mixed: Mixed, task: str, logits: Tensor, rows: Tensor, losses: Tensor, codes: Tensor, weights: Tensor
    ) -> Tensor:
        """The weighted losses (n,) of mixtures: of both labels, each by its share and with the weight of its image.
        `losses` (n,) are those of the own ones. A partner without a label adds nothing.
        """
        images = mixed.partners[rows]
        partners = codes.new_full((len(mixed.images),), -1).scatter(0, rows, codes)[images]
        of_partners = weights.new_zeros(len(mixed.images)).scatter(0, rows, weights)[images]
        counts = to_device(torch.from_numpy(self.class_counts(task, logits.shape[1])), logits.device)
        own = mixed.label_shares(codes, partners, counts)
        # The own class stands in for none: any other may be one that was never trained, whose loss is infinite.
        others = self.losses(task, logits, torch.where(partners >= 0, partners, codes)) * of_partners
        return own * losses + torch.where(partners >= 0, 1 - own, 0.0) * others
