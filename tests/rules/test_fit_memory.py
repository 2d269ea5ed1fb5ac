"""A rule is fitted block by block: of many classes nobody has memory for a score of every sample and class."""

import tracemalloc

import numpy as np
import pytest
from rule_evidence import answers, evidence_for, fitted

from longtail.audit.judged import judged
from longtail.rules import knn
from longtail.rules.base import Evidence, Linear, rule_class
from longtail.rules.probabilities import Probabilities
from longtail.rules.registry import RULES
from longtail.rules.search import Search


@pytest.mark.parametrize("key", RULES)
def test_in_blocks_it_is_fitted_as_it_is_at_once(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        found = evidence_for(key, seed)
        whole = fitted(found, (key,))[key]
        with monkeypatch.context() as patched:
            patched.setattr(knn, "BLOCK", 30)
            parted = fitted(found, (key,))[key]
        assert parted.summary() == whole.summary()
        assert np.array_equal(answers(parted, found)[0], answers(whole, found)[0])


def of_many_classes(samples: int, classes: int) -> Evidence:
    rng = np.random.default_rng(0)
    labels = np.arange(samples) % classes
    points = rng.normal(size=(samples, 8)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    validation = np.arange(samples) % 4 == 0
    return Evidence(
        points,
        rng.normal(size=(samples, classes)).astype(np.float32),
        np.where(validation, -1, labels),
        np.where(validation, labels, -1),
        classes,
        10,
        Search(neighbours=[1, 3]),
        0,
        np.full(classes, 1 / classes, np.float32),
        linear=Linear(np.ones(classes, np.float32), np.zeros(classes, np.float32)),
    )


@pytest.mark.parametrize("key", [key for key in RULES if key != "head_thresholds"])
def test_no_score_of_every_sample_and_class_is_in_memory(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "BLOCK", 20_000)
    found = of_many_classes(8_000, 400)
    scores = 4 * int((found.validation >= 0).sum()) * found.class_count
    rule_class(key).fit(found, {})  # what is imported and made once is there
    tracemalloc.start()
    rule = rule_class(key).fit(found, {})
    of_fit = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    judged(rule, Probabilities(temperature=1), found.embeddings, found.logits, found.validation, found.class_count)
    of_judging = tracemalloc.get_traced_memory()[1] - tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert of_fit < scores / 2
    assert of_judging < scores / 2
