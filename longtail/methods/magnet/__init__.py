"""Magnet loss: the samples of each cluster are drawn to its mean, and away from the means of other classes' clusters.

Source: Rippel, Paluri, Dollár and Bourdev, Metric Learning with Adaptive Density Discrimination, ICLR 2016, Eq. 5 and
section 3.2. What is different of the mini-batches is said at `ClusterMethod`.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from longtail.methods.base import MethodParams, Setup
from longtail.methods.cluster_groups import ClusterMethod

SMALLEST = 1e-6  # of variances: where all samples of each cluster coincide there is none


class Params(MethodParams):
    """The gap α between clusters, in units of the negative log-likelihood, and the size of a group, M·D samples."""

    kind: Literal["magnet"] = "magnet"
    gap: float = Field(1.0, ge=0, description="α, in units of the negative log-likelihood")
    clusters: int = Field(8, ge=2, le=64, description="M: clusters of a group, the seed and those nearest to it")
    samples: int = Field(4, ge=2, le=64, description="D: samples of each cluster of a group")

    def build(self, setup: Setup) -> "Magnet":
        return Magnet(setup, self)


class Magnet(ClusterMethod):
    """Each of the `batch` seeds of a task and step makes a mini-batch of the paper."""

    def __init__(self, setup: Setup, params: Params) -> None:
        super().__init__(setup, params.clusters, params.samples)
        self.gap = params.gap

    def losses(self, points: Tensor, classes: Tensor) -> Tensor:
        return magnet_losses(points, classes, self.gap)


def magnet_losses(points: Tensor, classes: Tensor, gap: float) -> Tensor:
    """The mean over the samples r of each group of {−log(exp(−|r − μ(r)|²/2σ² − α) / Σ_μ exp(−|r − μ|²/2σ²))}₊, μ the
    means of the clusters that are not of r's class, μ(r) that of its own, σ² the variance around the own means (Eq. 5).

    Points (G, M, D, d), classes (G, M), to (G,). A sample without a cluster of another class adds 0.
    """
    clusters, samples = points.shape[1:3]
    means = points.mean(2)
    to_own = (points - means[:, :, None]).square().sum(3)
    variance = to_own.sum((1, 2)) / (clusters * samples - 1)
    precision = (1 / (2 * variance.clamp(min=SMALLEST)))[:, None, None]
    other = classes[:, :, None] != classes[:, None]
    scores = (-_squared_distances(points, means) * precision[..., None]).masked_fill(
        ~other[:, :, None], torch.finfo(points.dtype).min
    )
    return torch.relu(to_own * precision + gap + scores.logsumexp(3)).mean((1, 2))


def _squared_distances(points: Tensor, means: Tensor) -> Tensor:
    """(G, M, D, d) and (G, M, d) to (G, M, D, M), by the product."""
    products = torch.einsum("gmdx,gnx->gmdn", points, means)
    return points.square().sum(3)[..., None] + means.square().sum(2)[:, None, None] - 2 * products
