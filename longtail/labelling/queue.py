"""The queue: a directory of images, each with the class that a model proposes for it, in the order they are shown.

queue.json           task, classes with their definitions, how the queue was ordered, which model proposed, counts
items.parquet        one row an item: item, source, proposed, confidence, prediction_set, twice
images/<item>.jpg    the image as people see it
exemplars/<class>/   training images of each class, by its number
journal.jsonl        what people decided, see journal.py
lineage.json         the steps behind the model
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

import pandas as pd
from pydantic import BaseModel, Field

from longtail.artifacts.reading import UNREADABLE, reason
from longtail.errors import DataError
from longtail.labelling.settings import By
from longtail.sources.quoting import shown

FORMAT = r"^[0-9a-f]{64}$"  # of an item's id, which is also its file's name
COLUMNS = ("item", "source", "proposed", "confidence", "prediction_set", "twice")
LONGEST = 240  # characters of a path in a message


class QueueClass(BaseModel, extra="forbid", frozen=True):
    """A class, and what belongs to it in a sentence or two."""

    name: str
    definition: str | None = None


class Proposer(BaseModel, extra="forbid", frozen=True):
    """The model that proposed: the digest of its index, and the step that made it (a key of the lineage)."""

    digest: str
    made_by: str | None = None


class Counts(BaseModel, extra="forbid", frozen=True):
    """Of the images looked at: how many are no image, were there before, are background, or unsure; the rest are the
    `items`, of which two people see `twice`.
    """

    looked_at: int
    unreadable: int = 0
    duplicates: int = 0
    background: int = 0
    unsure: int = 0
    items: int
    twice: int = 0


class QueueInfo(BaseModel, extra="forbid"):
    """What queue.json holds. A class's place in `classes` is its number."""

    format_version: Literal[1] = 1
    task: str
    classes: list[QueueClass]
    by: By
    confidence: float = Field(ge=0, le=1)
    twice: float = Field(ge=0, le=1)
    seed: int
    model: Proposer
    counts: Counts


class Item(NamedTuple):
    """An image of the queue: `item` is the SHA-256 of its bytes, `source` the name that the user knows it by.

    `confidence` is the probability of the proposed class; `twice`: two people are to see it.
    """

    item: str
    source: str
    proposed: str
    confidence: float
    prediction_set: tuple[str, ...] | None = None
    twice: bool = False


class Queue:
    """A queue on disk. `digest` tells it from every other: decisions name it."""

    def __init__(self, path: Path, info: QueueInfo, items: Sequence[Item], digest: str) -> None:
        self.path = path
        self.info = info
        self.items = {item.item: item for item in items}
        self.digest = digest

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the directory `path`. Raises DataError if it is no queue of this format."""
        try:
            content = (path / "queue.json").read_bytes()
            info = QueueInfo.model_validate_json(content)
            rows = (path / "items.parquet").read_bytes()
            items = _items(pd.read_parquet(path / "items.parquet"))
            _check(info, items)
        except (*UNREADABLE, KeyError) as error:
            why = shown(reason(error, "queue.json"), LONGEST)
            raise DataError(f"{shown(path, LONGEST)} is no queue: {why}; make one with `longtail propose`") from error
        return cls(path, info, items, hashlib.sha256(content + rows).hexdigest())

    @property
    def journal(self) -> Path:
        """The file of what people decided."""
        return self.path / "journal.jsonl"

    def image(self, item: str) -> Path:
        """The file of an item as people see it. Raises KeyError if it is none of the queue."""
        return self.path / "images" / f"{self.items[item].item}.jpg"

    def check_images(self) -> None:
        """Raise DataError if an item's image is not there."""
        folder = self.path / "images"
        there = {file.stem for file in folder.glob("*.jpg")}
        if missing := [item for item in self.items if item not in there]:
            raise DataError(
                f"{shown(folder, LONGEST)} lacks {len(missing)} of {len(self.items)} images, as {missing[0]}.jpg; "
                "bring them back, or make the queue again with `longtail propose`"
            )

    def exemplars(self) -> list[list[Path]]:
        """By the number of a class the files of its exemplars."""
        folders = (self.path / "exemplars" / str(number) for number in range(len(self.info.classes)))
        return [sorted(folder.glob("*.jpg")) for folder in folders]

    def number(self, name: str) -> int:
        """The number of a class."""
        return [one.name for one in self.info.classes].index(name)


def write_queue(path: Path, info: QueueInfo, items: Sequence[Item]) -> None:
    """Write queue.json and items.parquet into a directory; the items in the order in which people see them."""
    table = pd.DataFrame(items, columns=list(COLUMNS))
    table.to_parquet(path / "items.parquet", index=False)
    (path / "queue.json").write_text(info.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _items(table: pd.DataFrame) -> list[Item]:
    sets = [None if one is None else tuple(one) for one in table["prediction_set"]]
    columns = (table[name].tolist() for name in COLUMNS)
    item, source, proposed, confidence, _, twice = columns
    return [Item(*row) for row in zip(item, source, proposed, confidence, sets, twice, strict=True)]


def _check(info: QueueInfo, items: list[Item]) -> None:
    """Raise ValueError if the files do not fit each other; the ids are names of files, and must be nothing else."""
    table = pd.DataFrame(items, columns=list(COLUMNS))
    if not len(table) == table["item"].nunique() == info.counts.items:
        raise ValueError(f"items.parquet has {table['item'].nunique()} items, queue.json counts {info.counts.items}")
    if not table["item"].astype("str").str.fullmatch(FORMAT).all():
        raise ValueError("items.parquet has an item that is no SHA-256")
    if not table["proposed"].isin([one.name for one in info.classes]).all():
        raise ValueError("items.parquet proposes a class that queue.json has not")
