"""What is in a data set: its classes in each subset, how imbalanced they are, how fine, what is there twice."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Self

import numpy as np
import pandas as pd
from pydantic import Field

from longtail.advice.detectable import effective
from longtail.artifacts.lineage import Lineage, check_same_rows
from longtail.audit.duplicates import K, duplicates
from longtail.audit.neighbours import neighbours
from longtail.data.dataset import SUBSETS, PackedDataset, Task, codes
from longtail.data.imbalance import ImbalanceMeasures, measure
from longtail.data.splits import stratify
from longtail.errors import DataError
from longtail.granularity.distance import Ints, euclidean
from longtail.granularity.granularity import Granularity, granularity_of
from longtail.granularity.points import Images, open_images
from longtail.sources.quoting import shown
from longtail.stages import split as split_stage

COMPARED = 2**40  # products, of all images with all others: half a minute
READ = 2**26  # numbers, of the images that granularity is measured on
EVEN = 1.5  # an imbalance ratio below which there is nothing to make up for
FINE = 2_000  # images that granularity is measured on
OF_EACH = 20  # of them of every class, if it has so many and all classes have room


@dataclass(frozen=True)
class ClassFacts:
    """A class: its images in each subset, and the groups that those of test belong to, with their `sizes`."""

    name: str
    train: int
    validation: int
    test: int
    test_groups: int
    sizes: Annotated[list[int], Field(exclude=True)]

    @property
    def images(self) -> int:
        """Those of all subsets."""
        return self.train + self.validation + self.test

    def effective(self, likeness: float) -> float:
        """How many independent images its test images are worth."""
        return effective(self.sizes, likeness)


@dataclass(frozen=True)
class Fineness:
    """RankM of so many `images`, and of labels drawn at random (`chance`), in [0, 1]; the finest class with its own,
    and the finest pair of classes, None where every image is nearest to its own class.
    """

    rankm: float
    chance: float
    images: int
    finest: tuple[str, float]
    pair: tuple[str, str] | None

    @classmethod
    def of(cls, found: Granularity) -> Self:
        """What is told of a granularity."""
        finest = next((one.name, one.rankm) for one in found.by_class if one.rankm is not None)
        return cls(found.rankm, found.chance, found.samples, finest, found.pairs[0].classes if found.pairs else None)


@dataclass(frozen=True)
class TaskFacts:
    """A task: its classes but the background; how imbalanced they are in training; the share of images, in [0, 1], that
    have no label; and how fine the classes are, None where that cannot be measured.
    """

    name: str
    classes: list[ClassFacts]
    imbalance: ImbalanceMeasures
    missing: float
    fineness: Fineness | None

    @property
    def train(self) -> int:
        """Its labelled training images."""
        return sum(one.train for one in self.classes)

    @property
    def ratio(self) -> float:
        """The imbalance ratio in training, 1 or more; an empty class counts as one of one image."""
        sizes = [one.train for one in self.classes]
        return max(1.0, max(sizes) / max(1, min(sizes)))


@dataclass(frozen=True)
class Facts:
    """A data set. `divided`: where the subsets come from; `fault`: why `longtail split` cannot divide it by default.

    `left_out`: tasks that say nothing, and why. `copies`: pairs of near-duplicates, and those of them across subsets;
    None where the images are too many, or too few, to look. `by` says what images were compared by.
    `test_is_official`: all seeds test on the same images.
    """

    images: int
    groups: int
    shape: tuple[int, int, int]
    divided: str
    fault: str | None
    test_is_official: bool
    tasks: list[TaskFacts]
    by: str
    copies: tuple[int, int] | None
    shares: dict[str, float] = field(default_factory=lambda: {"train": 0.72, "test": 0.2})
    left_out: dict[str, str] = field(default_factory=dict)


def facts(dataset: Path, features: Path | None, split: Path | None) -> Facts:
    """What is in a packed data set, divided as the split says, else as `longtail split` divides it by default; images
    are compared by the features, else by their pixels. Raises DataError if one cannot be read, or not of the others.
    """
    packed = PackedDataset.open(dataset)
    images, fault = _images(dataset, features, split)
    samples = images.samples if fault is None else _drawn(images.samples, images.tasks)
    divided = "by the split given" if split else "as `longtail split` does by default"
    official = "test" in set(packed.samples["subset"].dropna())
    if fault is not None:
        divided = "by their official subsets" if official else "at random by shares of 72, 8 and 20 %"
    tasks, left_out = _tasks(images, samples)
    return Facts(
        images=len(samples),
        groups=int(samples["group"].nunique()),
        shape=packed.info.image_shape,
        divided=divided,
        fault=fault,
        test_is_official=official,
        tasks=tasks,
        left_out=left_out,
        by=images.by,
        copies=_copies(images, samples),
        shares=_shares(split),
    )


def _shares(split: Path | None) -> dict[str, float]:
    """Of new images the shares for training and test, as the split was divided."""
    lineage = Lineage() if split is None else Lineage.read(split)
    made = lineage.steps.get(lineage.made_by or "")
    known = {} if made is None else {key: made.params[key] for key in ("test", "validation") if key in made.params}
    params = split_stage.Params.model_validate(known)
    return {"train": (1 - params.test) * (1 - params.validation), "test": params.test}


def _images(dataset: Path, features: Path | None, split: Path | None) -> tuple[Images, str | None]:
    """The images in their subsets, and why the default split cannot be made."""
    if split is not None:
        given = {"data set": dataset, "split": split} | ({} if features is None else {"features": features})
        check_same_rows("the advice", {name: Lineage.read(path) for name, path in given.items()})
        return open_images(features or dataset, split), None
    if features is not None:
        raise DataError("the features are of a split's images: give the split that they were made with, as --split")
    with TemporaryDirectory() as scratch:
        made = Path(scratch) / "split"
        try:
            split_stage.run(dataset, made, params=split_stage.Params())
        except DataError as error:
            return open_images(dataset, None), str(error)
        return open_images(dataset, made), None


def _drawn(samples: pd.DataFrame, tasks: Sequence[Task]) -> pd.DataFrame:
    """The samples in subsets that lack classes, where `split` finds no others; in the official ones, if there are."""
    official = samples["subset"].astype(object).where(samples["subset"].notna(), "train")
    if (official == "test").any():
        return samples.assign(subset=official)
    groups = pd.factorize(samples["group"])[0].astype(np.int64)
    shares = dict(zip(SUBSETS, (0.72, 0.08, 0.2), strict=True))
    return samples.assign(subset=stratify([codes(samples, t) for t in tasks], groups, shares, np.random.default_rng(0)))


def _tasks(images: Images, samples: pd.DataFrame) -> tuple[list[TaskFacts], dict[str, str]]:
    """The tasks, and those that say nothing with the reason. Raises DataError if none is left."""
    found, left_out = [], {}
    for task in images.tasks:
        try:
            found.append(_task(images, samples, task))
        except DataError as error:
            left_out[task.name] = str(error)
    if not found:
        raise DataError(*left_out.values())
    return found, left_out


def _task(images: Images, samples: pd.DataFrame, task: Task) -> TaskFacts:
    labels, subset = images.labels(task), samples["subset"].to_numpy(dtype=str)
    names = [name for name in task.classes if name != task.background]
    if not (labels >= 0).any():
        raise DataError(f"no image has a label of the task {task.name!r}: there is nothing to advise on")
    if len(present := np.unique(labels[labels >= 0])) == 1:
        raise DataError(
            f"all labels of the task {task.name!r} are {shown(task.classes[present[0]])!r}, so there is nothing to "
            "tell apart: collect images of another class, or leave the task out of the data set"
        )
    classes = []
    for name in names:
        of_class = labels == task.classes.index(name)
        train, validation = (int((of_class & (subset == one)).sum()) for one in ("train", "validation"))
        sizes = samples["group"][of_class & (subset == "test")].value_counts().tolist()
        classes.append(ClassFacts(name, train, validation, sum(sizes), len(sizes), sizes))
    at = _some(images, task, labels)
    found = granularity_of(euclidean(images.points(task, at)), labels[at], task.classes, exact=False)
    imbalance = measure([one.train for one in classes], names)
    missing = float(samples[task.name].isna().mean())
    return TaskFacts(task.name, classes, imbalance, missing, None if found is None else Fineness.of(found))


def _some(images: Images, task: Task, labels: Ints) -> Ints:
    """Positions of the labelled images that granularity is measured on: all, or a few of every class and others."""
    length = images.points(task, np.arange(1)).shape[1]
    most = min(FINE, READ // length)
    labelled = np.random.default_rng(0).permutation(np.flatnonzero(labels >= 0))
    turn = pd.Series(labels[labelled]).groupby(labels[labelled]).cumcount().to_numpy()
    return np.sort(labelled[np.argsort(turn >= OF_EACH, kind="stable")[:most]])


def _copies(images: Images, samples: pd.DataFrame) -> tuple[int, int] | None:
    task, everything = images.tasks[0], np.arange(len(samples))
    length = images.points(task, everything[:1]).shape[1]
    if len(samples) ** 2 * length > COMPARED or len(samples) <= K:
        return None
    found, _ = duplicates(neighbours(images.points(task, everything), samples["group"].to_numpy(dtype=str), K))
    subset = samples["subset"].to_numpy(dtype=str)
    return len(found), sum(subset[copy.first] != subset[copy.second] for copy in found)
