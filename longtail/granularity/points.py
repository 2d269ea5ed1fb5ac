"""What images are compared by: stored features, a model's embeddings, or their pixels, with the labels of each task."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from longtail.artifacts.digests import check_artifact
from longtail.artifacts.lineage import Lineage, check_same_rows
from longtail.data.dataset import PackedDataset, Task, codes, foreground
from longtail.data.feature_set import FeatureSet, has_features
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.granularity.distance import Ints, Points
from longtail.network.snapshot import best, read_embeddings
from longtail.sources.quoting import listed, shown

FEATURES, PIXELS = "features", "pixels"


@dataclass(frozen=True)
class Images:
    """Labelled images and what they are compared by, `by`, as it is called.

    `samples` has a row an image in use: id, group, subset (null where the data has none) and a column a task; with a
    split also row. `points` gives of a task the points (n, d) of samples at some positions.
    """

    by: str
    samples: pd.DataFrame
    tasks: list[Task]
    points: Callable[[Task, Ints], Points]
    trained: bool = False  # on labels of the training subset: it says nothing of them that they have not said

    def labels(self, task: Task) -> Ints:
        """Class codes of all samples; −1 where the label is missing, or is the background class."""
        return foreground(codes(self.samples, task), task)

    def positions(self, subset: str) -> Ints:
        """Positions of the samples of a subset; `all`: of every one."""
        if subset == "all":
            return np.arange(len(self.samples))
        return np.flatnonzero((self.samples["subset"] == subset).to_numpy()).astype(np.int64)

    def asked(self, name: str | None) -> list[Task]:
        """The task of that name, or all. Raises DataError if there is none."""
        found = [task for task in self.tasks if name in (None, task.name)]
        if not found:
            raise DataError(f"there is no task {shown(name)!r}; there are {listed(task.name for task in self.tasks)}")
        return found


def open_images(source: Path, split: Path | None) -> Images:
    """The images of a packed data set (by their pixels), of stored features, or of a model or an index (by each task's
    embedding). Raises DataError if the directory is none of them, has other rows than the split, or cannot be read.
    """
    for path in filter(None, (source, split)):
        if not path.is_dir():
            raise DataError(f"there is no directory {shown(path)}")
        check_artifact(path)
    table = None if split is None else Split.open(split)
    if split is not None:
        check_same_rows("the comparison", {"source": Lineage.read(source), "split": Lineage.read(split)})
    if (source / "dataset.json").is_file():
        return _pixels(PackedDataset.open(source), table)
    if table is None:
        raise DataError(f"{shown(source)} has no labels of its own: give the split that it was made with, as --split")
    if has_features(source):
        features = FeatureSet.open(source, table)
        return Images(
            FEATURES,
            table.samples,
            table.tasks,
            lambda task, at: features.vectors(at),
            Lineage.read(source).trained_here,
        )
    snapshot = source / "snapshot" if (source / "snapshot").is_dir() else best(source)
    return Images("embeddings", table.samples, table.tasks, _embeddings(snapshot, table), trained=True)


def _pixels(packed: PackedDataset, table: Split | None) -> Images:
    samples = packed.samples if table is None else table.samples
    rows = np.arange(len(samples)) if table is None else table.samples["row"].to_numpy()

    def points(task: Task, at: Ints) -> npt.NDArray[np.uint8]:
        return packed.images(rows[at]).reshape(len(at), -1)

    return Images(PIXELS, samples, packed.info.tasks if table is None else table.tasks, points)


def _embeddings(snapshot: Path, table: Split) -> Callable[[Task, Ints], Points]:
    def points(task: Task, at: Ints) -> Points:
        found = read_embeddings(snapshot, task.name)
        if len(found) != len(table.samples):
            raise DataError(
                f"{shown(snapshot)} has embeddings of {len(found)} samples, and the split has {len(table.samples)}"
            )
        return found[at]

    return points
