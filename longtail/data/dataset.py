"""The packed dataset: a directory of few files, whatever the number of images.

images-00000.npy …   the images, as they are or each as a JPEG; see data/shards.py. Or photographs that they are cut out
                     of, see data/photographs.py
samples.parquet      one row an image: id, source, group, subset, and one nullable categorical column a task; for a
                     task with hard negatives also `rejected:TASK`, see `rejected_column`
colours.npy          colour histograms of the images, see data/colours.py; absent where `ingest.colours` is null
dataset.json         tasks with their ordered classes, image shape, count, md5, provenance, licence, format version
lineage.json         the md5 again, as every later artifact carries it
"""

import hashlib
import math
from collections.abc import Iterable
from operator import not_
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, Field, PositiveInt

from longtail.artifacts.reading import UNREADABLE, reason, write_json
from longtail.data.colours import Grid, open_histograms, write_histograms
from longtail.data.injection import NONE, Injection
from longtail.data.photographs import Cuts, Patches, Photographs, write_cuts
from longtail.data.preprocessing import Preprocessing
from longtail.data.shards import Block, Shards, open_shards, write_shards
from longtail.errors import DataError

REJECTED = "rejected:"  # no task's name has a colon
RESERVED = ("id", "source", "group", "subset", "row")  # columns of the samples, and one that `split` adds
SUBSETS = ("train", "validation", "test")
BLOCK = 2**26  # bytes of images whose colours are counted at a time


class Task(BaseModel, extra="forbid"):
    """One classification task: `classes` are ordered; the background class counts in no metric."""

    name: str = Field(pattern=r"^[\w-]+$", description="also part of file names")
    classes: list[str]
    background: str | None = None


class DatasetInfo(BaseModel, extra="forbid"):
    """What dataset.json holds. `imbalance` is what an example asks to have injected into its training subset;
    `preprocessing` is None where an image's file alone does not give its pixels; then, and only then,
    `aligned_jpeg_quality` says whether they are kept as JPEGs. `colours` cells a side have the grids of the colour
    histograms; `md5` is of images and labels alone, from which these follow. `patches`: the images are cut out of
    photographs.
    """

    format_version: Literal[1] = 1
    tasks: list[Task]
    image_shape: tuple[int, int, int]
    count: int
    shard_sizes: list[PositiveInt]
    md5: str
    provenance: str
    licence: str
    imbalance: Injection = NONE
    preprocessing: Preprocessing | None = None
    aligned_jpeg_quality: int | None = Field(None, ge=1, le=100)
    colours: Grid | None = Field(None, exclude_if=not_)
    patches: bool = Field(False, exclude_if=not_)

    @property
    def jpeg_quality(self) -> int | None:
        """The quality of the JPEGs that the shards hold; None: they hold the pixels themselves."""
        return self.preprocessing.jpeg_quality if self.preprocessing else self.aligned_jpeg_quality


class PackedDataset:
    """A packed dataset on disk, its images memory-mapped."""

    def __init__(self, path: Path, info: DatasetInfo, samples: pd.DataFrame) -> None:
        self.path = path
        self.info = info
        self.samples = samples
        self.colours = None if info.colours is None else open_histograms(path, info.count, info.colours)
        self.photographs = Photographs(path, info.image_shape[2]) if info.patches else None
        self._shards = _open_images(path, info, self.photographs)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the directory `path`. Raises DataError if it is not a packed dataset of this format."""
        try:
            info = DatasetInfo.model_validate_json((path / "dataset.json").read_text(encoding="utf-8"))
            samples = pd.read_parquet(path / "samples.parquet")
            _check(info, samples)
            return cls(path, info, samples)
        except UNREADABLE as error:
            why = reason(error, "dataset.json")
            raise DataError(f"{path} is not a packed dataset: {why}; make it with `longtail ingest`") from error

    def __len__(self) -> int:
        return self.info.count

    def task(self, name: str) -> Task:
        """The task of that name. Raises DataError if there is none."""
        for task in self.info.tasks:
            if task.name == name:
                return task
        raise DataError(f"no task {name!r} in {self.path}; it has {[task.name for task in self.info.tasks]}")

    def labels(self, task: str) -> npt.NDArray[np.int64]:
        """Class codes of every sample, in the order of the task's classes; −1 where the label is missing."""
        return codes(self.samples, self.task(task))

    def negatives(self, task: str) -> npt.NDArray[np.int64]:
        """Of every sample the class that it was rejected as; −1 for what is no hard negative of the task."""
        return rejected_codes(self.samples, self.task(task))

    def images(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """The images of those rows of `samples`, uint8, len(rows)×H×W×C, in the order asked.

        Raises DataError if a file of images is not as `ingest` wrote it: each is read as a whole when first needed.
        """
        return self._shards.images(rows)

    def stored(self, rows: npt.NDArray[np.int64]) -> Block:
        """The images of those rows as they are kept, for another packed data set. Raises DataError as `images`."""
        return self._shards.stored(rows)


def _open_images(path: Path, info: DatasetInfo, photographs: Photographs | None) -> Shards:
    if photographs is None:
        return open_shards(path, info.shard_sizes, info.image_shape, jpegs=info.jpeg_quality is not None)
    if len(photographs.places) != info.count:
        raise ValueError(f"places.npy has {len(photographs.places)} places, dataset.json counts {info.count} images")
    return Patches(photographs, info.image_shape)


def rejected_column(task: str) -> str:
    """The column of the samples that holds a task's hard negatives: the class that people looked at a training image
    as, and said no. Such a sample has no label. Null for all others; a task without any has no such column.
    """
    return f"{REJECTED}{task}"


def rejected_codes(samples: pd.DataFrame, task: Task) -> npt.NDArray[np.int64]:
    """Of every row of a table the code of the class that it was rejected as, in the order of the task's classes; −1 for
    what is no hard negative.
    """
    column = rejected_column(task.name)
    if column not in samples.columns:
        return np.full(len(samples), -1, np.int64)
    return pd.Categorical(samples[column], categories=task.classes).codes.astype(np.int64)


def codes(samples: pd.DataFrame, task: Task) -> npt.NDArray[np.int64]:
    """Class codes of a table's column for `task`, in the order of its classes; −1 where missing."""
    values = pd.Categorical(samples[task.name], categories=task.classes)
    return values.codes.astype(np.int64)


def foreground(found: npt.NDArray[np.int64], task: Task) -> npt.NDArray[np.int64]:
    """Class codes (n,) of a task, −1 in the place of its background class."""
    return found if task.background is None else np.where(found == task.classes.index(task.background), -1, found)


def _check(info: DatasetInfo, samples: pd.DataFrame) -> None:
    """Raise ValueError if the files do not fit each other."""
    lacking = {"id", "group", "subset", *(task.name for task in info.tasks)} - set(samples.columns)
    if lacking:
        raise ValueError(f"samples.parquet has no column {sorted(lacking)}")
    if not len(samples) == info.count == sum(info.shard_sizes):
        raise ValueError(f"samples.parquet has {len(samples)} rows, dataset.json counts {info.count} images")
    check_rejected(samples, info.tasks)


def check_rejected(samples: pd.DataFrame, tasks: list[Task]) -> None:
    """Raise ValueError if a hard negative of a task has a label there, or an official subset that is not train."""
    for task in tasks:
        negative = rejected_codes(samples, task) >= 0
        if (negative & (codes(samples, task) >= 0)).any():
            raise ValueError(f"a sample has a label of {task.name!r} and was rejected there")
        if samples["subset"][negative].isin(SUBSETS[1:]).any():
            raise ValueError(f"a sample that was rejected in {task.name!r} is no training sample")


def write_dataset(
    path: Path,
    samples: pd.DataFrame,
    images: Iterable[Block] | Cuts,
    *,
    tasks: list[Task],
    image_shape: tuple[int, int, int],
    provenance: str,
    licence: str,
    imbalance: Injection = NONE,
    preprocessing: Preprocessing | None = None,
    aligned_jpeg_quality: int | None = None,
    colours: Grid | None = None,
) -> DatasetInfo:
    """Write a packed dataset into the directory `path`.

    `samples` has the columns id (unique, str), source (str), group (str), subset ("train", "validation", "test" or
    null: the official split, where there is one), one column of class names (or null) a task, and for a task with hard
    negatives its `rejected_column`. `images` yields uint8 blocks of n×H×W×C, or of their JPEGs, in the order of
    `samples`, or says where they are cut out. The same content gives the same bytes. Raises
    ValueError for a hard negative that `check_rejected` does.
    """
    path.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({name: samples[name].astype("str") for name in ("id", "source", "group")})
    table["subset"] = pd.Categorical(samples["subset"], categories=list(SUBSETS))
    for task in tasks:
        table[task.name] = pd.Categorical(samples[task.name], categories=task.classes)
    for task in tasks:
        if (rejected_codes(samples, task) >= 0).any():
            column = rejected_column(task.name)
            table[column] = pd.Categorical(samples[column], categories=task.classes)
    check_rejected(table, tasks)
    table = table.reset_index(drop=True)
    table.to_parquet(path / "samples.parquet", index=False)
    digest = hashlib.md5(usedforsecurity=False)
    digest.update((path / "samples.parquet").read_bytes())
    info = DatasetInfo(
        tasks=tasks,
        image_shape=image_shape,
        count=len(table),
        shard_sizes=[],
        md5="",
        provenance=provenance,
        licence=licence,
        imbalance=imbalance,
        preprocessing=preprocessing,
        aligned_jpeg_quality=aligned_jpeg_quality,
        colours=colours,
        patches=isinstance(images, Cuts),
    )
    if isinstance(images, Cuts):
        write_cuts(path, images, digest)
        info.shard_sizes = [info.count]
    else:
        quality = info.jpeg_quality
        info.shard_sizes = write_shards(path, images, digest, count=info.count, shape=image_shape, quality=quality)
    info.md5 = digest.hexdigest()
    if colours is not None:
        photographs = Photographs(path, image_shape[2]) if info.patches else None
        packed = _open_images(path, info, photographs)
        block = max(1, BLOCK // math.prod(image_shape))
        padded = preprocessing is not None and preprocessing.fit == "pad"
        write_histograms(path, packed.images, info.count, colours, block, padded=padded)
    (path / "dataset.json").write_text(info.model_dump_json(indent=1) + "\n", encoding="utf-8")
    write_json(path / "lineage.json", {"dataset": info.md5})
    return info
