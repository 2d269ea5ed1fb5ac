"""The softmax classifier: cross-entropy, and the positive-sharing loss on top of it."""

from typing import Literal

import numpy as np
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from longtail.methods.base import Floats, Setup
from longtail.methods.classifier import ClassifierMethod, ClassifierParams
from longtail.methods.positive_sharing import PositiveSharing, binary_losses, check_backgrounds


class Params(ClassifierParams):
    """`label_smoothing`: the share of a sample's label that is spread evenly over all classes (Szegedy et al. 2016)."""

    kind: Literal["softmax"] = "softmax"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    positive_sharing: PositiveSharing = None

    def build(self, setup: Setup) -> "Softmax":
        return Softmax(setup, self)


PLAIN = Params()


class Softmax(ClassifierMethod):
    """Cross-entropy; `cost` weighs classes equally within the mini-batch."""

    def __init__(self, setup: Setup, params: Params = PLAIN) -> None:
        super().__init__(setup, params.mixup)
        self.label_smoothing, self.positive_sharing = params.label_smoothing, params.positive_sharing
        self._backgrounds = setup.backgrounds
        check_backgrounds(setup, params.positive_sharing)

    def trained_prior(self, classes: dict[str, int], iterations: int) -> dict[str, Floats]:
        """As of every method; of smoothed labels that of what they say. A class without a sample keeps its share of 0:
        nothing is to raise what was only ever trained as the others' remainder.
        """
        found = super().trained_prior(classes, iterations)
        return {task: self._smoothed(shares) for task, shares in found.items()}

    def earlier_prior(self, classes: dict[str, int], iterations: int) -> dict[str, Floats] | None:
        """The same of the beginning."""
        found = super().earlier_prior(classes, iterations)
        return None if found is None else {task: self._smoothed(shares) for task, shares in found.items()}

    def _smoothed(self, shares: Floats) -> Floats:
        if not self.label_smoothing:
            return shares
        said = (1 - self.label_smoothing) * shares + self.label_smoothing / len(shares)
        said = np.where(shares > 0, said, 0)
        trained: Floats = (said / said.sum()).astype(np.float32)
        return trained

    def losses(self, task: str, logits: Tensor, codes: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, codes, reduction="none", label_smoothing=self.label_smoothing)
        if self.positive_sharing:
            losses = losses + self.positive_sharing * binary_losses(logits, codes, self._backgrounds[task])
        return losses
