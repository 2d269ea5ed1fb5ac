"""The triple-header hinge loss (LMLE, Eq. 2)."""

import math
from typing import NamedTuple

import torch
from pydantic import BaseModel, Field
from torch import Tensor


class Margins(BaseModel, extra="forbid"):
    """g1 between clusters, g2 within the class, g3 between classes; on squared distances of the unit sphere."""

    g1: float = Field(ge=0)
    g2: float = Field(ge=0)
    g3: float = Field(ge=0)


DEFAULT_MARGINS = Margins(g1=0.02, g2=0.1, g3=0.5)


def margin_bounds(class_sizes: list[int], cluster_size: int, share: float = 1.0) -> tuple[float, list[float], float]:
    """Upper bounds of g1, of g2 for each class, and of g3 (LMLE, section 3.2).

    g1 = 2 sin(π s l / L), g2 = 2 sin(π s (L_c − l) / L), g3 = 2 sin(π / C), with L samples in all, C classes, clusters
    of l samples, and classes that fill a share s of the sphere. A class no larger than l has a g2 of 0.
    """
    total = sum(class_sizes)

    def chord(angle: float) -> float:
        return 2 * math.sin(min(angle, math.pi / 2))

    g2 = [chord(math.pi * share * max(0, size - cluster_size) / total) for size in class_sizes]
    return chord(math.pi * share * cluster_size / total), g2, chord(math.pi / len(class_sizes))


def decreasing_margins(
    class_sizes: list[int], cluster_size: int, *, share: float = 1.0, count: int = 5
) -> list[Margins]:
    """`count` margins for a coarse search (LMLE, section 3.2): the upper bounds, then each half of the one before.

    Of the classes' bounds on g2 the largest is taken.
    """
    g1, g2, g3 = margin_bounds(class_sizes, cluster_size, share)
    return [Margins(g1=g1 / 2**n, g2=max(g2) / 2**n, g3=g3 / 2**n) for n in range(count)]


class Hinges(NamedTuple):
    """The loss and its three weighted parts, scalars."""

    loss: Tensor
    cluster: Tensor
    within_class: Tensor
    between_class: Tensor


def triple_header_hinge(
    embeddings: Tensor, quintuplets: Tensor, has_other_cluster: Tensor, weights: Tensor, margins: Margins
) -> Hinges:
    """Eq. 2 without its regulariser (which is the optimiser's weight decay).

    Parameters: `embeddings` (m, d), each image of the batch once; `quintuplets` (B, 5) rows of `embeddings`: anchor,
    p+, p−, p−−, n; `has_other_cluster` (B,) bool, False switches the first two hinges off; `weights` (B,), which sum
    to 1: a weighted mean over the batch.
    """
    anchor, plus, minus, far, negative = embeddings[quintuplets.T]

    def distance(other: Tensor) -> Tensor:
        squared: Tensor = (anchor - other).square().sum(dim=1)
        return squared

    d_plus, d_minus, d_far, d_negative = map(distance, (plus, minus, far, negative))
    on = has_other_cluster.to(weights.dtype) * weights
    cluster = (on * torch.relu(margins.g1 + d_plus - d_minus)).sum()
    within_class = (on * torch.relu(margins.g2 + d_minus - d_far)).sum()
    between_class = (weights * torch.relu(margins.g3 + d_far - d_negative)).sum()
    return Hinges(cluster + within_class + between_class, cluster, within_class, between_class)
