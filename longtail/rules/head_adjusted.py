"""The head, its logits lowered by the log of the prior that it was trained on: the cheap baseline of every method.

Source: Menon et al., Long-tail learning via logit adjustment, ICLR 2021, Eq. 9 (post hoc).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from longtail.artifacts.reading import read_json, write_json
from longtail.rules.base import Evidence, Floats, Ints, Rule
from longtail.rules.search import mean_class_accuracy

# τ of Eq. 9, that of the theory first: it stays where another is no better.
STRENGTHS = (1.0, 0.75, 1.25, 0.5, 1.5, 0.25, 2.0, 0.0)


@dataclass(frozen=True)
class HeadAdjusted(Rule):
    """`strength` is τ, chosen on validation; `shift` (K,) is what the logits are raised by."""

    title = "softmax head, less the log prior"
    needs_logits = True

    strength: float
    shift: list[float]
    score: float
    curve: list[dict[str, float]]

    @classmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> Self:
        assert evidence.logits is not None
        assert evidence.prior is not None
        known = evidence.validation >= 0
        logits, truth = evidence.logits[known], evidence.validation[known]
        shifts = {tau: adjustment(evidence.prior, evidence.target, tau) for tau in STRENGTHS}
        said = {tau: (logits + shift).argmax(1) for tau, shift in shifts.items()}
        reached = {tau: accuracy_under(truth, answers, evidence.target) for tau, answers in said.items()}
        best = max(STRENGTHS, key=reached.__getitem__)  # the first of equals
        curve = [{"strength": tau, "score": mean_class_accuracy(truth, said[tau])} for tau in sorted(STRENGTHS)]
        return cls(best, shifts[best].tolist(), mean_class_accuracy(truth, said[best]), curve)

    def predict(self, embeddings: Floats, logits: Floats | None) -> tuple[Ints, Floats]:
        assert logits is not None
        adjusted = logits + np.asarray(self.shift, np.float32)
        return adjusted.argmax(1), adjusted

    def save(self, folder: Path, task: str) -> None:
        write_json(folder / f"head_adjusted-{task}.json", asdict(self))

    @classmethod
    def load(cls, folder: Path, task: str) -> Self:
        return cls(**read_json(folder / f"head_adjusted-{task}.json"))

    def summary(self) -> dict[str, Any]:
        return {"score": self.score, "strength": self.strength, "curve": self.curve}


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


def accuracy_under(truth: Ints, answers: Ints, target: Floats | None) -> float:
    """The accuracy that would be reached if classes came as the target has them, by default evenly; classes without a
    sample are left out.
    """
    if target is None:
        return mean_class_accuracy(truth, answers)
    counts = np.bincount(truth, minlength=len(target))
    right = np.bincount(truth[truth == answers], minlength=len(target))
    there = counts > 0
    return float((target[there] * right[there] / counts[there]).sum() / target[there].sum())


RULE = HeadAdjusted
