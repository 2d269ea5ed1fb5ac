"""Probabilities of every rule: what was fitted, and that the likeliest class is always the rule's own answer."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_evidence import CLASSES, answers, evidence, evidence_for, fitted

from longtail.metrics.calibration import COLDEST, HOTTEST, fit_temperature
from longtail.metrics.probabilities import probabilities
from longtail.rules import knn
from longtail.rules.base import Evidence, Floats, Ints, Rule, rule_class
from longtail.rules.probabilities import Probabilities
from longtail.rules.registry import RULES

WITHOUT_LOGITS = [key for key in RULES if not rule_class(key).needs_logits]


def loss(rule: Rule, found: Evidence, temperature: float, uniform: float = 0.0) -> float:
    """The mean −log of the true class's probability on validation, from the definition."""
    total = 0.0
    known = np.flatnonzero(found.validation >= 0)
    for row, truth in zip(answers(rule, found)[1][known].astype(float), found.validation[known], strict=True):
        weights = [math.exp((score - max(row)) / temperature) for score in row]
        total -= math.log((1 - uniform) * weights[truth] / sum(weights) + uniform / len(row))
    return total / len(known)


@pytest.mark.parametrize("key", [key for key in RULES if key not in WITHOUT_LOGITS])
def test_rules_on_logits_have_the_temperature_of_the_report_and_no_other_is_likelier(key: str) -> None:
    found = evidence_for(key)
    rule, known = fitted(found)[key], found.validation >= 0
    how, (_, scores) = Probabilities.fit(rule, found), answers(rule, found)
    assert how.uniform == 0
    assert how.temperature == fit_temperature(lambda: iter([(scores[known], found.validation[known])]))
    for other in np.geomspace(0.1, HOTTEST, 30):
        assert loss(rule, found, how.temperature) <= loss(rule, found, float(other)) + 1e-6


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("key", WITHOUT_LOGITS)
def test_rules_on_neighbours_have_the_likeliest_temperature_and_uniform_share(key: str, seed: int) -> None:
    found = evidence_for(key, seed)
    rule = fitted(found)[key]
    how = Probabilities.fit(rule, found)
    reached = loss(rule, found, how.temperature, how.uniform)
    for factor in (0.5, 0.8, 0.95, 1.05, 1.25, 2):
        temperature = max(COLDEST, factor * how.temperature)
        for uniform in (0.0, 0.02, how.uniform, 0.2):
            assert reached <= loss(rule, found, temperature, uniform) + 1e-5


def test_a_class_outside_of_the_neighbourhood_does_not_make_all_answers_unsure() -> None:
    """Of nineteen in twenty samples the true class is in the neighbourhood, mostly ahead by a margin; of the others it
    has the lowest score, whose price a temperature alone lets all answers pay.
    """
    found = evidence(count=2000)
    rng, truth = np.random.default_rng(0), np.maximum(found.validation, 0)
    scores = np.full((2000, CLASSES), -5, np.float32)
    rows, margins = np.arange(2000), rng.normal(0.3, 0.2, 2000)
    outside = rng.random(2000) < 0.05
    scores[rows, np.where(outside, (truth + 1) % CLASSES, truth)] = margins
    scores[rows, (truth + 2) % CLASSES] = -margins

    class Fixed(LastOfEquals):
        def predict(self, embeddings: Floats, logits: Floats | None) -> tuple[Ints, Floats]:
            known = scores[found.validation >= 0]
            return known.argmax(1), known

    codes, own = Fixed().predict(found.embeddings, None)
    right = (codes == found.validation[found.validation >= 0]).mean()
    how, alone = (
        Probabilities.fit(Fixed(), found),
        fit_temperature(lambda: iter([(own, found.validation[found.validation >= 0])])),
    )
    assert alone is not None
    assert how.of(codes, own).max(1).mean() == pytest.approx(right, abs=0.02)
    assert Probabilities(temperature=alone).of(codes, own).max(1).mean() < right - 0.05


@pytest.mark.parametrize("key", RULES)
def test_the_likeliest_class_is_the_rules_own_answer(key: str) -> None:
    found = evidence_for(key)
    rule = fitted(found)[key]
    codes, scores = answers(rule, found)
    shares = Probabilities.fit(rule, found).of(codes, scores)
    assert (shares.argmax(1) == codes).all()
    assert shares.dtype == np.float32
    assert shares.shape == scores.shape
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    assert (shares >= 0).all()


@pytest.mark.parametrize("key", RULES)
def test_without_a_labelled_validation_sample_scores_stay_as_they_are(key: str) -> None:
    found = evidence_for(key)
    rule = fitted(found)[key]
    how = Probabilities.fit(rule, replace(found, validation=np.full_like(found.validation, -1)))
    assert how == Probabilities(temperature=1)


@pytest.mark.parametrize("key", RULES)
def test_samples_of_the_background_class_count_too(key: str) -> None:
    """They count in no metric, and have a probability as any other."""
    found = evidence_for(key)
    rule = fitted(found)[key]
    scored = np.where(found.validation == 0, -1, found.validation)
    whole = replace(found, validation=scored, calibration=found.validation)
    assert Probabilities.fit(rule, whole) == Probabilities.fit(rule, found)
    assert Probabilities.fit(rule, whole) != Probabilities.fit(rule, replace(found, validation=scored))


@pytest.mark.parametrize("key", RULES)
@pytest.mark.parametrize("count", [1, 2, 10, 40])
def test_a_few_samples_answered_without_a_mistake_make_no_answer_certain(key: str, count: int) -> None:
    found = evidence_for(key)
    rule, known = fitted(found)[key], found.validation >= 0
    codes, scores = answers(rule, found)
    right = np.flatnonzero(known & (codes == found.validation))[:count]
    few = np.full_like(found.validation, -1)
    few[right] = found.validation[right]
    how = Probabilities.fit(rule, replace(found, validation=few))
    confidence = how.of(codes, scores)[right].max(1).mean()
    if how.temperature > 1.01 * COLDEST:
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
    expected = Probabilities.fit(rule, replace(found, validation=fourth))
    assert expected != Probabilities.fit(rule, found)
    monkeypatch.setattr(knn, "BLOCK", found.class_count * -(-len(known) // 4))
    assert Probabilities.fit(rule, found) == expected


# Ties, neighbours in float32, and scores whose exponentials underflow or whose differences do not show in float32.
NEAR = [0.0, 1e-45, 1e-30, 1e-9, 1.0, 1.0000001, 0.99999994, 80.0, 80.00001, -5.0, 5.0, 3e38, -3e38]


@given(
    rows=st.lists(st.lists(st.sampled_from(NEAR), min_size=3, max_size=3), max_size=8),
    temperature=st.sampled_from([COLDEST, 0.3, 1.0, 7.0, HOTTEST]),
    uniform=st.sampled_from([0.0, 1e-9, 0.1, 0.999]),
)
def test_it_is_so_for_any_scores(rows: list[list[float]], temperature: float, uniform: float) -> None:
    scores = np.array(rows, np.float32).reshape(-1, 3)
    codes = scores.argmax(1)
    how = Probabilities(temperature=temperature, uniform=uniform)
    shares = how.of(codes, scores)
    np.testing.assert_allclose(probabilities(how.logits(scores)), shares, atol=1e-6)
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
    assert (Probabilities(temperature=1).of(codes, scores).argmax(1) == 3).all()
