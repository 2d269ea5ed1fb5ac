"""cRT, classifier re-training: a fresh classifier, trained class-even on features that stay as they are.

Source: Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020, section 4.1.
"""

from typing import Literal

from longtail.methods.base import Setup
from longtail.methods.classifier import ClassifierMethod, ClassifierParams


class Params(ClassifierParams):
    """None of its own. It follows the training that made the features."""

    kind: Literal["crt"] = "crt"
    trains_body = False
    fresh_classifier = True

    def build(self, setup: Setup) -> ClassifierMethod:
        return ClassifierMethod(setup, self.mixup)
