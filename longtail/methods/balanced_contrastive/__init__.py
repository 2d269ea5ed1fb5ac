"""Balanced contrastive learning (BCL): a classifier with compensated logits, and a contrastive loss in which all
classes count alike.

Source: Zhu, Wang, Chen, Chen and Jiang, Balanced Contrastive Learning for Long-Tailed Visual Recognition, CVPR 2022,
and the authors' code. Here one and the same augmentation makes all views, so the classifier learns from them as well,
where the authors warp a third image for it.
"""

from typing import Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from longtail.methods.balanced_contrastive.loss import balanced_contrastive_losses
from longtail.methods.balanced_softmax import adjusted_cross_entropy
from longtail.methods.base import Floats, MethodParams, Setup
from longtail.methods.batch import Batch, to_device
from longtail.methods.in_batch import InBatchMethod
from longtail.network.network import Network, on_sphere


class Params(MethodParams):
    """The temperature τ and the weight of the contrastive loss are those of the authors' code."""

    kind: Literal["balanced_contrastive"] = "balanced_contrastive"
    temperature: float = Field(0.07, ge=0.001, le=10, description="τ: what cosines are divided by")
    weight: float = Field(0.35, ge=0, description="of the contrastive loss beside the cross-entropy")
    projection: int = Field(128, ge=2, description="length of what samples and classes are compared by")
    two_views: bool = Field(True, description="two warps of each image, which are positives of each other")

    def build(self, setup: Setup) -> "BalancedContrastive":
        return BalancedContrastive(setup, self)

    def head(self, features: int, classes: int) -> nn.Module:
        return PrototypeClassifier(features, classes, self.projection)


class PrototypeClassifier(nn.Linear):
    """A linear classifier that projects embeddings, and its own weights, which are the classes' prototypes, to where
    the two are compared.

    The authors' projections have a batch normalisation, which two classes are too few for, and their classifier is one
    of cosines.
    """

    def __init__(self, features: int, classes: int, projection: int) -> None:
        super().__init__(features, classes)
        self.of_samples, self.of_classes = (
            nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, projection)) for _ in range(2)
        )

    def projected(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (n, d) to points (n, p) and prototypes (K, p) on the unit sphere."""
        return on_sphere(self.of_samples(embeddings)), on_sphere(self.of_classes(self.weight))


class BalancedContrastive(InBatchMethod):
    """The prior is that of the training samples, so mini-batches are natural."""

    trains_classifier = True

    def __init__(self, setup: Setup, params: Params) -> None:
        super().__init__(setup)
        self.params = params
        self.views = 2 if params.two_views else 1

    def exact_prior(self, task: str, count: int) -> Floats | None:
        """Even among the classes that have a sample: the compensation leaves nothing to correct."""
        present = self.class_counts(task, count) > 0
        shares: Floats = (present / present.sum()).astype(np.float32)
        return shares

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        parts = {name: torch.zeros((), device=images.device) for name in ("cross_entropy", "contrastive")}
        features, logits = network.features_and_logits(images)
        for (task, of_task), classifier in zip(logits.items(), network.classifiers, strict=True):
            rows, (codes, weights) = self.rows(batch, task), self.of_views(batch, task)
            counts = to_device(torch.from_numpy(self.class_counts(task, of_task.shape[1])), images.device)
            points, prototypes = cast(PrototypeClassifier, classifier).projected(features[task][rows])
            with torch.autocast(images.device.type, enabled=False):
                losses = balanced_contrastive_losses(points, codes, prototypes, self.params.temperature)
            compensated = adjusted_cross_entropy(of_task[rows], codes, counts, 1.0)
            parts["cross_entropy"] = parts["cross_entropy"] + (compensated * weights).sum()
            parts["contrastive"] = parts["contrastive"] + (losses * weights).sum()
        return {"loss": parts["cross_entropy"] + self.params.weight * parts["contrastive"]} | parts
