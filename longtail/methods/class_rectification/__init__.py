"""Class rectification (CRL): cross-entropy of many attributes, and a loss on the hard samples of minority classes."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from longtail.data.samplers import mean_weights
from longtail.methods.base import Batch, Drawn, Given, Ints, Method
from longtail.methods.class_rectification.comparisons import (
    Pairs,
    absolute,
    class_margins,
    distribution,
    mined_pairs,
    relative,
)
from longtail.methods.class_rectification.hard_mining import Mined, mine_by_class, mine_by_instance
from longtail.network.network import Network


class ClassRectificationParams(BaseModel, extra="forbid"):
    """Which of the six variants, and its numbers; the defaults are the paper's CRL(I) with relative comparison."""

    kind: Literal["class_rectification"] = "class_rectification"
    mining: Literal["instance", "class"] = "instance"
    comparison: Literal["relative", "absolute", "distribution"] = "relative"
    hard: int = Field(
        5, ge=1, le=64, description="K: hard positives and negatives of an anchor, which make K² triplets"
    )
    margin: float = Field(1.0, ge=0, description="of the absolute comparison; that of the relative one is 2π / classes")
    bins: int = Field(100, ge=2, description="τ: bins of the distribution comparison")
    weight: float = Field(1.0, ge=0, description="of the rectification beside the cross-entropy")

    def build(self, given: Given) -> "ClassRectification":
        """The method."""
        return ClassRectification(given, self)


class ClassRectification(Method):
    """Cross-entropy summed over the tasks (CRL, Eq. 2) plus the class rectification loss (Eq. 8).

    All tasks share `batch` images a step, each once; a missing label counts nowhere. Every process profiles and mines
    in its own share of a mini-batch, so the rectification of several is not that of the whole.
    """

    trains_classifier = True

    def __init__(self, given: Given, how: ClassRectificationParams) -> None:
        super().__init__(given)
        self.how = how

    def draw(self, step: int) -> dict[str, Drawn]:
        positions = self.sampler.images(step)
        return {task: self.drawn(task, positions) for task in self.labels}

    def drawn(self, task: str, positions: Ints) -> Drawn:
        # An image that is drawn twice would be its own positive: it is there once, with the weight of both.
        _, first, of_draw = np.unique(positions, return_index=True, return_inverse=True)
        codes = self.labels[task][positions]
        known = codes >= 0
        summed = np.bincount(of_draw[known], mean_weights(codes[known], cost=self.cost), len(first))
        order = np.argsort(first)  # as drawn: several processes take their shares from a shuffled mini-batch
        kept, weights = positions[first[order]], summed[order].astype(np.float32)
        share = np.full(len(kept), 1 / len(kept), np.float32)
        return Drawn(kept, {"codes": self.labels[task][kept], "weights": weights, "share": share})

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        features, logits = network.features_and_logits(images)
        tasks = list(logits)
        rows, about = batch.draws[tasks[0]], batch.about
        cross_entropy = torch.zeros((), device=images.device)
        for task in tasks:
            codes = about[task]["codes"]
            losses = F.cross_entropy(logits[task][rows], codes, reduction="none", ignore_index=-1)
            cross_entropy = cross_entropy + (losses * about[task]["weights"]).sum()
        mined, pairs = self._mine(
            torch.stack([features[task] for task in tasks])[:, rows].float(),
            torch.stack([about[task]["codes"] for task in tasks]),
            _probabilities([logits[task].detach()[rows] for task in tasks]),
        )
        counts = torch.tensor([logits[task].shape[1] for task in tasks], device=images.device)
        # A mean over this process's pairs; the means of all processes are added up.
        share = about[tasks[0]]["share"].sum()
        rectification = share * self._compare(pairs, class_margins(counts)[mined.tasks])
        return {
            "loss": cross_entropy + self.how.weight * rectification,
            "cross_entropy": cross_entropy,
            "rectification": rectification,
            "anchors": torch.tensor(float(len(mined.rows)), device=images.device),
            "hard_positives": pairs.positive.sum().float(),
        }

    def _mine(self, features: Tensor, labels: Tensor, scores: Tensor) -> tuple[Mined, Pairs]:
        if self.how.mining == "class":
            mined = mine_by_class(labels, scores, self.how.hard)
        else:
            mined = mine_by_instance(labels, scores, features, self.how.hard)
        return mined, mined_pairs(features, mined)

    def _compare(self, pairs: Pairs, margins: Tensor) -> Tensor:
        match self.how.comparison:
            case "relative":
                return relative(pairs, margins)
            case "absolute":
                return absolute(pairs, self.how.margin)
            case "distribution":
                return distribution(pairs, self.how.bins)


def _probabilities(logits: list[Tensor]) -> Tensor:
    """J tensors (B, K) to (J, B, Z): the probability of each class, 0 of classes that a task does not have."""
    most = max(of_task.shape[1] for of_task in logits)
    padded = [F.pad(of_task.float(), (0, most - of_task.shape[1]), value=-torch.inf) for of_task in logits]
    return torch.stack(padded).softmax(2)
