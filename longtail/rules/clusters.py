"""k-means inside each class (LMLE, section 3.1): clusters of about equal size, whatever the size of the class."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import faiss
import numpy as np
import numpy.typing as npt
from pydantic import Field

from longtail.artifacts.reading import read_array, read_json, write_json
from longtail.threads import budget

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Clusters:
    """`assignment` (n,): the cluster of each sample, −1 for a sample without label; `classes` (m,): of each cluster."""

    assignment: Ints
    classes: Ints

    @property
    def mean_size(self) -> int:
        """How many of the samples a cluster holds, of those that hold any."""
        members = self.assignment[self.assignment >= 0]
        return max(1, round(len(members) / max(1, len(np.unique(members)))))

    def warning(self, task: str) -> str | None:
        """What to say if no class has two clusters; None of one class, or if one has."""
        counts = np.unique(self.classes, return_counts=True)[1]
        if len(counts) < 2 or counts.max() > 1:
            return None
        return (
            f"Every class of {task} is one cluster: trained on them LMLE is the triplet loss, and the cluster-wise kNN "
            "is the nearest class mean. Lower cluster_size; null chooses it by the sizes of the classes."
        )


# The paper's l; fewest samples that are worth a cluster; and clusters that every class but the smallest should have.
LARGEST, SMALLEST, SEVERAL = 200, 5, 3
ClusterSize = Annotated[int, Field(ge=1, description="l: samples a cluster, about")] | None


def chosen_cluster_size(class_sizes: list[int]) -> int:
    """l where none is given: the paper's 200 or, of smaller classes, as many as leave each of them but the smallest
    three clusters; five at least, so that a class of under ten samples is one cluster in any case.

    Where no class has two clusters, LMLE is the triplet loss and its cluster-wise kNN the nearest class mean.
    """
    smallest = sorted(class_sizes)[:2][-1]
    return min(LARGEST, max(SMALLEST, smallest // SEVERAL))


def number_of_clusters(class_size: int, cluster_size: int) -> int:
    """max(1, ⌊L_c / l⌋) (LMLE, section 4)."""
    return max(1, class_size // cluster_size)


def cluster_classes(
    embeddings: Floats,
    labels: Ints,
    cluster_size: int | None,
    *,
    iterations: int = 25,
    seed: int = 0,
    sample_per_cluster: int | None = None,
    threads: int | None = None,
    count: int | None = None,
) -> Clusters:
    """Cluster the samples of every class by k-means; `labels` (n,) are class codes, −1 is left out. A `cluster_size` of
    None is chosen by the sizes of the classes. With a `count` every class has that many clusters, or as many as it has
    samples.

    Clusters are numbered from 0, class after class. None is empty. `sample_per_cluster` is that of `kmeans`.
    The classes share `threads` (the budget of this process); their number changes no cluster.
    """
    codes, sizes = np.unique(labels[labels >= 0], return_counts=True)
    by_class = np.argsort(labels, kind="stable")[np.count_nonzero(labels < 0) :]
    members = np.split(by_class, np.cumsum(sizes)[:-1])
    cluster_size = cluster_size or chosen_cluster_size(sizes.tolist())
    counts = [min(count, int(size)) if count else number_of_clusters(int(size), cluster_size) for size in sizes]
    first = np.cumsum([0, *counts])
    assignment = np.full(len(labels), -1, np.int64)

    def cluster(place: int) -> None:
        points = embeddings[members[place]]
        found = kmeans(points, counts[place], iterations=iterations, seed=seed, sample_per_cluster=sample_per_cluster)
        assignment[members[place]] = first[place] + found

    _share_threads(cluster, [float(size * count) for size, count in zip(sizes, counts, strict=True)], threads)
    return Clusters(assignment, np.repeat(codes, counts).astype(np.int64))


def _share_threads(job: Callable[[int], None], costs: list[float], threads: int | None) -> None:
    """Run `job(0)`, `job(1)`, … of these costs: first each one that would outlast the others with all threads, then the
    others side by side, with one thread each.
    """
    threads = threads or budget()
    waiting, left = sorted(range(len(costs)), key=costs.__getitem__, reverse=True), sum(costs)
    alone = []
    while threads > 1 and waiting and costs[waiting[0]] * threads > left:
        left -= costs[waiting[0]]
        alone.append(waiting.pop(0))
    for jobs, at_once in ((alone, 1), (waiting, threads)):
        # OpenMP keeps the number of threads for each thread that calls it: that of our caller stays what it is.
        with ThreadPoolExecutor(at_once, initializer=faiss.omp_set_num_threads, initargs=(threads // at_once,)) as pool:
            list(pool.map(job, jobs))  # FAISS works without the interpreter's lock


def kmeans(points: Floats, count: int, *, iterations: int, seed: int, sample_per_cluster: int | None = None) -> Ints:
    """Assign each of the points (n, d) to one of `count` clusters, none of them empty.

    The centroids come from all points or, if there are more than `sample_per_cluster` a cluster, from a seeded sample
    of that many; the assignment is of all in any case.
    """
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
        max_points_per_centroid=sample_per_cluster or len(points),
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
    places, count = clusters.assignment[known], len(clusters.classes)
    # Column by column: a tenth of the time of np.add.at, and the same sums.
    sums = np.stack([np.bincount(places, column, minlength=count) for column in embeddings[known].T], axis=1)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    means: Floats = (sums / np.maximum(norms, 1e-12)).astype(np.float32)
    return means


def anchor_points(embeddings: Floats, labels: Ints, count: int, *, seed: int = 0) -> tuple[Floats, Ints]:
    """`count` anchor points of every class by k-means, (C, K, d), and the C classes' codes, rising; `labels` (n,) are
    class codes, −1 is left out.

    They are the means of the clusters as they are, inside of the sphere (Cui et al., CVPR 2016). A class of fewer
    samples than K has each of them as a point, again and again: with fewer points than the others it would be behind.
    """
    clusters = cluster_classes(embeddings, labels, None, seed=seed, count=count)
    known = clusters.assignment >= 0
    places = clusters.assignment[known]
    sizes = np.bincount(places, minlength=len(clusters.classes))
    sums = np.stack([np.bincount(places, column, minlength=len(sizes)) for column in embeddings[known].T], axis=1)
    means = (sums / sizes[:, None]).astype(np.float32)
    codes = np.unique(clusters.classes)
    points = [np.resize(means[clusters.classes == code], (count, means.shape[1])) for code in codes]
    return np.stack(points), codes


def save_clusters(path: Path, clusters: dict[str, Clusters]) -> None:
    """Write the clusters of each task into the directory `path`."""
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / "tasks.json", list(clusters))
    for task, of_task in clusters.items():
        np.save(path / f"assignment-{task}.npy", of_task.assignment, allow_pickle=False)
        np.save(path / f"classes-{task}.npy", of_task.classes, allow_pickle=False)


def load_clusters(path: Path) -> dict[str, Clusters]:
    """What `save_clusters` wrote, by task."""

    return {
        task: Clusters(
            read_array(path / f"assignment-{task}.npy"),
            read_array(path / f"classes-{task}.npy"),
        )
        for task in read_json(path / "tasks.json")
    }
