"""MNIST-style idx files, on request rotated and blended over natural images (MNIST-rot-back-image)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.sources.attributes import Attribute, attribute_tasks
from longtail.sources.backgrounds import Backgrounds, read_photographs
from longtail.sources.classes import ClassName, check_task_name, make_task, ordered, without_empty_classes
from longtail.sources.collection import Collection, Pixels, Request, Source
from longtail.sources.idx_format import IdxPair, read_pair
from longtail.sources.limits import Limits
from longtail.sources.pixels import conform
from longtail.sources.rotback import Poses, draw_poses, render

# Columns that no task can take: a task's name has no space.
POSITION = "position in the files"
PLAIN = "is copy 0"


class Idx(Source):
    """A pair of idx files for training, and on request one for testing; then the subsets are official.

    `train_count` and `test_count` draw that many at random; with `pool` both are drawn from all files together, and
    no image is in both. `classes` names the labels 0, 1, …; `attributes` are further tasks, by name. `copies` holds for
    training images: copy 0 is the image rotated (`rotate`) and blended (`backgrounds`); every other copy is the same
    digit turned anew (`rotate`), mirrored with probability one half (`mirror`) and resized (`scale`), over a patch of
    its own. Copies share a group.
    """

    kind: Literal["idx"]
    train: IdxPair = Field(description="files of training images and labels")
    test: IdxPair | None = Field(None, description="files of test images and labels; null: the split draws them")
    pool: bool = False
    train_count: int | None = Field(None, ge=1)
    test_count: int | None = Field(None, ge=1)
    classes: list[ClassName] | None = None
    task: str = Field("label", description="name of the task")
    attributes: dict[str, Attribute] = Field({})
    rotate: bool = False
    backgrounds: Backgrounds | None = None
    copies: int = Field(1, ge=1)
    mirror: bool = True
    scale: tuple[float, float] = (0.9, 1.1)
    licence: str = Field("not stated", description="of the images; the report and MLflow show it")

    def load(self, root: Path, request: Request) -> Collection:
        """See `Source.load`."""
        check_task_name(self.task)
        selection, posing, rendering = np.random.SeedSequence(request.seed).spawn(3)
        digits, items = self._read(root, request.limits)
        items = self._name_labels(items, request)
        items = self._select(items, np.random.default_rng(selection))
        samples = self._samples(items)
        photographs = read_photographs(root, self.backgrounds, request) if self.backgrounds else None
        poses = self._poses(samples, np.random.default_rng(posing))
        index = samples.pop(POSITION).to_numpy(np.int64)
        blocks: Iterable[Pixels] = render(digits, index, poses, photographs, seed=rendering, workers=request.workers)
        further = []
        if self.attributes:
            blocks = list(blocks)
            further = attribute_tasks(self.attributes, samples, samples[self.task], poses.angle, blocks)
        images = (conform(block, request.image_shape) for block in blocks)
        task = without_empty_classes(samples, self._task(samples), self.train.labels, request.problems)
        return Collection(samples, [task, *further], images, self._provenance(), self.licence)

    def _read(self, root: Path, limits: Limits) -> tuple[Pixels, pd.DataFrame]:
        pairs = {"train": self.train, **({"test": self.test} if self.test else {})}
        images, items = [], []
        for origin, pair in pairs.items():
            pixels, labels = read_pair(root, pair, limits)
            images.append(pixels)
            position = np.arange(len(labels))
            items.append(pd.DataFrame({"origin": origin, "item": position, "code": labels, "file": pair.labels}))
        if images[0].shape[1:] != images[-1].shape[1:]:
            raise DataError(f"{self.train.images} has images of another size than the test file")
        table = pd.concat(items, ignore_index=True)
        return np.concatenate(images), table.assign(index=np.arange(len(table)))

    def _name_labels(self, items: pd.DataFrame, request: Request) -> pd.DataFrame:
        if self.classes is None:
            return items.assign(label=items["code"].astype(str))
        outside = items["code"] >= len(self.classes)
        for row in items[outside].itertuples():
            detail = f"label {row.code}, {len(self.classes)} classes declared"
            request.problems.add("label outside the declared classes", f"{row.file}, item {row.item} (from 0)", detail)
        items = items[~outside]
        return items.assign(label=np.array(self.classes, dtype=object)[items["code"]])

    def _select(self, items: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
        if self.pool:
            return self._select_from_pool(items, random)
        train, test = items[items["origin"] == "train"], items[items["origin"] == "test"]
        if self.test is None and self.test_count:
            raise DataError("test_count needs a `test` pair of files, or `pool: true`")
        train = _draw(train, self.train_count, self.train.labels, random)
        test = _draw(test, self.test_count, self.test.labels if self.test else "", random)
        both = pd.concat([train, test])
        return both.assign(subset=both["origin"] if self.test else None)

    def _select_from_pool(self, items: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
        if self.train_count is None or self.test_count is None:
            raise DataError("`pool: true` needs train_count and test_count")
        drawn = _draw(items, self.train_count + self.test_count, "the pool of all files", random, shuffle=True)
        train, test = drawn[: self.train_count].sort_index(), drawn[self.train_count :].sort_index()
        return pd.concat([train.assign(subset="train"), test.assign(subset="test")])

    def _samples(self, items: pd.DataFrame) -> pd.DataFrame:
        repeats = np.where(items["subset"] == "test", 1, self.copies)
        rows = items.iloc[np.repeat(np.arange(len(items)), repeats)].reset_index(drop=True)
        group = rows["origin"] + "-" + rows["item"].astype(str).str.zfill(5)
        copy = rows.groupby(group).cumcount()
        samples = pd.DataFrame({"id": group + "-" + copy.astype(str), "source": group, "group": group})
        columns = {"subset": rows["subset"], POSITION: rows["index"], PLAIN: copy == 0, self.task: rows["label"]}
        return samples.assign(**columns)

    def _task(self, samples: pd.DataFrame) -> Task:
        return make_task(self.task, self.classes if self.classes is not None else ordered(samples[self.task]))

    def _poses(self, samples: pd.DataFrame, random: np.random.Generator) -> Poses:
        plain = samples.pop(PLAIN).to_numpy(bool)
        poses = draw_poses(random, len(plain), rotate=self.rotate, mirror=self.mirror, scale=self.scale)
        return Poses(poses.angle, poses.mirror & ~plain, np.where(plain, 1.0, poses.scale))

    def _provenance(self) -> str:
        parts = [f"idx files {self.train.images}" + (f" and {self.test.images}" if self.test else "")]
        parts += ["rotated by a uniform angle"] if self.rotate else []
        parts += [f"blended over patches of {self.backgrounds.path}"] if self.backgrounds else []
        return ", ".join(parts)


def _draw(
    items: pd.DataFrame, count: int | None, name: str, random: np.random.Generator, *, shuffle: bool = False
) -> pd.DataFrame:
    if count is None:
        return items
    if count > len(items):
        raise DataError(f"{count} images are asked of {name}, which has {len(items)}")
    rows = random.permutation(len(items))[:count]
    return items.iloc[rows if shuffle else np.sort(rows)]
