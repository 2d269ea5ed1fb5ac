"""Large Margin Local Embedding (LMLE): mini-batches of quintuplets and the triple-header hinge loss."""

from typing import Literal

import torch
from pydantic import BaseModel
from torch import Tensor

from longtail.data.samplers import mean_weights
from longtail.methods.base import Batch, Drawn, Given, Ints, Method
from longtail.network.network import Network
from longtail.quintuplets.hinge import Margins, triple_header_hinge

DEFAULT_MARGINS = Margins(g1=0.02, g2=0.1, g3=0.5)


class LMLEParams(BaseModel, extra="forbid"):
    """The margins of Eq. 2."""

    kind: Literal["lmle"] = "lmle"
    margins: Margins = DEFAULT_MARGINS

    def build(self, given: Given) -> "LMLE":
        """The method."""
        return LMLE(given, self.margins)


class LMLE(Method):
    """The triple-header hinge loss (LMLE, Eq. 2) on `batch` anchors a task and step, each with its quintuplet."""

    def __init__(self, given: Given, margins: Margins) -> None:
        super().__init__(given)
        self.margins = margins

    def drawn(self, task: str, positions: Ints) -> Drawn:
        table, rows = self.tables[task], self.tables[task].rows(positions)
        weights = mean_weights(self.labels[task][positions], cost=self.cost)
        return Drawn(table.members[rows], {"weights": weights, "has_other_cluster": table.has_other_cluster[rows]})

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        scalars = {name: torch.zeros((), device=images.device) for name in ("loss", "hinge_1", "hinge_2", "hinge_3")}
        for task, embeddings in network.embed(images).items():
            hinges = triple_header_hinge(embeddings, batch.draws[task], **batch.about[task], margins=self.margins)
            scalars = {name: scalars[name] + hinge for name, hinge in zip(scalars, hinges, strict=True)}
        return scalars
