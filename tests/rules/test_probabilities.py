"""Probabilities of every rule: what was fitted, and that the likeliest class is always the rule's own answer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_evidence import answers, evidence_for, fitted

from longtail.metrics.calibration import COLDEST, HOTTEST, fit_temperature
from longtail.metrics.probabilities import negative_log_likelihood
from longtail.rules import knn
from longtail.rules.base import Evidence, Floats, Ints, Rule
from longtail.rules.probabilities import rule_probabilities, rule_temperature
from longtail.rules.registry import RULES


def loss(rule: Rule, found: Evidence, temperature: float) -> float:
    known = found.validation >= 0
    _, scores = answers(rule, found)
    return float(negative_log_likelihood(scores[known], found.validation[known], temperature).mean())


@pytest.mark.parametrize("key", RULES)
def test_no_other_temperature_makes_validation_likelier(key: str) -> None:
    found = evidence_for(key)
    rule = fitted(found)[key]
    temperature = rule_temperature(rule, found)
    assert COLDEST <= temperature <= HOTTEST
    known, (_, scores) = found.validation >= 0, answers(rule, found)
    assert temperature == fit_temperature(lambda: iter([(scores[known], found.validation[known])])), "the report's"
    reached = loss(rule, found, temperature)
    for other in np.geomspace(COLDEST, HOTTEST, 60):
        assert reached <= loss(rule, found, float(other)) + 1e-6


@pytest.mark.parametrize("key", RULES)
def test_the_likeliest_class_is_the_rules_own_answer(key: str) -> None:
    found = evidence_for(key)
    rule = fitted(found)[key]
    codes, scores = answers(rule, found)
    shares = rule_probabilities(codes, scores, rule_temperature(rule, found))
    assert (shares.argmax(1) == codes).all()
    assert shares.dtype == np.float32
    assert shares.shape == scores.shape
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    assert (shares >= 0).all()


@pytest.mark.parametrize("key", RULES)
def test_without_a_labelled_validation_sample_scores_stay_as_they_are(key: str) -> None:
    found = evidence_for(key)
    rule = fitted(found)[key]
    assert rule_temperature(rule, replace(found, validation=np.full_like(found.validation, -1))) == 1


@pytest.mark.parametrize("key", RULES)
@pytest.mark.parametrize("count", [1, 2, 10, 40])
def test_a_few_samples_answered_without_a_mistake_make_no_answer_certain(key: str, count: int) -> None:
    found = evidence_for(key)
    rule, known = fitted(found)[key], found.validation >= 0
    codes, scores = answers(rule, found)
    right = np.flatnonzero(known & (codes == found.validation))[:count]
    few = np.full_like(found.validation, -1)
    few[right] = found.validation[right]
    temperature = rule_temperature(rule, replace(found, validation=few))
    confidence = rule_probabilities(codes, scores, temperature)[right].max(1).mean()
    if temperature > 1.01 * COLDEST:
        assert confidence == pytest.approx((count + 1) / (count + 2), abs=1e-4)
    else:
        assert confidence < (count + 1) / (count + 2)


@pytest.mark.parametrize("key", RULES)
def test_of_more_scores_than_a_block_holds_evenly_spaced_samples_stand_for_all(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = evidence_for(key)
    rule, known = fitted(found)[key], np.flatnonzero(found.validation >= 0)
    fourth = np.full_like(found.validation, -1)
    fourth[known[::4]] = found.validation[known[::4]]
    expected = rule_temperature(rule, replace(found, validation=fourth))
    assert expected != rule_temperature(rule, found)
    monkeypatch.setattr(knn, "BLOCK", found.class_count * -(-len(known) // 4))
    assert rule_temperature(rule, found) == expected


# Ties, neighbours in float32, and scores whose exponentials underflow or whose differences do not show in float32.
NEAR = [0.0, 1e-45, 1e-30, 1e-9, 1.0, 1.0000001, 0.99999994, 80.0, 80.00001, -5.0, 5.0, 3e38, -3e38]


@given(
    rows=st.lists(st.lists(st.sampled_from(NEAR), min_size=3, max_size=3), max_size=8),
    temperature=st.sampled_from([COLDEST, 0.3, 1.0, 7.0, HOTTEST]),
)
def test_it_is_so_for_any_scores_at_any_temperature(rows: list[list[float]], temperature: float) -> None:
    scores = np.array(rows, np.float32).reshape(-1, 3)
    codes = scores.argmax(1)
    shares = rule_probabilities(codes, scores, temperature)
    assert (shares.argmax(1) == codes).all()
    assert np.isfinite(shares).all()
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)


@dataclass(frozen=True)
class LastOfEquals(Rule):
    """A rule of one's own: of equal scores the last class is the answer."""

    title = "last of equals"
    score: float = 0.0

    @classmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> Self:
        return cls()

    def predict(self, embeddings: Floats, logits: Floats | None) -> tuple[Ints, Floats]:
        scores = np.zeros((len(embeddings), 4), np.float32)
        return np.full(len(embeddings), 3), scores

    def save(self, folder: Path, task: str) -> None: ...

    @classmethod
    def load(cls, folder: Path, task: str) -> Self:
        return cls()


def test_a_tie_that_a_rule_breaks_in_its_own_way_is_broken_so_among_probabilities() -> None:
    codes, scores = LastOfEquals().predict(np.zeros((5, 6), np.float32), None)
    assert (rule_probabilities(codes, scores, 1.0).argmax(1) == 3).all()
