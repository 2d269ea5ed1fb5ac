"""Soft voting (Eq. 2.3) against its equation in plain loops, and the limits of γ."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_evidence import CLASSES, answers, evidence
from test_rules_extended import addition

from longtail.metrics.probabilities import probabilities
from longtail.rules.clusters import anchor_points
from longtail.rules.search import ANCHORS, Search, mean_class_accuracy
from longtail.rules.soft_voting import GAMMAS, SoftVoting

Floats = npt.NDArray[np.float32]


def unit(points: npt.NDArray[np.float64]) -> Floats:
    return (points / np.linalg.norm(points, axis=-1, keepdims=True)).astype(np.float32)


def voting(seed: int, gamma: float, *, classes: int = 3, anchors: int = 2, count: int | None = None) -> SoftVoting:
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (classes, anchors, 4)).astype(np.float32)
    return SoftVoting(points, np.arange(classes), count or classes, gamma, 0.0, [])


def slow_shares(rule: SoftVoting, query: list[float]) -> list[float]:
    """Eq. 2.3, numerator by numerator."""
    votes = []
    for of_class in rule.points.tolist():
        votes.append(sum(math.exp(-rule.gamma * math.dist(query, point) ** 2) for point in of_class))
    return [vote / sum(votes) for vote in votes]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 999), st.sampled_from([0.5, 5.0, 50.0]), st.integers(2, 5), st.integers(1, 4))
def test_its_softmax_is_eq_2_3(seed: int, gamma: float, classes: int, anchors: int) -> None:
    rule = voting(seed, gamma, classes=classes, anchors=anchors)
    queries = unit(np.random.default_rng([seed, 1]).normal(size=(5, 4)))
    codes, scores = rule.predict(queries, None)
    for query, code, of_query in zip(queries.tolist(), codes, probabilities(scores, 1.0), strict=True):
        expected = slow_shares(rule, query)
        assert of_query.tolist() == pytest.approx(expected, abs=1e-5)
        assert expected[code] == pytest.approx(max(expected), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_of_a_large_gamma_the_nearest_point_answers_and_nothing_underflows(seed: int) -> None:
    rule, queries = voting(seed, 1e5), unit(np.random.default_rng([seed, 1]).normal(size=(200, 4)))
    codes, scores = rule.predict(queries, None)
    nearest = ((queries[:, None, None] - rule.points) ** 2).sum(3).min(2)
    assert np.isfinite(scores).all()
    assert (codes == nearest.argmin(1)).mean() > 0.99  # but for what float32 does not tell apart
    shares = probabilities(scores, 1.0)
    assert (shares.max(1) > 0.99).mean() > 0.99


@pytest.mark.parametrize("seed", range(5))
def test_of_a_gamma_of_0_it_is_the_prior_of_anchor_counts(seed: int) -> None:
    """Wherever the query is; every class has as many points, so those are even shares."""
    rule, queries = voting(seed, 1e-9), unit(np.random.default_rng([seed, 1]).normal(size=(50, 4)))
    counts = Counter(np.repeat(rule.codes, rule.points.shape[1]).tolist())
    expected = [counts[code] / sum(counts.values()) for code in range(3)]
    assert np.allclose(probabilities(rule.predict(queries, None)[1], 1.0), expected, atol=1e-6)


def test_a_class_without_a_point_is_behind_all_others_everywhere() -> None:
    for gamma in (1e-9, 5.0, 1e3):
        rule = voting(0, gamma, count=5)
        _, scores = rule.predict(unit(np.random.default_rng(1).normal(size=(100, 4))), None)
        assert np.isfinite(scores).all()
        assert (scores[:, 3:] < scores[:, :3].min(1, keepdims=True)).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 999), st.integers(1, 4), st.booleans())
def test_anchor_points_are_the_means_of_each_class_by_k_means(seed: int, count: int, coinciding: bool) -> None:
    """Of classes of fewer samples than points too, and of samples that coincide."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([-1, 0, 2, 5], [3, 1, 2, 20]))
    embeddings = unit(rng.normal(size=(26, 3)))
    embeddings = embeddings[rng.integers(4, size=26)] if coinciding else embeddings
    points, codes = anchor_points(embeddings, labels, count)
    assert codes.tolist() == [0, 2, 5]
    assert points.shape == (3, count, 3)
    assert np.isfinite(points).all()
    for code, of_class in zip(codes, points, strict=True):
        own = embeddings[labels == code]
        nearest = ((own[:, None] - of_class) ** 2).sum(2).argmin(1)
        assert np.allclose(points[codes == 0][0], embeddings[labels == 0]), "the only sample, again and again"
        if not coinciding and len(own) > count > 1:
            assert len(np.unique(of_class, axis=0)) == count
            for place in range(count):  # k-means has come to its end: each point is the mean of what is nearest to it
                assert np.allclose(own[nearest == place].mean(0), of_class[place], atol=0.2)


@pytest.mark.parametrize("seed", range(4))
def test_points_and_gamma_are_those_of_the_paper_unless_others_are_better_on_validation(seed: int) -> None:
    found = evidence(seed)
    rule, known = SoftVoting.fit(found, {}), found.validation >= 0
    scores = {}
    for count in (3, 10, 20):  # of the 150 samples of four classes: 50 each would be more than there are
        points, codes = anchor_points(found.embeddings, found.train, count)
        for gamma in GAMMAS:
            said, _ = SoftVoting(points, codes, CLASSES, gamma, 0.0, []).predict(found.embeddings[known], None)
            scores[count, gamma] = mean_class_accuracy(found.validation[known], said)
    assert rule.score == max(scores.values())
    best = next(key for key, score in scores.items() if score == rule.score)
    assert (rule.points.shape[1], rule.gamma) == best
    curve = [{"anchors": count, "gamma": gamma, "score": score} for (count, gamma), score in sorted(scores.items())]
    assert rule.summary() == {"score": rule.score, "anchors": best[0], "gamma": best[1], "curve": curve}


def test_of_equals_the_papers_stay() -> None:
    found = evidence()
    apart = replace(found, embeddings=np.eye(CLASSES + 1, dtype=np.float32)[np.maximum(found.train, found.validation)])
    rule = SoftVoting.fit(apart, {})
    assert (rule.points.shape[1], rule.gamma) == (ANCHORS[0], GAMMAS[0]) == (3, 5)


def test_the_first_number_of_points_is_tried_however_few_samples_there_are() -> None:
    found = replace(evidence(), search=Search(anchors=[500, 3]))
    assert {one["anchors"] for one in SoftVoting.fit(found, {}).curve} == {500, 3}


@pytest.mark.parametrize("counts", [[1], [2, 40]])
def test_an_added_class_has_points_of_its_own_and_wins_where_they_are_the_nearest(counts: list[int]) -> None:
    rule, more = SoftVoting.fit(evidence(), {}), addition(1, counts, spread=0.05)
    extended = rule.extended(more)
    assert np.array_equal(extended.points[: len(rule.points)], rule.points)
    assert extended.points.shape[:2] == (CLASSES + len(counts), rule.points.shape[1])
    codes, scores = extended.predict(more.embeddings, None)
    assert scores.shape == (len(more.labels), CLASSES + len(counts))
    assert (codes == more.labels).mean() > 0.9
    assert all(extended.can_answer(code) for code in more.labels)
    before = answers(rule, evidence())
    assert (answers(extended, evidence())[1][:, :CLASSES] == before[1]).all()
