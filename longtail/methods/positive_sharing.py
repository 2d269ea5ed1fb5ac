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

from longtail.data.samplers import Drawing, class_shares, mean_weights, strengths
from longtail.errors import DataError
from longtail.methods.base import Floats, Ints, Setup

PositiveSharing = Annotated[
    float | None, Field(gt=0, exclude_if=not_, description="λ of DeepContour's loss; null: without it")
]


def check_backgrounds(setup: Setup, sharing: float | None) -> None:
    """Raise DataError where the loss is asked for, and a task has no background class, or the background's share of
    what is drawn is not known: it changes in the course of the training, or hangs on what other tasks draw. So too of
    images that people rejected, which are of neither side.
    """
    if not sharing:
        return
    how = setup.sampling
    if how.deferred or how.sampling == "progressive":
        raise DataError(
            "`positive_sharing` needs a sampling that stays: leave it, or `deferred` and `progressive`, out"
        )
    if without := sorted(setup.labels.keys() - setup.backgrounds.keys()):
        raise DataError(
            f"`positive_sharing` needs a background class, and the task {without[0]!r} has none: leave it out"
        )
    if len(setup.labels) > 1 and how.takes_turns(len(setup.labels)) and how.sampling != "natural":
        raise DataError(
            "`positive_sharing` needs tasks that draw for themselves, and these take turns: set `together: false` or "
            "`sampling: natural`, or leave it out"
        )
    if how.negatives != "ignore":
        raise DataError(
            "`positive_sharing` tells the background from all other classes, and images that people rejected are "
            "neither: leave it, or `negatives`, out"
        )


def binary_losses(logits: Tensor, codes: Tensor, background: int) -> Tensor:
    """The loss (n,) of telling the background class from all others together: −log p₀ of a sample of the background, p₀
    being its probability, and −log (1 − p₀) of any other; logits (n, K), codes (n,).
    """
    # Under autocast a CPU would take what follows in bfloat16.
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    others = torch.cat([logits[:, :background], logits[:, background + 1 :]], dim=1).logsumexp(dim=1)
    difference = others - logits[:, background]  # log (1 − p₀) − log p₀
    return F.softplus(torch.where(codes == background, difference, -difference))


def background_share(counts: Ints, background: int, scheme: Drawing) -> float:
    """The share of the background class in what a scheme draws; `counts` (K,) of samples."""
    shares = class_shares(counts, strengths(scheme)[1])
    return float(shares[background]) if background < len(shares) else 0.0


def two_weights(share: float) -> tuple[float, float]:
    """What a sample of the background class weighs, and any other, so that in the mean of all mini-batches both sides
    weigh alike, and a sample weighs 1; `share` of the draws are of the background.

    Not within each mini-batch: class-even ones of many classes mostly have no sample of it, and all others would share
    its weight. Where one side is never drawn every sample weighs 1.
    """
    return (0.5 / share, 0.5 / (1 - share)) if 0 < share < 1 else (1.0, 1.0)


def shared_prior(prior: Floats, background: int, share: float, sharing: float) -> Floats:
    """The prior (K,) that a classifier ends at which is trained on cross-entropy, whose own is `prior` (K,), and λ
    times on `binary_losses` by `two_weights`.

    With q₀ of the background and the half of the other loss that it has, p₀ = (q₀ + λ/2) / (1 + λ). The other classes
    keep their ratios: the binary loss does not tell them apart.
    """
    half = 0.5 if 0 < share < 1 else share
    of_background = (prior[background] + sharing * half) / (1 + sharing)
    rest = 1 - prior[background]
    found: Floats = (prior * ((1 - of_background) / rest if rest > 0 else 0)).astype(np.float32)
    found[background] = of_background
    return found


def shared_weights(codes: Ints, background: int, share: float, *, cost: float, sharing: float) -> Floats:
    """Weights (n,) of anchors, that sum to 1 in the mean of all mini-batches: those of their classes and, λ times,
    those of `two_weights`, divided by 1 + λ. LMLE (Table 1) names both costs for edges and gives no form.
    """
    of_two = np.where(codes == background, *two_weights(share)) / max(1, len(codes))
    return ((mean_weights(codes, cost=cost) + sharing * of_two) / (1 + sharing)).astype(np.float32)
