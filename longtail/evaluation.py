"""The classifiers that are compared on one embedding, and what explains their answers."""

import numpy as np
import numpy.typing as npt

from longtail.clusters import Clusters, centroids
from longtail.distances import squared_distances
from longtail.knn import NearestNeighbours

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
