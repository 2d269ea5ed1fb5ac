"""Class probabilities from the scores of any rule: their softmax at a temperature that is fitted on validation.

Source: Guo et al., On calibration of modern neural networks, ICML 2017; a rule's scores play the logits.
"""

import numpy as np

from longtail.metrics import probabilities as softmax
from longtail.metrics.calibration import fit_temperature
from longtail.rules import knn
from longtail.rules.base import Evidence, Floats, Ints, Rule

# Under this name rules.json keeps it with each rule; one blends temperatures of its own.
TEMPERATURE = "temperature_of_scores"


def rule_temperature(rule: Rule, evidence: Evidence) -> float:
    """The temperature at which the scores of a fitted rule make validation's labels likeliest; 1 without any label.

    Where validation's scores are more than a block holds, evenly spaced samples stand for all.
    """
    known = np.flatnonzero(evidence.validation >= 0)
    positions = known[:: len(knn.row_blocks(len(known), evidence.class_count))]
    logits = None if evidence.logits is None else evidence.logits[positions]
    _, scores = rule.predict(evidence.embeddings[positions], logits)
    found = fit_temperature(lambda: iter([(scores, evidence.validation[positions])] if len(positions) else []))
    return 1.0 if found is None else found


def rule_probabilities(answers: Ints, scores: Floats, temperature: float) -> Floats:
    """Class probabilities (n, K), float32, from what a rule gives: class codes (n,) and scores (n, K).

    The likeliest class is always the rule's answer: where two scores are closer than float32 tells their probabilities
    apart, that of the answer is raised by the least that can be.
    """
    shares: Floats = softmax.probabilities(scores, temperature).astype(np.float32)
    behind = np.flatnonzero(shares.argmax(1) != answers)
    shares[behind, answers[behind]] = np.nextafter(shares[behind].max(1), np.float32(2))
    return shares
