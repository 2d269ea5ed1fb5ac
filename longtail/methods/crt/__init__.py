"""cRT, classifier re-training: a fresh classifier, trained class-even on features that stay as they are.

Source: Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020, section 4.1.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from longtail.methods.base import Setup
from longtail.methods.classifier import ClassifierMethod, ClassifierParams


class Params(ClassifierParams):
    """None of its own. It follows the training that made the features."""

    kind: Literal["crt"] = "crt"
    trains_body = False
    fresh_classifier = True

    def build(self, setup: Setup) -> "CRT":
        return CRT(setup, self.mixup)


class CRT(ClassifierMethod):
    """Cross-entropy; the classifiers of the training before are thrown away."""

    def losses(self, task: str, logits: Tensor, codes: Tensor) -> Tensor:
        return F.cross_entropy(logits, codes, reduction="none")
