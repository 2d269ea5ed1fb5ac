"""k-means inside each class (LMLE, section 3.1): clusters of about equal size, whatever the size of the class."""

import json
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Clusters:
    """`assignment` (n,): the cluster of each sample, −1 for a sample without label; `classes` (m,): of each cluster."""

    assignment: Ints
    classes: Ints


def number_of_clusters(class_size: int, cluster_size: int) -> int:
    """max(1, ⌊L_c / l⌋) (LMLE, section 4)."""
    return max(1, class_size // cluster_size)


def cluster_classes(
    embeddings: Floats, labels: Ints, cluster_size: int, *, iterations: int = 25, seed: int = 0
) -> Clusters:
    """Cluster the samples of every class by k-means; `labels` (n,) are class codes, −1 is left out.

    Clusters are numbered from 0, class after class. None is empty.
    """
    assignment = np.full(len(labels), -1, np.int64)
    classes: list[int] = []
    for code in np.unique(labels[labels >= 0]):
        members = np.flatnonzero(labels == code)
        count = number_of_clusters(len(members), cluster_size)
        assignment[members] = len(classes) + kmeans(embeddings[members], count, iterations=iterations, seed=seed)
        classes += [int(code)] * count
    return Clusters(assignment, np.array(classes, np.int64))


def kmeans(points: Floats, count: int, *, iterations: int, seed: int) -> Ints:
    """Assign each of the points (n, d) to one of `count` clusters, none of them empty. All points are used."""
    if count == 1:
        return np.zeros(len(points), np.int64)
    points = np.ascontiguousarray(points, np.float32)
    # By default FAISS trains on a sample of 256 points a cluster and warns below 39: neither is wanted here.
    model = faiss.Kmeans(
        points.shape[1],
        count,
        niter=iterations,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=len(points),
    )
    model.train(points)
    distances, nearest = model.index.search(points, 1)
    return _fill_empty(nearest[:, 0].astype(np.int64), distances[:, 0], count)


def _fill_empty(assignment: Ints, distances: Floats, count: int) -> Ints:
    """Give each empty cluster the point farthest from its centroid among the clusters that have more than one."""
    for empty in np.flatnonzero(np.bincount(assignment, minlength=count) == 0):
        sizes = np.bincount(assignment, minlength=count)
        spare = np.where(sizes[assignment] > 1, distances, -np.inf)
        point = int(np.argmax(spare))
        assignment[point] = empty
        distances[point] = -np.inf
    return assignment


def centroids(embeddings: Floats, clusters: Clusters) -> Floats:
    """The normalised mean of each cluster's embeddings, (m, d)."""
    known = clusters.assignment >= 0
    sums = np.zeros((len(clusters.classes), embeddings.shape[1]))
    np.add.at(sums, clusters.assignment[known], embeddings[known])
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    means: Floats = (sums / np.maximum(norms, 1e-12)).astype(np.float32)
    return means


def save_clusters(path: Path, clusters: dict[str, Clusters]) -> None:
    """Write the clusters of each task into the directory `path`."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "tasks.json").write_text(json.dumps(list(clusters)) + "\n")
    for task, of_task in clusters.items():
        np.save(path / f"assignment-{task}.npy", of_task.assignment, allow_pickle=False)
        np.save(path / f"classes-{task}.npy", of_task.classes, allow_pickle=False)


def load_clusters(path: Path) -> dict[str, Clusters]:
    """What `save_clusters` wrote, by task."""

    return {
        task: Clusters(
            np.load(path / f"assignment-{task}.npy", allow_pickle=False),
            np.load(path / f"classes-{task}.npy", allow_pickle=False),
        )
        for task in json.loads((path / "tasks.json").read_text())
    }
