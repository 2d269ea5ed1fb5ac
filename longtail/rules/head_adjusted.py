"""The head, its logits lowered by the log of the prior that it was trained on: the cheap baseline of every method.

Source: Menon et al., Long-tail learning via logit adjustment, ICLR 2021, Eq. 9 (post hoc).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from longtail.rules.base import Evidence, Floats, Rule
from longtail.rules.logits import LogitRule, choose_strength

# τ of Eq. 9, that of the theory first: it stays where another is no better.
STRENGTHS = (1.0, 0.75, 1.25, 0.5, 1.5, 0.25, 2.0, 0.0)


@dataclass(frozen=True)
class HeadAdjusted(LogitRule):
    """`strength` is τ, chosen on validation; `shift` (K,) is what the logits are raised by. Where there is a target,
    `even` (K,) is what they would be raised by for even classes.

    Where the prior changed in the course of the training, that of its beginning is tried too, and taken (`earlier`) if
    it is better on validation: a change that comes when the learning rate is next to nothing does not reach the head.
    """

    title = "softmax head, less the log prior"

    strength: float
    shift: list[float]
    score: float
    curve: list[dict[str, float]]
    earlier: bool = False
    even: list[float] | None = None

    @classmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> Self:
        assert evidence.prior is not None
        if evidence.target is not None:
            even = cls.fit(replace(evidence, target=None), fitted)
            return replace(cls._better(evidence, evidence.prior), even=even.shift)
        return cls._better(evidence, evidence.prior)

    @classmethod
    def _better(cls, evidence: Evidence, prior: Floats) -> Self:
        """By the prior of the end of the training, or of its beginning."""
        found, reached = cls._by(evidence, prior)
        if evidence.earlier is not None:
            other, as_well = cls._by(evidence, evidence.earlier)
            if as_well > reached:
                return replace(other, earlier=True)
        return found

    @classmethod
    def _by(cls, evidence: Evidence, prior: Floats) -> tuple[Self, float]:
        """The rule by a prior, and how good it is on validation by the measure that is chosen by."""
        shifts = {tau: adjustment(prior, evidence.target, tau) for tau in STRENGTHS}
        tried = choose_strength(evidence, STRENGTHS, lambda logits, tau: logits + shifts[tau])
        curve = [{"strength": tau, "score": score} for tau, score in tried.scores.items()]
        return cls(tried.chosen, shifts[tried.chosen].tolist(), tried.score, curve), tried.reached

    def for_even_classes(self) -> Self:
        """The same where no target is asked for: what accuracies that count all classes alike are compared by."""
        return self if self.even is None else replace(self, shift=self.even, even=None)

    def scores(self, logits: Floats) -> Floats:
        return logits + np.asarray(self.shift, np.float32)

    def summary(self) -> dict[str, Any]:
        found = {"score": self.score, "strength": self.strength, "curve": self.curve}
        return found | {"prior": "that of the beginning"} if self.earlier else found


def adjustment(prior: Floats, target: Floats | None, strength: float) -> Floats:
    """log(target) − log(prior), times the strength τ, as float32 (K,): what turns the logits of a classifier that was
    trained on one prior into those for another. Counts do as well as shares; without a target it is the even one.

    A class of prior 0 was never trained: nothing raises it, so it gets the least of all. τ = 0 is the identity, and so
    is a prior that is the target.
    """
    shares = np.asarray(prior, np.float64) / np.sum(prior)
    wanted = np.full(len(shares), 1 / len(shares)) if target is None else np.asarray(target, np.float64)
    trained = shares > 0
    shift = np.zeros(len(shares))
    # The difference of logs, not the log of a ratio or of a floored prior: small priors stay what they are.
    shift[trained] = np.log(wanted[trained]) - np.log(shares[trained])
    shift[~trained] = shift[trained].min()
    return (strength * shift).astype(np.float32)


RULE = HeadAdjusted
