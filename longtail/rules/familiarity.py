"""Whether an image is like anything that was trained on: its distance to the nearest cluster of training samples.

The bound is an order statistic of the distances of validation samples, as in split conformal prediction: of images that
come as these do, the share that lies beyond it is known before anything is measured (Laxhammar and Falkman, 2010).
"""

import math
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from longtail.artifacts.reading import UNREADABLE, reason
from longtail.errors import DataError
from longtail.rules.base import Addition, Evidence, Floats, Ints
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.knn import nearest

# The share of familiar images that may be flagged.
ALPHA = 0.01


class Nearest(NamedTuple):
    """Of each image (n,): the nearest cluster's number, its class code, and the distance to its centroid in [0, 2]."""

    cluster: Ints
    classes: Ints
    distance: Floats


class Familiarity(BaseModel, extra="forbid", frozen=True):
    """What lies farther than `distance` from every cluster is unlike anything trained on; None: nothing is.

    Of images that come as the `samples` of validation do, `false_alarms` is the share expected beyond: at most ALPHA,
    but with fewer than 99 samples 1 / (samples + 1). `added`: by code, the bounds of classes that nobody has trained;
    one of them counts in place of `distance` where the nearest cluster is of its class.
    """

    distance: float | None
    false_alarms: float
    samples: int
    added: dict[int, float] = {}

    @classmethod
    def fit(cls, clusters: ClusterWise, evidence: Evidence) -> Self:
        """From the distances of the labelled validation samples."""
        distances = nearest_clusters(clusters, evidence.embeddings[evidence.validation >= 0]).distance
        count = len(distances)
        if not count:
            return cls(distance=None, false_alarms=0.0, samples=0)
        return cls(distance=bound_of(distances), false_alarms=1 - _place(count) / (count + 1), samples=count)

    def extended(self, clusters: ClusterWise, addition: Addition) -> Self:
        """With a bound for each class that was added to `clusters`: what nobody has trained lies wider apart. It is the
        same order statistic, of each image's distance to the mean of the others in its cluster; `distance` at least.
        """
        added, knn = dict(self.added), clusters.neighbours
        for code in np.unique(addition.labels) if self.distance is not None else ():
            distances = _to_others(addition.embeddings[addition.labels == code], knn.points[knn.classes == code])
            if len(distances):
                added[int(code)] = max(self.distance or 0, bound_of(distances))
        return self.model_copy(update={"added": added})

    def unlike(self, near: Nearest) -> npt.NDArray[np.bool_]:
        """Which images (n,) lie beyond the bound of their nearest cluster."""
        trained = np.inf if self.distance is None else self.distance
        bounds = np.full(len(near.distance), trained)
        for code, bound in self.added.items():
            bounds[near.classes == code] = bound
        beyond: npt.NDArray[np.bool_] = near.distance > bounds
        return beyond

    def save(self, folder: Path, task: str) -> None:
        """Write it into a directory, beside the rules."""
        _file(folder, task).write_text(self.model_dump_json(indent=1, exclude_defaults=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, task: str) -> Self:
        """What `save` wrote. Raises DataError if it cannot be read."""
        file = _file(folder, task)
        try:
            return cls.model_validate_json(file.read_text(encoding="utf-8"))
        except UNREADABLE as error:
            raise DataError(f"cannot read {file}: {reason(error, file.name)}; run `longtail index` again") from error


def nearest_clusters(clusters: ClusterWise, embeddings: Floats) -> Nearest:
    """The cluster that each embedding (n, d) is nearest to, numbered as `Clusters.assignment` numbers them."""
    squares, places = nearest(clusters.neighbours.points, embeddings, 1)
    # FAISS multiplies out the square of a difference, and may end below 0.
    distance = np.sqrt(np.maximum(squares[:, 0], 0))
    return Nearest(places[:, 0], clusters.neighbours.classes[places[:, 0]], distance)


def bound_of(distances: Floats) -> float:
    """The distance beyond which at most ALPHA of those that come as these (n,) do are expected."""
    return float(np.sort(distances)[_place(len(distances)) - 1])


def _place(count: int) -> int:
    """Which of so many distances, from 1 and by size, is the bound."""
    return min(count, math.ceil((1 - ALPHA) * (count + 1)))


def _to_others(points: Floats, means: Floats) -> Floats:
    """The distance of each of a class's images (n, d) to the normalised mean of the others in its cluster, of those
    that are not alone in it; `means` (m, d) are those of the clusters.
    """
    clusters = nearest(means, points, 1)[1][:, 0]
    found = []
    for own in (points[clusters == cluster].astype(np.float64) for cluster in range(len(means))):
        if len(own) > 1:
            others = own.sum(0) - own
            others /= np.maximum(np.linalg.norm(others, axis=1, keepdims=True), 1e-12)
            found.append(np.linalg.norm(own - others, axis=1))
    return np.concatenate([np.empty(0), *found]).astype(np.float32)


def _file(folder: Path, task: str) -> Path:
    return folder / f"familiarity-{task}.json"
