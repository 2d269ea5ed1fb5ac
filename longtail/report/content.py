"""What a report shows, as plain data. Every part that may be None or empty is then left out with a sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.data.imbalance import ImbalanceMeasures
from longtail.metrics.classification import Metrics


@dataclass(frozen=True)
class MethodRow:
    """One way of classifying the test images, such as "sample-wise kNN", and what it reaches."""

    name: str
    metrics: Metrics


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


@dataclass(frozen=True)
class TaskReport:
    """One task: its data, the methods on its test set, and what explains them.

    `counts` maps each subset to the samples of each of `classes`; `imbalance` measures the training subset.
    `main` names the row that the figures show, `compared` the row drawn beside it.
    Raises ValueError if those name no row, or a subset has not one count a class.
    """

    name: str
    classes: Sequence[str]
    counts: Mapping[str, Sequence[int]]
    imbalance: ImbalanceMeasures
    methods: Sequence[MethodRow]
    main: str
    compared: str | None = None
    background: str | None = None
    embedding: EmbeddingMap | None = None
    k_search: KSearch | None = None
    mistakes: Sequence[Mistake] = ()

    def __post_init__(self) -> None:
        names = [row.name for row in self.methods]
        for name in (self.main, self.compared):
            if name is not None and name not in names:
                raise ValueError(f"no method {name!r} in the report of task {self.name!r}; it has {names}")
        for subset, counts in self.counts.items():
            if len(counts) != len(self.classes):
                raise ValueError(
                    f"{len(counts)} counts of {subset!r} for the {len(self.classes)} classes of {self.name!r}"
                )

    @property
    def beside(self) -> str | None:
        """The compared method, if it is another than the main one."""
        return None if self.compared == self.main else self.compared

    def metrics(self, name: str) -> Metrics:
        """The metrics of the method of that name."""
        return next(row.metrics for row in self.methods if row.name == name)


@dataclass(frozen=True)
class Round:
    """One round; round 0 is the start.

    `loss` and each of its `parts` (by the name to show) are given at `iterations`, counted from the round's own start;
    all are empty where nothing was trained. `validation` holds mean per-class accuracies in [0, 1] by task.
    A `stopped` round passed its model through; the `selected` round gave the model that the report is about.
    """

    number: int
    iterations: Sequence[int] = ()
    loss: Sequence[float] = ()
    parts: Mapping[str, Sequence[float]] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    stopped: bool = False
    selected: bool = False


@dataclass(frozen=True)
class Report:
    """A run: which method on which data (`images` in all), with which seed, and what came out.

    `parameters` may be nested; `notes` are sentences for the reader. No time of creation: the same run gives the same
    bytes.
    """

    title: str
    method: str
    dataset: str
    images: int
    seed: int
    tasks: Sequence[TaskReport]
    rounds: Sequence[Round] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
