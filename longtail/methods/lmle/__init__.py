"""Large Margin Local Embedding (LMLE): mini-batches of quintuplets and the triple-header hinge loss."""

from typing import Literal

import torch
from torch import Tensor

from longtail.data.samplers import mean_weights
from longtail.methods.base import Ints, MethodParams, Setup
from longtail.methods.batch import Batch, Selection
from longtail.methods.quintuplets import QuintupletMethod
from longtail.network.network import Network
from longtail.quintuplets.hinge import DEFAULT_MARGINS, Margins, triple_header_hinge


class Params(MethodParams):
    """The margins of Eq. 2."""

    kind: Literal["lmle"] = "lmle"
    margins: Margins = DEFAULT_MARGINS

    def build(self, setup: Setup) -> "LMLE":
        return LMLE(setup, self.margins)


class LMLE(QuintupletMethod):
    """The triple-header hinge loss (LMLE, Eq. 2) on `batch` anchors a task and step, each with its quintuplet."""

    def __init__(self, setup: Setup, margins: Margins) -> None:
        super().__init__(setup)
        self.margins = margins

    def select_for(self, task: str, positions: Ints, step: int) -> Selection:
        table, rows = self.tables[task], self.tables[task].rows(positions)
        weights = mean_weights(self.labels[task][positions], cost=self.cost(step))
        return Selection(table.members[rows], {"weights": weights, "has_other_cluster": table.has_other_cluster[rows]})

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        scalars = {name: torch.zeros((), device=images.device) for name in ("loss", "hinge_1", "hinge_2", "hinge_3")}
        for task, embeddings in network.embed(images).items():
            hinges = triple_header_hinge(embeddings, batch.rows[task], **batch.targets[task], margins=self.margins)
            scalars = {name: scalars[name] + hinge for name, hinge in zip(scalars, hinges, strict=True)}
        return scalars
