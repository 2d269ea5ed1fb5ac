"""Large Margin Local Embedding (LMLE): mini-batches of quintuplets and the triple-header hinge loss."""

import torch
from torch import Tensor

from longtail.losses.triple_header_hinge import Margins, triple_header_hinge
from longtail.methods.base import Batch, Drawn, Ints, Method
from longtail.models.network import Network
from longtail.quintuplets import QuintupletTable
from longtail.samplers import Sampler, mean_weights


class LMLE(Method):
    """Anchors are drawn evenly from the classes, their partners looked up in the table of the round."""

    def __init__(
        self,
        labels: dict[str, Ints],
        tables: dict[str, QuintupletTable],
        margins: Margins,
        *,
        batch: int,
        class_even: bool,
        cost: bool,
        seed: int,
    ) -> None:
        """`labels`: task → (n,) class codes of the split's samples; `tables`: task → its quintuplets; `batch`: anchors
        a step and task, of all processes together.
        """
        self.tables, self.margins, self.cost = tables, margins, cost
        self.labels = {task: labels[task][table.members[:, 0]] for task, table in tables.items()}
        self.samplers = {
            task: Sampler(codes, batch, class_even=class_even, seed=seed + number)
            for number, (task, codes) in enumerate(self.labels.items())
        }

    def draw(self, step: int) -> dict[str, Drawn]:
        return {task: self._draw(task, sampler.positions(step)) for task, sampler in self.samplers.items()}

    def _draw(self, task: str, rows: Ints) -> Drawn:
        table = self.tables[task]
        weights = mean_weights(self.labels[task][rows], cost=self.cost)
        return Drawn(table.members[rows], {"weights": weights, "has_other_cluster": table.has_other_cluster[rows]})

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        scalars = {name: torch.zeros((), device=images.device) for name in ("loss", "hinge_1", "hinge_2", "hinge_3")}
        for task, embeddings in network.embed(images).items():
            hinges = triple_header_hinge(embeddings, batch.draws[task], **batch.about[task], margins=self.margins)
            scalars = {name: scalars[name] + hinge for name, hinge in zip(scalars, hinges, strict=True)}
        return scalars
