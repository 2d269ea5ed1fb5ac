"""Eq. 3 as published: the large margin among the 20 nearest centroids, by the words of the paper; nothing is chosen."""

from dataclasses import replace

import numpy as np
import pytest
from rule_evidence import answers, evidence

from longtail.rules.base import Evidence
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.clusters import centroids
from longtail.rules.large_margin import K, LargeMargin
from longtail.rules.search import Search


def by_the_paper(found: Evidence, points: np.ndarray, classes: np.ndarray, query: np.ndarray) -> int:
    """Section 4 in float64: of the classes of the 20 nearest centroids that with the largest margin of Eq. 3."""
    distances = ((points.astype(float) - query.astype(float)) ** 2).sum(1)
    near = np.argsort(distances)[:20]
    own = {c: [distances[j] for j in near if classes[j] == c] for c in set(classes[near].tolist())}
    other = {c: [distances[j] for j in near if classes[j] != c] for c in own}
    return max(own, key=lambda c: min(other[c]) - max(own[c]) if other[c] else np.inf)


@pytest.mark.parametrize("cluster_size", [1, 2, 4, 30])  # from a cluster a sample to fewer than 20 in all
@pytest.mark.parametrize("seed", [0, 1])
def test_it_answers_as_eq_3_says_of_the_twenty_nearest_centroids(seed: int, cluster_size: int) -> None:
    found = replace(evidence(seed), cluster_size=cluster_size)
    clusters = ClusterWise.fit(found, {}).clusters
    rule = LargeMargin.fit(found, {})
    points = centroids(found.embeddings, clusters)
    assert rule.neighbours.k == min(20, len(points))
    assert (len(points) < 20) == (cluster_size == 30)
    expected = [by_the_paper(found, points, clusters.classes, query) for query in found.embeddings]
    assert (answers(rule, found)[0] == expected).all()


def test_the_clusters_are_those_of_the_cluster_wise_rule_where_that_is_fitted() -> None:
    found = evidence()
    before = ClusterWise.fit(replace(found, cluster_size=3), {})
    beside, alone = LargeMargin.fit(found, {"cluster_wise": before}), LargeMargin.fit(found, {})
    assert np.array_equal(beside.neighbours.points, before.neighbours.points)
    assert np.array_equal(beside.neighbours.classes, before.neighbours.classes)
    assert len(alone.neighbours.points) < len(beside.neighbours.points)


def test_validation_and_what_is_searched_change_its_score_alone() -> None:
    found = replace(evidence(), cluster_size=3)
    rule, known = LargeMargin.fit(found, {}), found.validation >= 0
    shuffled = found.validation.copy()
    shuffled[known] = np.random.default_rng(1).permutation(shuffled[known])
    other = LargeMargin.fit(replace(found, validation=shuffled, search=Search(neighbours=[1], decisions=["vote"])), {})
    assert other.score < rule.score
    assert (answers(other, found)[1] == answers(rule, found)[1]).all()
    assert rule.summary() == {"score": rule.score, "k": K, "decision": "large_margin"}
