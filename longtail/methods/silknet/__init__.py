"""SilkNet: one classifier of many tasks, of whose labels many are missing; focal, with auxiliary feature clustering.

Source: Dorozynski, Addressing Class Imbalance for Training a Multi-Task Classifier in the Context of Silk Heritage,
ISPRS Annals 2023. Its network is `network: {embedding: 1024, shared_embedding: true, relu: classifier, task_layers:
[128], dropout: 0.3, initialisation: he}`.
"""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from longtail.methods.base import Ints, Setup
from longtail.methods.batch import Batch, Selection
from longtail.methods.focal import focal_loss
from longtail.methods.semantic import valid_triplets
from longtail.methods.similarity import ClusteringMethod, ClusteringParams, self_similarity_loss
from longtail.network.network import Network

LOOKED_AT = 5  # mini-batches, to say how much there is to compare
FEW = 0.2  # of their images; by SILKNOW's own labels more than a third are anchors


class Params(ClusteringParams):
    """The weights are those of MTL-fo + R-all (Table 3); the paper does not print γ, 2 is the authors' earlier one."""

    kind: Literal["silknet"] = "silknet"
    one_embedding = True
    shares_images = True
    gamma: float = Field(2.0, ge=0, description="γ of the focal weight; 0: cross-entropy")
    self_similarity: float = Field(
        0.5,
        ge=0,
        le=1,
        description="α_slf: an image and its augmentation, in the place of augmenting what is classified",
    )

    @property
    def compared(self) -> float:
        """As of both silk classifiers."""
        return super().compared + self.self_similarity

    def build(self, setup: Setup) -> "SilkNet":
        return SilkNet(setup, self)


class SilkNet(ClusteringMethod):
    """λ_C · focal loss + λ_aux · (α_sem · semantic + α_co · colour + α_slf · self-similarity) (Eq. 1, 2 and 5).

    All tasks share `batch` images a step; where mini-batches are class-balanced, the tasks take turns. With
    self-similarity each image is there twice: as it is, which is classified and clustered, and augmented. Every process
    compares within its own share of a mini-batch.
    """

    shares_images = Params.shares_images

    def __init__(self, setup: Setup, params: Params) -> None:
        super().__init__(setup, params)
        self.gamma, self.self_similarity = params.gamma, params.self_similarity if params.clustering else 0.0
        self.plain_first = self.self_similarity > 0
        self.views = 2 if self.plain_first else 1

    def warnings(self) -> list[str]:
        return [*super().warnings(), *self._of_triplets()]

    def _of_triplets(self) -> list[str]:
        """That few images are the anchor of any triplet: where labels are missing hardly any margin is guaranteed."""
        if not (self.params.clustering and self.params.semantic):
            return []
        backgrounds = torch.tensor([self.backgrounds.get(task, -1) for task in self.labels])
        drawn = [np.unique(self.sampler.images(step)) for step in range(LOOKED_AT)]
        found = [valid_triplets(self._codes_of(images), backgrounds) for images in drawn]
        anchors = float(torch.cat(found).gt(0).float().mean())
        if anchors >= FEW:
            return []
        triplets = int(torch.stack([of_batch.sum() for of_batch in found]).median())
        return [
            f"semantic similarity compares little: {100 * anchors:.1f} % of a mini-batch's images are the anchor of a "
            f"triplet with a positive margin (Eq. 6), and a mini-batch has {triplets:,} such triplets. Where so many "
            "labels are missing, learn fewer tasks (`split.tasks`) or draw larger mini-batches"
        ]

    def _codes_of(self, images: Ints) -> Tensor:
        return torch.from_numpy(np.stack([codes[images] for codes in self._drawn.values()]))

    def select(self, step: int) -> dict[str, Selection]:
        """As of every method that shares images; a task has the weight of its share in the step's annotations N_M."""
        drawn = self.sampler.images(step)
        known = {task: int((codes[drawn] >= 0).sum()) for task, codes in self._drawn.items()}
        annotations = max(1, sum(known.values()))
        selected = {task: self.select_shared(task, drawn, step) for task in self.labels}
        for task, of_task in selected.items():
            weights = of_task.targets["weights"].astype(np.float32)
            of_task.targets["weights"] = weights * np.float32(known[task] / annotations)
        first = next(iter(selected.values()))
        first.targets.update(self.colours_of(first.positions))
        return selected

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        embeddings, logits = network.embed_and_classify(images)
        tasks, targets = list(logits), batch.targets
        rows = batch.rows[tasks[0]]
        codes = torch.stack([targets[task]["codes"] for task in tasks])
        classified = torch.zeros((), device=images.device)
        for task, of_task in zip(tasks, codes, strict=True):
            # What a classifier says of an image without a label may be infinite, and then has no gradient.
            scores = torch.where(of_task[:, None] >= 0, logits[task][rows], 0)
            losses = focal_loss(scores, of_task.clamp(min=0), self.gamma)
            classified = classified + torch.where(of_task >= 0, losses * targets[task]["weights"], 0).sum()
        parts = {"classification": classified}
        if self.params.clustering:
            share = targets[tasks[0]]["share"].sum()
            with torch.autocast(images.device.type, enabled=False):
                points = embeddings[tasks[0]]
                similar = self.similarity_losses(points[rows], codes, tasks, targets[tasks[0]].get("colours"))
                if self.self_similarity:
                    similar["self_similarity"] = self_similarity_loss(points[rows], points[rows + len(batch.samples)])
            parts |= {part: share * loss for part, loss in similar.items()}
        return self.weighed(parts)
