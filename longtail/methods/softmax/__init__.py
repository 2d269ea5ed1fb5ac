"""The softmax classifier: cross-entropy, and the positive-sharing loss on top of it."""

from operator import not_
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from longtail.errors import DataError
from longtail.methods.base import Setup
from longtail.methods.classifier import ClassifierMethod, ClassifierParams


class Params(ClassifierParams):
    """`label_smoothing`: the share of a sample's label that is spread evenly over all classes (Szegedy et al. 2016).

    `positive_sharing` is λ of DeepContour's loss; null: cross-entropy alone.
    """

    kind: Literal["softmax"] = "softmax"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    positive_sharing: float | None = Field(None, gt=0, exclude_if=not_)

    def build(self, setup: Setup) -> "Softmax":
        return Softmax(setup, self)


PLAIN = Params()


class Softmax(ClassifierMethod):
    """Cross-entropy; `cost` weighs classes equally within the mini-batch."""

    def __init__(self, setup: Setup, params: Params = PLAIN) -> None:
        super().__init__(setup, params.mixup)
        self.label_smoothing, self.positive_sharing = params.label_smoothing, params.positive_sharing
        self._backgrounds = setup.backgrounds
        if params.positive_sharing and (without := sorted(setup.labels.keys() - setup.backgrounds.keys())):
            raise DataError(
                f"`positive_sharing` needs a background class, and the task {without[0]!r} has none: leave it out"
            )

    def losses(self, task: str, logits: Tensor, codes: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, codes, reduction="none", label_smoothing=self.label_smoothing)
        if self.positive_sharing:
            losses = losses + self.positive_sharing * binary_losses(logits, codes, self._backgrounds[task])
        return losses


def binary_losses(logits: Tensor, codes: Tensor, background: int) -> Tensor:
    """The loss (n,) of telling the background class from all others together: −log p₀ of a sample of the background, p₀
    being its probability, and −log (1 − p₀) of any other; logits (n, K), codes (n,).

    W. Shen, X. Wang, Y. Wang, X. Bai, Z. Zhang: DeepContour, CVPR 2015: the softmax loss is regularised so that it
    emphasises positive against negative, and each class of contours shares the loss of the whole positive class.
    """
    others = torch.cat([logits[:, :background], logits[:, background + 1 :]], dim=1).logsumexp(dim=1)
    difference = others - logits[:, background]  # log (1 − p₀) − log p₀
    return F.softplus(torch.where(codes == background, difference, -difference))
