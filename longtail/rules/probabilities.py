"""Class probabilities from the scores of any rule: their softmax at a temperature that is fitted on validation.

Source: Guo et al., On calibration of modern neural networks, ICML 2017; a rule's scores play the logits.
"""

from pathlib import Path

import numpy as np

from longtail.artifacts.reading import read_json
from longtail.errors import DataError
from longtail.metrics.calibration import COLDEST, HOTTEST, fit_temperature
from longtail.metrics.probabilities import probabilities
from longtail.rules import knn
from longtail.rules.base import Evidence, Floats, Ints, Rule

# Under this name rules.json keeps it with each rule; one blends temperatures of its own.
TEMPERATURE = "temperature_of_scores"


def rule_temperature(rule: Rule, evidence: Evidence) -> float:
    """The temperature at which the scores of a fitted rule make validation's labels likeliest; 1 without any label.

    Where n samples are answered without a mistake the likeliest is 0, which would make every answer certain: then it is
    the one at which the mean probability of the answers is that of Laplace's rule of succession, (n + 1) / (n + 2).
    Where validation's scores are more than a block holds, evenly spaced samples stand for all.
    """
    known = np.flatnonzero(evidence.validation >= 0)
    if not len(known):
        return 1.0
    positions = known[:: len(knn.row_blocks(len(known), evidence.class_count))]
    truth = evidence.validation[positions]
    logits = None if evidence.logits is None else evidence.logits[positions]
    answers, scores = rule.predict(evidence.embeddings[positions], logits)
    if (answers == truth).all():
        return _of_confidence(answers, scores, (len(truth) + 1) / (len(truth) + 2))
    return fit_temperature(lambda: iter([(scores, truth)])) or 1.0


def read_temperature(index: Path, task: str, key: str) -> float:
    """That of the rule of this key on a task, from an index directory. Raises DataError if it has none."""
    file = index / "rules.json"
    try:
        return float(read_json(file)[task][key][TEMPERATURE])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} has no temperature of {task!r} by {key!r}; run `longtail index` again") from error


def _of_confidence(answers: Ints, scores: Floats, wanted: float) -> float:
    """The temperature at which the mean probability of the answers (n,) is the wanted one, or as near as can be."""
    from scipy.optimize import brentq  # late, as in `fit_temperature`

    def excess(log_temperature: float) -> float:
        shares = probabilities(scores, float(np.exp(log_temperature)))
        return float(shares[np.arange(len(answers)), answers].mean()) - wanted

    coldest, hottest = np.log(COLDEST), np.log(HOTTEST)
    if excess(coldest) <= 0:
        return COLDEST
    if excess(hottest) >= 0:
        return HOTTEST
    return float(np.exp(brentq(excess, coldest, hottest)))


def rule_probabilities(answers: Ints, scores: Floats, temperature: float) -> Floats:
    """Class probabilities (n, K), float32, from what a rule gives: class codes (n,) and scores (n, K).

    The likeliest class is always the rule's answer: where two scores are closer than float32 tells their probabilities
    apart, that of the answer is raised by the least that can be.
    """
    shares: Floats = probabilities(scores, temperature).astype(np.float32)
    behind = np.flatnonzero(shares.argmax(1) != answers)
    shares[behind, answers[behind]] = np.nextafter(shares[behind].max(1), np.float32(2))
    return shares
