"""The nearest class mean: each class by the normalised mean of its training embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from longtail.artifacts.reading import read_json
from longtail.rules.base import Addition, Evidence, Floats, Ints, Rule
from longtail.rules.clusters import Clusters, centroids
from longtail.rules.knn import NearestNeighbours, load_neighbours, save_neighbours
from longtail.rules.search import mean_class_accuracy


def class_means(embeddings: Floats, labels: Ints, class_count: int) -> NearestNeighbours:
    """The nearest-class-mean classifier of embeddings (n, d); `labels` (n,) are class codes, −1 is left out."""
    codes = np.unique(labels[labels >= 0])
    places = np.where(labels >= 0, np.searchsorted(codes, labels), -1)
    return NearestNeighbours(centroids(embeddings, Clusters(places, codes)), codes, class_count, 1, "vote")


@dataclass(frozen=True)
class ClassMean(Rule):
    """`neighbours`: the mean of each class."""

    title = "nearest class mean"

    neighbours: NearestNeighbours
    score: float

    @classmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> Self:
        neighbours = class_means(evidence.embeddings, evidence.train, evidence.class_count)
        known = evidence.validation >= 0
        predicted, _ = neighbours.predict(evidence.embeddings[known])
        return cls(neighbours, mean_class_accuracy(evidence.validation[known], predicted))

    def predict(self, embeddings: Floats, logits: Floats | None) -> tuple[Ints, Floats]:
        return self.neighbours.predict(embeddings)

    def extended(self, addition: Addition) -> Self:
        means = class_means(addition.embeddings, addition.labels, addition.class_count)
        more = means.points, means.classes, addition.class_count
        return replace(self, neighbours=self.neighbours.with_points(*more))

    def save(self, folder: Path, task: str) -> None:
        save_neighbours(folder / f"class_mean-{task}", self.neighbours, score=self.score)

    @classmethod
    def load(cls, folder: Path, task: str) -> Self:
        about = read_json(folder / f"class_mean-{task}" / "about.json")
        return cls(load_neighbours(folder / f"class_mean-{task}"), about["score"])


RULE = ClassMean
