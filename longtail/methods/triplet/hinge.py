"""The triplet loss (Schroff et al., CVPR 2015), which LMLE compares itself with."""

import torch
from torch import Tensor

from longtail.quintuplets.hinge import Distance, anchor_distances


def triplet_hinge(
    embeddings: Tensor, triplets: Tensor, weights: Tensor, margin: float, distance: Distance = "squared"
) -> Tensor:
    """The weighted mean of max(0, margin + D(anchor, positive) − D(anchor, negative)), a scalar.

    Parameters: `embeddings` (m, d); `triplets` (B, 3) rows of them: anchor, positive, negative; `weights` (B,), which
    sum to 1. D is that of LMLE's Eq. 1, or its root.
    """
    to_positive, to_negative = anchor_distances(embeddings, triplets, distance).unbind(1)
    return (weights * torch.relu(margin + to_positive - to_negative)).sum()
