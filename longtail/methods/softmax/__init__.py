"""The softmax classifier: cross-entropy."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from longtail.methods.base import ClassifierMethod, MethodParams, Setup


class Params(MethodParams):
    """`label_smoothing`: the share of a sample's label that is spread evenly over all classes (Szegedy et al. 2016)."""

    kind: Literal["softmax"] = "softmax"
    label_smoothing: float = Field(0.0, ge=0, lt=1)

    def build(self, setup: Setup) -> "Softmax":
        return Softmax(setup, self.label_smoothing)


class Softmax(ClassifierMethod):
    """Cross-entropy; `cost` weighs classes equally within the mini-batch."""

    def __init__(self, setup: Setup, label_smoothing: float = 0.0) -> None:
        super().__init__(setup)
        self.label_smoothing = label_smoothing

    def losses(self, task: str, logits: Tensor, codes: Tensor) -> Tensor:
        return F.cross_entropy(logits, codes, reduction="none", label_smoothing=self.label_smoothing)
