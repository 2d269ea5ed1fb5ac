"""What the tables on quintuplets are measured on: embeddings on the sphere and attributes as imbalanced as CelebA's."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits

from longtail.quintuplets.candidates import Task
from longtail.quintuplets.product import TILE
from longtail.quintuplets.search import BLOCK
from longtail.rules.distances import squared_distances
from longtail.threads import budget

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

CELEBA = 81_385  # half of its training images: the paper's candidates
DIMENSIONS = 160
CLUSTER_SIZE = 200
ATTRIBUTES = 40
RATES = np.linspace(0.02, 0.51, ATTRIBUTES)  # the shares of images that have the attribute


def embeddings(count: int, seed: int) -> Floats:
    """Points on the sphere, (count, 160)."""
    points = np.random.default_rng(seed).normal(size=(count, DIMENSIONS)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def attribute(count: int, rate: float, seed: int) -> Task:
    """A binary attribute that a share `rate` of the samples has, in random clusters of 200 (their cost is any's)."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < rate).astype(np.int64)
    clusters = np.empty(count, np.int64)
    first = 0
    for code in (0, 1):
        members = np.flatnonzero(labels == code)
        number = max(1, len(members) // CLUSTER_SIZE)
        clusters[members] = first + rng.permutation(len(members)) % number
        first += number
    everyone = np.arange(count)
    return Task(labels, clusters, everyone, everyone)


def blocks_in_threads(work: Callable[[int], object], count: int) -> None:
    """Call `work` with the first row of every block of `count` anchors, on the budget of threads."""
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(budget()) as threads:
        list(threads.map(work, range(0, count, BLOCK)))


def product_of_tiles(points: Floats) -> None:
    """The bare product of all with all in the blocks of the table: each thread multiplies alone."""

    def work(start: int) -> None:
        block = np.ascontiguousarray(points[start : start + BLOCK].T)
        space = np.empty((TILE, block.shape[1]), np.float32)
        for tile in range(0, len(points), TILE):
            rows = points[tile : tile + TILE]
            np.matmul(rows, block, out=space[: len(rows)])

    blocks_in_threads(work, len(points))


def product_of_strips(points: Floats) -> None:
    """The bare product as it is mostly written: a strip of anchors with everything, the library's threads inside."""
    strip = np.empty((BLOCK, len(points)), np.float32)
    for start in range(0, len(points), BLOCK):
        block = points[start : start + BLOCK]
        np.matmul(block, points.T, out=strip[: len(block)])


def product_by_torch(points: Floats) -> None:
    """The bare product in strips by torch's BLAS."""
    x = torch.from_numpy(points)
    strip = torch.empty((BLOCK, len(points)))
    for start in range(0, len(points), BLOCK):
        block = x[start : start + BLOCK]
        torch.mm(block, x.T, out=strip[: len(block)])


def masked_table(points: Floats, task: Task) -> Ints:
    """The table as section 3.1 reads: distances in strips, and four masks over all candidates; (n, 4) partners."""
    partners = np.empty((len(points), 4), np.int64)
    everyone = np.arange(len(points))
    for start in range(0, len(points), BLOCK):
        here = everyone[start : start + BLOCK, None]
        distances = squared_distances(points[start : start + BLOCK], points)
        same_class = task.labels[here] == task.labels
        same_cluster = task.clusters[here] == task.clusters
        others = here != everyone
        partners[start : start + BLOCK] = np.stack(
            [
                np.where(same_cluster & others, distances, -np.inf).argmax(1),
                np.where(same_class & ~same_cluster, distances, np.inf).argmin(1),
                np.where(same_class & others, distances, -np.inf).argmax(1),
                np.where(same_class, np.inf, distances).argmin(1),
            ],
            axis=1,
        )
    return partners


def masked_partners(points: npt.NDArray[np.float64], task: Task, anchors: Ints) -> npt.NDArray[np.float64]:
    """For each anchor the distances D (Eq. 1) of its four partners, by a plain search, (anchors, 4)."""
    found = np.empty((len(anchors), 4))
    for row, anchor in enumerate(anchors):
        distances = ((points - points[anchor]) ** 2).sum(axis=1)
        same_class = task.labels == task.labels[anchor]
        same_cluster = task.clusters == task.clusters[anchor]
        found[row] = (
            distances[same_cluster].max(),
            distances[same_class & ~same_cluster].min(),
            distances[same_class].max(),
            distances[~same_class].min(),
        )
    return found
