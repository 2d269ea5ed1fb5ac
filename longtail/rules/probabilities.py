"""Class probabilities from the scores of any rule: their softmax at a temperature that is fitted on validation.

Source: Guo et al., On calibration of modern neural networks, ICML 2017; a rule's scores play the logits.

A kNN gives every class outside of the neighbourhood one lowest score. Where the true class is among them, a temperature
alone pays dearly, and ends so hot that the answers seem unsure: those rules also give a share to all classes alike.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, ValidationError

from longtail.artifacts.reading import read_json
from longtail.errors import DataError
from longtail.metrics.calibration import COLDEST, HOTTEST, fit_temperature
from longtail.metrics.probabilities import negative_log_likelihood, probabilities
from longtail.rules import knn
from longtail.rules.base import Evidence, Floats, Ints, Rule

# Under this name rules.json keeps it with each rule.
PROBABILITIES = "probabilities"
LEAST = 1e-300  # of a probability, before its logarithm
Float64s = npt.NDArray[np.float64]


class Probabilities(BaseModel, frozen=True, extra="forbid"):
    """p = (1 − u) softmax(scores / T) + u / K: the `temperature` T, and the share u that is `uniform`."""

    temperature: float = Field(gt=0)
    uniform: float = Field(0.0, ge=0, lt=1)

    @classmethod
    def fit(cls, rule: Rule, evidence: Evidence) -> "Probabilities":
        """The likeliest on the validation samples, those of the background class too, which has a probability as any
        other; T = 1 without any label. u is 0 for rules that ask the classifier.

        Where all are answered without a mistake T is as in `fit_temperature`, and u is 0. Where validation's scores are
        more than a block holds, evenly spaced samples stand for all.
        """
        labels = evidence.validation if evidence.calibration is None else evidence.calibration
        known = np.flatnonzero(labels >= 0)
        if not len(known):
            return cls(temperature=1.0)
        positions = known[:: len(knn.row_blocks(len(known), evidence.class_count))]
        truth = labels[positions]
        logits = None if evidence.logits is None else evidence.logits[positions]
        answers, scores = rule.predict(evidence.embeddings[positions], logits)
        alone = cls(temperature=fit_temperature(lambda: iter([(scores, truth)])) or 1.0)
        return alone if rule.needs_logits or (answers == truth).all() else _with_uniform_share(scores, truth, alone)

    @classmethod
    def read(cls, index: Path, task: str, key: str) -> "Probabilities":
        """Those of the rule of this key on a task, from an index directory. Raises DataError if there are none."""
        file = index / "rules.json"
        try:
            return cls.model_validate(read_json(file)[task][key][PROBABILITIES])
        except (KeyError, TypeError, ValidationError) as error:
            raise DataError(
                f"{file} has no probabilities of {task!r} by {key!r}; run `longtail index` again"
            ) from error

    def of(self, answers: Ints, scores: Floats) -> Floats:
        """Class probabilities (n, K), float32, from what a rule gives: class codes (n,) and scores (n, K).

        The likeliest class is always the rule's answer: where two scores are closer than float32 tells their
        probabilities apart, that of the answer is raised by the least that can be.
        """
        shares: Floats = self._exact(scores).astype(np.float32)
        behind = np.flatnonzero(shares.argmax(1) != answers)
        shares[behind, answers[behind]] = np.nextafter(shares[behind].max(1), np.float32(2))
        return shares

    def logits(self, scores: Floats) -> Float64s:
        """What has these probabilities for its softmax (n, K)."""
        if not self.uniform:
            return scores.astype(np.float64) / self.temperature
        return np.log(self._exact(scores))

    def _exact(self, scores: Floats) -> Float64s:
        shares = probabilities(scores, self.temperature)
        return (1 - self.uniform) * shares + self.uniform / scores.shape[1] if self.uniform else shares


def _with_uniform_share(scores: Floats, truth: Ints, alone: Probabilities) -> Probabilities:
    """The likeliest T and u, or T alone where that is as likely."""

    def loss(log_temperature: float) -> float:
        return _share(scores, truth, float(np.exp(log_temperature)))[1]

    _, log_temperature = _least(loss, float(np.log(COLDEST)), float(np.log(HOTTEST)))
    temperature = float(np.exp(log_temperature))
    uniform, reached = _share(scores, truth, temperature)
    before = float(negative_log_likelihood(scores, truth, alone.temperature).mean())
    return Probabilities(temperature=temperature, uniform=uniform) if reached < before else alone


def _share(scores: Floats, truth: Ints, temperature: float) -> tuple[float, float]:
    """The likeliest u at a temperature, and the mean negative log-likelihood there, which is convex in u."""
    own, even = np.exp(-negative_log_likelihood(scores, truth, temperature)), 1 / scores.shape[1]

    def loss(uniform: float) -> float:
        return float(-np.log(np.maximum((1 - uniform) * own + uniform * even, LEAST)).mean())

    reached, uniform = _least(loss, 0.0, 0.999)
    return uniform, reached


def _least(loss: Callable[[float], float], low: float, high: float) -> tuple[float, float]:
    """The least of a function between two points, and where it is."""
    from scipy.optimize import minimize_scalar  # late, as in `fit_temperature`

    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-5})
    return float(found.fun), float(found.x)
