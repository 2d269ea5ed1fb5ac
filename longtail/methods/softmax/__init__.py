"""The softmax classifier: cross-entropy."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from longtail.methods.base import Setup
from longtail.methods.classifier import ClassifierMethod, ClassifierParams


class Params(ClassifierParams):
    """`label_smoothing`: the share of a sample's label that is spread evenly over all classes (Szegedy et al. 2016)."""

    kind: Literal["softmax"] = "softmax"
    label_smoothing: float = Field(0.0, ge=0, lt=1)

    def build(self, setup: Setup) -> "Softmax":
        return Softmax(setup, self)


PLAIN = Params()


class Softmax(ClassifierMethod):
    """Cross-entropy; `cost` weighs classes equally within the mini-batch."""

    def __init__(self, setup: Setup, params: Params = PLAIN) -> None:
        super().__init__(setup, params.mixup)
        self.label_smoothing = params.label_smoothing

    def losses(self, task: str, logits: Tensor, codes: Tensor) -> Tensor:
        return F.cross_entropy(logits, codes, reduction="none", label_smoothing=self.label_smoothing)
