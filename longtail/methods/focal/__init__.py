"""Focal loss (Lin et al., ICCV 2017): cross-entropy that looks away from what is easy."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from longtail.methods.base import Setup
from longtail.methods.classifier import ClassifierMethod, ClassifierParams


class Params(ClassifierParams):
    """γ of the paper's Eq. 4; 0 is cross-entropy."""

    kind: Literal["focal"] = "focal"
    gamma: float = Field(2.0, ge=0, description="γ of Eq. 4; 0 is cross-entropy")

    def build(self, setup: Setup) -> "Focal":
        return Focal(setup, self)


class Focal(ClassifierMethod):
    """The focal loss on `batch` samples a task and step; `cost` weighs classes equally within the mini-batch."""

    def __init__(self, setup: Setup, params: Params) -> None:
        super().__init__(setup, params.mixup)
        self.gamma = params.gamma

    def losses(self, task: str, logits: Tensor, codes: Tensor) -> Tensor:
        return focal_loss(logits, codes, self.gamma)


def focal_loss(logits: Tensor, codes: Tensor, gamma: float) -> Tensor:
    """(1 − p)^γ · −log p of each sample (Eq. 4), p the probability of its class; logits (n, K), codes (n,), to (n,).

    Weights come afterwards: inside, they would be part of p.
    """
    cross_entropy = F.cross_entropy(logits, codes, reduction="none")
    wrong = -torch.expm1(-cross_entropy)  # 1 − p, exact where p is near 1
    return wrong.clamp(min=1e-12) ** gamma * cross_entropy
