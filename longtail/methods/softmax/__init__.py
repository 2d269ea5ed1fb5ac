"""The softmax classifier: cross-entropy."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from longtail.methods.base import Batch, Method, MethodParams, Setup
from longtail.network.network import Network


class Params(MethodParams):
    """It has no parameters of its own."""

    kind: Literal["softmax"] = "softmax"

    def build(self, setup: Setup) -> "Softmax":
        return Softmax(setup)


class Softmax(Method):
    """Cross-entropy on `batch` samples a task and step; `cost` weighs classes equally within the mini-batch."""

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        total = torch.zeros((), device=images.device)
        for task, logits in network.logits(images).items():
            targets = batch.targets[task]
            losses = F.cross_entropy(logits[batch.rows[task]], targets["codes"], reduction="none")
            total = total + (losses * targets["weights"]).sum()
        return {"loss": total}
