"""Choosing a nearest-neighbour classifier on validation: the number of neighbours and the decision rule."""

from dataclasses import dataclass
from typing import Annotated, Any, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from longtail.rules.clusters import Clusters, centroids, cluster_classes
from longtail.rules.knn import Decision, NearestNeighbours, decide, search

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class Search(BaseModel, extra="forbid"):
    """What is tried on validation. A k beyond the number of clusters means all of them and is tried once."""

    neighbours: list[Annotated[int, Field(ge=1)]] = Field([1, 2, 3, 5, 7, 10, 15, 20, 30, 50], min_length=1)
    decisions: list[Decision] = Field(list(get_args(Decision)), min_length=1)


@dataclass(frozen=True)
class Choice:
    """The chosen classifier, its mean per-class accuracy on validation, and the whole curve."""

    classifier: NearestNeighbours
    score: float
    curve: list[dict[str, float | str]]

    def summary(self) -> dict[str, Any]:
        """What search.json holds of it."""
        k, decision = self.classifier.k, self.classifier.decision
        return {"k": k, "decision": decision, "score": self.score, "curve": self.curve}


def choose(points: Floats, classes: Ints, class_count: int, queries: Floats, truth: Ints, how: Search) -> Choice:
    """Try every k and decision on the validation queries (n, d) of known class (n,); ties go to the smaller k."""
    sizes = sorted({min(k, len(points)) for k in how.neighbours})
    distances, neighbours = search(points, queries, sizes[-1])
    tried: list[tuple[float, int, Decision]] = []
    for k in sizes:
        for decision in how.decisions:
            predicted, _ = decide(distances[:, :k], classes[neighbours[:, :k]], class_count, decision)
            tried.append((mean_class_accuracy(truth, predicted), k, decision))
    score, k, decision = max(tried, key=lambda result: result[0])  # the first of equals, and k rises
    curve: list[dict[str, float | str]] = [{"k": k, "decision": d, "score": s} for s, k, d in tried]
    return Choice(NearestNeighbours(points, classes, class_count, k, decision), score, curve)


def cluster_wise(
    embeddings: Floats,
    train: Ints,
    validation: Ints,
    class_count: int,
    *,
    cluster_size: int,
    how: Search,
    seed: int,
) -> tuple[Choice, Clusters]:
    """The cluster-wise classifier of an embedding (n, d); `train` and `validation` (n,) hold class codes or −1."""
    clusters = cluster_classes(embeddings, train, cluster_size, seed=seed)
    known = validation >= 0
    points = centroids(embeddings, clusters)
    return choose(points, clusters.classes, class_count, embeddings[known], validation[known], how), clusters


def sample_wise(embeddings: Floats, train: Ints, validation: Ints, class_count: int, *, how: Search) -> Choice:
    """The ordinary kNN over all training samples, by majority vote; arguments as for `cluster_wise`."""
    points, queries = train >= 0, validation >= 0
    votes = how.model_copy(update={"decisions": ["vote"]})
    return choose(embeddings[points], train[points], class_count, embeddings[queries], validation[queries], votes)


def head_accuracy(logits: Floats, truth: Ints) -> float:
    """The mean per-class accuracy of a classifier's logits (n, K); `truth` (n,) holds class codes or −1."""
    known = truth >= 0
    return mean_class_accuracy(truth[known], logits[known].argmax(1))


def mean_class_accuracy(truth: Ints, predicted: Ints) -> float:
    """The mean, over the classes that occur in `truth`, of the share of their samples that are predicted right."""
    counts = np.bincount(truth)
    right = np.bincount(truth[truth == predicted], minlength=len(counts))
    return float((right[counts > 0] / counts[counts > 0]).mean())
