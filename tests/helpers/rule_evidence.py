"""Evidence that rules can be fitted on: classes of several sizes that overlap."""

import numpy as np
import numpy.typing as npt

from longtail.rules.base import Evidence, Linear, Rule, rule_class
from longtail.rules.registry import RULES, fit_rules
from longtail.rules.search import Search

Floats = npt.NDArray[np.float32]
CLASSES = 4
PRIOR = np.array([0.5, 0.25, 0.15, 0.1])
LINEAR = Linear(np.array([2, 1.5, 1, 0.7], np.float32), np.array([0.3, 0.1, 0, -0.2], np.float32))


def evidence(seed: int = 0, *, logits: bool = True, count: int = 300, classes: int = CLASSES) -> Evidence:
    """Classes of several sizes that overlap, half of the samples for training, a quarter for validation, some without
    label; the logits are another view of the same samples.
    """
    rng = np.random.default_rng(seed)
    prior = PRIOR[:classes] / PRIOR[:classes].sum()
    labels = rng.choice(classes, count, p=prior)
    subset = rng.permutation(np.repeat([0, 1, 2], [count // 2, count // 4, count - count // 2 - count // 4]))
    points = rng.normal(size=(count, 6)) + 1.5 * np.eye(6)[labels]
    embeddings = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    scores = (rng.normal(size=(count, classes)) + 1.2 * np.eye(classes)[labels]).astype(np.float32)
    known = rng.random(count) < 0.95
    return Evidence(
        embeddings,
        scores if logits else None,
        np.where((subset == 0) & known, labels, -1),
        np.where((subset == 1) & known, labels, -1),
        classes,
        10,
        Search(neighbours=[1, 3, 7]),
        0,
        prior.astype(np.float32) if logits else None,
        linear=Linear(LINEAR.norms[:classes], LINEAR.biases[:classes]),
    )


def evidence_for(key: str, seed: int = 0) -> Evidence:
    """Evidence that the rule can be fitted on: of four classes or, where it takes no more, of two."""
    return next(found for found in (evidence(seed), evidence(seed, classes=2)) if not rule_class(key).obstacle(found))


def fitted(found: Evidence, keys: tuple[str, ...] = RULES) -> dict[str, Rule]:
    return fit_rules(list(keys), found)


def answers(rule: Rule, found: Evidence) -> tuple[npt.NDArray[np.int64], Floats]:
    """Of all samples of the evidence."""
    return rule.predict(found.embeddings, found.logits)
