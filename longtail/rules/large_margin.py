"""LMLE's decision as published (section 4, Eq. 3): the large margin among the 20 nearest centroids, nothing chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from longtail.artifacts.reading import read_json
from longtail.rules.base import Addition, Evidence, Floats, Ints, Rule
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.clusters import centroids, cluster_classes
from longtail.rules.knn import NearestNeighbours, load_neighbours, save_neighbours
from longtail.rules.search import mean_class_accuracy

K = 20  # of the paper; of fewer clusters all are neighbours


@dataclass(frozen=True)
class LargeMargin(Rule):
    """`neighbours`: the centroids of the clusters that the cluster-wise rule has too, and their classes."""

    title = f"cluster-wise kNN by Eq. 3 at k = {K}"

    neighbours: NearestNeighbours
    score: float

    @classmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> Self:
        before = fitted.get("cluster_wise")
        clusters = (
            before.clusters
            if isinstance(before, ClusterWise)
            else cluster_classes(evidence.embeddings, evidence.train, evidence.cluster_size, seed=evidence.seed)
        )
        points = centroids(evidence.embeddings, clusters)
        neighbours = NearestNeighbours(
            points, clusters.classes, evidence.class_count, min(K, len(points)), "large_margin"
        )
        known = evidence.validation >= 0
        predicted, _ = neighbours.predict(evidence.embeddings[known])
        return cls(neighbours, mean_class_accuracy(evidence.validation[known], predicted))

    def predict(self, embeddings: Floats, logits: Floats | None) -> tuple[Ints, Floats]:
        return self.neighbours.predict(embeddings)

    def extended(self, addition: Addition) -> Self:
        neighbours = self.neighbours.with_points(*addition.centroids(), addition.class_count)
        return replace(self, neighbours=replace(neighbours, k=min(K, len(neighbours.points))))

    def save(self, folder: Path, task: str) -> None:
        save_neighbours(folder / f"large_margin-{task}", self.neighbours, score=self.score)

    @classmethod
    def load(cls, folder: Path, task: str) -> Self:
        about = read_json(folder / f"large_margin-{task}" / "about.json")
        return cls(load_neighbours(folder / f"large_margin-{task}"), about["score"])

    def summary(self) -> dict[str, Any]:
        return {"score": self.score, "k": self.neighbours.k, "decision": self.neighbours.decision}


RULE = LargeMargin
