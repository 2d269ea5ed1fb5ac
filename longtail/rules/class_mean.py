"""The nearest class mean: each class by the normalised mean of its training embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from longtail.rules.base import Addition, Evidence, Floats, Ints, Rule
from longtail.rules.clusters import Clusters, centroids
from longtail.rules.knn import NearestNeighbours
from longtail.rules.neighbour_rule import NeighbourRule


def class_means(embeddings: Floats, labels: Ints, class_count: int) -> NearestNeighbours:
    """The nearest-class-mean classifier of embeddings (n, d); `labels` (n,) are class codes, −1 is left out."""
    codes = np.unique(labels[labels >= 0])
    places = np.where(labels >= 0, np.searchsorted(codes, labels), -1)
    return NearestNeighbours(centroids(embeddings, Clusters(places, codes)), codes, class_count, 1, "vote")


@dataclass(frozen=True)
class ClassMean(NeighbourRule):
    """`neighbours`: the mean of each class."""

    title = "nearest class mean"
    key = "class_mean"

    @classmethod
    def neighbours_of(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> NearestNeighbours:
        return class_means(evidence.embeddings, evidence.train, evidence.class_count)

    def extended(self, addition: Addition) -> Self:
        means = class_means(addition.embeddings, addition.labels, addition.class_count)
        more = means.points, means.classes, addition.class_count
        return replace(self, neighbours=self.neighbours.with_points(*more))


RULE = ClassMean
