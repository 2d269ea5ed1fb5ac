"""LWS, learnable weight scaling: of a trained classifier the length of each class's weights alone is learned anew.

Source: Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020, section 4.3, LWS.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtail.methods.base import Setup
from longtail.methods.classifier import ClassifierMethod, ClassifierParams


class Params(ClassifierParams):
    """None of its own. It follows the training that made the features and the classifier."""

    kind: Literal["lws"] = "lws"
    trains_body = False
    needs_classifier = True
    separates_negatives = False

    def build(self, setup: Setup) -> ClassifierMethod:
        return ClassifierMethod(setup, self.mixup)

    def head(self, features: int, classes: int) -> nn.Module:
        return ScaledLinear(features, classes)


class ScaledLinear(nn.Module):
    """A linear classifier whose weights and bias stay, with a scale for the weights of each class, which is trained:
    f_i · w_i x + b_i.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        fixed = nn.Linear(features, classes)
        fixed.requires_grad_(requires_grad=False)
        self.weight, self.bias = fixed.weight, fixed.bias
        self.scale = nn.Parameter(torch.ones(classes))

    def forward(self, embeddings: Tensor) -> Tensor:
        return F.linear(embeddings, self.weight) * self.scale + self.bias
