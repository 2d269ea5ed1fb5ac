"""LMLE's decision as published (section 4, Eq. 3): the large margin among the 20 nearest centroids, nothing chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from longtail.rules.base import Addition, Evidence, Rule
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.clusters import centroids, cluster_classes
from longtail.rules.knn import NearestNeighbours
from longtail.rules.neighbour_rule import NeighbourRule

K = 20  # of the paper; of fewer clusters all are neighbours


@dataclass(frozen=True)
class LargeMargin(NeighbourRule):
    """`neighbours`: the centroids of the clusters that the cluster-wise rule has too, and their classes."""

    title = f"cluster-wise kNN by Eq. 3 at k = {K}"
    key = "large_margin"

    @classmethod
    def neighbours_of(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> NearestNeighbours:
        before = fitted.get("cluster_wise")
        if isinstance(before, ClusterWise):
            points, classes = before.neighbours.points, before.neighbours.classes
        else:
            clusters = cluster_classes(evidence.embeddings, evidence.train, evidence.cluster_size, seed=evidence.seed)
            points, classes = centroids(evidence.embeddings, clusters), clusters.classes
        return NearestNeighbours(points, classes, evidence.class_count, min(K, len(points)), "large_margin")

    def extended(self, addition: Addition) -> Self:
        neighbours = self.neighbours.with_points(*addition.centroids(), addition.class_count)
        return replace(self, neighbours=replace(neighbours, k=min(K, len(neighbours.points))))

    def summary(self) -> dict[str, Any]:
        return {"score": self.score, "k": self.neighbours.k, "decision": self.neighbours.decision}


RULE = LargeMargin
