"""The head: the classifier that was trained, by its largest logit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from longtail.rules.base import Evidence, Floats, Rule
from longtail.rules.logits import LogitRule
from longtail.rules.search import mean_class_accuracy


@dataclass(frozen=True)
class Head(LogitRule):
    """Nothing is fitted: the training has done it."""

    title = "softmax head"

    score: float

    @classmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> Self:
        assert evidence.logits is not None
        said = np.concatenate([evidence.logits[at].argmax(1) for at in evidence.validated()])
        return cls(mean_class_accuracy(evidence.validation[evidence.validation >= 0], said))

    def scores(self, logits: Floats) -> Floats:
        return logits


RULE = Head
