"""Distances to the nearest cluster against plain loops, and how often what is familiar is flagged."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rule_evidence import evidence

from longtail.errors import DataError
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.familiarity import ALPHA, Familiarity, Nearest, nearest_clusters


def test_the_nearest_cluster_is_that_of_plain_loops() -> None:
    found = evidence()
    rule = ClusterWise.fit(found, {})
    near = nearest_clusters(rule, found.embeddings[:40])
    for row, point in enumerate(found.embeddings[:40].astype(np.float64)):
        distances = [math.dist(point, centroid) for centroid in rule.neighbours.points.astype(np.float64)]
        assert near.distance[row] == pytest.approx(min(distances), abs=1e-4)
        assert distances[near.cluster[row]] == pytest.approx(min(distances), abs=1e-6)
        assert near.classes[row] == rule.clusters.classes[near.cluster[row]]
    own = nearest_clusters(rule, rule.neighbours.points)
    assert own.cluster.tolist() == list(range(len(rule.neighbours.points)))
    assert own.distance == pytest.approx(0, abs=1e-3)
    assert nearest_clusters(rule, found.embeddings[:0]).distance.shape == (0,)


@pytest.mark.parametrize("count", [1, 5, 98, 99, 100, 250, 900])
def test_the_bound_is_the_order_statistic_of_conformal_prediction(count: int) -> None:
    found = evidence(count=4000)
    known = np.flatnonzero(found.validation >= 0)[:count]
    some = np.full_like(found.validation, -1)
    some[known] = found.validation[known]
    rule = ClusterWise.fit(found, {})
    fitted = Familiarity.fit(rule, replace(found, validation=some))
    beyond = int(fitted.unlike(nearest_clusters(rule, found.embeddings[known])).sum())
    assert fitted.samples == len(known) == count
    assert fitted.false_alarms == pytest.approx((beyond + 1) / (count + 1))
    assert fitted.false_alarms <= max(ALPHA, 1 / (count + 1)) + 1e-12


def test_images_that_come_as_validations_do_are_flagged_at_the_rate_that_it_says() -> None:
    found = evidence(count=40_000)
    rule = ClusterWise.fit(found, {})
    unseen = found.embeddings[(found.train < 0) & (found.validation < 0)]
    fitted = Familiarity.fit(rule, found)
    flagged = fitted.unlike(nearest_clusters(rule, unseen)).mean()
    # About 10,000 of either: the standard error of the difference is 0.14 points.
    assert flagged == pytest.approx(fitted.false_alarms, abs=0.005)


def test_without_a_labelled_validation_sample_nothing_is_flagged(tmp_path: Path) -> None:
    found = evidence()
    fitted = Familiarity.fit(ClusterWise.fit(found, {}), replace(found, validation=np.full_like(found.validation, -1)))
    codes = np.zeros(3, np.int64)
    assert not fitted.unlike(Nearest(codes, codes, np.array([0.0, 2.0, np.inf], np.float32))).any()
    fitted.save(tmp_path, "digit")
    assert Familiarity.load(tmp_path, "digit") == fitted


@pytest.mark.parametrize("content", [b"", b"{}", b'{"distance": "far"}', b"[1]", None])
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    fitted = Familiarity(distance=0.5, false_alarms=0.01, samples=100)
    fitted.save(tmp_path, "digit")
    file = tmp_path / "familiarity-digit.json"
    assert json.loads(file.read_text())["distance"] == 0.5
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(
        DataError, match=r"^cannot read .*familiarity-digit\.json: .*run `longtail index` again$"
    ) as refused:
        Familiarity.load(tmp_path, "digit")
    assert "\n" not in str(refused.value)
