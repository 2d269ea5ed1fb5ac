"""Class-balanced loss: softmax, sigmoid, focal or LDAM, each sample weighed by its class's effective number of samples.

Source: Cui, Jia, Lin, Song and Belongie, CVPR 2019; the thesis "Learning from fine-grained and long-tailed visual
data", chapter 5, Eq. 5.1 and 5.6 to 5.12.
"""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from longtail.methods.base import Floats, Ints, Setup
from longtail.methods.batch import Selection
from longtail.methods.classifier import ClassifierMethod, ClassifierParams
from longtail.methods.ldam import Cosines, ldam_loss
from longtail.network.decay import without_decay

Loss = Literal["softmax", "sigmoid", "focal", "ldam"]


class Params(ClassifierParams):
    """β of Eq. 5.1, γ of the focal loss, margin and scale of LDAM.

    `normalise`: whether the weighted sum is divided by the samples of the mini-batch, as the authors do, or by the
    weights.
    """

    kind: Literal["class_balanced"] = "class_balanced"
    loss: Loss = Field("softmax", description="which loss is weighed")
    beta: float = Field(
        0.999, ge=0, lt=1, description="β of Eq. 5.1: 0 weighs all alike, towards 1 by the inverse of class sizes"
    )
    gamma: float = Field(0.5, ge=0, description="γ, of `loss: focal`")
    max_margin: float = Field(0.5, gt=0, description="of `loss: ldam`")
    scale: float = Field(30.0, gt=0, description="of `loss: ldam`")
    normalise: Literal["samples", "weights"] = "samples"

    def in_vain(self) -> str | None:
        """As of every method."""
        for field, loss in (("gamma", "focal"), ("max_margin", "ldam"), ("scale", "ldam")):
            if self.loss != loss and getattr(self, field) != type(self).model_fields[field].default:
                return f"`{field}` is of `loss: {loss}`, and the loss is {self.loss}: leave `{field}` out"
        return super().in_vain()

    def build(self, setup: Setup) -> "ClassBalanced":
        return ClassBalanced(setup, self)

    def head(self, features: int, classes: int) -> nn.Module:
        """A linear classifier; of the one-against-all losses each class begins with the probability 1/C (section 5.3.3:
        b = −log((1 − π)/π)), and its bias does not decay.
        """
        if self.loss == "ldam":
            return Cosines(features, classes, self.scale)
        layer = nn.Linear(features, classes)
        if self.loss != "softmax":
            nn.init.constant_(layer.bias, -math.log(max(1, classes - 1)))
            without_decay(layer.bias)
        return layer


class ClassBalanced(ClassifierMethod):
    """The weights are in the targets, so that several processes weigh as one."""

    def __init__(self, setup: Setup, params: Params) -> None:
        super().__init__(setup, params.mixup)
        self.params = params
        self._weights = {task: class_weights(counts, params.beta) for task, counts in self._counts.items()}

    def select_for(self, task: str, positions: Ints, step: int) -> Selection:
        selected = super().select_for(task, positions, step)
        if not self.balances(step):
            return selected
        weights = selected.targets["weights"] * self._weights[task][selected.targets["codes"]]
        if self.params.normalise == "weights":
            weights = weights / max(weights.sum(), np.finfo(np.float32).tiny)
        return Selection(selected.positions, selected.targets | {"weights": weights.astype(np.float32)})

    def losses(self, task: str, logits: Tensor, codes: Tensor) -> Tensor:
        if self.params.loss == "ldam":
            counts = self.class_counts(task, logits.shape[1])
            return ldam_loss(logits, codes, counts, self.params.max_margin, self.params.scale)
        if self.params.loss == "softmax":
            return super().losses(task, logits, codes)
        return one_against_all(logits, codes, self.params.gamma if self.params.loss == "focal" else 0.0)

    def exact_prior(self, task: str, count: int) -> Floats | None:
        """Of natural mini-batches: the class's share of the samples times its weight. It is measured of Remix, and
        where a mini-batch is divided by its weights, which a rare class shares with few others.
        """
        if super().exact_prior(task, count) is None or self.params.normalise == "weights":
            return None
        drawn = self.class_counts(task, count).astype(np.float64)
        drawn[: len(self._weights[task])] *= self._weights[task]
        shares: Floats = (drawn / drawn.sum()).astype(np.float32)
        return shares


def effective_number(counts: Ints, beta: float) -> npt.NDArray[np.float64]:
    """E_n = (1 − βⁿ)/(1 − β) of counts (K,) (Eq. 5.1), exact for n up to 10⁹ and β up to 1 − 10⁻⁹; 0 for n = 0."""
    if beta == 0:
        return (counts > 0).astype(np.float64)
    numbers: npt.NDArray[np.float64] = -np.expm1(counts * math.log(beta)) / (1 - beta)
    return numbers


def class_weights(counts: Ints, beta: float) -> npt.NDArray[np.float64]:
    """1/E_n of each class (Eq. 5.6), scaled to sum to the number of classes that have a sample; 0 for the others."""
    numbers = effective_number(counts, beta)
    weights = np.divide(1.0, numbers, out=np.zeros(len(numbers)), where=numbers > 0)
    scaled: npt.NDArray[np.float64] = weights * (np.count_nonzero(weights) / weights.sum())
    return scaled


def one_against_all(logits: Tensor, codes: Tensor, gamma: float) -> Tensor:
    """Σ over the classes of (1 − p_t)^γ · −log p_t (Eq. 5.9 and 5.11; γ = 0 is sigmoid cross-entropy): logits (n, K),
    codes (n,), to (n,). p_t is the probability of what is right for a class.
    """
    signs = 2.0 * F.one_hot(codes, logits.shape[1]) - 1  # float32, so that half precision ends here
    cross_entropy = F.softplus(-signs * logits)
    # log(1 − p_t) is −softplus(z_t): a power of it overflows nowhere, where (1 − p_t)^γ by exp does below −88.
    modulator = torch.exp(-gamma * F.softplus(signs * logits))
    return (modulator * cross_entropy).sum(1)
