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
from longtail.rules.base import Evidence, Floats, Ints
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
    but with fewer than 99 samples 1 / (samples + 1).
    """

    distance: float | None
    false_alarms: float
    samples: int

    @classmethod
    def fit(cls, clusters: ClusterWise, evidence: Evidence) -> Self:
        """From the distances of the labelled validation samples."""
        distances = np.sort(nearest_clusters(clusters, evidence.embeddings[evidence.validation >= 0]).distance)
        count = len(distances)
        if not count:
            return cls(distance=None, false_alarms=0.0, samples=0)
        place = min(count, math.ceil((1 - ALPHA) * (count + 1)))
        return cls(distance=float(distances[place - 1]), false_alarms=1 - place / (count + 1), samples=count)

    def unlike(self, distances: Floats) -> npt.NDArray[np.bool_]:
        """Which distances (n,) are beyond the bound."""
        beyond: npt.NDArray[np.bool_] = distances > (np.inf if self.distance is None else self.distance)
        return beyond

    def save(self, folder: Path, task: str) -> None:
        """Write it into a directory, beside the rules."""
        _file(folder, task).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

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


def _file(folder: Path, task: str) -> Path:
    return folder / f"familiarity-{task}.json"
