"""Auxiliary clustering: a classifier of one task whose features cluster by class and by colour.

Source: Dorozynski and Rottensteiner, Addressing Class Imbalance in Multi-Class Image Classification by Means of
Auxiliary Feature Space Restrictions, ISPRS Archives 2022. Its network is `network: {hidden: [1024], embedding: 32,
relu: classifier, dropout: 0.3, initialisation: he}`.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from longtail.methods.base import Ints, Setup
from longtail.methods.batch import Batch, Selection
from longtail.methods.in_batch import InBatchMethod
from longtail.methods.similarity import ClusteringMethod, ClusteringParams
from longtail.network.network import Network


class Params(ClusteringParams):
    """The weights are those of C + co + sem (Table 3)."""

    kind: Literal["auxiliary_clustering"] = "auxiliary_clustering"

    def build(self, setup: Setup) -> "AuxiliaryClustering":
        return AuxiliaryClustering(setup, self)


class AuxiliaryClustering(ClusteringMethod, InBatchMethod):
    """λ_C · cross-entropy + λ_aux · (α_sem · semantic + α_co · colour similarity) (Eq. 1 and 2), summed over the tasks.

    Each task has its own mini-batches. Every process compares within its own share of one.
    """

    def select_for(self, task: str, positions: Ints, step: int) -> Selection:
        selected = super().select_for(task, positions, step)
        kept = selected.positions
        share = np.full(len(kept), 1 / max(1, len(kept)), np.float32)
        return replace(selected, targets=selected.targets | {"share": share, **self.colours_of(kept)})

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        embeddings, logits = network.embed_and_classify(images)
        parts: dict[str, Tensor] = {}
        for task in logits:
            rows, targets = batch.rows[task], batch.targets[task]
            losses = F.cross_entropy(logits[task][rows], targets["codes"], reduction="none")
            of_task = {"classification": (losses * targets["weights"]).sum()}
            if self.params.clustering:
                with torch.autocast(images.device.type, enabled=False):
                    similar = self.similarity_losses(
                        embeddings[task][rows], targets["codes"][None], [task], targets.get("colours")
                    )
                # A mean over this process's share; the means of all processes are added up.
                of_task |= {part: targets["share"].sum() * loss for part, loss in similar.items()}
            parts = {part: loss + parts[part] if part in parts else loss for part, loss in of_task.items()}
        return self.weighed(parts)
