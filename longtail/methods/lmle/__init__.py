"""Large Margin Local Embedding (LMLE): mini-batches of quintuplets and the triple-header hinge loss."""

from typing import Literal

import torch
from torch import Tensor

from longtail.methods.base import Setup
from longtail.methods.batch import Batch
from longtail.methods.quintuplets import HingeMethod, HingeParams
from longtail.network.network import Network


class Params(HingeParams):
    """The margins of Eq. 2, its distance, and where quintuplets come from."""

    kind: Literal["lmle"] = "lmle"

    def build(self, setup: Setup) -> "LMLE":
        return LMLE(setup, self)


class LMLE(HingeMethod):
    """The triple-header hinge loss (LMLE, Eq. 2)."""

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        found = [self.hinges(task, embeddings, batch) for task, embeddings in network.embed(images).items()]
        return {name: torch.stack([of_task[name] for of_task in found]).sum() for name in found[0]}
