"""Cluster-based large margin local embedding (CLMLE), the successor of LMLE by its authors.

Source: Huang, Li, Loy and Tang, Deep Imbalanced Learning for Face Recognition and Attribute Prediction, arXiv
1806.00194, TPAMI 2019. From the paper's abstract: embeddings on a hypersphere, angular margins between the
distributions of clusters, both within and between classes, and an answer by the nearest clusters.

The paper's equations were not at hand: the loss is this project's reading of that. A cluster is a von Mises–Fisher
distribution about its mean direction in the mini-batch, all with one concentration. A sample has to be likelier in its
own cluster, though its angle to it is widened by a margin, than in the other clusters of its class and than in those of
other classes. The groups of which mini-batches consist (Magnet's, with neighbours of the seed's class) and all defaults
are this project's, too.
"""

import math
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from longtail.methods.base import MethodParams, Setup
from longtail.methods.cluster_groups import ClusterMethod

SMALLEST = 1e-6  # of squared sines: the root has no slope where an angle is 0


class Params(MethodParams):
    """The margins, in radians, the concentration κ, and the size of a group, `clusters`·`samples`."""

    kind: Literal["clmle"] = "clmle"
    within: float = Field(0.1, ge=0, le=math.pi / 2, description="margin to the other clusters of the class")
    between: float = Field(0.3, ge=0, le=math.pi / 2, description="margin to the clusters of other classes")
    concentration: float = Field(64.0, gt=0, description="κ: what cosines are multiplied by")
    clusters: int = Field(8, ge=2, le=64, description="of a group: the seed's and those nearest to it")
    kin: int = Field(2, ge=0, description="of these, beside the seed's, so many of its class, if there are")
    samples: int = Field(4, ge=2, le=64, description="of each cluster of a group")

    @model_validator(mode="after")
    def _other_classes(self) -> Self:
        if self.kin > self.clusters - 2:
            raise ValueError("kin and the seed's cluster leave no place for another class: give more `clusters`")
        return self

    def build(self, setup: Setup) -> "CLMLE":
        return CLMLE(setup, self)


class CLMLE(ClusterMethod):
    """Each of the `batch` seeds of a task and step makes a group of clusters."""

    def __init__(self, setup: Setup, params: Params) -> None:
        super().__init__(setup, params.clusters, params.samples, params.kin)
        self.params = params

    def losses(self, points: Tensor, classes: Tensor) -> Tensor:
        return clmle_losses(points, classes, self.params.within, self.params.between, self.params.concentration)


def clmle_losses(points: Tensor, classes: Tensor, within: float, between: float, concentration: float) -> Tensor:
    """The mean over the samples r of each group of Σ −log(e(θ + m) / (e(θ + m) + Σ_μ e(θ_μ))), e(θ) = exp(κ cos θ), θ
    the angle from r to the mean direction of its cluster, θ_μ those to the others: once with the margin `between` to
    the clusters of other classes, once with `within` to those of its own.

    Points (G, M, D, d) on the unit sphere, classes (G, M), to (G,). Without any other cluster a sum is 0.
    """
    directions = F.normalize(points.mean(2), dim=2)
    cosines = torch.einsum("gmdx,gnx->gmdn", points, directions)
    own = cosines.diagonal(dim1=1, dim2=3).mT
    same = classes[:, :, None] == classes[:, None]
    itself = torch.eye(classes.shape[1], dtype=torch.bool, device=classes.device)

    def against(others: Tensor, margin: float) -> Tensor:
        nothing = torch.finfo(points.dtype).min
        rest = (concentration * cosines).masked_fill(~others[:, :, None], nothing).logsumexp(3)
        return F.softplus(rest - concentration * widened(own, margin))

    return (against(~same, between) + against(same & ~itself, within)).mean((1, 2))


def widened(cosines: Tensor, margin: float) -> Tensor:
    """cos(θ + m) of cos θ; where θ + m is beyond π, cos θ − m·sin m, which goes on falling (ArcFace, CVPR 2019)."""
    sines = (1 - cosines.square()).clamp(min=SMALLEST).sqrt()
    falls = cosines * math.cos(margin) - sines * math.sin(margin)
    return torch.where(cosines > -math.cos(margin), falls, cosines - margin * math.sin(margin))
