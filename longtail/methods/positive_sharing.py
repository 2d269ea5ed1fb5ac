"""DeepContour's positive-sharing loss: what tells the background class from all others together counts beside what
tells every class from every other. Here as a loss of a classifier, and as weights of the anchors of hinges.

W. Shen, X. Wang, Y. Wang, X. Bai, Z. Zhang: DeepContour, CVPR 2015: the softmax loss is regularised so that it
emphasises positive against negative, and each class of contours shares the loss of the whole positive class.
"""

from operator import not_
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from longtail.data.samplers import mean_weights
from longtail.errors import DataError
from longtail.methods.base import Floats, Ints, Setup

PositiveSharing = Annotated[
    float | None, Field(gt=0, exclude_if=not_, description="λ of DeepContour's loss; null: without it")
]


def check_backgrounds(setup: Setup, sharing: float | None) -> None:
    """Raise DataError where a task has no background class, and the loss is asked for."""
    if sharing and (without := sorted(setup.labels.keys() - setup.backgrounds.keys())):
        raise DataError(
            f"`positive_sharing` needs a background class, and the task {without[0]!r} has none: leave it out"
        )


def binary_losses(logits: Tensor, codes: Tensor, background: int) -> Tensor:
    """The loss (n,) of telling the background class from all others together: −log p₀ of a sample of the background, p₀
    being its probability, and −log (1 − p₀) of any other; logits (n, K), codes (n,).
    """
    others = torch.cat([logits[:, :background], logits[:, background + 1 :]], dim=1).logsumexp(dim=1)
    difference = others - logits[:, background]  # log (1 − p₀) − log p₀
    return F.softplus(torch.where(codes == background, difference, -difference))


def shared_weights(codes: Ints, background: int, *, cost: float, sharing: float) -> Floats:
    """Weights (n,) of anchors, that sum to 1: those of their classes and, λ times, those by which the background class
    and all others together weigh alike, divided by 1 + λ. LMLE (Table 1) names both costs for edges and gives no form.
    """
    of_two = mean_weights((codes == background).astype(np.int64), cost=1.0)
    return ((mean_weights(codes, cost=cost) + sharing * of_two) / (1 + sharing)).astype(np.float32)
