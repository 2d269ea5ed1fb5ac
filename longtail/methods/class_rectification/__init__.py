"""Class rectification (CRL): cross-entropy of many attributes, and a loss on the hard samples of minority classes."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from longtail.methods.base import Method, MethodParams, Setup
from longtail.methods.batch import Batch
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


class Params(MethodParams):
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

    def build(self, setup: Setup) -> "ClassRectification":
        return ClassRectification(setup, self)


class ClassRectification(Method):
    """Cross-entropy summed over the tasks (CRL, Eq. 2) plus the class rectification loss (Eq. 8).

    All tasks share `batch` images a step, each once; a missing label counts nowhere. Every process profiles and mines
    in its own share of a mini-batch, so the rectification of several is not that of the whole.
    """

    shares_images = True

    def __init__(self, setup: Setup, params: Params) -> None:
        super().__init__(setup)
        self.params = params

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        features, logits = network.features_and_logits(images)
        tasks = list(logits)
        rows, targets = batch.rows[tasks[0]], batch.targets
        cross_entropy = torch.zeros((), device=images.device)
        for task in tasks:
            codes = targets[task]["codes"]
            losses = F.cross_entropy(logits[task][rows], codes, reduction="none", ignore_index=-1)
            cross_entropy = cross_entropy + (losses * targets[task]["weights"]).sum()
        mined, pairs = self._mine(
            torch.stack([features[task] for task in tasks])[:, rows].float(),
            torch.stack([targets[task]["codes"] for task in tasks]),
            _probabilities([logits[task].detach()[rows] for task in tasks]),
        )
        counts = torch.tensor([logits[task].shape[1] for task in tasks], device=images.device)
        # A mean over this process's pairs; the means of all processes are added up.
        share = targets[tasks[0]]["share"].sum()
        rectification = share * self._compare(pairs, class_margins(counts)[mined.tasks])
        return {
            "loss": cross_entropy + self.params.weight * rectification,
            "cross_entropy": cross_entropy,
            "rectification": rectification,
            "anchors": torch.tensor(float(len(mined.rows)), device=images.device),
            "hard_positives": pairs.positive.sum().float(),
        }

    def _mine(self, features: Tensor, labels: Tensor, scores: Tensor) -> tuple[Mined, Pairs]:
        if self.params.mining == "class":
            mined = mine_by_class(labels, scores, self.params.hard)
        else:
            mined = mine_by_instance(labels, scores, features, self.params.hard)
        return mined, mined_pairs(features, mined)

    def _compare(self, pairs: Pairs, margins: Tensor) -> Tensor:
        match self.params.comparison:
            case "relative":
                return relative(pairs, margins)
            case "absolute":
                return absolute(pairs, self.params.margin)
            case "distribution":
                return distribution(pairs, self.params.bins)


def _probabilities(logits: list[Tensor]) -> Tensor:
    """J tensors (B, K) to (J, B, Z): the probability of each class, 0 of classes that a task does not have."""
    most = max(of_task.shape[1] for of_task in logits)
    padded = [F.pad(of_task.float(), (0, most - of_task.shape[1]), value=-torch.inf) for of_task in logits]
    return torch.stack(padded).softmax(2)
