"""The head: the classifier that was trained, by its largest logit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

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
        known = evidence.validation >= 0
        return cls(mean_class_accuracy(evidence.validation[known], evidence.logits[known].argmax(1)))

    def scores(self, logits: Floats) -> Floats:
        return logits


RULE = Head
