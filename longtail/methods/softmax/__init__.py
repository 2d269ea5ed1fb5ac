"""The softmax classifier: cross-entropy."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel
from torch import Tensor

from longtail.data.samplers import mean_weights
from longtail.methods.base import Batch, Drawn, Given, Ints, Method
from longtail.network.network import Network


class SoftmaxParams(BaseModel, extra="forbid"):
    """Its parameters: none of its own."""

    kind: Literal["softmax"] = "softmax"

    def build(self, given: Given) -> "Softmax":
        """The method."""
        return Softmax(given)


class Softmax(Method):
    """Cross-entropy on `batch` samples a task and step; `cost` weighs classes equally within the mini-batch."""

    trains_classifier = True

    def drawn(self, task: str, positions: Ints) -> Drawn:
        codes = self.labels[task][positions]
        return Drawn(positions, {"codes": codes, "weights": mean_weights(codes, cost=self.cost)})

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        total = torch.zeros((), device=images.device)
        for task, logits in network.logits(images).items():
            known = batch.about[task]
            losses = F.cross_entropy(logits[batch.draws[task]], known["codes"], reduction="none")
            total = total + (losses * known["weights"]).sum()
        return {"loss": total}
