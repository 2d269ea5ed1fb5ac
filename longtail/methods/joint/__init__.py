"""Cross-entropy and the triple-header hinge loss together: a method of this project, not of the paper.

LMLE drops the classifier and trains the embedding by the hinges alone. Here both losses shape the same embedding, and
it is classified by the head, by the nearest neighbours, or by both.
"""

from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from longtail.data.samplers import mean_weights
from longtail.methods.base import Floats, Ints, Setup
from longtail.methods.batch import Batch, Selection, once
from longtail.methods.quintuplets import HingeMethod, HingeParams
from longtail.network.network import Network


class Params(HingeParams):
    """The hinges of Eq. 2, and what each of the losses counts."""

    kind: Literal["joint"] = "joint"
    cross_entropy: float = Field(1.0, gt=0, description="weight of the cross-entropy")
    hinges: float = Field(1.0, ge=0, description="weight of the three hinges")

    def build(self, setup: Setup) -> "Joint":
        return Joint(setup, self)


class Joint(HingeMethod):
    """The hinges of LMLE, and cross-entropy on all samples of a step: of quintuplets on all five members of each."""

    trains_classifier = True

    def __init__(self, setup: Setup, params: Params) -> None:
        super().__init__(setup, params)
        self.params = params

    def select_for(self, task: str, positions: Ints, step: int) -> Selection:
        selected = super().select_for(task, positions, step)
        codes = self.labels[task][selected.positions]
        if self.keeps_shares:
            # An image that was drawn twice is there once, and counts twice.
            _, class_weights = once(positions, mean_weights(self.labels[task][positions], cost=self.cost(step)))
        else:
            class_weights = mean_weights(codes.ravel(), cost=self.cost(step)).reshape(codes.shape)
        return replace(selected, targets=selected.targets | {"codes": codes, "class_weights": class_weights})

    def classifier_targets(self, task: str, selected: dict[str, Selection]) -> tuple[Ints, Floats]:
        targets = selected[task].targets
        return targets["codes"].ravel(), targets["class_weights"].ravel()  # type: ignore[return-value]

    def exact_prior(self, task: str, count: int) -> Floats | None:
        """As of every method; of quintuplets it is measured."""
        return super().exact_prior(task, count) if self.keeps_shares else None

    @property
    def keeps_shares(self) -> bool:
        """Not those of quintuplets, whose members are not drawn as the anchor is."""
        return self.params.mining == "batch"

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        found = []
        all_embeddings, all_logits = network.embed_and_classify(images)
        for task, embeddings in all_embeddings.items():
            targets, rows = batch.targets[task], batch.rows[task].flatten()
            hinges = self.hinges(task, embeddings, batch)
            losses = F.cross_entropy(all_logits[task][rows], targets["codes"].flatten(), reduction="none")
            cross_entropy = (losses * targets["class_weights"].flatten()).sum()
            loss = self.params.cross_entropy * cross_entropy + self.params.hinges * hinges["loss"]
            found.append(hinges | {"loss": loss, "cross_entropy": cross_entropy})
        return {name: torch.stack([of_task[name] for of_task in found]).sum() for name in found[0]}
