"""The cluster-wise kNN with the large-margin decision (LMLE, section 4, Eq. 3): neighbours are cluster centroids."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from longtail.artifacts.reading import read_array, read_json
from longtail.rules.base import Addition, Evidence, Floats, Ints, Rule
from longtail.rules.clusters import Clusters, centroids, cluster_classes
from longtail.rules.knn import NearestNeighbours, load_neighbours, save_neighbours
from longtail.rules.search import Choice, choose


@dataclass(frozen=True)
class ClusterWise(Rule):
    """`neighbours`: the centroids, their classes, k and the decision; `clusters`: which samples each stands for."""

    title = "cluster-wise kNN"

    neighbours: NearestNeighbours
    clusters: Clusters
    score: float
    curve: list[dict[str, float | str]]

    @classmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> Self:
        clusters = cluster_classes(evidence.embeddings, evidence.train, evidence.cluster_size, seed=evidence.seed)
        known = evidence.validation >= 0
        points = centroids(evidence.embeddings, clusters)
        choice: Choice = choose(
            points,
            clusters.classes,
            evidence.class_count,
            evidence.embeddings[known],
            evidence.validation[known],
            evidence.search,
            evidence.measure,
        )
        return cls(choice.classifier, clusters, choice.score, choice.curve)

    def predict(self, embeddings: Floats, logits: Floats | None) -> tuple[Ints, Floats]:
        return self.neighbours.predict(embeddings)

    def extended(self, addition: Addition) -> Self:
        neighbours = self.neighbours.with_points(*addition.centroids(), addition.class_count)
        return replace(self, neighbours=neighbours, clusters=Clusters(self.clusters.assignment, neighbours.classes))

    def can_answer(self, code: int) -> bool:
        return self.neighbours.can_answer(code)

    def save(self, folder: Path, task: str) -> None:
        save_neighbours(folder / f"cluster_wise-{task}", self.neighbours, score=self.score, curve=self.curve)
        np.save(folder / f"cluster_wise-{task}" / "assignment.npy", self.clusters.assignment, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, task: str) -> Self:
        own = folder / f"cluster_wise-{task}"
        neighbours, about = load_neighbours(own), read_json(own / "about.json")
        clusters = Clusters(read_array(own / "assignment.npy"), neighbours.classes)
        return cls(neighbours, clusters, about["score"], about["curve"])

    def summary(self) -> dict[str, Any]:
        return {
            "score": self.score,
            "clusters": len(self.neighbours.points),
            "k": self.neighbours.k,
            "decision": self.neighbours.decision,
            "curve": self.curve,
        }


RULE = ClusterWise
