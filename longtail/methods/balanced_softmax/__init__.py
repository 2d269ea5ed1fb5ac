"""Balanced softmax and the logit-adjusted loss: cross-entropy whose logits are raised by the log prior as it trains.

Sources: Ren et al., Balanced Meta-Softmax, NeurIPS 2020, Eq. 4; Menon et al., Long-tail learning via logit adjustment,
ICLR 2021, Eq. 10.
"""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from longtail.methods.base import Floats, Setup
from longtail.methods.batch import to_device
from longtail.methods.classifier import ClassifierMethod, ClassifierParams


class Params(ClassifierParams):
    """The strength τ: 1 is balanced softmax, and what it leaves to correct afterwards is nothing."""

    kind: Literal["balanced_softmax"] = "balanced_softmax"
    strength: float = Field(1.0, gt=0, le=5, description="τ; 1 is balanced softmax")

    def in_vain(self) -> str | None:
        """As of every method."""
        if self.mixup and self.mixup.kappa is not None:
            return (
                "Remix labels mixtures as the rarer class, and balanced_softmax raises the logits by the prior of the "
                "images: the imbalance would be made up for twice; leave out `kappa`"
            )
        return super().in_vain()

    def build(self, setup: Setup) -> "BalancedSoftmax":
        return BalancedSoftmax(setup, self)


class BalancedSoftmax(ClassifierMethod):
    """The prior is that of the training samples, so mini-batches are natural."""

    def __init__(self, setup: Setup, params: Params) -> None:
        super().__init__(setup, params.mixup)
        self.strength = params.strength

    def losses(self, task: str, logits: Tensor, codes: Tensor) -> Tensor:
        counts = to_device(torch.from_numpy(self.class_counts(task, logits.shape[1])), logits.device)
        return adjusted_cross_entropy(logits, codes, counts, self.strength)

    def exact_prior(self, task: str, count: int) -> Floats | None:
        """What is left to correct: π^(1 − τ), even where τ is 1."""
        counts = self.class_counts(task, count).astype(np.float64)
        left = np.where(counts > 0, np.maximum(counts, 1) ** (1 - self.strength), 0)
        shares: Floats = (left / left.sum()).astype(np.float32)
        return shares


def adjusted_cross_entropy(logits: Tensor, codes: Tensor, counts: Tensor, strength: float) -> Tensor:
    """−log softmax(logits + τ log n)_y of each sample: logits (n, K), codes (n,), counts (K,), to (n,).

    A class without a sample has probability 0: log 0 is −∞, and its logit has no gradient. Counts do as well as shares.
    """
    return F.cross_entropy(logits + strength * counts.float().log(), codes, reduction="none")
