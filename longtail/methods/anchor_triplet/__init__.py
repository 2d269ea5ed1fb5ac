"""Triplets beside a classifier of anchor points that are learned with the network (Triplet-A).

Source: Cui, Zhou, Lin and Belongie, CVPR 2016; sections 2.3.4 and 2.3.5 (Eq. 2.3 to 2.5) of Cui's dissertation. Where
the anchor points begin it does not say: here with k-means of the embeddings that the training begins with, as the paper
finds the points of a network that has been trained.
"""

from typing import Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from longtail.errors import DataError
from longtail.methods.base import Floats, Setup
from longtail.methods.batch import Batch
from longtail.methods.sampled_triplet import SampledTriplet, TripletParams
from longtail.network.decay import without_decay
from longtail.network.network import Network
from longtail.rules.clusters import anchor_points


class Params(TripletParams):
    """The paper's K, γ and ω, beside those of the triplets."""

    kind: Literal["anchor_triplet"] = "anchor_triplet"
    fresh_classifier = True
    anchors: int = Field(3, ge=1, le=100, description="K, anchor points of a class")
    gamma: float = Field(5.0, gt=0, le=1000, description="γ: how much nearer points weigh more")
    weight: float = Field(0.1, ge=0, le=1, description="ω, of the triplet loss; 1 − ω of the classification")

    def build(self, setup: Setup) -> "AnchorTriplet":
        return AnchorTriplet(setup, self)

    def head(self, features: int, classes: int) -> nn.Module:
        return AnchorPoints(features, classes, self.anchors, self.gamma)


class AnchorPoints(nn.Module):
    """log Σ_j exp(−γ‖f − u_ij‖²) of embeddings (n, d), which it normalises, to (n, C): their softmax is p of Eq. 2.3.

    `weight` (C, K, d): the points u_ij; they are not drawn to the origin by weight decay.
    """

    def __init__(self, features: int, classes: int, anchors: int, gamma: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.randn(classes, anchors, features), dim=2))
        without_decay(self.weight)
        self.gamma = gamma

    def forward(self, embeddings: Tensor) -> Tensor:
        # In float64, which autocast leaves alone: in bfloat16 near points would be equally near.
        points, anchors = F.normalize(embeddings.double(), dim=1), self.weight.double().flatten(0, 1)
        distances = points.square().sum(1, keepdim=True) + anchors.square().sum(1) - 2 * points @ anchors.T
        votes = -self.gamma * distances.clamp(min=0)
        return votes.reshape(-1, *self.weight.shape[:2]).logsumexp(2).to(self.weight.dtype)


class AnchorTriplet(SampledTriplet):
    """ω · triplets + (1 − ω) · classification (Eq. 2.5) of `batch` anchors a task and step."""

    trains_classifier = True

    def __init__(self, setup: Setup, params: Params) -> None:
        super().__init__(setup, params)
        self.weight, self.anchors = params.weight, params.anchors

    def place(self, embeddings: dict[str, Floats], network: Network, *, step: int) -> None:
        """Before the first step the anchor points are found too; those of a class without a sample stay random."""
        super().place(embeddings, network, step=step)
        if step:
            return
        if network.branches or network.relu == "classifier":
            raise DataError(
                "anchor_triplet has its anchor points in the embedding itself: leave out `network.task_layers`, and "
                "`network.relu: classifier`"
            )
        for task, classifier in zip(network.tasks, network.classifiers, strict=True):
            pool, weight = self.pools[task.name], cast(AnchorPoints, classifier).weight
            points, codes = anchor_points(self.points(task.name), pool.codes, self.anchors, seed=self.seed)
            with torch.no_grad():
                weight[torch.from_numpy(codes).to(weight.device)] = torch.from_numpy(points).to(weight)

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        embeddings, logits = network.embed_and_classify(images)
        classification = torch.zeros((), device=images.device)
        for task, of_task in logits.items():
            codes, weights = batch.targets[task]["codes"], batch.targets[task]["weights"]
            losses = F.cross_entropy(of_task[batch.rows[task][:, 0]], codes, reduction="none")
            classification = classification + (losses * weights).sum()
        triplet = self.triplet_loss(embeddings, batch)
        parts = {"triplet": triplet, "classification": classification, "triplets": self.triplets(batch)}
        return {"loss": self.weight * triplet + (1 - self.weight) * classification} | parts
