"""Large Margin Local Embedding (LMLE): mini-batches of quintuplets and the triple-header hinge loss."""

import numpy as np
import torch
from torch import Tensor

from longtail.losses.triple_header_hinge import Margins, triple_header_hinge
from longtail.methods.base import Batch, Ints, Method
from longtail.models.network import Network
from longtail.quintuplets import QuintupletTable
from longtail.samplers import Sampler, inverse_frequency_weights


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

    def draw(self, step: int) -> dict[str, Ints]:
        # Remembered for the loss: which rows of the tables this step's quintuplets are.
        self.rows = {task: sampler.positions(step) for task, sampler in self.samplers.items()}
        return {task: table.members[self.rows[task]] for task, table in self.tables.items()}

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        scalars = {name: torch.zeros((), device=images.device) for name in ("loss", "hinge_1", "hinge_2", "hinge_3")}
        for task, embeddings in network.embed(images).items():
            # A class may be absent from this process's share: its weight is that in the whole mini-batch.
            weights = self._weights(self.labels[task][self.rows[task]])[batch.share]
            rows = self.rows[task][batch.share]
            hinges = triple_header_hinge(
                embeddings,
                torch.from_numpy(batch.draws[task]).to(images.device),
                torch.from_numpy(self.tables[task].has_other_cluster[rows]).to(images.device),
                torch.from_numpy(weights).to(images.device),
                self.margins,
            )
            scalars = {name: scalars[name] + hinge for name, hinge in zip(scalars, hinges, strict=True)}
        return scalars

    def _weights(self, codes: Ints) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return inverse_frequency_weights(codes) if self.cost else np.full(len(codes), 1 / len(codes), np.float32)
