"""Class rectification (CRL): cross-entropy of many attributes, and a loss on the hard samples of minority classes."""

from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from longtail.methods.base import Ints, Method, MethodParams, Setup
from longtail.methods.batch import Batch
from longtail.methods.class_rectification.comparisons import (
    SCORE_MARGIN,
    Pairs,
    absolute,
    class_margins,
    distribution,
    mined_pairs,
    relative,
    score_pairs,
)
from longtail.methods.class_rectification.hard_mining import Mined, mine_by_class, mine_by_instance
from longtail.network.network import Network

BINS = 100


class Params(MethodParams):
    """Which of the variants, and its numbers; the defaults are the paper's CRL(I) with relative comparison, on
    normalised features.

    `weight: imbalance`, `positives: all` and `distances: scores` follow the authors' later version (Dong, Gong and Zhu,
    Imbalanced Deep Learning by Minority Class Incremental Rectification, TPAMI 2018), as far as others report its
    equations: docs/decisions.md says what is taken and what is open.
    """

    kind: Literal["class_rectification"] = "class_rectification"
    shares_images = True
    mining: Literal["instance", "class"] = Field(
        "instance",
        description="hard samples of each anchor, by distances (instance level), or of each class, by scores",
    )
    comparison: Literal["relative", "absolute", "distribution"] = Field(
        "relative",
        description="the loss on mined triplets: relative margins, absolute distances, or histograms of both",
    )
    hard: int = Field(
        5, ge=1, le=64, description="K: hard positives and negatives of an anchor, which make K² triplets"
    )
    positives: Literal["misclassified", "all"] = Field(
        "misclassified", description="of which those of instance mining are the farthest; class mining is always of all"
    )
    normalise: bool = Field(True, description="mine and compare features of length 1")
    distances: Literal["features", "scores"] = Field(
        "features", description="compare features, or probabilities of the anchor's class: meant for class mining"
    )
    margin: float | None = Field(
        None, ge=0, description="null: absolute 1; relative 2π / classes, which no scores reach: of these 0.5"
    )
    bins: int = Field(BINS, ge=2, description="τ: bins of the distribution comparison")
    weight: Annotated[float, Field(ge=0)] | Literal["imbalance"] = Field(
        1.0,
        description="of the rectification beside the cross-entropy; imbalance: the more imbalanced the data, the more",
    )

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> Self:
        if self.margin is not None and self.comparison == "distribution":
            raise ValueError("the distribution comparison has no margin: leave `margin` out")
        if self.positives == "all" and self.mining == "class":
            raise ValueError("mining by class is always of all positives: leave `positives` out")
        return self

    def in_vain(self) -> str | None:
        """As of every method."""
        if self.bins != BINS and self.comparison != "distribution":
            return f"the {self.comparison} comparison has no bins: leave `bins` out"
        if not self.normalise and self.mining == "class" and self.distances == "scores":
            return "mining by class that compares scores looks at no features: leave `normalise` out"
        return super().in_vain()

    def build(self, setup: Setup) -> "ClassRectification":
        return ClassRectification(setup, self)


class ClassRectification(Method):
    """Cross-entropy summed over the tasks (CRL, Eq. 2) plus the class rectification loss (Eq. 8).

    All tasks share `batch` images a step, each once; a missing label counts nowhere. Every process profiles and mines
    in its own share of a mini-batch, so the rectification of several is not that of the whole.
    """

    shares_images = Params.shares_images

    def __init__(self, setup: Setup, params: Params) -> None:
        super().__init__(setup)
        self.params = params

    def warnings(self) -> list[str]:
        scheme = self.sampling.sampling
        if scheme not in ("class_even", "over", "under"):
            return []
        return [
            f"class rectification learns from the minority classes of a mini-batch, and `sampling: {scheme}` makes "
            "none; the paper's is `natural`"
        ]

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
            _probabilities([logits[task][rows] for task in tasks]),
        )
        classes = {task: logits[task].shape[1] for task in tasks}
        class_counts = torch.tensor([*classes.values()], device=images.device)[mined.tasks]
        # A mean over this process's pairs; the means of all processes are added up.
        share = targets[tasks[0]]["share"].sum()
        rectification = share * self._compare(pairs, class_counts)
        kept, added = self._weights(classes)
        return {
            "loss": kept * cross_entropy + added * rectification,
            "cross_entropy": cross_entropy,
            "rectification": rectification,
            "anchors": torch.tensor(float(len(mined.rows)), device=images.device),
            "hard_positives": pairs.positive.sum().float(),
        }

    def _mine(self, features: Tensor, labels: Tensor, scores: Tensor) -> tuple[Mined, Pairs]:
        how = self.params
        if how.normalise:
            features = F.normalize(features, dim=2)
        if how.mining == "class":
            mined = mine_by_class(labels, scores, how.hard)
        else:
            misclassified = how.positives == "misclassified"
            mined = mine_by_instance(labels, scores, features, how.hard, misclassified=misclassified)
        return mined, score_pairs(scores, mined) if how.distances == "scores" else mined_pairs(features, mined)

    def _compare(self, pairs: Pairs, class_counts: Tensor) -> Tensor:
        """`class_counts` (M,): how many classes the attribute of each anchor has."""
        how = self.params
        match how.comparison:
            case "relative":
                own = class_margins(class_counts) if how.distances == "features" else SCORE_MARGIN
                margins = torch.ones_like(class_counts) * (own if how.margin is None else how.margin)
                return relative(pairs, margins)
            case "absolute":
                return absolute(pairs, 1.0 if how.margin is None else how.margin)
            case "distribution":
                return distribution(pairs, how.bins)

    def _weights(self, classes: dict[str, int]) -> tuple[float, float]:
        """Of the cross-entropy and of the rectification; `classes`: how many each task has."""
        if self.params.weight != "imbalance":
            return 1.0, self.params.weight
        missing = [missing_share(self.class_counts(task, count)) for task, count in classes.items()]
        alpha = sum(missing) / len(missing)
        return 1 - alpha, alpha


def missing_share(counts: Ints) -> float:
    """How much of the balanced data, in which each class is as large as the largest, is missing: from 0 to below 1.

    `counts` (K,): training samples of each class. It is Ω_imb in the reading of docs/decisions.md, times η = 0.01.
    """
    return float(1 - counts.mean() / counts.max()) if counts.any() else 0.0


def _probabilities(logits: list[Tensor]) -> Tensor:
    """J tensors (B, K) to (J, B, Z): the probability of each class, 0 of classes that a task does not have."""
    most = max(of_task.shape[1] for of_task in logits)
    padded = [F.pad(of_task.float(), (0, most - of_task.shape[1]), value=-torch.inf) for of_task in logits]
    return torch.stack(padded).softmax(2)
