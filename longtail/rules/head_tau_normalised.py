"""The head with the weights of each class divided by a power of their length: rare classes have short ones.

Source: Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020, section 4.3. The
biases stay as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from longtail.errors import DataError
from longtail.rules.base import Evidence, Floats, Linear, Rule
from longtail.rules.logits import LogitRule, choose_strength

# τ of w_i/‖w_i‖^τ; the least change comes first and stays where another is no better.
POWERS = tuple(tenths / 10 for tenths in range(11))
# Weights shorter than this share of the longest are none: what float32 logits hold of them is rounding.
SHORTEST = 1e-6


@dataclass(frozen=True)
class HeadTauNormalised(LogitRule):
    """`power` is τ, chosen on validation; logits are multiplied by `scale` (K,), then raised by `shift` (K,)."""

    title = "softmax head, τ-normalised"

    power: float
    scale: list[float]
    shift: list[float]
    score: float
    curve: list[dict[str, float]]

    @classmethod
    def obstacle(cls, evidence: Evidence) -> str | None:
        if evidence.logits is not None and evidence.linear is None:
            return "the classifier is no linear layer with biases, whose weights could be normalised"
        return super().obstacle(evidence)

    @classmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> Self:
        if evidence.linear is None:
            raise DataError(f"the rule head_tau_normalised cannot be fitted: {cls.obstacle(evidence)}")
        changes = {tau: normalisation(evidence.linear, tau) for tau in POWERS}
        tried = choose_strength(evidence, POWERS, lambda logits, tau: normalised(logits, *changes[tau]))
        scale, shift = changes[tried.chosen]
        curve = [{"power": tau, "score": score} for tau, score in tried.scores.items()]
        return cls(tried.chosen, scale.tolist(), shift.tolist(), tried.score, curve)

    def scores(self, logits: Floats) -> Floats:
        return normalised(logits, np.asarray(self.scale), np.asarray(self.shift))

    def summary(self) -> dict[str, Any]:
        return {"score": self.score, "power": self.power, "curve": self.curve}


def normalisation(linear: Linear, power: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Scale and shift (K,) of the logits w_i·x + b_i that give w_i·x/‖w_i‖^τ + b_i. τ = 0 is the identity.

    A class without weights, as decay leaves one that was never trained, has its bias for a logit, whatever τ.
    """
    norms = linear.norms.astype(np.float64)
    scale = np.ones(len(norms))
    there = norms > SHORTEST * norms.max()
    scale[there] = norms[there] ** -power
    # (logit − b)·scale + b, in a form that changes nothing at all where the scale is 1.
    return scale, linear.biases * (1 - scale)


def normalised(logits: Floats, scale: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]) -> Floats:
    """The logits (n, K) of the classifier with its weights divided, float32."""
    changed: Floats = (logits * scale + shift).astype(np.float32)
    return changed


RULE = HeadTauNormalised
