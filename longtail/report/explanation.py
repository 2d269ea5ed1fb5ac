"""What a report shows beside the figures: the map of an embedding, the search for k, and mistakes, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Points of an embedding in the plane, and the centroids of their clusters.

    `xy` is n × 2 and `classes` (n) the codes of the task's classes, −1 for a missing label. `clusters` (n) are rows of
    `centroid_xy` (c × 2) and `centroid_classes` (c), −1 for no cluster. `projection` says how the plane was made.
    """

    xy: npt.NDArray[np.floating[Any]]
    classes: npt.NDArray[np.integer[Any]]
    clusters: npt.NDArray[np.integer[Any]]
    centroid_xy: npt.NDArray[np.floating[Any]]
    centroid_classes: npt.NDArray[np.integer[Any]]
    projection: str = ""


@dataclass(frozen=True)
class KCurve:
    """Validation mean per-class accuracy in [0, 1] at each k (ascending) of one decision rule."""

    rule: str
    k: Sequence[int]
    accuracy: Sequence[float]


@dataclass(frozen=True)
class KSearch:
    """The k curves of a task and the choice made on them: `rule` is the name of one of the curves."""

    curves: Sequence[KCurve]
    rule: str
    k: int


@dataclass(frozen=True, eq=False)
class Mistake:
    """A wrongly classified test image, and the image that represents the cluster nearest to it.

    Images are uint8, H × W × C with C = 1 or 3. `true`, `predicted` and `cluster_class` are class names.
    """

    id: str
    image: npt.NDArray[np.uint8]
    true: str
    predicted: str
    cluster_image: npt.NDArray[np.uint8]
    cluster_class: str
