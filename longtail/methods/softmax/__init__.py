"""The softmax classifier: cross-entropy, and the positive-sharing loss on top of it."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from longtail.methods.base import Setup
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

    def losses(self, task: str, logits: Tensor, codes: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, codes, reduction="none", label_smoothing=self.label_smoothing)
        if self.positive_sharing:
            losses = losses + self.positive_sharing * binary_losses(logits, codes, self._backgrounds[task])
        return losses
