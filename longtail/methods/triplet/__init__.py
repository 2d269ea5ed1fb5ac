"""The triplet baseline of the LMLE paper: LMLE's mining table without its clusters."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from longtail.methods.base import Ints, MethodParams, Setup
from longtail.methods.batch import Batch, Selection
from longtail.methods.positive_sharing import PositiveSharing
from longtail.methods.quintuplets import QuintupletMethod
from longtail.methods.triplet.hinge import triplet_hinge
from longtail.network.network import Network
from longtail.quintuplets.hinge import Distance


class Params(MethodParams):
    """The margin between classes, in the unit of the distance."""

    kind: Literal["triplet"] = "triplet"
    margin: float = Field(0.5, ge=0, description="between classes, in the unit of `distance`")
    distance: Distance = Field("squared", description="D of the hinge; the margin is in its unit")
    positive_sharing: PositiveSharing = None

    def build(self, setup: Setup) -> "Triplet":
        return Triplet(setup, self)


class Triplet(QuintupletMethod):
    """The triplet loss on `batch` anchors a task and step: the farthest of the class against the nearest outside it."""

    def __init__(self, setup: Setup, params: Params) -> None:
        super().__init__(setup, params.positive_sharing)
        self.params = params

    def select_for(self, task: str, positions: Ints, step: int) -> Selection:
        table = self.tables[task]
        anchor_far_negative = table.members[table.rows(positions)][:, [0, 3, 4]]
        weights = self.anchor_weights(task, positions, step)
        return Selection(anchor_far_negative, {"weights": weights})

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        total = torch.zeros((), device=images.device)
        for task, embeddings in network.embed(images).items():
            weights = batch.targets[task]["weights"]
            with torch.autocast(images.device.type, enabled=False):
                points = embeddings.float()
                hinge = triplet_hinge(points, batch.rows[task], weights, self.params.margin, self.params.distance)
            total = total + hinge
        return {"loss": total}
