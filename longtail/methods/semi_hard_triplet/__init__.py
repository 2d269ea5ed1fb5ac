"""The triplet loss with semi-hard negatives, mined in the mini-batch.

Source: Schroff, Kalenichenko and Philbin, FaceNet, CVPR 2015, section 3.2: all pairs of anchor and positive, and a
negative that is farther from the anchor than the positive (Eq. 4). Which of those, and which where there is none, the
paper leaves open: here as in TensorFlow's `triplet_semihard_loss`, the nearest of them, else the farthest negative.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from longtail.methods.base import MethodParams, Setup
from longtail.methods.in_batch import AnchorMethod


class Params(MethodParams):
    """The margin α, on squared distances of the unit sphere; the paper's is 0.2."""

    kind: Literal["semi_hard_triplet"] = "semi_hard_triplet"
    margin: float = Field(0.2, ge=0, le=4, description="α, on squared distances of the unit sphere")

    def build(self, setup: Setup) -> "SemiHardTriplet":
        return SemiHardTriplet(setup, self.margin)


class SemiHardTriplet(AnchorMethod):
    """An anchor's loss is the mean over its positives."""

    def __init__(self, setup: Setup, margin: float) -> None:
        super().__init__(setup)
        self.margin = margin

    def losses(self, embeddings: Tensor, codes: Tensor) -> Tensor:
        return semi_hard_losses(embeddings, codes, self.margin)


def semi_hard_losses(embeddings: Tensor, codes: Tensor, margin: float) -> Tensor:
    """The mean over the positives p of each anchor a of max(0, margin + D(a, p) − D(a, n)), n its semi-hard negative:
    embeddings (n, d), class codes (n,), to (n,). D is the squared Euclidean distance. 0 without a positive or negative.
    """
    distances = _squared_distances(embeddings)
    same = codes[:, None] == codes
    # Sorted, a row has its negatives first: the first that is farther than a positive is found by bisection.
    negatives, _ = distances.masked_fill(same, torch.inf).sort(dim=1)
    count = (~same).sum(1, keepdim=True)
    place = torch.searchsorted(negatives.detach(), distances.detach(), right=True)
    chosen = negatives.gather(1, torch.minimum(place, count - 1).clamp(min=0))
    oneself = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    compared = same & ~oneself & (count > 0)
    hinges = torch.where(compared, torch.relu(margin + distances - chosen), 0)
    return hinges.sum(1) / compared.sum(1).clamp(min=1)


def _squared_distances(embeddings: Tensor) -> Tensor:
    """(n, d) to (n, n), by the product: differences of all pairs would be n·n·d numbers."""
    norms = embeddings.square().sum(1)
    return norms[:, None] + norms - 2 * embeddings @ embeddings.T
