"""The triplet loss (Schroff et al., CVPR 2015), which LMLE compares itself with."""

import torch
from torch import Tensor


def triplet_hinge(embeddings: Tensor, triplets: Tensor, weights: Tensor, margin: float) -> Tensor:
    """The weighted mean of max(0, margin + D(anchor, positive) − D(anchor, negative)), a scalar.

    Parameters: `embeddings` (m, d); `triplets` (B, 3) rows of them: anchor, positive, negative; `weights` (B,), which
    sum to 1. D is the squared Euclidean distance (LMLE, Eq. 1).
    """
    anchor, positive, negative = embeddings[triplets.T]
    d_positive, d_negative = ((anchor - other).square().sum(dim=1) for other in (positive, negative))
    return (weights * torch.relu(margin + d_positive - d_negative)).sum()
