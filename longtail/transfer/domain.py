"""A domain: the mean features of its classes, each with the number of its images.

Source: Cui, "Learning from fine-grained and long-tailed visual data", section 4.3.1, after Cui et al., CVPR 2018.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from longtail.artifacts.lineage import Lineage, check_same_rows
from longtail.data.dataset import Task
from longtail.data.feature_set import FeatureSet
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.sources.quoting import listed, shown

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BLOCK = 8192  # samples whose features are in memory at a time
SPLIT = "split"  # the folder beside stored features that holds their split


@dataclass(frozen=True)
class Domain:
    """The classes of a `task`. `means` (m, F): of each the mean of its images' features; `counts` (m,): its images, 1
    or more.

    `backbone`: the digest of the weights that made the features, of `images` of that size and fit; None where nobody
    knows. Raises DataError for means that are not finite, and for a domain without a class.
    """

    name: str
    classes: list[str]
    means: Floats
    counts: Ints
    task: str = "label"
    backbone: str | None = None
    images: str | None = None

    def __post_init__(self) -> None:
        if not len(self.classes):
            raise DataError(f"{shown(self.name)} has no class with a training image; nothing can be compared with it")
        if bad := [name for name, mean in zip(self.classes, self.means, strict=True) if not np.isfinite(mean).all()]:
            raise DataError(f"{shown(self.name)}: the mean features of {listed(bad)} are not finite; make them again")

    @property
    def shares(self) -> Floats:
        """(m,): of each class its share of the images, 1 in all (the number of images of a domain does not count)."""
        shares: Floats = self.counts / self.counts.sum()
        return shares

    def of(self, names: Iterable[str]) -> "Domain":
        """Some of its classes, in its own order. Raises DataError for one that it has not."""
        asked = set(names)
        if unknown := asked - set(self.classes):
            raise DataError(f"{shown(self.name)} has no class(es) {listed(sorted(unknown))}")
        return self._at([place for place, name in enumerate(self.classes) if name in asked])

    def of_at_least(self, images: int) -> "Domain":
        """Its classes of so many images or more. Raises DataError if it has none."""
        kept = np.flatnonzero(self.counts >= images)
        if not len(kept):
            raise DataError(
                f"{shown(self.name)} has no class of {images} images or more, the largest has {self.counts.max()}: ask "
                "for fewer with --least"
            )
        return self._at(kept.tolist())

    def _at(self, places: list[int]) -> "Domain":
        names = [self.classes[place] for place in places]
        return replace(self, classes=names, means=self.means[places], counts=self.counts[places])


def class_means(features: FeatureSet, labels: Ints, count: int, *, normalise: bool = False) -> Floats:
    """(count, F) in float64: of each class the mean of its samples' features; NaN where it has none.

    `labels` (n,): class codes, −1 for samples that are not used. `normalise`: each sample's features to length 1
    before. The features are read in blocks.
    """
    sums, used = np.zeros((count, features.info.length)), np.flatnonzero(labels >= 0)
    for start in range(0, len(used), BLOCK):
        some = used[start : start + BLOCK]
        block = features.vectors(some).astype(np.float64)
        if normalise:
            block /= np.maximum(np.linalg.norm(block, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        order = np.argsort(labels[some], kind="stable")
        codes, starts = np.unique(labels[some][order], return_index=True)
        sums[codes] += np.add.reduceat(block[order], starts)
    with np.errstate(invalid="ignore"):
        means: Floats = sums / np.bincount(labels[used], minlength=count)[:, None]
    return means


def read_domain(
    features: Path, split: Path | None = None, task: str | None = None, *, normalise: bool = False
) -> Domain:
    """The domain of the training images of a directory of stored features; its split lies beside it as `split`, or at
    another path. `task`: whose classes, needed if there are several. A background class is none.

    Raises DataError if either cannot be read, or they are not of the same split.
    """
    if not features.is_dir():
        raise DataError(
            f"there is no directory {shown(features)} of stored features, as the step `features` writes them"
        )
    split = split or features.parent / SPLIT
    check_same_rows("similarity", {"features": Lineage.read(features), "split": Lineage.read(split)})
    table = Split.open(split)
    stored, asked = FeatureSet.open(features, table), _task(table.tasks, task, split)
    labels = table.scored_labels(asked, "train")
    means = class_means(stored, labels, len(asked.classes), normalise=normalise)
    counts = np.bincount(labels[labels >= 0], minlength=len(asked.classes))
    there = np.flatnonzero(counts)
    names = [asked.classes[place] for place in there.tolist()]
    made_of = stored.info.dataset
    height, width, channels = made_of.image_shape
    fit = f", {made_of.preprocessing.fit}" if made_of.preprocessing else ""
    images = f"{height}×{width} {'grey' if channels == 1 else 'colour'}{fit}"
    return Domain(str(features), names, means[there], counts[there], asked.name, stored.info.backbone, images)


def _task(tasks: list[Task], name: str | None, place: Path) -> Task:
    if name is None and len(tasks) == 1:
        return tasks[0]
    found = next((task for task in tasks if task.name == name), None)
    if found is None:
        known = listed(task.name for task in tasks)
        asked = "has several tasks" if name is None else f"has no task {shown(name)!r}"
        raise DataError(f"{place} {asked}: name one of {known} with --task, or --target-task")
    return found
