"""The triplet baseline of the LMLE paper: LMLE's mining table without its clusters."""

from typing import Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from longtail.data.samplers import mean_weights
from longtail.methods.base import Batch, Drawn, Given, Ints, Method
from longtail.methods.triplet.hinge import triplet_hinge
from longtail.network.network import Network


class TripletParams(BaseModel, extra="forbid"):
    """The margin between classes, on squared distances of the unit sphere."""

    kind: Literal["triplet"] = "triplet"
    margin: float = Field(0.5, ge=0)

    def build(self, given: Given) -> "Triplet":
        """The method."""
        return Triplet(given, self.margin)


class Triplet(Method):
    """The triplet loss on `batch` anchors a task and step: the farthest of the class against the nearest outside it."""

    def __init__(self, given: Given, margin: float) -> None:
        super().__init__(given)
        self.margin = margin

    def drawn(self, task: str, positions: Ints) -> Drawn:
        table = self.tables[task]
        anchor_far_negative = table.members[table.rows(positions)][:, [0, 3, 4]]
        return Drawn(anchor_far_negative, {"weights": mean_weights(self.labels[task][positions], cost=self.cost)})

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        total = torch.zeros((), device=images.device)
        for task, embeddings in network.embed(images).items():
            total = total + triplet_hinge(embeddings, batch.draws[task], batch.about[task]["weights"], self.margin)
        return {"loss": total}
