"""The head of a task with two classes, by a threshold on the probability of the second that is not one half."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from longtail.errors import DataError
from longtail.rules.base import Evidence, Floats, Ints, Rule
from longtail.rules.logits import LogitRule
from longtail.rules.search import Measure, mean_class_accuracy

Odds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HeadThresholds(LogitRule):
    """`log_odds`: those of the second class above which it is the answer, chosen on validation.

    In the log-odds a threshold is as exact for sure answers, whose probability is 1 to the last digit, as for others.
    """

    title = "softmax head, by a threshold"

    log_odds: float
    score: float

    @classmethod
    def obstacle(cls, evidence: Evidence) -> str | None:
        if evidence.class_count != 2:
            return f"it has {evidence.class_count} classes, and a threshold parts two"
        return super().obstacle(evidence)

    @classmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> Self:
        if evidence.class_count != 2:
            raise DataError(f"the rule head_thresholds cannot be fitted on a task: {cls.obstacle(evidence)}")
        assert evidence.logits is not None
        known = evidence.validation >= 0
        odds, truth = second_over_first(evidence.logits[known]), evidence.validation[known]
        threshold = best_threshold(odds, truth, evidence.target, evidence.measure)
        return cls(threshold, mean_class_accuracy(truth, (odds > threshold).astype(np.int64)))

    def scores(self, logits: Floats) -> Floats:
        above = second_over_first(logits) - self.log_odds
        return np.stack([np.zeros_like(above), above], axis=1).astype(np.float32)

    def summary(self) -> dict[str, Any]:
        return {"score": self.score, "threshold": float((1 + np.tanh(self.log_odds / 2)) / 2)}


def second_over_first(logits: Floats) -> Odds:
    """The log-odds (n,) of the second class, from logits (n, 2)."""
    difference: Odds = np.subtract(logits[:, 1], logits[:, 0], dtype=np.float64)
    return difference


def best_threshold(odds: Odds, truth: Ints, target: Floats | None, measure: Measure = "mean_class_accuracy") -> float:
    """The threshold on log-odds (n,) of the second class, of true classes (n,) 0 or 1, that is best by the measure
    where the two come as `target` (2,) has them (`reached` in search.py).

    Every way to part the samples is tried: midway between two neighbours, beyond them all, and at even odds, where the
    head itself parts them. Of equals the one nearest to even odds stays, below them if two are. Without a sample of one
    class it is even odds: that a class is absent says nothing of it.
    """
    first, second = np.sort(odds[truth == 0]), np.sort(odds[truth == 1])
    if not len(first) or not len(second):
        return 0.0
    points = np.unique(odds)
    thresholds = np.concatenate([[0.0, points[0] - 1, points[-1] + 1], (points[:-1] + points[1:]) / 2])
    right_first = np.searchsorted(first, thresholds, side="right")
    right_second = len(second) - np.searchsorted(second, thresholds, side="right")
    # Each sample of a class weighs as many as the other has: whole numbers for even shares, whose ties are exact.
    weights = np.array([len(second), len(first)]) * (1.0 if target is None else target.astype(np.float64))
    if measure == "average_f1":
        weights = np.ones(2) if target is None else weights
        wrong = weights[0] * (len(first) - right_first) + weights[1] * (len(second) - right_second)
        right = np.stack([weights[0] * right_first, weights[1] * right_second])
        reached = (2 * right / (2 * right + wrong)).sum(0)  # a class's F1 counts a mistake of either kind once
    else:
        reached = weights[0] * right_first + weights[1] * right_second
    best = thresholds[reached == reached.max()]
    return float(min(best, key=lambda threshold: (abs(threshold), threshold)))


RULE = HeadThresholds
