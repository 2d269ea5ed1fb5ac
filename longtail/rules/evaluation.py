"""The classifiers that are compared on one embedding, and what explains their answers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from longtail.artifacts.reading import read_json
from longtail.network.snapshot import read_embeddings, read_logits
from longtail.rules.clusters import Clusters, centroids
from longtail.rules.distances import squared_distances
from longtail.rules.knn import NearestNeighbours, load_index
from longtail.rules.search import mean_class_accuracy

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def class_means(embeddings: Floats, labels: Ints, class_count: int) -> NearestNeighbours:
    """The nearest-class-mean classifier: each class by the normalised mean of its embeddings; −1 is left out."""
    codes = np.unique(labels[labels >= 0])
    places = np.where(labels >= 0, np.searchsorted(codes, labels), -1)
    return NearestNeighbours(centroids(embeddings, Clusters(places, codes)), codes, class_count, 1, "vote")


def sample_wise(embeddings: Floats, labels: Ints, class_count: int, k: int) -> NearestNeighbours:
    """The ordinary kNN over all samples of known class, by majority vote."""
    known = labels >= 0
    return NearestNeighbours(embeddings[known], labels[known], class_count, k, "vote")


def posterior(scores: Floats, temperature: float = 1.0) -> Floats:
    """Class scores (n, K) as probabilities: their softmax at a temperature, in the units of the scores."""
    scaled = scores / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


@dataclass(frozen=True)
class Blend:
    """The head and the cluster-wise kNN together: the mean of their class probabilities, `head` being the former's
    weight. The kNN's are its scores (Eq. 3, or shares of votes) at a temperature.
    """

    head: float
    temperature: float

    def predict(self, logits: Floats, scores: Floats) -> Ints:
        """Class codes (n,) from the head's logits (n, K) and the kNN's scores (n, K)."""
        mixed = self.head * posterior(logits) + (1 - self.head) * posterior(scores, self.temperature)
        codes: Ints = mixed.argmax(1)
        return codes


BLENDS = [Blend(head, temperature) for head in (0.25, 0.5, 0.75) for temperature in (0.05, 0.2, 1.0)]


def choose_blend(logits: Floats, scores: Floats, truth: Ints) -> tuple[Blend, float]:
    """The best of BLENDS (the first of equals) on validation samples of known class (n,), and its accuracy there."""
    tried = [(mean_class_accuracy(truth, blend.predict(logits, scores)), blend) for blend in BLENDS]
    score, blend = max(tried, key=lambda result: result[0])
    return blend, score


def predictions(task: str, K: int, snapshot: Path, index: Path, train: Ints, queries: Ints) -> dict[str, Ints]:
    """What each classifier of a snapshot says of the samples at the positions `queries`; `train` (n,) class codes.

    cluster_wise, sample_wise and class_mean on the embedding; where a classifier was trained, head and head_and_knn.
    """
    embeddings, logits = read_embeddings(snapshot, task), read_logits(snapshot, task)
    tried = read_json(index / "search.json")[task]
    cluster_wise = load_index(index)[task]
    by_cluster, scores = cluster_wise.predict(embeddings[queries])
    found = {
        "cluster_wise": by_cluster,
        "sample_wise": sample_wise(embeddings, train, K, tried["sample_wise"]["k"]).predict(embeddings[queries])[0],
        "class_mean": class_means(embeddings, train, K).predict(embeddings[queries])[0],
    }
    if logits is not None:
        found["head"] = logits[queries].argmax(1)
        blend = tried["head_and_knn"]
        found["head_and_knn"] = Blend(blend["head"], blend["temperature"]).predict(logits[queries], scores)
    return found


def representatives(embeddings: Floats, clusters: Clusters, centres: Floats) -> Ints:
    """For each cluster the position of the sample nearest to its centroid, (m,); `centres` (m, d) are the centroids."""
    chosen = np.empty(len(centres), np.int64)
    for number, point in enumerate(centres):
        members = np.flatnonzero(clusters.assignment == number)
        chosen[number] = members[np.argmin(squared_distances(point[None], embeddings[members])[0])]
    return chosen


def project(points: Floats, seed: int) -> npt.NDArray[np.float64]:
    """t-SNE (van der Maaten and Hinton 2008) of points (n, d) to the plane, (n, 2); neighbours stay neighbours."""
    # scikit-learn takes over a second to import, and only the map needs it.
    from sklearn.manifold import TSNE

    perplexity = min(30.0, max(1.0, (len(points) - 1) / 4))
    method = TSNE(perplexity=perplexity, init="random", random_state=seed, max_iter=500)
    projected: npt.NDArray[np.float64] = method.fit_transform(points).astype(np.float64)
    return projected


def sample(positions: Ints, count: int, seed: int) -> Ints:
    """At most `count` of the positions, drawn at random, in their order."""
    if len(positions) <= count:
        return positions
    drawn: Ints = np.sort(np.random.default_rng(seed).choice(positions, count, replace=False))
    return drawn
