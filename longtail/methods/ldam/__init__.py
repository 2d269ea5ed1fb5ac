"""LDAM: cross-entropy of scaled cosines, from which the sample's own class has a margin that grows with its rarity.

Source: Cao, Wei, Gaidon, Arechiga and Ma, Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss,
NeurIPS 2019, Eq. 12 and 13.
"""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from longtail.methods.base import Floats, Ints, Setup
from longtail.methods.batch import to_device
from longtail.methods.classifier import ClassifierMethod, ClassifierParams
from longtail.network.network import on_sphere


class Params(ClassifierParams):
    """The largest of the margins, which are proportional to n^(−1/4), and the scale of the cosines."""

    kind: Literal["ldam"] = "ldam"
    max_margin: float = Field(0.5, gt=0, description="that of the smallest class; others are proportional to n^(−1/4)")
    scale: float = Field(30.0, gt=0, description="s: what cosines are multiplied by")

    def build(self, setup: Setup) -> "LDAM":
        return LDAM(setup, self)

    def head(self, features: int, classes: int) -> nn.Module:
        return Cosines(features, classes, self.scale)


class Cosines(nn.Module):
    """The cosine of an embedding (n, d) with the weight of each class, times a scale, (n, K)."""

    def __init__(self, features: int, classes: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, features))
        nn.init.xavier_uniform_(self.weight)
        self.scale = scale

    def forward(self, embeddings: Tensor) -> Tensor:
        # Near 1 bfloat16 has steps of 0.004, which the scale makes 0.12 of a logit.
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.scale * F.linear(on_sphere(embeddings), on_sphere(self.weight))


class LDAM(ClassifierMethod):
    """The margins follow from the counts of the training samples."""

    def __init__(self, setup: Setup, params: Params) -> None:
        super().__init__(setup, params.mixup)
        self.params = params

    def losses(self, task: str, logits: Tensor, codes: Tensor) -> Tensor:
        counts = self.class_counts(task, logits.shape[1])
        return ldam_loss(logits, codes, counts, self.params.max_margin, self.params.scale)


def ldam_loss(logits: Tensor, codes: Tensor, counts: Ints, max_margin: float, scale: float) -> Tensor:
    """Cross-entropy (n,) of scaled cosines (n, K), that of the sample's own class (n,) lowered by its margin (Eq. 13);
    `counts` (K,): the training samples of the classes.
    """
    of_classes = to_device(torch.from_numpy(margins(counts, max_margin)), logits.device)
    lowered = logits - scale * of_classes * F.one_hot(codes, len(counts))
    return F.cross_entropy(lowered, codes, reduction="none")


def margins(counts: Ints, largest: float) -> Floats:
    """Δ_j = C/n_j^(1/4) (Eq. 13) of counts (K,), C such that the rarest class has the largest margin. A class without a
    sample has none: it is never right.
    """
    there = counts > 0
    of_classes = np.zeros(len(counts))
    of_classes[there] = counts[there] ** -0.25
    scaled: Floats = (largest * of_classes / of_classes.max()).astype(np.float32)
    return scaled
