"""Classes that rules learn without training: whoever is not near them is answered as before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_evidence import CLASSES, answers, evidence, fitted

from longtail.rules.base import Addition, Rule
from longtail.rules.class_mean import ClassMean
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.clusters import Clusters
from longtail.rules.familiarity import Familiarity, Nearest, nearest_clusters
from longtail.rules.knn import Decision, NearestNeighbours
from longtail.rules.large_margin import LargeMargin
from longtail.rules.registry import RULES
from longtail.rules.sample_wise import SampleWise

Floats = npt.NDArray[np.float32]
NEIGHBOURS = ("cluster_wise", "large_margin", "sample_wise", "class_mean")


def on_sphere(rng: np.random.Generator, count: int, length: int = 6) -> Floats:
    points = rng.normal(size=(count, length))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def addition(seed: int, counts: list[int], *, spread: float = 0.2, cluster_size: int = 10) -> Addition:
    """Classes of so many samples, each about a point of its own."""
    rng = np.random.default_rng([7, seed])
    labels = np.repeat(np.arange(CLASSES, CLASSES + len(counts)), counts)
    points = on_sphere(rng, len(counts))[labels - CLASSES] + spread * rng.normal(size=(len(labels), 6))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return Addition(points.astype(np.float32), labels, CLASSES + len(counts), cluster_size)


def neighbours(rule: Rule | None) -> NearestNeighbours:
    assert isinstance(rule, ClusterWise | LargeMargin | SampleWise | ClassMean)
    return rule.neighbours


@pytest.mark.parametrize("key", RULES)
def test_only_rules_that_ask_no_classifier_know_more_classes(key: str) -> None:
    found = evidence(classes=2) if key == "head_thresholds" else evidence()
    rule = fitted(found)[key]
    by_points = key in (*NEIGHBOURS, "soft_voting")
    assert (rule.extended(addition(0, [5])) is not None) == by_points == (not rule.needs_logits)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.lists(st.integers(1, 30), min_size=1, max_size=3), st.integers(1, 12))
def test_who_has_no_new_point_among_the_neighbours_is_answered_as_before(
    seed: int, counts: list[int], cluster_size: int
) -> None:
    found, more = evidence(seed), addition(seed, counts, cluster_size=cluster_size)
    for key, rule in fitted(found, NEIGHBOURS).items():
        extended = rule.extended(more)
        assert extended is not None
        old, new = neighbours(rule), neighbours(extended)
        assert np.array_equal(new.points[: len(old.points)], old.points)
        (codes, scores), (now, now_scores) = answers(rule, found), answers(extended, found)
        squares = ((found.embeddings[:, None].astype(np.float64) - new.points) ** 2).sum(-1)
        kth = np.sort(squares, axis=1)[:, min(new.k, len(old.points)) - 1]
        away = squares[:, len(old.points) :].min(1) > kth + 1e-5
        assert np.array_equal(now[away], codes[away]), key
        np.testing.assert_array_equal(now_scores[away, :CLASSES], scores[away])
        changed = now != codes
        assert not (changed & away).any()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 20), st.sampled_from(["large_margin", "vote"]))
def test_a_class_that_can_answer_wins_where_its_points_are_the_nearest(
    seed: int, points: int, k: int, decision: Decision
) -> None:
    """And one that cannot may lose there: of three votes, two for another class."""
    rng = np.random.default_rng(seed)
    old = NearestNeighbours(on_sphere(rng, 12), np.zeros(12, np.int64), 1, k, decision)
    query = on_sphere(rng, 1)
    new = old.with_points(np.repeat(query, points, axis=0), np.ones(points, np.int64), 2)
    assert new.can_answer(1) == (new.predict(query)[0][0] == 1)


@pytest.mark.parametrize("key", NEIGHBOURS)
@pytest.mark.parametrize("decision", ["large_margin", "vote"])
def test_a_rule_can_answer_with_a_class_that_its_neighbours_can(key: str, decision: Decision) -> None:
    rule = fitted(evidence())[key]
    if key in ("cluster_wise", "sample_wise"):
        rule = replace(rule, neighbours=replace(neighbours(rule), k=9, decision=decision))  # type: ignore[type-var]
    extended = rule.extended(addition(0, [2, 60], cluster_size=10))
    assert extended is not None
    for code in (CLASSES, CLASSES + 1):
        assert extended.can_answer(code) == neighbours(extended).can_answer(code)
    voted = decision == "vote" and key in ("cluster_wise", "sample_wise")
    assert (extended.can_answer(CLASSES), extended.can_answer(CLASSES + 1)) == (not voted, True)


def test_clusters_are_of_the_size_of_those_that_were_trained() -> None:
    rule = fitted(evidence())["cluster_wise"]
    assert isinstance(rule, ClusterWise)
    members = rule.clusters.assignment[rule.clusters.assignment >= 0]
    size = rule.clusters.mean_size
    assert size == round(np.bincount(members).mean())
    more = rule.extended(addition(0, [1, size, 3 * size], cluster_size=size))
    assert np.bincount(more.neighbours.classes)[CLASSES:].tolist() == [1, 1, 3]
    assert more.clusters.mean_size == size  # what is added is no sample of the split
    assert Clusters(np.full(3, -1), np.array([0])).mean_size == 1


def test_the_bound_of_a_new_class_is_that_of_its_own_images(tmp_path: Path) -> None:
    found, more = evidence(), addition(1, [6, 1], spread=1.0)
    rule = fitted(found)["cluster_wise"]
    assert isinstance(rule, ClusterWise)
    before, extended = Familiarity.fit(rule, found), rule.extended(more)
    after = before.extended(extended, more)
    own = more.embeddings[more.labels == CLASSES].astype(np.float64)
    far = []
    for place in range(len(own)):
        mean = np.delete(own, place, axis=0).mean(0)
        far.append(float(np.linalg.norm(own[place] - mean / np.linalg.norm(mean))))
    assert before.distance is not None
    assert before.distance < max(far)  # or this example shows nothing
    assert after.added == {CLASSES: pytest.approx(max(far), abs=1e-5)}  # of a single image nothing is known
    distance = np.array([max(far) - 0.01, max(far) + 0.01, before.distance + 0.01], np.float32)
    near = Nearest(np.zeros(3, np.int64), np.array([CLASSES, CLASSES, 0]), distance)
    assert after.unlike(near).tolist() == [False, True, True]
    after.save(tmp_path, "digit")
    assert Familiarity.load(tmp_path, "digit") == after
    assert not before.model_copy(update={"distance": None}).extended(extended, more).unlike(near).any()


def test_images_beside_a_new_cluster_are_familiar() -> None:
    found, more = evidence(), addition(3, [8], spread=0.05)
    rule = fitted(found)["cluster_wise"]
    assert isinstance(rule, ClusterWise)
    familiarity, extended = Familiarity(distance=0.3, false_alarms=0.01, samples=99), rule.extended(more)
    assert familiarity.unlike(nearest_clusters(rule, more.embeddings)).all()
    after = familiarity.extended(extended, more)
    near = nearest_clusters(extended, more.embeddings)
    assert set(near.classes) == {CLASSES}
    assert not after.unlike(near).any()
