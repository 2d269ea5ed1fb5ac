"""The softmax classifier: cross-entropy, and the positive-sharing loss on top of it."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from longtail.methods.base import Floats, Setup
from longtail.methods.classifier import ClassifierMethod, ClassifierParams
from longtail.methods.positive_sharing import (
    PositiveSharing,
    background_share,
    binary_losses,
    check_backgrounds,
    shared_prior,
    two_weights,
)


class Params(ClassifierParams):
    """`label_smoothing`: the share of a sample's label that is spread evenly over all classes (Szegedy et al. 2016)."""

    kind: Literal["softmax"] = "softmax"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    positive_sharing: PositiveSharing = None

    def in_vain(self) -> str | None:
        """As of every method."""
        if self.mixup and self.positive_sharing:
            return "`positive_sharing` is of images, and not of mixtures: leave it or `mixup` out"
        return super().in_vain()

    def build(self, setup: Setup) -> "Softmax":
        return Softmax(setup, self)


PLAIN = Params()


class Softmax(ClassifierMethod):
    """Cross-entropy; `cost` weighs classes equally within the mini-batch."""

    def __init__(self, setup: Setup, params: Params = PLAIN) -> None:
        super().__init__(setup, params.mixup)
        self.label_smoothing, self.positive_sharing = params.label_smoothing, params.positive_sharing
        self._backgrounds, self._processes = setup.backgrounds, setup.processes
        check_backgrounds(setup, params.positive_sharing)
        self._shares = {
            task: background_share(self._counts[task], code, setup.sampling.sampling)
            for task, code in setup.backgrounds.items()
        }
        self._sides = {task: two_weights(share) for task, share in self._shares.items()}

    def trained_prior(self, classes: dict[str, int], iterations: int) -> dict[str, Floats]:
        """As of every method; of smoothed labels that of what they say, and with positive sharing that which both
        losses together have. A class without a sample keeps its share of 0: nothing is to raise what was only ever
        trained as the others' remainder.
        """
        found = super().trained_prior(classes, iterations)
        return {task: self._of_the_loss(task, shares) for task, shares in found.items()}

    def earlier_prior(self, classes: dict[str, int], iterations: int) -> dict[str, Floats] | None:
        """The same of the beginning."""
        found = super().earlier_prior(classes, iterations)
        return None if found is None else {task: self._of_the_loss(task, shares) for task, shares in found.items()}

    def _of_the_loss(self, task: str, shares: Floats) -> Floats:
        smoothed = self._smoothed(task, shares)
        if not self.positive_sharing:
            return smoothed
        return shared_prior(smoothed, self._backgrounds[task], self._shares[task], self.positive_sharing)

    def _smoothed(self, task: str, shares: Floats) -> Floats:
        if not self.label_smoothing:
            return shares
        # Hard negatives have a part of the loss, and their classes a part of what is spread over all.
        part, trained_classes = 1.0, len(shares)
        if task in self._negatives:
            part = self._negatives[task].labelled
            trained_classes += 1 if self.sampling.negatives == "single" else len(shares)
        said = (1 - self.label_smoothing) * part * shares + self.label_smoothing / trained_classes
        said = np.where(shares > 0, said, 0)
        trained: Floats = (said / said.sum()).astype(np.float32)
        return trained

    def losses(self, task: str, logits: Tensor, codes: Tensor) -> Tensor:
        return F.cross_entropy(logits, codes, reduction="none", label_smoothing=self.label_smoothing)

    def weighted_losses(self, task: str, logits: Tensor, codes: Tensor, weights: Tensor) -> Tensor:
        """As of every method; with positive sharing its term too, which no class weight and no scheme moves: background
        and edges weigh alike in it.
        """
        losses = super().weighted_losses(task, logits, codes, weights)
        if not self.positive_sharing:
            return losses
        background, (own, others) = self._backgrounds[task], self._sides[task]
        sides = torch.where(codes == background, own, others) / max(1, len(codes) * self._processes)
        return losses + self.positive_sharing * sides * binary_losses(logits, codes, background)
